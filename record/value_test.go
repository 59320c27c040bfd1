package record_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

func TestBlockRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := rapid.SliceOfN(rapid.Custom(drawValue), 0, 5).Draw(t, "values")
		if len(vs) == 0 {
			vs = nil
		}
		b := record.AppendBlock(nil, vs)
		size := 4
		for i := range vs {
			size += vs[i].Size()
		}
		if size != len(b) {
			t.Fatalf("%d bytes announced, %d written", size, len(b))
		}
		tail := rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "tail")
		back, rest, err := record.DecodeBlock(append(bytes.Clone(b), tail...))
		if err != nil || !bytes.Equal(rest, tail) || !cmp.Equal(vs, back, cmpopts.EquateEmpty()) {
			t.Fatal(err, cmp.Diff(vs, back))
		}
		if len(b) > 4 {
			cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
			if _, _, err := record.DecodeBlock(b[:cut]); !problem.Is(err, problem.BadRequest) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
	})
}

func FuzzDecodeBlock(f *testing.F) {
	golden(f, func(_, _ string, b []byte) { f.Add(append([]byte{0, 0, 0, 1}, b...)) })
	f.Fuzz(func(t *testing.T, b []byte) {
		vs, rest, err := record.DecodeBlock(b)
		if err != nil {
			if !problem.Is(err, problem.BadRequest) {
				t.Fatal(err)
			}
			return
		}
		if again := append(record.AppendBlock(nil, vs), rest...); !bytes.Equal(again, b) {
			t.Fatalf("%x\n%x", b, again)
		}
	})
}

func TestCheck(t *testing.T) {
	good := record.Value{Index: 1, Type: "URL", Perm: record.DefaultPerm}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*record.Value){
		"index 0":          func(v *record.Value) { v.Index = 0 },
		"negative index":   func(v *record.Value) { v.Index = 1 << 31 },
		"no type":          func(v *record.Value) { v.Type = "" },
		"long type":        func(v *record.Value) { v.Type = strings.Repeat("x", record.MaxType+1) },
		"type not UTF-8":   func(v *record.Value) { v.Type = "\xff" },
		"too much data":    func(v *record.Value) { v.Data = make([]byte, record.MaxData+1) },
		"too many refs":    func(v *record.Value) { v.Refs = make([]record.Ref, record.MaxRefs+1) },
		"an empty ref":     func(v *record.Value) { v.Refs = []record.Ref{{Index: 1}} },
		"fifth permission": func(v *record.Value) { v.Perm = 0x10 },
	} {
		v := good
		spoil(&v)
		if err := v.Check(); !problem.Is(err, problem.BadValue) && !problem.Is(err, problem.TooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := record.CheckAll([]record.Value{good, good}); !problem.Is(err, problem.ValueExists) || !strings.Contains(err.Error(), "Index conflict for 1") {
		t.Error(err)
	}
	if err := record.CheckAll(make([]record.Value, record.MaxValues+1)); !problem.Is(err, problem.TooLarge) {
		t.Error(err)
	}
	big := good
	big.Data = make([]byte, record.MaxBlock)
	if err := record.CheckAll([]record.Value{big}); !problem.Is(err, problem.TooLarge) {
		t.Error(err)
	}
}

func TestRefs(t *testing.T) {
	for text, want := range map[string]record.Ref{
		"300:88.111.1/ADMIN": {Index: 300, Name: "88.111.1/ADMIN"},
		"88.111.1/ADMIN":     {Name: "88.111.1/ADMIN"},
		"88.111.1/a:b":       {Name: "88.111.1/a:b"},
		"0:a/b":              {Name: "a/b"},
		"1:a/b:c":            {Index: 1, Name: "a/b:c"},
	} {
		got, err := record.ParseRef(text)
		if err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, bad := range []string{":a/b", "4294967296:a/b", "1:"} {
		if got, err := record.ParseRef(bad); !problem.Is(err, problem.BadValue) {
			t.Errorf("%s: %v %v", bad, got, err)
		}
	}
	a := record.Ref{Index: 0, Name: "a/B"}
	b := record.Ref{Index: 5, Name: "A/b"}
	if !a.Covers(b) || b.Covers(a) || a.Same(b) || !b.Same(record.Ref{Index: 5, Name: "a/b"}) {
		t.Error("index 0 covers every index, and only that way")
	}
	rapid.Check(t, func(t *rapid.T) {
		r := record.Ref{Index: rapid.Uint32().Draw(t, "index"), Name: rapid.StringN(1, 20, -1).Draw(t, "name")}
		if back, err := record.ParseRef(r.String()); err != nil || back != r {
			t.Fatal(r, back, err)
		}
	})
}

func TestQuery(t *testing.T) {
	for _, c := range []struct {
		want, typ string
		match     bool
	}{
		{"URL", "url", true}, {"URL", "URL.SUB", false}, {"URL.", "URL", true}, {"url.", "URL.SUB", true},
		{"URL.", "URL.", true}, {"URL.", "URLS", false}, {"URL.SUB", "URL", false}, {"", "", true}, {".", ".x", true},
	} {
		if got := record.MatchType(c.want, c.typ); got != c.match {
			t.Errorf("a request for %q, a value of %q: %v", c.want, c.typ, got)
		}
	}
	q := record.Query{Indexes: []uint32{3}, Types: []string{"URL"}}
	if !q.Wants(3, "X") || !q.Wants(1, "url") || q.Wants(1, "X") || q.All() {
		t.Error("indexes and types are a union")
	}
	if q = (record.Query{}); !q.Wants(9, "X") {
		t.Error("nothing named means everything")
	}
}

func TestTTLLeft(t *testing.T) {
	for _, c := range []struct {
		ttl       record.TTL
		now, want int64
	}{{record.TTL{Seconds: 60}, 1 << 40, 60}, {record.TTL{Absolute: true, Seconds: 100}, 40, 60}, {record.TTL{Absolute: true, Seconds: 100}, 200, 0}} {
		if got := c.ttl.Left(c.now); got != c.want {
			t.Errorf("%+v at %d: %d", c.ttl, c.now, got)
		}
	}
}

// TestMatchTypeFoldsLettersOnly: a–z match A–Z, and nothing else is folded: ſ is no S, the Kelvin sign no K.
func TestMatchTypeFoldsLettersOnly(t *testing.T) {
	for _, c := range []struct {
		want, typ string
		ok        bool
	}{
		{"hs_site", "HS_SITE", true}, {"HS_\u017fITE", "HS_SITE", false}, {"\u212aEY", "KEY", false},
		{"url.", "URL.x", true}, {"url.", "URL", true}, {"url", "URL.x", false}, {"URL.", "URLX", false},
	} {
		if got := record.MatchType(c.want, c.typ); got != c.ok {
			t.Errorf("MatchType(%q, %q) = %v", c.want, c.typ, got)
		}
	}
}
