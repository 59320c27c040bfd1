package postgres

import (
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Statements are those that a table of any size must answer by its key, with how many parameters each has.
func Statements() map[string]int {
	out := map[string]int{sqlGet: 2, sqlLook: 2, sqlDelete: 2, sqlPut: 3}
	for _, kinds := range sqlWalk {
		for _, sql := range kinds {
			out[sql] = strings.Count(sql, "$")
		}
	}
	return out
}

// Pool is one of the store's, prepared as all its connections are.
func Pool(s *Store) *pgxpool.Pool { return s.reads }
