package flow

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/types/ref"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Scan is somebody's scan, or what they say without one.
type Scan struct {
	ID     string         `json:"id,omitempty" maxLength:"100" doc:"The sender's own number of it: sent again, it is the same scan"`
	Flow   string         `json:"flow,omitempty" maxLength:"81" doc:"solution/flow; may be left out when the code tells"`
	Run    string         `json:"run,omitempty" maxLength:"101" doc:"The run that it goes on with; or @ and the id of the earlier scan that began it"`
	Step   string         `json:"step,omitempty" maxLength:"40" doc:"The step that the sender shows: if somebody else moved the run on meanwhile, nothing is done, and the answer says who did what"`
	Code   string         `json:"code,omitempty" maxLength:"2048" doc:"What was scanned"`
	Form   map[string]any `json:"form,omitempty"`
	Finish bool           `json:"finish,omitempty" doc:"The person says that the step is done"`
	At     time.Time      `json:"at,omitzero" doc:"When, by the scanner's clock; now if absent"`
	Sent   time.Time      `json:"sent,omitzero" doc:"The scanner's clock now: shows how far it is off, however long the scan has waited to be sent"`
	Device string         `json:"device,omitempty" maxLength:"200" doc:"What scanned: an identifier, or a name"`
	Where  string         `json:"where,omitempty" maxLength:"200" doc:"The identifier of the place"`
	DryRun bool           `json:"dryRun,omitempty" doc:"Say what would happen, and do nothing"`
}

// Result is the answer to a scan.
type Result struct {
	ID        string      `json:"id,omitempty"`
	Run       string      `json:"run,omitempty"`
	Flow      string      `json:"flow,omitempty"`
	Step      string      `json:"step,omitempty"`
	Verdict   Verdict     `json:"verdict,omitempty" enum:"passed,warned,asking,refused,diverted,stopped"`
	Say       string      `json:"say,omitempty"`
	Text      Text        `json:"text,omitzero" doc:"say, in both languages"`
	Choices   []Choose    `json:"choices,omitempty" doc:"Several flows could be meant: ask which"`
	Form      []FieldView `json:"form,omitempty"`
	Next      *StepView   `json:"next,omitempty" doc:"What is to be done next in this run"`
	Ended     bool        `json:"ended,omitempty"`
	State     State       `json:"state,omitempty"`
	Effects   []Done      `json:"effects,omitempty"`
	Explain   []Reason    `json:"explain,omitempty"`
	Duplicate bool        `json:"duplicate,omitempty" doc:"It was sent before: nothing was done now"`
	Error     string      `json:"error,omitempty" doc:"In a batch: why this scan was not taken; it may be sent again"`
	Kind      string      `json:"kind,omitempty" doc:"In a batch: the kind of the error, as conflict"`
}

// Choose is a flow that could be meant.
type Choose struct {
	Flow  string `json:"flow"`
	Title string `json:"title"`
	Run   string `json:"run,omitempty"`
}

// FieldView is a field as a screen shows it.
type FieldView struct {
	Field    string       `json:"field"`
	Label    string       `json:"label"`
	Hint     string       `json:"hint,omitempty"`
	Type     string       `json:"type"`
	Unit     string       `json:"unit,omitempty"`
	Min      *float64     `json:"min,omitempty"`
	Max      *float64     `json:"max,omitempty"`
	Required bool         `json:"required,omitempty"`
	Pattern  string       `json:"pattern,omitempty"`
	Choices  []ChoiceView `json:"choices,omitempty"`
	Scan     bool         `json:"scan,omitempty"`
	Value    any          `json:"value,omitempty"`
}

// ChoiceView is one of a field's choices.
type ChoiceView struct {
	Value string `json:"value"`
	Label string `json:"label"`
}

// StepView is a step as a screen shows it.
type StepView struct {
	Step   string      `json:"step"`
	Title  string      `json:"title"`
	Hint   string      `json:"hint,omitempty"`
	Scans  bool        `json:"scans" doc:"Something is to be scanned"`
	Of     []string    `json:"of,omitempty" doc:"Templates of what is to be scanned"`
	Form   []FieldView `json:"form,omitempty"`
	Finish string      `json:"finish,omitempty" doc:"The words on the button that ends the step"`
}

func (s *step) view(lang problem.Lang, hint string) *StepView {
	v := &StepView{Step: s.Step.Step, Title: s.Name.In(lang), Hint: hint, Scans: s.Scan != nil}
	if s.Scan != nil {
		v.Of = s.Scan.Of
	}
	for i := range s.form {
		v.Form = append(v.Form, s.form[i].view(lang, nil))
	}
	if s.Finish != nil {
		v.Finish = s.Finish.Name.In(lang)
	}
	return v
}

