package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/indicator"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/solutions"
)

type solutionCmd struct {
	Check   solutionCheckCmd   `cmd:"" help:"${solution_check}"`
	List    solutionListCmd    `cmd:"" help:"${solution_list}"`
	Install solutionInstallCmd `cmd:"" help:"${solution_install}"`
	Remove  solutionRemoveCmd  `cmd:"" help:"${solution_remove}"`
	New     solutionNewCmd     `cmd:"" help:"${solution_new}"`
}

type solutionCheckCmd struct {
	Dirs []string `arg:"" name:"dir" help:"DIR" type:"existingdir"`
}

// Run reads folders as installing would, and compiles all that is in them.
func (c *solutionCheckCmd) Run(e *env) error {
	wrong := 0
	for _, dir := range c.Dirs {
		s, err := solutions.Load(os.DirFS(dir))
		if err != nil {
			wrong++
			for line := range strings.Lines(problem.Say(err, e.lang)) {
				fmt.Fprintf(e.out, "%s/%s\n", strings.TrimSuffix(dir, "/"), strings.TrimSuffix(line, "\n"))
			}
			continue
		}
		e.print("%s: %s %s, %d flows, %d templates, %d indicators: good", "%s：%s %s，%d 个流程、%d 个模板、%d 个指标，检查通过", dir, s.Solution, s.Version, len(s.Flows), len(s.Templates), len(s.Indicators))
	}
	if wrong > 0 {
		return problem.New(problem.BadValue, "%d of %d solutions have faults: they are named above", "%[2]d 个解决方案中有 %[1]d 个存在问题，见上", wrong, len(c.Dirs))
	}
	return nil
}

type solutionListCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	room
}

// Run shows the market as an enterprise's node has it.
func (c *solutionListCmd) Run(e *env) error {
	var page api.Page[solutions.View]
	if err := c.ask(e, c.Prefix, http.MethodGet, "/api/solutions", nil, &page); err != nil || c.Json {
		return err
	}
	for _, v := range page.Items {
		state := e.say("not installed", "未安装")
		if v.Installed != nil {
			state = v.Installed.State + " " + v.Installed.Version + " (" + v.Installed.Party + ")"
		}
		fmt.Fprintf(e.out, "%-20s %-8s %s  %s\n", v.Name, v.Version, printable(v.Title), state)
	}
	return nil
}

type solutionInstallCmd struct {
	Prefix   string            `arg:"" help:"PREFIX"`
	Solution string            `arg:"" help:"${arg_solution}"`
	Party    string            `help:"${flag_party}" placeholder:"PARTY"`
	With     map[string]string `help:"${flag_parties}" placeholder:"PARTY=PREFIX"`
	room
}

// Run installs a case of the market, or a folder of one's own.
func (c *solutionInstallCmd) Run(e *env) error {
	var in struct {
		solutions.Order
		Files map[string]string `json:"files,omitempty"`
	}
	in.Party, in.Parties = c.Party, c.With
	name := c.Solution
	if info, err := os.Stat(c.Solution); err == nil && info.IsDir() {
		s, err := solutions.Load(os.DirFS(c.Solution))
		if err != nil {
			return err
		}
		name, in.Files = s.Solution, s.Files
	}
	var v solutions.View
	if err := c.ask(e, c.Prefix, http.MethodPost, "/api/solutions/"+url.PathEscape(name)+"/install", in, &v); err != nil || c.Json {
		return err
	}
	e.print("%s %s is installed at %s as %s", "%[1]s %[2]s 已安装到 %[3]s，角色为 %[4]s", v.Name, v.Installed.Version, c.Prefix, v.Installed.Party)
	return nil
}

type solutionRemoveCmd struct {
	Prefix   string `arg:"" help:"PREFIX"`
	Solution string `arg:"" help:"${arg_solution}"`
	Force    bool   `help:"${flag_remove_force}"`
	room
}

func (c *solutionRemoveCmd) Run(e *env) error {
	path := "/api/solutions/" + url.PathEscape(c.Solution)
	if c.Force {
		path += "?force=true"
	}
	if err := c.ask(e, c.Prefix, http.MethodDelete, path, nil, nil); err != nil || c.Json {
		return err
	}
	e.print("%s is taken away from %s; records, events, templates and code rules stay", "已从 %[2]s 移除 %[1]s；标识、事件、模板与编码规则保留", c.Solution, c.Prefix)
	return nil
}

type solutionNewCmd struct {
	Dir  string `arg:"" help:"DIR"`
	From string `help:"${flag_solution_from}" default:"warranty-claims" placeholder:"SOLUTION"`
	Name string `help:"${flag_solution_name}" placeholder:"NAME"`
}

