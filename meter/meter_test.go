package meter_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/meter"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// feed is a registry's Feed in memory; how many there are of a prefix is counted from it.
type feed struct {
	entries atomic.Pointer[[]record.Entry]
	there   map[id.ID]bool
}

func newFeed() *feed {
	f := &feed{there: map[id.ID]bool{}}
	f.entries.Store(&[]record.Entry{})
	return f
}

func (f *feed) add(op record.Op, names ...string) {
	list := *f.entries.Load()
	for _, n := range names {
		v := id.MustParse(n)
		list = append(list[:len(list):len(list)], record.Entry{Change: record.Change{Seq: uint64(len(list) + 1), Time: time.Now(), Op: op, ID: v}})
		switch op {
		case record.Create:
			f.there[v] = true
		case record.Delete:
			delete(f.there, v)
		}
	}
	f.entries.Store(&list)
}

func (f *feed) Changes(ctx context.Context, by record.Identity, after uint64, limit int, values bool) ([]record.Entry, error) {
	if !by.Operator || values {
		return nil, errors.New("the meter asks for more than it needs")
	}
	for {
		if list := *f.entries.Load(); uint64(len(list)) > after {
			return list[after:min(len(list), int(after)+limit)], nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (f *feed) List(context.Context, record.Identity, string, string, int) ([]string, error) {
	return nil, nil
}
func (f *feed) Prefixes(context.Context, record.Identity, string, int) ([]string, error) {
	return nil, nil
}
func (f *feed) Count(_ context.Context, _ record.Identity, prefix string) (n int64, err error) {
	for v := range f.there {
		if v.Prefix() == prefix {
			n++
		}
	}
	return n, nil
}

// says answers every question with a product.
type says struct{}

func (says) Resolve(_ context.Context, q record.Query) (record.Answer, error) {
	if !q.PublicOnly {
		return record.Answer{}, errors.New("the meter reads what is not public")
	}
	v := func(i uint32, typ, data string) record.Value {
		return record.Value{Index: i, Type: typ, Data: []byte(data)}
	}
	return record.Answer{Values: []record.Value{v(1000, "TEMPLATE_ID", "88.118.1001/META_P"), v(2000, "brand", "符"), v(2001, "productName", "阀 "+q.ID.Suffix())}}, nil
}

func key(t *testing.T) *trust.PrivateKey {
	t.Helper()
	k, err := trust.Generate(trust.Ed25519, rand.Reader)
	must(t, err)
	return k
}

// pair is a second-level node and the national one above it.
type pair struct {
	up, down *meter.Meter
	key      *trust.PrivateKey
	away     atomic.Bool
	refuse   atomic.Value // a table
	pushed   atomic.Int64
	feed     *feed
	store    store.Store
	cfg      meter.Config
}

func newPair(t *testing.T, change func(c *meter.Config)) *pair {
	t.Helper()
	p := &pair{key: key(t), feed: newFeed(), store: memory.New()}
	p.refuse.Store("")
	var err error
	p.up, err = meter.New(meter.Config{Prefix: "88", Store: memory.New(), Feed: newFeed(),
		KeyOf: func(_ context.Context, prefix string) (trust.PublicKey, error) {
			if prefix != "88.118" {
				return trust.PublicKey{}, problem.New(problem.NotFound, "no", "无")
			}
			return p.key.Public(), nil
		}})
	must(t, err)
	p.cfg = meter.Config{Prefix: "88.118", Parent: "88", Store: p.store, Feed: p.feed, Lister: p.feed, Names: says{}, Key: p.key,
		Homed: func() []string { return []string{"88.118", "88.118.1001"} },
		Push: func(ctx context.Context, table string, body meter.Statement) error {
			if p.away.Load() {
				return problem.New(problem.Unreachable, "away", "离线")
			}
			if p.refuse.Load() == table {
				return problem.New(problem.BadValue, "not like this", "不行")
			}
			p.pushed.Add(1)
			_, err := p.up.Receive(ctx, table, body)
			return err
		}}
	if change != nil {
		change(&p.cfg)
	}
	p.open(t)
	return p
}

func (p *pair) open(t *testing.T) {
	t.Helper()
	var err error
	p.down, err = meter.New(p.cfg)
	must(t, err)
}

// run runs the node below until stop is called.
func (p *pair) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.down.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// rows are what the node above has of a table, as JSON, one a line.
func (p *pair) rows(t *testing.T, table string) string {
	t.Helper()
	list, err := p.up.List(context.Background(), "88.118", table, "", 1000, nil)
	must(t, err)
	var out []string
	for _, r := range list {
		_, rep, err := p.up.Report(context.Background(), r.Node, r.Table, r.Seq)
		must(t, err)
		_, err = rep.Decode()
		must(t, err)
		var rows []json.RawMessage
		must(t, json.Unmarshal(rep.Rows, &rows))
		for _, b := range rows {
			out = append(out, string(b))
		}
		for _, g := range r.Gone {
			out = append(out, "gone "+g)
		}
	}
	return strings.Join(out, "\n")
}

func waitUntil(day int, hour, minute int) {
	time.Sleep(time.Until(time.Date(2000, 1, day, hour, minute, 0, 0, meter.Beijing)))
	synctest.Wait()
}

// TestDay: one day with registrations, an overwritten one, a deleted one, questions, a crash in the middle, and a parent that
// is away; the next morning all tables arrive, each once.
func TestDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		p.away.Store(true)
		stop := p.run(t)
		p.feed.add(record.Create, "0.NA/88.118.1001", "88.118.1001/A", "88.118.1001/B", "88.118.1001/META_P")
		p.feed.add(record.Modify, "88.118.1001/A")
		p.feed.add(record.Create, "88.118.1001/A", "0.NA/88.118.1001") // in the place of the old ones
		for i := range 100 {
			p.down.Recorder().ResolvedName("88.118.1001/A", netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 3)}), time.Duration(i+1)*time.Millisecond, i != 0)
		}
		p.down.Recorder().ResolvedName("0.NA/88.118.1001", netip.MustParseAddr("2001:db8::1"), time.Millisecond, true)
		p.down.Recorder().Registered(10, 50*time.Millisecond, true)
		time.Sleep(3 * time.Minute)
		stop()
		// It starts again; what was counted is not counted twice.
		p.open(t)
		stop = p.run(t)
		p.feed.add(record.Delete, "88.118.1001/B")
		p.feed.add(record.Create, "88.118.1001/C")
		waitUntil(1, 23, 59)
		if n := p.pushed.Load(); n != 0 {
			t.Errorf("%d reports before the day is over", n)
		}
		waitUntil(2, 0, 1)
		p.feed.add(record.Create, "88.118.1001/NEXTDAY") // before the day before is reported
		waitUntil(2, 1, 0)
		waiting, err := p.down.Outbox(context.Background(), 0, 100)
		must(t, err)
		stop() // its key is changed while the reports wait
		p.key = key(t)
		p.cfg.Key = p.key
		p.open(t)
		stop = p.run(t)
		if len(waiting) != 4 || waiting[0].Tries == 0 || waiting[0].LastError == "" {
			t.Errorf("in the outbox: %+v", waiting)
		}
		p.away.Store(false)
		waitUntil(2, 1, 10)
		for table, want := range map[string]string{
			"T3": `{"day":"2000-01-01","prefix":"88.118","dailyRegister":1,"totalRegister":1,"dailyResolve":101,"dailyResolveSuccess":100,"sourceIps":[{"ip":"192.0.2.0","count":34},{"ip":"192.0.2.1","count":33},{"ip":"192.0.2.2","count":33},{"ip":"2001:db8::1","count":1}]}`,
			"T8": `{"day":"2000-01-01","prefix":"88.118.1001","dailyRegister":4,"totalRegister":3,"dailyResolve":100,"dailyResolveSuccess":99,"sourceIps":[{"ip":"192.0.2.0","count":34},{"ip":"192.0.2.1","count":33},{"ip":"192.0.2.2","count":33}]}`,
			"T9": `{"handle":"88.118.1001/A","createDate":"2000-01-01","metaCode":"88.118.1001/META_P","op":1,"brand":"符","productName":"阀 A"}` + "\n" +
				`{"handle":"88.118.1001/B","createDate":"2000-01-01","op":2}` + "\n" +
				`{"handle":"88.118.1001/C","createDate":"2000-01-01","metaCode":"88.118.1001/META_P","op":1,"brand":"符","productName":"阀 C"}`,
		} {
			if got := p.rows(t, table); got != want {
				t.Errorf("%s:\n%s\nwant\n%s", table, got, want)
			}
		}
		var m meter.Monitoring
		must(t, json.Unmarshal([]byte(p.rows(t, "M1")), &m))
		if m.ResolveMax != 100 || m.ResolveMin != 1 || m.ResolveAvg != 50.01 || m.ResolveMaxAt == "" || m.RegisterAvg != 5 || m.MaxQPS <= 0 || m.MaxQPSAt == "" {
			t.Errorf("M1: %+v", m)
		}
		if got, err := p.down.Outbox(context.Background(), 0, 100); err != nil || len(got) != 0 {
			t.Errorf("still in the outbox: %+v, %v", got, err)
		}
		waitUntil(3, 1, 0)
		if got := p.rows(t, "T8"); !strings.Contains(got, `"day":"2000-01-02","prefix":"88.118.1001","dailyRegister":1,"totalRegister":4`) {
			t.Errorf("the next day:\n%s", got)
		}
		if got := p.rows(t, "T9"); strings.Count(got, "\n") != 3 || !strings.Contains(got, "NEXTDAY") {
			t.Errorf("the next day's main data:\n%s", got)
		}
		stop()
	})
}

