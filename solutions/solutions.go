// Package solutions brings industry cases to an enterprise as folders of declarations: what its things are called, how
// their codes are made, what a scan does, what is counted, what the screens show. A case is installed, upgraded and
// removed without touching the program, and several live side by side on the same identifiers.
//
// A folder holds solution.yaml and, beside it, templates/, codes/, flows/, tables/, indicators/, labels/ and pages/, one
// declaration a file, named for it; story.txt, which plays the case from end to end; and README.md, README.zh-CN.md for
// the people of a plant. Everything is decoded strictly: a key that does not exist, and a name that nothing is called,
// are faults with file, line and cure.
package solutions

import (
	"embed"
	"io/fs"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/flow"
	"github.com/fujie-id/fujie/mint"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/template"
)

// shipped are the cases that come with the program: every folder beside this file.
//
//go:embed */*
var shipped embed.FS

// Text is words for people, by language: en, zh.
type Text map[string]string

// In is the text in a language; the other one when it has none.
func (t Text) In(lang problem.Lang) string {
	keys := [2]string{"en", "zh"}
	if lang == problem.Chinese {
		keys = [2]string{"zh", "en"}
	}
	for _, k := range keys {
		if t[k] != "" {
			return t[k]
		}
	}
	return ""
}

// Mode is one of the nine modes of use (九大应用模式).
type Mode string

// The modes.
const (
	LifeCycle   Mode = "whole-life-cycle"     // 全生命周期优化
	LeanProduct Mode = "lean-product"         // 产品精益化管理
	Service     Mode = "product-as-a-service" // 产品服务化延伸
	Metering    Mode = "remote-metering"      // 远程计量与核验
	Production  Mode = "smart-production"     // 智能化生产管控
	SupplyChain Mode = "supply-chain"         // 供应链优化管理
	Delivery    Mode = "digital-delivery"     // 数字化交付管理
	Finance     Mode = "supply-chain-finance" // 供应链金融管理
	Marketing   Mode = "digital-marketing"    // 数字化智能营销
)

var modes = []Mode{LifeCycle, LeanProduct, Service, Metering, Production, SupplyChain, Delivery, Finance, Marketing}

// Party is one kind of enterprise in a case, and what it installs of it.
type Party struct {
	Name       Text     `yaml:"name" json:"name"`
	Templates  []string `yaml:"templates" json:"templates,omitempty"`
	Codes      []string `yaml:"codes" json:"codes,omitempty"`
	Tables     []string `yaml:"tables" json:"tables,omitempty"`
	Flows      []string `yaml:"flows" json:"flows,omitempty"`
	Indicators []string `yaml:"indicators" json:"indicators,omitempty"`
	Labels     []string `yaml:"labels" json:"labels,omitempty"`
	Pages      []string `yaml:"pages" json:"pages,omitempty"`
}

// Role is what somebody is in a case; a group of the enterprise has the people and programs who are.
type Role struct {
	Name  Text   `yaml:"name" json:"name"`
	Party string `yaml:"party" json:"party,omitempty"` // whose; every party has it when empty
}

// Permission is what one party shows others of its records beside what everybody sees: a rule of the enterprise, written when the case is installed and taken away with it.
type Permission struct {
	Party    string   `yaml:"party" json:"party"`                 // whose records
	Template string   `yaml:"template" json:"template"`           // of which kind
	Items    []string `yaml:"items" json:"items"`                 // properties whose visibility is granted (授权)
	To       []string `yaml:"to" json:"to"`                       // parties
	Purposes []string `yaml:"purposes" json:"purposes,omitempty"` // what the asker must say that it is for, one of these; absent: anything
}

// System is a program of an enterprise that takes messages.
type System struct {
	Name  Text   `yaml:"name" json:"name"`
	Party string `yaml:"party" json:"party,omitempty"`
}