func (f *field) view(lang problem.Lang, value any) FieldView {
	v := FieldView{Field: f.Field.Field, Label: f.Label.In(lang), Hint: f.Hint.In(lang), Type: f.Type, Unit: f.Unit, Min: f.Min, Max: f.Max, Required: f.Required, Pattern: f.Pattern, Scan: f.Scan, Value: value}
	for _, c := range f.Choices {
		v.Choices = append(v.Choices, ChoiceView{c.Value, c.Label.In(lang)})
	}
	return v
}

// said is a text of the engine itself.
func said(en, zh string, args ...any) Text {
	return Text{EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)}
}

// passage is one scan on its way through a flow.
type passage struct {
	e       *Engine
	ctx     context.Context
	who     api.Caller
	in      Scan
	p       *Program
	old     table.Row[Run]
	run     Run
	fresh   bool // the run begins with this scan
	now     time.Time
	scanned thingFound
	said    Text // of the check that decided
	verdict Verdict
	explain []Reason
	has     []any  // roles
	rule    string // the check that decided
	fatal   *Text  // a rule that could not be computed
	unit    unit
	undo    []act
	autos   int
	parties map[string]any

	effectsDone []Done
}

type thingFound struct {
	id    string // canonical; empty when nothing was scanned
	key   string
	found Found
}

// stop is the end of a scan before its work: what is said, and where the run goes.
type stop struct {
	verdict Verdict
	say     Text
	to      string // "": where it is
}

func (p *passage) binding(f Found, code string) map[string]any {
	m := map[string]any{}
	for k, v := range f.Values {
		m[k] = v
	}
	m["found"], m["id"], m["code"], m["here"], m["owner"], m["template"], m["trust"] = f.Found, f.ID, code, f.Here, f.Owner, f.Template, f.Trust
	return m
}

// scope is what expressions see now.
func (p *passage) scope() scope {
	s := scope{"form": map[string]any(p.run.Form), "vars": map[string]any(p.run.Vars), "uses": p.p.uses, "parties": p.parties, "device": p.in.Device, "where": p.in.Where,
		"now": p.now, "at": p.at(), "it": nil, "match": []any{},
		"who": map[string]any{"id": p.who.Ref.Name, "prefix": prefixOf(p.who.Ref.Name), "name": suffixOf(p.who.Ref.Name), "roles": p.roles()},
		"run": map[string]any{"id": p.run.ID, "started": p.run.Started, "step": p.run.Step, "prefix": p.e.cfg.Prefix}}
	for _, name := range p.p.names {
		switch v := p.run.Saw[name].(type) {
		case nil:
			s[name] = nothing
		case map[string]any:
			s[name] = newThing(v)
		default:
			s[name] = v
		}
	}
	return s
}

// nothing is a binding that no step has bound yet.
var nothing ref.Val = newThing(map[string]any{"found": false, "here": false})

// roles are the caller's in the solution, when the flow asks for them.
func (p *passage) roles() []any {
	if p.has == nil {
		p.has = []any{}
		for _, r := range p.p.sol.Roles {
			if p.p.asksRoles && p.e.cfg.May(p.ctx, p.who, p.p.sol.Name, r) {
				p.has = append(p.has, r)
			}
		}
	}
	return p.has
}

// at is when it was scanned: by the scanner's clock, put right by how far it was off when it sent; never in the future.
func (p *passage) at() time.Time {
	at := p.in.At
	if at.IsZero() {
		return p.now
	}
	if off := p.now.Sub(p.in.Sent); !p.in.Sent.IsZero() && off.Abs() > skew {
		at = at.Add(off)
	}
	if at.After(p.now.Add(skew)) {
		return p.now
	}
	return at
}

// offset says how the scanner's clock and the node's differ, when they do.
func (p *passage) offset() string {
	if off := p.in.Sent.Sub(p.now).Round(time.Second); !p.in.Sent.IsZero() && off.Abs() > skew {
		return fmt.Sprintf("the scanner's clock is off by %s; the time of the scan was put right", off)
	}
	off := p.in.At.Sub(p.now).Round(time.Second)
	switch {
	case p.in.At.IsZero() || off.Abs() <= skew:
		return ""
	case off > 0:
		return fmt.Sprintf("the scanner's clock is ahead by %s; the node's time is taken", off)
	}
	return fmt.Sprintf("it was scanned %s ago by the scanner's clock: it was offline, or its clock is wrong", -off)
}

