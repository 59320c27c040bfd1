package node

import (
	"net/http"
)

// routes is who answers which path beside wire/web itself.
func (n *Node) routes() func(path string) http.Handler {
	var tables []func(path string) http.Handler
	if n.sites != nil {
		tables = append(tables, n.sites.Routes(n.web.Identify))
	}
	return func(path string) http.Handler {
		for _, t := range tables {
			if h := t(path); h != nil {
				return h
			}
		}
		return nil
	}
}
