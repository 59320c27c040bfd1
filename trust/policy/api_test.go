package policy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust/policy"
)

const (
	boss    = "88.118.1001/User_boss"
	auditor = "88.118.1001/User_auditor"
	erp     = "88.118.1002/App_erp"
	other   = "88.118.1009/App_x"
)

type m = map[string]any

// TestRequest: somebody who sees nothing asks, is granted, sees, loses it again; each step is told, and who saw what is
// in the trail for the owner and for nobody else.
func TestRequest(t *testing.T) {
	w := newWorld(t, classes{"88.118.1001/META_ENGINE": {Items: map[string]policy.Visibility{"PRICE": policy.Granted}}})
	w.must(operator, engine(eng))
	code := func(got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	ask := m{"target": m{"id": eng, "items": []string{"price"}}, "purpose": "warranty", "text": "for repairs", "until": day0.Add(48 * time.Hour)}
	code(w.call("", http.MethodPost, "/api/access-requests", ask, nil), 401)
	var r policy.RequestView
	code(w.call(erp, http.MethodPost, "/api/access-requests", ask, &r), 201)
	path := "/api/access-requests/" + strings.Replace(r.ID, "/REQUEST_", "/", 1)
	var notes api.Page[policy.Notice]
	code(w.call(boss, http.MethodGet, "/api/notices?prefix=88.118.1001", nil, &notes), 200)
	if len(notes.Items) != 1 || notes.Items[0].Kind != "request" || notes.Items[0].Request != r.ID {
		t.Error("the owner is told", notes.Items)
	}
	// For others there is no such request.
	code(w.call(other, http.MethodGet, path, nil, nil), 404)
	code(w.call(other, http.MethodPost, path+"/grant", m{}, nil), 404)
	code(w.call(other, http.MethodPost, path+"/withdraw", m{}, nil), 404)
	code(w.call(erp, http.MethodPost, path+"/grant", m{}, nil), 403) // the asker knows of it, but does not decide
	code(w.call(erp, http.MethodGet, path, nil, &r), 200)

	w.want(w.sees(partner, eng, "warranty"), "model maker")
	code(w.call(boss, http.MethodPost, path+"/grant", m{"reason": "contract 7", "terms": m{"count": 3}}, &r), 200)
	if r.State != policy.Approved || r.Grant == "" || r.Ends == nil {
		t.Errorf("granted: %+v", r)
	}
	code(w.call(boss, http.MethodPost, path+"/refuse", m{}, nil), 412)
	w.want(w.sees(partner, eng, "warranty"), "model price maker")
	w.want(w.sees(partner, eng, "resale"), "model maker")
	w.want(w.sees(worker, eng, "warranty"), "model maker")
	notes = api.Page[policy.Notice]{}
	code(w.call(erp, http.MethodGet, "/api/notices", nil, &notes), 200)
	if len(notes.Items) != 1 || notes.Items[0].Kind != "granted" {
		t.Error("the asker is told", notes.Items)
	}
	code(w.call(erp, http.MethodGet, path, nil, &r), 200)
	if by := r.History[len(r.History)-1].By; by != "88.118.1001" {
		t.Error("the asker sees who decided:", by)
	}
	var grants api.Page[policy.GrantView]
	code(w.call(erp, http.MethodGet, "/api/grants?prefix=88.118.1001", nil, &grants), 200)
	if len(grants.Items) != 1 || grants.Items[0].ID != r.Grant || grants.Items[0].By != "" {
		t.Error("the asker's grants:", grants.Items)
	}
	code(w.call(other, http.MethodGet, "/api/grants?prefix=88.118.1001", nil, &grants), 200)

	code(w.call(erp, http.MethodDelete, "/api/grants/88.118.1001/"+r.Grant, nil, nil), 403)
	code(w.call(boss, http.MethodDelete, "/api/grants/88.118.1001/"+r.Grant+"?reason=over", nil, nil), 204)
	code(w.call(boss, http.MethodDelete, "/api/grants/88.118.1001/"+r.Grant, nil, nil), 404)
	w.want(w.sees(partner, eng, "warranty"), "model maker")
	notes = api.Page[policy.Notice]{}
	w.call(erp, http.MethodGet, "/api/notices?after=1", nil, &notes)
	if len(notes.Items) != 1 || notes.Items[0].Kind != "revoked" || notes.Items[0].Reason != "over" {
		t.Error("the asker is told", notes.Items)
	}
	w.call(erp, http.MethodGet, path, nil, &r)
	if r.State != policy.Revoked {
		t.Error("the request is", r.State)
	}

	// A second one is refused, a third one expires.
	w.call(erp, http.MethodPost, "/api/access-requests", ask, &r)
	path = "/api/access-requests/" + strings.Replace(r.ID, "/REQUEST_", "/", 1)
	code(w.call(boss, http.MethodPost, path+"/refuse", m{"reason": "no contract"}, &r), 200)
	w.call(erp, http.MethodPost, "/api/access-requests", ask, &r)
	path = "/api/access-requests/" + strings.Replace(r.ID, "/REQUEST_", "/", 1)
	code(w.call(boss, http.MethodPost, path+"/grant", m{}, &r), 200)
	w.want(w.sees(partner, eng, "warranty"), "model price maker")
	w.sleep(48 * time.Hour)
	w.want(w.sees(partner, eng, "warranty"), "model maker")
	if err := w.p.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	notes = api.Page[policy.Notice]{}
	w.call(erp, http.MethodGet, "/api/notices?after=2", nil, &notes)
	kinds := ""
	for _, n := range notes.Items {
		kinds += n.Kind + " "
	}
	w.want(kinds, "refused granted expired ")

	var trail api.Page[policy.Access]
	code(w.call(auditor, http.MethodGet, "/api/audit?prefix=88.118.1001&limit=1", nil, &trail), 200)
	if len(trail.Items) != 1 || trail.Next != "2" || trail.Items[0].Who != partner.Ref.String() || trail.Items[0].Purpose != "warranty" || trail.Items[0].Indexes[0] != 2001 {
		t.Errorf("the trail: %+v", trail)
	}
	code(w.call(auditor, http.MethodGet, "/api/audit?prefix=88.118.1001&after=2&who="+erp, nil, &trail), 200)
	if len(trail.Items) != 1 || trail.Items[0].Seq != 1 {
		t.Errorf("the trail: %+v", trail)
	}
	trail.Items = nil
	w.call(erp, http.MethodGet, "/api/audit?prefix=88.118.1001", nil, &trail)
	if len(trail.Items) != 0 {
		t.Error("the asker reads the trail")
	}
	code(w.call(auditor, http.MethodPut, "/api/policies/88.118.1001/x", m{"visibility": "private"}, nil), 403)
}

// TestAskingTellsNothing: a request for what is not there is taken, and can only be refused.
func TestAskingTellsNothing(t *testing.T) {
	w := newWorld(t, nil)
	var r policy.RequestView
	if code := w.call(erp, http.MethodPost, "/api/access-requests", m{"target": m{"id": "88.118.1001/NONE"}}, &r); code != 201 {
		t.Fatal(code)
	}
	path := "/api/access-requests/" + strings.Replace(r.ID, "/REQUEST_", "/", 1)
	if code := w.call(boss, http.MethodPost, path+"/grant", m{}, nil); code != 404 {
		t.Error(code)
	}
	for range 99 {
		w.call(erp, http.MethodPost, "/api/access-requests", m{"target": m{"template": meta}}, nil)
	}
	if code := w.call(erp, http.MethodPost, "/api/access-requests", m{"target": m{"template": meta}}, nil); code != 503 {
		t.Error("request 101:", code)
	}
	if code := w.call(other, http.MethodPost, "/api/access-requests", m{"target": m{"template": meta}}, nil); code != 201 {
		t.Error("another's first:", code)
	}
	for _, bad := range []m{{}, {"id": "88.118.1001/X", "template": meta}, {"id": "88.118.1001"}, {"id": "88.5/X"}, {"id": "88.118.1001/X", "items": []string{"HS_PUBKEY"}}} {
		if code := w.call(other, http.MethodPost, "/api/access-requests", m{"target": bad}, nil); code != 400 {
			t.Errorf("%v: %d", bad, code)
		}
	}
}

// TestRulesByAPI: rules about classes and records, with ETags, and receipts.
func TestRulesByAPI(t *testing.T) {
	w := newWorld(t, nil)
	w.must(operator, engine(eng))
	var s policy.Stated
	code := w.call(boss, http.MethodPut, "/api/policies/88.118.1001/price", m{"template": meta, "items": []string{"price"}, "visibility": "granted",
		"grants": []m{{"to": []string{"88.118.1002"}, "actions": []string{"read"}, "paid": true}}}, &s)
	if code != 200 || len(s.Grants) != 1 || s.Grants[0].ID == "" || !strings.Contains(s.Text, "context.paid") {
		t.Fatal(code, s)
	}
	w.want(w.sees(anybody, eng), "model maker")
	w.want(w.sees(partner, eng), "model maker")
	if code := w.call(boss, http.MethodPost, "/api/grants/88.118.1001/"+s.Grants[0].ID+"/receipts", m{"who": "88.118.1002", "reference": "R-1"}, nil); code != 204 {
		t.Fatal(code)
	}
	w.want(w.sees(partner, eng), "model price maker")
	if code := w.call(boss, http.MethodPut, "/api/rules?id="+eng, []m{{"items": []string{"price"}, "visibility": "private"}}, nil); code != 200 {
		t.Fatal(code)
	}
	w.want(w.sees(partner, eng), "model maker")
	if code := w.call(boss, http.MethodPut, "/api/rules?id="+eng, []m{}, nil); code != 200 {
		t.Fatal(code)
	}
	w.want(w.sees(partner, eng), "model price maker")
	var g policy.GrantView
	if code := w.call(boss, http.MethodPost, "/api/grants", m{"target": m{"id": eng, "items": []string{"price"}}, "to": []string{other}, "actions": []string{"read"}}, &g); code != 201 {
		t.Fatal(code)
	}
	w.want(w.sees(stranger, eng), "model price maker")
	var all api.Page[policy.Stated]
	seen := 0
	for after := ""; ; after = all.Next {
		all = api.Page[policy.Stated]{}
		w.call(boss, http.MethodGet, "/api/policies?prefix=88.118.1001&limit=1&after="+after, nil, &all)
		if seen += len(all.Items); all.Next == "" {
			break
		}
	}
	if seen != 2 {
		t.Error(seen, "rules")
	}
	if code := w.call(boss, http.MethodDelete, "/api/policies/88.118.1001/price", nil, nil); code != 204 {
		t.Error(code)
	}
	w.want(w.sees(anybody, eng), "model price maker")
}

// TestMirrored: rules that come another way than by this room hold as soon as it hears of them.
func TestMirrored(t *testing.T) {
	w := newWorld(t, nil)
	w.must(operator, engine(eng))
	w.want(w.sees(anybody, eng), "model price maker")
	res, err := w.r.Write(t.Context(), operator, []record.Write{create("88.118.1001/Policy_x", record.Value{Index: 1, Type: policy.TypePolicy, Perm: record.AdminRead,
		Data: fmt.Appendf(nil, `{"template":%q,"visibility":"private"}`, meta)})})
	if err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	if err := w.p.Heard(t.Context(), id.MustParse("88.118.1001/Policy_x")); err != nil {
		t.Fatal(err)
	}
	w.want(w.sees(anybody, eng), "")
	w.want(w.sees(anybody, "88.118.1001/Policy_x"), "not-found")
	w.want(w.sees(anybody, "88.118.1001/Policy_none"), "not-found")
}
