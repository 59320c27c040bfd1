package account

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// token is a security key in software: it makes one passkey (WebAuthn level 2, ES256, no attestation) and signs with it.
type token struct {
	t      *testing.T
	rp     string
	origin string
	key    *ecdsa.PrivateKey
	id     []byte
	user   []byte
	count  uint32
}

func newToken(t *testing.T, rp, origin string) *token {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	return &token{t: t, rp: rp, origin: origin, key: k, id: id}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (k *token) data(flags byte) []byte {
	k.count++
	h := sha256.Sum256([]byte(k.rp))
	return binary.BigEndian.AppendUint32(append(h[:], flags), k.count)
}

func (k *token) client(typ, challenge string) []byte {
	b, err := json.Marshal(m{"type": typ, "challenge": challenge, "origin": k.origin, "crossOrigin": false})
	if err != nil {
		k.t.Fatal(err)
	}
	return b
}

// create answers navigator.credentials.create.
func (k *token) create(options any) m {
	o := k.options(options)
	user, err := base64.RawURLEncoding.DecodeString(o["user"].(m)["id"].(string))
	if err != nil {
		k.t.Fatal(err)
	}
	k.user = user
	pub, err := k.key.PublicKey.Bytes()
	if err != nil {
		k.t.Fatal(err)
	}
	cose, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: pub[1:33], -3: pub[33:]})
	if err != nil {
		k.t.Fatal(err)
	}
	data := append(k.data(0x45), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.id)))
	data = append(append(data, k.id...), cose...)
	obj, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		k.t.Fatal(err)
	}
	return m{"id": b64(k.id), "rawId": b64(k.id), "type": "public-key", "response": m{"clientDataJSON": b64(k.client("webauthn.create", o["challenge"].(string))), "attestationObject": b64(obj)}}
}

// get answers navigator.credentials.get.
func (k *token) get(options any, flags byte) m {
	data, client := k.data(flags), k.client("webauthn.get", k.options(options)["challenge"].(string))
	h := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, data...), h[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, k.key, sum[:])
	if err != nil {
		k.t.Fatal(err)
	}
	return m{"id": b64(k.id), "rawId": b64(k.id), "type": "public-key", "response": m{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(sig), "userHandle": b64(k.user)}}
}

func (k *token) options(o any) m {
	return o.(m)["publicKey"].(m)
}

func TestPasskey(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/api/users", "node", m{"name": "wang", "password": goodPassword}, nil)
	wang := w.login("wang", goodPassword)
	key := newToken(t, "localhost", w.acc.cfg.Origin)
	var c Ceremony
	w.want(200, "POST", "/api/me/passkeys/begin", wang, nil, &c)
	answer := key.create(c.Options)
	w.want(204, "POST", "/api/me/passkeys", wang, m{"ticket": c.Ticket, "title": "blue key", "answer": answer}, nil)
	w.want(401, "POST", "/api/me/passkeys", wang, m{"ticket": c.Ticket, "answer": answer}, nil)
	begin := func() Ceremony {
		var c Ceremony
		w.want(200, "POST", "/api/login/passkey/begin", "", nil, &c)
		return c
	}
	const present, verified = 0x01, 0x05
	c = begin()
	old := key.get(c.Options, verified)
	var r LoginResult
	w.want(200, "POST", "/api/login/passkey", "", m{"ticket": c.Ticket, "answer": old}, &r)
	if r.User != "88.118/USER_WANG" {
		t.Errorf("%+v", r)
	}
	w.want(401, "POST", "/api/login/passkey", "", m{"ticket": c.Ticket, "answer": old}, nil)       // its ticket was used
	w.want(401, "POST", "/api/login/passkey", "", m{"ticket": begin().Ticket, "answer": old}, nil) // another challenge
	c = begin()
	w.want(401, "POST", "/api/login/passkey", "", m{"ticket": c.Ticket, "answer": key.get(c.Options, present)}, nil) // nobody was verified
	// A page elsewhere that passes on our challenge.
	elsewhere := *key
	elsewhere.origin = "https://evil.example"
	c = begin()
	w.want(401, "POST", "/api/login/passkey", "", m{"ticket": c.Ticket, "answer": elsewhere.get(c.Options, verified)}, nil)
	// A copy of the key, whose counter is behind.
	copied := *key
	copied.count = 0
	c = begin()
	w.want(401, "POST", "/api/login/passkey", "", m{"ticket": c.Ticket, "answer": copied.get(c.Options, verified)}, nil)
	// Another key that says it is Wang's.
	other := newToken(t, "localhost", w.acc.cfg.Origin)
	other.id, other.user = key.id, key.user
	other.count = 1000
	c = begin()
	w.want(401, "POST", "/api/login/passkey", "", m{"ticket": c.Ticket, "answer": other.get(c.Options, verified)}, nil)

	var me MeView
	w.want(200, "GET", "/api/me", wang, nil, &me)
	if len(me.Account.Passkeys) != 1 || me.Account.Passkeys[0].Title != "blue key" {
		t.Fatalf("%+v", me.Account)
	}
	w.want(204, "DELETE", "/api/me/passkeys/"+me.Account.Passkeys[0].ID, wang, nil, nil)
	c = begin()
	w.want(401, "POST", "/api/login/passkey", "", m{"ticket": c.Ticket, "answer": key.get(c.Options, verified)}, nil)
}
