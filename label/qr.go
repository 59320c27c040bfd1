package label

import (
	"strconv"
	"strings"

	"github.com/boombuler/barcode/qr"

	"github.com/fujie-id/fujie/problem"
)

var qrLevels = map[string]qr.ErrorCorrectionLevel{"L": qr.L, "M": qr.M, "Q": qr.Q, "H": qr.H}

// encodeQR makes a QR code of model 2: digits, capitals or bytes, whichever is shortest for the whole text.
func encodeQR(data string, o Options) (*Symbol, error) {
	name := strings.ToUpper(o.Level)
	if name == "" {
		name = "M"
	}
	level, ok := qrLevels[name]
	if !ok {
		return nil, problem.New(problem.BadValue, "%.20q is no level of error correction of QR: choose L (7 %%), M (15 %%), Q (25 %%) or H (30 %%)", "%.20q 不是 QR 纠错等级：可选 L（7%%）、M（15%%）、Q（25%%）或 H（30%%）", o.Level)
	}
	code, err := qr.Encode(data, level, qr.Auto)
	if err != nil {
		return nil, tooLong(QR, data, qrCapacity(data, name))
	}
	n := code.Bounds().Dx()
	s := newSymbol(QR, n, n, 1, 4)
	s.Level, s.Version = name, strconv.Itoa((n-17)/4)
	for y := range n {
		for x := range n {
			r, _, _, _ := code.At(x, y).RGBA()
			s.set(x, y, r == 0)
		}
	}
	return s, nil
}

// qrCapacity is how many characters of the data's kind the largest QR code takes (ISO/IEC 18004, table 7, version 40).
func qrCapacity(data, level string) int {
	at := strings.Index("LMQH", level)
	switch qrMode(data) {
	case "numeric":
		return [...]int{7089, 5596, 3993, 3057}[at]
	case "alphanumeric":
		return [...]int{4296, 3391, 2420, 1852}[at]
	}
	return [...]int{2953, 2331, 1663, 1273}[at]
}

func qrMode(data string) string {
	mode := "numeric"
	for _, c := range []byte(data) {
		switch {
		case c >= '0' && c <= '9':
		case c >= 'A' && c <= 'Z', strings.IndexByte(" $%*+-./:", c) >= 0:
			mode = "alphanumeric"
		default:
			return "byte"
		}
	}
	return mode
}
