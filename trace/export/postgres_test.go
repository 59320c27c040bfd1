package export

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/store/postgres/postgrestest"
)

// psql loads files as a person does.
func psql(t *testing.T, address string, files ...string) {
	t.Helper()
	program, err := exec.LookPath("psql")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
		if len(found) == 0 {
			t.Fatal("PostgreSQL is here without psql")
		}
		program = found[len(found)-1]
	}
	for _, f := range files {
		if out, err := exec.Command(program, "-X", "-q", "-d", address, "-f", f).CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%s: %v\n%s", f, err, out)
		}
	}
}

// asText is a field of a row as PostgreSQL shows it when it is cast to text, instants as microseconds.
func asText(i int, row any) string {
	v := reflect.ValueOf(row)
	out := ""
	for k := range tables[i].columns {
		c := &tables[i].columns[k]
		x, there := "", true
		switch f := v.Field(c.field).Interface().(type) {
		case string:
			x, there = f, f != "" || !c.optional
		case int32:
			if x = fmt.Sprint(f); c.day {
				x = date(f).Format("2006-01-02")
				if strings.HasPrefix(x, "0000-") {
					x = "0001" + x[4:] + " BC"
				}
			}
		case int64:
			x = fmt.Sprint(f)
		case *int64:
			if there = f != nil; there {
				x = fmt.Sprint(*f)
			}
		case *float64:
			if there = f != nil; there {
				x = fmt.Sprint(*f)
			}
		case *bool:
			if there = f != nil; there {
				x = fmt.Sprint(*f)
			}
		}
		if !there {
			out += c.name + "=NULL|"
			continue
		}
		out += fmt.Sprintf("%s=%q|", c.name, x)
	}
	return out
}

func readTable(t *testing.T, conn *pgx.Conn, schema string, i int) (out []string) {
	t.Helper()
	var columns []string
	for _, c := range tables[i].columns {
		switch {
		case c.instant:
			columns = append(columns, fmt.Sprintf(`(extract(epoch FROM %q) * 1000000)::bigint::text`, c.name))
		case c.kind == maybeFloat:
			columns = append(columns, fmt.Sprintf("%q", c.name))
		default:
			columns = append(columns, fmt.Sprintf(`%q::text`, c.name))
		}
	}
	order := "x.sequence"
	if i > 0 {
		order = fmt.Sprintf("(SELECT sequence FROM %s.events e WHERE e.event_key = x.event_key), x.position", schema)
	}
	list, err := conn.Query(context.Background(), fmt.Sprintf("SELECT %s FROM %s.%s x ORDER BY %s", strings.Join(columns, ", "), schema, tables[i].name, order))
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	for list.Next() {
		values, err := list.Values()
		if err != nil {
			t.Fatal(err)
		}
		row := ""
		for k, v := range values {
			if v == nil {
				row += tables[i].columns[k].name + "=NULL|"
			} else {
				row += fmt.Sprintf("%s=%q|", tables[i].columns[k].name, fmt.Sprint(v))
			}
		}
		out = append(out, row)
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPostgresLoads: whatever events say, psql loads it into a real PostgreSQL, as it is, once however often it is loaded.
func TestPostgresLoads(t *testing.T) {
	server := postgrestest.Start(t, "fsync=off")
	address, err := server.URL()
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = "sslmode=disable"
	conn, err := pgx.Connect(context.Background(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())

	many := rapid.Custom(func(t *rapid.T) []Item { return drawItems(t, 8) })
	tried := 0
	for seed := range 60 {
		items := many.Example(seed)
		if len(items) < 2 {
			continue
		}
		if tried++; tried > 8 {
			break
		}
		dir, schema := t.TempDir(), fmt.Sprintf("s%d", seed)
		for _, until := range []int{len(items) / 2, len(items)} {
			if _, err := Folder(context.Background(), dir, Options{Form: PostgreSQL, Schema: schema, hasty: true}, source(items[:until])); err != nil {
				t.Fatal(err)
			}
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*.postgres.sql"))
		if len(files) != 2 {
			t.Fatalf("%d parts, want 2", len(files))
		}
		psql(t, u.String(), files...)
		psql(t, u.String(), files...)
		want := wanted(items, asText)
		for i := range tables {
			same(t, fmt.Sprintf("seed %d, %s", seed, tables[i].name), readTable(t, conn, schema, i), want[i])
		}
		declared := map[string]bool{}
		for _, n := range items {
			if n.Event.Error != nil {
				declared[n.Event.ID] = true
			}
		}
		valid, got := 0, 0
		for _, n := range items {
			if !declared[n.Event.ID] {
				valid++
			}
		}
		if err := conn.QueryRow(context.Background(), "SELECT count(*) FROM "+schema+".valid_events").Scan(&got); err != nil || got != valid {
			t.Fatalf("%d valid events, %v; want %d", got, err, valid)
		}
	}
	if tried < 6 {
		t.Fatalf("only %d samples", tried)
	}

	t.Run("cut", func(t *testing.T) { // a file that is cut short loads nothing
		dir := t.TempDir()
		items := rapid.Custom(func(t *rapid.T) []Item { return drawItems(t, 8) }).Filter(func(l []Item) bool { return len(l) > 2 }).Example(1)
		if _, err := Folder(context.Background(), dir, Options{Form: PostgreSQL, Schema: "cut", hasty: true}, source(items)); err != nil {
			t.Fatal(err)
		}
		truncate(t, filepath.Join(dir, "000001.postgres.sql"), len("COMMIT;\n"))
		psql(t, u.String(), filepath.Join(dir, "000001.postgres.sql"))
		var there bool
		if err := conn.QueryRow(context.Background(), "SELECT to_regclass('cut.events') IS NOT NULL").Scan(&there); err != nil || there {
			t.Fatalf("part of a file was loaded: %v %v", there, err)
		}
	})
}
