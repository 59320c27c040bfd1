package history

import (
	"encoding/hex"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// How an event rests, version 1. Every row says all of itself: no dictionary has to be at hand to read it.
//
//	row      u8 1 (the version) | u48 recordTime in milliseconds | 32 bytes event hash | by: uvarint index, text name
//	         | uvarint n, n bytes links | rest
//	links    uvarint set of the fields that follow, lowest bit first; what relates things, readable without the rest
//	rest     uvarint set of the fields that follow, lowest bit first; what a trace does without
//	text     uvarint length, that many bytes
//	list     uvarint n, n × item
//	names    a list of texts of which each says first how many bytes (uvarint) it shares with the one before it
//	time     varint seconds since 1970 | uvarint nanoseconds × 2 + (1: a zone follows) | varint offset in seconds
//	id       u8 0, text; or u8 1, 32 bytes: ni:///sha-256;HEX?ver=CBV2.0; or u8 2, 16 bytes: urn:uuid:UUID in lower case
//
// The hash in a row is the one of CBV 2.0, 8.9; 32 zero bytes when it is none of that form. Numbers of fixed size are big endian. A row is written once and never
// changed: what became of an event stands in the index entries that point at it.
const rowVersion = 1

// The fields of the links part, by their bits.
const (
	bitType = 1 << iota
	bitID
	bitTime
	bitOffset // absent: the offset of the time itself
	bitAction
	bitParent
	bitEPCs
	bitQuantities
	bitInputEPCs
	bitOutputEPCs
	bitInputQuantities
	bitOutputQuantities
	bitTransformation
	bitStep
	bitDisposition
	bitPersistent
	bitReadPoint
	bitBizLocation
	bitTransactions
	bitSources
	bitDestinations
	bitError
	bitNoOffset // the offset is absent though the time has one
)

// The fields of the rest part.
const (
	bitCertification = 1 << iota
	bitSensors
	bitILMD
	bitExtensions
	bitNamespaces
	bitReadPointExtensions
	bitBizLocationExtensions
	bitErrorExtensions
)

// maxDepth is how deep extension fields may lie in each other.
const maxDepth = 100

func appendUvarint(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendVarint(b []byte, v int64) []byte { return appendUvarint(b, uint64(v)<<1^uint64(v>>63)) }

func appendText(b []byte, s string) []byte { return append(appendUvarint(b, uint64(len(s))), s...) }

func appendNames(b []byte, list []string) []byte {
	b = appendUvarint(b, uint64(len(list)))
	last := ""
	for _, s := range list {
		n := min(len(s), len(last))
		i := 0
		for i < n && s[i] == last[i] {
			i++
		}
		b = appendUvarint(b, uint64(i))
		b = appendText(b, s[i:])
		last = s
	}
	return b
}

func appendTime(b []byte, t time.Time) []byte {
	b = appendVarint(b, t.Unix())
	nanos := uint64(t.Nanosecond()) << 1
	if t.Location() == time.UTC {
		return appendUvarint(b, nanos)
	}
	_, offset := t.Zone()
	return appendVarint(appendUvarint(b, nanos|1), int64(offset))
}

const niHead, niTail, uuidHead = "ni:///sha-256;", "?ver=CBV2.0", "urn:uuid:"

// nibbles are the values of lower-case hexadecimal digits, 0xff of everything else.
var nibbles = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	return t
}()

// lowerHex reads lower-case hexadecimal digits only, so that what is read can be written again as it was.
func lowerHex(dst []byte, s string) bool {
	bad := byte(0)
	for i := range dst {
		high, low := nibbles[s[2*i]], nibbles[s[2*i+1]]
		bad |= high | low
		dst[i] = high<<4 | low&15
	}
	return bad < 16
}

// packHash is the 32 bytes of an event hash.
func packHash(s string) (h [32]byte, ok bool) {
	if len(s) != len(niHead)+64+len(niTail) || !strings.HasPrefix(s, niHead) || !strings.HasSuffix(s, niTail) {
		return h, false
	}
	ok = lowerHex(h[:], s[len(niHead):len(niHead)+64])
	return h, ok
}

func unpackHash(h []byte) string {
	var b [len(niHead) + 64 + len(niTail)]byte
	copy(b[:], niHead)
	hex.Encode(b[len(niHead):], h)
	copy(b[len(niHead)+64:], niTail)
	return string(b[:])
}

func packUUID(s string) (u [16]byte, ok bool) {
	if len(s) != len(uuidHead)+36 || !strings.HasPrefix(s, uuidHead) {
		return u, false
	}
	s = s[len(uuidHead):]
	if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, false
	}
	return u, lowerHex(u[0:4], s[0:8]) && lowerHex(u[4:6], s[9:13]) && lowerHex(u[6:8], s[14:18]) && lowerHex(u[8:10], s[19:23]) && lowerHex(u[10:], s[24:])
}

