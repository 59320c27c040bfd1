// Package account knows who people and programs are: users who log in with a password and a second factor, a passkey, or
// an account that they have elsewhere (OpenID Connect); programs that sign with a key of their own; groups of both; and
// what each may do at which prefix.
//
// Every account is an identifier under the prefix that it belongs to, and a record of it: 88.118.1001/User_li,
// 88.118.1001/App_erp, 88.118.1001/Group_partners. So accounts are mirrored, logged, proved and backed up with
// everything else, every change of one says who and when, and a program's key is found by every node in the country
// without asking this one.
//
// Who is trusted: whoever can alter the records of a prefix can give roles at that prefix and below it, never above.
// Passwords are kept as Argon2id hashes, recovery codes and invitations as SHA-256 of 128 random bits; the secret of
// one-time codes must be readable for checking them, and is, by the node's own operator only. Whoever holds the node's
// key can make sessions.
package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/trust"
)

// The types of the values that hold accounts, at index 1.
const (
	TypeUser  = "FUJIE.ACCOUNT"
	TypeApp   = "FUJIE.APP"
	TypeGroup = "FUJIE.GROUP"
)

// What suffixes begin with.
const (
	userName  = "User_"
	appName   = "App_"
	groupName = "Group_"
)

// Where values stand in the records.
const (
	indexPaper = 1
	indexAdmin = 100
	indexVList = 200
	indexKey   = 300 // the key
	indexRoll  = 301 // a program's second key, while one is replaced by another
	indexLogin = 301 // a user who logged in: no key stands there

	maxPrefixKeys = 10 // keys of a prefix record, from 300 on
)

const (
	keyTTL = 300 // seconds: rotation and revocation are known everywhere after that

	sessionLife = 24 * time.Hour
	inviteLife  = 7 * 24 * time.Hour
	stepLife    = 5 * time.Minute // between the steps of a log-in
	hostedFor   = 5 * time.Second // how long a prefix that went elsewhere may still be taken for one of ours
	// DefaultOverlap is how long a program's old key still holds beside its new one.
	DefaultOverlap = time.Hour
)

// Config says what the accounts stand on. Prefix, Registry and Key are needed.
type Config struct {
	Prefix   string            // of the node: whoever is operator here runs it
	Hosted   func() []string   // the other prefixes whose accounts are kept here; nil: none
	Registry document.Registry // the node's own, behind the checks that guard it from outside
	Key      *trust.PrivateKey // signs sessions; with another key all sessions are over

	// Origin is where people reach the node's pages: https://id.example.com. Log-in elsewhere comes back there, and
	// passkeys are bound to its host name; empty: neither is offered. Unless it begins with http:, as in a trial on one
	// machine, nobody logs in over a connection without TLS.
	Origin    string
	Providers []Provider
	HTTP      *http.Client // asks the providers; one with a limit of 10 s if nil

	// Keys is the public key at a reference, wherever it is kept: only what came over a chain of signatures that holds. With
	// it programs of other nodes can have sessions here; nil: only those of this node.
	Keys func(ctx context.Context, ref record.Ref) (trust.PublicKey, error)
	// DigestLogin lets programs of deployed systems log in by a digest of the password (LoginDigest). Danger: what is kept
	// for it, SHA-256 of the password without salt, is as good as the password there, and quickly guessed from; whoever
	// reads the store has both.
	DigestLogin bool

	Now  func() time.Time // time.Now if nil
	Rand io.Reader        // crypto/rand if nil
	Log  *slog.Logger
}

// Accounts is all accounts of one node. Make it with New.
type Accounts struct {
	cfg     Config
	prefix  string // folded
	public  trust.PublicKey
	mu      sync.Mutex
	places  map[string]*place // by folded prefix
	tries   tries
	pending pending
	hashing chan struct{} // bounds the memory that checking passwords takes
	decoy   string        // what the password of nobody is checked against
	parties parties
	keys    *webauthn.WebAuthn // nil: no passkeys
	randMu  sync.Mutex
}

// place is the accounts under one prefix.
type place struct {
	prefix string
	seen   time.Time // when it was last among those that the node answers for
	users  *document.Shelf[User]
	apps   *document.Shelf[App]
	groups *document.Shelf[Group]
}

