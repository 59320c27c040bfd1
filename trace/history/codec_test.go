package history

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// fill sets everything in v to something, empty now and then.
func fill(v reflect.Value, rnd *rand.Rand, depth int) {
	switch v.Interface().(type) {
	case time.Time:
		if rnd.IntN(3) > 0 {
			t := time.Unix(rnd.Int64N(1<<36)-1<<35, rnd.Int64N(1e9))
			if rnd.IntN(2) == 0 {
				t = t.UTC()
			} else {
				t = t.In(time.FixedZone("", 900*(rnd.IntN(193)-96)))
			}
			v.Set(reflect.ValueOf(t))
		}
		return
	case epcis.ValueKind:
		v.SetUint(uint64(rnd.IntN(int(epcis.List) + 1)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		switch rnd.IntN(6) {
		case 0:
		case 1:
			v.SetString(unpackUUID(randomText(rnd, 16, 256)))
		case 2:
			v.SetString(unpackHash([]byte(randomText(rnd, 32, 256))))
		case 3:
			v.SetString("urn:epc:id:sgtin:0614141.107346." + fmt.Sprint(rnd.IntN(2000)))
		default:
			v.SetString(randomText(rnd, rnd.IntN(20), 256))
		}
	case reflect.Bool:
		v.SetBool(rnd.IntN(2) == 0)
	case reflect.Slice:
		if rnd.IntN(3) == 0 || depth == 0 {
			return
		}
		n := rnd.IntN(4)
		s := reflect.MakeSlice(v.Type(), n, n)
		for i := range n {
			fill(s.Index(i), rnd, depth-1)
		}
		v.Set(s)
	case reflect.Map:
		if rnd.IntN(2) == 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range rnd.IntN(3) {
				v.SetMapIndex(reflect.ValueOf(randomText(rnd, 3, 26)), reflect.ValueOf(randomText(rnd, 9, 26)))
			}
		}
	case reflect.Pointer:
		if rnd.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), rnd, depth)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), rnd, depth)
		}
	default:
		panic("codec_test: an event has a field of kind " + v.Kind().String())
	}
}

func randomText(rnd *rand.Rand, n, letters int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.IntN(letters))
	}
	return string(b)
}

// randomEvent is an event with anything in any field, as only a hostile one has.
func randomEvent(rnd *rand.Rand) *epcis.Event {
	var e epcis.Event
	fill(reflect.ValueOf(&e).Elem(), rnd, 2+rnd.IntN(2))
	if rnd.IntN(2) == 0 {
		e.Type, e.Action = epcis.AggregationEvent, epcis.Add
		e.TimeZoneOffset = offsetOf(e.Time)
	}
	e.RecordTime = fromMillis(uint64(rnd.Int64N(maxMillis)))
	return &e
}

func encodeRow(e *epcis.Event, hash [32]byte, by Ref) []byte {
	links := appendLinks(nil, e)
	b := appendHead(nil, millis(e.RecordTime), hash, by)
	return appendRest(append(appendUvarint(b, uint64(len(links))), links...), e)
}

func TestCodec(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		e := randomEvent(rnd)
		var hash [32]byte
		copy(hash[:], randomText(rnd, 32, 256))
		by := Ref{Index: rnd.Uint32(), Name: randomText(rnd, rnd.IntN(9), 256)}
		w, err := openRow(string(encodeRow(e, hash, by)))
		if err != nil {
			t.Fatal(i, err)
		}
		if w.by != by || w.hash != string(hash[:]) {
			t.Fatalf("%d: the head is %v", i, w)
		}
		got, err := w.event(true)
		if err != nil {
			t.Fatal(i, err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("%d: in\n%#v\nout\n%#v", i, e, got)
		}
		links, err := w.event(false)
		if err != nil {
			t.Fatal(i, err)
		}
		if len(links.Sensors)+len(links.ILMD)+len(links.Extensions) > 0 || links.ID != e.ID || !reflect.DeepEqual(links.EPCs, e.EPCs) {
			t.Fatalf("%d: the links are %#v", i, links)
		}
	}
}

