package node

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/account"
	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust/policy"
)

const weakPassword = "correct horse 7"

// visitor is a program that speaks to a node.
type visitor struct {
	t     *testing.T
	n     *Node
	token string
	http  *http.Client
}

// newSecondLevel is a second-level node that keeps two enterprises.
func newSecondLevel(t *testing.T, change ...func(*Config)) *Node {
	t.Helper()
	cfg := &Config{Role: SecondLevel, Prefix: "88.118", Homed: []string{"88.118.1001", "88.118.1002"}, Data: t.TempDir(), Listen: Listen{IRP: "127.0.0.1:0", HTTP: "127.0.0.1:0"}}
	for _, f := range change {
		f(cfg)
	}
	n, err := Start(t.Context(), cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func visit(t *testing.T, n *Node) *visitor {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t: t, n: n, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

func (v *visitor) raw(method, path, contentType, body string) []byte {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, "https://"+v.n.HTTP().String()+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if v.token != "" {
		r.Header.Set("Authorization", "Bearer "+v.token)
	}
	resp, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		v.t.Fatalf("%s %s: HTTP %d %s", method, path, resp.StatusCode, b)
	}
	return b
}

func (v *visitor) ask(method, path, body string) string {
	v.t.Helper()
	return strings.TrimSpace(string(v.raw(method, path, "application/json", body)))
}

// gives makes a request whose answer must be want.
func (v *visitor) gives(want, method, path, body string) {
	v.t.Helper()
	if got := v.ask(method, path, body); got != want {
		v.t.Errorf("%s %s:\n got %s\nwant %s", method, path, got, want)
	}
}

// login gets a token by a password.
func (v *visitor) login(path, user, password string) string {
	v.t.Helper()
	got := v.ask("POST", path, fmt.Sprintf(`{"username":%q,"password":%q}`, user, password))
	var a struct {
		Status int
		Data   struct{ Token string }
	}
	if err := json.Unmarshal([]byte(got), &a); err != nil || a.Status != 1 || a.Data.Token == "" {
		v.t.Fatalf("%s log-in: %s", user, got)
	}
	return a.Data.Token
}

const snmsTrue = `{"message":"success","status":1,"data":true}`

// TestSNMS is the life of an enterprise with the interface of deployed second-level nodes.
func TestSNMS(t *testing.T) {
	n := newSecondLevel(t, func(c *Config) { c.SNMS = &SNMS{DigestLogin: true} })
	v := visit(t, n)

	// It applies, without an account or a key, and looks after its application.
	application := func(prefix, user, password string) string {
		return fmt.Sprintf(`{"entBasicInfo":{"orgName":"启明医疗器械有限公司","orgNature":2,"orgAddrProvince":"320000","orgCrtType":2,"orgCrtCode":"QM-1","industryCategory":"C","industrySpecific":"35",
			"contactName":"王","contactPhone":"025-1","legalName":"李","entPrefix":%q},"entRegisterManageInfo":{"entInfoSyses":[{"sysType":1,"deployMode":2,"ipPort":"[192.0.2.1]:2641"}],"servSysBuildType":2,"servSysOperType":2},
			"sysUser":{"userName":%q,"password":%q,"email":"w@example.com"}}`, prefix, user, password)
	}
	var applied struct {
		Status  int
		Message string
		Data    string
	}
	for _, c := range []struct{ name, body, want string }{
		{"a weak password", application("88.118.2001", "wang", "1234"), `"status":-2`},
		{"a prefix elsewhere", application("88.9.1", "wang", weakPassword), `"status":-2`},
	} {
		if got := v.ask("POST", "/snms/api/v3/ent/apply", c.body); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if got := v.ask("POST", "/snms/api/v3/ent/apply", application("88.118.2001", "wang", weakPassword)); json.Unmarshal([]byte(got), &applied) != nil || applied.Status != 1 {
		t.Fatalf("apply: %s", got)
	}
	for _, c := range []struct{ name, body, want string }{
		{"the same prefix", application("88.118.2001", "zhao", weakPassword), "前缀已被占用"},
		{"the same user", application("88.118.2002", "wang", weakPassword), "用户名"},
	} {
		if got := v.ask("POST", "/snms/api/v3/ent/apply", c.body); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if _, err := n.in.accounts.Login(t.Context(), "zhao", weakPassword, ""); err == nil {
		t.Error("an account stays without an application")
	}
	v.gives(`{"message":"未登录","status":-1,"data":null}`, "GET", "/identityv2/data/detail?handle=88.118.2001/x", "")
	v.token = v.login("/identity/token", "wang", weakPassword)
	if got := v.ask("GET", "/snms/api/v3/ent/detail?id="+applied.Data, ""); !strings.Contains(got, `"orgName":"启明医疗器械有限公司"`) || !strings.Contains(got, `"ipPort":"[192.0.2.1]:2641"`) {
		t.Errorf("detail: %s", got)
	}
	if got := v.ask("GET", "/snms/api/prefix/query?entPrefix=88.118.2001", ""); !strings.Contains(got, `"state":4,"proxyState":2`) {
		t.Errorf("before the decision: %s", got)
	}
	const template = `{"prefix":"88.118.2001","version":"V1.0/泵","industryCategory":"C","industrySpecific":"35","industryTrade":"358","industrySubclass":"3581","type":1,"description":"输注泵",
		"items":[{"name":"型号","idType":"model","idIndex":"2000","required":1,"state":1,"metadata":{"type":"string","minLength":1,"maxLength":8}},
		{"name":"批号","idType":"batch","idIndex":2001,"required":0,"state":1,"metadata":{"type":"string","minLength":0,"maxLength":20}}]}`
	if got := v.ask("POST", "/snms/api/v5/template", template); !strings.Contains(got, `"status":-3`) {
		t.Errorf("a template before the prefix is theirs: %s", got)
	}

	// It is approved.
	p, err := n.in.office.Prefix(api.Caller{Identity: operator}, "88.118.2001")
	if err != nil {
		t.Fatal(err)
	}
	var warned []string
	for _, w := range p.Paper.Warnings {
		warned = append(warned, w.Code)
	}
	if _, err := n.in.office.Approve(t.Context(), api.Caller{Identity: operator}, p.ID, "ok", warned, ""); err != nil {
		t.Fatal(err)
	}
	if got := v.ask("GET", "/snms/api/prefix/query?entPrefix=88.118.2001", ""); !strings.Contains(got, `"state":1,"proxyState":4`) {
		t.Errorf("after the decision: %s", got)
	}
	if got := v.ask("GET", "/snms/api/v3/ent/page", ""); !strings.Contains(got, `"totalElements":1`) || !strings.Contains(got, `"entGeneralId":"88.118.2001"`) {
		t.Errorf("page: %s", got)
	}

	// The key that was made for it is its own, under its password.
	at := strings.Index(p.Paper.Note, "88.118/FILE_")
	if at < 0 {
		t.Fatalf("the note names no key: %s", p.Paper.Note)
	}
	file := p.Paper.Note[at : at+strings.Index(p.Paper.Note[at:], "，")]
	if got := v.raw("POST", "/api/v1/doip/file-acquire", "application/json", fmt.Sprintf(`{"fileId":%q}`, file)); !strings.Contains(string(got), "ENCRYPTED PRIVATE KEY") {
		t.Errorf("the key: %s", got)
	}
	stranger := visit(t, n)
	if got := stranger.ask("POST", "/api/v1/doip/file-acquire", fmt.Sprintf(`{"fileId":%q}`, file)); !strings.Contains(got, `"code":104`) {
		t.Errorf("the key for a stranger: %.100s", got)
	}

	// The digest log-in, a template, identifiers.
	digest := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	v.token = v.login("/identity/token/v1", "wang", digest(digest(weakPassword)+time.Now().In(beijing).Format(time.DateOnly)))
	v.gives(snmsTrue, "POST", "/snms/api/v5/template", template)
	v.gives(`{"message":"模板已存在","status":-2,"data":null}`, "POST", "/snms/api/v5/template", template)
	q := "/snms/api/v5/template?prefix=88.118.2001&version=V1.0/%E6%B3%B5"
	v.gives(`{"message":"success","status":1,"data":{"prefix":"88.118.2001","version":"V1.0/泵","industryCategory":"C","industrySpecific":"35","industryTrade":"358","industrySubclass":"3581","type":1,"description":"输注泵",`+
		`"items":[{"name":"型号","idType":"model","idIndex":2000,"required":true,"state":1,"metadata":{"type":"string","minLength":1,"maxLength":8}},`+
		`{"name":"批号","idType":"batch","idIndex":2001,"required":false,"state":1,"metadata":{"type":"string","minLength":0,"maxLength":20}}]}}`, "GET", q, "")
	one := func(handle, model string) string {
		return fmt.Sprintf(`{"handle":%q,"templateVersion":"V1.0/泵","value":[{"index":2000,"type":"model","data":{"format":"string","value":%q},"auth":""}]}`, handle, model)
	}
	v.gives(snmsTrue, "POST", "/identityv2/data", one("88.118.2001/A1", "QM-1"))
	v.gives(`{"message":"标识已存在","status":-2,"data":null}`, "POST", "/identityv2/data", one("88.118.2001/A1", "QM-1"))
	detail := func(model string) string {
		return `{"message":"success","status":1,"data":{"code":"200","prefix":"88.118.2001","handle":"88.118.2001/A1","templateVersion":"V1.0/泵","value":[{"index":2000,"type":"model","data":{"format":"string","value":"` + model + `"},"auth":""}]}}`
	}
	v.gives(detail("QM-1"), "GET", "/identityv2/data/detail?handle=88.118.2001/A1", "")
	v.gives(snmsTrue, "PUT", "/identityv2/data", one("88.118.2001/A1", "QM-2"))
	v.gives(detail("QM-2"), "GET", "/identityv2/data/detail?handle=88.118.2001/A1", "")
	if got := v.ask("POST", "/identityv2/data", one("88.118.1001/A1", "QM-1")); strings.Contains(got, `"status":1,`) {
		t.Errorf("somebody else's prefix: %s", got)
	}
	// What was closed, or is not to be changed, stays so.
	perms := func(model record.Perm) {
		t.Helper()
		res, err := n.Write(t.Context(), operator, []record.Write{{Op: record.Add, ID: id.MustParse("88.118.2001/A1"), Overwrite: true,
			Values: []record.Value{{Index: 2000, Type: "model", Data: []byte("QM-2"), Perm: model, TTL: record.TTL{Seconds: 60}}}}})
		if err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
	}
	perms(record.AdminRead | record.AdminWrite)
	v.gives(snmsTrue, "PUT", "/identityv2/data", one("88.118.2001/A1", "QM-3"))
	if a, err := n.registry.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.2001/A1"), Indexes: []uint32{2000}, PublicOnly: true}); err == nil {
		t.Errorf("an update opens what was closed: %v", a.Values)
	}
	perms(record.AdminRead | record.PublicRead)
	if got := v.ask("PUT", "/identityv2/data", one("88.118.2001/A1", "QM-4")); strings.Contains(got, `"status":1,`) {
		t.Errorf("what is not to be changed: %s", got)
	}
	perms(record.DefaultPerm)
	// An extension of the template, in which a property is disabled.
	v.gives(snmsTrue, "PUT", "/snms/api/v5/template", `{"prefix":"88.118.2001","version":"V1.0/泵","items":[{"name":"批号","idType":"batch","idIndex":2001,"required":0,"state":0,"metadata":{}},{"name":"颜色","idType":"color","idIndex":2002,"state":1,"metadata":{"maxLength":9}}]}`)
	if got := v.ask("GET", q, ""); !strings.Contains(got, `"idIndex":2001,"required":false,"state":0`) || !strings.Contains(got, `"idType":"color"`) || !strings.Contains(got, `"idType":"model"`) {
		t.Errorf("the template after its extension: %s", got)
	}
	if got := v.ask("PUT", "/snms/api/v5/template", `{"prefix":"88.118.2001","version":"V1.0/泵","items":[{"name":"x","idType":"colour","idIndex":2002,"state":1,"metadata":{}}]}`); !strings.Contains(got, `"status":-2`) {
		t.Errorf("a property changes its type: %s", got)
	}
	// What is in the record is as our own interface has it.
	a, err := n.registry.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.2001/A1"), PublicOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint32]string{}
	for _, x := range a.Values {
		got[x.Index] = string(x.Data)
	}
	if got[1000] != "88.118.2001/META_SNMS_V1.0~2F~E6~B3~B5" || got[1001] != "1" || got[2000] != "QM-2" {
		t.Errorf("the record: %v", got)
	}

	// A batch of 2,000, of which every third is wrong.
	var batch []string
	for i := range 2000 {
		model := "QM"
		if i%3 == 2 {
			model = "far too long a model"
		}
		batch = append(batch, one(fmt.Sprintf("88.118.2001/B%d", i), model))
	}
	batch[1] = one("88.118.2001/A1", "QM")
	var done struct {
		Status int
		Data   []struct{ Handle, Msg string }
	}
	if err := json.Unmarshal([]byte(v.ask("POST", "/identityv2/data/batchCreate", "["+strings.Join(batch, ",")+"]")), &done); err != nil || done.Status != 1 || len(done.Data) != 2000 {
		t.Fatalf("the batch: %d %d %v", done.Status, len(done.Data), err)
	}
	for i, d := range done.Data {
		want := "success"
		switch {
		case i == 1:
			want = "标识已存在"
		case i%3 == 2:
			want = "型号长度应在1到8之间"
		}
		if d.Msg != want {
			t.Fatalf("line %d, %s: %s, want %s", i, d.Handle, d.Msg, want)
		}
	}
	if count, err := n.registry.Count(t.Context(), operator, "88.118.2001"); err != nil || count < 1333 || count > 1400 {
		t.Errorf("%d identifiers, %v", count, err)
	}
	if got := v.ask("DELETE", "/identityv2/data/batchDelete", `["88.118.2001/B0","88.118.2001/B2"]`); got != `{"message":"success","status":1,"data":[{"handle":"88.118.2001/B0","msg":"success","code":1},{"handle":"88.118.2001/B2","msg":"标识不存在","code":-2}]}` {
		t.Errorf("deletions: %s", got)
	}

	// Nobody gets at the papers of the node this way.
	for _, name := range []string{"88.118.2001/USER_x", "88.118.2001/META_SNMS_V1.0~2F~E6~B3~B5", "88.118/USER_WANG"} {
		if got := v.ask("DELETE", "/identityv2/data", fmt.Sprintf(`{"handle":%q}`, name)); strings.Contains(got, `"status":1,`) {
			t.Errorf("%s is deleted: %s", name, got)
		}
	}

	// A partner sees what is granted, as long as it is.
	if _, _, err := n.in.accounts.CreateUser(t.Context(), api.Caller{Identity: operator}, account.NewUser{Prefix: "88.118.1002", Name: "li", Password: weakPassword}); err != nil {
		t.Fatal(err)
	}
	partner := visit(t, n)
	partner.token = partner.login("/identity/token", "88.118.1002/li", weakPassword)
	grant := func(body string) {
		t.Helper()
		v.gives(`{"code":1,"message":"success","data":null}`, "POST", "/api/v1/single-handle/authorization", `{"handle":"88.118.2001/A1","grantType":2,"readerScope":2,`+body+`}`)
	}
	const absent = `{"message":"success","status":1,"data":{"code":"200","prefix":"88.118.2001","handle":"88.118.2001/A1","templateVersion":"V1.0/泵","value":[]}}`
	grant(`"handleUserReaders":[]`)
	partner.gives(absent, "GET", "/identityv2/data/detail?handle=88.118.2001/A1", "")
	v.gives(detail("QM-2"), "GET", "/identityv2/data/detail?handle=88.118.2001/A1", "")
	grant(`"handleUserReaders":["88.118.1002/User_li"]`)
	partner.gives(detail("QM-2"), "GET", "/identityv2/data/detail?handle=88.118.2001/A1", "")
	if got := partner.ask("PUT", "/identityv2/data", one("88.118.2001/A1", "mine")); strings.Contains(got, `"status":1,`) {
		t.Errorf("who may read edits: %s", got)
	}
	grant(`"delHandleUserReaders":["88.118.1002/User_li"]`)
	partner.gives(absent, "GET", "/identityv2/data/detail?handle=88.118.2001/A1", "")
	seen, err := n.policy.Audit.Of(t.Context(), "88.118.2001", 0, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(seen, func(a policy.Access) bool { return strings.EqualFold(a.Who, "301:88.118.1002/User_li") && !a.Right }) ||
		!slices.ContainsFunc(seen, func(a policy.Access) bool { return strings.EqualFold(a.Who, "301:88.118/User_wang") && a.Right }) {
		t.Errorf("the trail lacks who saw it: %+v", seen)
	}

	// Another of its prefixes is to be on its own server; it corrects that application.
	own := visit(t, n)
	second := application("88.118.2003", "qian", weakPassword)
	if got := own.ask("POST", "/snms/api/v3/ent/apply", second); json.Unmarshal([]byte(got), &applied) != nil || applied.Status != 1 {
		t.Fatalf("apply: %s", got)
	}
	own.token = own.login("/identity/token", "qian", weakPassword)
	if got := own.ask("POST", "/snms/api/ent/config", `{"entPrefix":"88.118.2003","hdlType":"HS_SITE","ip":"192.0.2.7","ipType":6,"tcpPort":2641}`); !strings.Contains(got, `"status":-2`) {
		t.Errorf("an IPv4 address as IPv6: %s", got)
	}
	own.gives(snmsTrue, "POST", "/snms/api/ent/config", `{"entPrefix":"88.118.2003","hdlType":"HS_SITE","ip":"192.0.2.7","ipType":"4","tcpPort":"2641"}`)
	if got := own.ask("GET", "/snms/api/prefix/page", ""); !strings.Contains(got, `"entPrefix":"88.118.2003"`) || !strings.Contains(got, `"state":4,"proxyState":1`) || !strings.Contains(got, `"totalElements":1`) {
		t.Errorf("its prefixes: %s", got)
	}
	own.gives(snmsTrue, "POST", "/snms/api/v3/ent/upgrade-apply", strings.Replace(second, "启明医疗器械有限公司", "启明二厂", 1))
	if got := own.ask("GET", "/snms/api/v3/ent/detail?id="+applied.Data, ""); !strings.Contains(got, "启明二厂") || !strings.Contains(got, `"proxyState":1`) {
		t.Errorf("after the correction: %s", got)
	}
	if got := own.ask("GET", "/snms/api/v3/ent/detail?id="+p.ID.String(), ""); got != `{"message":"企业不存在","status":-2,"data":null}` {
		t.Errorf("another's application: %s", got)
	}
	for _, prefix := range []string{"88.118.2001", "88.118.2003"} {
		if got := own.ask("POST", "/identityv2/data", one(prefix+"/Z", "QM")); strings.Contains(got, `"status":1,`) {
			t.Errorf("who only applied registers: %s", got)
		}
	}

	v.gives(snmsTrue, "DELETE", q, "")
	v.gives(`{"message":"模板不存在","status":-2,"data":null}`, "GET", q, "")

	// Once the prefix is not theirs, nothing works.
	if _, err := n.in.office.Suspend(t.Context(), api.Caller{Identity: operator}, p.ID, "unpaid", ""); err != nil {
		t.Fatal(err)
	}
	if got := v.ask("DELETE", "/identityv2/data", `{"handle":"88.118.2001/A1"}`); strings.Contains(got, `"status":1,`) {
		t.Errorf("a suspended enterprise deletes: %s", got)
	}
}

// TestSNMSWeak shows that what is weak is off unless the configuration says so.
func TestSNMSWeak(t *testing.T) {
	n := newSecondLevel(t)
	if _, _, err := n.in.accounts.CreateUser(t.Context(), api.Caller{Identity: operator}, account.NewUser{Prefix: "88.118", Name: "wang", Password: weakPassword}); err != nil {
		t.Fatal(err)
	}
	v := visit(t, n)
	digest := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	v.gives(`{"message":"用户名/密码错误！","status":-2,"data":null}`, "POST", "/identity/token/v1",
		fmt.Sprintf(`{"username":"wang","password":%q}`, digest(digest(weakPassword)+time.Now().In(beijing).Format(time.DateOnly))))
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "POST", "http://"+n.HTTP().String()+"/identity/token", strings.NewReader(fmt.Sprintf(`{"username":"wang","password":%q}`, weakPassword)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := v.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); !strings.Contains(string(b), "HTTPS") {
		t.Errorf("a password over plain HTTP: %s", b)
	}
}

// TestVersionNames shows that every version has an identifier of its own, and back.
func TestVersionNames(t *testing.T) {
	for _, version := range []string{"V1.0", "v1.0", "1", "a~b", "a/b", "泵 2", "~", "%41"} {
		name := forms{}.Identifier("88.118", version)
		if _, err := id.ParseHandle(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if prefix, back, ok := (forms{}).Version(name); !ok || prefix != "88.118" || back != version {
			t.Errorf("%q is %q and back %q of %q", version, name, back, prefix)
		}
	}
	for _, name := range []string{"88.118/META_X", "88.118", "88.118/META_SNMS_", "88.118/META_SNMS_~4", "88.118/META_SNMS_~GG"} {
		if _, v, ok := (forms{}).Version(name); ok {
			t.Errorf("%s is the version %q", name, v)
		}
	}
}
