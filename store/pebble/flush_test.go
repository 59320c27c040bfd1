package pebble

import "context"

// Flush lets tests read from tables.
func (s *Store) Flush() {
	if err := s.db.Flush(); err != nil {
		panic(err)
	}
}

// Compact brings the tables into their final form, for measuring.
func (s *Store) Compact() {
	if err := s.db.Compact(context.Background(), nil, []byte{0xff, 0xff, 0xff, 0xff}, true); err != nil {
		panic(err)
	}
}
