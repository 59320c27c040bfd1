package indicator

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Limits of an answer.
const (
	maxRows = 10_000
	maxTime = 20 * time.Second
)

// Rows is an answer: names of columns, and rows of text, numbers or null.
type Rows struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
	Cut     bool     `json:"cut,omitempty" doc:"There were more rows than are given"`
}

var (
	statement = regexp.MustCompile(`(?is)^\s*(select|with)\b`)
	// What writes, or reaches out of the tables; the connection cannot write either.
	forbidden = regexp.MustCompile(`(?i)\b(attach|detach|pragma|insert|update|delete|drop|alter|create|copy|vacuum|reindex|load_extension|readfile|writefile|pg_[a-z_]+|lo_[a-z]+|dblink[a-z_]*|set|do|call|execute|grant|revoke)\b`)
)

// bound is a statement with its named places, :from, written as the engine has them.
func (p *Projection) bound(q string, params map[string]string) (text string, args []any, err error) {
	var b strings.Builder
	places := map[string]int{}
	bare := strings.Builder{} // the statement without strings and comments, for looking at words
	for i := 0; i < len(q); i++ {
		c := q[i]
		switch {
		case c == '\'' || c == '"':
			end := i + 1
			for end < len(q) {
				if q[end] == c {
					if end+1 < len(q) && q[end+1] == c {
						end += 2
						continue
					}
					break
				}
				end++
			}
			if end >= len(q) {
				return "", nil, problem.New(problem.BadValue, "a quoted text has no end", "引号没有结束")
			}
			b.WriteString(q[i : end+1])
			bare.WriteString(" x ")
			i = end
		case c == '-' && i+1 < len(q) && q[i+1] == '-':
			end := strings.IndexByte(q[i:], '\n')
			if end < 0 {
				end = len(q) - i
			}
			b.WriteByte('\n')
			bare.WriteByte(' ')
			i += end
		case c == '/' && i+1 < len(q) && q[i+1] == '*':
			end := strings.Index(q[i+2:], "*/")
			if end < 0 {
				return "", nil, problem.New(problem.BadValue, "a comment has no end", "注释没有结束")
			}
			b.WriteByte(' ')
			bare.WriteByte(' ')
			i += end + 3
		case c == ';':
			if strings.TrimSpace(q[i+1:]) != "" {
				return "", nil, problem.New(problem.BadValue, "an indicator is one statement, and nothing stands behind its semicolon", "指标只能是一条语句，分号之后不能有内容")
			}
			i = len(q)
		case c == '$' || c == '?' || c == '@':
			return "", nil, problem.New(problem.BadValue, "%q has no place in an indicator: write :from, :to, :day", "指标中不能有 %q：请写 :from、:to、:day", string(c))
		case c == ':' && i+1 < len(q) && q[i+1] == ':':
			b.WriteString("::")
			bare.WriteString("::")
			i++
		case c == ':' && i+1 < len(q) && isLetter(q[i+1]):
			end := i + 1
			for end < len(q) && isLetter(q[end]) {
				end++
			}
			name := q[i+1 : end]
			value, ok := params[name]
			if !ok {
				return "", nil, problem.New(problem.BadValue, ":%s is no place of an indicator: there are :from and :to, and in a drill-down the columns of the row, as :day", "指标没有占位符 :%s：可用 :from、:to，下钻语句中还可用该行的列，如 :day", name)
			}
			n, seen := places[name]
			if !seen {
				n = len(args) + 1
				places[name] = n
				args = append(args, value)
			}
			if p.lite {
				fmt.Fprintf(&b, "?%d", n)
			} else {
				fmt.Fprintf(&b, "CAST($%d AS TEXT)", n)
			}
			i = end - 1
		default:
			b.WriteByte(c)
			bare.WriteByte(c)
		}
	}
	if !statement.MatchString(bare.String()) {
		return "", nil, problem.New(problem.BadValue, "an indicator is one SELECT: it begins with SELECT or WITH", "指标应为一条以 SELECT 或 WITH 开头的查询")
	}
	if w := forbidden.FindString(bare.String()); w != "" {
		return "", nil, problem.New(problem.Forbidden, "%s has no place in an indicator, which only reads the tables", "指标只能读取表，不能使用 %s", strings.ToUpper(w))
	}
	return b.String(), args, nil
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9'
}

// Ask answers one SELECT over the tables, with text for its named places. Errors: problem.BadValue for SQL that the engine does not
// take; problem.Forbidden for words that do more than read; problem.Busy when it takes over 20 seconds.
func (p *Projection) Ask(ctx context.Context, q string, params map[string]string) (Rows, error) {
	text, args, err := p.bound(q, params)
	if err != nil {
		return Rows{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	tx, err := p.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: !p.lite})
	if err != nil {
		return Rows{}, problem.Wrap(err, problem.Internal, "the tables for indicators cannot be read", "无法读取指标库")
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return Rows{}, p.wrong(ctx, err)
	}
	defer rows.Close()
	out := Rows{Rows: [][]any{}}
	if out.Columns, err = rows.Columns(); err != nil {
		return Rows{}, p.wrong(ctx, err)
	}
	for rows.Next() {
		if len(out.Rows) == maxRows {
			out.Cut = true
			break
		}
		row := make([]any, len(out.Columns))
		at := make([]any, len(row))
		for i := range row {
			at[i] = &row[i]
		}
		if err := rows.Scan(at...); err != nil {
			return Rows{}, p.wrong(ctx, err)
		}
		for i, v := range row {
			if b, ok := v.([]byte); ok {
				row[i] = string(b)
			}
		}
		out.Rows = append(out.Rows, row)
	}
	if err := rows.Err(); err != nil {
		return Rows{}, p.wrong(ctx, err)
	}
	return out, nil
}

func (p *Projection) wrong(ctx context.Context, err error) error {
	if ctx.Err() == context.DeadlineExceeded {
		return problem.New(problem.Busy, "the figure takes over %v: ask for a shorter time, or give its SQL an index's column to begin with", "计算超过 %v：请缩短时间范围，或让 SQL 使用有索引的列", maxTime)
	}
	return problem.Wrap(err, problem.BadValue, "the database does not take this SQL", "数据库不接受该 SQL")
}

// Check says whether an indicator's SQL can be computed: it is prepared against the tables and answers a column value.
func (p *Projection) Check(ctx context.Context, q string) error {
	text, args, err := p.bound(q, map[string]string{"from": "", "to": ""})
	if err != nil {
		return err
	}
	rows, err := p.read.QueryContext(ctx, "SELECT * FROM ("+text+") AS figure WHERE 1 = 0", args...)
	if err != nil {
		return problem.Wrap(err, problem.BadValue, "the database does not take this SQL", "数据库不接受该 SQL")
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return problem.Wrap(err, problem.BadValue, "the database does not take this SQL", "数据库不接受该 SQL")
	}
	for _, c := range columns {
		if c == "value" {
			return rows.Err()
		}
	}
	return problem.New(problem.BadValue, "it has no column named value: write SELECT … AS value", "缺少名为 value 的列：请写 SELECT … AS value")
}
