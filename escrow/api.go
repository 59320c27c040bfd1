package escrow

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// A running node offers its administrators:
//
//	GET  /api/backup?to=…        a backup of the node, as it goes on working, sealed for each to
//	POST /api/escrow {"kind":""} a deposit, now: FULL, DIFF, or what fits; answers with the manifest
//	GET  /api/escrow             the deposit log, JSON Lines
//
// To everybody else they are not there.
const (
	pathBackup = "/api/backup"
	pathEscrow = "/api/escrow"
)

// Desk is where a running node's administrators ask for backups and deposits, and what makes the daily ones.
type Desk struct {
	Node   Node                                                    // for backups; none are made when its Store is nil
	Make   func(ctx context.Context, kind Kind) (*Manifest, error) // makes a deposit; nil: none are made here
	LogTo  string                                                  // the deposit log, as in Config
	Admins []record.Ref                                            // besides the node's own operator

	Log *slog.Logger     // nowhere if nil
	Now func() time.Time // time.Now if nil

	making sync.Mutex
}

// Routes gives the handlers of the paths above, nil for others. identify says who makes a request.
func (d *Desk) Routes(identify func(*http.Request) (record.Identity, error)) func(path string) http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.serve(w, r, identify) })
	return func(path string) http.Handler {
		if path == pathBackup && d.Node.Store != nil || path == pathEscrow && d.Make != nil {
			return h
		}
		return nil
	}
}

func (d *Desk) serve(w http.ResponseWriter, r *http.Request, identify func(*http.Request) (record.Identity, error)) {
	w.Header().Set("Cache-Control", "no-store")
	by, err := identify(r)
	switch {
	case err != nil:
		refuse(w, r, http.StatusUnauthorized, err)
	case by.IsAnonymous():
		w.Header().Set("WWW-Authenticate", `Basic realm="handle"`)
		refuse(w, r, http.StatusUnauthorized, problem.New(problem.NeedAuth, "prove who you are: this is for the node's administrators", "请先验证身份：此处仅供节点管理员使用"))
	case !by.Operator && !slices.ContainsFunc(d.Admins, func(a record.Ref) bool { return a.Covers(by.Ref) }):
		refuse(w, r, http.StatusNotFound, problem.New(problem.NotFound, "there is nothing at %s for you", "%s 处没有您可见的内容", r.URL.Path))
	case r.URL.Path == pathBackup && r.Method == http.MethodGet:
		d.backup(w, r)
	case r.URL.Path == pathEscrow && r.Method == http.MethodPost:
		d.deposit(w, r)
	case r.URL.Path == pathEscrow && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "application/x-ndjson")
		b, err := os.ReadFile(d.LogTo)
		if err == nil {
			w.Write(b)
		}
	default:
		refuse(w, r, http.StatusMethodNotAllowed, problem.New(problem.Unsupported, "%s does not take %s", "%s 不支持 %s", r.URL.Path, r.Method))
	}
}

// extending lets a long answer take as long as somebody reads it.
type extending struct {
	w  io.Writer
	rc *http.ResponseController
	n  int
}

func (e *extending) Write(b []byte) (int, error) {
	if e.n <= 0 {
		e.rc.SetWriteDeadline(time.Now().Add(time.Minute))
		e.n = 256 << 10
	}
	n, err := e.w.Write(b)
	e.n -= n
	return n, err
}

func (d *Desk) backup(w http.ResponseWriter, r *http.Request) {
	var to []Recipient
	for _, s := range r.URL.Query()["to"] {
		rec, err := ParseRecipient(s)
		if err != nil {
			refuse(w, r, http.StatusBadRequest, err)
			return
		}
		to = append(to, rec)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if _, err := Backup(r.Context(), &extending{w: w, rc: http.NewResponseController(w)}, d.Node, to); err != nil {
		if d.Log != nil {
			d.Log.Error("a backup was not finished", "err", err)
		}
		panic(http.ErrAbortHandler) // so that nobody takes it for whole
	}
}

func (d *Desk) deposit(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Kind Kind `json:"kind"`
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4096))
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &in)
	}
	if in.Kind = Kind(strings.ToUpper(string(in.Kind))); err != nil || in.Kind != Auto && in.Kind != Full && in.Kind != Diff {
		refuse(w, r, http.StatusBadRequest, problem.New(problem.BadRequest, "kind takes FULL, DIFF or nothing", "kind 可为 FULL、DIFF 或留空"))
		return
	}
	http.NewResponseController(w).SetWriteDeadline(time.Time{})
	m, err := d.make(r.Context(), in.Kind)
	if err != nil {
		status := http.StatusInternalServerError
		switch problem.KindOf(err) {
		case problem.Unreachable, problem.Busy:
			status = http.StatusServiceUnavailable
		case problem.Conflict:
			status = http.StatusConflict
		case problem.Full:
			status = http.StatusInsufficientStorage
		}
		refuse(w, r, status, err)
		return
	}
	out, _ := json.Marshal(m)
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(out, '\n'))
}

func (d *Desk) make(ctx context.Context, kind Kind) (*Manifest, error) {
	if !d.making.TryLock() {
		return nil, problem.New(problem.Busy, "a deposit is being made: ask again when it is done", "正在进行托管：请待其完成后再试")
	}
	defer d.making.Unlock()
	return d.Make(ctx, kind)
}

// Run makes a deposit each day after 8 o'clock in Beijing, until ctx ends, whose error it returns. One that fails is
// tried again every quarter of an hour.
func (d *Desk) Run(ctx context.Context) error {
	now, log := d.Now, d.Log
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	wait := Next(now()).Sub(now())
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		m, err := d.make(ctx, Auto)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			log.Error("the daily deposit failed; it is tried again", "err", err)
			wait = 15 * time.Minute
		default:
			log.Info("deposited", "prefix", m.Prefix, "kind", m.Kind, "deposit", m.Deposit, "records", m.Records)
			wait = Next(now()).Sub(now())
		}
	}
}

// refuse answers with problem details (RFC 9457).
func refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	detail := problem.Say(err, problem.ParseLang(r.Header.Get("Accept-Language")))
	var p *problem.Error
	if status == http.StatusInternalServerError || !errors.As(err, &p) {
		detail = problem.Say(problem.New(problem.Internal, "the node failed: its log says why", "节点出错：原因见其日志"), problem.ParseLang(r.Header.Get("Accept-Language")))
	}
	b, _ := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "kind": problem.KindOf(err).String(), "detail": detail})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