// Run copies a case into a folder of one's own, to begin from.
func (c *solutionNewCmd) Run(e *env) error {
	s, err := solutions.Open(c.From)
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(c.Dir); err == nil && len(entries) > 0 {
		return problem.New(problem.Exists, "%s has files already: name an empty folder", "%s 中已有文件：请指定空文件夹", c.Dir)
	}
	root, err := openRoot(c.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		text := s.Files[name]
		if c.Name != "" {
			text = renamed(name, text, s.Solution, c.Name)
		}
		if i := strings.LastIndexByte(name, '/'); i > 0 {
			if err := root.MkdirAll(name[:i], 0o755); err != nil {
				return err
			}
		}
		if err := root.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	e.print("%s holds a copy of %s: change it, then fujie solution check %[1]s", "%s 已有 %s 的副本：修改后运行 fujie solution check %[1]s", c.Dir, c.From)
	return nil
}

// renamed is a file of a case under another name: where the sheet says it, where figures count its runs, where the story scans for it.
func renamed(file, text, from, to string) string {
	switch {
	case file == "solution.yaml":
		return strings.Replace(text, "\nsolution: "+from+"\n", "\nsolution: "+to+"\n", 1)
	case strings.HasPrefix(file, "indicators/"):
		return strings.ReplaceAll(text, "'"+from+"'", "'"+to+"'")
	case file == "story.txt":
		return strings.ReplaceAll(text, from+"/", to+"/")
	}
	return text
}

// openRoot makes a folder and keeps all writing within it.
func openRoot(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the folder %s cannot be made", "无法建立文件夹 %s", dir)
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the folder %s cannot be opened", "无法打开文件夹 %s", dir)
	}
	return r, nil
}

type indicatorCmd struct {
	Prefix    string `arg:"" help:"PREFIX"`
	Indicator string `arg:"" optional:"" help:"${arg_indicator}"`
	From      string `help:"${flag_from_day}" placeholder:"DAY"`
	To        string `help:"${flag_to_day}" placeholder:"DAY"`
	Things    bool   `help:"${flag_things}"`
	Of        string `help:"${flag_of}" placeholder:"VALUE"`
	Day       string `help:"${flag_day}" placeholder:"DAY"`
	room
}

// Run lists an enterprise's indicators, or computes one, or shows the identifiers behind it.
func (c *indicatorCmd) Run(e *env) error {
	if c.Indicator == "" {
		var page api.Page[indicator.Figure]
		if err := c.ask(e, c.Prefix, http.MethodGet, "/api/indicators", nil, &page); err != nil || c.Json {
			return err
		}
		for _, f := range page.Items {
			fmt.Fprintf(e.out, "%-40s %s\n", f.Solution+"/"+f.Name, printable(f.Title))
		}
		return nil
	}
	q := url.Values{}
	for k, v := range map[string]string{"from": c.From, "to": c.To, "day": c.Day, "of": c.Of} {
		if v != "" {
			q.Set(k, v)
		}
	}
	solution, name, ok := strings.Cut(c.Indicator, "/")
	if !ok {
		return problem.New(problem.BadRequest, "write the indicator as SOLUTION/NAME; without one, all are listed", "请把指标写成 方案/名称；不写则列出全部")
	}
	path := "/api/indicators/" + url.PathEscape(solution) + "/" + url.PathEscape(name)
	var a indicator.Answer
	if c.Things {
		if err := c.ask(e, c.Prefix, http.MethodGet, path+"/things?"+q.Encode(), nil, &a.Rows); err != nil || c.Json {
			return err
		}
	} else {
		if err := c.ask(e, c.Prefix, http.MethodGet, path+"?"+q.Encode(), nil, &a); err != nil || c.Json {
			return err
		}
		seed := ""
		if a.Seed != "" {
			seed = "  [" + a.Seed + "]"
		}
		fmt.Fprintf(e.out, "%s %s%s\n", printable(a.Title), a.Unit, printable(seed))
		if behind := a.Lag.Events + a.Lag.Changes + a.Lag.Steps; behind > 0 {
			e.print("(%d entries are not counted yet)", "（还有 %d 条尚未计入）", behind)
		}
	}
	fmt.Fprintln(e.out, strings.Join(a.Columns, "\t"))
	for _, row := range a.Rows.Rows {
		for i, v := range row {
			if i > 0 {
				fmt.Fprint(e.out, "\t")
			}
			switch v := v.(type) {
			case nil:
				fmt.Fprint(e.out, "-")
			case float64:
				fmt.Fprintf(e.out, "%.6g", v)
			case json.Number:
				fmt.Fprint(e.out, v)
			default:
				fmt.Fprint(e.out, printable(fmt.Sprint(v)))
			}
		}
		fmt.Fprintln(e.out)
	}
	return nil
}
