package partner_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/partner"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

const asker, owner = "88.118.1001", "88.118.1002"

var user = record.Ref{Index: 300, Name: "0.NA/" + asker}

// answers is a resolver made of a function.
type answers func(ctx context.Context, q record.Query) (record.Answer, error)

func (f answers) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	return f(ctx, q)
}

// country is an owner's real server, the world as a recursor shows it, and a desk that asks.
type country struct {
	t       *testing.T
	desk    *partner.Desk
	servers []record.Endpoint
	trust   record.Trust // of delegations
	public  func(q record.Query) (record.Answer, error)
	own     func(ctx context.Context, q record.Query) (record.Answer, error) // what the owner's server answers whom it knows
	asked   atomic.Int32

	mu  sync.Mutex
	now time.Time
}

func values(named ...string) (vs []record.Value) {
	for i := 0; i < len(named); i += 2 {
		n := uint32(len(vs))
		vs = append(vs, record.Value{Index: 2000 + n, Type: named[i], Data: []byte(named[i+1]), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}})
	}
	return vs
}

func newKey(t *testing.T) *trust.PrivateKey {
	t.Helper()
	k, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t *testing.T) *country {
	c := &country{t: t, trust: record.Secure, now: time.Now()}
	key := newKey(t)
	all := values("name", "bearing", "inspection", "conceded")
	c.public = func(record.Query) (record.Answer, error) {
		return record.Answer{Values: all[:1], Trust: record.Secure}, nil
	}
	c.own = func(_ context.Context, q record.Query) (record.Answer, error) {
		if q.By.Ref != user || q.Purpose != "warranty" || q.PublicOnly {
			return record.Answer{Values: all[:1]}, nil
		}
		return record.Answer{Values: all}, nil
	}
	c.servers = []record.Endpoint{{Protocol: record.UDP, Addr: netip.MustParseAddrPort("127.0.0.1:9")}, c.serve(key.Public())}
	var err error
	c.desk, err = partner.New(partner.Config{
		User: user, Key: key, Timeout: 2 * time.Second,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c.asked.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		Resolver: answers(func(_ context.Context, q record.Query) (record.Answer, error) {
			if q.ID == id.PrefixRecord(owner) {
				return record.Answer{Trust: c.trust}, nil
			}
			if !q.PublicOnly || !q.By.IsZero() || q.Purpose != "" {
				t.Errorf("the world was asked %+v: what for, and in whose name, is the owner's to know", q)
			}
			return c.public(q)
		}),
		Find: func(ctx context.Context, r record.Resolver, v id.ID) ([]record.Endpoint, error) {
			if _, err := r.Resolve(ctx, record.Query{ID: id.PrefixRecord(v.Prefix())}); err != nil {
				return nil, err
			}
			return c.servers, nil
		},
		Now: func() time.Time {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.now
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.desk.Close)
	return c
}

// serve starts a server of the owner, which knows the asker's key.
func (c *country) serve(asks trust.PublicKey) record.Endpoint {
	c.t.Helper()
	serverKey := newKey(c.t)
	cert, err := trust.SelfSigned(serverKey, nil, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now(), time.Hour)
	if err != nil {
		c.t.Fatal(err)
	}
	keys := answers(func(_ context.Context, q record.Query) (record.Answer, error) {
		if q.ID.String() != user.Name {
			return record.Answer{}, problem.New(problem.NotFound, "nobody", "没有")
		}
		return record.Answer{Trust: record.Secure, Values: []record.Value{{Index: 300, Type: record.TypePubKey, Data: asks.Data(), Perm: record.DefaultPerm}}}, nil
	})
	s := &web.Server{Resolver: answers(func(ctx context.Context, q record.Query) (record.Answer, error) { return c.own(ctx, q) }),
		Auth: &trust.Checker{Resolver: keys}, Certificate: cert, Name: "owner", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
	})
	return record.Endpoint{Protocol: record.HTTP, Addr: netip.MustParseAddrPort(l.Addr().String()), Key: serverKey.Public().Data()}
}

// look asks for a part; what comes back is name=value of each.
func (c *country) look(purpose string) (string, error, error) {
	c.t.Helper()
	a, named, err := c.desk.Resolve(c.t.Context(), record.Query{ID: id.MustParse(owner + "/PART-1"), Purpose: purpose})
	var out []string
	for _, v := range a.Values {
		out = append(out, v.Type+"="+string(v.Data))
	}
	if err == nil && a.Trust != record.Secure {
		c.t.Errorf("the answer's trust is %s", a.Trust)
	}
	return strings.Join(out, " "), named, err
}

func (c *country) want(want string, kind problem.Kind) {
	c.t.Helper()
	got, named, err := c.look("warranty")
	if err != nil || got != want || kind == 0 && named != nil || kind != 0 && !problem.Is(named, kind) {
		c.t.Errorf("%q, named: %v, error: %v; want %q and %s", got, named, err, want, kind)
	}
}

const everybody, all = "name=bearing", "name=bearing inspection=conceded"

func TestShownToUs(t *testing.T) {
	c := open(t)
	c.want(all, 0)
	if got, named, err := c.look("marketing"); got != everybody || named != nil || err != nil {
		t.Errorf("for another purpose: %q %v %v", got, named, err)
	}
	for range 20 {
		c.want(all, 0)
	}
	if n := c.asked.Load(); n != 1 {
		t.Errorf("%d connections for 22 questions, one behind the other", n)
	}
	// It is asked anew each time: what is taken back is not seen any more.
	c.own = func(context.Context, record.Query) (record.Answer, error) {
		return record.Answer{Values: values("name", "bearing")}, nil
	}
	c.want(everybody, 0)
}

func TestManyAtOnce(t *testing.T) {
	c := open(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { c.want(all, 0) })
	}
	wg.Wait()
}

