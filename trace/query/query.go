// Package query is the question that companies put to a history of events: the SimpleEventQuery of EPCIS 2.0 (8.2.7), read from a URL or from JSON,
// answered the same whoever keeps the events.
//
// A query is read and checked once. Match then judges an event, Less orders the result, and Bounds says what an index may use to leave most events
// unread; Match alone decides. All parameters of a query hold together; the values of one are alternatives. Identifiers are compared by epcis.Key, so that
// an EPC URN finds what a Digital Link captured; words of the CBV are taken in any of their spellings; quantities and sensor values are compared across
// units of one dimension (UN/CEFACT Recommendation 20).
package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Limits on a query that comes from outside.
const (
	MaxBytes  = 4 << 20 // of a JSON query
	MaxParams = 500
	MaxValues = 100000 // of all parameters together
)

// Query is a compiled query. The exported fields may be changed before it is used; it is then safe for use by many at once. A copy is a query of its own.
type Query struct {
	OrderBy         string // eventTime, recordTime, the full name of an extension field ("https://ns.example.com/epcis/#batch"), or empty
	Ascending       bool   // orderDirection=ASC
	EventCountLimit int    // only the first so many; 0: all
	MaxEventCount   int    // more is QueryTooLargeException; 0: no limit
	PerPage         int    // 0: the service's own
	NextPageToken   string

	// Descendants gives the places below a place, by master data, for the parameters WD_readPoint and WD_bizLocation; the place itself may be among
	// them. When nil, a place has none. What it says is kept between two calls of Bounds, and for at most refreshAfter events.
	Descendants func(id string) []string
	// Attributes gives the master data of an identifier for the parameters HASATTR_… and EQ_ATTR_…; when nil, only attributes that stand at the field
	// itself are seen.
	Attributes func(id string) []epcis.VocabularyAttribute

	params []*param
}

// Match reports whether the event is in the result of the query.
func (q *Query) Match(e *epcis.Event) bool {
	for _, p := range q.params {
		if !p.test(q, e) {
			return false
		}
	}
	return true
}

// And is the query for the events that both match. Order, counts and paging are the receiver's where it has them, else the other's. It is
// problem.TooDeep when the two together are over the limits.
func (q *Query) And(more *Query) (*Query, error) {
	out := *q
	if out.OrderBy == "" {
		out.OrderBy, out.Ascending = more.OrderBy, more.Ascending
	}
	least := func(a, b int) int {
		if a == 0 || b == 0 {
			return a + b
		}
		return min(a, b)
	}
	out.EventCountLimit, out.MaxEventCount = least(q.EventCountLimit, more.EventCountLimit), least(q.MaxEventCount, more.MaxEventCount)
	if out.PerPage == 0 {
		out.PerPage = more.PerPage
	}
	if out.NextPageToken == "" {
		out.NextPageToken = more.NextPageToken
	}
	if out.Descendants == nil {
		out.Descendants = more.Descendants
	}
	if out.Attributes == nil {
		out.Attributes = more.Attributes
	}
	out.params = slices.Clone(q.params)
	for _, p := range more.params {
		if !slices.ContainsFunc(q.params, func(o *param) bool { return o.equal(p) }) {
			out.params = append(out.params, p)
		}
	}
	if err := out.limits(); err != nil {
		return nil, err
	}
	out.sort()
	return &out, nil
}

// limits is an error for a query that is too much.
func (q *Query) limits() error {
	n := 0
	for _, p := range q.params {
		n += len(p.given.list)
	}
	if n > MaxValues || len(q.params) > MaxParams {
		return errTooComplex()
	}
	return nil
}

func errTooComplex() error {
	return problem.New(problem.TooDeep, "the query has more than %[1]d parameters or %[2]d values: ask in parts", "查询的参数多于 %[1]d 个或取值多于 %[2]d 个：请分几次查询",
		MaxParams, MaxValues)
}

// sort puts the parameters in the order in which they are tried: cheap and narrow ones first. It is the same for the same query.
func (q *Query) sort() {
	slices.SortStableFunc(q.params, func(a, b *param) int {
		if a.cost != b.cost {
			return a.cost - b.cost
		}
		return strings.Compare(a.name, b.name)
	})
}

// ParseURL reads a query from the parameters of a URL: lists are separated by "|" or repeated, as the parameter's style in the interface's text says. A
// prefix of an extension field is the one that events were written with, unless it is one of the standard's own. Errors are problem.BadRequest and name
// the parameter (QueryParameterException), or problem.TooDeep.
func ParseURL(v url.Values) (*Query, error) { return ParseURLIn(v, nil) }

// ParseURLIn is ParseURL with the namespaces that prefixes stand for, prefix → URI: what a request's GS1-Extensions header says.
func ParseURLIn(v url.Values, namespaces map[string]string) (*Query, error) {
	if len(v) > MaxParams {
		return nil, errTooComplex()
	}
	r := reader{context: context(namespaces)}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		g := given{loose: true}
		for _, text := range v[name] {
			if isList(name) {
				for part := range strings.SplitSeq(text, "|") {
					g.list = append(g.list, scalar{text: part})
				}
			} else {
				g.list = append(g.list, scalar{text: text})
			}
			if len(g.list) > MaxValues {
				return nil, errTooComplex()
			}
		}
		if err := r.add(name, g); err != nil {
			return nil, err
		}
	}
	return r.finish()
}

