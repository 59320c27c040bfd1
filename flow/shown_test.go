package flow

import (
	"slices"
	"strings"
	"testing"
)

// What a part's maker shows the vehicle maker alone decides who bears a claim; without it the claim is judged by what everybody sees, and the explanation says which it was.
func TestShown(t *testing.T) {
	const claims, vin = "warranty-claims/claim", "LFV3A23C8B3000001"
	w := memoryWorld(t, caseProgram(t, "warranty-claims", "claim"), caseProgram(t, "warranty-claims", "fit"))
	parts := []string{"/S1", "/S2", "/S3", "/S4"}
	for _, p := range parts {
		w.put(partner+p, "part", map[string]string{"partNumber": "BRK-1", "name": "Brake"})
	}
	w.put(home+"/OWN", "part", map[string]string{"partNumber": "BRK-1", "name": "Brake", "inspection": "conceded"})
	w.put(home+"/"+vin, "vehicle", map[string]string{"vin": vin, "warrantyDays": "730", "warrantyDistance": "60000"})
	asked := []string{}
	w.shows = func(code, purpose string) (map[string]string, Shown) {
		asked = append(asked, code+" "+purpose)
		switch {
		case strings.HasSuffix(code, "/S1"):
			return map[string]string{"inspection": "conceded"}, ShownAnswered
		case strings.HasSuffix(code, "/S2"):
			return map[string]string{"inspection": "passed"}, ShownAnswered
		case strings.HasSuffix(code, "/S3"):
			return nil, ShownRefused
		}
		return nil, ShownSilent
	}
	r := w.wants(Passed, "", "FITTER", Scan{Flow: "warranty-claims/fit", Code: home + "/" + vin})
	for _, p := range parts {
		w.wants(Passed, "", "FITTER", Scan{Run: r.Run, Code: partner + p})
	}
	w.wants(Passed, "", "FITTER", Scan{Run: r.Run, Code: home + "/OWN"})
	w.settled()
	if len(asked) > 0 {
		t.Errorf("a step without a purpose asked in this enterprise's name: %v", asked)
	}
	form := map[string]any{"vin": vin, "mileage": 20000, "fault": "noise", "amount": "350"}
	for _, c := range []struct{ code, bearer, why, zh string }{
		{partner + "/S1", partner, "answered this enterprise by name", "已按本企业身份应答"},
		{partner + "/S2", home, "answered this enterprise by name", "已按本企业身份应答"},
		{partner + "/S3", home, "no more than everybody", "申请授权"},
		{partner + "/S4", home, "did not answer", "未应答"},
		{home + "/OWN", home, "", ""}, // its own: everything is seen, and nobody is asked
	} {
		asked = nil
		r := w.wants(Passed, "borne by "+c.bearer, "MECHANIC", Scan{Flow: claims, Code: c.code, Form: form})
		at := slices.IndexFunc(r.Explain, func(x Reason) bool { return x.Check == partner+": warranty" })
		switch {
		case c.why == "":
			if at >= 0 || len(asked) > 0 {
				t.Errorf("%s: %+v, asked %v", c.code, r.Explain, asked)
			}
		case at < 0 || !strings.Contains(r.Explain[at].Outcome, c.why) || !strings.Contains(r.Explain[at].ZH, c.zh):
			t.Errorf("%s: %+v", c.code, r.Explain)
		case !slices.Equal(asked, []string{c.code + " warranty"}):
			t.Errorf("%s: asked %v", c.code, asked)
		}
	}
	if list := w.mails("warranty-claims/claims"); len(list) != 5 || list[0].Body["bearer"] != partner || list[1].Body["bearer"] != home {
		t.Errorf("%+v", list)
	}
}

func TestPurposes(t *testing.T) {
	const head = "flow: look\nname: {en: Look, zh: 查看}\nabout: part\nsteps:\n  - step: one\n    name: {en: One, zh: 一}\n    next: end\n"
	for _, c := range []struct{ name, text, want string }{
		{"of a scan", "    scan: {as: part, purpose: warranty}\n", ""},
		{"of a question", "    scan: {as: part}\n    ask: [{as: box, id: '=part.box', purpose: 质保}]\n", ""},
		{"of one's own things", "    scan: {as: part, owner: own, purpose: warranty}\n", "sees everything"},
		{"of events", "    scan: {as: part}\n    ask: [{as: seen, events: '=part.id', purpose: warranty}]\n", "purpose goes with id"},
		{"too long", "    scan: {as: part, purpose: " + strings.Repeat("x", maxPurpose+1) + "}\n", "is no purpose"},
		{"a line end", "    scan: {as: part, purpose: \"a\\nb\"}\n", "is no purpose"},
		{"a space before", "    scan: {as: part, purpose: ' a'}\n", "is no purpose"},
	} {
		d, err := Parse("flows/look.yaml", []byte(head+c.text))
		if err == nil {
			_, err = d.Compile(environment)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
