// Package record is what a code answers: typed values with their permissions and lifetimes, and the few doors through
// which every part of the system asks for them, changes them and hears of changes.
//
// A record is the list of values under one identifier (RFC 3651 §3). The binary form of a value is the one on the
// wire and the one in the store, so that an answer is a copy:
//
//	u32 index | u32 timestamp | u8 ttlType | u32 ttl | u8 permissions
//	 | u32 len, type | u32 len, data | u32 n, n × { u32 len, handle | u32 index }
//
// All numbers are big endian. A value block is u32 n and n values.
package record

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
)

// Absolute limits. What is over them is refused, whoever asks.
const (
	MaxData   = 1 << 20 // bytes of data in one value
	MaxType   = 1 << 10 // bytes of a type name
	MaxValues = 2048    // values of one record, as many as deployed clients decode
	MaxRefs   = 256     // references of one value
	MaxBlock  = 262144 - 4096
)

// DefaultTTL is what a value gets that names none, in seconds.
const DefaultTTL = 86400

// Perm says who may read and write a value.
type Perm uint8

const (
	PublicWrite Perm = 1 << iota
	PublicRead
	AdminWrite
	AdminRead

	// DefaultPerm is 1110: administrators read and write, anybody reads.
	DefaultPerm = AdminRead | AdminWrite | PublicRead
)

// String is the four digits of the text form: admin read, admin write, public read, public write.
func (p Perm) String() string {
	b := [4]byte{'0', '0', '0', '0'}
	for i := range b {
		if p&(AdminRead>>i) != 0 {
			b[i] = '1'
		}
	}
	return string(b[:])
}

// Value is one typed value of a record.
type Value struct {
	Index     uint32 // 1 and up, unique in its record
	Type      string // "URL", "HS_SITE", …
	Data      []byte
	TTL       TTL
	Perm      Perm
	Timestamp uint32 // when it was last changed, seconds since 1970; the registry sets it
	Refs      []Ref
}

// TTL is how long a value may be kept by others: seconds from when it was read, or, if Absolute, until that second
// since 1970.
type TTL struct {
	Absolute bool
	Seconds  uint32
}

// Left is how many seconds of life remain at now (seconds since 1970) for a value read at now. It is 0 or more.
func (t TTL) Left(now int64) int64 {
	if !t.Absolute {
		return int64(t.Seconds)
	}
	return max(0, int64(t.Seconds)-now)
}

// Ref names one value: 300:88.118.1001/ADMIN. Index 0 means any value of that record. The name is kept as it was
// written.
type Ref struct {
	Index uint32
	Name  string
}

// IsZero reports whether the Ref names nothing.
func (r Ref) IsZero() bool { return r.Name == "" }

// Same reports whether both name the same value; names compare as handles do, and the index must be equal.
func (r Ref) Same(o Ref) bool { return r.Index == o.Index && handle.Equal(r.Name, o.Name) }

// Covers is Same, with index 0 on r's side standing for every index.
func (r Ref) Covers(o Ref) bool {
	return (r.Index == 0 || r.Index == o.Index) && handle.Equal(r.Name, o.Name)
}

// String is index:name.
func (r Ref) String() string {
	var b [10]byte
	i := len(b)
	for n := r.Index; ; n /= 10 {
		i--
		b[i] = byte('0' + n%10)
		if n < 10 {
			break
		}
	}
	return string(b[i:]) + ":" + r.Name
}

// ParseRef reads index:name. A name without an index gives index 0.
func ParseRef(s string) (Ref, error) {
	head, name, ok := strings.Cut(s, ":")
	if !ok {
		return Ref{Name: s}, nil
	}
	var n uint64
	for i := 0; i < len(head); i++ {
		c := head[i]
		if c < '0' || c > '9' || n > 1<<32 {
			// A colon may be part of a name; then there is no index before it.
			return Ref{Name: s}, nil
		}
		n = n*10 + uint64(c-'0')
	}
	if head == "" || n >= 1<<32 || name == "" {
		return Ref{}, problem.New(problem.BadValue,
			"%q is no reference; write index:identifier, as in 300:88.118.1001/ADMIN",
			"%q 不是引用；请写成 索引:标识，例如 300:88.118.1001/ADMIN", s)
	}
	return Ref{Index: uint32(n), Name: name}, nil
}

