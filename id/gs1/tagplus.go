package gs1

import (
	"math/big"
	"slices"
	"strings"
)

// A '+' scheme of version 2 of the Tag Data Standard holds the fields of a code as they are, with no company prefix set apart, and after them any other
// fields that fit: a batch, a date of expiry. It takes as few bits as its values need (14.5, 14.6 and 15.3).

// plusCoding is such a scheme.
type plusCoding struct {
	name   string
	header byte
	ais    []string // of the fields that are its EPC, the key first
	dated  bool     // a date stands in front of them, where readers can select by it
	host   bool     // behind them stands the host of its Digital Link
	serial int      // the key has more characters than so many: it ends in a serial number
}

var plusCodings = []plusCoding{
	{name: "cpi+", header: 0xF0, ais: []string{"8010", "8011"}},
	{name: "grai+", header: 0xF1, ais: []string{"8003"}, serial: 14},
	{name: "sgln+", header: 0xF2, ais: []string{"414", "254"}},
	{name: "itip+", header: 0xF3, ais: []string{"8006", "21"}},
	{name: "gsrn+", header: 0xF4, ais: []string{"8018"}},
	{name: "gsrnp+", header: 0xF5, ais: []string{"8017"}},
	{name: "gdti+", header: 0xF6, ais: []string{"253"}, serial: 13},
	{name: "sgtin+", header: 0xF7, ais: []string{"01", "21"}},
	{name: "sgcn+", header: 0xF8, ais: []string{"255"}, serial: 13},
	{name: "sscc+", header: 0xF9, ais: []string{"00"}},
	{name: "giai+", header: 0xFA, ais: []string{"8004"}},
	{name: "dsgtin+", header: 0xFB, ais: []string{"01", "21"}, dated: true},
}

// prioritised are the dates that a dsgtin+ may put in front, by the number that says which (14.5.3).
var prioritised = []string{"11", "13", "15", "16", "17", "7006", "7007"}

func init() { // each has a scheme with a host
	headers := map[string]byte{"cpi+": 0xE6, "gsrn+": 0xE7, "gsrnp+": 0xE8, "sgln+": 0xE9, "gdti+": 0xEA, "grai+": 0xEB, "sgcn+": 0xEC, "itip+": 0xED, "giai+": 0xEE, "sscc+": 0xEF,
		"dsgtin+": 0xFC, "sgtin+": 0xFD}
	for _, c := range plusCodings {
		c.header, c.host = headers[c.name], true
		c.name += "+"
		plusCodings = append(plusCodings, c)
	}
}

func plusOf(name string) *plusCoding {
	for i := range plusCodings {
		if plusCodings[i].name == name {
			return &plusCodings[i]
		}
	}
	return nil
}

// packing is how a value, or one of its two parts, stands in bits (table F of 15.3). n is its characters, the most where the number varies.
//
//	N digits of four bits               I a number of fixed length           V a number of varying length
//	A text in the way that is shortest  T digits, then text                  C a country of two letters
//	D a date, M with hours and minutes  P with as much of a time as is there R one date or two
//	B one bit   - a minus sign or none  S 1/3, the first of three
type packing struct {
	way byte
	n   int
}

// packings is the table: for identifiers and runs of them, their one or two parts.
var packings = map[string][]packing{}

