package record

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
)

// The JSON form of values is the one of Handle.Net 9's HTTP interface (handle-protocol §3.2):
//
//	{"index":1,"type":"URL","data":{"format":"string","value":"http://a"},"permissions":"1100","ttl":86400,
//	 "timestamp":"2026-11-22T15:10:27Z","references":[{"handle":"88.1/a","index":1}]}
//
// permissions stand only when they are not 1110 (of secret keys always, since for those the reader takes less for
// granted), ttl is a time when it is absolute, timestamp is left out when it is 0
// and references when there are none. data.format is admin, vlist, site or key where the bytes are exactly what reading
// that form back gives; else string for UTF-8 text, else base64. So nothing is lost between the two forms.

// AppendValueJSON appends the JSON form of v.
func AppendValueJSON(dst []byte, v *Value) []byte {
	dst = appendHead(dst, v.Index, v.Type, v.Data)
	dst = appendTail(dst, v.Perm, v.Perm != DefaultPerm || fold(v.Type, TypeSecKey), v.TTL, v.Timestamp)
	if len(v.Refs) > 0 {
		dst = append(dst, `,"references":`...)
		dst = append(dst, '[')
		for i, r := range v.Refs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendRefJSON(dst, r.Name, r.Index)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// AppendValuesJSON appends a JSON array of values.
func AppendValuesJSON(dst []byte, vs []Value) []byte {
	dst = append(dst, '[')
	for i := range vs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendValueJSON(dst, &vs[i])
	}
	return append(dst, ']')
}

// AppendBlockJSON appends the JSON array of the values in a value block, straight from its bytes: what
// AppendValuesJSON gives for the decoded values, without decoding them. Nothing is allocated when dst has room. What
// stands behind the block is ignored. The error, of kind problem.BadRequest, means that dst is returned as it was.
func AppendBlockJSON(dst, block []byte) ([]byte, error) {
	start := len(dst)
	r := cursor{b: block}
	n := r.u32()
	dst = append(dst, '[')
	for i := uint32(0); i < n; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst = r.appendValueJSON(dst); r.bad {
			break
		}
	}
	if r.bad {
		_, _, err := DecodeBlock(block)
		if err == nil { // the cursor is no stricter than the Reader, except that it takes more values
			err = problem.New(problem.BadRequest, "the value block is malformed", "值块格式错误")
		}
		return dst[:start], err
	}
	return append(dst, ']'), nil
}

func (r *cursor) appendValueJSON(dst []byte) []byte {
	index, timestamp, ttlType, ttl, perm := r.u32(), r.u32(), r.u8(), r.u32(), Perm(r.u8())
	typ, data := r.bytes(), r.bytes()
	n := r.u32()
	if r.bad || ttlType > 1 {
		r.bad = true
		return dst
	}
	dst = appendHead(dst, index, typ, data)
	dst = appendTail(dst, perm, perm != DefaultPerm || fold(typ, TypeSecKey), TTL{ttlType == 1, ttl}, timestamp)
	if n > 0 {
		dst = append(dst, `,"references":`...)
		dst = r.appendRefsJSON(dst, n)
	}
	return append(dst, '}')
}

func (r *cursor) appendRefsJSON(dst []byte, n uint32) []byte {
	dst = append(dst, '[')
	for i := uint32(0); i < n && !r.bad; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		name := r.bytes()
		dst = appendRefJSON(dst, name, r.u32())
	}
	return append(dst, ']')
}

func appendHead[T string | []byte](dst []byte, index uint32, typ T, data []byte) []byte {
	dst = append(dst, `{"index":`...)
	dst = appendUint(dst, uint64(index))
	dst = append(dst, `,"type":`...)
	dst = AppendJSONString(dst, typ)
	dst = append(dst, `,"data":`...)
	return appendData(dst, typ, data)
}

