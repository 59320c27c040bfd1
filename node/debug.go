package node

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// debug serves profiles, when the configuration asks for it.
func (n *Node) debug() {
	if n.cfg.Debug == "" {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	n.goes("debug", func(ctx context.Context) error {
		l, err := net.Listen("tcp", n.cfg.Debug)
		if err != nil {
			return err
		}
		s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
		stop := context.AfterFunc(ctx, func() { s.Close() })
		defer stop()
		return s.Serve(l)
	})
}
