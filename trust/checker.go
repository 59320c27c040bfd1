package trust

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Checker finds out whether somebody is who they say: the implementation of record.Authenticator. Public keys are
// taken from the HS_PUBKEY values of the identity's record, wherever that is; secret keys from here when the identity's
// record is here, else the server that keeps them is asked whether the proof is right.
type Checker struct {
	Resolver record.Resolver     // finds HS_PUBKEY values; required for proofs by public key
	Secrets  record.SecretFinder // finds HS_SECKEY values kept here; may be nil

	// Remote asks the server that keeps user's secret keys to check signed (handle-protocol §1.5, operation 201). It may
	// be nil: then only identities kept here can use secret keys.
	Remote func(ctx context.Context, user record.Ref, nonce, digest, signed []byte) (bool, error)

	parsed parsedKeys
}

var _ record.Authenticator = (*Checker)(nil)

// maxKeysTried is how many keys of one record are tried when the proof does not say which.
const maxKeysTried = 8

// Authenticate checks an answer to a challenge and returns who gave it. When the proof names no index (0), the
// identity of a public-key proof has the index of the value whose key it was; that of a secret-key proof keeps 0.
// Errors: problem.BadCredential for a malformed proof; problem.AuthFailed; problem.AuthError when the key cannot be found
// or its server cannot be asked.
func (c *Checker) Authenticate(ctx context.Context, proof record.Proof, nonce, digest []byte) (record.Identity, error) {
	if proof.User.IsZero() {
		return record.Identity{}, problem.New(problem.BadCredential, "the proof does not say whose it is; name the user as in 300:88.118.1001/ADMIN", "身份证明没有写明用户；请写明用户，例如 300:88.118.1001/ADMIN")
	}
	switch strings.ToUpper(proof.Type) {
	case pubKeyProof:
		return c.public(ctx, proof, nonce, digest)
	case secKeyProof:
		return c.secret(ctx, proof, nonce, digest)
	}
	return record.Identity{}, problem.New(problem.BadCredential, "a proof of type %q is unknown; take HS_PUBKEY or HS_SECKEY", "身份证明类型 %q 未知；请用 HS_PUBKEY 或 HS_SECKEY", clip(proof.Type))
}

func (c *Checker) public(ctx context.Context, proof record.Proof, nonce, digest []byte) (record.Identity, error) {
	name, sig, err := parsePublicSigned(proof.Signed)
	if err != nil {
		return record.Identity{}, err
	}
	return c.match(ctx, proof.User, func(key PublicKey) error {
		return verifyPublic(key, proof.User, name, sig, nonce, digest)
	})
}

// match looks for the key of user that passes the test.
func (c *Checker) match(ctx context.Context, user record.Ref, test func(PublicKey) error) (record.Identity, error) {
	values, err := c.keys(ctx, user)
	if err != nil {
		return record.Identity{}, err
	}
	failed := problem.New(problem.AuthFailed, "%s is not who they say: the proof is not by a key of theirs", "%s 的身份未得到证明：签名不是由其密钥所签", user)
	tried := 0
	var last error
	for i := range values {
		v := &values[i]
		if !strings.EqualFold(v.Type, record.TypePubKey) || (user.Index != 0 && v.Index != user.Index) {
			continue
		}
		if tried++; tried > maxKeysTried {
			break
		}
		key, err := ParsePublic(v.Data)
		if err == nil {
			if err = test(key); err == nil {
				return record.Identity{Ref: record.Ref{Index: v.Index, Name: user.Name}}, nil
			}
		}
		last = err
	}
	if tried == 0 {
		return record.Identity{}, problem.New(problem.AuthError, "%s has no HS_PUBKEY value to check the proof with", "%s 没有可用来验证身份的 HS_PUBKEY 值", user)
	}
	failed.Err = last
	return record.Identity{}, failed
}

func (c *Checker) keys(ctx context.Context, user record.Ref) ([]record.Value, error) {
	name, err := id.ParseHandle(user.Name)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadCredential, "the user %s is no identifier", "用户 %s 不是标识", clip(user.String()))
	}
	if c.Resolver == nil {
		return nil, problem.New(problem.AuthError, "this node has no way to find the key of %s", "本节点无法查找 %s 的公钥", user)
	}
	q := record.Query{ID: name, As: user.Name, PublicOnly: true}
	if user.Index != 0 {
		q.Indexes = []uint32{user.Index}
	} else {
		q.Types = []string{record.TypePubKey}
	}
	a, err := c.Resolver.Resolve(ctx, q)
	if err != nil {
		return nil, problem.Wrap(err, problem.AuthError, "the key of %s could not be found", "找不到 %s 的公钥", user)
	}
	if a.Stale {
		// It may have been taken away meanwhile: whoever keeps its node from answering shall not keep a lost key alive.
		return nil, problem.New(problem.AuthError, "the key of %s is past its lifetime, and the node that keeps it cannot be reached; try again when it can", "%s 的公钥已过有效期，而其所在节点不可达；请在其恢复后再试", user)
	}
	return a.Values, nil
}

func (c *Checker) secret(ctx context.Context, proof record.Proof, nonce, digest []byte) (record.Identity, error) {
	s, err := parseSecretSigned(proof.Signed)
	if err != nil {
		return record.Identity{}, err
	}
	ok, held, err := c.secretsHere(ctx, proof.User, func(secret []byte) bool { return s.check(secret, nonce, digest) })
	if err == nil && !held {
		ok, err = c.ask(ctx, proof.User, nonce, digest, proof.Signed)
	}
	return secretVerdict(proof.User, ok, err)
}

