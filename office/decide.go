package office

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/trust"
)

// Approve decides for an application: its prefix is delegated at once. despite names the codes of the warnings that the reviewer has
// looked at; while one is missing, it is refused with problem.Conflict. The answer's timing says how soon it resolved, when
// that was seen within moments; else it is filled in later. An error after the decision (problem.Busy, Full, …) leaves it
// decided: Run goes on with it.
func (o *Office) Approve(ctx context.Context, c api.Caller, v id.ID, why string, despite []string, ifMatch string) (Paper, error) {
	if err := o.reviewer(c, v); err != nil {
		return Paper{}, err
	}
	if err := reason(why, false); err != nil {
		return Paper{}, err
	}
	p, err := o.approve(ctx, c, v, why, despite, ifMatch)
	if err != nil {
		return p, err
	}
	return o.finish(ctx, v)
}

func (o *Office) approve(ctx context.Context, c api.Caller, v id.ID, why string, despite []string, ifMatch string) (Paper, error) {
	o.claiming.Lock()
	defer o.claiming.Unlock()
	return o.change(ctx, c, v, ifMatch, func(a *Application) error {
		if (a.State == Approved || a.State == Active) && (a.Task == nil || a.Task.What == "approve") {
			return document.ErrNoChange
		}
		if a.Task != nil || a.State != Submitted && a.State != InReview {
			return wrongState(v, a)
		}
		if ref, err := record.ParseRef(a.Applicant); err == nil && ref.Same(c.Ref) && !c.Operator {
			return problem.New(problem.Forbidden, "nobody approves what they applied for; have another reviewer look at it", "申请人不能批准自己的申请；请由其他审核员处理")
		}
		key, err := o.check(&a.Form, true)
		if err != nil {
			return err
		}
		if err := o.free(ctx, a.Prefix, v); err != nil {
			return err
		}
		a.Warnings = o.warnings(v, &a.Form, key)
		var open []string
		for _, w := range a.Warnings {
			if !slices.Contains(despite, w.Code) && !slices.Contains(open, w.Code) {
				open = append(open, w.Code)
			}
		}
		if len(open) > 0 {
			return problem.New(problem.Conflict, "look at the warnings of %s first, and name those that you accept: %s", "请先查看 %s 的警示，并注明您接受的项目：%s", v, strings.Join(open, ", "))
		}
		if len(despite) > 0 && len(a.Warnings) > 0 {
			why = strings.TrimSpace(why + " [despite " + strings.Join(despite, ", ") + "]")
		}
		now := o.cfg.Now().UTC().Truncate(time.Millisecond)
		a.Task = &Task{What: "approve", By: who(c), Why: why, Since: now}
		a.Timing = Timing{Approved: now}
		a.Until = now.Add(o.cfg.Term)
		return o.step(v, a, who(c), "approve", Approved, why)
	})
}

// finish does an application's task now, and says what it is then.
func (o *Office) finish(ctx context.Context, v id.ID) (Paper, error) {
	err := o.perform(ctx, v)
	o.nudge()
	a, e := o.apps.Get(v)
	if err == nil {
		err = e
	}
	if err == nil && a.State == Active && a.Timing.Resolvable.IsZero() {
		// Mostly it resolves by now; then the answer can say so.
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		o.measure(short, v)
		a, err = o.apps.Get(v)
	}
	return Paper{ID: v, Paper: a}, err
}

// perform does the task that stands in an application, if there is one. Every step of it may have been done before.
func (o *Office) perform(ctx context.Context, v id.ID) error {
	if _, busy := o.working.LoadOrStore(v.String(), true); busy {
		return problem.New(problem.Busy, "%s is being worked on; ask again in a moment", "%s 正在处理；请稍后再试", v)
	}
	defer o.working.Delete(v.String())
	a, err := o.apps.Get(v)
	if err != nil || a.Task == nil {
		return err
	}
	switch a.Task.What {
	case "approve":
		err = o.doApprove(ctx, v, &a)
	case "suspend":
		err = o.doSuspend(ctx, v, &a)
	case "resume":
		err = o.doResume(ctx, v, &a)
	case "revoke":
		err = o.doRevoke(ctx, v, &a)
	case "move":
		err = o.doMove(ctx, v, &a)
	default:
		err = problem.New(problem.Unsupported, "%s waits for %q, which this version of the program does not know; use the one that wrote it", "%s 待执行 %q，本版本程序不支持；请使用写入它的版本", v, a.Task.What)
	}
	if err != nil && ctx.Err() == nil && !problem.Is(err, problem.ReadOnly) && a.Task.Error != problem.Say(err, problem.English) {
		o.cfg.Log.Warn("an application could not be finished yet", "application", v, "task", a.Task.What, "err", err)
		_, e := o.apps.Change(ctx, o.by(a.Task), v, func(a *Application) error {
			if a.Task == nil {
				return document.ErrNoChange
			}
			a.Task.Error = problem.Say(err, problem.English)
			return nil
		})
		if e != nil {
			o.cfg.Log.Warn("why an application could not be finished could not be noted", "application", v, "err", e)
		}
	}
	return err
}