func unpackUUID(u string) string {
	var b [len(uuidHead) + 36]byte
	n := copy(b[:], uuidHead)
	for i, part := range [5][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		if i > 0 {
			b[n] = '-'
			n++
		}
		n += hex.Encode(b[n:], []byte(u[part[0]:part[1]]))
	}
	return string(b[:])
}

func appendID(b []byte, id string) []byte {
	if h, ok := packHash(id); ok {
		return append(append(b, 1), h[:]...)
	}
	if u, ok := packUUID(id); ok {
		return append(append(b, 2), u[:]...)
	}
	return appendText(append(b, 0), id)
}

func appendQuantities(b []byte, list []epcis.Quantity) []byte {
	b = appendUvarint(b, uint64(len(list)))
	for i := range list {
		b = appendText(appendText(appendText(b, list[i].Class), string(list[i].Quantity)), list[i].Unit)
	}
	return b
}

// offsetOf is how an event's eventTimeZoneOffset says the offset of t.
func offsetOf(t time.Time) string {
	_, seconds := t.Zone()
	if seconds == 0 {
		return "+00:00"
	}
	b := [6]byte{0: '+', 3: ':'}
	if seconds < 0 {
		b[0], seconds = '-', -seconds
	}
	h, m := seconds/3600%100, seconds/60%60
	b[1], b[2], b[4], b[5] = byte('0'+h/10), byte('0'+h%10), byte('0'+m/10), byte('0'+m%10)
	return string(b[:])
}

// typeCodes are the codes of the kinds of events; a kind that is none of these is 0 and its text.
var typeCodes = [...]epcis.EventType{1: epcis.ObjectEvent, 2: epcis.AggregationEvent, 3: epcis.TransactionEvent, 4: epcis.TransformationEvent, 5: epcis.AssociationEvent}

var actionCodes = [...]epcis.Action{1: epcis.Add, 2: epcis.Observe, 3: epcis.Delete}

