package rest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// SignatureHeader carries the signature of a message to a subscriber.
const SignatureHeader = "GS1-Signature"

// ReplayWindow is how old or early a message's time may be when a subscriber checks it. Every attempt to send is signed anew.
const ReplayWindow = 5 * time.Minute

// Sign makes the value of GS1-Signature for a message:
//
//	t=SECONDS,v1=HEX
//
// where SECONDS is the time of sending, in seconds since 1970, and HEX the HMAC-SHA256, under the subscription's signatureToken, of SECONDS as it stands
// there, a full stop, and the body.
func Sign(token string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(signature(token, t, body))
}

func signature(token, t string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(token))
	h.Write([]byte(t))
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(nil)
}

// Verify checks a message as a subscriber should: that the signature is of this body under this token, and the time within the window of now (0: ReplayWindow).
// It compares in constant time. Errors: problem.BadCredential for a header that is none, problem.AuthFailed for one that does not hold, problem.AuthTimeout
// for one of another time.
func Verify(token, header string, body []byte, now time.Time, window time.Duration) error {
	var t, mac string
	for part := range strings.SplitSeq(header, ",") {
		switch k, v, _ := strings.Cut(strings.TrimSpace(part), "="); k {
		case "t":
			t = v
		case "v1":
			mac = v
		}
	}
	seconds, err := strconv.ParseInt(t, 10, 64)
	given, err2 := hex.DecodeString(mac)
	if err != nil || err2 != nil || len(given) != sha256.Size {
		return problem.New(problem.BadCredential, "the header GS1-Signature is not t=SECONDS,v1=HEX: the message does not come from the repository",
			"标头 GS1-Signature 不是 t=秒数,v1=十六进制 的形式：该消息并非来自存储库")
	}
	if !hmac.Equal(given, signature(token, t, body)) {
		return problem.New(problem.AuthFailed, "the signature is not of this body under this token: refuse the message", "签名与该正文及令牌不符：请拒绝该消息")
	}
	if window <= 0 {
		window = ReplayWindow
	}
	if d := now.Sub(time.Unix(seconds, 0)); d > window || d < -window {
		return problem.New(problem.AuthTimeout, "the message was signed %v ago, beyond %v: refuse it, and set the clocks of both sides", "该消息签署于 %v 之前，超出 %v：请拒绝，并校准双方时钟", d, window)
	}
	return nil
}
