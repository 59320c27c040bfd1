package indicator

import "strings"

// version is that of the tables' form; another one makes them anew.
const version = 1

// table is one table, or a view.
type table struct {
	name    string
	columns string // name type, …
	key     string // primary key
	indexes []string
	view    string // SELECT
}

// moment is a time and what is counted by: an instant in UTC as 2026-11-22T08:00:00.000Z, and the day (2026-11-22), hour (2026-11-22 16) and ISO
// week (2026-W47) in the projection's zone.
func moment(name string) string {
	p := strings.TrimSuffix(name, "_time")
	if p == "at" || p == "event" {
		return name + " TEXT NOT NULL, day TEXT NOT NULL, hour TEXT NOT NULL, week TEXT NOT NULL"
	}
	return name + " TEXT NOT NULL, " + p + "_day TEXT NOT NULL"
}

// tables are all of them, in the common dialect of SQLite and PostgreSQL. This is the manual for those who write indicators.
var tables = []table{
	// One event. corrected is 1 when a later event declares it an error; declares is 1 for such a declaration. Take facts unless you want those too.
	{name: "events", key: "seq", columns: "seq BIGINT NOT NULL, event_id TEXT NOT NULL, hash TEXT NOT NULL, type TEXT NOT NULL, action TEXT NOT NULL, " + moment("event_time") +
		", record_time TEXT NOT NULL, biz_step TEXT NOT NULL, disposition TEXT NOT NULL, read_point TEXT NOT NULL, biz_location TEXT NOT NULL, parent TEXT NOT NULL, captured_by TEXT NOT NULL, corrected INTEGER NOT NULL, declares INTEGER NOT NULL",
		indexes: []string{"event_id", "biz_step, day", "day", "parent"}},
	// The things that an event names: role is epc, parentID, childEPC, inputEPC, outputEPC, or one of the classes, which have a quantity.
	{name: "event_things", key: "seq, role, no", columns: "seq BIGINT NOT NULL, role TEXT NOT NULL, no INTEGER NOT NULL, thing TEXT NOT NULL, quantity DOUBLE PRECISION, unit TEXT NOT NULL", indexes: []string{"thing, seq"}},
	{name: "event_transactions", key: "seq, no", columns: "seq BIGINT NOT NULL, no INTEGER NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL", indexes: []string{"id"}},
	// Sources and destinations: side is source or destination.
	{name: "event_parties", key: "seq, side, no", columns: "seq BIGINT NOT NULL, side TEXT NOT NULL, no INTEGER NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL", indexes: []string{"id"}},
	{name: "event_sensors", key: "seq, no", columns: "seq BIGINT NOT NULL, no INTEGER NOT NULL, type TEXT NOT NULL, time TEXT NOT NULL, value DOUBLE PRECISION, unit TEXT NOT NULL, device TEXT NOT NULL"},
	// Fields of other namespaces at the level of the event, by their local name.
	{name: "event_fields", key: "seq, name", columns: "seq BIGINT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, number DOUBLE PRECISION", indexes: []string{"name"}},
	// A record that there is; template is the identifier of its template, empty without one.
	{name: "records", key: "id", columns: "id TEXT NOT NULL, prefix TEXT NOT NULL, template TEXT NOT NULL, " + moment("registered_time") + ", changed_time TEXT NOT NULL", indexes: []string{"template, registered_day"}},
	// Its properties (index 2000 and up), by name.
	{name: "record_values", key: "id, name", columns: "id TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, number DOUBLE PRECISION", indexes: []string{"name, value"}},
	// A run of a flow: state is open, held, ended or cancelled; seconds is from its start to its last step.
	{name: "runs", key: "run", columns: "run TEXT NOT NULL, solution TEXT NOT NULL, flow TEXT NOT NULL, about TEXT NOT NULL, state TEXT NOT NULL, verdict TEXT NOT NULL, " + moment("started_time") + ", last_time TEXT NOT NULL, seconds DOUBLE PRECISION NOT NULL, steps INTEGER NOT NULL",
		indexes: []string{"solution, flow, started_day", "about"}},
	// One scan; say is what it was answered, in English. took_ms is how long the answer took.
	{name: "run_steps", key: "seq", columns: "seq BIGINT NOT NULL, run TEXT NOT NULL, no INTEGER NOT NULL, solution TEXT NOT NULL, flow TEXT NOT NULL, step TEXT NOT NULL, verdict TEXT NOT NULL, say TEXT NOT NULL, about TEXT NOT NULL, code TEXT NOT NULL, who TEXT NOT NULL, device TEXT NOT NULL, place TEXT NOT NULL, " + moment("at") + ", took_ms DOUBLE PRECISION NOT NULL",
		indexes: []string{"run", "solution, flow, day"}},
	// Events that happened: none that was declared an error, and no declaration.
	{name: "facts", view: "SELECT seq, event_id, type, action, event_time, day, hour, week, record_time, biz_step, disposition, read_point, biz_location, parent, captured_by FROM events WHERE corrected = 0 AND declares = 0"},
}

func (t *table) statements() []string {
	if t.view != "" {
		return []string{"CREATE VIEW " + t.name + " AS " + t.view}
	}
	out := []string{"CREATE TABLE " + t.name + " (" + t.columns + ", PRIMARY KEY (" + t.key + "))"}
	for _, x := range t.indexes {
		out = append(out, "CREATE INDEX "+t.name+"_"+strings.NewReplacer(", ", "_").Replace(x)+" ON "+t.name+" ("+x+")")
	}
	return out
}
