package account

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// One-time codes by the clock (RFC 6238) as every authenticator program shows them: HMAC-SHA-1, six digits, 30 seconds.
const (
	totpStep   = 30
	totpSecret = 20 // bytes
	totpSkew   = 1  // steps that clocks may differ
	recoveries = 10
)

// totpAt is the code of one step.
func totpAt(secret []byte, step int64) string {
	m := hmac.New(sha1.New, secret)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	h := m.Sum(nil)
	at := h[len(h)-1] & 0xf
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(h[at:])&0x7fffffff)%1_000_000)
}

// totpMatch is the step whose code it is, none at or before last: a code is taken once.
func totpMatch(secret []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	at := now.Unix() / totpStep
	for s := at - totpSkew; s <= at+totpSkew; s++ {
		if subtle.ConstantTimeCompare([]byte(totpAt(secret, s)), []byte(code)) == 1 && s > last {
			step, ok = s, true
		}
	}
	return step, ok
}

// totpURI is what an authenticator program reads from a picture.
func totpURI(secret []byte, issuer, account string) string {
	v := url.Values{"secret": {base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	return "otpauth://totp/" + url.PathEscape(issuer+":"+account) + "?" + strings.ReplaceAll(v.Encode(), "+", "%20")
}
