// Package open opens a store by its URL: the one place that knows which engines there are.
//
//	pebble:FOLDER, or a folder alone     embedded, the default
//	postgres://user@host/database        shared, any engine of that protocol
//	memory:                              forgets everything; for tests
package open

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/store/postgres"
)

// Options are what several engines have in common. The zero value is each engine's own choice.
type Options struct {
	Cache int64        // bytes of memory for data read; engines elsewhere have their own
	Log   *slog.Logger // where the engine reports a full or failing disk
}

// Open opens the store that url names. The error is of kind problem.BadRequest when there is no such engine.
func Open(ctx context.Context, url string, o Options) (store.Store, error) {
	scheme, rest, ok := strings.Cut(url, ":")
	if !ok || filepath.VolumeName(url) != "" {
		scheme, rest = "pebble", url // a folder
	}
	switch scheme {
	case "memory":
		return memory.New(), nil
	case "pebble":
		dir := strings.TrimPrefix(rest, "//")
		if dir == "" {
			return nil, problem.New(problem.BadRequest, "the store %q names no folder; write pebble:FOLDER", "存储 %q 没有给出目录；请写成 pebble:目录", url)
		}
		s, err := pebble.Open(dir, pebble.Options{Cache: o.Cache, Logger: o.Log})
		if err != nil {
			return nil, problem.Wrap(err, problem.Internal, "the store in %s cannot be opened; is another process using it?", "无法打开 %s 中的存储；是否有其他进程正在使用？", dir)
		}
		return s, nil
	case "postgres", "postgresql":
		s, err := postgres.Open(ctx, url, postgres.Options{})
		if err != nil {
			return nil, problem.Wrap(err, problem.Unreachable, "the shared store cannot be opened; check its address, and that the account may create a table", "无法打开共享存储；请检查地址，以及该账户是否有权建表")
		}
		return s, nil
	}
	return nil, problem.New(problem.BadRequest, "there is no store engine %q; take pebble:FOLDER, postgres://… or memory:", "没有存储引擎 %q；可用 pebble:目录、postgres://… 或 memory:", scheme)
}
