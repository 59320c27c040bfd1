package gs1

import "strings"

// canonicalHost is where canonical Digital Links live (GS1 Digital Link: URI syntax, 4.11).
const canonicalHost = "https://id.gs1.org/"

// isOurs says whether a path begins with a prefix of at least two numbers and a slash: 88.118.1001/…
func isOurs(path string) bool {
	dots := 0
	for i := range len(path) {
		switch c := path[i]; {
		case c >= '0' && c <= '9':
		case c == '.' && i > 0 && path[i-1] != '.':
			dots++
		case c == '/':
			return dots > 0 && path[i-1] != '.' && i+1 < len(path)
		default:
			return false
		}
	}
	return false
}

// keyForm is a key of GS1 and how its value looks.
type keyForm struct {
	ai         string
	digits     int // the value begins with so many digits
	min        int
	max        int
	numbers    bool   // all digits
	qualifiers string // those that make it finer, the finest first, separated by spaces
}

var keys = map[string]*keyForm{}

// aliases are the short names that early Digital Links had in place of numbers.
var aliases = map[string]string{"gtin": "01", "sscc": "00", "gdti": "253", "gcn": "255", "ginc": "401", "gsin": "402", "gln": "414", "party": "417", "grai": "8003",
	"giai": "8004", "itip": "8006", "cpid": "8010", "gsrnp": "8017", "gsrn": "8018", "ser": "21", "lot": "10", "cpv": "22", "tpx": "235", "glnx": "254", "cpsn": "8011"}

func init() {
	for _, k := range []*keyForm{
		{ai: "00", digits: 18, min: 18, max: 18, numbers: true},
		{ai: "01", digits: 8, min: 8, max: 14, numbers: true, qualifiers: "21 235 10"},
		{ai: "253", digits: 13, min: 13, max: 30},
		{ai: "255", digits: 13, min: 13, max: 25, numbers: true},
		{ai: "401", digits: 4, min: 5, max: 30},
		{ai: "402", digits: 17, min: 17, max: 17, numbers: true},
		{ai: "414", digits: 13, min: 13, max: 13, numbers: true, qualifiers: "254"},
		{ai: "417", digits: 13, min: 13, max: 13, numbers: true},
		{ai: "8003", digits: 14, min: 14, max: 30},
		{ai: "8004", digits: 4, min: 5, max: 30},
		{ai: "8006", digits: 18, min: 18, max: 18, numbers: true, qualifiers: "21 10"},
		{ai: "8010", digits: 4, min: 5, max: 30, qualifiers: "8011"},
		{ai: "8017", digits: 18, min: 18, max: 18, numbers: true},
		{ai: "8018", digits: 18, min: 18, max: 18, numbers: true},
	} {
		keys[k.ai] = k
	}
}

func (k *keyForm) takes(value string) bool {
	if len(value) < k.min || len(value) > k.max || !digits(value[:k.digits]) || k.numbers && !digits(value) {
		return false
	}
	return k.ai != "01" || len(value) == 8 || len(value) >= 12
}

// Canonical is the constrained canonical Digital Link of any spelling of GS1's: an EPC, class or pattern URN, or a Digital Link on any host. Check digits
// are not judged here: two spellings of a wrong number are still one thing. ok is false for what is no spelling of GS1's. Every event passes here: it takes
// less than a microsecond, and returns its argument when that is canonical already. Whoever wants to know whether a code is right calls ParseLink or ParseURN.
func Canonical(s string) (canonical string, ok bool) {
	switch {
	case strings.HasPrefix(s, "urn:epc:"):
		return urnLink(s[len("urn:epc:"):])
	case strings.HasPrefix(s, "https://"):
		return webLink(s, s[len("https://"):])
	case strings.HasPrefix(s, "http://"):
		return webLink(s, s[len("http://"):])
	}
	return "", false
}