func appendTail(dst []byte, perm Perm, say bool, ttl TTL, timestamp uint32) []byte {
	if say {
		dst = append(dst, `,"permissions":"`...)
		for bit := AdminRead; bit > 0; bit >>= 1 {
			if perm&bit != 0 {
				dst = append(dst, '1')
			} else {
				dst = append(dst, '0')
			}
		}
		dst = append(dst, '"')
	}
	dst = append(dst, `,"ttl":`...)
	if ttl.Absolute {
		dst = appendTime(dst, ttl.Seconds)
	} else {
		dst = appendUint(dst, uint64(ttl.Seconds))
	}
	if timestamp != 0 {
		dst = append(dst, `,"timestamp":`...)
		dst = appendTime(dst, timestamp)
	}
	return dst
}

func appendRefJSON[T string | []byte](dst []byte, name T, index uint32) []byte {
	dst = append(dst, `{"handle":`...)
	dst = AppendJSONString(dst, name)
	dst = append(dst, `,"index":`...)
	dst = appendUint(dst, uint64(index))
	return append(dst, '}')
}

// appendData writes the data object in the most telling format that loses nothing.
func appendData[T string | []byte](dst []byte, typ T, data []byte) []byte {
	start := len(dst)
	if len(typ) > 3 && typ[2] == '_' && upper(typ[0]) == 'H' && upper(typ[1]) == 'S' {
		ok := false
		switch {
		case fold(typ, TypeAdmin):
			dst, ok = appendAdminData(dst, data)
		case fold(typ, TypeVList):
			dst, ok = appendVListData(dst, data)
		case fold(typ, TypeSite), fold(typ, TypeSite6), fold(typ, TypeSitePrefix), fold(typ, TypeDelegate):
			dst = append(dst, `{"format":"site","value":`...)
			dst, ok = appendSiteJSON(dst, data)
		case fold(typ, TypePubKey):
			dst, ok = appendKeyData(dst, data)
			if !ok {
				dst = dst[:start]
				return appendPlain(dst, data)
			}
			return dst
		}
		if ok {
			return append(dst, '}')
		}
		dst = dst[:start]
	}
	return appendPlain(dst, data)
}