// appendLinks appends the links part.
func appendLinks(b []byte, e *epcis.Event) []byte {
	set := 0
	on := func(there bool, bit int) {
		if there {
			set |= bit
		}
	}
	on(e.Type != "", bitType)
	on(e.ID != "", bitID)
	on(!e.Time.IsZero(), bitTime)
	if e.TimeZoneOffset == "" {
		set |= bitNoOffset
	} else if e.Time.IsZero() || e.TimeZoneOffset != offsetOf(e.Time) {
		set |= bitOffset
	}
	on(e.Action != "", bitAction)
	on(e.Parent != "", bitParent)
	on(e.EPCs != nil, bitEPCs)
	on(e.Quantities != nil, bitQuantities)
	on(e.InputEPCs != nil, bitInputEPCs)
	on(e.OutputEPCs != nil, bitOutputEPCs)
	on(e.InputQuantities != nil, bitInputQuantities)
	on(e.OutputQuantities != nil, bitOutputQuantities)
	on(e.TransformationID != "", bitTransformation)
	on(e.BizStep != "", bitStep)
	on(e.Disposition != "", bitDisposition)
	on(e.PersistentDispositions != nil, bitPersistent)
	on(e.ReadPoint != nil, bitReadPoint)
	on(e.BizLocation != nil, bitBizLocation)
	on(e.Transactions != nil, bitTransactions)
	on(e.Sources != nil, bitSources)
	on(e.Destinations != nil, bitDestinations)
	on(e.Error != nil, bitError)
	b = appendUvarint(b, uint64(set))
	if set&bitType != 0 {
		if code := slices.Index(typeCodes[:], e.Type); code > 0 {
			b = append(b, byte(code))
		} else {
			b = appendText(append(b, 0), string(e.Type))
		}
	}
	if set&bitID != 0 {
		b = appendID(b, e.ID)
	}
	if set&bitTime != 0 {
		b = appendTime(b, e.Time)
	}
	if set&bitOffset != 0 {
		b = appendText(b, e.TimeZoneOffset)
	}
	if set&bitAction != 0 {
		if code := slices.Index(actionCodes[:], e.Action); code > 0 {
			b = append(b, byte(code))
		} else {
			b = appendText(append(b, 0), string(e.Action))
		}
	}
	if set&bitParent != 0 {
		b = appendText(b, e.Parent)
	}
	if set&bitEPCs != 0 {
		b = appendNames(b, e.EPCs)
	}
	if set&bitQuantities != 0 {
		b = appendQuantities(b, e.Quantities)
	}
	if set&bitInputEPCs != 0 {
		b = appendNames(b, e.InputEPCs)
	}
	if set&bitOutputEPCs != 0 {
		b = appendNames(b, e.OutputEPCs)
	}
	if set&bitInputQuantities != 0 {
		b = appendQuantities(b, e.InputQuantities)
	}
	if set&bitOutputQuantities != 0 {
		b = appendQuantities(b, e.OutputQuantities)
	}
	if set&bitTransformation != 0 {
		b = appendText(b, e.TransformationID)
	}
	if set&bitStep != 0 {
		b = appendText(b, e.BizStep)
	}
	if set&bitDisposition != 0 {
		b = appendText(b, e.Disposition)
	}
	if set&bitPersistent != 0 {
		b = appendTexts(appendTexts(b, e.PersistentDispositions.Set), e.PersistentDispositions.Unset)
	}
	if set&bitReadPoint != 0 {
		b = appendText(b, e.ReadPoint.ID)
	}
	if set&bitBizLocation != 0 {
		b = appendText(b, e.BizLocation.ID)
	}
	if set&bitTransactions != 0 {
		b = appendUvarint(b, uint64(len(e.Transactions)))
		for i := range e.Transactions {
			b = appendText(appendText(b, e.Transactions[i].Type), e.Transactions[i].ID)
		}
	}
	if set&bitSources != 0 {
		b = appendParties(b, e.Sources)
	}
	if set&bitDestinations != 0 {
		b = appendParties(b, e.Destinations)
	}
	if set&bitError != 0 {
		b = appendError(b, e.Error)
	}
	return b
}

func appendParties(b []byte, list []epcis.Party) []byte {
	b = appendUvarint(b, uint64(len(list)))
	for i := range list {
		b = appendText(appendText(b, list[i].Type), list[i].ID)
	}
	return b
}

// appendTexts appends a list that may be absent: 0, or its length and one.
func appendTexts(b []byte, list []string) []byte {
	if list == nil {
		return append(b, 0)
	}
	b = appendUvarint(b, uint64(len(list))+1)
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

func appendError(b []byte, d *epcis.ErrorDeclaration) []byte {
	b = appendOptionalTime(b, d.Time)
	return appendTexts(appendText(b, d.Reason), d.Corrections)
}

func appendOptionalTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return appendTime(append(b, 1), t)
}

