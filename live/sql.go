package live

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
)

// database is a source that speaks SQL.
type database struct {
	db    *sql.DB
	style style
}

// style is how a database writes places and texts.
type style struct {
	numbered  bool // $1, $2; else ?
	backslash bool // in texts
	readonly  bool // each question in a read-only transaction, because a connection cannot be made so
}

// openSource makes ready to ask, without asking.
func openSource(cfg *Config, s Source, longest time.Duration) (source, error) {
	if s.URL == "" {
		return nil, bad("url is missing: write postgres://…, mysql://…, sqlite:///… or https://…", "缺少 url：请写 postgres://…、mysql://…、sqlite:///… 或 https://…")
	}
	text := s.URL
	if secretRef(text) {
		var err error
		if text, err = cfg.secret("url", text); err != nil {
			return nil, bad("%v", "%v", err)
		}
	} else if passwordOf(text) != "" {
		return nil, bad("a password stands in url: take it out and write password: env:NAME or file:PATH", "url 中含有口令：请移除并改用 password: env:名称 或 file:路径")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return nil, bad("url is no address: write postgres://…, mysql://…, sqlite:///… or https://…", "url 不是有效地址：请写 postgres://…、mysql://…、sqlite:///… 或 https://…")
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		return openHTTP(cfg, s, u)
	}
	if s.Bearer != "" || s.BasicUser != "" || len(s.Headers) > 0 {
		return nil, bad("bearer, basic-user and headers are for HTTP sources", "bearer、basic-user 和 headers 仅用于 HTTP 数据源")
	}
	c := &connector{}
	d := &database{}
	password := func() (string, error) {
		if s.Password == "" {
			p, _ := u.User.Password()
			return p, nil
		}
		return cfg.secret("password", s.Password)
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		pc, err := pgx.ParseConfig(text)
		if err != nil {
			// Its text has the address in it.
			return nil, bad("url cannot be used for PostgreSQL: check host, port and the settings behind the question mark", "url 不能用于 PostgreSQL：请检查主机、端口和问号后的设置")
		}
		// Described each time, so that a changed table shows at once and nothing is read by an old description.
		pc.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
		pc.RuntimeParams["default_transaction_read_only"] = "on"
		pc.RuntimeParams["statement_timeout"] = strconv.FormatInt((longest + time.Second).Milliseconds(), 10)
		if pc.RuntimeParams["application_name"] == "" {
			pc.RuntimeParams["application_name"] = "fujie"
		}
		c.driver = stdlib.GetDefaultDriver()
		c.connect = func(ctx context.Context) (driver.Conn, error) {
			mine := pc.Copy()
			var err error
			if mine.Password, err = password(); err != nil {
				return nil, err
			}
			return stdlib.GetConnector(*mine).Connect(ctx)
		}
		d.style = style{numbered: true}
	case "mysql", "mariadb":
		mc := mysql.NewConfig()
		mc.Net, mc.User, mc.DBName = "tcp", u.User.Username(), strings.TrimPrefix(u.Path, "/")
		mc.Addr = u.Host
		if u.Port() == "" {
			mc.Addr = net.JoinHostPort(u.Hostname(), "3306")
		}
		mc.TLSConfig = u.Query().Get("tls")
		for k := range u.Query() {
			if k != "tls" {
				return nil, bad("url has the setting %q: only tls (true, skip-verify, preferred) is known for MySQL", "url 中的设置 %q 未知：MySQL 仅支持 tls（true、skip-verify、preferred）", k)
			}
		}
		mc.InterpolateParams = false
		mc.Logger = silent{}
		if _, err := mysql.NewConnector(mc.Clone()); err != nil {
			return nil, bad("url cannot be used for MySQL: check host, port and tls", "url 不能用于 MySQL：请检查主机、端口和 tls")
		}
		c.driver = mysql.MySQLDriver{}
		c.connect = func(ctx context.Context) (driver.Conn, error) {
			mine := mc.Clone()
			var err error
			if mine.Passwd, err = password(); err != nil {
				return nil, err
			}
			conn, err := mysql.NewConnector(mine)
			if err != nil {
				return nil, err
			}
			return conn.Connect(ctx)
		}
		d.style = style{backslash: true, readonly: true}
	case "sqlite":
		path := u.Path
		if path == "" {
			path = u.Opaque
		}
		if path == "" {
			return nil, bad("url names no file: write sqlite:///folder/file.db", "url 未指明文件：请写 sqlite:///文件夹/文件.db")
		}
		dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(1000)"}).String()
		own := &sqlite.Driver{}
		c.driver = own
		c.connect = func(context.Context) (driver.Conn, error) { return own.Open(dsn) }
	default:
		return nil, bad("url begins with %s: known are postgres, mysql, mariadb, sqlite, http and https", "url 以 %s 开头：支持 postgres、mysql、mariadb、sqlite、http、https", u.Scheme)
	}
	n := s.Concurrency
	d.db = sql.OpenDB(c)
	d.db.SetMaxOpenConns(n)
	d.db.SetMaxIdleConns(n)
	d.db.SetConnMaxIdleTime(time.Minute)
	d.db.SetConnMaxLifetime(10 * time.Minute)
	return d, nil
}

