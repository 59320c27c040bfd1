// Package indicator counts: it keeps what happened, and what things are, as plain SQL tables beside the node, so that a
// plant's figures are questions in SQL that anybody can read, and any BI tool can ask its own.
//
// The tables are a projection: they are fed from the node's events, records and flow runs, can be thrown away at any time
// and are made anew from those, row for row. They run behind by moments and say how far. Nothing is ever decided by them.
package indicator

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"

	_ "github.com/jackc/pgx/v5/stdlib" // the engine "pgx"
	_ "modernc.org/sqlite"             // the engine "sqlite"
)

// Event is an event as the history gives it.
type Event struct {
	Seq   uint64
	Event *epcis.Event
	Hash  string
	By    string
}

// Step is one scan of a flow, as its journal has it.
type Step struct {
	Seq      uint64
	Run      string
	No       int // of the step within its run, from 1
	Solution string
	Flow     string
	Step     string
	About    string
	Code     string // as scanned
	Verdict  string
	Say      string // the answer's sentence, in English
	Who      string
	Device   string
	Place    string
	At       time.Time // when it was scanned
	Took     time.Duration
	Started  time.Time // of the run
	State    string    // of the run afterwards: open, held, ended, cancelled
}

// Config is what the projection needs of the node. A source that is nil feeds nothing.
type Config struct {
	// DSN is where the tables are: a file's path for SQLite, or postgres://… for PostgreSQL, whose schema must be the projection's own.
	DSN string
	// Zone is in what day, hour and week are counted. UTC+8 when nil.
	Zone *time.Location
	// Events, Changes and Steps give what came behind a number, oldest first, at most limit, and do not wait.
	Events  func(ctx context.Context, after uint64, limit int) ([]Event, error)
	Changes func(ctx context.Context, after uint64, limit int) ([]record.Entry, error)
	Steps   func(ctx context.Context, after uint64, limit int) ([]Step, error)
	// Last are the newest numbers of the three, for saying how far behind the tables are; nil: not said.
	Last func(ctx context.Context) (events, changes, steps uint64, err error)
	// Every is how often the sources are looked at when nothing new was there. Half a second when 0.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Projection is the tables. It is safe for concurrent use.
type Projection struct {
	cfg  Config
	lite bool
	db   *sql.DB // writes; one connection for SQLite
	read *sql.DB // answers; cannot write

	work    sync.Mutex // one writer
	rows    atomic.Int64
	stopped atomic.Pointer[string] // why it does not go on
}

const batch = 2000 // entries of a source in one transaction

// Open opens the tables and makes those that are missing; of another version of the program's they are made anew. Errors: problem.Internal for
// a database that does not answer or cannot be written.
func Open(ctx context.Context, cfg Config) (*Projection, error) {
	if cfg.Zone == nil {
		cfg.Zone = time.FixedZone("+08:00", 8*3600)
	}
	if cfg.Every <= 0 {
		cfg.Every = 500 * time.Millisecond
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	p := &Projection{cfg: cfg, lite: !strings.HasPrefix(cfg.DSN, "postgres://") && !strings.HasPrefix(cfg.DSN, "postgresql://")}
	var err error
	if p.lite {
		// The rows can be made anew at any time, so losing the last moments with the machine is no loss: no fsync at each commit.
		if p.db, err = sql.Open("sqlite", "file:"+escapePath(cfg.DSN)+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(10000)&_pragma=cache_size(-32000)"); err == nil {
			p.db.SetMaxOpenConns(1)
			p.read, err = sql.Open("sqlite", "file:"+escapePath(cfg.DSN)+"?mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(10000)&_pragma=cache_size(-32000)")
		}
	} else {
		if p.db, err = sql.Open("pgx", cfg.DSN); err == nil {
			p.db.SetMaxOpenConns(2)
			more := "?"
			if strings.Contains(cfg.DSN, "?") {
				more = "&"
			}
			p.read, err = sql.Open("pgx", cfg.DSN+more+"default_transaction_read_only=on&statement_timeout=30000")
		}
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the tables for indicators cannot be opened", "无法打开指标库")
	}
	p.read.SetMaxOpenConns(4)
	if err := p.prepare(ctx); err != nil {
		p.Close()
		return nil, problem.Wrap(err, problem.Internal, "the tables for indicators cannot be made: the database must answer, and be writable", "无法建立指标库的表：数据库须可连接且可写")
	}
	return p, nil
}

// escapePath keeps a path from being read as the rest of a URI.
func escapePath(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

// Close closes the tables; Go must have returned.
func (p *Projection) Close() error {
	var err error
	if p.read != nil {
		err = p.read.Close()
	}
	return errors.Join(err, p.db.Close())
}

// prepare makes the tables; those of another version go first.
func (p *Projection) prepare(ctx context.Context) error {
	if _, err := p.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS progress (source TEXT PRIMARY KEY, seq BIGINT NOT NULL)"); err != nil {
		return err
	}
	var v int64
	err := p.db.QueryRowContext(ctx, "SELECT seq FROM progress WHERE source = 'version'").Scan(&v)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if v == version {
		return nil
	}
	return p.clear(ctx)
}

// clear makes all tables anew, empty.
func (p *Projection) clear(ctx context.Context) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, t := range tables {
		if t.view != "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+t.name+p.cascade()); err != nil {
			return err
		}
	}
	for _, t := range tables {
		if t.view != "" {
			if _, err := tx.ExecContext(ctx, "DROP VIEW IF EXISTS "+t.name); err != nil {
				return err
			}
		}
		for _, s := range t.statements() {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM progress"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO progress (source, seq) VALUES ('version', %d)", version)); err != nil {
		return err
	}
	return tx.Commit()
}