// appendRest appends the rest part.
func appendRest(b []byte, e *epcis.Event) []byte {
	set := 0
	on := func(there bool, bit int) {
		if there {
			set |= bit
		}
	}
	on(e.Certification != nil, bitCertification)
	on(e.Sensors != nil, bitSensors)
	on(e.ILMD != nil, bitILMD)
	on(e.Extensions != nil, bitExtensions)
	on(e.Namespaces != nil, bitNamespaces)
	on(e.ReadPoint != nil && e.ReadPoint.Extensions != nil, bitReadPointExtensions)
	on(e.BizLocation != nil && e.BizLocation.Extensions != nil, bitBizLocationExtensions)
	on(e.Error != nil && e.Error.Extensions != nil, bitErrorExtensions)
	b = appendUvarint(b, uint64(set))
	if set&bitCertification != 0 {
		b = appendTexts(b, e.Certification)
	}
	if set&bitSensors != 0 {
		b = appendUvarint(b, uint64(len(e.Sensors)))
		for i := range e.Sensors {
			b = appendSensor(b, &e.Sensors[i])
		}
	}
	if set&bitILMD != 0 {
		b = appendFields(b, e.ILMD)
	}
	if set&bitExtensions != 0 {
		b = appendFields(b, e.Extensions)
	}
	if set&bitNamespaces != 0 {
		prefixes := make([]string, 0, len(e.Namespaces))
		for p := range e.Namespaces {
			prefixes = append(prefixes, p)
		}
		slices.Sort(prefixes)
		b = appendUvarint(b, uint64(len(prefixes)))
		for _, p := range prefixes {
			b = appendText(appendText(b, p), e.Namespaces[p])
		}
	}
	if set&bitReadPointExtensions != 0 {
		b = appendFields(b, e.ReadPoint.Extensions)
	}
	if set&bitBizLocationExtensions != 0 {
		b = appendFields(b, e.BizLocation.Extensions)
	}
	if set&bitErrorExtensions != 0 {
		b = appendFields(b, e.Error.Extensions)
	}
	return b
}

// appendFields appends fields that may be absent: 0, or their number and one.
func appendFields(b []byte, list []epcis.Field) []byte {
	if list == nil {
		return append(b, 0)
	}
	b = appendUvarint(b, uint64(len(list))+1)
	for i := range list {
		f := &list[i]
		b = appendText(appendText(appendText(b, f.Space), f.Name), f.Prefix)
		b = appendValue(b, &f.Value)
	}
	return b
}

func appendValue(b []byte, v *epcis.Value) []byte {
	kind := byte(v.Kind) << 4
	if v.Text != "" {
		kind |= 1
	}
	if v.Fields != nil {
		kind |= 2
	}
	if v.Items != nil {
		kind |= 4
	}
	if v.Attrs != nil {
		kind |= 8
	}
	b = append(b, kind)
	if kind&1 != 0 {
		b = appendText(b, v.Text)
	}
	if kind&2 != 0 {
		b = appendFields(b, v.Fields)
	}
	if kind&4 != 0 {
		b = appendUvarint(b, uint64(len(v.Items)))
		for i := range v.Items {
			b = appendValue(b, &v.Items[i])
		}
	}
	if kind&8 != 0 {
		b = appendFields(b, v.Attrs)
	}
	return b
}

// sensorTexts are the texts of sensor metadata, in the order of the row.
func sensorTexts(m *epcis.SensorMetadata) []*string {
	return []*string{&m.DeviceID, &m.DeviceMetadata, &m.RawData, &m.DataProcessingMethod, &m.BizRules}
}

// reportTexts are the texts of a sensor report, in the order of the row.
func reportTexts(r *epcis.SensorReport) [26]*string {
	return [26]*string{&r.Type, &r.Exception, &r.DeviceID, &r.DeviceMetadata, &r.RawData, &r.DataProcessingMethod, &r.BizRules, &r.Microorganism,
		&r.ChemicalSubstance, &r.CoordinateReferenceSystem, (*string)(&r.Value), &r.Component, &r.StringValue, &r.HexBinaryValue, &r.URIValue,
		(*string)(&r.MinValue), (*string)(&r.MaxValue), (*string)(&r.MeanValue), (*string)(&r.SDev), (*string)(&r.PercRank), (*string)(&r.PercValue), &r.Unit}
}

const (
	reportTime = 1 << (26 + iota)
	reportTrue
	reportFalse
	reportExtensions
)

