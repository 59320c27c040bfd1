package template

import "strings"

// The atoms of UCUM (The Unified Code for Units of Measure, case-sensitive form) that products are described with.
// Metric ones take a prefix.
var (
	metric   = words("m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L ar t bar u eV pc kat U [iU] B Np bit By Bd st cal G Mx gf P St Gal Ci R mho dyn erg B[V] B[W] [Btu] VA var m[H2O] m[Hg] eq osm tex")
	plain    = words("min h d a mo wk deg ' '' gon % [ppth] [ppm] [ppb] [pptr] [pi] [in_i] [ft_i] [yd_i] [mi_i] [nmi_i] [kn_i] [sin_i] [sft_i] [cin_i] [cft_i] [gal_us] [foz_us] [bbl_us] [lb_av] [oz_av] [ston_av] [lton_av] [degF] [degR] [psi] [lbf_av] [HP] [cal_IT] [Btu_IT] [pH] [drop] [mesh_i] [hp_X] [c] [g] AU atm Lmb att [in_i'H2O] [in_i'Hg] [kn_br] circ kgf [arb'U] [p'diop] 10* 10^ tex [tb'U] [HPF] [CFU] [den] [hnsf'U]")
	prefixes = []string{"da", "Ki", "Mi", "Gi", "Ti", "Y", "Z", "E", "P", "T", "G", "M", "k", "h", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y"}
)

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// ucum reports whether s is a unit: a term of the grammar of UCUM over the atoms above.
func ucum(s string) bool {
	if s == "" || len(s) > 60 {
		return false
	}
	p := &unitReader{s: s}
	return p.term(0) && p.at == len(s)
}

type unitReader struct {
	s  string
	at int
}

func (p *unitReader) peek() byte {
	if p.at < len(p.s) {
		return p.s[p.at]
	}
	return 0
}

func (p *unitReader) term(depth int) bool {
	if depth > 5 {
		return false
	}
	if p.peek() == '/' {
		p.at++
	}
	for {
		if !p.component(depth) {
			return false
		}
		if c := p.peek(); c != '.' && c != '/' {
			return true
		}
		p.at++
	}
}

func (p *unitReader) component(depth int) bool {
	if p.peek() == '(' {
		p.at++
		if !p.term(depth+1) || p.peek() != ')' {
			return false
		}
		p.at++
		return true
	}
	if p.annotation() {
		return true
	}
	start := p.at
	for p.at < len(p.s) && !strings.ContainsRune("./(){}", rune(p.s[p.at])) {
		if p.s[p.at] == '[' { // what stands in brackets may hold anything
			end := strings.IndexByte(p.s[p.at:], ']')
			if end < 0 {
				return false
			}
			p.at += end
		}
		p.at++
	}
	word := p.s[start:p.at]
	if word == "" {
		return false
	}
	p.annotation()
	if strings.Trim(word, "0123456789") == "" {
		return word != "0"
	}
	if atom(word) {
		return true
	}
	// An exponent: m2, s-1, 10*3.
	base := strings.TrimRight(word, "0123456789")
	if base == word || len(base) == 0 {
		return false
	}
	return atom(strings.TrimRight(base, "+-")) && len(base)-len(strings.TrimRight(base, "+-")) <= 1
}

func (p *unitReader) annotation() bool {
	if p.peek() != '{' {
		return false
	}
	end := strings.IndexByte(p.s[p.at:], '}')
	if end < 0 {
		return false
	}
	p.at += end + 1
	return true
}

func atom(w string) bool {
	if metric[w] || plain[w] {
		return true
	}
	for _, x := range prefixes {
		if rest, ok := strings.CutPrefix(w, x); ok && metric[rest] {
			return true
		}
	}
	return false
}
