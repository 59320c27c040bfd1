package live_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/live"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/maypok86/otter/v2.(*cache[...]).periodicCleanUp"))
}

var operator = record.Identity{Operator: true}

var admin = record.Ref{Index: 300, Name: "88.118.1001/ADMIN"}

// registered is a registry that answers for 88.118.1001, with one record and one that has a private value.
func registered(t *testing.T) *registry.Registry {
	t.Helper()
	ctx := context.Background()
	r, err := registry.Open(ctx, registry.Config{Store: memory.New(), HotBytes: 1 << 18, Admins: []record.Ref{admin}})
	must(t, err)
	perm := record.DefaultPerm
	v := func(index uint32, typ, data string) record.Value {
		return record.Value{Index: index, Type: typ, Data: []byte(data), TTL: record.TTL{Seconds: 86400}, Perm: perm}
	}
	res, err := r.Write(ctx, operator, []record.Write{
		{Op: record.Home, ID: id.PrefixRecord("88.118.1001")},
		{Op: record.Create, ID: id.MustParse("88.118.1001/M-1"), Values: []record.Value{v(1, "URL", "https://m.example/1"), v(2000, "temperature", "old")}},
		{Op: record.Create, ID: id.MustParse("88.118.1001/OTHER"), Values: []record.Value{v(1, "URL", "https://m.example/other")}},
	})
	must(t, err)
	for _, x := range res {
		must(t, x.Err)
	}
	return r
}

// plant is an HTTP source in the test's memory.
type plant struct {
	calls  atomic.Int64
	mu     sync.Mutex
	answer func(*http.Request) (int, string)
}

func (p *plant) set(f func(*http.Request) (int, string)) {
	p.mu.Lock()
	p.answer = f
	p.mu.Unlock()
}

func (p *plant) RoundTrip(r *http.Request) (*http.Response, error) {
	p.calls.Add(1)
	p.mu.Lock()
	f := p.answer
	p.mu.Unlock()
	code, body := f(r)
	if code == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	w.WriteHeader(code)
	w.WriteString(body)
	return w.Result(), nil
}

func says(code int, body string) func(*http.Request) (int, string) {
	return func(*http.Request) (int, string) { return code, body }
}

func machine(change func(u *live.Rule)) live.Declaration {
	u := live.Rule{
		Name: "machine", Prefix: "88.118.1001", Suffix: "M-{no}", Source: "mes", HTTP: &live.Call{Path: "machines/{no}"},
		Cache: 5 * time.Second, Timeout: time.Second,
		Properties: []live.Property{
			{Index: 2000, Type: "temperature", Column: "/t"},
			{Index: 2001, Type: "operator", Column: "/who", Private: true},
			{Index: 2002, Type: "page", Text: "https://m.example/live/{no}"},
		},
	}
	if change != nil {
		change(&u)
	}
	return live.Declaration{Sources: map[string]live.Source{"mes": {URL: "https://mes.example/api/", Concurrency: 2, Failures: 3, Pause: 10 * time.Second}}, Rules: []live.Rule{u}}
}

func query(r record.Resolver, q record.Query) (record.Answer, error) {
	return r.Resolve(context.Background(), q)
}

var m1, m2 = id.MustParse("88.118.1001/M-1"), id.MustParse("88.118.1001/M-2")

func TestMerge(t *testing.T) {
	p := &plant{}
	p.set(says(200, `{"t": 81.50, "who": "李"}`))
	r, _ := open(t, live.Config{Next: registered(t), Transport: p, Declaration: machine(nil)})
	a, err := query(r, record.Query{ID: m1, PublicOnly: true})
	must(t, err)
	if got, want := texts(a), "1=https://m.example/1 2000=81.50 2002=https://m.example/live/1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, v := range a.Values {
		if v.TTL.Seconds > 5 {
			t.Errorf("value %d may be kept %d s, though the record changes after 5", v.Index, v.TTL.Seconds)
		}
	}
	// What is not registered, but known to the source.
	if a, err = query(r, record.Query{ID: m2, Indexes: []uint32{2000}}); err != nil || texts(a) != "2000=81.50" {
		t.Errorf("%s, %v", texts(a), err)
	}
	// What needs no fetching is not fetched.
	n := p.calls.Load()
	if a, err = query(r, record.Query{ID: m1, Indexes: []uint32{1}}); err != nil || texts(a) != "1=https://m.example/1" || !a.Live.IsZero() {
		t.Errorf("%s, %v", texts(a), err)
	}
	if _, err = query(r, record.Query{ID: id.MustParse("88.118.1001/OTHER")}); err != nil {
		t.Error(err)
	}
	if _, err = query(r, record.Query{ID: id.MustParse("88.118.1001/NONE")}); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
	if _, err = query(r, record.Query{ID: id.MustParse("88.118.1002/M-1")}); !problem.Is(err, problem.NotHere) {
		t.Error(err)
	}
	if p.calls.Load() != n {
		t.Error("the source was asked for what is not its business")
	}
	// The source does not know it.
	p.set(says(404, ""))
	if _, err = query(r, record.Query{ID: id.MustParse("88.118.1001/M-9"), PublicOnly: true}); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
}