func init() {
	for ais, how := range map[string][]packing{
		"00 8006 8017 8018 8026": {{'N', 18}},
		"01 02":                  {{'N', 14}},
		"10 21 22 243 254 420 4318 7020-7022 710-716 7240 8002 8012": {{'A', 20}},
		"11 12 13 15 16 17 4326 7006":                                {{'D', 6}},
		"20":                                                         {{'I', 2}},
		"235":                                                        {{'A', 28}},
		"240 241 250 251 400 401 403 4308 4319 7002 7230-7239 90": {{'A', 30}},
		"242":   {{'V', 6}},
		"253":   {{'N', 13}, {'A', 17}},
		"255":   {{'N', 13}, {'V', 12}},
		"30 37": {{'V', 8}},
		"3100-3105 3110-3115 3120-3125 3130-3135 3140-3145 3150-3155 3160-3165 3200-3205 3210-3215 3220-3225 3230-3235 3240-3245 3250-3255": {{'I', 6}},
		"3260-3265 3270-3275 3280-3285 3290-3295 3300-3305 3310-3315 3320-3325 3330-3335 3340-3345 3350-3355 3360-3365 3370-3375":           {{'I', 6}},
		"3400-3405 3410-3415 3420-3425 3430-3435 3440-3445 3450-3455 3460-3465 3470-3475 3480-3485 3490-3495 3500-3505 3510-3515":           {{'I', 6}},
		"3520-3525 3530-3535 3540-3545 3550-3555 3560-3565 3570-3575 3600-3605 3610-3615 3620-3625 3630-3635 3640-3645 3650-3655":           {{'I', 6}},
		"3660-3665 3670-3675 3680-3685 3690-3695 3950-3953 8005":                                                                            {{'I', 6}},
		"3900-3909 3920-3929 423 425": {{'V', 15}},
		"3910-3919 3930-3939":         {{'I', 3}, {'V', 15}},
		"3940-3943 8111":              {{'I', 4}},
		"402":                         {{'I', 17}},
		"410-417":                     {{'N', 13}},
		"421":                         {{'I', 3}, {'A', 9}},
		"422 424 426":                 {{'I', 3}},
		"427 7008":                    {{'A', 3}},
		"4300 4301 4310 4311 4320":    {{'A', 35}},
		"4302-4306 4312-4316 7257 8110 8112 8200": {{'A', 70}},
		"4307 4317":       {{'C', 2}},
		"4309":            {{'I', 20}},
		"4321-4323":       {{'B', 1}},
		"4324 4325 7003":  {{'M', 10}},
		"4330-4333":       {{'I', 6}, {'-', 1}},
		"7001":            {{'I', 13}},
		"7004":            {{'V', 4}},
		"7005":            {{'A', 12}},
		"7007":            {{'R', 12}},
		"7009 7255":       {{'A', 10}},
		"7010":            {{'A', 2}},
		"7011 8008":       {{'P', 12}},
		"7023 8004 8010":  {{'T', 30}},
		"7030-7039":       {{'I', 3}, {'A', 27}},
		"7040 7041":       {{'A', 4}},
		"7241":            {{'N', 2}},
		"7242 8013 8020":  {{'A', 25}},
		"7250":            {{'I', 8}},
		"7251":            {{'I', 12}},
		"7252":            {{'I', 1}},
		"7253 7254 7259":  {{'A', 40}},
		"7256 8030 91-99": {{'A', 90}},
		"7258":            {{'S', 3}},
		"8001":            {{'I', 14}},
		"8003":            {{'N', 14}, {'A', 16}},
		"8007":            {{'A', 24}},
		"8009":            {{'A', 50}},
		"8011":            {{'V', 12}},
		"8019":            {{'V', 10}},
	} {
		for run := range strings.FieldsSeq(ais) {
			from, to, ok := strings.Cut(run, "-")
			if !ok {
				to = from
			}
			for n := number(from); n <= number(to); n++ {
				packings[pad(n, len(from))] = how
			}
		}
	}
}

// pad is a number with so many digits.
func pad(n, width int) string {
	out := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		out[i] = byte('0' + n%10)
		n /= 10
	}
	return string(out)
}

// widths are how many bits any number of so many digits needs (table B).
var widths [31]int

func init() {
	for n, p := 1, big.NewInt(10); n < len(widths); n, p = n+1, p.Mul(p, big.NewInt(10)) {
		widths[n] = p.BitLen()
	}
}

// widthOf is how many bits any number of so many digits needs.
func widthOf(digits int) int {
	if digits < len(widths) {
		return widths[digits]
	}
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil).BitLen()
}

// maxTagBits is the longest EPC bank behind its PC word: the length has five bits and counts words of 16 (9.3).
const maxTagBits = 31 * 16

// PlusTag is the tag that holds a code in the '+' scheme of its key: the key with what makes it one thing, and every other field behind them, where readers
// get them in the same breath. The error, of kind problem.BadID, says what does not fit.
func PlusTag(e Elements, filter uint8) (Tag, error) {
	for i := range plusCodings {
		c := &plusCodings[i]
		if _, ok := e.Value(c.ais[0]); ok && !c.dated && !c.host {
			t := Tag{Scheme: c.name, Filter: filter, Elements: e}
			_, err := t.Binary()
			return t, err
		}
	}
	return Tag{}, badTag(e.String(), "it has no key that tags hold, such as (01), (00), (414), (8003) or (8004); add it", "其中没有标签可承载的标识，如 (01)、(00)、(414)、(8003)、(8004)；请补上")
}

