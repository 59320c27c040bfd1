package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Issue makes a session for a program that proved itself just now, by another way than a signed request: who is the
// place of its key, as 300:88.118.1001/App_erp, and key what it proved itself by. The session is over when that key is. Errors:
// problem.AuthFailed.
func (a *Accounts) Issue(ctx context.Context, who record.Identity, key trust.PublicKey) (*Session, error) {
	_, k, _, ok := split(who.Name)
	v, err := id.ParseHandle(who.Name)
	if err != nil || !ok || k != appName || key.IsZero() || !a.stands(ctx, record.Identity{Ref: record.Ref{Index: who.Index, Name: v.String()}}, key.Fingerprint()) {
		return nil, problem.New(problem.AuthFailed, "%.80s is no program whose key holds: check its identifier, or rotate its key", "%.80s 不是密钥有效的应用：请核对标识或更换密钥", who.Name)
	}
	now := a.cfg.Now()
	c := claims{Use: "session", Issuer: a.prefix, Subject: v.String(), ID: a.code(12), Issued: now.Unix(), Expires: now.Add(sessionLife).Unix(),
		Methods: []string{"pop"}, Index: who.Index, Key: key.Fingerprint()}
	token, err := trust.SignStatement(a.cfg.Key, c)
	if err != nil {
		return nil, err
	}
	roles, err := a.Roles(ctx, who)
	if err != nil {
		return nil, err
	}
	a.cfg.Log.Info("logged in", "app", v.String(), "by", "key")
	if roles == nil {
		roles = []api.Role{}
	}
	return &Session{Token: string(token), Expires: time.Unix(c.Expires, 0).UTC(), User: v.String(), Roles: roles}, nil
}

// stands reports whether the key with the fingerprint is that of who, now.
func (a *Accounts) stands(ctx context.Context, who record.Identity, fingerprint string) bool {
	prefix, k, _, ok := split(who.Name)
	if !ok || k != appName {
		return false
	}
	v, err := id.ParseHandle(who.Name)
	if err != nil {
		return false
	}
	same := func(key trust.PublicKey, err error) bool {
		return err == nil && !key.IsZero() && key.Fingerprint() == fingerprint
	}
	p, err := a.place(ctx, prefix)
	if problem.Is(err, problem.NotHere) && a.cfg.Keys != nil {
		return same(a.cfg.Keys(ctx, who.Ref))
	}
	if err != nil {
		return false
	}
	x, err := p.apps.Get(v)
	if err != nil || x.Disabled {
		return false
	}
	for _, k := range x.live(a.cfg.Now()) {
		if k.Index == who.Index {
			return same(trust.ParsePublic(k.Data))
		}
	}
	return false
}

// digest is what is kept of a password for LoginDigest; empty where it is not wanted.
func (a *Accounts) digest(password string) string {
	if !a.cfg.DigestLogin {
		return ""
	}
	h := sha256.Sum256([]byte(password))
	return hex.EncodeToString(h[:])
}

// LoginDigest is Login by hex(SHA-256(hex(SHA-256(password)) + day)), for one of the days, as programs of deployed
// second-level nodes send it; Config.DigestLogin must allow it. There is no second factor in it, so an account that has one
// does not get in. Errors: problem.AuthFailed, problem.Busy after too many wrong ones.
func (a *Accounts) LoginDigest(ctx context.Context, user, digest string, days []string) (*Session, error) {
	v, prefix, ok := a.full(user)
	name := v.String()
	if !ok {
		name = strings.ToUpper(user[:min(len(user), 128)])
	}
	if err := a.tries.begin(name); err != nil {
		return nil, err
	}
	var u User
	if ok {
		if p, err := a.place(ctx, prefix); err == nil {
			u, _ = p.users.Get(v)
		}
	}
	right := 0
	for _, day := range days {
		h := sha256.Sum256([]byte(u.Digest + day))
		right |= subtle.ConstantTimeCompare([]byte(hex.EncodeToString(h[:])), []byte(digest))
	}
	if right != 1 || !a.cfg.DigestLogin || u.Digest == "" || u.Disabled || u.TOTP != nil {
		return nil, wrongLogin()
	}
	a.tries.good(name)
	return a.session(ctx, v, u, "pwd")
}
