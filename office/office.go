// Package office is the registration office of a node: organisations apply for prefixes below its own, reviewers vet
// them, and whoever is approved has a prefix that resolves seconds later. It suspends, renews and revokes prefixes,
// keeps the records of hosted enterprises 托管, points to the nodes of self-hosted ones 自建, and moves a prefix from one to
// the other while it goes on resolving.
//
// Every application is a record, 88.118/Apply_000001, with all that ever happened to it: who, when, from which state to which,
// why, each step signed by the office's key and naming the step before it. The organisations that have prefixes are
// records too, 88.118/Org_<certificate number>. An applicant needs no account: the application says a public key, which
// stands at index 300 of its record; so the applicant is 300:88.118/Apply_000001 and proves it as everybody proves
// their identity. When the prefix is self-hosted, that key becomes the prefix's.
//
// What is decided is written down before it is done, and done by steps that may be repeated, so that a crash at any moment
// leaves no prefix half delegated: Run finishes what is open.
//
// Who is trusted: the holder of the office's key (the prefix key of the node) can delegate to whom he likes; that he
// did so stands in the ledger of the node for everybody to see.
package office

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/trust"
)

// Types of the values that are the office's own.
const (
	TypeApplication  = "FUJIE.APPLICATION"  // a whole application as JSON; for the office only
	TypeOrganisation = "FUJIE.ORGANISATION" // a whole organisation as JSON; for the office only
	TypeStatus       = record.TypeStatus    // in a prefix record: {"state":"suspended","since":…}
	indexPaper       = 1
	indexFace        = 2 // what everybody may read
	indexKey         = 300
	indexHostedKey   = 310 // the administrator's key in the delegation of a hosted prefix
)

// Config says whose office it is and what it works with. Prefix, Registry and Key are needed.
type Config struct {
	Prefix string // under which it delegates: 88.118
	// Registry is the node's own, behind every check that guards it from outside.
	Registry document.Registry
	// Feed of the same registry; needed to move hosted prefixes away.
	Feed record.Feed
	// Key is the prefix's key: it signs what the office decides, and answers of hosted prefixes.
	Key *trust.PrivateKey
	// Site is where the records of hosted prefixes are: the node's own site. Nil: no prefix can be hosted here.
	Site func() *record.Site
	// Host makes the node answer for a prefix, or stop to. Nil: no prefix can be hosted here.
	Host func(ctx context.Context, prefix string, on bool) error
	// Check resolves the prefix record of prefix as a stranger would, past every cache of this node. Nil: it is not measured.
	Check func(ctx context.Context, prefix string) error
	// Push opens the node at a site, to which the records of a hosted prefix move, with the office's key as that of user. Nil: none can move away.
	Push func(ctx context.Context, site *record.Site, user record.Ref, key *trust.PrivateKey) (Target, error)

	Term       time.Duration // how long a prefix is given for; 3 years if 0
	Quarantine time.Duration // how long a revoked prefix is nobody's; 1 year if 0
	StaleAfter time.Duration // how long an application that nobody submits is kept; 30 days if 0
	TTL        uint32        // of delegations in seconds: how soon a suspension is seen by all; 3600 if 0
	Reserved   []string      // labels that nobody gets: "0", "88", or ranges "1-99"
	MaxOpen    int           // undecided applications at once; 10,000 if 0
	MaxOpenKey int           // of those with one key; 5 if 0

	Now func() time.Time // time.Now if nil
	Log *slog.Logger     // nowhere if nil
}

// Target is where records of a prefix are moved to.
type Target interface {
	record.Resolver
	record.Registrar
	record.Lister
}

// Office is one office. Make it with New, start it with Run.
type Office struct {
	cfg  Config
	apps *document.Shelf[Application]
	orgs *document.Shelf[Holder]

	// claiming is held while a prefix is claimed: from the look whether it is free to the write that says so.
	claiming sync.Mutex
	// working says which applications somebody works on, so that a task is done by one at a time.
	working sync.Map

	moves sync.WaitGroup // of those that Run began
	wake  chan struct{}
	gates gates
}

// Holder is an organisation that has, or had, prefixes.
type Holder struct {
	Organisation
	Prefixes []string  `json:"prefixes"`
	Since    time.Time `json:"since"`
	Changed  time.Time `json:"changed"`
}

