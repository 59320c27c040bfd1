package pebble_test

import (
	"testing"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/store/storetest"
)

func Benchmark(b *testing.B) {
	storetest.Bench(b, func(t testing.TB) store.Store { return open(t, b.TempDir(), pebble.Options{}) })
}