// by is who decided a task, as it stands in Changes.
func (o *Office) by(t *Task) record.Identity {
	ref, err := record.ParseRef(t.By)
	if err != nil {
		return operator
	}
	return record.Identity{Ref: ref, Operator: true}
}

// done takes the task out, with the step that it was for.
func (o *Office) done(ctx context.Context, v id.ID, a *Application, what string, to State, f func(a *Application)) error {
	t := a.Task
	_, err := o.apps.Change(ctx, o.by(t), v, func(a *Application) error {
		if a.Task == nil || a.Task.What != t.What {
			return document.ErrNoChange
		}
		a.Task = nil
		if f != nil {
			f(a)
		}
		return o.step(v, a, t.By, what, to, t.Why)
	})
	return err
}

// delegation is the values of a's prefix record.
func (o *Office) delegation(a *Application) ([]record.Value, error) {
	d := registry.Delegation{Prefix: a.Prefix, TTL: o.cfg.TTL}
	own := id.PrefixRecord(a.Prefix).String()
	key, err := trust.ParsePublicAny(a.Key)
	if err != nil {
		return nil, err
	}
	if a.Kind == SelfHosted {
		d.Keys = []trust.PublicKey{key}
		for i := range a.Sites {
			s, err := a.Sites[i].Site()
			if err != nil {
				return nil, err
			}
			d.Sites = append(d.Sites, s)
		}
	} else {
		// The host signs; the enterprise administers with its own key.
		if o.cfg.Site == nil {
			return nil, noHosting()
		}
		d.Sites = []*record.Site{o.cfg.Site()}
		d.Keys = []trust.PublicKey{o.cfg.Key.Public()}
		d.Admins = []record.Admin{
			{Perms: record.AllPerms, Ref: record.Ref{Index: indexHostedKey, Name: own}},
		}
	}
	vs, err := d.Values()
	if err != nil {
		return nil, err
	}
	add := func(index uint32, typ string, data []byte) {
		vs = append(vs, record.Value{Index: index, Type: typ, Data: data, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: o.cfg.TTL}})
	}
	if a.Kind == Hosted {
		add(indexHostedKey, record.TypePubKey, key.Data())
	}
	add(500, "DESC", []byte(a.Organisation.Name))
	return vs, record.CheckAll(vs)
}

func noHosting() error {
	return problem.New(problem.Unsupported, "this node hosts no prefixes", "本节点不提供托管")
}

// write puts values into a's prefix record on behalf of by.
func (o *Office) write(ctx context.Context, by record.Identity, w record.Write) error {
	res, err := o.cfg.Registry.Write(ctx, by, []record.Write{w})
	if err != nil {
		return err
	}
	return res[0].Err
}

// stored is what stands in the prefix record of prefix; nil when there is none.
func (o *Office) stored(ctx context.Context, prefix string) ([]record.Value, error) {
	a, err := o.cfg.Registry.Resolve(ctx, record.Query{ID: id.PrefixRecord(prefix), By: operator, NoReferral: true})
	if problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues) {
		return nil, nil
	}
	return a.Values, err
}

// host makes the node answer for a hosted prefix, or stop; also for one that just moved away.
func (o *Office) host(ctx context.Context, a *Application, on bool) error {
	if a.Kind != Hosted && (on || !a.lingers()) {
		return nil
	}
	if o.cfg.Host == nil {
		return noHosting()
	}
	return o.cfg.Host(ctx, a.Prefix, on)
}

