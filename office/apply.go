package office

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/trust"
)

// Paper is an application with its identifier.
type Paper = document.Paper[Application]

// check reads a form: the folded prefix and the key in it, or every fault. complete: it is to be decided on.
func (o *Office) check(f *Form, complete bool) (trust.PublicKey, error) {
	var faults Faults
	o.checkPrefix(&faults, f.Prefix)
	if f.Kind != SelfHosted && f.Kind != Hosted {
		faults.add("kind", "choice", "it is self-hosted or hosted", "应为 self-hosted 或 hosted")
	}
	if f.Kind == Hosted && (o.cfg.Host == nil || o.cfg.Site == nil) {
		faults.add("kind", "choice", "this node hosts nobody; apply as self-hosted", "本节点不提供托管；请按自建申请")
	}
	f.Organisation.check(&faults)
	faults.text("note", f.Note, maxReason, false)
	key, err := trust.ParsePublicAny(f.Key)
	if err != nil || len(f.Key) > 8192 {
		faults.add("key", "shape", "it is no public key: base64 of a PEM, JWK or HS_PUBKEY", "不是公钥：应为 PEM、JWK 或 HS_PUBKEY 的 base64")
	} else {
		f.Key = key.Data()
	}
	if b, err := json.Marshal(f); err != nil || len(b) > maxForm {
		faults.add("form", "length", "it is over 128 KiB", "表单超过 128 KiB")
	}
	if len(f.Sites) > 10 {
		faults.add("sites", "length", "there are more than 10", "超过 10 个")
		f.Sites = nil
	}
	primary := 0
	for i := range f.Sites {
		if _, err := f.Sites[i].Site(); err != nil {
			faults.add("sites["+strconv.Itoa(i)+"]", "shape", problem.Say(err, problem.English), problem.Say(err, problem.Chinese))
		}
		if f.Sites[i].Primary {
			primary++
		}
	}
	if complete && f.Kind == SelfHosted {
		switch {
		case len(f.Sites) == 0:
			faults.add("sites", "required", "a self-hosted prefix needs a site: where its node answers", "自建前缀须给出站点：其节点的服务地址")
		case primary != 1:
			faults.add("sites", "primary", "one site is the primary", "应有且仅有一个主站点")
		}
	}
	if len(faults) > 0 {
		return key, faults
	}
	f.Prefix = handle.Fold(f.Prefix)
	return key, nil
}

// Apply opens an application, and submits it unless draft. It is the caller's when they have an account, else the
// holder's of the form's key. Errors: Faults (problem.BadValue); problem.Exists when the prefix is somebody's, or asked for by another;
// problem.Busy when there are too many open applications.
func (o *Office) Apply(ctx context.Context, c api.Caller, f Form, draft bool) (Paper, error) {
	key, err := o.check(&f, !draft)
	if err != nil {
		return Paper{}, err
	}
	o.claiming.Lock()
	defer o.claiming.Unlock()
	if err := o.crowded(key, c); err != nil {
		return Paper{}, err
	}
	if err := o.free(ctx, f.Prefix, id.ID{}); err != nil {
		return Paper{}, err
	}
	v, err := o.next()
	if err != nil {
		return Paper{}, err
	}
	a := Application{Form: f, State: Draft, Applicant: record.Ref{Index: indexKey, Name: v.String()}.String()}
	if !c.IsAnonymous() {
		a.Applicant = who(c)
	}
	if err := o.step(v, &a, a.Applicant, "apply", Draft, f.Note); err != nil {
		return Paper{}, err
	}
	if !draft {
		a.Warnings = o.warnings(v, &f, key)
		if err := o.step(v, &a, a.Applicant, "submit", Submitted, ""); err != nil {
			return Paper{}, err
		}
	}
	by, _ := record.ParseRef(a.Applicant)
	if err := o.apps.Create(ctx, record.Identity{Ref: by}, v, a); err != nil {
		return Paper{}, err
	}
	return Paper{ID: v, Paper: a}, nil
}