// New reads the accounts of the node's prefix; those of a hosted prefix are read when one is first asked for. Errors:
// problem.BadValue for a configuration that cannot work, and those of the registry.
func New(ctx context.Context, cfg Config) (*Accounts, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 10 * time.Second, Transport: limited{http.DefaultTransport}}
	}
	if cfg.Key == nil {
		return nil, problem.New(problem.BadValue, "the accounts need the node's key to sign sessions with: make one with fujie key new", "账户需要节点密钥来签发会话：请用 fujie key new 生成")
	}
	a := &Accounts{cfg: cfg, prefix: handle.Fold(cfg.Prefix), public: cfg.Key.Public(), places: map[string]*place{}, hashing: make(chan struct{}, maxHashing)}
	a.tries.now, a.pending.now = cfg.Now, cfg.Now
	var err error
	if a.decoy, err = a.hash(ctx, a.code(16)); err != nil {
		return nil, err
	}
	if err := a.openProviders(); err != nil {
		return nil, err
	}
	if err := a.openPasskeys(); err != nil {
		return nil, err
	}
	if _, err := a.place(ctx, cfg.Prefix); err != nil {
		return nil, err
	}
	return a, nil
}

// place is the accounts under a prefix that this node keeps; problem.NotHere for others.
func (a *Accounts) place(ctx context.Context, prefix string) (*place, error) {
	name := handle.Fold(prefix)
	now := a.cfg.Now()
	a.mu.Lock()
	p := a.places[name]
	known := p != nil && (name == a.prefix || now.Sub(p.seen).Abs() < hostedFor)
	a.mu.Unlock()
	if known {
		return p, nil
	}
	if name != a.prefix && (a.cfg.Hosted == nil || !slices.ContainsFunc(a.cfg.Hosted(), func(h string) bool { return handle.Fold(h) == name })) {
		return nil, problem.New(problem.NotHere, "the accounts of %s are not kept here: ask the node that answers for it", "%s 的账户不在此处：请询问负责它的节点", prefix)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.places[name]; p != nil {
		p.seen = now
		return p, nil
	}
	p = &place{
		prefix: prefix, seen: now,
		// Readable by the node's own operator only: hashes are nobody else's business. AdminWrite alone lets the
		// prefix's administrators remove an account, not read it.
		users: &document.Shelf[User]{Registry: a.cfg.Registry, Prefix: prefix, Name: userName, Type: TypeUser, Index: indexPaper, Perm: record.AdminWrite, Also: userValues},
		apps:  &document.Shelf[App]{Registry: a.cfg.Registry, Prefix: prefix, Name: appName, Type: TypeApp, Index: indexPaper, Also: appValues},
		groups: &document.Shelf[Group]{Registry: a.cfg.Registry, Prefix: prefix, Name: groupName, Type: TypeGroup, Index: indexPaper,
			Also: groupValues},
	}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	a.places[name] = p
	return p, nil
}

func (p *place) open(ctx context.Context) error {
	if err := p.users.Open(ctx); err != nil {
		return err
	}
	if err := p.apps.Open(ctx); err != nil {
		return err
	}
	return p.groups.Open(ctx)
}

// kind is what sort of account an identifier names.
type kind string

// split takes an account's identifier apart: 88.118.1001/User_li into 88.118.1001, User_ and li. ok is false for
// anything else.
func split(name string) (prefix string, k kind, rest string, ok bool) {
	prefix, suffix, found := strings.Cut(name, "/")
	if !found {
		return "", "", "", false
	}
	for _, begin := range [...]string{userName, appName, groupName} {
		if len(suffix) > len(begin) && handle.Equal(suffix[:len(begin)], begin) {
			return prefix, kind(begin), suffix[len(begin):], true
		}
	}
	return "", "", "", false
}

var nameRule = regexp.MustCompile(`^[A-Za-z0-9\p{Han}][A-Za-z0-9\p{Han}._-]{0,63}$`)

// checkName says whether an account may be called name.
func checkName(name string) error {
	if !nameRule.MatchString(name) {
		return problem.New(problem.BadValue, "%.80q is no name for an account; take 1 to 64 letters A–Z, digits, Chinese characters, and . _ - behind the first",
			"%.80q 不能作账户名；应为 1 至 64 个字母、数字或汉字，首字符之后可用 . _ -", name)
	}
	return nil
}

// full is the identifier that somebody means by a user name: 88.118.1001/User_li, 88.118.1001/li, or li at this node.
func (a *Accounts) full(user string) (v id.ID, prefix string, ok bool) {
	user = strings.TrimSpace(user)
	prefix, name, cut := strings.Cut(user, "/")
	if !cut {
		prefix, name = a.cfg.Prefix, user
	}
	if len(name) > len(userName) && handle.Equal(name[:len(userName)], userName) {
		name = name[len(userName):]
	}
	if checkName(name) != nil {
		return v, "", false
	}
	v, err := id.ParseHandle(prefix + "/" + userName + name)
	return v, prefix, err == nil
}

// code is n random bytes as text that can be typed into an address.
func (a *Accounts) code(n int) string {
	return base64.RawURLEncoding.EncodeToString(a.random(n))
}

func (a *Accounts) random(n int) []byte {
	b := make([]byte, n)
	a.randMu.Lock()
	defer a.randMu.Unlock()
	if _, err := io.ReadFull(a.cfg.Rand, b); err != nil {
		panic("account: no randomness: " + err.Error()) // as crypto/rand itself does: nothing here is safe without
	}
	return b
}

// admin is the HS_ADMIN value of an account's record: the holder of the prefix key.
func admin(v id.ID) record.Value {
	prefix, _, _ := strings.Cut(v.String(), "/")
	data := record.AppendAdmin(nil, record.Admin{Perms: record.AllPerms, Ref: record.Ref{Index: indexKey, Name: id.PrefixRecord(prefix).String()}})
	return record.Value{Index: indexAdmin, Type: record.TypeAdmin, Data: data, Perm: record.AdminRead | record.AdminWrite, TTL: record.TTL{Seconds: keyTTL}}
}

// Follow keeps the accounts true to the feed, as on a mirror, and takes away keys whose time is over, until ctx ends,
// whose error it returns. It begins with the changes behind after.
func (a *Accounts) Follow(ctx context.Context, feed record.Feed, after uint64) error {
	node := record.Identity{Operator: true}
	for {
		waiting, stop := context.WithTimeout(ctx, time.Minute)
		entries, err := feed.Changes(waiting, node, after, 1000, false)
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && waiting.Err() == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
			continue
		}
		for i := range entries {
			after = entries[i].Seq
			if err := a.Heard(ctx, entries[i].ID); err != nil && ctx.Err() == nil {
				a.cfg.Log.Error("an account could not be read again", "id", entries[i].ID.String(), "err", err)
			}
		}
		a.Sweep(ctx)
	}
}

