// Package recall calls goods back: an enterprise opens a recall for a thing, a lot or several, the set of what is affected is found across all enterprises that had any of it, the node
// of each that holds some is notified, and what they found and did with it is followed until the last piece is accounted for. The authority above sees every step.
//
// What happens is written down before it is done, as papers of the registry, so that a node that stops in the middle goes on where it was, and what is sent twice counts once:
//
//	88.118.1001/Recall_NAME        the recall; everybody may read that it is open and about what, which others check before they show more in its name
//	88.118.1001/Recallee_NAME_…    one for each holder: what it was told, when, and what it answered
//	88.118.1002/Notice_…           at a holder: a notice that came, and what was found and done here
//	88.118/Recalled_…              at the authority: what is going on below it
//
// Between nodes three things are sent, each signed by the sender's prefix: POST /trace/notices to a holder, POST /trace/acknowledgements back, POST /trace/recalls to the authority.
//
// Who is trusted: the owner of a recall, to call back its own; a holder's figures are its own word, signed by nobody else.
package recall

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/trace/across"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
)

// State is how far a recall is.
type State string

// The states of a recall.
const (
	Open     State = "open"     // being searched, or holders being notified
	Notified State = "notified" // every holder has its notice
	Closed   State = "closed"
)

// Item is one thing of a recall, and how much of it.
type Item struct {
	Thing    string        `json:"thing" maxLength:"2048" doc:"The thing or lot (物品或批次)"`
	Quantity epcis.Decimal `json:"quantity,omitempty" maxLength:"64" doc:"How much of a lot; absent for a single thing"`
	Unit     string        `json:"unit,omitempty" maxLength:"16" doc:"Its unit, of UN/CEFACT Recommendation 20; absent: a count"`
	Place    string        `json:"place,omitempty" maxLength:"2048" doc:"Where it was last"`
}

// Order is what is called back, and why.
type Order struct {
	Title        string    `json:"title" minLength:"1" maxLength:"300" doc:"What everybody reads (召回标题)"`
	Reason       string    `json:"reason,omitempty" maxLength:"4000" doc:"Why (召回原因)"`
	Instructions string    `json:"instructions,omitempty" maxLength:"4000" doc:"What holders are to do with it (处置要求)"`
	Contact      string    `json:"contact,omitempty" maxLength:"300"`
	Things       []string  `json:"things" minItems:"1" maxItems:"500" doc:"Things and lots that are called back, with all that came of them (召回对象)"`
	From         time.Time `json:"from,omitzero" doc:"Only what happened from then on"`
	To           time.Time `json:"to,omitzero" doc:"Only what happened until then"`
}

// Recall is an owner's file of one.
type Recall struct {
	Order
	State  State     `json:"state"`
	Opened time.Time `json:"opened"`
	Closed time.Time `json:"closed,omitzero"`
	By     string    `json:"by,omitempty"`
	Why    string    `json:"why,omitempty"` // it was closed
	Serial int       `json:"serial"`        // goes up with every change that the authority and holders hear of

	Searched time.Time     `json:"searched,omitzero"`
	Search   string        `json:"search,omitempty"` // what went wrong in the last search
	Again    time.Time     `json:"again,omitzero"`   // when to search again
	Complete bool          `json:"complete"`         // the search came to every end
	Affected int           `json:"affected"`         // things and lots that were found
	Totals   []graph.Total `json:"totals,omitempty"`
	Hops     []graph.Hop   `json:"hops,omitempty"`

	Told      int       `json:"told"` // the serial that the authority has
	ToldError string    `json:"toldError,omitempty"`
	TellAgain time.Time `json:"tellAgain,omitzero"`
}

// Holder is an owner's file of one holder.
type Holder struct {
	Recall string `json:"recall"` // identifier
	Prefix string `json:"prefix"`
	Items  []Item `json:"items"`
	Count  int    `json:"count"` // of things and lots there; Items are the first of them
	Serial int    `json:"serial"`

	Tries        int       `json:"tries,omitempty"`
	Again        time.Time `json:"again,omitzero"`
	Error        string    `json:"error,omitempty"`
	Sent         int       `json:"sent,omitempty"` // the serial that it has
	Notified     time.Time `json:"notified,omitzero"`
	Acknowledged []Answer  `json:"acknowledged,omitempty"`
	Done         bool      `json:"done,omitempty"`
}