func appendPlain(dst, data []byte) []byte {
	if isText(data) {
		dst = append(dst, `{"format":"string","value":`...)
		dst = AppendJSONString(dst, data)
		return append(dst, '}')
	}
	dst = append(dst, `{"format":"base64","value":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, data)
	return append(dst, '"', '}')
}

func appendAdminData(dst, data []byte) ([]byte, bool) {
	r := cursor{b: data}
	perms := AdminPerm(r.u16())
	name, index := r.bytes(), r.u32()
	// What old writers put behind it, two zero bytes, is the one thing that may get lost.
	rest := len(r.b) - r.i
	if r.bad || !utf8.Valid(name) || rest != 0 && (rest != 2 || r.u16() != 0) {
		return dst, false
	}
	dst = append(dst, `{"format":"admin","value":{"handle":`...)
	dst = AppendJSONString(dst, name)
	dst = append(dst, `,"index":`...)
	dst = appendUint(dst, uint64(index))
	dst = append(dst, `,"permissions":"`...)
	dst = perms.append(dst)
	return append(dst, '"', '}'), true
}

func appendVListData(dst, data []byte) ([]byte, bool) {
	r := cursor{b: data}
	n := r.u32()
	for i := uint32(0); i < n && !r.bad; i++ {
		if !utf8.Valid(r.bytes()) {
			r.bad = true
		}
		r.u32()
	}
	if r.bad || r.i != len(data) {
		return dst, false
	}
	dst = append(dst, `{"format":"vlist","value":`...)
	r = cursor{b: data, i: 4}
	return r.appendRefsJSON(dst, n), true
}

func appendKeyData(dst, data []byte) ([]byte, bool) {
	dst = append(dst, `{"format":"key","value":`...)
	dst, ok := appendJWKData(dst, data)
	return append(dst, '}'), ok
}

// AppendSiteJSON appends the JSON form of a site, as in the data of HS_SITE values and in the answers of /api/site.
func AppendSiteJSON(dst []byte, s *Site) []byte {
	dst, _ = appendSiteJSON(dst, AppendSite(nil, s))
	return dst
}

// appendSiteJSON reports whether reading its output back gives data again.
func appendSiteJSON(dst, data []byte) ([]byte, bool) {
	r := cursor{b: data}
	exact := true
	version, major, minor, serial, mask, hash := r.u16(), r.u8(), r.u8(), r.u16(), r.u8(), HashOption(r.u8())
	filter := r.bytes()
	if mask&^0xc0 != 0 || hash > HashAll {
		exact = false
	}
	dst = append(dst, `{"version":`...)
	dst = appendUint(dst, uint64(version))
	dst = append(dst, `,"protocolVersion":"`...)
	dst = appendUint(dst, uint64(major))
	dst = append(dst, '.')
	dst = appendUint(dst, uint64(minor))
	dst = append(dst, `","serialNumber":`...)
	dst = appendUint(dst, uint64(serial))
	dst = append(dst, `,"primarySite":`...)
	dst = appendBool(dst, mask&0x80 != 0)
	dst = append(dst, `,"multiPrimary":`...)
	dst = appendBool(dst, mask&0x40 != 0)
	if hash < HashAll { // by all is what readers take when nothing is said
		dst = append(dst, `,"hashOption":"`...)
		dst = append(dst, hashNames[hash]...)
		dst = append(dst, '"')
	}
	if len(filter) > 0 {
		dst = append(dst, `,"hashFilter":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, filter)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"attributes":[`...)
	for i, n := uint32(0), r.u32(); i < n && !r.bad; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		name, value := r.bytes(), r.bytes()
		exact = exact && utf8.Valid(name) && utf8.Valid(value)
		dst = append(dst, `{"name":`...)
		dst = AppendJSONString(dst, name)
		dst = append(dst, `,"value":`...)
		dst = AppendJSONString(dst, value)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"servers":[`...)
	for i, n := uint32(0), r.u32(); i < n && !r.bad; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		dst, ok = r.appendServerJSON(dst)
		exact = exact && ok
	}
	dst = append(dst, ']', '}')
	return dst, exact && !r.bad && r.i == len(data)
}

var (
	hashNames     = [...]string{"HASH_BY_PREFIX", "HASH_BY_SUFFIX", "HASH_BY_ALL"}
	protocolNames = [...]string{"UDP", "TCP", "HTTP", "HTTPS"}
)

func (r *cursor) appendServerJSON(dst []byte) ([]byte, bool) {
	exact := true
	dst = append(dst, `{"serverId":`...)
	dst = appendUint(dst, uint64(r.u32()))
	dst = append(dst, `,"address":"`...)
	if p := r.take(16); p != nil {
		a := siteAddr([16]byte(p))
		dst = a.AppendTo(dst)
		back := a.As16()
		if a.Is4() {
			clear(back[:12])
		}
		exact = back == [16]byte(p)
	}
	dst = append(dst, '"')
	if key := r.bytes(); len(key) > 0 {
		dst = append(dst, `,"publicKey":`...)
		at := len(dst)
		var ok bool
		if dst, ok = appendKeyData(dst, key); !ok {
			dst = appendPlain(dst[:at], key)
		}
	}
	dst = append(dst, `,"interfaces":[`...)
	for i, n := uint32(0), r.u32(); i < n && !r.bad; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		use, protocol, port := r.u8(), r.u8(), r.u32()
		dst = append(dst, `{"query":`...)
		dst = appendBool(dst, use&2 != 0)
		dst = append(dst, `,"admin":`...)
		dst = appendBool(dst, use&1 != 0)
		dst = append(dst, `,"protocol":"`...)
		if protocol < uint8(len(protocolNames)) {
			dst = append(dst, protocolNames[protocol]...)
		} else {
			dst = appendUint(dst, uint64(protocol))
		}
		dst = append(dst, `","port":`...)
		dst = appendUint(dst, uint64(port))
		dst = append(dst, '}')
		exact = exact && use <= 3
	}
	return append(dst, ']', '}'), exact
}

// cursor is the Reader of the fast path: it remembers that something was wrong, not what.
type cursor struct {
	b   []byte
	i   int
	bad bool
}

func (r *cursor) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b)-r.i {
		r.bad = true
		return nil
	}
	p := r.b[r.i : r.i+n]
	r.i += n
	return p
}

func (r *cursor) u8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *cursor) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *cursor) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *cursor) bytes() []byte { return r.take(int(r.u32())) }

