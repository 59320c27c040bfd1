package recursor

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// TestRandomWorlds makes countries by lot, with servers that fail and lie, but at least one honest site for every
// prefix: then every question must have the answer that can be read off the registrations.
func TestRandomWorlds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { rapid.SyncTest(rt, randomWorld) })
}

func randomWorld(t *rapid.T) {
	w := newWorld(trust.Ed25519)
	next := 0
	sites := func(what string) []string {
		var out []string
		for range rapid.IntRange(1, 3).Draw(t, what+" sites") {
			var names []string
			for range rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "servers") {
				next++
				n := fmt.Sprintf("M%d", next)
				m := w.addServer(n, netip.AddrFrom4([4]byte{203, 0, byte(next / 250), byte(next%250 + 1)}).String(), time.Duration(rapid.IntRange(1, 80).Draw(t, "rtt"))*time.Millisecond)
				if rapid.IntRange(0, 4).Draw(t, "tcp only") == 0 {
					m.protos = []record.Protocol{record.TCP}
				}
				names = append(names, n)
			}
			out = append(out, strings.Join(names, "+"))
		}
		return out
	}
	w.addZone("", rapid.Bool().Draw(t, "root signs"), sites("root")...)
	prefixes := []string{""}
	for range rapid.IntRange(1, 8).Draw(t, "prefixes") {
		up := rapid.SampledFrom(prefixes).Draw(t, "under")
		labels := []string{fmt.Sprint(rapid.IntRange(1, 99).Draw(t, "label"))}
		if rapid.IntRange(0, 3).Draw(t, "hole") == 0 {
			labels = append(labels, "0042")
		}
		p := strings.Join(labels, ".")
		if up != "" {
			p = up + "." + p
		}
		below := func(o string) bool { return o == p || strings.HasPrefix(o, p+".") }
		if slices.ContainsFunc(prefixes, below) || strings.Count(p, ".") > 6 {
			continue // from the top down: a level slipped in later could need a service below itself
		}
		signed := w.above(p).signed && rapid.IntRange(0, 3).Draw(t, "signs") > 0
		l := w.addZone(p, signed)
		// A service must be kept by a prefix that was there before, or none could be reached.
		if rapid.IntRange(0, 4).Draw(t, "hosted") == 0 && len(prefixes) > 1 {
			host := rapid.SampledFrom(prefixes[1:]).Draw(t, "host")
			if w.zones[host].signed || !signed {
				s := fmt.Sprintf("%s/SERVICE-%d", host, len(prefixes))
				v := val(1, record.TypeSite, "")
				v.Data = record.AppendSite(nil, w.siteOf(strings.Split(sites("service")[0], "+"), true))
				w.put(s, v)
				l.services = []string{s}
			}
		}
		if len(l.services) == 0 {
			for _, s := range sites(p) {
				l.sites = append(l.sites, strings.Split(s, "+"))
			}
			l.nobelow = rapid.IntRange(0, 3).Draw(t, "nobelow") == 0
		}
		prefixes = append(prefixes, p)
	}
	var names []string
	for i := range rapid.IntRange(1, 12).Draw(t, "records") {
		p := rapid.SampledFrom(prefixes).Draw(t, "prefix")
		if p == "" {
			p = "0.TYPE"
		}
		n := fmt.Sprintf("%s/%d-é", p, i)
		v := val(1, "URL", fmt.Sprintf("https://%d.example/", i))
		if len(names) > 0 && rapid.IntRange(0, 3).Draw(t, "alias") == 0 {
			v = val(1, record.TypeAlias, rapid.SampledFrom(names).Draw(t, "of"))
		}
		v.TTL.Seconds = uint32(rapid.SampledFrom([]int{0, 1, 60, 3600, 86400}).Draw(t, "ttl"))
		w.put(n, v)
		if rapid.Bool().Draw(t, "more") {
			w.put(n, val(7, "DESC", "text"), record.Value{Index: 9, Type: "KEY", Data: []byte("x"), Perm: record.AdminRead})
		}
		names = append(names, n)
	}

	harmless := []string{"down", "refused", "busy", "lame", "moved", "slow"}
	wicked := []string{"wrong", "strip", "omit", "deny", "swap", "expired", "forge", "twice", "refer"}
	hurt := func() {
		for _, p := range prefixes {
			l := w.zones[p]
			honest := 0
			if len(l.sites) > 0 {
				honest = rapid.IntRange(0, len(l.sites)-1).Draw(t, "honest")
			}
			for i, s := range l.sites {
				for _, n := range s {
					m := w.servers[n]
					m.faults = nil
					if i == honest || rapid.IntRange(0, 2).Draw(t, "faulty") > 0 {
						continue
					}
					kinds := harmless
					if l.signed && !l.nobelow {
						kinds = slices.Concat(harmless, wicked)
					}
					f := fault{kind: rapid.SampledFrom(kinds).Draw(t, "fault"), index: 1, d: time.Hour, arg: "https://evil.example/"}
					switch f.kind {
					case "slow":
						f.d = time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond
					case "swap":
						f.arg = rapid.SampledFrom(names).Draw(t, "swapped")
					case "forge":
						f.arg = rapid.SampledFrom(prefixes).Draw(t, "forger")
						if f.arg == p {
							f.kind = "strip"
						}
					case "refer":
						f.arg, f.name = n, ""
						m.faults = append(m.faults, fault{kind: "unsigned-messages"})
					}
					m.faults = append(m.faults, f)
				}
			}
		}
	}

	c := Config{Ask: w, Hints: w.hints(), Anchors: w.anchors(), Rand: bytes.NewReader(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed")), MaxUpstream: 400, MaxStale: -1, Timeout: time.Minute}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range rapid.IntRange(1, 25).Draw(t, "questions") {
		if rapid.IntRange(0, 2).Draw(t, "weather") == 0 {
			hurt()
		}
		<-time.After(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 30, 100, 4000, 90000}).Draw(t, "seconds later")) * time.Second)
		var name string
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			name = rapid.SampledFrom(prefixes).Draw(t, "under") + "/NONE"
			if name[0] == '/' {
				name = "12345.6" + name
			}
		case 1:
			name = zoneRecord(rapid.SampledFrom(prefixes).Draw(t, "of prefix"))
		case 2:
			name = "0.NA/" + rapid.SampledFrom(prefixes[len(prefixes)-1:]).Draw(t, "below") + ".77777"
			if strings.HasPrefix(name, "0.NA/.") {
				name = "0.NA/77777"
			}
		default:
			name = rapid.SampledFrom(names).Draw(t, "name")
		}
		q := record.Query{ID: id.MustParse(name), PublicOnly: true, Trace: rapid.Bool().Draw(t, "trace")}
		if rapid.IntRange(0, 3).Draw(t, "filter") == 0 {
			q.Types = []string{"URL"}
		}
		q.Authoritative = false
		a, err := r.Resolve(context.Background(), q)
		check(t, w, q, a, err)
	}
}