// New opens the office: it reads its papers from the registry.
func New(ctx context.Context, cfg Config) (*Office, error) {
	cfg.Prefix = handle.Fold(cfg.Prefix)
	if cfg.Key == nil || cfg.Registry == nil || cfg.Prefix == "" {
		return nil, problem.New(problem.BadRequest, "an office needs a prefix, a registry and a key", "登记机构须有前缀、登记库与密钥")
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	const day = 24 * time.Hour
	def(&cfg.Term, 3*365*day)
	def(&cfg.Quarantine, 365*day)
	def(&cfg.StaleAfter, 30*day)
	if cfg.TTL == 0 {
		cfg.TTL = 3600
	}
	if cfg.MaxOpen <= 0 {
		cfg.MaxOpen = 10_000
	}
	if cfg.MaxOpenKey <= 0 {
		cfg.MaxOpenKey = 5
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	o := &Office{cfg: cfg, wake: make(chan struct{}, 1)}
	o.apps = &document.Shelf[Application]{Registry: cfg.Registry, Prefix: cfg.Prefix, Name: "Apply_", Type: TypeApplication, Index: indexPaper, Also: o.applicationFace}
	o.orgs = &document.Shelf[Holder]{Registry: cfg.Registry, Prefix: cfg.Prefix, Name: "Org_", Type: TypeOrganisation, Index: indexPaper, Also: holderFace}
	for _, open := range []func(context.Context) error{o.apps.Open, o.orgs.Open} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	o.gates.restore(o)
	return o, nil
}

// Shelves are the office's papers, for document.Follow.
func (o *Office) Shelves() (applications *document.Shelf[Application], organisations *document.Shelf[Holder]) {
	return o.apps, o.orgs
}

// applicationFace is what stands in an application's record for everybody: the key by which its applicant proves who
// they are. What is applied for, and by whom, is not public.
func (o *Office) applicationFace(v id.ID, a Application) []record.Value {
	switch a.State {
	case Withdrawn, Revoked:
		return nil
	}
	if !strings.HasSuffix(handle.Fold(a.Applicant), handle.Fold(":"+v.String())) {
		return nil // an account applied; the key is the prefix's only
	}
	return []record.Value{{Index: indexKey, Type: record.TypePubKey, Data: a.Key, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 300}}}
}

// holderFace is the name of an organisation and its prefixes: who stands behind a prefix is for everybody to know.
func holderFace(_ id.ID, h Holder) []record.Value {
	b, err := json.Marshal(map[string]any{"orgName": h.Name, "prefixes": h.Prefixes})
	if err != nil {
		return nil
	}
	return []record.Value{{Index: indexFace, Type: "FUJIE.HOLDER", Data: b, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 3600}}}
}

// ref is where the office's key stands.
func (o *Office) ref() record.Ref {
	return record.Ref{Index: indexKey, Name: id.PrefixRecord(o.cfg.Prefix).String()}
}

// step notes in a what happens to it, signed.
func (o *Office) step(v id.ID, a *Application, by, what string, to State, why string) error {
	now := o.cfg.Now().UTC().Truncate(time.Millisecond)
	c := Claims{Issuer: o.ref().String(), Subject: v.String(), Prefix: a.Prefix, Number: len(a.Events) + 1, At: now.Unix(), By: by, What: what, From: a.State, To: to, Why: why}
	if n := len(a.Events); n > 0 {
		h := sha256.Sum256([]byte(a.Events[n-1].JWS))
		c.Before = b64url.EncodeToString(h[:])
	}
	limit := maxEvents
	if what == "correct" || what == "submit" {
		limit = maxEvents / 2 // the rest is for those who decide
	}
	if len(a.Events) >= limit {
		return problem.New(problem.TooLarge, "%s was changed %d times; withdraw it and apply anew", "%s 已变更 %d 次；请撤回后重新申请", v, limit)
	}
	jws, err := trust.SignStatement(o.cfg.Key, c)
	if err != nil {
		return err
	}
	a.Events = append(a.Events, Event{At: now, By: by, What: what, From: a.State, To: to, Why: why, JWS: string(jws)})
	a.State = to
	return nil
}

