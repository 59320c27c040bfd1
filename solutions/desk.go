package solutions

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/account"
	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/flow"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/mint"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/template"
	"github.com/fujie-id/fujie/trust/policy"
)

// Installed is one paper: a case that this enterprise runs.
type Installed struct {
	Version string            `json:"version"`
	Digest  string            `json:"digest" doc:"Of its files, sha-256 in hex"`
	Party   string            `json:"party" doc:"What this enterprise is in it (参与方)"`
	Parties map[string]string `json:"parties,omitempty" doc:"The prefixes of the others, by party"`
	Made    Made              `json:"made" doc:"What installing it has made here; taken away with it unless something else uses it"`
	State   string            `json:"state" enum:"installing,installed,removing"`
	At      time.Time         `json:"at"`
	By      string            `json:"by,omitempty"`
}

// Made is what an installation has made.
type Made struct {
	Templates []string `json:"templates,omitempty"`
	Codes     []string `json:"codes,omitempty"`
	Groups    []string `json:"groups,omitempty"`
	Labels    []string `json:"labels,omitempty"`
	Rules     []string `json:"rules,omitempty" doc:"What is shown to other parties: Policy_SOLUTION.NAME"`
}

// Labels are kept by the label room; nil: the node draws none.
type Labels interface {
	PutLabel(ctx context.Context, by api.Caller, name string, design []byte) error
	RemoveLabel(ctx context.Context, by api.Caller, name string) error
}

// Rules keep what an enterprise shows others: trust/policy.
type Rules interface {
	SetPaper(ctx context.Context, by record.Identity, prefix, name string, r policy.Rule) (policy.Stated, error)
	RemovePaper(ctx context.Context, by record.Identity, v id.ID) error
}

// Config is what the desk needs of the node.
type Config struct {
	Prefix    string
	Registry  document.Registry
	Templates *template.Templates
	Mint      *mint.Mint
	Accounts  *account.Accounts
	Labels    Labels
	Rules     Rules // nil: a node without rules, which shows everybody everything
	// CheckSQL says whether the projection can run an indicator; nil: there is none.
	CheckSQL func(ctx context.Context, sql string) error
	// Open is how many runs of a solution's flows are not at their end.
	Open func(ctx context.Context, solution string) (int, error)
	// Dir keeps the folders of cases that did not come with the program.
	Dir string
	Now func() time.Time
	Log *slog.Logger
}

// Desk installs cases into one enterprise. It is safe for concurrent use.
type Desk struct {
	cfg    Config
	papers *document.Shelf[Installed]
	work   sync.Mutex // one installation at a time

	mu      sync.RWMutex
	running map[string]*running // by solution
}

// running is an installed case, ready to be asked.
type running struct {
	s        *Solution
	paper    Installed
	programs []*flow.Program
}

const (
	paperName = "Solution_"
	paperType = "FUJIE.SOLUTION"
	paperAt   = 1
)

// New opens the desk with what is installed. A case whose files cannot be read any more is told in the log, and does not run.
func New(ctx context.Context, cfg Config) (*Desk, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Desk{cfg: cfg, running: map[string]*running{},
		papers: &document.Shelf[Installed]{Registry: cfg.Registry, Prefix: cfg.Prefix, Name: paperName, Type: paperType, Index: paperAt}}
	if err := d.papers.Open(ctx); err != nil {
		return nil, err
	}
	d.refresh()
	return d, nil
}

// Heard reads a paper again that somebody else wrote; other identifiers are passed over.
func (d *Desk) Heard(ctx context.Context, v id.ID) error {
	if !strings.EqualFold(v.Prefix(), d.cfg.Prefix) || !strings.HasPrefix(v.Suffix(), handle.Fold(paperName)) {
		return nil
	}
	err := d.papers.Reload(ctx, v)
	d.refresh()
	return err
}

// refresh makes ready what the papers say is installed.
func (d *Desk) refresh() {
	now := map[string]*running{}
	d.papers.Find(func(v id.ID, p Installed) bool {
		if p.State != "installed" {
			return false
		}
		name := strings.ToLower(v.Suffix()[len(paperName):])
		d.mu.RLock()
		was := d.running[name]
		d.mu.RUnlock()
		if was != nil && reflect.DeepEqual(was.paper, p) {
			now[name] = was
			return false
		}
		s, err := d.files(name, p.Digest)
		if err == nil {
			var r *running
			if r, err = ready(s, p); err == nil {
				now[name] = r
			}
		}
		if err != nil {
			d.cfg.Log.Error("an installed solution cannot run", "solution", name, "err", err)
		}
		return false
	})
	d.mu.Lock()
	d.running = now
	d.mu.Unlock()
}