func (p *Projection) cascade() string {
	if p.lite {
		return ""
	}
	return " CASCADE"
}

// Rebuild throws all rows away and takes everything in again. It returns when the tables have what was there when it began; told is
// called with the number of entries taken in so far.
func (p *Projection) Rebuild(ctx context.Context, told func(entries int64)) error {
	p.work.Lock()
	err := p.clear(ctx)
	p.rows.Store(0)
	p.work.Unlock()
	if err != nil {
		return problem.Wrap(err, problem.Internal, "the tables for indicators cannot be emptied", "无法清空指标库")
	}
	return p.CatchUp(ctx, told)
}

// CatchUp takes in what there is until nothing is new.
func (p *Projection) CatchUp(ctx context.Context, told func(entries int64)) error {
	for {
		n, err := p.turn(ctx)
		if told != nil && n > 0 {
			told(p.rows.Load())
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// Go keeps the tables up to date until ctx is done.
func (p *Projection) Go(ctx context.Context) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
		}
		err := p.CatchUp(ctx, nil)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := p.cfg.Every
		if err != nil {
			why := err.Error()
			if was := p.stopped.Swap(&why); was == nil || *was != why {
				p.cfg.Log.Error("the tables for indicators do not follow", "err", err)
			}
			pause = max(pause, 5*time.Second)
		} else {
			p.stopped.Store(nil)
		}
		wait.Reset(pause)
	}
}

// Lag is how far the tables are behind.
type Lag struct {
	Events  uint64 `json:"events" doc:"Events not taken in yet"`
	Changes uint64 `json:"changes" doc:"Changes of records not taken in yet"`
	Steps   uint64 `json:"steps" doc:"Steps of flows not taken in yet"`
	Entries int64  `json:"entries" doc:"Entries taken in since the node started"`
	Error   string `json:"error,omitempty" doc:"Why it does not go on"`
}

// Lag says how far behind the tables are.
func (p *Projection) Lag(ctx context.Context) (Lag, error) {
	l := Lag{Entries: p.rows.Load()}
	if why := p.stopped.Load(); why != nil {
		l.Error = *why
	}
	if p.cfg.Last == nil {
		return l, nil
	}
	events, changes, steps, err := p.cfg.Last(ctx)
	if err != nil {
		return l, err
	}
	at, err := p.progress(ctx, p.read)
	if err != nil {
		return l, problem.Wrap(err, problem.Internal, "the tables for indicators cannot be read", "无法读取指标库")
	}
	behind := func(last, at uint64) uint64 { return max(last, at) - at }
	l.Events, l.Changes, l.Steps = behind(events, at["events"]), behind(changes, at["changes"]), behind(steps, at["steps"])
	return l, nil
}

// fresh takes in what little the tables do not have yet, so that whoever asks right behind a scan finds it counted. Of tables that are far behind, or do not follow, the answer says so
// instead, at once.
func (p *Projection) fresh(ctx context.Context) {
	l, err := p.Lag(ctx)
	if n := l.Events + l.Changes + l.Steps; err != nil || n == 0 || n > batch || l.Error != "" {
		return
	}
	if _, err := p.turn(ctx); err != nil {
		p.cfg.Log.Warn("the tables for indicators were not brought up to date for a question", "err", err)
	}
}

type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

func (p *Projection) progress(ctx context.Context, db querier) (map[string]uint64, error) {
	rows, err := db.QueryContext(ctx, "SELECT source, seq FROM progress")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	at := map[string]uint64{}
	for rows.Next() {
		var s string
		var n int64
		if err := rows.Scan(&s, &n); err != nil {
			return nil, err
		}
		at[s] = uint64(n)
	}
	return at, rows.Err()
}