// next is the identifier of the next application.
func (o *Office) next() (id.ID, error) {
	n := 0
	all, _ := o.apps.Page("", o.apps.Len()+1, nil)
	for _, p := range all {
		_, s, _ := strings.Cut(p.ID.Suffix(), "_")
		if i, err := strconv.Atoi(s); err == nil {
			n = max(n, i)
		}
	}
	return o.apps.ID(number(n + 1))
}

// crowded keeps one applicant, or a crowd, from filling the office.
func (o *Office) crowded(key trust.PublicKey, c api.Caller) error {
	open, own := 0, 0
	all, _ := o.apps.Page("", o.apps.Len()+1, func(_ id.ID, a Application) bool {
		return a.State == Draft || a.State == Submitted || a.State == InReview
	})
	for _, p := range all {
		open++
		if bytes.Equal(p.Paper.Key, key.Data()) {
			own++
		}
	}
	switch {
	case c.Has(o.cfg.Prefix, api.Reviewer):
		return nil
	case own >= o.cfg.MaxOpenKey:
		return problem.New(problem.Busy, "%d applications with this key are not decided yet; withdraw one, or wait", "该密钥已有 %d 件申请未审结；请撤回其一或等待", own)
	case open >= o.cfg.MaxOpen:
		return problem.New(problem.Busy, "%d applications wait to be decided; apply again later", "已有 %d 件申请待审；请稍后再申请", open)
	}
	return nil
}

// free is nil when application own may have prefix: nobody else claims it, it is not delegated already, and it is not in quarantine.
// claiming is held.
func (o *Office) free(ctx context.Context, prefix string, own id.ID) error {
	now := o.cfg.Now()
	taken := problem.New(problem.Exists, "the prefix %s is taken, or somebody applied for it before; propose another one", "前缀 %s 已被占用或已有人先申请；请另行提出", prefix)
	if p, ok := o.apps.Find(func(v id.ID, a Application) bool {
		return v != own && handle.Equal(a.Prefix, prefix) && (a.State.claims() || a.State == Revoked && now.Before(a.FreeAgain))
	}); ok {
		if p.Paper.State == Revoked {
			return problem.New(problem.Exists, "the prefix %s was revoked and is nobody's until %s; propose another one", "前缀 %s 已被注销，%s 之前不再发放；请另行提出", prefix, p.Paper.FreeAgain.Format(time.DateOnly))
		}
		return taken
	}
	switch _, err := o.cfg.Registry.Resolve(ctx, record.Query{ID: id.PrefixRecord(prefix), By: operator, NoReferral: true}); {
	case problem.Is(err, problem.NotFound):
		return nil
	case err != nil && !problem.Is(err, problem.NoValues):
		return err
	}
	return taken
}

var (
	operator = record.Identity{Operator: true}
	noOne    record.Identity
)

// Get is an application that the caller may see: their own, or any for those who work here. Errors: problem.NotFound, also for who may not see it.
func (o *Office) Get(c api.Caller, v id.ID) (Paper, error) {
	a, err := o.apps.Get(v)
	if err != nil {
		return Paper{}, err
	}
	if !o.maySee(c, v, &a) {
		return Paper{}, problem.New(problem.NotFound, "%s is not here: check its spelling, or list what there is", "此处没有 %s：请检查拼写，或列出已有的", v)
	}
	return Paper{ID: v, Paper: a}, nil
}

func (o *Office) maySee(c api.Caller, v id.ID, a *Application) bool {
	return c.Has(o.cfg.Prefix, api.Reviewer, api.Auditor, api.Regulator) || o.owns(c, v, a)
}