func prefixOf(name string) string {
	i := strings.IndexByte(name, '/')
	if i < 0 {
		return name
	}
	return name[:i]
}

func suffixOf(name string) string {
	if i := strings.IndexByte(name, '/'); i >= 0 {
		return name[i+1:]
	}
	return ""
}

// shortName is a template's short name: part for 88.118.1001/META_PART/2.
func shortName(template string) string {
	_, s, ok := strings.Cut(template, "/")
	if !ok {
		return ""
	}
	s, _, _ = strings.Cut(s, "/")
	return strings.ToLower(strings.TrimPrefix(strings.ToUpper(s), "META_"))
}

// Scan does one scan and returns when it is durable. Errors: problem.NotFound for a run or flow that does not exist; problem.NeedAuth and problem.Forbidden;
// problem.TooLarge; problem.Conflict when somebody else moved the run on; what Resolve says when it cannot be asked. Everything else is a Result.
func (e *Engine) Scan(ctx context.Context, who api.Caller, in Scan) (*Result, error) {
	began := e.cfg.Now()
	if err := in.check(); err != nil {
		return nil, err
	}
	if who.IsAnonymous() {
		return nil, problem.New(problem.NeedAuth, "log in first: a flow is done by somebody", "请先登录：流程须由实名人员或应用执行")
	}
	if in.ID != "" {
		in.ID = who.Ref.Name + " " + in.ID // nobody can take another's number
		if r, err := e.before(ctx, in.ID, who.Lang); r != nil || err != nil {
			return r, err
		}
	}
	if earlier, ok := strings.CutPrefix(in.Run, "@"); ok {
		var err error
		if in.Run, err = e.begun(ctx, who, earlier); err != nil {
			return nil, err
		}
	}
	p := &passage{e: e, ctx: ctx, who: who, in: in, now: began}
	unlock, res, err := p.find()
	if err != nil || res != nil {
		return res, err
	}
	defer unlock()
	if in.ID != "" {
		// The same scan may have come twice at once.
		if r, err := e.before(ctx, in.ID, who.Lang); r != nil || err != nil {
			return r, err
		}
	}
	return p.do(began)
}

func (s *Scan) check() error {
	if len(s.Code) > maxCode || len(s.Device) > 200 || len(s.Where) > 200 || len(s.ID) > 100 || len(s.Form) > 200 || len(s.Run) > 101 || len(s.Step) > 40 || len(s.Flow) > 81 {
		return problem.New(problem.TooLarge, "the scan is over a limit: %d bytes of code, 200 of device and place, 100 of its number, 200 fields", "扫描超过上限：编码 %d 字节，设备与地点各 200 字节，编号 100 字节，表单 200 项", maxCode)
	}
	for _, t := range []string{s.Code, s.Device, s.Where, s.ID} {
		if !utf8.ValidString(t) || strings.ContainsFunc(t, func(r rune) bool { return r < 0x1d || r == 0x7f }) {
			return problem.New(problem.BadRequest, "the scan holds control characters or no UTF-8: set the scanner to send plain text", "扫描内容含有控制字符或不是 UTF-8：请将扫描器设为发送纯文本")
		}
	}
	return nil
}

// before is the answer that a scan had before; nil when it was never sent.
func (e *Engine) before(ctx context.Context, scan string, lang problem.Lang) (*Result, error) {
	var out *Result
	err := journal.By(ctx, e.cfg.Store, "scan", table.Is([]byte(scan)), func(x Entry) error {
		if x.Result != nil {
			r := *x.Result
			r.Duplicate, r.Say = true, r.Text.In(lang)
			out = &r
		}
		return nil
	})
	return out, err
}

