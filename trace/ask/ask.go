// Package ask puts the questions of traceability to a node by HTTP: where did it come from, where did it all go, where is it now, what did it meet. One request, and
// the answer comes as data, as it is found, as a picture, or on paper.
//
// Who asks here is one of the node's own people or programs, and asks in the node's name: other enterprises answer what they show to this one.
package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/picture"
)

// Config is what the room needs of the node.
type Config struct {
	Prefix string // whose people may ask
	// Trace asks this node alone (local) or every enterprise on the way; evidence is what was signed, for who checks it later, and chain the same in short.
	Trace func(ctx context.Context, q graph.Question, local bool, found func(graph.Step)) (a *graph.Answer, evidence json.RawMessage, chain []picture.Signature, err error)
	// Source is where single questions about q's things are put: to this node's events (local), or to those of everybody whom a trace of them leads to.
	Source func(ctx context.Context, q graph.Question, local bool) (graph.Source, error)
	// Check says of each answer in a bundle of evidence whether it holds, without asking anybody. The error is for what is no evidence. Nil: nothing is checked here.
	Check func(ctx context.Context, evidence []byte) ([]Verdict, error)
	Now   func() time.Time
}

// Verdict is what one enterprise's signed answer in a bundle of evidence turned out to be.
type Verdict struct {
	Owner  string    `json:"owner" doc:"The enterprise's prefix"`
	By     string    `json:"by" doc:"The place of the key that signed: 300:0.NA/88.118.1001"`
	Key    string    `json:"key" doc:"The key's fingerprint"`
	Time   time.Time `json:"time" doc:"When it was signed"`
	Digest string    `json:"digest" doc:"SHA-256 of the answer, hex"`
	Events int       `json:"events" doc:"Events in it, each with the hash that it names"`
	Proofs int       `json:"proofs" doc:"Proofs of existence in it (存在证明)"`
	Chain  []string  `json:"chain,omitempty" doc:"The prefixes whose certificates lead from the root to the key"`
	Holds  bool      `json:"holds"`
	EN     string    `json:"en,omitempty" doc:"What is wrong"`
	ZH     string    `json:"zh,omitempty" doc:"错在哪里"`
}

// mostEvidence is how large a bundle may be, in bytes.
const mostEvidence = 32 << 20

// Ask is the room.
type Ask struct{ cfg Config }

// New makes it.
func New(cfg Config) *Ask {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Ask{cfg}
}

// may says whether the caller may ask in the node's name.
func (a *Ask) may(ctx context.Context) error {
	return api.From(ctx).Need(a.cfg.Prefix, api.Operator, api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor, api.Regulator)
}

// most is how long one question may take when its asker does not say.
const most = 30 * time.Second

// Input is a question in the address.
type Input struct {
	ID      []string  `query:"id,explode" required:"true" minItems:"1" maxItems:"1000" doc:"What is asked about (标识): 88.118.1001/ENG-42, a Digital Link, an EPC URN; several with id=…&id=…"`
	Up      bool      `query:"up" doc:"Where it came from (溯源). With neither up nor down, both"`
	Down    bool      `query:"down" doc:"Where it went (追踪)"`
	From    time.Time `query:"from" doc:"Events from then on"`
	To      time.Time `query:"to" doc:"Events up to then"`
	Depth   int       `query:"depth" minimum:"0" maximum:"1000" doc:"Links from what was asked; 0: 100"`
	Limit   int       `query:"limit" minimum:"0" maximum:"200000" doc:"Things in the answer; 0: 200,000"`
	Seconds int       `query:"seconds" minimum:"0" maximum:"600" doc:"How long the search may take; 0: 30"`
	Recall  string    `query:"recall" maxLength:"2048" doc:"The recall that the question belongs to (召回), which some owners answer more to"`
	Local   bool      `query:"local" doc:"This node's events only (仅本节点)"`
}

func (in *Input) question() graph.Question {
	q := graph.Question{Things: in.ID, Up: in.Up, Down: in.Down, From: in.From, To: in.To, Depth: in.Depth, Limit: in.Limit, Recall: in.Recall, Timeout: time.Duration(in.Seconds) * time.Second}
	if !q.Up && !q.Down {
		q.Up, q.Down = true, true
	}
	if q.Timeout == 0 {
		q.Timeout = most
	}
	return q
}