// TestStoreFaults: a full disk, and writes of which nobody knows whether they were done, neither lose a count nor make one
// count twice.
func TestStoreFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		p := newPair(t, nil)
		p.cfg.Store, p.cfg.Parent = st, ""
		p.open(t)
		stop := p.run(t)
		count := func(n int) {
			for range n {
				p.down.Recorder().ResolvedName("88.118.1001/A", netip.Addr{}, time.Millisecond, true)
				p.down.Recorder().ResolvedName("88.118.7/A", netip.Addr{}, time.Millisecond, true)
			}
		}
		expect := func(what string, n uint64) {
			t.Helper()
			time.Sleep(61 * time.Second)
			synctest.Wait()
			if got, err := p.down.Today(context.Background()); err != nil || got.Requests != 2*n {
				t.Errorf("%s: %d, want %d, %v", what, got.Requests, 2*n, err)
			}
		}
		count(10)
		expect("at first", 10)
		st.Faults().Full(true)
		count(5)
		expect("while the disk is full", 10)
		count(5)
		time.Sleep(time.Minute)
		st.Faults().Full(false)
		expect("with room again", 20)
		count(3)
		st.Faults().Doubt(true)
		expect("after a write that was done", 23)
		count(3)
		st.Faults().Doubt(false)
		time.Sleep(time.Minute)
		expect("after one that was not", 26)
		stop()
		m, _, err := p.down.Month(context.Background(), "2000-01")
		if err != nil || m.Requests != 52 {
			t.Errorf("in the month: %+v, %v", m, err)
		}
	})
}

