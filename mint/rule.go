// Package mint makes codes: suffixes built by a rule out of constants, a date, a class, a serial number, characters that nobody
// can guess, and check digits; one, a range, or millions at once. Two codes of one rule are never the same, whoever
// asks for them at the same time and however often the machine stops: a range is the asker's, durably, before the
// first code of it is seen.
package mint

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
)

// Part is one piece of a code.
type Part struct {
	Kind   string `json:"kind" yaml:"kind" enum:"text,date,class,serial,random,check" doc:"text: as it is (常量); date: of the issue (日期); class: given at the issue (分类); serial: counts up (流水号); random: cannot be guessed, and is unique (随机); check: check characters over all before it (校验码)"`
	Text   string `json:"text,omitempty" yaml:"text" maxLength:"64" doc:"text: the constant"`
	Layout string `json:"layout,omitempty" yaml:"layout" enum:"YYYYMMDD,YYMMDD,YYYYMM,YYMM,YYYY,YYDDD" doc:"date: its form; YYYYMMDD if empty"`
	Width  int    `json:"width,omitempty" yaml:"width" minimum:"0" maximum:"18" doc:"class, serial, random: characters; a serial without one is as long as it needs to be"`
	Base   int    `json:"base,omitempty" yaml:"base" enum:"0,10,32" doc:"serial, random: 10 (digits, the default of serial) or 32 (without I, L, O, U; the default of random)"`
	Scheme Scheme `json:"scheme,omitempty" yaml:"scheme" enum:"mod11-2,mod37-2,mod97-10,mod11-10,mod37-36,gs1,luhn" doc:"check: ISO 7064, GS1 or Luhn"`
}

// Rule says how suffixes are built.
type Rule struct {
	Name     string `json:"name" yaml:"name" doc:"Letters, digits and dashes"`
	Title    string `json:"title,omitempty" yaml:"title" maxLength:"100"`
	Template string `json:"template,omitempty" yaml:"template" doc:"The template of what is coded so"`
	Parts    []Part `json:"parts" yaml:"parts" minItems:"1" maxItems:"20"`
}

// alphabet32 is digits and letters without those that are mistaken for others.
const alphabet32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var layouts = map[string]string{"": "20060102", "YYYYMMDD": "20060102", "YYMMDD": "060102", "YYYYMM": "200601", "YYMM": "0601", "YYYY": "2006", "YYDDD": "06002"}

const maxCode = 128

// Check says what is wrong with the rule.
func (r *Rule) Check() error {
	bad := func(i int, en, zh string, args ...any) error {
		return problem.New(problem.BadValue, fmt.Sprintf("part %d of the code rule: ", i+1)+en, fmt.Sprintf("编码规则第 %d 段：", i+1)+zh, args...)
	}
	if r.Name == "" || len(r.Name) > 40 || strings.Trim(r.Name, alnum+"abcdefghijklmnopqrstuvwxyz-") != "" {
		return problem.New(problem.BadValue, "%.60q is no name of a code rule: take up to 40 letters, digits and dashes", "%.60q 不能作为编码规则名：至多 40 个字母、数字、连字符", r.Name)
	}
	if len(r.Parts) == 0 || len(r.Parts) > 20 {
		return problem.New(problem.BadValue, "a code rule has 1 to 20 parts", "编码规则须有 1 至 20 段")
	}
	counts, open, n := 0, false, 0
	for i, p := range r.Parts {
		if open && p.Kind != "text" && p.Kind != "check" {
			return bad(i, "behind a serial without a width only constants and check characters may stand: give the serial a width", "不定长流水号之后只能有常量和校验码：请给流水号设定宽度")
		}
		switch p.Kind {
		case "text":
			if p.Text == "" || len(p.Text) > 64 {
				return bad(i, "a constant has 1 to 64 bytes", "常量须为 1 至 64 字节")
			}
			if _, err := id.ParseHandle("88.1/" + p.Text); err != nil || strings.ContainsAny(p.Text, ",\"\\") || strings.ContainsFunc(p.Text, func(r rune) bool { return r < ' ' }) {
				return bad(i, "%.60q may not stand in an identifier", "%.60q 不能出现在标识中", p.Text)
			}
			n += len(p.Text)
		case "date":
			if _, ok := layouts[p.Layout]; !ok {
				return bad(i, "%.20q is no form of a date: take YYYYMMDD, YYMMDD, YYYYMM, YYMM, YYYY or YYDDD", "%.20q 不是日期格式：可为 YYYYMMDD、YYMMDD、YYYYMM、YYMM、YYYY、YYDDD", p.Layout)
			}
			n += 8
		case "class":
			if p.Width < 1 || p.Width > 18 {
				return bad(i, "a class needs a width of 1 to 18", "分类须设宽度 1 至 18")
			}
			n += p.Width
		case "serial":
			if p.Width < 0 || p.Width > 18 || p.base() == 32 && p.Width > 12 || p.Base != 0 && p.Base != 10 && p.Base != 32 {
				return bad(i, "a serial is at most 18 digits, or 12 characters of base 32", "流水号至多 18 位十进制或 12 位三十二进制")
			}
			counts++
			open = p.Width == 0
			n += 18
		case "random":
			if p.Width < 8 || p.base() == 32 && p.Width > 12 || p.Width > 18 || p.Base != 0 && p.Base != 10 && p.Base != 32 {
				return bad(i, "random characters are 8 to 12 of base 32, or 8 to 18 digits", "随机段须为 8 至 12 位三十二进制或 8 至 18 位十进制")
			}
			counts++
			n += p.Width
		case "check":
			if p.Scheme.width() == 0 || i == 0 {
				return bad(i, "%.20q is no way to compute check characters (mod11-2, mod37-2, mod97-10, mod11-10, mod37-36, gs1, luhn), or nothing stands before it", "%.20q 不是校验算法（mod11-2、mod37-2、mod97-10、mod11-10、mod37-36、gs1、luhn），或其前没有内容", p.Scheme)
			}
			n += p.Scheme.width()
		default:
			return bad(i, "%.20q is no kind: take text, date, class, serial, random or check", "%.20q 不是类型：可为 text、date、class、serial、random、check", p.Kind)
		}
	}
	if counts != 1 {
		return problem.New(problem.BadValue, "a code rule needs one part that differs from code to code, a serial or a random one, and has %d", "编码规则须恰有一段流水号或随机段，现有 %d 段", counts)
	}
	if n > maxCode {
		return problem.New(problem.BadValue, "its codes would be over %d characters: shorten it", "编码将超过 %d 个字符：请缩短", maxCode)
	}
	return nil
}

