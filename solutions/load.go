package solutions

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/flow"
	"github.com/fujie-id/fujie/mint"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/template"
)

// Limits of a folder.
const (
	maxFiles = 1000
	maxFile  = 1 << 20
	maxAll   = 16 << 20
)

// Fault is one thing that is wrong in a folder.
type Fault struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"` // from 1; 0: of the whole file
	EN   string `json:"en"`
	ZH   string `json:"zh"`
}

// Faults are all that is wrong; an error of kind problem.BadValue.
type Faults []Fault

func (f Faults) Error() string { return f.Say(problem.English) }

// Say names every fault, a line each: file:line: sentence.
func (f Faults) Say(lang problem.Lang) string {
	var b strings.Builder
	for i, x := range f {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(x.File)
		if x.Line > 0 {
			fmt.Fprintf(&b, ":%d", x.Line)
		}
		b.WriteString(": ")
		if lang == problem.Chinese {
			b.WriteString(x.ZH)
		} else {
			b.WriteString(x.EN)
		}
	}
	return b.String()
}

// Unwrap gives the kind.
func (f Faults) Unwrap() error {
	return problem.New(problem.BadValue, "%s", "%[2]s", f.Say(problem.English), f.Say(problem.Chinese))
}

// loading is one folder being read.
type loading struct {
	s      *Solution
	faults Faults
	texts  map[string]string // file → its text
}

// Load reads the folder of a case, strictly. Errors: Faults, all there are; those of reading.
func Load(fsys fs.FS) (*Solution, error) {
	texts, err := read(fsys)
	if err != nil {
		return nil, err
	}
	return FromFiles(texts)
}

// FromFiles is Load of files that are there already, name → text, as they come by the wire. Errors: Faults; problem.BadValue for a name that
// leads out of the folder; problem.TooLarge.
func FromFiles(files map[string]string) (*Solution, error) {
	l := &loading{texts: map[string]string{}, s: &Solution{
		Templates: map[string]*template.Template{}, Codes: map[string]*mint.Rule{}, Flows: map[string]*flow.Definition{}, Tables: map[string]*flow.Table{},
		Indicators: map[string]*Indicator{}, Labels: map[string][]byte{}, Pages: map[string]*Page{}, Readme: Text{}}}
	all := 0
	if len(files) > maxFiles {
		return nil, problem.New(problem.TooLarge, "a solution has at most %d files", "一个解决方案至多 %d 个文件", maxFiles)
	}
	for name, text := range files {
		if !fs.ValidPath(name) || name == "." || strings.Contains(name, "\\") {
			return nil, problem.New(problem.BadValue, "%.80q is no name of a file in a folder", "%.80q 不是文件夹内的文件名", name)
		}
		if all += len(text); all > maxAll || len(text) > maxFile {
			return nil, problem.New(problem.TooLarge, "%s is over a limit: %d bytes a file, %d in all", "%s 超过上限：单个文件 %d 字节，总计 %d 字节", name, maxFile, maxAll)
		}
		if !utf8.ValidString(text) {
			l.fault(name, 0, "it is not UTF-8: save it as UTF-8", "不是 UTF-8 编码：请另存为 UTF-8")
			continue
		}
		l.texts[name] = text
	}
	l.s.Digest, l.s.Files = digest(l.texts), l.texts
	l.sheet()
	l.parts()
	if len(l.faults) == 0 {
		l.check()
	}
	if len(l.faults) > 0 {
		slices.SortStableFunc(l.faults, func(a, b Fault) int {
			if c := strings.Compare(a.File, b.File); c != 0 {
				return c
			}
			return a.Line - b.Line
		})
		return nil, l.faults
	}
	return l.s, nil
}

// digest is the SHA-256 over all files with their names, in order of name.
func digest(files map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%d %s %d ", len(name), name, len(files[name]))
		h.Write([]byte(files[name]))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// read takes all files in; hidden ones are passed over.
func read(fsys fs.FS) (map[string]string, error) {
	texts := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		unreadable := func(err error) error {
			return problem.Wrap(err, problem.NotFound, "the solution cannot be read at %s", "无法读取解决方案的 %s", name)
		}
		if err != nil {
			return unreadable(err)
		}
		if name != "." && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return unreadable(err)
		}
		if info.Size() > maxFile || len(texts) > maxFiles {
			return problem.New(problem.TooLarge, "%s is over a limit: %d bytes a file, %d files", "%s 超过上限：单个文件 %d 字节，共 %d 个文件", name, maxFile, maxFiles)
		}
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return unreadable(err)
		}
		texts[name] = string(b)
		return nil
	})
	return texts, err
}

