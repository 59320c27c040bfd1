package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/share"
)

// receiver is a subscriber's end.
type receiver struct {
	t     *testing.T
	mu    sync.Mutex
	got   []int // serial numbers in the order of their coming
	calls int
	empty int
	most  int                                     // events it takes at once; 0: any number
	down  func() bool                             // it answers nothing
	check func(r *http.Request, body []byte)      // of each message
	reply func() (status int, err error, ok bool) // instead
}

func (r *receiver) send(_ context.Context, req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	body, _ := io.ReadAll(req.Body)
	answer := func(status int) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("thanks"))}, nil
	}
	if r.down != nil && r.down() {
		return nil, errors.New("no route to host")
	}
	if r.reply != nil {
		if status, err, ok := r.reply(); ok {
			if err != nil {
				return nil, err
			}
			return answer(status)
		}
	}
	n := numbers(r.t, string(body))
	if r.most > 0 && len(n) > r.most {
		return answer(413)
	}
	if r.check != nil {
		r.check(req, body)
	}
	if c, err := theContract(); err == nil {
		s, err := c.schema("/paths/~1queries~1{queryName}~1subscriptions/post/callbacks/querySubscriptionResults/{$request.body#~1dest}/post/requestBody/content/application~1json/schema/oneOf/0")
		if err != nil {
			r.t.Error(err)
		} else {
			var v any
			json.Unmarshal(body, &v)
			if err := s.Validate(v); err != nil {
				r.t.Errorf("a message breaks the contract: %v\n%s", err, body)
			}
		}
	}
	if len(n) == 0 {
		r.empty++
	}
	r.got = append(r.got, n...)
	return answer(200)
}

// tally is how often it was called, and how often with nothing.
func (r *receiver) tally() (calls, empty int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls, r.empty
}

func (r *receiver) numbers() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// delivery is a running server in a bubble of time, with a query "q" for what was shipped.
type delivery struct {
	*site
	back *ledger
	to   *receiver
	stop func()
	n    int
}

func deliver(t *testing.T, change func(*Config)) *delivery {
	d := &delivery{to: &receiver{t: t}, back: newLedger(time.Now)}
	st := memory.New()
	cfg := Config{Events: d.back, Store: st, Secret: make([]byte, 16), Identify: identify, Send: d.to.send}
	if change != nil {
		change(&cfg)
	}
	d.site = &site{events: d.back, store: st}
	d.start(t, cfg)
	ask(t, d, "POST", "/epcis/queries", `{"name":"q","query":{"EQ_bizStep":["shipping"]}}`, "Test-Caller", "88.1/a")
	return d
}

// start starts a server, as a process does, on what the one before left.
func (d *delivery) start(t *testing.T, cfg Config) {
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Server, d.Handler = s, s.Handler()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	d.stop = func() { stop(); <-done }
}

func (d *delivery) subscribe(t *testing.T, body string) string {
	t.Helper()
	a := ask(t, d, "POST", "/epcis/queries/q/subscriptions", body, "Test-Caller", "88.1/a")
	if a.StatusCode != 201 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return a.Header.Get("Location")
}

// ship captures n events that match, with others between them.
func (d *delivery) ship(t *testing.T, n int) {
	var list []string
	for range n {
		list = append(list, eventJSON(d.n, "shipping"), eventJSON(10000+d.n, "packing"))
		d.n++
	}
	d.put(t, list...)
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// TestStream: every event that matches comes once, signed, in order.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deliver(t, nil)
		defer d.stop()
		d.to.check = func(r *http.Request, body []byte) { // before anything comes
			if err := Verify("秘密 13df", r.Header.Get("GS1-Signature"), body, time.Now(), 0); err != nil {
				t.Error(err)
			}
			if r.Method != "POST" || r.URL.String() != "https://a.example/in" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("GS1-EPCIS-Version") != "2.0.0" {
				t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
			}
		}
		d.put(t, eventJSON(5000, "shipping")) // before the subscription: not reported
		time.Sleep(time.Second)
		at := d.subscribe(t, `{"dest":"https://a.example/in","signatureToken":"秘密 13df","stream":true}`)
		for range 5 {
			d.ship(t, 7)
			time.Sleep(time.Second)
		}
		if got := d.to.numbers(); !slices.Equal(got, upTo(35)) {
			t.Errorf("%v", got)
		}
		var v subscriptionView
		ask(t, d, "GET", at, "", "Test-Caller", "88.1/a").json(t, &v)
		if v.Notified == nil || v.Failures != 0 || !v.Signed {
			t.Errorf("%+v", v)
		}
		// When it is over, nothing comes any more.
		ask(t, d, "DELETE", at, "", "Test-Caller", "88.1/a")
		d.ship(t, 3)
		time.Sleep(time.Hour)
		if got := d.to.numbers(); len(got) != 35 {
			t.Errorf("after the end: %v", got[35:])
		}
	})
}