func appendSensor(b []byte, s *epcis.SensorElement) []byte {
	if m := s.Metadata; m == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = appendOptionalTime(appendOptionalTime(appendOptionalTime(b, m.Time), m.Start), m.End)
		for _, text := range sensorTexts(m) {
			b = appendText(b, *text)
		}
		b = appendFields(b, m.Extensions)
	}
	if s.Reports == nil {
		b = append(b, 0)
	} else {
		b = appendUvarint(b, uint64(len(s.Reports))+1)
		for i := range s.Reports {
			b = appendReport(b, &s.Reports[i])
		}
	}
	return appendFields(b, s.Extensions)
}

func appendReport(b []byte, r *epcis.SensorReport) []byte {
	texts := reportTexts(r)
	set := uint64(0)
	for i, text := range texts {
		if text != nil && *text != "" {
			set |= 1 << i
		}
	}
	if !r.Time.IsZero() {
		set |= reportTime
	}
	if r.BooleanValue != nil {
		if *r.BooleanValue {
			set |= reportTrue
		} else {
			set |= reportFalse
		}
	}
	if r.Extensions != nil {
		set |= reportExtensions
	}
	b = appendUvarint(b, set)
	for i, text := range texts {
		if set&(1<<i) != 0 {
			b = appendText(b, *text)
		}
	}
	if set&reportTime != 0 {
		b = appendTime(b, r.Time)
	}
	if set&reportExtensions != 0 {
		b = appendFields(b, r.Extensions)
	}
	return b
}

// reader reads a part. After the first fault, bad is set and everything read is empty. Its texts are pieces of s.
type reader struct {
	s   string
	bad bool
}

func (r *reader) fail() {
	r.bad = true
	r.s = ""
}

func (r *reader) uvarint() uint64 {
	var v uint64
	for i := 0; i < len(r.s) && i < 10; i++ {
		c := r.s[i]
		if c < 0x80 {
			if i == 9 && c > 1 {
				break
			}
			r.s = r.s[i+1:]
			return v | uint64(c)<<(7*i)
		}
		v |= uint64(c&0x7f) << (7 * i)
	}
	r.fail()
	return 0
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *reader) bytes(n uint64) string {
	if n > uint64(len(r.s)) {
		r.fail()
		return ""
	}
	out := r.s[:n]
	r.s = r.s[n:]
	return out
}

func (r *reader) byte() byte {
	if len(r.s) == 0 {
		r.fail()
		return 0
	}
	c := r.s[0]
	r.s = r.s[1:]
	return c
}

func (r *reader) text() string { return r.bytes(r.uvarint()) }

// count reads the number of items of which each has at least size bytes, so that a false number cannot ask for memory.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.s)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) names() []string {
	n := r.count(2)
	out := make([]string, n)
	if n == 0 {
		return out
	}
	// The texts that share a beginning with another are put together in one piece of memory.
	ahead, total, length := *r, 0, 0
	for range n {
		shared, more := ahead.uvarint(), ahead.uvarint()
		ahead.bytes(more)
		if ahead.bad || shared > uint64(length) {
			r.fail()
			return nil
		}
		length = int(shared + more)
		if shared > 0 {
			total += length
		}
	}
	if total > maxNames {
		r.fail()
		return nil
	}
	var all strings.Builder
	all.Grow(total)
	last := ""
	for i := range out {
		shared, more := r.uvarint(), r.text()
		if shared == 0 {
			last = more
		} else {
			begin := all.Len()
			all.WriteString(last[:shared])
			all.WriteString(more)
			last = all.String()[begin:]
		}
		out[i] = last
	}
	return out
}

// maxNames is how many bytes of names a list may hold when it is put together again.
const maxNames = 256 << 20

// zones are the fixed zones by offset in quarters of an hour from -24 to +24 hours.
var zones [193]atomic.Pointer[time.Location]

func zone(seconds int) *time.Location {
	if i := seconds/900 + 96; seconds%900 == 0 && i >= 0 && i < len(zones) {
		if z := zones[i].Load(); z != nil {
			return z
		}
		z := time.FixedZone("", seconds)
		zones[i].Store(z)
		return z
	}
	return time.FixedZone("", seconds)
}