// Sheet is solution.yaml.
type Sheet struct {
	Solution    string                `yaml:"solution" json:"name"`
	Version     string                `yaml:"version" json:"version"`
	Case        string                `yaml:"case" json:"case,omitempty"`
	Name        Text                  `yaml:"name" json:"title"`
	Summary     Text                  `yaml:"summary" json:"summary"`
	Mode        Mode                  `yaml:"mode" json:"mode"`
	Industry    string                `yaml:"industry" json:"industry"`
	Parties     map[string]Party      `yaml:"parties" json:"parties"`
	Roles       map[string]Role       `yaml:"roles" json:"roles"`
	Systems     map[string]System     `yaml:"systems" json:"systems,omitempty"`
	Permissions map[string]Permission `yaml:"permissions" json:"permissions,omitempty"`
	Uses        map[string]any        `yaml:"uses" json:"uses,omitempty"`
}

// Indicator is one figure: SQL over the projection, with what is said about it in the comment at its head.
type Indicator struct {
	Name   Text   `yaml:"name" json:"title"`
	Unit   string `yaml:"unit" json:"unit,omitempty"`
	Better string `yaml:"better" json:"better,omitempty"` // higher, lower
	Every  string `yaml:"every" json:"every,omitempty"`   // hour, day, none
	Seed   string `yaml:"seed" json:"seed,omitempty"`     // what the published case says of it
	Drill  string `yaml:"drill" json:"-"`                 // SQL: the identifiers behind it
	SQL    string `yaml:"-" json:"-"`
}

// Page is a screen: indicators, flows and questions put together for one kind of person.
type Page struct {
	Name  Text     `yaml:"name" json:"title"`
	Roles []string `yaml:"roles" json:"roles,omitempty"`
	Cards []Card   `yaml:"cards" json:"cards"`
}

// Card is one piece of a page: exactly one of its kinds is given.
type Card struct {
	Indicator string `yaml:"indicator" json:"indicator,omitempty"`
	Show      string `yaml:"show" json:"show,omitempty"` // number, line, bar, table
	Flow      string `yaml:"flow" json:"flow,omitempty"`
	Runs      string `yaml:"runs" json:"runs,omitempty"`   // the runs of a flow
	Tasks     bool   `yaml:"tasks" json:"tasks,omitempty"` // the reader's own
	Trace     string `yaml:"trace" json:"trace,omitempty"` // up, down, both: enter an identifier, see its picture
	Text      Text   `yaml:"text" json:"text,omitempty"`
	Wide      bool   `yaml:"wide" json:"wide,omitempty"`
}

// Solution is one case, read and checked.
type Solution struct {
	Sheet
	Templates  map[string]*template.Template
	Codes      map[string]*mint.Rule
	Flows      map[string]*flow.Definition
	Tables     map[string]*flow.Table
	Indicators map[string]*Indicator
	Labels     map[string][]byte // as the label room reads them
	Pages      map[string]*Page
	Readme     Text
	Story      string
	Digest     string // of all files, sha-256 in hex
	Files      map[string]string
}

// Builtin is the names of the cases that come with the program.
func Builtin() []string {
	dirs, _ := fs.ReadDir(shipped, ".")
	var names []string
	for _, d := range dirs {
		if _, err := fs.Stat(shipped, d.Name()+"/solution.yaml"); d.IsDir() && err == nil {
			names = append(names, d.Name())
		}
	}
	slices.Sort(names)
	return names
}

// Open reads a case that comes with the program. Errors: problem.NotFound; Faults.
func Open(name string) (*Solution, error) {
	if !slices.Contains(Builtin(), name) {
		return nil, problem.New(problem.NotFound, "there is no solution %q: there are %s", "没有解决方案 %q：现有 %s", name, strings.Join(Builtin(), ", "))
	}
	sub, err := fs.Sub(shipped, name)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the solution %s cannot be opened", "无法打开解决方案 %s", name)
	}
	return Load(sub)
}