func (p *Part) base() uint64 {
	switch {
	case p.Base != 0:
		return uint64(p.Base)
	case p.Kind == "random":
		return 32
	}
	return 10
}

// counting is the part that differs from code to code.
func (r *Rule) counting() *Part {
	for i := range r.Parts {
		if k := r.Parts[i].Kind; k == "serial" || k == "random" {
			return &r.Parts[i]
		}
	}
	return nil
}

// Room is how many codes the rule has.
func (r *Rule) Room() uint64 {
	p := r.counting()
	w := p.Width
	if w == 0 {
		w = 18
	}
	n := uint64(1)
	for range w {
		n *= p.base()
	}
	return n
}

// maker builds codes of one rule, for one date and class.
type maker struct {
	rule  *Rule
	block cipher.Block
	room  uint64
	half  int // bits of each half that is shuffled
	date  time.Time
	class string
	buf   [2 * aes.BlockSize]byte
}

func newMaker(r *Rule, secret []byte, date time.Time, class string) (*maker, error) {
	m := &maker{rule: r, room: r.Room(), date: date, class: class}
	if r.counting().Kind == "random" {
		var err error
		if m.block, err = aes.NewCipher(secret); err != nil {
			return nil, problem.Wrap(err, problem.Internal, "the code rule's secret is damaged", "编码规则的密钥已损坏")
		}
		m.half = (bits.Len64(m.room-1) + 1) / 2
	}
	for i := range r.Parts {
		if p := &r.Parts[i]; p.Kind == "class" {
			if len(class) != p.Width {
				return nil, problem.New(problem.BadValue, "the rule %s needs a class of %d characters, and got %.30q", "规则 %s 需要 %d 个字符的分类，收到 %.30q", r.Name, p.Width, class)
			}
			if strings.Trim(class, alnum+"abcdefghijklmnopqrstuvwxyz") != "" {
				return nil, problem.New(problem.BadValue, "the class %.30q may have letters and digits only", "分类 %.30q 只能含字母和数字", class)
			}
		}
	}
	return m, nil
}

// rounds of the shuffle. Four keep two serial numbers apart for who cannot ask for many; eight leave room.
const rounds = 8

