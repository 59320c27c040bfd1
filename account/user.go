package account

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// User is a person's account, as its record keeps it.
type User struct {
	Title    string     `json:"title,omitempty"`
	Email    string     `json:"email,omitempty"`
	Roles    []api.Role `json:"roles,omitempty"`
	Disabled bool       `json:"disabled,omitempty"`
	Made     time.Time  `json:"made"`

	Key      []byte    `json:"key,omitempty"` // HS_PUBKEY, for who signs without a session
	Password string    `json:"password,omitempty"`
	Changed  time.Time `json:"changed,omitzero"` // the password
	Digest   string    `json:"digest,omitempty"` // hex(SHA-256(password)), where Config.DigestLogin wants it
	Invite   *invite   `json:"invite,omitempty"`
	TOTP     *second   `json:"totp,omitempty"`
	Passkeys []passkey `json:"passkeys,omitempty"`
	Links    []link    `json:"links,omitempty"`

	// Sessions of another generation are over, and those that were left one by one.
	Generation int     `json:"generation"`
	Left       []ended `json:"left,omitempty"`
}

type invite struct {
	Hash  []byte    `json:"hash"`
	Until time.Time `json:"until"`
}

type second struct {
	Secret   []byte   `json:"secret"`
	Last     int64    `json:"last"`               // the step whose code was taken last
	Recovery [][]byte `json:"recovery,omitempty"` // SHA-256 of codes that are good once
}

type passkey struct {
	Title string              `json:"title,omitempty"`
	Made  time.Time           `json:"made"`
	Cred  webauthn.Credential `json:"credential"`
}

// link is an account elsewhere, and what that place says of its roles.
type link struct {
	Provider string     `json:"provider"`
	Subject  string     `json:"subject"`
	Roles    []api.Role `json:"roles,omitempty"`
}

type ended struct {
	Session string    `json:"session"`
	Until   time.Time `json:"until"`
}

func userValues(v id.ID, u User) []record.Value {
	vs := []record.Value{admin(v)}
	if len(u.Key) > 0 && !u.Disabled {
		vs = append(vs, keyValue(indexKey, u.Key))
	}
	return vs
}

func keyValue(index uint32, data []byte) record.Value {
	return record.Value{Index: index, Type: record.TypePubKey, Data: data, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: keyTTL}}
}

// NewUser is what CreateUser needs to know.
type NewUser struct {
	Prefix   string // the account's own
	Name     string // li, for 88.118.1001/User_li
	Title    string
	Email    string
	Roles    []api.Role
	Password string // empty: an invitation is made
	Key      trust.PublicKey
}

// CreateUser makes an account on behalf of by. Without a password it returns an invitation, good once within seven
// days, which AcceptInvite turns into one. Errors: problem.BadValue, problem.Exists, problem.Forbidden for a role
// that by may not give, problem.NotHere, and those of the registry.
func (a *Accounts) CreateUser(ctx context.Context, by api.Caller, n NewUser) (v id.ID, invitation string, err error) {
	p, err := a.place(ctx, n.Prefix)
	if err != nil {
		return v, "", err
	}
	if err := checkName(n.Name); err != nil {
		return v, "", err
	}
	if err := checkTitle(n.Title, n.Email); err != nil {
		return v, "", err
	}
	if err := mayGive(by, n.Prefix, n.Roles); err != nil {
		return v, "", err
	}
	if v, err = p.users.ID(n.Name); err != nil {
		return v, "", err
	}
	now := a.cfg.Now()
	u := User{Title: n.Title, Email: n.Email, Roles: n.Roles, Made: now, Key: n.Key.Data()}
	if n.Password != "" {
		if err := checkPassword(n.Password, n.Name); err != nil {
			return v, "", err
		}
		if u.Password, err = a.hash(ctx, n.Password); err != nil {
			return v, "", err
		}
		u.Digest = a.digest(n.Password)
		u.Changed = now
	} else {
		invitation = a.code(16)
		u.Invite = &invite{fingerprint(invitation), now.Add(inviteLife)}
	}
	if err := p.users.Create(ctx, by.Identity, v, u); err != nil {
		return v, "", err
	}
	return v, invitation, nil
}

// Invite makes a new invitation, with which the user sets another password; until then the old one holds. It is the
// way back for who forgot it.
func (a *Accounts) Invite(ctx context.Context, by record.Identity, v id.ID) (invitation string, err error) {
	invitation = a.code(16)
	_, err = a.changeUser(ctx, by, v, func(u *User) error {
		u.Invite = &invite{fingerprint(invitation), a.cfg.Now().Add(inviteLife)}
		return nil
	})
	return invitation, err
}