func (r *reader) time() time.Time {
	seconds, nanos := r.varint(), r.uvarint()
	t := time.Unix(seconds, int64(nanos>>1&(1<<30-1)))
	if nanos&1 == 0 {
		return t.UTC()
	}
	offset := r.varint()
	if offset < -1e6 || offset > 1e6 {
		r.fail()
		return time.Time{}
	}
	return t.In(zone(int(offset)))
}

func (r *reader) optionalTime() time.Time {
	if r.byte() == 0 {
		return time.Time{}
	}
	return r.time()
}

func (r *reader) id() string {
	switch r.byte() {
	case 0:
		return r.text()
	case 1:
		if h := r.bytes(32); h != "" {
			return unpackHash([]byte(h))
		}
	case 2:
		if u := r.bytes(16); u != "" {
			return unpackUUID(u)
		}
	}
	r.fail()
	return ""
}

func (r *reader) quantities() []epcis.Quantity {
	out := make([]epcis.Quantity, r.count(3))
	for i := range out {
		out[i] = epcis.Quantity{Class: r.text(), Quantity: epcis.Decimal(r.text()), Unit: r.text()}
	}
	return out
}

func (r *reader) texts() []string {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	if n--; n > uint64(len(r.s)) {
		r.fail()
		return nil
	}
	out := make([]string, n)
	for i := range out {
		out[i] = r.text()
	}
	return out
}

func (r *reader) parties() []epcis.Party {
	out := make([]epcis.Party, r.count(2))
	for i := range out {
		out[i] = epcis.Party{Type: r.text(), ID: r.text()}
	}
	return out
}

// links reads the links part into e.
func (r *reader) links(e *epcis.Event) {
	set := r.uvarint()
	if bits.Len64(set) > bits.Len64(bitNoOffset) {
		r.fail()
		return
	}
	if set&bitType != 0 {
		if code := int(r.byte()); code == 0 {
			e.Type = epcis.EventType(r.text())
		} else if code < len(typeCodes) {
			e.Type = typeCodes[code]
		} else {
			r.fail()
		}
	}
	if set&bitID != 0 {
		e.ID = r.id()
	}
	if set&bitTime != 0 {
		e.Time = r.time()
	}
	if set&bitOffset != 0 {
		e.TimeZoneOffset = r.text()
	} else if set&bitNoOffset == 0 && !r.bad {
		e.TimeZoneOffset = offsetText(e.Time)
	}
	if set&bitAction != 0 {
		if code := int(r.byte()); code == 0 {
			e.Action = epcis.Action(r.text())
		} else if code < len(actionCodes) {
			e.Action = actionCodes[code]
		} else {
			r.fail()
		}
	}
	if set&bitParent != 0 {
		e.Parent = r.text()
	}
	if set&bitEPCs != 0 {
		e.EPCs = r.names()
	}
	if set&bitQuantities != 0 {
		e.Quantities = r.quantities()
	}
	if set&bitInputEPCs != 0 {
		e.InputEPCs = r.names()
	}
	if set&bitOutputEPCs != 0 {
		e.OutputEPCs = r.names()
	}
	if set&bitInputQuantities != 0 {
		e.InputQuantities = r.quantities()
	}
	if set&bitOutputQuantities != 0 {
		e.OutputQuantities = r.quantities()
	}
	if set&bitTransformation != 0 {
		e.TransformationID = r.text()
	}
	if set&bitStep != 0 {
		e.BizStep = r.text()
	}
	if set&bitDisposition != 0 {
		e.Disposition = r.text()
	}
	if set&bitPersistent != 0 {
		e.PersistentDispositions = &epcis.PersistentDisposition{Set: r.texts(), Unset: r.texts()}
	}
	if set&bitReadPoint != 0 {
		e.ReadPoint = &epcis.Location{ID: r.text()}
	}
	if set&bitBizLocation != 0 {
		e.BizLocation = &epcis.Location{ID: r.text()}
	}
	if set&bitTransactions != 0 {
		e.Transactions = make([]epcis.Transaction, r.count(2))
		for i := range e.Transactions {
			e.Transactions[i] = epcis.Transaction{Type: r.text(), ID: r.text()}
		}
	}
	if set&bitSources != 0 {
		e.Sources = r.parties()
	}
	if set&bitDestinations != 0 {
		e.Destinations = r.parties()
	}
	if set&bitError != 0 {
		e.Error = &epcis.ErrorDeclaration{Time: r.optionalTime(), Reason: r.text(), Corrections: r.texts()}
	}
}