func ready(s *Solution, p Installed) (*running, error) {
	r := &running{s: s, paper: p}
	for _, name := range s.Parties[p.Party].Flows {
		program, err := s.Program(p.Party, name, p.Parties)
		if err != nil {
			return nil, err
		}
		r.programs = append(r.programs, program)
	}
	return r, nil
}

// files finds the files of a case with this digest: those that came with the program, or those kept.
func (d *Desk) files(name, digest string) (*Solution, error) {
	if slices.Contains(Builtin(), name) {
		if s, err := Open(name); err == nil && (digest == "" || s.Digest == digest) {
			return s, nil
		}
	}
	if d.cfg.Dir != "" && digest != "" {
		return Load(os.DirFS(filepath.Join(d.cfg.Dir, digest)))
	}
	// The program was upgraded and brought a newer version: it goes on with that until somebody upgrades the case.
	if slices.Contains(Builtin(), name) {
		return Open(name)
	}
	return nil, problem.New(problem.NotFound, "the files of the solution %s are not here: install it again", "解决方案 %s 的文件不在本节点：请重新安装", name)
}

// Programs are the flows of all installed cases.
func (d *Desk) Programs() []*flow.Program {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var all []*flow.Program
	for _, name := range slices.Sorted(maps.Keys(d.running)) {
		all = append(all, d.running[name].programs...)
	}
	return all
}

// Each visits the installed cases in order of name: what is installed, and as what.
func (d *Desk) Each(visit func(*Solution, Installed)) {
	d.mu.RLock()
	all := maps.Clone(d.running)
	d.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		visit(all[name].s, all[name].paper)
	}
}

// GroupOf is the group whose members have a role of a case: 88.118.1001/Group_warranty-claims.mechanic.
func (d *Desk) GroupOf(solution, role string) string {
	return d.cfg.Prefix + "/Group_" + solution + "." + role
}

// May reports whether somebody has a role of an installed case: a member of its group, or an administrator of the enterprise.
func (d *Desk) May(_ context.Context, who api.Caller, solution, role string) bool {
	if who.Has(d.cfg.Prefix, api.EnterpriseAdmin) {
		return true
	}
	if who.IsAnonymous() {
		return false
	}
	return d.cfg.Accounts.InGroup(d.GroupOf(solution, role), who.Ref.Name)
}

// Order is what installing needs to know.
type Order struct {
	Party   string            `json:"party,omitempty" doc:"What this enterprise is in it; may be left out where there is one"`
	Parties map[string]string `json:"parties,omitempty" doc:"The prefixes of the others, by party: {\"supplier\": \"88.118.1002\"}"`
}

