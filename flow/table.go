package flow

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Table is a decision table as it is declared: rows of conditions over inputs, and what follows from them.
type Table struct {
	Table   string       `yaml:"table" json:"table"`
	Name    Text         `yaml:"name" json:"name"`
	Hit     string       `yaml:"hit" json:"hit,omitempty" enum:"first,collect,nearest" doc:"first: the first row that fits (the default); collect: all that fit, as a list; nearest: of those that fit, the one whose plain numbers are nearest to the inputs"`
	Inputs  []TableInput `yaml:"inputs" json:"inputs"`
	Outputs []string     `yaml:"outputs" json:"outputs"`
	Rows    []TableRow   `yaml:"rows" json:"rows"`

	file string
	src  []byte
}

// TableInput is one input.
type TableInput struct {
	Name string `yaml:"name" json:"name"`
	Is   any    `yaml:"is" json:"is" doc:"What it is worth"`
}

// TableRow is one row: it fits when all its conditions hold. A condition is a value, a comparison (<= 12.5), a stretch (5..12.5), several of them
// separated by |, or absent: whatever it is.
type TableRow struct {
	When map[string]any `yaml:"when" json:"when,omitempty"`
	Then map[string]any `yaml:"then" json:"then"`
}

// ParseTable reads a table, strictly. Errors: Faults.
func ParseTable(file string, b []byte) (*Table, error) {
	t := &Table{file: file, src: b}
	if err := decode(file, b, t); err != nil {
		return nil, err
	}
	var faults Faults
	fault := func(path, en, zh string, args ...any) {
		faults = append(faults, Fault{File: file, Line: line(b, path), EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)})
	}
	if !nameRule.MatchString(t.Table) {
		fault("$.table", "%q is no name of a table", "%q 不能作为决策表名", t.Table)
	}
	if !slices.Contains([]string{"", "first", "collect", "nearest"}, t.Hit) {
		fault("$.hit", "hit is %q: write first, collect or nearest", "hit 为 %q：应为 first、collect 或 nearest", t.Hit)
	}
	if len(t.Inputs) == 0 || len(t.Outputs) == 0 || len(t.Rows) == 0 || len(t.Rows) > 10_000 {
		fault("$", "a table has inputs, outputs, and 1 to 10000 rows", "决策表须有输入、输出及 1 至 10000 行")
	}
	var inputs []string
	for _, in := range t.Inputs {
		inputs = append(inputs, in.Name)
	}
	for i, r := range t.Rows {
		for _, k := range slices.Sorted(maps.Keys(r.When)) {
			at := fmt.Sprintf("$.rows[%d].when.%s", i, k)
			if !slices.Contains(inputs, k) {
				fault(at, "there is no input %s: there are %v", "没有输入 %s：现有 %v", k, inputs)
			}
			if _, err := parseCond(plain(r.When[k])); err != nil {
				fault(at, "%s", "%s", err)
			}
		}
		for _, k := range slices.Sorted(maps.Keys(r.Then)) {
			if !slices.Contains(t.Outputs, k) {
				fault(fmt.Sprintf("$.rows[%d].then.%s", i, k), "there is no output %s: there are %v", "没有输出 %s：现有 %v", k, t.Outputs)
			}
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return t, nil
}

// cond says whether a value fits.
type cond func(v any) bool

var (
	comparison = regexp.MustCompile(`^(<=|>=|<|>|!=)\s*(.+)$`)
	stretch    = regexp.MustCompile(`^(-?[0-9.]+)\s*\.\.\s*(-?[0-9.]+)$`)
)

// parseCond reads a condition.
func parseCond(c any) (cond, error) {
	s, ok := c.(string)
	if !ok {
		if f, num := toNumber(c); num {
			return func(v any) bool { x, ok := toNumber(v); return ok && x == f }, nil
		}
		return func(v any) bool { return text(v) == text(c) }, nil
	}
	if strings.Contains(s, "|") {
		var any []cond
		for _, part := range strings.Split(s, "|") {
			one, err := parseCond(strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			any = append(any, one)
		}
		return func(v interface{}) bool { return slices.ContainsFunc(any, func(f cond) bool { return f(v) }) }, nil
	}
	if m := stretch.FindStringSubmatch(s); m != nil {
		a, fine := toNumber(m[1])
		b, ok := toNumber(m[2])
		if !fine || !ok || a > b {
			return nil, fmt.Errorf("%q is no stretch of numbers: write 5..12.5", s)
		}
		return func(v any) bool { x, ok := toNumber(v); return ok && x >= a && x <= b }, nil
	}
	if m := comparison.FindStringSubmatch(s); m != nil {
		f, ok := toNumber(m[2])
		if !ok && m[1] != "!=" {
			return nil, fmt.Errorf("%q compares with no number", s)
		}
		return func(v any) bool {
			if m[1] == "!=" {
				if x, num := toNumber(v); num && ok {
					return x != f
				}
				return text(v) != m[2]
			}
			x, num := toNumber(v)
			if !num {
				return false
			}
			switch m[1] {
			case "<":
				return x < f
			case "<=":
				return x <= f
			case ">":
				return x > f
			}
			return x >= f
		}, nil
	}
	return func(v any) bool { return text(v) == s }, nil
}

// lookup is a compiled table.
type lookup struct {
	*Table
	inputs []*value
	rows   []row
	spread []float64 // by input: how far the numbers of the rows lie apart
}

type row struct {
	when []cond    // by input; nil: whatever
	near []float64 // by input, of a table that looks for the nearest: the number that it is to be near to; NaN: there is none
	then map[string]any
}

func (c *compiler) table(t *Table) *lookup {
	out := &lookup{Table: t}
	// Its faults stand in its own file.
	own := &compiler{d: &Definition{file: t.file, src: t.src}, sol: c.sol, env: c.env}
	for i, in := range t.Inputs {
		out.inputs = append(out.inputs, own.value(fmt.Sprintf("$.inputs[%d].is", i), in.Is))
	}
	for _, r := range t.Rows {
		x := row{when: make([]cond, len(t.Inputs)), near: make([]float64, len(t.Inputs)), then: map[string]any{}}
		for i, in := range t.Inputs {
			x.near[i] = math.NaN()
			want, ok := r.When[in.Name]
			if _, words := want.(string); t.Hit == "nearest" && ok && !words {
				if f, number := toNumber(plain(want)); number {
					x.near[i] = f
					continue
				}
			}
			if ok {
				x.when[i], _ = parseCond(plain(want)) // ParseTable has looked
			}
		}
		for _, k := range t.Outputs {
			x.then[k] = ""
			if v, ok := r.Then[k]; ok {
				x.then[k] = plain(v)
			}
		}
		out.rows = append(out.rows, x)
	}
	for i := range t.Inputs {
		low, high := math.Inf(1), math.Inf(-1)
		for _, r := range out.rows {
			if !math.IsNaN(r.near[i]) {
				low, high = min(low, r.near[i]), max(high, r.near[i])
			}
		}
		if high <= low {
			low, high = 0, 1
		}
		out.spread = append(out.spread, high-low)
	}
	c.faults = append(c.faults, own.faults...)
	return out
}

// eval gives the outputs of the first row that fits, with found and row (from 1); or a list of all that do. An input that cannot be computed, as of a thing
// that was not found, fits no condition.
func (t *lookup) eval(s scope) any {
	in := make([]any, len(t.inputs))
	for i, v := range t.inputs {
		if x, err := v.eval(s); err == nil {
			in[i] = x
		}
	}
	all := []any{}
	var best map[string]any
	least := math.Inf(1)
	for i, r := range t.rows {
		fits := true
		for k, c := range r.when {
			if c != nil && (in[k] == nil || !c(in[k])) {
				fits = false
				break
			}
		}
		if !fits {
			continue
		}
		out := maps.Clone(r.then)
		out["found"] = true
		if _, own := out["row"]; !own {
			out["row"] = int64(i + 1)
		}
		switch t.Hit {
		case "collect":
			all = append(all, out)
		case "nearest":
			far, known := 0.0, true
			for k, want := range r.near {
				if math.IsNaN(want) {
					continue
				}
				x, ok := toNumber(in[k])
				known = known && ok
				far += math.Abs(x-want) / t.spread[k]
			}
			if known && far < least {
				least, best = far, out
				best["distance"] = far
			}
		default:
			return out
		}
	}
	if best != nil {
		return best
	}
	if t.Hit == "collect" {
		return all
	}
	none := map[string]any{"found": false}
	for _, k := range t.Outputs {
		none[k] = ""
	}
	return none
}
