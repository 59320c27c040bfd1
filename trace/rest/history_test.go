package rest

import (
	"testing"
	"time"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/history"
)

// openHistory opens a history as a node does.
func openHistory(t *testing.T, st store.Store, now func() time.Time) Events {
	h, err := history.Open(t.Context(), history.Config{Store: st, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return h
}
