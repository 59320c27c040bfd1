package across_test

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/across"
	"github.com/fujie-id/fujie/trust"
)

// TestEarlyConnection: a connection that was begun because a delegation names the address says nothing to a server with another key, whether the service is there or not; one that nobody wanted
// ends, and so does one whose other end is silent.
func TestEarlyConnection(t *testing.T) {
	for _, c := range []struct {
		name    string
		service string // where the record says that the service is; empty: where the delegation's server is
		silent  bool   // nobody is at the delegation's address
		outcome string
	}{
		{name: "another key", outcome: "bogus"},
		{name: "service elsewhere", service: "127.0.0.1:1", outcome: "unreachable"},
		{name: "silence", silent: true, outcome: "unreachable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				way := &far{trip: 100 * time.Millisecond, listeners: map[string]*farListener{}}
				farm := w.firm("88.1").make(1, "88.1/CARTON").hand(2, "88.1", "88.2", "88.1/CARTON")
				farm.listener, farm.dial, farm.resolver = way.listen(), way.dial, newFarResolver(w, way.trip)
				farm.open()
				// Somebody sits at the carrier's address, with a key of their own.
				trap := way.listen()
				at := trap.Addr().(*net.TCPAddr)
				asked := 0
				if !c.silent {
					other, err := trust.SelfSigned(newKey(t), nil, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, w.now(), time.Hour)
					if err != nil {
						t.Fatal(err)
					}
					s := serveTLS(trap, other, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
					defer s.Close()
				}
				carrier := w.firm("88.2")
				site := record.Site{Version: 1, Servers: []record.Server{{ID: 1, Addr: netip.MustParseAddr("127.0.0.1"), PublicKey: carrier.key.Public().Data(),
					Interfaces: []record.Interface{{Query: true, Protocol: record.HTTPS, Port: uint32(at.Port)}}}}}
				w.put("0.NA/88.2", append(w.records["0.NA/88.2"], value(1, record.TypeSite, record.AppendSite(nil, &site)))...)
				service := c.service
				if service == "" {
					service = at.String()
				}
				w.put("88.2/"+across.ServiceSuffix, value(1, across.TypeService, []byte("https://"+service+"/epcis")))
				a, _ := farm.trace(down)
				if h := hop(a, "88.2"); h.Outcome != c.outcome {
					t.Errorf("%+v", h)
				}
				if asked != 0 {
					t.Error("somebody was asked whose key does not stand in the delegation")
				}
				if way.open() == 0 && c.service != "" {
					t.Error("no connection was begun: nothing is tried here")
				}
				time.Sleep(time.Minute) // virtual
				if n := way.open(); n != 0 {
					t.Errorf("%d connections that nobody wants are open", n)
				}
			})
		})
	}
}
