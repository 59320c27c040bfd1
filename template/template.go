// Package template says what the records of one kind of thing must look like: which properties they have, of which type,
// which are needed, which are unique, and who sees them unless a rule says otherwise. A template has an identifier
// (88.118/META_PUMP), each published version of it has one too (88.118/META_PUMP/2) and never changes; a record names
// both, and is checked against them whenever it is written, whoever writes it.
//
// What breaks a template is refused with every place at fault: the property, the rule, and where the value stands.
package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Type is what the data of a property is.
type Type string

// The types. In a record every property is text; JSON here is RFC 8259.
const (
	String      Type = "string"
	Number      Type = "number"      // decimal text: 12, -0.5, 6.02e23
	Date        Type = "date"        // ISO 8601, by the item's format
	Boolean     Type = "boolean"     // true or false
	Enumeration Type = "enumeration" // one of the item's values
	File        Type = "file"        // where it is: a URL or an identifier
	Reference   Type = "reference"   // an identifier
	Schema      Type = "schema"      // any JSON that the item's JSON Schema takes
)

// Visibility is who sees a property unless a rule says otherwise.
type Visibility string

// The three levels of china.md §3.3.
const (
	Public  Visibility = "public"  // 公开
	Granted Visibility = "granted" // 授权
	Private Visibility = "private" // 私有
)

// Limits of one template.
const (
	MaxItems     = 1000
	MaxBytes     = 100 << 10 // of its JSON
	MaxLength    = 4000      // characters of a string, unless the item says more; never over MaxLongest
	MaxLongest   = 60_000
	MaxDigits    = 38 // of a number
	MaxMany      = 50 // files or references of one property
	maxName      = 50
	maxTitle     = 100
	maxChoices   = 1000
	maxPattern   = 500
	maxLanguages = 20
)

// Template is one version of what records must look like.
type Template struct {
	ID          string            `json:"id,omitempty" yaml:"id" doc:"88.118/META_PUMP; without a version"`
	Version     int               `json:"version,omitempty" yaml:"version" doc:"From 1; given by publishing"`
	Names       map[string]string `json:"names" yaml:"names" doc:"By language: zh, en, … (名称)"`
	Description string            `json:"description,omitempty" yaml:"description" maxLength:"1000"`
	Standard    string            `json:"standard,omitempty" yaml:"standard" maxLength:"200" doc:"The standard it follows (参考标准)"`
	Industry    string            `json:"industry,omitempty" yaml:"industry" doc:"Class of GB/T 4754: C, 34, 344, 3441 or C3441 (国民经济行业分类)"`
	Visibility  Visibility        `json:"visibility,omitempty" yaml:"visibility" enum:"public,granted,private" doc:"Of every property that says none itself; public if empty"`
	Base        string            `json:"base,omitempty" yaml:"base" doc:"The version that it was derived from (派生自)"`
	Items       []Item            `json:"items" yaml:"items"`
}

