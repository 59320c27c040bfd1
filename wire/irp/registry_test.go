package irp_test

import (
	"context"
	"crypto/rand"
	"net"
	"sync"
	"testing"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/burst"
	"github.com/fujie-id/fujie/wire/irp"
)

// asker and nobody are what anybody may do over the wire.
type asker struct {
	*irp.Client
	at record.Endpoint
}

func (a asker) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	return a.Ask(ctx, a.at, q)
}

// The kit again, with nothing made up: client, server, registry, store.
func TestRegistryBehindTheWire(t *testing.T) {
	const prefix, people = "88.118.1001", "88.118.1000"
	admin := record.Ref{Index: 300, Name: people + "/ADMIN"}
	for name, o := range map[string]irp.AdminOptions{"session": {}, "each": {NoSession: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recordtest.Run(t, func(t *testing.T) recordtest.Doors {
				key, err := trust.Generate(trust.Ed25519, rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				r, err := registry.Open(t.Context(), registry.Config{Store: memory.New(), Admins: []record.Ref{admin}, HotBytes: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				results, err := r.Write(t.Context(), record.Identity{Operator: true}, []record.Write{
					{Op: record.Home, ID: id.PrefixRecord(prefix)},
					{Op: record.Home, ID: id.PrefixRecord(people)},
					{Op: record.Create, ID: id.MustParse(admin.Name), Values: []record.Value{
						{Index: 300, Type: record.TypePubKey, Data: key.Public().Data(), TTL: record.TTL{Seconds: 60}, Perm: record.DefaultPerm}}},
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, res := range results {
					if res.Err != nil {
						t.Fatal(res.Err)
					}
				}
				at := listen(t, &irp.Server{Resolver: r, Registrar: r, Lister: r, Secrets: r, Key: key,
					Auth: &trust.Checker{Resolver: r, Secrets: r},
					Site: func() *record.Site { return &record.Site{Version: 1, Serial: 1, Primary: true} }}, key)
				c := &irp.Client{}
				t.Cleanup(c.Close)
				a, err := c.Admin(t.Context(), at, irp.Login{As: admin, Key: key}, o)
				if err != nil {
					t.Fatal(err)
				}
				udp := at
				udp.Protocol = record.UDP
				return recordtest.Doors{Resolver: a, Registrar: a, Lister: a, Appender: r, Admin: record.Identity{Ref: admin},
					Prefix: prefix, Homes: true, AnybodyResolver: asker{c, udp}, AnybodyRegistrar: irp.Nobody(c, at)}
			})
		})
	}
}

// listen serves on TCP and UDP of one port of the loopback interface.
func listen(t *testing.T, s *irp.Server, key *trust.PrivateKey) record.Endpoint {
	t.Helper()
	var l net.Listener
	var u *burst.Conn
	for tries := 0; u == nil; tries++ {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if u, err = burst.Listen(l.Addr().(*net.TCPAddr).AddrPort(), burst.Options{}); err != nil {
			l.Close()
			if tries > 20 {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.ServeTCP(ctx, l) })
	wg.Go(func() { s.ServeUDP(ctx, u) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return record.Endpoint{Addr: u.LocalAddr(), Protocol: record.TCP, Key: key.Public().Data()}
}
