package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// sheet is a file of rules and of what is expected of them, for `fujie policy test`.
type sheet struct {
	Zone      string                `json:"zone"`
	Templates map[string]sheetClass `json:"templates"`
	Groups    map[string][]string   `json:"groups"`
	Rules     []sheetRule           `json:"rules"`
	Cases     []sheetCase           `json:"cases"`
}

type sheetClass struct {
	Default Visibility            `json:"default"`
	Items   map[string]Visibility `json:"items"`
}

// sheetRule is a rule and, when it is one identifier's, whose; else the prefix whose records it is about.
type sheetRule struct {
	Name   string `json:"name"`
	ID     string `json:"id"`
	Prefix string `json:"prefix"`
	Rule
}

type sheetCase struct {
	Name     string     `json:"name"`
	Who      string     `json:"who"`
	Action   Action     `json:"action"`
	Purpose  string     `json:"purpose"`
	At       *time.Time `json:"at"`
	ID       string     `json:"id"`
	Template string     `json:"template"`
	Used     int64      `json:"used"`
	Allow    []string   `json:"allow"`
	Deny     []string   `json:"deny"`
}

// Verdict is what the rules say in one case about one property.
type Verdict struct {
	Case    string
	Item    string
	Want    bool // allowed
	Got     bool
	Because string // the rule and grant that decided; empty when none did
}

// Holds reports whether it is as expected.
func (v Verdict) Holds() bool { return v.Want == v.Got }

const maxSheet = 4 << 20

// Test asks the rules in a file its cases, without a node: each property under allow or deny of each case gives a
// verdict. The file is YAML or JSON: templates (default, items), groups (members), rules as in the interface, each with
// a name, and id for the rule of one identifier; cases with who, action, purpose, at, id, template, used, allow, deny.
// Errors: problem.BadRequest for a file that cannot be read, problem.BadValue for a rule that cannot be used.
func Test(file []byte) ([]Verdict, error) {
	bad := func(cause error, en, zh string, args ...any) error {
		return problem.Wrap(cause, problem.BadRequest, en, zh, args...)
	}
	if len(file) > maxSheet {
		return nil, bad(nil, "the file is over 4 MiB: split it", "文件超过 4 MiB：请拆分")
	}
	// An alias in YAML may stand for what is a million times as long.
	if aliases := bytes.Count(file, []byte("*")); aliases > 10_000 {
		return nil, bad(nil, "the file has over 10000 stars: split it", "文件中星号超过 10000 个：请拆分")
	}
	text, err := yaml.YAMLToJSON(file)
	if err != nil {
		return nil, bad(err, "the file is neither YAML nor JSON", "文件既不是 YAML 也不是 JSON")
	}
	var s sheet
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, bad(err, "the file says what is not known here", "文件中有无法识别的内容")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad(nil, "something stands behind the end of the file's document", "文件内容之后还有其他内容")
	}
	zone := beijing
	if s.Zone != "" {
		if zone, err = time.LoadLocation(s.Zone); err != nil {
			return nil, bad(err, "zone %q is unknown: write a name as Asia/Shanghai", "时区 %q 未知：请写如 Asia/Shanghai", clip(s.Zone))
		}
	}
	own := map[string][]*compiled{}
	wide := map[string][]*compiled{} // by prefix
	for i := range s.Rules {
		r := &s.Rules[i]
		if r.Name == "" {
			r.Name = "rule " + strconv.Itoa(i+1)
		}
		for j := range r.Grants {
			if r.Grants[j].ID == "" {
				r.Grants[j].ID = fmt.Sprintf("%d.%d", i+1, j+1)
			}
		}
		c, err := r.compile(r.Name, r.ID != "")
		if err != nil {
			return nil, problem.Wrap(err, problem.BadValue, "%s cannot be used", "%s 不可用", clip(r.Name))
		}
		if r.ID != "" {
			own[handle.Fold(r.ID)] = append(own[handle.Fold(r.ID)], c)
			continue
		}
		prefix := handle.Fold(r.Prefix)
		if prefix == "" && c.Template != "" {
			prefix, _, _ = cut(handle.Fold(c.Template))
		}
		if prefix == "" {
			return nil, bad(nil, "%s is about no template, so it must name its prefix", "%s 未指明模板，须指明前缀", clip(r.Name))
		}
		wide[prefix] = append(wide[prefix], c)
	}
	members := map[string]map[string]bool{}
	for g, list := range s.Groups {
		in := map[string]bool{}
		for _, m := range list {
			in[handle.Fold(m)] = true
		}
		members[handle.Fold(g)] = in
	}
	classes := map[string]sheetClass{}
	for name, c := range s.Templates {
		folded := sheetClass{Default: c.Default, Items: map[string]Visibility{}}
		for item, v := range c.Items {
			if v.strictness() < 1 {
				return nil, bad(nil, "template %s: %q is no visibility", "模板 %s：%q 不是可见性", clip(name), clip(string(v)))
			}
			folded.Items[handle.Fold(item)] = v
		}
		classes[handle.Fold(name)] = folded
	}

	var out []Verdict
	for i := range s.Cases {
		c := &s.Cases[i]
		if c.Name == "" {
			c.Name = "case " + strconv.Itoa(i+1)
		}
		v, err := id.ParseHandle(c.ID)
		if err != nil || v.IsPrefix() {
			return nil, bad(err, "%s: id %q is no identifier of a record", "%s：id %q 不是记录的标识", clip(c.Name), clip(c.ID))
		}
		if c.Action == "" {
			c.Action = Read
		}
		if c.Action != Read && c.Action != Edit || len(c.Allow)+len(c.Deny) == 0 {
			return nil, bad(nil, "%s: the action is read or edit, and allow or deny lists properties", "%s：action 为 read 或 edit，allow 或 deny 须列出属性", clip(c.Name))
		}
		name, template := v.String(), handle.Fold(c.Template)
		b := &book{}
		for _, r := range own[name] {
			b.put(r, identifierItem, identifier)
		}
		for _, r := range wide[v.Prefix()] {
			switch handle.Fold(r.Template) {
			case "":
				b.put(r, prefixItem, prefixRule)
			case template:
				b.put(r, propertyRule, templateRule)
			}
		}
		if cl, ok := classes[template]; ok && template != "" {
			b.class, b.known = Class(cl), true
		}
		now := time.Unix(1800000000, 0)
		if c.At != nil {
			now = *c.At
		}
		q := &question{action: c.Action, who: askerOf(record.Ref{Index: 300, Name: c.Who}), purpose: c.Purpose, now: now, rec: name,
			prefix: v.Prefix(), template: template, zone: zone, used: func(string) int64 { return c.Used }}
		q.in = func(g string) (bool, bool) { return members[g][q.who.name], true }
		for _, want := range []bool{true, false} {
			items := c.Deny
			if want {
				items = c.Allow
			}
			for _, item := range items {
				x := record.Value{Index: record.IndexProperty, Type: item, Perm: record.DefaultPerm}
				if n, err := strconv.ParseUint(item, 10, 31); err == nil {
					x.Index, x.Type = uint32(n), ""
				}
				got := Verdict{Case: c.Name, Item: item, Want: want}
				word, _ := b.visibility(&x)
				switch {
				case c.Action == Read && b.govern([]record.Value{x})[0].Perm&record.PublicRead != 0:
					got.Got, got.Because = true, string(word)
				case c.Who != "":
					d := b.decide(q, &x)
					got.Got, got.Because = d.allowed, d.source
					if d.by != nil && d.by.ID != "" {
						got.Because += "#" + d.by.ID
					}
				}
				if got.Because == "" {
					got.Because = string(word)
				}
				out = append(out, got)
			}
		}
	}
	return out, nil
}

