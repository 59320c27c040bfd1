package history

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/query"
)

// What a history needs to know of a query stands in this file.

// orderOf is the order that q asks for.
func orderOf(q *query.Query) (order, bool) {
	switch q.OrderBy {
	case "":
		return byNumber, false
	case "recordTime":
		return byNumber, !q.Ascending
	case "eventTime":
		return byTime, !q.Ascending
	}
	return byLess, !q.Ascending
}

func eventCountLimit(q *query.Query) int { return q.EventCountLimit }

func maxEventCount(q *query.Query) int { return q.MaxEventCount }

// fingerprint is the same for the same query, on whichever page.
func fingerprint(q *query.Query) []byte {
	c := *q
	c.PerPage, c.NextPageToken = 0, ""
	b, err := json.Marshal(&c)
	if err != nil {
		return []byte(err.Error()) // a query that was parsed can be written
	}
	return b
}

// maxWords is how many words, things or prefixes of one parameter the indexes are asked for; a parameter with more is left to Match.
const maxWords = 20000

// limitsOf is the bounds of q as the indexes know them.
func limitsOf(q *query.Query) limits {
	b := q.Bounds()
	l := limits{toTime: maxMillis, toRecorded: maxMillis}
	if t := b.EventTime.From; !t.IsZero() {
		l.fromTime, l.timed = millis(t), true
	}
	if t := b.EventTime.To; !t.IsZero() {
		l.toTime, l.timed = millis(t), true
	}
	if t := b.RecordTime.From; !t.IsZero() {
		l.fromRecorded = millis(t)
	}
	if t := b.RecordTime.To; !t.IsZero() {
		l.toRecorded = millis(t)
	}
	l.none = l.fromTime > l.toTime || l.fromRecorded > l.toRecorded
	if len(b.EventIDs) > 0 && len(b.EventIDs) <= maxWords {
		l.ids = b.EventIDs
	}
	for i := range b.Names {
		set := &b.Names[i]
		if len(set.Keys) == 0 || len(set.Keys) > maxWords {
			continue
		}
		n := nameLimit{roles: rolesOf(set.Roles)}
		usable := true
		for _, key := range set.Keys {
			if !set.Prefix {
				n.keys = append(n.keys, key)
				continue
			}
			// A beginning that is shorter than GS1's host, or longer than what keys keep, is no span of the index.
			if usable = usable && key != "" && !strings.HasPrefix(gs1Host, key) && len(key) <= longest-20; usable {
				n.prefixes = append(n.prefixes, key)
			}
		}
		if usable && n.roles != 0 {
			l.names = append(l.names, n)
		}
	}
	if list := distinct(b.Transformations); len(list) > 0 && len(list) <= maxWords {
		l.names = append(l.names, nameLimit{roles: roleTransformation, keys: list})
	}
	word := func(kind byte, words []string) {
		if words = distinct(words); len(words) > 0 && len(words) <= maxWords {
			l.words = append(l.words, wordLimit{kind, words})
		}
	}
	types := make([]string, len(b.Types))
	for i, t := range b.Types {
		types[i] = string(t)
	}
	word(pageType, types)
	word(pageStep, b.Steps)
	word(pageDisposition, b.Dispositions)
	word(pageTransaction, b.Transactions)
	word(pageReadPoint, b.ReadPoints)
	word(pageBizLocation, b.BizLocations)
	// Places are in the index of things too, in the order of event time.
	for _, place := range []struct {
		role  roles
		words []string
	}{{roleReadPoint, distinct(b.ReadPoints)}, {roleBizLocation, distinct(b.BizLocations)}} {
		if len(place.words) > 0 && len(place.words) <= 100 {
			l.names = append(l.names, nameLimit{roles: place.role, keys: place.words, place: true})
		}
	}
	return l
}

func distinct(list []string) []string {
	if len(list) < 2 {
		return list
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// roleBits are the bits of the roles of package epcis in the index.
var roleBits = map[epcis.Role]roles{epcis.RoleEPC: roleEPC, epcis.RoleParent: roleParent, epcis.RoleChild: roleChild, epcis.RoleInput: roleInput, epcis.RoleOutput: roleOutput,
	epcis.RoleEPCClass: roleClass, epcis.RoleChildClass: roleChildClass, epcis.RoleInputClass: roleInputClass, epcis.RoleOutputClass: roleOutputClass}

// rolesOf is the roles of the index that the query's roles are; no roles are all of them.
func rolesOf(list []epcis.Role) (all roles) {
	if len(list) == 0 {
		return ^placeRoles
	}
	for _, role := range list {
		bit, there := roleBits[role]
		if !there {
			return ^placeRoles
		}
		all |= bit
	}
	return all
}
