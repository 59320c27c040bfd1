package gs1

import (
	"net/url"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// Link is a GS1 Digital Link: a web address that holds a code (GS1 Digital Link Standard: URI Syntax).
type Link struct {
	Scheme   string // https or http
	Host     string // with its port, if one is written
	Stem     string // what stands in the path before the key, /some/stem; mostly empty
	Elements Elements
	Path     int        // how many of them stand in the path: the key and what makes it finer; the others are in the query
	Query    url.Values // the rest of the query, which is not of GS1: linkType, language …
	Fragment string     // what stands behind #
}

// canonicalStem is where the canonical form of every link lives (URI Syntax, 4.11).
const canonicalStem = "https://id.gs1.org"

var linkAliases = map[string]string{"sscc": "00", "gtin": "01", "lot": "10", "ser": "21", "cpv": "22", "tpx": "235", "gdti": "253", "glnx": "254", "gcn": "255",
	"ginc": "401", "gsin": "402", "gln": "414", "payTo": "415", "party": "417", "grai": "8003", "giai": "8004", "itip": "8006", "cpid": "8010", "cpsn": "8011",
	"gmn": "8013", "gsrnp": "8017", "gsrn": "8018", "srin": "8019", "refno": "8020"}

// ParseLink reads a Digital Link on any host, uncompressed or compressed, in the spelling of today's standard or of earlier ones (names in place of numbers,
// GTINs without leading zeros). Every value is held against the dictionary. The error is of kind problem.BadID.
func ParseLink(uri string) (Link, error) {
	return Reading{Aliases: true, ShortGTIN: true}.ParseLink(uri)
}

// ParseLink is the function of that name, read in this way.
func (r Reading) ParseLink(uri string) (Link, error) {
	l, path, query, err := splitLink(uri)
	if err != nil {
		return Link{}, err
	}
	segments := strings.Split(path[1:], "/")
	key := r.findKey(segments)
	if key < 0 {
		return r.parseCompressed(l, uri, segments, query)
	}
	if key > 0 {
		l.Stem = "/" + strings.Join(segments[:key], "/")
	}
	if l.Elements, err = r.pathElements(segments[key:]); err != nil {
		return Link{}, err
	}
	l.Path = len(l.Elements)
	if err := r.readQuery(&l, query, uri); err != nil {
		return Link{}, err
	}
	if err := l.Elements.check(); err != nil {
		return Link{}, err
	}
	return l, nil
}

// splitLink takes a URI apart; path begins with a slash.
func splitLink(uri string) (l Link, path, query string, err error) {
	fail := func(en, zh string, args ...any) (Link, string, string, error) {
		return Link{}, "", "", problem.New(problem.BadID, en, zh, args...)
	}
	if len(uri) > maxText {
		return fail("a Digital Link of %[1]d bytes: %[2]d is the most", "Digital Link 共 %[1]d 字节，最多 %[2]d 字节", len(uri), maxText)
	}
	if at := uriFault(uri); at >= 0 {
		return fail("%[1]q: character %[2]d cannot stand in a web address; write it as %% and two hexadecimal digits", "%[1]q：第 %[2]d 个字符不能出现在网址中；请写成 %% 加两位十六进制数字", clip(uri), at+1)
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	if l.Scheme = strings.ToLower(scheme); !ok || l.Scheme != "https" && l.Scheme != "http" || scheme != l.Scheme && scheme != strings.ToUpper(scheme) {
		return fail("%q is no Digital Link, which begins with https:// (or http://)", "%q 不是 Digital Link；应以 https://（或 http://）开头", clip(uri))
	}
	rest, l.Fragment, _ = strings.Cut(rest, "#")
	rest, query, _ = strings.Cut(rest, "?")
	slash := strings.IndexByte(rest, '/')
	if slash < 0 {
		return fail("%q holds no GS1 key; a Digital Link is written https://host/01/09521234543213", "%q 不含 GS1 标识；Digital Link 写作 https://主机/01/09521234543213", clip(uri))
	}
	if l.Host = rest[:slash]; !isHost(l.Host) {
		return fail("%[2]q: %[1]q is no host name", "%[2]q：%[1]q 不是主机名", clip(l.Host), clip(uri))
	}
	return l, rest[slash:], query, nil
}

// ai is the identifier that a segment of a path means, or empty.
func (r Reading) ai(segment string) string {
	if isAI(segment) {
		return segment
	}
	if r.Aliases {
		return linkAliases[segment]
	}
	return ""
}

// findKey looks for the key from the right, in steps of a pair, so that a stem may look like one.
func (r Reading) findKey(segments []string) int {
	for i := len(segments) - 2; i >= 0; i -= 2 {
		if ai := r.ai(segments[i]); ai != "" && IsKey(ai) {
			return i
		}
	}
	return -1
}

// pathElements reads the key and its qualifiers, which stand in pairs.
func (r Reading) pathElements(segments []string) (Elements, error) {
	var e Elements
	var qualifiers []string
	for i := 0; i < len(segments); i += 2 {
		ai := r.ai(segments[i])
		if i > 0 {
			if ai != "" {
				qualifiers = append(qualifiers, ai)
			}
			if key := find(e[0].AI); ai == "" || !key.takes(qualifiers) {
				return nil, problem.New(problem.BadID, "%[1]q cannot follow (%[2]s) in the path of a Digital Link; %[3]s; put other fields in the query",
					"%[1]q 不能跟在 Digital Link 路径中的 (%[2]s) 之后；%[4]s；其他字段请放到查询部分", clip(segments[i]), e[0].AI,
					key.allowed("nothing can", "what can, in that order, is "), key.allowed("其后不能跟任何字段", "可以依次跟的是 "))
			}
		}
		value := r.pad(ai, unescapeURI(segments[i+1], false))
		if err := r.checkElement(ai, value); err != nil {
			return nil, err
		}
		e = append(e, Element{ai, value})
	}
	return e, nil
}

// allowed says what may follow a key, in the words of a language.
func (e *entry) allowed(nothing, these string) string {
	if e.qualifiers == "" {
		return nothing
	}
	return these + "(" + strings.NewReplacer(",", ")(", "|", ") | (").Replace(e.qualifiers) + ")"
}

// pad puts the zeros in front of a GTIN that may be written without them.
func (r Reading) pad(ai, value string) string {
	if n := len(value); r.ShortGTIN && (ai == "01" || ai == "02") && (n == 8 || n == 12 || n == 13) {
		return "000000"[:14-n] + value
	}
	return value
}

// readQuery takes the fields out of a query and keeps the rest.
func (r Reading) readQuery(l *Link, query, uri string) error {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if pair == "" {
			continue
		}
		if !digits(name) {
			if l.Query == nil {
				l.Query = url.Values{}
			}
			name = unescapeURI(name, true)
			l.Query[name] = append(l.Query[name], unescapeURI(value, true))
			continue
		}
		value = r.pad(name, unescapeURI(value, true))
		if err := r.checkElement(name, value); err != nil {
			return err
		}
		if e := find(name); e != nil && e.flags&attribute == 0 || l.inPath(name) {
			return problem.New(problem.BadID, "(%[1]s) cannot stand in the query of this Digital Link, %[2]q; it belongs in the path behind its key",
				"(%[1]s) 不能放在该 Digital Link %[2]q 的查询部分；应放在路径中其主标识之后", name, clip(uri))
		}
		if _, ok := l.Elements.Value(name); ok {
			return problem.New(problem.BadID, "(%[1]s) stands twice in %[2]q; take one away", "(%[1]s) 在 %[2]q 中出现两次；请去掉一个", name, clip(uri))
		}
		if len(l.Elements) == maxElements {
			return problem.New(problem.BadID, "more than %d fields in one Digital Link", "一个 Digital Link 中超过 %d 个字段", maxElements)
		}
		l.Elements = append(l.Elements, Element{name, value})
	}
	return nil
}

// inPath says whether a field could stand in the path next to those that do; then it must.
func (l *Link) inPath(ai string) bool {
	var have []string
	for _, f := range l.Elements[1:l.Path] {
		have = append(have, f.AI)
	}
	key := find(l.Elements[0].AI)
	for i := range len(have) + 1 {
		if key.takes(slices.Insert(slices.Clone(have), i, ai)) {
			return true
		}
	}
	return false
}

// Link is the Digital Link of a code under a stem, https://example.com/some/path; the empty stem is https://id.gs1.org. The first field that can be the key
// becomes it. The error, of kind problem.BadID, says why there is no link: no key, or a field that cannot stand in one.
func (e Elements) Link(stem string) (Link, error) { return Reading{}.Link(e, stem) }

// Link is the method of Elements of that name, for elements read in this way.
func (r Reading) Link(e Elements, stem string) (Link, error) {
	if stem == "" {
		stem = canonicalStem
	}
	l, path, query, err := splitLink(strings.TrimSuffix(stem, "/") + "/")
	if err != nil {
		return Link{}, err
	}
	if query != "" || l.Fragment != "" {
		return Link{}, problem.New(problem.BadID, "the stem %q of a Digital Link has no query and no fragment; take them away", "Digital Link 的前缀 %q 不得带查询或片段；请去掉", clip(stem))
	}
	l.Stem = strings.TrimSuffix(path, "/")
	for i, f := range e {
		if err := r.checkElement(f.AI, f.Value); err != nil {
			return Link{}, err
		}
		if v, ok := e[:i].Value(f.AI); ok && v != f.Value {
			_, err := e[:i].add(f.AI, f.Value)
			return Link{}, err
		}
	}
	if err := e.check(); err != nil {
		return Link{}, err
	}
	var first error
	for _, f := range e {
		if !IsKey(f.AI) {
			continue
		}
		var err error
		if l.Elements, l.Path, err = e.arrange(f.AI, longestPath(e, find(f.AI))); err == nil {
			return l, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = problem.New(problem.BadID, "%q holds no key that a Digital Link can begin with, like (01) or (00); add it", "%q 不含可作为 Digital Link 起始的标识，如 (01) 或 (00)；请补上", clip(e.String()))
	}
	return Link{}, first
}

// longestPath is the alternative of a key's qualifiers of which most are there, the first of several.
func longestPath(e Elements, key *entry) string {
	best, most := "", 0
	for list := range strings.SplitSeq(key.qualifiers, "|") {
		n := 0
		for q := range strings.SplitSeq(list, ",") {
			if _, ok := e.Value(q); ok {
				n++
			}
		}
		if n > most {
			best, most = list, n
		}
	}
	return best
}

// arrange puts the key first, then the qualifiers of a list, then the rest, which must be attributes, fields of known length before others.
func (e Elements) arrange(key, qualifiers string) (Elements, int, error) {
	out := make(Elements, 0, len(e))
	take := func(ai string) {
		if v, ok := e.Value(ai); ok {
			out = append(out, Element{ai, v})
		}
	}
	take(key)
	for q := range strings.SplitSeq(qualifiers, ",") {
		take(q)
	}
	path := len(out)
	for _, known := range []bool{true, false} {
		for _, f := range e {
			if isPredefined(f.AI) != known {
				continue
			}
			if _, ok := out.Value(f.AI); ok {
				continue
			}
			if d := find(f.AI); d != nil && d.flags&attribute == 0 {
				return nil, 0, problem.New(problem.BadID, "(%[1]s) cannot stand in a Digital Link with the key (%[2]s); leave it out, or make links of its own key",
					"(%[1]s) 不能出现在以 (%[2]s) 为主标识的 Digital Link 中；请去掉，或用其自身的主标识生成链接", f.AI, key)
			}
			out = append(out, f)
		}
	}
	return out, path, nil
}

// Canonical is the link that is the same for every spelling: https://id.gs1.org, the key, and all its qualifiers in their order; no query.
func (l Link) Canonical() string {
	return string(l.appendPath(append(make([]byte, 0, 64), canonicalStem...)))
}

func (l Link) appendPath(dst []byte) []byte {
	for _, f := range l.Elements[:min(l.Path, len(l.Elements))] {
		dst = append(append(append(dst, '/'), f.AI...), '/')
		dst = escape(dst, f.Value, false)
	}
	return dst
}

// URI is the link uncompressed, with its own host and stem, and with what was in the query besides: first the fields, then the rest by name.
func (l Link) URI() string {
	dst := l.appendPath(append(make([]byte, 0, 96), l.stem()...))
	sign := byte('?')
	for _, f := range l.Elements[min(l.Path, len(l.Elements)):] {
		dst = append(append(append(dst, sign), f.AI...), '=')
		dst = escape(dst, f.Value, false)
		sign = '&'
	}
	return string(l.appendRest(dst, sign))
}

func (l Link) stem() string { return l.Scheme + "://" + l.Host + l.Stem }

func (l Link) appendRest(dst []byte, sign byte) []byte {
	if len(l.Query) > 0 {
		dst = append(append(dst, sign), l.Query.Encode()...)
	}
	if l.Fragment != "" {
		dst = append(append(dst, '#'), l.Fragment...)
	}
	return dst
}