// TestPapers: what changed is told when it is due, and nothing twice.
func TestPapers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var name atomic.Value
		name.Store("甲公司")
		var ents atomic.Int64
		ents.Store(2)
		p := newPair(t, func(c *meter.Config) {
			c.Operator = func(context.Context) ([]meter.Entity, error) {
				return []meter.Entity{{Prefix: "88.118", Name: name.Load().(string)}}, nil
			}
			c.Enterprises = func(context.Context) (out []meter.Entity, err error) {
				for i := range ents.Load() {
					out = append(out, meter.Entity{Prefix: fmt.Sprintf("88.118.%d", 1001+i), Name: "企业"})
				}
				return out, nil
			}
			c.Apps = func(context.Context) ([]meter.App, error) { return nil, errors.New("the shelf is away") }
		})
		stop := p.run(t)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := p.rows(t, "T1"); got != `{"entPrefix":"88.118","orgName":"甲公司"}` {
			t.Errorf("T1: %s", got)
		}
		if got := p.rows(t, "T6"); strings.Count(got, "\n") != 1 {
			t.Errorf("T6: %s", got)
		}
		n := p.pushed.Load()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if p.pushed.Load() != n {
			t.Error("nothing changed, and it was told again")
		}
		name.Store("乙公司")
		ents.Store(1)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := p.rows(t, "T1"); !strings.HasSuffix(got, `"orgName":"乙公司"}`) {
			t.Errorf("T1 is told at once, but the node above has %s", got)
		}
		if got := p.rows(t, "T6"); strings.Contains(got, "gone") {
			t.Errorf("T6 is hourly, and was told before: %s", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := p.rows(t, "T6"); !strings.HasSuffix(got, "gone 88.118.1002") {
			t.Errorf("T6 an hour later: %s", got)
		}
		// More than one message holds, and one that the node above refuses keeps nobody.
		p.refuse.Store("T1")
		name.Store("丙公司")
		ents.Store(4500)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Count(p.rows(t, "T6"), `"企业"`); got != 2+4499 {
			t.Errorf("of 4500 enterprises the node above knows %d", got)
		}
		waiting, err := p.down.Outbox(context.Background(), 0, 10)
		must(t, err)
		if len(waiting) != 1 || !waiting[0].Refused || waiting[0].Table != "T1" || !strings.Contains(waiting[0].LastError, "not like this") {
			t.Errorf("refused: %+v", waiting)
		}
		stop()
	})
}

