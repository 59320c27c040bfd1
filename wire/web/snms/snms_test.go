package snms

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
)

const prefix = "88.118.1001"

var (
	admin = record.Identity{Ref: record.Ref{Index: 301, Name: prefix + "/User_wang"}}
	noon  = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC) // noon in Beijing
)

// people knows one user; the token is their name.
type people struct{}

func hexed(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }

func (people) Login(_ context.Context, user, password string) (string, error) {
	if user == "wang" && password == "Pa55word" {
		return "token-of-wang", nil
	}
	return "", problem.New(problem.AuthFailed, "no", "不对")
}

func (people) LoginDigest(_ context.Context, user, digest string, days []string) (string, error) {
	for _, d := range days {
		if user == "wang" && digest == hexed(hexed("Pa55word")+d) {
			return "token-of-wang", nil
		}
	}
	return "", problem.New(problem.AuthFailed, "no", "不对")
}

func (people) Bearer(_ context.Context, token string) (record.Identity, error) {
	switch token {
	case "token-of-wang":
		return admin, nil
	case "token-of-li":
		return record.Identity{Ref: record.Ref{Index: 301, Name: "88.118.1002/User_li"}}, nil
	}
	return record.Identity{}, problem.New(problem.SessionTimeout, "over", "已过期")
}

// shelf keeps templates in memory.
type shelf map[string]*Template

func (s shelf) key(p, v string) string { return p + "/META_" + v }
func (s shelf) Find(_ context.Context, _ record.Identity, p, v string) (*Template, error) {
	if t := s[s.key(p, v)]; t != nil {
		return t, nil
	}
	return nil, problem.New(problem.NotFound, "no", "无")
}
func (s shelf) Create(_ context.Context, _ record.Identity, t *Template) error {
	if s[s.key(t.Prefix, t.Version)] != nil {
		return problem.New(problem.Exists, "is there", "已有")
	}
	s[s.key(t.Prefix, t.Version)] = t
	return nil
}
func (s shelf) Extend(_ context.Context, _ record.Identity, t *Template) error {
	old := s[s.key(t.Prefix, t.Version)]
	if old == nil {
		return problem.New(problem.NotFound, "no", "无")
	}
	for _, i := range t.Items {
		if at := slices.IndexFunc(old.Items, func(o Item) bool { return o.IDIndex == i.IDIndex && o.IDType == i.IDType }); at >= 0 {
			old.Items[at] = i
		} else {
			old.Items = append(old.Items, i)
		}
	}
	return nil
}
func (s shelf) Withdraw(_ context.Context, _ record.Identity, p, v string) error {
	if s[s.key(p, v)] == nil {
		return problem.New(problem.NotFound, "no", "无")
	}
	delete(s, s.key(p, v))
	return nil
}
func (s shelf) Identifier(p, v string) string { return s.key(p, v) }
func (s shelf) Version(identifier string) (string, string, bool) {
	p, v, ok := strings.Cut(identifier, "/META_")
	return p, v, ok
}

// desk is an office that takes everything.
type desk struct {
	applied []*Application
	pointed []*Pointing
}

func (d *desk) Apply(_ context.Context, _ record.Identity, a *Application) (string, error) {
	for _, x := range d.applied {
		if x.Basic.EntPrefix == a.Basic.EntPrefix {
			return "", problem.New(problem.Exists, "taken", "已被申请")
		}
	}
	d.applied = append(d.applied, a)
	return fmt.Sprintf("88.118/Apply_%d", len(d.applied)), nil
}
func (d *desk) Change(context.Context, record.Identity, *Application) error { return nil }
func (d *desk) Page(_ context.Context, by record.Identity, page, size int) ([]Enterprise, int, error) {
	if by.Name != admin.Name {
		return nil, 0, problem.New(problem.Forbidden, "not for you", "无权查看")
	}
	var rows []Enterprise
	for i := page * size; i < min(len(d.applied), (page+1)*size); i++ {
		rows = append(rows, Enterprise{ID: fmt.Sprint(i + 1), OrgName: d.applied[i].Basic.OrgName})
	}
	return rows, len(d.applied), nil
}
func (d *desk) Detail(_ context.Context, _ record.Identity, identifier string) (*Application, error) {
	return nil, problem.New(problem.NotFound, "no", "无")
}
func (d *desk) Prefixes(_ context.Context, _ record.Identity, p string, page, size int) ([]Prefix, int, error) {
	if p != "" && p != prefix {
		return nil, 0, nil
	}
	return []Prefix{{EntPrefix: prefix, State: PrefixInUse, ProxyState: Hosted, GHRName: "工业互联网标识解析国家顶级节点--北京"}}, 1, nil
}
func (d *desk) Configure(_ context.Context, _ record.Identity, p *Pointing) error {
	d.pointed = append(d.pointed, p)
	return nil
}
func (d *desk) Upload(_ context.Context, _ record.Identity, name string, data []byte) (string, error) {
	return fmt.Sprintf("%s-%d", name, len(data)), nil
}

