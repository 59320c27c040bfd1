package record

import (
	"bytes"
	"encoding/base64"
)

// The JWK forms (RFC 7517, RFC 8037) of the keys that have one. DSA and the curve "SM2" are not registered names: the
// first is what Handle.Net writes, the second ours.
//
//	{"kty":"RSA","n":…,"e":…}  {"kty":"DSA","p":…,"q":…,"g":…,"y":…}
//	{"kty":"OKP","crv":"Ed25519","x":…}  {"kty":"EC","crv":"P-256","x":…,"y":…}  {"kty":"EC","crv":"SM2","x":…,"y":…}

// AppendJWK appends the JWK of a key. ok is false, and dst as it was, when it has none.
func AppendJWK(dst []byte, k KeyData) (out []byte, ok bool) {
	start := len(dst)
	if dst, ok = appendJWKData(dst, AppendKey(nil, k)); !ok {
		return dst[:start], false
	}
	return dst, true
}

// appendJWKData writes the JWK of a key in HS_PUBKEY form, and reports whether reading it back gives data again.
func appendJWKData(dst, data []byte) ([]byte, bool) {
	r := cursor{b: data}
	typ := r.bytes()
	flags := r.u16()
	if r.bad || flags != 0 {
		return dst, false
	}
	switch string(typ) {
	case KeyRSA:
		e, n := r.integer(), r.integer()
		pad := r.u32()
		if r.bad || pad != 0 || r.i != len(data) {
			return dst, false
		}
		dst = append(dst, `{"kty":"RSA","n":"`...)
		dst = base64.RawURLEncoding.AppendEncode(dst, n)
		dst = append(dst, `","e":"`...)
		dst = base64.RawURLEncoding.AppendEncode(dst, e)
	case KeyDSA:
		q, p, g, y := r.integer(), r.integer(), r.integer(), r.integer()
		if r.bad || r.i != len(data) {
			return dst, false
		}
		dst = append(dst, `{"kty":"DSA","p":"`...)
		dst = base64.RawURLEncoding.AppendEncode(dst, p)
		dst = append(dst, `","q":"`...)
		dst = base64.RawURLEncoding.AppendEncode(dst, q)
		dst = append(dst, `","g":"`...)
		dst = base64.RawURLEncoding.AppendEncode(dst, g)
		dst = append(dst, `","y":"`...)
		dst = base64.RawURLEncoding.AppendEncode(dst, y)
	case KeyEd25519:
		x := r.bytes()
		if r.bad || r.i != len(data) || len(x) != 32 {
			return dst, false
		}
		dst = append(dst, `{"kty":"OKP","crv":"Ed25519","x":"`...)
		dst = base64.RawURLEncoding.AppendEncode(dst, x)
	case KeyEC:
		curve, point := r.bytes(), r.bytes()
		n := coordinate(string(curve))
		if r.bad || r.i != len(data) || n == 0 || len(point) != 1+2*n || point[0] != 4 {
			return dst, false
		}
		dst = appendECJWK(dst, curve, point[1:])
	case KeySM2:
		var room [sm2DERLen]byte
		point := sm2Point(&room, data[r.i:])
		if point == nil {
			return dst, false
		}
		dst = appendECJWK(dst, []byte("SM2"), point)
	default:
		return dst, false
	}
	return append(dst, '"', '}'), true
}

