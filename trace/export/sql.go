package export

import (
	"bufio"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// column is a column of a table, as the tags of its row's field say.
type column struct {
	name, doc                string
	optional, words, decimal bool
	day, instant             bool
	field                    int
	kind                     reflect.Type
}

// table is one of the tables of the SQL forms.
type table struct {
	name    string
	doc     string
	keys    []string // what a row is found by
	columns []column
}

var tables = []table{
	tableOf[Event]("events", "what happened, when, why, where: one row an event", "event_key"),
	tableOf[Thing]("event_things", "what events happened to: one row for each identifier or class with a quantity", "event_key", "position"),
	tableOf[Relation]("event_relations", "what events refer to: transactions, sources, destinations, certifications, corrections, lasting dispositions", "event_key", "position"),
	tableOf[Sensor]("event_sensors", "what sensors said: one row a report", "event_key", "position"),
	tableOf[Extension]("event_extensions", "fields of other namespaces and master data of lots: one row a value", "event_key", "position"),
}

func tableOf[T any](name, doc string, keys ...string) table {
	t := table{name: name, doc: doc, keys: keys}
	row := reflect.TypeFor[T]()
	for i := range row.NumField() {
		f := row.Field(i)
		words := strings.Split(f.Tag.Get("parquet"), ",")
		c := column{name: words[0], doc: f.Tag.Get("doc"), decimal: f.Tag.Get("sql") == "decimal", field: i, kind: f.Type}
		for _, w := range words[1:] {
			switch w {
			case "timestamp(microsecond:utc)":
				c.instant = true
			case "optional":
				c.optional = true
			case "dict":
				c.words = true
			case "date":
				c.day = true
			}
		}
		t.columns = append(t.columns, c)
	}
	return t
}

var (
	textKind    = reflect.TypeFor[string]()
	maybeFloat  = reflect.TypeFor[*float64]()
	maybeNumber = reflect.TypeFor[*int64]()
	maybeBool   = reflect.TypeFor[*bool]()
)

func (c *column) postgres() string {
	typ := map[reflect.Type]string{textKind: "text", maybeFloat: "double precision", maybeNumber: "bigint", maybeBool: "boolean"}[c.kind]
	switch {
	case c.decimal:
		typ = "numeric"
	case c.day:
		typ = "date"
	case c.instant:
		typ = "timestamptz"
	case typ == "":
		typ = "integer"
	}
	if !c.optional {
		typ += " NOT NULL"
	}
	return typ
}

func (c *column) clickhouse() string {
	if c.instant {
		if c.optional {
			return "Nullable(DateTime64(6, 'UTC'))"
		}
		return "DateTime64(6, 'UTC')"
	}
	switch c.kind {
	case textKind:
		if c.words {
			return "LowCardinality(String)"
		}
		return "String"
	case maybeFloat:
		return "Nullable(Float64)"
	case maybeNumber:
		return "Nullable(Int64)"
	case maybeBool:
		return "Nullable(Bool)"
	}
	if c.day {
		return "Date32"
	}
	return "Int32"
}

// schemaName is what a schema or database may be called: a plain name needs no quoting by those who use it.
var schemaName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

func checkSchema(s string) error {
	if s != "" && !schemaName.MatchString(s) {
		return problem.New(problem.BadRequest, "%q is no name of a schema: letters, digits and underscores, at most 63", "%q 不是有效的模式名：仅限字母、数字、下划线，至多 63 个字符", s)
	}
	return nil
}

// Rows wait in memory until one table's block is that long: a block is one statement.
const blockBytes = 4 << 20

// script writes a part as SQL text.
type script struct {
	form   Form
	schema string
	f      *file
	w      *bufio.Writer
	blocks [][]byte // by table
}

func newSQL(p *part, form Form, schema string) (writer, error) {
	f, err := p.create(p.name()+"."+string(form)+".sql", "")
	if err != nil {
		return nil, err
	}
	s := &script{form: form, schema: schema, f: f, w: bufio.NewWriterSize(f, 1<<20), blocks: make([][]byte, len(tables))}
	if form == PostgreSQL {
		s.beginPostgres()
	} else {
		s.beginClickHouse()
	}
	return s, nil
}

// name is a table's name as the dialect quotes it.
func (s *script) name(table string) string {
	q := `"`
	if s.form == ClickHouse {
		q = "`"
	}
	if s.schema != "" {
		return q + s.schema + q + "." + q + table + q
	}
	return q + table + q
}

func (s *script) beginPostgres() {
	w := s.w
	w.WriteString("-- Events of Fujie. Load with: psql -f FILE\n\\set ON_ERROR_STOP on\nBEGIN;\nSET LOCAL client_encoding = 'UTF8';\nSET LOCAL standard_conforming_strings = on;\nSET LOCAL datestyle = 'ISO, YMD';\nSET LOCAL client_min_messages = warning;\n")
	if s.schema != "" {
		fmt.Fprintf(w, "CREATE SCHEMA IF NOT EXISTS \"%s\";\n", s.schema)
	}
	for i := range tables {
		t := &tables[i]
		fmt.Fprintf(w, "CREATE TABLE IF NOT EXISTS %s (\n", s.name(t.name))
		for k := range t.columns {
			c := &t.columns[k]
			refers := ""
			if i > 0 && c.name == "event_key" {
				refers = " REFERENCES " + s.name("events") + " ON DELETE CASCADE"
			}
			fmt.Fprintf(w, "\t\"%s\" %s%s,\n", c.name, c.postgres(), refers)
		}
		fmt.Fprintf(w, "\tPRIMARY KEY (\"%s\")\n);\n", strings.Join(t.keys, `", "`))
		fmt.Fprintf(w, "COMMENT ON TABLE %s IS '%s';\n", s.name(t.name), strings.ReplaceAll(t.doc, "'", "''"))
		for k := range t.columns {
			fmt.Fprintf(w, "COMMENT ON COLUMN %s.\"%s\" IS '%s';\n", s.name(t.name), t.columns[k].name, strings.ReplaceAll(t.columns[k].doc, "'", "''"))
		}
		fmt.Fprintf(w, "CREATE TEMPORARY TABLE \"load_%s\" (LIKE %s) ON COMMIT DROP;\n", t.name, s.name(t.name))
	}
	// Identifiers may be longer than an ordered index takes.
	fmt.Fprintf(w, "CREATE INDEX IF NOT EXISTS events_event_time ON %s (event_time);\nCREATE INDEX IF NOT EXISTS events_event_id ON %[1]s USING hash (event_id);\nCREATE INDEX IF NOT EXISTS event_things_thing ON %[2]s USING hash (thing);\nCREATE INDEX IF NOT EXISTS event_relations_other ON %[3]s USING hash (other);\n",
		s.name("events"), s.name("event_things"), s.name("event_relations"))
	fmt.Fprintf(w, "CREATE OR REPLACE VIEW %s AS SELECT * FROM %s e WHERE error_time IS NULL AND NOT EXISTS (SELECT 1 FROM %[2]s d WHERE d.event_id = e.event_id AND d.error_time IS NOT NULL);\n", s.name("valid_events"), s.name("events"))
}

func (s *script) beginClickHouse() {
	w := s.w
	w.WriteString("-- Events of Fujie. Load with: clickhouse-client --multiquery --queries-file FILE\n")
	if s.schema != "" {
		fmt.Fprintf(w, "CREATE DATABASE IF NOT EXISTS `%s`;\n", s.schema)
	}
	for i := range tables {
		t := &tables[i]
		fmt.Fprintf(w, "CREATE TABLE IF NOT EXISTS %s (\n", s.name(t.name))
		for k := range t.columns {
			c := &t.columns[k]
			comma := ","
			if k == len(t.columns)-1 {
				comma = ""
			}
			fmt.Fprintf(w, "\t`%s` %s COMMENT %s%s\n", c.name, c.clickhouse(), appendLiteral(nil, c.doc), comma)
		}
		order := "`" + strings.Join(t.keys, "`, `") + "`"
		if i == 0 {
			order = "`event_time`, `event_key`"
		}
		// Rows that are loaded twice become one.
		fmt.Fprintf(w, ") ENGINE = ReplacingMergeTree ORDER BY (%s) COMMENT %s;\n", order, appendLiteral(nil, t.doc))
	}
	fmt.Fprintf(w, "CREATE VIEW IF NOT EXISTS %s AS SELECT * FROM %s FINAL WHERE error_time IS NULL AND (event_id = '' OR event_id NOT IN (SELECT event_id FROM %[2]s WHERE error_time IS NOT NULL));\n", s.name("valid_events"), s.name("events"))
}

func (s *script) write(r *rows) error {
	err := s.add(0, reflect.ValueOf(&r.event).Elem())
	for i := range r.things {
		err = firstOf(err, s.add(1, reflect.ValueOf(&r.things[i]).Elem()))
	}
	for i := range r.relations {
		err = firstOf(err, s.add(2, reflect.ValueOf(&r.relations[i]).Elem()))
	}
	for i := range r.sensors {
		err = firstOf(err, s.add(3, reflect.ValueOf(&r.sensors[i]).Elem()))
	}
	for i := range r.extensions {
		err = firstOf(err, s.add(4, reflect.ValueOf(&r.extensions[i]).Elem()))
	}
	s.f.Rows += int64(r.count())
	return err
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (s *script) add(i int, row reflect.Value) error {
	b, between := s.blocks[i], byte('\t')
	if s.form == ClickHouse {
		between = ','
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, '(')
	}
	for k := range tables[i].columns {
		c := &tables[i].columns[k]
		if k > 0 {
			b = append(b, between)
		}
		if s.form == ClickHouse {
			b = appendClickHouse(b, c, row.Field(c.field))
		} else {
			b = appendPostgres(b, c, row.Field(c.field))
		}
	}
	if s.form == ClickHouse {
		b = append(b, ')')
	} else {
		b = append(b, '\n')
	}
	s.blocks[i] = b
	if len(b) < blockBytes {
		return nil
	}
	if s.form == PostgreSQL {
		return s.flush() // rows of events stand before those that refer to them
	}
	return s.block(i)
}

func (s *script) flush() error {
	var err error
	for i := range s.blocks {
		err = firstOf(err, s.block(i))
	}
	return err
}

// block writes the rows of a table that wait.
func (s *script) block(i int) error {
	b := s.blocks[i]
	if len(b) == 0 {
		return nil
	}
	t, names := &tables[i], make([]string, len(tables[i].columns))
	for k := range names {
		names[k] = t.columns[k].name
	}
	if s.form == PostgreSQL {
		list := `"` + strings.Join(names, `", "`) + `"`
		fmt.Fprintf(s.w, "COPY \"load_%s\" (%s) FROM stdin;\n", t.name, list)
		s.w.Write(b)
		fmt.Fprintf(s.w, "\\.\nINSERT INTO %s (%s) SELECT %[2]s FROM \"load_%[3]s\" ON CONFLICT DO NOTHING;\nTRUNCATE \"load_%[3]s\";\n", s.name(t.name), list, t.name)
	} else {
		// The data of an INSERT end with its line in clickhouse-client: one statement is one line.
		fmt.Fprintf(s.w, "INSERT INTO %s (`%s`) VALUES ", s.name(t.name), strings.Join(names, "`, `"))
		s.w.Write(b)
		s.w.WriteString(";\n")
	}
	s.blocks[i] = b[:0]
	if cap(b) > 4*blockBytes {
		s.blocks[i] = nil
	}
	_, err := s.w.Write(nil) // what went wrong before
	return notWritten(err)
}

func (s *script) close() error {
	err := s.flush()
	if s.form == PostgreSQL {
		s.w.WriteString("COMMIT;\n")
	}
	return firstOf(err, notWritten(s.w.Flush()))
}

const stamp = "2006-01-02 15:04:05.000000"

func micros(n int64) time.Time { return time.UnixMicro(n).UTC() }

func date(days int32) time.Time { return time.Unix(int64(days)*86400, 0).UTC() }

// appendEra writes t; PostgreSQL has no year 0, which an offset makes of the first hours of year 1: it is 1 BC.
func appendEra(b []byte, t time.Time, layout, zone string) []byte {
	if y := t.Year(); y < 1 {
		return append(append(t.AppendFormat(fmt.Appendf(b, "%04d", 1-y), layout[len("2006"):]), zone...), " BC"...)
	}
	return append(t.AppendFormat(b, layout), zone...)
}

// appendPostgres writes a field in the text form of COPY.
func appendPostgres(b []byte, c *column, v reflect.Value) []byte {
	switch x := v.Interface().(type) {
	case string:
		if x == "" && c.optional {
			return append(b, `\N`...)
		}
		for i := range len(x) {
			switch ch := x[i]; ch {
			case '\\':
				b = append(b, `\\`...)
			case '\t':
				b = append(b, `\t`...)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			default:
				b = append(b, ch)
			}
		}
		return b
	case int32:
		if c.day {
			return appendEra(b, date(x), "2006-01-02", "")
		}
		return strconv.AppendInt(b, int64(x), 10)
	case int64: // the only one is an instant
		return appendEra(b, micros(x), stamp, "+00")
	case *int64:
		if x != nil {
			if c.instant {
				return appendEra(b, micros(*x), stamp, "+00")
			}
			return strconv.AppendInt(b, *x, 10)
		}
	case *float64:
		if x != nil {
			return strconv.AppendFloat(b, *x, 'g', -1, 64)
		}
	case *bool:
		if x != nil {
			return strconv.AppendBool(b, *x)
		}
	}
	return append(b, `\N`...)
}

// What DateTime64 and Date32 of ClickHouse hold. An instant beyond, which is a slip of somebody's clock, is at the border; local_time says what was written.
var (
	clickFirst = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	clickLast  = time.Date(2299, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

func within(t time.Time) time.Time {
	t = t.UTC()
	if t.Before(clickFirst) {
		return clickFirst
	}
	if t.After(clickLast) {
		return clickLast
	}
	return t
}

// appendClickHouse writes a field as VALUES has it.
func appendClickHouse(b []byte, c *column, v reflect.Value) []byte {
	quoted := func(t time.Time, layout string) []byte {
		return append(within(t).AppendFormat(append(b, '\''), layout), '\'')
	}
	switch x := v.Interface().(type) {
	case string:
		return appendLiteral(b, x)
	case int32:
		if c.day {
			return quoted(date(x), "2006-01-02")
		}
		return strconv.AppendInt(b, int64(x), 10)
	case int64:
		return quoted(micros(x), stamp)
	case *int64:
		if x != nil {
			if c.instant {
				return quoted(micros(*x), stamp)
			}
			return strconv.AppendInt(b, *x, 10)
		}
	case *float64:
		if x != nil {
			return strconv.AppendFloat(b, *x, 'g', -1, 64)
		}
	case *bool:
		if x != nil {
			return strconv.AppendBool(b, *x)
		}
	}
	return append(b, "NULL"...)
}

// appendLiteral writes a string literal of ClickHouse on one line.
func appendLiteral(b []byte, s string) []byte {
	b = append(b, '\'')
	for i := range len(s) {
		switch ch := s[i]; ch {
		case '\\', '\'':
			b = append(b, '\\', ch)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, ch)
		}
	}
	return append(b, '\'')
}
