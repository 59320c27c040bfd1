package live_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/live"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/postgres/postgrestest"
)

// engine is a database that a test can break.
type engine struct {
	url     string
	secret  string // the password, "" for none
	exec    func(t *testing.T, query string)
	kill    func(t *testing.T) // nil: it cannot die
	start   func(t *testing.T)
	writing string // a query that begins as a read and would write; "" when the language has none
}

func engines(t *testing.T, run func(t *testing.T, e *engine)) {
	t.Run("postgresql", func(t *testing.T) {
		s := postgrestest.Start(t, "fsync=off")
		url, err := s.URL()
		if err != nil {
			t.Fatal(err)
		}
		run(t, &engine{
			url: url, exec: execOn("pgx", url),
			kill:    func(t *testing.T) { must(t, s.Kill()) },
			start:   func(t *testing.T) { must(t, s.Start()) },
			writing: "WITH gone AS (DELETE FROM stock WHERE no > 0 RETURNING *) SELECT no, qty, state, weight, made FROM gone WHERE qty::text <> {no}",
		})
	})
	t.Run("mariadb", func(t *testing.T) {
		m := startMariaDB(t)
		root := m.root("")
		defer root.Close()
		_, err := root.Exec("CREATE DATABASE erp; CREATE USER fujie@'127.0.0.1' IDENTIFIED BY 'tally-7'; GRANT ALL ON erp.* TO fujie@'127.0.0.1'")
		must(t, err)
		run(t, &engine{
			url: fmt.Sprintf("mysql://fujie@127.0.0.1:%d/erp", m.port), secret: "tally-7",
			exec:  execOn("mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/erp?multiStatements=true", m.port)),
			kill:  func(*testing.T) { m.kill() },
			start: func(*testing.T) { m.start() },
		})
	})
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "erp.db")
		run(t, &engine{url: "sqlite://" + file, exec: execOn("sqlite", file)})
	})
}