// find finds the flow and the run that a scan belongs to, and locks what it is about. A result is an answer at once.
func (p *passage) find() (unlock func(), res *Result, err error) {
	e := p.e
	if p.in.Run != "" {
		r, err := runs.Load(p.ctx, e.cfg.Store, []byte(p.in.Run))
		if err != nil {
			return nil, nil, err
		}
		if !r.Found() || p.in.Flow != "" && p.in.Flow != r.Value.Flow {
			return nil, nil, problem.New(problem.NotFound, "there is no run %s of this flow: scan from the beginning", "没有流程实例 %s：请从头扫描", p.in.Run)
		}
		if p.p = e.program(r.Value.Flow); p.p == nil {
			return nil, nil, problem.New(problem.NotFound, "the flow %s is not installed any more: its runs rest until it is", "流程 %s 已不再安装：其实例暂停", r.Value.Flow)
		}
		code, err := p.code(p.p.steps[r.Value.Step])
		if err != nil {
			return nil, nil, err
		}
		unlock = e.lock("run "+p.in.Run, "thing "+r.Value.Key, "thing "+code.key)
		if p.old, err = runs.Load(p.ctx, e.cfg.Store, []byte(p.in.Run)); err != nil {
			unlock()
			return nil, nil, err
		}
		p.run, p.scanned = clone(p.old.Value), code
		return unlock, nil, nil
	}
	var candidates []*Program
	for _, q := range e.cfg.Programs() {
		if p.in.Flow == "" && p.mayDo(q, q.start) || q.Name == p.in.Flow {
			candidates = append(candidates, q)
		}
	}
	if len(candidates) == 0 {
		if p.in.Flow != "" {
			return nil, nil, problem.New(problem.NotFound, "the flow %s is not installed here: GET /api/flows lists those that are", "未安装流程 %s：GET /api/flows 列出可用流程", p.in.Flow)
		}
		return nil, nil, problem.New(problem.Forbidden, "no flow here is open to %s: ask an administrator for a role in a solution", "没有对 %s 开放的流程：请向管理员申请解决方案中的角色", p.who.Ref.Name)
	}
	code, err := p.code(candidates[0].start)
	if err != nil {
		return nil, nil, err
	}
	if len(candidates) > 1 {
		if candidates, res, err = p.choose(candidates, code); err != nil || res != nil {
			return nil, res, err
		}
	}
	p.p, p.scanned = candidates[0], code
	unlock = e.lock("thing " + code.key)
	if !p.p.def.Many && code.key != "" {
		// A run about this thing that is not over goes on.
		var open []Run
		if err := runs.By(p.ctx, e.cfg.Store, "about", table.Is(pair(code.key, p.p.Name)), func(r Run) error { open = append(open, r); return nil }); err != nil {
			unlock()
			return nil, nil, err
		}
		if len(open) > 0 {
			unlock()
			unlock = e.lock("thing "+code.key, "run "+open[0].ID)
			if p.old, err = runs.Load(p.ctx, e.cfg.Store, []byte(open[0].ID)); err != nil {
				unlock()
				return nil, nil, err
			}
			if p.run = clone(p.old.Value); p.run.State == Open || p.run.State == Held {
				return unlock, nil, nil
			}
			p.old = table.Row[Run]{}
		}
	}
	p.run = Run{Flow: p.p.Name, Version: p.p.sol.Version, State: Open, Step: p.p.start.Step.Step, Started: p.now, By: p.who.Ref.Name, Vars: maps.Clone(p.p.vars), Saw: tree{}, Form: tree{}}
	if p.run.ID, err = e.name(); err != nil {
		unlock()
		return nil, nil, err
	}
	p.fresh = true
	return unlock, nil, nil
}

// choose narrows flows to those that take what was scanned; what is left is one, or a question.
func (p *passage) choose(all []*Program, code thingFound) ([]*Program, *Result, error) {
	f, err := p.resolve(code.id, p.in.Code)
	if err != nil {
		return nil, nil, err
	}
	var fits []*Program
	var asks []Choose
	for _, q := range all {
		// A run about it that is under way comes before any that could begin.
		var open string
		if err := runs.By(p.ctx, p.e.cfg.Store, "about", table.Is(pair(code.key, q.Name)), func(r Run) error { open = r.ID; return nil }); err != nil {
			return nil, nil, err
		}
		s := q.start.Scan
		if open == "" && (s == nil || f.Found && (len(s.Of) > 0 && !slices.Contains(s.Of, shortName(f.Template))) || !f.Found && !s.New || s.Owner == "own" && !p.own(code.id) || q.start.pattern != nil && !q.start.pattern.MatchString(suffixOf(code.id))) {
			continue
		}
		fits = append(fits, q)
		asks = append(asks, Choose{q.Name, q.Title.In(p.who.Lang), open})
	}
	switch len(fits) {
	case 1:
		return fits, nil, nil
	case 0:
		t := said("nothing can be done with %s here: it is not registered, or of a kind that no flow takes", "%s 没有可执行的流程：尚未注册，或其类型没有对应流程", p.in.Code)
		return nil, &Result{ID: p.in.ID, Verdict: Refused, Say: t.In(p.who.Lang), Text: t}, nil
	}
	t := said("what is to be done with %s?", "要对 %s 做什么？", p.in.Code)
	return nil, &Result{Verdict: Asking, Say: t.In(p.who.Lang), Text: t, Choices: asks}, nil
}

