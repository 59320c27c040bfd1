package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Violation is one place where something breaks a template.
type Violation struct {
	Property string // English name; empty when it is not about one
	Index    uint32
	Rule     string // "required", "type", "maxLength", …
	Place    string // "value 2003", "items[4].unit"
	EN, ZH   string
}

// Violations is an error of problem.BadValue with every place at fault; it is api.Detailed.
type Violations struct {
	Template string // which template is broken; empty when the template itself is wrong
	List     []Violation
}

// maxSaid is how many violations are told at once.
const maxSaid = 100

func (v *Violations) add(property string, index uint32, rule, place, en, zh string) {
	v.List = append(v.List, Violation{property, index, rule, place, en, zh})
}

func (v *Violations) err() error {
	if len(v.List) == 0 {
		return nil
	}
	return v
}

func (v *Violations) Error() string { return v.Unwrap().Error() }

// Unwrap is the whole as one sentence, the first violation at its head.
func (v *Violations) Unwrap() error {
	f := v.List[0]
	what := f.Place
	if f.Property != "" {
		what = f.Property + " (" + f.Place + ", " + f.Rule + ")"
	}
	en, zh := "%s: %s", "%[1]s：%[3]s"
	if n := len(v.List) - 1; n > 0 {
		en, zh = en+fmt.Sprintf(" (and %d more)", n), zh+fmt.Sprintf("（另有 %d 处）", n)
	}
	if v.Template != "" {
		en, zh = "it breaks the template "+strings.ReplaceAll(v.Template, "%", "%%")+": "+en, "不符合模板 "+strings.ReplaceAll(v.Template, "%", "%%")+"："+zh
	}
	return problem.New(problem.BadValue, strings.Replace(en, "%s: %s", "%[1]s: %[2]s", 1), zh, what, f.EN, f.ZH)
}

// Details is api.Detailed's.
func (v *Violations) Details(lang problem.Lang) []api.Detail {
	var out []api.Detail
	for i, x := range v.List {
		if i == maxSaid {
			break
		}
		d := api.Detail{Location: x.Place, Property: x.Property, Rule: x.Rule, Message: x.EN}
		if lang == problem.Chinese {
			d.Message = x.ZH
		}
		out = append(out, d)
	}
	return out
}

var _ api.Detailed = (*Violations)(nil)

// layouts of dates, by the item's format. A date-time names its offset.
var layouts = map[string]string{"": time.DateOnly, "date": time.DateOnly, "date-time": time.RFC3339Nano, "year-month": "2006-01", "year": "2006", "time": time.TimeOnly}

// Validate is what a record with these values breaks of the template; nil when it keeps to it. fresh says which values
// are being written now: a disabled property takes no new ones but keeps those it has. Nil: all are.
func (t *Template) Validate(values []record.Value, fresh func(index uint32) bool) []Violation {
	var bad Violations
	seen := make(map[uint32]bool, len(values))
	items := make(map[uint32]*Item, len(t.Items))
	for i := range t.Items {
		items[t.Items[i].Index] = &t.Items[i]
	}
	for i := range values {
		v := &values[i]
		if v.Index < record.IndexProperty {
			continue
		}
		place := "value " + strconv.FormatUint(uint64(v.Index), 10)
		it := items[v.Index]
		if it == nil {
			bad.add(v.Type, v.Index, "index", place, "the template has no property at this index: take one that it has", "模板中没有该索引的属性：请使用模板已有的属性")
			continue
		}
		seen[v.Index] = true
		if !handle.Equal(v.Type, it.Name) {
			bad.add(it.Name, v.Index, "name", place, fmt.Sprintf("the value's type is %.60q, the property here is %s", v.Type, it.Name), fmt.Sprintf("值的类型为 %.60q，此处的属性为 %s", v.Type, it.Name))
			continue
		}
		if it.Disabled && (fresh == nil || fresh(v.Index)) {
			bad.add(it.Name, v.Index, "disabled", place, "the property takes no new values: leave it out", "该属性已禁用，不接受新值：请去掉")
			continue
		}
		it.validate(v.Data, func(rule, en, zh string, args ...any) {
			bad.add(it.Name, v.Index, rule, place, fmt.Sprintf(en, args...), fmt.Sprintf(zh, args...))
		})
	}
	for i := range t.Items {
		if it := &t.Items[i]; it.Required && !it.Disabled && !seen[it.Index] {
			bad.add(it.Name, it.Index, "required", "value "+strconv.FormatUint(uint64(it.Index), 10), "the property is needed: give it", "缺少必填属性：请补上")
		}
	}
	return bad.List
}