// Every beginning of a row is a fault, not an event.
func TestCodecCut(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		b := string(encodeRow(randomEvent(rnd), [32]byte{1}, Ref{Name: "x"}))
		for n := 0; n < len(b); n += 1 + rnd.IntN(1+len(b)/100) {
			w, err := openRow(b[:n])
			if err != nil {
				continue
			}
			if _, err = w.event(true); err == nil {
				t.Fatalf("%d of %d bytes were read as an event", n, len(b))
			}
		}
	}
}

func TestWords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	texts := []string{"", "\x00", "\x01", "\x02a", "\x03", "a\x00", "a", "a\x01", gs1Host, gs1Host + "01/1", "https://id.gs1", strings.Repeat("x", longest), strings.Repeat("\x00", longest)}
	for range 2000 {
		texts = append(texts, randomText(rnd, rnd.IntN(5), 4))
	}
	for _, s := range texts {
		key := append48(append(appendWord(nil, s), 0), uint64(rnd.Int64N(maxMillis)))
		got, whole, rest, ok := cutWord(key)
		if !ok || !whole || got != s || len(rest) != 6 {
			t.Fatalf("%q becomes %x and that %q, %v, %x, %v", s, key, got, whole, rest, ok)
		}
	}
	// Two different texts are never in each other's span.
	for range 20000 {
		a, b := texts[rnd.IntN(len(texts))], texts[rnd.IntN(len(texts))]
		key := append48(append(appendWord(nil, b), 0), 5)
		if begin := append(appendWord(nil, a), 0); a != b && bytes.HasPrefix(key, begin) && key[len(begin)] != 0xff {
			t.Fatalf("%q is in the span of %q", b, a)
		}
	}
	long := strings.Repeat("y", 5000)
	key := append(appendWord(nil, long), 0)
	if _, whole, _, ok := cutWord(key); whole || !ok || len(key) > 400 || bytes.Equal(key, append(appendWord(nil, long+"z"), 0)) {
		t.Fatalf("a long text becomes %q", key)
	}
}

func FuzzRow(f *testing.F) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 40 {
		if b := encodeRow(randomEvent(rnd), [32]byte{1}, Ref{Name: "x"}); len(b) < 2000 {
			f.Add(b)
		}
	}
	f.Add(encodeRow(&epcis.Event{Type: epcis.ObjectEvent, ID: "urn:x", EPCs: []string{"urn:a:1", "urn:a:2"}, Sensors: []epcis.SensorElement{{Reports: []epcis.SensorReport{{Type: "Temperature", Value: "2"}}}},
		ILMD: []epcis.Field{{Space: "s", Name: "n", Value: epcis.Value{Kind: epcis.List, Items: []epcis.Value{{Kind: epcis.Text, Text: "x"}}}}}}, [32]byte{1}, Ref{Name: "x"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := openRow(string(b))
		if err != nil {
			return
		}
		e, err := w.event(true)
		if err != nil {
			return
		}
		var hash [32]byte
		copy(hash[:], w.hash)
		again, err := openRow(string(encodeRow(e, hash, w.by)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.event(true); err != nil {
			t.Fatalf("%#v cannot be read again: %v", e, err)
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add(appendEntry(nil, entryLinks, roleEPC|roleBizLocation, 5, appendLinks(nil, &epcis.Event{Type: epcis.ObjectEvent, ID: "x"})))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := readEntry(string(b)); err == nil {
			_, _ = n.event()
			// The short way to the roles tells the same.
			if is, err := hasRole(b, n.roles); err == nil && is != (n.roles != 0) || err != nil && bytes.Equal(b, appendEntry(nil, n.flags, n.roles, n.recorded, []byte(n.links))) {
				t.Fatalf("%+v: %v, %v", n, is, err)
			}
		}
		_, _ = decodeMaster(b)
		_, _ = readPage(nil, 1, b)
		_, _, _, _ = cutWord(b)
	})
}
