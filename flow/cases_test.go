package flow

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// C9: a claim is checked from the first scan to the replacement.
func TestClaims(t *testing.T) {
	const claims = "warranty-claims/claim"
	w := memoryWorld(t, caseProgram(t, "warranty-claims", "claim"), caseProgram(t, "warranty-claims", "fit"), caseProgram(t, "warranty-claims", "replace"), caseProgram(t, "warranty-claims", "make-part"))
	vin, other := "LFV3A23C8B3000001", "LFV3A23C8B3000002"
	for _, p := range []string{"/P1", "/P2", "/P3", "/P4", "/P9"} {
		w.put(partner+p, "part", map[string]string{"partNumber": "BRK-1", "name": "Brake"})
	}
	w.put(home+"/"+vin, "vehicle", map[string]string{"vin": vin, "warrantyDays": "730", "warrantyDistance": "60000"})

	// Three parts are fitted; one of them twice, and a code that no maker registered.
	r := w.wants(Passed, "", "FITTER", Scan{Flow: "warranty-claims/fit", Code: home + "/" + vin})
	if r.Next == nil || r.Next.Step != "part" || r.Next.Finish == "" {
		t.Fatalf("%+v", r)
	}
	for _, p := range []string{"/P1", "/P2", "/P3"} {
		w.wants(Passed, "", "FITTER", Scan{Run: r.Run, Code: partner + p})
	}
	w.wants(Warned, "scanned already", "FITTER", Scan{Run: r.Run, Code: partner + "/P2"})
	w.wants(Refused, "no maker", "FITTER", Scan{Run: r.Run, Code: partner + "/P77"})
	w.wants(Refused, "kind", "FITTER", Scan{Run: r.Run, Code: home + "/" + vin})
	end := w.wants(Passed, "3 parts", "FITTER", Scan{Run: r.Run, Finish: true})
	if !end.Ended || end.Next != nil {
		t.Fatalf("%+v", end)
	}
	w.settled()
	if got := w.get(home+"/FIT-"+partner+"-P1", "vin"); got != vin {
		t.Fatalf("fitted on %s", got)
	}

	form := func(change ...string) map[string]any {
		f := map[string]any{"vin": vin, "mileage": 20000, "fault": "noise", "amount": "350"}
		for i := 0; i < len(change); i += 2 {
			f[change[i]] = change[i+1]
		}
		return f
	}
	ask := w.wants(Asking, "", "MECHANIC", Scan{Flow: claims, Code: partner + "/P1"})
	if len(ask.Form) != 4 || !ask.Form[0].Required || ask.Form[1].Unit != "km" || ask.Run != "" {
		t.Fatalf("%+v", ask)
	}
	for _, c := range []struct {
		name, code, say string
		form            map[string]any
	}{
		{"never fitted", partner + "/P9", "never fitted", form()},
		{"registered by no maker", partner + "/P99", "not genuine", form()},
		{"another vehicle", partner + "/P1", "wrong vehicle", form("vin", other)},
		{"too far", partner + "/P1", "out of warranty: 70000 km", form("mileage", "70000")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.wants(Refused, c.say, "MECHANIC", Scan{Flow: claims, Code: c.code, Form: c.form})
			if !r.Ended || len(r.Explain) == 0 {
				t.Errorf("%+v", r)
			}
		})
	}
	for _, c := range []struct {
		name, say string
		form      map[string]any
	}{
		{"a mileage below nothing", "out of bounds", form("mileage", "-5")},
		{"a mileage beyond reason", "out of bounds", form("mileage", "1e9")},
		{"no number", "no number", form("mileage", "many")},
		{"a VIN of another form", "form that is wanted", form("vin", "XYZ")},
		{"a field that is not asked for", "no field", form("bribe", "100")},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.wants(Refused, c.say, "MECHANIC", Scan{Flow: claims, Code: partner + "/P2", Form: c.form})
		})
	}
	w.t = t
	w.papers[partner+"/P3"].trust = "unsigned"
	w.wants(Refused, "not signed by its maker", "MECHANIC", Scan{Flow: claims, Code: partner + "/P3", Form: form()})
	w.away[partner+"/P4"] = problem.New(problem.Bogus, "", "")
	w.wants(Refused, "forged", "MECHANIC", Scan{Flow: claims, Code: partner + "/P4", Form: form()})

	r = w.wants(Passed, "genuine", "MECHANIC", Scan{Flow: claims, Code: partner + "/P1", Form: form()})
	if !strings.Contains(r.Say, "CLAIMS-") || len(r.Effects) < 3 {
		t.Fatalf("%+v", r)
	}
	w.wants(Refused, "claimed before", "MECHANIC", Scan{Flow: claims, Code: partner + "/P1", Form: form()})
	w.pass(800 * 24 * time.Hour)
	w.wants(Refused, "out of warranty since", "MECHANIC", Scan{Flow: claims, Code: partner + "/P2", Form: form()})
	if list := w.mails("warranty-claims/claims"); len(list) != 1 || list[0].Kind != "passed" || list[0].Body["vin"] != vin {
		t.Fatalf("%+v", list)
	}

	r = w.wants(Passed, "", "MECHANIC", Scan{Flow: "warranty-claims/replace", Code: partner + "/P1"})
	w.wants(Refused, "already", "MECHANIC", Scan{Run: r.Run, Code: partner + "/P2"})
	w.wants(Passed, "takes the place", "MECHANIC", Scan{Run: r.Run, Code: partner + "/P9"})
	w.settled()
	if s := w.get(home+"/FIT-"+partner+"-P1", "state"); s != "replaced" {
		t.Errorf("the old part is %s", s)
	}
	if u, v := w.get(home+"/FIT-"+partner+"-P9", "until"), w.get(home+"/FIT-"+partner+"-P1", "until"); u != v {
		t.Errorf("warranty until %s, the old one's was %s", u, v)
	}
}

