package sim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// TestEntries: what messages mean to a ledger.
func TestEntries(t *testing.T) {
	for _, c := range []struct {
		kind string
		body map[string]any
		want Line
	}{
		{"stock", map[string]any{"order": "88.1/O", "sku": "A", "change": -2.0}, Line{Account: "A", Change: -2, Ref: "88.1/O"}},
		{"stock-in", map[string]any{"box": "88.1/X", "product": "Milk", "bottles": 6.0}, Line{Account: "Milk", Change: 6, Ref: "88.1/X"}},
		{"stock-out", map[string]any{"order": "88.1/O", "warehouse": "W", "boxes": 2.0}, Line{Account: "boxes shipped by W", Change: 2, Ref: "88.1/O"}},
		{"passed", map[string]any{"part": "88.1/P", "claim": "88.1/C", "amount": 350.0}, Line{Account: "to be paid", Change: 350, Ref: "88.1/P"}},
		{"divert", map[string]any{"thing": "88.1/O", "exit": "exception"}, Line{Account: "divert", Change: 1, Ref: "88.1/O"}},
		{"weather", nil, Line{Account: "weather", Change: 1}},
		{"stock", map[string]any{"sku": 7.0, "change": "many"}, Line{}},
	} {
		if got := entry(c.kind, c.body); got != c.want {
			t.Errorf("%s %v: %+v, want %+v", c.kind, c.body, got, c.want)
		}
	}
}

// TestLedgerFile: a ledger is read up to its last whole line that goes on, and what is behind is taken away.
func TestLedgerFile(t *testing.T) {
	dir := t.TempDir()
	state := &State{Nodes: []NodeState{{Name: "w", Prefix: "88.1.1", Dir: dir, HTTPS: "https://127.0.0.1:1"}}, Systems: []SystemState{{Solution: "s", Name: "erp", Node: "w"}}}
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := key.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := node.WriteFile(systemKey(&state.Nodes[0], "erp"), pem); err != nil {
		t.Fatal(err)
	}
	path := systemFile(dir, "s", "erp", ".jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	whole := `{"seq":1,"account":"A","change":-2}` + "\n" + `{"seq":4,"account":"A","change":5}` + "\n"
	for name, behind := range map[string]string{"nothing": "", "half a line": `{"seq":5,"acc`, "a line without its end": `{"seq":5,"account":"A","change":1}`, "no JSON": "what\n", "a line that goes back": `{"seq":3,"account":"A","change":1}` + "\n"} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(whole+behind), 0o600); err != nil {
				t.Fatal(err)
			}
			a := NewAccess(state)
			defer a.Close()
			s := &System{Access: a, Solution: "s", Name: "erp", Dir: dir}
			if err := s.open(); err != nil {
				t.Fatal(err)
			}
			defer s.client.Close()
			defer s.file.Close()
			if s.seq != 4 || s.stock["A"] != 3 || len(s.lines) != 2 {
				t.Errorf("through %d, %v", s.seq, s.stock)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != whole {
				t.Errorf("%q %v", b, err)
			}
		})
	}
	a := NewAccess(state)
	defer a.Close()
	if err := (&System{Access: a, Solution: "s", Name: "wms", Dir: dir}).open(); !problem.Is(err, problem.NotFound) {
		t.Errorf("a system that nobody has: %v", err)
	}
}