// put adds a rule at the level for rules with items, or that for others.
func (b *book) put(c *compiled, items, all int) {
	if c.items == nil {
		items = all
	}
	b.at[items] = append(b.at[items], c)
}

// Report is the verdicts as lines for people, those that are not as expected first, and how many there are of them.
func Report(verdicts []Verdict, lang problem.Lang) (text string, wrong int) {
	verdicts = slices.Clone(verdicts)
	slices.SortStableFunc(verdicts, func(a, b Verdict) int {
		switch {
		case a.Holds() == b.Holds():
			return 0
		case b.Holds():
			return -1
		}
		return 1
	})
	words := map[bool]string{true: "allowed", false: "denied"}
	format := "%s  %s: %s is %s (%s)"
	expected := ", expected %s"
	none := "no rule"
	if lang == problem.Chinese {
		words = map[bool]string{true: "允许", false: "拒绝"}
		format, expected, none = "%s  %s：%s %s（%s）", "，应为%s", "无规则"
	}
	var b strings.Builder
	for _, v := range verdicts {
		mark := "ok  "
		if !v.Holds() {
			mark = "FAIL"
			wrong++
		}
		because := v.Because
		if because == "" {
			because = none
		}
		fmt.Fprintf(&b, format, mark, v.Case, v.Item, words[v.Got], because)
		if !v.Holds() {
			fmt.Fprintf(&b, expected, words[v.Want])
		}
		b.WriteByte('\n')
	}
	return b.String(), wrong
}