// C5: bottles into boxes, with misreads and bottles that are in another box.
func TestPacking(t *testing.T) {
	w := memoryWorld(t, caseProgram(t, "bottle-to-store", "pack-box"), caseProgram(t, "bottle-to-store", "stack-pallet"), caseProgram(t, "bottle-to-store", "sell"))
	bottle := func(n string) string { return home + "/B000000000000" + n }
	box := home + "/X00000000001"
	const flow = "bottle-to-store/pack-box"
	r := w.wants(Passed, "", "LINE", Scan{Flow: flow, Code: box, Device: "L1", Where: home + "/WORKS", Form: map[string]any{"product": "Baijiu"}})
	for _, n := range []string{"1", "2", "3"} {
		w.wants(Passed, "", "LINE", Scan{Run: r.Run, Code: bottle(n), Device: "L1"})
	}
	w.wants(Refused, "no code that belongs here", "LINE", Scan{Run: r.Run, Code: home + "/B00#"})
	w.wants(Warned, "already", "LINE", Scan{Run: r.Run, Code: bottle("2")})
	w.wants(Refused, "another enterprise", "LINE", Scan{Run: r.Run, Code: partner + "/B0000000000009"})
	for _, n := range []string{"4", "5"} {
		w.wants(Passed, "", "LINE", Scan{Run: r.Run, Code: bottle(n)})
	}
	last := w.wants(Passed, "6 bottles", "LINE", Scan{Run: r.Run, Code: bottle("6"), Device: "L1", Where: home + "/WORKS"})
	if !last.Ended {
		t.Fatalf("%+v", last)
	}
	w.wants(Refused, "packed already", "LINE", Scan{Flow: flow, Code: box, Form: map[string]any{"product": "Baijiu"}})
	r = w.wants(Passed, "", "LINE", Scan{Flow: flow, Code: home + "/X00000000002", Form: map[string]any{"product": "Baijiu"}})
	w.wants(Refused, "is in "+box, "LINE", Scan{Run: r.Run, Code: bottle("3")})
	w.settled()
	if got := w.get(box, "bottles"); got != "6" {
		t.Errorf("%s bottles", got)
	}
	if list := w.mails("bottle-to-store/wms"); len(list) != 1 || list[0].Body["box"] != box {
		t.Errorf("%+v", list)
	}
	// The pallet is ended by hand: what its last step does is done all the same.
	pallet := home + "/D000000001"
	r = w.wants(Passed, "", "LINE", Scan{Flow: "bottle-to-store/stack-pallet", Code: pallet})
	if got := w.scan("LINE", Scan{Run: r.Run, Finish: true}); got.Verdict != Refused || got.Ended {
		t.Errorf("an empty pallet is done: %+v", got)
	}
	w.wants(Passed, "", "LINE", Scan{Run: r.Run, Code: box})
	w.wants(Passed, "1 boxes", "LINE", Scan{Run: r.Run, Finish: true})
	w.settled()
	if got := w.get(pallet, "boxes"); got != "1" {
		t.Errorf("the pallet has %s boxes", got)
	}
	w.wants(Passed, "genuine; packed in "+box, "SHOP", Scan{Flow: "bottle-to-store/sell", Code: bottle("1"), Where: home + "/SHOP-1"})
	w.wants(Refused, "sold before", "SHOP", Scan{Flow: "bottle-to-store/sell", Code: bottle("1"), Where: home + "/SHOP-1"})
	w.wants(Refused, "forged", "SHOP", Scan{Flow: "bottle-to-store/sell", Code: home + "/B0000000000077"})
}

