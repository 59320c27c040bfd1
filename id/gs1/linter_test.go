package gs1

import (
	"strings"
	"testing"
)

func TestCoupons(t *testing.T) {
	const base = "012345612345611110123"
	full := base + "1" + "0" + "110123" + "9" + "2" + "110123" + "0654321" + "3260131" + "4250131" + "50654321" + "617654321" + "90000"
	for s, at := range map[string]int{
		base: -1, full: -1, base + "3260131": -1, base + "90211": -1,
		"":                           0,
		base[:20]:                    18,
		base + "14":                  22,
		base + "10" + "110123" + "7": 29,
		base + "10" + "60":           23,
		base + "2" + "115":           24,
		base + "3" + "261331":        24,
		base + "4" + "26":            22,
		base + "3250131" + "4260131": 29,
		base + "5":                   22,
		base + "5912345":             23,
		base + "60":                  22,
		base + "93":                  22,
		base + "903":                 23,
		base + "90":                  23,
		base + "90002":               25,
		base + "x":                   21,
		full + "1":                   len(full),
	} {
		f := coupon(s)
		if at < 0 && f != nil || at >= 0 && (f == nil || f.at != at || f.zh == "") {
			t.Errorf("%s: %+v, want a fault at %d", s, f, at)
		}
	}
	for s, at := range map[string]int{"101234561234569123456789012345": -1, "": 0, "0": 1, "07": 1, "00": 2, "00123456123": 8, "00123456123456": 14, "x": 0} {
		if f := offer(s); at < 0 && f != nil || at >= 0 && (f == nil || f.at != at) {
			t.Errorf("offer %s: %+v, want a fault at %d", s, f, at)
		}
	}
}

// TestLinters gives each rule what it takes and what it does not.
func TestLinters(t *testing.T) {
	good := map[linter]string{
		couponcode: "012345612345611110123", couponposoffer: "001234561234560123456", csum: "09521234543213 24012345678905 00000000 24", csumalpha: "1987654Ad4X4bL5ttr2310c2K",
		gcppos1: "9521 9521A", gcppos2: "X9521 09521", hasnondigit: "A 1A", hh: "00 23", hhmi: "0000 2359", hyphen: "- --", iban: "DE91100000000123456789 BE71096123456769 LC14BOSL123456789012345678901234 MU43BOMM0101123456789101000MUR",
		importeridx: "A z 0 - _", iso3166: "156 840 004 894", iso3166999: "156 999", iso3166alpha2: "CN US ZW AD", iso4217: "156 978 840 999", iso5218: "0 1 2 9",
		latitude: "0000000000 1800000000", longitude: "0000000000 3600000000", mediatype: "01 10 80 99", mi: "00 59", nonzero: "1 0010", nozeroprefix: "0 10", packagetype: "1A 200 8 ZZ 201",
		pcenc: "A %20 %aF%00 AB%41", pieceoftotal: "0101 0199 9999", posinseqslash: "1/1 2/9", ss: "00 59", winding: "0 1 9", yesno: "0 1",
		yymmd0: "260200 240229 000229", yymmdd: "260131 240229 991231", yyyymmdd: "20240229 20000229 19991231", zero: "0 00",
	}
	wrong := map[linter]string{
		couponcode: "0 A", couponposoffer: "2 A", csum: "09521234543214 1 A", csumalpha: "1987654Ad4X4bL5ttr2310c2L AA ABCDEFGHIJKLMNOPQRSTUVWXYZ22", gcppos1: "952 95A1 A952", gcppos2: "9521 X95A1",
		hasnondigit: "1 123", hh: "24 1 AA", hhmi: "2400 2360 000", hyphen: "+ -+", iban: "DE91100000000123456780 XX91100000000123456780 DE911 DE9110000000012345678x", importeridx: "+ = AA",
		iso3166: "999 000 157 15", iso3166999: "998 000", iso3166alpha2: "XX cn C CHN", iso4217: "001 15", iso5218: "3 11", latitude: "1800000001 180", longitude: "3600000001 0",
		mediatype: "00 11 79 1", mi: "60 1", nonzero: "0 000", nozeroprefix: "01 00", packagetype: "0 1 ZZZ A 1a", pcenc: "% %2 %2G A%", pieceoftotal: "0001 0100 0201 010", posinseqslash: "0/1 1/0 2/1 1-1 1/ 01/1",
		ss: "60", winding: "2 01", yesno: "2", yymmd0: "260001 261301 260230 26010", yymmdd: "260200 250229 260431 A60101", yyyymmdd: "21000229 20260001 20260100 2026010", zero: "1 01",
	}
	for l := range linter(len(linterNames)) {
		for s := range strings.FieldsSeq(good[l]) {
			if f := l.check(s); f != nil {
				t.Errorf("%s refuses %q: %s", l, s, f.en)
			}
		}
		for s := range strings.FieldsSeq(wrong[l]) {
			if f := l.check(s); f == nil || f.en == "" || f.zh == "" || f.at < 0 || f.at > len(s) {
				t.Errorf("%s takes %q, or says %+v", l, s, f)
			}
		}
		if good[l] == "" || wrong[l] == "" {
			t.Errorf("%s is not tested", l)
		}
		l.check("") // whatever it says, it does not fall over
	}
}

func TestCheckMethods(t *testing.T) {
	if err := (Elements{{"01", "09521234543213"}, {"21", "A"}}).Check(); err != nil {
		t.Error(err)
	}
	for _, e := range []Elements{{{"01", "09521234543214"}}, {{"01", "09521234543213"}, {"01", "09521234543220"}}, {{"10", "A"}}, {{"", ""}}, {{"8010", "a"}}, {{"01", "09521234543213"}, {"21", "A"}, {"8030", "+"}}} {
		if e.Check() == nil {
			t.Errorf("%v is taken", e)
		}
	}
	if err := (Element{"10", "A"}).Check(); err != nil {
		t.Error(err)
	}
	r := Reading{Unknown: true}
	for s, ok := range map[string]bool{"(01)09521234543213(89)X": true, "(01)09521234543213(89) ": false, "(01)09521234543213(999)X": false, "(01)09521234543213(8999)X": true, "(01)09521234543213(89)" + strings.Repeat("A", 91): false} {
		if _, err := r.ParseElements(s); (err == nil) != ok {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, body := range []string{"", strings.Repeat("A", 24), "A B"} {
		if _, ok := CheckCharacters(body); ok {
			t.Errorf("%q has check characters", body)
		}
	}
}
