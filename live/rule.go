package live

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Declaration is the part of a node's configuration that is about fetched values:
//
//	sources:
//	  erp: {url: postgres://fujie@10.0.0.5/erp?sslmode=require, password: env:ERP_PASSWORD}
//	  mes: {url: https://mes.example/api/, bearer: file:/etc/fujie/mes.token}
//	rules:
//	- name: stock
//	  prefix: 88.118.1001
//	  suffix: 'ENG-{no:digits}'
//	  source: erp
//	  sql: SELECT qty, state FROM stock WHERE part_no = {no}
//	  template: 88.118.1001/META_STOCK
//	  version: "1"
//	  properties:
//	  - {index: 2000, type: quantity, column: qty}
//	  - {index: 2001, type: state, column: state, private: true}
type Declaration struct {
	Sources map[string]Source `yaml:"sources"`
	Rules   []Rule            `yaml:"rules"`
}

// Source is a system of the owner's that can be asked.
type Source struct {
	// URL is where it is: postgres://user@host:5432/database?sslmode=require, mysql://user@host:3306/database?tls=true (also for
	// MariaDB), sqlite:///folder/file.db, https://host/base/. It may be env:NAME or file:PATH altogether. A password may
	// not stand in it.
	URL string `yaml:"url"`
	// Password for the user in the URL of a database, or for BasicUser: env:NAME or file:PATH.
	Password string `yaml:"password"`
	// Bearer is the token for an HTTP source: env:NAME or file:PATH.
	Bearer string `yaml:"bearer"`
	// BasicUser and Password authenticate at an HTTP source.
	BasicUser string `yaml:"basic-user"`
	// Headers go with each call to an HTTP source; a value may be env:NAME or file:PATH.
	Headers map[string]string `yaml:"headers"`

	// Concurrency is how many questions it gets at once. Default: 8. More wait, for as long as a rule's timeout.
	Concurrency int `yaml:"concurrency"`
	// Failures in a row open the circuit: nobody asks for a while, and askers are told at once. Default: 5.
	Failures int `yaml:"failures"`
	// Pause is how long the circuit stays open before one question tries again. Default: 5s.
	Pause time.Duration `yaml:"pause"`
}

// Rule says for which identifiers what is fetched from where.
type Rule struct {
	Name string `yaml:"name"` // for logs
	// Prefix and Suffix say which identifiers. A part {no} is one or more characters without a slash, {no:digits},
	// {no:letters}, {no:alnum} or {no:any} (slashes too) as it says; {no:digits,8} has this length. Letters a–z match A–Z. The first rule
	// that matches holds.
	Prefix string `yaml:"prefix"`
	Suffix string `yaml:"suffix"`
	// Case is in which case letters of the parts go to the source: upper (default) or lower. Identifiers do not tell them apart.
	Case string `yaml:"case"`
	// Registered: only identifiers that are registered have the values. Default: those that the source knows.
	Registered bool `yaml:"registered"`

	Source string `yaml:"source"`
	// SQL gives one row, or none when the source does not know the identifier. {no} stands for a value, never for
	// text of the query; {id}, {prefix} and {suffix} are there too.
	SQL string `yaml:"sql"`
	// Confirm names, for parts, the column (or JSON pointer) of the row that must say the same, letters' case aside; else
	// the source does not know the identifier. Danger without it on MySQL: it takes '42x' for the number 42, and 'é' for
	// 'e', so that identifiers nobody issued answer.
	Confirm map[string]string `yaml:"confirm"`
	// HTTP is the call of an HTTP source.
	HTTP *Call `yaml:"http"`

	// Template and Version say which template the values keep to; they become values 1000 and 1001.
	Template   string     `yaml:"template"`
	Version    string     `yaml:"version"`
	Properties []Property `yaml:"properties"`

	// Cache is how long an answer is kept, here and by those who ask: its TTL, in whole seconds. Default: 5s; -1s keeps nothing.
	Cache time.Duration `yaml:"cache"`
	// Stale is how much longer an old answer is given, marked as such, while the source is away. Default: not at all.
	Stale time.Duration `yaml:"stale"`
	// Partial: while the source is away, answer with what is stored. Danger: askers cannot tell. Default: say that it is away.
	Partial bool `yaml:"partial"`
	// Timeout is how long a question may take. Default: 2s.
	Timeout time.Duration `yaml:"timeout"`
	// MaxBytes of data in one answer. Default: 65536.
	MaxBytes int `yaml:"max-bytes"`
}

// Call is what is asked of an HTTP source. It answers 2xx with JSON, or 404 when it does not know the identifier.
type Call struct {
	Path   string            `yaml:"path"`   // below the source's URL, as stock/{no}
	Query  map[string]string `yaml:"query"`  // values may have parts
	Method string            `yaml:"method"` // GET (default) or POST
	Body   any               `yaml:"body"`   // of a POST, sent as JSON; texts in it may have parts
}

