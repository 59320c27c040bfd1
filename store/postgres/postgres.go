// Package postgres keeps a node's bytes in PostgreSQL, or in an engine that speaks its protocol: choose it when several
// machines must hold the data, and when your database team already guards such a cluster.
//
// The tables, made by Open in the schema that the connection's search_path names:
//
//	fujie_kv(prefix bytea, suffix bytea, value bytea, primary key (prefix, suffix)) partition by hash (prefix)
//	fujie_sequence(one boolean primary key, last bigint)
//
// The prefix is the part of the key before its first zero byte, the suffix the rest with that byte, so that
// prefix||suffix is the key and the order of the pairs is the order of the keys. The rows of an identifier prefix lie in
// one partition. fujie_sequence has one row, the last sequence number given out. Every writing transaction locks it
// first, in every process: so conditions are checked and numbers rise in the order of commit. Calls that wait for their
// turn share one transaction.
//
// Only plain SQL is used. LISTEN and NOTIFY wake waiting readers early where they exist; elsewhere they poll.
//
// Who may write to these tables can change every record; what is signed shows it.
package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/internal/await"
)

// Options are what an operator may tune. The zero Options are good.
type Options struct {
	Partitions int           // of the table, set when it is made; 0: 16
	Readers    int           // connections for point reads; 0: 8
	Views      int           // connections for snapshots and long ranges, each busy while one is open; 0: 16
	Timeout    time.Duration // of one transaction that writes; 0: one minute
	Poll       time.Duration // how often to look for numbers given out by other processes when nothing was notified; 0: 2 s
	Logger     *slog.Logger  // where lost connections are reported; nil: nowhere
}

// Store is an engine on a database server. Make it with Open.
type Store struct {
	o       Options
	where   string // for people: host:port/database
	channel string // of LISTEN
	reads   *pgxpool.Pool
	views   *pgxpool.Pool
	own     *pgxpool.Pool // one connection for the writer, one for the listener

	gate  await.Gate
	stop  chan struct{} // closed by Close: waiting ends
	last  await.Mark
	queue chan *request

	running context.CancelFunc // ends the writer and the listener
	ended   sync.WaitGroup

	mu   sync.Mutex
	open map[*view]struct{}
}

// Open connects to the database that url names (postgres://user@host:port/database?…, as libpq takes it) and makes the
// tables if they are not there.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	for _, v := range []struct {
		n       *int
		usually int
	}{{&o.Partitions, 16}, {&o.Readers, 8}, {&o.Views, 16}} {
		if *v.n <= 0 {
			*v.n = v.usually
		}
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Poll <= 0 {
		o.Poll = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The cause may quote the URL, and with it a password.
		return nil, problem.New(problem.BadRequest,
			"the address of the database is malformed: write postgres://user@host:5432/database",
			"数据库地址格式有误：应写作 postgres://用户@主机:5432/数据库")
	}
	c := config.ConnConfig
	s := &Store{
		o: o, where: fmt.Sprintf("%s:%d/%s", c.Host, c.Port, c.Database),
		stop: make(chan struct{}), queue: make(chan *request, 1024), open: map[*view]struct{}{},
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	config.MinConns = 0
	config.MaxConnIdleTime = time.Minute
	config.AfterConnect = prepareConnection
	for _, p := range []struct {
		pool **pgxpool.Pool
		n    int
	}{{&s.reads, o.Readers}, {&s.views, o.Views}, {&s.own, 2}} {
		pc := config.Copy()
		pc.MaxConns = int32(p.n)
		if *p.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
			s.closePools()
			return nil, s.explain(err)
		}
	}
	if err := s.makeTables(ctx); err != nil {
		s.closePools()
		return nil, s.explain(err)
	}
	run, cancel := context.WithCancel(context.Background())
	s.running = cancel
	s.ended.Go(func() { s.writeAll(run) })
	s.ended.Go(func() { s.listen(run) })
	return s, nil
}

func (s *Store) closePools() {
	for _, p := range []*pgxpool.Pool{s.reads, s.views, s.own} {
		if p != nil {
			p.Close()
		}
	}
}

// prepareConnection keeps the planner to the primary key: all our statements are point reads or short walks along it,
// and statistics of a table that has just grown mislead. Engines without these settings do without.
func prepareConnection(ctx context.Context, c *pgx.Conn) error {
	for _, set := range []string{"plan_cache_mode = force_generic_plan", "jit = off", "enable_seqscan = off", "enable_bitmapscan = off",
		"enable_hashjoin = off", "enable_mergejoin = off"} {
		if _, err := c.Exec(ctx, "SET "+set); err != nil && !isServerError(err) {
			return err
		}
	}
	return nil
}

