package across

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// clients are HTTP clients by the TLS keys that they take, since connections may be used again only by who knows the same.
type clients struct {
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	limit time.Duration

	mu   sync.Mutex
	open map[string]*http.Client
}

// maxClients is how many are kept with their connections.
const maxClients = 256

func (c *clients) get(pins []string) *http.Client {
	pins = slices.Sorted(slices.Values(pins))
	name := strings.Join(pins, " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.open[name]; h != nil {
		return h
	}
	for k, h := range c.open {
		if len(c.open) < maxClients {
			break
		}
		h.CloseIdleConnections()
		delete(c.open, k)
	}
	h := &http.Client{
		Transport: &http.Transport{DialContext: c.dial, TLSClientConfig: tlsConfig(pins), TLSHandshakeTimeout: c.limit, MaxIdleConnsPerHost: 4,
			IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 256 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.open == nil {
		c.open = map[string]*http.Client{}
	}
	c.open[name] = h
	return h
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.open {
		h.CloseIdleConnections()
	}
}

// tlsConfig takes servers with one of the keys, and those whose certificate the system trusts.
func tlsConfig(pins []string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		leaf := s.PeerCertificates[0]
		if k, err := trust.ParsePublicPEM(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: leaf.RawSubjectPublicKeyInfo})); err == nil {
			for _, p := range pins {
				if subtle.ConstantTimeCompare([]byte(p), []byte(k.Fingerprint())) == 1 {
					return nil
				}
			}
		}
		o := x509.VerifyOptions{DNSName: s.ServerName, Intermediates: x509.NewCertPool()}
		for _, c := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(c)
		}
		if _, err := leaf.Verify(o); err != nil {
			return problem.Wrap(err, problem.Bogus, "the server shows a key that neither stands in the enterprise's delegation nor is vouched for by an authority that this system trusts",
				"服务器出示的密钥既不在企业的授权记录中，也未经本系统信任的机构签发")
		}
		return nil
	}}
}
