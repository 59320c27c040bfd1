package query

import (
	"strings"

	"github.com/fujie-id/fujie/trace/epcis"
)

// gs1Link is where the keys of GS1 identifiers begin.
const gs1Link = "https://id.gs1.org/"

// prefixes are the beginnings of the keys that a pattern matches; none when the text is no pattern.
func prefixes(s string) []string {
	if rest, ok := cutFold(s, "urn:epc:idpat:"); ok {
		return patternURN(rest)
	}
	if rest, ok := cutFold(s, "urn:epc:class:lgtin:"); ok && strings.HasSuffix(s, ".*") {
		return patternGTIN(strings.Split(rest, "."), "/10/")
	}
	stem, ok := strings.CutSuffix(s, "*")
	if !ok || stem == "" {
		return nil
	}
	// The key of a thing that the pattern matches, less what stands for the star. A thing that is no good identifier is its own key.
	for _, digit := range []string{"0", "1"} {
		if key, ok := strings.CutSuffix(epcis.Key(stem+digit), digit); ok && key != stem {
			return []string{key}
		}
	}
	return []string{stem}
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// patternURN are the beginnings for an EPC pure identity pattern (TDS 2.0, 8): "*" stands for a component and all behind it.
func patternURN(s string) []string {
	scheme, rest, _ := strings.Cut(s, ":")
	parts := strings.Split(rest, ".")
	if parts[len(parts)-1] != "*" {
		return nil
	}
	first := 0
	for first < len(parts) && parts[first] != "*" {
		first++
	}
	for _, p := range parts[first:] {
		if p != "*" {
			return nil
		}
	}
	for _, p := range parts[:min(first, 1)] {
		if !isDigits(p) || len(p) > 12 {
			return patternPlain(scheme, parts[:first])
		}
	}
	if first == 0 {
		if ai, ok := map[string]string{"sgtin": "01", "sscc": "00", "sgln": "414", "grai": "8003", "giai": "8004", "gdti": "253", "gsrn": "8018", "gsrnp": "8017",
			"cpi": "8010", "sgcn": "255", "ginc": "401", "gsin": "402", "itip": "8006", "upui": "01", "pgln": "417"}[scheme]; ok {
			return []string{gs1Link + ai + "/"}
		}
		return patternPlain(scheme, nil)
	}
	company := parts[0]
	// whole is the first two components as a number of so many digits, with its check digit, when both are there.
	numbered := func(ai string, length int, tail string) []string {
		if first >= 2 && isDigits(parts[1]) && len(company)+len(parts[1]) == length {
			n := company + parts[1]
			return []string{gs1Link + ai + "/" + n + checkDigit(n) + tail}
		}
		if first >= 2 && parts[1] != "" {
			return nil
		}
		return []string{gs1Link + ai + "/" + company}
	}
	switch scheme {
	case "sgtin":
		return patternGTIN(parts, "/21/")
	case "upui":
		return patternGTIN(parts, "/235/")
	case "itip":
		return patternITIP(parts)
	case "sscc":
		return anyDigit("00/", company)
	case "sgln":
		return numbered("414", 12, "")
	case "pgln":
		return numbered("417", 12, "")
	case "grai":
		out := numbered("8003", 12, "")
		for i := range out {
			out[i] = gs1Link + "8003/0" + strings.TrimPrefix(out[i], gs1Link+"8003/")
		}
		return out
	case "gdti":
		return numbered("253", 12, "")
	case "sgcn":
		return numbered("255", 12, "")
	case "giai":
		return []string{gs1Link + "8004/" + company}
	case "gsrn":
		return []string{gs1Link + "8018/" + company}
	case "gsrnp":
		return []string{gs1Link + "8017/" + company}
	case "ginc":
		return []string{gs1Link + "401/" + company}
	case "gsin":
		return []string{gs1Link + "402/" + company}
	case "cpi":
		return []string{gs1Link + "8010/" + company + strings.Join(parts[1:first], "")}
	}
	return patternPlain(scheme, parts[:first])
}

// patternPlain is for schemes that have no Digital Link: the keys are the URNs.
func patternPlain(scheme string, parts []string) []string {
	if scheme == "" {
		return nil
	}
	stem := "urn:epc:id:" + scheme + ":"
	for _, p := range parts {
		stem += p + "."
	}
	return []string{stem}
}

// anyDigit are the beginnings when an unknown digit stands before the company's number.
func anyDigit(ai, company string) []string {
	out := make([]string, 10)
	for d := range out {
		out[d] = gs1Link + ai + string(rune('0'+d)) + company
	}
	return out
}

// patternGTIN is for company.indicator+item.serial.
func patternGTIN(parts []string, qualifier string) []string {
	company := parts[0]
	if !isDigits(company) {
		return nil
	}
	if len(parts) < 2 || parts[1] == "*" {
		return anyDigit("01/", company)
	}
	item := parts[1]
	if !isDigits(item) || len(company)+len(item) != 13 {
		return nil
	}
	n := item[:1] + company + item[1:]
	return []string{gs1Link + "01/" + n + checkDigit(n) + qualifier}
}

// patternITIP is for company.indicator+item.piece.total.serial.
func patternITIP(parts []string) []string {
	out := patternGTIN(parts, "")
	for i := range out {
		out[i] = gs1Link + "8006/" + strings.TrimPrefix(out[i], gs1Link+"01/")
	}
	if len(out) == 1 && len(parts) > 3 && isDigits(parts[2]) {
		out[0] += parts[2]
		if isDigits(parts[3]) {
			out[0] += parts[3]
		}
	}
	return out
}

// checkDigit is GS1's: weights 3 and 1 from the right (GS1 General Specifications, 7.9.1).
func checkDigit(digits string) string {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			d *= 3
		}
		sum += d
	}
	return string(rune('0' + (10-sum%10)%10))
}
