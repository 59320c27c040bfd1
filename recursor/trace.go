package recursor

import (
	"strconv"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// step is a record.Step with the hour of the clock, since several clients may share it.
type step struct {
	at            time.Time
	took          time.Duration
	asked         string
	name, outcome string
	trust         record.Trust
	again         bool // use of the cache that is to be told though the name was seen before
}

// steps is what happened so far. The later part of an endless story is left out.
type steps []step

const maxSteps = 256

func (s *steps) add(st step) {
	if s != nil && len(*s) < maxSteps {
		*s = append(*s, st)
	}
}

func (s *steps) join(o steps) {
	if s != nil {
		*s = append(*s, o[:min(len(o), max(0, maxSteps-len(*s)))]...)
	}
}

// path is the steps as the client sees them: what had happened when it came, for another's sake, is at 0. That
// something is looked up in the cache again and again tells nothing, and is left out.
func (s *search) path() []record.Step {
	out := make([]record.Step, 0, len(s.steps))
	seen := make(map[string]bool)
	for _, st := range s.steps {
		if st.asked == "cache" && seen[st.name] && !st.again {
			continue
		}
		seen[st.name] = true
		out = append(out, record.Step{At: max(0, st.at.Sub(s.began)), Took: st.took, Asked: st.asked, Name: st.name, Outcome: st.outcome, Trust: st.trust})
	}
	return out
}

// step is the use of an entry of the cache.
func (e *entry) step(at time.Time, took time.Duration) step {
	st := step{at: at, took: took, asked: "cache", name: e.name.String(), trust: e.trust}
	st.outcome = outcomeOf(len(e.plain), nil)
	if e.absent {
		st.outcome = problem.NotFound.String()
	}
	st.outcome += ", " + strconv.FormatInt(max(0, e.expires-at.Unix()), 10) + " s left"
	return st
}

func outcomeOf(values int, err error) string {
	switch {
	case err == nil && values == 1:
		return "found 1 value"
	case err == nil:
		return "found " + strconv.Itoa(values) + " values"
	case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues):
		return problem.KindOf(err).String()
	}
	return problem.KindOf(err).String() + ": " + problem.Say(err, problem.English)
}