// C13: the film's properties come from its maker, the parameters from the instruction; what this machine did better comes first the next time.
func TestSetUp(t *testing.T) {
	w := memoryWorld(t, caseProgram(t, "process-parameters", "set-up"))
	const flow = "process-parameters/set-up"
	w.put(home+"/PRESS-1", "machine", map[string]string{"kind": "press", "maxPressure": "5"})
	w.put(partner+"/CF1", "film-lot", map[string]string{"grade": "AD-25", "glue": "epoxy", "piThickness": "12.5", "glueThickness": "15", "madeOn": "2026-11-01", "shelfLife": "180"})
	r := w.wants(Passed, "", "OP", Scan{Flow: flow, Code: home + "/PRESS-1"})
	r = w.wants(Passed, "", "OP", Scan{Run: r.Run, Code: partner + "/CF1"})
	if r.Next == nil || !strings.Contains(r.Next.Hint, "160 °C · 2 MPa · 3300 s (work instruction)") || r.Next.Form[0].Value != 160.0 {
		t.Fatalf("%+v", r.Next)
	}
	better := map[string]any{"temperature": 161, "pressure": 2, "seconds": 3200, "minutes": 15, "films": 2, "yield": 99.2}
	w.wants(Refused, "5 MPa at most", "OP", Scan{Run: r.Run, Form: map[string]any{"temperature": 161, "pressure": 6, "seconds": 3200, "minutes": 15, "films": 2, "yield": 99.2}})
	w.wants(Passed, "kept for this machine", "OP", Scan{Run: r.Run, Form: better})
	r = w.wants(Passed, "", "OP", Scan{Flow: flow, Code: home + "/PRESS-1"})
	r = w.wants(Passed, "", "OP", Scan{Run: r.Run, Code: partner + "/CF1"})
	if r.Next == nil || !strings.Contains(r.Next.Hint, "161 °C · 2 MPa · 3200 s (what this machine did best)") {
		t.Fatalf("%+v", r.Next)
	}
	// A film that the instruction knows nothing of stops the run; the engineer lets it go on.
	w.put(partner+"/CF2", "film-lot", map[string]string{"grade": "ZZ-9", "glue": "silicone", "piThickness": "80", "glueThickness": "15", "madeOn": "2026-11-01", "shelfLife": "180"})
	r = w.wants(Passed, "", "OP", Scan{Flow: flow, Code: home + "/PRESS-1"})
	w.wants(Stopped, "work instruction has nothing", "OP", Scan{Run: r.Run, Code: partner + "/CF2"})
	w.wants(Stopped, "work instruction has nothing", "OP", Scan{Run: r.Run, Code: partner + "/CF1"})
	if _, err := w.engine.Release(context.Background(), caller("OP"), r.Run, "it is fine"); !problem.Is(err, problem.Forbidden) {
		t.Errorf("an operator lets it go on: %v", err)
	}
	if _, err := w.engine.Release(context.Background(), boss(), r.Run, "another film"); err != nil {
		t.Fatal(err)
	}
	w.wants(Passed, "", "OP", Scan{Run: r.Run, Code: partner + "/CF1"})
	w.pass(200 * 24 * time.Hour)
	r = w.wants(Passed, "", "OP", Scan{Flow: flow, Code: home + "/PRESS-1"})
	w.wants(Refused, "too old", "OP", Scan{Run: r.Run, Code: partner + "/CF1"})
}
