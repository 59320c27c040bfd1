// Package trust proves who said what: it makes and keeps keys, signs and checks records, certificates and answers to
// challenges, in the international algorithms and in the Chinese SM ones.
//
// It is the only room that touches private keys. A key is one of five kinds:
//
//	kind     signs with                               HS_PUBKEY type     JWS alg
//	ed25519  Ed25519 (RFC 8032); what is made unless  ED25519_PUB_KEY    EdDSA
//	         somebody asks for another
//	p256     ECDSA on NIST P-256 with SHA-256         EC_PUB_KEY         ES256
//	sm2      SM2 with SM3 (GB/T 32918)                SM2_PUB_KEY        SM2
//	rsa      RSASSA-PKCS1-v1_5 with SHA-256           RSA_PUB_KEY        RS256
//	dsa      checked only, never made                 DSA_PUB_KEY        DS256
//
// Who is trusted: a private key file (mode 0600) lets its holder say anything in its owner's name, within what the
// owner's certificate allows. The public key of the root, given in the configuration, is the only thing that this room
// believes without proof.
package trust

import (
	"crypto/rand"
	"io"

	"github.com/fujie-id/fujie/problem"
)

// Algorithm is a kind of key. The zero value is none.
type Algorithm string

// The kinds of keys.
const (
	Ed25519 Algorithm = "ed25519"
	P256    Algorithm = "p256"
	SM2     Algorithm = "sm2"
	RSA     Algorithm = "rsa"
	DSA     Algorithm = "dsa" // only checked: no key of this kind is made or signs here
)

// Algorithms lists the kinds that Generate makes, the one to take first.
func Algorithms() []Algorithm { return []Algorithm{Ed25519, P256, SM2, RSA} }

// ParseAlgorithm reads a kind's name as people write it; empty gives Ed25519. The error is of kind problem.BadValue.
func ParseAlgorithm(s string) (Algorithm, error) {
	switch lower(s) {
	case "", "ed25519", "eddsa":
		return Ed25519, nil
	case "p256", "p-256", "es256", "ecdsa", "ec":
		return P256, nil
	case "sm2", "sm2/sm3", "sm":
		return SM2, nil
	case "rsa", "rs256":
		return RSA, nil
	case "dsa", "ds256":
		return DSA, nil
	}
	return "", problem.New(problem.BadValue,
		"%q is no kind of key; take ed25519, p256, sm2 or rsa",
		"%q 不是密钥种类；请用 ed25519、p256、sm2 或 rsa", clip(s))
}

// Sizes that are refused from outside: keys that are too weak to prove anything, or so large that checking one
// signature would take a server's time.
const (
	MinRSA    = 1024 // bits, checked; new keys have RSABits
	MaxRSA    = 8192
	RSABits   = 2048
	MinDSA    = 1024
	MaxDSA    = 3072
	MaxKeyLen = 16 << 10 // bytes of any key in any form
)

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

func random(r io.Reader) io.Reader {
	if r == nil {
		return rand.Reader
	}
	return r
}

// badKey is what every parser of keys here says no with.
func badKey(cause error, en, zh string, args ...any) error {
	return problem.Wrap(cause, problem.BadValue, en, zh, args...)
}
