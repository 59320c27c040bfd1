// Package sim is a country on a laptop: a root, its national sites, second-level nodes by industry, enterprises and
// recursive nodes, all from one YAML file, all real, on loopback. It delegates prefix by prefix, starts and restarts
// nodes, kills them when a check asks for it, and remembers everything in one folder.
package sim

import (
	"bytes"
	_ "embed"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/vaa"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// Plan is a country as its YAML file says it.
type Plan struct {
	Name string `yaml:"name"`
	// Algorithm is of every key in the country.
	Algorithm   trust.Algorithm `yaml:"algorithm"`
	Root        PlanNode        `yaml:"root"`
	National    PlanNational    `yaml:"national"`
	SecondLevel []PlanSecond    `yaml:"second-level"`
	Recursive   []PlanNode      `yaml:"recursive"`
	// IRP and HTTP are the ports that the first recursive node takes when they are free; 0 is any.
	IRP  int `yaml:"irp"`
	HTTP int `yaml:"http"`
}

// PlanNode is one node. Its name is its folder's name.
type PlanNode struct {
	Name   string `yaml:"name"`
	City   string `yaml:"city"`
	Region string `yaml:"region"` // GB/T 2260
	Backup bool   `yaml:"backup"`
}

// PlanNational is the national prefix and its sites, the first of which is the primary.
type PlanNational struct {
	Prefix string     `yaml:"prefix"`
	Hold   int        `yaml:"hold"` // how many other sites must hold a change before it is acknowledged
	Sites  []PlanNode `yaml:"sites"`
}

// PlanSecond is a second-level node and what is under it.
type PlanSecond struct {
	Name     string `yaml:"name"`
	Industry string `yaml:"industry"`
	Region   string `yaml:"region"` // GB/T 2260
	Prefix   string `yaml:"prefix"`
	// Hosting is the name of an enterprise node that keeps the prefixes of enterprises without one of their own.
	Hosting     string           `yaml:"hosting"`
	Enterprises []PlanEnterprise `yaml:"enterprises"`
}

// PlanEnterprise is an enterprise with a node.
type PlanEnterprise struct {
	Name   string `yaml:"name"`
	Title  string `yaml:"title"`
	Region string `yaml:"region"` // GB/T 2260
	Prefix string `yaml:"prefix"`
	Sample string `yaml:"sample"` // the product line it registers at first
	Part   string `yaml:"part"`   // the part it plays in the cold chain, whose events it then keeps
	// Solutions are the industry cases that it runs, and what it is in each: warranty-claims: maker.
	Solutions map[string]string `yaml:"solutions"`
}

//go:embed china.yaml
var china []byte

//go:embed maps/openfda-udi.yaml
var deviceMap []byte

// DeviceMap is the map of the openFDA device list, maps/openfda-udi.yaml.
func DeviceMap() []byte { return bytes.Clone(deviceMap) }

// China is the country that `fujie up` runs unless told otherwise.
func China() *Plan {
	p, err := ParsePlan(china)
	if err != nil {
		panic("sim: china.yaml: " + err.Error()) // a test reads it; it cannot come to this
	}
	return p
}

// LoadPlan reads a plan from a file.
func LoadPlan(path string) (*Plan, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read the country %s", "无法读取国家文件 %s", path)
	}
	p, err := ParsePlan(b)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the country %s is wrong", "国家文件 %s 有误", path)
	}
	return p, nil
}