func (p *passage) mayDo(q *Program, s *step) bool {
	roles := s.Who
	if len(roles) == 0 {
		roles = q.sol.Roles
	}
	return slices.ContainsFunc(roles, func(r string) bool { return p.e.cfg.May(p.ctx, p.who, q.sol.Name, r) })
}

func (p *passage) own(name string) bool {
	return handle.Equal(prefixOf(name), p.e.cfg.Prefix)
}

// code is what a scanned text means at a step: an identifier, or a private code that the step makes one of.
func (p *passage) code(s *step) (thingFound, error) {
	text := strings.TrimSpace(p.in.Code)
	if text == "" || s == nil || s.Scan == nil {
		return thingFound{}, nil
	}
	for _, c := range s.codes {
		m := c.match.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		groups := make([]any, len(m))
		for i := range m {
			groups[i] = m[i]
		}
		v, err := c.id.text(scope{"match": groups, "run": map[string]any{"prefix": p.e.cfg.Prefix}, "uses": map[string]any{}, "parties": map[string]any{}})
		if err != nil {
			return thingFound{}, problem.Wrap(err, problem.BadValue, "the rule for private codes cannot be used", "私有编码规则无法使用")
		}
		text = v
		break
	}
	return thingFound{id: text, key: epcis.Key(text)}, nil
}

func (p *passage) resolve(name, code string) (Found, error) {
	if name == "" {
		return Found{}, nil
	}
	if err := p.e.settle(p.ctx, epcis.Key(name)); err != nil {
		return Found{}, err
	}
	f, err := p.e.cfg.Resolve(p.ctx, p.who, name)
	switch {
	case err == nil:
		if f.ID == "" {
			f.ID = name
		}
		return f, nil
	case problem.Is(err, problem.NotFound):
		return Found{ID: name}, nil
	case problem.Is(err, problem.Bogus):
		return Found{ID: name, Trust: "bogus"}, nil
	}
	return Found{}, err
}

// do does the scan at the run's step.
func (p *passage) do(began time.Time) (*Result, error) {
	s := p.p.steps[p.run.Step]
	if p.run.State == Held {
		t := said("this is held: %s. Somebody must let it go on first", "已停止：%s，须先放行", p.run.Say.EN)
		t.ZH = fmt.Sprintf("已停止：%s，须先放行", p.run.Say.ZH)
		return p.answer(s, Stopped, t, nil), nil
	}
	if over := p.run.State != Open || s == nil; over || p.in.Step != "" && p.in.Step != p.run.Step {
		return nil, p.movedOn(over)
	}
	if !p.mayDo(p.p, s) {
		return nil, problem.New(problem.Forbidden, "%s may not do the step %q: it is for %s", "%s 不能执行步骤“%s”：该步骤由 %s 执行", p.who.Ref.Name, s.Name.In(p.who.Lang), strings.Join(s.Who, ", "))
	}
	p.parties = map[string]any{}
	for k, v := range p.p.sol.Parties {
		p.parties[k] = v
	}
	halt, form, err := p.gather(s)
	if err != nil {
		return nil, err
	}
	if form != nil {
		return p.answer(s, Asking, said("fill in the form", "请填写表单"), form), nil
	}
	from, before := s, clone(p.run)
	if halt == nil {
		if halt, err = p.work(s); err != nil {
			return nil, err
		}
		if halt != nil {
			// Nothing of the step is done, not the half that came before what stopped it.
			p.run, p.unit, p.undo, p.effectsDone = clone(before), unit{}, nil, nil
		}
	}
	if halt != nil {
		p.verdict, p.said = halt.verdict, halt.say
		if halt.verdict == Stopped && halt.to == "" {
			p.run.State, p.run.Stop = Held, p.rule
		} else if err := p.goTo(halt.to, s); err != nil {
			return nil, err
		}
	}
	if p.fatal != nil {
		p.undone(before)
	}
	return p.finish(from, began)
}

