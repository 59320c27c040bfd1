package trust

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// SelfSigned makes the TLS certificate of a server whose key is key. names and addrs are the host names and addresses
// that it answers under; the first name stands as the subject too. It holds from an hour before now, since clocks differ,
// for life. A node with an SM2 key gets a P-256 key of its own for TLS, because international TLS knows no SM2.
func SelfSigned(key *PrivateKey, names []string, addrs []netip.Addr, now time.Time, life time.Duration) (tls.Certificate, error) {
	if key == nil {
		return tls.Certificate{}, problem.New(problem.BadValue, "a TLS certificate needs a key", "TLS 证书须有密钥")
	}
	if key.pub.alg == SM2 {
		k, err := Generate(P256, nil)
		if err != nil {
			return tls.Certificate{}, err
		}
		key = k
	}
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, n := range names {
		if a, err := netip.ParseAddr(n); err == nil {
			addrs = append(slices.Clone(addrs), a)
		} else if isHostName(n) {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	for _, a := range addrs {
		if a.IsValid() {
			t.IPAddresses = append(t.IPAddresses, a.Unmap().AsSlice())
		}
	}
	t.Subject.CommonName = "fujie"
	if len(names) > 0 {
		t.Subject.CommonName = names[0]
	}
	return selfSigned(key, t, now, life)
}

// isHostName reports whether a certificate can carry s as a DNS name: it takes ASCII only, so a node's Chinese name
// stands as the subject alone.
func isHostName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return s != ""
}

// ClientCertificate makes the TLS certificate by which user, whose HS_PUBKEY is the public half of key, is known to
// Handle's HTTP API: its common name and UID are user's (handle-protocol §3.4). It holds from an hour before now, for life. Errors: problem.Unsupported for an SM2 key,
// which international TLS does not know.
func ClientCertificate(key *PrivateKey, user record.Ref, now time.Time, life time.Duration) (tls.Certificate, error) {
	if key == nil || user.IsZero() {
		return tls.Certificate{}, problem.New(problem.BadValue, "a client certificate needs a key and a user", "客户端证书须有密钥和用户")
	}
	if key.pub.alg == SM2 {
		return tls.Certificate{}, problem.New(problem.Unsupported, "international TLS knows no SM2 keys; answer a challenge with this key instead", "国际 TLS 不支持 SM2 密钥；请改用质询应答方式证明身份")
	}
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	t.Subject.CommonName = user.String()
	t.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidUID, Value: user.String()}}
	return selfSigned(key, t, now, life)
}

func selfSigned(key *PrivateKey, t *x509.Certificate, now time.Time, life time.Duration) (tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, problem.Wrap(err, problem.Internal, "there is no randomness for a certificate", "没有可用的随机数来生成证书")
	}
	t.SerialNumber = serial.Add(serial, big.NewInt(1))
	t.NotBefore, t.NotAfter = now.Add(-time.Hour), now.Add(life)
	t.BasicConstraintsValid = true
	t.KeyUsage = x509.KeyUsageDigitalSignature
	if key.pub.alg == RSA {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	signer, ok := key.key.(crypto.Signer)
	if _, sm := key.key.(*sm2.PrivateKey); !ok || sm {
		return tls.Certificate{}, problem.New(problem.Unsupported, "a key of kind %s cannot be used for TLS", "%s 密钥不能用于 TLS", key.pub.alg)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, signer.Public(), signer)
	if err != nil {
		return tls.Certificate{}, problem.Wrap(err, problem.Internal, "the TLS certificate could not be made", "无法生成 TLS 证书")
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, problem.Wrap(err, problem.Internal, "the TLS certificate could not be made", "无法生成 TLS 证书")
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer, Leaf: leaf}, nil
}