// Check reports the first rule that the value breaks, as a problem.BadValue that names the index, the rule and the
// limit.
func (v *Value) Check() error {
	switch {
	case v.Index == 0 || v.Index > 1<<31-1:
		return problem.New(problem.BadValue, "value index %d is out of range; indexes are 1 to 2147483647",
			"值索引 %d 超出范围；索引应为 1 至 2147483647", v.Index)
	case v.Type == "" || len(v.Type) > MaxType || !utf8.ValidString(v.Type):
		return problem.New(problem.BadValue, "value %d has a bad type name; it takes 1 to %d bytes of UTF-8",
			"值 %d 的类型名不合规；应为 1 至 %d 字节的 UTF-8", v.Index, MaxType)
	case len(v.Data) > MaxData:
		return problem.New(problem.TooLarge, "value %d (%s) has %d bytes of data, over the limit of %d; store the content elsewhere and register its address",
			"值 %d（%s）有 %d 字节数据，超过上限 %d；请把内容存放在别处，登记其地址", v.Index, v.Type, len(v.Data), MaxData)
	case len(v.Refs) > MaxRefs:
		return problem.New(problem.TooLarge, "value %d has %d references, over the limit of %d",
			"值 %d 有 %d 个引用，超过上限 %d", v.Index, len(v.Refs), MaxRefs)
	case v.Perm > 0x0f:
		return problem.New(problem.BadValue, "value %d has permissions 0x%x; only the low four bits have a meaning",
			"值 %d 的权限为 0x%x；只有低四位有意义", v.Index, uint8(v.Perm))
	}
	for _, r := range v.Refs {
		if r.Name == "" || len(r.Name) > handle.MaxLen || !utf8.ValidString(r.Name) {
			return problem.New(problem.BadValue, "value %d has a reference that is no identifier",
				"值 %d 有一个不是标识的引用", v.Index)
		}
	}
	return nil
}

// CheckAll checks every value, that no index stands twice, and the size of the whole.
func CheckAll(vs []Value) error {
	if len(vs) > MaxValues {
		return problem.New(problem.TooLarge, "the record has %d values, over the limit of %d; split it over several identifiers",
			"记录有 %d 个值，超过上限 %d；请分到多个标识", len(vs), MaxValues)
	}
	size := 4
	for i := range vs {
		if err := vs[i].Check(); err != nil {
			return err
		}
		size += vs[i].Size()
		for j := range i {
			if vs[j].Index == vs[i].Index {
				return problem.New(problem.ValueExists, "Index conflict for %d: an index stands once in a record",
					"索引 %d 重复：一条记录中每个索引只能出现一次", vs[i].Index)
			}
		}
	}
	if size > MaxBlock {
		return problem.New(problem.TooLarge, "the record takes %d bytes, over the limit of %d that one message carries; store large content elsewhere and register its address",
			"记录占 %d 字节，超过一条消息可承载的上限 %d；请把大内容存放在别处，登记其地址", size, MaxBlock)
	}
	return nil
}

// Size is how many bytes AppendValue adds.
func (v *Value) Size() int {
	n := 4 + 4 + 1 + 4 + 1 + 4 + len(v.Type) + 4 + len(v.Data) + 4
	for _, r := range v.Refs {
		n += 8 + len(r.Name)
	}
	return n
}

// AppendValue appends the binary form of v.
func AppendValue(dst []byte, v *Value) []byte {
	dst = binary.BigEndian.AppendUint32(dst, v.Index)
	dst = binary.BigEndian.AppendUint32(dst, v.Timestamp)
	return v.AppendDigested(dst)
}

// AppendDigested appends the part of the binary form that signatures cover: everything behind index and timestamp.
func (v *Value) AppendDigested(dst []byte) []byte {
	if v.TTL.Absolute {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
	}
	dst = binary.BigEndian.AppendUint32(dst, v.TTL.Seconds)
	dst = append(dst, byte(v.Perm))
	dst = AppendString(dst, v.Type)
	dst = AppendString(dst, v.Data)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.Refs)))
	for _, r := range v.Refs {
		dst = AppendString(dst, r.Name)
		dst = binary.BigEndian.AppendUint32(dst, r.Index)
	}
	return dst
}

// AppendString appends u32 length and the bytes: the primitive of every format here.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

// AppendBlock appends u32 n and the n values.
func AppendBlock(dst []byte, vs []Value) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(vs)))
	for i := range vs {
		dst = AppendValue(dst, &vs[i])
	}
	return dst
}

