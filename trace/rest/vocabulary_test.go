package rest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/share"
)

// TestVocabularies: the master data of a capture's header is kept, shown to the owner's people, and known to queries.
func TestVocabularies(t *testing.T) {
	const kind, site = "urn:epcglobal:epcis:vtype:BusinessLocation", "https://id.gs1.org/414/9524000000011"
	s := open(t, func(c *Config) {
		c.See = func(context.Context, record.Identity, *epcis.Event) share.Level { return share.Contents }
		c.All = func(_ context.Context, who record.Identity) bool { return who.Operator }
	})
	header := `"epcisHeader":{"epcisMasterData":{"vocabularyList":[{"type":"` + kind + `","vocabularyElementList":[{"id":"` + site +
		`","attributes":[{"id":"urn:epcglobal:cbv:mda:name","attribute":"冷库"}],"children":["` + location + `"]}]}]}},`
	j := s.job(t, strings.Replace(documentJSON(eventJSON(1, "storing")), `"epcisBody"`, header+`"epcisBody"`, 1))
	if !j.Success || j.Captured != 1 {
		t.Fatalf("%+v", j)
	}
	var m members
	ask(t, s, "GET", "/epcis/vocabularies", "", "Test-Caller", "operator").json(t, &m)
	if !slices.Equal(m.Member, []string{kind}) {
		t.Errorf("%v", m.Member)
	}
	ask(t, s, "GET", "/epcis/vocabularies", "", "Test-Caller", "88.1/a").json(t, &m)
	if len(m.Member) != 0 {
		t.Errorf("strangers see %v", m.Member)
	}
	a := ask(t, s, "GET", "/epcis/vocabularies/"+kind, "", "Test-Caller", "operator")
	if a.StatusCode != 200 || !strings.Contains(a.body, "冷库") || !strings.Contains(a.body, site) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := ask(t, s, "GET", "/epcis/vocabularies/"+kind, "", "Test-Caller", "88.1/a"); a.StatusCode != 404 {
		t.Errorf("a stranger: %d", a.StatusCode)
	}
	// The place lies within the site.
	if got, _ := s.walk(t, "GET", "/epcis/events?WD_bizLocation="+esc(site), "", nil); len(got) != 1 {
		t.Errorf("WD_bizLocation: %v", got)
	}
	if got, _ := s.walk(t, "GET", "/epcis/events?EQ_bizLocation="+esc(site), "", nil); len(got) != 0 {
		t.Errorf("EQ_bizLocation: %v", got)
	}
}
