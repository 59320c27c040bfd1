package record

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
)

// Names of key forms, as HS_PUBKEY begins with them.
const (
	KeyRSA     = "RSA_PUB_KEY"     // fields e, n
	KeyDSA     = "DSA_PUB_KEY"     // fields q, p, g, y
	KeyDH      = "DH_PUB_KEY"      // fields y, p, g
	KeySM2     = "SM2_PUB_KEY"     // field: the key as X.509 PEM text
	KeyEd25519 = "ED25519_PUB_KEY" // field: 32 bytes
	KeyEC      = "EC_PUB_KEY"      // fields: curve name ("P-256"), uncompressed point
	KeyPEM     = "PEM"             // field: the whole data, which is X.509 PEM text without a type name before it
)

// KeyData is a public key taken apart, as HS_PUBKEY and the servers of HS_SITE hold it:
//
//	str type | u16 flags | fields
//
// Integers are fields of u32 length and two's complement; here they stand as magnitudes without leading zeros. Behind
// an RSA key deployed writers put four zero bytes, which signatures cover. SM2_PUB_KEY has PEM text behind the flags,
// without a length. A type that is not known here gives one field: everything behind the flags.
type KeyData struct {
	Type   string
	Flags  uint16
	Fields [][]byte
}

// integers says how many integers each type of key has.
var integers = map[string]int{KeyRSA: 2, KeyDSA: 4, KeyDH: 3}

// AppendKey appends the binary form. It appends nothing for a KeyData without the fields of its type.
func AppendKey(dst []byte, k KeyData) []byte {
	want := 1
	if n := integers[k.Type]; n > 0 {
		want = n
	} else if k.Type == KeyEC {
		want = 2
	}
	if len(k.Fields) != want {
		return dst
	}
	if k.Type == KeyPEM {
		return append(dst, k.Fields[0]...)
	}
	dst = AppendString(dst, k.Type)
	dst = binary.BigEndian.AppendUint16(dst, k.Flags)
	switch k.Type {
	case KeyRSA, KeyDSA, KeyDH:
		for _, f := range k.Fields {
			dst = appendInteger(dst, f)
		}
		if k.Type == KeyRSA {
			dst = append(dst, 0, 0, 0, 0)
		}
	case KeyEd25519, KeyEC:
		for _, f := range k.Fields {
			dst = AppendString(dst, f)
		}
	default:
		dst = append(dst, k.Fields[0]...)
	}
	return dst
}

// appendInteger writes a magnitude so that it reads as positive.
func appendInteger(dst, m []byte) []byte {
	m = bytes.TrimLeft(m, "\x00")
	if len(m) == 0 || m[0] >= 0x80 {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(m)+1))
		dst = append(dst, 0)
		return append(dst, m...)
	}
	return AppendString(dst, m)
}

// DecodeKey reads the binary form, or X.509 PEM text. The error is of kind problem.BadValue. That the numbers make a
// key is for trust to find out.
func DecodeKey(b []byte) (KeyData, error) {
	if bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("-----BEGIN ")) {
		if block, _ := pem.Decode(b); block == nil {
			r := NewReader(b)
			r.Fail("the PEM text is damaged", "PEM 文本已损坏")
			return KeyData{}, malformed(r.Err(), TypePubKey)
		}
		return KeyData{Type: KeyPEM, Fields: [][]byte{bytes.Clone(b)}}, nil
	}
	r := NewReader(b)
	k := KeyData{Type: r.String(64), Flags: r.U16()}
	if r.Err() == nil && (k.Type == "" || k.Type == KeyPEM) {
		r.Fail("the key has no type name", "密钥没有类型名")
	}
	switch k.Type {
	case KeyRSA, KeyDSA, KeyDH:
		for range integers[k.Type] {
			k.Fields = append(k.Fields, bytes.Clone(bytes.TrimLeft(r.Bytes(MaxData), "\x00")))
		}
		if rest := r.Rest(); len(bytes.Trim(rest, "\x00")) != 0 || len(rest) > 8 {
			r.Fail("%d bytes too many", "多出 %d 字节", len(rest))
		}
	case KeyEd25519, KeyEC:
		if k.Type == KeyEC {
			k.Fields = append(k.Fields, []byte(r.String(64)))
		}
		k.Fields = append(k.Fields, bytes.Clone(r.Bytes(MaxData)))
		if r.Len() > 0 {
			r.Fail("%d bytes too many", "多出 %d 字节", r.Len())
		}
	case KeySM2:
		rest := r.Rest()
		// Some writers put a length before the text.
		if len(rest) >= 4 && binary.BigEndian.Uint32(rest) == uint32(len(rest)-4) {
			rest = rest[4:]
		}
		k.Fields = [][]byte{bytes.Clone(rest)}
	default:
		k.Fields = [][]byte{bytes.Clone(r.Rest())}
	}
	if r.Err() != nil {
		return KeyData{}, malformed(r.Err(), TypePubKey)
	}
	return k, nil
}