// passwordOf is the password in an address, if any.
func passwordOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	if p, _ := u.User.Password(); p != "" {
		return p
	}
	return u.Query().Get("password")
}

// silent keeps the driver from writing to standard error on its own.
type silent struct{}

func (silent) Print(...any) {}

// connector opens connections with the credential as it is at that moment.
type connector struct {
	driver  driver.Driver
	connect func(ctx context.Context) (driver.Conn, error)
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) { return c.connect(ctx) }
func (c *connector) Driver() driver.Driver                            { return c.driver }

func (d *database) close() error { return d.db.Close() }

// prepare turns {part}s into the database's own places. What an asker wrote so never becomes text of a query.
func (d *database) prepare(s *Rule, u *rule) (ask, error) {
	if s.SQL == "" || s.HTTP != nil {
		return nil, bad("its source is a database: write sql, and no http", "其数据源为数据库：请写 sql，不写 http")
	}
	query, order, err := d.style.places(s.SQL, u.pattern)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, parts map[string]string) (row, error) {
		args := make([]any, len(order))
		for i, name := range order {
			args[i] = parts[name]
		}
		got, err := d.ask(ctx, u, query, args, parts)
		if err != nil && ctx.Err() == nil {
			switch classify(err) {
			case notOfType:
				return row{}, nil // what was asked for cannot be in the table: a letter where it has numbers
			case changed:
				err = fault{true, err}
			}
		}
		return got, err
	}, nil
}

func (d *database) ask(ctx context.Context, u *rule, query string, args []any, parts map[string]string) (_ row, err error) {
	var rows *sql.Rows
	if d.style.readonly {
		tx, err := d.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return row{}, err
		}
		defer tx.Rollback()
		rows, err = tx.QueryContext(ctx, query, args...)
		if err != nil {
			return row{}, err
		}
	} else if rows, err = d.db.QueryContext(ctx, query, args...); err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return row{}, rows.Err()
	}
	kinds, err := rows.ColumnTypes()
	if err != nil {
		return row{}, err
	}
	cells := make([]any, len(kinds))
	for i := range cells {
		cells[i] = new(any)
	}
	if err := rows.Scan(cells...); err != nil {
		return row{}, err
	}
	cell := func(want string) ([]byte, error) {
		k := slices.IndexFunc(kinds, func(c *sql.ColumnType) bool { return c.Name() == want })
		if k < 0 {
			k = slices.IndexFunc(kinds, func(c *sql.ColumnType) bool { return strings.EqualFold(c.Name(), want) })
		}
		if k < 0 {
			return nil, shape("the result has no column %s", want)
		}
		text, err := asText(*cells[k].(*any), kinds[k].DatabaseTypeName())
		if err != nil {
			return nil, shape("column %s: %w", want, err)
		}
		return text, nil
	}
	got, err := u.pick(cell, parts)
	if err != nil {
		return row{}, err
	}
	if rows.Next() {
		return row{}, shape("the query gives more than one row for one identifier")
	}
	return got, rows.Err()
}

// asText is the text form of what a database gives; nil for NULL.
func asText(v any, kind string) ([]byte, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case string:
		return append([]byte{}, x...), nil
	case []byte:
		if utf8.Valid(x) {
			return append([]byte{}, x...), nil
		}
		return base64.StdEncoding.AppendEncode([]byte{}, x), nil
	case int64:
		return strconv.AppendInt(nil, x, 10), nil
	case float64:
		return strconv.AppendFloat(nil, x, 'f', -1, 64), nil
	case float32:
		return strconv.AppendFloat(nil, float64(x), 'f', -1, 32), nil
	case bool:
		return strconv.AppendBool(nil, x), nil
	case time.Time:
		switch kind {
		case "DATE":
			return []byte(x.Format(time.DateOnly)), nil
		case "TIMESTAMP", "DATETIME":
			return []byte(x.Format("2006-01-02T15:04:05.999999")), nil
		}
		return []byte(x.UTC().Format(time.RFC3339Nano)), nil
	}
	return nil, errors.New("it is of a type that has no text form; convert it in the query")
}

