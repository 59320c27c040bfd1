package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trace/epcis"
)

var errDoor = problem.New(problem.Busy, "the door is shut for a moment", "暂时不可用")

// A crash between any two writes, and doors that fail before or after they have done what was asked, lose nothing and double nothing: whoever sends
// a scan until it is answered finds it done once.
func TestCrashes(t *testing.T) {
	pack, take, parcel, mark := caseProgram(t, "bottle-to-store", "pack-box"), caseProgram(t, "order-interception", "take-order"), caseProgram(t, "order-interception", "parcel"), caseProgram(t, "order-interception", "return-order")
	rapid.Check(t, func(rt *rapid.T) {
		st := memory.New()
		w := newWorld(t, st, pack, take, parcel, mark)
		w.rand = chance{rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "names"), 1))}
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "troubles"), 2))
		rate := rapid.IntRange(0, 40).Draw(rt, "trouble in a hundred")
		w.fail = func() (error, error) {
			switch n := dice.IntN(200); {
			case n < rate:
				return errDoor, nil
			case n < 2*rate:
				return nil, errDoor
			}
			return nil, nil
		}
		w.start()
		defer func() {
			w.stop()
			w.store.Close()
		}()
		crashes := rapid.SliceOfN(rapid.IntRange(0, 12), 0, 12).Draw(rt, "crashes")
		arm := func() {
			if len(crashes) > 0 {
				if crashes[0] > 0 {
					st.Faults().CrashAt(crashes[0], []memory.When{memory.Before, memory.After}[crashes[0]%2])
				}
				crashes = crashes[1:]
			}
		}
		arm()
		restart := func() {
			w.stop()
			st = st.Reopen()
			w.store = st
			w.start()
			arm()
		}
		count := 0
		// send sends a scan until it is answered.
		send := func(in Scan) *Result {
			count++
			in.ID = fmt.Sprintf("n%d", count)
			for range 1000 {
				r, err := w.engine.Scan(context.Background(), caller("WORKER"), in)
				switch {
				case err == nil:
					if r.ID != in.ID {
						rt.Fatalf("the answer is to %q, not to %q", r.ID, in.ID)
					}
					return r
				case errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrUncertain):
					restart()
				case problem.Is(err, problem.Busy), problem.Is(err, problem.Conflict):
				default:
					rt.Fatalf("%+v: %v", in, err)
				}
			}
			rt.Fatal("never answered")
			return nil
		}
		boxes, orders := rapid.IntRange(1, 2).Draw(rt, "boxes"), rapid.IntRange(1, 3).Draw(rt, "orders")
		for b := range boxes {
			r := send(Scan{Flow: pack.Name, Code: fmt.Sprintf("%s/X%011d", home, b), Form: map[string]any{"product": "Baijiu"}})
			for i := range 6 {
				if r = send(Scan{Run: r.Run, Code: fmt.Sprintf("%s/B%013d", home, b*6+i)}); r.Verdict != Passed {
					rt.Fatalf("%+v", r)
				}
			}
			if !r.Ended {
				rt.Fatalf("the box is not done: %+v", r)
			}
		}
		caught := 0
		for o := range orders {
			order := fmt.Sprintf("%s/SO%d", home, o)
			send(Scan{Flow: take.Name, Code: order, Form: map[string]any{"sku": "ABC-1", "quantity": 3}})
			marked := rapid.IntRange(0, 6).Draw(rt, "marked before station")
			for s := range 5 {
				if s == marked {
					if r := send(Scan{Flow: mark.Name, Code: order, Form: map[string]any{"why": "wrong size"}}); r.Verdict != Passed {
						rt.Fatalf("%+v", r)
					}
				}
				r := send(Scan{Flow: parcel.Name, Code: order})
				if s == marked {
					if r.Verdict != Diverted || !r.Ended {
						rt.Fatalf("station %d: %+v", s, r)
					}
					caught++
					break
				}
				if r.Verdict != Passed {
					rt.Fatalf("station %d: %+v", s, r)
				}
			}
		}
		for {
			_, err := w.engine.some(context.Background(), "")
			w.engine.out.Lock()
			left := len(w.engine.out.queue)
			w.engine.out.Unlock()
			if left == 0 && err == nil {
				break
			}
			if errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrUncertain) {
				restart()
			}
		}
		st.Faults().CrashAt(0, 0)

		// Every scan stands in the journal once.
		seen := map[string]int{}
		for _, x := range w.entries() {
			if x.Kind != "scan" {
				rt.Fatalf("an effect could not be done: %+v", x)
			}
			seen[x.Scan]++
		}
		if len(seen) != count || slices.ContainsFunc(slices.Collect(maps.Values(seen)), func(n int) bool { return n != 1 }) {
			rt.Fatalf("%d scans, in the journal %v", count, seen)
		}
		// Every message was sent once, and the three ledgers are equal.
		if n := len(w.mails("bottle-to-store/wms")); n != boxes {
			rt.Fatalf("%d boxes, %d messages", boxes, n)
		}
		for _, system := range []string{"shop-front", "middle-platform", "erp"} {
			sum := 0.0
			list := w.mails("order-interception/" + system)
			for _, m := range list {
				n, _ := toNumber(m.Body["change"])
				sum += n
			}
			if len(list) != orders+caught || sum != float64(-3*(orders-caught)) {
				rt.Fatalf("%s: %d messages, %v; %d orders, %d caught", system, len(list), sum, orders, caught)
			}
		}
		// Every event was captured, and no two of them say the same.
		packed := map[string]int{}
		for i := range w.captured {
			e := &w.captured[i]
			if e.BizStep == "packing" && e.Type == epcis.AggregationEvent {
				for _, b := range e.EPCs {
					packed[b]++
				}
			}
		}
		if len(packed) != 6*boxes {
			rt.Fatalf("%d bottles are packed", len(packed))
		}
		for b, n := range packed {
			if n != 1 {
				rt.Fatalf("%s is packed %d times", b, n)
			}
		}
		subs := 0
		for key := range w.papers {
			if strings.Contains(strings.ToUpper(key), "SUB-PROCESSES-") {
				subs++
			}
		}
		wanted := 0
		for _, x := range w.entries() {
			if x.Flow == parcel.Name {
				wanted++
			}
		}
		if subs != wanted {
			rt.Fatalf("%d stations, %d sub-processes are registered", wanted, subs)
		}
	})
}