// offsets are the texts of offsetOf, made once each.
var offsets [193]atomic.Pointer[string]

func offsetText(t time.Time) string {
	_, seconds := t.Zone()
	i := seconds/900 + 96
	if seconds%900 != 0 || i < 0 || i >= len(offsets) {
		return offsetOf(t)
	}
	if s := offsets[i].Load(); s != nil {
		return *s
	}
	s := offsetOf(t)
	offsets[i].Store(&s)
	return s
}

// rest reads the rest part into e, whose links were read.
func (r *reader) rest(e *epcis.Event) {
	set := r.uvarint()
	if bits.Len64(set) > bits.Len64(bitErrorExtensions) {
		r.fail()
		return
	}
	if set&bitCertification != 0 {
		e.Certification = r.texts()
	}
	if set&bitSensors != 0 {
		n := r.count(3)
		e.Sensors = make([]epcis.SensorElement, 0, min(n, 4))
		for range n {
			e.Sensors = append(e.Sensors, epcis.SensorElement{})
			if r.sensor(&e.Sensors[len(e.Sensors)-1]); r.bad {
				return
			}
		}
	}
	if set&bitILMD != 0 {
		e.ILMD = r.fields(maxDepth)
	}
	if set&bitExtensions != 0 {
		e.Extensions = r.fields(maxDepth)
	}
	if set&bitNamespaces != 0 {
		n := r.count(2)
		e.Namespaces = make(map[string]string, n)
		for range n {
			prefix := r.text()
			e.Namespaces[prefix] = r.text()
			if r.bad {
				return
			}
		}
	}
	if set&bitReadPointExtensions != 0 {
		if e.ReadPoint == nil {
			r.fail()
			return
		}
		e.ReadPoint.Extensions = r.fields(maxDepth)
	}
	if set&bitBizLocationExtensions != 0 {
		if e.BizLocation == nil {
			r.fail()
			return
		}
		e.BizLocation.Extensions = r.fields(maxDepth)
	}
	if set&bitErrorExtensions != 0 {
		if e.Error == nil {
			r.fail()
			return
		}
		e.Error.Extensions = r.fields(maxDepth)
	}
}

func (r *reader) fields(depth int) []epcis.Field {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	if n--; depth == 0 || n > uint64(len(r.s)/4) {
		r.fail()
		return nil
	}
	// Memory is taken as items are read, not as their number says: items lie in items, and each may claim that many follow.
	out := make([]epcis.Field, 0, min(n, 8))
	for range n {
		out = append(out, epcis.Field{Space: r.text(), Name: r.text(), Prefix: r.text()})
		if r.value(&out[len(out)-1].Value, depth-1); r.bad {
			return nil
		}
	}
	return out
}

func (r *reader) value(v *epcis.Value, depth int) {
	kind := r.byte()
	v.Kind = epcis.ValueKind(kind >> 4)
	if v.Kind > epcis.List {
		r.fail()
		return
	}
	if kind&1 != 0 {
		v.Text = r.text()
	}
	if kind&2 != 0 {
		v.Fields = r.fields(depth)
	}
	if kind&4 != 0 {
		n := r.count(1)
		if depth == 0 {
			r.fail()
			return
		}
		v.Items = make([]epcis.Value, 0, min(n, 8))
		for range n {
			v.Items = append(v.Items, epcis.Value{})
			if r.value(&v.Items[len(v.Items)-1], depth-1); r.bad {
				return
			}
		}
	}
	if kind&8 != 0 {
		v.Attrs = r.fields(depth)
	}
}

