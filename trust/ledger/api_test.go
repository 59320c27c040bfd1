package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// shown is records as a node answers them: those that anybody sees, and those that only B sees.
type shown map[string]struct {
	values []record.Value
	only   string
}

func (s shown) Resolve(_ context.Context, q record.Query) (record.Answer, error) {
	r, ok := s[q.ID.String()]
	if !ok || r.only != "" && q.By.Name != r.only {
		return record.Answer{}, problem.New(problem.NotFound, "there is none", "没有")
	}
	return record.Answer{Values: r.values}, nil
}

func TestAPI(t *testing.T) {
	values := []record.Value{{Index: 1, Type: "URL", Data: []byte("https://example.com"), Perm: record.DefaultPerm}}
	digest := sha256.Sum256(record.AppendBlock(nil, values))
	var all []record.Entry
	add := func(name string, op record.Op, digest [32]byte) {
		all = append(all, record.Entry{Change: record.Change{Seq: uint64(len(all) + 1), Op: op, ID: id.MustParse(name), Digest: digest,
			By: record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.1001/App_erp"}}}})
	}
	add("0.NA/88.118.1001", record.Create, [32]byte{1})
	add("88.118.1001/OPEN", record.Create, [32]byte{2})
	add("88.118.1001/SECRET", record.Create, [32]byte{3})
	add("88.118.1001/PARTLY", record.Create, [32]byte{4})
	add("88.118.1001/GONE", record.Delete, [32]byte{})
	add("88.118.1001/OPEN", record.Modify, digest)
	l := begin(t, Config{Source: Changes(&fakeFeed{all}), ID: EntryID})
	es, err := l.entries(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.append(es, true); err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	access := newList(3)
	al := begin(t, Config{Source: access, Origin: "test.example/access"})
	take(t, al)
	world := shown{}
	world["88.118.1001/OPEN"] = struct {
		values []record.Value
		only   string
	}{values, ""}
	world["88.118.1001/PARTLY"] = world["88.118.1001/OPEN"]
	world["88.118.1001/SECRET"] = struct {
		values []record.Value
		only   string
	}{values, "88.118.1002/App_b"}
	g := &Ledger{Changes: l, Access: al, Records: world}
	a := api.New(api.Config{Title: "x", Version: "1", Identify: func(r *http.Request) (api.Caller, error) {
		switch who := r.Header.Get("Authorization"); who {
		case "b":
			return api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.1002/App_b"}}}, nil
		case "admin":
			return api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.1001/User_a"}}, Roles: []api.Role{{Name: api.EnterpriseAdmin, Prefix: "88.118.1001"}}}, nil
		case "neighbour":
			return api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.1003/User_a"}}, Roles: []api.Role{{Name: api.EnterpriseAdmin, Prefix: "88.118.1003"}}}, nil
		}
		return api.Caller{}, nil
	}})
	g.Register(a)
	s := httptest.NewServer(a.Handler())
	defer s.Close()
	get := func(who, path string) (int, []byte) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", who)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var m json.RawMessage
		if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, m
	}
	code, b := get("", "/api/ledger")
	var states States
	if json.Unmarshal(b, &states); code != 200 || len(states.Logs) != 2 || states.Logs[0].Published != 6 || states.Logs[1].Name != "access" || states.Logs[0].Key != l.Verifier().String() {
		t.Fatal(code, string(b))
	}
	absentBody := ""
	for _, c := range []struct {
		who, query string
		code       int
		op, opened string // names of what is opened
	}{
		{"", "id=88.118.1001/OPEN", 200, "modify", "values"},
		{"", "id=88.118.1001/open", 200, "modify", "values"},
		{"", "entry=2", 200, "create", ""}, // not the last one: what it was then is nobody's business
		{"admin", "entry=2", 200, "create", "values by"},
		{"neighbour", "entry=2", 200, "create", ""},
		{"", "id=88.118.1001/SECRET", 404, "", ""},
		{"neighbour", "entry=3", 404, "", ""},
		{"b", "id=88.118.1001/SECRET", 200, "create", ""},
		{"admin", "id=88.118.1001/SECRET", 200, "create", "values by"},
		{"", "id=88.118.1001/PARTLY", 200, "create", ""},
		{"", "id=88.118.1001/GONE", 404, "", ""},
		{"admin", "entry=5", 200, "delete", "values by"},
		{"", "id=88.118.1001/NEVER", 404, "", ""},
		{"", "entry=7", 404, "", ""},
		{"", "id=0.NA/88.118.1001", 200, "create", ""},
		{"", "", 400, "", ""},
		{"", "entry=1&id=88.118.1001/OPEN", 400, "", ""},
		{"", "log=access&entry=1", 404, "", ""},
		{"b", "log=access&entry=1", 404, "", ""},
		{"admin", "log=access&entry=1", 200, "create", "values by"},
		{"admin", "log=access&entry=9", 404, "", ""},
		{"admin", "log=access&id=88.118.1001/OPEN", 400, "", ""},
	} {
		code, b := get(c.who, "/api/ledger/proof?"+strings.ReplaceAll(url.PathEscape(c.query), "%2F", "/"))
		if code != c.code {
			t.Errorf("%s as %q: %d %s", c.query, c.who, code, b)
			continue
		}
		if code == 404 {
			// What may not be seen looks like what there is not.
			if absentBody == "" {
				absentBody = string(b)
			}
			if string(b) != absentBody {
				t.Errorf("%s as %q tells more than that it is absent: %s", c.query, c.who, b)
			}
		}
		if code != 200 {
			continue
		}
		p, err := ParseProof(b)
		if err != nil {
			t.Fatal(err)
		}
		key := l.Verifier()
		if strings.Contains(c.query, "access") {
			key = al.Verifier()
		}
		v, err := p.Verify(key, nil, 0)
		if err != nil {
			t.Fatal(c.query, err)
		}
		var names []string
		for _, o := range p.Opened {
			names = append(names, o.Name)
		}
		change, ok := p.Change(v)
		if got := strings.Join(names, " "); !ok || change.Op != c.op || got != c.opened {
			t.Errorf("%s as %q: %s, opened %q", c.query, c.who, change.Op, got)
		}
		if c.query == "id=88.118.1001/OPEN" {
			if err := change.Holds(id.MustParse("88.118.1001/OPEN"), values); err != nil {
				t.Error(err)
			}
			other := append([]record.Value{}, values...)
			other[0].Data = []byte("https://evil.example")
			if err := change.Holds(id.MustParse("88.118.1001/OPEN"), other); !problem.Is(err, problem.Bogus) {
				t.Error("an altered record holds:", err)
			}
		}
	}
}

// TestEntryID reads the identifier back, whatever is in it.
func TestEntryID(t *testing.T) {
	for _, name := range []string{"88.118/X", `88.118/A"B\C`, "88.118/工程", "0.NA/88.118", "88.118/<&>", "88.118/,\"id\":\"x\""} {
		v := id.MustParse(name)
		es, err := Changes(&fakeFeed{[]record.Entry{{Change: record.Change{Seq: 1, ID: v, Op: record.Create}}}}).Entries(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(EntryID(&es[0])); got != v.String() {
			t.Errorf("%s became %s", v, got)
		}
		line := es[0].Public
		if line == nil {
			line = es[0].Private
		}
		if !json.Valid(line) {
			t.Errorf("%s is no JSON", line)
		}
	}
}
