package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	day0     = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC) // ten in the morning in Beijing
	anybody  = record.Identity{}
	operator = record.Identity{Operator: true}
	admin    = who("0.NA/88.118.1001")
	partner  = who("88.118.1002/App_erp")
	worker   = record.Identity{Ref: record.Ref{Index: 301, Name: "88.118.1002/User_li"}}
	stranger = who("88.118.1009/App_x")
)

func who(name string) record.Identity {
	return record.Identity{Ref: record.Ref{Index: 300, Name: name}}
}

// classes is templates by name.
type classes map[string]policy.Class

func (c classes) Class(_ context.Context, template string) (policy.Class, bool) {
	x, ok := c[strings.ToUpper(template)]
	return x, ok
}

// world is one enterprise's node.
type world struct {
	t     testing.TB
	store store.Store
	p     *policy.Policy
	r     *registry.Registry
	guard *policy.Guard
	mux   http.Handler

	mu  sync.Mutex
	now time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// guarded is the registry as the rules' papers are kept in it, written by the way of all writes.
type guarded struct {
	*registry.Registry
	guard *policy.Guard
}

func (g guarded) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	return g.guard.Write(ctx, by, writes)
}

func newWorld(t testing.TB, cl classes) *world {
	t.Helper()
	w := &world{t: t, now: day0, store: memory.New()}
	var err error
	w.p, err = policy.New(policy.Config{Prefix: "88.118.1001", Store: w.store, Classes: cl, Now: w.clock, Changed: func(prefix string) {
		if w.r != nil {
			w.r.Forget(prefix)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.r, err = registry.Open(t.Context(), registry.Config{Store: w.store, Governor: w.p, HotBytes: 1 << 20, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	w.guard = &policy.Guard{Policy: w.p, Next: w.r, Reader: w.r}
	w.must(operator, record.Write{Op: record.Home, ID: id.MustParse("0.NA/88.118.1001")},
		create("0.NA/88.118.1001", record.Value{Index: 100, Type: record.TypeAdmin, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 300},
			Data: record.AppendAdmin(nil, record.Admin{Perms: record.AllPerms, Ref: admin.Ref})}))
	if err := w.p.Open(t.Context(), guarded{w.r, w.guard}); err != nil {
		t.Fatal(err)
	}
	a := api.New(api.Config{Title: "t", Version: "1", Now: w.clock, Identify: func(r *http.Request) (api.Caller, error) {
		c := api.Caller{}
		if name := r.Header.Get("Who"); name != "" {
			c.Ref = record.Ref{Index: 300, Name: name}
		}
		switch {
		case c.Ref.Name == "88.118.1001/User_boss":
			c.Roles = []api.Role{{Name: api.EnterpriseAdmin, Prefix: "88.118.1001"}}
		case c.Ref.Name == "88.118.1001/User_auditor":
			c.Roles = []api.Role{{Name: api.Auditor, Prefix: "88.118.1001"}}
		}
		return c, nil
	}})
	w.p.Operations(a)
	w.mux = a.Handler()
	return w
}

func text(index uint32, typ, data string) record.Value {
	return record.Value{Index: index, Type: typ, Data: []byte(data), TTL: record.TTL{Seconds: 300}, Perm: record.DefaultPerm}
}

func create(name string, vs ...record.Value) record.Write {
	return record.Write{Op: record.Create, ID: id.MustParse(name), Values: vs}
}

// engine is a record that keeps to the template META_ENGINE.
func engine(name string) record.Write {
	return create(name, text(1000, record.TypeTemplateID, "88.118.1001/META_ENGINE"), text(1001, record.TypeTemplate, "1"),
		text(2000, "model", "D12"), text(2001, "price", "4711"), text(2002, "maker", "Weichai"))
}

func (w *world) must(by record.Identity, writes ...record.Write) {
	w.t.Helper()
	res, err := w.guard.Write(context.Background(), by, writes)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range res {
		if res[i].Err != nil {
			w.t.Fatal(writes[i].ID, res[i].Err)
		}
	}
}

// try is the kind of error of a write, "ok" when it was done.
func (w *world) try(by record.Identity, write record.Write) string {
	w.t.Helper()
	res, err := w.guard.Write(context.Background(), by, []record.Write{write})
	if err != nil {
		w.t.Fatal(err)
	}
	if res[0].Err != nil {
		return problem.KindOf(res[0].Err).String()
	}
	return "ok"
}

// sees is the types of what somebody sees of a record, or the kind of the error.
func (w *world) sees(by record.Identity, name string, purpose ...string) string {
	w.t.Helper()
	q := record.Query{ID: id.MustParse(name), By: by, Purpose: strings.Join(purpose, "")}
	a, err := w.r.Resolve(context.Background(), q)
	slow := ""
	if err != nil {
		slow = problem.KindOf(err).String()
	} else {
		slow = types(a.Values)
	}
	if by.IsAnonymous() { // the fast way says the same, made anew and ready
		for range 2 {
			out, _, ok := w.r.AppendPublic(nil, []byte(name), 0)
			vs, _, err := record.DecodeBlock(append([]byte{}, out...))
			switch {
			case ok && (err != nil || types(vs) != slow):
				w.t.Errorf("%s: the fast way says %q, the long way %q", name, types(vs), slow)
			case !ok && a.Values != nil:
				w.t.Errorf("%s: the fast way says nothing, the long way %q", name, slow)
			}
		}
	}
	return slow
}

func types(vs []record.Value) string {
	var out []string
	for i := range vs {
		if vs[i].Index != record.IndexTemplateID && vs[i].Index != record.IndexTemplate {
			out = append(out, vs[i].Type)
		}
	}
	return strings.Join(out, " ")
}

func (w *world) want(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%q, want %q", got, want)
	}
}

// call makes an API call as name and decodes the answer.
func (w *world) call(name, method, path string, body, out any) int {
	w.t.Helper()
	var b bytes.Buffer
	if body != nil {
		json.NewEncoder(&b).Encode(body)
	}
	r := httptest.NewRequest(method, path, &b)
	r.Header.Set("Who", name)
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	if s, ok := out.(*string); ok {
		*s = rec.Body.String()
	} else if out != nil && rec.Code < 300 {
		if err := json.Unmarshal(rec.Body.Bytes(), out); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, rec.Body)
		}
	}
	return rec.Code
}