func (o *Office) doApprove(ctx context.Context, v id.ID, a *Application) error {
	by := o.by(a.Task)
	if err := o.host(ctx, a, true); err != nil {
		return err
	}
	if a.Kind == Hosted {
		// What an earlier holder of the prefix left must not become the new one's.
		have, err := o.stored(ctx, a.Prefix)
		if err == nil && have == nil {
			err = o.purge(ctx, a.Prefix, by)
		}
		if err != nil {
			return err
		}
	}
	vs, err := o.delegation(a)
	if err != nil {
		return err
	}
	if err := o.write(ctx, by, record.Write{Op: record.Create, ID: id.PrefixRecord(a.Prefix), Values: vs, Overwrite: true}); err != nil {
		return err
	}
	if err := o.hold(ctx, by, a, true); err != nil {
		return err
	}
	now := o.cfg.Now().UTC().Truncate(time.Millisecond)
	return o.done(ctx, v, a, "delegate", Active, func(a *Application) {
		a.Timing.Delegated = now
		a.Notices = notice(a.Notices, now, "the prefix "+a.Prefix+" is yours until "+a.Until.Format(time.DateOnly), "前缀 "+a.Prefix+" 已启用，有效期至 "+a.Until.Format(time.DateOnly))
	})
}

// purge deletes every record under a prefix that is kept here.
func (o *Office) purge(ctx context.Context, prefix string, by record.Identity) error {
	for {
		names, err := o.cfg.Registry.List(ctx, operator, prefix, "", 1000)
		if err != nil || len(names) == 0 {
			return err
		}
		writes := make([]record.Write, 0, len(names))
		for _, n := range names {
			v, err := id.ParseHandle(n)
			if err != nil {
				return err
			}
			writes = append(writes, record.Write{Op: record.Delete, ID: v})
		}
		res, err := o.cfg.Registry.Write(ctx, by, writes)
		if err != nil {
			return err
		}
		for i := range res {
			if res[i].Err != nil && !problem.Is(res[i].Err, problem.NotFound) {
				return res[i].Err
			}
		}
	}
}

// holder is the identifier of the organisation that applied.
func (o *Office) holder(org *Organisation) (id.ID, error) {
	return o.orgs.ID(strings.ToUpper(org.CrtCode))
}

// hold notes that a's organisation has its prefix, or has it no more.
func (o *Office) hold(ctx context.Context, by record.Identity, a *Application, has bool) error {
	v, err := o.holder(&a.Organisation)
	if err != nil {
		return err
	}
	now := o.cfg.Now().UTC().Truncate(time.Millisecond)
	change := func(h *Holder) error {
		at := slices.Index(h.Prefixes, a.Prefix)
		switch {
		case has && at < 0:
			h.Prefixes = append(h.Prefixes, a.Prefix)
			slices.Sort(h.Prefixes)
		case has:
		case at < 0:
			return document.ErrNoChange
		default:
			h.Prefixes = slices.Delete(h.Prefixes, at, at+1)
		}
		if has {
			h.Organisation = a.Organisation // as it was vetted last
		}
		h.Changed = now
		return nil
	}
	if _, err = o.orgs.Change(ctx, by, v, change); !problem.Is(err, problem.NotFound) || !has {
		if problem.Is(err, problem.NotFound) {
			return nil
		}
		return err
	}
	h := Holder{Since: now}
	if err := change(&h); err != nil {
		return err
	}
	return o.orgs.Create(ctx, by, v, h)
}

// decide notes a task, by whoever may decide on prefixes, and does it.
func (o *Office) decide(ctx context.Context, c api.Caller, v id.ID, what, why, ifMatch string, needWhy bool, ok func(a *Application) error) (Paper, error) {
	if _, err := o.Get(c, v); err != nil {
		return Paper{}, err
	}
	if err := c.Need(o.cfg.Prefix, api.Operator); err != nil {
		return Paper{}, err
	}
	if err := reason(why, needWhy); err != nil {
		return Paper{}, err
	}
	if p, err := o.plan(ctx, c, v, what, why, ifMatch, ok); err != nil {
		return p, err
	}
	return o.finish(ctx, v)
}

// plan notes a task.
func (o *Office) plan(ctx context.Context, c api.Caller, v id.ID, what, why, ifMatch string, ok func(a *Application) error) (Paper, error) {
	return o.change(ctx, c, v, ifMatch, func(a *Application) error {
		if a.Task != nil {
			if a.Task.What == what {
				return document.ErrNoChange // the same again, because the first answer was lost
			}
			return wrongState(v, a)
		}
		if err := ok(a); err != nil {
			return err
		}
		a.Task = &Task{What: what, By: who(c), Why: why, Since: o.cfg.Now().UTC().Truncate(time.Millisecond)}
		return nil
	})
}

