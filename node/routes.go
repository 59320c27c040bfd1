package node

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/console"
	"github.com/fujie-id/fujie/indicator"
	"github.com/fujie-id/fujie/trust/ledger"
)

// routes is who answers which path beside wire/web itself.
func (n *Node) routes() func(path string) http.Handler {
	var tables []func(path string) http.Handler
	below := func(prefix string, h http.Handler) {
		tables = append(tables, func(path string) http.Handler {
			if strings.HasPrefix(path, prefix) {
				return h
			}
			return nil
		})
	}
	if n.sites != nil {
		tables = append(tables, n.sites.Routes(n.web.Identify))
	}
	if n.in != nil {
		tables = append(tables, n.in.desk.Routes(n.web.Identify))
	}
	if n.in != nil && n.cfg.Role != Root {
		tables = append(tables, n.dropIns())
	}
	if n.tracing != nil {
		tables = append(tables, n.eventRoutes)
	}
	if n.accessLog != nil {
		below("/ledger/access/", http.StripPrefix("/ledger/access", n.accessLog.Files()))
	}
	if n.changeLog != nil {
		below("/ledger/changes/", http.StripPrefix("/ledger/changes", n.changeLog.Files()))
	}
	if n.witness != nil {
		tables = append(tables, func(path string) http.Handler {
			switch path {
			case "/ledger/witness/add-checkpoint":
				return n.witness
			case "/ledger/witness/vkey":
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/plain; charset=utf-8")
					io.WriteString(w, n.witness.Verifier().String()+"\n")
				})
			}
			return nil
		})
	}
	if n.cfg.Role != Recursive || n.cfg.Hints != "" {
		tables = append(tables, func(path string) http.Handler {
			if path == "/api/hints" {
				return http.HandlerFunc(n.serveHints)
			}
			return nil
		})
	}
	face := console.Handler()
	tables = append(tables, func(path string) http.Handler {
		if strings.HasPrefix(path, console.Path) || path+"/" == console.Path {
			return face
		}
		return nil
	})
	// The interface is put together when somebody first asks for it: many nodes are never asked.
	front := sync.OnceValue(n.front)
	tables = append(tables, func(path string) http.Handler {
		switch path {
		case "/openapi.json", "/openapi.yaml", "/docs":
			return front().Handler()
		}
		if rest, ok := strings.CutPrefix(path, "/api/"); ok {
			switch word, _, _ := strings.Cut(rest, "/"); word {
			case "handles", "prefixes", "site", "sessions", "verifications", "register", "feed", "v1":
				return nil
			}
			if a := front(); a.Serves(path) {
				return a.Handler()
			}
		}
		return nil
	})
	return func(path string) http.Handler {
		for _, t := range tables {
			if h := t(path); h != nil {
				return h
			}
		}
		return nil
	}
}

// serveHints tells where the root is, for nodes that join. Who believes it believes this node.
func (n *Node) serveHints(w http.ResponseWriter, r *http.Request) {
	b, err := os.ReadFile(n.cfg.Hints)
	if err != nil {
		http.Error(w, "this node knows no root 本节点没有根提示", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b)
}

// front puts our own interface together.
func (n *Node) front() *api.API {
	c := api.Config{Title: "Fujie 符节 · " + n.cfg.Name, Version: "1", Store: n.store, Log: n.log, Now: n.now,
		Secrets: []string{"/api/login", "/api/users", "/api/apps", "/api/me"}}
	if n.in != nil {
		c.Identify = n.caller
	}
	a := api.New(c)
	describe(a.Huma.OpenAPI())
	if n.in != nil {
		n.in.accounts.Register(a)
		n.policy.Operations(a)
		n.in.meter.API(a)
		n.templates.Load().Register(a)
		n.in.mint.Register(a)
		if n.tracing != nil {
			n.tracing.shares.Operations(a)
			n.tracing.ask.Register(a)
			if n.tracing.recalls != nil {
				n.tracing.recalls.Operations(a)
			}
		}
		if b := n.business; b != nil {
			b.engine.Register(a)
			b.desk.Operations(a)
			b.labels.Register(a)
			b.projection.Operations(a, indicator.Door{Prefix: n.cfg.Prefix, Figures: b.figures})
		}
		if n.in.live != nil {
			n.in.live.API(a, n.cfg.Prefix)
		}
		if n.witness != nil {
			(&ledger.Ledger{Changes: n.changeLog, Access: n.accessLog, Witness: n.witness, Records: n.resolver}).Register(a)
		}
		if n.in.office != nil {
			n.in.office.Register(a)
			n.checkReachability(a)
		}
	}
	n.introduce(a)
	return a
}

// About is what a node says of itself to whoever opens its console.
type About struct {
	Name    string   `json:"name"`
	Role    Role     `json:"role"`
	Prefix  string   `json:"prefix,omitempty"`
	Version string   `json:"version"`
	Doors   []string `json:"doors" doc:"The paths that this node serves, as /openapi.json names them"`
}

// introduce adds the operation by which a console learns what to show.
func (n *Node) introduce(a *api.API) {
	about := About{Name: n.cfg.Name, Role: n.cfg.Role, Prefix: n.cfg.Prefix, Version: Version}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/node", OperationID: "show-node", Summary: "What this node is (本节点)", Tags: []string{"Node 节点"}},
		func(context.Context, *struct{}) (*api.Body[About], error) { return &api.Body[About]{Body: about}, nil })
	about.Doors = slices.Sorted(maps.Keys(a.Huma.OpenAPI().Paths))
	if n.tracing != nil {
		about.Doors = append(about.Doors, "/events")
	}
}

// Version is the program's, as its build says.
var Version = "dev"