// Install makes a case run here, or brings it to the version of s. It can be repeated: what is there already stays, and an installation
// that was cut off goes on. Errors: problem.BadValue for a party that does not exist; problem.Conflict when a template or
// code rule of the same name says something else; those of the rooms.
func (d *Desk) Install(ctx context.Context, by api.Caller, s *Solution, o Order, step func(what string)) (Installed, error) {
	if err := by.Need(d.cfg.Prefix, api.EnterpriseAdmin); err != nil {
		return Installed{}, err
	}
	if step == nil {
		step = func(string) {}
	}
	d.work.Lock()
	defer d.work.Unlock()
	v, err := d.papers.ID(s.Solution)
	if err != nil {
		return Installed{}, err
	}
	old, err := d.papers.Get(v)
	there := err == nil
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return Installed{}, err
	}
	if o.Party == "" && there {
		o.Party = old.Party
	}
	if o.Party == "" && len(s.Parties) == 1 {
		for name := range s.Parties {
			o.Party = name
		}
	}
	party, ok := s.Parties[o.Party]
	if !ok {
		return Installed{}, problem.New(problem.BadValue, "say what this enterprise is in %s: party is one of %s", "请指明本企业在 %s 中的角色：party 为 %s 之一", s.Solution, strings.Join(slices.Sorted(maps.Keys(s.Parties)), ", "))
	}
	if there && o.Parties == nil {
		o.Parties = old.Parties
	}
	for name, prefix := range o.Parties {
		if _, ok := s.Parties[name]; !ok {
			return Installed{}, problem.New(problem.BadValue, "%s has no party %q: there are %s", "%s 没有参与方 %q：现有 %s", s.Solution, name, strings.Join(slices.Sorted(maps.Keys(s.Parties)), ", "))
		}
		if p, err := id.ParseHandle(prefix); err != nil || !p.IsPrefix() {
			return Installed{}, problem.New(problem.BadValue, "%q is no prefix: write 88.118.1002", "%q 不是前缀：请写成 88.118.1002", prefix)
		}
	}
	if d.cfg.CheckSQL != nil {
		for _, name := range party.Indicators {
			if err := d.cfg.CheckSQL(ctx, s.Indicators[name].SQL); err != nil {
				return Installed{}, problem.Wrap(err, problem.BadValue, "the indicator %s of %s cannot be computed", "无法计算 %[2]s 的指标 %[1]s", name, s.Solution)
			}
		}
	}
	if !slices.Contains(Builtin(), s.Solution) || shippedDigest(s.Solution) != s.Digest {
		if err := d.keep(s); err != nil {
			return Installed{}, err
		}
	}
	paper := Installed{Version: s.Version, Digest: s.Digest, Party: o.Party, Parties: o.Parties, Made: old.Made, State: "installing", At: d.cfg.Now(), By: by.Ref.Name}
	if there {
		paper.Made = old.Made
	}
	save := func() error {
		if !there {
			there = true
			return d.papers.Create(ctx, by.Identity, v, paper)
		}
		_, err := d.papers.Change(ctx, by.Identity, v, func(p *Installed) error { *p = paper; return nil })
		return err
	}
	// What is being made is written down before it is made, so that taking the case away finds it after a crash too.
	if err := save(); err != nil {
		return Installed{}, err
	}
	for _, name := range party.Templates {
		step("templates/" + name)
		made, err := d.template(ctx, by, s.Templates[name])
		if err != nil {
			return paper, problem.Wrap(err, problem.KindOf(err), "the template %s cannot be installed", "无法安装模板 %s", name)
		}
		if made {
			paper.Made.Templates = add(paper.Made.Templates, name)
		}
	}
	for _, name := range party.Codes {
		step("codes/" + name)
		made, err := d.code(ctx, by, *s.Codes[name])
		if err != nil {
			return paper, problem.Wrap(err, problem.KindOf(err), "the code rule %s cannot be installed", "无法安装编码规则 %s", name)
		}
		if made {
			paper.Made.Codes = add(paper.Made.Codes, name)
		}
	}
	for _, role := range slices.Sorted(maps.Keys(s.Roles)) {
		if r := s.Roles[role]; r.Party != "" && r.Party != o.Party {
			continue
		}
		step("roles/" + role)
		_, err := d.cfg.Accounts.CreateGroup(ctx, by, d.cfg.Prefix, s.Solution+"."+role, account.Group{Title: s.Roles[role].Name.In(by.Lang)})
		if err != nil && problem.KindOf(err) != problem.Exists {
			return paper, problem.Wrap(err, problem.KindOf(err), "the group of the role %s cannot be made", "无法建立角色 %s 的群组", role)
		}
		paper.Made.Groups = add(paper.Made.Groups, role)
	}
	for _, name := range party.Labels {
		if d.cfg.Labels == nil {
			break
		}
		step("labels/" + name)
		if err := d.cfg.Labels.PutLabel(ctx, by, s.Solution+"-"+name, s.Labels[name]); err != nil {
			return paper, problem.Wrap(err, problem.KindOf(err), "the label %s cannot be installed", "无法安装标签 %s", name)
		}
		paper.Made.Labels = add(paper.Made.Labels, name)
	}
	if err := d.permissions(ctx, by, s, &paper, step, save); err != nil {
		return paper, err
	}
	paper.State = "installed"
	if err := save(); err != nil {
		return paper, err
	}
	d.refresh()
	step("")
	return paper, nil
}

