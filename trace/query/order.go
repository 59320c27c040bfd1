package query

import (
	"cmp"
	"strings"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// Less reports whether a comes before b in the result: by OrderBy and its direction, then by record time and event ID, so that the order is one of all
// events. Without OrderBy it is the order of record time. By an extension field, numbers come before times, those before texts; events without the field
// come last in either direction. Texts are in the order of their characters.
func (q *Query) Less(a, b *epcis.Event) bool { return q.compare(a, b) < 0 }

func (q *Query) compare(a, b *epcis.Event) int {
	c := 0
	switch q.OrderBy {
	case "":
		return lastly(a, b)
	case "recordTime":
		c = a.RecordTime.Compare(b.RecordTime)
	case "eventTime":
		c = a.Time.Compare(b.Time)
	default:
		f, ok := spaces(nil).name(q.OrderBy)
		if !ok {
			return lastly(a, b)
		}
		x, y := sortKeyOf(a, &f), sortKeyOf(b, &f)
		if x.class == absent || y.class == absent {
			if c := int(x.class) - int(y.class); c != 0 {
				return c
			}
			break
		}
		c = x.compare(&y)
	}
	if c != 0 {
		if !q.Ascending {
			return -c
		}
		return c
	}
	return lastly(a, b)
}

func lastly(a, b *epcis.Event) int {
	return cmp.Or(a.RecordTime.Compare(b.RecordTime), strings.Compare(a.ID, b.ID))
}

// The classes of values, in the order in which they stand.
const (
	ofNumbers uint8 = iota
	ofTimes
	ofTexts
	absent
)

// sortKey is what an event is ordered by.
type sortKey struct {
	class  uint8
	number epcis.Decimal
	time   time.Time
	text   string
}

func sortKeyOf(e *epcis.Event, name *fieldName) sortKey {
	for i := range e.Extensions {
		f := &e.Extensions[i]
		if !name.is(f) {
			continue
		}
		v := &f.Value
		for v.Kind == epcis.List && len(v.Items) > 0 {
			v = &v.Items[0]
		}
		switch v.Kind {
		case epcis.Number:
			if epcis.Decimal(v.Text).IsValid() {
				return sortKey{class: ofNumbers, number: epcis.Decimal(v.Text)}
			}
		case epcis.Text:
			// What came from XML says of nothing whether it is a number.
			if isPlainNumber(v.Text) {
				return sortKey{class: ofNumbers, number: epcis.Decimal(v.Text)}
			}
			if t, ok := parseTime(v.Text); ok {
				return sortKey{class: ofTimes, time: t}
			}
		case epcis.Bool:
		default:
			continue
		}
		return sortKey{class: ofTexts, text: v.Text}
	}
	return sortKey{class: absent}
}

func (a *sortKey) compare(b *sortKey) int {
	if a.class != b.class {
		return int(a.class) - int(b.class)
	}
	switch a.class {
	case ofNumbers:
		return compareNumbers(a.number, b.number)
	case ofTimes:
		return a.time.Compare(b.time)
	}
	return strings.Compare(a.text, b.text)
}
