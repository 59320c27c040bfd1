package registry

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// What is under which key. Names are folded (a–z as A–Z). The part before the first zero byte is what a distributed
// engine spreads the keys by, so that all records of one prefix lie together.
//
//	r prefix 00 suffix   a record: see appendStored
//	c prefix             how many records the prefix has: u64
//	h prefix             this node answers for the prefix: u8 1
//	l number             a page of the change log, under the number of its first change, see pages
//	w number             nothing; numbered by the store, and so what wakes those who wait for changes
//	m 00 format          the version of this layout: u8 1
//	m 00 name            other things there are one of: the feed's identity, cursors, an import's progress
//
// A prefix without a suffix has no record of its own: 88.118 is 0.NA/88.118. A suffix may be any text without a zero
// byte, and a prefix holds no slash and no zero byte, so that the keys of a prefix begin with "r prefix 00" and stand
// in the order of their suffixes.
const (
	tagRecord = 'r'
	tagCount  = 'c'
	tagHomed  = 'h'
	tagLog    = 'l'
	tagWake   = 'w'
	tagMeta   = 'm'

	layoutVersion = 1
)

var (
	logPrefix  = []byte{tagLog}
	wakePrefix = []byte{tagWake}
	changesKey = metaKey("changes") // how many there are: u64
)

func metaKey(name string) []byte { return append([]byte{tagMeta, 0}, name...) }

// recordID is the identifier under which v's record is stored: a bare prefix is its prefix record.
func recordID(v id.ID) id.ID {
	if v.IsPrefix() {
		return id.PrefixRecord(v.Prefix())
	}
	return v
}

// appendRecordKey appends the key of v, which must have a suffix.
func appendRecordKey(dst []byte, v id.ID) []byte {
	dst = append(dst, tagRecord)
	dst = append(dst, v.Prefix()...)
	dst = append(dst, 0)
	return append(dst, v.Suffix()...)
}

// appendAskedKey appends the key of a handle as it was asked. ok is false when it is no handle; what a longer look
// would refuse too is never under a key.
func appendAskedKey(dst, name []byte) (key []byte, ok bool) {
	if len(name) == 0 || len(name) > handle.MaxLen {
		return dst, false
	}
	dst = append(dst, tagRecord)
	slash := bytes.IndexByte(name, '/')
	switch {
	case slash < 0:
		dst = append(dst, rootPrefix...)
		dst = append(dst, 0)
		return handle.AppendFold(dst, name), true
	case slash == 0 || slash == len(name)-1 || bytes.IndexByte(name, 0) >= 0:
		return dst, false
	}
	n := len(dst)
	dst = handle.AppendFold(dst, name)
	dst[n+slash] = 0
	return dst, true
}

// prefixIn is the prefix in the key of a record.
func prefixIn(key []byte) []byte { return key[1:bytes.IndexByte(key, 0)] }

// nameOf is the handle whose record is under key, in canonical form.
func nameOf(key []byte) string {
	name := string(key[1:])
	i := bytes.IndexByte(key, 0)
	if i < 1 {
		return name
	}
	return name[:i-1] + "/" + name[i:]
}

func idOf(key []byte) (id.ID, error) { return id.ParseHandle(nameOf(key)) }

func countKey(prefix string) []byte { return append([]byte{tagCount}, prefix...) }
func homedKey(prefix string) []byte { return append([]byte{tagHomed}, prefix...) }

func under(prefix, from string) []byte {
	k := append([]byte{tagRecord}, prefix...)
	k = append(k, 0)
	return append(k, from...)
}

// A stored record is a header and the value block as it is on the wire, so that an answer is one copy:
//
//	u8 layout (high half) and flags (low half) | u32 shortest relative TTL
//	 | when storedSigned: u32 length, the HS_SIGNATURE that came with a mirrored record, as one value
//	 | value block
const (
	storedLayout = 1 << 4

	storedPublic   = 1 << 0 // anybody may read every value, and there is one: the block is the public answer
	storedSlow     = 1 << 1 // never answered the fast way: an alias, or nothing that anybody may read
	storedAbsolute = 1 << 2 // some value lives until a fixed second: its TTLs must be looked at one by one
	storedSigned   = 1 << 3

	storedHeader = 5
)

