// Package partner reads what another enterprise shows this one and not everybody: a supplier's inspection to the works that builds its parts in, and to nobody else. The owner is asked
// in this enterprise's own name and told what the data is for; it decides, and keeps in its audit trail who saw what.
//
// What anybody may see comes as it always does, with the signatures of its owner checked. What is added came over a connection whose other end proved that it has the server key of
// the owner's delegation, and that delegation is signed from the root down: else nobody is asked. It is for this enterprise alone, is kept in no cache, and cannot be shown to a third
// as evidence, since it bears no signature of its own.
package partner

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// Config is what the desk needs of the node. All of it is needed but Timeout and Now.
type Config struct {
	// Resolver gives what anybody may see, and delegations, with a Trust: a recursor.
	Resolver record.Resolver
	// Find says where an identifier's record is kept, as the delegations that r gives say.
	Find func(ctx context.Context, r record.Resolver, v id.ID) ([]record.Endpoint, error)
	User record.Ref        // who asks: 300:0.NA/88.118.1001
	Key  *trust.PrivateKey // its private half
	// Dial opens connections to other enterprises. It must refuse what a stranger may not lead this node to.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Timeout time.Duration // for the owner's answer; 3 s when 0
	Now     func() time.Time
}

// Desk asks. It is safe for concurrent use.
type Desk struct {
	cfg Config

	mu      sync.Mutex
	clients map[string]*web.Client // by address and key
	silent  map[string]time.Time   // owners that did not answer: until when nobody waits for them
}

// Bounds: connections kept, owners remembered as silent and for how long, bytes of one answer.
const (
	maxClients = 256
	maxSilent  = 10_000
	silentFor  = 5 * time.Second
	maxAnswer  = 4 << 20
)

// New makes a desk; Close it in the end. Errors: problem.BadRequest when something that it cannot do without is missing.
func New(cfg Config) (*Desk, error) {
	if cfg.Resolver == nil || cfg.Find == nil || cfg.User.IsZero() || cfg.Key == nil || cfg.Dial == nil {
		return nil, problem.New(problem.BadRequest, "asking partners needs a resolver, a key and a way out", "向合作方查询需要解析器、密钥和外联方式")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 3 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Desk{cfg: cfg, clients: map[string]*web.Client{}, silent: map[string]time.Time{}}, nil
}

// Close ends the connections.
func (d *Desk) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, c := range d.clients {
		c.Close()
		delete(d.clients, k)
	}
}

// Resolve is what anybody may see of q.ID together with what its owner shows this enterprise for q.Purpose. named is what went wrong with the second half, and the first stands
// without it: Unreachable when the owner does not answer, or did not a moment ago; AuthFailed, NeedAuth or Forbidden when it refuses; Bogus when its delegation is not signed or somebody
// else answered in its place. err is that of the first half, as record.Resolver says; a record that strangers are told is not there is found when its owner shows it to this enterprise.
func (d *Desk) Resolve(ctx context.Context, q record.Query) (a record.Answer, named, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var own record.Answer
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		own, named = d.ask(ctx, q)
	}()
	public := q
	public.By, public.Purpose, public.PublicOnly = record.Identity{}, "", true
	a, err = d.cfg.Resolver.Resolve(ctx, public)
	hidden := problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues)
	if err != nil && !hidden {
		stop() // an answer that does not hold is not mended by another
	}
	<-asked
	switch {
	case named != nil || err != nil && !hidden:
		return a, named, err
	case hidden && len(own.Values) == 0:
		return a, nil, err
	case hidden:
		a = record.Answer{Trust: record.Secure} // the connection was proved by a key whose delegation is
	}
	values := slices.Clone(a.Values)
	for _, v := range own.Values {
		if !slices.ContainsFunc(a.Values, func(x record.Value) bool { return x.Index == v.Index }) {
			values = append(values, v)
		}
	}
	slices.SortStableFunc(values, func(x, y record.Value) int { return int(int64(x.Index) - int64(y.Index)) })
	a.Values = values
	return a, nil, nil
}