func (l *loading) fault(file string, line int, en, zh string, args ...any) {
	if len(l.faults) < 100 {
		l.faults = append(l.faults, Fault{File: file, Line: line, EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)})
	}
}

// wrong notes an error of another room's reader.
func (l *loading) wrong(file string, err error) {
	var y yaml.Error
	if errors.As(err, &y) {
		line := 0
		if t := y.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
		l.fault(file, line, "%s: compare with the folders that come with the program", "%s：请参照程序自带的解决方案", y.GetMessage())
		return
	}
	var placed interface {
		Place() (line int, en, zh string)
	}
	if errors.As(err, &placed) {
		line, en, zh := placed.Place()
		l.fault(file, line, "%s", "%s", en)
		l.faults[len(l.faults)-1].ZH = zh
		return
	}
	l.fault(file, 0, "%s", "%s", problem.Say(err, problem.English))
	l.faults[len(l.faults)-1].ZH = problem.Say(err, problem.Chinese)
}

var (
	plainName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	version   = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`)
)

// maxName is how long names may be.
const maxName = 40

const sheetFile = "solution.yaml"

func (l *loading) sheet() {
	text, ok := l.texts[sheetFile]
	if !ok {
		l.fault(sheetFile, 0, "it is missing: a solution begins with it", "缺少该文件：解决方案以它为入口")
		return
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), &l.s.Sheet, yaml.Strict()); err != nil {
		l.wrong(sheetFile, err)
		return
	}
	s := &l.s.Sheet
	line := func(key string) int { return lineOf(text, key) }
	if !plainName.MatchString(s.Solution) || len(s.Solution) > maxName {
		l.fault(sheetFile, line("solution"), "%q is no name of a solution: up to 40 small letters, digits and dashes", "%q 不能作为解决方案名：至多 40 个小写字母、数字、连字符", s.Solution)
	}
	if !version.MatchString(s.Version) {
		l.fault(sheetFile, line("version"), "%q is no version: write three numbers, as 1.0.0", "%q 不是版本号：请写三段数字，如 1.0.0", s.Version)
	}
	if !slices.Contains(modes, s.Mode) {
		l.fault(sheetFile, line("mode"), "%q is none of the nine modes: %v", "%q 不是九大应用模式之一：%v", s.Mode, modes)
	}
	if s.Industry == "" {
		l.fault(sheetFile, line("industry"), "it names no industry", "未写明行业")
	}
	l.text(sheetFile, line("name"), "name", s.Name)
	l.text(sheetFile, line("summary"), "summary", s.Summary)
	if len(s.Parties) == 0 {
		l.fault(sheetFile, line("parties"), "it has no parties: at least one kind of enterprise takes part", "没有参与方：至少应有一类企业")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Parties)) {
		l.name(sheetFile, line(name), name)
		l.text(sheetFile, line(name), name, s.Parties[name].Name)
	}
	owned := func(name, party string, t Text) {
		l.name(sheetFile, line(name), name)
		l.text(sheetFile, line(name), name, t)
		if _, ok := s.Parties[party]; party != "" && !ok {
			l.fault(sheetFile, line(name), "%s is of the party %q, which does not exist: there are %v", "%s 属于参与方 %q，但没有该参与方：现有 %v", name, party, slices.Sorted(maps.Keys(s.Parties)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Roles)) {
		owned(name, s.Roles[name].Party, s.Roles[name].Name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Systems)) {
		owned(name, s.Systems[name].Party, s.Systems[name].Name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Permissions)) {
		x := s.Permissions[name]
		l.name(sheetFile, line(name), name)
		if len(x.Items) == 0 || len(x.To) == 0 {
			l.fault(sheetFile, line(name), "%s shows nothing, or to nobody: give items and to", "%s 未写明展示的属性或对象：请给出 items 与 to", name)
		}
		for i, p := range append([]string{x.Party}, x.To...) {
			if _, ok := s.Parties[p]; !ok {
				l.fault(sheetFile, line(name), "%s speaks of the party %q, which does not exist: there are %v", "%s 提到参与方 %q，但没有该参与方：现有 %v", name, p, slices.Sorted(maps.Keys(s.Parties)))
			} else if i > 0 && p == x.Party {
				l.fault(sheetFile, line(name), "%s shows things of %s to %[2]s itself, which sees all of its own", "%s 将 %s 的内容展示给其自身：本企业自有标识全部可见", name, p)
			}
		}
		for _, p := range x.Purposes {
			if p == "" || len(p) > 100 {
				l.fault(sheetFile, line(name), "%q is no purpose: a word or two, as warranty", "%q 不是用途：请写一两个词，如 warranty", p)
			}
		}
	}
}

// permissions hold what parties show one another against the templates.
func (l *loading) permissions() {
	s := l.s
	for _, name := range slices.Sorted(maps.Keys(s.Permissions)) {
		x := s.Permissions[name]
		at := lineOf(l.texts[sheetFile], name)
		t := s.Templates[x.Template]
		if t == nil || !slices.Contains(s.Parties[x.Party].Templates, x.Template) {
			l.fault(sheetFile, at, "%s shows things of the template %q, which %s does not have: it has %v", "%s 展示模板 %q 的标识，但 %s 没有该模板：现有 %v", name, x.Template, x.Party, s.Parties[x.Party].Templates)
			continue
		}
		for _, item := range x.Items {
			i := slices.IndexFunc(t.Items, func(y template.Item) bool { return y.Name == item })
			if i < 0 {
				l.fault(sheetFile, at, "%s shows the property %q, which the template %s does not have", "%s 展示属性 %q，但模板 %s 没有该属性", name, item, x.Template)
				continue
			}
			visible := t.Items[i].Visibility
			if visible == "" {
				visible = t.Visibility
			}
			if visible != template.Granted {
				l.fault(sheetFile, at, "%s shows %s of %s, which is %q there: only what is granted can be shown to some; write visibility: granted in templates/%[3]s.yaml", "%s 展示 %[3]s 的 %[2]s，其可见性为 %[4]q：只有 granted（授权）属性可定向展示；请在 templates/%[3]s.yaml 中写 visibility: granted", name, item, x.Template, visible)
			}
		}
	}
}

func (l *loading) name(file string, line int, name string) {
	if !plainName.MatchString(name) || len(name) > maxName {
		l.fault(file, line, "%q is no name: up to 40 small letters, digits and dashes", "%q 不能作为名称：至多 40 个小写字母、数字、连字符", name)
	}
}

// text wants words in both languages.
func (l *loading) text(file string, line int, what string, t Text) {
	for _, lang := range []string{"en", "zh"} {
		if strings.TrimSpace(t[lang]) == "" {
			l.fault(file, line, "%s has no text in %s: write {en: …, zh: …}", "%s 缺少 %s 文字：请写 {en: …, zh: …}", what, lang)
		}
	}
	for k := range t {
		if k != "en" && k != "zh" {
			l.fault(file, line, "%s has text in %q; the languages are en and zh", "%s 的语言 %q 不存在；语言为 en 与 zh", what, k)
		}
	}
}

// lineOf is where a key stands first, for faults that no decoder places; 0 when it stands nowhere.
func lineOf(text, key string) int {
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimLeft(line, " -{"), key+":") {
			return i + 1
		}
	}
	return 0
}

// parts reads the files of each folder.
func (l *loading) parts() {
	for _, file := range slices.Sorted(maps.Keys(l.texts)) {
		text := l.texts[file]
		dir, base := path.Split(file)
		ext := path.Ext(base)
		name := strings.TrimSuffix(base, ext)
		wants := func(e string) bool {
			if ext == e {
				l.name(file, 0, name)
				return true
			}
			l.fault(file, 0, "in %s stand files that end with %s", "%s 中的文件应以 %s 结尾", dir, e)
			return false
		}
		switch dir {
		case "":
			switch base {
			case sheetFile:
			case "README.md":
				l.s.Readme["en"] = text
			case "README.zh-CN.md":
				l.s.Readme["zh"] = text
			case "story.txt":
				l.s.Story = text
			default:
				l.fault(file, 0, "nobody reads this file: declarations stand in templates/, codes/, flows/, tables/, indicators/, labels/, pages/, samples/", "没有程序读取该文件：声明应放在 templates/、codes/、flows/、tables/、indicators/、labels/、pages/、samples/ 中")
			}
		case "templates/":
			if wants(".yaml") {
				t, err := template.Read([]byte(text))
				if err == nil {
					t.Fill()
					err = t.Check()
				}
				if err != nil {
					l.wrong(file, err)
					continue
				}
				if want := "META_" + strings.ToUpper(name); t.ID != want {
					l.fault(file, lineOf(text, "id"), "its id is %q: a template in this file is called %s", "id 为 %q：本文件中的模板应为 %s", t.ID, want)
				}
				l.s.Templates[name] = t
			}
		case "codes/":
			if wants(".yaml") {
				var r mint.Rule
				if err := yaml.UnmarshalWithOptions([]byte(text), &r, yaml.Strict()); err != nil {
					l.wrong(file, err)
				} else if err := r.Check(); err != nil {
					l.wrong(file, err)
				} else {
					l.s.Codes[name] = &r
				}
			}
		case "flows/":
			if wants(".yaml") {
				d, err := flow.Parse(file, []byte(text))
				if err != nil {
					l.flowFaults(file, err)
					continue
				}
				if d.Flow != name {
					l.fault(file, lineOf(text, "flow"), "it calls itself %q: in this file it is %s", "其名称为 %q：本文件中应为 %s", d.Flow, name)
				}
				l.s.Flows[name] = d
			}
		case "tables/":
			if wants(".yaml") {
				t, err := flow.ParseTable(file, []byte(text))
				if err != nil {
					l.flowFaults(file, err)
					continue
				}
				l.s.Tables[name] = t
			}
		case "indicators/":
			if wants(".sql") {
				if x, err := readIndicator(text); err != nil {
					l.wrong(file, err)
				} else {
					l.text(file, 1, "name", x.Name)
					l.s.Indicators[name] = x
				}
			}
		case "labels/":
			if wants(".yaml") {
				l.s.Labels[name] = []byte(text)
			}
		case "pages/":
			if wants(".yaml") {
				var p Page
				if err := yaml.UnmarshalWithOptions([]byte(text), &p, yaml.Strict()); err != nil {
					l.wrong(file, err)
					continue
				}
				l.text(file, lineOf(text, "name"), "name", p.Name)
				l.s.Pages[name] = &p
			}
		case "samples/":
		default:
			l.fault(file, 0, "nobody reads this folder: there are templates/, codes/, flows/, tables/, indicators/, labels/, pages/, samples/", "没有程序读取该文件夹：现有 templates/、codes/、flows/、tables/、indicators/、labels/、pages/、samples/")
		}
	}
}

// flowFaults notes what the flow room found.
func (l *loading) flowFaults(file string, err error) {
	var list flow.Faults
	if !errors.As(err, &list) {
		l.wrong(file, err)
		return
	}
	for _, f := range list {
		l.faults = append(l.faults, Fault{File: file, Line: f.Line, EN: f.EN, ZH: f.ZH})
	}
}

// readIndicator takes an SQL file apart: what is said of it in the comment at its head, and the statement.
func readIndicator(text string) (*Indicator, error) {
	head, sql, ok := strings.Cut(text, "*/")
	head, found := strings.CutPrefix(strings.TrimSpace(head), "/*")
	if !ok || !found {
		return nil, problem.New(problem.BadValue, "it does not begin with a comment /* … */ that gives its name, unit and drill-down in YAML", "开头缺少注释 /* … */：应以 YAML 写明名称、单位与下钻语句")
	}
	var x Indicator
	if err := yaml.UnmarshalWithOptions([]byte(head), &x, yaml.Strict()); err != nil {
		return nil, err
	}
	x.SQL = strings.TrimSpace(sql)
	switch {
	case x.SQL == "":
		return nil, problem.New(problem.BadValue, "behind its comment stands no SELECT", "注释之后没有 SELECT 语句")
	case x.Better != "" && x.Better != "higher" && x.Better != "lower":
		return nil, problem.New(problem.BadValue, "better is %q: write higher or lower", "better 为 %q：应为 higher 或 lower", x.Better)
	case x.Every != "" && x.Every != "hour" && x.Every != "day" && x.Every != "none":
		return nil, problem.New(problem.BadValue, "every is %q: write hour, day or none", "every 为 %q：应为 hour、day 或 none", x.Every)
	}
	return &x, nil
}

// shows are the ways in which a card shows an indicator.
var shows = []string{"number", "line", "bar", "table"}

// check looks for names that nothing is called, and for declarations that nobody installs.
func (l *loading) check() {
	s := l.s
	l.permissions()
	text := l.texts[sheetFile]
	used := map[string]bool{}
	for _, party := range slices.Sorted(maps.Keys(s.Parties)) {
		p := s.Parties[party]
		each := func(kind string, names []string, have func(string) bool) {
			for _, n := range names {
				used[kind+"/"+n] = true
				if !have(n) {
					l.fault(sheetFile, lineOf(text, party), "the party %s takes %s/%s, and there is no such file", "参与方 %s 使用 %s/%s，但没有该文件", party, kind, n)
				}
			}
		}
		each("templates", p.Templates, func(n string) bool { return s.Templates[n] != nil })
		each("codes", p.Codes, func(n string) bool { return s.Codes[n] != nil })
		each("tables", p.Tables, func(n string) bool { return s.Tables[n] != nil })
		each("flows", p.Flows, func(n string) bool { return s.Flows[n] != nil })
		each("indicators", p.Indicators, func(n string) bool { return s.Indicators[n] != nil })
		each("labels", p.Labels, func(n string) bool { return s.Labels[n] != nil })
		each("pages", p.Pages, func(n string) bool { return s.Pages[n] != nil })
	}
	for file := range l.texts {
		dir, base := path.Split(file)
		if dir != "" && dir != "samples/" && !used[dir+strings.TrimSuffix(base, path.Ext(base))] {
			l.fault(file, 0, "no party takes it: name it at one in solution.yaml, or take it away", "没有参与方使用该文件：请在 solution.yaml 的参与方中列出，或删除")
		}
	}
	for name, r := range s.Codes {
		if r.Template != "" && s.Templates[strings.ToLower(strings.TrimPrefix(r.Template, "META_"))] == nil {
			l.fault("codes/"+name+".yaml", lineOf(l.texts["codes/"+name+".yaml"], "template"), "there is no template %s in templates/", "templates/ 中没有模板 %s", r.Template)
		}
	}
	for name, p := range s.Pages {
		file := "pages/" + name + ".yaml"
		for _, r := range p.Roles {
			if _, ok := s.Roles[r]; !ok {
				l.fault(file, lineOf(l.texts[file], "roles"), "there is no role %s: there are %v", "没有角色 %s：现有 %v", r, slices.Sorted(maps.Keys(s.Roles)))
			}
		}
		for i, c := range p.Cards {
			kinds := 0
			has := func(given bool, ok bool, what string) {
				if given {
					if kinds++; !ok {
						l.fault(file, lineOf(l.texts[file], "cards"), "card %d names %s, which does not exist", "第 %d 张卡片引用了不存在的 %s", i+1, what)
					}
				}
			}
			has(c.Indicator != "", s.Indicators[c.Indicator] != nil, "indicators/"+c.Indicator)
			has(c.Flow != "", s.Flows[c.Flow] != nil, "flows/"+c.Flow)
			has(c.Runs != "", s.Flows[c.Runs] != nil, "flows/"+c.Runs)
			has(c.Tasks, true, "")
			has(c.Trace != "", slices.Contains([]string{"up", "down", "both"}, c.Trace), "trace: "+c.Trace)
			has(len(c.Text) > 0, true, "")
			if c.Show != "" && !slices.Contains(shows, c.Show) {
				l.fault(file, lineOf(l.texts[file], "cards"), "card %d shows as %q: write one of %v", "第 %d 张卡片的 show 为 %q：应为 %v 之一", i+1, c.Show, shows)
			}
			if kinds != 1 {
				l.fault(file, lineOf(l.texts[file], "cards"), "card %d has %d contents: give one of indicator, flow, runs, tasks, trace, text", "第 %d 张卡片有 %d 项内容：应为 indicator、flow、runs、tasks、trace、text 之一", i+1, kinds)
			}
		}
	}
	// Each flow is compiled as every party that has it would run it.
	for _, party := range slices.Sorted(maps.Keys(s.Parties)) {
		for _, name := range s.Parties[party].Flows {
			if _, err := s.Program(party, name, nil); err != nil {
				l.flowFaults("flows/"+name+".yaml", err)
			}
		}
	}
	l.faults = slices.CompactFunc(l.faults, func(a, b Fault) bool { return a == b })
}

// Program compiles a flow as an enterprise runs it that plays the party; parties are the prefixes of the others.
func (s *Solution) Program(party, name string, parties map[string]string) (*flow.Program, error) {
	d := s.Flows[name]
	if d == nil {
		return nil, problem.New(problem.NotFound, "%s has no flow %s", "%s 没有流程 %s", s.Solution, name)
	}
	env := flow.Solution{Name: s.Solution, Title: flow.Text{EN: s.Name["en"], ZH: s.Name["zh"]}, Version: s.Version, Uses: s.Uses, Parties: parties, Tables: s.Tables}
	for role, r := range s.Roles {
		if r.Party == "" || r.Party == party {
			env.Roles = append(env.Roles, role)
		}
	}
	for sys, x := range s.Systems {
		if x.Party == "" || x.Party == party {
			env.Systems = append(env.Systems, sys)
		}
	}
	for t := range s.Templates {
		env.Templates = append(env.Templates, t)
	}
	for c, r := range s.Codes {
		_ = c
		env.Rules = append(env.Rules, r.Name)
	}
	for p := range s.Parties {
		env.PartyNames = append(env.PartyNames, p)
	}
	for _, list := range []*[]string{&env.Roles, &env.Systems, &env.Templates, &env.Rules, &env.PartyNames} {
		slices.Sort(*list)
	}
	return d.Compile(env)
}