// webLink finds the key in a Digital Link; s is the whole, rest what stands behind its scheme.
func webLink(s, rest string) (string, bool) {
	cut := strings.IndexAny(rest, "?#")
	if cut >= 0 {
		rest = rest[:cut]
	}
	slash := strings.IndexByte(rest, '/')
	if slash < 0 {
		return "", false
	}
	path := rest[slash+1:]
	if isOurs(path) {
		return "", false
	}
	for path != "" {
		name, after, ok := strings.Cut(path, "/")
		if !ok {
			return "", false
		}
		plain := true
		if n, ok := aliases[name]; ok {
			name, plain = n, false
		}
		key := keys[name]
		if key == nil {
			path = after
			continue
		}
		raw, more, _ := strings.Cut(after, "/")
		value, ok := unescape(raw)
		if !ok || !key.takes(value) {
			path = after
			continue
		}
		qualifier, fine, ok := key.finest(more)
		if !ok {
			path = after
			continue
		}
		// Most links are canonical already: the text itself serves then.
		if plain && cut < 0 && rest[len(rest)-1] != '/' && value == raw && slash == len("id.gs1.org") && len(value) != 8 && (name != "01" || len(value) == 14) &&
			len(path) == len(rest)-slash-1 && strings.HasPrefix(s, canonicalHost) && isPlain(value) && isPlain(fine) &&
			(qualifier == "" && more == "" || qualifier != "" && len(more) == len(qualifier)+1+len(fine) && strings.HasPrefix(more, qualifier)) {
			return s, true
		}
		dst := make([]byte, 0, len(canonicalHost)+len(s)+16)
		dst = append(append(append(dst, canonicalHost...), name...), '/')
		if name == "01" {
			for range 14 - len(value) {
				dst = append(dst, '0')
			}
		}
		dst = appendEscaped(dst, value)
		if qualifier != "" {
			dst = append(append(append(append(dst, '/'), qualifier...), '/'), 0)
			dst = appendEscaped(dst[:len(dst)-1], fine)
		}
		return string(dst), true
	}
	return "", false
}

// finest picks the qualifier that identifies most finely; ok is false when what stands behind the key is no list of qualifiers.
func (k *keyForm) finest(more string) (qualifier, value string, ok bool) {
	if more == "" {
		return "", "", true
	}
	best := len(k.qualifiers) + 1
	for more != "" {
		name, after, cut := strings.Cut(more, "/")
		if !cut {
			return "", "", name == ""
		}
		if n, known := aliases[name]; known {
			name = n
		}
		if len(name) < 2 || len(name) > 4 || !digits(name) {
			return "", "", false
		}
		var raw string
		raw, more, _ = strings.Cut(after, "/")
		v, good := unescape(raw)
		if !good || v == "" {
			return "", "", false
		}
		if at := strings.Index(" "+k.qualifiers+" ", " "+name+" "); at >= 0 && at < best {
			best, qualifier, value = at, name, v
		}
	}
	return qualifier, value, true
}

// isPlain says whether a value may stand in a Digital Link without escapes.
func isPlain(s string) bool {
	for i := range len(s) {
		if !plainByte(s[i]) {
			return false
		}
	}
	return true
}

func plainByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '.' || c == '_' || c == '~' || c == '\''
}

