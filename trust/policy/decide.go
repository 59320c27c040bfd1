package policy

import (
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/record"
)

// beijing is the clock that conditions speak of when nothing else is said.
var beijing = time.FixedZone("UTC+8", 8*3600)

// asker is who asks, with names folded.
type asker struct {
	name   string // 88.118.1002/APP_ERP; of a prefix's own key 0.NA/88.118.1002
	prefix string // 88.118.1002
	index  uint32
}

func askerOf(r record.Ref) asker {
	a := asker{name: handle.Fold(r.Name), index: r.Index}
	head, rest, ok := strings.Cut(a.name, "/")
	if a.prefix = head; ok && head == "0.NA" {
		a.prefix = rest
	}
	return a
}

// under reports whether prefix is above or below it; both folded.
func under(prefix, above string) bool {
	return prefix == above || len(prefix) > len(above) && prefix[:len(above)] == above && prefix[len(above)] == '.'
}

// membership says whether the asker is in a group; sure is false when that cannot be found out.
type membership func(group string) (in, sure bool)

// question is all that a decision depends on, but for the value.
type question struct {
	action   Action
	who      asker
	purpose  string
	now      time.Time
	rec      string // folded
	prefix   string
	template string // folded; empty: none
	zone     *time.Location
	in       membership
	used     func(grant string) int64 // answers that the asker had by it
}

// matches reports whether who, one of a grant's list, means the asker.
func (q *question) matches(who string) (yes, sure bool) {
	if who == "*" {
		return true, true
	}
	who = handle.Fold(who)
	_, suffix, named := strings.Cut(who, "/")
	switch {
	case !named:
		return under(q.who.prefix, who), true
	case who == q.who.name:
		return true, true
	case q.in != nil && strings.HasPrefix(suffix, "GROUP_"):
		return q.in(who)
	}
	return false, true
}

func (q *question) among(list []string) (yes, sure bool) {
	sure = true
	for _, who := range list {
		y, s := q.matches(who)
		if y {
			return true, true
		}
		sure = sure && s
	}
	return false, sure
}

func (q *question) paid(g *Grant) bool {
	for i := range g.Receipts {
		if r := &g.Receipts[i]; r.Until == nil || q.now.Before(*r.Until) {
			if yes, _ := q.matches(r.Who); yes {
				return true
			}
		}
	}
	return false
}

// holds asks a Cedar condition.
func (q *question) holds(set *cedar.PolicySet, v *record.Value, used int64, paid bool) (bool, error) {
	str := func(s string) cedar.String { return cedar.String(s) }
	local := q.now.In(q.zone)
	weekday := int(local.Weekday())
	if weekday == 0 {
		weekday = 7
	}
	who, what := cedar.NewEntityUID("Identity", str(q.who.name)), cedar.NewEntityUID("Value", str(q.rec))
	prefix, template := cedar.NewEntityUID("Prefix", str(q.who.prefix)), cedar.NewEntityUID("Template", str(q.template))
	entities := cedar.EntityMap{
		who: {UID: who, Parents: cedar.NewEntityUIDSet(prefix), Attributes: cedar.NewRecord(cedar.RecordMap{
			"id": str(q.who.name), "prefix": str(q.who.prefix), "index": cedar.Long(q.who.index)})},
		what: {UID: what, Parents: cedar.NewEntityUIDSet(template), Attributes: cedar.NewRecord(cedar.RecordMap{
			"id": str(q.rec), "prefix": str(q.prefix), "template": str(q.template), "item": str(handle.Fold(v.Type)), "index": cedar.Long(v.Index)})},
	}
	paidValue := cedar.Boolean(paid)
	d, diag := cedar.Authorize(set, entities, cedar.Request{
		Principal: who, Action: cedar.NewEntityUID("Action", str(string(q.action))), Resource: what,
		Context: cedar.NewRecord(cedar.RecordMap{
			"purpose": str(q.purpose), "now": cedar.NewDatetime(q.now), "date": str(local.Format("2006-01-02")), "hour": cedar.Long(local.Hour()),
			"weekday": cedar.Long(weekday), "used": cedar.Long(used), "paid": paidValue,
		}),
	})
	for _, e := range diag.Errors {
		return false, badRule("%s", "%s", e.Message)
	}
	return d == cedar.Allow, nil
}