// Traced is an answer with what was signed for it.
type Traced struct {
	Answer   *graph.Answer       `json:"answer" doc:"Things, links, events, what looks wrong, who answered"`
	Chain    []picture.Signature `json:"chain,omitempty" doc:"Who signed (签名链), as it was verified"`
	Evidence json.RawMessage     `json:"evidence,omitempty" doc:"The signed answers and the certificates of their keys, for checking offline (证据); with evidence=true"`
}

type thingInput struct {
	ID    string    `query:"id" required:"true" maxLength:"2048" doc:"What is asked about (标识)"`
	At    time.Time `query:"at" doc:"At this instant; absent: after the last event"`
	From  time.Time `query:"from"`
	To    time.Time `query:"to"`
	Local bool      `query:"local" doc:"This node's events only (仅本节点)"`
	Limit int       `query:"limit" minimum:"0" maximum:"200000"`
}

// SiblingList is the answer about siblings.
type SiblingList struct {
	Siblings []graph.Sibling `json:"siblings"`
	More     bool            `json:"more,omitempty" doc:"There are more than the limit"`
}

// Verdicts is the answer about evidence.
type Verdicts struct {
	Verdicts []Verdict `json:"verdicts"`
	Holds    bool      `json:"holds" doc:"Every answer holds"`
}

