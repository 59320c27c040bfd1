package gs1

import (
	"encoding/hex"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// Tag is what stands in the EPC memory of an RFID tag (EPC Tag Data Standard 2.3, 14): an EPC, the binary scheme that it is written in, and the filter
// value, by which readers pick out cases or pallets.
type Tag struct {
	Scheme   string   // sgtin-96, sgtin+; empty of a tag that is kept as it is
	Filter   uint8    // 0 to 7; to 15 for usdod-96, to 63 for adi-var; none for gid-96
	URN      URN      // kind id, or raw of a tag that is kept as it is; none in a '+' scheme, which does not set the company prefix apart
	Elements Elements // of a '+' scheme: the fields of its EPC, the key first, then the others that are on the tag
	Host     string   // of a '++' scheme: of its Digital Link, id.example.com

	Attributes uint8 // what Gen 2 readers see before the EPC, such as hazardous material in its last bit (11)
	UserMemory bool  // there is something in the user bank too
}

// coding is a binary scheme. A company prefix of so many digits stands in so many bits, by the partition; the field behind it fills what is left of both.
type coding struct {
	name    string
	header  uint8
	urn     string // scheme of the URN
	both    int    // bits of company prefix and reference together
	digits  int    // digits of both; 0: the reference is a number of any length or a text
	most    int    // most digits of both, where that is less than would fit
	text    int    // bits a character of a reference that is text
	widths  []int  // bits of numbers of two digits behind it
	serial  int    // bits of the last field; 0: none
	way     string // of the last field: number, text7, prepended (a 1 stands before it, so that leading zeros stay)
	padding int    // zero bits at the end
}

var partitions = [7]int{40, 37, 34, 30, 27, 24, 20} // bits of a company prefix of 12, 11, … 6 digits

var codings = []coding{
	{name: "sgtin-96", header: 0x30, urn: "sgtin", both: 44, digits: 13, serial: 38, way: "number"},
	{name: "sgtin-198", header: 0x36, urn: "sgtin", both: 44, digits: 13, serial: 140, way: "text7"},
	{name: "sscc-96", header: 0x31, urn: "sscc", both: 58, digits: 17, padding: 24},
	{name: "sgln-96", header: 0x32, urn: "sgln", both: 41, digits: 12, serial: 41, way: "number"},
	{name: "sgln-195", header: 0x39, urn: "sgln", both: 41, digits: 12, serial: 140, way: "text7"},
	{name: "grai-96", header: 0x33, urn: "grai", both: 44, digits: 12, serial: 38, way: "number"},
	{name: "grai-170", header: 0x37, urn: "grai", both: 44, digits: 12, serial: 112, way: "text7"},
	{name: "giai-96", header: 0x34, urn: "giai", both: 82},
	{name: "giai-202", header: 0x38, urn: "giai", both: 188, text: 7},
	{name: "gsrn-96", header: 0x2D, urn: "gsrn", both: 58, digits: 17, padding: 24},
	{name: "gsrnp-96", header: 0x2E, urn: "gsrnp", both: 58, digits: 17, padding: 24},
	{name: "gdti-96", header: 0x2C, urn: "gdti", both: 41, digits: 12, serial: 41, way: "number"},
	{name: "gdti-174", header: 0x3E, urn: "gdti", both: 41, digits: 12, serial: 119, way: "text7"},
	{name: "gdti-113", header: 0x3A, urn: "gdti", both: 41, digits: 12, serial: 58, way: "prepended"}, // withdrawn for gdti-174; read where it still is
	{name: "cpi-96", header: 0x3C, urn: "cpi", both: 51, most: 15, serial: 31, way: "number"},
	{name: "cpi-var", header: 0x3D, urn: "cpi", text: 6, serial: 40, way: "number"},
	{name: "sgcn-96", header: 0x3F, urn: "sgcn", both: 41, digits: 12, serial: 41, way: "prepended"},
	{name: "itip-110", header: 0x40, urn: "itip", both: 44, digits: 13, widths: []int{7, 7}, serial: 38, way: "number"},
	{name: "itip-212", header: 0x41, urn: "itip", both: 44, digits: 13, widths: []int{7, 7}, serial: 140, way: "text7"},
	{name: "gid-96", header: 0x35, urn: "gid"},
	{name: "usdod-96", header: 0x2F, urn: "usdod"},
	{name: "adi-var", header: 0x3B, urn: "adi"},
}

func codingOf(name string) *coding {
	for i := range codings {
		if codings[i].name == name {
			return &codings[i]
		}
	}
	return nil
}

func badTag(s, en, zh string) error {
	return problem.New(problem.BadID, "%[1]q cannot be a tag: %[2]s", "%[1]q 无法作为标签：%[3]s", clip(s), en, zh)
}

// row is a row of bits being written or read, the first one first.
type row struct {
	b  []byte // 0 and 1
	at int
}

// small writes a number; false when it has more bits.
func (w *row) small(v uint64, width int) bool {
	if bits.Len64(v) > width {
		return false
	}
	for i := width - 1; i >= 0; i-- {
		w.b = append(w.b, byte(v>>i&1))
	}
	return true
}

// decimal writes digits, none being 0, as a number.
func (w *row) decimal(s string, width int) bool {
	if s != "" && !digits(s) {
		return false
	}
	if len(s) < 20 && width <= 64 {
		return w.small(toUint(s), width)
	}
	v, _ := new(big.Int).SetString(s, 10)
	if v.BitLen() > width {
		return false
	}
	for i := width - 1; i >= 0; i-- {
		w.b = append(w.b, byte(v.Bit(i)))
	}
	return true
}

// take reads a number of up to 64 bits.
func (w *row) take(width int) (uint64, bool) {
	if w.at+width > len(w.b) {
		return 0, false
	}
	v := uint64(0)
	for _, b := range w.b[w.at : w.at+width] {
		v = v<<1 | uint64(b)
	}
	w.at += width
	return v, true
}

// takeDecimal reads a number of so many digits, with zeros in front; false when it has more.
func (w *row) takeDecimal(width, digits int) (string, bool) {
	if width <= 64 {
		v, ok := w.take(width)
		if !ok {
			return "", false
		}
		var buf [20]byte
		s := strconv.AppendUint(buf[:0], v, 10)
		if digits == 0 {
			return "", v == 0
		}
		return "00000000000000000000"[:max(0, digits-len(s))] + string(s), len(s) <= digits
	}
	if w.at+width > len(w.b) {
		return "", false
	}
	v := new(big.Int)
	for _, b := range w.b[w.at : w.at+width] {
		v.Lsh(v, 1).Or(v, big.NewInt(int64(b)))
	}
	w.at += width
	s := v.String()
	return strings.Repeat("0", max(0, digits-len(s))) + s, len(s) <= digits
}

// text writes characters of seven bits (ASCII) or six (the low bits of ASCII), filled up with zeros.
func (w *row) text(s string, bitsEach, width int) bool {
	if len(s)*bitsEach > width {
		return false
	}
	for i := range len(s) {
		w.small(uint64(s[i])&(1<<bitsEach-1), bitsEach)
	}
	for range width - len(s)*bitsEach {
		w.b = append(w.b, 0)
	}
	return true
}

// sixBits is the character that six bits stand for: the low bits of ASCII.
func sixBits(v byte) byte {
	if v < 0x20 {
		return v + 0x40
	}
	return v
}

func (w *row) takeText(bitsEach, width int) (string, bool) {
	if w.at+width > len(w.b) {
		return "", false
	}
	end := w.at + width
	var s []byte
	for w.at+bitsEach <= end {
		v, _ := w.take(bitsEach)
		c := byte(v)
		if c == 0 {
			break
		}
		if bitsEach == 6 {
			c = sixBits(c)
		}
		s = append(s, c)
	}
	for _, b := range w.b[w.at:end] {
		if b != 0 {
			return "", false
		}
	}
	w.at = end
	return string(s), true
}

// terminated reads six-bit characters up to one of zeros.
func (w *row) terminated() (string, bool) {
	var s []byte
	for {
		v, ok := w.take(6)
		if !ok {
			return "", false
		}
		c := byte(v)
		if c == 0 {
			return string(s), true
		}
		s = append(s, sixBits(c))
	}
}

// Binary is the tag's EPC as bits, 0 and 1, without the zeros that fill up a word. Errors: problem.BadID for an EPC that the scheme cannot hold; a longer scheme may.
func (t Tag) Binary() (string, error) {
	if t.URN.Kind == "raw" {
		return rawBits(t.URN)
	}
	if p := plusOf(t.Scheme); p != nil {
		w, err := t.writePlus(p)
		if err != nil {
			return "", err
		}
		return w.String(), nil
	}
	c := codingOf(t.Scheme)
	if c == nil {
		return "", badTag(t.Scheme, "there is no such binary scheme; there are "+codingNames()+" and those with +", "没有这种二进制方案；可用的有 "+codingNames()+" 以及带 + 的方案")
	}
	if t.URN.Kind != "id" || t.URN.Scheme != c.urn {
		return "", badTag(t.URN.String(), c.name+" holds urn:epc:id:"+c.urn, c.name+" 存放 urn:epc:id:"+c.urn)
	}
	if fault := t.URN.check(forms[c.urn]); fault != nil {
		return "", badTag(t.URN.String(), fault.en, fault.zh)
	}
	if most := c.mostFilter(); t.Filter > most {
		n := strconv.Itoa(int(most))
		return "", badTag(t.URN.String(), "the filter value of "+c.name+" goes from 0 to "+n, c.name+" 的滤值应为 0 至 "+n)
	}
	w := &row{b: make([]byte, 0, 256)}
	if !t.write(c, w) {
		for i := range codings {
			if o := &codings[i]; o.urn == c.urn && o.name != c.name && t.write(o, &row{}) {
				return "", badTag(t.URN.String(), c.name+" has room for short numbers only, without letters and without zeros in front; take "+o.name, c.name+" 只能存放较短、不含字母且无前导零的数字；请改用 "+o.name)
			}
		}
		return "", badTag(t.URN.String(), "it is too long for "+c.name+", or not of digits, or has zeros in front; take a '+' scheme", "对 "+c.name+" 过长、含非数字或有前导零；请改用“+”方案")
	}
	return w.String(), nil
}

// rawBits are the bits of a tag that is kept as it is.
func rawBits(u URN) (string, error) {
	if _, err := ParseURN(u.String()); err != nil {
		return "", err
	}
	w := &row{}
	for _, c := range []byte(u.Fields[len(u.Fields)-1][1:]) {
		w.small(uint64(hexValue(c)), 4)
	}
	return w.String()[:toUint(u.Scheme)], nil
}

// String is the row as 0 and 1.
func (w *row) String() string {
	out := make([]byte, len(w.b))
	for i := range w.b {
		out[i] = '0' + w.b[i]
	}
	return string(out)
}

// mostFilter is the highest filter value of a scheme.
func (c *coding) mostFilter() uint8 {
	switch c.urn {
	case "gid":
		return 0
	case "usdod":
		return 15
	case "adi":
		return 63
	}
	return 7
}

func (t Tag) write(c *coding, w *row) bool {
	f := t.URN.Fields
	w.small(uint64(c.header), 8)
	switch c.urn {
	case "gid":
		return w.decimal(f[0], 28) && w.decimal(f[1], 24) && w.decimal(f[2], 36)
	case "usdod":
		return w.small(uint64(t.Filter), 4) && w.text(strings.Repeat(" ", 6-len(f[0]))+f[0], 8, 48) && w.decimal(f[1], 36)
	case "adi":
		return w.small(uint64(t.Filter), 6) && w.text(strings.Repeat(" ", 6-len(f[0]))+f[0], 6, 36) && w.text(f[1], 6, len(f[1])*6+6) && w.text(f[2], 6, len(f[2])*6+6)
	}
	w.small(uint64(t.Filter), 3)
	partition := 12 - len(f[0])
	w.small(uint64(partition), 3)
	width := partitions[partition]
	if !w.decimal(f[0], width) {
		return false
	}
	switch {
	case c.urn == "cpi" && c.text > 0:
		if !w.text(f[1], 6, len(f[1])*6+6) {
			return false
		}
	case c.text > 0:
		if !w.text(f[1], c.text, c.both-width) {
			return false
		}
	case c.digits == 0: // a number without leading zeros
		if !isPlainNumber(f[1]) || c.most > 0 && len(f[0])+len(f[1]) > c.most || !w.decimal(f[1], c.both-width) {
			return false
		}
	default:
		if !w.decimal(f[1], c.both-width) {
			return false
		}
	}
	for i, n := range c.widths {
		if !w.decimal(f[2+i], n) {
			return false
		}
	}
	if c.serial > 0 {
		s := f[len(f)-1]
		switch c.way {
		case "number":
			if !isPlainNumber(s) || !w.decimal(s, c.serial) {
				return false
			}
		case "prepended":
			if !w.decimal("1"+s, c.serial) {
				return false
			}
		default:
			if !w.text(s, 7, c.serial) {
				return false
			}
		}
	}
	w.small(0, c.padding)
	return true
}

// ParseTag reads a tag: its URN (urn:epc:tag:sgtin-96:3.0614141.812345.6789), or the hexadecimal digits of its EPC memory behind the PC word, whole words. Errors:
// problem.BadID; a tag of a scheme that is not known is no error but a Tag with a URN of kind raw.
func ParseTag(s string) (Tag, error) {
	if len(s) > 400 {
		return Tag{}, badTag(s, "400 characters are the most", "最多 400 个字符")
	}
	if rest, ok := strings.CutPrefix(s, "urn:epc:tag:"); ok {
		return parseTagURN(s, rest)
	}
	if strings.HasPrefix(s, "urn:epc:raw:") {
		u, err := ParseURN(s)
		return Tag{URN: u}, err
	}
	whole := s
	if len(s) > 2 && len(s)%2 != 0 {
		whole += "0"
	}
	raw, err := hex.DecodeString(whole)
	if err != nil || len(raw) == 0 || len(raw) > maxTagBits/8 {
		return Tag{}, badTag(s, "write urn:epc:tag:… or the hexadecimal digits of up to 31 words", "请写 urn:epc:tag:… 或至多 31 个字的十六进制数")
	}
	w := &row{b: make([]byte, 0, 8*len(raw)), at: 8}
	for _, b := range raw {
		w.small(uint64(b), 8)
	}
	for i := range codings {
		c := &codings[i]
		if c.header != raw[0] {
			continue
		}
		t, ok := c.read(w)
		if ok = ok && zeros(w.b[w.at:]); !ok {
			return Tag{}, badTag(s, "its bits are no "+c.name, "其位串不是合法的 "+c.name)
		}
		return t, nil
	}
	for i := range plusCodings {
		c := &plusCodings[i]
		if c.header != raw[0] {
			continue
		}
		t, en, zh := c.readPlus(w)
		if en != "" {
			return Tag{}, badTag(s, en, zh)
		}
		if err := t.Elements.Check(); err != nil {
			return Tag{}, err
		}
		return t, nil
	}
	return Tag{URN: URN{"raw", strconv.Itoa(len(s) * 4), []string{"x" + strings.ToUpper(s)}}}, nil
}

func (c *coding) read(w *row) (t Tag, ok bool) {
	t = Tag{Scheme: c.name, URN: URN{Kind: "id", Scheme: c.urn}}
	add := func(s string, good bool) bool {
		t.URN.Fields = append(t.URN.Fields, s)
		return good
	}
	number := func(width int) bool {
		v, ok := w.take(width)
		return ok && add(strconv.FormatUint(v, 10), true)
	}
	filter := func(width int) bool {
		v, ok := w.take(width)
		if ok {
			t.Filter = uint8(v)
		}
		return ok
	}
	cage := func(bitsEach int) bool {
		var s []byte
		for range 6 {
			v, ok := w.take(bitsEach)
			if !ok {
				return false
			}
			x := byte(v)
			if bitsEach == 6 {
				x = sixBits(x)
			}
			s = append(s, x)
		}
		return add(strings.TrimPrefix(string(s), " "), true)
	}
	switch c.urn {
	case "gid":
		ok = number(28) && number(24) && number(36)
	case "usdod":
		ok = filter(4) && cage(8) && number(36)
	case "adi":
		ok = filter(6) && cage(6) && add(w.terminated()) && add(w.terminated())
	default:
		ok = c.readKey(w, &t, filter, add, number)
	}
	if !ok {
		return t, false
	}
	// What no EPC looks like is no tag of this scheme, and bits are read back as what writes them.
	if t.URN.check(forms[c.urn]) != nil {
		return t, false
	}
	again := &row{b: make([]byte, 0, len(w.b))}
	return t, t.write(c, again) && string(again.b) == string(w.b[:min(w.at, len(w.b))])
}

func (c *coding) readKey(w *row, t *Tag, filter func(int) bool, add func(string, bool) bool, number func(int) bool) bool {
	if !filter(3) {
		return false
	}
	p, ok := w.take(3)
	if !ok || p > 6 {
		return false
	}
	width, length := partitions[p], 12-int(p)
	if !add(w.takeDecimal(width, length)) {
		return false
	}
	switch {
	case c.urn == "cpi" && c.text > 0:
		ok = add(w.terminated())
	case c.text > 0:
		ok = add(w.takeText(c.text, c.both-width))
	case c.digits == 0:
		ok = number(c.both - width)
	default:
		ok = add(w.takeDecimal(c.both-width, c.digits-length))
	}
	for _, n := range c.widths {
		ok = ok && add(w.takeDecimal(n, 2))
	}
	if ok && c.serial > 0 {
		switch c.way {
		case "number":
			ok = number(c.serial)
		case "prepended":
			v, fine := w.take(c.serial)
			s := ""
			if fine {
				s = strconv.FormatUint(v, 10)
			}
			ok = len(s) > 1 && s[0] == '1' && add(s[1:], true)
		default:
			ok = add(w.takeText(7, c.serial))
		}
	}
	if ok && c.padding > 0 {
		_, ok = w.take(c.padding)
	}
	return ok
}

// parseTagURN reads urn:epc:tag:[umi=1][att=x01]:sgtin-96:3.0614141.812345.6789; rest stands behind urn:epc:tag: (12.4).
func parseTagURN(s, rest string) (Tag, error) {
	t := Tag{}
	for strings.HasPrefix(rest, "[") {
		field, after, ok := strings.Cut(rest[1:], "]")
		value, attributes := strings.CutPrefix(field, "att=x")
		switch n, err := strconv.ParseUint(value, 16, 8); {
		case ok && (field == "umi=0" || field == "umi=1"):
			t.UserMemory = field == "umi=1"
		case ok && attributes && err == nil && strings.ToUpper(value) == value:
			t.Attributes = uint8(n)
		default:
			return Tag{}, badTag(s, "the control fields are [umi=0], [umi=1] and [att=x01]; take others away", "控制字段为 [umi=0]、[umi=1] 与 [att=x01]；请去掉其他字段")
		}
		if rest = after; !strings.HasPrefix(rest, "[") {
			if rest, ok = strings.CutPrefix(rest, ":"); !ok {
				return Tag{}, badTag(s, "a colon stands behind the control fields", "控制字段之后应为冒号")
			}
		}
	}
	name, rest, ok := strings.Cut(rest, ":")
	c := codingOf(name)
	if !ok || c == nil {
		return Tag{}, badTag(s, "there is no binary scheme "+strconv.Quote(clip(name))+"; there are "+codingNames(), "没有二进制方案 "+strconv.Quote(clip(name))+"；可用的有 "+codingNames())
	}
	t.Scheme = name
	if c.urn != "gid" {
		filter, after, ok := strings.Cut(rest, ".")
		if !ok || !isUpTo(filter, uint64(c.mostFilter())) {
			n := strconv.Itoa(int(c.mostFilter()))
			return Tag{}, badTag(s, "behind the scheme stands the filter value, 0 to "+n+", and a point", "方案之后应为滤值（0 至 "+n+"）和点")
		}
		t.Filter, rest = uint8(toUint(filter)), after
	}
	var err error
	if t.URN, err = ParseURN("urn:epc:id:" + c.urn + ":" + rest); err != nil {
		return Tag{}, err
	}
	if _, err = t.Binary(); err != nil {
		return Tag{}, err
	}
	return t, nil
}

// codingNames are the binary schemes that have URNs, for sentences.
func codingNames() string {
	names := make([]string, len(codings))
	for i := range codings {
		names[i] = codings[i].name
	}
	return strings.Join(names, ", ")
}

// String is the tag's URN; of a '+' scheme, which has none, the Digital Link of what it is on, with the other fields of the tag in its query.
func (t Tag) String() string {
	switch t.URN.Kind {
	case "raw":
		return t.URN.String()
	case "":
		if t.Elements == nil {
			return ""
		}
	}
	if plusOf(t.Scheme) != nil {
		stem := ""
		if t.Host != "" {
			stem = "https://" + t.Host
		}
		l, err := t.Elements.Link(stem)
		if err != nil {
			return t.Elements.String()
		}
		return l.URI()
	}
	s := "urn:epc:tag:"
	if t.Attributes != 0 {
		s += "[att=x" + strings.ToUpper(hex.EncodeToString([]byte{t.Attributes})) + "]"
	}
	if t.UserMemory {
		s += "[umi=1]"
	}
	if t.Attributes != 0 || t.UserMemory {
		s += ":"
	}
	s += t.Scheme + ":"
	if t.URN.Scheme != "gid" {
		s += strconv.Itoa(int(t.Filter)) + "."
	}
	return s + strings.TrimPrefix(t.URN.String(), "urn:epc:id:"+t.URN.Scheme+":")
}

// Hex is the EPC memory behind the PC word: whole words of 16 bits, filled up with zeros. Errors as of Binary.
func (t Tag) Hex() (string, error) {
	b, err := t.words()
	return strings.ToUpper(hex.EncodeToString(b)), err
}

func (t Tag) words() ([]byte, error) {
	s, err := t.Binary()
	if err != nil {
		return nil, err
	}
	for len(s)%16 != 0 {
		s += "0"
	}
	out := make([]byte, len(s)/8)
	for i := range s {
		out[i/8] = out[i/8]<<1 | (s[i] - '0')
	}
	return out, nil
}

// Memory is what is written into the EPC bank from bit 10h on, behind the CRC, which the tag reckons itself: the PC word, which has the length in words, whether
// there is user memory, and the attributes; and the EPC in whole words (9.3). Errors as of Binary.
func (t Tag) Memory() ([]byte, error) {
	b, err := t.words()
	if err != nil {
		return nil, err
	}
	pc := uint16(len(b)/2)<<11 | uint16(t.Attributes)
	if t.UserMemory {
		pc |= 1 << 10
	}
	if len(t.URN.Fields) == 2 && t.URN.Kind == "raw" { // an application family of ISO/IEC 15961 stands where the attributes are
		pc = pc&^0xFF | 1<<8 | uint16(hexValue(t.URN.Fields[0][1]))<<4 | uint16(hexValue(t.URN.Fields[0][2]))
	}
	return append([]byte{byte(pc >> 8), byte(pc)}, b...), nil
}

// ParseMemory reads what Memory writes: the EPC bank from bit 10h on. What stands behind the length that the PC word gives is not looked at. Errors: problem.BadID.
func ParseMemory(b []byte) (Tag, error) {
	if len(b) < 4 || int(b[0]>>3) == 0 || len(b) < 2+2*int(b[0]>>3) {
		return Tag{}, badTag(hex.EncodeToString(b[:min(len(b), 64)]), "the PC word stands first, and behind it as many words as it says, one at least", "最前应为 PC 字，其后应有其所示数量的字，至少一个")
	}
	digits := strings.ToUpper(hex.EncodeToString(b[2 : 2+2*int(b[0]>>3)]))
	if b[0]&1 != 0 { // not of GS1
		family := "x" + strings.ToUpper(hex.EncodeToString(b[1:2]))
		return Tag{URN: URN{"raw", strconv.Itoa(4 * len(digits)), []string{family, "x" + digits}}, UserMemory: b[0]&4 != 0}, nil
	}
	t, err := ParseTag(digits)
	if err != nil {
		return Tag{}, err
	}
	t.UserMemory, t.Attributes = b[0]&4 != 0, b[1]
	return t, nil
}

// BestTag is the tag for an EPC in the shortest scheme that holds it. Errors: problem.BadID when there is none.
func BestTag(u URN, filter uint8) (Tag, error) {
	for i := range codings {
		if c := &codings[i]; c.urn == u.Scheme {
			t := Tag{Scheme: c.name, Filter: filter, URN: u}
			if _, err := t.Binary(); err == nil {
				return t, nil
			}
		}
	}
	return Tag{}, badTag(u.String(), "no binary scheme holds it", "没有可容纳它的二进制方案")
}
