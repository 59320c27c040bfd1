package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/table"
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

// stop is the end of a scan before its work: what is said, and where the run goes.
type stop struct {
	verdict Verdict
	say     Text
	to      string // "": where it is
}

// Scan does one scan and returns when it is durable. Errors: problem.NotFound for a run or flow that does not exist; problem.NeedAuth and problem.Forbidden;
// problem.TooLarge; problem.Conflict when somebody else moved the run on; what Resolve says when it cannot be asked. Everything else is a Result.
func (e *Engine) Scan(ctx context.Context, who api.Caller, in Scan) (*Result, error) {
	r, err := e.scan(ctx, who, in)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) && !problem.Is(err, problem.Canceled) {
		err = problem.Wrap(err, problem.Canceled, "the scan was given up: send it again with the same number", "扫描已放弃：请以同一编号重新发送")
	}
	return r, err
}

func (e *Engine) scan(ctx context.Context, who api.Caller, in Scan) (*Result, error) {
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
	if halt == nil && from.Scan != nil && from.Scan.Alone && p.scanned.key != "" && !p.in.Finish && !slices.Contains(p.run.Holds, p.scanned.key) {
		p.run.Holds = append(slices.Clone(p.run.Holds), p.scanned.key)
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

// refuse is a stop that leaves the run where it is, or ends one that has only just begun.
func (p *passage) refuse(en, zh string, args ...any) *stop {
	return &stop{Refused, said(en, zh, args...), ""}
}

// identity is in whose name the step's effects are done.
func (p *passage) actor() Actor { return Actor{p.who.Ref.Index, p.who.Ref.Name} }

func (a Actor) identity() record.Identity {
	return record.Identity{Ref: record.Ref{Index: a.Index, Name: a.Name}, Operator: a.Name == ""}
}
