package office

import (
	"context"
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// A hosted prefix goes to its own node (To self-hosted) like this: the new node answers for the prefix already and lists the
// office, 300:0.NA/88.118, among its administrators; the office copies everything there, refuses writes for a moment, copies the rest,
// and changes the delegation. It goes on answering for the delegation's TTL, so that whoever still knows the old
// delegation is answered, and then stops.
//
// The other way (To hosted) the owner copies: begin makes the office's node answer for the prefix and take what the owner
// writes; the owner copies with Transfer, and says finish when its node is frozen and everything is here.
//
// Stages: copying → frozen → switching → switched → done (and receiving → switching for the other way). Each stands in
// the paper before what it says is done.
const (
	stageCopying   = "copying"
	stageFrozen    = "frozen"
	stageReceiving = "receiving"
	stageSwitching = "switching"
	stageSwitched  = "switched"
	stageDone      = "done"
)

// MoveRequest says where a prefix is to go.
type MoveRequest struct {
	To     Kind   `json:"to" enum:"self-hosted,hosted" doc:"Where its records are to be"`
	Sites  []Site `json:"sites,omitempty" maxItems:"10" doc:"To self-hosted: where its own node answers"`
	Finish bool   `json:"finish,omitempty" doc:"To hosted: everything is copied and the old node takes no more changes; point to this one"`
	Cancel bool   `json:"cancel,omitempty" doc:"Give up a move that did not change the delegation yet"`
	Reason string `json:"reason,omitempty" maxLength:"500"`
}

// Move begins, finishes or gives up a move. It is the owner's or the operator's to ask for. To self-hosted it goes on in the background
// (see View.Move for how far it is); a move that was stopped goes on when the office is opened again.
func (o *Office) Move(ctx context.Context, c api.Caller, v id.ID, m MoveRequest, ifMatch string) (Paper, error) {
	p, err := o.Get(c, v)
	if err != nil {
		return p, err
	}
	if !o.owns(c, v, &p.Paper) && !c.Has(o.cfg.Prefix, api.Operator) {
		return p, o.notYours(v)
	}
	if err := reason(m.Reason, false); err != nil {
		return p, err
	}
	if m.Finish || m.Cancel {
		p, err = o.change(ctx, c, v, ifMatch, func(a *Application) error {
			t := a.Task
			if t == nil || t.What != "move" {
				if m.Finish && a.LastMoved != nil && a.LastMoved.To == m.To && a.Kind == m.To {
					return document.ErrNoChange // the answer to the first time was lost
				}
				return problem.New(problem.Conflict, "%s is not being moved", "%s 没有正在进行的迁移", a.Prefix)
			}
			switch stage := t.Move.Stage; {
			case m.Cancel && stage == stageSwitching:
				return problem.New(problem.Conflict, "everything of %s is at the new place, and the delegation is being changed; move it back afterwards", "%s 已全部迁移，正在变更授权；请在完成后再迁回", a.Prefix)
			case stage == stageSwitching:
				return document.ErrNoChange
			case m.Finish && stage != stageReceiving:
				return problem.New(problem.Conflict, "the move of %s finishes by itself", "%s 的迁移会自行完成", a.Prefix)
			case m.Finish:
				t.Move.Stage = stageSwitching
				return nil
			}
			to := t.Move.To
			a.Task = nil
			o.gates.open(a.Prefix)
			a.LastMoved = &Move{To: to, Stage: "given up", Since: t.Since}
			return o.step(v, a, who(c), "move given up", a.State, m.Reason)
		})
		if err != nil {
			return p, err
		}
		if m.Cancel {
			if p.Paper.Task == nil && p.Paper.Kind == SelfHosted && p.Paper.LastMoved != nil && p.Paper.LastMoved.To == Hosted && o.cfg.Host != nil {
				err = o.cfg.Host(ctx, p.Paper.Prefix, false)
			}
			return p, err
		}
		return o.finish(ctx, v)
	}
	var sites []Site
	switch m.To {
	case SelfHosted:
		if b, err := json.Marshal(m.Sites); err != nil || len(m.Sites) == 0 || len(m.Sites) > 10 || len(b) > maxForm/2 {
			return p, problem.New(problem.BadValue, "say where the new node answers: 1 to 10 sites", "请给出新节点的站点：1 至 10 个")
		}
		primary := 0
		for i := range m.Sites {
			if _, err := m.Sites[i].Site(); err != nil {
				return p, err
			}
			if m.Sites[i].Primary {
				primary++
			}
		}
		if primary != 1 {
			return p, problem.New(problem.BadValue, "one of the sites is the primary", "应有且仅有一个主站点")
		}
		if o.cfg.Feed == nil {
			return p, problem.New(problem.Unsupported, "this node moves no prefixes away", "本节点不支持迁出前缀")
		}
		sites = m.Sites
	case Hosted:
		if o.cfg.Host == nil || o.cfg.Site == nil {
			return p, noHosting()
		}
	default:
		return p, problem.New(problem.BadValue, "a prefix moves to self-hosted or hosted", "迁移目标应为 self-hosted 或 hosted")
	}
	stage := stageCopying
	if m.To == Hosted {
		stage = stageReceiving
	}
	p, err = o.change(ctx, c, v, ifMatch, func(a *Application) error {
		now := o.cfg.Now().UTC().Truncate(time.Millisecond)
		switch {
		case a.Task != nil && a.Task.What == "move" && a.Task.Move.To == m.To:
			return document.ErrNoChange
		case a.Task != nil || a.State != Active:
			return wrongState(v, a)
		case a.Kind == m.To:
			return problem.New(problem.Conflict, "%s is %s already", "%s 已经是 %s", a.Prefix, a.Kind)
		case a.LastMoved != nil && a.LastMoved.Stage == stageSwitched:
			return problem.New(problem.Busy, "%s was moved just now; move it again after %s", "%s 刚刚迁移过；请在 %s 之后再迁移", a.Prefix, a.LastMoved.Linger.Format(time.RFC3339))
		}
		a.Task = &Task{What: "move", By: who(c), Why: m.Reason, Since: now, Move: &Move{To: m.To, Sites: sites, Stage: stage, Since: now}}
		return o.step(v, a, who(c), "move", a.State, m.Reason)
	})
	if err != nil {
		return p, err
	}
	if m.To == Hosted {
		return o.finish(ctx, v)
	}
	o.nudge()
	return p, nil
}

// doMove goes on with a move where it stands.
func (o *Office) doMove(ctx context.Context, v id.ID, a *Application) error {
	m := a.Task.Move
	if m.Stage == stageReceiving {
		return o.cfg.Host(ctx, a.Prefix, true) // and then it waits for the owner
	}
	if m.Stage != stageSwitching {
		if err := o.push(ctx, v, a); err != nil {
			return err
		}
	}
	return o.turn(ctx, v)
}

// push copies a hosted prefix to its new node; when it returns nil, the task's stage is switching, and writes are refused here.
func (o *Office) push(ctx context.Context, v id.ID, a *Application) error {
	primary := 0
	for i := range a.Task.Move.Sites {
		if a.Task.Move.Sites[i].Primary {
			primary = i
		}
	}
	site, err := a.Task.Move.Sites[primary].Site()
	if err != nil {
		return err
	}
	open := o.cfg.Push
	if open == nil {
		open = PushHTTPS
	}
	to, err := open(ctx, site, o.ref(), o.cfg.Key)
	if err != nil {
		return err
	}
	if c, ok := to.(interface{ Close() }); ok {
		defer c.Close()
	}
	note := func(stage string, after uint64, copied, records int64) error {
		_, err := o.apps.Change(ctx, o.by(a.Task), v, func(a *Application) error {
			if a.Task == nil || a.Task.What != "move" {
				return problem.New(problem.Canceled, "the move was given up", "迁移已取消")
			}
			m := a.Task.Move
			m.Stage, m.After, m.Copied, m.Records = stage, after, max(m.Copied, copied), records
			a.Task.Error = ""
			return nil
		})
		return err
	}
	last := o.cfg.Now()
	t := &Transfer{
		Prefix: a.Prefix, From: o.cfg.Feed, Names: o.cfg.Registry, By: operator, To: to, ToBy: record.Identity{Ref: o.ref(), Operator: true},
		Values: func(ctx context.Context, v id.ID) ([]record.Value, error) {
			got, err := o.cfg.Registry.Resolve(ctx, record.Query{ID: v, By: operator, NoReferral: true})
			if problem.Is(err, problem.NotFound) {
				return nil, nil
			}
			if problem.Is(err, problem.NoValues) {
				return []record.Value{}, nil
			}
			return got.Values, err
		},
		Freeze: func(_ context.Context, on bool) error {
			if on {
				o.gates.close(a.Prefix, o.cfg.Now().Add(time.Hour))
			} else {
				o.gates.open(a.Prefix)
			}
			return nil
		},
		Progress: func(_ context.Context, stage string, after uint64, copied int64) error {
			if now := o.cfg.Now(); stage == stageFrozen || now.Sub(last) > 2*time.Second {
				last = now
				return note(stage, after, copied, 0)
			}
			return nil
		},
	}
	if f, ok := o.cfg.Feed.(interface {
		Last(ctx context.Context) (uint64, error)
	}); ok {
		t.Last = f.Last
	} else {
		t.Values = nil
	}
	records, err := t.Run(ctx, a.Task.Move.After)
	if err != nil {
		return err
	}
	if err := note(stageSwitching, t.after, t.copied, records); err != nil {
		o.gates.open(a.Prefix)
		return err
	}
	return nil
}

// turn changes the delegation to where everything is now.
func (o *Office) turn(ctx context.Context, v id.ID) error {
	a, err := o.apps.Get(v)
	if err != nil {
		return err
	}
	m, by := a.Task.Move, o.by(a.Task)
	moved := a
	// The holder may have rolled their key since they applied.
	if moved.Key, err = o.holderKey(ctx, &a); err != nil {
		return err
	}
	moved.Kind = m.To
	if m.To == SelfHosted {
		moved.Sites = m.Sites
		o.gates.close(a.Prefix, forever)
	} else if err := o.cfg.Host(ctx, a.Prefix, true); err != nil {
		return err
	}
	vs, err := o.delegation(&moved)
	if err != nil {
		return err
	}
	if err := o.write(ctx, by, record.Write{Op: record.Create, ID: id.PrefixRecord(a.Prefix), Values: vs, Overwrite: true}); err != nil {
		return err
	}
	now := o.cfg.Now().UTC().Truncate(time.Second)
	return o.done(ctx, v, &a, "moved", a.State, func(a *Application) {
		a.Kind, a.Key = m.To, moved.Key
		if m.To == SelfHosted {
			a.Sites = m.Sites
		}
		m := *m
		m.Linger, m.Stage = now.Add(time.Duration(o.cfg.TTL)*time.Second), stageDone
		if m.To == SelfHosted {
			m.Stage = stageSwitched
		}
		a.LastMoved = &m
		a.Notices = notice(a.Notices, now, "the prefix "+a.Prefix+" is "+string(m.To)+" now; the old node may stop after "+m.Linger.Format(time.RFC3339),
			"前缀 "+a.Prefix+" 现为"+map[Kind]string{SelfHosted: "自建", Hosted: "托管"}[m.To]+"；旧节点可在 "+m.Linger.Format(time.RFC3339)+" 之后停止应答")
	})
}

// holderKey is the holder's key as the delegation has it now; the form's when it says none. While a move is being done again
// after a crash, it may stand where it will be.
func (o *Office) holderKey(ctx context.Context, a *Application) ([]byte, error) {
	vs, err := o.stored(ctx, a.Prefix)
	if err != nil {
		return nil, err
	}
	hosted := false
	at := map[uint32][]byte{}
	for i := range vs {
		if vs[i].Type == record.TypePubKey {
			at[vs[i].Index] = vs[i].Data
			hosted = hosted || vs[i].Index == indexHostedKey
		}
	}
	want := uint32(indexKey)
	if hosted {
		want = indexHostedKey
	}
	if k, err := trust.ParsePublic(at[want]); err == nil && (hosted || !k.Equal(o.cfg.Key.Public())) {
		return k.Data(), nil
	}
	return a.Key, nil
}

// lingers reports whether this node goes on answering for a prefix that moved away.
func (a *Application) lingers() bool {
	return a.LastMoved != nil && a.LastMoved.Stage == stageSwitched && a.LastMoved.To == SelfHosted
}

// leave ends that.
func (o *Office) leave(ctx context.Context, v id.ID) error {
	a, err := o.apps.Get(v)
	if err != nil || !a.lingers() {
		return err
	}
	if o.cfg.Host != nil {
		if err := o.cfg.Host(ctx, a.Prefix, false); err != nil {
			return err
		}
	}
	_, err = o.apps.Change(ctx, operator, v, func(a *Application) error {
		if !a.lingers() {
			return document.ErrNoChange
		}
		a.LastMoved.Stage = stageDone
		return nil
	})
	if err == nil {
		o.gates.open(a.Prefix)
	}
	return err
}

// restore closes the gates of prefixes that were on their way when the office was last open.
func (g *gates) restore(o *Office) {
	all, _ := o.apps.Page("", o.apps.Len()+1, nil)
	for _, p := range all {
		a := &p.Paper
		switch {
		case a.lingers(), a.Task != nil && a.Task.Move != nil && a.Task.Move.Stage == stageSwitching && a.Task.Move.To == SelfHosted:
			if !g.shut(a.Prefix) {
				g.close(a.Prefix, forever)
			}
		}
	}
}

// PushHTTPS opens a site over HTTPS; its key is the one in the site.
func PushHTTPS(_ context.Context, site *record.Site, user record.Ref, key *trust.PrivateKey) (Target, error) {
	for _, s := range site.Servers {
		for _, i := range s.Interfaces {
			if i.Protocol != record.HTTP && i.Protocol != record.HTTPS || i.Port == 0 || i.Port > 65535 {
				continue
			}
			c := &web.Client{Base: "https://" + netip.AddrPortFrom(s.Addr, uint16(i.Port)).String(), User: user, Key: key}
			if len(s.PublicKey) > 0 {
				k, err := trust.ParsePublic(s.PublicKey)
				if err != nil {
					return nil, err
				}
				if k.Algorithm() != trust.SM2 { // TLS shows another key then
					c.Pin = k.Fingerprint()
				}
			}
			return c, nil
		}
	}
	return nil, problem.New(problem.BadValue, "the new node's site names no HTTP interface (%s); records are moved over HTTPS", "新节点的站点没有 HTTP 接口（%s）；记录经 HTTPS 迁移", strconv.Itoa(len(site.Servers)))
}
