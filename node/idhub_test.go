package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"strings"
	"sync"
	"testing"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/template"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web/idhub"
)

// app is a program with a key, which logs in by challenge.
func app(t *testing.T, n *Node, prefix, name string, alg trust.Algorithm, roles ...api.RoleName) *visitor {
	t.Helper()
	key, err := trust.Generate(alg, nil)
	if err != nil {
		t.Fatal(err)
	}
	var rs []api.Role
	for _, r := range roles {
		rs = append(rs, api.Role{Name: r, Prefix: prefix})
	}
	if _, err := n.in.accounts.CreateApp(t.Context(), api.Caller{Identity: operator}, prefix, name, "程序 "+name, rs, key.Public()); err != nil {
		t.Fatal(err)
	}
	v := visit(t, n)
	handle := prefix + "/App_" + name
	var nonce struct{ Data string }
	if err := json.Unmarshal([]byte(v.ask("GET", "/api/v1/doip/public/challenge?handle="+handle, "")), &nonce); err != nil {
		t.Fatal(err)
	}
	sig, err := key.Sign([]byte(nonce.Data))
	if err != nil {
		t.Fatal(err)
	}
	got := v.ask("POST", "/api/v1/doip/public/verify-response", fmt.Sprintf(`{"handle":%q,"signature":%q}`, handle, base64.StdEncoding.EncodeToString(sig)))
	var token struct{ Data struct{ Token string } }
	if err := json.Unmarshal([]byte(got), &token); err != nil || token.Data.Token == "" {
		t.Fatalf("%s does not get in: %s", handle, got)
	}
	v.token = token.Data.Token
	return v
}

const hubOK = `{"code":1,"message":"success","data":null}`

func doip(op, target string) string {
	return "/api/v1/doip?targetId=" + target + "&operationId=0.DOIP/Op." + op
}