// Newest is the query for the newest events, at most last of them, that name a thing in any role (MATCH_anyEPC); with a step, only those of that business step.
func Newest(thing, step string, last int) (*Query, error) {
	r := reader{context: context(nil)}
	one := func(name, s string, kind kind) error {
		return r.add(name, given{list: []scalar{{text: s, kind: kind}}, array: isList(name)})
	}
	err := errors.Join(one("MATCH_anyEPC", thing, text), one("orderBy", "eventTime", text), one("orderDirection", "DESC", text), one("eventCountLimit", strconv.Itoa(last), number))
	if step != "" {
		err = errors.Join(err, one("EQ_bizStep", step, text))
	}
	if err != nil {
		return nil, err
	}
	return r.finish()
}

// ParseJSON reads a query from the JSON object that POST /queries takes as "query". Its @context says what prefixes mean; a context that is only a URL is
// not fetched. Errors are as of ParseURL.
func ParseJSON(b []byte) (*Query, error) {
	if len(b) > MaxBytes {
		return nil, problem.New(problem.TooLarge, "the query has %d bytes; at most %d are taken: ask in parts", "查询有 %d 字节，最多接受 %d 字节：请分几次查询", len(b), MaxBytes)
	}
	fields, err := members(b)
	if err != nil {
		return nil, err
	}
	r := reader{context: context(nil)}
	for _, f := range fields {
		if f.name == "@context" {
			if err := r.context.read(f.raw, 0); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range fields {
		switch f.name {
		case "@context":
		case "allOf":
			if err := r.all(f.raw); err != nil {
				return nil, err
			}
		default:
			g, err := readGiven(f.name, f.raw)
			if err != nil {
				return nil, err
			}
			if err := r.add(f.name, g); err != nil {
				return nil, err
			}
		}
	}
	return r.finish()
}

// member is one member of a JSON object.
type member struct {
	name string
	raw  json.RawMessage
}

// members reads a JSON object; a name that comes twice is an error, since readers differ in which they take.
func members(b []byte) (out []member, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	bad := func(err error) error {
		return problem.New(problem.BadRequest, "the query is no JSON object (byte %[1]d): %[2]v", "查询不是 JSON 对象（第 %[1]d 字节）：%[2]v", d.InputOffset(), err)
	}
	t, err := d.Token()
	if err != nil {
		return nil, bad(err)
	}
	if t != json.Delim('{') {
		return nil, bad(errors.New("it must begin with {"))
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, bad(err)
		}
		name, _ := t.(string)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, bad(err)
		}
		if seen[name] {
			return nil, refuse(name, "it comes twice", "重复出现")
		}
		seen[name] = true
		if out = append(out, member{name, raw}); len(out) > MaxParams {
			return nil, errTooComplex()
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, bad(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad(errors.New("something follows it"))
	}
	return out, nil
}

// readGiven reads the value of a parameter in JSON.
func readGiven(name string, raw json.RawMessage) (g given, err error) {
	one := func(raw json.RawMessage) (scalar, bool) {
		switch c := raw[0]; {
		case c == '"':
			var s string
			err := json.Unmarshal(raw, &s)
			return scalar{text: s, kind: text}, err == nil
		case c == 't' || c == 'f':
			return scalar{text: string(raw), kind: boolean}, true
		case c == '-' || c >= '0' && c <= '9':
			return scalar{text: string(raw), kind: number}, true
		}
		return scalar{}, false
	}
	wrong := func() (given, error) {
		return g, refuse(name, "its value must be a text, a number, true, false or a list of those", "取值须为文本、数字、true、false 或它们的列表")
	}
	raw = bytes.TrimSpace(raw)
	if string(raw) == "null" {
		g.null = true
		return g, nil
	}
	if raw[0] != '[' {
		s, ok := one(raw)
		if !ok {
			return wrong()
		}
		g.list = []scalar{s}
		return g, nil
	}
	g.array = true
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return wrong()
	}
	if len(list) > MaxValues {
		return g, errTooComplex()
	}
	for _, item := range list {
		s, ok := one(bytes.TrimSpace(item))
		if !ok {
			return wrong()
		}
		g.list = append(g.list, s)
	}
	return g, nil
}

// MarshalJSON writes the query so that ParseJSON reads the same: parameters in the order of their names, @context with the prefixes that they use. Where And
// put two parameters of one name together, which the standard's form cannot say, the further ones are objects in a list "allOf".
func (q *Query) MarshalJSON() ([]byte, error) {
	spaces := map[string]string{}
	var layers []map[string]any
	set := func(name string, v any) {
		for i := 0; ; i++ {
			if i == len(layers) {
				layers = append(layers, map[string]any{})
			}
			if _, taken := layers[i][name]; !taken {
				layers[i][name] = v
				return
			}
		}
	}
	params := slices.Clone(q.params)
	slices.SortStableFunc(params, func(a, b *param) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.given.key(), b.given.key())
	})
	for _, p := range params {
		set(p.written(spaces), p.given.json(p.shape))
	}
	if len(layers) == 0 {
		layers = append(layers, map[string]any{})
	}
	top := layers[0]
	put := func(name string, n int) {
		if n != 0 {
			top[name] = n
		}
	}
	if q.OrderBy != "" {
		top["orderBy"] = q.OrderBy
	}
	if q.Ascending {
		top["orderDirection"] = "ASC"
	}
	put("eventCountLimit", q.EventCountLimit)
	put("maxEventCount", q.MaxEventCount)
	put("perPage", q.PerPage)
	if q.NextPageToken != "" {
		top["nextPageToken"] = q.NextPageToken
	}
	if len(layers) > 1 {
		top["allOf"] = layers[1:]
	}
	if len(spaces) > 0 {
		top["@context"] = spaces
	}
	return json.Marshal(top)
}
