package rest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the text of the interface, which every answer in these tests must keep to.
type contract struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex
}

const contractURL = "https://contract.test/openapi.json"

var theContract = sync.OnceValues(func() (*contract, error) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "epcis-interface")
	text, err := os.ReadFile(filepath.Join(dir, "openapi.yaml"))
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	// Through JSON, so that numbers and keys are what a schema compiler expects.
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	if doc, err = asMap(raw); err != nil {
		return nil, err
	}
	mend(doc)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	c.UseRegexpEngine(compilePattern)
	if err := c.AddResource(contractURL, doc); err != nil {
		return nil, err
	}
	raw, err = os.ReadFile(filepath.Join(dir, "EPCIS-JSON-Schema.json"))
	if err != nil {
		return nil, err
	}
	schema, err := asMap(raw)
	if err != nil {
		return nil, err
	}
	delete(schema, "$id")
	// A good document of the public collection measures what the Web Vocabulary knows and this list, which is older, does not.
	measures := schema["definitions"].(map[string]any)["measurementType"].(map[string]any)
	measures["anyOf"] = append(measures["anyOf"].([]any), map[string]any{"enum": []any{"EffectiveDoseRate", "Molar_concentration"}})
	// It wants the type of every sensor report, which the schema of XML leaves optional beside an exception; what is captured in XML must be told in JSON too.
	report := schema["definitions"].(map[string]any)["sensorReport"].(map[string]any)
	report["anyOf"] = []any{map[string]any{"required": report["required"]}, map[string]any{"required": []any{"exception"}}}
	delete(report, "required")
	// And it leaves the persistentDisposition out of the names that aggregations may have, which the standard gives to every event.
	allow(schema)
	if err := c.AddResource("https://gs1.github.io/EPCIS/REST%20Bindings/JSON-Schema-Stub.json", schema); err != nil {
		return nil, err
	}
	return &contract{doc: doc, compiler: c}, nil
})

// allow adds persistentDisposition where the names of all events' fields are listed.
func allow(v any) {
	switch v := v.(type) {
	case map[string]any:
		if list, ok := v["enum"].([]any); ok && slices.Contains(list, any("errorDeclaration")) && slices.Contains(list, any("certificationInfo")) && !slices.Contains(list, any("persistentDisposition")) {
			v["enum"] = append(list, "persistentDisposition")
		}
		for _, x := range v {
			allow(x)
		}
	case []any:
		for _, x := range v {
			allow(x)
		}
	}
}

// pattern is a regular expression that may begin with what must not follow, ^(?!…), which Go's do not know.
type pattern struct {
	text     string
	not, yes *regexp.Regexp
}

func (p pattern) MatchString(s string) bool {
	return (p.not == nil || !p.not.MatchString(s)) && p.yes.MatchString(s)
}
func (p pattern) String() string { return p.text }

func compilePattern(text string) (jsonschema.Regexp, error) {
	p, rest := pattern{text: text}, text
	var err error
	if inner, ok := strings.CutPrefix(text, "^(?!"); ok {
		depth, end := 1, 0
		for ; end < len(inner) && depth > 0; end++ {
			switch inner[end] {
			case '(':
				depth++
			case ')':
				depth--
			case '\\':
				end++
			}
		}
		if p.not, err = regexp.Compile("^(?:" + inner[:end-1] + ")"); err != nil {
			return nil, err
		}
		rest = "^" + inner[end:]
	}
	p.yes, err = regexp.Compile(rest)
	return p, err
}

func asMap(raw []byte) (map[string]any, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("not an object")
	}
	return m, nil
}

// mend takes out of the text what no answer could keep to: patterns in another dialect of regular expressions, and the "oneOf" of a capture job, whose two
// branches require nothing and so always hold both; and a mistyped number.
func mend(v any) {
	switch v := v.(type) {
	case map[string]any:
		if r, ok := v["409ResourceAlreadyExistsException"].(map[string]any); ok {
			for _, media := range r["content"].(map[string]any) { // it wants a status of 406 in it
				first := media.(map[string]any)["schema"].(map[string]any)["allOf"].([]any)[0].(map[string]any)
				first["properties"].(map[string]any)["status"].(map[string]any)["enum"] = []any{json.Number("409")}
			}
		}
		if p, ok := v["pattern"].(string); ok && strings.Contains(p, `\g<`) {
			delete(v, "pattern")
		}
		if list, ok := v["oneOf"].([]any); ok && len(list) == 2 {
			if first, _ := list[0].(map[string]any)["properties"].(map[string]any); first["errors"] != nil {
				v["anyOf"] = v["oneOf"]
				delete(v, "oneOf")
			}
		}
		for _, x := range v {
			mend(x)
		}
	case []any:
		for _, x := range v {
			mend(x)
		}
	}
}

