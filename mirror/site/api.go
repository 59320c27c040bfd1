package site

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// The sites speak with each other over HTTPS, proving themselves with the key of their prefix:
//
//	GET  /api/probes         this probe's judgement of the primary, signed; open to everybody
//	GET  /api/site-state     State: role, term, followers, what was set aside
//	POST /api/site/vote      Ballot → Vote
//	POST /api/site/lead      State of a primary: join its term
//	POST /api/site/records   {"ids":[…]} → JSON Lines: what is held of each
//	POST /api/site/promote   {"alone":false}: take over now, from a primary that steps down or is lost
//
// But for the first, whoever is neither a site nor an administrator finds nothing here.
const (
	pathProbes  = "/api/probes"
	pathState   = "/api/site-state"
	pathVote    = "/api/site/vote"
	pathLead    = "/api/site/lead"
	pathRecords = "/api/site/records"
	pathPromote = "/api/site/promote"

	maxBody    = 4 << 20
	maxRecords = 100 // in one request
)

// Envelope is a signed judgement: the signature is over the bytes of Judgement as they stand.
type Envelope struct {
	Judgement json.RawMessage `json:"judgement"`
	Key       json.RawMessage `json:"key,omitempty"` // of the probe, as a JWK
	Signature string          `json:"signature,omitempty"`
}

// held is a line of the answer of /api/site/records.
type held struct {
	Op    string `json:"op"`
	ID    string `json:"id"`
	Block string `json:"block,omitempty"`
}

// Routes gives the handler of one of the paths above, nil for others. identify says who makes a request.
func (s *Site) Routes(identify func(*http.Request) (record.Identity, error)) func(path string) http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, identify) })
	return func(path string) http.Handler {
		switch path {
		case pathProbes, pathState, pathVote, pathLead, pathRecords, pathPromote:
			return h
		}
		return nil
	}
}

func (s *Site) serve(w http.ResponseWriter, r *http.Request, identify func(*http.Request) (record.Identity, error)) {
	w.Header().Set("Cache-Control", "no-store")
	want := http.MethodPost
	if r.URL.Path == pathProbes || r.URL.Path == pathState {
		want = http.MethodGet
	}
	if r.Method != want {
		w.Header().Set("Allow", want)
		refuse(w, r, http.StatusMethodNotAllowed, problem.New(problem.Unsupported, "%s takes %s only", "%s 仅支持 %s", r.URL.Path, want))
		return
	}
	if r.URL.Path == pathProbes {
		s.serveProbes(w, r)
		return
	}
	by, err := identify(r)
	if err != nil {
		refuse(w, r, http.StatusUnauthorized, err)
		return
	}
	admin := by.Operator || slices.ContainsFunc(s.cfg.Admins, func(a record.Ref) bool { return a.Covers(by.Ref) })
	if by.IsAnonymous() || !s.isSite(by) && !admin {
		status := http.StatusNotFound
		if by.IsAnonymous() {
			status = http.StatusUnauthorized // so that clients begin to prove themselves
			w.Header().Set("WWW-Authenticate", `Basic realm="handle"`)
		}
		refuse(w, r, status, problem.New(problem.NotFound, "there is nothing at %s for you: prove that you are a site of %s or its administrator", "%s 处没有您可见的内容：请证明您是 %s 的站点或管理员", r.URL.Path, s.cfg.Prefix))
		return
	}
	switch r.URL.Path {
	case pathState:
		st, err := s.State(r.Context())
		answer(w, r, st, err)
	case pathVote:
		var b Ballot
		if read(w, r, &b) {
			v, err := s.vote(r.Context(), b)
			answer(w, r, v, err)
		}
	case pathLead:
		var st State
		if read(w, r, &st) {
			answer(w, r, struct{}{}, s.adopt(r.Context(), st))
		}
	case pathRecords:
		s.serveRecords(w, r)
	case pathPromote:
		var in struct {
			Alone bool `json:"alone"`
		}
		if !read(w, r, &in) {
			return
		}
		if err := s.promote(r.Context(), true, in.Alone); err != nil {
			answer(w, r, nil, err)
			return
		}
		st, err := s.State(r.Context())
		answer(w, r, st, err)
	}
}

func (s *Site) serveProbes(w http.ResponseWriter, r *http.Request) {
	e, err := envelope(s.judge.now(), s.cfg.NodeKey)
	answer(w, r, e, err)
}

// envelope signs a judgement, if there is a key.
func envelope(v Judgement, key *trust.PrivateKey) (e Envelope, err error) {
	if e.Judgement, err = json.Marshal(v); err != nil || key == nil {
		return e, err
	}
	e.Key = key.Public().MarshalJWK()
	sig, err := key.Sign(e.Judgement)
	e.Signature = base64.StdEncoding.EncodeToString(sig)
	return e, err
}

func (s *Site) serveRecords(w http.ResponseWriter, r *http.Request) {
	var in struct {
		IDs []string `json:"ids"`
	}
	if !read(w, r, &in) {
		return
	}
	if len(in.IDs) > maxRecords {
		refuse(w, r, http.StatusRequestEntityTooLarge, problem.New(problem.TooLarge, "at most %d identifiers at a time", "每次最多 %d 个标识", maxRecords))
		return
	}
	ids := make([]id.ID, len(in.IDs))
	for i, name := range in.IDs {
		v, err := id.ParseHandle(name)
		if err != nil {
			refuse(w, r, http.StatusBadRequest, err)
			return
		}
		ids[i] = v
	}
	es, err := s.records(r.Context(), ids)
	if err != nil {
		answer(w, r, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for i := range es {
		l := held{Op: es[i].Op.String(), ID: es[i].ID.String()}
		if es[i].Values != nil {
			l.Block = base64.StdEncoding.EncodeToString(record.AppendBlock(nil, es[i].Values))
		}
		w.Write(appendLine(nil, l))
	}
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		refuse(w, r, http.StatusRequestEntityTooLarge, problem.Wrap(err, problem.TooLarge, "the request is over %d bytes, or broke off", "请求超过 %d 字节或中断", maxBody))
		return false
	}
	if len(b) == 0 {
		b = []byte("{}")
	}
	if err := json.Unmarshal(b, into); err != nil {
		refuse(w, r, http.StatusBadRequest, problem.Wrap(err, problem.BadRequest, "the request is not the JSON that is expected here", "请求不是此处所需的 JSON"))
		return false
	}
	return true
}

func answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		status := http.StatusInternalServerError
		switch problem.KindOf(err) {
		case problem.Busy, problem.ReadOnly, problem.Unreachable, problem.Canceled:
			status = http.StatusServiceUnavailable
		case problem.Conflict:
			status = http.StatusConflict
		case problem.BadRequest:
			status = http.StatusBadRequest
		case problem.Full:
			status = http.StatusInsufficientStorage
		}
		refuse(w, r, status, err)
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		refuse(w, r, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(b, '\n'))
}

// refuse answers with problem details (RFC 9457).
func refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	b, _ := json.Marshal(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "kind": problem.KindOf(err).String(),
		"detail": problem.Say(err, problem.ParseLang(r.Header.Get("Accept-Language"))),
	})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