// AcceptInvite sets the password of the account that was invited. The second factor, if there is one, is taken away:
// who invites vouches for the person. Errors: problem.AuthFailed, problem.BadValue for a weak password.
func (a *Accounts) AcceptInvite(ctx context.Context, user, invitation, password string) error {
	v, prefix, ok := a.full(user)
	_, _, name, _ := split(v.String())
	if err := a.tries.begin("invite:" + v.String()); err != nil {
		return err
	}
	if err := checkPassword(password, name); err != nil {
		a.tries.good("invite:" + v.String()) // says nothing of the invitation
		return err
	}
	wrong := problem.New(problem.AuthFailed, "the invitation is wrong, used or over: ask for a new one", "邀请码错误、已使用或已过期：请索取新的")
	hash, err := a.hash(ctx, password)
	if err != nil {
		return err
	}
	if !ok {
		return wrong
	}
	if _, err := a.place(ctx, prefix); err != nil {
		return wrong
	}
	who := record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}
	_, err = a.changeUser(ctx, who, v, func(u *User) error {
		if u.Invite == nil || u.Disabled || !a.cfg.Now().Before(u.Invite.Until) || subtle.ConstantTimeCompare(fingerprint(invitation), u.Invite.Hash) != 1 {
			return wrong
		}
		u.Invite, u.Password, u.Changed, u.TOTP = nil, hash, a.cfg.Now(), nil
		u.Digest = a.digest(password)
		u.Generation++
		return nil
	})
	if problem.Is(err, problem.NotFound) {
		return wrong
	}
	if err == nil {
		a.tries.good("invite:" + v.String())
		a.tries.good(v.String())
	}
	return err
}

// changeUser changes an account that is kept here.
func (a *Accounts) changeUser(ctx context.Context, by record.Identity, v id.ID, change func(*User) error) (User, error) {
	prefix, k, _, ok := split(v.String())
	if !ok || k != userName {
		return User{}, problem.New(problem.NotFound, "%s is no user: write PREFIX/User_NAME", "%s 不是用户：请写成 前缀/User_名称", v)
	}
	p, err := a.place(ctx, prefix)
	if err != nil {
		return User{}, err
	}
	return p.users.Change(ctx, by, v, change)
}

// user is an account that is kept here.
func (a *Accounts) user(ctx context.Context, v id.ID) (User, error) {
	prefix, k, _, ok := split(v.String())
	if !ok || k != userName {
		return User{}, problem.New(problem.NotFound, "%s is no user: write PREFIX/User_NAME", "%s 不是用户：请写成 前缀/User_名称", v)
	}
	p, err := a.place(ctx, prefix)
	if err != nil {
		return User{}, err
	}
	return p.users.Get(v)
}

// SetPassword replaces a password by another, and ends every session of the account. Errors: problem.AuthFailed when
// old is wrong, problem.BadValue.
func (a *Accounts) SetPassword(ctx context.Context, v id.ID, old, password string) error {
	u, err := a.user(ctx, v)
	if err != nil {
		return err
	}
	if err := a.tries.begin(v.String()); err != nil {
		return err
	}
	right, err := a.matches(ctx, u.Password, old)
	if err != nil {
		return err
	}
	if !right {
		return problem.New(problem.AuthFailed, "the old password is wrong: try again, or ask for an invitation", "旧密码错误：请重试，或索取邀请码")
	}
	a.tries.good(v.String())
	_, _, name, _ := split(v.String())
	if err := checkPassword(password, name); err != nil {
		return err
	}
	hash, err := a.hash(ctx, password)
	if err != nil {
		return err
	}
	_, err = a.changeUser(ctx, record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}, v, func(u *User) error {
		u.Password, u.Changed, u.Invite = hash, a.cfg.Now(), nil
		u.Digest = a.digest(password)
		u.Generation++
		return nil
	})
	return err
}

func checkTitle(texts ...string) error {
	for _, t := range texts {
		if len(t) > 256 || strings.ContainsFunc(t, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return problem.New(problem.BadValue, "a title or address takes at most 256 bytes without line breaks: shorten it", "名称或邮箱最多 256 字节且不含换行：请缩短")
		}
	}
	return nil
}