// Suspend makes resolution of the prefix answer that it is suspended; the delegation is kept for Resume, and nothing is
// deleted. Caches know it after the delegation's TTL.
func (o *Office) Suspend(ctx context.Context, c api.Caller, v id.ID, why, ifMatch string) (Paper, error) {
	return o.decide(ctx, c, v, "suspend", why, ifMatch, true, func(a *Application) error {
		if a.State != Active {
			return wrongState(v, a)
		}
		return o.keep(ctx, a)
	})
}

// keep puts the delegation as it stands now, which its holder may have changed, into the paper.
func (o *Office) keep(ctx context.Context, a *Application) error {
	vs, err := o.stored(ctx, a.Prefix)
	if err != nil {
		return err
	}
	vs = slices.DeleteFunc(slices.Clone(vs), func(v record.Value) bool {
		return v.Type == record.TypeCert || v.Type == record.TypeSignature || v.Type == TypeStatus
	})
	a.Kept = record.AppendBlock(nil, vs)
	return nil
}

// Status is what a FUJIE.STATUS value says.
type Status struct {
	State State     `json:"state"`
	Since time.Time `json:"since"`
	EN    string    `json:"en"`
	ZH    string    `json:"zh"`
}

func (o *Office) doSuspend(ctx context.Context, v id.ID, a *Application) error {
	by := o.by(a.Task)
	st, err := json.Marshal(Status{State: Suspended, Since: a.Task.Since,
		EN: "the prefix " + a.Prefix + " is suspended; ask the office of " + o.cfg.Prefix,
		ZH: "前缀 " + a.Prefix + " 已停用；请咨询 " + o.cfg.Prefix + " 的登记机构"})
	if err != nil {
		return problem.Wrap(err, problem.Internal, "the status could not be written", "状态无法写出")
	}
	// No site, no key, no administrator: nobody answers for it, proves anything by it, or undoes this.
	vs := []record.Value{{Index: 1, Type: TypeStatus, Data: st, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: min(o.cfg.TTL, 300)}}}
	if err := o.write(ctx, by, record.Write{Op: record.Create, ID: id.PrefixRecord(a.Prefix), Values: vs, Overwrite: true}); err != nil {
		return err
	}
	if err := o.host(ctx, a, false); err != nil {
		return err
	}
	what := "suspend"
	if a.ByTerm {
		what = "expire"
	}
	why := a.Task.Why
	return o.done(ctx, v, a, what, Suspended, func(a *Application) {
		a.Notices = notice(a.Notices, o.cfg.Now(), "the prefix "+a.Prefix+" is suspended: "+why, "前缀 "+a.Prefix+" 已停用："+why)
	})
}

// Resume gives a suspended prefix back as it was.
func (o *Office) Resume(ctx context.Context, c api.Caller, v id.ID, why, ifMatch string) (Paper, error) {
	return o.decide(ctx, c, v, "resume", why, ifMatch, false, func(a *Application) error {
		if a.State != Suspended {
			return wrongState(v, a)
		}
		if a.ByTerm && !o.cfg.Now().Before(a.Until) {
			return problem.New(problem.Conflict, "the term of %s ended on %s; renew it", "%s 的有效期已于 %s 届满；请续期", a.Prefix, a.Until.Format(time.DateOnly))
		}
		return nil
	})
}

func (o *Office) doResume(ctx context.Context, v id.ID, a *Application) error {
	by := o.by(a.Task)
	if err := o.host(ctx, a, true); err != nil {
		return err
	}
	vs, rest, err := record.DecodeBlock(a.Kept)
	if err != nil || len(rest) > 0 || len(vs) == 0 {
		if vs, err = o.delegation(a); err != nil {
			return err
		}
	}
	if err := o.write(ctx, by, record.Write{Op: record.Create, ID: id.PrefixRecord(a.Prefix), Values: vs, Overwrite: true}); err != nil {
		return err
	}
	return o.done(ctx, v, a, "resume", Active, func(a *Application) {
		a.Kept, a.ByTerm = nil, false
		a.Notices = notice(a.Notices, o.cfg.Now(), "the prefix "+a.Prefix+" is in use again", "前缀 "+a.Prefix+" 已恢复启用")
	})
}

