package share

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Share is one paper: who sees how much of which events, and when. Somebody whom several papers name sees the most that one of them grants.
type Share struct {
	// To says who: a prefix (88.118.1002: its key, its people and its programs), a prefix with all below it (88.118.*), one identity
	// (88.118.1002/App_erp), or * for everybody, those who do not say who they are included.
	To    []string `json:"to" minItems:"1" maxItems:"1000" doc:"Who: a prefix (88.118.1002), a prefix and all below it (88.118.*), one identity (88.118.1002/App_erp), or * for everybody"`
	Level Level    `json:"level" doc:"How much: exists (存在证明), trace (仅追溯: identifiers and times), contents (全部内容)"`
	// Hops makes it hold for askers who are at most so many hand-overs of the goods away, as far as that is proved; 0 for all.
	Hops     int       `json:"hops,omitempty" minimum:"0" maximum:"100" doc:"Only for askers at most so many proved hand-overs of the goods away (跳数); 0: however far"`
	OnRecall bool      `json:"onRecall,omitempty" doc:"Only for questions that belong to an open recall whose owner's signature holds (仅召回时)"`
	Steps    []string  `json:"steps,omitempty" maxItems:"100" doc:"Only events of these business steps (业务步骤), as shipping; empty: all"`
	Things   []string  `json:"things,omitempty" maxItems:"10000" doc:"Only events that name one of these; a * at the end stands for the rest; empty: all"`
	Until    time.Time `json:"until,omitzero" doc:"Until when it holds; absent: until it is taken back"`
	Note     string    `json:"note,omitempty" maxLength:"1000" doc:"Why, for the owner's people"`
}

// Asked is what is known of a question beside who asks.
type Asked struct {
	Hops   int    // hand-overs of the goods between asker and owner, as far as proved; 0: not known
	Recall string // the recall that it belongs to, proved to be open; empty: none
}

// Config is what the desk needs of the node.
type Config struct {
	Prefix   string            // whose events they are
	Registry document.Registry // where the papers are; nil: none but Default
	// Default are shares that hold beside the papers.
	Default []Share
	Now     func() time.Time // time.Now when nil
}

// Desk is an owner's shares, ready to be asked about each event. It is safe for concurrent use.
type Desk struct {
	cfg    Config
	papers *document.Shelf[Share]
	rules  rules
}

// The papers' form: under the owner's prefix, 88.118.1001/Share_NAME, at this index.
const (
	paperName = "Share_"
	paperType = "FUJIE.SHARE"
	paperAt   = 1
)

// New opens the desk with the papers that there are. Errors: problem.BadValue for a share that makes no sense, and those of reading the registry.
func New(ctx context.Context, cfg Config) (*Desk, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Desk{cfg: cfg}
	for i := range cfg.Default {
		if err := cfg.Default[i].Check(); err != nil {
			return nil, err
		}
	}
	if cfg.Registry != nil {
		d.papers = &document.Shelf[Share]{Registry: cfg.Registry, Prefix: cfg.Prefix, Name: paperName, Type: paperType, Index: paperAt}
		if err := d.papers.Open(ctx); err != nil {
			return nil, err
		}
	}
	d.refresh()
	return d, nil
}

// Heard reads a paper again that somebody else wrote; other identifiers are passed over.
func (d *Desk) Heard(ctx context.Context, v id.ID) error {
	if d.papers == nil || !strings.EqualFold(v.Prefix(), d.cfg.Prefix) || !strings.HasPrefix(v.Suffix(), handle.Fold(paperName)) {
		return nil
	}
	err := d.papers.Reload(ctx, v)
	d.refresh()
	return err
}