// TestMonth: incidents, uptime with an outage, and the report within the first days of the next month.
func TestMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(c *meter.Config) {
			c.Effective = func(_ context.Context, from, to time.Time) ([]time.Duration, error) {
				return []time.Duration{time.Hour, 3 * time.Hour}, nil
			}
		})
		ctx := context.Background()
		// The fake clock begins at 08:00 in Beijing.
		stop := p.run(t)
		waitUntil(1, 20, 0)
		no, err := p.down.Abnormal(ctx, meter.Network, "光缆中断", false)
		must(t, err)
		if _, err := p.down.Abnormal(ctx, 9, "", false); !problem.Is(err, problem.BadValue) {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		_, err = p.down.Recovered(ctx, no)
		must(t, err)
		if _, err := p.down.Recovered(ctx, no); !problem.Is(err, problem.Conflict) {
			t.Error(err)
		}
		if _, err := p.down.Recovered(ctx, "88.118-99999999"); !problem.Is(err, problem.NotFound) {
			t.Error(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := p.rows(t, "M2"); !strings.Contains(got, `"state":1`) || !strings.Contains(got, `"recoverEventNo":"`+no+`"`) {
			t.Errorf("M2: %s", got)
		}
		stop()
		time.Sleep(24 * time.Hour)
		p.open(t)
		stop = p.run(t)
		p.down.Recorder().ResolvedName("88.118.1001/A", netip.Addr{}, 2*time.Millisecond, true)
		waitUntil(2, 23, 0)
		row, known, err := p.down.Month(ctx, "2000-01")
		if err != nil || !known {
			t.Fatal(known, err)
		}
		// Up from 8 to 21 and from 21 to 23 the next day: 15 of the 47 hours since the midnight of its first day.
		if row.UptimeHours < 14.9 || row.UptimeHours > 15.1 || row.Availability < 31 || row.Availability > 33 || row.EffectiveHours != 2 ||
			len(row.Emergencies) != 1 || !strings.Contains(row.Emergencies[0], "光缆中断") || row.ResolveMs != 2 {
			t.Errorf("%+v", row)
		}
		stop()
		time.Sleep(time.Until(time.Date(2000, 2, 1, 0, 0, 0, 0, meter.Beijing)))
		p.open(t)
		stop = p.run(t)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := p.rows(t, "SLA"); !strings.Contains(got, `"month":"2000-01"`) || strings.Contains(got, "\n") {
			t.Errorf("SLA: %s", got)
		}
		list, err := p.up.Standings(ctx, "2000-01", nil)
		must(t, err)
		if len(list) != 1 || list[0].Reported == nil || list[0].Late || len(list[0].Missing) != 0 {
			t.Errorf("%+v", list)
		}
		stop()
	})
}