func execOn(driver, dsn string) func(t *testing.T, query string) {
	return func(t *testing.T, query string) {
		t.Helper()
		db, err := sql.Open(driver, dsn)
		must(t, err)
		defer db.Close()
		for q := range strings.SplitSeq(query, ";") {
			if _, err := db.Exec(q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// logbook is what was logged.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t *testing.T, cfg live.Config) (*live.Resolver, *logbook) {
	t.Helper()
	book := &logbook{}
	cfg.Log = slog.New(slog.NewTextHandler(book, nil))
	r, err := live.New(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r, book
}

func stockRule(source, query string) live.Rule {
	return live.Rule{
		Name: "stock", Prefix: "88.118.1001", Suffix: "ENG-{no}", Source: source, SQL: query, Confirm: map[string]string{"no": "no"}, Cache: -time.Second, Timeout: 5 * time.Second,
		Properties: []live.Property{
			{Index: 2000, Type: "quantity", Column: "qty"},
			{Index: 2001, Type: "state", Column: "state"},
			{Index: 2002, Type: "weight", Column: "weight"},
			{Index: 2003, Type: "made", Column: "made"},
		},
	}
}

func ask(r record.Resolver, name string) (record.Answer, error) {
	return r.Resolve(context.Background(), record.Query{ID: id.MustParse(name), As: name})
}

// texts are the values of an answer, as index=data.
func texts(a record.Answer) string {
	var out []string
	for _, v := range a.Values {
		out = append(out, fmt.Sprintf("%d=%s", v.Index, v.Data))
	}
	return strings.Join(out, " ")
}

const stockTable = `CREATE TABLE stock (no INTEGER PRIMARY KEY, qty INTEGER, state VARCHAR(40), weight NUMERIC(8,2), made DATE);
	INSERT INTO stock VALUES (42, 7, '在库', 12.50, '2026-11-22');
	INSERT INTO stock VALUES (43, 0, NULL, NULL, NULL)`

const stockQuery = "SELECT no, qty, state, weight, made FROM stock WHERE no = {no}"

// TestDatabases asks real databases, and breaks them.
func TestDatabases(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		e.exec(t, stockTable)
		src := live.Source{URL: e.url, Pause: time.Millisecond, Failures: 2}
		if e.secret != "" {
			src.Password = "env:ERP_PASSWORD"
		}
		rules := []live.Rule{stockRule("erp", stockQuery)}
		if e.writing != "" {
			w := stockRule("erp", e.writing)
			w.Name, w.Suffix = "writer", "DEL-{no}"
			rules = append(rules, w)
		}
		r, book := open(t, live.Config{
			Next:        registered(t),
			Secret:      func(string) (string, error) { return e.secret + "\n", nil },
			Declaration: live.Declaration{Sources: map[string]live.Source{"erp": src}, Rules: rules},
		})

		a, err := ask(r, "88.118.1001/eng-42")
		must(t, err)
		got := strings.NewReplacer("12.50", "12.5", "T00:00:00Z", "").Replace(texts(a)) // SQLite has neither decimals nor dates
		if want := "2000=7 2001=在库 2002=12.5 2003=2026-11-22"; got != want {
			t.Errorf("the row is %s, want %s", got, want)
		}
		if a.Live.IsZero() || a.Source != "live" {
			t.Errorf("the answer does not say that it is live: %+v", a)
		}
		if a, err = ask(r, "88.118.1001/ENG-43"); err != nil || texts(a) != "2000=0" {
			t.Errorf("with NULLs: %s, %v", texts(a), err)
		}
		for _, name := range []string{
			"88.118.1001/ENG-44", "88.118.1001/ENG-x", "88.118.1001/ENG-42 OR 1=1", "88.118.1001/ENG-' OR '1'='1",
			"88.118.1001/ENG-42;DROP TABLE stock", "88.118.1001/ENG-42x", "88.118.1001/ENG-042", "88.118.1001/ENG-42 ", "88.118.1001/ENG-99999999999999999999",
		} {
			if a, err := ask(r, name); !problem.Is(err, problem.NotFound) {
				t.Errorf("%s: %s, %v", name, texts(a), err)
			}
		}
		if s := r.States()[0]; s.Failed != 0 {
			t.Errorf("what nobody has counts as a fault: %+v", s)
		}

		if e.writing != "" {
			if _, err := ask(r, "88.118.1001/DEL-1"); !problem.Is(err, problem.Unreachable) {
				t.Errorf("a rule that writes: %v", err)
			}
			if a, err := ask(r, "88.118.1001/ENG-42"); err != nil {
				t.Errorf("it did write: %s, %v", texts(a), err)
			}
		}

		// A column is renamed: the asker learns nothing about it, the log says which.
		e.exec(t, "ALTER TABLE stock RENAME COLUMN qty TO quantity")
		for range 5 {
			_, err = ask(r, "88.118.1001/ENG-42")
			if !problem.Is(err, problem.Unreachable) || strings.Contains(problem.Say(err, problem.English), "qty") {
				t.Errorf("with a changed column: %v", err)
			}
		}
		if !strings.Contains(book.String(), "qty") || strings.Count(book.String(), "no longer answers with what the rule says") != 1+strings.Count(book.String(), "rule=writer") {
			t.Errorf("the log does not say once which column is gone:\n%s", book)
		}
		e.exec(t, "ALTER TABLE stock RENAME COLUMN quantity TO qty")
		if a, err = ask(r, "88.118.1001/ENG-42"); err != nil {
			t.Errorf("the column is back, and the source is still shut out: %v", err)
		}

		if e.kill == nil {
			return
		}
		e.kill(t)
		for range 3 {
			if _, err = ask(r, "88.118.1001/ENG-42"); !problem.Is(err, problem.Unreachable) {
				t.Errorf("with the source dead: %v", err)
			}
		}
		e.start(t)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			if a, err = ask(r, "88.118.1001/ENG-42"); err == nil {
				break
			}
			if i == 500 {
				t.Fatalf("the source is back, and not asked: %v", err)
			}
			<-tick.C
		}
		if e.secret != "" && strings.Contains(book.String(), e.secret) {
			t.Errorf("the password is in the log:\n%s", book)
		}
	})
}

// TestSelectStar: a column that disappears from the result of a query that still works.
func TestSelectStar(t *testing.T) {
	file := filepath.Join(t.TempDir(), "erp.db")
	exec := execOn("sqlite", file)
	exec(t, stockTable)
	rule := stockRule("erp", "SELECT * FROM stock WHERE no = {no} OR {no} = 'ALL'")
	rule.Confirm = nil
	r, book := open(t, live.Config{Next: registered(t), Declaration: live.Declaration{
		Sources: map[string]live.Source{"erp": {URL: "sqlite://" + file}}, Rules: []live.Rule{rule}}})
	if _, err := ask(r, "88.118.1001/ENG-42"); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(r, "88.118.1001/ENG-ALL"); !problem.Is(err, problem.Unreachable) || !strings.Contains(book.String(), "more than one row") {
		t.Errorf("two rows: %v\n%s", err, book)
	}
	exec(t, "ALTER TABLE stock RENAME COLUMN weight TO weight_kg")
	if _, err := ask(r, "88.118.1001/ENG-42"); !problem.Is(err, problem.Unreachable) || !strings.Contains(book.String(), "no column weight") {
		t.Errorf("a column is gone from the result: %v\n%s", err, book)
	}
}

// TestHang: a source that takes the connection and says nothing.
func TestHang(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	defer func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	}()
	sources := map[string]live.Source{}
	var rules []live.Rule
	for _, scheme := range []string{"postgres", "mysql"} {
		sources[scheme] = live.Source{URL: scheme + "://fujie@" + l.Addr().String() + "/erp", Failures: 1, Pause: time.Hour}
		u := stockRule(scheme, stockQuery)
		u.Suffix, u.Timeout = scheme+"-{no}", 100*time.Millisecond
		rules = append(rules, u)
	}
	sources["http"] = live.Source{URL: "http://" + l.Addr().String() + "/", Failures: 1, Pause: time.Hour}
	rules = append(rules, live.Rule{Prefix: "88.118.1001", Suffix: "http-{no}", Source: "http", HTTP: &live.Call{Path: "{no}"}, Timeout: 100 * time.Millisecond,
		Properties: []live.Property{{Index: 1, Type: "x", Column: "/x"}}})
	r, _ := open(t, live.Config{Next: registered(t), Declaration: live.Declaration{Sources: sources, Rules: rules}})
	for scheme := range sources {
		for range 3 {
			if _, err := ask(r, "88.118.1001/"+scheme+"-1"); !problem.Is(err, problem.Unreachable) {
				t.Errorf("%s: %v", scheme, err)
			}
		}
	}
	for _, s := range r.States() {
		if s.Asked != 1 || s.Refused != 2 || s.State != "open" {
			t.Errorf("the circuit of %s did not open: %+v", s.Name, s)
		}
	}
}
