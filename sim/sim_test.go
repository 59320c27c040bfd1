package sim

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/intake"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
)

func TestChina(t *testing.T) {
	p := China()
	count := map[node.Role]int{}
	for _, n := range p.nodes() {
		count[n.role]++
		if n.role == node.Enterprise && n.sample != "" && len(Sample(n.sample, n.prefix, n.title)) != sampleSize {
			t.Errorf("%s: there are no goods called %q", n.name, n.sample)
		}
	}
	want := map[node.Role]int{node.Root: 1, node.National: 7, node.SecondLevel: 7, node.Enterprise: 21, node.Recursive: 2}
	for r, n := range want {
		if count[r] != n {
			t.Errorf("%d %s nodes, want %d", count[r], r, n)
		}
	}
}

func TestPlanErrors(t *testing.T) {
	base := "root: {name: r}\nnational: {prefix: '88', sites: [{name: n}]}\n"
	for _, c := range []struct{ what, yaml, says string }{
		{"unknown key", base + "rekursive: []\n", "rekursive"},
		{"no site", "root: {name: r}\nnational: {prefix: '88'}\n", "sites"},
		{"a name twice", base + "recursive: [{name: n}]\n", `"n"`},
		{"a name that is no folder", base + "recursive: [{name: ../x}]\n", "../x"},
		{"a prefix of another country", base + "second-level: [{name: s, prefix: '86.118'}]\n", "86.118"},
		{"a prefix twice", base + "second-level: [{name: s, prefix: '88.118'}, {name: u, prefix: '88.118'}]\n", "88.118"},
		{"an enterprise elsewhere", base + "second-level: [{name: s, prefix: '88.118', enterprises: [{name: e, prefix: '88.119.1'}]}]\n", "88.119.1"},
		{"letters in a prefix", base + "second-level: [{name: s, prefix: '88.abc'}]\n", "abc"},
	} {
		if _, err := ParsePlan([]byte(c.yaml)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want an error that names %q", c.what, err, c.says)
		}
	}
}

// TestSamples shows that what the country registers at first breaks no rule and is the same each time.
func TestSamples(t *testing.T) {
	for kind := range lines {
		a, b := Sample(kind, "88.118.1001", "X"), Sample(kind, "88.118.1001", "X")
		for i := range a {
			if err := record.CheckAll(a[i].Values); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			if a[i].ID != b[i].ID || !SameContent(a[i].Values, b[i].Values) {
				t.Errorf("%s: %s differs between two calls", kind, a[i].ID)
			}
		}
	}
}

// TestWriteDevices holds what the made device list says of itself against what its map makes of it.
func TestWriteDevices(t *testing.T) {
	var b bytes.Buffer
	odd, err := WriteDevices(&b, 1000)
	if err != nil {
		t.Fatal(err)
	}
	m, err := intake.ParseMap(DeviceMap())
	if err != nil {
		t.Fatal(err)
	}
	r, err := intake.NewReader(&b, "d.jsonl", intake.Options{Map: m})
	if err != nil {
		t.Fatal(err)
	}
	var got Odd
	seen := map[string]bool{}
	for range 1000 {
		it, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case problem.Is(it.Err, problem.BadValue):
			got.NoCompany++
		case problem.Is(it.Err, problem.TooLarge):
			got.TooLong++
		case it.Err != nil:
			t.Errorf("line %d: %v", it.Line, it.Err)
		case seen[it.ID.String()]:
			got.Duplicate++
		}
		if it.Err == nil {
			seen[it.ID.String()] = true
		}
	}
	if got != odd || odd.NoCompany == 0 || odd.Duplicate == 0 || odd.TooLong == 0 {
		t.Errorf("the lines hold %+v, the list says %+v", got, odd)
	}
}

func TestSameContent(t *testing.T) {
	v := func(i uint32, d string, ts uint32) record.Value {
		x := textValue(i, "T", d)
		x.Timestamp = ts
		return x
	}
	for _, c := range []struct {
		a, b []record.Value
		want bool
	}{
		{[]record.Value{v(1, "a", 1), v(2, "b", 1)}, []record.Value{v(2, "b", 9), v(1, "a", 9)}, true},
		{[]record.Value{v(1, "a", 1)}, []record.Value{v(1, "A", 1)}, false},
		{[]record.Value{v(1, "a", 1)}, []record.Value{v(2, "a", 1)}, false},
		{[]record.Value{v(1, "a", 1)}, nil, false},
	} {
		if got := SameContent(c.a, c.b); got != c.want {
			t.Errorf("SameContent(%v, %v) = %v", c.a, c.b, got)
		}
	}
}

// TestColdChain holds the made events to the rules of EPCIS, and the chain to its own story.
func TestColdChain(t *testing.T) {
	c, again := China().ColdChain(), China().ColdChain()
	named := map[string]bool{}
	total := 0
	for _, part := range ColdChainParts {
		if len(c.Events[part]) == 0 {
			t.Errorf("%s has no events", part)
		}
		for i := range c.Events[part] {
			e := &c.Events[part][i]
			total++
			if f := epcis.Validate(e); len(f) > 0 {
				t.Errorf("%s, event %d: %v", part, i, f)
			}
			if epcis.Hash(e) != epcis.Hash(&again.Events[part][i]) {
				t.Errorf("%s, event %d differs between two calls", part, i)
			}
			for _, name := range e.Names() {
				named[name] = true
			}
		}
	}
	for _, name := range slices.Concat([]string{c.Contaminated, c.Container, c.Carton}, c.Siblings, c.SameBox, c.People, c.Others) {
		if !named[name] {
			t.Errorf("no event names %s", name)
		}
	}
	if len(c.People) != 10 || len(c.Siblings) != 11 || len(c.SameBox) != 9 || total < 150 {
		t.Errorf("%d people, %d siblings, %d other cartons, %d events", len(c.People), len(c.Siblings), len(c.SameBox), total)
	}
	for _, p := range []string{"food-dairy, title: x, prefix: '88.608.1', part: baker", "food-dairy, title: x, prefix: '88.608.1', part: importer"} {
		if _, err := ParsePlan([]byte("root: {name: r}\nnational: {prefix: '88', sites: [{name: n}]}\nsecond-level: [{name: s, prefix: '88.608', enterprises: [{name: " + p + "}]}]\n")); err == nil {
			t.Errorf("a cold chain of %s was taken", p)
		}
	}
}