// Property says what becomes one value of the record.
type Property struct {
	Index uint32 `yaml:"index"` // from 2000 on for a template's property
	Type  string `yaml:"type"`  // the property's English name
	// Column of the row, or for HTTP a JSON pointer (RFC 6901), as /data/qty. NULL: there is no such value.
	Column string `yaml:"column"`
	// Text stands for itself instead of a Column; it may have parts, as https://shop.example/{no}.
	Text string `yaml:"text"`
	// Private: not for everybody, unless the rules of the prefix say otherwise. Default: public.
	Private bool `yaml:"private"`
	// Optional: a JSON answer may leave it out. Without it, a missing one is a fault of the source.
	Optional bool `yaml:"optional"`
}

const (
	maxPrefix     = 64
	maxRules      = 1000
	maxProperties = 256
)

// rule is a Rule made ready.
type rule struct {
	name       string
	prefix     string
	head       string // what every suffix begins with, folded
	pattern    *pattern
	lower      bool
	registered bool
	lane       *lane
	ask        ask
	props      []prop
	confirm    map[string]string // column or pointer by part
	cache      uint32            // seconds
	keep       time.Duration
	stale      time.Duration
	partial    bool
	timeout    time.Duration
	maxBytes   int
}

type prop struct {
	index    uint32
	typ      string
	column   string
	text     string
	perm     record.Perm
	optional bool
	yields   bool // to a stored value with the same index
}

func (u *rule) fetches(index uint32) bool {
	for i := range u.props {
		if u.props[i].index == index && !u.props[i].yields {
			return true
		}
	}
	return false
}

// match returns the parts of v's suffix, nil when the rule is not about it.
func (u *rule) match(v id.ID) map[string]string {
	if v.IsPrefix() {
		return nil
	}
	parts := u.pattern.match(v.Suffix())
	if parts == nil {
		return nil
	}
	parts["id"], parts["prefix"], parts["suffix"] = v.String(), v.Prefix(), v.Suffix()
	if u.lower {
		for k, s := range parts {
			parts[k] = lower(s)
		}
	}
	return parts
}

func lower(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, s)
}

// left is for how many whole seconds an answer of that time may still be kept.
func (u *rule) left(at, now time.Time) uint32 {
	if at.IsZero() {
		return 0
	}
	d := at.Add(u.keep).Sub(now)
	return uint32(max(0, min(float64(u.cache), math.Ceil(d.Seconds()))))
}

func bad(en, zh string, args ...any) error { return problem.New(problem.BadValue, en, zh, args...) }

// compile makes the declaration ready.
func (r *Resolver) compile() error {
	if r.cfg.Next == nil {
		return bad("a live resolver needs the registry that it stands around", "实时取数需要其所包裹的注册库")
	}
	if len(r.cfg.Rules) > maxRules {
		return bad("%d live rules are over the limit of %d: write fewer with wider patterns", "实时取数规则 %d 条，超过上限 %d：请用更宽的模式合并", len(r.cfg.Rules), maxRules)
	}
	longest := map[string]time.Duration{}
	for i := range r.cfg.Rules {
		if s := &r.cfg.Rules[i]; s.Timeout <= 0 {
			longest[s.Source] = max(longest[s.Source], defaultTimeout)
		} else {
			longest[s.Source] = max(longest[s.Source], s.Timeout)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.cfg.Sources)) {
		l, err := newLane(&r.cfg, name, r.cfg.Sources[name], longest[name])
		if err != nil {
			return problem.Wrap(err, problem.BadValue, "live source %s", "实时取数的数据源 %s", name)
		}
		r.lanes[name] = l
	}
	for i := range r.cfg.Rules {
		u, err := r.compileRule(&r.cfg.Rules[i])
		if err != nil {
			name := r.cfg.Rules[i].Name
			if name == "" {
				name = "#" + strconv.Itoa(i+1)
			}
			return problem.Wrap(err, problem.BadValue, "live rule %s", "实时取数规则 %s", name)
		}
		r.rules[u.prefix] = append(r.rules[u.prefix], u)
	}
	return nil
}

const (
	defaultTimeout = 2 * time.Second
	defaultCache   = 5 * time.Second
	maxCache       = 24 * time.Hour
	maxTimeout     = time.Minute
)

