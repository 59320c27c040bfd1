package across

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/share"
)

// HeaderStatement carries the signature of an answer.
const HeaderStatement = "Fujie-Statement"

// Paths below the host of an event service.
const (
	WalkPath   = "/trace/walk"
	EventsPath = "/trace/events/"
)

// Request is a question to one enterprise.
type Request struct {
	Owner  string       `json:"owner"`            // whose events are meant: one host may keep those of several prefixes
	Nonce  string       `json:"nonce"`            // so that each answer belongs to one question
	Seeds  []graph.Seed `json:"seeds"`            // what to begin with, and where to go from it
	Depth  int          `json:"depth,omitempty"`  // links from what was asked for first; 0: 100
	Limit  int          `json:"limit,omitempty"`  // things in the answer
	FanOut int          `json:"fanOut,omitempty"` // things that one thing may lead to
	From   time.Time    `json:"from,omitzero"`
	To     time.Time    `json:"to,omitzero"`
	// Recall is the identifier of the recall that the question belongs to, which some owners answer more to.
	Recall string `json:"recall,omitempty"`
	// Via are introductions: other enterprises' word that the goods led the asker through them to here.
	Via []string `json:"via,omitempty"`
}

// Body is what an enterprise answers.
type Body struct {
	Owner string `json:"owner"`
	Nonce string `json:"nonce"`
	// Events are as the asker sees them, EPCIS 2.0 JSON; Marks say of each, in the same order, its hash and how much of it is shown.
	Events json.RawMessage `json:"events,omitempty"`
	Marks  []Mark          `json:"marks,omitempty"`
	// Proofs are of events that exist and are not shown.
	Proofs []Proof `json:"proofs,omitempty"`
	// Walked are the things that were followed as far as own events go: they need not be asked about again.
	Walked []string `json:"walked,omitempty"`
	// Partial: a limit was reached before the end.
	Partial bool `json:"partial,omitempty"`
	// Introductions by this owner, by the prefix for which each is.
	Introductions map[string]string `json:"introductions,omitempty"`
}

// Mark is about one event of an answer.
type Mark struct {
	Hash  string      `json:"hash"`
	Level share.Level `json:"level"`
}

// Proof says that there is an event: what its owner shows later must have this hash.
type Proof struct {
	Hash  string    `json:"hash"`
	Time  time.Time `json:"time"`
	Thing string    `json:"thing"` // that it names, among those asked about
}

// statement is what an owner signs of an answer.
type statement struct {
	Typ string `json:"typ"`
	Iss string `json:"iss"` // the key's place
	Own string `json:"own"` // whose events
	Sub string `json:"sub"` // who asked
	Iat int64  `json:"iat"`
	Req string `json:"req"` // SHA-256 of the question, hex
	Ans string `json:"ans"` // SHA-256 of the answer, hex
}

const answerType = "fujie/trace-answer"

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func (r *Request) check(l *Limits) error {
	if r.Owner == "" || len(r.Nonce) < 8 || len(r.Nonce) > 128 {
		return problem.New(problem.BadRequest, "the question needs owner, and a nonce of 8 to 128 characters", "查询须有 owner 和 8 至 128 个字符的 nonce")
	}
	if len(r.Seeds) == 0 || len(r.Seeds) > l.Seeds {
		return problem.New(problem.BadRequest, "the question names %d things; 1 to %d are taken", "查询含 %d 个物品；可为 1 至 %d 个", len(r.Seeds), l.Seeds)
	}
	for i := range r.Seeds {
		if s := r.Seeds[i].Key; s == "" || len(s) > 2048 {
			return problem.New(problem.BadRequest, "thing %d of the question is empty or over 2048 bytes", "查询的第 %d 个物品为空或超过 2048 字节", i+1)
		}
	}
	if r.Depth < 0 || r.Limit < 0 || r.FanOut < 0 || len(r.Via) > 32 || len(r.Recall) > 1024 {
		return problem.New(problem.BadRequest, "the question has a number that makes no sense: depth, limit and fanOut at least 0, at most 32 introductions", "查询中的数值不成立：depth、limit、fanOut 不小于 0，引荐不超过 32 个")
	}
	return nil
}