// shuffle maps serial numbers below room onto numbers below room, one to one, so that who does not know the secret cannot
// tell the next one: a balanced Feistel network over AES, walked until it lands below room. back is the other way.
func (m *maker) shuffle(n uint64, back bool) uint64 {
	mask := uint64(1)<<m.half - 1
	in, out := m.buf[:aes.BlockSize], m.buf[aes.BlockSize:]
	for {
		l, r := n>>m.half, n&mask
		for i := range rounds {
			clear(in)
			if back {
				i = rounds - 1 - i
				in[0] = byte(i)
				binary.BigEndian.PutUint64(in[8:], l)
				m.block.Encrypt(out, in)
				l, r = r^binary.BigEndian.Uint64(out)&mask, l
			} else {
				in[0] = byte(i)
				binary.BigEndian.PutUint64(in[8:], r)
				m.block.Encrypt(out, in)
				l, r = r, l^binary.BigEndian.Uint64(out)&mask
			}
		}
		if n = l<<m.half | r; n < m.room {
			return n
		}
	}
}

// append puts the code with the serial number n, from 0, behind dst.
func (m *maker) append(dst []byte, n uint64) []byte {
	start := len(dst)
	for i := range m.rule.Parts {
		switch p := &m.rule.Parts[i]; p.Kind {
		case "text":
			dst = append(dst, p.Text...)
		case "date":
			dst = m.date.AppendFormat(dst, layouts[p.Layout])
		case "class":
			dst = append(dst, m.class...)
		case "serial":
			dst = appendNumber(dst, n, p.base(), p.Width)
		case "random":
			dst = appendNumber(dst, m.shuffle(n, false), p.base(), p.Width)
		case "check":
			dst = p.Scheme.append(dst, dst[start:])
		}
	}
	return dst
}

func appendNumber(dst []byte, n, base uint64, width int) []byte {
	var b [20]byte
	at := len(b)
	for n > 0 || at == len(b) {
		at--
		b[at] = alphabet32[n%base]
		n /= base
	}
	for len(b)-at < width {
		at--
		b[at] = '0'
	}
	return append(dst, b[at:]...)
}

// Parsed is what a code says.
type Parsed struct {
	Rule   string    `json:"rule"`
	Serial uint64    `json:"serial" doc:"Its number, from 0; of a random code the one it was made from"`
	Date   time.Time `json:"date,omitzero"`
	Class  string    `json:"class,omitempty"`
	Issued bool      `json:"issued" doc:"Its number was given out"`
}

// parse takes a suffix apart. It is problem.BadValue when the suffix is not of this rule, or its check characters are wrong.
func (m *maker) parse(code string) (Parsed, error) {
	out := Parsed{Rule: m.rule.Name}
	s := strings.ToUpper(code)
	bad := func(i int, en, zh string) error {
		return problem.New(problem.BadValue, "%.100q is no code of the rule %s: part %d "+en, "%.100q 不是规则 %s 的编码：第 %d 段"+zh, code, m.rule.Name, i+1)
	}
	if len(code) > maxCode {
		return out, bad(0, "is too long", "过长")
	}
	rest := s
	for i := range m.rule.Parts {
		p := &m.rule.Parts[i]
		n := p.Width
		switch p.Kind {
		case "text":
			n = len(p.Text)
		case "date":
			n = len(layouts[p.Layout])
		case "check":
			n = p.Scheme.width()
		case "serial":
			if n == 0 { // what is behind it has a fixed length
				n = len(rest)
				for _, q := range m.rule.Parts[i+1:] {
					n -= len(q.Text) + q.Scheme.width()
				}
			}
		}
		if n < 1 || n > len(rest) {
			return out, bad(i, "is missing", "缺失")
		}
		piece := rest[:n]
		before := s[:len(s)-len(rest)]
		rest = rest[n:]
		switch p.Kind {
		case "text":
			if piece != strings.ToUpper(p.Text) {
				return out, bad(i, "is another constant", "常量不符")
			}
		case "date":
			d, err := time.Parse(layouts[p.Layout], piece)
			if err != nil {
				return out, bad(i, "is no date", "不是日期")
			}
			out.Date = d
		case "class":
			out.Class = piece
		case "check":
			if strings.ToUpper(p.Scheme.Check(before)) != piece {
				return out, bad(i, "does not check: a character was misread", "校验不符：有字符误读")
			}
		default:
			v := uint64(0)
			for _, c := range []byte(piece) {
				d := strings.IndexByte(alphabet32[:p.base()], c)
				if d < 0 || len(piece) > 18 {
					return out, bad(i, "has a character that it cannot have", "含有不允许的字符")
				}
				v = v*p.base() + uint64(d)
			}
			if p.Width == 0 && len(piece) > 1 && piece[0] == '0' || v >= m.room {
				return out, bad(i, "is not as the rule writes it", "写法不符")
			}
			if out.Serial = v; p.Kind == "random" {
				out.Serial = m.shuffle(v, true)
			}
		}
	}
	if rest != "" {
		return out, bad(len(m.rule.Parts), "should not be there", "多余")
	}
	return out, nil
}