// Answer is what a holder found and did, one after another.
type Answer struct {
	Number int       `json:"number"` // counts a holder's answers from 1
	Time   time.Time `json:"time"`
	Items  []Finding `json:"items,omitempty" maxItems:"500"`
	Note   string    `json:"note,omitempty" maxLength:"2000"`
	Done   bool      `json:"done,omitempty" doc:"Nothing more is to come (处置完毕)"`
}

// Finding is how much of a thing was found and what became of it.
type Finding struct {
	Item
	Action string `json:"action" enum:"quarantined,returned,destroyed,sold,used,not-found" doc:"What became of it: quarantined 隔离, returned 退回, destroyed 销毁, sold 已售, used 已用, not-found 未找到"`
}

var actions = map[string]bool{"quarantined": true, "returned": true, "destroyed": true, "sold": true, "used": true, "not-found": true}

// Notice is what a holder was told, in the holder's own papers.
type Notice struct {
	Recall       string    `json:"recall" maxLength:"2048"` // its identifier
	Owner        string    `json:"owner"`                   // prefix
	Serial       int       `json:"serial"`
	Title        string    `json:"title" maxLength:"300"`
	Reason       string    `json:"reason,omitempty" maxLength:"4000"`
	Instructions string    `json:"instructions,omitempty" maxLength:"4000"`
	Contact      string    `json:"contact,omitempty" maxLength:"300"`
	Things       []string  `json:"things"` // the recall's rule: look for all that came of them
	Items        []Item    `json:"items"`  // the first of what is known to be here
	Count        int       `json:"count"`  // how much that is in all
	Closed       bool      `json:"closed,omitempty"`
	Received     time.Time `json:"received"`

	Answers   []Answer  `json:"answers,omitempty"`
	Delivered int       `json:"delivered"` // the number of the last answer that the owner has
	Tries     int       `json:"tries,omitempty"`
	Again     time.Time `json:"again,omitzero"`
	Error     string    `json:"error,omitempty"`
}

// Copy is what the authority knows of a recall below it.
type Copy struct {
	Recall   string        `json:"recall"`
	Owner    string        `json:"owner"`
	Serial   int           `json:"serial"`
	Title    string        `json:"title"`
	Reason   string        `json:"reason,omitempty"`
	Things   []string      `json:"things"`
	State    State         `json:"state"`
	Opened   time.Time     `json:"opened"`
	Closed   time.Time     `json:"closed,omitzero"`
	Why      string        `json:"why,omitempty"`
	Complete bool          `json:"complete"`
	Affected int           `json:"affected"`
	Totals   []graph.Total `json:"totals,omitempty"`
	Holders  []Standing    `json:"holders,omitempty"`
	Received time.Time     `json:"received"`
}

// Standing is how far one holder is.
type Standing struct {
	Prefix   string        `json:"prefix"`
	Count    int           `json:"count"`
	Notified time.Time     `json:"notified,omitzero"`
	Error    string        `json:"error,omitempty"`
	Done     bool          `json:"done"`
	Found    []graph.Total `json:"found,omitempty"` // by unit; what was found, whatever was done with it
	Missing  int           `json:"missing"`         // items that were looked for and not found
}

// Config is what the room needs of the node.
type Config struct {
	Prefix   string
	Registry document.Registry
	// Find is across.RecallSet: the set, and who holds it.
	Find func(ctx context.Context, q graph.RecallQuestion, found func(graph.Step)) (*across.Found, error)
	// Post is across.Post: sends to another enterprise's node, signed.
	Post func(ctx context.Context, to, path string, body []byte) ([]byte, error)
	// Authority is the prefix whose node sees the recalls of this one; empty: none.
	Authority string
	// Hold and Release keep the events of what is called back from being removed; nil: nothing removes any.
	Hold    func(ctx context.Context, reason string, things []string) error
	Release func(ctx context.Context, reason string) error
	Now     func() time.Time // time.Now when nil
	Log     *slog.Logger
}

// Desk is the room.
type Desk struct {
	cfg     Config
	recalls *document.Shelf[Recall]
	holders *document.Shelf[Holder]
	notices *document.Shelf[Notice]
	copies  *document.Shelf[Copy]
	wake    chan struct{}
	turn    sync.Mutex // one Advance at a time
}