// writePlus writes a tag of a '+' scheme.
func (t Tag) writePlus(c *plusCoding) (*row, error) {
	fail := func(en, zh string) (*row, error) { return nil, badTag(t.Elements.String(), en, zh) }
	if t.Filter > 7 {
		return fail("a filter value goes from 0 to 7", "滤值应为 0 至 7")
	}
	if err := t.Elements.Check(); err != nil {
		return nil, err
	}
	w := &row{}
	w.small(uint64(c.header), 8)
	w.small(0, 1)
	w.small(uint64(t.Filter), 3)
	rest := t.Elements
	if c.dated {
		at := slices.IndexFunc(rest, func(f Element) bool { return slices.Contains(prioritised, f.AI) && len(f.Value) == 6 })
		if at < 0 {
			return fail(c.name+" needs a date: (11), (13), (15), (16), (17), (7006) or (7007)", c.name+" 需要一个日期：(11)、(13)、(15)、(16)、(17)、(7006) 或 (7007)")
		}
		w.small(uint64(slices.Index(prioritised, rest[at].AI)), 4)
		w.packTime(rest[at].Value)
		rest = slices.Delete(slices.Clone(rest), at, at+1)
	}
	for i, ai := range c.ais {
		value, ok := t.Elements.Value(ai)
		if !ok && ai == "254" {
			value, ok = "0", true // as in every SGLN: a place without an extension
		}
		if !ok || i == 0 && c.serial > 0 && len(value) <= c.serial {
			return fail(c.name+" needs ("+ai+") with a serial number: without it, it would be a class of things", c.name+" 需要带序列号的 ("+ai+")：否则只是一类物品")
		}
		if !w.packValue(ai, value) {
			return fail("the value of ("+ai+") is longer than tags can hold", "("+ai+") 的值超出标签可容纳的长度")
		}
	}
	if c.host && !w.packHost(t.Host) {
		return fail(c.name+" needs a host of up to 63 characters, such as id.example.com", c.name+" 需要至多 63 个字符的主机名，如 id.example.com")
	}
	var last Element
	for _, f := range rest {
		if slices.Contains(c.ais, f.AI) {
			continue
		}
		w.b[8], last = 1, f
		for i := range len(f.AI) {
			w.small(uint64(f.AI[i]-'0'), 4)
		}
		if !w.packValue(f.AI, f.Value) {
			return fail("tags do not hold ("+f.AI+"), or none of this length; leave it out", "标签不承载 ("+f.AI+") 或该长度的值；请去掉")
		}
	}
	if len(w.b) > maxTagBits {
		return fail("it takes more than the 496 bits of a tag; leave fields out", "超出标签的 496 位；请减少字段")
	}
	if last.AI == "00" && strings.Trim(last.Value, "0") == "" { // the same bits as what fills up the last word (15.3)
		return fail("(00) of nothing but zeros would be lost at the end of a tag; leave it out", "标签末尾全为零的 (00) 会丢失；请去掉")
	}
	return w, nil
}

// readPlus reads a tag of a '+' scheme; w stands behind the header. en is what is wrong, or empty.
func (c *plusCoding) readPlus(w *row) (t Tag, en, zh string) {
	t.Scheme = c.name
	short := func() (Tag, string, string) {
		return t, "its bits end too early for " + c.name + ", or hold what that cannot", "其位串对 " + c.name + " 过短，或含有不允许的内容"
	}
	more, _ := w.takeSmall(1)
	filter, ok := w.takeSmall(3)
	if t.Filter = uint8(filter); !ok {
		return short()
	}
	var date Element
	if c.dated {
		which, ok := w.takeSmall(4)
		if !ok || which >= len(prioritised) {
			return short()
		}
		date.AI = prioritised[which]
		if date.Value, ok = w.unpackTime(6); !ok {
			return short()
		}
	}
	for _, ai := range c.ais {
		value, ok := w.unpackValue(ai)
		if !ok || c.serial > 0 && len(value) <= c.serial {
			return short()
		}
		if ai == "254" && value == "0" {
			continue
		}
		t.Elements = append(t.Elements, Element{ai, value})
	}
	if c.dated {
		t.Elements = append(t.Elements, date)
	}
	if c.host {
		if t.Host, ok = w.unpackHost(); !ok {
			return t, "the host behind its fields ends too early, or is none", "字段之后的主机名过短或不合法"
		}
	}
	has := false
	for len(w.b)-w.at >= 8 && !zeros(w.b[w.at:]) {
		has = true
		ai, ok := w.unpackAI()
		if !ok {
			return t, "behind its EPC stands no application identifier that tags hold", "EPC 之后不是标签可承载的应用标识符"
		}
		value, ok := w.unpackValue(ai)
		if !ok || len(t.Elements) == maxElements {
			return t, "the value of (" + ai + ") ends too early, or holds what it cannot", "(" + ai + ") 的值过短或含有不允许的内容"
		}
		if _, twice := t.Elements.Value(ai); twice {
			return t, "(" + ai + ") stands twice", "(" + ai + ") 出现两次"
		}
		t.Elements = append(t.Elements, Element{ai, value})
	}
	if has != (more == 1) {
		return t, "bit 8 says that there is data behind its EPC, or that there is none, and it is not so", "第 8 位关于 EPC 之后有无数据的标记与内容不符"
	}
	if !zeros(w.b[w.at:]) {
		return t, "behind its last field stand bits that are not zero", "最后一个字段之后有非零位"
	}
	return t, "", ""
}

// unpackAI reads an application identifier, four bits a digit; its first two digits say how many it has (table K).
func (w *row) unpackAI() (string, bool) {
	ai, ok := w.unpack(packing{'N', 2})
	if !ok {
		return "", false
	}
	if n := int(lengths[number(ai)]); n > 2 {
		rest, ok := w.unpack(packing{'N', n - 2})
		if !ok {
			return "", false
		}
		ai += rest
	}
	return ai, packings[ai] != nil
}

func zeros(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