// TestPermissionFirst: who may not see a value makes no call, and learns nothing.
func TestPermissionFirst(t *testing.T) {
	p := &plant{}
	p.set(says(200, `{"t": 81.50, "who": "李"}`))
	boss := record.Identity{Ref: admin}
	next := registered(t)
	r, _ := open(t, live.Config{Next: next, Transport: p, Declaration: machine(nil), Rights: next.Administers})
	only := record.Query{ID: m2, Indexes: []uint32{2001}}
	if _, err := query(r, only); !problem.Is(err, problem.NeedAuth) {
		t.Errorf("anonymous: %v", err)
	}
	only.PublicOnly = true
	if _, err := query(r, only); !problem.Is(err, problem.NotFound) {
		t.Errorf("public only: %v", err)
	}
	only.PublicOnly, only.By = false, record.Identity{Ref: record.Ref{Index: 300, Name: "88.9/X"}}
	if _, err := query(r, only); !problem.Is(err, problem.NotAdmin) {
		t.Errorf("a stranger: %v", err)
	}
	if p.calls.Load() != 0 {
		t.Error("the source was asked on behalf of those who may not see the answer")
	}
	only.By = boss
	if a, err := query(r, only); err != nil || texts(a) != "2001=李" {
		t.Errorf("an administrator: %s, %v", texts(a), err)
	}
	only.By = operator
	if a, err := query(r, only); err != nil || texts(a) != "2001=李" {
		t.Errorf("the operator: %s, %v", texts(a), err)
	}
}

// ruled is a Governor: places with these indexes are hidden, and seen by friend alone.
type ruled struct {
	hide   []uint32
	friend record.Ref
	seen   []string // what Admit admitted
	noted  []string // what an administrator saw
	fail   error
}

func (g *ruled) Note(_ context.Context, _ *record.Query, _ id.ID, vs []record.Value, places []int) error {
	for _, i := range places {
		g.noted = append(g.noted, vs[i].Type)
	}
	return nil
}

func (g *ruled) Govern(_ context.Context, _ id.ID, vs []record.Value) ([]record.Value, bool, error) {
	out := slices.Clone(vs)
	for i := range out {
		if slices.Contains(g.hide, out[i].Index) {
			out[i].Perm &^= record.PublicRead
		} else {
			out[i].Perm |= record.PublicRead
		}
	}
	return out, true, g.fail
}

func (g *ruled) Admit(_ context.Context, q *record.Query, _ id.ID, vs []record.Value, hidden []int) ([]int, error) {
	if q.By.Ref != g.friend {
		return nil, nil
	}
	for _, i := range hidden {
		g.seen = append(g.seen, vs[i].Type)
	}
	return hidden, nil
}

