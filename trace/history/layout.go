package history

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/trace/epcis"
)

// What is under which key. Every key begins with "E SPACE 00", where SPACE is empty for the space "event"; then
//
//	e number                      an event: see rowVersion
//	i digest                      which events have this ID or this hash: their numbers; digest is 8 bytes of the hash, or of the ID's SHA-256
//	k thing 00 time number        an event that names the thing or took place at it: see entry
//	t time number                 an event at that time: nothing
//	c time number                 the first event that was recorded at that time: nothing
//	p kind word 00 number         a page of the events that have the word, of which number is the least: see appendPage
//	v id                          master data of the thing: see vocabulary.go
//	V type 00 id                  master data of that type: nothing
//	d parent 00 child             the child stands below the parent in the master data: nothing
//	h digest                      a hold on a thing: see retention.go
//	m name                        things there are one of: "state": u8 1 (the layout), u48 last number, u48 last record time, u48 events
//	w sequence                    nothing; numbered by the store, and so what wakes those who wait for events
//
// Numbers are u48, from 1, without gaps in the order in which events were captured. A time is a u48 of milliseconds since the year 1. A text ends with a zero byte;
// a zero byte in it is followed by ff, and no time or number begins with ff. The GS1 host https://id.gs1.org/ is the one byte 01; a text that begins with 01, 02
// or 03 gets a 02 before it; one longer than longest is cut, with 16 bytes of its SHA-256 behind the cut, and begins with 03.
const (
	tagEvent      = 'e'
	tagID         = 'i'
	tagThing      = 'k'
	tagTime       = 't'
	tagRecorded   = 'c'
	tagPage       = 'p'
	tagVocabulary = 'v'
	tagVocType    = 'V'
	tagBelow      = 'd'
	tagHold       = 'h'
	tagMeta       = 'm'
	tagWake       = 'w'

	layoutVersion = 1

	longest = 280
	gs1Host = "https://id.gs1.org/"
)

// The kinds of pages.
const (
	pageType        = 't'
	pageStep        = 's'
	pageDisposition = 'd'
	pageTransaction = 'x'
	pageReadPoint   = 'r'
	pageBizLocation = 'l'
)

// spacePrefix is what all keys of a space begin with.
func spacePrefix(space string) []byte {
	if space == "event" {
		space = ""
	}
	return append(append([]byte{'E'}, space...), 0)
}

// key begins a key of the history.
func (h *History) key(dst []byte, tag byte) []byte { return append(append(dst, h.prefix...), tag) }

// appendWord appends a text as keys have it, without its end.
func appendWord(dst []byte, s string) []byte {
	if len(s) > longest {
		dst = append(dst, 3)
		for i := range longest - 20 {
			if dst = append(dst, s[i]); s[i] == 0 {
				dst = append(dst, 0xff)
			}
		}
		sum := sha256.Sum256([]byte(s))
		for _, c := range sum[:16] {
			if dst = append(dst, c); c == 0 {
				dst = append(dst, 0xff)
			}
		}
		return dst
	}
	if rest, ok := strings.CutPrefix(s, gs1Host); ok {
		dst, s = append(dst, 1), rest
	} else if s != "" && s[0] >= 1 && s[0] <= 3 {
		dst = append(dst, 2)
	}
	return appendEscaped(dst, s)
}

func appendEscaped(dst []byte, s string) []byte {
	if strings.IndexByte(s, 0) < 0 {
		return append(dst, s...)
	}
	for i := range len(s) {
		if dst = append(dst, s[i]); s[i] == 0 {
			dst = append(dst, 0xff)
		}
	}
	return dst
}

// cutWord takes a text and its end from a key. whole is false when the text was too long to be kept; then word is a key piece of no meaning.
func cutWord(key []byte) (word string, whole bool, rest []byte, ok bool) {
	end := -1
	zero := false
	for i := 0; i < len(key); i++ {
		if key[i] != 0 {
			continue
		}
		if i+1 < len(key) && key[i+1] == 0xff {
			zero = true
			i++
			continue
		}
		end = i
		break
	}
	if end < 0 {
		return "", false, nil, false
	}
	raw, rest := key[:end], key[end+1:]
	if zero {
		plain := make([]byte, 0, len(raw))
		for i := 0; i < len(raw); i++ {
			plain = append(plain, raw[i])
			if raw[i] == 0 {
				i++
			}
		}
		raw = plain
	}
	switch {
	case len(raw) == 0 || raw[0] > 3 || raw[0] == 0:
		return string(raw), true, rest, true
	case raw[0] == 1:
		return gs1Host + string(raw[1:]), true, rest, true
	case raw[0] == 2:
		return string(raw[1:]), true, rest, true
	}
	return string(raw), false, rest, true
}

// appendDigest appends what the ID index has for an ID or a hash.
func appendDigest(dst []byte, id string) []byte {
	if h, ok := packHash(id); ok {
		return append(dst, h[:8]...)
	}
	sum := sha256.Sum256([]byte(id))
	return append(dst, sum[:8]...)
}

// The roles in which an event names a thing. They are written in entries: a role keeps its bit.
type roles uint16

const (
	roleEPC            roles = 1 << iota // of the epcList
	roleParent                           // the parentID
	roleChild                            // of the childEPCs
	roleInput                            // of the inputEPCList
	roleOutput                           // of the outputEPCList
	roleClass                            // of the quantityList
	roleChildClass                       // of the childQuantityList
	roleInputClass                       // of the inputQuantityList
	roleOutputClass                      // of the outputQuantityList
	roleTransformation                   // the transformationID
	roleReadPoint                        // the readPoint
	roleBizLocation                      // the bizLocation

	placeRoles = roleReadPoint | roleBizLocation
)