// isText reports whether b is UTF-8 without control characters but tab, line feed and carriage return.
func isText(b []byte) bool {
	ascii := true
	for _, c := range b {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(b)
}

// AppendJSONString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func AppendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			case '\b':
				dst = append(dst, '\\', 'b')
			case '\f':
				dst = append(dst, '\\', 'f')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			from = i
			continue
		}
		ch, size := decodeRune(s[i:])
		switch {
		case ch == utf8.RuneError && size == 1:
			dst = append(dst, s[from:i]...)
			dst = append(dst, "\uFFFD"...)
			from = i + size
		case ch == '\u2028' || ch == '\u2029': // line ends in JavaScript, which a call-back answer is
			dst = append(dst, s[from:i]...)
			dst = append(dst, '\\', 'u', '2', '0', '2', hexDigits[ch&15])
			from = i + size
		}
		i += size
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

func decodeRune[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s)
	return utf8.DecodeRune(b[:n])
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, "true"...)
	}
	return append(dst, "false"...)
}

func appendUint(dst []byte, n uint64) []byte {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return append(dst, b[i:]...)
		}
	}
}

// appendTime writes seconds since 1970 as "2026-11-22T15:10:27Z".
func appendTime(dst []byte, seconds uint32) []byte {
	const day = 24 * 60 * 60
	// Years run from March, so that the leap day is the last of its year; eras are 400 years (day 0 is 1 March 0000).
	days := uint32(seconds/day) + 719468
	era := days / 146097
	of := days - era*146097
	year := (of - of/1460 + of/36524 - of/146096) / 365
	ofYear := of - (365*year + year/4 - year/100)
	year += era * 400
	month := (5*ofYear + 2) / 153
	d := ofYear - (153*month+2)/5 + 1
	if month < 10 {
		month += 3
	} else {
		month -= 9
		year++
	}
	s := seconds % day
	dst = append(dst, '"', byte('0'+year/1000), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-')
	dst = append(two(dst, month), '-')
	dst = append(two(dst, d), 'T')
	dst = append(two(dst, s/3600), ':')
	dst = append(two(dst, s/60%60), ':')
	return append(two(dst, s%60), 'Z', '"')
}

func two(dst []byte, n uint32) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

func parseTime(s string) (uint32, bool) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() < 0 || t.Unix() > 1<<32-1 {
		return 0, false
	}
	return uint32(t.Unix()), true
}

// fold reports whether a is b, which is in upper case, letters a–z matching A–Z.
func fold[T string | []byte](a T, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(b); i++ {
		if upper(a[i]) != b[i] {
			return false
		}
	}
	return true
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// unbase64 takes either alphabet, with padding or without.
func unbase64(s string) ([]byte, error) {
	for len(s) > 0 && s[len(s)-1] == '=' {
		s = s[:len(s)-1]
	}
	enc := base64.RawStdEncoding
	for i := 0; i < len(s); i++ {
		if s[i] == '-' || s[i] == '_' {
			enc = base64.RawURLEncoding
			break
		}
	}
	return enc.DecodeString(s)
}

func unhex(s string) ([]byte, error) { return hex.DecodeString(s) }