// Item is one property.
type Item struct {
	Index       uint32            `json:"index" yaml:"index" doc:"Where its value stands in a record: 2000 and up; 0 in a draft: the next free one"`
	Name        string            `json:"name" yaml:"name" doc:"Its English name, lowerCamel: the value's type (英文名)"`
	Names       map[string]string `json:"names,omitempty" yaml:"names" doc:"By language (名称)"`
	Description string            `json:"description,omitempty" yaml:"description" maxLength:"1000"`
	Type        Type              `json:"type" yaml:"type" enum:"string,number,date,boolean,enumeration,file,reference,schema"`
	Required    bool              `json:"required,omitempty" yaml:"required"`
	Unique      bool              `json:"unique,omitempty" yaml:"unique" doc:"No two records of this template kept here have the same value"`
	Disabled    bool              `json:"disabled,omitempty" yaml:"disabled" doc:"Takes no new values; items are never removed (禁用)"`
	Visibility  Visibility        `json:"visibility,omitempty" yaml:"visibility" enum:"public,granted,private"`

	MinLength int    `json:"minLength,omitempty" yaml:"minLength" doc:"string: characters"`
	MaxLength int    `json:"maxLength,omitempty" yaml:"maxLength" doc:"string: characters; 4000 if 0"`
	Pattern   string `json:"pattern,omitempty" yaml:"pattern" doc:"string: a regular expression (RE2) for the whole of it"`

	Precision int    `json:"precision,omitempty" yaml:"precision" doc:"number: digits at most, 38 if 0"`
	Scale     *int   `json:"scale,omitempty" yaml:"scale" doc:"number: digits behind the point at most (精度); 0 is whole numbers"`
	Minimum   string `json:"minimum,omitempty" yaml:"minimum" doc:"number: decimal text"`
	Maximum   string `json:"maximum,omitempty" yaml:"maximum" doc:"number: decimal text"`
	Unit      string `json:"unit,omitempty" yaml:"unit" doc:"number: its unit in UCUM, as kg, m/s2, Cel (单位)"`

	Format string   `json:"format,omitempty" yaml:"format" enum:"date,date-time,year-month,year,time" doc:"date: date (2026-11-22) if empty"`
	Values []Choice `json:"values,omitempty" yaml:"values" doc:"enumeration: what there is to choose from"`

	Many   bool     `json:"many,omitempty" yaml:"many" doc:"file, reference: several, as a JSON array of texts (一对多)"`
	Max    int      `json:"max,omitempty" yaml:"max" doc:"file, reference: how many at most; 50 if 0"`
	Media  []string `json:"media,omitempty" yaml:"media" doc:"file: endings it may have, as pdf, png; any if empty"`
	Target string   `json:"target,omitempty" yaml:"target" doc:"reference: the template that what it names keeps to, at whichever enterprise"`

	Schema json.RawMessage `json:"schema,omitempty" yaml:"-" doc:"schema: JSON Schema 2020-12 of the value"`
}

// Choice is one value of an enumeration.
type Choice struct {
	Code  string            `json:"code" yaml:"code"`
	Names map[string]string `json:"names,omitempty" yaml:"names"`
}

// Title is the item's name for people.
func (it *Item) Title(lang problem.Lang) string {
	key := "en"
	if lang == problem.Chinese {
		key = "zh"
	}
	if n := it.Names[key]; n != "" {
		return n
	}
	return it.Name
}

// Read reads a template in JSON or YAML. A key that does not exist is an error; Schema in YAML is written as YAML.
func Read(b []byte) (*Template, error) {
	if len(b) > MaxBytes {
		return nil, problem.New(problem.TooLarge, "the template has %d bytes, over the limit of %d: split it", "模板有 %d 字节，超过上限 %d：请拆分", len(b), MaxBytes)
	}
	j := b
	if !json.Valid(b) {
		var err error
		if j, err = yaml.YAMLToJSON(b); err != nil {
			return nil, problem.Wrap(err, problem.BadValue, "the template is neither JSON nor YAML: correct the line that is named", "模板既不是 JSON 也不是 YAML：请改正所指的行")
		}
	}
	var t Template
	d := json.NewDecoder(strings.NewReader(string(j)))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return nil, problem.Wrap(err, problem.BadValue, "this is no template: correct what is named", "这不是模板：请改正所指之处")
	}
	return &t, nil
}

// Text is the template as Read takes it, for a file: YAML, or indented JSON where words in it are such that the YAML would not come back as it was.
func (t *Template) Text() (string, error) {
	j, err := json.Marshal(t)
	if err != nil {
		return "", problem.Wrap(err, problem.Internal, "the template cannot be written", "模板无法写出")
	}
	if y, err := yaml.JSONToYAML(j); err == nil {
		if back, err := Read(y); err == nil {
			if again, err := json.Marshal(back); err == nil && sameJSON(j, again) {
				return string(y), nil
			}
		}
	}
	var out bytes.Buffer
	if err := json.Indent(&out, j, "", "  "); err != nil {
		return "", problem.Wrap(err, problem.Internal, "the template cannot be written", "模板无法写出")
	}
	out.WriteByte('\n')
	return out.String(), nil
}

// sameJSON says whether two JSON texts say the same; numbers must be written alike.
func sameJSON(a, b []byte) bool {
	read := func(b []byte) (v any, err error) {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		err = d.Decode(&v)
		return v, err
	}
	x, err := read(a)
	y, err2 := read(b)
	return err == nil && err2 == nil && reflect.DeepEqual(x, y)
}

// item finds by index.
func (t *Template) item(index uint32) *Item {
	for i := range t.Items {
		if t.Items[i].Index == index {
			return &t.Items[i]
		}
	}
	return nil
}