// TestInitialRecordTime: who asks for the past gets it, from the time it names.
func TestInitialRecordTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deliver(t, nil)
		defer d.stop()
		d.ship(t, 5)
		time.Sleep(time.Hour)
		d.ship(t, 5)
		d.subscribe(t, fmt.Sprintf(`{"dest":"https://a.example/in","stream":true,"initialRecordTime":%q}`, time.Now().Add(-time.Minute).Format(time.RFC3339)))
		time.Sleep(time.Second)
		if got := d.to.numbers(); !slices.Equal(got, upTo(10)[5:]) {
			t.Errorf("%v", got)
		}
	})
}

// TestDownForADay: a receiver that is away for a day, while the server stops and starts, gets everything, once and in order, when it is back; and it is asked
// ever more rarely meanwhile.
func TestDownForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cfg Config
		d := deliver(t, func(c *Config) { c.Limits.Batch = 10; cfg = *c })
		cfg.Send = d.to.send
		defer func() { d.stop() }()
		at := d.subscribe(t, `{"dest":"https://a.example/in","signatureToken":"x","stream":true}`)
		d.ship(t, 3)
		time.Sleep(time.Second)
		up := time.Now().Add(24 * time.Hour)
		d.to.mu.Lock()
		d.to.down = func() bool { return time.Now().Before(up) }
		d.to.calls = 0
		d.to.mu.Unlock()
		for hour := range 24 {
			d.ship(t, 4)
			time.Sleep(time.Hour)
			if hour == 12 {
				d.stop()
				d.start(t, cfg)
			}
			if hour == 10 {
				var v subscriptionView
				ask(t, d, "GET", at, "", "Test-Caller", "88.1/a").json(t, &v)
				if v.Failures < 100 || v.Trouble == "" || strings.Contains(v.Trouble, "route") || v.NextTry == nil {
					t.Errorf("while it is down: %+v", v)
				}
			}
		}
		time.Sleep(10 * time.Minute)
		if got := d.to.numbers(); !slices.Equal(got, upTo(99)) {
			t.Errorf("after a day: %v", got)
		}
		if calls, _ := d.to.tally(); calls > 24*60/4+60 {
			t.Errorf("it was asked %d times while it was away", calls)
		}
	})
}

// TestSmaller: a receiver that says 413 gets smaller messages, and all of them; other refusals are tried again.
func TestSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deliver(t, nil)
		defer d.stop()
		d.to.mu.Lock()
		d.to.most = 3
		d.to.mu.Unlock()
		d.subscribe(t, `{"dest":"https://a.example/in","stream":true}`)
		d.ship(t, 90)
		time.Sleep(time.Second)
		if got := d.to.numbers(); !slices.Equal(got, upTo(90)) {
			t.Errorf("%v", got)
		}
		answers := []int{500, 404, 302, 401, 413}
		d.to.mu.Lock()
		d.to.reply = func() (int, error, bool) {
			if len(answers) == 0 {
				return 0, nil, false
			}
			s := answers[0]
			answers = answers[1:]
			return s, nil, true
		}
		d.to.mu.Unlock()
		d.ship(t, 1)
		time.Sleep(5 * time.Minute)
		if got := d.to.numbers(); !slices.Equal(got, upTo(91)) {
			t.Errorf("after refusals: %v", got[90:])
		}
	})
}

