package flow

import (
	"math"
	"strings"
)

// measure is how a unit measures its dimension: value × factor + offset in the dimension's base unit.
type measure struct {
	dimension      string
	factor, offset float64
	metric         bool // takes prefixes
}

// measures are the units of UCUM (case-sensitive form) that people enter and machines report.
var measures = map[string]measure{
	"m": {"length", 1, 0, true}, "[in_i]": {"length", 0.0254, 0, false}, "[ft_i]": {"length", 0.3048, 0, false}, "[yd_i]": {"length", 0.9144, 0, false},
	"[mi_i]": {"length", 1609.344, 0, false}, "[nmi_i]": {"length", 1852, 0, false},
	"g": {"mass", 1e-3, 0, true}, "t": {"mass", 1000, 0, true}, "[lb_av]": {"mass", 0.45359237, 0, false}, "[oz_av]": {"mass", 0.028349523125, 0, false},
	"s": {"time", 1, 0, true}, "min": {"time", 60, 0, false}, "h": {"time", 3600, 0, false}, "d": {"time", 86400, 0, false}, "wk": {"time", 604800, 0, false},
	"K": {"temperature", 1, 0, true}, "Cel": {"temperature", 1, 273.15, false}, "[degF]": {"temperature", 5.0 / 9, 459.67 * 5 / 9, false},
	"Pa": {"pressure", 1, 0, true}, "bar": {"pressure", 1e5, 0, true}, "atm": {"pressure", 101325, 0, false}, "[psi]": {"pressure", 6894.757293168, 0, false},
	"m[Hg]": {"pressure", 133322.387415, 0, true},
	"l":     {"volume", 1e-3, 0, true}, "L": {"volume", 1e-3, 0, true}, "m3": {"volume", 1, 0, false}, "dm3": {"volume", 1e-3, 0, false}, "cm3": {"volume", 1e-6, 0, false}, "[gal_us]": {"volume", 3.785411784e-3, 0, false},
	"m2": {"area", 1, 0, false}, "dm2": {"area", 1e-2, 0, false}, "cm2": {"area", 1e-4, 0, false}, "mm2": {"area", 1e-6, 0, false}, "har": {"area", 1e4, 0, false},
	"J": {"energy", 1, 0, true}, "W.h": {"energy", 3600, 0, true}, "eV": {"energy", 1.602176634e-19, 0, true}, "cal": {"energy", 4.184, 0, true},
	"W": {"power", 1, 0, true}, "N": {"force", 1, 0, true}, "V": {"voltage", 1, 0, true}, "A": {"current", 1, 0, true}, "Hz": {"frequency", 1, 0, true}, "Ohm": {"resistance", 1, 0, true},
	"m/s": {"speed", 1, 0, false}, "km/h": {"speed", 1 / 3.6, 0, false}, "[mi_i]/h": {"speed", 0.44704, 0, false}, "[kn_i]": {"speed", 1852.0 / 3600, 0, false},
	"1": {"ratio", 1, 0, false}, "%": {"ratio", 1e-2, 0, false}, "[ppth]": {"ratio", 1e-3, 0, false}, "[ppm]": {"ratio", 1e-6, 0, false},
	"deg": {"angle", math.Pi / 180, 0, false}, "rad": {"angle", 1, 0, true},
}

var unitPrefixes = []struct {
	name   string
	factor float64
}{{"da", 1e1}, {"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}, {"h", 1e2}, {"d", 1e-1}, {"c", 1e-2}, {"m", 1e-3}, {"u", 1e-6}, {"n", 1e-9}, {"p", 1e-12}}

// spellings are what people and CBV's two- and three-letter codes (UN/CEFACT Recommendation 20) write for the commonest units.
var spellings = map[string]string{"CEL": "Cel", "°C": "Cel", "℃": "Cel", "FAH": "[degF]", "°F": "[degF]", "KEL": "K", "KGM": "kg", "GRM": "g", "MTR": "m", "MMT": "mm", "KMT": "km", "LTR": "l", "μm": "um", "µm": "um", "SEC": "s", "MIN": "min", "HUR": "h", "P1": "%"}

// unitOf reads a unit; ok is false for one that is not known.
func unitOf(s string) (u measure, ok bool) {
	s = strings.TrimSpace(s)
	if std, other := spellings[s]; other {
		s = std
	}
	if u, ok = measures[s]; ok {
		return u, true
	}
	for _, p := range unitPrefixes {
		if rest, cut := strings.CutPrefix(s, p.name); cut {
			if u, ok = measures[rest]; ok && u.metric {
				u.factor *= p.factor
				return u, true
			}
		}
	}
	return measure{}, false
}

// convert tells x, in one unit, in another; ok is false when one is not known or they measure different things.
func convert(x float64, from, to string) (y float64, ok bool) {
	if strings.TrimSpace(from) == strings.TrimSpace(to) {
		return x, true
	}
	a, known := unitOf(from)
	b, same := unitOf(to)
	if !known || !same || a.dimension != b.dimension {
		return 0, false
	}
	y = (x*a.factor + a.offset - b.offset) / b.factor
	// What a person reads should not end in 0.30000000000000004.
	if y != 0 && !math.IsInf(y, 0) && !math.IsNaN(y) {
		p := math.Pow(10, 13-math.Ceil(math.Log10(math.Abs(y))))
		if r := math.Round(y*p) / p; !math.IsInf(r, 0) && !math.IsNaN(r) {
			y = r
		}
	}
	return y, true
}
