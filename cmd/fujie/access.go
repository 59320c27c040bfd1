package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/intake"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// access is the flags that say to whom a command speaks and as whom.
type access struct {
	Data   string `help:"${flag_data}" placeholder:"DIR" xor:"to"`
	Server string `help:"${flag_server}" placeholder:"URL" xor:"to"`
	As     string `help:"${flag_as}" placeholder:"INDEX:ID"`
	Key    string `help:"${flag_key}" placeholder:"FILE" xor:"proof"`
	Secret string `help:"${flag_secret}" placeholder:"FILE" xor:"proof"`
	Pin    string `help:"${flag_pin}" placeholder:"SHA256:…"`
}

// open finds out what --data is: a country that runs, or the folder of one node; or goes to --server.
func (a *access) open(ctx context.Context) (target, error) {
	if a.Server != "" {
		c, err := a.client()
		if err != nil {
			return nil, err
		}
		return &serverTarget{c}, nil
	}
	dir := a.Data
	if dir == "" {
		dir = defaultData()
	}
	if cfg := filepath.Join(dir, "node.yaml"); exists(cfg) {
		c, err := node.Load(cfg)
		if err != nil {
			return nil, err
		}
		n, err := node.Open(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := n.Home(ctx); err != nil {
			n.Close()
			return nil, err
		}
		return &nodeTarget{n}, nil
	}
	s, err := sim.ReadState(dir)
	if err != nil {
		return nil, err
	}
	return &countryTarget{access: sim.NewAccess(s)}, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// client speaks to --server with the proof that was given.
func (a *access) client() (*web.Client, error) {
	c := &web.Client{Base: a.Server, Pin: a.Pin}
	if a.As == "" {
		return c, nil
	}
	var err error
	if c.User, err = record.ParseRef(a.As); err != nil {
		return nil, err
	}
	switch {
	case a.Key != "":
		b, err := os.ReadFile(a.Key)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "cannot read the key", "无法读取密钥")
		}
		if c.Key, err = trust.ParsePrivatePEM(b, nil); err != nil {
			return nil, err
		}
	case a.Secret != "":
		if c.Secret, err = os.ReadFile(a.Secret); err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "cannot read the secret key", "无法读取口令")
		}
		c.Secret = trimNewline(c.Secret)
	default:
		return nil, problem.New(problem.BadRequest, "--as needs --key FILE or --secret FILE", "--as 须配合 --key 文件 或 --secret 文件")
	}
	return c, nil
}

func trimNewline(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// stateDir is where a command remembers how far it got.
func (a *access) stateDir() string {
	if a.Server == "" {
		if a.Data != "" {
			return a.Data
		}
		return defaultData()
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(d, "fujie")
}

// everything is what commands do with whoever keeps an identifier.
type everything interface {
	record.Resolver
	record.Registrar
	record.Lister
}

// serverTarget is one server for all identifiers.
type serverTarget struct{ c *web.Client }

func (t *serverTarget) keeper(context.Context, id.ID) (registrar, error) { return t.c, nil }
func (t *serverTarget) close()                                           { t.c.Close() }
func (t *serverTarget) ensure(_ context.Context, e *intake.Enterprise) error {
	return nil // its operator delegates prefixes; what is not homed there is refused line by line
}

// nodeTarget is the folder of a node that does not run.
type nodeTarget struct{ n *node.Offline }

func (t *nodeTarget) keeper(context.Context, id.ID) (registrar, error) { return t.n, nil }
func (t *nodeTarget) close()                                           { t.n.Close() }
func (t *nodeTarget) ensure(context.Context, *intake.Enterprise) error { return nil }

// countryTarget is a whole country that runs.
type countryTarget struct{ access *sim.Access }

func (t *countryTarget) close() { t.access.Close() }

func (t *countryTarget) keeper(ctx context.Context, v id.ID) (registrar, error) {
	n, err := t.access.Keeper(ctx, v)
	if err != nil {
		return nil, err
	}
	return t.access.Client(n)
}

func (t *countryTarget) ensure(ctx context.Context, e *intake.Enterprise) error {
	return t.access.EnsurePrefix(ctx, e.Prefix, e.Name)
}

// one finds who keeps v, for commands about a single identifier.
func (a *access) one(ctx context.Context, v id.ID) (everything, func(), error) {
	t, err := a.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	r, err := t.keeper(ctx, v)
	if err != nil {
		t.close()
		return nil, nil, err
	}
	return r.(everything), t.close, nil
}

// keeper reads an identifier and finds who keeps it; done gives back what that took.
func (a *access) keeper(e *env, text string) (v id.ID, to everything, ctx context.Context, done func(), err error) {
	if v, err = id.Parse(text); err != nil {
		return v, nil, nil, nil, err
	}
	ctx, cancel := e.withTimeout()
	to, free, err := a.one(ctx, v)
	if err != nil {
		cancel()
		return v, nil, nil, nil, err
	}
	return v, to, ctx, func() { free(); cancel() }, nil
}
