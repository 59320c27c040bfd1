package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// reader is a strict reader of the part of ClickHouse's SQL that an export uses, by ClickHouse's documents: string literals in single quotes with \\ \' \n \r \t and no others, rows
// of VALUES, one INSERT a line. There is no ClickHouse here to ask.
type reader struct {
	s  string
	at int
}

func (r *reader) take(word string) bool {
	if !strings.HasPrefix(r.s[r.at:], word) {
		return false
	}
	r.at += len(word)
	return true
}

func (r *reader) literal() (string, error) {
	if !r.take("'") {
		return "", fmt.Errorf("no quote at %d", r.at)
	}
	var b strings.Builder
	for r.at < len(r.s) {
		c := r.s[r.at]
		r.at++
		switch c {
		case '\'':
			return b.String(), nil
		case '\n', '\r', 0:
			return "", fmt.Errorf("a bare %q in a literal", c)
		case '\\':
			if r.at == len(r.s) {
				return "", fmt.Errorf("a backslash ends the text")
			}
			i := strings.IndexByte(`\'nrt`, r.s[r.at])
			if i < 0 {
				return "", fmt.Errorf("\\%c is no escape", r.s[r.at])
			}
			b.WriteByte("\\'\n\r\t"[i])
			r.at++
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("a literal does not end")
}

var bare = regexp.MustCompile(`^(NULL|true|false|-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)`)

// values reads the rows of an INSERT.
func (r *reader) values() (rows [][]string, err error) {
	for {
		if !r.take("(") {
			return nil, fmt.Errorf("no row at %d", r.at)
		}
		var row []string
		for {
			if strings.HasPrefix(r.s[r.at:], "'") {
				x, err := r.literal()
				if err != nil {
					return nil, err
				}
				row = append(row, "'"+x)
			} else {
				x := bare.FindString(r.s[r.at:])
				if x == "" {
					return nil, fmt.Errorf("no value at %d: %.20q", r.at, r.s[r.at:])
				}
				r.at += len(x)
				row = append(row, x)
			}
			if r.take(")") {
				break
			}
			if !r.take(",") {
				return nil, fmt.Errorf("no comma at %d", r.at)
			}
		}
		rows = append(rows, row)
		if r.take(";") && r.at == len(r.s) {
			return rows, nil
		}
		if !r.take(",") {
			return nil, fmt.Errorf("no end at %d", r.at)
		}
	}
}

// readClickHouse gives the rows of each table, the names of the columns before each value.
func readClickHouse(text string) (out [5][]string, err error) {
	insert := regexp.MustCompile("^INSERT INTO `bi`.`([a-z_]+)` \\(`([a-z_`, 0-9]+)`\\) VALUES ")
	create := regexp.MustCompile("^CREATE (DATABASE|TABLE|VIEW) IF NOT EXISTS `bi`")
	statement := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		m := insert.FindStringSubmatch(line)
		if m == nil {
			if statement += line; strings.HasPrefix(statement, "--") {
				statement = ""
			} else if strings.HasSuffix(line, ";") {
				if !create.MatchString(statement) {
					return out, fmt.Errorf("%.60q is no statement of an export", statement)
				}
				statement = ""
			}
			continue
		}
		if statement != "" {
			return out, fmt.Errorf("%.60q has no end", statement)
		}
		r := &reader{s: line, at: len(m[0])}
		rows, err := r.values()
		if err != nil {
			return out, err
		}
		names := strings.Split(m[2], "`, `")
		for i := range tables {
			if tables[i].name != m[1] {
				continue
			}
			for _, row := range rows {
				if len(row) != len(names) {
					return out, fmt.Errorf("%d values for %d columns", len(row), len(names))
				}
				s := ""
				for k := range row {
					s += names[k] + "=" + row[k] + "|"
				}
				out[i] = append(out[i], s)
			}
		}
	}
	if statement != "" {
		return out, fmt.Errorf("%.60q has no end", statement)
	}
	return out, nil
}

func asClickHouse(i int, row any) string {
	v, out := reflect.ValueOf(row), ""
	for k := range tables[i].columns {
		c := &tables[i].columns[k]
		x := "NULL"
		switch f := v.Field(c.field).Interface().(type) {
		case string:
			x = "'" + f
		case int32:
			if x = fmt.Sprint(f); c.day {
				x = "'" + within(date(f)).Format("2006-01-02")
			}
		case int64:
			x = "'" + within(micros(f)).Format(stamp)
		case *int64:
			if f != nil && c.instant {
				x = "'" + within(micros(*f)).Format(stamp)
			} else if f != nil {
				x = fmt.Sprint(*f)
			}
		case *float64:
			if f != nil {
				x = fmt.Sprint(*f)
			}
		case *bool:
			if f != nil {
				x = fmt.Sprint(*f)
			}
		}
		out += c.name + "=" + x + "|"
	}
	return out
}

// TestClickHouseReads: the text holds every row, whatever it says, by the rules of ClickHouse's literals.
func TestClickHouseReads(t *testing.T) {
	next := folder(t)
	rapid.Check(t, func(t *rapid.T) {
		dir, items := next(), drawItems(t, 5)
		defer os.RemoveAll(dir)
		if _, err := Folder(context.Background(), dir, Options{Form: ClickHouse, Schema: "bi", hasty: true}, source(items)); err != nil {
			t.Fatal(err)
		}
		if len(items) == 0 {
			return
		}
		b, err := os.ReadFile(filepath.Join(dir, "000001.clickhouse.sql"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readClickHouse(string(b))
		if err != nil {
			t.Fatal(err)
		}
		want := wanted(items, asClickHouse)
		for i := range want {
			same(t, tables[i].name, got[i], want[i])
		}
	})
}

// TestClickHouseReaderCanFail: the reader sees what it must.
func TestClickHouseReaderCanFail(t *testing.T) {
	head := "INSERT INTO `bi`.`events` (`event_key`, `hour`) VALUES "
	for text, good := range map[string]bool{"('a',1);": true, "('a',1),('b',NULL);": true, "('a'',1);": false, `('a\x',1);`: false, "('a\n',1);": false, "('a',1)": false, "('a',1),;": false, "('a',x);": false, "('a');": false, `('a\',1);`: false} {
		if _, err := readClickHouse(head + text + "\n"); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
