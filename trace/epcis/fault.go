package epcis

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// Fault is one broken rule: where, which, and what cures it.
type Fault struct {
	Event        int    // the event's place in its document, from 0; -1: the document itself
	Path         string // JSON pointer or XPath of the field, from the root of the document; from the event when it stands alone
	Line, Column int    // of the text, from 1; 0 when there is none
	Rule         string // a short name that programs may compare: "bizStep", "required", "uri"
	EN, ZH       string // one sentence
}

// Faults are all that is wrong with a document. As an error they are of kind problem.BadRequest.
type Faults []Fault

// Error names the first faults and counts the others.
func (f Faults) Error() string { return f.say(problem.English) }

func (f Faults) say(lang problem.Lang) string {
	var b strings.Builder
	for i, x := range f {
		if i == 3 {
			if lang == problem.Chinese {
				fmt.Fprintf(&b, "；另有 %d 处", len(f)-i)
			} else {
				fmt.Fprintf(&b, "; and %d more", len(f)-i)
			}
			break
		}
		if lang == problem.Chinese {
			if i > 0 {
				b.WriteString("；")
			}
			fmt.Fprintf(&b, "%s：%s", x.place(), x.ZH)
			continue
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", x.place(), x.EN)
	}
	return b.String()
}

func (f Fault) place() string {
	p := f.Path
	if p == "" {
		p = "/"
	}
	if f.Line > 0 {
		return fmt.Sprintf("%s (%d:%d)", p, f.Line, f.Column)
	}
	return p
}

// As lets errors.As find a *problem.Error.
func (f Faults) As(target any) bool {
	t, ok := target.(**problem.Error)
	if ok && len(f) > 0 {
		*t = &problem.Error{Kind: problem.BadRequest, EN: f.say(problem.English), ZH: f.say(problem.Chinese)}
	}
	return ok && len(f) > 0
}

// Err is f as an error; nil when nothing is wrong.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Events are the places of the events that have faults, in order, without repetition; the document's own faults have none.
func (f Faults) Events() []int {
	var out []int
	for _, x := range f {
		if x.Event >= 0 {
			out = append(out, x.Event)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Limits bound what is read. A zero field means its default.
type Limits struct {
	Bytes          int64 // of the whole text; 64 MiB
	Events         int   // of one document; 100,000
	Depth          int   // of nested objects and lists; 64
	FieldsPerEvent int   // names of all depths and items of lists in one event; 200,000
	Faults         int   // faults that are told of one document; 1,000
}

// Defaulted is lim with its zero fields set to their defaults.
func (lim Limits) Defaulted() Limits {
	if lim.Bytes <= 0 {
		lim.Bytes = 64 << 20
	}
	if lim.Events <= 0 {
		lim.Events = 100_000
	}
	if lim.Depth <= 0 {
		lim.Depth = 64
	}
	if lim.FieldsPerEvent <= 0 {
		lim.FieldsPerEvent = 200_000
	}
	if lim.Faults <= 0 {
		lim.Faults = 1000
	}
	return lim
}
