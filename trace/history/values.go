package history

import (
	"bytes"
	"context"
	"slices"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

// ValueKind is a kind of values that events have, the top-level resources of EPCIS 2.0.
type ValueKind string

// The kinds of values.
const (
	EventTypes   ValueKind = "eventTypes"
	EPCs         ValueKind = "epcs" // and classes, as epcis.Key gives them
	BizSteps     ValueKind = "bizSteps"
	BizLocations ValueKind = "bizLocations"
	ReadPoints   ValueKind = "readPoints"
	Dispositions ValueKind = "dispositions"
	Transactions ValueKind = "bizTransactions"
	Vocabularies ValueKind = "vocabularies" // the types of the master data
)

// Values lists the different values that events have, limit at most (0: 30), from the one behind after on, which is "" or the next of the page before. next is empty when there are no
// more. The order is fixed, and that of their bytes but for GS1's own identifiers, which come first. It is problem.Unsupported for an unknown kind.
func (h *History) Values(ctx context.Context, kind ValueKind, after string, limit int) (values []string, next string, err error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	var prefix []byte
	want := ^placeRoles &^ roleTransformation
	switch kind {
	case EPCs:
		prefix = h.key(nil, tagThing)
	case EventTypes:
		prefix = append(h.key(nil, tagPage), pageType)
	case BizSteps:
		prefix = append(h.key(nil, tagPage), pageStep)
	case Dispositions:
		prefix = append(h.key(nil, tagPage), pageDisposition)
	case BizLocations:
		prefix = append(h.key(nil, tagPage), pageBizLocation)
	case ReadPoints:
		prefix = append(h.key(nil, tagPage), pageReadPoint)
	case Transactions:
		prefix = append(h.key(nil, tagPage), pageTransaction)
	case Vocabularies:
		prefix = h.key(nil, tagVocType)
	default:
		return nil, "", problem.New(problem.Unsupported, "there is no collection of %q: ask for eventTypes, epcs, bizSteps, bizLocations, readPoints, dispositions, bizTransactions or vocabularies",
			"没有名为 %q 的集合：可查询 eventTypes、epcs、bizSteps、bizLocations、readPoints、dispositions、bizTransactions 或 vocabularies", string(kind))
	}
	span := store.Under(prefix)
	if after != "" {
		span.From = append(appendWord(bytes.Clone(prefix), after), 0, 0xff) // behind all keys of the word
	}
	err = h.view(ctx, func(r store.Snapshot, _ state) error {
		// From the first key of each value, one leap leads to the first key of the next.
		for {
			var word []byte
			number := uint64(0)
			good := false
			looked := 0
			if err := r.Range(ctx, span, func(key, value []byte) error {
				_, _, rest, ok := cutWord(key[len(prefix):])
				if !ok {
					return damaged()
				}
				head := key[:len(key)-len(rest)]
				if word != nil && !bytes.Equal(word, head) {
					return store.Stop
				}
				if word == nil {
					word = bytes.Clone(head)
				}
				good = kind != EPCs
				if kind == EPCs {
					if len(rest) != 12 {
						return damaged()
					}
					var err error
					if good, err = hasRole(value, want); err != nil {
						return err
					}
					_, number = tail(key)
				}
				looked++
				if good {
					return store.Stop
				}
				return nil
			}); err != nil {
				return err
			}
			if word == nil {
				return nil
			}
			span.From = append(bytes.Clone(word), 0xff)
			if !good {
				continue
			}
			text, whole, _, _ := cutWord(word[len(prefix):])
			if !whole {
				var err error
				if text, err = h.longWord(ctx, r, kind, word[len(prefix):], number); err != nil {
					return err
				}
				if text == "" {
					continue
				}
			}
			if len(values) == limit {
				next = values[limit-1]
				return nil
			}
			values = append(values, text)
		}
	})
	return values, next, err
}

// longWord finds the whole text of a word that was too long for a key, in an event that has it.
func (h *History) longWord(ctx context.Context, r store.Reader, kind ValueKind, word []byte, number uint64) (text string, err error) {
	is := func(s string) {
		if s != "" && bytes.Equal(append(appendWord(nil, s), 0), word) {
			text = s
		}
	}
	if kind == EPCs {
		w, there, err := h.row(ctx, r, number)
		if err != nil || !there {
			return "", err
		}
		e, err := w.event(false)
		if err != nil {
			return "", err
		}
		for _, t := range appendNamed(nil, e) {
			is(t.key)
		}
		return text, nil
	}
	kinds := map[ValueKind]byte{EventTypes: pageType, BizSteps: pageStep, Dispositions: pageDisposition, BizLocations: pageBizLocation, ReadPoints: pageReadPoint, Transactions: pageTransaction}
	page, there := kinds[kind]
	if !there {
		return "", nil
	}
	prefix := append(append(h.key(nil, tagPage), page), word...)
	var numbers []uint64
	if err := r.Range(ctx, store.Under(prefix), func(key, value []byte) (err error) {
		if numbers, err = readPage(nil, read48(key[len(key)-6:]), value); err != nil {
			return err
		}
		return store.Stop
	}); err != nil {
		return "", err
	}
	for _, number := range slices.Clip(numbers) {
		w, there, err := h.row(ctx, r, number)
		if err != nil {
			return "", err
		}
		if !there {
			continue
		}
		e, err := w.event(false)
		if err != nil {
			return "", err
		}
		words(e, func(k byte, s string) {
			if k == page {
				is(s)
			}
		})
		break
	}
	return text, nil
}