// TestScheduled: reports come when they are due, hold what came since the last, and are sent empty only to who wants it.
func TestScheduled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // from midnight UTC on
		d := deliver(t, nil)
		defer d.stop()
		d.subscribe(t, `{"dest":"https://a.example/in","schedule":{"hour":"1","minute":"5"}}`)
		d.ship(t, 3)
		time.Sleep(time.Hour + 4*time.Minute)
		if got := d.to.numbers(); len(got) != 0 {
			t.Errorf("too early: %v", got)
		}
		time.Sleep(time.Minute + time.Second)
		if got := d.to.numbers(); !slices.Equal(got, upTo(3)) {
			t.Errorf("at five past one: %v", got)
		}
		d.ship(t, 2)
		time.Sleep(23 * time.Hour)
		if got := d.to.numbers(); len(got) != 3 {
			t.Errorf("too early: %v", got)
		}
		time.Sleep(time.Hour)
		if got := d.to.numbers(); !slices.Equal(got, upTo(5)) {
			t.Errorf("the next day: %v", got)
		}
		time.Sleep(48 * time.Hour)
		if calls, empty := d.to.tally(); empty != 0 || calls != 2 {
			t.Errorf("%d calls, %d empty", calls, empty)
		}
		d.subscribe(t, `{"dest":"https://a.example/in","schedule":{"minute":"0/20"},"reportIfEmpty":true}`)
		time.Sleep(time.Hour)
		if _, empty := d.to.tally(); empty != 3 {
			t.Errorf("%d empty reports in an hour", empty)
		}
	})
}

// TestScheduledWhileDown: a report that was due while the process was away is made once when it is back.
func TestScheduledWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cfg Config
		d := deliver(t, func(c *Config) { cfg = *c })
		cfg.Send = d.to.send
		d.subscribe(t, `{"dest":"https://a.example/in","schedule":{"minute":"0"},"reportIfEmpty":true}`)
		d.ship(t, 2)
		d.stop()
		time.Sleep(5*time.Hour + time.Minute)
		d.start(t, cfg)
		defer func() { d.stop() }()
		time.Sleep(time.Minute)
		if got := d.to.numbers(); !slices.Equal(got, upTo(2)) {
			t.Errorf("%v", got)
		}
		if calls, _ := d.to.tally(); calls != 1 {
			t.Errorf("%d calls for what was missed", calls)
		}
		time.Sleep(time.Hour)
		if calls, _ := d.to.tally(); calls != 2 {
			t.Errorf("%d calls an hour later", calls)
		}
	})
}

// TestSightOfSubscribers: a subscriber is told what it may see when the message goes, and nothing once it may not ask.
func TestSightOfSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		allowed := true
		d := deliver(t, func(c *Config) {
			c.See = func(_ context.Context, who record.Identity, e *epcis.Event) share.Level {
				if len(e.EPCs) > 0 && strings.HasSuffix(e.EPCs[0], "3") {
					return share.Nothing
				}
				return share.Contents
			}
			c.May = func(_ context.Context, who record.Identity, act string) error {
				mu.Lock()
				defer mu.Unlock()
				if !allowed && act == ActQuery {
					return problem.New(problem.Forbidden, "no more", "不再允许")
				}
				return nil
			}
		})
		defer d.stop()
		d.subscribe(t, `{"dest":"https://a.example/in","stream":true}`)
		d.ship(t, 5)
		time.Sleep(time.Second)
		if got := d.to.numbers(); !slices.Equal(got, []int{0, 1, 2, 4}) {
			t.Errorf("%v", got)
		}
		mu.Lock()
		allowed = false
		mu.Unlock()
		d.ship(t, 2)
		time.Sleep(time.Hour)
		if got := d.to.numbers(); len(got) != 4 {
			t.Errorf("who may not ask is told: %v", got)
		}
	})
}

