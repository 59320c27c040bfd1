package flow

import (
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/types/ref"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/epcis"
)

type thingFound struct {
	id    string // canonical; empty when nothing was scanned
	key   string
	found Found
}

func (p *passage) binding(f Found, code string) map[string]any {
	m := map[string]any{}
	for k, v := range f.Values {
		m[k] = v
	}
	m["found"], m["id"], m["code"], m["here"], m["owner"], m["template"], m["trust"] = f.Found, f.ID, code, f.Here, f.Owner, f.Template, f.Trust
	if f.Shown != "" {
		m["shown"] = string(f.Shown)
	}
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
func (p *passage) offset() Text {
	if off := p.in.Sent.Sub(p.now).Round(time.Second); !p.in.Sent.IsZero() && off.Abs() > skew {
		return said("the scanner's clock is off by %s: set it; the time of this scan was put right", "扫描设备时钟偏差 %s：请校准；本次扫描时间已校正", off)
	}
	off := p.in.At.Sub(p.now).Round(time.Second)
	switch {
	case p.in.At.IsZero() || off.Abs() <= skew:
		return Text{}
	case off > 0:
		return said("the scanner's clock is ahead by %s: set it; the node's time is taken", "扫描设备时钟快 %s：请校准；已采用节点时间", off)
	}
	return said("it was scanned %s ago by the scanner's clock: it was offline, or its clock is wrong", "按扫描设备时钟，扫描发生在 %s 之前：设备曾离线，或时钟有误", -off)
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

func (p *passage) own(name string) bool {
	return handle.Equal(prefixOf(name), p.e.cfg.Prefix)
}

// private reports whether the step takes the text for a private code.
func (s *step) private(text string) bool {
	return slices.ContainsFunc(s.codes, func(c code) bool { return c.match.MatchString(strings.TrimSpace(text)) })
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

func (p *passage) resolve(name, purpose string) (Found, error) {
	if name == "" {
		return Found{}, nil
	}
	if err := p.e.settle(p.ctx, epcis.Key(name)); err != nil {
		return Found{}, err
	}
	f, err := p.e.cfg.Resolve(p.ctx, p.who, name, purpose)
	if err == nil {
		p.asked(f, purpose)
	}
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

// asked puts into the explanation what an owner answered to this enterprise's own question.
func (p *passage) asked(f Found, purpose string) {
	switch what := f.Owner + ": " + purpose; f.Shown {
	case ShownAnswered:
		p.explain = append(p.explain, Reason{what, "it answered this enterprise by name", "已按本企业身份应答"})
	case ShownRefused:
		p.explain = append(p.explain, Reason{what, "it shows this enterprise no more than everybody; ask it for access", "未向本企业展示更多内容，可向其申请授权"})
	case ShownSilent:
		p.explain = append(p.explain, Reason{what, "it did not answer; what everybody sees was taken", "未应答，已采用公开内容"})
	}
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
		f, err := p.resolve(v.String(), s.Scan.Purpose)
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
		if s.Scan.Alone {
			if halt, err := p.elsewhere(code); halt != nil || err != nil {
				return halt, nil, err
			}
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

// elsewhere turns a thing away that another run of the flow has, which is not over: what that run will say of the thing is known when it ends, and no event tells it before. Scans of one
// thing take turns, so of two at once one sees the other.
func (p *passage) elsewhere(code string) (halt *stop, err error) {
	err = runs.By(p.ctx, p.e.cfg.Store, "holds", table.Is(pair(p.scanned.key, p.p.Name)), func(r Run) error {
		if r.ID != p.run.ID {
			halt = p.refuse("%[1]s is in %[2]s already, which %[3]s began at %[4]s and which is not closed: leave it there, or have that one cancelled (run %[5]s) and scan again",
				"%[1]s 已在 %[2]s 中（由 %[3]s 于 %[4]s 开始，尚未完成）：请留在其中，或先取消该流程（实例 %[5]s）再扫描", clip(code), clip(r.About), r.By, r.Started.In(zone).Format(time.DateTime), r.ID)
		}
		return nil
	})
	return halt, err
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
			f, err := p.resolve(of, a.Purpose)
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