// ParsePlan reads a plan, strictly.
func ParsePlan(b []byte) (*Plan, error) {
	var p Plan
	if err := yaml.UnmarshalWithOptions(b, &p, yaml.Strict()); err != nil {
		return nil, problem.New(problem.BadRequest, "%s", "%s", yaml.FormatError(err, false, false))
	}
	if p.Algorithm == "" {
		p.Algorithm = trust.Ed25519
	}
	names := map[string]bool{}
	prefixes := map[string]bool{}
	check := func(name, prefix string, under string) error {
		if name == "" || names[name] {
			return problem.New(problem.BadRequest, "a node's name %q is empty or stands twice", "节点名 %q 为空或重复", name)
		}
		for _, c := range name {
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return problem.New(problem.BadRequest, "the node name %q may hold a–z, 0–9 and - only: it names a folder", "节点名 %q 只能含 a–z、0–9 和 -，因其用作目录名", name)
			}
		}
		names[name] = true
		if prefix == "" {
			return nil
		}
		if prefixes[prefix] || id.ParentPrefix(prefix) != under {
			return problem.New(problem.BadRequest, "the prefix %s of %s stands twice or is not under %s", "%[2]s 的前缀 %[1]s 重复或不属于 %[3]s", prefix, name, under)
		}
		prefixes[prefix] = true
		return nil
	}
	if err := check(p.Root.Name, "", ""); err != nil {
		return nil, err
	}
	if len(p.National.Sites) == 0 {
		return nil, problem.New(problem.BadRequest, "national.sites is empty; a country needs at least one", "national.sites 为空；至少须有一个站点")
	}
	for i, s := range p.National.Sites {
		prefix := p.National.Prefix
		if i > 0 {
			prefix = ""
		}
		if err := check(s.Name, prefix, id.Root.Prefix()); err != nil {
			return nil, err
		}
	}
	for _, s := range p.SecondLevel {
		if _, err := vaa.ParsePrefix(s.Prefix); err != nil {
			return nil, err
		}
		if err := check(s.Name, s.Prefix, p.National.Prefix); err != nil {
			return nil, err
		}
		if s.Hosting != "" {
			if err := check(s.Hosting, "", ""); err != nil {
				return nil, err
			}
		}
		for _, e := range s.Enterprises {
			if _, err := vaa.ParsePrefix(e.Prefix); err != nil {
				return nil, err
			}
			if err := check(e.Name, e.Prefix, s.Prefix); err != nil {
				return nil, err
			}
		}
	}
	if _, err := p.coldChain(); err != nil {
		return nil, err
	}
	for _, r := range p.Recursive {
		if err := check(r.Name, "", ""); err != nil {
			return nil, err
		}
	}
	return &p, nil
}

// coldChain is which prefix plays each part of the cold chain; nil when the country has none.
func (p *Plan) coldChain() (map[string]string, error) {
	parts := map[string]string{}
	for _, s := range p.SecondLevel {
		for _, e := range s.Enterprises {
			switch {
			case e.Part == "":
			case !slices.Contains(ColdChainParts, e.Part) || parts[e.Part] != "":
				return nil, problem.New(problem.BadRequest, "the part %q of %s is unknown or played twice; the parts of a cold chain are %s",
					"%[2]s 的角色 %[1]q 未知或重复；冷链的角色有 %[3]s", e.Part, e.Name, strings.Join(ColdChainParts, ", "))
			default:
				parts[e.Part] = e.Prefix
			}
		}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	for _, part := range ColdChainParts {
		if parts[part] == "" {
			return nil, problem.New(problem.BadRequest, "a cold chain needs all its parts, and nobody plays %s", "冷链缺少角色 %s", part)
		}
	}
	return parts, nil
}

// ColdChain is the events of the plan's cold chain; nil when it has none.
func (p *Plan) ColdChain() *ColdChain {
	parts, err := p.coldChain()
	if err != nil || parts == nil {
		return nil
	}
	return coldChain(parts)
}

// placed is a node with its place in the country.
type placed struct {
	name   string
	role   node.Role
	prefix string // empty for recursive nodes
	parent string // the prefix that delegates
	title  string
	place  node.Place
	mirror bool // of the first node with the same prefix
	sample string
	part   string // in the cold chain

	solutions map[string]string // what it is in each case
}

// hostingCode is the enterprise code of a hosting node's own prefix.
const hostingCode = "1000"

// nodes is every node, parents before children.
func (p *Plan) nodes() []placed {
	root := id.Root.Prefix()
	out := []placed{{name: p.Root.Name, role: node.Root, prefix: root, title: "根 Root"}}
	for i, s := range p.National.Sites {
		out = append(out, placed{name: s.Name, role: node.National, prefix: p.National.Prefix, parent: root, title: s.City, place: node.Place{Title: s.City, Region: s.Region}, mirror: i > 0})
	}
	for _, s := range p.SecondLevel {
		out = append(out, placed{name: s.Name, role: node.SecondLevel, prefix: s.Prefix, parent: p.National.Prefix, title: s.Industry, place: node.Place{Title: s.Industry, Region: s.Region, Industry: s.Industry}})
	}
	for _, s := range p.SecondLevel {
		for _, e := range s.Enterprises {
			out = append(out, placed{name: e.Name, role: node.Enterprise, prefix: e.Prefix, parent: s.Prefix, title: e.Title, sample: e.Sample, part: e.Part, solutions: e.Solutions,
				place: node.Place{Title: e.Title, Region: e.Region, Industry: s.Industry}})
		}
		if s.Hosting != "" {
			out = append(out, placed{name: s.Hosting, role: node.Enterprise, prefix: s.Prefix + "." + hostingCode, parent: s.Prefix, title: "托管 Hosting", place: node.Place{Title: "托管 Hosting", Region: s.Region, Industry: s.Industry}})
		}
	}
	for _, r := range p.Recursive {
		out = append(out, placed{name: r.Name, role: node.Recursive, title: r.City})
	}
	return out
}