// owns reports whether the application is the caller's: who applied, who holds the prefix's key, or who manages the prefix.
func (o *Office) owns(c api.Caller, v id.ID, a *Application) bool {
	if c.Operator {
		return true
	}
	if c.IsAnonymous() {
		return false
	}
	if ref, err := record.ParseRef(a.Applicant); err == nil && ref.Same(c.Ref) {
		return true
	}
	if a.State == Active || a.State == Suspended {
		own := id.PrefixRecord(a.Prefix).String()
		if handle.Equal(c.Ref.Name, own) && (c.Ref.Index == indexKey && a.Kind == SelfHosted || c.Ref.Index == indexHostedKey && a.Kind == Hosted) {
			return true
		}
		return c.Has(a.Prefix, api.EnterpriseAdmin)
	}
	return false
}

// List is a page of the applications that the caller may see, those in the states only (none: all).
func (o *Office) List(c api.Caller, after string, limit int, states []State, prefix string) ([]Paper, string) {
	return o.apps.Page(after, limit, func(v id.ID, a Application) bool {
		return (len(states) == 0 || slices.Contains(states, a.State)) && (prefix == "" || handle.Equal(prefix, a.Prefix)) && o.maySee(c, v, &a)
	})
}

// wrongState is the refusal of an act that does not fit an application's state.
func wrongState(v id.ID, a *Application) error {
	if a.Task != nil {
		return problem.New(problem.Busy, "%s is being worked on (%s); ask again in a moment", "%s 正在处理（%s）；请稍后再试", v, a.Task.What)
	}
	return problem.New(problem.Conflict, "%s is %s; this cannot be done to it now", "%s 处于 %s 状态；当前不能执行此操作", v, a.State)
}

// maxReason is how long a reason may be, in characters.
const maxReason = 500

// reason checks the text that goes into an event.
func reason(why string, need bool) error {
	var f Faults
	f.text("reason", why, maxReason, need)
	if !utf8.ValidString(why) || len(f) > 0 {
		return f
	}
	return nil
}

// change does one step to an application that the caller may do it to.
func (o *Office) change(ctx context.Context, c api.Caller, v id.ID, ifMatch string, f func(a *Application) error) (Paper, error) {
	a, err := o.apps.Change(ctx, c.Identity, v, func(a *Application) error {
		if err := api.Match(ifMatch, o.View(c, Paper{ID: v, Paper: *a})); err != nil {
			return err
		}
		return f(a)
	})
	return Paper{ID: v, Paper: a}, err
}

// Correct replaces the form of an application that is a draft, submitted, or was refused; submitted, its claim moves to
// the new prefix.
func (o *Office) Correct(ctx context.Context, c api.Caller, v id.ID, f Form, ifMatch string) (Paper, error) {
	if p, err := o.Get(c, v); err != nil {
		return p, err
	} else if !o.owns(c, v, &p.Paper) {
		return p, o.notYours(v)
	}
	o.claiming.Lock()
	defer o.claiming.Unlock()
	return o.change(ctx, c, v, ifMatch, func(a *Application) error {
		if a.Task != nil || a.State != Draft && a.State != Submitted && a.State != Refused {
			return wrongState(v, a)
		}
		if len(f.Key) == 0 {
			f.Key = a.Key
		}
		key, err := o.check(&f, a.State == Submitted)
		if err != nil {
			return err
		}
		if o.byKey(v, a) && !bytes.Equal(f.Key, a.Key) {
			return problem.New(problem.Forbidden, "the application is that of its key; with another key, withdraw it and apply anew", "该申请属于其密钥；更换密钥请撤回后重新申请")
		}
		if err := o.free(ctx, f.Prefix, v); err != nil {
			return err
		}
		a.Form = f
		if a.State == Submitted {
			a.Warnings = o.warnings(v, &f, key)
		}
		return o.step(v, a, who(c), "correct", a.State, f.Note)
	})
}

// byKey reports whether the applicant is the application's own key.
func (o *Office) byKey(v id.ID, a *Application) bool {
	ref, err := record.ParseRef(a.Applicant)
	return err == nil && handle.Equal(ref.Name, v.String())
}

