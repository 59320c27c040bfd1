package registry

import (
	"testing"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
)

func TestDoors(t *testing.T) {
	for name, cfg := range map[string]func(t *testing.T) Config{
		"memory":      func(t *testing.T) Config { return Config{} },
		"nothing hot": func(t *testing.T) Config { return Config{HotBytes: -1} },
		"little hot":  func(t *testing.T) Config { return Config{HotBytes: 16 << 10} },
		"in a folder": func(t *testing.T) Config { return Config{Store: disk(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			recordtest.Run(t, func(t *testing.T) recordtest.Doors {
				c := cfg(t)
				c.Admins = []record.Ref{admin.Ref}
				r := open(t, c)
				must(t, r, operator, home("88.118.1001"))
				return recordtest.Doors{Resolver: r, Registrar: r, Lister: r, Feed: r, Appender: r, Admin: admin, Prefix: "88.118.1001", Homes: true}
			})
		})
	}
}
