package bench

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// A Protocol makes questions and judges answers. It is a value without state: every client uses the same one.
type Protocol interface {
	// Ask appends the question for record n, marked with id, to b. Answers must bring back at least the id's low 16 bits.
	Ask(b []byte, n uint64, id uint32) []byte
	// Frame is the length of the first whole message at the start of b, on a connection: 0 when more must be read
	// first, -1 when b cannot be a message.
	Frame(b []byte) int
	// Judge reads one message.
	Judge(answer []byte) (id uint32, v Verdict)
	// InOrder reports that answers carry no id and come in the order of the questions.
	InOrder() bool
}

// Verdict is what a message is to the question that carries its id.
type Verdict uint8

const (
	Wrong   Verdict = iota // a refusal, an error or rubbish
	Right                  // the answer, or its last part
	Partial                // a part of the answer that is not its last
)

// IRP is the Handle protocol (2.11): a resolution of all public values.
type IRP struct {
	// Flags of the request header. ClientFlags is what Handle.Net's client sends.
	Flags uint32
	// Expires is the request's expiration time, epoch seconds.
	Expires uint32
	// Echo takes any message that carries an id for the answer.
	Echo bool
}

const (
	ClientFlags   = 0x19000000 // recursive, cache allowed, public values only
	KeepConnected = 0x02000000

	envelopeSize = 20
	headerSize   = 24
	firstID      = 1 << 24 // request ids are positive, and never 0
)

// AppendResolution appends a resolution request of version 2.11: envelope, header, body and empty credential.
func AppendResolution(b []byte, requestID, flags, expires uint32, handle []byte, indexes []uint32, types []string) []byte {
	body := 4 + len(handle) + 4 + 4*len(indexes) + 4
	for _, t := range types {
		body += 4 + len(t)
	}
	b = append(b, 2, 11, 2, 11, 0, 0, 0, 0) // version; no flags, the same version suggested; session 0
	b = binary.BigEndian.AppendUint32(b, requestID)
	b = binary.BigEndian.AppendUint32(b, 0) // sequence number
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+body+4))

	b = binary.BigEndian.AppendUint32(b, 1) // OC_RESOLUTION
	b = binary.BigEndian.AppendUint32(b, 0) // response code
	b = binary.BigEndian.AppendUint32(b, flags)
	b = append(b, 0xff, 0xff, 0, 0) // site serial unknown; recursion count; reserved
	b = binary.BigEndian.AppendUint32(b, expires)
	b = binary.BigEndian.AppendUint32(b, uint32(body))

	b = appendString(b, handle)
	b = binary.BigEndian.AppendUint32(b, uint32(len(indexes)))
	for _, i := range indexes {
		b = binary.BigEndian.AppendUint32(b, i)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(types)))
	for _, t := range types {
		b = appendString(b, t)
	}
	return binary.BigEndian.AppendUint32(b, 0) // no credential
}

func (p IRP) Ask(b []byte, n uint64, id uint32) []byte {
	var room [len(Prefix) + 1 + suffixLen]byte
	return AppendResolution(b, firstID|id, p.Flags, p.Expires, AppendHandle(room[:0], n), nil, nil)
}

func (IRP) Frame(b []byte) int {
	if len(b) < envelopeSize {
		return 0
	}
	size := binary.BigEndian.Uint32(b[16:])
	if size > 1<<18 {
		return -1
	}
	if len(b) < envelopeSize+int(size) {
		return 0
	}
	return envelopeSize + int(size)
}

func (p IRP) Judge(m []byte) (uint32, Verdict) {
	if len(m) < envelopeSize {
		return 0, Wrong
	}
	id := binary.BigEndian.Uint32(m[8:]) &^ firstID
	if p.Echo {
		return id, Right
	}
	const truncated, perPacket = 0x20, 492
	if seq := binary.BigEndian.Uint32(m[12:]); m[2]&truncated != 0 {
		// One of several packets, which on one machine come in order: the last one completes the answer, the
		// first one has the code.
		if seq > 0 {
			if uint64(seq+1)*perPacket >= uint64(binary.BigEndian.Uint32(m[16:])) {
				return id, Right
			}
			return id, Partial
		}
	}
	if len(m) < envelopeSize+headerSize || binary.BigEndian.Uint32(m[20:]) != 1 || binary.BigEndian.Uint32(m[24:]) != 1 {
		return id, Wrong
	}
	if m[2]&truncated != 0 {
		return id, Partial
	}
	return id, Right
}

func (IRP) InOrder() bool { return false }

// DNS asks for the TXT records of a name in the zone that WriteZone writes.
type DNS struct{}

func (DNS) Ask(b []byte, n uint64, id uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(id))
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) // a query without recursion: one question
	b = append(b, suffixLen)
	b = AppendSuffix(b, n)
	b = append(b, zoneWire...)
	return append(b, 0, 16, 0, 1) // TXT, IN
}

// Frame refuses: the peers are asked over datagrams only.
func (DNS) Frame([]byte) int { return -1 }

func (DNS) Judge(m []byte) (uint32, Verdict) {
	if len(m) < 12 {
		return 0, Wrong
	}
	id := uint32(binary.BigEndian.Uint16(m))
	isAnswer, truncated, code, answers := m[2]&0x80 != 0, m[2]&0x02 != 0, m[3]&0x0f, binary.BigEndian.Uint16(m[6:])
	if !isAnswer || truncated || code != 0 || answers == 0 {
		return id, Wrong
	}
	return id, Right
}

func (DNS) InOrder() bool { return false }

// HTTP asks for the JSON form of a record over a kept connection.
type HTTP struct {
	Host string
}

func (p HTTP) Ask(b []byte, n uint64, _ uint32) []byte {
	b = append(b, "GET /api/handles/"...)
	b = AppendHandle(b, n)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, p.Host...)
	return append(b, "\r\nAccept: application/json\r\n\r\n"...)
}

var (
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("\r\ncontent-length:")
	chunked       = []byte("\r\ntransfer-encoding: chunked")
	lastChunk     = []byte("\r\n0\r\n\r\n")
)

func (HTTP) Frame(b []byte) int {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		if len(b) > 1<<16 {
			return -1
		}
		return 0
	}
	head, body := b[:end+2], end+len(headEnd)
	if i := indexFold(head, contentLength); i >= 0 {
		line := head[i+len(contentLength):]
		line = line[:bytes.IndexByte(line, '\r')]
		size, err := strconv.Atoi(string(bytes.TrimSpace(line)))
		if err != nil || size < 0 || size > 1<<24 {
			return -1
		}
		if len(b) < body+size {
			return 0
		}
		return body + size
	}
	if indexFold(head, chunked) >= 0 {
		if i := bytes.Index(b[end+2:], lastChunk); i >= 0 {
			return end + 2 + i + len(lastChunk)
		}
		return 0
	}
	return -1
}

// indexFold finds the lower-case needle in b, of any case.
func indexFold(b, needle []byte) int {
	for i := 0; i+len(needle) <= len(b); i++ {
		j := bytes.IndexByte(b[i:], '\r')
		if j < 0 {
			return -1
		}
		if i += j; i+len(needle) <= len(b) && bytes.EqualFold(b[i:i+len(needle)], needle) {
			return i
		}
	}
	return -1
}

func (HTTP) Judge(m []byte) (uint32, Verdict) {
	if bytes.HasPrefix(m, []byte("HTTP/1.1 200")) {
		return 0, Right
	}
	return 0, Wrong
}

func (HTTP) InOrder() bool { return true }