// node is a server of the interface on a real registry.
func node(t *testing.T, plain bool) *httptest.Server {
	t.Helper()
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	r, err := registry.Open(t.Context(), registry.Config{Store: st, Admins: []record.Ref{admin.Ref}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Write(t.Context(), record.Identity{Operator: true}, []record.Write{{Op: record.Home, ID: id.PrefixRecord(prefix)}}); err != nil {
		t.Fatal(err)
	}
	s := &Server{Resolver: r, Registrar: r, Accounts: people{}, Templates: shelf{}, Enterprises: &desk{}, Plain: plain, Now: func() time.Time { return noon }}
	srv := httptest.NewTLSServer(s.Handler())
	t.Cleanup(srv.Close)
	return srv
}

func ask(t *testing.T, srv *httptest.Server, token, method, path, body string) string {
	t.Helper()
	r, _ := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s: HTTP %d", method, path, resp.StatusCode)
	}
	return strings.TrimSpace(string(b))
}

// TestConversation is a program's day with the interface, word by word.
func TestConversation(t *testing.T) {
	srv := node(t, false)
	const template = `{"prefix":"88.118.1001","version":"engine_V1.0","industryCategory":"C","industrySpecific":"34","industryTrade":"341","industrySubclass":"3412","type":2,"description":"发动机",` +
		`"items":[{"name":"型号","idType":"model","idIndex":"2000","required":true,"state":1,"metadata":{"type":"string","minLength":1,"maxLength":20}},` +
		`{"name":"颜色","idType":"color","idIndex":2001,"required":0,"state":1,"metadata":{"type":"string","minLength":0,"maxLength":255}}]}`
	engine := func(n int, model string) string {
		return fmt.Sprintf(`{"handle":"88.118.1001/ENG-%d","templateVersion":"engine_V1.0","value":[{"index":2000,"type":"model","data":{"format":"string","value":%q},"auth":""}]}`, n, model)
	}
	const ok = `{"message":"success","status":1,"data":true}`
	digest := hexed(hexed("Pa55word") + "2026-11-22")
	for _, c := range []struct{ name, token, method, path, body, want string }{
		{"log in", "", "POST", "/identity/token", `{"username":"wang","password":"Pa55word"}`, `{"message":"success","status":1,"data":{"token":"token-of-wang"}}`},
		{"log in by digest", "", "POST", "/identity/token/v1", `{"username":"wang","password":"` + digest + `"}`, `{"message":"success","status":1,"data":{"token":"token-of-wang"}}`},
		{"the digest of another day", "", "POST", "/identity/token/v1", `{"username":"wang","password":"` + hexed(hexed("Pa55word")+"2026-11-02") + `"}`, `{"message":"用户名/密码错误！","status":-2,"data":null}`},
		{"the wrong password", "", "POST", "/identity/token", `{"username":"wang","password":"x"}`, `{"message":"用户名/密码错误！","status":-2,"data":null}`},
		{"nobody", "", "GET", "/identityv2/data/detail?handle=a/b", "", `{"message":"未登录","status":-1,"data":null}`},
		{"an old token", "x", "GET", "/identityv2/data/detail?handle=a/b", "", `{"message":"登录已失效，请重新登录","status":-1,"data":null}`},
		{"no template yet", "token-of-wang", "POST", "/identityv2/data", engine(1, "QM-4"), `{"message":"模板不存在: engine_V1.0","status":-2,"data":null}`},
		{"a template", "token-of-wang", "POST", "/snms/api/v5/template", template, ok},
		{"again", "token-of-wang", "POST", "/snms/api/v3/template", template, `{"message":"模板已存在","status":-2,"data":null}`},
		{"a reserved index", "token-of-wang", "POST", "/snms/api/v5/template", strings.Replace(template, `"2000"`, `"1001"`, 1), `{"message":"索引1001为系统保留","status":-2,"data":null}`},
		{"register", "token-of-wang", "POST", "/identityv2/data", engine(1, "QM-4"), ok},
		{"twice", "token-of-wang", "POST", "/identityv2/data", engine(1, "QM-4"), `{"message":"标识已存在","status":-2,"data":null}`},
		{"no handle", "token-of-wang", "POST", "/identityv2/data", `{"templateVersion":"engine_V1.0"}`, `{"message":"缺少必要的请求参数: handle","status":-2,"data":null}`},
		{"an index that the template lacks", "token-of-wang", "POST", "/identityv2/data", strings.Replace(engine(2, "QM-4"), "2000", "1000", 1), `{"message":"非法操作，索引1000在模板中不存在","status":-2,"data":null}`},
		{"what is required is missing", "token-of-wang", "POST", "/identityv2/data", `{"handle":"88.118.1001/ENG-3","templateVersion":"engine_V1.0","value":[]}`, `{"message":"型号(2000)为必填项","status":-2,"data":null}`},
		{"a value too long", "token-of-wang", "POST", "/identityv2/data", engine(4, strings.Repeat("长", 21)), `{"message":"型号长度应在1到20之间","status":-2,"data":null}`},
		{"somebody else's prefix", "token-of-li", "POST", "/identityv2/data", engine(5, "QM-4"), `forbidden`},
		{"look", "token-of-wang", "GET", "/identityv2/data/detail?handle=88.118.1001/ENG-1", "",
			`{"message":"success","status":1,"data":{"code":"200","prefix":"88.118.1001","handle":"88.118.1001/ENG-1","templateVersion":"engine_V1.0","value":[{"index":2000,"type":"model","data":{"format":"string","value":"QM-4"},"auth":""}]}}`},
		{"change", "token-of-wang", "PUT", "/identityv2/data", engine(1, "QM-5"), ok},
		{"it changed", "token-of-wang", "GET", "/identityv2/data/detail?handle=88.118.1001/ENG-1", "",
			`{"message":"success","status":1,"data":{"code":"200","prefix":"88.118.1001","handle":"88.118.1001/ENG-1","templateVersion":"engine_V1.0","value":[{"index":2000,"type":"model","data":{"format":"string","value":"QM-5"},"auth":""}]}}`},
		{"a batch with one wrong", "token-of-wang", "POST", "/identityv2/data/batchCreate", "[" + engine(1, "QM-4") + "," + engine(6, "QM-4") + "]",
			`{"message":"success","status":1,"data":[{"handle":"88.118.1001/ENG-1","msg":"标识已存在"},{"handle":"88.118.1001/ENG-6","msg":"success"}]}`},
		{"change many", "token-of-wang", "PUT", "/identityv2/data/batchUpdate", "[" + engine(6, "QM-7") + "," + engine(99, "QM-4") + "]",
			`{"message":"success","status":1,"data":[{"handle":"88.118.1001/ENG-6","msg":"success"},{"handle":"88.118.1001/ENG-99","msg":"没有找到标识"}]}`},
		{"delete many, a bare array", "token-of-wang", "DELETE", "/identityv2/data/batchDelete", `["88.118.1001/ENG-6","88.118.1001/ENG-99"]`,
			`{"message":"success","status":1,"data":[{"handle":"88.118.1001/ENG-6","msg":"success","code":1},{"handle":"88.118.1001/ENG-99","msg":"标识不存在","code":-2}]}`},
		{"delete many, an object", "token-of-wang", "DELETE", "/identityv2/data/batchDelete", `{"handles":["88.118.1001/ENG-6"]}`,
			`{"message":"success","status":1,"data":[{"handle":"88.118.1001/ENG-6","msg":"标识不存在","code":-2}]}`},
		{"delete", "token-of-wang", "DELETE", "/identityv2/data", `{"handle":"88.118.1001/ENG-1"}`, ok},
		{"gone", "token-of-wang", "GET", "/identityv2/data/detail?handle=88.118.1001/ENG-1", "", `{"message":"没有找到标识","status":-2,"data":null}`},
		{"the template grows", "token-of-wang", "PUT", "/snms/api/v5/template", `{"prefix":"88.118.1001","version":"engine_V1.0","items":[{"name":"重量","idType":"weight","idIndex":2002,"state":1,"metadata":{"type":"string","maxLength":8}}]}`, ok},
		{"no template like that", "token-of-wang", "GET", "/snms/api/v5/template?prefix=88.118.1001&version=x", "", `{"message":"模板不存在","status":-2,"data":null}`},
		{"it goes", "token-of-wang", "DELETE", "/snms/api/v5/template?prefix=88.118.1001&version=engine_V1.0", "", ok},
		{"an enterprise applies", "", "POST", "/snms/api/v3/ent/apply", `{"entBasicInfo":{"orgName":"启明","orgNature":2,"orgCrtType":"1","orgCrtCode":"91310000MA1","entPrefix":"88.118.7"},"sysUser":{"userName":"qm","password":"x"}}`,
			`{"message":"success","status":1,"data":"88.118/Apply_1"}`},
		{"another wants its prefix", "", "POST", "/snms/api/v3/ent/apply", `{"entBasicInfo":{"orgName":"元明","orgCrtCode":"91310000MA2","entPrefix":"88.118.7"},"sysUser":{"userName":"ym","password":"x"}}`,
			`{"message":"前缀已被占用: 已被申请","status":-2,"data":null}`},
		{"the list", "token-of-wang", "GET", "/snms/api/v3/ent/page?page=0&size=5", "",
			`{"message":"success","status":1,"data":{"first":true,"last":true,"number":0,"numberOfElements":1,"size":5,"totalElements":1,"totalPages":1,"content":[{"id":"1","orgName":"启明","orgNature":0,"orgCrtType":0,"orgCrtCode":"","website":"","entGeneralId":"","openIds":null,"createDate":"","updateDate":""}]}}`},
		{"not everybody's", "token-of-li", "GET", "/snms/api/v3/ent/page", "", `{"message":"无权查看","status":-3,"data":null}`},
		{"a prefix", "token-of-wang", "GET", "/snms/api/prefix/query?entPrefix=88.118.1001", "",
			`{"message":"success","status":1,"data":{"entPrefix":"88.118.1001","orgName":"","ghrName":"工业互联网标识解析国家顶级节点--北京","state":1,"proxyState":4,"createDate":""}}`},
		{"pointing without a port", "token-of-wang", "POST", "/snms/api/ent/config", `{"entPrefix":"88.118.7","hdlType":"HS_SITE","ip":"192.0.2.1","ipType":4}`, `{"message":"tcpPort、udpPort、httpPort 至少填写一个","status":-2,"data":null}`},
		{"pointing", "token-of-wang", "POST", "/snms/api/ent/config", `{"entPrefix":"88.118.7","hdlType":"HS_SITE","ip":"192.0.2.1","ipType":4,"tcpPort":"2641"}`, ok},
		{"no JSON", "token-of-wang", "POST", "/identityv2/data", `{"handle":`, `{"message":"请求体不是有效的 JSON: 第 10 字节处有误","status":-2,"data":null}`},
		{"the wrong shape", "token-of-wang", "POST", "/identityv2/data", `{"handle":7}`, `{"message":"请求体不是有效的 JSON: 字段 handle 的类型有误","status":-2,"data":null}`},
	} {
		got := ask(t, srv, c.token, c.method, c.path, c.body)
		if c.want == "forbidden" {
			if !strings.Contains(got, `"status":-3`) && !strings.Contains(got, `"status":-2`) {
				t.Errorf("%s: %s", c.name, got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestBatchEveryThirdWrong sends a full batch in which every third line is wrong: the others are there, those are not.
func TestBatchEveryThirdWrong(t *testing.T) {
	srv := node(t, false)
	ask(t, srv, "token-of-wang", "POST", "/snms/api/v5/template", `{"prefix":"88.118.1001","version":"V1","items":[{"name":"型号","idType":"model","idIndex":2000,"required":true,"state":1,"metadata":{"type":"string","maxLength":9}}]}`)
	var b strings.Builder
	b.WriteString("[")
	for i := range maxBatch {
		if i > 0 {
			b.WriteString(",")
		}
		model := "ok"
		if i%3 == 2 {
			model = "far too long"
		}
		fmt.Fprintf(&b, `{"handle":"88.118.1001/N-%d","templateVersion":"V1","value":[{"index":2000,"type":"model","data":{"format":"string","value":%q}}]}`, i, model)
	}
	b.WriteString("]")
	var got struct {
		Status int
		Data   []verdict
	}
	if err := json.Unmarshal([]byte(ask(t, srv, "token-of-wang", "POST", "/identityv2/data/batchCreate", b.String())), &got); err != nil {
		t.Fatal(err)
	}
	if got.Status != 1 || len(got.Data) != maxBatch {
		t.Fatalf("status %d, %d verdicts", got.Status, len(got.Data))
	}
	for i, v := range got.Data {
		if wrong := i%3 == 2; (v.Msg != "success") != wrong || v.Handle != fmt.Sprintf("88.118.1001/N-%d", i) {
			t.Fatalf("item %d: %+v", i, v)
		}
	}
	for _, i := range []int{0, 1, 2, 1997, 1998} {
		there := strings.Contains(ask(t, srv, "token-of-wang", "GET", fmt.Sprintf("/identityv2/data/detail?handle=88.118.1001/N-%d", i), ""), `"status":1`)
		if there != (i%3 != 2) {
			t.Errorf("item %d: there %v", i, there)
		}
	}
	over := "[" + strings.Repeat(`{"handle":"88.118.1001/x"},`, maxBatch) + `{"handle":"88.118.1001/x"}]`
	if got := ask(t, srv, "token-of-wang", "POST", "/identityv2/data/batchCreate", over); !strings.Contains(got, "2000") || !strings.Contains(got, `"status":-2`) {
		t.Errorf("2001 items: %s", got)
	}
}

func TestUpload(t *testing.T) {
	srv := node(t, false)
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	f, _ := w.CreateFormFile("file", "licence.jpg")
	f.Write([]byte("12345"))
	w.Close()
	r, _ := http.NewRequest("POST", srv.URL+"/snms/api/file/upload", &b)
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.Header.Set("Authorization", "Bearer token-of-wang")
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	if want := `{"message":"success","status":1,"data":{"rid":"licence.jpg-5"}}`; strings.TrimSpace(string(got)) != want {
		t.Errorf("got %s", got)
	}
	if got := ask(t, srv, "token-of-wang", "POST", "/snms/api/file/upload", "{}"); !strings.Contains(got, `"status":-2`) {
		t.Errorf("no form: %s", got)
	}
}

// TestPlain shows that neither passwords nor tokens are taken over plain HTTP unless the operator said so.
func TestPlain(t *testing.T) {
	s := &Server{Accounts: people{}, Now: func() time.Time { return noon }}
	for _, plain := range []bool{false, true} {
		s.Plain = plain
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "http://node/identity/token", strings.NewReader(`{"username":"wang","password":"Pa55word"}`)))
		if got := strings.Contains(w.Body.String(), "token-of-wang"); got != plain {
			t.Errorf("plain %v: %s", plain, w.Body)
		}
	}
}

func FuzzRequests(f *testing.F) {
	f.Add("POST", "/identityv2/data", `{"handle":"88.118.1001/a","templateVersion":"V1","value":[{"index":"2000"}]}`)
	f.Add("POST", "/identityv2/data/batchCreate", `[{"handle":"88.118.1001/a"}]`)
	f.Add("DELETE", "/identityv2/data/batchDelete", `{"handles":[""]}`)
	f.Add("POST", "/snms/api/v5/template", `{"prefix":"88.118.1001","version":"1","items":[{"idIndex":"2000","required":"1"}]}`)
	f.Add("POST", "/snms/api/v3/ent/apply", `{"entBasicInfo":{}}`)
	s := &Server{Accounts: people{}, Templates: shelf{}, Enterprises: &desk{}, Plain: true}
	st := memory.New()
	f.Cleanup(func() { st.Close() })
	r, err := registry.Open(f.Context(), registry.Config{Store: st})
	if err != nil {
		f.Fatal(err)
	}
	s.Resolver, s.Registrar = r, r
	h := s.Handler()
	f.Fuzz(func(t *testing.T, method, path, body string) {
		req, err := http.NewRequest(method, "http://node"+path, strings.NewReader(body))
		if err != nil || !strings.HasPrefix(path, "/") {
			t.Skip()
		}
		req.Header.Set("Authorization", "Bearer token-of-wang")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code == http.StatusOK && w.Header().Get("Content-Type") == "application/json;charset=UTF-8" {
			var a struct{ Status int }
			if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.Status == 0 {
				t.Errorf("%s %s: %s", method, path, w.Body)
			}
		}
	})
}
