package site

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// TestJoinProperty: a primary makes changes, two sites copy some of them, each logging a change once or not at all; one
// takes over and makes changes of its own. Whatever the other joins behind, it misses nothing.
func TestJoinProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := rapid.IntRange(1, 40).Draw(t, "changes")
		// What a site logs of the original's changes up to n: some are passed over.
		copied := func(label string, n int) []int {
			var log []int
			for c := 1; c <= n; c++ {
				if rapid.IntRange(0, 3).Draw(t, label) > 0 {
					log = append(log, c)
				}
			}
			return log
		}
		held := rapid.IntRange(0, changes).Draw(t, "held by the new primary")
		log := copied("new primary", held)
		step := Step{Term: 1, Seq: uint64(held), Own: uint64(len(log))}
		for c := range rapid.IntRange(0, 10).Draw(t, "own") {
			log = append(log, 1000+c)
		}
		// The joiner is a mirror, or the old primary, who holds all and logs all.
		x := rapid.IntRange(0, changes).Draw(t, "held by the joiner")
		mine := copied("joiner", x)
		if rapid.Bool().Draw(t, "old primary") {
			x, mine = changes, nil
			for c := 1; c <= changes; c++ {
				mine = append(mine, c)
			}
		}
		p := join([]Step{{Term: 1, Seq: uint64(x), Own: uint64(len(mine))}}, uint64(len(mine)), []Step{step})
		if p.anew {
			t.Fatal("everything is copied though both followed the same term")
		}
		// What the new primary logged behind the place covers all that the joiner lacks: its own changes, and those of the
		// old term that the joiner did not copy and that stand in its log.
		behind := log[p.from:]
		for i, c := range log {
			if (c >= 1000 || c > x) && !slices.Contains(behind, c) {
				t.Fatalf("change %d, logged at %d, is missed from %d on", c, i+1, p.from)
			}
		}
		// What the joiner alone holds is behind its tail.
		for i, c := range mine {
			if c > held && uint64(i) < p.tail {
				t.Fatalf("change %d at %d, which only the joiner holds, is not in the tail behind %d", c, i+1, p.tail)
			}
		}
		if e := end(p.trail); e.Seq != uint64(min(x, held)) || e.Own != p.tail {
			t.Fatalf("%+v", e)
		}
	})
}