// Two workers on one parcel: one of them does the step, the other is told what was done.
func TestTwoWorkers(t *testing.T) {
	w := memoryWorld(t, caseProgram(t, "order-interception", "take-order"), caseProgram(t, "order-interception", "parcel"))
	order := home + "/SO1"
	w.wants(Passed, "", "SHOP", Scan{Flow: "order-interception/take-order", Code: order, Form: map[string]any{"sku": "ABC-1", "quantity": 3}})
	first := w.wants(Passed, "", "P0", Scan{Flow: "order-interception/parcel", Code: order})
	var wg sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wg.Go(func() {
			_, results[i] = w.engine.Scan(context.Background(), caller(fmt.Sprintf("P%d", i)), Scan{ID: "s", Run: first.Run, Step: first.Next.Step, Code: order})
		})
	}
	wg.Wait()
	done := 0
	for _, err := range results {
		switch {
		case err == nil:
			done++
		case !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), "/P") || !strings.Contains(err.Error(), "Print the label"):
			t.Errorf("%v", err)
		}
	}
	if done != 1 {
		t.Errorf("%d of them did the step", done)
	}
	// The same scan, sent by one worker many times at once, is one.
	var duplicates int
	var mu sync.Mutex
	for range 8 {
		wg.Go(func() {
			r, err := w.engine.Scan(context.Background(), caller("P1"), Scan{ID: "again", Flow: "order-interception/parcel", Code: order})
			mu.Lock()
			defer mu.Unlock()
			if err != nil || r.Step != "label" {
				t.Errorf("%+v %v", r, err)
			} else if r.Duplicate {
				duplicates++
			}
		})
	}
	wg.Wait()
	if duplicates != 7 {
		t.Errorf("%d duplicates", duplicates)
	}
	if run, list, err := w.engine.Run(context.Background(), boss(), first.Run); err != nil || run.Step != "pack" || len(list) != 3 {
		t.Errorf("%+v, %d lines, %v", run, len(list), err)
	}
}