// DecodeBlock reads a value block and returns what stands behind it. Data, types and names are copied. The error is
// of kind problem.BadRequest. More than MaxValues values, or lengths beyond the input, are refused before anything is
// allocated for them.
func DecodeBlock(b []byte) (vs []Value, rest []byte, err error) {
	r := NewReader(b)
	n := r.Count(MaxValues, minValue)
	if r.Err() == nil && n > 0 {
		vs = make([]Value, n)
		for i := range vs {
			r.value(&vs[i])
		}
	}
	if r.Err() != nil {
		return nil, nil, r.Err()
	}
	return vs, r.Rest(), nil
}

// DecodeValue reads one value in binary form and returns what stands behind it.
func DecodeValue(b []byte) (v Value, rest []byte, err error) {
	r := NewReader(b)
	r.value(&v)
	return v, r.Rest(), r.Err()
}

const minValue = 4 + 4 + 1 + 4 + 1 + 4 + 4 + 4

func (r *Reader) value(v *Value) {
	v.Index = r.U32()
	v.Timestamp = r.U32()
	switch t := r.U8(); t {
	case 0:
	case 1:
		v.TTL.Absolute = true
	default:
		r.Fail("ttl type %d is neither 0 nor 1", "TTL 类型 %d 既不是 0 也不是 1", t)
	}
	v.TTL.Seconds = r.U32()
	v.Perm = Perm(r.U8())
	v.Type = string(r.Bytes(MaxType))
	v.Data = bytes.Clone(r.Bytes(MaxData))
	if n := r.Count(MaxRefs, 8); n > 0 {
		v.Refs = make([]Ref, n)
		for i := range v.Refs {
			v.Refs[i].Name = string(r.Bytes(handle.MaxLen))
			v.Refs[i].Index = r.U32()
		}
	}
}

// Reader takes the formats of this protocol family apart. The first failure sticks: later reads give zeros, and Err
// tells. It never allocates from a length it has not checked against the bytes at hand.
type Reader struct {
	b   []byte
	off int
	err error
}

// NewReader reads from b, which must not change meanwhile.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is the first failure, of kind problem.BadRequest, or nil.
func (r *Reader) Err() error { return r.err }

// Fail makes the reader fail, unless it has already. Both sentences are formats.
func (r *Reader) Fail(en, zh string, args ...any) {
	if r.err == nil {
		r.err = problem.Wrap(problem.New(problem.BadRequest, en, zh, args...), problem.BadRequest,
			"malformed at byte %d", "第 %d 字节处格式错误", r.off)
	}
}

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.b) - r.off }

// Rest is the bytes that are left, not copied; nil after a failure.
func (r *Reader) Rest() []byte {
	if r.err != nil {
		return nil
	}
	return r.b[r.off:]
}

// Take is the next n bytes, not copied.
func (r *Reader) Take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b)-r.off {
		r.Fail("%d bytes wanted, %d left", "需要 %d 字节，只剩 %d 字节", n, len(r.b)-r.off)
		return nil
	}
	p := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return p
}

// U8 is the next byte.
func (r *Reader) U8() uint8 {
	if p := r.Take(1); p != nil {
		return p[0]
	}
	return 0
}

// U16 is the next two bytes.
func (r *Reader) U16() uint16 {
	if p := r.Take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

// U32 is the next four bytes.
func (r *Reader) U32() uint32 {
	if p := r.Take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// U64 is the next eight bytes.
func (r *Reader) U64() uint64 {
	if p := r.Take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// Bytes is u32 length and that many bytes, at most limit; not copied.
func (r *Reader) Bytes(limit int) []byte {
	n := r.U32()
	if r.err == nil && n > uint32(limit) {
		r.Fail("a length of %d is over the limit of %d", "长度 %d 超过上限 %d", n, limit)
		return nil
	}
	return r.Take(int(n))
}

// String is Bytes that must be UTF-8.
func (r *Reader) String(limit int) string {
	p := r.Bytes(limit)
	if !utf8.Valid(p) {
		r.Fail("a text is not UTF-8", "文本不是 UTF-8")
		return ""
	}
	return string(p)
}

// Count is a u32 that says how many things follow, each of at least size bytes; at most limit.
func (r *Reader) Count(limit, size int) int {
	n := r.U32()
	if r.err != nil {
		return 0
	}
	if n > uint32(limit) {
		r.Fail("a count of %d is over the limit of %d", "数量 %d 超过上限 %d", n, limit)
		return 0
	}
	if int(n)*size > r.Len() {
		r.Fail("%d things announced, but only %d bytes left", "声明有 %d 项，却只剩 %d 字节", n, r.Len())
		return 0
	}
	return int(n)
}
