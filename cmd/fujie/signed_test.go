package main

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/recursor"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/httpsig"
	"github.com/fujie-id/fujie/wire/irp"
	"github.com/fujie-id/fujie/wire/web"
)

// clock is the time that the asked enterprise and the asker see.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// counted is how a node asks the world, counted.
type counted struct {
	to record.Asker
	mu sync.Mutex
	n  int
}

func (a *counted) Ask(ctx context.Context, server record.Endpoint, q record.Query) (record.Answer, error) {
	a.mu.Lock()
	a.n++
	a.mu.Unlock()
	return a.to.Ask(ctx, server, q)
}

func (a *counted) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// askedNode is an enterprise's node, as far as it takes finding out who asks: /api/whoami says so.
type askedNode struct {
	addr, pin string
	web       *web.Server
}

func startAsked(t *testing.T, keys record.Resolver, now func() time.Time) *askedNode {
	t.Helper()
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := trust.SelfSigned(key, []string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now().Add(-time.Hour), 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &askedNode{addr: l.Addr().String(), pin: key.Public().Fingerprint()}
	n.web = &web.Server{Resolver: keys, Auth: &trust.Checker{Resolver: keys}, Certificate: cert, Now: now, Log: slog.New(slog.DiscardHandler)}
	n.web.Routes = func(path string) http.Handler {
		if path != "/api/whoami" {
			return nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			by, err := n.web.Identify(r)
			if err != nil {
				io.WriteString(w, "refused: "+problem.KindOf(err).String())
				return
			}
			b, _ := io.ReadAll(r.Body)
			io.WriteString(w, "you are "+by.Ref.String()+" "+string(b))
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.web.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

// TestAcrossEnterprises has a program of one enterprise ask another's node, which knows nothing of it but what the world
// says.
func TestAcrossEnterprises(t *testing.T) {
	p, err := sim.ParsePlan([]byte(`
name: two
root: {name: root}
national: {prefix: "88", sites: [{name: north}]}
second-level:
  - {name: machinery, prefix: "88.101", enterprises: [{name: engine, title: E, prefix: "88.101.0042"}, {name: pump, title: P, prefix: "88.101.0043"}]}
recursive: [{name: rec}]
`))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	country, err := sim.Start(ctx, p, sim.Options{Data: t.TempDir(), Processes: true, Program: self(t), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer country.Close()
	state := country.State()

	// The engine maker's program, and how its key is written into its record.
	app := record.Ref{Index: 300, Name: "88.101.0042/App_erp"}
	owner, err := country.Access().Client(state.Node("engine"))
	if err != nil {
		t.Fatal(err)
	}
	publish := func(keys ...*trust.PrivateKey) {
		t.Helper()
		var vs []record.Value
		for i, k := range keys {
			vs = append(vs, record.Value{Index: 300 + uint32(i), Type: record.TypePubKey, Data: k.Public().Data(), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 300}})
		}
		vs = append([]record.Value{{Index: 1, Type: "name", Data: []byte("ERP"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 300}}}, vs...)
		res, err := owner.Write(ctx, record.Identity{}, []record.Write{{Op: record.Create, ID: id.MustParse(app.Name), Values: vs, Overwrite: true}})
		if err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
	}
	newKey := func() *trust.PrivateKey {
		k, err := trust.Generate(trust.Ed25519, nil)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	old, next := newKey(), newKey()
	publish(old)

	// The pump maker's node, and another one.
	hints, err := node.ReadHints(state.Hints)
	if err != nil {
		t.Fatal(err)
	}
	when := &clock{at: time.Now()}
	ask := &irp.Client{}
	defer ask.Close()
	world := &counted{to: ask}
	rec, err := recursor.New(recursor.Config{Ask: world, Hints: hints.Sites, Anchors: hints.Anchors, AllowPrivate: true, Now: when.now,
		Timeout: 2 * time.Second, AttemptTimeout: 500 * time.Millisecond, StaleAfter: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	b, other := startAsked(t, rec, when.now), startAsked(t, rec, when.now)

	is := func(what string, c *web.Client, want string) {
		t.Helper()
		_, body, err := c.Exchange(ctx, http.MethodPost, "/api/whoami", []byte(`{}`))
		if err != nil || !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: %s %v; want %s", what, body, err, want)
		}
	}
	client := func(user record.Ref, key *trust.PrivateKey, change ...func(*web.Client)) *web.Client {
		c := &web.Client{Base: "https://" + b.addr, Pin: b.pin, User: user, Key: key, Now: when.now}
		for _, f := range change {
			f(c)
		}
		t.Cleanup(c.Close)
		return c
	}
	me := client(app, old)
	is("the program", me, "you are 300:88.101.0042/App_erp {}")
	walked := world.count()
	if walked == 0 {
		t.Error("nobody was asked for the key")
	}
	is("again", me, "you are 300:88.101.0042/App_erp {}")
	if n := world.count(); n != walked {
		t.Errorf("a key that is known was asked for again: %d questions", n-walked)
	}
	is("another's key", client(app, next), "refused: authentication-failed")
	is("another spelling", client(record.Ref{Index: 300, Name: "88.101.0042/APP_ERP"}, old), "you are 300:88.101.0042/APP_ERP")
	is("no such program", client(record.Ref{Index: 300, Name: "88.101.0042/App_none"}, old), "refused: authentication-error")
	is("no such value", client(record.Ref{Index: 301, Name: app.Name}, old), "refused: authentication-error")
	is("a value that is no key", client(record.Ref{Index: 1, Name: app.Name}, old), "refused: authentication-error")
	is("a slow clock", client(app, old, func(c *web.Client) { c.Now = func() time.Time { return when.now().Add(-3 * time.Minute) } }), "refused: authentication-timeout")
	is("a fast clock", client(app, old, func(c *web.Client) { c.Now = func() time.Time { return when.now().Add(2 * time.Minute) } }), "refused: authentication-timeout")

	// What somebody who gets hold of a request can do with it.
	wire := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer wire.CloseIdleConnections()
	signedFor := func(addr, body string) *http.Request {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr+"/api/whoami?a=1", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if err := httpsig.Sign(r, old, app, httpsig.Options{Now: when.now}); err != nil {
			t.Fatal(err)
		}
		return r
	}
	send := func(what string, r *http.Request, want string) {
		t.Helper()
		if r.GetBody != nil {
			r.Body, _ = r.GetBody()
		}
		resp, err := wire.Do(r)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		defer resp.Body.Close()
		if got, _ := io.ReadAll(resp.Body); !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: %s; want %s", what, got, want)
		}
	}
	r := signedFor(b.addr, "x")
	send("once", r, "you are 300:88.101.0042/App_erp x")
	send("twice", r, "refused: authentication-failed")
	r = signedFor(b.addr, "x")
	r.Host, r.URL.Host = b.addr, other.addr // passed on to another node, whose operator is curious
	send("passed on", r, "refused: authentication-failed")
	r.Host = other.addr
	send("passed on under another name", r, "refused: authentication-failed")
	r = signedFor(b.addr, "x")
	r.GetBody, r.Body, r.ContentLength = nil, io.NopCloser(strings.NewReader("y")), 1
	send("another body", r, "refused: authentication-failed")
	r = signedFor(b.addr, "x")
	r.URL.RawQuery = "a=2"
	send("another question", r, "refused: authentication-failed")
	r = signedFor(b.addr, "x")
	r.Header.Del(httpsig.HeaderSignature)
	send("half stripped", r, "refused: bad-credential")
	r.Header.Del(httpsig.HeaderInput)
	send("stripped", r, "you are 0:") // nobody: sees what anybody sees
	r, again := signedFor(b.addr, "x"), signedFor(b.addr, "x")
	r.Header.Set(httpsig.HeaderSignature, again.Header.Get(httpsig.HeaderSignature))
	send("swapped", r, "refused: authentication-failed")
	r = signedFor(b.addr, "x")
	r.URL.Scheme = "http"
	send("in the open", r, "refused: authentication-needed")

	// A new key beside the old one, then in its place: it counts within the TTL of 300 s, and the old one no longer.
	publish(next, old)
	is("the old key, remembered", me, "you are 300:88.101.0042/App_erp")
	when.pass(301 * time.Second)
	is("the old key, at its new place", client(record.Ref{Index: 301, Name: app.Name}, old), "you are 301:88.101.0042/App_erp")
	is("the old key, at its old place", me, "refused: authentication-failed")
	fresh := client(app, next)
	is("the new key", fresh, "you are 300:88.101.0042/App_erp")
	publish()
	is("the key taken away, remembered", fresh, "you are 300:88.101.0042/App_erp")
	when.pass(301 * time.Second)
	is("the key taken away", fresh, "refused: authentication-error")

	// The authorities above are gone: who is known stays known for the TTL, and can be asked for behind it.
	publish(next)
	when.pass(301 * time.Second)
	is("back", fresh, "you are 300:88.101.0042/App_erp")
	for _, name := range []string{"root", "north", "machinery"} {
		if err := country.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	when.pass(299 * time.Second)
	is("without the country", fresh, "you are 300:88.101.0042/App_erp")
	when.pass(10 * time.Second)
	is("without the country, asked for anew", fresh, "you are 300:88.101.0042/App_erp")
	// And the enterprise's own node: then a key counts until its TTL ends, not a second longer, so that nobody keeps a
	// lost key alive by keeping its node from answering.
	if err := country.Kill("engine"); err != nil {
		t.Fatal(err)
	}
	when.pass(290 * time.Second)
	is("without its node", fresh, "you are 300:88.101.0042/App_erp")
	when.pass(11 * time.Second)
	is("without its node, past the TTL", fresh, "refused: authentication-error")
}