func secretVerdict(user record.Ref, ok bool, err error) (record.Identity, error) {
	switch {
	case err != nil:
		return record.Identity{}, problem.Wrap(err, problem.AuthError, "the proof of %s could not be checked", "无法验证 %s 的身份证明", user)
	case !ok:
		return record.Identity{}, problem.New(problem.AuthFailed, "%s is not who they say: the secret key is wrong", "%s 的身份未得到证明：密钥不对", user)
	}
	return record.Identity{Ref: user}, nil
}

// secretsHere tries the secret keys kept here; held is false when the record is not.
func (c *Checker) secretsHere(ctx context.Context, user record.Ref, test func(secret []byte) bool) (ok, held bool, err error) {
	if c.Secrets == nil {
		return false, false, nil
	}
	keys, held, err := c.Secrets.Secrets(ctx, user)
	if err != nil || !held {
		return false, held, err
	}
	for i, k := range keys {
		if i == maxKeysTried {
			break
		}
		if test(k) {
			ok = true
		}
	}
	return ok, true, nil
}

func (c *Checker) ask(ctx context.Context, user record.Ref, nonce, digest, signed []byte) (bool, error) {
	if c.Remote == nil {
		return false, problem.New(problem.AuthError, "its secret key is not kept here, and no other server is asked", "其密钥不在本节点，且不询问其他服务器")
	}
	return c.Remote(ctx, user, nonce, digest, signed)
}

// VerifyHere answers for others (operation 201, /api/verifications): whether signed is the right answer to nonce and
// digest by a secret key of user kept here. It never asks another server. Errors: problem.BadCredential for a malformed
// answer; problem.NotHere when the user's record is not kept here.
func (c *Checker) VerifyHere(ctx context.Context, user record.Ref, nonce, digest, signed []byte) (bool, error) {
	s, err := parseSecretSigned(signed)
	if err != nil {
		return false, err
	}
	ok, held, err := c.secretsHere(ctx, user, func(secret []byte) bool { return s.check(secret, nonce, digest) })
	if err == nil && !held {
		return false, problem.New(problem.NotHere, "the record of %s is not kept here", "本节点没有 %s 的记录", user)
	}
	return ok, err
}

// Password checks a secret key that was sent as it is (HTTP Basic over TLS). Errors: as Authenticate.
func (c *Checker) Password(ctx context.Context, user record.Ref, password []byte) (record.Identity, error) {
	if user.IsZero() || len(password) == 0 {
		return record.Identity{}, problem.New(problem.BadCredential, "a user, as in 301:88.118.1001/ADMIN, and a secret key are needed", "需要用户（例如 301:88.118.1001/ADMIN）和密钥")
	}
	// Hashes are compared, so that the time tells nothing about the length either.
	want := sha256.Sum256(password)
	ok, held, err := c.secretsHere(ctx, user, func(secret []byte) bool {
		got := sha256.Sum256(secret)
		return len(secret) > 0 && subtle.ConstantTimeCompare(got[:], want[:]) == 1
	})
	if err == nil && !held {
		var nonce [16]byte
		if _, err := rand.Read(nonce[:]); err != nil {
			return record.Identity{}, problem.Wrap(err, problem.Internal, "there is no randomness for a challenge", "没有可用的随机数来生成质询")
		}
		digest := sha256.Sum256(nonce[:])
		proof, err := ProveSecret(password, user, nonce[:], digest[:], FormPBKDF2)
		if err != nil {
			return record.Identity{}, err
		}
		ok, err = c.ask(ctx, user, nonce[:], digest[:], proof.Signed)
		return secretVerdict(user, ok, err)
	}
	return secretVerdict(user, ok, err)
}

var oidUID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}

// CertificateUser is who a client certificate names in its subject: the UID, else the common name, as
// 300:88.118.1001/ADMIN (handle-protocol §3.4). It is zero when it names nobody.
func CertificateUser(cert *x509.Certificate) record.Ref {
	var names []string
	for _, n := range cert.Subject.Names {
		if s, ok := n.Value.(string); ok && n.Type.Equal(oidUID) {
			names = append(names, s)
		}
	}
	for _, s := range append(names, cert.Subject.CommonName) {
		if r, err := record.ParseRef(s); err == nil && !r.IsZero() && strings.Contains(r.Name, "/") {
			return r
		}
	}
	return record.Ref{}
}

// Certificate checks the client of a TLS connection, who has proved there to hold the private half of cert's key: cert
// must name a user whose HS_PUBKEY is that key. Who signed the certificate does not matter. Errors: as Authenticate.
func (c *Checker) Certificate(ctx context.Context, cert *x509.Certificate) (record.Identity, error) {
	user := CertificateUser(cert)
	if user.IsZero() {
		return record.Identity{}, problem.New(problem.BadCredential, "the client certificate names no user; its UID or common name must read as 300:88.118.1001/ADMIN", "客户端证书没有写明用户；其 UID 或 CN 应形如 300:88.118.1001/ADMIN")
	}
	own, err := newPublic(cert.PublicKey)
	if err != nil {
		return record.Identity{}, problem.Wrap(err, problem.BadCredential, "the key of the client certificate cannot be used", "客户端证书的密钥不可用")
	}
	return c.match(ctx, user, func(key PublicKey) error {
		if !key.Equal(own) {
			return problem.New(problem.AuthFailed, "the client certificate has the key %s, the record has %s", "客户端证书的密钥是 %s，记录中的是 %s", own, key)
		}
		return nil
	})
}
