package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// Witness is another node that co-signs this one's checkpoints (C2SP tlog-witness).
type Witness struct {
	URL string // its submission prefix: https://id.example.com/ledger/witness
	Key Verifier
}

// witnessClient is a witness with what it saw last.
type witnessClient struct {
	Witness
	mu   sync.Mutex
	size int64
	err  error
}

// collect asks all witnesses at once to co-sign, and gives msg with the signatures that hold.
func (l *Log) collect(ctx context.Context, c Checkpoint, msg []byte) ([]byte, []Cosignature) {
	lines := make([][]byte, len(l.witnesses))
	var wg sync.WaitGroup
	for i, w := range l.witnesses {
		wg.Go(func() {
			line, err := w.ask(ctx, l, c, msg)
			w.mu.Lock()
			was := w.err
			w.err = err
			w.mu.Unlock()
			if err != nil {
				if was == nil {
					l.cfg.Log.Warn("a witness did not co-sign", "ledger", l.cfg.Origin, "witness", w.Key.Name(), "err", err)
				}
				return
			}
			lines[i] = line
		})
	}
	wg.Wait()
	for _, line := range lines {
		msg = append(msg, line...)
	}
	_, by, err := openCheckpoint(msg, l.signer.Verifier, l.witnessKeys())
	if err != nil {
		return msg, nil
	}
	return msg, by
}

// ask asks one witness, and once more when it is at another size than we thought.
func (w *witnessClient) ask(ctx context.Context, l *Log, c Checkpoint, msg []byte) ([]byte, error) {
	for range 3 {
		w.mu.Lock()
		old := w.size
		w.mu.Unlock()
		if old > c.Size {
			return nil, problem.New(problem.Bogus, "the witness %s has seen %d entries, and there are only %d: the ledger was set back", "见证者 %s 已见到 %d 项，而现只有 %d 项：账本被回退", w.Key.Name(), old, c.Size)
		}
		var body bytes.Buffer
		body.WriteString("old " + strconv.FormatInt(old, 10) + "\n")
		if old > 0 && old < c.Size {
			proof, err := tlog.ProveTree(c.Size, old, l.reader())
			if err != nil {
				return nil, err
			}
			for _, h := range proof {
				body.WriteString(h.String() + "\n")
			}
		}
		body.WriteByte('\n')
		body.Write(msg)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(w.URL, "/")+"/add-checkpoint", &body)
		if err != nil {
			return nil, err
		}
		resp, err := l.cfg.Client.Do(req)
		if err != nil {
			return nil, problem.Wrap(err, problem.Unreachable, "the witness %s did not answer", "见证者 %s 没有应答", w.Key.Name())
		}
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxNote))
		resp.Body.Close()
		if err != nil {
			return nil, problem.Wrap(err, problem.Unreachable, "the witness %s broke off", "见证者 %s 中断了应答", w.Key.Name())
		}
		switch {
		case resp.StatusCode == http.StatusConflict && resp.Header.Get("Content-Type") == sizeType:
			n, err := strconv.ParseInt(strings.TrimSuffix(string(answer), "\n"), 10, 64)
			if err != nil || n < 0 || n == old {
				return nil, problem.New(problem.Bogus, "the witness %s saw another ledger under this name and size", "见证者 %s 在此名称与大小下见到了另一账本", w.Key.Name())
			}
			w.mu.Lock()
			w.size = n
			w.mu.Unlock()
			continue
		case resp.StatusCode != http.StatusOK:
			return nil, problem.New(problem.Unreachable, "the witness %s refused with HTTP %d: %s", "见证者 %s 以 HTTP %d 拒绝：%s", w.Key.Name(), resp.StatusCode, clip(string(answer)))
		}
		lines := ownLines(answer, w.Key)
		if lines == nil {
			return nil, problem.New(problem.Bogus, "the witness %s answered without its signature", "见证者 %s 的应答中没有其签名", w.Key.Name())
		}
		if _, by, err := openCheckpoint(append(bytes.Clone(msg), lines...), l.signer.Verifier, []Verifier{w.Key}); err != nil || len(by) == 0 {
			return nil, problem.Wrap(err, problem.Bogus, "the signature of the witness %s does not hold", "见证者 %s 的签名无效", w.Key.Name())
		}
		w.mu.Lock()
		w.size = c.Size
		w.mu.Unlock()
		return lines, nil
	}
	return nil, problem.New(problem.Busy, "the witness %s changes its mind about the ledger's size", "见证者 %s 对账本大小的说法不断变化", w.Key.Name())
}

