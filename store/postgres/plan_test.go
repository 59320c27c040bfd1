package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/postgres"
)

// TestPlansUseTheKey reads the server's plans: no statement may walk a whole table, however little the server knows
// about it.
func TestPlansUseTheKey(t *testing.T) {
	ctx := t.Context()
	url := fresh(t, server(t))
	s := open(t, url)
	defer s.Close()
	pool := postgres.Pool(s)
	for round := range 2 {
		c, err := pool.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for sql, params := range postgres.Statements() {
			n++
			name := fmt.Sprintf("p%d_%d", round, n)
			if _, err := c.Exec(ctx, "PREPARE "+name+" AS "+sql); err != nil {
				t.Fatal(err)
			}
			arg := `'\x7031'`
			if strings.Contains(sql, "unnest") {
				arg = `ARRAY['\x7031'::bytea]`
			}
			args := strings.Repeat(arg+", ", params-1) + arg
			if strings.Contains(sql, "LIMIT") {
				args = strings.Repeat(arg+", ", params-1) + "100"
			}
			rows, err := c.Query(ctx, "EXPLAIN EXECUTE "+name+"("+args+")")
			if err != nil {
				t.Fatal(err)
			}
			plan := ""
			for rows.Next() {
				plan += string(rows.RawValues()[0]) + "\n"
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort  (") || strings.Contains(plan, "Hash Join") {
				t.Errorf("%s\n%s", sql, plan)
			}
			if testing.Verbose() && round == 1 {
				t.Logf("%s\n%s", sql, plan)
			}
		}
		c.Release()
		var b store.Batch
		for i := range 20000 {
			b.Put(fmt.Appendf(nil, "p%d\x00%d", i%5, i), []byte("v"))
		}
		if _, err := s.Apply(ctx, &b); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Exec(ctx, "ANALYZE fujie_kv"); err != nil {
			t.Fatal(err)
		}
	}
}