// Heard reads the account v again, if it is one; somebody wrote it past this room, as a mirror does.
func (a *Accounts) Heard(ctx context.Context, v id.ID) error {
	prefix, k, _, ok := split(v.String())
	if !ok {
		return nil
	}
	a.mu.Lock()
	p := a.places[handle.Fold(prefix)]
	a.mu.Unlock()
	if p == nil {
		return nil
	}
	switch k {
	case userName:
		return p.users.Reload(ctx, v)
	case appName:
		return p.apps.Reload(ctx, v)
	}
	return p.groups.Reload(ctx, v)
}

// Run takes away keys whose time is over, each minute until ctx ends, whose error it returns. Follow does so too.
func (a *Accounts) Run(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			a.Sweep(ctx)
		}
	}
}

// Sweep takes away programs' old keys whose time beside the new one is over.
func (a *Accounts) Sweep(ctx context.Context) {
	for _, p := range a.opened() {
		over, _ := p.apps.Page("", p.apps.Len()+1, func(_ id.ID, x App) bool { return len(x.live(a.cfg.Now())) != len(x.Keys) })
		for _, x := range over {
			_, err := p.apps.Change(ctx, record.Identity{Operator: true}, x.ID, func(x *App) error {
				x.Keys = x.live(a.cfg.Now())
				return nil
			})
			if err != nil && !problem.Is(err, problem.ReadOnly) && ctx.Err() == nil {
				a.cfg.Log.Error("an old key could not be taken away", "app", x.ID.String(), "err", err)
			}
		}
	}
}