func (it *Item) validate(data []byte, bad func(rule, en, zh string, args ...any)) {
	if !utf8.Valid(data) {
		bad("encoding", "the value is not UTF-8", "值不是 UTF-8 文本")
		return
	}
	s := string(data)
	switch it.Type {
	case String:
		n := utf8.RuneCountInString(s)
		if n < it.MinLength {
			bad("minLength", "it has %d characters, and needs %d", "有 %d 个字符，至少须 %d 个", n, it.MinLength)
		}
		if n > it.longest() {
			bad("maxLength", "it has %d characters, and may have %d", "有 %d 个字符，至多 %d 个", n, it.longest())
		} else if it.Pattern != "" {
			if re, err := whole(it.Pattern); err != nil || !re.MatchString(s) {
				bad("pattern", "%.60q does not match %s", "%.60q 不符合 %s", s, it.Pattern)
			}
		}
		if it.Required && n == 0 {
			bad("required", "the property is needed, and empty: give it", "必填属性为空：请补上")
		}
	case Number:
		x, ok := decimal(s)
		if !ok {
			bad("type", "%.60q is no number", "%.60q 不是数值", s)
			return
		}
		if x.digits > it.digits() {
			bad("precision", "%.60s has %d digits, and may have %d", "%.60s 有 %d 位数字，至多 %d 位", s, x.digits, it.digits())
		}
		if it.Scale != nil && x.scale > *it.Scale {
			bad("scale", "%.60s has %d digits behind the point, and may have %d", "%.60s 有 %d 位小数，至多 %d 位", s, x.scale, *it.Scale)
		}
		if m, ok := decimal(it.Minimum); ok && x.r.Cmp(m.r) < 0 {
			bad("minimum", "%.60s is less than %s", "%.60s 小于 %s", s, it.Minimum)
		}
		if m, ok := decimal(it.Maximum); ok && x.r.Cmp(m.r) > 0 {
			bad("maximum", "%.60s is more than %s", "%.60s 大于 %s", s, it.Maximum)
		}
	case Date:
		if _, err := time.Parse(layouts[it.Format], s); err != nil || len(s) > 40 {
			bad("format", "%.60q is no date of the form %s", "%.60q 不是形如 %s 的日期", s, layouts[it.Format])
		}
	case Boolean:
		if s != "true" && s != "false" {
			bad("type", "%.60q is neither true nor false", "%.60q 不是 true 或 false", s)
		}
	case Enumeration:
		if !slices.ContainsFunc(it.Values, func(c Choice) bool { return c.Code == s }) {
			bad("values", "%.60q is none of the values there are", "%.60q 不在可选值之内", s)
		}
	case File, Reference:
		list, ok := it.texts(s)
		switch {
		case !ok:
			bad("type", "it must be a JSON array of texts", "须为由文本组成的 JSON 数组")
			return
		case len(list) > it.most():
			bad("max", "there are %d, and may be %d", "有 %d 个，至多 %d 个", len(list), it.most())
			return
		case it.Required && len(list) == 0:
			bad("required", "the property is needed, and empty: give it", "必填属性为空：请补上")
		}
		for _, x := range list {
			if it.Type == Reference {
				if v, err := id.Parse(x); err != nil || v.IsPrefix() && it.Target != "" {
					bad("type", "%.80q is no identifier", "%.80q 不是标识", x)
				}
				continue
			}
			it.file(x, bad)
		}
	case Schema:
		c, err := compiled(it.Schema)
		if err != nil {
			bad("schema", "the schema of the template cannot be read", "模板中的 JSON Schema 无法读取")
			return
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			bad("type", "it is no JSON", "不是 JSON")
			return
		}
		if err := c.Validate(v); err != nil {
			at, what := where(err)
			bad("schema", "at %s: %s", "位置 %s：%s", at, what)
		}
	}
}

// where is the first place that breaks a schema.
func where(err error) (at, what string) {
	var e *jsonschema.ValidationError
	if !errors.As(err, &e) {
		return "/", err.Error()
	}
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	at = "/" + strings.Join(e.InstanceLocation, "/")
	what = strings.Join(e.ErrorKind.KeywordPath(), "/")
	return fmt.Sprintf("%.200s", at), fmt.Sprintf("%.200s", what)
}

func (it *Item) file(x string, bad func(rule, en, zh string, args ...any)) {
	var name string
	u, err := url.Parse(x)
	switch {
	case err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "":
		name = u.Path
	default:
		if v, err := id.Parse(x); err != nil || v.IsPrefix() {
			bad("type", "%.80q is neither a URL nor an identifier", "%.80q 既不是网址也不是标识", x)
		}
		return // an identifier has no ending
	}
	if len(it.Media) > 0 && !slices.Contains(it.Media, strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))) {
		bad("media", "%.80q does not end in one of %s", "%.80q 的后缀不在 %s 之内", x, strings.Join(it.Media, ", "))
	}
}

// texts is what a file or reference names.
func (it *Item) texts(s string) ([]string, bool) {
	if !it.Many {
		return []string{s}, true
	}
	var list []string
	err := json.Unmarshal([]byte(s), &list)
	return list, err == nil && list != nil
}

// What is compiled is kept by its text: templates are few, records many.
var kept struct {
	sync.Mutex
	patterns map[string]*regexp.Regexp
	schemas  map[string]*jsonschema.Schema
}

const maxKept = 10_000

func whole(pattern string) (*regexp.Regexp, error) {
	kept.Lock()
	defer kept.Unlock()
	if re := kept.patterns[pattern]; re != nil {
		return re, nil
	}
	re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, err
	}
	if kept.patterns == nil || len(kept.patterns) >= maxKept {
		kept.patterns = map[string]*regexp.Regexp{}
	}
	kept.patterns[pattern] = re
	return re, nil
}

func compiled(schema json.RawMessage) (*jsonschema.Schema, error) {
	kept.Lock()
	defer kept.Unlock()
	if c := kept.schemas[string(schema)]; c != nil {
		return c, nil
	}
	c, err := compileSchema(schema)
	if err != nil {
		return nil, err
	}
	if kept.schemas == nil || len(kept.schemas) >= maxKept {
		kept.schemas = map[string]*jsonschema.Schema{}
	}
	kept.schemas[string(schema)] = c
	return c, nil
}

// nowhere refuses to fetch a schema: one that says nothing of its own is no reason to go to the network.
type nowhere struct{}

func (nowhere) Load(url string) (any, error) {
	return nil, problem.New(problem.BadValue, "%.100s is outside of the schema: put it into $defs", "%.100s 不在该 schema 之内：请放入 $defs", url)
}

func compileSchema(schema json.RawMessage) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nowhere{})
	if err := c.AddResource("urn:fujie:schema", doc); err != nil {
		return nil, err
	}
	return c.Compile("urn:fujie:schema")
}