// TestSignature: only the body, the token and the time that were signed pass.
func TestSignature(t *testing.T) {
	body, now := []byte(`{"a":1}`), time.Unix(1_800_000_000, 0)
	h := Sign("token", now, body)
	if h != "t=1800000000,v1="+strings.TrimPrefix(h, "t=1800000000,v1=") || len(h) != len("t=1800000000,v1=")+64 {
		t.Errorf("%s", h)
	}
	for _, row := range []struct {
		token, header, body string
		now                 time.Time
		want                problem.Kind
		ok                  bool
	}{
		{"token", h, string(body), now, 0, true},
		{"token", h, string(body), now.Add(ReplayWindow), 0, true},
		{"token", h, string(body), now.Add(-ReplayWindow), 0, true},
		{"token", h, string(body), now.Add(ReplayWindow + time.Second), problem.AuthTimeout, false},
		{"token", h, string(body), now.Add(-ReplayWindow - time.Second), problem.AuthTimeout, false},
		{"Token", h, string(body), now, problem.AuthFailed, false},
		{"token", h, `{"a":2}`, now, problem.AuthFailed, false},
		{"token", strings.Replace(h, "t=18", "t=19", 1), string(body), now, problem.AuthFailed, false},
		{"token", "", string(body), now, problem.BadCredential, false},
		{"token", "t=x,v1=y", string(body), now, problem.BadCredential, false},
		{"token", h[:len(h)-2], string(body), now, problem.BadCredential, false},
	} {
		err := Verify(row.token, row.header, []byte(row.body), row.now, 0)
		if (err == nil) != row.ok || !row.ok && problem.KindOf(err) != row.want {
			t.Errorf("%+v: %v", row, err)
		}
	}
}

// TestSocket: who holds a socket open is told of what comes, and when the query is deleted or the server stops, why it closes.
func TestSocket(t *testing.T) {
	s := open(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { stop(); <-done }()
	ask(t, s, "POST", "/epcis/queries", `{"name":"q","query":{"EQ_bizStep":["shipping"]}}`, "Test-Caller", "88.1/a")
	srv := httptest.NewServer(s)
	defer srv.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	dial := func(params string) (*websocket.Conn, *http.Response, error) {
		return websocket.Dial(ctx, srv.URL+"/epcis/queries/q/events"+params, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	}
	for _, params := range []string{"", "?stream=false", "?stream=true&minute=5", "?minute=61", "?stream=yes", "?stream=true&EQ_nothing=1", "?stream=true&initialRecordTime=x"} {
		_, resp, err := dial(params)
		if err == nil || resp == nil || resp.StatusCode != 400 {
			t.Errorf("%s: %v", params, err)
		}
	}
	conn, resp, err := dial("?stream=true")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if resp.Header.Get("GS1-Query-Min-Record-Time") == "" {
		t.Error("the socket does not say from when it tells")
	}
	conn.SetReadLimit(1 << 20)
	s.put(t, many(0, 5, "shipping")...)
	s.put(t, many(5, 9, "packing")...)
	s.put(t, many(9, 12, "shipping")...)
	var got []int
	for len(got) < 8 {
		_, body, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, numbers(t, string(body))...)
	}
	if !slices.Equal(got, []int{0, 1, 2, 3, 4, 9, 10, 11}) {
		t.Errorf("%v", got)
	}
	second, _, err := dial("?second=*&reportIfEmpty=true")
	if err != nil {
		t.Fatal(err)
	}
	defer second.CloseNow()
	if a := ask(t, s, "DELETE", "/epcis/queries/q", "", "Test-Caller", "88.1/a"); a.StatusCode != 204 {
		t.Fatalf("%d", a.StatusCode)
	}
	for _, c := range []*websocket.Conn{conn, second} {
		var err error
		for err == nil {
			_, _, err = c.Read(ctx)
		}
		if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("%v", err)
		}
	}
	ask(t, s, "POST", "/epcis/queries", `{"name":"q","query":{}}`, "Test-Caller", "88.1/a")
	third, _, err := dial("?stream=true")
	if err != nil {
		t.Fatal(err)
	}
	defer third.CloseNow()
	stop()
	for err = nil; err == nil; {
		_, _, err = third.Read(t.Context())
	}
	if websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("%v", err)
	}
}

