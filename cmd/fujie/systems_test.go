package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/wire/web"
)

// ledgers plays a warehouse beside its business systems, one of which dies in the middle of a line and one of which is killed: each comes back with the same stock as the others.
func ledgers(t *testing.T, dir string) {
	program := self(t)
	play := func() {
		t.Helper()
		var out bytes.Buffer
		e := &env{ctx: t.Context(), out: &out, err: &out}
		if err := (&floorCmd{Solution: "order-interception", Data: dir, Count: 6}).Run(e); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "the stock of three systems is the same") {
			t.Fatal(out.String())
		}
	}
	play()
	path := filepath.Join(dir, "systems", "order-interception.erp.jsonl")
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		t.Fatalf("the ERP has no ledger: %v", err)
	}
	if err := os.Truncate(path, int64(len(b)-7)); err != nil {
		t.Fatal(err)
	}

	// One that runs already is taken as it is, and is not started a second time.
	front := exec.Command(program, "system", "order-interception", "shop-front", "--data", dir)
	front.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	said, err := front.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := front.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { front.Process.Kill(); front.Wait() })
	line := make([]byte, 200)
	if n, err := said.Read(line); err != nil || !strings.Contains(string(line[:n]), "keeps its ledger") {
		t.Fatalf("%q, %v", line[:n], err)
	}
	second := exec.Command(program, "system", "order-interception", "shop-front", "--data", dir)
	second.Env = front.Env
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "runs already") {
		t.Errorf("a second ledger of one system: %v, %s", err, out)
	}
	play()
	if now, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(now, b) || len(now) == len(b) {
		t.Errorf("the ERP did not take its last line again, once: %v", err)
	}
	// Killed, it leaves its door behind; the next floor starts it anew.
	if err := front.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	front.Wait()
	if _, err := os.Stat(filepath.Join(dir, "systems", "order-interception.shop-front.door")); err != nil {
		t.Fatal(err)
	}
	play()

	state, err := sim.ReadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	access := sim.NewAccess(state)
	defer access.Close()
	if err := (&sim.System{Access: access, Solution: "order-interception", Name: "crm", Dir: dir}).Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "crm") {
		t.Errorf("a system that nobody has: %v", err)
	}
}

// strangers scans at an enterprise's node with the account of another enterprise's floor, and with an account that is nobody's: whoever has no role there does nothing, whatever they scan.
func strangers(t *testing.T, dir string) {
	state, err := sim.ReadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	access := sim.NewAccess(state)
	defer access.Close()
	var warehouse, other *sim.NodeState
	for i := range state.Nodes {
		switch state.Nodes[i].Name {
		case "cold-distributor":
			warehouse = &state.Nodes[i]
		case "automotive-truck":
			other = &state.Nodes[i]
		}
	}
	own, err := access.Floor(warehouse)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := access.Floor(other)
	if err != nil {
		t.Fatal(err)
	}
	foreign.Base, foreign.Pin = own.Base, own.Pin // its own name and key, at the warehouse's door
	order := warehouse.Prefix + "/STRANGE-ORDER"
	body := []byte(`{"flow": "order-interception/take-order", "code": "` + order + `", "form": {"sku": "SKU-1", "quantity": 1}}`)
	forged := &web.Client{Base: own.Base, Pin: own.Pin, User: own.User, Key: foreign.Key} // the warehouse's name, another's key
	nobody := &web.Client{Base: own.Base, Pin: own.Pin}
	for _, c := range []*web.Client{own, foreign, forged, nobody} {
		defer c.Close()
	}
	for name, c := range map[string]*web.Client{"the floor of another enterprise": foreign, "another's key": forged, "nobody": nobody} {
		status, answer, err := c.Exchange(t.Context(), http.MethodPost, "/api/flow-scans", body)
		if err == nil && status < 400 || status >= 500 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
		status, answer, err = c.Exchange(t.Context(), http.MethodGet, "/api/flow-messages?to=order-interception/erp", nil)
		if err == nil && status < 400 || status >= 500 {
			t.Errorf("%s reads an inbox: %d %s", name, status, answer)
		}
	}
	if status, answer, err := own.Exchange(t.Context(), http.MethodPost, "/api/flow-scans", body); err != nil || status != 200 || !bytes.Contains(answer, []byte(`"passed"`)) {
		t.Errorf("the warehouse's own: %d %s %v: somebody else took the order before", status, answer, err)
	}
}