// maxEvents bounds what one application can grow to; a prefix that is renewed each year has room for a lifetime.
const maxEvents = 100

// VerifyEvents checks the events of an application against the office's key: each signature, and that none is missing
// between them. Errors: problem.Bogus.
func VerifyEvents(v id.ID, events []Event, key trust.PublicKey) error {
	before := ""
	for i, e := range events {
		b, err := trust.OpenStatement([]byte(e.JWS), key)
		if err != nil {
			return err
		}
		var c Claims
		if err := json.Unmarshal(b, &c); err != nil {
			return problem.Wrap(err, problem.Bogus, "event %d of %s cannot be read", "%[2]s 的第 %[1]d 个事件无法读取", i+1, v)
		}
		if !handle.Equal(c.Subject, v.String()) || c.Number != i+1 || c.Before != before || c.From != e.From || c.To != e.To || c.By != e.By || c.Why != e.Why || c.What != e.What || c.At != e.At.Unix() {
			return problem.New(problem.Bogus, "event %d of %s is not what was signed", "%[2]s 的第 %[1]d 个事件与所签内容不符", i+1, v)
		}
		h := sha256.Sum256([]byte(e.JWS))
		before = b64url.EncodeToString(h[:])
	}
	return nil
}

// SignedForm is how an applicant without an account sends a form: the claims of a JWS by the key that the form names, so that
// nobody applies in the name of another's key, or changes what was applied for.
type SignedForm struct {
	Audience string `json:"aud"` // the office's prefix
	Issued   int64  `json:"iat"`
	Form     Form   `json:"form"`
}

// signedLife is how long such a form is taken.
const signedLife = 15 * time.Minute

// SignForm signs f for the office at prefix.
func SignForm(f *Form, prefix string, key *trust.PrivateKey, now time.Time) (string, error) {
	b, err := trust.SignStatement(key, SignedForm{Audience: handle.Fold(prefix), Issued: now.Unix(), Form: *f})
	return string(b), err
}

// openForm checks a signed form. The key that it is checked with is the one that it names: what the signature shows is
// that its holder wants this.
func (o *Office) openForm(signed string) (*Form, error) {
	bad := func(err error) (*Form, error) {
		return nil, problem.Wrap(err, problem.BadCredential, "the signed application cannot be read: it is a compact JWS of {aud, iat, form}", "已签名的申请无法读取：应为 {aud, iat, form} 的紧凑 JWS")
	}
	_, rest, _ := strings.Cut(signed, ".")
	payload, _, _ := strings.Cut(rest, ".")
	b, err := b64url.DecodeString(payload)
	if err != nil || len(signed) > maxForm {
		return bad(err)
	}
	var c SignedForm
	if err := json.Unmarshal(b, &c); err != nil {
		return bad(err)
	}
	key, err := trust.ParsePublicAny(c.Form.Key)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadValue, "the application names no public key", "申请未给出公钥")
	}
	if _, err := trust.OpenStatement([]byte(signed), key); err != nil {
		return nil, problem.Wrap(err, problem.AuthFailed, "the application is not signed by the key that it names", "申请未由其所列公钥对应的私钥签名")
	}
	age := o.cfg.Now().Sub(time.Unix(c.Issued, 0))
	switch {
	case c.Audience != o.cfg.Prefix:
		return nil, problem.New(problem.AuthFailed, "the application is signed for the office of %.64q, this one is that of %s", "申请是签给 %.64q 的登记机构的，本机构为 %s", c.Audience, o.cfg.Prefix)
	case age > signedLife || age < -signedLife:
		return nil, problem.New(problem.AuthFailed, "the application was signed %s ago by this clock: set yours and sign it again", "按本机时钟，申请签名于 %s 前：请校准时钟并重新签名", age.Round(time.Second))
	}
	return &c.Form, nil
}

// maxForm is how long a signed form may be.
const maxForm = 128 << 10

// who is how a caller stands in events.
func who(c api.Caller) string {
	if c.Operator && c.Ref.IsZero() {
		return "operator"
	}
	return c.Ref.String()
}

// number is the suffix of application n.
func number(n int) string { return fmt.Sprintf("%06d", n) }
