package label

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
)

// Memory is the EPC memory bank of an RFID tag (ISO/IEC 18000-63) with an identifier that is not of GS1.
//
// Behind the CRC, which tags make themselves, stand:
//
//	word 1          PC: 5 bits how many words follow, user memory (0), extended PC (0), toggle (1: ISO, not EPC), 8 bits AFI
//	first octet     how the rest is written: 0x06 six bits a character, 0x08 octets of UTF-8
//	the rest        the identifier; at its end zero bits up to a whole word
//
// Six bits are the low six of the characters from space to underscore, as in ISO/IEC 15962: capitals, digits and / . - _ among them; letters of either case are one in an
// identifier, so that nearly all of them go this way. Zero bits, which would be @, end them; an identifier that holds @ is written in octets.
type Memory struct {
	AFI byte   // application family identifier (ISO/IEC 15961); 0 names none
	ID  string // the identifier
}

const (
	epcSixBit = 0x06
	epcOctets = 0x08
	epcToggle = 1 << 8
	maxEPC    = 62 // octets behind the PC word
)

// EPC is the memory for an identifier, from its PC word on, always whole words: 16 bits of PC and 16 to 496 behind it. Errors: problem.TooLarge when it is longer than any
// tag has, problem.BadValue for what is no UTF-8.
func EPC(name string, afi byte) ([]byte, error) {
	if name == "" || !utf8.ValidString(name) || strings.IndexByte(name, 0) >= 0 {
		return nil, problem.New(problem.BadValue, "%.60q cannot stand in a tag: give an identifier in UTF-8", "%.60q 无法写入标签：请给出 UTF-8 标识", name)
	}
	upper := asciiUpper(name)
	six := true
	for _, c := range []byte(upper) {
		six = six && c >= ' ' && c <= '_' && c != '@'
	}
	out := []byte{epcOctets}
	if six {
		out = []byte{epcSixBit}
		acc, bits := 0, 0
		for _, c := range []byte(upper) {
			acc, bits = acc<<6|int(c&0x3f), bits+6
			for bits >= 8 {
				bits -= 8
				out = append(out, byte(acc>>bits))
				acc &= 1<<bits - 1
			}
		}
		if bits > 0 {
			out = append(out, byte(acc<<(8-bits)))
		}
	} else {
		out = append(out, name...)
	}
	if len(out)%2 == 1 {
		out = append(out, 0)
	}
	if len(out) > maxEPC {
		return nil, problem.New(problem.TooLarge, "%.100s takes %d octets of a tag's memory, and there are %d at most: give it a shorter suffix", "%.100s 需要标签 %d 字节，而最多 %d 字节：请使用更短的后缀", name, len(out), maxEPC)
	}
	pc := uint16(len(out)/2)<<11 | epcToggle | uint16(afi)
	return append(binary.BigEndian.AppendUint16(nil, pc), out...), nil
}

// ParseEPC reads what EPC wrote; more of the bank may follow. The identifier is in its canonical spelling where it has one. Errors: problem.Unsupported for a tag of GS1,
// whose toggle bit is 0, and for other writings; problem.BadValue for memory that is cut off.
func ParseEPC(mem []byte) (Memory, error) {
	if len(mem) < 4 {
		return Memory{}, problem.New(problem.BadValue, "%d octets are no EPC memory: read it from the PC word on", "%d 字节不是 EPC 存储区：请从 PC 字开始读取", len(mem))
	}
	pc := binary.BigEndian.Uint16(mem)
	n := int(pc>>11) * 2
	switch {
	case pc&epcToggle == 0:
		return Memory{}, problem.New(problem.Unsupported, "the tag holds an EPC of GS1: read it as such", "该标签存的是 GS1 EPC：请按 GS1 方式读取")
	case n < 2 || len(mem)-2 < n:
		return Memory{}, problem.New(problem.BadValue, "the PC word says %d octets and %d came: read the whole bank", "PC 字说明有 %d 字节，而只读到 %d 字节：请读取整个存储区", n, len(mem)-2)
	}
	m := Memory{AFI: byte(pc)}
	body := mem[2 : 2+n]
	switch body[0] {
	case epcSixBit:
		var b strings.Builder
		acc, bits := 0, 0
		for _, c := range body[1:] {
			acc, bits = acc<<8|int(c), bits+8
			for bits >= 6 {
				bits -= 6
				v := byte(acc >> bits & 0x3f)
				acc &= 1<<bits - 1
				if v < 0x20 {
					v |= 0x40
				}
				b.WriteByte(v)
			}
		}
		m.ID, _, _ = strings.Cut(b.String(), "@")
	case epcOctets:
		m.ID = strings.TrimRight(string(body[1:]), "\x00")
	default:
		return Memory{}, problem.New(problem.Unsupported, "the tag's memory begins with %#02x, which is not written here: another system made it", "标签存储区以 %#02x 开头，并非本系统写入", body[0])
	}
	if m.ID == "" || !utf8.ValidString(m.ID) {
		return Memory{}, problem.New(problem.BadValue, "the tag's memory holds no identifier: write it again", "标签存储区中没有标识：请重新写入")
	}
	if v, err := id.Parse(m.ID); err == nil {
		m.ID = v.String()
	}
	return m, nil
}

func asciiUpper(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 32
		}
		return r
	}, s)
}