func TestJoin(t *testing.T) {
	a := func(term, seq, own uint64) Step { return Step{Term: term, Seq: seq, Own: own} }
	for _, c := range []struct {
		name         string
		mine, theirs []Step
		last         uint64
		want         string
	}{
		{"a new site", nil, []Step{a(1, 10, 9)}, 0, "from 0 tail 0"},
		{"a site of another history", nil, []Step{a(1, 10, 9)}, 5, "anew"},
		{"the latest term that both hold", []Step{a(1, 10, 10), a(2, 20, 18)}, []Step{a(1, 10, 9), a(2, 25, 24), a(4, 7, 30)}, 18, "from 19 tail 18"},
		{"a term that was lost", []Step{a(1, 10, 10), a(2, 20, 30)}, []Step{a(1, 8, 8), a(3, 5, 12)}, 30, "from 8 tail 8"},
		{"a copy that is not finished", []Step{{Term: 1, Seq: 4, Own: 4, Partial: true, Loose: true}}, []Step{a(1, 4, 4)}, 4, "anew"},
		{"loose numbers, the same place", []Step{{Term: 1, Seq: 4, Own: 9, Loose: true}}, []Step{a(1, 4, 4)}, 9, "from 4 tail 9"},
		{"loose numbers, another place", []Step{{Term: 1, Seq: 3, Own: 9, Loose: true}}, []Step{a(1, 4, 4)}, 9, "anew"},
		{"the same number, another change", []Step{{Term: 1, Seq: 4, Own: 4, Mark: []byte{1}}}, []Step{{Term: 1, Seq: 4, Own: 4, Mark: []byte{2}}}, 4, "anew"},
	} {
		p := join(c.mine, c.last, c.theirs)
		got := fmt.Sprintf("from %d tail %d", p.from, p.tail)
		if p.anew {
			got = "anew"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestNeeded: of any votes that suffice, one voter holds every acknowledged change; and no two candidates get them.
func TestNeeded(t *testing.T) {
	for sites := 2; sites <= 9; sites++ {
		for hold := 0; hold < sites; hold++ {
			n := needed(sites, hold)
			if hold > 0 && n+hold <= sites-1 {
				t.Errorf("%d sites, hold %d: %d voters may all miss a change", sites, hold, n)
			}
			if sites > 2 && 2*n <= sites {
				t.Errorf("%d sites, hold %d: %d votes for two candidates at once", sites, hold, n)
			}
			if n > sites {
				t.Errorf("%d sites, hold %d: %d votes", sites, hold, n)
			}
		}
	}
}

func TestJudged(t *testing.T) {
	st := state{Term: 3, Primary: "a"}
	j := func(resolution, registration Verdict) Judgement {
		return Judgement{Target: "a", Term: 3, Resolution: resolution, Registration: registration}
	}
	down, up, old := j(Unavailable, Available), j(Available, Available), Judgement{Target: "a", Term: 2, Resolution: Unavailable, Registration: Unavailable}
	for _, c := range []struct {
		name   string
		said   []Judgement
		probes int
		want   bool
	}{
		{"both of two", []Judgement{down, down}, 2, true},
		{"one of two is not 51 %", []Judgement{down, up}, 2, false},
		{"two of three", []Judgement{down, down, up}, 3, true},
		{"51 of 100", slices.Concat(slices.Repeat([]Judgement{down}, 51), slices.Repeat([]Judgement{up}, 49)), 100, true},
		{"50 of 100", slices.Concat(slices.Repeat([]Judgement{down}, 50), slices.Repeat([]Judgement{up}, 50)), 100, false},
		{"registration alone", []Judgement{j(Available, Unavailable), j(Available, Unavailable)}, 2, true},
		{"half for one, half for the other", []Judgement{j(Available, Unavailable), down}, 2, false},
		{"of another term", []Judgement{old, old}, 2, false},
		{"silent probes count", []Judgement{down}, 2, false},
		{"unknown is not unavailable", []Judgement{j(Unknown, Unknown), j(Unknown, Unknown)}, 2, false},
		{"no probes", nil, 0, false},
	} {
		if got := judged(c.said, c.probes, st); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestVerdict(t *testing.T) {
	var jd judge
	jd.init(Config{Name: "x", Window: 2, Now: nowhere}, nil)
	jd.aim("a", 1)
	fail := problem.New(problem.Unreachable, "no", "否")
	for i, c := range []struct {
		err  error
		want Verdict
	}{{fail, Unknown}, {fail, Unavailable}, {nil, Available}, {fail, Available}, {fail, Unavailable}} {
		jd.found("a", 1, 0, c.err)
		if got := jd.now().Resolution; got != c.want {
			t.Errorf("after %d: %s, want %s", i, got, c.want)
		}
	}
	jd.found("b", 1, 0, nil) // late, about another
	if jd.now().Resolution != Unavailable {
		t.Error("a result about another site counts")
	}
	if jd.aim("b", 2); jd.now().Resolution != Unknown {
		t.Error("what was found of the old primary holds for the new one")
	}
	for kind, works := range map[problem.Kind]bool{problem.NotFound: true, problem.NoValues: true, problem.NeedAuth: true, problem.Unreachable: false,
		problem.Full: false, problem.ReadOnly: false, problem.Canceled: false, problem.Busy: false, problem.Internal: false} {
		if (working(problem.New(kind, "x", "x")) == nil) != works {
			t.Errorf("%s: works is %v", kind, !works)
		}
	}
	if working(nil) != nil {
		t.Error("an answer does not work")
	}
}

func TestEnvelope(t *testing.T) {
	key, err := trust.Generate(trust.SM2, nil)
	if err != nil {
		t.Fatal(err)
	}
	j, _ := json.Marshal(Judgement{Probe: "p", Target: "a", Resolution: Unavailable})
	sig, err := key.Sign(j)
	if err != nil {
		t.Fatal(err)
	}
	e := Envelope{Judgement: j, Key: key.Public().MarshalJWK(), Signature: base64.StdEncoding.EncodeToString(sig)}
	if got, err := e.Verify(key.Public().Fingerprint()); err != nil || got.Resolution != Unavailable {
		t.Error(got, err)
	}
	if _, err := e.Verify("SHA256:somebody else"); !problem.Is(err, problem.Bogus) {
		t.Error(err)
	}
	forged := e
	forged.Judgement = json.RawMessage(`{"target":"a","resolution":"available"}`)
	if _, err := forged.Verify(key.Public().Fingerprint()); !problem.Is(err, problem.Bogus) {
		t.Error(err)
	}
	if _, err := (&Envelope{Judgement: j}).Verify(key.Public().Fingerprint()); !problem.Is(err, problem.Bogus) {
		t.Error(err)
	}
}

func FuzzParseHeld(f *testing.F) {
	f.Add([]byte(`{"op":"create","id":"88/x","block":"AAAAAA=="}`))
	f.Add([]byte(`{"op":"delete","id":"88/x"}`))
	f.Add([]byte(`{"op":"home","id":"0.NA/88"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseHeld(b)
		if err == nil && (!e.ID.IsValid() || e.Op == 0) {
			t.Errorf("%q is %+v", b, e)
		}
	})
}