// applies reports whether the grant is about the asker and the moment. What cannot be found out makes a grant not apply
// and a refusal apply.
func (q *question) applies(c *condition, v *record.Value) bool {
	for _, a := range c.Actions {
		if a == q.action {
			return q.appliesTo(c, v)
		}
	}
	return false
}

func (q *question) appliesTo(c *condition, v *record.Value) bool {
	if c.From != nil && q.now.Before(*c.From) || c.Until != nil && !q.now.Before(*c.Until) {
		return false
	}
	if len(c.Purposes) > 0 {
		said := false
		for _, p := range c.Purposes {
			said = said || p == q.purpose
		}
		if !said {
			return false
		}
	}
	yes, sure := q.among(c.To)
	if !yes && (sure || !c.Refuse) {
		return false
	}
	used := int64(0)
	if q.used != nil && (c.Count > 0 || c.when != nil) {
		used = q.used(c.ID)
	}
	if c.Count > 0 && used >= c.Count {
		return false
	}
	paid := c.Paid && q.paid(c.Grant)
	if c.Paid && !paid {
		return false
	}
	if c.when == nil {
		return true
	}
	ok, err := q.holds(c.when, v, used, paid)
	if err != nil {
		return c.Refuse
	}
	return ok
}

// The levels, the narrowest first.
const (
	identifierItem = iota
	identifier
	propertyRule
	propertyDefault
	templateRule
	templateDefault
	prefixItem
	prefixRule
	levels
)

// book is every rule about one record.
type book struct {
	at    [levels][]*compiled
	class Class // the template's own word
	known bool
	// Broken says that a rule in the record cannot be read: then nothing but what its administrators see is to be seen.
	broken bool
}

func (b *book) empty() bool {
	for i := range b.at {
		if len(b.at[i]) > 0 {
			return false
		}
	}
	return !b.broken && (!b.known || b.class.open())
}

// sealed reports whether the value is under no rule: what the protocol itself needs.
func sealed(v *record.Value) bool {
	return hasPrefixFold(v.Type, "HS_") || hasPrefixFold(v.Type, "FUJIE.")
}

// visibility is the word of the narrowest level that has one, and that level; levels when none has.
func (b *book) visibility(v *record.Value) (Visibility, int) {
	for l := range levels {
		var word Visibility
		for _, c := range b.at[l] {
			if c.Visibility.strictness() > word.strictness() && c.names(v) {
				word = c.Visibility
			}
		}
		if b.known && v.Index != record.IndexTemplateID && v.Index != record.IndexTemplate {
			switch l {
			case propertyDefault:
				word = b.class.Items[handle.Fold(v.Type)]
			case templateDefault:
				word = b.class.Default
			}
		}
		if word != "" {
			return word, l
		}
	}
	return "", levels
}

// hides reports whether a rule says that strangers are not to know that the record is there: the narrowest rule about
// all of the record decides.
func (b *book) hides() bool {
	if b.broken {
		return true
	}
	for _, l := range []int{identifier, templateRule, prefixRule} {
		word, hidden := Visibility(""), false
		for _, c := range b.at[l] {
			if c.Visibility != "" {
				word = c.Visibility
			}
			hidden = hidden || c.Hidden
		}
		if hidden || word != "" {
			return hidden
		}
	}
	return false
}

// verdict is a decision and what it rests on.
type verdict struct {
	allowed bool
	by      *condition // the grant; nil when it needed none
	source  string     // of the rule that decided
}

// decide says whether the asker may do it to the value. Public reading is decided before.
func (b *book) decide(q *question, v *record.Value) verdict {
	if b.broken || hasPrefixFold(v.Type, TypeGrant) || hasPrefixFold(v.Type, "FUJIE.") || hasPrefixFold(v.Type, record.TypeSecKey) {
		return verdict{}
	}
	word, floor := b.visibility(v)
	if word == Private {
		return verdict{}
	}
	if sealed(v) && !b.hides() {
		return verdict{}
	}
	for l := 0; l < levels && l <= floor; l++ {
		found := verdict{}
		for _, c := range b.at[l] {
			if !c.names(v) {
				continue
			}
			for i := range c.grants {
				g := &c.grants[i]
				if found.allowed && !g.Refuse || !q.applies(g, v) {
					continue
				}
				if g.Refuse {
					return verdict{source: c.source, by: g}
				}
				found = verdict{true, g, c.source}
			}
		}
		if found.allowed {
			return found
		}
	}
	if q.action == Read && word == Public {
		return verdict{allowed: true}
	}
	return verdict{}
}
