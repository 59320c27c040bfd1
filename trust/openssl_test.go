package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "openssl", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOpenSSLFiles reads what OpenSSL wrote.
func TestOpenSSLFiles(t *testing.T) {
	msg := file(t, "message")
	for name, tc := range map[string]struct {
		alg   Algorithm
		more  []string
		check map[string]string // signature → hash
	}{
		"ed25519": {Ed25519, []string{"ed25519.enc.pem"}, map[string]string{"ed25519.sig": "Ed25519"}},
		"p256":    {P256, []string{"p256.scrypt.pem", "p256.sec1.pem"}, map[string]string{"p256.sig": "SHA-256"}},
		"sm2":     {SM2, []string{"sm2.enc.pem", "sm2.sec1.pem"}, map[string]string{"sm2.sig": "SM3"}},
		"rsa":     {RSA, []string{"rsa.pkcs1.pem"}, map[string]string{"rsa.sig": "SHA-256", "rsa.sha1.sig": "SHA1"}},
		"dsa":     {DSA, nil, map[string]string{"dsa.sig": "SHA1", "dsa.sha256.sig": "SHA-256"}},
	} {
		pub, err := ParsePublicPEM(file(t, name+".pub.pem"))
		if err != nil || pub.Algorithm() != tc.alg {
			t.Fatalf("%s: %v %v", name, pub, err)
		}
		if got := pub.MarshalPEM(); !bytes.Equal(got, file(t, name+".pub.pem")) {
			t.Errorf("%s: written again as\n%s", name, got)
		}
		for sig, hash := range tc.check {
			if err := pub.VerifyHash(hash, msg, file(t, sig)); err != nil {
				t.Errorf("%s: %v", sig, err)
			}
			if err := pub.VerifyHash(hash, msg[1:], file(t, sig)); !problem.Is(err, problem.AuthFailed) {
				t.Errorf("%s over another message: %v", sig, err)
			}
		}
		if tc.alg == DSA {
			continue
		}
		for _, f := range append(tc.more, name+".pem") {
			k, err := ParsePrivatePEM(file(t, f), []byte("sesame"))
			if err != nil || !k.Public().Equal(pub) {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}

func TestDSAForms(t *testing.T) {
	pub, err := ParsePublicPEM(file(t, "dsa.pub.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range formats {
		got, err := ParsePublicAny(pub.Marshal(f))
		if err != nil || !got.Equal(pub) || got.Fingerprint() != pub.Fingerprint() {
			t.Errorf("%s: %v %v", f, got, err)
		}
	}
	if !strings.HasPrefix(string(pub.Data()), "\x00\x00\x00\x0bDSA_PUB_KEY\x00\x00\x00\x00\x00") {
		t.Errorf("HS_PUBKEY form begins %x", pub.Data()[:30])
	}
	// A deployed client's answer to a challenge: the nonce and the digest are the message, cut anywhere.
	msg, user := file(t, "message"), ref("300:88.111.1/ADMIN")
	p := PublicProof(user, "SHA1", file(t, "dsa.sig"))
	if err := VerifyPublic(pub, user, p.Signed, msg[:16], msg[16:]); err != nil {
		t.Error(err)
	}
	if err := pub.Verify(msg, file(t, "dsa.sig")); err != nil {
		t.Error(err)
	}
}

// openssl runs the program, as a peer that shares no code with this room.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl to compare with")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestOpenSSLReadsOurs gives it our keys, signatures and JWS.
func TestOpenSSLReadsOurs(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, alg := range Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			k := testKey(t, alg)
			priv := write("k.pem", mustPEM(t, k))
			pub := write("p.pem", k.Public().MarshalPEM())
			enc, err := k.MarshalEncryptedPEM([]byte("sesame"), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"-in", priv}, {"-in", write("e.pem", enc), "-passin", "pass:sesame"}} {
				if got := openssl(t, append([]string{"pkey", "-pubout"}, args...)...); got != string(k.Public().MarshalPEM()) {
					t.Errorf("it reads another key:\n%s", got)
				}
			}
			der := openssl(t, "pkey", "-pubin", "-in", pub, "-outform", "der")
			sum := sha256.Sum256([]byte(der))
			if want := "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]); k.Public().Fingerprint() != want {
				t.Errorf("fingerprint %s, want %s", k.Public().Fingerprint(), want)
			}
			verify := func(message, sig []byte) {
				t.Helper()
				m, s := write("m", message), write("s", sig)
				args := []string{"pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", pub, "-in", m, "-sigfile", s}
				switch alg {
				case SM2:
					args = append(args, "-digest", "sm3", "-pkeyopt", "distid:1234567812345678")
				case P256, RSA:
					args = append(args, "-digest", "sha256")
				}
				openssl(t, args...)
			}
			msg := []byte("88.118.1001/ENG-42 泵")
			sig, err := k.Sign(msg)
			if err != nil {
				t.Fatal(err)
			}
			verify(msg, sig)

			jws, err := SignRecord(k, ref("300:0.NA/88.118"), "88.118/x", someValues(), SignOptions{From: day0, Until: day90})
			if err != nil {
				t.Fatal(err)
			}
			i := bytes.LastIndexByte(jws, '.')
			if sig, err = b64url.DecodeString(string(jws[i+1:])); err != nil {
				t.Fatal(err)
			}
			if alg == P256 || alg == SM2 {
				sig, _ = derFromRaw(sig)
			}
			verify(jws[:i], sig)

			// And the proof of the Chinese dialect, with its own signer identity.
			if alg == SM2 {
				p, err := Prove(k, ref("300:88.111.1/admin"), []byte("nonce"), []byte("digest"))
				if err != nil {
					t.Fatal(err)
				}
				_, sig, err := parsePublicSigned(p.Signed)
				if err != nil {
					t.Fatal(err)
				}
				openssl(t, "dgst", "-sm3", "-binary", "-out", filepath.Join(dir, "h"), write("nd", []byte("noncedigest")))
				openssl(t, "pkeyutl", "-verify", "-rawin", "-digest", "sm3", "-pkeyopt", "distid:88.111.1/admin", "-pubin", "-inkey", pub, "-in", filepath.Join(dir, "h"), "-sigfile", write("s", sig))
			}
		})
	}
}

