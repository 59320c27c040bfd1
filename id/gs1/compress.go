package gs1

import (
	"encoding/base64"
	"math/big"
	"math/bits"
	"net/url"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// The compressed form is one path segment, base64url of a string of bits (GS1 Digital Link Standard: Compression): for each field its identifier, four bits a
// digit, and its value, in as few bits as its set needs. Frequent sequences of identifiers have a code of eight bits that is no pair of digits.

// sequences are those codes. Published decoders read the values of 1A and 9D in another order than the table prints them; both are read here, and neither
// is written.
var sequences = map[byte][]string{
	0x0a: {"01", "22"}, 0x0b: {"01", "10"}, 0x0c: {"01", "21"}, 0x0d: {"01", "17"}, 0x0e: {"01", "7003"}, 0x0f: {"01", "30"},
	0x1a: {"01", "10", "21", "17"}, 0x1b: {"01", "15"}, 0x1c: {"01", "11"}, 0x1d: {"01", "16"}, 0x1e: {"01", "91"}, 0x1f: {"01", "10", "15"},
	0x9a: {"8010", "8011"}, 0x9b: {"8017", "8019"}, 0x9c: {"8018", "8019"}, 0x9d: {"414", "254"},
	0xca: {"255", "3940"}, 0xcb: {"255", "3941"}, 0xcc: {"255", "3942"}, 0xcd: {"255", "3943"},
}

func init() {
	for i := range byte(6) {
		sequences[0x2a+i] = []string{"01", "310" + string('0'+i)}
		sequences[0x3a+i] = []string{"01", "320" + string('0'+i)}
	}
	for i := range byte(10) {
		sequences[0xa0+i] = []string{"01", "392" + string('0'+i)}
		sequences[0xc0+i] = []string{"255", "390" + string('0'+i)}
	}
}

// field is how a stretch of a value is packed: digits or any characters, of a fixed count or with a count in front.
type field struct {
	digits bool
	max    int
	varies bool
}

// packing is how the values of an entry are packed: components of one kind are taken together, and so are those that may be missing.
func (e *entry) packing() []field {
	var out []field
	for _, p := range e.parts {
		f := field{p.set == 'N', p.max, p.min != p.max || p.optional}
		if n := len(out); n > 0 && out[n-1].digits == f.digits {
			last := &out[n-1]
			if !last.varies && (!f.varies || !f.digits) && !p.optional || last.varies && p.optional {
				last.max += f.max
				last.varies = last.varies || f.varies
				continue
			}
		}
		out = append(out, f)
	}
	return out
}

// digitBits is how many bits so many digits need; none at all still have one, as encoders in the field write it.
func digitBits(n int) int {
	if n == 0 {
		return 1
	}
	ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
	return ten.Sub(ten, big.NewInt(1)).BitLen()
}

// The ways to pack characters, by their number on the wire.
const (
	decimal = iota
	lowerHex
	upperHex
	safe64
	ascii
)

const (
	lowerDigits = "0123456789abcdef"
	upperDigits = "0123456789ABCDEF"
)

// alphabet of a way, and bits a character.
func alphabet(way int) (string, int) {
	switch way {
	case lowerHex:
		return lowerDigits, 4
	case upperHex:
		return upperDigits, 4
	}
	return set64, 6
}

func wayOf(s string) int {
	all := func(of string) bool { return strings.Trim(s, of) == "" }
	switch {
	case s == "":
		return ascii
	case digits(s):
		return decimal
	case all(upperDigits):
		return upperHex
	case all(lowerDigits):
		return lowerHex
	case all(set64):
		return safe64
	}
	return ascii
}

// packer writes bits, the first of each byte the highest.
type packer struct {
	b []byte
	n int
}

func (p *packer) put(v uint64, width int) {
	for i := width - 1; i >= 0; i-- {
		if p.n%8 == 0 {
			p.b = append(p.b, 0)
		}
		p.b[p.n/8] |= byte(v>>i&1) << (7 - p.n%8)
		p.n++
	}
}

// segment is the bits as base64url, filled up with zeros.
func (p *packer) segment() string {
	return base64.RawURLEncoding.EncodeToString(p.b)[:(p.n+5)/6]
}

func (p *packer) putDigits(s string) {
	v, _ := new(big.Int).SetString("0"+s, 10)
	for i := digitBits(len(s)) - 1; i >= 0; i-- {
		p.put(uint64(v.Bit(i)), 1)
	}
}

func (p *packer) putAI(ai string) {
	for i := range len(ai) {
		p.put(uint64(ai[i]-'0'), 4)
	}
}

// putText writes characters; countBits is how wide the count in front is, 0 for none.
func (p *packer) putText(s string, countBits int) {
	way := wayOf(s)
	p.put(uint64(way), 3)
	p.put(uint64(len(s)), countBits)
	switch way {
	case decimal:
		p.putDigits(s)
	case ascii:
		for i := range len(s) {
			p.put(uint64(s[i]), 7)
		}
	default:
		of, width := alphabet(way)
		for i := range len(s) {
			p.put(uint64(strings.IndexByte(of, s[i])), width)
		}
	}
}

func (p *packer) putValue(ai, value string) {
	for _, f := range find(ai).packing() {
		n := min(f.max, len(value))
		s, width := value[:n], 0
		value = value[n:]
		if f.varies {
			width = bits.Len(uint(f.max))
		}
		if f.digits {
			p.put(uint64(n), width)
			p.putDigits(s)
		} else {
			p.putText(s, width)
		}
	}
}

// Compressed is the link in its short form: host and stem stay, the fields become one segment, and what else is in the query stays there. When several
// fields could be the key, the key stays readable in front of the segment, so that it remains the key. The error, of kind problem.Unsupported, is for
// fields that are not allocated, and for stems that look like a key themselves.
func (l Link) Compressed() (string, error) {
	rest := slices.Clone(l.Elements)
	keys := 0
	for _, f := range rest {
		if find(f.AI) == nil {
			return "", problem.New(problem.Unsupported, "(%[1]s) is no application identifier of GS1 and cannot be compressed; use the uncompressed link",
				"(%[1]s) 不是 GS1 应用标识符，无法压缩；请使用未压缩的链接", f.AI)
		}
		if IsKey(f.AI) {
			keys++
		}
	}
	dst := append(append(make([]byte, 0, 96), l.stem()...), '/')
	if keys > 1 {
		dst = append(append(dst, rest[0].AI...), '/')
		dst = append(escape(dst, rest[0].Value, false), '/')
		rest = rest[1:]
	}
	var p packer
	for {
		code := bestSequence(rest)
		if code == 0 {
			break
		}
		p.put(uint64(code), 8)
		for _, ai := range sequences[code] {
			v, _ := rest.Value(ai)
			p.putValue(ai, v)
			rest = slices.DeleteFunc(rest, func(f Element) bool { return f.AI == ai })
		}
	}
	slices.SortFunc(rest, func(a, b Element) int { return strings.Compare(a.AI, b.AI) })
	for _, f := range rest {
		p.putAI(f.AI)
		p.putValue(f.AI, f.Value)
	}
	short := string(l.appendRest(append(dst, p.segment()...), '?'))
	if back, err := ParseLink(short); err != nil || back.Canonical() != l.Canonical() {
		return "", problem.New(problem.Unsupported, "the link under %[1]q cannot be compressed so that it reads as itself; choose another stem, or use the uncompressed link",
			"前缀 %[1]q 下的链接压缩后无法还原；请更换前缀，或使用未压缩的链接", clip(l.stem()))
	}
	return short, nil
}

// bestSequence is the code of the sequence that saves most, or 0: it takes the place of the most digits.
func bestSequence(e Elements) (best byte) {
	most := 0
	for code, list := range sequences {
		n := 0
		for _, ai := range list {
			if _, ok := e.Value(ai); !ok {
				n = -100
			}
			n += len(ai)
		}
		if code != 0x1a && code != 0x9d && (n > most || n == most && n > 0 && code < best) {
			best, most = code, n
		}
	}
	return best
}

// unpacker reads bits.
type unpacker struct {
	s   string // base64url
	at  int    // bit
	bad bool   // read past the end, or what cannot be
}

func (u *unpacker) left() int { return len(u.s)*6 - u.at }

func (u *unpacker) take(width int) uint64 {
	if width > u.left() {
		u.bad = true
		return 0
	}
	var v uint64
	for range width {
		six := strings.IndexByte(set64, u.s[u.at/6])
		v = v<<1 | uint64(six>>(5-u.at%6)&1)
		u.at++
	}
	return v
}

func (u *unpacker) takeDigits(n int) string {
	width := digitBits(n)
	if width > u.left() {
		u.bad = true
		return ""
	}
	v := new(big.Int)
	for i := width - 1; i >= 0; i-- {
		v.SetBit(v, i, uint(u.take(1)))
	}
	if n == 0 {
		u.bad = u.bad || v.Sign() != 0
		return ""
	}
	s := v.String()
	if len(s) > n {
		u.bad = true
		return ""
	}
	return strings.Repeat("0", n-len(s)) + s
}

func (u *unpacker) takeText(n, countBits int) string {
	way := int(u.take(3))
	if countBits > 0 {
		n = int(u.take(countBits))
	}
	switch {
	case u.bad || way > ascii:
		u.bad = true
		return ""
	case way == decimal:
		return u.takeDigits(n)
	}
	of, width := alphabet(way)
	if way == ascii {
		of, width = "", 7
	}
	if n*width > u.left() {
		u.bad = true
		return ""
	}
	out := make([]byte, n)
	for i := range out {
		if v := u.take(width); of == "" {
			out[i] = byte(v)
		} else {
			out[i] = of[v]
		}
	}
	return string(out)
}

func (u *unpacker) takeValue(ai string) string {
	var b strings.Builder
	for _, f := range find(ai).packing() {
		n, width := f.max, 0
		if f.varies {
			width = bits.Len(uint(f.max))
		}
		if !f.digits {
			b.WriteString(u.takeText(n, width))
			continue
		}
		if width > 0 {
			n = int(u.take(width))
		}
		b.WriteString(u.takeDigits(n))
	}
	return b.String()
}

// takeAI reads the digits behind the two that have been read.
func (u *unpacker) takeAI(two byte) string {
	ai := []byte{'0' + two>>4, '0' + two&15}
	if two>>4 > 9 || two&15 > 9 {
		u.bad = true
		return ""
	}
	for range int(lengths[number(string(ai))]) - 2 {
		d := byte(u.take(4))
		u.bad = u.bad || d > 9
		ai = append(ai, '0'+d)
	}
	u.bad = u.bad || find(string(ai)) == nil
	return string(ai)
}

// decompress reads a segment; sorted says that the values of a sequence come in the order of their identifiers.
func decompress(segment string, sorted bool) (e Elements, rest url.Values, ok bool) {
	u := &unpacker{s: segment}
	for u.left() >= 8 {
		two := byte(u.take(8))
		list, known := sequences[two]
		switch {
		case known && sorted:
			list = slices.Sorted(slices.Values(list))
		case known:
		case two>>4 == 15:
			n := int(two&15)<<3 | int(u.take(3))
			name := make([]byte, 0, n)
			for range n {
				name = append(name, set64[u.take(6)])
			}
			value := u.takeText(0, 7)
			if u.bad || n == 0 || digits(string(name)) {
				return nil, nil, false
			}
			if rest == nil {
				rest = url.Values{}
			}
			rest.Add(string(name), value)
			continue
		default:
			if list = []string{u.takeAI(two)}; u.bad {
				return nil, nil, false
			}
		}
		for _, ai := range list {
			value := u.takeValue(ai)
			var err error
			if u.bad || find(ai).check(value) != nil {
				return nil, nil, false
			}
			if e, err = e.add(ai, value); err != nil {
				return nil, nil, false
			}
		}
	}
	for n := u.left(); n > 0; n-- {
		u.bad = u.bad || u.take(1) != 0
	}
	return e, rest, !u.bad && len(e) > 0
}

// parseCompressed reads a link whose path shows no key: its last segment is the code, alone or behind its key.
func (r Reading) parseCompressed(l Link, uri string, segments []string, query string) (Link, error) {
	none := problem.New(problem.BadID, "%q holds no GS1 key; a Digital Link is written https://host/01/09521234543213, or compressed as https://host/ and one segment",
		"%q 不含 GS1 标识；Digital Link 写作 https://主机/01/09521234543213，或压缩为 https://主机/ 加一段编码", clip(uri))
	n := len(segments) - 1
	last := segments[n]
	if last == "" || strings.Trim(last, set64) != "" {
		return Link{}, none
	}
	// The key may stand in front, readable; what looks like one can also be part of the stem.
	fronts := []Elements{nil}
	if n >= 2 {
		if ai := r.ai(segments[n-2]); IsKey(ai) {
			if value := r.pad(ai, unescapeURI(segments[n-1], false)); r.checkElement(ai, value) == nil {
				fronts = []Elements{{{ai, value}}, nil}
			}
		}
	}
	for _, front := range fronts {
		l.Stem = strings.Join(segments[:n-2*len(front)], "/")
		if l.Stem != "" {
			l.Stem = "/" + l.Stem
		}
		for _, sorted := range []bool{false, true} {
			e, rest, ok := decompress(last, sorted)
			if ok && l.arrangeAny(front, e) {
				l.Query = rest
				if err := r.readQuery(&l, query, uri); err != nil {
					return Link{}, err
				}
				if err := l.Elements.check(); err != nil {
					return Link{}, err
				}
				return l, nil
			}
		}
	}
	return Link{}, none
}

// arrangeAny finds a key and qualifiers under which all fields have a place; front, if there is one, holds the key.
func (l *Link) arrangeAny(front, rest Elements) bool {
	e := slices.Clone(front)
	for _, f := range rest {
		var err error
		if e, err = e.add(f.AI, f.Value); err != nil {
			return false
		}
	}
	if e.check() != nil {
		return false
	}
	for i, f := range e {
		if !IsKey(f.AI) || i > 0 && len(front) > 0 {
			continue
		}
		for list := range strings.SplitSeq(longestPath(e, find(f.AI))+"|"+find(f.AI).qualifiers, "|") {
			var err error
			if l.Elements, l.Path, err = e.arrange(f.AI, list); err == nil {
				return true
			}
		}
	}
	return false
}