// Item finds a property by its English name, letters of either case; nil when there is none.
func (t *Template) Item(name string) *Item {
	for i := range t.Items {
		if handle.Equal(t.Items[i].Name, name) {
			return &t.Items[i]
		}
	}
	return nil
}

// Fill gives every item without an index the next free one from 2000 on.
func (t *Template) Fill() {
	next := uint32(record.IndexProperty)
	for i := range t.Items {
		next = max(next, t.Items[i].Index+1)
	}
	for i := range t.Items {
		if t.Items[i].Index == 0 {
			t.Items[i].Index = next
			next++
		}
	}
}

var (
	nameForm     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
	languageForm = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
	industryForm = regexp.MustCompile(`^([A-T]|[A-T]?(0[1-9]|[1-8][0-9]|9[0-7])([0-9][0-9]?)?)$`)
	mediaForm    = regexp.MustCompile(`^[a-z0-9]{1,12}$`)
)

// sections of GB/T 4754-2017: the divisions of each letter.
var sections = map[byte][2]int{'A': {1, 5}, 'B': {6, 12}, 'C': {13, 43}, 'D': {44, 46}, 'E': {47, 50}, 'F': {51, 52}, 'G': {53, 60}, 'H': {61, 62},
	'I': {63, 65}, 'J': {66, 69}, 'K': {70, 70}, 'L': {71, 72}, 'M': {73, 75}, 'N': {76, 79}, 'O': {80, 82}, 'P': {83, 83}, 'Q': {84, 85},
	'R': {86, 90}, 'S': {91, 96}, 'T': {97, 97}}

// industry reports whether s is shaped as a class of GB/T 4754-2017 and stands in the section it says.
func industry(s string) bool {
	if !industryForm.MatchString(s) {
		return false
	}
	if len(s) >= 3 && s[0] >= 'A' {
		n, r := int(s[1]-'0')*10+int(s[2]-'0'), sections[s[0]]
		return n >= r[0] && n <= r[1]
	}
	return true
}

// Check says everything that is wrong with the template itself, as Violations.
func (t *Template) Check() error {
	var bad Violations
	say := func(place, property, rule, en, zh string, args ...any) {
		bad.List = append(bad.List, Violation{Property: property, Rule: rule, Place: place, EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)})
	}
	names := func(place, property string, m map[string]string) {
		if len(m) > maxLanguages {
			say(place, property, "names", "has names in more than %d languages", "名称的语言超过 %d 种", maxLanguages)
		}
		for lang, n := range m {
			if !languageForm.MatchString(lang) || utf8.RuneCountInString(n) > maxTitle || n == "" {
				say(place, property, "names", "the name in %.20q must be 1 to %d characters, under a language as zh or en", "语言 %.20q 的名称须为 1 至 %d 个字符，语言如 zh、en", lang, maxTitle)
			}
		}
	}
	names("names", "", t.Names)
	if len(t.Names) == 0 {
		say("names", "", "required", "a template needs a name: names: {zh: …, en: …}", "模板须有名称：names: {zh: …, en: …}")
	}
	if t.Industry != "" && !industry(t.Industry) {
		say("industry", "", "gb-t-4754", "%.20q is no class of GB/T 4754: take a section (C), division (34), group (344) or class (3441), with or without the letter", "%.20q 不是 GB/T 4754 类别：可为门类（C）、大类（34）、中类（344）、小类（3441），可带门类字母", t.Industry)
	}
	if !t.Visibility.ok() {
		say("visibility", "", "visibility", "%.20q is no visibility: take public, granted or private", "%.20q 不是可见范围：可为 public、granted、private", t.Visibility)
	}
	if len(t.Items) == 0 || len(t.Items) > MaxItems {
		say("items", "", "items", "a template has 1 to %d properties, not %d", "模板须有 1 至 %d 个属性，现有 %d 个", MaxItems, len(t.Items))
	}
	index, name := map[uint32]bool{}, map[string]bool{}
	for i := range t.Items {
		it := &t.Items[i]
		place := fmt.Sprintf("items[%d]", i)
		bring := func(rule, en, zh string, args ...any) { say(place+"."+rule, it.Name, rule, en, zh, args...) }
		names(place+".names", it.Name, it.Names)
		if it.Index < record.IndexProperty || index[it.Index] {
			bring("index", "the index %d is taken or below 2000: each property has its own, from 2000 on", "索引 %d 已被占用或小于 2000：每个属性须有自己的、不小于 2000 的索引", it.Index)
		}
		if !nameForm.MatchString(it.Name) || len(it.Name) > maxName || name[handle.Fold(it.Name)] || strings.HasPrefix(handle.Fold(it.Name), "HS_") {
			bring("name", "the English name %.60q is taken or of the wrong form: up to %d letters, digits, _ . -, beginning with a letter, and not with HS_", "英文名 %.60q 已被占用或格式不符：至多 %d 个字母、数字、_ . -，以字母开头，不得以 HS_ 开头", it.Name, maxName)
		}
		index[it.Index], name[handle.Fold(it.Name)] = true, true
		if !it.Visibility.ok() {
			bring("visibility", "%.20q is no visibility: take public, granted or private", "%.20q 不是可见范围：可为 public、granted、private", it.Visibility)
		}
		it.check(bring)
	}
	if b, err := json.Marshal(t); err != nil || len(b) > MaxBytes {
		say("", "", "size", "the template has over %d bytes: split it", "模板超过 %d 字节：请拆分", MaxBytes)
	}
	return bad.err()
}

