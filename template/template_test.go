package template_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/template"
)

var operator = record.Identity{Operator: true}

const pump = `
id: 88.118/META_PUMP
names: {zh: 泵, en: Pump}
industry: C3441
items:
  - {name: serialNumber, names: {zh: 序列号}, type: string, required: true, unique: true, maxLength: 20, pattern: '[A-Z0-9-]+'}
  - {name: mass, type: number, unit: kg, precision: 6, scale: 2, minimum: "0", maximum: "5000"}
  - {name: madeOn, type: date}
  - {name: tested, type: boolean}
  - {name: phase, type: enumeration, values: [{code: one}, {code: three, names: {zh: 三相}}]}
  - {name: manual, type: file, media: [pdf]}
  - {name: parts, type: reference, many: true, target: 88.118/META_PUMP}
  - {name: curve, type: schema, schema: {type: array, items: {type: number}}, visibility: granted}
`

type world struct {
	*template.Templates
	r *registry.Registry
	g *template.Guard
	// r2 is r as the templates use it.
	r2 *stopping
}

func open(t testing.TB) *world { return openAt(t, "88.118", nil) }

// openAt is an enterprise's registry; around finds what others have.
func openAt(t testing.TB, prefix string, around record.Resolver) *world {
	t.Helper()
	ctx := context.Background()
	st := memory.New()
	r, err := registry.Open(ctx, registry.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	if _, err := r.Write(ctx, operator, []record.Write{{Op: record.Home, ID: id.PrefixRecord(prefix)}}); err != nil {
		t.Fatal(err)
	}
	r2 := &stopping{Registry: r}
	ts, err := template.New(ctx, template.Config{Prefix: prefix, Registry: r2, World: around, Store: st})
	if err != nil {
		t.Fatal(err)
	}
	return &world{ts, r, &template.Guard{Templates: ts, Next: r, Reader: r, Administers: r.Administers}, r2}
}

func (w *world) publish(t testing.TB, text string) id.ID {
	t.Helper()
	ctx := context.Background()
	x, err := template.Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.Create(ctx, operator, *x)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Publish(ctx, operator, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (w *world) write(t testing.TB, op record.Op, name string, values []record.Value, indexes ...uint32) error {
	t.Helper()
	res, err := w.g.Write(context.Background(), operator, []record.Write{{Op: op, ID: id.MustParse(name), Values: values, Indexes: indexes}})
	if err != nil {
		t.Fatal(err)
	}
	return res[0].Err
}

func (w *world) pump(t testing.TB, serial string, more ...any) []record.Value {
	t.Helper()
	p := map[string]any{"serialNumber": serial}
	for i := 0; i < len(more); i += 2 {
		p[more[i].(string)] = more[i+1]
	}
	vs, err := w.Expand(context.Background(), "88.118/META_PUMP", p)
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

// broken checks that err names the rule and the property.
func broken(t testing.TB, err error, property, rule string) {
	t.Helper()
	var v *template.Violations
	if !errors.As(err, &v) || !problem.Is(err, problem.BadValue) {
		t.Errorf("want a violation of %s by %s, got %v", rule, property, err)
		return
	}
	for _, x := range v.List {
		if x.Property == property && x.Rule == rule && x.Place != "" && x.EN != "" && x.ZH != "" {
			if s := problem.Say(err, problem.Chinese) + err.Error(); strings.Contains(s, "%!") {
				t.Errorf("badly put: %s", s)
			}
			return
		}
	}
	t.Errorf("want a violation of %s by %s, got %+v", rule, property, v.List)
}

func TestGuard(t *testing.T) {
	w := open(t)
	v := w.publish(t, pump)
	good := w.pump(t, "P-1", "mass", json.Number("12.5"), "curve", []any{1, 2.5}, "tested", true)
	if err := w.write(t, record.Create, "88.118/1", good); err != nil {
		t.Fatal(err)
	}
	a, err := w.r.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118/1")})
	if err != nil || len(a.Values) != 6 || a.Values[0].Index != 1000 || string(a.Values[1].Data) != "1" || a.Values[2].Index != 2000 {
		t.Fatalf("stored: %v %v", a.Values, err)
	}
	broken(t, w.write(t, record.Create, "88.118/2", w.pump(t, "P-1")), "serialNumber", "unique")
	broken(t, w.write(t, record.Remove, "88.118/1", nil, 2000), "serialNumber", "required")
	set := func(i uint32, typ, data string) []record.Value {
		return []record.Value{{Index: i, Type: typ, Data: []byte(data), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}}
	}
	for _, c := range []struct {
		index                      uint32
		typ, data, property, rules string
	}{
		{2001, "mass", "5000.01", "mass", "maximum"},
		{2001, "mass", "-1", "mass", "minimum"},
		{2001, "mass", "1.234", "mass", "scale"},
		{2001, "mass", "12345678", "mass", "precision"},
		{2001, "mass", "heavy", "mass", "type"},
		{2001, "weight", "1", "mass", "name"},
		{2002, "madeOn", "2026-02-30", "madeOn", "format"},
		{2003, "tested", "yes", "tested", "type"},
		{2004, "phase", "two", "phase", "values"},
		{2005, "manual", "https://x.example/a.exe", "manual", "media"},
		{2005, "manual", "javascript:1", "manual", "type"},
		{2006, "parts", `["88.118/none"]`, "parts", "target"},
		{2006, "parts", `88.118/1`, "parts", "type"},
		{2007, "curve", `["a"]`, "curve", "schema"},
		{2000, "serialNumber", "p 1", "serialNumber", "pattern"},
		{2000, "serialNumber", strings.Repeat("A", 21), "serialNumber", "maxLength"},
		{2010, "other", "x", "other", "index"},
	} {
		w := w
		res, err := w.g.Write(t.Context(), operator, []record.Write{{Op: record.Add, ID: id.MustParse("88.118/1"), Values: set(c.index, c.typ, c.data), Overwrite: true}})
		if err != nil {
			t.Fatal(err)
		}
		broken(t, res[0].Err, c.property, c.rules)
	}
	// A reference to what keeps to the template, here and in the same request.
	two := w.pump(t, "P-2", "parts", []any{"88.118/1", "88.118/3"})
	res, err := w.g.Write(t.Context(), operator, []record.Write{
		{Op: record.Create, ID: id.MustParse("88.118/2"), Values: two},
		{Op: record.Create, ID: id.MustParse("88.118/3"), Values: w.pump(t, "P-3")},
		{Op: record.Create, ID: id.MustParse("88.118/4"), Values: w.pump(t, "P-3")},
		{Op: record.Modify, ID: id.MustParse("88.118/3"), Values: set(2000, "serialNumber", "P-9")},
	})
	if err != nil || res[0].Err != nil || res[1].Err != nil || res[3].Err != nil {
		t.Fatalf("%v %v", res, err)
	}
	broken(t, res[2].Err, "serialNumber", "unique")
	if err := w.write(t, record.Create, "88.118/5", w.pump(t, "P-3")); err != nil {
		t.Fatal(err)
	}
	// What failed, and what is deleted, gives its unique value back.
	if err := w.write(t, record.Create, "88.118/1", w.pump(t, "P-10")); !problem.Is(err, problem.Exists) {
		t.Fatal(err)
	}
	if err := w.write(t, record.Create, "88.118/6", w.pump(t, "P-10")); err != nil {
		t.Fatal(err)
	}
	if err := w.write(t, record.Delete, "88.118/6", nil); err != nil {
		t.Fatal(err)
	}
	if err := w.write(t, record.Create, "88.118/7", w.pump(t, "P-10")); err != nil {
		t.Fatal(err)
	}
	// Withdrawn: no new records, the old ones stay and may be changed.
	if _, err := w.Withdraw(t.Context(), operator, v); err != nil {
		t.Fatal(err)
	}
	good[2].Data = []byte("P-77")
	broken(t, w.write(t, record.Create, "88.118/8", good), "", "published")
	if err := w.write(t, record.Modify, "88.118/7", set(2000, "serialNumber", "P-11")); err != nil {
		t.Fatal(err)
	}
	// A record without a template passes.
	if err := w.write(t, record.Create, "88.118/plain", set(1, "URL", "https://x.example")); err != nil {
		t.Fatal(err)
	}
	// A stranger hears nothing of what is in a record.
	r2, err := w.g.Write(t.Context(), record.Identity{Ref: record.Ref{Index: 300, Name: "88.119/App_x"}}, []record.Write{{Op: record.Remove, ID: id.MustParse("88.118/7"), Indexes: []uint32{2000}}})
	if err != nil || problem.Is(r2[0].Err, problem.BadValue) || r2[0].Err == nil {
		t.Errorf("a stranger is told %v %v", r2, err)
	}
}

// Who may not write learns nothing of unique values: a taken one and a free one are refused alike.
func TestUniqueIsNoOracle(t *testing.T) {
	w := open(t)
	w.publish(t, pump)
	if err := w.write(t, record.Create, "88.118/1", w.pump(t, "TAKEN")); err != nil {
		t.Fatal(err)
	}
	for _, by := range []record.Identity{{}, {Ref: record.Ref{Index: 300, Name: "88.118/nobody"}}} {
		var kinds [2]problem.Kind
		for i, serial := range []string{"TAKEN", "FREE"} {
			res, err := w.g.Write(t.Context(), by, []record.Write{{Op: record.Create, ID: id.MustParse("88.118/new"), Values: w.pump(t, serial)}})
			if err != nil || res[0].Err == nil {
				t.Fatal(res, err)
			}
			kinds[i] = problem.KindOf(res[0].Err)
		}
		if kinds[0] != kinds[1] {
			t.Errorf("%v is told %v for a taken value, %v for a free one", by, kinds[0], kinds[1])
		}
	}
	if err := w.write(t, record.Create, "88.118/2", w.pump(t, "FREE")); err != nil {
		t.Error("a refused write kept its unique value:", err)
	}
}

func TestUniqueAtOnce(t *testing.T) {
	w := open(t)
	w.publish(t, pump)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 16 {
		vs := w.pump(t, "SAME")
		wg.Go(func() {
			res, err := w.g.Write(context.Background(), operator, []record.Write{{Op: record.Create, ID: id.MustParse(fmt.Sprintf("88.118/at-once-%d", i)), Values: vs}})
			if err != nil {
				t.Error(err)
			} else if res[0].Err == nil {
				mu.Lock()
				made++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("%d records have one unique value", made)
	}
}

func TestVersions(t *testing.T) {
	w := open(t)
	v := w.publish(t, pump)
	ctx := t.Context()
	if err := w.write(t, record.Create, "88.118/1", w.pump(t, "A", "phase", "one")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Publish(ctx, operator, v); !problem.Is(err, problem.Conflict) {
		t.Errorf("published twice: %v", err)
	}
	if _, err := w.Disable(ctx, operator, v, "phase", true); err != nil {
		t.Fatal(err)
	}
	if s, err := w.Publish(ctx, operator, v); err != nil || s.Version != 2 {
		t.Fatal(s, err)
	}
	// A revision that leaves items out keeps them; one that changes a type is refused.
	x, _ := template.Read([]byte("names: {zh: 泵}\nitems: [{name: colour, type: string}]"))
	s, err := w.Revise(ctx, operator, v, *x, nil)
	if err != nil || len(s.Draft.Items) != 9 || s.Draft.Item("colour").Index != 2008 || !s.Draft.Item("phase").Disabled {
		t.Fatalf("%+v %v", s.Draft, err)
	}
	x, _ = template.Read([]byte("names: {zh: 泵}\nitems: [{name: mass, type: string}]"))
	_, err = w.Revise(ctx, operator, v, *x, nil)
	broken(t, err, "mass", "kept")
	one, err := w.Find(ctx, "88.118/meta_pump/1")
	if err != nil || one.Item("phase").Disabled {
		t.Errorf("version 1 changed: %v", err)
	}
	_, err = w.Expand(ctx, "88.118/META_PUMP", map[string]any{"serialNumber": "B", "phase": "one"})
	broken(t, err, "phase", "disabled")
	d, err := w.Derive(ctx, operator, "88.118/META_PUMP/1", "88.118/META_FIREPUMP", []template.Item{{Name: "hydrant", Type: template.Boolean}})
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := w.Get(ctx, d); s.Draft.Base != "88.118/META_PUMP/1" || len(s.Draft.Items) != 9 {
		t.Errorf("derived: %+v", s.Draft)
	}
	all, items, known := w.Class(ctx, "88.118/META_PUMP")
	if !known || all != "" || items["CURVE"] != template.Granted {
		t.Error("class", all, items, known)
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"names: {zh: x}\nindustry: C99\nitems: [{name: a, type: string}]":                                 "gb-t-4754",
		"names: {zh: x}\nitems: []":                                                                       "items",
		"names: {zh: x}\nitems: [{name: a, type: text}]":                                                  "type",
		"names: {zh: x}\nitems: [{name: a, type: number, unit: kilo}]":                                    "unit",
		"names: {zh: x}\nitems: [{name: a, type: string, unit: kg}]":                                      "unit",
		"names: {zh: x}\nitems: [{name: a, type: string}, {name: A, type: string}]":                       "name",
		"names: {zh: x}\nitems: [{name: a, type: string, index: 1001}]":                                   "index",
		"names: {zh: x}\nitems: [{name: a, type: string, pattern: '('}]":                                  "pattern",
		"names: {zh: x}\nitems: [{name: a, type: schema, schema: {type: 5}}]":                             "schema",
		"names: {zh: x}\nitems: [{name: a, type: schema, schema: {$ref: 'https://evil.example/x.json'}}]": "schema",
		"names: {zh: x}\nitems: [{name: a, type: enumeration}]":                                           "values",
		"names: {zh: x}\nitems: [{name: a, type: number, minimum: '2', maximum: '1'}]":                    "minimum",
		"names: {zh: x}\nitems: [{name: 中, type: string}]":                                                "name",
	} {
		x, err := template.Read([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		x.Fill()
		var v *template.Violations
		if err := x.Check(); !errors.As(err, &v) || v.List[0].Rule != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, u := range []string{"kg", "m/s2", "Cel", "[psi]", "10*3/ul", "mg/dL", "kW.h", "um", "%", "1/min", "W/(m2.K)", "{pieces}", "[degF]", "s-1", "uS/cm"} {
		x := template.Template{Names: map[string]string{"en": "x"}, Items: []template.Item{{Index: 2000, Name: "a", Type: template.Number, Unit: u}}}
		if err := x.Check(); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// Whatever decimal text says, the digits counted are those of the number, however it is written.
func TestNumbers(t *testing.T) {
	one := 1
	x := template.Template{ID: "88.118/META_X", Version: 1, Names: map[string]string{"en": "x"}, Items: []template.Item{{Index: 2000, Name: "a", Type: template.Number, Precision: 3, Scale: &one}}}
	for s, ok := range map[string]bool{"12.5": true, "012.50": true, "1.25e1": true, "125e-1": true, "1.25": false, "1000": false, "1e3": false, "-0": true, "": false, "1e999999999": false, "0x10": false, "Inf": false, "１": false} {
		_, err := x.Expand(map[string]any{"a": s})
		if (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(pump))
	f.Add([]byte(`{"names":{"en":"x"},"items":[{"name":"a","type":"string"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := template.Read(b)
		if err != nil {
			return
		}
		x.Fill()
		if x.Check() != nil {
			return
		}
		x.Validate([]record.Value{{Index: 2000, Type: x.Items[0].Name, Data: b}}, nil)
	})
}
