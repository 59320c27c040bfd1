package trust

import (
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// splitDER reads SEQUENCE { INTEGER r, INTEGER s }, both above zero, with nothing behind.
func splitDER(sig []byte) (r, s *big.Int, ok bool) {
	in := cryptobyte.String(sig)
	var seq cryptobyte.String
	r, s = new(big.Int), new(big.Int)
	if len(sig) > 1024 || !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() ||
		!seq.ReadASN1Integer(r) || !seq.ReadASN1Integer(s) || !seq.Empty() ||
		r.Sign() <= 0 || s.Sign() <= 0 {
		return nil, nil, false
	}
	return r, s, true
}

// rawFromDER turns the DER form of an elliptic-curve signature into r and s of 32 bytes each, as JWS has it.
func rawFromDER(sig []byte) ([]byte, bool) {
	r, s, ok := splitDER(sig)
	if !ok || r.BitLen() > 256 || s.BitLen() > 256 {
		return nil, false
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out, true
}

// derFromRaw is the way back.
func derFromRaw(sig []byte) ([]byte, bool) {
	if len(sig) != 64 {
		return nil, false
	}
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	out, err := b.Bytes()
	return out, err == nil
}