// appendStored appends the stored form of a record. signature is nil or the value that proves it.
func appendStored(dst []byte, vs []record.Value, signature *record.Value) []byte {
	flags, ttl, public := byte(storedLayout|storedPublic), uint32(1<<32-1), 0
	for i := range vs {
		v := &vs[i]
		if v.Perm&record.PublicRead != 0 {
			public++
		} else {
			flags &^= storedPublic
		}
		if v.Type == record.TypeAlias {
			flags |= storedSlow
		}
		if v.TTL.Absolute {
			flags |= storedAbsolute
		} else {
			ttl = min(ttl, v.TTL.Seconds)
		}
	}
	if public == 0 {
		flags = flags&^storedPublic | storedSlow
	}
	if signature != nil {
		flags |= storedSigned
	}
	dst = append(dst, flags)
	dst = binary.BigEndian.AppendUint32(dst, ttl)
	if signature != nil {
		dst = binary.BigEndian.AppendUint32(dst, uint32(signature.Size()))
		dst = record.AppendValue(dst, signature)
	}
	return record.AppendBlock(dst, vs)
}

// stored is a stored record, taken apart without a copy.
type stored struct {
	flags     byte
	ttl       uint32
	signature []byte // one value, or nil
	block     []byte
}

func openStored(b []byte) (stored, error) {
	var s stored
	if len(b) < storedHeader || b[0]&0xf0 != storedLayout {
		return s, damaged("a stored record has an unknown header", "存储的记录头部无法识别")
	}
	s.flags, s.ttl, s.block = b[0]&0x0f, binary.BigEndian.Uint32(b[1:]), b[storedHeader:]
	if s.flags&storedSigned != 0 {
		if len(s.block) < 4 {
			return s, damaged("a stored signature is cut short", "存储的签名不完整")
		}
		n := binary.BigEndian.Uint32(s.block)
		if uint64(n) > uint64(len(s.block)-4) {
			return s, damaged("a stored signature is cut short", "存储的签名不完整")
		}
		s.signature, s.block = s.block[4:4+n], s.block[4+n:]
	}
	if len(s.block) < 4 {
		return s, damaged("a stored record is cut short", "存储的记录不完整")
	}
	return s, nil
}

// values are the record's values.
func (s stored) values() ([]record.Value, error) {
	vs, rest, err := record.DecodeBlock(s.block)
	if err != nil || len(rest) > 0 {
		return nil, problem.Wrap(err, problem.Internal, "a stored record is damaged: restore the node from its last export or a mirror",
			"存储的记录已损坏：请从最近的导出文件或镜像恢复该节点")
	}
	return vs, nil
}

// sealed is the signature that came with a mirrored record.
func (s stored) sealed() (record.Value, bool) {
	if s.signature == nil {
		return record.Value{}, false
	}
	v, rest, err := record.DecodeValue(s.signature)
	return v, err == nil && len(rest) == 0
}

func damaged(en, zh string) error {
	return problem.New(problem.Internal, en+": restore the node from its last export or a mirror", zh+"：请从最近的导出文件或镜像恢复该节点")
}

