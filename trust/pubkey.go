package trust

import (
	"bytes"
	//lint:ignore SA1019 deployed Handle servers have DSA keys; signatures by them are checked, none is made.
	"crypto/dsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/pem"
	"math/big"

	"github.com/emmansun/gmsm/smx509"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	encasn1 "encoding/asn1"
)

// appendPublic appends the HS_PUBKEY form that this room writes.
func appendPublic(dst []byte, p PublicKey) []byte {
	var d record.KeyData
	switch k := p.key.(type) {
	case *rsa.PublicKey:
		d = record.KeyData{Type: record.KeyRSA, Fields: [][]byte{big.NewInt(int64(k.E)).Bytes(), k.N.Bytes()}}
	case *dsa.PublicKey:
		d = record.KeyData{Type: record.KeyDSA, Fields: [][]byte{k.Q.Bytes(), k.P.Bytes(), k.G.Bytes(), k.Y.Bytes()}}
	default:
		switch p.alg {
		case Ed25519:
			d = record.KeyData{Type: record.KeyEd25519, Fields: [][]byte{p.raw}}
		case P256:
			d = record.KeyData{Type: record.KeyEC, Fields: [][]byte{[]byte("P-256"), p.raw}}
		case SM2:
			d = record.KeyData{Type: record.KeySM2, Fields: [][]byte{p.MarshalPEM()}}
		}
	}
	return record.AppendKey(dst, d)
}

// ParsePublic reads the data of an HS_PUBKEY value: Handle's binary form of any type in the package's table, or X.509
// PEM text as Teleinfo's software writes it. Data gives the same bytes back. The error is of kind problem.BadValue.
func ParsePublic(data []byte) (PublicKey, error) {
	if len(data) > MaxKeyLen {
		return PublicKey{}, badKey(nil, "the public key takes %d bytes, over the limit of %d", "公钥有 %d 字节，超过上限 %d", len(data), MaxKeyLen)
	}
	d, err := record.DecodeKey(data)
	if err != nil {
		return PublicKey{}, err
	}
	p, err := FromKeyData(d)
	if err != nil {
		return PublicKey{}, err
	}
	p.data = bytes.Clone(data)
	return p, nil
}

// FromKeyData makes a key from its parts. The error is of kind problem.BadValue.
func FromKeyData(d record.KeyData) (PublicKey, error) {
	fields := 1
	switch d.Type {
	case record.KeyRSA, record.KeyEC:
		fields = 2
	case record.KeyDSA:
		fields = 4
	}
	if len(d.Fields) != fields {
		return PublicKey{}, badKey(nil, "a key of type %s has %d fields, this one has %d", "%s 密钥应有 %d 个字段，此处有 %d 个", clip(d.Type), fields, len(d.Fields))
	}
	switch d.Type {
	case record.KeyRSA:
		return rsaPublic(d.Fields[1], d.Fields[0])
	case record.KeyDSA:
		return dsaPublic(d.Fields[0], d.Fields[1], d.Fields[2], d.Fields[3])
	case record.KeyEd25519:
		return newPublic(ed25519.PublicKey(d.Fields[0]))
	case record.KeyEC:
		switch c := string(d.Fields[0]); c {
		case "P-256":
			return publicPoint(P256, d.Fields[1])
		case "SM2":
			return publicPoint(SM2, d.Fields[1])
		default:
			return PublicKey{}, badKey(nil, "the curve %q is not used here; take P-256 or SM2", "此处不使用曲线 %q；请用 P-256 或 SM2", clip(c))
		}
	case record.KeySM2:
		p, err := parseSM2Payload(d.Fields[0])
		if err == nil && p.alg != SM2 {
			err = badKey(nil, "an SM2_PUB_KEY holds a key of kind %s", "SM2_PUB_KEY 中的密钥种类为 %s", p.alg)
		}
		return p, err
	case record.KeyPEM:
		return ParsePublicPEM(d.Fields[0])
	}
	return PublicKey{}, problem.New(problem.BadValue,
		"a key of type %q is not used here for signatures; register an Ed25519, P-256, SM2, RSA or DSA key",
		"此处不使用 %q 类密钥签名；请登记 Ed25519、P-256、SM2、RSA 或 DSA 密钥", clip(d.Type))
}