// Revoke takes a prefix back for good. What a hosted enterprise registered stays in the store until the prefix is given
// to somebody else, which is not before its quarantine is over.
func (o *Office) Revoke(ctx context.Context, c api.Caller, v id.ID, why, ifMatch string) (Paper, error) {
	return o.decide(ctx, c, v, "revoke", why, ifMatch, true, func(a *Application) error {
		if a.State != Active && a.State != Suspended {
			return wrongState(v, a)
		}
		return nil
	})
}

func (o *Office) doRevoke(ctx context.Context, v id.ID, a *Application) error {
	by := o.by(a.Task)
	err := o.write(ctx, by, record.Write{Op: record.Delete, ID: id.PrefixRecord(a.Prefix)})
	if err != nil && !problem.Is(err, problem.NotFound) {
		return err
	}
	if err := o.host(ctx, a, false); err != nil {
		return err
	}
	if err := o.hold(ctx, by, a, false); err != nil {
		return err
	}
	return o.done(ctx, v, a, "revoke", Revoked, func(a *Application) {
		a.Kept = nil
		a.FreeAgain = o.cfg.Now().UTC().Truncate(time.Second).Add(o.cfg.Quarantine)
		a.Notices = notice(a.Notices, o.cfg.Now(), "the prefix "+a.Prefix+" was revoked", "前缀 "+a.Prefix+" 已被注销")
	})
}

// Renew gives a prefix for another term (term 0: the office's). One that was suspended because its term was over is
// resumed.
func (o *Office) Renew(ctx context.Context, c api.Caller, v id.ID, term time.Duration, why, ifMatch string) (Paper, error) {
	if _, err := o.Get(c, v); err != nil {
		return Paper{}, err
	}
	if err := c.Need(o.cfg.Prefix, api.Operator, api.Reviewer); err != nil {
		return Paper{}, err
	}
	if err := reason(why, false); err != nil {
		return Paper{}, err
	}
	if term == 0 {
		term = o.cfg.Term
	}
	if term < 24*time.Hour || term > 20*366*24*time.Hour {
		return Paper{}, problem.New(problem.BadValue, "a term is from a day to twenty years", "期限应为 1 天至 20 年")
	}
	p, err := o.change(ctx, c, v, ifMatch, func(a *Application) error {
		if a.Task != nil || a.State != Active && a.State != Suspended {
			return wrongState(v, a)
		}
		now := o.cfg.Now().UTC().Truncate(time.Second)
		from := a.Until
		if from.Before(now) {
			from = now
		}
		if a.Until = from.Add(term); a.Until.After(now.Add(21 * 366 * 24 * time.Hour)) {
			return problem.New(problem.BadValue, "%s would be given until %s; that is too far away", "%s 的有效期将至 %s；过长", a.Prefix, a.Until.Format(time.DateOnly))
		}
		a.Reminded = 0
		a.Notices = notice(a.Notices, now, "the prefix "+a.Prefix+" is renewed until "+a.Until.Format(time.DateOnly), "前缀 "+a.Prefix+" 已续期至 "+a.Until.Format(time.DateOnly))
		if err := o.step(v, a, who(c), "renew", a.State, why); err != nil {
			return err
		}
		if a.ByTerm {
			a.Task = &Task{What: "resume", By: who(c), Why: "renewed", Since: now}
		}
		return nil
	})
	if err != nil || p.Paper.Task == nil {
		return p, err
	}
	return o.finish(ctx, v)
}

// measure asks from outside whether an approved prefix resolves, once, and notes the first time that it does.
func (o *Office) measure(ctx context.Context, v id.ID) bool {
	a, err := o.apps.Get(v)
	if err != nil || o.cfg.Check == nil || a.State != Active || !a.Timing.Resolvable.IsZero() {
		return true
	}
	err = o.cfg.Check(ctx, a.Prefix)
	if err != nil {
		return false
	}
	now := o.cfg.Now().UTC().Truncate(time.Millisecond)
	_, err = o.apps.Change(ctx, operator, v, func(a *Application) error {
		if !a.Timing.Resolvable.IsZero() || a.State != Active {
			return document.ErrNoChange
		}
		a.Timing.Resolvable = now
		a.Timing.Seconds = now.Sub(a.Timing.Approved).Seconds()
		return nil
	})
	return err == nil
}

// nudge wakes Run.
func (o *Office) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// reminders are given so long before the end of a term.
var reminders = [...]time.Duration{30 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour}

