package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Ledger is the logs of a node, as its interface offers them.
type Ledger struct {
	Changes *Log // of Changes; nil: none
	Access  *Log // of the audit trail; nil: none
	// Records says who sees a record: the node's own answers, rules and permissions applied.
	Records record.Resolver
	Witness *Cosigner // nil: this node is no witness
}

// State is one log as it stands.
type State struct {
	Name      string        `json:"name" enum:"changes,access" doc:"changes: every change of a record; access: every look at what is not public"`
	Origin    string        `json:"origin" doc:"The log's name in the whole world"`
	URL       string        `json:"url" doc:"Where its files are, on this node (C2SP tlog-tiles)"`
	Key       string        `json:"key" doc:"Its public key, as a vkey of the signed-note format"`
	Entries   int64         `json:"entries" doc:"How many entries it has"`
	Published int64         `json:"published" doc:"How many of them the published checkpoint covers"`
	Root      string        `json:"root" doc:"The published root hash, in base64"`
	Witnesses []Cosignature `json:"witnesses" doc:"Who has co-signed the published checkpoint (联署), and when"`
}

// States is what a node says of its ledger.
type States struct {
	Logs    []State `json:"logs"`
	Witness string  `json:"witness,omitempty" doc:"The key with which this node co-signs other nodes' logs, at /ledger/witness/add-checkpoint"`
}

// State is the log's state under a name.
func (l *Log) State(name string) State {
	l.shown.RLock()
	defer l.shown.RUnlock()
	s := State{Name: name, Origin: l.cfg.Origin, URL: "/ledger/" + name + "/", Key: l.Verifier().String(), Entries: l.Size(),
		Published: l.published.Size, Root: l.published.Root.String(), Witnesses: l.cosigned}
	if s.Witnesses == nil {
		s.Witnesses = []Cosignature{}
	}
	return s
}

// privileged are who may see all that an entry hides, at its owner's prefix.
var privileged = []api.RoleName{api.Operator, api.EnterpriseAdmin, api.Auditor}

// publishing is how long a proof waits for its entry to be published.
const publishing = 3 * time.Second

// Register adds the operations.
func (g *Ledger) Register(a *api.API) {
	tag := []string{"ledger"}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/ledger", Tags: tag, Summary: "The node's logs (账本)",
		Description: "Their files are public: fujie audit reads them and shows whether an entry was ever altered or taken out."},
		func(ctx context.Context, _ *struct{}) (*api.Body[States], error) {
			out := States{Logs: []State{}}
			if g.Changes != nil {
				out.Logs = append(out.Logs, g.Changes.State("changes"))
			}
			if g.Access != nil {
				out.Logs = append(out.Logs, g.Access.State("access"))
			}
			if g.Witness != nil {
				out.Witness = g.Witness.Verifier().String()
			}
			return &api.Body[States]{Body: out}, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/ledger/proof", Tags: tag, Summary: "Prove an entry (存证证明)",
		Description: "An inclusion proof that is checked offline with the log's key alone. Of changes, whoever sees the record may have the proof; who made the change is shown to the owner's administrators and auditors, and the digest of the values to everybody when all values are public. Of accesses, only the owner's administrators and auditors may."},
		func(ctx context.Context, in *struct {
			Log   string `query:"log" enum:"changes,access" default:"changes"`
			Entry uint64 `query:"entry" doc:"The entry's number"`
			ID    string `query:"id" maxLength:"2048" doc:"Or an identifier: the last change of its record"`
		}) (*api.Body[*Proof], error) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			p, err := g.prove(ctx, in.Log, in.Entry, in.ID)
			return &api.Body[*Proof]{Body: p}, err
		})
}