func (o *Office) notYours(v id.ID) error {
	return problem.New(problem.Forbidden, "%s is somebody else's application; only they do this", "%s 是他人的申请；只有申请者可执行此操作", v)
}

// Submit claims the prefix of a draft, or of an application that was refused. The first who submits has the claim. Errors: problem.Exists.
func (o *Office) Submit(ctx context.Context, c api.Caller, v id.ID, ifMatch string) (Paper, error) {
	if p, err := o.Get(c, v); err != nil {
		return p, err
	} else if !o.owns(c, v, &p.Paper) {
		return p, o.notYours(v)
	}
	o.claiming.Lock()
	defer o.claiming.Unlock()
	return o.change(ctx, c, v, ifMatch, func(a *Application) error {
		if a.State == Submitted {
			return document.ErrNoChange
		}
		if a.State != Draft && a.State != Refused {
			return wrongState(v, a)
		}
		key, err := o.check(&a.Form, true)
		if err != nil {
			return err
		}
		if err := o.free(ctx, a.Prefix, v); err != nil {
			return err
		}
		a.Warnings = o.warnings(v, &a.Form, key)
		return o.step(v, a, who(c), "submit", Submitted, "")
	})
}

// Withdraw gives up an application and its claim.
func (o *Office) Withdraw(ctx context.Context, c api.Caller, v id.ID, why, ifMatch string) (Paper, error) {
	if p, err := o.Get(c, v); err != nil {
		return p, err
	} else if !o.owns(c, v, &p.Paper) {
		return p, o.notYours(v)
	}
	if err := reason(why, false); err != nil {
		return Paper{}, err
	}
	return o.change(ctx, c, v, ifMatch, func(a *Application) error {
		switch {
		case a.State == Withdrawn:
			return document.ErrNoChange
		case a.Task != nil || a.State != Draft && a.State != Submitted && a.State != InReview && a.State != Refused:
			return wrongState(v, a)
		}
		return o.step(v, a, who(c), "withdraw", Withdrawn, why)
	})
}

// reviewer is nil when the caller vets applications; else as if there were none for who may not see it.
func (o *Office) reviewer(c api.Caller, v id.ID) error {
	if _, err := o.Get(c, v); err != nil {
		if c.IsAnonymous() {
			return c.Need(o.cfg.Prefix, api.Reviewer)
		}
		return err
	}
	return c.Need(o.cfg.Prefix, api.Reviewer)
}

// Review takes an application into review: the applicant cannot change it any more.
func (o *Office) Review(ctx context.Context, c api.Caller, v id.ID, why, ifMatch string) (Paper, error) {
	if err := o.reviewer(c, v); err != nil {
		return Paper{}, err
	}
	if err := reason(why, false); err != nil {
		return Paper{}, err
	}
	return o.change(ctx, c, v, ifMatch, func(a *Application) error {
		if a.State != Submitted {
			return wrongState(v, a)
		}
		return o.step(v, a, who(c), "review", InReview, why)
	})
}

// Refuse refuses an application for a reason, which the applicant reads. The prefix is free again.
func (o *Office) Refuse(ctx context.Context, c api.Caller, v id.ID, why, ifMatch string) (Paper, error) {
	if err := o.reviewer(c, v); err != nil {
		return Paper{}, err
	}
	if err := reason(why, true); err != nil {
		return Paper{}, err
	}
	return o.change(ctx, c, v, ifMatch, func(a *Application) error {
		if a.Task != nil || a.State != Submitted && a.State != InReview {
			return wrongState(v, a)
		}
		a.Notices = notice(a.Notices, o.cfg.Now(), "the application was refused: "+why, "申请已被驳回："+why)
		return o.step(v, a, who(c), "refuse", Refused, why)
	})
}

func notice(list []Notice, at time.Time, en, zh string) []Notice {
	if len(list) >= 50 {
		list = list[1:]
	}
	return append(list, Notice{at.UTC().Truncate(time.Millisecond), en, zh})
}
