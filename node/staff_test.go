package node

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/account"
	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// TestStaff: those with a role work on the enterprise's data by the node's own interface, and on nothing else.
func TestStaff(t *testing.T) {
	const prefix = "88.118.1001"
	n := newSecondLevel(t)
	as := map[string]*web.Client{"nobody": {Base: "https://" + n.HTTP().String(), Pin: n.TLSKey().Fingerprint()}}
	for name, role := range map[string]api.RoleName{"admin": api.EnterpriseAdmin, "li": api.EnterpriseUser, "audit": api.Auditor, "none": ""} {
		key, err := trust.Generate(trust.Ed25519, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		u := account.NewUser{Prefix: prefix, Name: name, Key: key.Public()}
		if role != "" {
			u.Roles = []api.Role{{Name: role, Prefix: prefix}}
		}
		v, _, err := n.in.accounts.CreateUser(t.Context(), api.Caller{Identity: operator}, u)
		if err != nil {
			t.Fatal(err)
		}
		as[name] = &web.Client{Base: "https://" + n.HTTP().String(), Pin: n.TLSKey().Fingerprint(), User: record.Ref{Index: 300, Name: v.String()}, Key: key}
	}
	for _, c := range as {
		defer c.Close()
	}
	// What the operator registered: data that administrators may change, data that they may not, and an administrator.
	closed := record.Value{Index: 2001, Type: "SERIAL", Data: []byte("S-1"), TTL: record.TTL{Seconds: 60}, Perm: record.AdminRead | record.PublicRead}
	inner := record.Value{Index: 2002, Type: "COST", Data: []byte("31"), TTL: record.TTL{Seconds: 60}, Perm: record.AdminRead | record.AdminWrite}
	boss := record.Value{Index: 100, Type: record.TypeAdmin, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60},
		Data: record.AppendAdmin(nil, record.Admin{Perms: record.AllPerms, Ref: PrefixKeyRef(prefix)})}
	res, err := n.Write(t.Context(), operator, []record.Write{
		{Op: record.Create, ID: id.MustParse(prefix + "/CLOSED"), Values: []record.Value{closed}},
		{Op: record.Create, ID: id.MustParse(prefix + "/COST"), Values: []record.Value{inner, boss}},
	})
	if err != nil || res[0].Err != nil || res[1].Err != nil {
		t.Fatal(err, res)
	}
	value := func(index int, data string) string {
		b, _ := json.Marshal(map[string]any{"values": []any{map[string]any{"index": index, "type": "NAME", "data": data, "permissions": "1100"}}})
		return string(b)
	}
	admins := `{"values":[{"index":100,"type":"HS_ADMIN","data":{"format":"admin","value":{"handle":"` + prefix + `/USER_LI","index":300,"permissions":"111111111111"}}}]}`
	const list = "/api/handles?prefix=" + prefix
	for _, x := range []struct {
		who, method, path, body string
		status                  int // 0: refused, in the words of the registry's own rules
	}{
		{"nobody", "GET", list, "", 401},
		{"none", "GET", list, "", 0},
		{"audit", "GET", list, "", 0},
		{"li", "GET", list, "", 200},
		{"admin", "GET", list, "", 200},
		{"admin", "GET", "/api/handles?prefix=88.119.1", "", 0},
		{"none", "PUT", "/api/handles/" + prefix + "/A", value(2001, "A"), 0},
		{"audit", "PUT", "/api/handles/" + prefix + "/A", value(2001, "A"), 0},
		{"li", "PUT", "/api/handles/" + prefix + "/A", value(2001, "A"), 201},
		{"li", "PUT", "/api/handles/" + prefix + "/A?overwrite=true", value(2001, "B"), 200},
		{"li", "PUT", "/api/handles/88.119.1/A", value(2001, "A"), 0},
		{"li", "PUT", "/api/handles/" + prefix + "/User_wang", value(2001, "A"), 0},
		{"li", "PUT", "/api/handles/" + prefix + "/META_X", value(2001, "A"), 0},
		{"li", "PUT", "/api/handles/" + prefix + "/B", admins, 0},
		{"li", "PUT", "/api/handles/" + prefix + "/A?index=100", admins, 0},
		{"li", "PUT", "/api/handles/" + prefix + "/CLOSED?overwrite=true", value(2001, "S-2"), 0},
		{"li", "DELETE", "/api/handles/" + prefix + "/CLOSED", "", 0},
		// The administrator of the record would be lost with this.
		{"li", "PUT", "/api/handles/" + prefix + "/COST?overwrite=true", value(2002, "32"), 0},
		{"li", "PUT", "/api/handles/" + prefix + "/COST?index=2002&overwrite=true", value(2002, "32"), 200},
		{"none", "DELETE", "/api/handles/" + prefix + "/A", "", 0},
		{"li", "DELETE", "/api/handles/" + prefix + "/A", "", 200},
		{"admin", "PUT", "/api/handles/0.NA/" + prefix + "?index=100", admins, 0},
	} {
		status, answer, err := as[x.who].Exchange(t.Context(), x.method, x.path, []byte(x.body))
		if err != nil {
			t.Fatal(err)
		}
		if x.status == 0 && status < 400 || x.status != 0 && status != x.status {
			t.Errorf("%s %s %s: %d %.300s, wanted %d", x.who, x.method, x.path, status, answer, x.status)
		}
	}
	for who, sees := range map[string]bool{"nobody": false, "none": false, "li": false, "admin": true} {
		_, answer, err := as[who].Exchange(t.Context(), http.MethodGet, "/api/handles/"+prefix+"/COST", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(answer), `"value":"32"`); got != sees {
			t.Errorf("%s sees what is not public: %v: %s", who, got, answer)
		}
	}
}