// Limits of papers, which must fit into one record.
const (
	maxItems   = 500
	maxHolders = 1000
	maxAnswers = 50
	maxNotices = 10_000
	maxBody    = 256 << 10
)

// New opens the room's papers.
func New(ctx context.Context, cfg Config) (*Desk, error) {
	if cfg.Registry == nil || cfg.Find == nil || cfg.Post == nil {
		return nil, problem.New(problem.BadRequest, "recalls need papers, a search and a way to send notices", "召回需要文书、查找与发送通知的途径")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Prefix = handle.Fold(cfg.Prefix)
	cfg.Authority = handle.Fold(cfg.Authority)
	d := &Desk{cfg: cfg, wake: make(chan struct{}, 1)}
	d.recalls = &document.Shelf[Recall]{Registry: cfg.Registry, Prefix: cfg.Prefix, Name: "Recall_", Type: "FUJIE.RECALL.FILE", Index: 2, Also: d.face}
	d.holders = &document.Shelf[Holder]{Registry: cfg.Registry, Prefix: cfg.Prefix, Name: "Recallee_", Type: "FUJIE.RECALL.HOLDER", Index: 1}
	d.notices = &document.Shelf[Notice]{Registry: cfg.Registry, Prefix: cfg.Prefix, Name: "Notice_", Type: "FUJIE.RECALL.NOTICE", Index: 1}
	d.copies = &document.Shelf[Copy]{Registry: cfg.Registry, Prefix: cfg.Prefix, Name: "Recalled_", Type: "FUJIE.RECALL.COPY", Index: 1}
	for _, open := range []func(context.Context) error{d.recalls.Open, d.holders.Open, d.notices.Open, d.copies.Open} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// face is what everybody may read of a recall.
func (d *Desk) face(_ id.ID, r Recall) []record.Value {
	f := across.Recall{State: "open", Title: r.Title, Things: r.Things, Opened: r.Opened, Closed: r.Closed, Contact: r.Contact}
	if r.State == Closed {
		f.State = "closed"
	}
	if d.cfg.Authority != "" {
		f.Asking = []string{d.cfg.Authority}
	}
	return []record.Value{{Index: 1, Type: across.TypeRecall, Data: mustJSON(f), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}}
}

// Heard reads a paper again that somebody else wrote; other identifiers are passed over.
func (d *Desk) Heard(ctx context.Context, v id.ID) error {
	if v.Prefix() != d.cfg.Prefix {
		return nil
	}
	switch s := v.Suffix(); {
	case strings.HasPrefix(s, "RECALL_"):
		return d.recalls.Reload(ctx, v)
	case strings.HasPrefix(s, "RECALLEE_"):
		return d.holders.Reload(ctx, v)
	case strings.HasPrefix(s, "NOTICE_"):
		return d.notices.Reload(ctx, v)
	case strings.HasPrefix(s, "RECALLED_"):
		return d.copies.Reload(ctx, v)
	}
	return nil
}

// Start opens a recall under a name, on behalf of who, and returns its identifier. The search and the notices follow by themselves. Errors: problem.Exists, problem.BadValue, and those of
// record.Registrar.
func (d *Desk) Start(ctx context.Context, who record.Identity, name string, o Order) (id.ID, error) {
	if err := o.check(); err != nil {
		return id.ID{}, err
	}
	v, err := d.named(name)
	if err != nil {
		return id.ID{}, err
	}
	if d.cfg.Hold != nil {
		keys := make([]string, len(o.Things))
		for i, t := range o.Things {
			keys[i] = epcis.Key(t)
		}
		if err := d.cfg.Hold(ctx, v.String(), keys); err != nil {
			return v, err
		}
	}
	r := Recall{Order: o, State: Open, Opened: d.cfg.Now().UTC(), By: who.Ref.Name, Serial: 1}
	if err := d.recalls.Create(ctx, who, v, r); err != nil {
		return v, err
	}
	d.nudge()
	return v, nil
}

func (o *Order) check() error {
	if o.Title == "" || len(o.Title) > 300 || len(o.Reason) > 4000 || len(o.Instructions) > 4000 || len(o.Contact) > 300 {
		return problem.New(problem.BadValue, "a recall needs a title of at most 300 bytes; reason and instructions may have 4000, contact 300", "召回须有不超过 300 字节的标题；原因和处置要求不超过 4000 字节，联系方式不超过 300 字节")
	}
	if len(o.Things) == 0 || len(o.Things) > maxItems {
		return problem.New(problem.BadValue, "a recall names 1 to %d things or lots", "召回须指明 1 至 %d 个物品或批次", maxItems)
	}
	size := 0
	for _, t := range o.Things {
		if size += len(t); t == "" || len(t) > 2048 || size > 64<<10 {
			return problem.New(problem.BadValue, "a thing of the recall is empty, over 2048 bytes, or all of them are over 64 KiB", "召回对象为空、超过 2048 字节，或总计超过 64 KiB")
		}
	}
	if !o.To.IsZero() && o.To.Before(o.From) {
		return problem.New(problem.BadValue, "the recall ends before it begins: to is before from", "召回的时间范围不成立：to 早于 from")
	}
	return nil
}

// named is the identifier of the recall with this name.
func (d *Desk) named(name string) (id.ID, error) {
	ok := name != "" && len(name) <= 64
	for _, c := range []byte(name) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '.')
	}
	if !ok {
		return id.ID{}, problem.New(problem.BadValue, "%q is no name of a recall: 1 to 64 letters, digits, dots and dashes", "%q 不是召回名称：应为 1 至 64 个字母、数字、点或横线", clip(name))
	}
	return d.recalls.ID(name)
}

