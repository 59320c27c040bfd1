package irp

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// vectorMessage is the whole message under a title of the shared vectors.
func vectorMessage(t testing.TB, title string) []byte {
	t.Helper()
	lines := vectorLines(t)
	for i, l := range lines {
		if strings.HasPrefix(l, "## "+title) {
			var hex string
			for _, part := range lines[i+1 : i+4] {
				hex += strings.Fields(part)[1]
			}
			return unhex(t, hex)
		}
	}
	t.Fatalf("no vector %q", title)
	return nil
}

// The parts of the vectors' messages.
var (
	vecEnvelope = Envelope{Version: Latest, Suggested: Latest, Request: 0x01020304}
	vecExpires  = uint32(1767225600)
	vecValue    = record.Value{Index: 1, Type: "URL", Data: []byte("http://www.example.com/"),
		TTL: record.TTL{Seconds: 86400}, Perm: record.DefaultPerm, Timestamp: 1700000000}
	vecNonce  = []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	vecSigned = "22000000100102030405060708090a0b0c0d0e0f1000002710000000a0000000143abf37f76776edddd4f57e581808d77a993b8a84"
)

func vecHeader(op Op, flags Flags) Header {
	return Header{Op: op, Flags: flags, SiteSerial: UnknownSite, Expires: vecExpires}
}

