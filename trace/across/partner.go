package across

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/share"
	"github.com/fujie-id/fujie/trust"
)

// How many hand-overs lie between an asker and an owner is never taken from the asker. It is 1 when the owner's own events of the thing name the asker. It is one more than
// somebody else's, when the owner's events of the thing name that one and that one introduces the asker: a JWS by its prefix's key, for this asker and this owner.

// introduction is what an owner says of an asker to the next one.
type introduction struct {
	Typ  string `json:"typ"`
	Own  string `json:"own"` // who introduces
	Sub  string `json:"sub"` // the asker's prefix
	Aud  string `json:"aud"` // to whom
	Hops int    `json:"hops"`
	Iat  int64  `json:"iat"`
}

const (
	introductionType = "fujie/introduction"
	introductionLife = time.Hour
	maxIntroduced    = 64 // prefixes that one answer introduces to
)

// partners remembers proved introductions for the length of a walk over many things.
type partners struct {
	mu   sync.Mutex
	seen map[string]provedIntroduction // by JWS
}

type provedIntroduction struct {
	introduction
	ok    bool
	until time.Time
}

// named are the prefixes that own events of a thing name, that of the thing among them; no more are looked for when that of enough was found.
func (a *Across) named(ctx context.Context, thing, enough string) map[string]bool {
	out := map[string]bool{}
	if p := prefixOf(thing); p != "" {
		out[p] = true
	}
	for e, err := range a.cfg.Source.Touching(ctx, thing, time.Time{}, time.Time{}) {
		if err != nil {
			break
		}
		if parties(e, func(p string) { out[p] = true }); out[enough] {
			break
		}
	}
	return out
}

// hops is how many hand-overs of the thing lie between the asker and here, as far as proved; 0: not known.
func (a *Across) hops(ctx context.Context, who record.Identity, thing string, via []string) int {
	asker := share.Prefix(who)
	if asker == "" {
		return 0
	}
	named := a.named(ctx, thing, asker)
	if named[asker] {
		return 1
	}
	best := 0
	for i, j := range via {
		if i == 8 {
			break
		}
		in, ok := a.introduced(ctx, j)
		if ok && named[in.Own] && handle.Equal(in.Sub, asker) && a.ours(handle.Fold(in.Aud)) && (best == 0 || in.Hops+1 < best) {
			best = in.Hops + 1
		}
	}
	return best
}

// introduced checks an introduction.
func (a *Across) introduced(ctx context.Context, jws string) (introduction, bool) {
	now := a.cfg.Now()
	a.seen.mu.Lock()
	got, had := a.seen.seen[jws]
	a.seen.mu.Unlock()
	if had && now.Before(got.until) {
		return got.introduction, got.ok
	}
	got = provedIntroduction{until: now.Add(introductionLife)}
	parts := strings.Split(jws, ".")
	if len(parts) != 3 || len(jws) > 4<<10 {
		return got.introduction, false
	}
	b, err := rawURL.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &got.introduction) != nil {
		return introduction{}, false
	}
	in := &got.introduction
	in.Own = handle.Fold(in.Own)
	at := time.Unix(in.Iat, 0)
	if in.Typ != introductionType || in.Hops < 1 || in.Hops > 100 || prefixOf(in.Own+"/x") == "" || now.Sub(at) > introductionLife || at.Sub(now) > 5*time.Minute {
		return introduction{}, false
	}
	got.until = at.Add(introductionLife)
	certs, err := a.certificates(ctx, in.Own)
	if err != nil {
		return introduction{}, false // not remembered: it may be found later
	}
	_, err = prove(a.cfg.Anchors, certs, in.Own, now, func(c *trust.Cert) error {
		_, err := trust.OpenStatement([]byte(jws), c.Key)
		return err
	})
	got.ok = err == nil
	a.seen.mu.Lock()
	defer a.seen.mu.Unlock()
	if a.seen.seen == nil || len(a.seen.seen) > 10_000 {
		a.seen.seen = map[string]provedIntroduction{}
	}
	a.seen.seen[jws] = got
	return got.introduction, got.ok
}

// introduce tells those whom the shown events name that the asker came through here.
func (a *Across) introduce(who record.Identity, q *Request, src *seen, out *Body) {
	asker := share.Prefix(who)
	if asker == "" || src.nearest == 0 {
		return
	}
	for p := range src.named {
		if a.ours(p) || p == asker || len(out.Introductions) == maxIntroduced {
			continue
		}
		j, err := trust.SignStatement(a.cfg.Key, introduction{introductionType, handle.Fold(q.Owner), asker, p, src.nearest, a.cfg.Now().Unix()})
		if err != nil {
			return
		}
		if out.Introductions == nil {
			out.Introductions = map[string]string{}
		}
		out.Introductions[p] = string(j)
	}
}

// TypeRecall is the value of a recall's record that everybody may read: its JSON is a Recall.
const TypeRecall = "FUJIE.RECALL"

// Recall is what everybody may know of a recall: that it is open, and about what.
type Recall struct {
	State   string    `json:"state"` // "open" while others may be asked in its name
	Title   string    `json:"title,omitempty"`
	Things  []string  `json:"things,omitempty"` // lots and things that are called back
	Opened  time.Time `json:"opened"`
	Closed  time.Time `json:"closed,omitzero"`
	Asking  []string  `json:"asking,omitempty"` // prefixes that may ask in its name beside its owner's: the authority
	Contact string    `json:"contact,omitempty"`
}

// recall reports whether a recall that an asker names is there, is its own or lets it ask, is open, and is signed from the root down.
func (a *Across) recall(ctx context.Context, who record.Identity, name string) bool {
	asker := share.Prefix(who)
	v, err := id.ParseHandle(name)
	if err != nil || asker == "" {
		return false
	}
	ans, err := a.cfg.Resolver.Resolve(ctx, record.Query{ID: v, PublicOnly: true, Types: []string{TypeRecall}})
	if err != nil || ans.Trust != record.Secure {
		if err != nil && !problem.Is(err, problem.NotFound) {
			a.cfg.Log.Info("a recall that was named cannot be read", "recall", clip(name), "by", asker, "err", err)
		}
		return false
	}
	for i := range ans.Values {
		var r Recall
		if !handle.Equal(ans.Values[i].Type, TypeRecall) || json.Unmarshal(ans.Values[i].Data, &r) != nil || r.State != "open" {
			continue
		}
		if handle.Equal(v.Prefix(), asker) {
			return true
		}
		for _, p := range r.Asking {
			if handle.Equal(p, asker) {
				return true
			}
		}
	}
	return false
}
