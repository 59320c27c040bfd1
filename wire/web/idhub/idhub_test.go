package idhub

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
)

const prefix = "88.118.1001"

// shelf keeps templates in memory; a published one takes text that is not longer than its items say.
type shelf map[string]*Meta

func (s shelf) Find(_ context.Context, _ record.Identity, v id.ID) (*Meta, error) {
	if m := s[v.String()]; m != nil {
		return m, nil
	}
	return nil, problem.New(problem.NotFound, "no", "无")
}
func (s shelf) Page(_ context.Context, _ record.Identity, classify string, page, size int) (rows []*Meta, total int, err error) {
	for _, m := range s {
		rows = append(rows, m)
	}
	return rows, len(rows), nil
}
func (s shelf) Create(_ context.Context, _ record.Identity, m *Meta) (string, error) {
	if m.MetaHandle == "" {
		m.MetaHandle = prefix + "/META_MADE"
	}
	v, err := id.ParseHandle(m.MetaHandle)
	if err != nil {
		return "", err
	}
	if s[v.String()] != nil {
		return "", problem.New(problem.Exists, "there", "已有")
	}
	s[v.String()] = m
	return m.MetaHandle, nil
}
func (s shelf) Change(ctx context.Context, by record.Identity, m *Meta, items bool) error {
	v, _ := id.ParseHandle(m.MetaHandle)
	old, err := s.Find(ctx, by, v)
	if err == nil && items {
		old.Items = append(old.Items, m.Items...)
	} else if err == nil {
		old.MetaName = m.MetaName
	}
	return err
}
func (s shelf) Delete(_ context.Context, _ record.Identity, v id.ID) error {
	delete(s, v.String())
	return nil
}
func (s shelf) Publish(ctx context.Context, by record.Identity, v id.ID, on bool) error {
	m, err := s.Find(ctx, by, v)
	if err == nil {
		if m.MetaState = MetaWithdrawn; on {
			m.MetaState = MetaPublished
		}
	}
	return err
}
func (s shelf) Derive(ctx context.Context, by record.Identity, from id.ID, m *Meta) (string, error) {
	old, err := s.Find(ctx, by, from)
	if err != nil {
		return "", err
	}
	m.Items = append(m.Items, old.Items...)
	return s.Create(ctx, by, m)
}

type faulty []Fault

func (f faulty) Error() string   { return "invalid" }
func (f faulty) Faults() []Fault { return f }

func (s shelf) Expand(ctx context.Context, by record.Identity, t id.ID, p map[string]any) ([]record.Value, error) {
	m, err := s.Find(ctx, by, t)
	if err != nil {
		return nil, err
	}
	if m.MetaState != MetaPublished {
		return nil, problem.New(problem.Unsupported, "unpublished", "未发布")
	}
	value := func(index uint32, typ, data string) record.Value {
		return record.Value{Index: index, Type: typ, Data: []byte(data), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}
	}
	vs := []record.Value{value(record.IndexTemplateID, record.TypeTemplateID, m.MetaHandle), value(record.IndexTemplate, record.TypeTemplate, "1")}
	var faults faulty
	for name, v := range p {
		known := false
		for _, i := range m.Items {
			if i.EnglishName != name {
				continue
			}
			known = true
			if text := fmt.Sprint(v); len(text) > i.Schema.MaxLength {
				faults = append(faults, Fault{name, "过长"})
			} else {
				vs = append(vs, value(i.Index, name, text))
			}
		}
		if !known {
			return nil, problem.New(problem.NoValues, "no item %s", "模板中没有属性 %s", name)
		}
	}
	if faults != nil {
		return nil, faults
	}
	return vs, nil
}

// grants remembers what was granted.
type grants struct {
	class  []ClassGrant
	single []SingleGrant
}

func (g *grants) Class(_ context.Context, _ record.Identity, t id.ID, x ClassGrant) error {
	g.class = append(g.class, x)
	return nil
}
func (g *grants) Single(_ context.Context, _ record.Identity, v id.ID, x SingleGrant) error {
	g.single = append(g.single, x)
	return nil
}
func (g *grants) Info(context.Context, record.Identity, id.ID) ([]ClassGrant, error) {
	return g.class, nil
}

type files map[string][]byte

func (f files) Keep(_ context.Context, _ record.Identity, name string, data []byte) (string, error) {
	f[name] = data
	return name, nil
}
func (f files) Fetch(_ context.Context, _ record.Identity, identifier string) (string, []byte, error) {
	if b, ok := f[identifier]; ok {
		return identifier, b, nil
	}
	return "", nil, problem.New(problem.NotFound, "no", "无")
}

type world struct {
	*httptest.Server
	s      *Server
	key    *trust.PrivateKey
	grants *grants
	now    time.Time
	token  string
}