func openContract(t *testing.T) *contract {
	t.Helper()
	c, err := theContract()
	if os.IsNotExist(err) && os.Getenv("CI") != "true" {
		t.Skip("the interface's text is not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// at follows a JSON pointer, and $ref at its end.
func (c *contract) at(path ...string) (any, string) {
	pointer := ""
	var v any = c.doc
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok || m[p] == nil {
			return nil, ""
		}
		v = m[p]
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p)
	}
	if m, ok := v.(map[string]any); ok {
		if ref, ok := m["$ref"].(string); ok && strings.HasPrefix(ref, "#/components/responses/") {
			return c.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return v, pointer
}

// operations are all of the text, as "GET /events".
func (c *contract) operations() []string {
	var out []string
	for path, item := range c.doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				out = append(out, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (c *contract) schema(pointer string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	escaped := strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D", "+", "%2B", " ", "%20").Replace(pointer)
	return c.compiler.Compile(contractURL + "#" + escaped)
}

// elsewhere are answers that the text forgot in places where every repository must give them: a wrong query to GET /events, methods that are none.
var elsewhere = map[int]string{400: "400QueryIssues", 404: "404ResourceNotFound", 409: "409ResourceAlreadyExistsException",
	413: "413QueryScopeOrSize", 414: "414URLTooLong", 501: "501NotImplemented"}

// check holds an answer against the text.
func (c *contract) check(t *testing.T, operation string, resp *http.Response, body []byte) {
	t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	method = strings.ToLower(method)
	status := strconv.Itoa(resp.StatusCode)
	v, pointer := c.at("paths", path, method, "responses", status)
	generic := false
	if v == nil {
		name, ok := elsewhere[resp.StatusCode]
		if !ok {
			if resp.StatusCode == 405 || resp.StatusCode == 304 || resp.StatusCode == 503 {
				return
			}
			if operation == "POST /queries" && resp.StatusCode == 200 { // a query without a name, which is answered at once
				v, pointer = c.at("components", "responses", "200EPCISQueryDocument")
			}
		} else {
			if strings.Contains(path, "/subscriptions") && resp.StatusCode == 400 {
				name = "400SubscriptionIssues"
			}
			v, pointer = c.at("components", "responses", name)
			generic = true
		}
		if v == nil {
			t.Errorf("%s: the text knows no answer %s", operation, status)
			return
		}
	}
	if operation == "GET /queries/{queryName}/events" && resp.StatusCode == 400 && bytes.Contains(body, []byte("epcisException:Query")) {
		v, pointer = c.at("components", "responses", "400QueryIssues") // the text thinks of sockets alone
	}
	declared := v.(map[string]any)
	heads, _ := declared["headers"].(map[string]any)
	for name, h := range heads {
		got := resp.Header.Get(name)
		if got == "" {
			if method == "options" && name != "GS1-Extensions" {
				t.Errorf("%s: the answer has no %s", operation, name)
			}
			continue
		}
		ref, _ := h.(map[string]any)["$ref"].(string)
		if ref == "" || name == "Link" || name == "GS1-Extensions" {
			continue
		}
		s, err := c.schema(strings.TrimPrefix(ref, "#") + "/schema")
		if err != nil {
			t.Errorf("%s: %s: %v", operation, name, err)
			continue
		}
		var value any = got
		if n, err := strconv.Atoi(got); err == nil && strings.Contains(name, "Limit") {
			value = n
		}
		if err := s.Validate(value); err != nil {
			t.Errorf("%s: the header %s: %s: %v", operation, name, got, err)
		}
	}
	contents, _ := declared["content"].(map[string]any)
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if len(contents) == 0 {
		if len(body) > 0 {
			t.Errorf("%s: the answer %s has a body: %s", operation, status, body)
		}
		return
	}
	key := media
	for _, other := range []string{strings.Replace(media, "ld+json", "json", 1), strings.Replace(media, "problem+", "", 1), strings.Replace(media, "problem+xml", "problem+json", 1)} {
		if contents[key] == nil {
			key = other
		}
	}
	if contents[key] == nil {
		t.Errorf("%s: an answer %s of type %q is not in the text", operation, status, media)
		return
	}
	if strings.HasSuffix(media, "xml") {
		if media == mediaXML {
			keepXML(operation, body)
		}
		d := xml.NewDecoder(bytes.NewReader(body))
		for {
			if _, err := d.Token(); err == io.EOF {
				return
			} else if err != nil {
				t.Errorf("%s: the XML is broken: %v\n%s", operation, err, body)
				return
			}
		}
	}
	p := pointer + "/content/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key) + "/schema"
	s, err := c.schema(p)
	if err != nil {
		t.Errorf("%s: %v", operation, err)
		return
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Errorf("%s: the answer %s is no JSON: %v\n%s", operation, status, err, body)
		return
	}
	if err := s.Validate(value); err != nil {
		t.Errorf("%s: the answer %s (generic %v) breaks the text: %v\n%s", operation, status, generic, err, body)
	}
}

// operationOf finds the operation of the text that a request is of.
func (c *contract) operationOf(base, method, escaped string) string {
	path := strings.TrimPrefix(escaped, base)
	if path == "" {
		path = "/"
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for p, item := range c.doc["paths"].(map[string]any) {
		want := strings.Split(strings.Trim(p, "/"), "/")
		if len(want) != len(parts) {
			continue
		}
		same := true
		for i := range want {
			same = same && (want[i] == parts[i] || strings.HasPrefix(want[i], "{"))
		}
		if same {
			if _, ok := item.(map[string]any)[strings.ToLower(method)]; ok || method == "HEAD" {
				return strings.Replace(method, "HEAD", "GET", 1) + " " + p
			}
		}
	}
	return ""
}

// answer is what came of a request.
type answer struct {
	*http.Response
	body string
}

// json reads the answer's body into v.
func (a answer) json(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v\n%s", err, a.body)
	}
}

// ask makes a request of the handler, and holds the answer against the contract.
func ask(t *testing.T, h http.Handler, method, target, body string, head ...string) answer {
	t.Helper()
	var r *http.Request
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	} else {
		r = httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("Content-Type", mediaJSON)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp := w.Result()
	raw, _ := io.ReadAll(resp.Body)
	if c, err := theContract(); err == nil {
		if op := c.operationOf("/epcis", method, r.URL.EscapedPath()); op != "" && method != "HEAD" {
			c.check(t, op, resp, raw)
		}
	}
	return answer{resp, string(raw)}
}