func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; plainByte(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// unescape decodes %XX; ok is false when an escape is cut short.
func unescape(s string) (string, bool) {
	at := strings.IndexByte(s, '%')
	if at < 0 {
		return s, true
	}
	out := append(make([]byte, 0, len(s)), s[:at]...)
	for i := at; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		a, b := nibble(s[i+1]), nibble(s[i+2])
		if a > 15 || b > 15 {
			return "", false
		}
		out = append(out, a<<4|b)
		i += 2
	}
	return string(out), true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// checkDigitOf is GS1's, of digits that stand before it (General Specifications, 7.9).
func checkDigitOf(digits []byte) byte {
	sum, weight := 0, 3
	for i := len(digits) - 1; i >= 0; i-- {
		sum += weight * int(digits[i]-'0')
		weight = 4 - weight
	}
	return byte('0' + (10-sum%10)%10)
}

// urnLink is the link of a URN, which is given without "urn:epc:" (EPC Tag Data Standard, 6 and 7; CBV 2.0, 8.9 rule 18).
func urnLink(s string) (string, bool) {
	kind, rest, ok := strings.Cut(s, ":")
	if !ok {
		return "", false
	}
	scheme, rest, ok := strings.Cut(rest, ":")
	if !ok {
		return "", false
	}
	var f [5]string
	n := 0
	for ; rest != "" || n == 0 || ok; n++ {
		if n == len(f) {
			return "", false
		}
		if n == lastField(scheme) { // the last field may hold points of its own
			f[n], rest, ok = rest, "", false
		} else {
			f[n], rest, ok = strings.Cut(rest, ".")
		}
	}
	pattern := kind == "idpat"
	if kind == "class" && scheme != "lgtin" || kind != "class" && scheme == "lgtin" || kind != "id" && kind != "class" && !pattern {
		return "", false
	}
	if !digits(f[0]) {
		return "", false
	}
	dst := make([]byte, 0, len(canonicalHost)+len(s)+16)
	dst = append(dst, canonicalHost...)
	// number writes prefix, company and reference with their check digit.
	number := func(ai, before, company, reference string, length int) bool {
		if len(company)+len(reference) != length || reference != "" && !digits(reference) {
			return false
		}
		dst = append(append(append(dst, ai...), '/'), before...)
		at := len(dst)
		if length == 13 || length == 17 && ai == "00" { // the indicator stands in front of the company prefix
			if reference == "" {
				return false
			}
			dst = append(append(append(dst, reference[0]), company...), reference[1:]...)
		} else {
			dst = append(append(dst, company...), reference...)
		}
		dst = append(dst, checkDigitOf(dst[at:]))
		return true
	}
	// serial adds a field as it is spelt in a link; a pattern's star stands for any and is left out.
	serial := func(before, value string) bool {
		if pattern {
			return value == "*"
		}
		v, ok := unescape(value)
		if !ok || v == "" || value == "*" {
			return false
		}
		dst = appendEscaped(append(dst, before...), v)
		return true
	}
	good := false
	switch scheme {
	case "sgtin":
		good = n == 3 && number("01", "", f[0], f[1], 13) && serial("/21/", f[2])
	case "lgtin":
		good = n == 3 && number("01", "", f[0], f[1], 13) && serial("/10/", f[2])
	case "upui":
		good = n == 3 && number("01", "", f[0], f[1], 13) && serial("/235/", f[2])
	case "itip":
		good = n == 5 && number("8006", "", f[0], f[1], 13) && len(f[2]) == 2 && len(f[3]) == 2 && digits(f[2]) && digits(f[3])
		if good {
			dst = append(append(dst, f[2]...), f[3]...)
			good = serial("/21/", f[4])
		}
	case "sscc":
		good = n == 2 && !pattern && number("00", "", f[0], f[1], 17)
	case "sgln":
		good = (n == 3 || n == 2) && number("414", "", f[0], f[1], 12)
		if good && n == 3 && f[2] != "0" {
			good = serial("/254/", f[2])
		}
	case "pgln":
		good = n == 2 && !pattern && number("417", "", f[0], f[1], 12)
	case "grai":
		good = n == 3 && number("8003", "0", f[0], f[1], 12) && serial("", f[2])
	case "gdti":
		good = n == 3 && number("253", "", f[0], f[1], 12) && serial("", f[2])
	case "sgcn":
		good = n == 3 && number("255", "", f[0], f[1], 12) && serial("", f[2])
	case "gsrn":
		good = n == 2 && !pattern && plainNumber(&dst, "8018", f[0], f[1], 17)
	case "gsrnp":
		good = n == 2 && !pattern && plainNumber(&dst, "8017", f[0], f[1], 17)
	case "gsin":
		good = n == 2 && !pattern && plainNumber(&dst, "402", f[0], f[1], 16)
	case "giai", "ginc":
		ai := "8004/"
		if scheme == "ginc" {
			ai = "401/"
		}
		dst = append(append(dst, ai...), f[0]...)
		good = n == 2 && !pattern && serial("", f[1])
	case "cpi":
		part, ok := unescape(f[1])
		if n != 3 || !ok || part == "" || part == "*" {
			return "", false
		}
		dst = appendEscaped(append(append(dst, "8010/"...), f[0]...), part)
		good = serial("/8011/", f[2])
	}
	if !good {
		return "", false
	}
	return string(dst), true
}

// lastField is the place of the field that takes all that is left.
func lastField(scheme string) int {
	switch scheme {
	case "sscc", "pgln", "gsrn", "gsrnp", "gsin", "giai", "ginc":
		return 1
	case "itip":
		return 4
	}
	return 2
}

func plainNumber(dst *[]byte, ai, company, reference string, length int) bool {
	if len(company)+len(reference) != length || !digits(reference) {
		return false
	}
	d := append(append(*dst, ai...), '/')
	at := len(d)
	d = append(append(d, company...), reference...)
	*dst = append(d, checkDigitOf(d[at:]))
	return true
}

// URNOf is the EPC URN of a Digital Link whose company prefix has so many digits: of an instance, or, where class is set, of a class. A link with a
// wrong check digit has none, since a URN does not carry it.
func URNOf(link string, company int, class bool) (string, bool) {
	urn, ok := rawURN(link, company, class)
	if !ok {
		return "", false
	}
	c, _ := Canonical(link)
	back, ok := Canonical(urn)
	return urn, ok && back == c
}

func rawURN(link string, company int, class bool) (string, bool) {
	c, ok := Canonical(link)
	if !ok || company < 6 || company > 12 || strings.HasPrefix(link, "urn:") {
		return "", false
	}
	f := strings.Split(c[len(canonicalHost):], "/")
	for i := range f {
		if f[i], ok = unescape(f[i]); !ok {
			return "", false
		}
	}
	ai, v, q, s := f[0], f[1], "", ""
	if len(f) == 4 {
		q, s = f[2], f[3]
	}
	s = escapeURN(s)
	// indicated splits a number whose indicator stands in front; plain one without.
	indicated := func(v string) string { return v[1:1+company] + "." + v[:1] + v[1+company:len(v)-1] }
	plain := func(v string) string { return v[:company] + "." + v[company:len(v)-1] }
	star := func(head, serial string) (string, bool) {
		if serial != "" {
			return "urn:epc:id:" + head + "." + escapeURN(serial), true
		}
		return "urn:epc:idpat:" + head + ".*", true
	}
	switch ai {
	case "00":
		return "urn:epc:id:sscc:" + indicated(v), true
	case "01":
		switch q {
		case "21":
			return "urn:epc:id:sgtin:" + indicated(v) + "." + s, true
		case "10":
			return "urn:epc:class:lgtin:" + indicated(v) + "." + s, true
		case "235":
			return "urn:epc:id:upui:" + indicated(v) + "." + s, true
		}
		return "urn:epc:idpat:sgtin:" + indicated(v) + ".*", class
	case "414":
		if s == "" {
			s = "0"
		}
		return "urn:epc:id:sgln:" + plain(v) + "." + s, true
	case "417":
		return "urn:epc:id:pgln:" + plain(v), true
	case "253":
		return star("gdti:"+plain(v[:13]), v[13:])
	case "255":
		return star("sgcn:"+plain(v[:13]), v[13:])
	case "8003":
		return star("grai:"+plain(v[1:14]), v[14:])
	case "402":
		return "urn:epc:id:gsin:" + plain(v), true
	case "8017":
		return "urn:epc:id:gsrnp:" + plain(v), true
	case "8018":
		return "urn:epc:id:gsrn:" + plain(v), true
	case "8004", "401", "8010":
		if len(v) <= company || !digits(v[:company]) {
			return "", false
		}
		head := v[:company] + "." + escapeURN(v[company:])
		switch {
		case ai == "8004":
			return "urn:epc:id:giai:" + head, true
		case ai == "401":
			return "urn:epc:id:ginc:" + head, true
		case s == "":
			return "urn:epc:idpat:cpi:" + head + ".*", class
		}
		return "urn:epc:id:cpi:" + head + "." + s, true
	case "8006":
		head := "itip:" + indicated(v[:14]) + "." + v[14:16] + "." + v[16:]
		if q == "21" {
			return "urn:epc:id:" + head + "." + s, true
		}
		return "urn:epc:idpat:" + head + ".*", class && q == ""
	}
	return "", false
}

// escapeURN escapes what cannot stand in an EPC URN (Tag Data Standard, table A-1).
func escapeURN(s string) string {
	if !strings.ContainsAny(s, "\"%&/<>?#") {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte("\"%&/<>?#", s[i]) >= 0 {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[s[i]>>4], hex[s[i]&15]})
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