// C6: whenever the shop marks an order, the parcel is stopped at its very next station, and the three ledgers are equal after each order.
func TestInterception(t *testing.T) {
	w := memoryWorld(t, caseProgram(t, "order-interception", "take-order"), caseProgram(t, "order-interception", "parcel"), caseProgram(t, "order-interception", "return-order"))
	dice := rand.New(rand.NewPCG(7, 7))
	ledger, read := map[string]float64{}, map[string]uint64{}
	stock := func(system string) float64 {
		list, err := w.engine.Inbox(context.Background(), "order-interception/"+system, read[system], 1000, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			c, _ := toNumber(m.Body["change"])
			ledger[system] += c
			read[system] = m.Seq
		}
		return ledger[system]
	}
	orders := 150
	if os.Getenv("FUJIE_SOAK") == "1" {
		orders = 10_000
	}
	for o := range orders {
		order := fmt.Sprintf("%s/SO%d", home, o)
		w.wants(Passed, "", "SHOP", Scan{Flow: "order-interception/take-order", Code: order, Form: map[string]any{"sku": "ABC-1", "quantity": 1 + dice.IntN(9)}})
		var mu sync.Mutex
		marked, after := false, 0
		var wg sync.WaitGroup
		wait := dice.IntN(6)
		turn := make(chan struct{})
		wg.Go(func() {
			<-turn
			r, err := w.engine.Scan(context.Background(), caller("SHOP"), Scan{Flow: "order-interception/return-order", Code: order, Form: map[string]any{"why": "=who.id {{who.id}}"}})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			marked = r.Verdict == Passed
			mu.Unlock()
		})
		for s := range 5 {
			if s == wait {
				close(turn)
			}
			mu.Lock()
			before := marked
			mu.Unlock()
			r, err := w.engine.Scan(context.Background(), caller("PICKER"), Scan{Flow: "order-interception/parcel", Code: order})
			if err != nil {
				t.Fatal(err)
			}
			if before && r.Verdict != Diverted {
				t.Fatalf("order %d passed station %d after it was marked: %+v", o, s, r)
			}
			if before {
				after++
			}
			if r.Verdict == Diverted {
				if !strings.Contains(r.Say, "=who.id {{who.id}}") {
					t.Errorf("why it was stopped is not said as it was written: %s", r.Say)
				}
				break
			}
		}
		if wait >= 5 {
			close(turn)
		}
		wg.Wait()
		w.settled()
		if a, b, c := stock("shop-front"), stock("middle-platform"), stock("erp"); a != b || b != c {
			t.Fatalf("order %d: the ledgers say %v, %v, %v", o, a, b, c)
		}
		if state := w.get(order, "state"); state != "shipped" && state != "intercepted" && state != "abnormal" {
			t.Fatalf("order %d is %s", o, state)
		}
	}
	for _, x := range w.entries() {
		if x.Kind != "scan" {
			t.Errorf("%+v", x)
		}
	}
}

// Whatever a scanner sends, the answer is a verdict or an error that the sender caused.
func FuzzScan(f *testing.F) {
	w := repairShop(f)
	f.Add(home+"/P1", "s/repair", "", "km", "12 [mi_i]", "PDA-1", "")
	f.Add("hdl:"+home+"/P2", "", "look", "n", "3", "", "look")
	f.Add("{{who.id}}", "s/check", "", "on", "2026-11-22", home+"/PDA", "@x")
	f.Fuzz(func(t *testing.T, code, flow, step, field, value, device, run string) {
		in := Scan{Code: code, Flow: flow, Step: step, Device: device, Run: run, ID: field}
		if field != "" {
			in.Form = map[string]any{field: value}
		}
		r, err := w.engine.Scan(context.Background(), caller("W"), in)
		switch problem.KindOf(err) {
		case problem.NotFound, problem.Conflict, problem.BadRequest, problem.TooLarge, problem.BadValue, problem.BadID, problem.Forbidden:
		default:
			if err != nil || r.Verdict == "" {
				t.Errorf("%+v: %+v, %v", in, r, err)
			}
		}
	})
}
