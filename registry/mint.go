package registry

import (
	"io"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
)

// minted is the alphabet of made-up suffixes: digits and letters without those that are mistaken for digits or for each
// other when somebody reads them aloud or types them off a label (I, L, O, U).
const minted = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// mint makes up an identifier: 26 characters, 128 bits of randomness, behind v. Nobody can guess the next one, and two
// nodes never make up the same.
func (r *Registry) mint(v id.ID) (id.ID, error) {
	var raw [16]byte
	r.randMu.Lock()
	_, err := io.ReadFull(r.cfg.Rand, raw[:])
	r.randMu.Unlock()
	if err != nil {
		return id.ID{}, problem.Wrap(err, problem.Internal, "there is no randomness to make up an identifier from", "没有可用的随机数来生成标识")
	}
	name := v.String()
	if v.IsPrefix() {
		name += "/"
	}
	var out [26]byte
	var bits, n uint
	at := 0
	for i := range out {
		for n < 5 && at < len(raw) {
			bits, n, at = bits<<8|uint(raw[at]), n+8, at+1
		}
		if n < 5 { // the last character carries the three bits that are left
			bits, n = bits<<(5-n), 5
		}
		n -= 5
		out[i] = minted[bits>>n&31]
		bits &= 1<<n - 1
	}
	return id.ParseHandle(name + string(out[:]))
}
