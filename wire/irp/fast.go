package irp

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/record"
)

// The fast way: most requests are plain questions for public values. They are read where they lie, and their answers
// are written right behind one another, without a single allocation. Whatever is unusual about a request makes the
// fast way give up before it has done anything, and the long way (request.go) says what is to be said.

// fastFilters is how many indexes, and how many types, a question on the fast way may have.
const fastFilters = 64

// appendFast appends the whole answer to the whole message msg, or reports false and leaves dst as it was.
func appendFast(dst, msg []byte, v *view) (out []byte, ok bool) {
	be := binary.BigEndian
	if v.appender == nil || len(msg) < envelopeSize+headerSize+12 {
		return dst, false
	}
	if msg[0]-2 > 1 || // major version 2 or 3
		msg[2]&(bitCompressed|bitEncrypted|bitTruncated) != 0 ||
		be.Uint32(msg[4:]) != 0 || // session
		be.Uint32(msg[16:]) != uint32(len(msg)-envelopeSize) {
		return dst, false
	}
	speak := Version{msg[2] & maskMajor, msg[3]}
	if speak.Major == 0 {
		speak = Version{msg[0], msg[1]}
	}
	if speak.AtLeast(Latest.Major, Latest.Minor) {
		speak = Latest
	} else if speak.Major < 2 {
		return dst, false
	}
	h := msg[envelopeSize:]
	flags := Flags(be.Uint32(h[8:]))
	if be.Uint32(h) != uint32(OpResolution) || be.Uint32(h[4:]) != 0 ||
		flags&PublicOnly == 0 || flags&v.past != 0 ||
		stale(be.Uint16(h[12:]), v.serial) || h[14] > record.MaxDepth {
		return dst, false
	}
	bodyLen := be.Uint32(h[20:])
	rest := h[headerSize:]
	if uint64(bodyLen) > uint64(len(rest)) {
		return dst, false
	}
	body, credential := rest[:bodyLen], rest[bodyLen:]
	if len(credential) != 0 && (len(credential) != 4 || be.Uint32(credential) != 0) {
		return dst, false
	}
	name, body, ok := cutBytes(body)
	if !ok || len(name) > handle.MaxLen || bytes.IndexByte(name, '/') < 0 {
		return dst, false
	}
	if len(body) < 4 {
		return dst, false
	}
	n := be.Uint32(body)
	if n > fastFilters || len(body) < int(4+4*n+4) {
		return dst, false
	}
	indexes, types := body[4:4+4*n], body[4+4*n:]
	body = types[4:]
	nTypes := be.Uint32(types)
	if nTypes > fastFilters {
		return dst, false
	}
	for range nTypes {
		if _, body, ok = cutBytes(body); !ok {
			return dst, false
		}
	}
	types = types[4 : len(types)-len(body)]
	chinese := false
	if len(body) != 0 { // the Chinese dialect's fourth field, empty
		if len(body) != 4 || be.Uint32(body) != 0 {
			return dst, false
		}
		chinese = true
	}

	start := len(dst)
	if v.primary {
		flags |= Authoritative
	} else {
		flags &^= Authoritative
	}
	dst = append(dst, speak.Major, speak.Minor, Latest.Major, Latest.Minor, 0, 0, 0, 0,
		msg[8], msg[9], msg[10], msg[11], 0, 0, 0, 0, 0, 0, 0, 0) // length follows
	dst = AppendHeader(dst, &Header{Op: OpResolution, Code: Success, Flags: flags, SiteSerial: v.serial,
		Recursion: h[14], Expires: uint32(v.now + lifetime)}, 0)
	dst = record.AppendString(dst, name)
	block := len(dst)
	dst, _, ok = v.appender.AppendPublic(dst, name, v.now)
	if !ok || len(dst) < block+4 {
		return dst[:start], false
	}
	if len(indexes)+len(types) > 0 {
		dst, ok = filterBlock(dst, block, indexes, types)
		if !ok {
			return dst[:start], false
		}
	}
	if be.Uint32(dst[block:]) == 0 { // nothing to show is another answer
		return dst[:start], false
	}
	be.PutUint32(dst[start+envelopeSize+20:], uint32(len(dst)-start-envelopeSize-headerSize))
	dst = append(dst, 0, 0, 0, 0)
	length := len(dst) - start - envelopeSize
	if length > MaxMessage {
		return dst[:start], false
	}
	be.PutUint32(dst[start+16:], uint32(length))
	v.chinese = v.chinese || chinese
	return dst, true
}

// expecter is a record.Appender that answers faster when it hears a few names ahead.
type expecter interface {
	// Expect says that AppendPublic is about to be asked for names. It keeps none of them.
	Expect(names [][]byte)
}

// lookahead is how many names an expecter hears of at once.
const lookahead = 32

// askedName is the name that the message asks for if it is a plain question, nil if it does not look like one.
func askedName(msg []byte) []byte {
	const at = envelopeSize + headerSize
	if len(msg) < at+4 || binary.BigEndian.Uint32(msg[envelopeSize:]) != uint32(OpResolution) {
		return nil
	}
	name, _, _ := cutBytes(msg[at:])
	return name
}

// cutBytes takes u32 length and that many bytes from the front of b.
func cutBytes(b []byte) (p, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}

// filterBlock keeps, of the value block that b ends with from at on, the values that indexes (u32 each) or types (u32
// length and bytes each) name. ok is false when the block is not in form.
func filterBlock(b []byte, at int, indexes, types []byte) (out []byte, ok bool) {
	be := binary.BigEndian
	n := be.Uint32(b[at:])
	read, write, kept := at+4, at+4, uint32(0)
	for range n {
		size, typ := valueSize(b[read:])
		if size == 0 {
			return b, false
		}
		if wanted(b[read:read+4], typ, indexes, types) {
			copy(b[write:], b[read:read+size])
			write += size
			kept++
		}
		read += size
	}
	be.PutUint32(b[at:], kept)
	return b[:write], true
}

// valueSize is the length of the value that b begins with, and its type; 0 when it is not in form.
func valueSize(b []byte) (size int, typ []byte) {
	const fixed = 4 + 4 + 1 + 4 + 1
	if len(b) < fixed {
		return 0, nil
	}
	typ, rest, ok := cutBytes(b[fixed:])
	if ok {
		_, rest, ok = cutBytes(rest)
	}
	if !ok || len(rest) < 4 {
		return 0, nil
	}
	refs := binary.BigEndian.Uint32(rest)
	rest = rest[4:]
	for range refs {
		if _, rest, ok = cutBytes(rest); !ok || len(rest) < 4 {
			return 0, nil
		}
		rest = rest[4:]
	}
	return len(b) - len(rest), typ
}

func wanted(index, typ, indexes, types []byte) bool {
	for ; len(indexes) > 0; indexes = indexes[4:] {
		if [4]byte(indexes) == [4]byte(index) {
			return true
		}
	}
	for len(types) > 0 {
		var t []byte
		t, types, _ = cutBytes(types)
		if record.MatchType(text(t), text(typ)) {
			return true
		}
	}
	return false
}

// text looks at b as a string, for as long as b does not change.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