// check compares an answer with what the registrations say.
func check(t *rapid.T, w *world, q record.Query, a record.Answer, err error) {
	name := q.ID
	want, wantTrust := []record.Value(nil), record.Secure
	var wantErr error
	for {
		vs, signer, _, ok := w.values(name, w.records)
		if signer == nil { // nobody answers for the prefix: who says so?
			_, signer, _, _ = w.values(id.PrefixRecord(name.Prefix()), w.records)
		}
		switch {
		case !w.zones[""].signed:
			wantTrust = record.Unchecked
		case !signer.signed:
			wantTrust = min(wantTrust, record.Unsigned)
		}
		vs = slices.DeleteFunc(vs, func(v record.Value) bool { return v.Perm&record.PublicRead == 0 })
		alias := ""
		want, wantErr = nil, nil
		for _, v := range vs {
			if q.Wants(v.Index, v.Type) {
				want = append(want, v)
			}
			if v.Type == record.TypeAlias {
				alias = string(v.Data)
			}
		}
		if ok && alias != "" && (q.All() || len(want) == 0) {
			name = id.MustParse(alias)
			continue
		}
		switch {
		case !ok:
			wantErr = problem.New(problem.NotFound, "", "")
		case len(want) == 0:
			wantErr = problem.New(problem.NoValues, "", "")
		}
		break
	}
	tell := func(format string, args ...any) {
		for _, p := range a.Path {
			t.Logf("  %8v +%-8v %-24s %-24s %-9s %s", p.At, p.Took, p.Asked, p.Name, p.Trust, p.Outcome)
		}
		t.Fatalf("%s (%s): %s", q.ID, name, fmt.Sprintf(format, args...))
	}
	if (err == nil) != (wantErr == nil) || err != nil && problem.KindOf(err) != problem.KindOf(wantErr) {
		tell("got error %v, want %v", err, wantErr)
	}
	if a.Trust != wantTrust {
		tell("trust %v, want %v", a.Trust, wantTrust)
	}
	if _, isPrefix := name.Delegated(); isPrefix || err != nil {
		return // its certificates are made anew each time
	}
	same := slices.EqualFunc(a.Values, want, func(x, y record.Value) bool {
		return bytes.Equal(record.AppendValue(nil, &x), record.AppendValue(nil, &y))
	})
	if !same {
		tell("values %v, want %v", a.Values, want)
	}
	if a.Stale {
		tell("stale")
	}
}

// TestRandomWorldsLong is the same for longer, as part of make soak.
func TestRandomWorldsLong(t *testing.T) {
	if os.Getenv("FUJIE_SOAK") == "" {
		t.Skip("set FUJIE_SOAK=1")
	}
	for i := range 50 {
		t.Run(fmt.Sprint(i), TestRandomWorlds)
	}
}
