package policy

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// State is where a request for access stands.
type State string

// The states of a request.
const (
	Open      State = "open"      // 待处理
	Approved  State = "granted"   // 已授权
	Refused   State = "refused"   // 已拒绝
	Withdrawn State = "withdrawn" // 已撤回, by the asker
	Revoked   State = "revoked"   // 已撤销
	Expired   State = "expired"   // 已到期
)

// follows says which states a state may become.
var follows = map[State][]State{Open: {Approved, Refused, Withdrawn, Expired}, Approved: {Revoked, Expired}}

// Request is somebody's wish to see, or edit, more.
type Request struct {
	Asker   string     `json:"asker" doc:"The identifier of who asks"`
	Key     string     `json:"key" doc:"index:identifier of the key that proved it"`
	Target  Target     `json:"target"`
	Actions []Action   `json:"actions"`
	Purpose string     `json:"purpose,omitempty"`
	Text    string     `json:"text,omitempty" doc:"What the asker wrote"`
	Until   *time.Time `json:"until,omitempty" doc:"How long the asker wants it"`
	State   State      `json:"state"`
	Grant   string     `json:"grant,omitempty" doc:"The grant that came of it"`
	Ends    *time.Time `json:"ends,omitempty" doc:"When the grant ends"`
	History []Step     `json:"history"`
}

// Step is one change of a request's state.
type Step struct {
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty" doc:"Who; for the asker's eyes the owner's prefix"`
	To     State     `json:"to"`
	Reason string    `json:"reason,omitempty"`
}