func TestGoverned(t *testing.T) {
	p := &plant{}
	p.set(says(200, `{"t": 81.50, "who": "李"}`))
	friend := record.Ref{Index: 300, Name: "88.118.1002/App_erp"}
	g := &ruled{hide: []uint32{2000, 2002}, friend: friend}
	r, _ := open(t, live.Config{Next: registered(t), Governor: g, Transport: p, Declaration: machine(nil)})
	if a, err := query(r, record.Query{ID: m2}); err != nil || texts(a) != "2001=李" {
		t.Errorf("everybody: %s, %v", texts(a), err)
	}
	if _, err := query(r, record.Query{ID: m2, Indexes: []uint32{2000}}); !problem.Is(err, problem.NotFound) {
		t.Errorf("a hidden value is told from an absent one: %v", err)
	}
	if a, err := query(r, record.Query{ID: m2, By: record.Identity{Ref: friend}}); err != nil || texts(a) != "2000=81.50 2001=李 2002=https://m.example/live/2" {
		t.Errorf("a friend: %s, %v", texts(a), err)
	}
	if !slices.Equal(g.seen, []string{"temperature", "page"}) {
		t.Errorf("admitted: %v", g.seen)
	}
	// An administrator sees what nobody granted, and it is noted.
	boss := record.Ref{Index: 300, Name: "88.118.1001/ADMIN"}
	r, _ = open(t, live.Config{Next: registered(t), Governor: g, Transport: p, Declaration: machine(nil),
		Rights: func(_ context.Context, by record.Identity, _ id.ID) error {
			if by.Ref != boss {
				return problem.New(problem.NotAdmin, "no", "否")
			}
			return nil
		}})
	if a, err := query(r, record.Query{ID: m2, By: record.Identity{Ref: boss}, Indexes: []uint32{2000}}); err != nil || texts(a) != "2000=81.50" || !slices.Equal(g.noted, []string{"temperature"}) {
		t.Errorf("an administrator: %s, %v, noted %v", texts(a), err, g.noted)
	}
	if _, err := query(r, record.Query{ID: m2, By: record.Identity{Ref: record.Ref{Index: 300, Name: "88.9/X"}}, Indexes: []uint32{2000}}); !problem.Is(err, problem.NotFound) {
		t.Errorf("a stranger: %v", err)
	}
	g.fail = errors.New("the rules cannot be read")
	if a, err := query(r, record.Query{ID: m2}); err == nil {
		t.Errorf("without rules it shows %s", texts(a))
	}
}

// TestSigned: a permission-filtered live answer verifies, and covers what the asker did not ask for.
func TestSigned(t *testing.T) {
	p := &plant{}
	p.set(says(200, `{"t": 81.50, "who": "李"}`))
	key, err := trust.Generate(trust.Ed25519, rand.Reader)
	must(t, err)
	by := record.Ref{Index: 300, Name: "0.NA/88.118.1001"}
	now := time.Now()
	unsigned, _ := open(t, live.Config{Next: registered(t), Transport: p, Declaration: machine(nil),
		Sign: func(context.Context, id.ID, []record.Value) (record.Value, error) {
			return record.Value{}, problem.New(problem.NotHere, "no key", "无密钥")
		}})
	if a, err := query(unsigned, record.Query{ID: m1, PublicOnly: true, Certify: true}); err != nil || len(a.Values) != 3 {
		t.Errorf("under a prefix without a key: %s, %v", texts(a), err)
	}
	r, _ := open(t, live.Config{Next: registered(t), Transport: p, Declaration: machine(nil),
		Sign: func(_ context.Context, rec id.ID, vs []record.Value) (record.Value, error) {
			data, err := trust.SignRecord(key, by, rec.String(), vs, trust.SignOptions{PublicOnly: true, From: now.Add(-time.Minute), Until: now.Add(time.Hour)})
			return record.Value{Index: 401, Type: record.TypeSignature, Data: data, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}}, err
		}})
	check := func(a record.Answer, complete bool) {
		t.Helper()
		i := slices.IndexFunc(a.Values, func(v record.Value) bool { return v.Type == record.TypeSignature })
		if i < 0 {
			t.Fatal("there is no signature")
		}
		if a.Values[i].TTL.Seconds > 5 {
			t.Errorf("the signature may be kept %d s", a.Values[i].TTL.Seconds)
		}
		rest := slices.Delete(slices.Clone(a.Values), i, i+1)
		if err := trust.VerifyRecord(a.Values[i].Data, key.Public(), m1.String(), rest, complete, now); err != nil {
			t.Errorf("%s: %v", texts(a), err)
		}
	}
	a, err := query(r, record.Query{ID: m1, PublicOnly: true, Certify: true})
	must(t, err)
	check(a, true)
	a, err = query(r, record.Query{ID: m1, PublicOnly: true, Certify: true, Indexes: []uint32{2000}})
	must(t, err)
	check(a, false)
}