func (r *reader) sensor(s *epcis.SensorElement) {
	if r.byte() != 0 {
		m := &epcis.SensorMetadata{Time: r.optionalTime(), Start: r.optionalTime(), End: r.optionalTime()}
		for _, text := range sensorTexts(m) {
			*text = r.text()
		}
		m.Extensions = r.fields(maxDepth)
		s.Metadata = m
	}
	if n := r.uvarint(); n > 0 {
		if n--; n > uint64(len(r.s)) {
			r.fail()
			return
		}
		s.Reports = make([]epcis.SensorReport, 0, min(n, 4))
		for range n {
			s.Reports = append(s.Reports, epcis.SensorReport{})
			if r.report(&s.Reports[len(s.Reports)-1]); r.bad {
				return
			}
		}
	}
	s.Extensions = r.fields(maxDepth)
}

func (r *reader) report(p *epcis.SensorReport) {
	set := r.uvarint()
	for i, text := range reportTexts(p) {
		if set&(1<<i) != 0 {
			if text == nil {
				r.fail()
				return
			}
			*text = r.text()
		}
	}
	if set&reportTime != 0 {
		p.Time = r.time()
	}
	if set&(reportTrue|reportFalse) != 0 {
		yes := set&reportTrue != 0
		p.BooleanValue = &yes
	}
	if set&reportExtensions != 0 {
		p.Extensions = r.fields(maxDepth)
	}
}

// appendHead appends what stands before the links in a row.
func appendHead(b []byte, recorded uint64, hash [32]byte, by Ref) []byte {
	b = append(b, rowVersion)
	b = append48(b, recorded)
	b = append(b, hash[:]...)
	b = appendUvarint(b, uint64(by.Index))
	return appendText(b, by.Name)
}

func append48(b []byte, v uint64) []byte {
	return append(b, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func read48[T string | []byte](b T) uint64 {
	_ = b[5]
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}

// row is a row that was opened; its parts are read when they are asked for.
type row struct {
	recorded    uint64
	hash        string // 32 bytes
	by          Ref
	links, rest string
}

func damaged() error {
	return problem.New(problem.Internal,
		"a stored event cannot be read: it was written by another version of the program, or damaged; restore a backup",
		"有一条已存储的事件无法读取：可能由其他版本写入或已损坏，请从备份恢复")
}

// openRow takes value apart; what it returns holds on to value.
func openRow(value string) (row, error) {
	const head = 1 + 6 + 32
	if len(value) < head || value[0] != rowVersion {
		return row{}, damaged()
	}
	w := row{recorded: read48(value[1:]), hash: value[7:head]}
	r := reader{s: value[head:]}
	index := r.uvarint()
	w.by = Ref{Index: uint32(index), Name: r.text()}
	w.links = r.text()
	w.rest = r.s
	if r.bad || index > 1<<32-1 {
		return row{}, damaged()
	}
	return w, nil
}

// event reads the whole event, or its links only.
func (w *row) event(all bool) (*epcis.Event, error) {
	e := &epcis.Event{RecordTime: fromMillis(w.recorded)}
	r := reader{s: w.links}
	r.links(e)
	if r.bad || r.s != "" {
		return nil, damaged()
	}
	if all {
		r = reader{s: w.rest}
		r.rest(e)
		if r.bad || r.s != "" {
			return nil, damaged()
		}
	}
	return e, nil
}

// hashText is the event hash, empty when it has none.
func (w *row) hashText() string {
	if w.hash == string(noHash[:]) {
		return ""
	}
	return unpackHash([]byte(w.hash))
}

var noHash [32]byte

// epoch is the millisecond 0 of index keys and record times, in milliseconds since 1970: the beginning of year 1.
const epoch = -62135596800000

// maxMillis keeps the first byte of a time below 0xff; it is in the year 8888.
const maxMillis = 0xff<<40 - 1

// millis is t as index keys have it, rounded down.
func millis(t time.Time) uint64 {
	ms := t.UnixMilli() - epoch
	return uint64(min(max(ms, 0), maxMillis))
}

func fromMillis(ms uint64) time.Time { return time.UnixMilli(int64(ms) + epoch).UTC() }
