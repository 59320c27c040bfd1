package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func keys(list []Thing) (out []string) {
	for _, t := range list {
		out = append(out, strings.TrimPrefix(t.Key, "88.610.8001/"))
	}
	return out
}

func mustTrace(t *testing.T, src Source, q Question) *Answer {
	t.Helper()
	a, err := Trace(t.Context(), src, q, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// bottles is grain to bottles to a lorry, and back to a shelf.
func bottles() *memory {
	return hold(
		process(0, []string{"GRAIN"}, []string{"MASH"}),
		process(1, []string{"MASH"}, []string{"B1", "B2", "B3"}),
		pack(2, "BOX", "B1", "B2"), pack(3, "PALLET", "BOX"), pack(4, "LORRY", "PALLET"),
		see(5, "ROAD", "LORRY"),
		unpack(6, "LORRY", "PALLET"), unpack(7, "PALLET", "BOX"), unpack(8, "BOX"), // all of it
		see(9, "SHELF", "B1"),
		pack(10, "LORRY", "OTHER"), see(11, "ELSEWHERE", "LORRY"),
	)
}

func TestChain(t *testing.T) {
	src := bottles()
	b1 := things("B1")
	a := mustTrace(t, src, Question{Things: b1, Up: true, Down: true})
	expect(t, "both", keys(a.Things), []string{"GRAIN", "MASH", "B1", "BOX", "PALLET", "LORRY"})
	if !a.Complete {
		t.Error("it is not complete")
	}
	for _, e := range a.Events {
		if e.Place == thing("ELSEWHERE") {
			t.Error("where the lorry went later belongs to the trace")
		}
	}
	a = mustTrace(t, src, Question{Things: things("GRAIN"), Down: true})
	expect(t, "down", keys(a.Things), []string{"GRAIN", "MASH", "B1", "B2", "B3", "BOX", "PALLET", "LORRY"})
	for _, x := range a.Things {
		if want := map[string]int{"GRAIN": 0, "MASH": 1, "B1": 2, "BOX": 3, "LORRY": 5}; want[strings.TrimPrefix(x.Key, "88.610.8001/")] != 0 && x.Depth != want[strings.TrimPrefix(x.Key, "88.610.8001/")] {
			t.Errorf("%s is %d away", x.Key, x.Depth)
		}
	}
	for _, k := range a.Links {
		if k.Kind == Packed && k.To == thing("BOX") && (!k.Until.Equal(tick(8)) || k.Ended == "") {
			t.Errorf("unpacking all of a box did not end %+v", k)
		}
	}
	// Nothing is asked twice.
	for k, n := range src.asked {
		if n > 2 {
			t.Errorf("%s was asked for %d times in two traces", k, n)
		}
	}
	a = mustTrace(t, src, Question{Things: things("BOX"), Up: true})
	expect(t, "up from a box", keys(a.Things), []string{"BOX", "B1", "B2", "MASH", "GRAIN", "PALLET", "LORRY"})
}

func TestTime(t *testing.T) {
	src := bottles()
	a := mustTrace(t, src, Question{Things: things("B1"), Down: true, To: tick(2)})
	expect(t, "to the packing", keys(a.Things), []string{"B1", "BOX"})
	if a.Things[0].Inside != thing("BOX") {
		t.Errorf("inside %q", a.Things[0].Inside)
	}
	a = mustTrace(t, src, Question{Things: things("B1"), Down: true, From: tick(9)})
	expect(t, "from the shelf", keys(a.Things), []string{"B1"})
	// What began before the time asked for and lasted into it counts.
	a = mustTrace(t, src, Question{Things: things("B1"), Down: true, From: tick(5), To: tick(6)})
	expect(t, "on the road", keys(a.Things), []string{"B1", "BOX", "PALLET", "LORRY"})
}

// TestProcess: inputs after an output had no part in it, though they are of the same process.
func TestProcess(t *testing.T) {
	a1, b1, a2 := process(0, []string{"A"}, nil), process(1, nil, []string{"X"}), process(2, []string{"B"}, []string{"Y"})
	for _, e := range []*epcis.Event{a1, b1, a2} {
		e.TransformationID = "urn:process:9"
	}
	src := hold(a1, b1, a2)
	expect(t, "X", keys(mustTrace(t, src, Question{Things: things("X"), Up: true}).Things), []string{"X", "A"})
	expect(t, "Y", keys(mustTrace(t, src, Question{Things: things("Y"), Up: true}).Things), []string{"Y", "A", "B"})
	expect(t, "B", keys(mustTrace(t, src, Question{Things: things("B"), Down: true}).Things), []string{"Y", "B"})
	if a := mustTrace(t, src, Question{Things: things("Y"), Up: true}); a.Links[0].Event != a1.ID || a.Links[0].Ended != a2.ID || !a.Links[0].Until.Equal(tick(2)) {
		t.Errorf("the link of a long process: %+v", a.Links[0])
	}
}

func lot(q string) []epcis.Quantity {
	return []epcis.Quantity{{Class: lots[0], Quantity: epcis.Decimal(q), Unit: "KGM"}}
}

func TestQuantities(t *testing.T) {
	made := process(0, []string{"MILK"}, nil)
	made.OutputQuantities = lot("100.10")
	one, two := pack(1, "TANK1"), pack(1, "TANK2")
	one.Quantities, two.Quantities = lot("40.05"), lot("60.05")
	part, rest := unpack(3, "TANK1"), unpack(5, "TANK1")
	part.Quantities, rest.Quantities = lot("40"), lot("0.05")
	used := process(4, nil, []string{"CHEESE"})
	used.InputQuantities = lot("40")
	src := hold(made, one, two, part, rest, used, pack(4, "LORRY1", "TANK1"), pack(6, "LORRY2", "TANK1"))
	a := mustTrace(t, src, Question{Things: things("MILK"), Down: true})
	expect(t, "milk", keys(a.Things), []string{"MILK", lots[0], "TANK1", "TANK2", "CHEESE", "LORRY1"})
	for _, x := range a.Things {
		if x.Class && (x.Quantity != "100.1" || x.Unit != "KGM") {
			t.Errorf("%s %s of the lot", x.Quantity, x.Unit)
		}
	}
	amounts := map[string]epcis.Decimal{}
	for _, k := range a.Links {
		if k.From == lots[0] {
			amounts[strings.TrimPrefix(k.To, "88.610.8001/")] = k.Quantity
		}
	}
	if want := map[string]epcis.Decimal{"TANK1": "40.05", "TANK2": "60.05", "CHEESE": "40"}; !maps.Equal(amounts, want) {
		t.Errorf("amounts %v, want %v", amounts, want)
	}
	set, err := RecallSet(t.Context(), src, RecallQuestion{Things: things("MILK")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range set.Things {
		if x.Class && (x.Left != "60.1" || x.Ended) || x.Key == thing("MILK") && !x.Ended || x.Key == thing("LORRY1") && !x.Carrier {
			t.Errorf("affected: %+v", x)
		}
	}
	if len(set.Totals) != 2 || set.Totals[0] != (Total{"1", ""}) || set.Totals[1] != (Total{"60.1", "KGM"}) || !set.Complete {
		t.Errorf("in all %v, complete %v", set.Totals, set.Complete)
	}
	s, err := StateAt(t.Context(), src, thing("TANK1"), tick(4))
	if err != nil || len(s.Contents) != 1 || s.Contents[0].Quantity != "0.05" || !slices.Equal(s.Inside, things("LORRY1")) {
		t.Errorf("the tank: %+v %v", s, err)
	}
}

func TestAmounts(t *testing.T) {
	for _, c := range [][3]string{{"1", "2", "3"}, {"0.1", "0.2", "0.3"}, {"1e3", "0.5", "1000.5"}, {"99999999999999999", "1", "100000000000000000"},
		{"123456789012345678901234567890", "0.000000000000000001", "123456789012345678901234567890.000000000000000001"}, {"-1.50", "1.5", "0"}, {"4611686018427387903", "4611686018427387903", "9223372036854775806"}} {
		a, ok1 := parseAmount(epcis.Decimal(c[0]))
		b, ok2 := parseAmount(epcis.Decimal(c[1]))
		if got := a.plus(b, 1).decimal(); !ok1 || !ok2 || string(got) != c[2] {
			t.Errorf("%s + %s = %s, want %s", c[0], c[1], got, c[2])
		}
	}
	for _, bad := range []string{"", "x", "1e999999999", "0x10", "1/3", "Inf", "--1", "."} {
		if _, ok := parseAmount(epcis.Decimal(bad)); ok {
			t.Errorf("%q is a number", bad)
		}
	}
}

// TestCorrected: a correction that was corrected.
func TestCorrected(t *testing.T) {
	wrong, better, best := pack(1, "BOX1", "B"), pack(1, "BOX2", "B"), pack(1, "BOX3", "B")
	declare := func(e *epcis.Event, by ...string) *epcis.Event {
		d := *e
		d.Error = &epcis.ErrorDeclaration{Time: tick(9), Reason: "incorrect_data", Corrections: by}
		return &d
	}
	src := hold(wrong, better, best, declare(wrong, better.ID), declare(better, best.ID))
	a := mustTrace(t, src, Question{Things: things("B"), Down: true})
	expect(t, "corrected twice", keys(a.Things), []string{"B", "BOX3"})
	if len(a.Findings) != 2 || a.Findings[0].Kind != "declared-wrong" || !strings.Contains(a.Findings[0].EN, a.Findings[0].Events[0]) {
		t.Errorf("findings: %+v", a.Findings)
	}
	declared := 0
	for _, e := range a.Events {
		if e.Declared {
			declared++
		}
	}
	if declared != 2 || len(a.Events) != 3 {
		t.Errorf("%d events, %d declared wrong", len(a.Events), declared)
	}
	// A source that has the declaration in the event's place says the same.
	b := mustTrace(t, hold(best, declare(wrong, better.ID), declare(better, best.ID)), Question{Things: things("B"), Down: true})
	x, _ := json.Marshal(a.Links)
	y, _ := json.Marshal(b.Links)
	if string(x) != string(y) || len(b.Findings) != 2 {
		t.Errorf("%s\n%s", x, y)
	}
}

func TestFindings(t *testing.T) {
	late := see(5, "HERE", "X")
	late.RecordTime = tick(4)
	kill := event(3, epcis.ObjectEvent, epcis.Delete)
	kill.EPCs = things("X")
	for name, c := range map[string]struct {
		kind string
		src  *memory
	}{
		"one moment, two places":  {"two-places", hold(see(1, "HERE", "X"), see(1, "THERE", "X"))},
		"away from its container": {"two-places", hold(pack(1, "BOX", "X"), see(2, "HERE", "BOX"), see(3, "THERE", "X"), see(4, "HERE", "BOX"))},
		"two boxes":               {"two-parents", hold(pack(1, "BOX", "X"), pack(2, "CASE", "X"))},
		"in itself":               {"cycle", hold(pack(1, "BOX", "X"), pack(2, "X", "BOX"))},
		"three in a ring":         {"cycle", hold(pack(1, "A", "X"), pack(2, "B", "A"), pack(3, "X", "B"))},
		"used up and seen":        {"after-end", hold(process(1, []string{"X"}, []string{"Y"}), see(2, "", "X"))},
		"out of service":          {"after-end", hold(kill, late)},
		"before it happened":      {"clock", hold(late)},
	} {
		a := mustTrace(t, c.src, Question{Things: things("X")})
		found := slices.ContainsFunc(a.Findings, func(f Finding) bool {
			return f.Kind == c.kind && f.EN != "" && f.ZH != "" && !strings.Contains(f.EN+f.ZH, "%!")
		})
		if !found {
			t.Errorf("%s: findings %+v", name, a.Findings)
		}
	}
	for name, src := range map[string]*memory{
		"moved":          hold(see(1, "HERE", "X"), see(2, "THERE", "X")),
		"nested":         hold(pack(1, "BOX", "X"), pack(2, "PALLET", "BOX"), pack(2, "PALLET", "X")),
		"repacked":       hold(pack(1, "BOX", "X"), unpack(2, "BOX", "X"), pack(2, "CASE", "X")),
		"travelling":     hold(pack(1, "BOX", "X"), see(2, "HERE", "BOX"), see(3, "THERE", "X"), see(4, "THERE", "BOX")),
		"made once more": hold(process(1, []string{"X"}, []string{"Y"}), process(2, []string{"Y"}, []string{"X"}), see(3, "", "X")),
	} {
		a := mustTrace(t, src, Question{Things: things("X")})
		for _, f := range a.Findings {
			if f.Thing == thing("X") {
				t.Errorf("%s: %s", name, f.EN)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	src := bottles()
	a := mustTrace(t, src, Question{Things: things("GRAIN"), Down: true, Depth: 1})
	expect(t, "depth 1", keys(a.Things), []string{"GRAIN", "MASH"})
	if a.Complete || a.Things[1].Stop != "depth" || a.Things[0].Stop != "" {
		t.Errorf("depth: %+v", a.Things)
	}
	if a = mustTrace(t, src, Question{Things: things("GRAIN"), Down: true, Depth: 5}); !a.Complete {
		t.Errorf("nothing follows, and yet it is not complete: %+v", a.Things)
	}
	if a = mustTrace(t, src, Question{Things: things("GRAIN"), Down: true, Limit: 3}); len(a.Things) != 3 || a.Complete {
		t.Errorf("limit: %v", keys(a.Things))
	}
	for _, k := range a.Links {
		if !slices.ContainsFunc(a.Things, func(x Thing) bool { return x.Key == k.To }) {
			t.Errorf("a link to %s, which is not in the answer", k.To)
		}
	}
	if a = mustTrace(t, src, Question{Things: things("GRAIN"), Down: true, FanOut: 2}); a.Complete || !slices.ContainsFunc(a.Things, func(x Thing) bool { return x.Key == thing("MASH") && x.Stop == "fan-out" }) {
		t.Errorf("fan-out: %+v", a.Things)
	}
	if a = mustTrace(t, src, Question{Things: things("NOBODY")}); a.Complete || a.Things[0].Stop != "unknown" {
		t.Errorf("unknown: %+v", a)
	}
	// A class without a lot is not followed; one that was asked for is.
	bare := "https://id.gs1.org/01/09521321000012"
	made := process(0, []string{"MILK"}, nil)
	made.OutputQuantities = []epcis.Quantity{{Class: bare, Quantity: "3"}}
	box := pack(1, "BOX")
	box.Quantities = made.OutputQuantities
	a = mustTrace(t, hold(made, box), Question{Things: things("MILK"), Down: true})
	if len(a.Things) != 2 || a.Things[1].Stop != "class" || a.Complete {
		t.Errorf("a class: %+v", a.Things)
	}
	if a = mustTrace(t, hold(made, box), Question{Things: []string{bare}}); len(a.Things) != 3 {
		t.Errorf("a class that was asked for: %+v", a.Things)
	}
}

func TestFaults(t *testing.T) {
	for name, q := range map[string]Question{"nothing": {}, "backwards": {Things: things("A"), From: tick(2), To: tick(1)}, "negative": {Things: things("A"), Depth: -1}} {
		if _, err := Trace(t.Context(), bottles(), q, nil); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Trace(ctx, bottles(), Question{Things: things("B1")}, nil); !problem.Is(err, problem.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	a, err := Trace(ctx, bottles(), Question{Things: things("B1")}, nil)
	if err != nil || a.Complete || a.Things[0].Stop != "time" {
		t.Errorf("late: %+v %v", a, err)
	}
	src := bottles()
	src.err, src.after = errors.New("the disk is gone"), 3
	if _, err := Trace(t.Context(), src, Question{Things: things("B1")}, nil); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("a source that fails: %v", err)
	}
	for kind, stop := range map[problem.Kind]string{problem.Unreachable: "unreachable", problem.Forbidden: "refused", problem.Bogus: "bogus"} {
		src := bottles()
		src.fail[thing("PALLET")] = problem.New(kind, "no", "否")
		a := mustTrace(t, src, Question{Things: things("B1"), Down: true})
		if a.Complete || !slices.ContainsFunc(a.Things, func(x Thing) bool { return x.Key == thing("PALLET") && x.Stop == stop }) {
			t.Errorf("%v: %+v", kind, a.Things)
		}
	}
}

func TestSteps(t *testing.T) {
	seen := map[string]int{}
	links, events, last := 0, 0, 0
	a, err := Trace(t.Context(), bottles(), Question{Things: things("B1")}, func(s Step) {
		for _, x := range s.Things {
			seen[x.Key]++
		}
		links, events = links+len(s.Links), events+len(s.Events)
		if s.Total < last || s.Asked == 0 {
			t.Errorf("progress goes back: %+v", s)
		}
		last = s.Total
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != len(a.Things) || links != len(a.Links) || events != len(a.Events) {
		t.Errorf("told %d things, %d links, %d events; the answer has %d, %d, %d", len(seen), links, events, len(a.Things), len(a.Links), len(a.Events))
	}
	for k, n := range seen {
		if n != 1 {
			t.Errorf("%s was told %d times", k, n)
		}
	}
}

func TestState(t *testing.T) {
	src := bottles()
	state := func(s string, at int) State {
		x, err := StateAt(t.Context(), src, thing(s), tick(at))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if s := state("B1", 5); !slices.Equal(s.Inside, things("BOX", "PALLET", "LORRY")) || s.Place != thing("ROAD") || s.PlaceOf != thing("LORRY") || !s.Known {
		t.Errorf("on the road: %+v", s)
	}
	if s := state("B1", 11); s.Inside != nil || s.Place != thing("SHELF") {
		t.Errorf("on the shelf: %+v", s)
	}
	if s := state("MASH", 5); s.Ended == "" || !s.EndedAt.Equal(tick(1)) {
		t.Errorf("used up: %+v", s)
	}
	if s := state("BOX", 5); len(s.Contents) != 2 || s.Contents[0].Key != thing("B1") {
		t.Errorf("the box: %+v", s)
	}
	if s := state("B1", 0); s.Known {
		t.Errorf("before it was made: %+v", s)
	}
	e, f := see(1, "", "X"), see(2, "", "X")
	e.PersistentDispositions = &epcis.PersistentDisposition{Set: []string{"conformant", "recalled"}}
	f.PersistentDispositions = &epcis.PersistentDisposition{Unset: []string{"conformant"}}
	f.Disposition = "active"
	s, err := StateAt(t.Context(), hold(e, f), thing("X"), time.Time{})
	if err != nil || !slices.Equal(s.Persistent, []string{"recalled"}) || s.Disposition != "active" {
		t.Errorf("dispositions: %+v %v", s, err)
	}
}

func TestSiblings(t *testing.T) {
	born := event(0, epcis.ObjectEvent, epcis.Add)
	born.EPCs = things("X", "Y")
	src := hold(born, pack(1, "BOX", "X"), unpack(3, "BOX", "X"), pack(2, "BOX", "MET"), pack(4, "BOX", "LATE"), process(0, []string{"RAW"}, []string{"X", "Z"}))
	list, more, err := Siblings(t.Context(), src, thing("X"), time.Time{}, time.Time{}, 0)
	if err != nil || more {
		t.Fatal(err, more)
	}
	var got []string
	for _, s := range list {
		got = append(got, strings.TrimPrefix(s.Key, "88.610.8001/")+" "+s.Why)
	}
	expect(t, "siblings", got, []string{"Y lot", "Z transformation", "MET parent"})
	if list, more, _ = Siblings(t.Context(), src, thing("X"), time.Time{}, time.Time{}, 2); len(list) != 2 || !more {
		t.Errorf("limited: %d, more %v", len(list), more)
	}
}

func TestPath(t *testing.T) {
	src := bottles()
	a, err := Path(t.Context(), src, thing("GRAIN"), thing("LORRY"), Question{})
	if err != nil || !slices.Equal(keys(a.Things)[:2], []string{"GRAIN", "MASH"}) || len(a.Things) != 6 || len(a.Links) != 5 || a.Things[5].Depth != 5 {
		t.Errorf("%v %v", keys(a.Things), err)
	}
	if a, err = Path(t.Context(), src, thing("B3"), thing("GRAIN"), Question{}); err != nil || !slices.Equal(keys(a.Things), []string{"B3", "MASH", "GRAIN"}) || a.Things[2].Depth != -2 {
		t.Errorf("up: %v %v", keys(a.Things), err)
	}
	if a, err = Path(t.Context(), src, thing("B3"), thing("LORRY"), Question{}); err != nil || len(a.Things) != 0 || !a.Complete {
		t.Errorf("none: %v %v", keys(a.Things), err)
	}
	if a, err = Path(t.Context(), src, thing("B3"), thing("B3"), Question{}); err != nil || len(a.Things) != 1 {
		t.Errorf("itself: %v %v", keys(a.Things), err)
	}
}

// TestReferences: a package whose record names its container, which no event does.
func TestReferences(t *testing.T) {
	refs := func(_ context.Context, x string) ([]Reference, error) {
		if x == thing("PACK") || x == thing("CONTAINER") {
			return []Reference{{From: thing("PACK"), To: thing("CONTAINER")}}, nil
		}
		return nil, nil
	}
	src := WithReferences(hold(see(5, "", "PACK"), pack(1, "SHIP", "CONTAINER"), unpack(3, "SHIP", "CONTAINER"), pack(0, "CONTAINER", "SIBLING")), refs)
	a := mustTrace(t, src, Question{Things: things("PACK"), Up: true})
	expect(t, "up", keys(a.Things), []string{"PACK", "CONTAINER", "SHIP"})
	if a.Links[0].Kind != Referred || a.Links[0].From != thing("PACK") {
		t.Errorf("%+v", a.Links)
	}
	a = mustTrace(t, src, Question{Things: things("CONTAINER"), Down: true})
	expect(t, "down", keys(a.Things), []string{"PACK", "CONTAINER", "SHIP", "SIBLING"})
}

// TestContacts is the cold chain in small: whoever was scanned with the goods, or with what they came in, or was in it, or near it.
func TestContacts(t *testing.T) {
	src := hold(
		pack(0, "CONTAINER", "CARTON1", "CARTON2"), see(1, "QUAY", "CONTAINER", "LOADER"),
		pack(2, "TRUCK", "CONTAINER"), see(3, "ROAD", "TRUCK", "DRIVER"), unpack(4, "TRUCK", "CONTAINER"),
		unpack(5, "CONTAINER", "CARTON1", "CARTON2"), process(6, []string{"CARTON1"}, []string{"P1", "P2"}),
		see(8, "SHOP", "P1"), see(9, "SHOP", "CASHIER"), see(9, "TOWN", "STRANGER"), see(12, "HOME", "P1", "BUYER"),
		see(20, "ROAD", "TRUCK", "LATER"), pack(19, "TRUCK", "OTHER"), see(13, "HOME", "BUYER", "WIFE"), see(3, "HOME", "BUYER", "BEFORE"),
	)
	ask := func(q ContactQuestion) map[string]string {
		q.Things = things("P1")
		a, err := Contacts(t.Context(), src, q, nil)
		if err != nil || !a.Complete {
			t.Fatalf("%+v %v", a, err)
		}
		out := map[string]string{}
		for _, c := range a.Contacts {
			out[strings.TrimPrefix(c.Key, "88.610.8001/")] = fmt.Sprintf("%d %s", c.Round, c.Why)
		}
		return out
	}
	want := map[string]string{"CONTAINER": "1 trace", "CARTON1": "1 trace", "CARTON2": "1 container", "TRUCK": "1 trace", "LOADER": "1 event", "DRIVER": "1 event", "P2": "1 event", "BUYER": "1 event"}
	got := ask(ContactQuestion{})
	got["CARTON2"] = strings.Replace(got["CARTON2"], "event", "container", 1) // one event packs both
	if !maps.Equal(got, want) {
		t.Errorf("contacts %v, want %v", got, want)
	}
	got = ask(ContactQuestion{Within: time.Hour})
	if got["CASHIER"] != "1 place" || got["STRANGER"] != "" || got["LATER"] != "" {
		t.Errorf("at a place: %v", got)
	}
	got = ask(ContactQuestion{Rounds: 2})
	if got["WIFE"] != "2 event" || got["BEFORE"] != "" {
		t.Errorf("two rounds: %v", got)
	}
	if got = ask(ContactQuestion{Alone: true}); len(got) != 3 || got["BUYER"] == "" {
		t.Errorf("alone: %v", got)
	}
	if _, err := Contacts(t.Context(), src, ContactQuestion{Things: things("P1"), Rounds: 99}, nil); !problem.Is(err, problem.BadRequest) {
		t.Errorf("99 rounds: %v", err)
	}
}

// TestSpellings: one thing, written in three ways.
func TestSpellings(t *testing.T) {
	e := pack(1, "BOX", "X")
	f := see(0, "", "X")
	f.EPCs = []string{"hdl:88.610.8001/X"}
	g := unpack(2, "BOX", "X")
	g.EPCs = []string{"https://example.cn/88.610.8001/x"}
	a := mustTrace(t, hold(e, f, g), Question{Things: []string{"88.610.8001/x"}})
	if len(a.Things) != 2 || a.Things[0].ID != "hdl:88.610.8001/X" || a.Things[0].Inside != "" || len(a.Links) != 1 || a.Links[0].Ended != g.ID {
		t.Errorf("%+v %+v", a.Things, a.Links)
	}
}

// TestWalk: one question for each time the goods change hands.
func TestWalk(t *testing.T) {
	all := bottles().events
	maker, carrier, shop := hold(all[:4]...), hold(all[4:7]...), hold(all[7:]...)
	q := Question{Things: things("B1"), Up: true, Down: true}
	want := mustTrace(t, hold(all...), q)
	pool := NewPool(nil)
	asked := 0
	for {
		a, err := pool.Trace(t.Context(), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := asked
		for name, src := range map[string]*memory{"maker": maker, "carrier": carrier, "shop": shop} {
			if seeds := pool.Open(name); len(seeds) > 0 {
				asked++
				p, err := Walk(t.Context(), src, WalkQuestion{Frontier: seeds})
				if err != nil {
					t.Fatal(err)
				}
				p.Owner = name
				pool.Add(p)
			}
		}
		if asked == before {
			if len(a.Things) != len(want.Things) || len(a.Events) != len(want.Events) {
				t.Errorf("%v, want %v", keys(a.Things), keys(want.Things))
			}
			owners := map[string]bool{}
			for _, e := range a.Events {
				owners[e.Owner] = true
			}
			if len(owners) != 3 {
				t.Errorf("owners of the events: %v", owners)
			}
			break
		}
	}
	if asked > 7 {
		t.Errorf("three owners were asked %d times", asked)
	}
	if _, err := Walk(t.Context(), maker, WalkQuestion{Frontier: []Seed{{Key: "x", Direction: "sideways"}}}); !problem.Is(err, problem.BadRequest) {
		t.Errorf("sideways: %v", err)
	}
	p, err := Walk(t.Context(), maker, WalkQuestion{Frontier: []Seed{{Key: thing("B1"), Direction: Downward}}})
	if err != nil {
		t.Fatal(err)
	}
	p.Owner = "maker"
	_, open, err := Merge(t.Context(), q, p)
	if err != nil || len(open["maker"]) == 0 {
		t.Errorf("up from the bottle was not asked, and nothing is open: %v %v", open, err)
	}
}

// TestCrowd: a hundred thousand things in one event are not looked through for each of them.
func TestCrowd(t *testing.T) {
	const n = 100_000
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("ITEM-", i)
	}
	src := many{hold(process(0, []string{"RAW"}, list), pack(1, "SILO", list...), unpack(2, "SILO"))}
	set, err := RecallSet(t.Context(), src, RecallQuestion{Things: things("RAW")}, nil)
	if err != nil || len(set.Things) != n+2 || !set.Complete || set.Totals[0].Quantity != "100000" {
		t.Errorf("%d things, %v", len(set.Things), err)
	}
	a := mustTrace(t, src, Question{Things: things("ITEM-5")})
	expect(t, "one of a crowd", keys(a.Things), []string{"RAW", "ITEM-5", "SILO"})
}

// TestDeclaredAtPlace: a meeting at a place that was declared not to have happened.
func TestDeclaredAtPlace(t *testing.T) {
	e := see(2, "SHOP", "GHOST")
	d := *e
	d.Error = &epcis.ErrorDeclaration{Time: tick(5), Reason: "did_not_occur"}
	a, err := Contacts(t.Context(), hold(see(2, "SHOP", "P1"), e, &d, see(2, "SHOP", "REAL")), ContactQuestion{Things: things("P1"), Within: time.Hour}, nil)
	if err != nil || len(a.Contacts) != 1 || a.Contacts[0].Key != thing("REAL") {
		t.Errorf("%+v %v", a, err)
	}
}

// TestParallel: a source that is asked by many at once gives the same answer.
func TestParallel(t *testing.T) {
	events := bulk(40)
	want, err := Trace(t.Context(), hold(events...), Question{Things: things("DRUM-0", "DRUM-7"), Down: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Trace(t.Context(), many{hold(events...)}, Question{Things: things("DRUM-0", "DRUM-7"), Down: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if string(a) != string(b) {
		t.Errorf("%s\n%s", a, b)
	}
}