// movedOn says what somebody else did with the run meanwhile.
func (p *passage) movedOn(over bool) error {
	last, err := p.e.newest(p.ctx, p.run.ID)
	if err != nil {
		return err
	}
	en, zh := p.run.Step, p.run.Step
	if s := p.p.steps[p.run.Step]; s != nil {
		en, zh = s.Name.EN, s.Name.ZH
	}
	if over {
		en, zh = "over", "已结束"
	}
	return problem.New(problem.Conflict, "%[1]s did the step %[2]q at %[3]s (%[4]s): the run is now at: %[5]s. Look at it, then scan what is to be done next",
		"%[1]s 已于 %[3]s 完成步骤“%[2]s”（%[6]s）：流程现处于：%[7]s。请查看后再扫描下一步", last.Who, last.Step, last.Received.In(zone).Format(time.DateTime), last.Say.EN, en, last.Say.ZH, zh)
}

// refuse is a stop that leaves the run where it is, or ends one that has only just begun.
func (p *passage) refuse(en, zh string, args ...any) *stop {
	return &stop{Refused, said(en, zh, args...), ""}
}

// gather looks up what the step must know. It gives a stop, or a form that is to be filled in.
func (p *passage) gather(s *step) (*stop, []FieldView, error) {
	if p.in.Finish && s.Finish != nil {
		return nil, nil, nil
	}
	if s.Scan != nil {
		code := strings.TrimSpace(p.in.Code)
		if code == "" {
			return p.refuse("nothing was scanned: %s", "没有扫描内容：%[2]s", s.Name.EN, s.Name.ZH), nil, nil
		}
		v, err := id.Parse(p.scanned.id)
		if err != nil || v.IsPrefix() {
			return p.refuse("%q cannot be read as an identifier: scan it again", "%q 无法识别为标识：请重新扫描", clip(code)), nil, nil
		}
		if s.pattern != nil && !s.pattern.MatchString(v.Suffix()) {
			return p.refuse("%s is no code that belongs here", "%s 不是此处应扫描的编码", clip(code)), nil, nil
		}
		if s.Scan.Owner == "own" && !p.own(v.String()) {
			return p.refuse("%s belongs to another enterprise", "%s 属于其他企业", clip(code)), nil, nil
		}
		f, err := p.resolve(v.String(), code)
		if err != nil {
			return nil, nil, err
		}
		p.scanned.found = f
		if f.Trust == "bogus" {
			return p.refuse("forged: what is answered about %s does not hold its signatures", "疑似伪造：%s 的解析结果未通过签名验证", clip(code)), nil, nil
		}
		if f.Found && len(s.Scan.Of) > 0 && !slices.Contains(s.Scan.Of, shortName(f.Template)) {
			return p.refuse("%s is of the kind %q; here %s is to be scanned", "%s 的类型为 %q；此处应扫描 %s", clip(code), shortName(f.Template), strings.Join(s.Scan.Of, ", ")), nil, nil
		}
		p.run.Saw[s.Scan.As] = p.binding(f, code)
		if p.fresh {
			p.run.About, p.run.Key = code, epcis.Key(v.String())
		}
	}
	if len(s.form) > 0 {
		form, missing, halt := p.fill(s)
		if halt != nil {
			return halt, nil, nil
		}
		p.run.Form = form
		if err := p.asks(s); err != nil {
			return nil, nil, err
		}
		if missing {
			// What no answer could change is said at once.
			if halt := p.judge(s, s.earlyAsks, s.earlyChecks); halt != nil {
				return halt, nil, nil
			}
			p.explain, p.verdict, p.said = nil, "", Text{}
			return nil, p.blank(s), nil
		}
		return nil, nil, nil
	}
	return nil, nil, p.asks(s)
}

// asks binds what else the step must know.
func (p *passage) asks(s *step) error {
	for i := range s.ask {
		a := &s.ask[i]
		of, err := a.of.text(p.scope())
		if err != nil {
			of = "" // made of something that is not known: so is this
		}
		limit := a.Last
		if limit == 0 {
			limit = 10
		}
		switch {
		case a.ID != "":
			f, err := p.resolve(of, of)
			if problem.Is(err, problem.BadID) {
				f, err = Found{}, nil
			}
			if err != nil {
				return err
			}
			if f.Found && len(a.Of) > 0 && !slices.Contains(a.Of, shortName(f.Template)) {
				f.Found = false
			}
			p.run.Saw[a.As] = p.binding(f, of)
		case a.Events != "":
			list := []any{}
			if of != "" {
				key := epcis.Key(of)
				if err := p.e.settle(p.ctx, key); err != nil {
					return err
				}
				events, err := p.e.cfg.Events(p.ctx, key, a.Step, limit)
				if err != nil {
					return err
				}
				for _, ev := range events {
					list = append(list, eventView(ev))
				}
			}
			p.run.Saw[a.As] = list
		case a.Runs != "":
			list := []any{}
			name := a.Flow
			if !strings.Contains(name, "/") {
				name = p.p.sol.Name + "/" + name
			}
			if of != "" {
				var all []Run
				if err := runs.By(p.ctx, p.e.cfg.Store, "thing", table.Is(pair(epcis.Key(of), name)), func(r Run) error {
					if r.ID != p.run.ID && (a.State == "" || r.State == a.State) {
						all = append(all, r)
					}
					return nil
				}); err != nil {
					return err
				}
				slices.SortFunc(all, func(x, y Run) int { return y.Last.Compare(x.Last) })
				for _, r := range all[:min(len(all), limit)] {
					list = append(list, map[string]any{"run": r.ID, "state": string(r.State), "verdict": string(r.Verdict), "vars": map[string]any(r.Vars), "at": text(r.Last)})
				}
			}
			p.run.Saw[a.As] = list
		}
	}
	for _, d := range s.decide {
		p.run.Saw[d.as] = d.table.eval(p.scope())
	}
	return nil
}