// Who cannot answer, will not, or is somebody else takes nothing from what everybody may see.
func TestNotShown(t *testing.T) {
	refused := func(kind problem.Kind) func(context.Context, record.Query) (record.Answer, error) {
		return func(context.Context, record.Query) (record.Answer, error) {
			return record.Answer{}, problem.New(kind, "no", "否")
		}
	}
	for _, x := range []struct {
		name   string
		change func(c *country)
		want   problem.Kind
	}{
		{"it refuses", func(c *country) { c.own = refused(problem.Forbidden) }, problem.Forbidden},
		{"it has nothing for us", func(c *country) { c.own = refused(problem.NoValues) }, 0},
		{"its server is down", func(c *country) { c.servers[1].Addr = netip.MustParseAddrPort("127.0.0.1:9") }, problem.Unreachable},
		{"it has no server over HTTP", func(c *country) { c.servers = c.servers[:1] }, problem.Unreachable},
		{"somebody else answers", func(c *country) { c.servers[1].Key = newKey(c.t).Public().Data() }, problem.Bogus},
		{"its server has no key", func(c *country) { c.servers[1].Key = nil }, problem.Unreachable},
		{"its delegation is not signed", func(c *country) { c.trust = record.Unsigned }, problem.Bogus},
		{"it does not know our key", func(c *country) { c.servers[1] = c.serve(newKey(c.t).Public()) }, problem.AuthFailed},
		{"it never ends", func(c *country) {
			c.own = func(ctx context.Context, _ record.Query) (record.Answer, error) {
				<-ctx.Done()
				return record.Answer{}, ctx.Err()
			}
		}, problem.Unreachable},
		{"it says too much", func(c *country) {
			c.own = func(context.Context, record.Query) (record.Answer, error) {
				return record.Answer{Values: values("inspection", strings.Repeat("x", 5<<20))}, nil
			}
		}, problem.Unreachable},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := open(t)
			x.change(c)
			c.want(everybody, x.want)
			if x.name == "its delegation is not signed" && c.asked.Load() > 0 {
				t.Error("a connection was made by a delegation that nobody signed")
			}
		})
	}
}

// One who does not answer is not waited for at each scan, and is asked again soon.
func TestSilence(t *testing.T) {
	c := open(t)
	there := c.servers[1].Addr
	c.servers[1].Addr = netip.MustParseAddrPort("127.0.0.1:9")
	for range 10 {
		c.want(everybody, problem.Unreachable)
	}
	if n := c.asked.Load(); n != 1 {
		t.Errorf("a silent owner was asked %d times at once", n)
	}
	c.servers[1].Addr = there
	c.want(everybody, problem.Unreachable)
	c.mu.Lock()
	c.now = c.now.Add(6 * time.Second)
	c.mu.Unlock()
	c.want(all, 0)
}

// The second site of an owner answers when the first does not.
func TestSecondSite(t *testing.T) {
	c := open(t)
	dead := c.servers[1]
	dead.Addr = netip.MustParseAddrPort("127.0.0.1:9")
	c.servers = slices.Insert(c.servers, 1, dead)
	c.want(all, 0)

	// One that takes the connection and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.servers[1].Addr = netip.MustParseAddrPort(l.Addr().String())
	c.want(all, 0)
}

func TestHidden(t *testing.T) {
	c := open(t)
	c.public = func(record.Query) (record.Answer, error) {
		return record.Answer{}, problem.New(problem.NotFound, "no such thing", "没有")
	}
	c.want(all, 0) // strangers are told that it is not there
	c.own = func(context.Context, record.Query) (record.Answer, error) {
		return record.Answer{}, problem.New(problem.NotFound, "no such thing", "没有")
	}
	if _, named, err := c.look("warranty"); named != nil || !problem.Is(err, problem.NotFound) {
		t.Errorf("%v %v", named, err)
	}
}

// An answer that does not hold its signatures is not made good by what the owner's server adds.
func TestForged(t *testing.T) {
	c := open(t)
	c.public = func(record.Query) (record.Answer, error) {
		return record.Answer{}, problem.New(problem.Bogus, "forged", "伪造")
	}
	if got, _, err := c.look("warranty"); got != "" || !problem.Is(err, problem.Bogus) {
		t.Errorf("%q %v", got, err)
	}
}

func TestNew(t *testing.T) {
	if _, err := partner.New(partner.Config{}); !problem.Is(err, problem.BadRequest) {
		t.Error(err)
	}
	c := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, named, err := c.desk.Resolve(ctx, record.Query{ID: id.MustParse(owner + "/PART-1"), Purpose: "warranty"})
	if err != nil || named == nil {
		t.Errorf("%v %v", named, errors.Unwrap(err))
	}
	c.want(all, 0) // who went away made nobody silent
}