// TestProbes: a neighbour that answers, one that does not, one that hangs.
func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(c *meter.Config) {
			c.Neighbours = func(context.Context) ([]meter.Neighbour, error) {
				return []meter.Neighbour{{Prefix: "88.200"}, {Prefix: "88.300"}, {Prefix: "88.400"}}, nil
			}
			c.Probe = func(ctx context.Context, n meter.Neighbour, what meter.Service) error {
				switch {
				case n.Prefix == "88.400":
					<-ctx.Done()
					return ctx.Err()
				case n.Prefix == "88.300" && what == meter.Registration:
					return errors.New("refused")
				}
				time.Sleep(4 * time.Millisecond)
				return nil
			}
		})
		stop := p.run(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		stop()
		list, err := p.down.Standings(context.Background(), "2000-01", nil)
		must(t, err)
		var got []string
		for _, s := range list {
			for _, m := range s.Measured {
				got = append(got, fmt.Sprintf("%s %s %v%% %vms %v", s.Node, m.Service, m.Percent, m.MeanMs, m.Probes > 100))
			}
		}
		want := []string{"88.200 resolution 100% 4ms true", "88.200 registration 100% 4ms true", "88.300 resolution 100% 4ms true",
			"88.300 registration 0% 0ms true", "88.400 resolution 0% 0ms true", "88.400 registration 0% 0ms true"}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("measured:\n%s", strings.Join(got, "\n"))
		}
	})
}

// TestForward: what an enterprise reports to the node above it is known to the one above that, with its own signature.
func TestForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		ent := key(t)
		keys := func(_ context.Context, prefix string) (trust.PublicKey, error) {
			return map[string]*trust.PrivateKey{"88.118": p.key, "88.118.1001": ent}[prefix].Public(), nil
		}
		p.cfg.KeyOf = keys
		p.open(t)
		var err error
		var renewed atomic.Bool
		p.up, err = meter.New(meter.Config{Prefix: "88", Store: memory.New(), Feed: newFeed(), KeyOf: func(ctx context.Context, prefix string) (trust.PublicKey, error) {
			if renewed.Load() && prefix == "88.118.1001" {
				return p.key.Public(), nil
			}
			return keys(ctx, prefix)
		}})
		must(t, err)
		p.away.Store(true)
		stop := p.run(t)
		of := func(r *meter.Report) {
			r.Node, r.To, r.Table, r.Rows = "88.118.1001", "88.118", "T10", json.RawMessage(`[{"prefix":"88.118.1001","appName":"扫码","appType":2}]`)
		}
		for range 2 {
			_, err = p.down.Receive(context.Background(), "T10", sign(t, ent, of))
			must(t, err)
		}
		time.Sleep(time.Minute)
		stop()
		p.away.Store(false)
		p.open(t)
		stop = p.run(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		list, err := p.up.List(context.Background(), "88.118.1001", "", "", 10, nil)
		if err != nil || len(list) != 1 || list[0].Table != "T10" {
			t.Errorf("%+v, %v", list, err)
		}
		// One that no longer holds, because the enterprise changed its key, is set aside and keeps nobody.
		renewed.Store(true)
		p.open(t)
		stop = p.run(t)
		_, err = p.down.Receive(context.Background(), "T10", sign(t, ent, func(r *meter.Report) { of(r); r.Seq = 8 }))
		must(t, err)
		_, err = p.down.Abnormal(context.Background(), meter.Other, "", false)
		must(t, err)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		stop()
		if waiting, err := p.down.Outbox(context.Background(), 0, 10); err != nil || len(waiting) != 1 || !waiting[0].Refused || waiting[0].From != "88.118.1001" || p.rows(t, "M2") == "" {
			t.Errorf("%+v, %v", waiting, err)
		}
		renewed.Store(false)
		// The node between cannot make one up, nor can one beside it hand it on.
		if _, err := p.up.Receive(context.Background(), "T10", sign(t, p.key, of)); !problem.Is(err, problem.Bogus) {
			t.Error(err)
		}
		if _, err := p.up.Receive(context.Background(), "T10", sign(t, ent, func(r *meter.Report) { of(r); r.To = "88.119" })); !problem.Is(err, problem.Forbidden) {
			t.Error(err)
		}
	})
}