// What an error of a database that did answer means.
type verdict uint8

const (
	failed    verdict = iota
	notOfType         // what was asked for is not of the column's type
	changed           // a table or column that the query names is not there, or the query is not well formed
)

func classify(err error) verdict {
	var pe *pgconn.PgError
	if errors.As(err, &pe) && len(pe.Code) == 5 {
		switch pe.Code[:2] {
		case "22":
			return notOfType
		case "42", "3F", "25": // syntax or names; no such schema; a query that would write
			if pe.Code != "42501" {
				return changed
			}
		}
	}
	var me *mysql.MySQLError
	if errors.As(err, &me) {
		switch me.Number {
		case 1054, 1064, 1146, 1305, 1792: // column, syntax, table, function, a write
			return changed
		}
	}
	var se *sqlite.Error
	if errors.As(err, &se) && (se.Code()&0xff == 1 || se.Code()&0xff == 8) { // SQLITE_ERROR, SQLITE_READONLY
		return changed
	}
	return failed
}

// places replaces each {part} outside of texts, names in quotes and comments.
func (st style) places(query string, p *pattern) (string, []string, error) {
	query = strings.TrimRight(strings.TrimSpace(query), "; \t\r\n")
	word := strings.ToUpper(query)
	if i := strings.IndexFunc(word, func(c rune) bool { return c < 'A' || c > 'Z' }); i >= 0 {
		word = word[:i]
	}
	if !slices.Contains([]string{"SELECT", "WITH", "VALUES", "TABLE"}, word) {
		return "", nil, bad("sql must be one query that begins with SELECT or WITH: nothing else is asked of a source", "sql 须为以 SELECT 或 WITH 开头的单条查询：不会向数据源发送其他语句")
	}
	var b strings.Builder
	var order []string
	for i := 0; i < len(query); {
		c := query[i]
		if n, closed := st.quoted(query[i:]); n > 0 {
			if !closed {
				return "", nil, bad("sql has a quote or comment without an end", "sql 中有未闭合的引号或注释")
			}
			var hit string
			places(query[i:i+n], func(name string) string {
				if p.has(name) {
					hit = name
				}
				return ""
			})
			if hit != "" {
				return "", nil, bad("sql has {%s} inside quotes or a comment: write it without quotes, it stands for a whole value", "sql 中 {%s} 位于引号或注释内：请去掉引号，它代表一个完整的值", hit)
			}
			b.WriteString(query[i : i+n])
			i += n
			continue
		}
		switch {
		case c == ';':
			return "", nil, bad("sql has more than one statement", "sql 含有多条语句")
		case c == '?' && !st.numbered, c == '$' && st.numbered && i+1 < len(query) && '0' <= query[i+1] && query[i+1] <= '9':
			return "", nil, bad("sql has a place of its own (%c): write {part}", "sql 中有自带的占位符（%c）：请写 {部分名}", c)
		case c == '{':
			end := strings.IndexByte(query[i:], '}')
			if end < 0 || !p.has(query[i+1:i+end]) {
				return "", nil, bad("sql has a { that begins no part of the suffix pattern", "sql 中的 { 不对应后缀模式中的任何部分")
			}
			name := query[i+1 : i+end]
			if st.numbered {
				k := slices.Index(order, name)
				if k < 0 {
					k, order = len(order), append(order, name)
				}
				b.WriteByte('$')
				b.WriteString(strconv.Itoa(k + 1))
			} else {
				order = append(order, name)
				b.WriteByte('?')
			}
			i += end + 1
			continue
		}
		b.WriteByte(c)
		i++
	}
	return b.String(), order, nil
}

// quoted is how many bytes a text, a quoted name or a comment at the start of s has, 0 if none begins there.
func (st style) quoted(s string) (n int, closed bool) {
	until := func(skip int, end string) (int, bool) {
		if at := strings.Index(s[skip:], end); at >= 0 {
			return skip + at + len(end), true
		}
		return len(s), false
	}
	switch {
	case s[0] == '\'' || s[0] == '"' || s[0] == '`':
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] == '\\' && st.backslash:
				i++
			case s[i] == s[0]:
				return i + 1, true // a doubled quote begins the next text
			}
		}
		return len(s), false
	case strings.HasPrefix(s, "--"):
		if n, ok := until(2, "\n"); ok {
			return n, true
		}
		return len(s), true
	case strings.HasPrefix(s, "/*"):
		return until(2, "*/")
	case st.numbered && strings.HasPrefix(s, "$$"):
		return until(2, "$$")
	}
	return 0, false
}
