// Package flow makes a scan into work: it says who may do the next step, looks up what the step must know, checks it, tells
// the person what is wrong and why, and does what follows, each thing once, whatever fails between.
//
// A flow is a declaration (Definition), compiled against the solution that it belongs to (Program) and run by an Engine.
// A run is one passage through it, about one thing: an order, a box, a claim. Each step is written down in one batch with all that it saw and
// all that it is to effect; the effects are done from there, in order, and again after a crash until they are done.
package flow

import (
	"fmt"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// Text is words for people in both languages. In a declaration it may hold {{ expressions }}.
type Text struct {
	EN string `yaml:"en" json:"en,omitempty"`
	ZH string `yaml:"zh" json:"zh,omitempty"`
}

// In is the text in a language; the other one when it has none.
func (t Text) In(lang problem.Lang) string {
	if lang == problem.Chinese && t.ZH != "" || t.EN == "" {
		return t.ZH
	}
	return t.EN
}

// Fault is one thing that is wrong in a declaration.
type Fault struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"` // from 1; 0: of the whole file
	EN, ZH string
}

// Faults are all that is wrong in a declaration; an error of kind problem.BadValue.
type Faults []Fault

func (f Faults) Error() string { return f.Say(problem.English) }

// Say names every fault, a line each.
func (f Faults) Say(lang problem.Lang) string {
	var b strings.Builder
	for i, x := range f {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d: ", x.File, x.Line)
		if lang == problem.Chinese {
			b.WriteString(x.ZH)
		} else {
			b.WriteString(x.EN)
		}
	}
	return b.String()
}

// Unwrap gives the kind.
func (f Faults) Unwrap() error {
	return problem.New(problem.BadValue, "%[1]s", "%[2]s", f.Say(problem.English), f.Say(problem.Chinese))
}

// Verdict is what a scan comes to.
type Verdict string

// The verdicts.
const (
	Passed   Verdict = "passed"   // 通过
	Warned   Verdict = "warned"   // 提示: it went on, or stays where it is, and something is said
	Asking   Verdict = "asking"   // 待填: the form is to be filled; nothing was done
	Refused  Verdict = "refused"  // 拒绝
	Diverted Verdict = "diverted" // 分流: it goes another way
	Stopped  Verdict = "stopped"  // 停止: the run is held until somebody lets it go on
)

// State is where a run stands.
type State string

// The states.
const (
	Open      State = "open"
	Held      State = "held"
	Ended     State = "ended"
	Cancelled State = "cancelled"
)

// End, as the name of a step, is where a run is over.
const End = "end"