func (v Visibility) ok() bool { return v == "" || v == Public || v == Granted || v == Private }

func (it *Item) check(bad func(rule, en, zh string, args ...any)) {
	of := func(rule string, set bool, types ...Type) {
		for _, t := range types {
			if it.Type == t {
				return
			}
		}
		if set {
			bad(rule, "%s says nothing about a property of type %s: leave it out", "%s 不适用于类型为 %s 的属性：请去掉", rule, it.Type)
		}
	}
	of("maxLength", it.MinLength != 0 || it.MaxLength != 0, String)
	of("pattern", it.Pattern != "", String)
	of("precision", it.Precision != 0 || it.Scale != nil, Number)
	of("minimum", it.Minimum != "" || it.Maximum != "", Number)
	of("unit", it.Unit != "", Number)
	of("format", it.Format != "", Date)
	of("values", len(it.Values) > 0, Enumeration)
	of("many", it.Many || it.Max != 0, File, Reference)
	of("media", len(it.Media) > 0, File)
	of("target", it.Target != "", Reference)
	of("schema", len(it.Schema) > 0, Schema)
	switch it.Type {
	case String:
		if it.MinLength < 0 || it.MaxLength < 0 || it.longest() < it.MinLength || it.longest() > MaxLongest {
			bad("maxLength", "a length is 0 to %d characters, the least no more than the most", "长度须在 0 至 %d 个字符之间，且最小值不大于最大值", MaxLongest)
		}
		if len(it.Pattern) > maxPattern {
			bad("pattern", "the pattern is over %d bytes: make it shorter", "正则表达式超过 %d 字节：请缩短", maxPattern)
		} else if _, err := regexp.Compile(it.Pattern); err != nil {
			bad("pattern", "the pattern is no regular expression (RE2): %s", "正则表达式（RE2）有误：%s", err)
		}
	case Number:
		if it.Precision < 0 || it.Precision > MaxDigits || it.Scale != nil && (*it.Scale < 0 || *it.Scale > it.digits()) {
			bad("precision", "a number has 1 to %d digits, behind the point no more than that", "数值为 1 至 %d 位，小数位数不得超过总位数", MaxDigits)
		}
		least, ok1 := decimal(it.Minimum)
		most, ok2 := decimal(it.Maximum)
		if it.Minimum != "" && !ok1 || it.Maximum != "" && !ok2 || ok1 && ok2 && least.r.Cmp(most.r) > 0 {
			bad("minimum", "minimum and maximum must be numbers, the least no more than the most", "minimum、maximum 须为数值，且前者不大于后者")
		}
		if it.Unit != "" && !ucum(it.Unit) {
			bad("unit", "%.30q is no unit of UCUM: write it as kg, m/s2, Cel, [psi], 10*3/ul", "%.30q 不是 UCUM 单位：写法如 kg、m/s2、Cel、[psi]、10*3/ul", it.Unit)
		}
	case Date:
		if _, ok := layouts[it.Format]; !ok {
			bad("format", "%.30q is no format of a date: take date, date-time, year-month, year or time", "%.30q 不是日期格式：可为 date、date-time、year-month、year、time", it.Format)
		}
	case Enumeration:
		seen := map[string]bool{}
		for _, c := range it.Values {
			if c.Code == "" || len(c.Code) > maxTitle || !utf8.ValidString(c.Code) || seen[c.Code] {
				bad("values", "the code %.60q is empty, too long or there twice", "代码 %.60q 为空、过长或重复", c.Code)
			}
			seen[c.Code] = true
		}
		if len(it.Values) == 0 || len(it.Values) > maxChoices {
			bad("values", "an enumeration has 1 to %d values", "枚举须有 1 至 %d 个值", maxChoices)
		}
	case File, Reference:
		if it.Max < 0 || it.Max > MaxMany || it.Max > 1 && !it.Many {
			bad("max", "one property holds 1 to %d; more than one needs many: true", "一个属性可有 1 至 %d 个；多于一个须设 many: true", MaxMany)
		}
		for _, m := range it.Media {
			if !mediaForm.MatchString(m) {
				bad("media", "%.20q is no ending of a file's name: take pdf, png, …", "%.20q 不是文件后缀：例如 pdf、png", m)
			}
		}
		if it.Target != "" {
			if v, err := id.ParseHandle(it.Target); err != nil || v.IsPrefix() {
				bad("target", "%.80q is no template's identifier", "%.80q 不是模板的标识", it.Target)
			}
		}
	case Schema:
		if _, err := compileSchema(it.Schema); err != nil {
			bad("schema", "this is no JSON Schema 2020-12: %s", "这不是 JSON Schema 2020-12：%s", err)
		}
	case Boolean:
	default:
		bad("type", "%.20q is no type: take string, number, date, boolean, enumeration, file, reference or schema", "%.20q 不是类型：可为 string、number、date、boolean、enumeration、file、reference、schema", it.Type)
	}
	if it.Unique && it.Many {
		bad("unique", "a property of many values cannot be unique", "多值属性不能设为唯一")
	}
}

