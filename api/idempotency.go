package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// A POST with an Idempotency-Key is answered again as it was the first time, for a day: the same caller, path and key
// with another body is refused. The answer is kept after the operation was done; if the node crashes between, the
// operation runs once more, and finds what it made (problem.Exists).
const (
	headKey    = "Idempotency-Key"
	keyLife    = 24 * time.Hour
	maxKey     = 255
	maxKeyBody = 8 << 20
)

type answer struct {
	Key    []byte    `json:"k"`
	Body   []byte    `json:"h"` // SHA-256 of the request
	Until  time.Time `json:"u"`
	Status int       `json:"s"`
	Type   string    `json:"t"`
	Loc    string    `json:"l,omitempty"`
	Out    []byte    `json:"o"`
}

var answers = table.Table[answer]{
	Name: "api.idempotency",
	Key:  func(a answer) []byte { return a.Key },
	Indexes: []table.Index[answer]{{Name: "until", Values: func(a answer) [][]byte {
		return [][]byte{[]byte(a.Until.UTC().Format("20060102150405"))}
	}}},
}

type idempotency struct {
	store store.Store
	now   func() time.Time

	secrets []string
	busy    sync.Map // keys that are being worked on
}

func (x *idempotency) serve(w http.ResponseWriter, r *http.Request, next http.Handler, a *API) {
	key := r.Header.Get(headKey)
	if key == "" || r.Method != http.MethodPost {
		next.ServeHTTP(w, r)
		return
	}
	refuse := func(kind problem.Kind, en, zh string) { a.Refuse(w, r, problem.New(kind, en, zh)) }
	switch {
	case x.store == nil:
		refuse(problem.Unsupported, "this node keeps no idempotency keys: leave Idempotency-Key out", "本节点不支持幂等键：请去掉 Idempotency-Key")
		return
	case len(key) > maxKey:
		refuse(problem.BadRequest, "Idempotency-Key is longer than 255 bytes: shorten it", "Idempotency-Key 超过 255 字节：请缩短")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxKeyBody))
	if err != nil {
		refuse(problem.TooLarge, "a request with an Idempotency-Key takes at most 8 MiB: send it in parts", "带 Idempotency-Key 的请求最多 8 MiB：请分批发送")
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	who, _ := json.Marshal([]string{From(r.Context()).Ref.String(), r.URL.Path, key})
	name, hash := sha256.Sum256(who), sha256.Sum256(body)
	if _, taken := x.busy.LoadOrStore(name, true); taken {
		refuse(problem.Busy, "the same request is being worked on: ask again in a moment", "相同请求正在处理：请稍后再试")
		return
	}
	defer x.busy.Delete(name)
	row, err := answers.Load(r.Context(), x.store, name[:])
	if err != nil {
		a.Refuse(w, r, err)
		return
	}
	if row.Found() && x.now().Before(row.Value.Until) {
		if !bytes.Equal(row.Value.Body, hash[:]) {
			refuse(problem.Exists, "this Idempotency-Key was used for another request: take a new one", "该 Idempotency-Key 已用于另一请求：请换一个新的")
			return
		}
		h := w.Header()
		h.Set("Content-Type", row.Value.Type)
		h.Set("Idempotent-Replayed", "true")
		if row.Value.Loc != "" {
			h.Set("Location", row.Value.Loc)
		}
		w.WriteHeader(row.Value.Status)
		w.Write(row.Value.Out)
		return
	}
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	next.ServeHTTP(rec, r)
	if slices.ContainsFunc(x.secrets, func(s string) bool { return strings.HasPrefix(r.URL.Path, s) }) {
		return
	}
	if rec.status >= 500 || rec.out.Len() > maxKeyBody {
		return // to be tried again
	}
	x.sweep(r)
	err = answers.Put(r.Context(), x.store, answer{Key: name[:], Body: hash[:], Until: x.now().Add(keyLife), Status: rec.status,
		Type: w.Header().Get("Content-Type"), Loc: w.Header().Get("Location"), Out: rec.out.Bytes()})
	if err != nil {
		a.cfg.Log.Error("an answer could not be kept for its idempotency key", "err", err)
	}
}

// sweep takes out some answers that are over.
func (x *idempotency) sweep(r *http.Request) {
	var old [][]byte
	to := []byte(x.now().UTC().Format("20060102150405"))
	answers.By(r.Context(), x.store, "until", store.Span{To: to}, func(a answer) error {
		if old = append(old, a.Key); len(old) == 16 {
			return store.Stop
		}
		return nil
	})
	for _, k := range old {
		answers.Delete(r.Context(), x.store, k)
	}
}

type recorder struct {
	http.ResponseWriter
	status int
	out    bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.out.Len() <= maxKeyBody {
		r.out.Write(b)
	}
	return r.ResponseWriter.Write(b)
}
