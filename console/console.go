// Package console is the web face of a node: one application for operators, enterprises, people at the line and the
// public, in Chinese and English, on a desk, a wall or a phone. It is a client of the public interface like any other and
// has no door of its own.
//
// The application is written in TypeScript (src) and built by make; what comes out (dist) is part of the program.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed all:dist
var dist embed.FS

// Path is where a node shows the console.
const Path = "/console/"

// policy lets in what the node itself serves, and nothing else: no script, style, picture, font or connection from outside,
// and no frame around it. Scripts are files; styles may be set on elements, which is how widgets place themselves. The
// reader of barcodes is WebAssembly.
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; " +
	"font-src 'self' data:; connect-src 'self'; media-src 'self' blob: mediastream:; worker-src 'self' blob:; manifest-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"

type file struct {
	body    []byte
	brotli  []byte // pressed by the build; nil when it does not get smaller by it
	zipped  []byte // the same with gzip
	kind    string
	tag     string
	lasting bool // its name says what is in it
}

// Handler serves the console below Path. A program that was built without it says how to build it.
func Handler() http.Handler {
	files := sync.OnceValue(read)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "read only 只读", http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Path+"/" == Path {
			http.Redirect(w, r, Path, http.StatusMovedPermanently)
			return
		}
		all := files()
		name := strings.TrimPrefix(r.URL.Path, Path)
		if name == "" {
			name = "index.html"
		}
		f, ok := all[name]
		if !ok {
			if len(all) == 0 {
				http.Error(w, "this program was built without the console: run make build\n本程序构建时未包含控制台：请运行 make build", http.StatusNotFound)
				return
			}
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", f.kind)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(self), geolocation=(self), microphone=(), payment=(), usb=()")
		h.Set("Vary", "Accept-Encoding")
		if f.lasting {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		} else {
			h.Set("Cache-Control", "no-cache")
		}
		body, tag := f.body, f.tag
		switch accept := r.Header.Get("Accept-Encoding"); {
		case f.brotli != nil && takes(accept, "br"):
			body, tag = f.brotli, f.tag+"-br"
			h.Set("Content-Encoding", "br")
		case f.zipped != nil && takes(accept, "gzip"):
			body, tag = f.zipped, f.tag+"-gz"
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("ETag", `"`+tag+`"`)
		if strings.Contains(r.Header.Get("If-None-Match"), `"`+tag+`"`) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if r.Method == http.MethodGet {
			w.Write(body)
		}
	})
}

// takes reports whether who sent an Accept-Encoding understands a coding. Browsers name brotli over HTTPS only.
func takes(accept, want string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), want) && strings.ReplaceAll(weight, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

// read takes the files out of the program, with what the build pressed, and presses the others that get smaller by it; none when the console was not built.
func read() map[string]*file {
	all := map[string]*file{}
	fs.WalkDir(dist, "dist", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := dist.ReadFile(p)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(p, "dist/")
		sum := sha256.Sum256(body)
		f := &file{body: body, kind: kind(name), tag: hex.EncodeToString(sum[:8]), lasting: strings.HasPrefix(name, "assets/")}
		if path.Ext(name) == ".br" {
			all[name] = f
			return nil
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		io.Copy(z, bytes.NewReader(body))
		z.Close()
		if b.Len() < len(body)*9/10 {
			f.zipped = b.Bytes()
		}
		all[name] = f
		return nil
	})
	for name, f := range all {
		if of := all[strings.TrimSuffix(name, ".br")]; of != nil && of != f {
			of.brotli = f.body
			delete(all, name)
		}
	}
	if all["index.html"] == nil {
		return nil
	}
	return all
}

// kind does not ask the machine, whose tables differ.
func kind(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".wasm":
		return "application/wasm"
	case ".webmanifest":
		return "application/manifest+json"
	case ".json":
		return "application/json"
	case ".png":
		return "image/png"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	if k := mime.TypeByExtension(path.Ext(name)); k != "" {
		return k
	}
	return "application/octet-stream"
}