func (it *Item) longest() int {
	if it.MaxLength == 0 {
		return MaxLength
	}
	return it.MaxLength
}

func (it *Item) digits() int {
	if it.Precision == 0 {
		return MaxDigits
	}
	return it.Precision
}

func (it *Item) most() int {
	switch {
	case !it.Many:
		return 1
	case it.Max == 0:
		return MaxMany
	}
	return it.Max
}

// Follows says what a new version breaks of the one before it: nothing is removed, and index, name and type of an item
// stay. It disables, adds, and changes rules.
func (t *Template) Follows(old *Template) error {
	var bad Violations
	for i := range old.Items {
		was := &old.Items[i]
		is := t.item(was.Index)
		switch {
		case is == nil:
			bad.add(was.Name, was.Index, "kept", fmt.Sprintf("items of %s", t.ID), "the property is gone; items are never removed: set disabled instead", "该属性已不在；属性不得删除：请改为禁用（disabled）")
		case is.Name != was.Name || is.Type != was.Type || is.Many != was.Many:
			bad.add(was.Name, was.Index, "kept", fmt.Sprintf("items of %s", t.ID), "name, type and many of a property never change: disable it and add another", "属性的英文名、类型与多值设置不得更改：请禁用它并另加属性")
		}
	}
	return bad.err()
}

// number is decimal text, taken apart.
type number struct {
	r             *big.Rat
	digits, scale int
}

var numberForm = regexp.MustCompile(`^[+-]?([0-9]{1,60})(?:\.([0-9]{1,60}))?(?:[eE]([+-]?[0-9]{1,3}))?$`)

// decimal reads decimal text.
func decimal(s string) (number, bool) {
	m := numberForm.FindStringSubmatch(s)
	if m == nil {
		return number{}, false
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return number{}, false
	}
	// Digits as they count: without leading zeros, and without trailing ones behind the point.
	frac := strings.TrimRight(m[2], "0")
	exp := 0
	fmt.Sscan(m[3], &exp)
	scale := len(frac) - exp
	all := strings.TrimLeft(m[1]+frac, "0")
	if scale < 0 {
		all, scale = all+strings.Repeat("0", -scale), 0
	}
	if r.Sign() == 0 {
		return number{r, 1, 0}, true
	}
	for scale > 0 && strings.HasSuffix(all, "0") {
		all, scale = all[:len(all)-1], scale-1
	}
	return number{r, max(len(all), scale), scale}, true
}

// errNoTemplate is what a record without one is to who asks for its template.
var errNoTemplate = errors.New("template: the record names none")