// TestSchedule: when schedules strike.
func TestSchedule(t *testing.T) {
	shanghai := time.FixedZone("CST", 8*3600)
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04:05", s, shanghai)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, row := range []struct {
		s     Schedule
		after string
		want  string // empty: refused
	}{
		{Schedule{Hour: "1", Minute: "5"}, "2026-01-01 00:00:00", "2026-01-01 01:05:00"},
		{Schedule{Hour: "1", Minute: "5"}, "2026-01-01 01:05:00", "2026-01-02 01:05:00"},
		{Schedule{Second: "0/30"}, "2026-01-01 00:00:00", "2026-01-01 00:00:30"},
		{Schedule{Second: "0/30"}, "2026-01-01 23:59:30", "2026-01-02 00:00:00"},
		{Schedule{Minute: "*"}, "2026-01-01 00:00:01", "2026-01-01 00:01:00"},
		{Schedule{Minute: "1,[10-12],50-51"}, "2026-01-01 00:12:00", "2026-01-01 00:50:00"},
		{Schedule{DayOfMonth: "31"}, "2026-04-01 00:00:00", "2026-05-31 00:00:00"},
		{Schedule{Month: "2", DayOfMonth: "29"}, "2026-01-01 00:00:00", "2028-02-29 00:00:00"},
		{Schedule{Month: "6"}, "2026-01-01 00:00:00", "2026-06-01 00:00:00"},
		{Schedule{DayOfWeek: "1"}, "2026-01-01 00:00:00", "2026-01-05 00:00:00"}, // a Monday
		{Schedule{DayOfWeek: "7", Hour: "12"}, "2026-01-01 00:00:00", "2026-01-04 12:00:00"},
		{Schedule{DayOfWeek: "[1-5]", Hour: "0"}, "2026-01-02 00:00:00", "2026-01-05 00:00:00"},
		{Schedule{}, "", ""}, {Schedule{Hour: "24"}, "", ""}, {Schedule{Minute: "60"}, "", ""}, {Schedule{Second: "-1"}, "", ""}, {Schedule{DayOfWeek: "0"}, "", ""},
		{Schedule{Month: "13"}, "", ""}, {Schedule{DayOfMonth: "30", Month: "2"}, "", ""}, {Schedule{Minute: "5-1"}, "", ""}, {Schedule{Minute: "[1-5"}, "", ""},
		{Schedule{Minute: "0/0"}, "", ""}, {Schedule{Minute: "a"}, "", ""}, {Schedule{Minute: ","}, "", ""},
	} {
		c, err := row.s.parse(shanghai)
		if (err == nil) != (row.want != "") {
			t.Errorf("%+v: %v", row.s, err)
		}
		if err == nil {
			if got := c.next(at(row.after)); !got.Equal(at(row.want)) {
				t.Errorf("%+v after %s: %v, want %s", row.s, row.after, got, row.want)
			}
		}
	}
}

// FuzzSchedule: a schedule that is taken strikes, later than it is asked for, and at a time that it names.
func FuzzSchedule(f *testing.F) {
	f.Add("0", "5", "1", "", "", "", int64(0))
	f.Add("0/30", "", "", "", "", "1,[3-5]", int64(1_700_000_000))
	f.Fuzz(func(t *testing.T, second, minute, hour, day, month, week string, from int64) {
		s := Schedule{second, minute, hour, day, month, week}
		c, err := s.parse(time.UTC)
		if err != nil {
			return
		}
		after := time.Unix(from%4_000_000_000, 0).UTC()
		got := c.next(after)
		if !got.After(after) || c.second>>got.Second()&1 == 0 || c.minute>>got.Minute()&1 == 0 || c.hour>>got.Hour()&1 == 0 || c.day>>got.Day()&1 == 0 || c.month>>got.Month()&1 == 0 {
			t.Fatalf("%+v after %v strikes at %v", s, after, got)
		}
	})
}