// eventView is an event as expressions see it.
func eventView(e *epcis.Event) map[string]any {
	list := func(all []string) []any {
		out := make([]any, 0, len(all))
		for _, s := range all {
			out = append(out, s)
		}
		return out
	}
	where := func(l *epcis.Location) string {
		if l == nil {
			return ""
		}
		return l.ID
	}
	more := map[string]any{}
	for _, f := range e.Extensions {
		switch f.Value.Kind {
		case epcis.Number:
			if n, ok := toNumber(f.Value.Text); ok {
				more[f.Name] = n
			}
		case epcis.Bool:
			more[f.Name] = f.Value.Text == "true"
		case epcis.Text:
			more[f.Name] = f.Value.Text
		}
	}
	return map[string]any{"id": e.ID, "type": string(e.Type), "action": string(e.Action), "time": text(e.Time), "step": e.BizStep, "disposition": e.Disposition, "place": where(e.BizLocation), "readPoint": where(e.ReadPoint),
		"things": list(e.EPCs), "children": list(e.EPCs), "parent": e.Parent, "inputs": list(e.InputEPCs), "outputs": list(e.OutputEPCs), "ext": more}
}

func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// blank is the form as it is to be filled in.
func (p *passage) blank(s *step) []FieldView {
	sc := p.scope()
	var out []FieldView
	for i := range s.form {
		f := &s.form[i]
		var v any
		if x, ok := p.run.Form[f.Field.Field]; ok {
			v = x
		} else if f.prefill != nil {
			if x, err := f.prefill.eval(sc); err == nil {
				v = x
			}
		}
		out = append(out, f.view(p.who.Lang, v))
	}
	return out
}

// fill reads what was filled in. missing: a field that is required is not there, and nothing is wrong with the others.
func (p *passage) fill(s *step) (form tree, missing bool, halt *stop) {
	form = tree{}
	for name := range p.in.Form {
		if !slices.ContainsFunc(s.form, func(f field) bool { return f.Field.Field == name }) {
			return nil, false, p.refuse("the form has no field %s", "表单没有字段 %s", clip(name))
		}
	}
	for i := range s.form {
		f := &s.form[i]
		raw, ok := p.in.Form[f.Field.Field]
		if t, isText := raw.(string); isText && strings.TrimSpace(t) == "" {
			ok = false
		}
		if !ok || raw == nil {
			missing = missing || f.Required
			switch f.Type {
			case "number", "integer", "boolean":
			default:
				form[f.Field.Field] = ""
			}
			continue
		}
		v, en, zh := f.read(raw)
		if en != "" {
			return nil, false, &stop{Refused, Text{EN: f.Label.EN + ": " + en, ZH: f.Label.ZH + "：" + zh}, ""}
		}
		form[f.Field.Field] = v
	}
	return form, missing, nil
}

var isDay = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