// node is a server of the interface on a real registry, with one application and its key.
func node(t *testing.T, alg trust.Algorithm) *world {
	t.Helper()
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	app := record.Ref{Index: 300, Name: prefix + "/APP_ERP"}
	r, err := registry.Open(t.Context(), registry.Config{Store: st, Admins: []record.Ref{app}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Write(t.Context(), record.Identity{Operator: true}, []record.Write{{Op: record.Home, ID: id.PrefixRecord(prefix)}}); err != nil {
		t.Fatal(err)
	}
	w := &world{grants: &grants{}, now: time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)}
	if w.key, err = trust.Generate(alg, rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.s = &Server{Resolver: r, Registrar: r, Lister: r, Metas: shelf{}, Grants: w.grants, Files: files{}, Now: func() time.Time { return w.now },
		Keys: func(_ context.Context, v id.ID) ([]trust.PublicKey, error) {
			if v.String() != prefix+"/APP_ERP" {
				return nil, problem.New(problem.NotFound, "no", "无")
			}
			return []trust.PublicKey{w.key.Public()}, nil
		},
		Issue: func(_ context.Context, by record.Identity) (string, error) { return "token " + by.Ref.String(), nil },
		Bearer: func(_ context.Context, token string) (record.Identity, error) {
			ref, ok := strings.CutPrefix(token, "token ")
			if !ok {
				return record.Identity{}, problem.New(problem.SessionTimeout, "over", "已过期")
			}
			x, err := record.ParseRef(ref)
			return record.Identity{Ref: x}, err
		},
		Groups: func(context.Context, record.Identity) ([]Group, error) {
			return []Group{{"合作伙伴", prefix + "/Group_partners", "启明"}}, nil
		}}
	w.Server = httptest.NewTLSServer(w.s.Handler())
	t.Cleanup(w.Close)
	return w
}

func (w *world) ask(t *testing.T, method, path, body string) string {
	t.Helper()
	r, _ := http.NewRequest(method, w.URL+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	resp, err := w.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s: HTTP %d %s", method, path, resp.StatusCode, b)
	}
	return strings.TrimSpace(string(b))
}

func (w *world) data(t *testing.T, body string) string {
	t.Helper()
	var a struct {
		Code int
		Data any
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.Code != codeOK {
		t.Fatalf("%v: %s", err, body)
	}
	s, _ := a.Data.(string)
	if m, ok := a.Data.(map[string]any); ok {
		s, _ = m["token"].(string)
	}
	return s
}

func (w *world) login(t *testing.T) {
	t.Helper()
	nonce := w.data(t, w.ask(t, "GET", "/api/v1/doip/public/challenge?handle="+prefix+"/App_erp", ""))
	sig, err := w.key.Sign([]byte(nonce))
	if err != nil {
		t.Fatal(err)
	}
	w.token = w.data(t, w.ask(t, "POST", "/api/v1/doip/public/verify-response", fmt.Sprintf(`{"handle":%q,"signature":%q}`, prefix+"/App_erp", base64.StdEncoding.EncodeToString(sig))))
}

func TestLogin(t *testing.T) {
	for _, alg := range []trust.Algorithm{trust.RSA, trust.Ed25519, trust.SM2} {
		t.Run(string(alg), func(t *testing.T) {
			w := node(t, alg)
			w.login(t)
			if w.token != "token 300:"+prefix+"/APP_ERP" {
				t.Errorf("the token is %q", w.token)
			}
		})
	}
	w := node(t, trust.RSA)
	answer := func(nonce string) string {
		sig, _ := w.key.Sign([]byte(nonce))
		return w.ask(t, "POST", "/api/v1/doip/public/verify-response", fmt.Sprintf(`{"handle":%q,"signature":%q}`, prefix+"/App_erp", base64.StdEncoding.EncodeToString(sig)))
	}
	challenge := func() string {
		return w.data(t, w.ask(t, "GET", "/api/v1/doip/public/challenge?handle="+prefix+"/App_erp", ""))
	}
	const no = `{"code":102,"message":"身份验证失败","data":null}`
	nonce := challenge()
	if got := answer("1816"); got != no {
		t.Errorf("another nonce: %s", got)
	}
	if got := answer(nonce); got != no {
		t.Errorf("a nonce that was used up: %s", got)
	}
	nonce = challenge()
	w.now = w.now.Add(2 * time.Minute)
	if got := answer(nonce); got != no {
		t.Errorf("an old nonce: %s", got)
	}
	if one, two := challenge(), challenge(); one == two {
		t.Error("two nonces are alike")
	}
	if got := w.ask(t, "GET", "/api/v1/doip/public/challenge?handle=nothing", ""); !strings.Contains(got, `"code":40508`) {
		t.Errorf("no identifier: %s", got)
	}
}

// TestConversation is an application's day with the interface.
func TestConversation(t *testing.T) {
	w := node(t, trust.RSA)
	doip := func(op, target string) string {
		return "/api/v1/doip?targetId=" + prefix + "/" + target + "&operationId=" + op
	}
	const ok = `{"code":1,"message":"success","data":null}`
	if got := w.ask(t, "POST", doip(opCreate, "D1"), `{}`); !strings.Contains(got, `"code":401`) {
		t.Errorf("nobody creates: %s", got)
	}
	w.login(t)
	for _, c := range []struct{ name, method, path, body, want string }{
		{"a template", "POST", "/api/v1/open/meta/create", `{"metaHandle":"88.118.1001/META_PUMP","metaName":"输注泵","items":[{"itemIndex":2000,"englishName":"model","chineseName":"型号","required":true,"itemState":0,"itemSchemaInfo":{"dataType":1,"maxLength":8}}]}`, `{"code":1,"message":"success","data":"88.118.1001/META_PUMP"}`},
		{"not published yet", "POST", doip(opCreate, "D1"), `{"type":"88.118.1001/META_PUMP","attributes":{"content":{"model":"QM"}}}`, `{"code":600,"message":"模板未发布","data":null}`},
		{"published, as programs misspell it", "POST", "/api/v1/open/meta/publish-or-withdraw", `{"metaHanlde":"88.118.1001/META_PUMP","state":1}`, ok},
		{"an object", "POST", doip(opCreate, "D1"), `{"type":"88.118.1001/META_PUMP","attributes":{"content":{"model":"QM"}}}`, ok},
		{"twice", "POST", doip(opCreate, "D1"), `{"type":"88.118.1001/META_PUMP","attributes":{"content":{"model":"QM"}}}`, `{"code":105,"message":"标识已存在","data":null}`},
		{"what breaks the template", "POST", doip(opCreate, "D2"), `{"type":"88.118.1001/META_PUMP","attributes":{"content":{"model":"far too long"}}}`, `{"code":30000,"message":"数据校验不通过","data":null,"errors":[{"name":"model","errorMsg":"过长"}]}`},
		{"what the template lacks", "POST", doip(opCreate, "D2"), `{"type":"88.118.1001/META_PUMP","attributes":{"content":{"x":"y"}}}`, `{"code":603,"message":"模板中没有属性 x","data":null}`},
		{"no such template", "POST", doip(opCreate, "D2"), `{"type":"88.118.1001/META_X","attributes":{"content":{}}}`, `{"code":604,"message":"模板不存在","data":null}`},
		{"change some", "POST", doip(opExtend, "D1"), `{"attributes":{"content":{"model":"QM2"}}}`, ok},
		{"change what is not there", "POST", doip(opUpdate, "D9"), `{"type":"88.118.1001/META_PUMP","attributes":{"content":{"model":"QM2"}}}`, `{"code":104,"message":"标识不存在","data":null}`},
		{"an operation that nobody knows", "POST", doip("0.DOIP/Op.Fly", "D1"), `{}`, `{"code":404,"message":"操作不存在: 0.DOIP/Op.Fly","data":null}`},
		{"a write by GET", "GET", doip(opDelete, "D1"), "", `{"code":405,"message":"该操作须使用 POST","data":null}`},
		{"somebody else's prefix", "POST", "/api/v1/doip?targetId=88.9.9/x&operationId=" + opDelete, "{}", `{"code":701,"message":"非本企业标识","data":null}`},
		{"groups", "GET", "/api/v1/open/handle-user-group/list", "", `{"code":1,"message":"success","data":[{"name":"合作伙伴","userHandle":"88.118.1001/Group_partners","belongCompany":"启明"}]}`},
		{"identifiers", "GET", "/api/v1/open/handle/page?size=5", "", `{"code":1,"message":"success","data":{"content":[{"handle":"88.118.1001/D1"}],"number":0,"size":5,"totalElements":1,"totalPages":1}}`},
		{"public", "POST", "/api/v1/open/classes-grant/item/batch-public", `{"metaHandle":"88.118.1001/META_PUMP","scope":1,"items":["model"]}`, ok},
		{"granted", "POST", "/api/v1/open/classes-grant/authorization", `{"metaHandle":"88.118.1001/META_PUMP","accessList":[{"item":"model","authType":2,"scope":2,"handleUsers":["88.118.1002/App_x"]}]}`, ok},
		{"editing for everybody", "POST", "/api/v1/open/classes-grant/authorization", `{"metaHandle":"88.118.1001/META_PUMP","accessList":[{"item":"model","authType":2,"scope":1}]}`, `{"code":60001,"message":"参数 scope 缺失或有误","data":null}`},
		{"granted to a thing", "POST", "/api/v1/single-handle/authorization", `{"handle":"88.118.1001/D1","grantType":2,"readerScope":2,"handleUserReaders":["88.118.1002/PUMP"]}`, `{"code":901,"message":"被授权方不是应用身份: 88.118.1002/PUMP","data":null}`},
		{"one object", "POST", "/api/v1/single-handle/authorization", `{"handle":"88.118.1001/D1","grantType":2,"readerScope":2,"handleUserReaders":["88.118.1002/Group_g"]}`, ok},
		{"notices", "GET", "/api/v1/open/message/appMessage", "", `{"code":1,"message":"success","data":{"content":[],"number":0,"size":10,"totalElements":0,"totalPages":0}}`},
		{"withdrawn", "POST", "/api/v1/open/meta/publish-or-withdraw", `{"metaHandle":"88.118.1001/META_PUMP","state":2}`, ok},
	} {
		if got := w.ask(t, c.method, c.path, c.body); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	if len(w.grants.class) != 2 || !w.grants.class[0].Public || !w.grants.class[1].Edit || len(w.grants.single) != 1 || !w.grants.single[0].Own {
		t.Errorf("what was granted: %+v", *w.grants)
	}
	// Anybody sees what is public.
	w.token = ""
	got := w.ask(t, "GET", doip(opRetrieve, "D1"), "")
	var o struct {
		Data struct {
			Type       string
			Attributes struct {
				Elements []element
				MetaData history
			}
		}
	}
	if err := json.Unmarshal([]byte(got), &o); err != nil || len(o.Data.Attributes.Elements) != 1 {
		t.Fatalf("%v: %s", err, got)
	}
	if e := o.Data.Attributes.Elements[0]; e != (element{2000, "model", "型号", "QM2", dataText}) || o.Data.Attributes.MetaData.UpdateTime == "" {
		t.Errorf("the object: %s", got)
	}
	if got := w.ask(t, "GET", doip(opRetrieve, "META_PUMP"), ""); !strings.Contains(got, typeTemplate) || !strings.Contains(got, `"required":["model"]`) {
		t.Errorf("the template: %s", got)
	}
}

// TestUpdateRemoves shows that an overwriting update takes away what it does not name, and leaves alone what is no property.
func TestUpdateRemoves(t *testing.T) {
	w := node(t, trust.RSA)
	w.login(t)
	w.ask(t, "POST", "/api/v1/open/meta/create", `{"metaHandle":"88.118.1001/META_P","metaName":"x","items":[{"itemIndex":2000,"englishName":"a","itemSchemaInfo":{"dataType":1,"maxLength":8}},{"itemIndex":2001,"englishName":"b","itemSchemaInfo":{"dataType":1,"maxLength":8}}]}`)
	w.ask(t, "POST", "/api/v1/open/meta/publish-or-withdraw", `{"metaHandle":"88.118.1001/META_P","state":1}`)
	at := "/api/v1/doip?targetId=88.118.1001/D1&operationId="
	w.ask(t, "POST", at+opCreate, `{"type":"88.118.1001/META_P","attributes":{"content":{"a":"1","b":"2"}}}`)
	v := id.MustParse("88.118.1001/D1")
	if _, err := w.s.Registrar.Write(t.Context(), record.Identity{Operator: true}, []record.Write{{Op: record.Add, ID: v, Values: []record.Value{{Index: 5, Type: "URL", Data: []byte("http://x"), Perm: record.DefaultPerm}}}}); err != nil {
		t.Fatal(err)
	}
	w.ask(t, "POST", at+opUpdate, `{"attributes":{"content":{"b":"3"}}}`)
	a, err := w.s.Resolver.Resolve(t.Context(), record.Query{ID: v, PublicOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint32]string{}
	for _, x := range a.Values {
		got[x.Index] = string(x.Data)
	}
	if _, there := got[2000]; there || got[2001] != "3" || got[5] != "http://x" {
		t.Errorf("after the update: %v", got)
	}
}

func TestFiles(t *testing.T) {
	w := node(t, trust.RSA)
	w.login(t)
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	f, _ := m.CreateFormFile("file", "说明.pdf")
	f.Write([]byte("%PDF"))
	m.Close()
	r, _ := http.NewRequest("POST", w.URL+"/api/v1/doip/file-upload", &b)
	r.Header.Set("Content-Type", m.FormDataContentType())
	r.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := w.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); !strings.Contains(string(got), `"fileId":"说明.pdf"`) {
		t.Errorf("upload: %s", got)
	}
	if got := w.ask(t, "POST", "/api/v1/doip/file-acquire", `{"fileId":"说明.pdf"}`); got != "%PDF" {
		t.Errorf("download: %s", got)
	}
	if got := w.ask(t, "POST", "/api/v1/doip/file-acquire", `{"fileId":"x"}`); !strings.Contains(got, `"code":104`) {
		t.Errorf("a file that is not there: %s", got)
	}
}