// TestVectors builds every message of the shared vectors and compares byte for byte, then takes it apart again.
func TestVectors(t *testing.T) {
	answer := func(op Op, code Code, flags Flags) Header {
		h := vecHeader(op, flags)
		h.Code, h.SiteSerial = code, 1
		return h
	}
	digest := unhex(t, "20dd39adeb73a0201171f1ad7f3fe815e6e86c618e17aee90c09b2c4c96b4c1d")
	admin := record.Ref{Index: 301, Name: "88.111.1/ADMIN"}
	signed := unhex(t, vecSigned)
	withSession := vecEnvelope
	withSession.Session = 5
	proofEnvelope := withSession
	proofEnvelope.Request = 0x01020305
	verifyEnvelope := vecEnvelope
	verifyEnvelope.Request = 0x01020306
	for _, c := range []struct {
		title  string
		e      Envelope
		h      Header
		body   []byte
		decode func(body []byte) (any, error)
		want   any
	}{
		{"OC_RESOLUTION request 88.111.1/t1", vecEnvelope, vecHeader(OpResolution, DefaultFlags),
			AppendResolution(nil, &Resolution{Name: "88.111.1/t1"}),
			func(b []byte) (any, error) { return DecodeResolution(b) }, Resolution{Name: "88.111.1/t1"}},
		{"OC_RESOLUTION request types URL,EMAIL", vecEnvelope, vecHeader(OpResolution, 0xc8800000),
			AppendResolution(nil, &Resolution{Name: "88.111.1/t1", Indexes: []uint32{1, 100}, Types: []string{"URL", "EMAIL"}}),
			func(b []byte) (any, error) { return DecodeResolution(b) },
			Resolution{Name: "88.111.1/t1", Indexes: []uint32{1, 100}, Types: []string{"URL", "EMAIL"}}},
		{"OC_RESOLUTION success response", vecEnvelope, answer(OpResolution, Success, 0x99000000),
			AppendValues(nil, "88.111.1/t1", []record.Value{vecValue}),
			func(b []byte) (any, error) { _, vs, err := DecodeValues(b); return vs, err }, []record.Value{vecValue}},
		{"RC_HANDLE_NOT_FOUND(100), empty message", vecEnvelope, answer(OpResolution, HandleNotFound, 0x99000000),
			AppendError(nil, ""), func(b []byte) (any, error) { return DecodeError(b) }, ""},
		{"OC_GET_SITE_INFO request", vecEnvelope, vecHeader(OpGetSiteInfo, DefaultFlags), AppendNamed(nil, "/"), nil, nil},
		{"OC_CREATE_HANDLE request", vecEnvelope, vecHeader(OpCreate, 0x19400000),
			AppendValues(nil, "88.111.1/new", []record.Value{vecValue}), nil, nil},
		{"OC_DELETE_HANDLE request", vecEnvelope, vecHeader(OpDelete, DefaultFlags), AppendNamed(nil, "88.111.1/new"), nil, nil},
		{"OC_ADD_VALUE request", vecEnvelope, vecHeader(OpAdd, DefaultFlags),
			AppendValues(nil, "88.111.1/new", []record.Value{vecValue}), nil, nil},
		{"OC_MODIFY_VALUE request", vecEnvelope, vecHeader(OpModify, DefaultFlags),
			AppendValues(nil, "88.111.1/new", []record.Value{vecValue}), nil, nil},
		{"OC_REMOVE_VALUE request idx 5,6", vecEnvelope, vecHeader(OpRemove, DefaultFlags),
			AppendRemoval(nil, "88.111.1/new", []uint32{5, 6}),
			func(b []byte) (any, error) { _, x, err := DecodeRemoval(b); return x, err }, []uint32{5, 6}},
		{"OC_LIST_HANDLES request", vecEnvelope, vecHeader(OpList, DefaultFlags), AppendNamed(nil, "0.NA/88.111.1"), nil, nil},
		{"OC_LIST_HOMED_NAS request", vecEnvelope, vecHeader(OpListHomed, DefaultFlags), AppendNamed(nil, "/"), nil, nil},
		{"OC_HOME_NA request", vecEnvelope, vecHeader(OpHome, DefaultFlags), AppendNamed(nil, "0.NA/88.111.2"), nil, nil},
		{"RC_PREFIX_REFERRAL(303) response", vecEnvelope, answer(OpResolution, PrefixReferral, DefaultFlags),
			AppendReferral(nil, &record.Referral{Values: []record.Value{vecValue}}),
			func(b []byte) (any, error) { return DecodeReferral(b, true) },
			&record.Referral{Prefix: true, Values: []record.Value{vecValue}}},
		{"RC_AUTHENTICATION_NEEDED(402)", withSession, answer(OpDelete, AuthenticationNeeded, 0x99800000),
			AppendChallenge(nil, Latest, &Challenge{SHA256, digest, vecNonce}),
			func(b []byte) (any, error) { return DecodeChallenge(Latest, b) }, Challenge{SHA256, digest, vecNonce}},
		{"OC_RESPONSE_TO_CHALLENGE(200)", proofEnvelope, vecHeader(OpAnswerChallenge, DefaultFlags),
			AppendProof(nil, &record.Proof{Type: "HS_SECKEY", User: admin, Signed: signed}),
			func(b []byte) (any, error) { return DecodeProof(b) },
			record.Proof{Type: "HS_SECKEY", User: admin, Signed: signed}},
		{"OC_VERIFY_CHALLENGE(201)", verifyEnvelope, vecHeader(OpVerifyChallenge, 0x59800000),
			AppendVerification(nil, &Verification{admin, vecNonce, digest, signed}),
			func(b []byte) (any, error) { return DecodeVerification(b) }, Verification{admin, vecNonce, digest, signed}},
	} {
		t.Run(c.title, func(t *testing.T) {
			want := vectorMessage(t, c.title)
			if got := AppendMessage(nil, &Message{Envelope: c.e, Header: c.h, Body: c.body}); !bytes.Equal(got, want) {
				t.Fatalf("got\n%x\nwant\n%x", got, want)
			}
			m := decodeWhole(t, want)
			e := c.e
			e.Length = uint32(len(want) - envelopeSize)
			if m.Envelope != e || m.Header != c.h || !bytes.Equal(m.Body, c.body) {
				t.Fatalf("decoded as %+v %+v %x", m.Envelope, m.Header, m.Body)
			}
			if c.decode == nil {
				return
			}
			if got, err := c.decode(m.Body); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("body: %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestVectorDigest(t *testing.T) {
	m := decodeWhole(t, vectorMessage(t, "OC_DELETE_HANDLE request"))
	want := unhex(t, "20dd39adeb73a0201171f1ad7f3fe815e6e86c618e17aee90c09b2c4c96b4c1d")
	if got := SHA256.Digest(m.Content()); !bytes.Equal(got, want) {
		t.Fatalf("%x", got)
	}
}

// TestVectorCredential takes the HS_MAC vector apart and writes it again.
func TestVectorCredential(t *testing.T) {
	whole := vectorMessage(t, "HS_MAC credential")
	m := decodeWhole(t, whole)
	c, err := DecodeCredential(m.Credential)
	if err != nil {
		t.Fatal(err)
	}
	if c.Counter != 1 || c.Type != CredentialMAC || c.Algorithm != "HMAC-SHA256" || c.Signer != "" {
		t.Fatalf("%+v", c)
	}
	if got := AppendCredential(nil, &c); !bytes.Equal(got, m.Credential) {
		t.Fatalf("%x", got)
	}
	covered, ok := m.AppendCovered(nil, 1)
	if want := unhex(t, "020b020b000000090102030700000001"); !ok || !bytes.Equal(covered[:16], want) || !bytes.Equal(covered[16:], m.Content()) {
		t.Fatalf("%v %x", ok, covered)
	}
}

func TestCoveredByVersion(t *testing.T) {
	m := &Message{Envelope: Envelope{Version: Version{2, 7}, Suggested: Latest, Session: 1, Request: 2}}
	if b, ok := m.AppendCovered(nil, 3); !ok || !bytes.Equal(b[:14], unhex(t, "0207000000010000000200000003")) {
		t.Errorf("2.7: %v %x", ok, b)
	}
	m.Version.Minor = 6
	if _, ok := m.AppendCovered(nil, 3); ok {
		t.Error("2.6 can be checked")
	}
	m.Version.Minor = 4
	if b, ok := m.AppendCovered(nil, 3); !ok || !bytes.Equal(b, m.Content()) {
		t.Errorf("2.4: %v %x", ok, b)
	}
}

func TestEnvelopeVersions(t *testing.T) {
	for _, c := range []struct {
		first4 string // as sent
		speak  Version
	}{
		{"0203020b", Version{2, 11}}, {"03000300", Version{2, 11}}, {"02050000", Version{2, 5}}, {"02010000", Version{2, 1}},
		{"05000500", Version{2, 11}}, {"020b0205", Version{2, 5}}, {"020b0300", Version{2, 11}}, {"020be20b", Version{2, 11}},
		{"0000020b", Version{2, 11}}, {"00000000", Version{0, 0}},
	} {
		e, err := DecodeEnvelope(unhex(t, c.first4+strings.Repeat("00", 16)))
		if err != nil || e.Speak() != c.speak {
			t.Errorf("%s: speak %v, %v; want %v", c.first4, e.Speak(), err, c.speak)
		}
	}
	e, _ := DecodeEnvelope(unhex(t, "020be20b"+strings.Repeat("00", 16)))
	if !e.Compressed || !e.Encrypted || !e.Truncated || e.Suggested != (Version{2, 11}) {
		t.Errorf("%+v", e)
	}
}

func TestEnvelopeRefused(t *testing.T) {
	for _, s := range []string{"", "020b020b00000000010203040000000000000", "020b020b0000000001020304000000000004" + "0001",
		"020b020b00000000010203040000000080000000", "020b020b000000000102030400000000ffffffff"} {
		if len(s)%2 == 1 {
			s = s[:len(s)-1]
		}
		if _, err := DecodeEnvelope(unhex(t, s)); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := DecodeEnvelope(unhex(t, "020b020b0000000001020304000000000004"+"0000")); err != nil {
		t.Errorf("the longest: %v", err)
	}
}

func TestDecodeMessageForms(t *testing.T) {
	whole := vectorMessage(t, "OC_DELETE_HANDLE request")
	e, _ := DecodeEnvelope(whole)
	// Real servers take a message without even the credential's length.
	if m, err := DecodeMessage(e, whole[envelopeSize:len(whole)-4]); err != nil || len(m.Credential) != 0 {
		t.Errorf("without credential: %v", err)
	}
	for n := range len(whole) - 4 - envelopeSize {
		if _, err := DecodeMessage(e, whole[envelopeSize:envelopeSize+n]); !problem.Is(err, problem.BadRequest) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	for n := 1; n < 4; n++ {
		if _, err := DecodeMessage(e, whole[envelopeSize:len(whole)-n]); !problem.Is(err, problem.BadRequest) {
			t.Errorf("with %d bytes of a length: %v", 4-n, err)
		}
	}
}

func TestDigestByVersion(t *testing.T) {
	content := []byte("header and body")
	for _, c := range []struct {
		v    Version
		alg  DigestAlg
		head string
	}{{Version{2, 11}, SHA256, "03"}, {Version{2, 7}, SHA256, "03"}, {Version{2, 6}, SHA1, "02"}, {Version{2, 1}, SHA1, "02"},
		{Version{2, 0}, MD5, "00000010"}} {
		alg := DigestAlgOf(c.v)
		body := append(AppendDigest(nil, c.v, alg, alg.Digest(content)), "rest"...)
		if alg != c.alg || !bytes.HasPrefix(body, unhex(t, c.head)) {
			t.Errorf("%v: %d %x", c.v, alg, body)
		}
		got, digest, rest, err := CutDigest(c.v, body)
		if err != nil || got != alg || !bytes.Equal(digest, alg.Digest(content)) || string(rest) != "rest" {
			t.Errorf("%v: %d %x %q %v", c.v, got, digest, rest, err)
		}
	}
	if _, _, _, err := CutDigest(Latest, []byte{9, 1, 2, 3}); !problem.Is(err, problem.BadRequest) {
		t.Errorf("unknown algorithm: %v", err)
	}
}

func TestChineseResolution(t *testing.T) {
	b := Resolution{Name: "88.111.1/t1", Chinese: true}
	enc := AppendResolution(nil, &b)
	if !bytes.HasSuffix(enc, make([]byte, 12)) {
		t.Fatalf("%x", enc)
	}
	if got, err := DecodeResolution(enc); err != nil || !got.Chinese || len(got.Auth) != 0 {
		t.Fatalf("%+v %v", got, err)
	}
	b.Auth = []byte("token")
	if got, err := DecodeResolution(AppendResolution(nil, &b)); err != nil || string(got.Auth) != "token" {
		t.Fatalf("%+v %v", got, err)
	}
}

func TestSetupForms(t *testing.T) {
	for _, s := range []Setup{
		{Mode: ModeDH, Timeout: 86400, User: record.Ref{Index: 300, Name: "88.111.1/ADMIN"}, Key: []byte("key")},
		{Mode: ModeClientCipher, User: record.Ref{Index: 1<<32 - 1}, Key: []byte{1}},
		{Mode: ModeServerCipher, Timeout: 1},
		{Mode: ModeHandleCipher, KeyRef: record.Ref{Index: 2, Name: "a/b"}},
	} {
		b := AppendSetup(nil, &s)
		for _, form := range [][]byte{b, b[:len(b)-2]} {
			if got, err := DecodeSetup(form); err != nil || !reflect.DeepEqual(got, s) {
				t.Errorf("%+v, %v; want %+v", got, err, s)
			}
		}
	}
	if _, err := DecodeSetup([]byte{0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}); !problem.Is(err, problem.BadSessionSetup) {
		t.Errorf("mode 5: %v", err)
	}
}

// TestMessageRoundTrip: what is written is read back.
func TestMessageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u32 := rapid.Uint32()
		m := &Message{
			Envelope: Envelope{Version: Version{2, rapid.Uint8Range(0, 11).Draw(t, "minor")}, Suggested: Version{rapid.Uint8Range(1, 31).Draw(t, "major"), rapid.Uint8().Draw(t, "sug")},
				Compressed: rapid.Bool().Draw(t, "c"), Encrypted: rapid.Bool().Draw(t, "e"), Truncated: rapid.Bool().Draw(t, "t"),
				Session: u32.Draw(t, "session"), Request: u32.Draw(t, "request"), Sequence: u32.Draw(t, "seq")},
			Header: Header{Op: Op(u32.Draw(t, "op")), Code: Code(u32.Draw(t, "code")), Flags: Flags(u32.Draw(t, "flags")),
				SiteSerial: rapid.Uint16().Draw(t, "serial"), Recursion: rapid.Uint8().Draw(t, "rec"), Expires: u32.Draw(t, "exp")},
			Body:       rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "body"),
			Credential: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "cred"),
		}
		b := AppendMessage(nil, m)
		e, err := DecodeEnvelope(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeMessage(e, b[envelopeSize:])
		if err != nil {
			t.Fatal(err)
		}
		if again := AppendMessage(nil, &Message{Envelope: got.Envelope, Header: got.Header, Body: got.Body, Credential: got.Credential}); !bytes.Equal(again, b) {
			t.Fatalf("%x\n%x", again, b)
		}
	})
}

func TestCodes(t *testing.T) {
	for k := problem.Internal; k <= problem.Canceled; k++ {
		c := CodeOf(k, false)
		if c >= ChannelError || codeNames[c] == "" {
			t.Errorf("%v is told as %d", k, c)
		}
		if got := KindOf(c); CodeOf(got, false) != c {
			t.Errorf("%v → %d → %v → %d", k, c, got, CodeOf(got, false))
		}
	}
	for c := range codeNames {
		if c != Success && c != Failure && KindOf(c) == problem.Internal {
			t.Errorf("%d (%v) has no kind", c, c)
		}
	}
	if CodeOf(problem.Full, true) != RegisterLimit || CodeOf(problem.NotFound, true) != HandleNotFound {
		t.Error("Chinese dialect")
	}
	err := problemOf(NotResponsible, "That prefix doesn't live here")
	if !problem.Is(err, problem.NotHere) || !strings.Contains(err.Error(), "301") {
		t.Error(err)
	}
}

// FuzzMessage: no message makes the decoders panic, and what is read is written back the same.
func FuzzMessage(f *testing.F) {
	for _, l := range vectorSeeds(f) {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEnvelope(b)
		if err != nil {
			return
		}
		m, err := DecodeMessage(e, b[envelopeSize:])
		if err != nil {
			return
		}
		if c := m.Content(); !bytes.Equal(c[:11], b[envelopeSize:envelopeSize+11]) || len(c) != headerSize+len(m.Body) {
			t.Fatalf("content %x of %x", c, b)
		}
		if c, err := DecodeCredential(m.Credential); err == nil {
			if again := AppendCredential(nil, &c); len(again) > len(m.Credential) {
				t.Fatalf("credential %x as %x", m.Credential, again)
			}
		}
		bodies(t, m)
	})
}

// bodies decodes a body as everything that it might be, and checks what comes of it by writing it again.
func bodies(t *testing.T, m *Message) {
	same := func(again []byte, err error) {
		if err == nil && !bytes.HasPrefix(m.Body, again) {
			t.Fatalf("body\n%x\nwritten again\n%x", m.Body, again)
		}
	}
	if r, err := DecodeResolution(m.Body); err == nil {
		same(AppendResolution(nil, &r), nil)
	}
	if name, vs, err := DecodeValues(m.Body); err == nil {
		same(AppendValues(nil, name, vs), nil)
	}
	if name, x, err := DecodeRemoval(m.Body); err == nil {
		same(AppendRemoval(nil, name, x), nil)
	}
	if names, err := DecodeNames(m.Body); err == nil {
		same(AppendNames(nil, names), nil)
	}
	if p, err := DecodeProof(m.Body); err == nil {
		same(AppendProof(nil, &p), nil)
	}
	if v, err := DecodeVerification(m.Body); err == nil {
		same(AppendVerification(nil, &v), nil)
	}
	if s, err := DecodeSetup(m.Body); err == nil {
		b := AppendSetup(nil, &s)
		same(b[:len(b)-2], nil)
	}
	if s, err := DecodeSetupAnswer(m.Body); err == nil {
		b := AppendSetupAnswer(nil, &s)
		same(b[:len(b)-2], nil)
	}
	if u, err := DecodeLogin(m.Body); err == nil {
		same(AppendLogin(nil, u), nil)
	}
	if x, err := DecodeExchange(m.Body); err == nil {
		same(AppendExchange(nil, x), nil)
	}
	if s, err := DecodeError(m.Body); err == nil && len(m.Body) > 0 {
		same(AppendError(nil, s), nil)
	}
	if f, err := DecodeReferral(m.Body, false); err == nil {
		same(AppendReferral(nil, f), nil)
	}
	if c, err := DecodeChallenge(m.Version, m.Body); err == nil {
		same(AppendChallenge(nil, m.Version, &c), nil)
	}
}

// vectorSeeds is every whole message of the shared vectors; none where they are absent.
func vectorSeeds(f *testing.F) [][]byte {
	lines, seeds := vectorLines(f), [][]byte(nil)
	for i, l := range lines {
		if w := strings.Fields(l); len(w) == 2 && w[0] == "envelope" {
			seeds = append(seeds, unhex(f, w[1]+strings.Fields(lines[i+1])[1]+strings.Fields(lines[i+2])[1]))
		}
		if len(l) > 3 && l[0] == 'c' && (l[2] == '<' || l[2] == '>') {
			seeds = append(seeds, unhex(f, strings.Fields(l)[2]))
		}
	}
	return seeds
}
