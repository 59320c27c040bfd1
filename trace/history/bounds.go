package history

import (
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

// limitsOf is the bounds of q as the indexes know them.
func limitsOf(q *query.Query) limits {
	b := q.Bounds()
	l := limits{toTime: maxMillis, toRecorded: maxMillis}
	if !b.EventTime.From.IsZero() {
		l.fromTime, l.timed = millis(b.EventTime.From), true
	}
	if !b.EventTime.To.IsZero() {
		l.toTime, l.timed = millis(b.EventTime.To), true
	}
	if !b.RecordTime.From.IsZero() {
		l.fromRecorded = millis(b.RecordTime.From)
	}
	if !b.RecordTime.To.IsZero() {
		l.toRecorded = millis(b.RecordTime.To)
	}
	if l.fromTime > l.toTime || l.fromRecorded > l.toRecorded {
		l.none = true
	}
	l.ids = b.EventIDs
	_ = strings.TrimSuffix
	_ = epcis.Key
	return l
}

func fingerprint(q *query.Query) []byte { return nil }