// TestRegistry: the same over a real registry and the interface of the node above, as JSON.
func TestRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		reg, err := registry.Open(context.Background(), registry.Config{Store: st})
		must(t, err)
		p := newPair(t, nil)
		a := api.New(api.Config{Title: "t", Version: "1"})
		p.up.API(a)
		h := a.Handler()
		p.cfg.Store, p.cfg.Feed, p.cfg.Lister, p.cfg.Names = st, reg, reg, reg
		p.cfg.Push = func(ctx context.Context, table string, body meter.Statement) error {
			b, err := json.Marshal(body)
			if err != nil {
				return err
			}
			r := httptest.NewRequestWithContext(ctx, "POST", "/api/reports/"+table, strings.NewReader(string(b)))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusAccepted {
				return fmt.Errorf("%d %s", w.Code, w.Body)
			}
			return nil
		}
		p.open(t)
		stop := p.run(t)
		brand := []record.Value{{Index: 2000, Type: "brand", Data: []byte("符"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}},
			{Index: 2001, Type: "manufacturer", Data: []byte("secret"), Perm: record.AdminRead, TTL: record.TTL{Seconds: 60}}}
		ws := []record.Write{{Op: record.Home, ID: id.PrefixRecord("88.118")}, {Op: record.Home, ID: id.PrefixRecord("88.118.1001")}}
		for i := range 1500 {
			ws = append(ws, record.Write{Op: record.Create, ID: id.MustParse(fmt.Sprintf("88.118.1001/N-%04d", i)), Values: brand})
		}
		res, err := reg.Write(context.Background(), record.Identity{Operator: true}, ws)
		must(t, err)
		for _, x := range res {
			must(t, x.Err)
		}
		waitUntil(2, 0, 30)
		if got := p.rows(t, "T8"); !strings.Contains(got, `"dailyRegister":1500,"totalRegister":1500`) {
			t.Errorf("T8: %s", got)
		}
		got := p.rows(t, "T9")
		if strings.Count(got, `"op":1`) != 1500 || strings.Count(got, `"brand":"符"`) != 1500 || strings.Contains(got, "secret") {
			t.Errorf("T9 has %d lines, the first %.300s", strings.Count(got, "\n")+1, got)
		}
		stop()
	})
}

// sign makes a statement as the node below would.
func sign(t *testing.T, k *trust.PrivateKey, change func(r *meter.Report)) meter.Statement {
	t.Helper()
	r := meter.Report{Table: "T6", Node: "88.118", To: "88", Seq: 7, Made: time.Now().Unix(), Rows: json.RawMessage(`[{"entPrefix":"88.118.1001","orgName":"甲"}]`)}
	if change != nil {
		change(&r)
	}
	jws, err := trust.SignStatement(k, r)
	must(t, err)
	return meter.Statement{Statement: string(jws)}
}