func appendECJWK(dst, curve, xy []byte) []byte {
	dst = append(dst, `{"kty":"EC","crv":"`...)
	dst = append(dst, curve...)
	dst = append(dst, `","x":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, xy[:len(xy)/2])
	dst = append(dst, `","y":"`...)
	return base64.RawURLEncoding.AppendEncode(dst, xy[len(xy)/2:])
}

// integer is the magnitude of an integer field; it must be written in the one way that appendInteger writes it.
func (r *cursor) integer() []byte {
	p := r.bytes()
	switch {
	case r.bad:
		return nil
	case len(p) == 0 || p[0] >= 0x80 || p[0] == 0 && (len(p) == 1 || p[1] < 0x80):
		r.bad = true
		return nil
	case p[0] == 0:
		return p[1:]
	}
	return p
}

// coordinate is how many bytes a coordinate of the curve takes; 0 for a curve that is not known.
func coordinate(curve string) int {
	switch curve {
	case "P-256":
		return 32
	case "P-384":
		return 48
	case "P-521":
		return 66
	}
	return 0
}

// sm2Head is the DER of an X.509 SubjectPublicKeyInfo for the curve SM2 (GM/T 0009), up to the coordinates.
const (
	sm2Head = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x81\x1c\xcf\x55\x01\x82\x2d\x03\x42\x00\x04"
	pemHead = "-----BEGIN PUBLIC KEY-----\n"
	pemTail = "-----END PUBLIC KEY-----\n"

	sm2DERLen    = len(sm2Head) + 64
	sm2PEMLine   = 64
	sm2Base64Len = (sm2DERLen + 2) / 3 * 4
)

// sm2PEM is the PEM text of an SM2 key as every writer writes it: lines of 64, each ended.
func sm2PEM(xy []byte) []byte {
	text := base64.StdEncoding.EncodeToString(append([]byte(sm2Head), xy...))
	out := append([]byte(pemHead), text[:sm2PEMLine]...)
	out = append(out, '\n')
	out = append(out, text[sm2PEMLine:]...)
	out = append(out, '\n')
	return append(out, pemTail...)
}

// sm2Point is the two coordinates in text, decoded into room, if text is just what sm2PEM writes.
func sm2Point(room *[sm2DERLen]byte, text []byte) []byte {
	const n = len(pemHead) + sm2Base64Len + 2 + len(pemTail)
	if len(text) != n || string(text[:len(pemHead)]) != pemHead || string(text[n-len(pemTail):]) != pemTail {
		return nil
	}
	body := text[len(pemHead) : n-len(pemTail)]
	if body[sm2PEMLine] != '\n' || body[len(body)-1] != '\n' {
		return nil
	}
	var flat [sm2Base64Len]byte
	copy(flat[:], body[:sm2PEMLine])
	copy(flat[sm2PEMLine:], body[sm2PEMLine+1:len(body)-1])
	var der [sm2Base64Len]byte
	got, err := base64.StdEncoding.Strict().Decode(der[:], flat[:])
	if err != nil || got != sm2DERLen || string(der[:len(sm2Head)]) != sm2Head {
		return nil
	}
	copy(room[:], der[:sm2DERLen])
	return room[len(sm2Head):]
}

// ParseJWK reads a JWK into the form that AppendKey writes. Members that say nothing of the public key are ignored, a
// private key among them is refused. The error is of kind problem.BadValue.
func ParseJWK(b []byte) (KeyData, error) {
	r := NewJSONReader(b)
	k := r.jwk()
	r.End()
	return k, r.Err()
}

// jwk reads a JWK.
func (r *JSONReader) jwk() KeyData {
	m := map[string]string{}
	r.Object(func(name string) {
		switch name {
		case "kty", "crv", "n", "e", "p", "q", "g", "y", "x":
			m[name] = r.String()
		case "d":
			r.Fail("the JWK holds a private key; publish the public part only, and change this key",
				"JWK 中含有私钥；只应公布公钥部分，并更换该密钥")
		default:
			r.Skip()
		}
	})
	if r.err != nil {
		return KeyData{}
	}
	get := func(name string) []byte {
		v, err := unbase64(m[name])
		if err != nil || len(v) == 0 {
			r.Fail("the JWK has no good member %q", "JWK 缺少合格的成员 %q", name)
		}
		return v
	}
	integer := func(name string) []byte { return bytes.TrimLeft(get(name), "\x00") }
	var k KeyData
	switch m["kty"] {
	case "RSA":
		k = KeyData{Type: KeyRSA, Fields: [][]byte{integer("e"), integer("n")}}
	case "DSA":
		k = KeyData{Type: KeyDSA, Fields: [][]byte{integer("q"), integer("p"), integer("g"), integer("y")}}
	case "OKP":
		k = KeyData{Type: KeyEd25519, Fields: [][]byte{get("x")}}
		if m["crv"] != "Ed25519" || len(k.Fields[0]) != 32 {
			r.Fail("the JWK is no Ed25519 key; of type OKP only those are known", "JWK 不是 Ed25519 密钥；OKP 类型只支持 Ed25519")
		}
	case "EC":
		x, y := get("x"), get("y")
		n := coordinate(m["crv"])
		if m["crv"] == "SM2" {
			n = 32
		}
		if n == 0 || len(x) != n || len(y) != n {
			r.Fail("the JWK's curve %q is not known, or its coordinates have the wrong length", "JWK 的曲线 %q 未知，或坐标长度不对", m["crv"])
			return KeyData{}
		}
		if m["crv"] == "SM2" {
			k = KeyData{Type: KeySM2, Fields: [][]byte{sm2PEM(append(x, y...))}}
		} else {
			k = KeyData{Type: KeyEC, Fields: [][]byte{[]byte(m["crv"]), append(append([]byte{4}, x...), y...)}}
		}
	default:
		r.Fail("the JWK's type %q is not known; RSA, DSA, EC and OKP are", "JWK 的类型 %q 未知；支持 RSA、DSA、EC 和 OKP", m["kty"])
	}
	if r.err != nil {
		return KeyData{}
	}
	return k
}