// permissions writes what this enterprise shows the others of the case whose prefixes are known, and takes away what an earlier version of it, or an earlier list of others, let be shown.
func (d *Desk) permissions(ctx context.Context, by api.Caller, s *Solution, paper *Installed, step func(string), save func() error) error {
	if d.cfg.Rules == nil {
		return nil
	}
	keep := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.Permissions)) {
		x := s.Permissions[name]
		var to []string
		for _, p := range x.To {
			if prefix := paper.Parties[p]; prefix != "" && !handle.Equal(prefix, d.cfg.Prefix) {
				to = add(to, prefix)
			}
		}
		if x.Party != paper.Party || len(to) == 0 {
			continue
		}
		step("permissions/" + name)
		keep[name] = true
		if !slices.Contains(paper.Made.Rules, name) {
			// Written down before it holds, so that taking the case away finds it after a crash too.
			paper.Made.Rules = add(paper.Made.Rules, name)
			if err := save(); err != nil {
				return err
			}
		}
		_, err := d.cfg.Rules.SetPaper(ctx, by.Identity, d.cfg.Prefix, ruleOf(s.Solution, name), policy.Rule{
			Template: d.cfg.Prefix + "/META_" + strings.ToUpper(x.Template), Items: x.Items, Note: s.Solution + " " + s.Version + ": " + name,
			Grants: []policy.Grant{{To: to, Actions: []policy.Action{policy.Read}, Purposes: x.Purposes}}})
		if err != nil {
			return problem.Wrap(err, problem.KindOf(err), "the permission %s cannot be written", "无法写入权限 %s", name)
		}
	}
	for _, name := range slices.Clone(paper.Made.Rules) {
		if keep[name] {
			continue
		}
		if err := d.forbid(ctx, by, s.Solution, name); err != nil {
			return err
		}
		paper.Made.Rules = slices.DeleteFunc(slices.Clone(paper.Made.Rules), func(x string) bool { return x == name })
	}
	return nil
}

// ruleOf is the name of the rule that a permission of a case is.
func ruleOf(solution, permission string) string { return solution + "." + permission }

// forbid takes a permission away.
func (d *Desk) forbid(ctx context.Context, by api.Caller, solution, name string) error {
	v, err := id.ParseHandle(d.cfg.Prefix + "/Policy_" + ruleOf(solution, name))
	if err == nil {
		err = d.cfg.Rules.RemovePaper(ctx, by.Identity, v)
	}
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return problem.Wrap(err, problem.KindOf(err), "the permission %s cannot be taken away", "无法撤销权限 %s", name)
	}
	return nil
}

func add(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(slices.Clone(list), s)
}

func shippedDigest(name string) string {
	s, err := Open(name)
	if err != nil {
		return ""
	}
	return s.Digest
}