// ownLines is the signature line of the key; witnesses may answer with others too.
func ownLines(answer []byte, key Verifier) []byte {
	for line := range bytes.Lines(answer) {
		rest, ok := strings.CutPrefix(string(line), "— "+key.Name()+" ")
		if !ok || !strings.HasSuffix(rest, "\n") {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(rest, "\n"))
		if err == nil && len(raw) > 4 && uint32(raw[0])<<24|uint32(raw[1])<<16|uint32(raw[2])<<8|uint32(raw[3]) == key.KeyHash() {
			return line
		}
	}
	return nil
}

func clip(s string) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "?")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

const sizeType = "text/x.tlog.size"

// CosignerConfig says for whom a node is a witness.
type CosignerConfig struct {
	// Dir is where it is kept what was co-signed last of each log. Who can write it can make this witness co-sign a
	// log that was set back; if it is lost, take another name and key.
	Dir  string
	Name string            // a URL without its scheme: id.example.com/ledger/witness
	Key  *trust.PrivateKey // Ed25519
	// Known finds the key of a log that this node is a witness for.
	Known func(ctx context.Context, origin string) (Verifier, bool)
	Now   func() time.Time
	Log   *slog.Logger
}

// Cosigner is a witness: it co-signs checkpoints of other logs, each only if it continues the one before.
type Cosigner struct {
	cfg    CosignerConfig
	signer signer
	mu     sync.Mutex
	busy   map[string]*sync.Mutex // by origin
}

// NewCosigner makes a witness.
func NewCosigner(cfg CosignerConfig) (*Cosigner, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Key == nil || cfg.Known == nil || cfg.Dir == "" {
		return nil, problem.New(problem.BadValue, "a witness needs a folder, a key and the logs that it knows", "见证者需要目录、密钥和已知账本")
	}
	v, err := WitnessVerifier(cfg.Name, cfg.Key.Public())
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, diskProblem(err, cfg.Dir)
	}
	return &Cosigner{cfg: cfg, signer: signer{Verifier: v, key: cfg.Key, now: cfg.Now}, busy: map[string]*sync.Mutex{}}, nil
}

// Verifier is what others check the witness's signatures with.
func (w *Cosigner) Verifier() Verifier { return w.signer.Verifier }

// request is what add-checkpoint takes.
type request struct {
	old   int64
	proof tlog.TreeProof
	note  []byte
}

const (
	maxRequest = maxNote + 64*64
	maxProof   = 63
)

// parseRequest reads the body of add-checkpoint. The error is of kind problem.BadRequest.
func parseRequest(b []byte) (r request, err error) {
	bad := problem.New(problem.BadRequest, "the request is not one of C2SP tlog-witness: old SIZE, up to 63 hashes, an empty line, a checkpoint", "请求不符合 C2SP tlog-witness：应为 old 大小、至多 63 个哈希、空行、检查点")
	head, rest, ok := strings.Cut(string(b), "\n\n")
	if !ok || len(b) > maxRequest {
		return r, bad
	}
	lines := strings.Split(head, "\n")
	size, ok := strings.CutPrefix(lines[0], "old ")
	if !ok || len(lines) > 1+maxProof {
		return r, bad
	}
	if r.old, err = strconv.ParseInt(size, 10, 64); err != nil || r.old < 0 || r.old > maxSize || strconv.FormatInt(r.old, 10) != size {
		return r, bad
	}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(h) != tlog.HashSize || base64.StdEncoding.EncodeToString(h) != line {
			return r, bad
		}
		r.proof = append(r.proof, Hash(h))
	}
	r.note = []byte(rest)
	return r, nil
}

// ServeHTTP answers POST …/add-checkpoint.
func (w *Cosigner) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if !strings.HasSuffix(req.URL.Path, "/add-checkpoint") {
		http.NotFound(rw, req)
		return
	}
	if req.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		http.Error(rw, "add-checkpoint takes POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, req.Body, maxRequest))
	if err != nil {
		http.Error(rw, "the request is too large or broke off", http.StatusBadRequest)
		return
	}
	status, ctype, answer := w.add(req.Context(), body)
	rw.Header().Set("Content-Type", ctype)
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.WriteHeader(status)
	rw.Write(answer)
}