// Register adds the room's operations.
func (a *Ask) Register(to *api.API) {
	tags := []string{"Traces 追溯"}
	add := func(path, name, summary, description string) huma.Operation {
		return huma.Operation{Method: http.MethodGet, Path: path, OperationID: name, Tags: tags, Summary: summary, Description: description}
	}
	api.Do(to, add("/api/trace", "trace", "Trace things to where they came from and where they went (追溯)",
		"Across every enterprise that had them: each is asked in this node's name and shows what it shares. Who refused, was silent or told what does not hold stands in hops; complete says whether anything is missing."),
		func(ctx context.Context, in *struct {
			Input
			Evidence bool `query:"evidence" doc:"With the evidence (证据)"`
		}) (*api.Body[Traced], error) {
			out, err := a.trace(ctx, &in.Input, nil)
			if err != nil {
				return nil, err
			}
			if !in.Evidence {
				out.Evidence = nil
			}
			return &api.Body[Traced]{Body: *out}, nil
		})
	api.Do(to, add("/api/trace/state", "trace-state", "Say where a thing is, in what, and in what disposition (某时刻状态)", "At an instant, or after its last event; through all that it is in."),
		func(ctx context.Context, in *thingInput) (*api.Body[graph.State], error) {
			if err := a.may(ctx); err != nil {
				return nil, err
			}
			src, err := a.about(ctx, in.ID, in.Local)
			if err != nil {
				return nil, err
			}
			s, err := graph.StateAt(ctx, src, epcis.Key(in.ID), in.At)
			return &api.Body[graph.State]{Body: s}, err
		})
	api.Do(to, add("/api/trace/siblings", "trace-siblings", "List what is of the same lot, class, process or box (同批次)", "Each with what it has in common, and since when."),
		func(ctx context.Context, in *thingInput) (*api.Body[SiblingList], error) {
			if err := a.may(ctx); err != nil {
				return nil, err
			}
			src, err := a.about(ctx, in.ID, in.Local)
			if err != nil {
				return nil, err
			}
			list, more, err := graph.Siblings(ctx, src, epcis.Key(in.ID), in.From, in.To, in.Limit)
			if list == nil {
				list = []graph.Sibling{}
			}
			return &api.Body[SiblingList]{Body: SiblingList{list, more}}, err
		})
	api.Do(to, add("/api/trace/contacts", "trace-contacts", "Find everyone and everything that met things (交叉追溯): people, goods, vehicles",
		"Scanned together, in one container, or at one place within the time given; in rounds: who met them, then who met those afterwards."),
		func(ctx context.Context, in *struct {
			Input
			Minutes int  `query:"minutes" minimum:"0" maximum:"525600" doc:"Two at one place within so many minutes have met (分钟); 0: places do not count"`
			Rounds  int  `query:"rounds" minimum:"0" maximum:"10" doc:"Rounds (轮数); 0: 1"`
			Alone   bool `query:"alone" doc:"Only the things themselves, not what they were made of, carried in or made into"`
		}) (*api.Body[graph.ContactAnswer], error) {
			if err := a.may(ctx); err != nil {
				return nil, err
			}
			q := in.question()
			q.Things = keys(q.Things)
			src, err := a.cfg.Source(ctx, q, in.Local)
			if err != nil {
				return nil, err
			}
			ans, err := graph.Contacts(ctx, src, graph.ContactQuestion{Things: q.Things, Within: time.Duration(in.Minutes) * time.Minute, From: q.From, To: q.To,
				Rounds: in.Rounds, Alone: in.Alone, Depth: q.Depth, Limit: q.Limit, Timeout: q.Timeout, Recall: q.Recall}, nil)
			if err != nil {
				return nil, err
			}
			return &api.Body[graph.ContactAnswer]{Body: *ans}, nil
		})
	api.Do(to, add("/api/trace/path", "trace-path", "Find the shortest way from one thing to another (最短路径)", "Its things and links in order; an answer without things when there is none."),
		func(ctx context.Context, in *struct {
			A     string `query:"a" required:"true" maxLength:"2048" doc:"From this thing"`
			B     string `query:"b" required:"true" maxLength:"2048" doc:"To that one"`
			Local bool   `query:"local" doc:"This node's events only (仅本节点)"`
		}) (*api.Body[graph.Answer], error) {
			if err := a.may(ctx); err != nil {
				return nil, err
			}
			src, err := a.about(ctx, in.A, in.Local)
			if err != nil {
				return nil, err
			}
			ans, err := graph.Path(ctx, src, epcis.Key(in.A), epcis.Key(in.B), graph.Question{Timeout: most})
			if err != nil {
				return nil, err
			}
			return &api.Body[graph.Answer]{Body: *ans}, nil
		})
	api.Do(to, add("/api/trace/recall-set", "trace-recall-set", "Find everything that a recall has to reach (召回范围)", "What came of the things asked about, what was in them, what held any of it, and the boundary at which it ends."),
		func(ctx context.Context, in *Input) (*api.Body[graph.Set], error) {
			if err := a.may(ctx); err != nil {
				return nil, err
			}
			q := in.question()
			q.Things = keys(q.Things)
			src, err := a.cfg.Source(ctx, q, in.Local)
			if err != nil {
				return nil, err
			}
			set, err := graph.RecallSet(ctx, src, graph.RecallQuestion{Things: q.Things, From: q.From, To: q.To, Depth: q.Depth, Limit: q.Limit, Timeout: q.Timeout, Recall: q.Recall}, nil)
			if err != nil {
				return nil, err
			}
			return &api.Body[graph.Set]{Body: *set}, nil
		})
	if a.cfg.Check != nil {
		check := add("/api/trace/evidence", "check-evidence", "Check the evidence of a trace (证据核验)",
			"Each enterprise's signature from the root's key down, and each event's hash, as they held when it was signed. Nobody is asked; the same can be done offline.")
		check.Method, check.MaxBodyBytes, check.SkipValidateBody = http.MethodPost, mostEvidence, true
		api.Do(to, check, func(ctx context.Context, in *struct {
			RawBody []byte `contentType:"application/json" doc:"What GET /api/trace gave as evidence"`
		}) (*api.Body[Verdicts], error) {
			if err := a.may(ctx); err != nil {
				return nil, err
			}
			list, err := a.cfg.Check(ctx, in.RawBody)
			if err != nil {
				return nil, err
			}
			out := Verdicts{Verdicts: append([]Verdict{}, list...), Holds: true}
			for _, v := range list {
				out.Holds = out.Holds && v.Holds
			}
			return &api.Body[Verdicts]{Body: out}, nil
		})
	}
	to.Mux.HandleFunc("GET /api/trace/stream", func(w http.ResponseWriter, r *http.Request) { a.stream(to, w, r) })
	to.Mux.HandleFunc("GET /api/trace/picture", func(w http.ResponseWriter, r *http.Request) { a.draw(to, w, r) })
}

// about is the source of single questions about one thing.
func (a *Ask) about(ctx context.Context, thing string, local bool) (graph.Source, error) {
	return a.cfg.Source(ctx, graph.Question{Things: []string{epcis.Key(thing)}, Up: true, Down: true, Timeout: most}, local)
}

func keys(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = epcis.Key(n)
	}
	return out
}