// keep writes the files of a case that did not come with the program into the node's folder.
func (d *Desk) keep(s *Solution) error {
	if d.cfg.Dir == "" {
		return problem.New(problem.Forbidden, "this node keeps no solutions but those that come with it", "本节点只能安装自带的解决方案")
	}
	at := filepath.Join(d.cfg.Dir, s.Digest)
	if _, err := os.Stat(at); err == nil {
		return nil
	}
	wrong := func(err error) error {
		return problem.Wrap(err, problem.Internal, "the files of %s cannot be kept in %s", "无法将 %s 的文件保存到 %s", s.Solution, d.cfg.Dir)
	}
	if err := os.MkdirAll(d.cfg.Dir, 0o700); err != nil {
		return wrong(err)
	}
	tmp, err := os.MkdirTemp(d.cfg.Dir, ".new-")
	if err != nil {
		return wrong(err)
	}
	defer os.RemoveAll(tmp)
	for name, text := range s.Files {
		if !fs.ValidPath(name) {
			return problem.New(problem.BadValue, "%q is no name of a file", "%q 不是合法文件名", name)
		}
		file := filepath.Join(tmp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return wrong(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return wrong(err)
		}
	}
	if err := os.Rename(tmp, at); err != nil && !errors.Is(err, fs.ErrExist) {
		return wrong(err)
	}
	return nil
}

// template makes sure that a template is published here; made is whether there was none.
func (d *Desk) template(ctx context.Context, by api.Caller, t *template.Template) (made bool, err error) {
	draft := *t
	draft.ID = d.cfg.Prefix + "/" + t.ID
	draft.Items = slices.Clone(t.Items)
	v, err := id.ParseHandle(draft.ID)
	if err != nil {
		return false, err
	}
	sheet, err := d.cfg.Templates.Get(ctx, v)
	switch problem.KindOf(err) {
	case problem.NotFound:
		if _, err := d.cfg.Templates.Create(ctx, by.Identity, draft); err != nil {
			return false, err
		}
		_, err := d.cfg.Templates.Publish(ctx, by.Identity, v)
		return true, err
	default:
		if err != nil {
			return false, err
		}
	}
	if sheet.Version > 0 {
		now, err := d.cfg.Templates.Version(ctx, v, sheet.Version)
		if err != nil {
			return false, err
		}
		if covers(now, &draft) {
			if sheet.State != template.Published {
				_, err = d.cfg.Templates.Publish(ctx, by.Identity, v)
			}
			return false, err
		}
		// Another solution, or the enterprise itself, may have added properties of its own: they stay.
		draft.Items = merge(now.Items, draft.Items)
	}
	if _, err := d.cfg.Templates.Revise(ctx, by.Identity, v, draft, nil); err != nil {
		return false, err
	}
	_, err = d.cfg.Templates.Publish(ctx, by.Identity, v)
	return false, err
}

// covers reports whether every property that draft needs is in now, saying the same.
func covers(now, draft *template.Template) bool {
	for _, want := range draft.Items {
		i := slices.IndexFunc(now.Items, func(x template.Item) bool { return x.Name == want.Name })
		if i < 0 {
			return false
		}
		want.Index = now.Items[i].Index
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(now.Items[i])
		if string(a) != string(b) {
			return false
		}
	}
	return true
}

// merge is the items of was, each as draft has it, and behind them those that only draft has.
func merge(was, draft []template.Item) []template.Item {
	var out []template.Item
	next := uint32(0)
	for _, x := range was {
		index := x.Index
		if i := slices.IndexFunc(draft, func(y template.Item) bool { return y.Name == x.Name }); i >= 0 {
			x = draft[i]
		}
		x.Index = index
		next = max(next, index)
		out = append(out, x)
	}
	for _, x := range draft {
		if !slices.ContainsFunc(was, func(y template.Item) bool { return y.Name == x.Name }) {
			next++
			x.Index = next
			out = append(out, x)
		}
	}
	return out
}

// code makes sure that a code rule is kept here. A rule never changes, since codes were printed by it: one of the same name that builds
// other codes is a conflict.
func (d *Desk) code(ctx context.Context, by api.Caller, r mint.Rule) (made bool, err error) {
	if r.Template != "" {
		r.Template = d.cfg.Prefix + "/" + r.Template
	}
	_, err = d.cfg.Mint.Define(ctx, by.Identity, d.cfg.Prefix, r)
	if problem.KindOf(err) != problem.Exists {
		return err == nil, err
	}
	after := ""
	for {
		page, next, err := d.cfg.Mint.Rules(ctx, d.cfg.Prefix, after, 200)
		if err != nil {
			return false, err
		}
		for _, p := range page {
			if strings.EqualFold(p.Paper.Name, r.Name) {
				if !reflect.DeepEqual(p.Paper.Parts, r.Parts) {
					return false, problem.New(problem.Conflict, "a code rule %s is here already, and builds other codes: rename one of them", "本节点已有名为 %s 的编码规则，且规则不同：请改名", r.Name)
				}
				return false, nil
			}
		}
		if after = next; next == "" {
			return false, nil
		}
	}
}

// Remove takes a case away. Records and events stay, and so do templates and code rules, since records and printed codes were made by them;
// groups, labels and permissions go. Errors: problem.NotFound; problem.Conflict while runs are open, unless force is set.
func (d *Desk) Remove(ctx context.Context, by api.Caller, name string, force bool) error {
	if err := by.Need(d.cfg.Prefix, api.EnterpriseAdmin); err != nil {
		return err
	}
	d.work.Lock()
	defer d.work.Unlock()
	v, err := d.papers.ID(name)
	if err != nil {
		return err
	}
	paper, err := d.papers.Get(v)
	if err != nil {
		return problem.New(problem.NotFound, "%s is not installed", "未安装 %s", name)
	}
	if d.cfg.Open != nil && !force {
		n, err := d.cfg.Open(ctx, name)
		if err != nil {
			return err
		}
		if n > 0 {
			return problem.New(problem.Conflict, "%d runs of %s are not at their end: wait for them, cancel them, or remove it with force", "%[2]s 还有 %[1]d 个流程未结束：请等待、取消，或强制移除", n, name)
		}
	}
	if _, err := d.papers.Change(ctx, by.Identity, v, func(p *Installed) error { p.State = "removing"; return nil }); err != nil {
		return err
	}
	d.refresh()
	for _, rule := range paper.Made.Rules {
		if d.cfg.Rules == nil {
			break
		}
		if err := d.forbid(ctx, by, name, rule); err != nil {
			return err
		}
	}
	for _, role := range paper.Made.Groups {
		g, err := id.ParseHandle(d.GroupOf(name, role))
		if err == nil {
			err = d.cfg.Accounts.RemoveGroup(ctx, by, g)
		}
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return err
		}
	}
	for _, label := range paper.Made.Labels {
		if d.cfg.Labels == nil {
			break
		}
		if err := d.cfg.Labels.RemoveLabel(ctx, by, name+"-"+label); err != nil && problem.KindOf(err) != problem.NotFound {
			return err
		}
	}
	return d.papers.Remove(ctx, by.Identity, v)
}

// Prefix is the enterprise's.
func (d *Desk) Prefix() string { return d.cfg.Prefix }