func (s *Store) makeTables(ctx context.Context) error {
	var err error
	for range 5 { // two processes that make the tables at once may trip over each other
		if err = s.tryMakeTables(ctx); err == nil || !isServerError(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (s *Store) tryMakeTables(ctx context.Context) error {
	var schema string
	var there bool
	if err := s.own.QueryRow(ctx, "SELECT coalesce(current_schema(), '')").Scan(&schema); err != nil {
		return err
	}
	if s.channel = "fujie." + schema; len(s.channel) > 63 {
		s.channel = fmt.Sprintf("fujie.%x", sha256.Sum256([]byte(schema)))[:40]
	}
	// A user who may not make tables can still use those that are there.
	if err := s.own.QueryRow(ctx, "SELECT count(*) > 0 FROM information_schema.tables WHERE table_name = 'fujie_sequence' AND table_schema = $1", schema).Scan(&there); err != nil {
		return err
	}
	if !there {
		var make strings.Builder
		make.WriteString("CREATE TABLE IF NOT EXISTS fujie_kv (prefix bytea NOT NULL, suffix bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (prefix, suffix)) PARTITION BY HASH (prefix);\n")
		for i := range s.o.Partitions {
			fmt.Fprintf(&make, "CREATE TABLE IF NOT EXISTS fujie_kv_%d PARTITION OF fujie_kv FOR VALUES WITH (MODULUS %d, REMAINDER %d);\n", i, s.o.Partitions, i)
		}
		make.WriteString("CREATE TABLE IF NOT EXISTS fujie_sequence (one boolean PRIMARY KEY DEFAULT true CHECK (one), last bigint NOT NULL);\n")
		make.WriteString("INSERT INTO fujie_sequence (last) VALUES (0) ON CONFLICT DO NOTHING;")
		if err := pgx.BeginFunc(ctx, s.own, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, make.String(), pgx.QueryExecModeSimpleProtocol)
			return err
		}); err != nil {
			return err
		}
	}
	n, err := s.readLast(ctx)
	s.last.Raise(n)
	return err
}

func (s *Store) readLast(ctx context.Context) (n uint64, err error) {
	err = s.own.QueryRow(ctx, "SELECT last FROM fujie_sequence").Scan(&n)
	return n, err
}

// Wait is store.Store's.
func (s *Store) Wait(ctx context.Context, after uint64) error {
	if !s.gate.Enter() {
		return store.ErrClosed
	}
	defer s.gate.Leave()
	return s.last.Above(ctx, after, s.stop, store.ErrClosed)
}

// listen raises s.last when another process gives out numbers.
func (s *Store) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.listenOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		s.o.Logger.Warn("the connection that listens to the database was lost; trying again", "database", s.where, "error", err)
		select {
		case <-time.After(min(s.o.Poll, time.Second)):
		case <-ctx.Done():
		}
	}
}

func (s *Store) listenOnce(ctx context.Context) error {
	c, err := s.own.Acquire(ctx)
	if err != nil {
		return err
	}
	// A connection that listens must not serve anybody else.
	defer func() {
		c.Hijack().Close(context.Background())
	}()
	_, err = c.Exec(ctx, "LISTEN "+pgx.Identifier{s.channel}.Sanitize())
	if err != nil && !isServerError(err) {
		return err
	}
	for {
		var n uint64
		if err := c.QueryRow(ctx, "SELECT last FROM fujie_sequence").Scan(&n); err != nil {
			return err
		}
		s.last.Raise(n)
		wait, cancel := context.WithTimeout(ctx, s.o.Poll)
		_, err := c.Conn().WaitForNotification(wait)
		cancel()
		if err != nil && (wait.Err() == nil || ctx.Err() != nil || c.Conn().IsClosed()) {
			return err
		}
	}
}

// Close is store.Store's.
func (s *Store) Close() error {
	if !s.gate.Shut() {
		return nil
	}
	close(s.stop)
	s.gate.Wait()
	s.running()
	s.ended.Wait()
	s.mu.Lock()
	open := make([]*view, 0, len(s.open))
	for v := range s.open {
		open = append(open, v)
	}
	s.mu.Unlock()
	for _, v := range open {
		_ = v.Close()
	}
	s.closePools()
	return nil
}

// isServerError reports whether the server understood the statement and refused it.
func isServerError(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && !isShutdown(e)
}

func isShutdown(e *pgconn.PgError) bool {
	return strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "08") || e.Severity == "FATAL" || e.Severity == "PANIC"
}

// isLost reports whether the connection, not the statement, failed.
func isLost(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return isShutdown(e)
	}
	var ours *problem.Error
	return err != nil && !errors.As(err, &ours) && !errors.Is(err, context.Canceled) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, pgx.ErrNoRows)
}

func isCode(err error, codes ...string) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}

// explain makes err one for people. Those of the seam and of contexts stay as they are.
func (s *Store) explain(err error) error {
	var p *problem.Error
	switch {
	case err == nil || errors.As(err, &p) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case isCode(err, "53100"):
		return errors.Join(store.ErrFull, err)
	case isCode(err, "25006"):
		return problem.Wrap(err, problem.ReadOnly,
			"the database %s takes no writes now: name its primary in the address",
			"数据库 %s 当前不接受写入：请在地址中指定其主节点", s.where)
	case isCode(err, "28P01", "28000", "42501"):
		return problem.Wrap(err, problem.AuthFailed,
			"the database %s refuses this user: check name, password and rights in the address",
			"数据库 %s 拒绝该用户：请检查地址中的用户名、密码及其权限", s.where)
	case isServerError(err):
		return problem.Wrap(err, problem.Internal,
			"the database %s refused a statement: see its log",
			"数据库 %s 拒绝执行语句：请查看其日志", s.where)
	}
	return problem.Wrap(err, problem.Unreachable,
		"the database %s cannot be reached: see that it runs and that the address is right",
		"无法连接数据库 %s：请确认其正在运行且地址正确", s.where)
}

// split is the key as it stands in the table.
func split(key []byte) (prefix, suffix []byte) {
	if key == nil {
		return []byte{}, []byte{} // nil would be NULL
	}
	if i := bytes.IndexByte(key, 0); i >= 0 {
		return key[:i:i], key[i:]
	}
	return key, []byte{}
}