func (w *Cosigner) add(ctx context.Context, body []byte) (status int, ctype string, answer []byte) {
	plain := func(status int, text string) (int, string, []byte) {
		return status, "text/plain; charset=utf-8", []byte(text + "\n")
	}
	conflict := func(size int64) (int, string, []byte) {
		return http.StatusConflict, sizeType, []byte(strconv.FormatInt(size, 10) + "\n")
	}
	r, err := parseRequest(body)
	if err != nil {
		return plain(http.StatusBadRequest, err.Error())
	}
	text, err := unverified(r.note)
	if err != nil {
		return plain(http.StatusBadRequest, err.Error())
	}
	claimed, err := parseCheckpoint(text)
	if err != nil {
		return plain(http.StatusBadRequest, err.Error())
	}
	key, ok := w.cfg.Known(ctx, claimed.Origin)
	if !ok {
		return plain(http.StatusNotFound, "this node is no witness for that log")
	}
	c, _, err := openCheckpoint(r.note, key, nil)
	if err != nil {
		return plain(http.StatusForbidden, err.Error())
	}
	if r.old > c.Size {
		return plain(http.StatusBadRequest, "the old size is larger than the checkpoint's")
	}
	lock := w.lock(c.Origin)
	lock.Lock()
	defer lock.Unlock()
	last, lastNote, err := w.last(c.Origin, key)
	if err != nil {
		w.cfg.Log.Error("the witness cannot read what it co-signed", "ledger", c.Origin, "err", err)
		return plain(http.StatusInternalServerError, "the witness cannot read what it co-signed")
	}
	switch {
	case r.old != last.Size:
		if c.Size == last.Size && c.Root != last.Root {
			w.fork(c.Origin, lastNote, r.note)
		}
		return conflict(last.Size)
	case r.old == 0 && len(r.proof) > 0 || r.old == c.Size && len(r.proof) > 0:
		return plain(http.StatusUnprocessableEntity, "there is nothing to prove, and yet a proof")
	case r.old == c.Size && c.Size > 0:
		if c.Root != last.Root {
			w.fork(c.Origin, lastNote, r.note)
			return conflict(last.Size)
		}
	case r.old == c.Size: // both 0
		if empty := (&edge{}).root(); c.Root != empty {
			return plain(http.StatusUnprocessableEntity, "an empty log has another root")
		}
	case r.old > 0:
		if err := tlog.CheckTree(r.proof, c.Size, c.Root, last.Size, last.Root); err != nil {
			w.cfg.Log.Error("a log offered a checkpoint that does not continue the last one", "ledger", c.Origin, "size", c.Size, "last", last.Size)
			return plain(http.StatusUnprocessableEntity, "the checkpoint does not continue the one that was co-signed last")
		}
	}
	if c.Size > last.Size {
		if err := replaceFile(w.path(c.Origin), r.note, 0o600); err != nil {
			w.cfg.Log.Error("the witness cannot keep what it co-signs", "ledger", c.Origin, "err", err)
			return plain(http.StatusInternalServerError, "the witness cannot keep what it co-signs")
		}
	}
	signed, err := note.Sign(&note.Note{Text: text}, &w.signer)
	if err != nil {
		return plain(http.StatusInternalServerError, "the witness cannot sign")
	}
	return http.StatusOK, "text/plain; charset=utf-8", signed[len(text)+1:]
}

func (w *Cosigner) lock(origin string) *sync.Mutex {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.busy[origin]
	if m == nil { // only logs that are known come here
		m = &sync.Mutex{}
		w.busy[origin] = m
	}
	return m
}

func (w *Cosigner) path(origin string) string {
	h := sha256.Sum256([]byte(origin))
	return filepath.Join(w.cfg.Dir, hex.EncodeToString(h[:16]))
}

// last is what was co-signed last of a log.
func (w *Cosigner) last(origin string, key Verifier) (Checkpoint, []byte, error) {
	b, err := os.ReadFile(w.path(origin))
	if errors.Is(err, os.ErrNotExist) {
		return Checkpoint{Origin: origin}, nil, nil
	}
	if err != nil {
		return Checkpoint{}, nil, err
	}
	c, _, err := openCheckpoint(b, key, nil)
	return c, b, err
}

// fork keeps the proof that a log signed two heads of one size.
func (w *Cosigner) fork(origin string, a, b []byte) {
	path := w.path(origin) + ".fork"
	w.cfg.Log.Error("a log signed two different checkpoints of one size: it is forked, and this is the proof", "ledger", origin, "file", path)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := replaceFile(path, append(append(bytes.Clone(a), '\n'), b...), 0o600); err != nil {
			w.cfg.Log.Error("the proof of the fork cannot be kept", "ledger", origin, "err", err)
		}
	}
}