// TestOpenSSLSealed decrypts session keys that OpenSSL encrypted, and the other way round.
func TestOpenSSLSealed(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	text := []byte("\x00\x00\x00\x04a session key...")
	if err := os.WriteFile(path("text"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, alg := range []Algorithm{RSA, SM2} {
		name := map[Algorithm]string{RSA: "rsa", SM2: "sm2"}[alg]
		k, err := ParsePrivatePEM(file(t, name+".pem"), nil)
		if err != nil {
			t.Fatal(err)
		}
		openssl(t, "pkeyutl", "-encrypt", "-pubin", "-inkey", "testdata/openssl/"+name+".pub.pem", "-in", path("text"), "-out", path("sealed"))
		sealed, err := os.ReadFile(path("sealed"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Open(sealed); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %q, %v", alg, got, err)
		}
		if sealed, err = k.Public().Seal(text, nil); err != nil {
			t.Fatal(err)
		}
		if alg == SM2 { // it reads the ASN.1 form only
			if sealed, err = sm2.PlainCiphertext2ASN1(sealed, sm2.C1C3C2); err != nil {
				t.Fatal(err)
			}
			if got, err := k.Open(sealed); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: %q, %v", alg, got, err)
			}
		}
		if err := os.WriteFile(path("sealed"), sealed, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := openssl(t, "pkeyutl", "-decrypt", "-inkey", "testdata/openssl/"+name+".pem", "-in", path("sealed")); got != string(text) {
			t.Errorf("%s: it reads %q", alg, got)
		}
	}
}

// TestTLS shakes hands with certificates of this room on both sides.
func TestTLS(t *testing.T) {
	at := time.Now()
	for _, alg := range Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			cert, err := SelfSigned(testKey(t, alg), []string{"根节点", "root.example.cn", "10.0.0.9"}, []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), {}}, at, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			for _, host := range []string{"root.example.cn", "127.0.0.1", "::1", "10.0.0.9"} {
				if err := cert.Leaf.VerifyHostname(host); err != nil {
					t.Error(err)
				}
			}
			if pub, err := newPublic(cert.Leaf.PublicKey); err != nil || (pub.Equal(testKey(t, alg).Public()) == (alg == SM2)) {
				t.Errorf("certificate of a %s node has the key %v, %v", alg, pub, err)
			}
			user := testKey(t, other(alg))
			client, err := ClientCertificate(user, ref("300:88.118/ADMIN"), at, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AddCert(cert.Leaf)
			a, b := net.Pipe()
			server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})
			done := make(chan error, 1)
			go func() { done <- server.Handshake() }()
			conn := tls.Client(b, &tls.Config{RootCAs: pool, ServerName: "root.example.cn", Certificates: []tls.Certificate{client}})
			if err := conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			peer := server.ConnectionState().PeerCertificates
			if len(peer) != 1 || CertificateUser(peer[0]).String() != "300:88.118/ADMIN" {
				t.Errorf("the server sees %v", peer)
			}
			a.Close()
			b.Close()
		})
	}
	if _, err := ClientCertificate(testKey(t, SM2), ref("300:88.118/ADMIN"), at, time.Hour); !problem.Is(err, problem.Unsupported) {
		t.Error(err)
	}
	if _, err := ClientCertificate(testKey(t, RSA), record.Ref{}, at, time.Hour); !problem.Is(err, problem.BadValue) {
		t.Error(err)
	}
}