// Run finishes what a crash or a failure left open, measures how soon approved prefixes resolve, reminds of terms that end,
// and suspends what is over. It runs until ctx ends, whose error it returns.
func (o *Office) Run(ctx context.Context) error {
	defer o.moves.Wait()
	wait := time.Duration(0)
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-o.wake:
			t.Stop()
			wait = 0
		case <-t.C:
		}
		switch open := o.round(ctx); {
		case !open:
			wait = time.Minute
		case wait >= time.Minute:
			wait = 250 * time.Millisecond
		default:
			wait = min(max(2*wait, 250*time.Millisecond), 30*time.Second)
		}
	}
}

// round looks at every application once; open says that something is to be tried again soon.
func (o *Office) round(ctx context.Context) (open bool) {
	now := o.cfg.Now()
	o.gates.restore(o) // on a site that took over from another, nobody closed them yet
	all, _ := o.apps.Page("", o.apps.Len()+1, nil)
	for _, p := range all {
		if ctx.Err() != nil {
			return false
		}
		a := &p.Paper
		switch {
		case a.Task != nil && a.Task.Move != nil && a.Task.Move.Stage == stageReceiving:
			// Its owner copies, and says when.
		case a.Task != nil && a.Task.What == "move":
			// It may take long; the others do not wait for it.
			o.moves.Go(func() { o.perform(ctx, p.ID) })
			open = true
		case a.Task != nil:
			o.perform(ctx, p.ID) // and if that went well, the next round measures
			open = true
		case a.lingers() && !now.Before(a.LastMoved.Linger):
			if o.leave(ctx, p.ID) != nil {
				open = true
			}
		case a.State == Active && !a.Until.IsZero() && !now.Before(a.Until):
			o.expire(ctx, p.ID)
			open = true
		case a.State == Active && a.Reminded < len(reminders) && now.After(a.Until.Add(-reminders[a.Reminded])):
			o.remind(ctx, p.ID)
			open = true
		case (a.State == Draft || a.State == Refused) && now.Sub(a.Changed()) > o.cfg.StaleAfter:
			if err := o.apps.Remove(ctx, operator, p.ID); err != nil {
				open = true
			}
		}
		if a.State == Active && a.Task == nil && a.Timing.Resolvable.IsZero() && o.cfg.Check != nil {
			short, cancel := context.WithTimeout(ctx, 5*time.Second)
			if !o.measure(short, p.ID) {
				open = true
			}
			cancel()
		}
	}
	return open
}

func (o *Office) remind(ctx context.Context, v id.ID) {
	_, err := o.apps.Change(ctx, operator, v, func(a *Application) error {
		now := o.cfg.Now()
		n := a.Reminded
		for n < len(reminders) && now.After(a.Until.Add(-reminders[n])) {
			n++
		}
		if n == a.Reminded {
			return document.ErrNoChange
		}
		a.Reminded = n
		a.Notices = notice(a.Notices, now, "the term of "+a.Prefix+" ends on "+a.Until.Format(time.DateOnly)+"; renew it before",
			"前缀 "+a.Prefix+" 的有效期将于 "+a.Until.Format(time.DateOnly)+" 届满；请提前续期")
		return nil
	})
	if err != nil && !problem.Is(err, problem.ReadOnly) {
		o.cfg.Log.Warn("a reminder could not be given", "application", v, "err", err)
	}
}

func (o *Office) expire(ctx context.Context, v id.ID) {
	_, err := o.plan(ctx, api.Caller{Identity: operator}, v, "suspend", "the term is over 有效期届满", "", func(a *Application) error {
		if a.State != Active || o.cfg.Now().Before(a.Until) {
			return document.ErrNoChange
		}
		a.ByTerm = true
		return o.keep(ctx, a)
	})
	if err == nil {
		err = o.perform(ctx, v)
	}
	if err != nil && !problem.Is(err, problem.ReadOnly) {
		o.cfg.Log.Warn("a prefix whose term is over could not be suspended yet", "application", v, "err", err)
	}
}

// Prefix finds the application that won a prefix, or claims it. Errors: problem.NotFound.
func (o *Office) Prefix(c api.Caller, prefix string) (Paper, error) {
	p, ok := o.apps.Find(func(v id.ID, a Application) bool {
		return handle.Equal(a.Prefix, prefix) && a.State.claims() && o.maySee(c, v, &a)
	})
	if !ok {
		return p, problem.New(problem.NotFound, "no application for %.64q is here, or none of yours", "此处没有对 %.64q 的申请，或不是您的", prefix)
	}
	return p, nil
}
