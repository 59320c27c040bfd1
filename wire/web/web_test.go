package web_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "88.118.1001"

var (
	adminKey = record.Ref{Index: 300, Name: "0.NA/" + prefix}
	adminSec = record.Ref{Index: 301, Name: "0.NA/" + prefix}
	secret   = "secret-123"
)

// world is a server on a real port, before a Book.
type world struct {
	t      testing.TB
	book   *recordtest.Book
	key    *trust.PrivateKey // the administrator's
	server *web.Server
	addr   string
	pin    string
	log    *bytes.Buffer
}

func newKey(t testing.TB, alg trust.Algorithm) *trust.PrivateKey {
	t.Helper()
	k, err := trust.Generate(alg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t testing.TB, change ...func(*web.Server)) *world {
	t.Helper()
	w := &world{t: t, key: newKey(t, trust.Ed25519), log: &bytes.Buffer{}}
	w.book = recordtest.NewBook(adminKey, prefix)
	w.book.Admins = append(w.book.Admins, adminSec)
	w.book.Put("0.NA/"+prefix,
		record.Value{Index: 300, Type: record.TypePubKey, Data: w.key.Public().Data(), Perm: record.DefaultPerm},
		record.Value{Index: 301, Type: record.TypeSecKey, Data: []byte(secret), Perm: record.AdminRead | record.AdminWrite})
	serverKey := newKey(t, trust.Ed25519)
	w.pin = serverKey.Public().Fingerprint()
	cert, err := trust.SelfSigned(serverKey, []string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	site := &record.Site{Version: 1, Major: 2, Minor: 11, Serial: 1, Primary: true, Hash: record.HashAll, Servers: []record.Server{{ID: 1, Addr: netip.MustParseAddr("127.0.0.1")}}}
	w.server = &web.Server{
		Resolver: w.book, Registrar: w.book, Lister: w.book, Feed: w.book, Secrets: w.book,
		Auth: &trust.Checker{Resolver: w.book, Secrets: w.book}, Site: func() *record.Site { return site },
		Certificate: cert, Name: "test-node", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, f := range change {
		f(w.server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// client is the administrator, by public key.
func (w *world) client(change ...func(*web.Client)) *web.Client {
	c := &web.Client{Base: "https://" + w.addr, Pin: w.pin, User: adminKey, Key: w.key}
	for _, f := range change {
		f(c)
	}
	w.t.Cleanup(c.Close)
	return c
}

func nobody(c *web.Client) { c.User, c.Key, c.Secret = record.Ref{}, nil, nil }

// browser is net/http's client, taking any certificate and following nothing.
func (w *world) browser(certs ...tls.Certificate) *http.Client {
	t := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs}}
	w.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

type reply struct {
	*http.Response
	body string
}

// ask sends one request; head is name, value, name, value.
func (w *world) ask(method, url, body string, head ...string) reply {
	w.t.Helper()
	return w.askWith(w.browser(), method, url, body, head...)
}

func (w *world) askWith(c *http.Client, method, url, body string, head ...string) reply {
	w.t.Helper()
	if strings.HasPrefix(url, "/") {
		url = "http://" + w.addr + url
	}
	url = strings.Replace(url, "https:///", "https://"+w.addr+"/", 1)
	r, err := http.NewRequestWithContext(w.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Add(head[i], head[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{resp, string(b)}
}

func (w *world) want(r reply, status int, body string) {
	w.t.Helper()
	if r.StatusCode != status || body != "*" && r.body != body {
		w.t.Errorf("%s %s: %d %s\nwant %d %s", r.Request.Method, r.Request.URL, r.StatusCode, r.body, status, body)
	}
}

const basic = "Basic MzAxJTNBMC5OQS84OC4xMTguMTAwMTpzZWNyZXQtMTIz" // 301%3A0.NA/88.118.1001:secret-123

const jsonHead = "application/json"

func TestDoorsByPublicKey(t *testing.T) {
	recordtest.Run(t, func(t *testing.T) recordtest.Doors {
		w := open(t)
		c := w.client()
		any := w.client(nobody)
		return recordtest.Doors{Resolver: c, Registrar: c, Lister: c, Feed: c, AnybodyResolver: any, AnybodyRegistrar: any,
			Admin: record.Identity{Ref: adminKey}, Prefix: prefix, Homes: true}
	})
}

func TestDoorsBySecretKey(t *testing.T) {
	recordtest.Run(t, func(t *testing.T) recordtest.Doors {
		w := open(t)
		c := w.client(func(c *web.Client) { c.User, c.Key, c.Secret = adminSec, nil, []byte(secret) })
		any := w.client(nobody, func(c *web.Client) { c.Base = "http://" + w.addr })
		return recordtest.Doors{Resolver: c, Registrar: c, Lister: c, Feed: c, AnybodyResolver: any, AnybodyRegistrar: any,
			Admin: record.Identity{Ref: adminSec}, Prefix: prefix, Homes: true}
	})
}

// TestDoorsWithoutBulk is the same with a server that has only what Handle.Net's have.
func TestDoorsWithoutBulk(t *testing.T) {
	recordtest.Run(t, func(t *testing.T) recordtest.Doors {
		w := open(t)
		inner := w.server.Handler()
		plain := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/register" {
				r.URL.Path = "/api/unknown"
			}
			inner.ServeHTTP(rw, r)
		}))
		plain.TLS = &tls.Config{Certificates: []tls.Certificate{w.server.Certificate}}
		plain.StartTLS()
		t.Cleanup(plain.Close)
		c := w.client(func(c *web.Client) { c.Base = plain.URL })
		any := w.client(nobody, func(c *web.Client) { c.Base = plain.URL })
		return recordtest.Doors{Resolver: c, Registrar: c, Lister: c, AnybodyResolver: any, AnybodyRegistrar: any,
			Admin: record.Identity{Ref: adminKey}, Prefix: prefix, Homes: true}
	})
}

func TestEveryKindOfKeyLogsIn(t *testing.T) {
	for _, alg := range trust.Algorithms() {
		w := open(t)
		w.key = newKey(t, alg)
		w.book.Put("0.NA/"+prefix, record.Value{Index: 300, Type: record.TypePubKey, Data: w.key.Public().Data(), Perm: record.DefaultPerm})
		if _, err := w.client().Prefixes(t.Context(), record.Identity{}, "", 1); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func mustJSON(t testing.TB, s string) {
	t.Helper()
	if !json.Valid([]byte(s)) {
		t.Errorf("no JSON: %s", s)
	}
}

func text(index uint32, typ, data string) record.Value {
	return record.Value{Index: index, Type: typ, Data: []byte(data), TTL: record.TTL{Seconds: 86400}, Perm: record.DefaultPerm, Timestamp: 1795360227}
}

type resolver func(record.Query) (record.Answer, error)

func (f resolver) Resolve(_ context.Context, q record.Query) (record.Answer, error) { return f(q) }

func idOf(s string) id.ID { return id.MustParse(s) }