func (g *Ledger) prove(ctx context.Context, name string, seq uint64, text string) (*Proof, error) {
	log := g.Changes
	if name == "access" {
		log = g.Access
	}
	switch {
	case log == nil:
		return nil, problem.New(problem.NotFound, "this node keeps no such log", "本节点没有此账本")
	case (seq == 0) == (text == ""):
		return nil, problem.New(problem.BadRequest, "give the number of an entry, or an identifier, and not both", "请给出条目编号或标识，二者择一")
	case text != "" && name == "access":
		return nil, problem.New(problem.BadRequest, "an access is proved by its number: GET /api/audit lists them", "访问记录按编号证明：请用 GET /api/audit 查询编号")
	}
	last := false
	if text != "" {
		v, err := id.Parse(text)
		if err != nil {
			return nil, err
		}
		if seq, err = log.Last([]byte(v.String())); err != nil {
			return nil, err
		}
		if last = true; seq == 0 {
			return nil, absent()
		}
	}
	if seq <= uint64(log.Size()) {
		wait, cancel := context.WithTimeout(ctx, publishing)
		err := log.Wait(wait, seq)
		cancel()
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	e, err := log.Entry(ctx, seq)
	if err != nil {
		if problem.Is(err, problem.NotFound) {
			err = absent()
		}
		return nil, err
	}
	c := api.From(ctx)
	if c.Has(e.Owner, privileged...) {
		return log.ProveEntry(e, Everything)
	}
	if name == "access" {
		return nil, absent()
	}
	show, err := g.mayShow(ctx, c, e, last)
	if err != nil {
		return nil, err
	}
	return log.ProveEntry(e, show)
}

// absent is the same for what there is not and for what the caller may not know of.
func absent() error {
	return problem.New(problem.NotFound, "the ledger has no such entry that you may see", "账本中没有您可查看的此条目")
}

// mayShow decides what a caller without a role sees of a change.
func (g *Ledger) mayShow(ctx context.Context, c api.Caller, e *Entry, last bool) (func(string) bool, error) {
	v, err := id.ParseHandle(string(EntryID(e)))
	if err != nil {
		return nil, absent()
	}
	if g.Records == nil {
		return nil, absent()
	}
	if e.Public == nil {
		_, err := g.Records.Resolve(ctx, record.Query{ID: v, By: c.Identity, Purpose: c.Purpose, PublicOnly: true})
		switch {
		case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues), problem.Is(err, problem.NotHere), problem.Is(err, problem.NeedAuth):
			return nil, absent()
		case err != nil:
			return nil, err
		}
	}
	// The digest is over all values: who knows all but one could find that one by trial. So it is shown when everybody sees all of them.
	open := false
	if last {
		a, err := g.Records.Resolve(ctx, record.Query{ID: v, PublicOnly: true})
		if err != nil && !problem.Is(err, problem.NotFound) && !problem.Is(err, problem.NoValues) {
			return nil, err
		}
		sum := sha256.Sum256(record.AppendBlock(nil, a.Values))
		for i := range e.Sealed {
			open = open || err == nil && e.Sealed[i].Name == "values" && bytes.Equal(e.Sealed[i].Value, sum[:])
		}
	}
	return func(part string) bool { return part == "" || part == "values" && open }, nil
}

// ChangeOf is what a proof of a change shows.
type ChangeOf struct {
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Op     string    `json:"op"`
	ID     string    `json:"id"`
	By     string    `json:"by,omitempty"`
	Values []byte    `json:"-"` // the digest, when it was shown
}

// Change reads what a verified proof of a change shows; ok is false when it shows nothing.
func (p *Proof) Change(v *Verified) (c ChangeOf, ok bool) {
	if v.Members == nil {
		return c, false
	}
	line := []byte(p.Line)
	if p.Line == "" {
		line = p.Leaf
	}
	if json.Unmarshal(line, &c) != nil || c.ID == "" {
		return c, false
	}
	for _, o := range p.Opened {
		switch o.Name {
		case "by":
			c.By = string(o.Value)
		case "values":
			c.Values = o.Value
		}
	}
	return c, true
}

// ErrOtherValues says that a record is not as its last change left it.
var ErrOtherValues = errors.New("the values are not those of the change")

// Holds checks that values, all of the record rec, are what the change left: nil when they are, or when the proof does
// not show the digest and cannot tell.
func (c *ChangeOf) Holds(rec id.ID, values []record.Value) error {
	sum := sha256.Sum256(record.AppendBlock(nil, values))
	if !handle.Equal(c.ID, rec.String()) || c.Values != nil && !bytes.Equal(c.Values, sum[:]) {
		return problem.Wrap(ErrOtherValues, problem.Bogus, "the record of %s is not what the ledger says it was last changed to", "%s 的记录与账本中最近一次变更不符", rec.String())
	}
	return nil
}