// Close ends a recall, on behalf of who. Without why every holder must be done. Errors: problem.NotFound, problem.Conflict.
func (d *Desk) Close(ctx context.Context, who record.Identity, v id.ID, why string) (Recall, error) {
	if len(why) > 2000 {
		return Recall{}, problem.New(problem.BadValue, "the reason for closing is over 2000 bytes", "关闭原因超过 2000 字节")
	}
	r, err := d.recalls.Get(v)
	if err != nil {
		return r, err
	}
	if why == "" {
		if r.Searched.IsZero() || !r.Complete {
			return r, problem.New(problem.Conflict, "the search of %s has not come to every end; say why it is closed all the same", "%s 的查找尚未到达所有终点；如仍要关闭，请写明原因", v)
		}
		for _, h := range d.of(v) {
			if !h.Paper.Done {
				return r, problem.New(problem.Conflict, "%s has not accounted for all of %s; wait, or say why it is closed all the same", "%s 尚未交代 %s 的全部物品；请等待，或写明关闭原因", h.Paper.Prefix, v)
			}
		}
	}
	r, err = d.recalls.Change(ctx, who, v, func(r *Recall) error {
		if r.State == Closed {
			return document.ErrNoChange
		}
		r.State, r.Closed, r.Why = Closed, d.cfg.Now().UTC(), why
		r.Serial++
		return nil
	})
	if err == nil && d.cfg.Release != nil {
		err = d.cfg.Release(ctx, v.String())
	}
	d.nudge()
	return r, err
}

// SearchAgain makes an open recall look once more, for what moved meanwhile and for enterprises that were silent.
func (d *Desk) SearchAgain(ctx context.Context, who record.Identity, v id.ID) (Recall, error) {
	defer d.nudge()
	return d.recalls.Change(ctx, who, v, func(r *Recall) error {
		if r.State == Closed {
			return problem.New(problem.Conflict, "%s is closed", "%s 已关闭", v)
		}
		r.Searched, r.Again = time.Time{}, time.Time{}
		return nil
	})
}

// of is the holders of a recall.
func (d *Desk) of(v id.ID) []document.Paper[Holder] {
	start := holderName(v, "")
	page, _ := d.holders.Page("", d.holders.Len()+1, func(h id.ID, _ Holder) bool { return strings.HasPrefix(h.Suffix(), "RECALLEE_"+handle.Fold(start)) })
	return page
}

func holderName(v id.ID, prefix string) string {
	return strings.TrimPrefix(v.Suffix(), "RECALL_") + "_" + prefix
}

// hashed is a name for what is known by another's identifier.
func hashed(name string) string {
	h := sha256.Sum256([]byte(handle.Fold(name)))
	return hex.EncodeToString(h[:10])
}

func (d *Desk) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func clip(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}
