package across

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/share"
	"github.com/fujie-id/fujie/trust"
)

// Evidence is the signed answers of one trace, with what proves whose they are. Verify needs nothing else but the root's keys.
type Evidence struct {
	Version  int            `json:"version"`
	Question graph.Question `json:"question"`
	Asker    string         `json:"asker"` // the value that holds the asker's key: 300:0.NA/88.118.1001
	Made     time.Time      `json:"made"`
	Answers  []Signed       `json:"answers"`
	// Certificates are those in the prefix records of the owners and of all above them (HS_CERT, compact JWS), by prefix; the root's stand under 0.NA.
	Certificates map[string][]string `json:"certificates"`
}

// Signed is one enterprise's answer, byte for byte.
type Signed struct {
	Owner     string `json:"owner"`
	URL       string `json:"url,omitempty"`
	Request   []byte `json:"request"`
	Body      []byte `json:"body"`
	Statement string `json:"statement"`
}

// Verdict is what one answer of a bundle turned out to be.
type Verdict struct {
	Owner  string    `json:"owner"`
	By     string    `json:"by"`  // the key's place: 300:0.NA/88.118.1001
	Key    string    `json:"key"` // its fingerprint
	Time   time.Time `json:"time"`
	Digest string    `json:"digest"` // SHA-256 of the answer, hex
	Events int       `json:"events"`
	Proofs int       `json:"proofs"`
	Chain  []string  `json:"chain"` // the prefixes whose certificates lead from the root to the key
	Holds  bool      `json:"holds"`
	EN     string    `json:"en,omitempty"` // what is wrong
	ZH     string    `json:"zh,omitempty"`
}

// maxAnswers is how many answers one bundle may have.
const maxAnswers = 10_000

// Verify checks a bundle without any network: each answer's signature by the key that certificates prove from the root's keys down, as they held when it was signed; that it answers
// the question beside it and the asker who is named; and each event's hash. It returns what became of each answer. The error, of kind problem.Bogus, is that of the first
// that does not hold; a bundle without answers holds.
func Verify(ev *Evidence, roots []trust.PublicKey, now time.Time) ([]Verdict, error) {
	if ev == nil || ev.Version != 1 {
		return nil, problem.New(problem.BadRequest, "this is no evidence of version 1", "这不是版本 1 的证据")
	}
	if len(ev.Answers) > maxAnswers {
		return nil, problem.New(problem.TooLarge, "the evidence has %d answers, over the limit of %d", "证据有 %d 个应答，超过上限 %d", len(ev.Answers), maxAnswers)
	}
	var out []Verdict
	var bad error
	for i := range ev.Answers {
		s := &ev.Answers[i]
		body, events, v, err := s.open(roots, ev.Certificates, ev.Asker, now)
		v.Owner, v.Digest = s.Owner, digest(s.Body)
		if err != nil {
			v.EN, v.ZH = problem.Say(err, problem.English), problem.Say(err, problem.Chinese)
			if bad == nil {
				bad = problem.Wrap(err, problem.Bogus, "answer %d, of %s, does not hold", "第 %d 个应答（%s）不成立", i+1, clip(s.Owner))
			}
		} else {
			v.Holds, v.Events, v.Proofs = true, len(events), len(body.Proofs)
		}
		out = append(out, v)
	}
	return out, bad
}

// ParseEvidence reads a bundle. The error is of kind problem.BadRequest.
func ParseEvidence(b []byte) (*Evidence, error) {
	ev := new(Evidence)
	if err := json.Unmarshal(b, ev); err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the evidence cannot be read", "证据无法读取")
	}
	return ev, nil
}