// Notice tells somebody what became of what concerns them.
type Notice struct {
	Seq     uint64    `json:"seq"`
	To      string    `json:"to" doc:"The identifier or prefix that it is for"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind" enum:"granted,refused,revoked,expired,request" doc:"request: somebody asks the owner for access"`
	From    string    `json:"from" doc:"The owner's prefix"`
	Target  Target    `json:"target"`
	Grant   string    `json:"grant,omitempty"`
	Request string    `json:"request,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

type noticeCount struct {
	To string
	N  uint64
}

var (
	notices = table.Table[Notice]{Name: "policy.notices", Key: func(n Notice) []byte {
		return append(append([]byte(n.To), 0), binary.BigEndian.AppendUint64(nil, n.Seq)...)
	}}
	noticeCounts = table.Table[noticeCount]{Name: "policy.noticed", Key: func(n noticeCount) []byte { return []byte(n.To) }}
)

const (
	maxOpen     = 100    // open requests of one asker at one prefix
	maxRequests = 20_000 // of one prefix that are remembered
	keepNotices = 1000   // of one recipient
)

// tell leaves a notice for each of to. A notice that cannot be kept stops nothing: the state it tells of is in the
// papers.
func (p *Policy) tell(ctx context.Context, to []string, n Notice) {
	p.telling.Lock()
	defer p.telling.Unlock()
	n.At = p.cfg.Now().UTC()
	for _, who := range to {
		if who == "*" {
			continue
		}
		n.To = handle.Fold(who)
		count, err := noticeCounts.Load(ctx, p.cfg.Store, []byte(n.To))
		if err == nil {
			n.Seq = count.Value.N + 1
			var b store.Batch
			if err = noticeCounts.Set(&b, count, noticeCount{n.To, n.Seq}); err == nil {
				err = notices.Set(&b, table.Row[Notice]{}, n)
			}
			if err == nil {
				_, err = p.cfg.Store.Apply(ctx, &b)
			}
			if err == nil && n.Seq > keepNotices {
				err = notices.Delete(ctx, p.cfg.Store, append(append([]byte(n.To), 0), binary.BigEndian.AppendUint64(nil, n.Seq-keepNotices)...))
			}
		}
		if err != nil {
			p.cfg.Log.Error("a notice could not be kept", "kind", n.Kind, "err", err)
		}
	}
}

// Notices are all notices kept for to, an identifier or prefix, the newest first; at most 1,000.
func (p *Policy) Notices(ctx context.Context, to string) ([]Notice, error) {
	list, err := p.noticesOf(ctx, to, 0, keepNotices)
	slices.Reverse(list)
	return list, err
}

// noticesOf are up to limit notices for to, an identifier or prefix, behind after.
func (p *Policy) noticesOf(ctx context.Context, to string, after uint64, limit int) ([]Notice, error) {
	head := append([]byte(handle.Fold(to)), 0)
	span := store.Under(head)
	span.From = binary.BigEndian.AppendUint64(slices.Clone(head), after+1)
	var out []Notice
	err := notices.Range(ctx, p.cfg.Store, span, func(n Notice) error {
		if out = append(out, n); len(out) >= limit {
			return store.Stop
		}
		return nil
	})
	return out, err
}

// Ask is a request for access by who. It is taken for every name under a prefix that is kept here, whether there is such
// a record or not, so that asking tells nothing. Errors: problem.NeedAuth, problem.NotHere, problem.BadRequest,
// problem.Busy when too many of the asker's are open.
func (p *Policy) Ask(ctx context.Context, who record.Identity, r Request) (id.ID, Request, error) {
	var v id.ID
	if who.IsZero() {
		return v, r, problem.New(problem.NeedAuth, "who asks for access must say who they are: log in, or sign the request", "申请访问须先表明身份：请登录或对请求签名")
	}
	prefix, _, err := r.Target.owner()
	if err != nil {
		return v, r, err
	}
	x, err := p.place(ctx, prefix)
	if err != nil {
		return v, r, err
	}
	r.Asker, r.Key = who.Ref.Name, who.Ref.String()
	now := p.cfg.Now().UTC()
	if r.Until != nil && !r.Until.After(now) {
		return v, r, problem.New(problem.BadRequest, "until is over already: name a later day", "until 已过：请给出更晚的日期")
	}
	if len(r.Actions) == 0 {
		r.Actions = []Action{Read}
	}
	// What a grant could not say cannot be asked for either.
	trial := Rule{Items: r.Target.Items, Grants: []Grant{{ID: "x", To: []string{subject(r.Asker)}, Actions: r.Actions}}}
	if r.Purpose != "" {
		trial.Grants[0].Purposes = []string{r.Purpose}
	}
	if _, err := trial.compile("", true); err != nil {
		return v, r, problem.Wrap(err, problem.BadRequest, "the request asks for what cannot be granted", "所申请的内容无法授权")
	}
	if len(r.Text) > 4000 {
		return v, r, problem.New(problem.BadRequest, "the text has over 4000 bytes: shorten it", "说明超过 4000 字节：请缩短")
	}
	p.editing.Lock()
	defer p.editing.Unlock()
	mine, _ := x.requests.Page("", maxOpen, func(_ id.ID, o Request) bool { return o.State == Open && handle.Equal(o.Asker, r.Asker) })
	if len(mine) >= maxOpen || x.requests.Len() >= maxRequests {
		return v, r, problem.New(problem.Busy, "too many requests are open: wait for answers, or withdraw some", "待处理的申请过多：请等待答复或撤回部分申请")
	}
	r.State, r.Grant, r.Ends = Open, "", nil
	r.History = []Step{{At: now, By: r.Key, To: Open}}
	code, err := p.code()
	if err != nil {
		return v, r, err
	}
	if v, err = x.requests.ID(code); err != nil {
		return v, r, err
	}
	if err := x.requests.Create(ctx, who, v, r); err != nil {
		return v, r, err
	}
	p.tell(ctx, []string{prefix}, Notice{Kind: "request", From: prefix, Target: r.Target, Request: v.String()})
	return v, r, nil
}

// subject is how a grant names an asker: a prefix's own key as the prefix.
func subject(name string) string {
	if hasPrefixFold(name, "0.NA/") {
		return name[len("0.NA/"):]
	}
	return name
}

// move brings a request from one state to the next.
func (p *Policy) move(ctx context.Context, who record.Identity, v id.ID, to State, reason, grant string) (Request, error) {
	prefix, _, _ := cut(v.String())
	x, err := p.place(ctx, prefix)
	if err != nil {
		return Request{}, err
	}
	r, err := x.requests.Change(ctx, who, v, func(r *Request) error {
		if !slices.Contains(follows[r.State], to) {
			return problem.New(problem.Conflict, "the request is %s, so it cannot become %s", "申请当前为 %s，不能变为 %s", r.State, to)
		}
		r.State = to
		if grant != "" {
			r.Grant = grant
		}
		r.History = append(r.History, Step{p.cfg.Now().UTC(), who.Ref.String(), to, reason})
		return nil
	})
	if err == nil && to != Approved && to != Withdrawn && to != Revoked {
		p.tell(ctx, []string{subject(r.Asker)}, Notice{Kind: string(to), From: prefix, Target: r.Target, Grant: r.Grant, Request: v.String(), Reason: reason})
	}
	return r, err
}

// Approve grants what was asked for, or what terms say instead, on behalf of who. To and the actions are the request's.
func (p *Policy) Approve(ctx context.Context, who record.Identity, v id.ID, terms Grant, reason string) (Request, error) {
	prefix, _, _ := cut(v.String())
	x, err := p.place(ctx, prefix)
	if err != nil {
		return Request{}, err
	}
	r, err := x.requests.Get(v)
	if err != nil {
		return r, err
	}
	if r.State != Open {
		return r, problem.New(problem.Conflict, "the request is %s already", "申请已处于 %s 状态", r.State)
	}
	terms.To, terms.Actions, terms.Refuse, terms.Request = []string{subject(r.Asker)}, r.Actions, false, v.String()
	if terms.Until == nil {
		terms.Until = r.Until
	}
	if len(terms.Purposes) == 0 && r.Purpose != "" {
		terms.Purposes = []string{r.Purpose}
	}
	g, err := p.Add(ctx, who, r.Target, terms)
	if problem.Is(err, problem.NotFound) {
		return r, problem.New(problem.NotFound, "%s is not registered: register it first, or refuse the request", "%s 未注册：请先注册，或拒绝该申请", clip(r.Target.ID))
	}
	if err != nil {
		return r, err
	}
	r, err = p.move(ctx, who, v, Approved, reason, g.ID)
	if err != nil {
		// Somebody else decided meanwhile: what was just granted goes again.
		if _, _, err2 := p.change(ctx, who, prefix, g.ID, func(Grant) *Grant { return nil }); err2 != nil {
			return r, fmt.Errorf("%w; %w", err, err2)
		}
		return r, err
	}
	return x.requests.Change(ctx, who, v, func(r *Request) error { r.Ends = terms.Until; return nil })
}

// Refuse says no, on behalf of who.
func (p *Policy) Refuse(ctx context.Context, who record.Identity, v id.ID, reason string) (Request, error) {
	return p.move(ctx, who, v, Refused, reason, "")
}

// Sweep says of requests whose grants are over that they are, and tells the askers. The grants themselves end on time
// without it. Call it now and then, on the node that writes.
func (p *Policy) Sweep(ctx context.Context) error {
	now := p.cfg.Now()
	p.mu.Lock()
	var all []*place
	for _, x := range p.places {
		all = append(all, x)
	}
	p.mu.Unlock()
	for _, x := range all {
		over, _ := x.requests.Page("", 1000, func(_ id.ID, r Request) bool {
			return r.State == Approved && r.Ends != nil && !now.Before(*r.Ends) || r.State == Open && r.Until != nil && !now.Before(*r.Until)
		})
		for _, r := range over {
			if _, err := p.move(ctx, record.Identity{}, r.ID, Expired, "", ""); err != nil {
				return err
			}
		}
	}
	return nil
}