// appendPublic appends the block of the values that anybody may read, from a block of all, and the seconds they may be
// kept from now. ok is false when there are none, or one is an alias.
func (s stored) appendPublic(dst []byte, now int64) (out []byte, left int64, ok bool) {
	if s.flags&storedSlow != 0 {
		return dst, 0, false
	}
	if s.flags&(storedPublic|storedAbsolute) == storedPublic {
		return append(dst, s.block...), int64(s.ttl), true
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	n, left := uint32(0), int64(1<<62)
	for b := s.block[4:]; len(b) > 0; {
		size, perm, ttl := measure(b)
		if size == 0 {
			return dst[:start], 0, false
		}
		if perm&record.PublicRead != 0 {
			dst = append(dst, b[:size]...)
			left = min(left, ttl.Left(now))
			n++
		}
		b = b[size:]
	}
	binary.BigEndian.PutUint32(dst[start:], n)
	return dst, left, n > 0
}

// measure is the length, the permissions and the TTL of the value that b begins with; length 0 when it is cut short.
func measure(b []byte) (size int, perm record.Perm, ttl record.TTL) {
	const head = 14 // index, timestamp, ttl type, ttl, permissions
	if len(b) < head+12 {
		return 0, 0, ttl
	}
	ttl = record.TTL{Absolute: b[8] == 1, Seconds: binary.BigEndian.Uint32(b[9:])}
	perm = record.Perm(b[13])
	at := uint64(head)
	skip := func(more uint64) bool { // a length and what it covers, with more bytes behind it
		if at+4 > uint64(len(b)) {
			return false
		}
		at += 4 + uint64(binary.BigEndian.Uint32(b[at:])) + more
		return at <= uint64(len(b))
	}
	for range 2 { // type and data
		if !skip(0) {
			return 0, 0, ttl
		}
	}
	if at+4 > uint64(len(b)) {
		return 0, 0, ttl
	}
	refs := binary.BigEndian.Uint32(b[at:])
	at += 4
	for range refs {
		if !skip(4) {
			return 0, 0, ttl
		}
	}
	return int(at), perm, ttl
}

// Changes are numbered from 1 without gaps. A page of the log is the changes of one batch, or of a part of it, each
// behind its uvarint length: one entry in the store for a thousand registrations.
const pageAim = 256 << 10 // bytes after which a page ends

// pages puts changes together; of each page it also says how many they are.
func pages(changes [][]byte) (out [][]byte, counts []int) {
	for len(changes) > 0 {
		size, n := 0, 0
		for n < len(changes) && size < pageAim {
			size += binary.MaxVarintLen32 + len(changes[n])
			n++
		}
		p := make([]byte, 0, size)
		for _, c := range changes[:n] {
			p = binary.AppendUvarint(p, uint64(len(c)))
			p = append(p, c...)
		}
		out, counts, changes = append(out, p), append(counts, n), changes[n:]
	}
	return out, counts
}

// visitPage calls visit for each change behind after in the page whose first change has the number seq, until it
// returns an error. next is the number that follows.
func visitPage(seq uint64, page []byte, after uint64, visit func(record.Change) error) (next uint64, err error) {
	for ; len(page) > 0; seq++ {
		b, rest, ok := field(page, len(page))
		if !ok {
			return seq, damaged(fmt.Sprintf("the log is damaged at change %d", seq), fmt.Sprintf("日志在第 %d 条变更处损坏", seq))
		}
		page = rest
		if seq <= after {
			continue
		}
		c, err := decodeChange(seq, b)
		if err == nil {
			err = visit(c)
		}
		if err != nil {
			return seq, err
		}
	}
	return seq, nil
}

// A change is
//
//	u8 operation (low half) and flags | u48 milliseconds since 1970 | when changeDigest: 32 bytes
//	 | uvarint length, canonical name | when changeBy: uvarint index, the rest: name
//
// Values are not in it: who wants them reads the record.
const (
	changeBy       = 1 << 4
	changeOperator = 1 << 5
	changeDigest   = 1 << 6

	changeTime = 1 // where the time stands
)

func appendChange(dst []byte, c *record.Change) []byte {
	flags := byte(c.Op)
	if !c.By.IsZero() {
		flags |= changeBy
	}
	if c.By.Operator {
		flags |= changeOperator
	}
	if c.Digest != [32]byte{} {
		flags |= changeDigest
	}
	dst = append(dst, flags)
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	putTime(dst[len(dst)-6:], c.Time.UnixMilli())
	if flags&changeDigest != 0 {
		dst = append(dst, c.Digest[:]...)
	}
	name := c.ID.String()
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	if flags&changeBy != 0 {
		dst = binary.AppendUvarint(dst, uint64(c.By.Index))
		dst = append(dst, c.By.Name...)
	}
	return dst
}

func putTime(b []byte, ms int64) {
	b[0], b[1] = byte(ms>>40), byte(ms>>32)
	binary.BigEndian.PutUint32(b[2:], uint32(ms))
}

func decodeChange(seq uint64, b []byte) (record.Change, error) {
	c := record.Change{Seq: seq}
	bad := func() (record.Change, error) {
		return c, damaged(fmt.Sprintf("change %d in the log is damaged", seq), fmt.Sprintf("日志中第 %d 条变更已损坏", seq))
	}
	if len(b) < 7 {
		return bad()
	}
	flags := b[0]
	c.Op = record.Op(flags & 0x0f)
	c.Time = time.UnixMilli(int64(b[1])<<40 | int64(b[2])<<32 | int64(binary.BigEndian.Uint32(b[3:])))
	c.By.Operator = flags&changeOperator != 0
	b = b[7:]
	if flags&changeDigest != 0 {
		if len(b) < 32 {
			return bad()
		}
		copy(c.Digest[:], b)
		b = b[32:]
	}
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return bad()
	}
	name := string(b[w : w+int(n)])
	b = b[w+int(n):]
	if flags&changeBy != 0 {
		index, w := binary.Uvarint(b)
		if w <= 0 || index > 1<<32-1 {
			return bad()
		}
		c.By.Index, c.By.Name = uint32(index), string(b[w:])
	}
	var err error
	if c.ID, err = id.ParseHandle(name); err != nil {
		return bad()
	}
	return c, nil
}