func (r *Resolver) compileRule(s *Rule) (*rule, error) {
	u := &rule{name: s.Name, registered: s.Registered, partial: s.Partial, timeout: s.Timeout, keep: s.Cache, stale: s.Stale, maxBytes: s.MaxBytes}
	p, err := id.Parse(s.Prefix)
	if err != nil {
		return nil, err
	}
	if !p.IsPrefix() || len(p.Prefix()) > maxPrefix {
		return nil, bad("prefix %q is no prefix: write it as 88.118.1001", "prefix %q 不是前缀：请写成 88.118.1001 的形式", s.Prefix)
	}
	u.prefix = p.Prefix()
	if u.pattern, err = parsePattern(s.Suffix); err != nil {
		return nil, err
	}
	u.head = u.pattern.head
	switch s.Case {
	case "", "upper":
	case "lower":
		u.lower = true
	default:
		return nil, bad("case is %q: write upper or lower", "case 为 %q：请写 upper 或 lower", s.Case)
	}
	switch {
	case u.timeout == 0:
		u.timeout = defaultTimeout
	case u.timeout < 0 || u.timeout > maxTimeout:
		return nil, bad("timeout is %s: write up to %s", "timeout 为 %s：上限为 %s", s.Timeout, maxTimeout)
	}
	switch {
	case u.keep == 0:
		u.keep = defaultCache
	case u.keep < 0:
		u.keep = 0
	case u.keep > maxCache:
		return nil, bad("cache is %s: what may be kept longer than %s is better registered", "cache 为 %s：可保留超过 %s 的内容应直接注册", s.Cache, maxCache)
	}
	u.cache = uint32(u.keep / time.Second)
	if u.stale < 0 || u.stale > maxCache {
		return nil, bad("stale is %s: write up to %s", "stale 为 %s：上限为 %s", s.Stale, maxCache)
	}
	switch {
	case u.maxBytes == 0:
		u.maxBytes = 64 << 10
	case u.maxBytes < 0 || u.maxBytes > record.MaxBlock/2:
		return nil, bad("max-bytes is %d: write up to %d", "max-bytes 为 %d：上限为 %d", s.MaxBytes, record.MaxBlock/2)
	}
	if u.props, err = s.properties(u.pattern); err != nil {
		return nil, err
	}
	for part := range s.Confirm {
		if !u.pattern.has(part) {
			return nil, bad("confirm names {%s}, which the suffix pattern does not have", "confirm 引用了 {%s}，而后缀模式中没有它", part)
		}
	}
	u.confirm = s.Confirm
	if u.lane = r.lanes[s.Source]; u.lane == nil {
		return nil, bad("source %q is not declared under sources", "source %q 未在 sources 中声明", s.Source)
	}
	u.ask, err = u.lane.source.prepare(s, u)
	return u, err
}

func (s *Rule) properties(p *pattern) ([]prop, error) {
	var out []prop
	if s.Template != "" {
		if _, err := id.Parse(s.Template); err != nil {
			return nil, err
		}
		if s.Version == "" {
			return nil, bad("template %s is named without its version: add version", "引用了模板 %s 但没有写版本：请补充 version", s.Template)
		}
		out = append(out,
			prop{index: record.IndexTemplateID, typ: record.TypeTemplateID, text: s.Template, perm: record.DefaultPerm, yields: true},
			prop{index: record.IndexTemplate, typ: record.TypeTemplate, text: s.Version, perm: record.DefaultPerm, yields: true})
	}
	if len(s.Properties) == 0 || len(s.Properties) > maxProperties {
		return nil, bad("it has %d properties: declare between 1 and %d", "声明了 %d 个属性：应为 1 至 %d 个", len(s.Properties), maxProperties)
	}
	for _, x := range s.Properties {
		switch {
		case x.Index == 0 || x.Type == "" || len(x.Type) > record.MaxType:
			return nil, bad("property %d %q needs an index and a type", "属性 %d %q 须有 index 和 type", x.Index, x.Type)
		case strings.HasPrefix(strings.ToUpper(x.Type), "HS_"):
			return nil, bad("property %d has the type %s, which the system itself obeys: such values must be registered", "属性 %d 的类型 %s 由系统自身使用：此类值必须注册", x.Index, x.Type)
		case (x.Column == "") == (x.Text == ""):
			return nil, bad("property %d %s needs either column or text", "属性 %d %s 须写 column 或 text 之一", x.Index, x.Type)
		case slices.ContainsFunc(out, func(o prop) bool { return o.index == x.Index }):
			return nil, bad("two properties have the index %d", "有两个属性使用索引 %d", x.Index)
		}
		if err := p.knows(x.Text); err != nil {
			return nil, err
		}
		perm := record.DefaultPerm
		if x.Private {
			perm = record.AdminRead | record.AdminWrite
		}
		out = append(out, prop{index: x.Index, typ: x.Type, column: x.Column, text: x.Text, perm: perm, optional: x.Optional})
	}
	return out, nil
}

// secretRef reports whether s refers to a credential instead of holding one.
func secretRef(s string) bool { return strings.HasPrefix(s, "env:") || strings.HasPrefix(s, "file:") }

// secret reads a credential; an empty reference is none.
func (c *Config) secret(field, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	if c.Secret == nil {
		return "", fmt.Errorf("%s refers to a secret, and nothing here reads secrets", field)
	}
	s, err := c.Secret(ref)
	if err != nil {
		return "", fmt.Errorf("%s: %w", field, err)
	}
	return strings.TrimRight(s, "\r\n"), nil
}

// checkRef refuses a credential that stands in the configuration itself, without repeating it.
func checkRef(field, ref string) error {
	if ref != "" && !secretRef(ref) {
		return bad("%s must not stand in the configuration: write env:NAME or file:PATH", "%s 不得直接写在配置中：请写 env:名称 或 file:路径", field)
	}
	return nil
}