// Check says whether the share makes sense: problem.BadValue names what does not.
func (s *Share) Check() error {
	if len(s.To) == 0 {
		return problem.New(problem.BadValue, "the share names nobody: give prefixes, identities or * in to", "共享没有写明对象：请在 to 中给出前缀、身份或 *")
	}
	if s.Level == Nothing || s.Level > Contents {
		return problem.New(problem.BadValue, "the share shows nothing: its level must be exists, trace or contents; to take a share back, delete it", "共享没有内容：level 须为 exists、trace 或 contents；如要收回，请删除该共享")
	}
	if s.Hops < 0 || s.Hops > 100 || len(s.To) > 1000 || len(s.Things) > 10_000 || len(s.Steps) > 100 || len(s.Note) > 1000 {
		return problem.New(problem.BadValue, "the share is over a limit: 100 hops, 1000 in to, 10000 things, 100 steps, 1000 bytes of note", "共享超过上限：hops 100、to 1000 项、things 10000 项、steps 100 项、note 1000 字节")
	}
	for _, to := range s.To {
		name := strings.TrimSuffix(to, ".*")
		if to == "*" {
			continue
		}
		if i := strings.IndexByte(name, ':'); i > 0 {
			name = name[i+1:]
		}
		if _, err := id.ParseHandle(name); err != nil || len(to) > handle.MaxLen || strings.ContainsAny(name, " \t\r\n*,;") {
			return problem.Wrap(err, problem.BadValue, "%q in to is no prefix, identity or *: write 88.118.1002, 88.118.* or 88.118.1002/App_erp", "to 中的 %q 不是前缀、身份或 *：请写成 88.118.1002、88.118.* 或 88.118.1002/App_erp", clip(to))
		}
	}
	for _, t := range s.Things {
		if t == "" || len(t) > 2048 {
			return problem.New(problem.BadValue, "a thing in the share is empty or over 2048 bytes", "共享中的物品标识为空或超过 2048 字节")
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// Put writes a share under a name, on behalf of who, in the place of an old one of that name. Errors: problem.BadValue, and those of record.Registrar.
func (d *Desk) Put(ctx context.Context, who record.Identity, name string, s Share) (id.ID, error) {
	if err := s.Check(); err != nil {
		return id.ID{}, err
	}
	v, err := d.named(name)
	if err != nil {
		return id.ID{}, err
	}
	defer d.refresh()
	_, err = d.papers.Change(ctx, who, v, func(old *Share) error { *old = s; return nil })
	if problem.Is(err, problem.NotFound) {
		err = d.papers.Create(ctx, who, v, s)
	}
	return v, err
}

// Remove takes a share back, on behalf of who. Errors: problem.NotFound, and those of record.Registrar.
func (d *Desk) Remove(ctx context.Context, who record.Identity, name string) error {
	v, err := d.named(name)
	if err != nil {
		return err
	}
	if _, err := d.papers.Get(v); err != nil {
		return err
	}
	defer d.refresh()
	return d.papers.Remove(ctx, who, v)
}

// named is the identifier of the paper with this name.
func (d *Desk) named(name string) (id.ID, error) {
	ok := name != "" && len(name) <= 64
	for _, c := range []byte(name) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '.' || c == '_')
	}
	if !ok {
		return id.ID{}, problem.New(problem.BadValue, "%q is no name of a share: 1 to 64 letters, digits, dots, dashes and underscores", "%q 不是共享名称：应为 1 至 64 个字母、数字、点、横线或下划线", clip(name))
	}
	if d.papers == nil {
		return id.ID{}, problem.New(problem.NotHere, "no shares are kept here", "此处不保存共享")
	}
	return d.papers.ID(name)
}

// refresh compiles what the papers say.
func (d *Desk) refresh() {
	var all []Share
	all = append(all, d.cfg.Default...)
	if d.papers != nil {
		page, _ := d.papers.Page("", d.papers.Len()+1, nil)
		for _, p := range page {
			all = append(all, p.Paper)
		}
	}
	d.rules.set(all)
}

// Level is how much of e an asker sees. The owner's own key and the node's operator see all.
func (d *Desk) Level(asker record.Identity, e *epcis.Event, q Asked) Level {
	best, _ := d.level(asker, e, q, false)
	return best
}

// ByHops reports whether knowing how many hand-overs away the asker is could show more.
func (d *Desk) ByHops() bool {
	for _, r := range d.rules.get() {
		if r.Hops > 0 {
			return true
		}
	}
	return false
}

// Any reports whether an asker could see anything at all, in a recall or not.
func (d *Desk) Any(asker record.Identity) bool {
	_, any := d.level(asker, nil, Asked{}, true)
	return any
}

func (d *Desk) level(asker record.Identity, e *epcis.Event, q Asked, any bool) (best Level, _ bool) {
	who := whom(asker)
	if asker.Operator || who.prefix != "" && who.prefix == handle.Fold(d.cfg.Prefix) && who.key {
		return Contents, true
	}
	now := d.cfg.Now()
	var keys []string
	for _, r := range d.rules.get() {
		if r.Level <= best || !r.Until.IsZero() && !now.Before(r.Until) || !r.names(who) {
			continue
		}
		if any {
			return r.Level, true
		}
		if r.OnRecall && q.Recall == "" || r.Hops > 0 && (q.Hops <= 0 || q.Hops > r.Hops) {
			continue
		}
		if len(r.Steps) > 0 && !slices.Contains(r.Steps, e.BizStep) {
			continue
		}
		if len(r.things) > 0 {
			if keys == nil {
				for _, name := range e.Names() {
					keys = append(keys, epcis.Key(name))
				}
			}
			if !slices.ContainsFunc(keys, r.about) {
				continue
			}
		}
		best = r.Level
	}
	return best, false
}