// Exchange makes one request of the interface of whoever keeps prefix, in this enterprise's name, and returns the status and the body of the answer. Errors: problem.Unreachable,
// problem.Bogus when its delegation is not signed or somebody else answers in its place.
func (d *Desk) Exchange(ctx context.Context, prefix, method, path string, body []byte) (status int, answer []byte, err error) {
	v, err := id.ParseHandle(prefix + "/x") // its delegation decides, not the name
	if err != nil {
		return 0, nil, err
	}
	err = d.each(ctx, v, func(ctx context.Context, c *web.Client) error {
		status, answer, err = c.Exchange(ctx, method, path, body)
		return err
	})
	return status, answer, err
}

// ask puts the question to the owner's own server.
func (d *Desk) ask(ctx context.Context, q record.Query) (a record.Answer, err error) {
	q.By, q.PublicOnly, q.NoReferral = record.Identity{}, false, true
	err = d.each(ctx, q.ID, func(ctx context.Context, c *web.Client) (err error) {
		a, err = c.Resolve(ctx, q)
		if a.Referral != nil && err == nil {
			err = problem.New(problem.Unreachable, "%s says that another server answers for %s", "%s 称 %s 由其他服务器应答", c.Base, q.ID)
		}
		return err
	})
	if problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues) {
		return record.Answer{}, nil // an answer: there is nothing for this enterprise
	}
	return a, err
}

// each puts a question to the servers of v's owner until one answers, if with a refusal.
func (d *Desk) each(ctx context.Context, v id.ID, ask func(context.Context, *web.Client) error) error {
	owner := v.Prefix()
	silence := func(err error) error {
		return problem.Wrap(err, problem.Unreachable, "the node of %s does not answer this enterprise; what anybody may see is known without it", "%s 的节点未应答本企业；公开内容不受影响", owner)
	}
	d.mu.Lock()
	until := d.silent[owner]
	d.mu.Unlock()
	if d.cfg.Now().Before(until) {
		return silence(nil)
	}
	limited, done := context.WithTimeout(ctx, d.cfg.Timeout)
	defer done()
	es, err := d.cfg.Find(limited, signed{d.cfg.Resolver}, v)
	if problem.Is(err, problem.Bogus) || problem.Is(err, problem.NotFound) {
		return err
	}
	type server struct{ address, pin string }
	var servers []server
	for i := range es {
		// Without a key in the delegation nobody knows whose server it is.
		if k, bad := trust.ParsePublic(es[i].Key); bad == nil && (es[i].Protocol == record.HTTP || es[i].Protocol == record.HTTPS) {
			servers = append(servers, server{es[i].Addr.String(), k.Fingerprint()})
		}
	}
	for i, e := range servers {
		// One that hangs leaves the next its share of the time.
		left, done := context.WithTimeout(limited, d.cfg.Timeout/time.Duration(len(servers)-i))
		err = ask(left, d.client(e.address, e.pin))
		done()
		switch problem.KindOf(err) {
		case problem.Unreachable, problem.Bogus, problem.Busy, problem.Canceled:
			continue // the next site of the owner may do better
		}
		return err
	}
	if problem.Is(err, problem.Bogus) {
		return err
	}
	if ctx.Err() == nil {
		d.mu.Lock()
		if len(d.silent) >= maxSilent {
			clear(d.silent)
		}
		d.silent[owner] = d.cfg.Now().Add(silentFor)
		d.mu.Unlock()
	}
	return silence(err)
}

// client is the connections to one server, whose key is known.
func (d *Desk) client(address, pin string) *web.Client {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := address + " " + pin
	if c := d.clients[name]; c != nil {
		return c
	}
	for k, c := range d.clients {
		if len(d.clients) < maxClients {
			break
		}
		c.Close()
		delete(d.clients, k)
	}
	c := &web.Client{Base: "https://" + address, Pin: pin, User: d.cfg.User, Key: d.cfg.Key, Now: d.cfg.Now, Timeout: d.cfg.Timeout, Dial: d.cfg.Dial, MaxAnswer: maxAnswer}
	d.clients[name] = c
	return c
}

// signed lets through only answers that are signed from the root down: by them alone this enterprise's questions, and its name, are led anywhere.
type signed struct{ record.Resolver }

func (s signed) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	a, err := s.Resolver.Resolve(ctx, q)
	if err == nil && a.Trust != record.Secure {
		return record.Answer{}, problem.New(problem.Bogus, "the delegation of %s came without a chain of signatures, so nothing is asked where it leads; ask its operator to have it signed",
			"%s 的授权没有可验证的签名链，故不向其所指地址查询；请其运营者让上级对授权签名", q.ID)
	}
	return a, err
}