// TestBounds: cache, one question at a time, the circuit, old answers.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{}
		p.set(says(200, `{"t": 1, "who": null}`))
		r, book := open(t, live.Config{Next: registered(t), Transport: p, Declaration: machine(func(u *live.Rule) { u.Stale = time.Minute })})
		one := record.Query{ID: m1, Indexes: []uint32{2000}}
		expect := func(what, want string, stale bool, calls int64) record.Answer {
			t.Helper()
			a, err := query(r, one)
			if err != nil || texts(a) != want || a.Stale != stale || p.calls.Load() != calls {
				t.Errorf("%s: %s, %v, stale %v, %d calls", what, texts(a), err, a.Stale, p.calls.Load())
			}
			return a
		}
		expect("first", "2000=1", false, 1)
		time.Sleep(3 * time.Second)
		p.set(says(200, `{"t": 2, "who": null}`))
		if a := expect("from the cache", "2000=1", false, 1); a.Values[0].TTL.Seconds != 2 || !a.Live.Equal(time.Now().Add(-3*time.Second)) {
			t.Errorf("a kept value: TTL %d, read at %s, now %s", a.Values[0].TTL.Seconds, a.Live, time.Now())
		}
		time.Sleep(2 * time.Second)
		expect("after the cache", "2000=2", false, 2)

		// It hangs; many ask at once.
		time.Sleep(6 * time.Second)
		p.set(says(0, ""))
		var wg sync.WaitGroup
		begun := time.Now()
		for range 100 {
			wg.Go(func() {
				if a, err := query(r, one); err != nil || !a.Stale || texts(a) != "2000=2" {
					t.Errorf("while it hangs: %s, %v, stale %v", texts(a), err, a.Stale)
				}
			})
		}
		wg.Wait()
		if p.calls.Load() != 3 || time.Since(begun) != time.Second {
			t.Errorf("100 questions made %d calls and took %s", p.calls.Load()-2, time.Since(begun))
		}
		// After three failures nobody asks any more, and nobody waits.
		query(r, one)
		query(r, one)
		begun = time.Now()
		expect("with the circuit open", "2000=2", true, 5)
		if time.Since(begun) != 0 {
			t.Errorf("the circuit is open and the asker waits %s", time.Since(begun))
		}
		if _, err := query(r, record.Query{ID: m2}); !problem.Is(err, problem.NeedAuth) {
			t.Error(err)
		}
		if _, err := query(r, record.Query{ID: m2, PublicOnly: true}); !problem.Is(err, problem.Unreachable) {
			t.Error(err)
		}
		// Back again.
		p.set(says(200, `{"t": 3, "who": null}`))
		time.Sleep(11 * time.Second)
		expect("after the pause", "2000=3", false, 6)
		if s := r.States()[0]; s.State != "closed" || s.Failed != 3 {
			t.Errorf("%+v", s)
		}
		if n := strings.Count(book.String(), "does not answer"); n != 1 {
			t.Errorf("the same complaint was logged %d times:\n%s", n, book)
		}
		// Old answers are not given for ever.
		p.set(says(500, ""))
		time.Sleep(2 * time.Minute)
		if _, err := query(r, one); !problem.Is(err, problem.Unreachable) {
			t.Errorf("after two minutes: %v", err)
		}
		synctest.Wait()
	})
}

