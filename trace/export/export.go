// Package export gives a company its events for its own reporting: as Parquet files, or as SQL text for PostgreSQL or ClickHouse, in tables that a person who makes reports
// understands without knowing EPCIS.
//
// The tables are a star: events has one row for each event; event_things, event_relations, event_sensors and event_extensions hang on it by event_key. Their columns are
// the fields of Event, Thing, Relation, Sensor and Extension, each with its meaning; PostgreSQL gets the meanings as comments on its columns.
//
//	events            what happened, when, why, where: one row an event
//	event_things      what it happened to: one row for each identifier or class with a quantity
//	event_relations   business transactions, sources, destinations, certifications, corrections, lasting dispositions
//	event_sensors     what sensors said: one row a report
//	event_extensions  fields of other namespaces and master data of lots: one row a value
//
// An export is a folder. Each run adds what was captured since the last one as further parts and leaves what is there alone:
//
//	DIR/manifest.json             what is in the folder, up to which event
//	DIR/events/000001.parquet     the first part; one folder a table, which reporting tools read whole
//	DIR/event_things/000001.parquet …
//	DIR/000001.postgres.sql       or .clickhouse.sql: a part of all tables, for psql -f or clickhouse-client --queries-file
//
// A file is written under a name that begins with a dot and gets its own when its part is complete; the manifest is written last. An export that was stopped goes on behind its last
// complete part. Loading a part twice doubles nothing.
//
// Text that is no UTF-8 has U+FFFD in the place of each wrong byte sequence, and U+2400 stands for NUL, which databases refuse: the same in each form. Instants are in UTC, with microseconds. What an event
// does not say is NULL in Parquet and PostgreSQL; in ClickHouse, where NULL is costly, it is the empty text, and NULL for numbers and times.
//
// Whoever reads the folder reads the events: it belongs to who may see them all. An event with an error declaration is a row of its own beside the one with the same event_id that it declares wrong;
// the view valid_events leaves out both in SQL.
package export

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
)

// Form is what an export is written as.
type Form string

// The forms.
const (
	Parquet    Form = "parquet"
	PostgreSQL Form = "postgres"
	ClickHouse Form = "clickhouse"
)

// Item is one event on its way into an export.
type Item struct {
	Sequence uint64 // the history's number of it; 0: not known
	Event    *epcis.Event
	Hash     string // of CBV 2.0, 8.9; empty: it is computed
	By       string // who captured it; empty: not known
}

// Mark is how far an export is: behind the event with this number, or behind the events that were recorded up to then when the number is not known.
type Mark struct {
	Sequence   uint64    // 0: not known
	RecordTime time.Time // zero: nothing yet
}

// Source gives the events behind a mark in the order in which they were recorded. It may begin earlier: what the export has is passed over by the mark's record time and the
// event_keys of that instant.
type Source func(ctx context.Context, after Mark) iter.Seq2[Item, error]

// History is the events of a history that are there when it is asked, and were recorded before until; zero: all of them.
func History(h *history.History, until time.Time) Source {
	return func(ctx context.Context, after Mark) iter.Seq2[Item, error] {
		return func(yield func(Item, error) bool) {
			last, err := h.Last(ctx)
			if err != nil {
				yield(Item{}, err)
				return
			}
			for at := after.Sequence; at < last; {
				list, err := h.After(ctx, at, 1000)
				if err != nil {
					yield(Item{}, err)
					return
				}
				for _, r := range list {
					if r.Sequence > last || !until.IsZero() && !r.Event.RecordTime.Before(until) {
						return
					}
					if !yield(Item{Sequence: r.Sequence, Event: r.Event, Hash: r.Hash, By: r.By.Name}, nil) {
						return
					}
					at = r.Sequence
				}
				if len(list) == 0 {
					return
				}
			}
		}
	}
}

// Repository is the events of an EPCIS 2.0 repository, which query asks page by page, as the Query of a rest.Client does, recorded
// before until; zero: all of them.
func Repository(query func(ctx context.Context, parameters map[string][]string, visit func(*epcis.Event) error) error, until time.Time) Source {
	return func(ctx context.Context, after Mark) iter.Seq2[Item, error] {
		return func(yield func(Item, error) bool) {
			q := map[string][]string{"orderBy": {"recordTime"}, "orderDirection": {"ASC"}, "perPage": {"1000"}}
			if !after.RecordTime.IsZero() {
				q["GE_recordTime"] = []string{after.RecordTime.UTC().Format(time.RFC3339Nano)}
			}
			if !until.IsZero() {
				q["LT_recordTime"] = []string{until.UTC().Format(time.RFC3339Nano)}
			}
			err := query(ctx, q, func(e *epcis.Event) error {
				if !yield(Item{Event: e}, nil) {
					return errEnough
				}
				return nil
			})
			if err != nil && !errors.Is(err, errEnough) {
				yield(Item{}, err)
			}
		}
	}
}

var errEnough = errors.New("export: enough")
