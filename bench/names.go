package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Prefix is the enterprise whose products the bench registers.
const Prefix = "88.118.1001"

// Every name has the same length, and names follow each other without order, as products of many lines do: sorted
// ones would flatter every store.
const (
	suffixLen = 2 + 8
	alphabet  = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's: no I, L, O, U
)

// scramble is a one-to-one mapping of 40-bit numbers.
func scramble(n uint64) uint64 {
	const mask = 1<<40 - 1
	n = n * 0x9E3779B97F4A7C15 & mask
	n ^= n >> 19
	n = n * 0xBF58476D1CE4E5B9 & mask
	return n ^ n>>21
}

// AppendSuffix appends the suffix of record n, such as "SN0C9W5ZQK".
func AppendSuffix(b []byte, n uint64) []byte {
	x := scramble(n)
	b = append(b, 'S', 'N')
	for shift := 35; shift >= 0; shift -= 5 {
		b = append(b, alphabet[x>>shift&31])
	}
	return b
}

// AppendHandle appends the identifier of record n, such as "88.118.1001/SN0C9W5ZQK".
func AppendHandle(b []byte, n uint64) []byte {
	b = append(b, Prefix...)
	b = append(b, '/')
	return AppendSuffix(b, n)
}

// value is one typed value of a record.
type value struct {
	index uint32
	typ   string
	data  string
}

// valuesOf is what record n answers: 3 values, about 120 bytes of data, not all of one length.
func valuesOf(n uint64) [3]value {
	return [3]value{
		{1, "URL", "https://id.example.cn/p/" + string(AppendHandle(nil, n))},
		{2, "NAME", fmt.Sprintf("Centrifugal pump CP-%03d, %s", n%1000, [...]string{"bronze", "cast iron", "duplex steel", "stainless steel 316L"}[n>>3%4])},
		{3, "BATCH", fmt.Sprintf("2026-%02d-%02d line %02d", n/28%12+1, n%28+1, n/336%40)},
	}
}

// urlOf is the one piece of record n's answer that no other record has.
func urlOf(n uint64) string { return valuesOf(n)[0].data }

// timestamp of every bench record, epoch seconds: fixed, so that runs compare.
const timestamp = 1_700_000_000

// appendRecord appends record n as its values lie on the wire and, near enough, in a store: the bytes for the bare
// engine. Handle-Protocol value: index, timestamp, TTL type and seconds, permissions, type, data, references.
func appendRecord(b []byte, n uint64) []byte {
	for _, v := range valuesOf(n) {
		b = binary.BigEndian.AppendUint32(b, v.index)
		b = binary.BigEndian.AppendUint32(b, timestamp)
		b = append(b, 0)
		b = binary.BigEndian.AppendUint32(b, 86400)
		b = append(b, 0x0e)
		b = appendString(b, v.typ)
		b = appendString(b, v.data)
		b = binary.BigEndian.AppendUint32(b, 0)
	}
	return b
}

func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// WriteJSONLines writes records from up to to (exclusive) as `fujie register` reads them.
func WriteJSONLines(w io.Writer, from, to uint64) error {
	bw := bufio.NewWriterSize(w, 1<<20)
	var id []byte
	for n := from; n < to; n++ {
		id = AppendHandle(id[:0], n)
		v := valuesOf(n)
		// Nothing in the data needs escaping in JSON.
		fmt.Fprintf(bw, `{"id":"%s","values":[{"index":%d,"type":"%s","data":"%s"},{"index":%d,"type":"%s","data":"%s"},{"index":%d,"type":"%s","data":"%s"}]}`+"\n",
			id, v[0].index, v[0].typ, v[0].data, v[1].index, v[1].typ, v[1].data, v[2].index, v[2].typ, v[2].data)
	}
	return bw.Flush()
}