// elements is what a program sees of an object.
func (v *visitor) elements(target string) string {
	v.t.Helper()
	got := v.ask("GET", doip("Retrieve", target), "")
	var o struct {
		Code int
		Data struct {
			Attributes struct {
				Elements []struct {
					Type, Name, Data string
					DataType         int
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(got), &o); err != nil {
		v.t.Fatalf("%v: %s", err, got)
	}
	if o.Code != 1 {
		return fmt.Sprint(o.Code)
	}
	var out []string
	for _, e := range o.Data.Attributes.Elements {
		out = append(out, fmt.Sprintf("%s/%s/%d=%s", e.Type, e.Name, e.DataType, e.Data))
	}
	return strings.Join(out, " ")
}

// TestIDHub is an application's day with the interface of deployed enterprise nodes, and a partner's.
func TestIDHub(t *testing.T) {
	n := newSecondLevel(t)
	boss := app(t, n, "88.118.1001", "boss", trust.RSA, api.EnterpriseAdmin)
	erp := app(t, n, "88.118.1001", "erp", trust.SM2)
	partner := app(t, n, "88.118.1002", "mes", trust.Ed25519)
	nobody := visit(t, n)

	// A template: text, number, date and time, a picture.
	const meta = `{"metaHandle":"88.118.1001/META_PUMP","metaName":"输注泵","metaCode":"P-1","classifyCode":"35","standard":"YY 0451","metaDesc":"d","industryCategory":"C","industrySpecific":"35","items":[
		{"itemIndex":2000,"itemCode":"c1","englishName":"model","chineseName":"型号","required":true,"inputNecessary":true,"itemState":0,"itemSchemaInfo":{"dataType":1,"minLength":1,"maxLength":8}},
		{"itemIndex":2001,"englishName":"flow","chineseName":"流速","itemState":0,"itemSchemaInfo":{"dataType":2,"accuracy":1,"numberRange":"[1,10]"}},
		{"itemIndex":2002,"englishName":"made","chineseName":"生产时间","itemState":0,"itemSchemaInfo":{"dataType":3,"dateFormat":"YYYY-MM-DD HH:mm:ss"}},
		{"itemIndex":2003,"englishName":"photo","chineseName":"照片","itemState":0,"itemSchemaInfo":{"dataType":8,"maxFileCount":1}}]}`
	if got := erp.ask("POST", "/api/v1/open/meta/create", meta); !strings.Contains(got, `"code":605`) {
		t.Errorf("a program without the role makes a template: %s", got)
	}
	boss.gives(`{"code":1,"message":"success","data":"88.118.1001/META_PUMP"}`, "POST", "/api/v1/open/meta/create", meta)
	create := func(content string) string {
		return `{"type":"88.118.1001/META_PUMP","attributes":{"content":` + content + `}}`
	}
	good := create(`{"model":"QM","flow":"2.5","made":"2026-11-22 10:00:00"}`)
	erp.gives(`{"code":600,"message":"模板未发布","data":null}`, "POST", doip("Create", "88.118.1001/D1"), good)
	if got := nobody.ask("GET", doip("Retrieve", "88.118.1001/META_PUMP"), ""); !strings.Contains(got, `"code":104`) {
		t.Errorf("a stranger sees a draft: %s", got)
	}
	boss.gives(hubOK, "POST", "/api/v1/open/meta/publish-or-withdraw", `{"metaHanlde":"88.118.1001/META_PUMP","state":1}`)
	got := boss.ask("GET", "/api/v1/open/meta/info?metaHandle=88.118.1001/META_PUMP", "")
	for _, want := range []string{`"metaName":"输注泵"`, `"metaCode":"P-1"`, `"classifyCode":"35"`, `"metaState":1`, `"itemCode":"c1"`, `"inputNecessary":true`, `"numberRange":"[1,10]"`, `"accuracy":1`, `"dateFormat":"YYYY-MM-DD HH:mm:ss"`, `"dataType":8`} {
		if !strings.Contains(got, want) {
			t.Errorf("the template lacks %s: %s", want, got)
		}
	}

	// Objects.
	erp.gives(hubOK, "POST", doip("Create", "88.118.1001/D1"), good)
	erp.gives(`{"code":105,"message":"标识已存在","data":null}`, "POST", doip("Create", "88.118.1001/D1"), good)
	for _, c := range []struct{ name, content, want string }{
		{"too long", `{"model":"far too long"}`, `"code":30000,"message":"数据校验不通过","data":null,"errors":[{"name":"model"`},
		{"out of range", `{"model":"QM","flow":"11"}`, `"errors":[{"name":"flow"`},
		{"without what is required", `{"flow":"2"}`, `"errors":[{"name":"model"`},
		{"unknown", `{"model":"QM","x":"y"}`, `"code":603`},
	} {
		if got := erp.ask("POST", doip("Create", "88.118.1001/D2"), create(c.content)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if got := partner.ask("POST", doip("Create", "88.118.1001/D3"), good); strings.Contains(got, `"code":1,`) {
		t.Errorf("a partner creates: %s", got)
	}
	erp.gives(hubOK, "POST", "/api/v1/doip?targetId=88.118.1001/D1&operationId=0.DOIP.EXTEND/Op.Update.Non.Overlay", `{"attributes":{"content":{"flow":"3"}}}`)
	const whole = "model/型号/1=QM flow/流速/2=3 made/生产时间/3=2026-11-22T10:00:00+08:00"
	for who, v := range map[string]*visitor{"the enterprise": erp, "a stranger": nobody} {
		if got := v.elements("88.118.1001/D1"); got != whole {
			t.Errorf("%s sees %s", who, got)
		}
	}

	// The flow is for a partner alone.
	boss.gives(hubOK, "POST", "/api/v1/open/classes-grant/item/batch-public", `{"metaHandle":"88.118.1001/META_PUMP","scope":2,"items":["flow"]}`)
	const less = "model/型号/1=QM made/生产时间/3=2026-11-22T10:00:00+08:00"
	for who, v := range map[string]*visitor{"a stranger": nobody, "the partner": partner} {
		if got := v.elements("88.118.1001/D1"); got != less {
			t.Errorf("%s sees %s", who, got)
		}
	}
	if got := boss.elements("88.118.1001/D1"); got != whole {
		t.Errorf("the administrator sees %s", got)
	}
	grant := func(list string) {
		t.Helper()
		boss.gives(hubOK, "POST", "/api/v1/open/classes-grant/authorization", `{"metaHandle":"88.118.1001/META_PUMP","accessList":[`+list+`]}`)
	}
	for range 2 { // said twice it holds once
		grant(`{"item":"flow","authType":1,"scope":2,"handleUsers":["88.118.1002/App_mes"]},{"item":"flow","authType":2,"scope":2,"handleUsers":["88.118.1002/App_mes"]}`)
	}
	if got := partner.elements("88.118.1001/D1"); got != whole {
		t.Errorf("the partner, granted, sees %s", got)
	}
	boss.gives(`{"code":1,"message":"success","data":[{"item":"flow","handleUsers":["88.118.1002/App_mes"],"authType":1,"scope":2},{"item":"flow","handleUsers":["88.118.1002/App_mes"],"authType":2,"scope":2}]}`,
		"GET", "/api/v1/open/meta/grant/info?metaHandle=88.118.1001/META_PUMP", "")
	if got := partner.ask("GET", "/api/v1/open/message/appMessage", ""); !strings.Contains(got, `"totalElements":2`) || !strings.Contains(got, "授权通知") {
		t.Errorf("the partner is not told: %s", got)
	}
	grant(`{"item":"flow","authType":1,"scope":2,"removeHandleUsers":["88.118.1002/App_mes"]},{"item":"flow","authType":2,"scope":2,"removeHandleUsers":["88.118.1002/App_mes"]}`)
	if got := partner.elements("88.118.1001/D1"); got != less {
		t.Errorf("the partner, no more granted, sees %s", got)
	}
	if got := partner.ask("GET", "/api/v1/open/message/appMessage?size=1", ""); !strings.Contains(got, `"totalElements":4`) || !strings.Contains(got, "授权已撤销") {
		t.Errorf("the partner is not told that it is over: %s", got)
	}
	if got := partner.ask("POST", "/api/v1/open/classes-grant/item/batch-public", `{"metaHandle":"88.118.1001/META_PUMP","scope":1,"items":["flow"]}`); strings.Contains(got, `"code":1,`) {
		t.Errorf("the partner opens it: %s", got)
	}
	if got := boss.ask("GET", "/api/v1/open/handle-user-group/list", ""); !strings.Contains(got, `{"name":"程序 erp","userHandle":"88.118.1001/APP_ERP","belongCompany":"88.118.1001"}`) {
		t.Errorf("who can be granted to: %s", got)
	}

	// An update that is whole takes away what it does not name; what was published is not deleted.
	boss.gives(hubOK, "POST", doip("Update", "88.118.1001/D1"), create(`{"model":"QM2"}`))
	if got := boss.elements("88.118.1001/D1"); got != "model/型号/1=QM2" {
		t.Errorf("after the update: %s", got)
	}
	if got := erp.ask("GET", "/api/v1/open/handle/page?prefix=88.118.1001&size=100", ""); !strings.Contains(got, `"88.118.1001/D1"`) {
		t.Errorf("the identifiers: %s", got)
	}
	if got := boss.ask("POST", "/api/v1/open/meta/delete", `{"metaHandle":"88.118.1001/META_PUMP"}`); strings.Contains(got, `"code":1,`) {
		t.Errorf("a published template is deleted: %s", got)
	}
	if got := boss.ask("POST", "/api/v1/open/meta/baseon-create", `{"baseMetaHandle":"88.118.1001/META_PUMP","metaHandle":"88.118.1001/META_PUMP2","metaName":"泵二","items":[{"englishName":"color","chineseName":"颜色","itemSchemaInfo":{"dataType":1,"maxLength":9}}]}`); !strings.Contains(got, "META_PUMP2") {
		t.Errorf("a derived template: %s", got)
	}
	if got := boss.ask("GET", "/api/v1/open/meta/page?classifyCode=35", ""); !strings.Contains(got, `"totalElements":1`) {
		t.Errorf("the templates of a class: %s", got)
	}
	boss.gives(hubOK, "POST", "/api/v1/open/meta/delete", `{"metaHandle":"88.118.1001/META_PUMP2"}`)
	boss.gives(hubOK, "POST", "/api/v1/open/meta/update-item", `{"metaHandle":"88.118.1001/META_PUMP","items":[{"englishName":"color","chineseName":"颜色","itemSchemaInfo":{"dataType":1,"maxLength":9}}]}`)
	if got := boss.ask("GET", "/api/v1/open/meta/info?metaHandle=88.118.1001/META_PUMP", ""); !strings.Contains(got, `"englishName":"color","chineseName":"颜色","definition":"","required":false,"uniqueField":false,"inputNecessary":false,"listItemNecessary":false,"itemState":2`) {
		t.Errorf("what is not in force yet: %s", got)
	}

	// Files.
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	f, _ := m.CreateFormFile("file", "说明.pdf")
	f.Write([]byte("%PDF"))
	m.Close()
	var kept struct{ Data []struct{ FileID string } }
	up := erp.raw("POST", "/api/v1/doip/file-upload", m.FormDataContentType(), b.String())
	if err := json.Unmarshal(up, &kept); err != nil || len(kept.Data) != 1 || !strings.HasPrefix(kept.Data[0].FileID, "88.118.1001/FILE_") {
		t.Fatalf("upload: %s", up)
	}
	get := fmt.Sprintf(`{"fileId":%q}`, kept.Data[0].FileID)
	if got := partner.ask("POST", "/api/v1/doip/file-acquire", get); got != "%PDF" {
		t.Errorf("a public file: %s", got)
	}
	boss.gives(hubOK, "POST", "/api/v1/single-handle/authorization", fmt.Sprintf(`{"handle":%q,"grantType":2,"readerScope":2,"handleUserReaders":[]}`, kept.Data[0].FileID))
	if got := partner.ask("POST", "/api/v1/doip/file-acquire", get); !strings.Contains(got, `"code":104`) {
		t.Errorf("a file that is granted to others: %s", got)
	}
	if got := partner.ask("POST", "/api/v1/doip/file-acquire", `{"fileId":"88.118.1001/D1"}`); !strings.Contains(got, `"code":104`) {
		t.Errorf("no file: %s", got)
	}
}

// elsewhere is the rest of the world: one program's key.
type elsewhere struct {
	mu  sync.Mutex
	key trust.PublicKey
	how record.Trust
}

func (e *elsewhere) Resolve(_ context.Context, q record.Query) (record.Answer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if q.ID.String() != "88.9.1/APP_FAR" {
		return record.Answer{}, problem.New(problem.NotFound, "no", "无")
	}
	return record.Answer{Trust: e.how, Values: []record.Value{{Index: 301, Type: record.TypePubKey, Data: e.key.Data(), Perm: record.DefaultPerm}}}, nil
}

// TestIDHubElsewhere shows that a program of another node's gets in by its own key, which is at 301 there, for as long as
// that is its key, and only over a chain of signatures.
func TestIDHubElsewhere(t *testing.T) {
	n := newSecondLevel(t)
	key, err := trust.Generate(trust.RSA, nil)
	if err != nil {
		t.Fatal(err)
	}
	far := &elsewhere{key: key.Public(), how: record.Unchecked}
	n.keys.world = far
	v := visit(t, n)
	enter := func() string {
		t.Helper()
		v.token = ""
		var nonce struct{ Data string }
		json.Unmarshal([]byte(v.ask("GET", "/api/v1/doip/public/challenge?handle=88.9.1/App_far", "")), &nonce)
		sig, err := key.Sign([]byte(nonce.Data))
		if err != nil {
			t.Fatal(err)
		}
		got := v.ask("POST", "/api/v1/doip/public/verify-response", fmt.Sprintf(`{"handle":"88.9.1/App_far","signature":%q}`, base64.StdEncoding.EncodeToString(sig)))
		var token struct{ Data struct{ Token string } }
		json.Unmarshal([]byte(got), &token)
		v.token = token.Data.Token
		return got
	}
	if got := enter(); v.token != "" {
		t.Fatalf("an unsigned key is believed: %s", got)
	}
	far.mu.Lock()
	far.how = record.Secure
	far.mu.Unlock()
	if got := enter(); v.token == "" {
		t.Fatalf("it does not get in: %s", got)
	}
	if who, err := n.in.accounts.Bearer(t.Context(), v.token); err != nil || who.Ref.String() != "301:88.9.1/APP_FAR" {
		t.Errorf("it is %v, %v", who, err)
	}
	v.gives(`{"code":1,"message":"success","data":{"content":[],"number":0,"size":10,"totalElements":0,"totalPages":0}}`, "GET", "/api/v1/open/message/appMessage", "")
	if got := v.ask("POST", doip("Delete", "88.118.1001/D1"), "{}"); strings.Contains(got, `"code":1,`) {
		t.Errorf("it may delete: %s", got)
	}
	next, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	far.mu.Lock()
	far.key = next.Public()
	far.mu.Unlock()
	if got := v.ask("GET", "/api/v1/open/message/appMessage", ""); !strings.Contains(got, `"code":401`) {
		t.Errorf("its session outlives its key: %s", got)
	}
}

// TestMetaMapping shows that a template of the interface comes back as it went.
func TestMetaMapping(t *testing.T) {
	const in = `{"metaHandle":"88.118/META_X","metaName":"泵","metaCode":"c","classifyCode":"k","standard":"s","metaDesc":"d","industryCategory":"C","industrySpecific":"35","industryTrade":"358","industrySubclass":"3581","metaState":0,"metaContributor":"","isQuote":false,"publishedTime":"","effectiveTime":"","items":[` +
		`{"itemIndex":2000,"itemCode":"1","englishName":"a","chineseName":"甲","definition":"x","required":true,"uniqueField":true,"inputNecessary":true,"listItemNecessary":true,"itemState":0,"itemSchemaInfo":{"dataType":1,"minLength":2,"maxLength":9}},` +
		`{"itemIndex":2001,"itemCode":"","englishName":"b","chineseName":"乙","definition":"","required":false,"uniqueField":false,"inputNecessary":false,"listItemNecessary":false,"itemState":1,"itemSchemaInfo":{"dataType":2,"maxLength":12,"accuracy":2,"numberRange":"[1,10]"}},` +
		`{"itemIndex":2002,"itemCode":"","englishName":"c","chineseName":"丙","definition":"","required":false,"uniqueField":false,"inputNecessary":false,"listItemNecessary":false,"itemState":0,"itemSchemaInfo":{"dataType":3,"dateFormat":"YYYY-MM"}},` +
		`{"itemIndex":2003,"itemCode":"","englishName":"d","chineseName":"丁","definition":"","required":false,"uniqueField":false,"inputNecessary":false,"listItemNecessary":true,"itemState":0,"itemSchemaInfo":{"dataType":4,"maxFileCount":5,"fileRange":2,"selfDefFileSuffix":["dwg"]}},` +
		`{"itemIndex":2004,"itemCode":"","englishName":"e","chineseName":"戊","definition":"","required":false,"uniqueField":false,"inputNecessary":false,"listItemNecessary":false,"itemState":0,"itemSchemaInfo":{"dataType":5,"referenceType":2,"referenceMetaHandle":"88.9.1/META_Y"}},` +
		`{"itemIndex":2005,"itemCode":"","englishName":"f","chineseName":"己","definition":"","required":false,"uniqueField":false,"inputNecessary":false,"listItemNecessary":false,"itemState":0,"itemSchemaInfo":{"dataType":6,"maxFileCount":1,"fileRange":1}}]}`
	var m idhub.Meta
	if err := json.Unmarshal([]byte(in), &m); err != nil {
		t.Fatal(err)
	}
	d, err := draftOf(&m)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(meta(nil, d, idhub.MetaDraft))
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != in {
		t.Errorf("there and back:\n got %s\nwant %s", out, in)
	}
	for _, bad := range []idhub.Schema{{DataType: 3, DateFormat: "DD.MM"}, {DataType: 2, NumberRange: "1-10"}, {DataType: 9}} {
		if _, err := draftOf(&idhub.Meta{Items: []idhub.Item{{EnglishName: "x", Schema: bad}}}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	// What the interface does not know is text there.
	if x := metaItem(&template.Item{Name: "ok", Type: template.Boolean}); x.Schema.DataType != kindText {
		t.Errorf("a boolean is %+v", x.Schema)
	}
}