// TestReceive: what the node above takes, and what it does not.
func TestReceive(t *testing.T) {
	p := newPair(t, nil)
	ctx := context.Background()
	good := sign(t, p.key, nil)
	_, err := p.up.Receive(ctx, "T6", good)
	must(t, err)
	_, err = p.up.Receive(ctx, "T6", good)
	must(t, err)
	rows := func(s string) func(*meter.Report) {
		return func(r *meter.Report) { r.Rows, r.Seq = json.RawMessage(s), 100 }
	}
	for _, c := range []struct {
		what  string
		table string
		s     meter.Statement
		want  problem.Kind
	}{
		{"another key", "T6", sign(t, key(t), nil), problem.Bogus},
		{"a changed letter", "T6", meter.Statement{Statement: strings.Replace(good.Statement, ".", ".e", 1)}, problem.BadRequest},
		{"nothing", "T6", meter.Statement{}, problem.BadRequest},
		{"another table", "T7", good, problem.BadValue},
		{"an unknown table", "T99", sign(t, p.key, func(r *meter.Report) { r.Table = "T99" }), problem.BadValue},
		{"not below", "T6", sign(t, p.key, func(r *meter.Report) { r.Node = "89.1" }), problem.Forbidden},
		{"itself", "T6", sign(t, p.key, func(r *meter.Report) { r.Node = "88" }), problem.Forbidden},
		{"to somebody else", "T6", sign(t, p.key, func(r *meter.Report) { r.To = "86" }), problem.Forbidden},
		{"a node without a key", "T6", sign(t, p.key, func(r *meter.Report) { r.Node = "88.119" }), problem.AuthError},
		{"the same number for something else", "T6", sign(t, p.key, func(r *meter.Report) { r.Rows = json.RawMessage(`[]`) }), problem.Conflict},
		{"the future", "T6", sign(t, p.key, func(r *meter.Report) { r.Made += 3600; r.Seq = 9 }), problem.BadValue},
		{"no number", "T6", sign(t, p.key, func(r *meter.Report) { r.Seq = 0 }), problem.BadValue},
		{"no list", "T6", sign(t, p.key, rows(`{}`)), problem.BadValue},
		{"an unknown column", "T6", sign(t, p.key, rows(`[{"entPrefix":"88.118.1","orgName":"x","colour":1}]`)), problem.BadValue},
		{"a missing column", "T6", sign(t, p.key, rows(`[{"entPrefix":"88.118.1"}]`)), problem.BadValue},
		{"a wrong type", "T6", sign(t, p.key, rows(`[{"entPrefix":"88.118.1","orgName":7}]`)), problem.BadValue},
		{"somebody else's enterprise", "T6", sign(t, p.key, rows(`[{"entPrefix":"88.119.1","orgName":"x"}]`)), problem.BadValue},
		{"too many", "T6", sign(t, p.key, rows("["+strings.TrimSuffix(strings.Repeat(`{"entPrefix":"88.118.1","orgName":"x"},`, 2001), ",")+"]")), problem.TooLarge},
	} {
		if _, err := p.up.Receive(ctx, c.table, c.s); !problem.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	list, err := p.up.List(ctx, "", "", "", 10, nil)
	if err != nil || len(list) != 1 {
		t.Errorf("kept: %+v, %v", list, err)
	}
	_, err = p.up.Receive(ctx, "T6", sign(t, p.key, func(r *meter.Report) { r.Seq = 11 }))
	must(t, err)
	st, err := p.up.Standings(ctx, time.Now().In(meter.Beijing).Format("2006-01"), nil)
	if err != nil || len(st) != 1 || strings.Join(st[0].Missing, " ") != "8-10" {
		t.Errorf("a message is missing, and nobody sees: %+v, %v", st, err)
	}
}

// TestAPI: who may hand in, and who sees what.
func TestAPI(t *testing.T) {
	p := newPair(t, nil)
	who := api.Caller{}
	a := api.New(api.Config{Title: "t", Version: "1", Identify: func(*http.Request) (api.Caller, error) { return who, nil }})
	p.up.API(a)
	call := func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for i := range 3 {
		b, _ := json.Marshal(sign(t, p.key, func(r *meter.Report) { r.Seq = uint64(i + 1) }))
		if code, body := call("POST", "/api/reports/T6", string(b)); code != 202 {
			t.Fatalf("%d %s", code, body)
		}
	}
	b, _ := json.Marshal(sign(t, key(t), nil))
	if code, body := call("POST", "/api/reports/T6", string(b)); code < 400 || code == 500 && !strings.Contains(body, "bogus") {
		t.Errorf("a forged one: %d %s", code, body)
	}
	const one = "/api/reports/88.118/T6/1"
	if code, body := call("GET", one, ""); code != 404 {
		t.Errorf("anybody reads a report: %d %s", code, body)
	}
	if code, body := call("GET", "/api/reports", ""); code != 200 || strings.Contains(body, "88.118") {
		t.Errorf("anybody lists reports: %d %s", code, body)
	}
	for _, path := range []string{"/api/outbox", "/api/meter", "/api/neighbours", "/api/service-levels/own?month=2026-11"} {
		if code, _ := call("GET", path, ""); code != 401 {
			t.Errorf("anybody reads %s: %d", path, code)
		}
	}
	who.Ref = record.Ref{Index: 300, Name: "88.118/App_x"}
	if code, body := call("GET", one, ""); code != 200 || !strings.Contains(body, `"orgName":"甲"`) || !strings.Contains(body, `"statement"`) {
		t.Errorf("the node below, of itself: %d %s", code, body)
	}
	who.Ref.Name = "88.119/App_x"
	if code, _ := call("GET", one, ""); code != 404 {
		t.Errorf("another node: %d", code)
	}
	who = api.Caller{Roles: []api.Role{{Name: api.Regulator, Prefix: "88"}}}
	who.Ref = record.Ref{Index: 301, Name: "88/User_r"}
	code, body := call("GET", "/api/reports?limit=2&table=T6", "")
	if code != 200 || !strings.Contains(body, `"next":"88.118~T6~2"`) {
		t.Errorf("the first page: %d %s", code, body)
	}
	if code, body = call("GET", "/api/reports?limit=2&after=88.118~T6~2", ""); code != 200 || !strings.Contains(body, `"seq":3`) || strings.Contains(body, "next") {
		t.Errorf("the second page: %d %s", code, body)
	}
	for _, path := range []string{"/api/outbox", "/api/meter", "/api/neighbours", "/api/service-levels?month=2026-11", "/api/service-levels/own?month=2026-11", "/api/report-tables"} {
		if code, body := call("GET", path, ""); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, _ = call("POST", "/api/incidents", `{"type":1,"cause":"x"}`); code != 403 {
		t.Errorf("a regulator reports an incident: %d", code)
	}
	who.Operator = true
	if code, body = call("POST", "/api/incidents", `{"type":1,"cause":"x"}`); code != 201 || !strings.Contains(body, "88-00000001") {
		t.Errorf("%d %s", code, body)
	}
	if code, body = call("POST", "/api/incidents/88-00000001/recovered", ""); code != 201 {
		t.Errorf("%d %s", code, body)
	}
}

// FuzzReceive: no statement makes it panic, and none is taken whose signature does not hold.
func FuzzReceive(f *testing.F) {
	k, err := trust.Generate(trust.Ed25519, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("eyJhbGciOiJFZERTQSJ9.eyJ0YWJsZSI6IlQ2Iiwibm9kZSI6Ijg4LjExOCIsInRvIjoiODgiLCJzZXEiOjF9.AAAA", "T6")
	up, err := meter.New(meter.Config{Prefix: "88", Store: memory.New(), Feed: newFeed(),
		KeyOf: func(context.Context, string) (trust.PublicKey, error) { return k.Public(), nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s, table string) {
		if got, err := up.Receive(context.Background(), table, meter.Statement{Statement: s}); err == nil {
			t.Errorf("taken: %+v", got)
		}
	})
}

// FuzzDecode: no rows make it panic.
func FuzzDecode(f *testing.F) {
	for _, t := range meter.Tables {
		f.Add(t.ID, `[{"entPrefix":"88.118.1","orgName":"x"}]`)
	}
	f.Fuzz(func(t *testing.T, table, rows string) {
		r := meter.Report{Table: table, Node: "88.118", Rows: json.RawMessage(rows)}
		if _, err := r.Decode(); err != nil && !problem.Is(err, problem.BadValue) && !problem.Is(err, problem.TooLarge) {
			t.Error(err)
		}
	})
}
