package label_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/label"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
)

const design = `{"name":{"en":"Box","zh":"箱标"},"width":60,"height":40,"dpi":203,"elements":[{"type":"text","text":"{name} 箱","x":2,"y":2,"width":30},
{"type":"symbol","symbol":"qr","data":"https://id.example.cn/{id}","x":38,"y":2,"width":20,"height":20}],"sheet":{"paper":"A4"}}`

// desk is a desk behind its interface; the roles of a caller are what the header Role says, at 88.118.1001.
func desk(t *testing.T) (*httptest.Server, *label.Desk, *recordtest.Book) {
	t.Helper()
	book := recordtest.NewBook(record.Ref{}, "88.118.1001")
	d, err := label.New(t.Context(), label.Config{Prefix: "88.118.1001", Registry: book, Dir: t.TempDir(), Now: func() time.Time { return time.Unix(1e9, 0) },
		Resolve: func(_ context.Context, c api.Caller, name string) (label.Fields, error) {
			if strings.Contains(name, "SECRET") && !c.Has("88.118.1001", api.EnterpriseAdmin) {
				return nil, problem.New(problem.NotFound, "%s is not here: check its spelling", "此处没有 %s：请检查拼写", name)
			}
			return label.Fields{"id": name, "name": "泉水 <b>"}, nil
		},
		Codes: func(_ context.Context, c api.Caller, job string) (iter.Seq2[string, error], error) {
			if job != "88.118.1001/JOB_000001" {
				return nil, problem.New(problem.NotFound, "%s is not here: check its spelling", "此处没有 %s：请检查拼写", job)
			}
			return func(yield func(string, error) bool) {
				for i := range 50 {
					if !yield(fmt.Sprintf("88.118.1001/BOX-%d", i), nil) {
						return
					}
				}
			}, nil
		},
		EPC: func(name string) ([]byte, error) {
			if strings.HasPrefix(name, "(01)") {
				return []byte{0x30, 0, 0x30, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, nil
			}
			return nil, problem.New(problem.BadID, "no code of GS1", "不是 GS1 编码")
		}})
	if err != nil {
		t.Fatal(err)
	}
	a := api.New(api.Config{Title: "Labels", Version: "1", Identify: func(r *http.Request) (api.Caller, error) {
		c := api.Caller{}
		if role := r.Header.Get("Role"); role != "" {
			c.Identity = record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.1001/USER_LI"}}
			c.Roles = []api.Role{{Name: api.RoleName(role), Prefix: r.Header.Get("At")}}
		}
		return c, nil
	}})
	d.Register(a)
	s := httptest.NewServer(a.Handler())
	t.Cleanup(s.Close)
	return s, d, book
}

func call(t *testing.T, s *httptest.Server, role, method, path, body string, head ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	role, at, _ := strings.Cut(role, "@")
	if at == "" {
		at = "88.118.1001"
	}
	r.Header.Set("Role", role)
	r.Header.Set("At", at)
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestDesigns(t *testing.T) {
	s, d, book := desk(t)
	resp, body := call(t, s, "enterprise-admin", "PUT", "/api/labels/box", design)
	tag := resp.Header.Get("ETag")
	if resp.StatusCode != 200 || tag == "" {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if resp, body = call(t, s, "auditor", "GET", "/api/labels/box", ""); resp.StatusCode != 200 || !strings.Contains(body, "箱标") || resp.Header.Get("ETag") != tag {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body = call(t, s, "enterprise-admin", "PUT", "/api/labels/box", design, "If-Match", `"other"`); resp.StatusCode != 412 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body = call(t, s, "enterprise-admin", "PUT", "/api/labels/box", strings.Replace(design, "箱标", "新箱标", 1), "If-Match", tag); resp.StatusCode != 200 || !strings.Contains(body, "新箱标") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	call(t, s, "enterprise-admin", "PUT", "/api/labels/another", design)
	if resp, body = call(t, s, "application", "GET", "/api/labels?limit=1", ""); resp.StatusCode != 200 || strings.Count(body, `"width"`) < 1 || !strings.Contains(body, `"next"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	// A restart finds them, and another site's change is heard of.
	again, err := label.New(t.Context(), label.Config{Prefix: "88.118.1001", Registry: book})
	if err != nil {
		t.Fatal(err)
	}
	if x, err := again.Get("BOX"); err != nil || x.Name.ZH != "新箱标" {
		t.Errorf("%+v %v", x, err)
	}
	if err := again.Remove(t.Context(), record.Identity{Operator: true}, "box"); err != nil {
		t.Fatal(err)
	}
	if err := d.Heard(t.Context(), id.MustParse("88.118.1001/Label_box")); err != nil {
		t.Fatal(err)
	}
	if resp, _ = call(t, s, "enterprise-admin", "GET", "/api/labels/box", ""); resp.StatusCode != 404 {
		t.Errorf("%d", resp.StatusCode)
	}
	if resp, _ = call(t, s, "enterprise-admin", "DELETE", "/api/labels/another", ""); resp.StatusCode != 204 {
		t.Errorf("%d", resp.StatusCode)
	}
	for _, c := range []struct {
		name, body string
		status     int
		say        string
	}{
		{"x%2Fy", design, 400, ""},
		{"x", `{"width":60,"height":40,"elements":[{"type":"text","text":"{"}]}`, 400, "elements[0].text"},
		{"x", `{"width":60,"height":40,"colour":1,"elements":[{"type":"line","x":0,"y":0,"width":3}]}`, 400, ""},
		{"x", `{"width":60`, 400, ""},
	} {
		if resp, body := call(t, s, "enterprise-admin", "PUT", "/api/labels/"+c.name, c.body); resp.StatusCode != c.status || !strings.Contains(body, c.say) {
			t.Errorf("%s: %d %s", c.body, resp.StatusCode, body)
		}
	}
}

func TestFilesOfSolutions(t *testing.T) {
	_, d, _ := desk(t)
	by := api.Caller{Identity: record.Identity{Operator: true}}
	text, err := os.ReadFile("testdata/bottle.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.PutLabel(t.Context(), by, "bottle-to-store-bottle", text); err != nil {
		t.Fatal(err)
	}
	if x, err := d.Get("bottle-to-store-bottle"); err != nil || x.Width != 60 {
		t.Errorf("%+v %v", x, err)
	}
	if err := d.PutLabel(t.Context(), by, "x", []byte("width: 3\n")); !problem.Is(err, problem.BadValue) || !strings.Contains(err.Error(), "labels/x.yaml:1") {
		t.Errorf("%v", err)
	}
	if err := d.RemoveLabel(t.Context(), by, "bottle-to-store-bottle"); err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveLabel(t.Context(), by, "bottle-to-store-bottle"); !problem.Is(err, problem.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestGuards(t *testing.T) {
	s, _, _ := desk(t)
	call(t, s, "enterprise-admin", "PUT", "/api/labels/box", design)
	sheet := `{"design":"box","ids":["88.118.1001/BOX-1"],"format":"pdf"}`
	for _, c := range []struct {
		role, method, path, body string
		status                   int
	}{
		{"", "GET", "/api/labels", "", 401},
		{"", "PUT", "/api/labels/x", design, 401},
		{"", "POST", "/api/label-sheets", sheet, 401},
		{"enterprise-user", "PUT", "/api/labels/x", design, 403},
		{"enterprise-user", "DELETE", "/api/labels/box", "", 403},
		{"auditor", "POST", "/api/label-sheets", sheet, 403},
		{"enterprise-admin@88.118.1002", "GET", "/api/labels/box", "", 403},
		{"enterprise-admin@88.118.1002", "GET", "/api/labels/box/preview?id=x", "", 403},
		{"enterprise-user", "POST", "/api/label-sheets", sheet, 200},
		{"enterprise-user", "POST", "/api/label-sheets", `{"design":"box","ids":["88.118.1001/BOX-1","88.118.1001/SECRET"],"format":"pdf"}`, 404},
		{"enterprise-user", "GET", "/api/labels/box/preview?id=88.118.1001/SECRET", "", 404},
		{"enterprise-admin", "GET", "/api/labels/box/preview?id=88.118.1001/SECRET", "", 200},
	} {
		if resp, body := call(t, s, c.role, c.method, c.path, c.body); resp.StatusCode != c.status {
			t.Errorf("%+v: %d %s", c, resp.StatusCode, body)
		}
	}
}

func TestPreviews(t *testing.T) {
	s, _, _ := desk(t)
	call(t, s, "enterprise-admin", "PUT", "/api/labels/box", design)
	for format, c := range map[string]struct{ media, has string }{
		"svg": {"image/svg+xml", "泉水 &lt;b&gt;"}, "png": {"image/png", "\x89PNG"}, "pdf": {"application/pdf", "%PDF-"}, "zpl": {"application/zpl; charset=utf-8", "^BQN"},
	} {
		resp, body := call(t, s, "enterprise-user", "GET", "/api/labels/box/preview?format="+format+"&id="+url.QueryEscape("88.118.1001/BOX-1"), "")
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("Content-Type") != c.media || !strings.Contains(body, c.has) || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(h.Get("Content-Disposition"), "label-box."+format) {
			t.Errorf("%s: %d %v %.200s", format, resp.StatusCode, h, body)
		}
	}
	ask, _ := json.Marshal(map[string]any{"design": json.RawMessage(design), "fields": map[string]string{"id": "88.118.1001/NEW", "name": "<script>"}})
	if resp, body := call(t, s, "enterprise-admin", "POST", "/api/label-previews", string(ask)); resp.StatusCode != 200 || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	for _, path := range []string{"/api/labels/box/preview", "/api/labels/box/preview?id=x&format=gif", "/api/labels/box/preview?id=x&format=png&dpi=10"} {
		if resp, body := call(t, s, "enterprise-admin", "GET", path, ""); resp.StatusCode != 400 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	resp, body := call(t, s, "enterprise-admin", "GET", "/api/labels/box/advice?id=88.118.1001/BOX-1", "")
	var advice []label.Advice
	if err := json.Unmarshal([]byte(body), &advice); err != nil || resp.StatusCode != 200 || len(advice) != 1 || advice[0].Choose == "" || len(advice[0].Levels) != 4 {
		t.Errorf("%v %d %s", err, resp.StatusCode, body)
	}
	if resp, body := call(t, s, "enterprise-admin", "POST", "/api/label-advice", `{"symbol":"qr","data":"https://id.example.cn/88.118.1001/BOX-1","width":8,"dpi":203}`); resp.StatusCode != 200 || !strings.Contains(body, "module-small") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestSheetsOverHTTP(t *testing.T) {
	s, _, _ := desk(t)
	call(t, s, "enterprise-admin", "PUT", "/api/labels/box", design)
	for _, c := range []struct {
		body, media, has string
		status           int
	}{
		{`{"design":"box","ids":["88.118.1001/A","88.118.1001/B"],"format":"pdf"}`, "application/pdf", "%PDF-", 200},
		{`{"design":"box","job":"88.118.1001/JOB_000001","format":"zpl","rfid":true,"copies":2}`, "application/zpl; charset=utf-8", "^RFW,H,1,", 200},
		{`{"design":"box","job":"88.118.1001/JOB_000001","format":"zpl","preview":3}`, "application/zpl; charset=utf-8", "BOX-2", 200},
		{`{"design":"box","ids":["88.118.1001/A"],"format":"svg"}`, "application/zip", "PK", 200},
		{`{"design":"box","ids":["88.118.1001/A"],"format":"png","dpi":300}`, "application/zip", "PK", 200},
		{`{"design":"box","job":"88.118.1001/JOB_9","format":"pdf"}`, "application/problem+json", "JOB_9", 404},
		{`{"design":"nobox","ids":["88.118.1001/A"],"format":"pdf"}`, "application/problem+json", "NOBOX", 404},
		{`{"design":"box","format":"pdf"}`, "application/problem+json", "ids or job", 400},
		{`{"design":"box","ids":["a"],"job":"b","format":"pdf"}`, "application/problem+json", "ids or job", 400},
		{`{"design":"box","ids":["a"],"format":"doc"}`, "application/problem+json", "", 400},
		{`{"design":"box","ids":[""],"format":"pdf"}`, "application/problem+json", "", 400},
	} {
		resp, body := call(t, s, "enterprise-user", "POST", "/api/label-sheets", c.body)
		if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != c.media || !strings.Contains(body, c.has) {
			t.Errorf("%s: %d %v %.300s", c.body, resp.StatusCode, resp.Header, body)
		}
		switch c.media {
		case "application/zip":
			if z, err := zip.NewReader(bytes.NewReader([]byte(body)), int64(len(body))); err != nil || len(z.File) != 1 {
				t.Errorf("%v", err)
			}
		case "application/zpl; charset=utf-8":
			want := 50
			if strings.Contains(c.body, "preview") {
				want = 3
			}
			if n := strings.Count(body, "^XA"); n != want {
				t.Errorf("%s: %d labels", c.body, n)
			}
		}
	}
}

func TestTags(t *testing.T) {
	s, _, _ := desk(t)
	for _, c := range []struct {
		query, has string
		status     int
	}{
		{"id=88.118.1001/BOX-1", `"memory":"3900`, 200},
		{"id=" + url.QueryEscape("(01)09521234543213"), `"memory":"30003001`, 200},
		{"memory=41000", "hexadecimal", 400},
		{"", "one of them", 400},
		{"memory=3000300102030405060708090A0B", "GS1", 0},
	} {
		resp, body := call(t, s, "auditor", "GET", "/api/rfid-memory?"+c.query, "")
		if c.status != 0 && resp.StatusCode != c.status || c.status == 0 && resp.StatusCode < 400 || !strings.Contains(body, c.has) {
			t.Errorf("%s: %d %s", c.query, resp.StatusCode, body)
		}
		var tag label.Tag
		if json.Unmarshal([]byte(body), &tag) == nil && strings.HasPrefix(tag.Memory, "39") {
			if _, body := call(t, s, "auditor", "GET", "/api/rfid-memory?memory="+tag.Memory, ""); !strings.Contains(strings.ToUpper(body), `"ID":"88.118.1001/BOX-1"`) {
				t.Errorf("%s", body)
			}
		}
	}
}
