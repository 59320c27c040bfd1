package ledger

import (
	"net/http"
	"strconv"
	"strings"
)

// Files serves the published files of the log: checkpoint, vkey and tiles. The request's path is the file's name
// below the log, with or without a slash before it: mount it with http.StripPrefix.
func (l *Log) Files() http.Handler { return http.HandlerFunc(l.file) }

func (l *Log) file(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the ledger is for reading", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Access-Control-Allow-Origin", "*") // it is public, and proofs are checked in browsers too
	name := strings.TrimPrefix(r.URL.Path, "/")
	switch name {
	case "checkpoint":
		l.shown.RLock()
		b := l.checkpt
		l.shown.RUnlock()
		if b == nil {
			http.NotFound(w, r)
			return
		}
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Length", strconv.Itoa(len(b)))
		if r.Method == http.MethodGet {
			w.Write(b)
		}
		return
	case "vkey":
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "max-age=3600")
		if r.Method == http.MethodGet {
			w.Write([]byte(l.signer.Verifier.String() + "\n"))
		}
		return
	}
	t, ok := parseTile(name)
	// What is not covered by the checkpoint may not be whole yet, and would be cached for good.
	if !ok || t.end() > l.Published().Size {
		http.NotFound(w, r)
		return
	}
	b, err := l.dir.tile(t)
	if err != nil || b == nil {
		l.cfg.Log.Error("a file of the ledger cannot be read", "ledger", l.cfg.Origin, "file", name, "err", err)
		http.Error(w, "the ledger cannot read this file", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if r.Method == http.MethodGet {
		w.Write(b)
	}
}
