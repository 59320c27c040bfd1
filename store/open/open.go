// Package open chooses where a node's bytes rest, by one line of its configuration:
//
//	/var/lib/fujie                     a folder on this machine (pebble)
//	pebble:///var/lib/fujie            the same
//	postgres://fujie@db:5432/fujie     a PostgreSQL server or cluster
//	memory:                            nowhere: gone when the program ends
//
// A folder's address may carry ?cache=MiB&memtable=MiB&reserve=MiB; PostgreSQL's takes what libpq takes.
package open

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/store/postgres"
)

// Open opens the store at the address. The engine reports a full disk or a lost connection to log; nil: nowhere. Errors
// are problem.BadRequest for a malformed address, else the engine's.
func Open(ctx context.Context, address string, log *slog.Logger) (store.Store, error) {
	scheme, _, found := strings.Cut(address, ":")
	if !found || strings.ContainsAny(scheme, `/\.`) || filepath.VolumeName(address) != "" {
		scheme = "" // a path
	}
	switch scheme {
	case "memory":
		if address != "memory:" {
			return nil, bad(address)
		}
		return memory.New(), nil
	case "postgres", "postgresql":
		s, err := postgres.Open(ctx, address, postgres.Options{Logger: log})
		if err != nil {
			return nil, err
		}
		return s, nil
	case "", "pebble":
		dir, o := address, pebble.Options{Logger: log}
		if scheme == "pebble" {
			var err error
			if dir, err = folder(address, &o); err != nil {
				return nil, err
			}
		}
		if dir == "" {
			return nil, bad(address)
		}
		s, err := pebble.Open(dir, o)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, bad(address)
}

// folder reads pebble:///absolute/path?… and pebble:relative/path?….
func folder(address string, o *pebble.Options) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host != "" || u.User != nil || u.Fragment != "" {
		return "", bad(address)
	}
	for name, values := range u.Query() {
		n, err := strconv.ParseInt(values[len(values)-1], 10, 32)
		if err != nil || n <= 0 {
			return "", bad(address)
		}
		switch n <<= 20; name {
		case "cache":
			o.Cache = n
		case "memtable":
			o.MemTable = n
		case "reserve":
			o.Reserve = n
		default:
			return "", bad(address)
		}
	}
	if u.Opaque != "" {
		return url.PathUnescape(u.Opaque)
	}
	return u.Path, nil
}

func bad(address string) error {
	if u, err := url.Parse(address); err == nil {
		address = u.Redacted()
	} else {
		address = "?"
	}
	return problem.New(problem.BadRequest,
		"the store's address %q is not understood: write a folder's path, pebble:///path, postgres://user@host:5432/database or memory:",
		"无法识别存储地址 %q：请写文件夹路径、pebble:///路径、postgres://用户@主机:5432/数据库 或 memory:", address)
}