// read checks one field's value; en and zh say what is wrong with it.
func (f *field) read(raw any) (v any, en, zh string) {
	if raw, en, zh = f.inUnit(raw); en != "" {
		return nil, en, zh
	}
	t := strings.TrimSpace(text(plain(raw)))
	if len(t) > maxValue || !utf8.ValidString(t) {
		return nil, fmt.Sprintf("it has over %d bytes", maxValue), fmt.Sprintf("超过 %d 字节", maxValue)
	}
	switch f.Type {
	case "number", "integer":
		n, ok := toNumber(t)
		if !ok {
			return nil, fmt.Sprintf("%q is no number", clip(t)), fmt.Sprintf("%q 不是数字", clip(t))
		}
		if f.Min != nil && n < *f.Min || f.Max != nil && n > *f.Max {
			en, zh = bounds(f)
			return nil, fmt.Sprintf("%s %s is out of bounds: %s", t, f.Unit, en), fmt.Sprintf("%s %s 超出范围：%s", t, f.Unit, zh)
		}
		if f.Type == "integer" {
			if n != float64(int64(n)) {
				return nil, fmt.Sprintf("%s is no whole number", t), fmt.Sprintf("%s 不是整数", t)
			}
			return int64(n), "", ""
		}
		return n, "", ""
	case "boolean":
		switch strings.ToLower(t) {
		case "true", "yes", "是":
			return true, "", ""
		case "false", "no", "否":
			return false, "", ""
		}
		return nil, "write true or false", "请填写 true 或 false"
	case "choice":
		for _, c := range f.Choices {
			if c.Value == t {
				return t, "", ""
			}
		}
		return nil, fmt.Sprintf("%q is none of the choices", clip(t)), fmt.Sprintf("%q 不在选项中", clip(t))
	case "date":
		if x, ok := instant(t); !ok || !isDay.MatchString(t) || x.IsZero() {
			return nil, fmt.Sprintf("%q is no day: write 2026-11-22", clip(t)), fmt.Sprintf("%q 不是日期：请写成 2026-11-22", clip(t))
		}
	case "datetime":
		if _, ok := instant(t); !ok {
			return nil, fmt.Sprintf("%q is no time: write 2026-11-22T08:00:00+08:00", clip(t)), fmt.Sprintf("%q 不是时间：请写成 2026-11-22T08:00:00+08:00", clip(t))
		}
	case "id":
		x, err := id.Parse(t)
		if err != nil || x.IsPrefix() && strings.Trim(t, "0123456789.") != "" {
			return nil, fmt.Sprintf("%q is no identifier", clip(t)), fmt.Sprintf("%q 不是标识", clip(t))
		}
		t = x.String()
	}
	n := float64(utf8.RuneCountInString(t))
	if f.Min != nil && n < *f.Min || f.Max != nil && n > *f.Max {
		en, zh = bounds(f)
		return nil, "its length is out of bounds: " + en, "长度超出范围：" + zh
	}
	if f.pattern != nil && !f.pattern.MatchString(t) {
		return nil, fmt.Sprintf("%q does not have the form that is wanted", clip(t)), fmt.Sprintf("%q 不符合要求的格式", clip(t))
	}
	return t, "", ""
}

// inUnit takes a number with another unit, {"value": 72, "unit": "[mi_i]"} or "72 [mi_i]", into the field's.
func (f *field) inUnit(raw any) (v any, en, zh string) {
	if f.Type != "number" && f.Type != "integer" {
		return raw, "", ""
	}
	unit := ""
	switch x := raw.(type) {
	case map[string]any:
		raw, unit = x["value"], text(x["unit"])
	case string:
		raw, unit, _ = strings.Cut(strings.TrimSpace(x), " ")
	}
	if unit = strings.TrimSpace(unit); unit == "" || unit == f.Unit {
		return raw, "", ""
	}
	n, ok := toNumber(plain(raw))
	if !ok {
		return raw, "", "" // what it is instead is said by who reads it
	}
	if n, ok = convert(n, unit, f.Unit); !ok {
		return nil, fmt.Sprintf("%q cannot be told in %q", clip(unit), f.Unit), fmt.Sprintf("%q 无法换算为 %q", clip(unit), f.Unit)
	}
	return n, "", ""
}

func bounds(f *field) (en, zh string) {
	switch {
	case f.Min != nil && f.Max != nil:
		return fmt.Sprintf("from %v to %v", *f.Min, *f.Max), fmt.Sprintf("应在 %v 至 %v 之间", *f.Min, *f.Max)
	case f.Min != nil:
		return fmt.Sprintf("at least %v", *f.Min), fmt.Sprintf("至少 %v", *f.Min)
	}
	return fmt.Sprintf("at most %v", *f.Max), fmt.Sprintf("至多 %v", *f.Max)
}

// identity is in whose name the step's effects are done.
func (p *passage) actor() Actor { return Actor{p.who.Ref.Index, p.who.Ref.Name} }

func (a Actor) identity() record.Identity {
	return record.Identity{Ref: record.Ref{Index: a.Index, Name: a.Name}, Operator: a.Name == ""}
}