// open checks one answer and takes it apart. The error is of kind problem.Bogus.
func (s *Signed) open(roots []trust.PublicKey, certs map[string][]string, asker string, now time.Time) (body Body, events []*known, v Verdict, err error) {
	st, err := peek(s.Statement)
	if err != nil {
		return body, nil, v, err
	}
	at := time.Unix(st.Iat, 0)
	v.By, v.Time = st.Iss, at.UTC()
	if st.Iat <= 0 || at.After(now.Add(5*time.Minute)) {
		return body, nil, v, problem.New(problem.Bogus, "the answer says that it was signed at %s, which is to come", "应答声明的签名时间 %s 尚未到来", at.UTC().Format(time.RFC3339))
	}
	if prefixOf(s.Owner+"/x") == "" {
		return body, nil, v, problem.New(problem.Bogus, "%q is no prefix", "%q 不是前缀", clip(s.Owner))
	}
	v.Chain, err = prove(roots, certs, s.Owner, at, func(c *trust.Cert) error {
		_, err := trust.OpenStatement([]byte(s.Statement), c.Key)
		v.Key = c.Key.Fingerprint()
		return err
	})
	if err != nil {
		return body, nil, v, err
	}
	switch {
	case st.Typ != answerType:
		return body, nil, v, problem.New(problem.Bogus, "what is signed is a %q, no answer", "所签的是 %q，而不是应答", clip(st.Typ))
	case !handle.Equal(st.Own, s.Owner):
		return body, nil, v, problem.New(problem.Bogus, "the answer is signed for %s, not for %s", "应答是为 %s 签名的，而不是 %s", clip(st.Own), s.Owner)
	case st.Sub != asker:
		return body, nil, v, problem.New(problem.Bogus, "the answer was given to %s, not to %s", "应答是给 %s 的，而不是 %s", clip(st.Sub), asker)
	case st.Req != digest(s.Request):
		return body, nil, v, problem.New(problem.Bogus, "the answer belongs to another question", "应答对应的是另一个查询")
	case st.Ans != digest(s.Body):
		return body, nil, v, problem.New(problem.Bogus, "the answer was changed after it was signed", "应答在签名之后被更改")
	}
	var q Request
	if err = json.Unmarshal(s.Request, &q); err == nil {
		err = json.Unmarshal(s.Body, &body)
	}
	switch {
	case err != nil:
		return body, nil, v, problem.Wrap(err, problem.Bogus, "the answer cannot be read", "应答无法读取")
	case body.Nonce != q.Nonce || !handle.Equal(body.Owner, q.Owner) || !handle.Equal(q.Owner, s.Owner):
		return body, nil, v, problem.New(problem.Bogus, "the answer belongs to another question", "应答对应的是另一个查询")
	}
	for _, p := range body.Proofs {
		if p.Hash == "" || len(p.Hash) > 256 || p.Thing == "" {
			return body, nil, v, problem.New(problem.Bogus, "a proof of existence has no hash or no thing", "存在证明缺少哈希或物品")
		}
	}
	events, err = body.events()
	return body, events, v, err
}

// peek reads a statement before its signature is checked.
func peek(jws string) (st statement, err error) {
	bad := func(err error) (statement, error) {
		return statement{}, problem.Wrap(err, problem.Bogus, "the answer is not signed: it has no Fujie-Statement, or none that can be read", "应答未签名：没有可读取的 Fujie-Statement")
	}
	parts := strings.Split(jws, ".")
	if len(parts) != 3 || len(jws) > 16<<10 {
		return bad(nil)
	}
	b, err := rawURL.DecodeString(parts[1])
	if err != nil {
		return bad(err)
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return bad(err)
	}
	return st, nil
}

// ownEvidence adds this node's own events of the answer to the evidence, signed as for any asker.
func (a *Across) ownEvidence(ctx context.Context, s *session, answer *graph.Answer) error {
	body := Body{Owner: a.cfg.Prefix, Nonce: "own-events"}
	var list []epcis.Event
	for i := range answer.Events {
		g := &answer.Events[i]
		if g.Owner != a.cfg.Prefix || len(list) == a.cfg.Limits.Events {
			continue
		}
		e, err := a.cfg.Event(ctx, g.ID)
		if err != nil {
			continue // it was removed meanwhile
		}
		h := hashOf(e)
		g.Hash = h
		list = append(list, *e)
		body.Marks = append(body.Marks, Mark{h, share.Contents})
	}
	if len(list) == 0 {
		return nil
	}
	body.Events = eventsJSON(list)
	req, err := json.Marshal(Request{Owner: a.cfg.Prefix, Nonce: body.Nonce})
	if err != nil {
		return problem.Wrap(err, problem.Internal, "a question cannot be written", "查询无法写出")
	}
	ans, err := json.Marshal(body)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "an answer cannot be written", "应答无法写出")
	}
	st, err := a.sign(a.cfg.Prefix, a.cfg.User.String(), req, ans)
	if err != nil {
		return err
	}
	certs, err := a.certificates(ctx, a.cfg.Prefix)
	if err != nil {
		a.cfg.Log.Warn("the certificates of the own key could not be looked up; the evidence is without the own events", "err", err)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, list := range certs {
		s.evidence.Certificates[p] = list
	}
	s.evidence.Answers = append([]Signed{{Owner: a.cfg.Prefix, Request: req, Body: ans, Statement: st}}, s.evidence.Answers...)
	return nil
}