// TestCrowd: no more than two questions at once; who waits too long is told so, and one who leaves harms nobody.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{}
		var now, most atomic.Int64
		p.set(func(r *http.Request) (int, string) {
			n := now.Add(1)
			defer now.Add(-1)
			for {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			time.Sleep(600 * time.Millisecond)
			return 200, `{"t": 1, "who": null}`
		})
		r, _ := open(t, live.Config{Next: registered(t), Transport: p, Declaration: machine(func(u *live.Rule) { u.Cache = -1 })})
		var ok, busy, late atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, err := query(r, record.Query{ID: id.MustParse(fmt.Sprintf("88.118.1001/M-%d", i+10)), PublicOnly: true})
				switch {
				case err == nil:
					ok.Add(1)
				case problem.Is(err, problem.Busy):
					busy.Add(1)
				case problem.Is(err, problem.Unreachable):
					late.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() > 2 || ok.Load() != 2 || late.Load() != 2 || busy.Load() != 16 {
			t.Errorf("%d at once; %d answered, %d late, %d turned away", most.Load(), ok.Load(), late.Load(), busy.Load())
		}
		ctx, cancel := context.WithCancel(context.Background())
		wg.Go(func() {
			if _, err := r.Resolve(ctx, record.Query{ID: m2, PublicOnly: true}); !problem.Is(err, problem.Canceled) {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := query(r, record.Query{ID: m2, PublicOnly: true}); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		cancel()
		wg.Wait()
	})
}

// TestPanic: a driver that runs into a fault takes nobody along.
func TestPanic(t *testing.T) {
	p := &plant{}
	p.set(func(*http.Request) (int, string) { panic("nil map") })
	r, book := open(t, live.Config{Next: registered(t), Transport: p, Declaration: machine(nil)})
	if _, err := query(r, record.Query{ID: m2, PublicOnly: true}); !problem.Is(err, problem.Unreachable) || !strings.Contains(book.String(), "nil map") {
		t.Errorf("%v\n%s", err, book)
	}
}

func TestPartial(t *testing.T) {
	p := &plant{}
	p.set(says(503, ""))
	for _, partial := range []bool{true, false} {
		r, _ := open(t, live.Config{Next: registered(t), Transport: p, Declaration: machine(func(u *live.Rule) { u.Partial = partial })})
		a, err := query(r, record.Query{ID: m1, PublicOnly: true})
		switch {
		case !partial && !problem.Is(err, problem.Unreachable):
			t.Errorf("whole: %s, %v", texts(a), err)
		case partial && (err != nil || texts(a) != "1=https://m.example/1" || a.Values[0].TTL.Seconds > 1 || !a.Live.IsZero()):
			t.Errorf("partial: %s, %v", texts(a), err)
		}
	}
}

// TestRegistered: with Registered, the source is not asked for what is not registered here.
func TestRegistered(t *testing.T) {
	p := &plant{}
	p.set(says(200, `{"t": 1, "who": null}`))
	r, _ := open(t, live.Config{Next: registered(t), Transport: p, Declaration: machine(func(u *live.Rule) { u.Registered = true })})
	if _, err := query(r, record.Query{ID: m2, PublicOnly: true}); !problem.Is(err, problem.NotFound) || p.calls.Load() != 0 {
		t.Errorf("%v, %d calls", err, p.calls.Load())
	}
	if _, err := query(r, record.Query{ID: m1, PublicOnly: true}); err != nil {
		t.Error(err)
	}
}

func TestTemplate(t *testing.T) {
	p := &plant{}
	p.set(says(200, `{"t": "hot", "who": null}`))
	wrong := false
	r, book := open(t, live.Config{Next: registered(t), Transport: p,
		Declaration: machine(func(u *live.Rule) { u.Template, u.Version, u.Cache = "88.118.1001/META_M", "1", -1 }),
		Check: func(_ context.Context, _ id.ID, vs []record.Value) error {
			if wrong {
				return errors.New("temperature is no number")
			}
			return nil
		}})
	a, err := query(r, record.Query{ID: m2, PublicOnly: true})
	if want := "1000=88.118.1001/META_M 1001=1 2000=hot 2002=https://m.example/live/2"; err != nil || texts(a) != want {
		t.Errorf("%s, %v", texts(a), err)
	}
	wrong = true
	if _, err = query(r, record.Query{ID: m2, PublicOnly: true}); !problem.Is(err, problem.Unreachable) || !strings.Contains(book.String(), "no number") {
		t.Errorf("%v\n%s", err, book)
	}
}

// TestReady: names that no rule is about take the fast way, at no allocation; names that one may be about never do.
func TestReady(t *testing.T) {
	next := registered(t)
	r, _ := open(t, live.Config{Next: next, Ready: next, Transport: &plant{}, Declaration: machine(nil)})
	now := time.Now().Unix()
	buf := make([]byte, 0, 4096)
	for name, want := range map[string]bool{
		"88.118.1001/OTHER": true, "88.118.1001/other": true, "88.118.1001/M-1": false, "88.118.1001/m-1": false, "88.118.1001/M": false, "88.118.1002/x": false, "88.118.1001": false, "": false,
	} {
		if _, _, ok := r.AppendPublic(buf, []byte(name), now); ok != want {
			t.Errorf("%q: %v", name, ok)
		}
	}
	r.Expect([][]byte{[]byte("88.118.1001/OTHER"), []byte("88.118.1001/m-1")})
	for _, name := range []string{"88.118.1001/OTHER", "88.118.1001/m-1"} {
		b := []byte(name)
		if n := testing.AllocsPerRun(100, func() { r.AppendPublic(buf, b, now) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestDeclaration: the whole form in YAML, and what is refused, each by name.
func TestDeclaration(t *testing.T) {
	const good = `
sources:
  erp: {url: 'postgres://fujie@10.0.0.5/erp?sslmode=disable', password: 'env:ERP', concurrency: 4, failures: 3, pause: 10s}
  shop: {url: 'mysql://fujie@10.0.0.6:3307/shop?tls=true', password: 'file:/etc/shop'}
  mes: {url: 'https://mes.example/api/', bearer: 'file:/etc/mes', headers: {X-Api-Key: 'env:KEY', Accept-Language: zh}}
rules:
- name: stock
  prefix: 88.118.1001
  suffix: 'ENG-{no:digits}'
  source: erp
  sql: SELECT qty FROM stock WHERE part_no = {no}
  template: 88.118.1001/META_STOCK
  version: "1"
  confirm: {no: part_no}
  cache: 10s
  properties:
  - {index: 2000, type: quantity, column: qty}
- name: machine
  prefix: 88.118.1001
  suffix: 'M-{no}'
  source: mes
  http: {path: 'q', method: POST, query: {lang: zh}, body: {no: '{no}', fields: [t, who]}}
  properties:
  - {index: 2000, type: temperature, column: /t, private: true}
`
	try := func(text string) error {
		var d live.Declaration
		if err := yaml.UnmarshalWithOptions([]byte(text), &d, yaml.Strict()); err != nil {
			return err
		}
		r, err := live.New(live.Config{Next: registered(t), Secret: func(string) (string, error) { return "s3cret", nil }, Declaration: d})
		if err != nil {
			if !problem.Is(err, problem.BadValue) {
				t.Errorf("%v is of kind %v", err, problem.KindOf(err))
			}
			return err
		}
		return r.Close()
	}
	must(t, try(good))
	for _, c := range []struct{ old, new, want string }{
		{"url: 'postgres://fujie@", "url: 'postgres://fujie:hunter2@", "password"},
		{"'env:ERP'", "'hunter2'", "env:NAME"},
		{"X-Api-Key: 'env:KEY'", "X-Api-Key: 'hunter2'", "X-Api-Key"},
		{"postgres://", "oracle://", "oracle"},
		{"tls=true", "multiStatements=true", "multiStatements"},
		{"prefix: 88.118.1001", "prefix: 88.118.1001/x", "prefix"},
		{"ENG-{no:digits}", "ENG-{no:roman}", "roman"},
		{"ENG-{no:digits}", "ENG-{no", "brace"},
		{"ENG-{no:digits}", "{a}{no}", "side by side"},
		{"source: erp", "source: crm", "crm"},
		{"SELECT qty FROM stock", "DELETE FROM stock", "SELECT"},
		{"part_no = {no}", "part_no = '{no}'", "quotes"},
		{"part_no = {no}", "part_no = {nr}", "{"},
		{"confirm: {no:", "confirm: {nr:", "nr"},
		{"part_no = {no}", "part_no = $1", "place"},
		{"part_no = {no}", "1=1; DROP TABLE stock", "statement"},
		{"column: qty}", "}", "column or text"},
		{"index: 2000, type: quantity", "index: 0, type: quantity", "index"},
		{"type: quantity", "type: HS_ADMIN", "HS_ADMIN"},
		{"index: 2000, type: quantity", "index: 1000, type: quantity", "1000"},
		{`version: "1"`, "", "version"},
		{"cache: 10s", "cache: 1000h", "cache"},
		{"column: /t", "column: t", "pointer"},
		{"path: 'q'", "path: '../q'", "path"},
		{"no: '{no}'", "no: '{nr}'", "nr"},
		{"method: POST", "method: DELETE", "method"},
		{"cache: 10s", "cash: 10s", "cash"},
	} {
		err := try(strings.Replace(good, c.old, c.new, 1))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.new, err)
		}
	}
}