// parseSM2Payload reads what SM2_PUB_KEY holds: PEM text; some writers leave the armour out and have DER or the point.
func parseSM2Payload(b []byte) (PublicKey, error) {
	switch {
	case len(b) == 65 && b[0] == 4:
		return publicPoint(SM2, b)
	case len(b) > 2 && b[0] == 0x30:
		return parseSPKI(b)
	}
	return ParsePublicPEM(b)
}

func rsaPublic(n, e []byte) (PublicKey, error) {
	if len(n) > MaxRSA/8+8 || len(e) > 8 {
		return PublicKey{}, badKey(nil, "the RSA public key is too large; take %d to %d bits", "RSA 公钥过大；应为 %d 至 %d 位", MinRSA, MaxRSA)
	}
	exp := new(big.Int).SetBytes(e)
	if !exp.IsInt64() || exp.Int64() > 1<<31-1 {
		return PublicKey{}, badKey(nil, "the exponent of the RSA public key is too large", "RSA 公钥的指数过大")
	}
	return newPublic(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exp.Int64())})
}

func dsaPublic(q, p, g, y []byte) (PublicKey, error) {
	if max(len(q), len(p), len(g), len(y)) > MaxDSA/8+8 {
		return PublicKey{}, badKey(nil, "the DSA public key is too large; take %d to %d bits", "DSA 公钥过大；应为 %d 至 %d 位", MinDSA, MaxDSA)
	}
	k := &dsa.PublicKey{Y: new(big.Int).SetBytes(y)}
	k.Q, k.P, k.G = new(big.Int).SetBytes(q), new(big.Int).SetBytes(p), new(big.Int).SetBytes(g)
	return newPublic(k)
}

var oidDSA = encasn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}

// spki is the key as an X.509 SubjectPublicKeyInfo in DER.
func (p PublicKey) spki() []byte {
	if k, ok := p.key.(*dsa.PublicKey); ok {
		// The standard library reads this form of a DSA key but does not write it (RFC 3279 §2.3.2).
		var y cryptobyte.Builder
		y.AddASN1BigInt(k.Y)
		var b cryptobyte.Builder
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidDSA)
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1BigInt(k.P)
					b.AddASN1BigInt(k.Q)
					b.AddASN1BigInt(k.G)
				})
			})
			b.AddASN1BitString(y.BytesOrPanic())
		})
		return b.BytesOrPanic()
	}
	der, err := smx509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		return nil // a key that newPublic took always has this form; the zero key has none
	}
	return der
}

func parseSPKI(der []byte) (PublicKey, error) {
	key, err := smx509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, badKey(err, "this is no X.509 public key", "这不是 X.509 公钥")
	}
	return newPublic(key)
}

// MarshalPEM is the key as X.509 PEM text ("PUBLIC KEY"), with the SM2 curve named by its own identifier
// 1.2.156.10197.1.301.
func (p PublicKey) MarshalPEM() []byte {
	if p.IsZero() {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.spki()})
}

// ParsePublicPEM reads a public key from PEM text: PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE (its key). The first block
// of one of these types counts. The error is of kind problem.BadValue.
func ParsePublicPEM(text []byte) (PublicKey, error) {
	if len(text) > MaxKeyLen {
		return PublicKey{}, badKey(nil, "the key text takes %d bytes, over the limit of %d", "密钥文本有 %d 字节，超过上限 %d", len(text), MaxKeyLen)
	}
	seen := ""
	for rest := text; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		switch block.Type {
		case "PUBLIC KEY":
			return parseSPKI(block.Bytes)
		case "RSA PUBLIC KEY":
			k, err := smx509.ParsePKCS1PublicKey(block.Bytes)
			if err != nil {
				return PublicKey{}, badKey(err, "the RSA PUBLIC KEY block is damaged", "RSA PUBLIC KEY 文本块已损坏")
			}
			return newPublic(k)
		case "CERTIFICATE":
			c, err := smx509.ParseCertificate(block.Bytes)
			if err != nil {
				return PublicKey{}, badKey(err, "the CERTIFICATE block is damaged", "CERTIFICATE 文本块已损坏")
			}
			return newPublic(c.PublicKey)
		}
		seen = block.Type
	}
	if seen != "" {
		return PublicKey{}, badKey(nil, "the PEM text holds a %s where a PUBLIC KEY is wanted", "PEM 文本中是 %s，此处需要 PUBLIC KEY", clip(seen))
	}
	return PublicKey{}, badKey(nil, "this is no PEM text with a PUBLIC KEY block", "这不是含有 PUBLIC KEY 文本块的 PEM 文本")
}