func (a *Ask) trace(ctx context.Context, in *Input, found func(graph.Step)) (*Traced, error) {
	if err := a.may(ctx); err != nil {
		return nil, err
	}
	q := in.question()
	q.Things = keys(q.Things)
	ans, evidence, chain, err := a.cfg.Trace(ctx, q, in.Local, found)
	if err != nil {
		return nil, err
	}
	return &Traced{ans, chain, evidence}, nil
}

// parse reads a question from an address, for what is no JSON.
func parse(r *http.Request) (*Input, error) {
	v := r.URL.Query()
	in := &Input{ID: v["id"], Recall: v.Get("recall")}
	if len(in.ID) == 0 || len(in.ID) > 1000 {
		return nil, problem.New(problem.BadRequest, "name what is asked about: id=88.118.1001/ENG-42", "请给出要追溯的标识：id=88.118.1001/ENG-42")
	}
	for name, to := range map[string]*bool{"up": &in.Up, "down": &in.Down, "local": &in.Local} {
		switch v.Get(name) {
		case "", "false":
		case "true":
			*to = true
		default:
			return nil, problem.New(problem.BadRequest, "%s is true or false", "%s 只能是 true 或 false", name)
		}
	}
	for name, to := range map[string]*time.Time{"from": &in.From, "to": &in.To} {
		if s := v.Get(name); s != "" {
			var err error
			if *to, err = time.Parse(time.RFC3339, s); err != nil {
				return nil, problem.Wrap(err, problem.BadRequest, "%s is no time: write it as 2026-11-01T08:00:00+08:00", "%s 不是时间：请写成 2026-11-01T08:00:00+08:00", name)
			}
		}
	}
	for name, to := range map[string]*int{"depth": &in.Depth, "limit": &in.Limit, "seconds": &in.Seconds} {
		if s := v.Get(name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 || n > 200_000 {
				return nil, problem.New(problem.BadRequest, "%s is no number that fits", "%s 不是有效的数字", name)
			}
			*to = n
		}
	}
	in.Seconds = min(in.Seconds, 600)
	return in, nil
}

// stream answers line by line as things are found (JSON Lines): {"step": …} again and again, {"answer": …} or {"problem": …} at last.
func (a *Ask) stream(to *api.API, w http.ResponseWriter, r *http.Request) {
	in, err := parse(r)
	if err == nil {
		err = a.may(r.Context())
	}
	if err != nil {
		to.Refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	out, err := a.trace(r.Context(), in, func(s graph.Step) {
		enc.Encode(struct {
			Step graph.Step `json:"step"`
		}{s})
		rc.Flush()
	})
	if err != nil {
		enc.Encode(map[string]string{"problem": problem.Say(err, api.From(r.Context()).Lang)})
		return
	}
	out.Evidence = nil
	enc.Encode(out)
}

// draw answers with a picture: as=svg (the graph), timeline, map, geojson, pdf.
func (a *Ask) draw(to *api.API, w http.ResponseWriter, r *http.Request) {
	as := r.URL.Query().Get("as")
	if as == "" {
		as = "svg"
	}
	in, err := parse(r)
	if err == nil && !slices.Contains([]string{"svg", "timeline", "map", "geojson", "pdf"}, as) {
		err = problem.New(problem.BadRequest, "as is svg, timeline, map, geojson or pdf, not %.20q", "as 可为 svg、timeline、map、geojson、pdf，而不是 %.20q", as)
	}
	var out *Traced
	if err == nil {
		out, err = a.trace(r.Context(), in, nil)
	}
	var b bytes.Buffer
	kind := "image/svg+xml"
	if err == nil {
		o := picture.Options{Lang: api.From(r.Context()).Lang}
		switch as {
		case "svg":
			err = picture.SVG(&b, out.Answer, o)
		case "timeline":
			err = picture.Timeline(&b, out.Answer, o)
		case "map":
			err = picture.Map(&b, out.Answer, o)
		case "geojson":
			kind = "application/geo+json"
			err = picture.GeoJSON(&b, out.Answer, o)
		case "pdf":
			kind = "application/pdf"
			err = picture.PDF(&b, out.Answer, out.Chain, a.cfg.Now(), o)
		}
	}
	if err != nil {
		to.Refuse(w, r, err)
		return
	}
	// The words in a picture are other enterprises': nothing in it may run.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", kind)
	w.Write(b.Bytes())
}