// named is a thing that an event names, and how.
type named struct {
	key   string // as epcis.Key gives it
	roles roles
}

// appendNamed appends the things that e names, each once.
func appendNamed(dst []named, e *epcis.Event) []named {
	var at map[string]int
	add := func(s string, role roles) {
		if s == "" {
			return
		}
		key := epcis.Key(s)
		if at == nil {
			for i := range dst {
				if dst[i].key == key {
					dst[i].roles |= role
					return
				}
			}
			if dst = append(dst, named{key, role}); len(dst) > 16 {
				at = make(map[string]int, 2*len(dst))
				for i := range dst {
					at[dst[i].key] = i
				}
			}
			return
		}
		if i, there := at[key]; there {
			dst[i].roles |= role
			return
		}
		at[key] = len(dst)
		dst = append(dst, named{key, role})
	}
	epc, class := roleEPC, roleClass
	if e.Type == epcis.AggregationEvent || e.Type == epcis.AssociationEvent {
		epc, class = roleChild, roleChildClass
	}
	add(e.Parent, roleParent)
	for _, s := range e.EPCs {
		add(s, epc)
	}
	for i := range e.Quantities {
		add(e.Quantities[i].Class, class)
	}
	for _, s := range e.InputEPCs {
		add(s, roleInput)
	}
	for _, s := range e.OutputEPCs {
		add(s, roleOutput)
	}
	for i := range e.InputQuantities {
		add(e.InputQuantities[i].Class, roleInputClass)
	}
	for i := range e.OutputQuantities {
		add(e.OutputQuantities[i].Class, roleOutputClass)
	}
	add(e.TransformationID, roleTransformation)
	if e.ReadPoint != nil {
		add(e.ReadPoint.ID, roleReadPoint)
	}
	if e.BizLocation != nil {
		add(e.BizLocation.ID, roleBizLocation)
	}
	return dst
}

// entry is the value of a thing's index entry:
//
//	u8 flags: 1 superseded, 2 the links follow | uvarint roles | if they follow: u48 recordTime, links
const (
	entrySuperseded = 1
	entryLinks      = 2
)

type entry struct {
	flags    byte
	roles    roles
	recorded uint64
	links    string
}

// inlineLinks and inlineTotal say when the links part is put into index entries, so that Touching reads nothing else: it has at most so many bytes, and all entries of
// the event together do not get more than so many bytes by it. Entries of places never have it.
const (
	inlineLinks = 600
	inlineTotal = 1200
)

func appendEntry(b []byte, flags byte, roles roles, recorded uint64, links []byte) []byte {
	b = appendUvarint(append(b, flags), uint64(roles))
	if flags&entryLinks != 0 {
		b = append(append48(b, recorded), links...)
	}
	return b
}

func readEntry(value string) (entry, error) {
	r := reader{s: value}
	n := entry{flags: r.byte()}
	named := r.uvarint()
	n.roles = roles(named)
	if n.flags&entryLinks != 0 {
		if t := r.bytes(6); !r.bad {
			n.recorded = read48(t)
		}
		n.links, r.s = r.s, ""
	}
	if r.bad || r.s != "" || n.flags > 3 || named > 0xffff {
		return entry{}, damaged()
	}
	return n, nil
}

// event reads the links that the entry holds.
func (n *entry) event() (*epcis.Event, error) {
	w := row{recorded: n.recorded, links: n.links}
	return w.event(false)
}

// appendPage appends a page: the numbers of events that have a word, rising, each as the distance (uvarint) to the one before it, the first to the number in the key.
func appendPage(b []byte, first uint64, numbers []uint64) []byte {
	last := first
	for _, n := range numbers {
		b = appendUvarint(b, n-last)
		last = n
	}
	return b
}

// readPage appends the numbers of a page.
func readPage(dst []uint64, first uint64, page []byte) ([]uint64, error) {
	last := first
	for len(page) > 0 {
		d, n := binary.Uvarint(page)
		if n <= 0 {
			return dst, damaged()
		}
		last += d
		page = page[n:]
		dst = append(dst, last)
	}
	return dst, nil
}

// appendNumbers and readNumbers are the value of the ID index.
func appendNumbers(b []byte, numbers []uint64) []byte {
	for _, n := range numbers {
		b = append48(b, n)
	}
	return b
}

func readNumbers(value []byte) ([]uint64, error) {
	if len(value)%6 != 0 {
		return nil, damaged()
	}
	out := make([]uint64, 0, len(value)/6)
	for ; len(value) > 0; value = value[6:] {
		out = append(out, read48(value))
	}
	return out, nil
}

// tail is the time and the number at the end of an index key.
func tail(key []byte) (ms, number uint64) {
	n := len(key)
	return read48(key[n-12:]), read48(key[n-6:])
}

// transactionWord is how a business transaction stands in its index: the normal form of its ID.
func transactionWord(id string) string { return epcis.Key(id) }

// words calls add with the pages that e stands on.
func words(e *epcis.Event, add func(kind byte, word string)) {
	add(pageType, string(e.Type))
	if e.BizStep != "" {
		add(pageStep, e.BizStep)
	}
	if e.Disposition != "" {
		add(pageDisposition, e.Disposition)
	}
	if e.ReadPoint != nil {
		add(pageReadPoint, epcis.Key(e.ReadPoint.ID))
	}
	if e.BizLocation != nil {
		add(pageBizLocation, epcis.Key(e.BizLocation.ID))
	}
	for i := range e.Transactions {
		word := transactionWord(e.Transactions[i].ID)
		if !slices.ContainsFunc(e.Transactions[:i], func(t epcis.Transaction) bool { return transactionWord(t.ID) == word }) {
			add(pageTransaction, word)
		}
	}
}
