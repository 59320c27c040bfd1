package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/wire/web"
)

// System is a party's business system, played as a process of its own: a shop front, an ERP, a warehouse's or a claims system with a ledger of its own. It takes its messages from its
// enterprise's node over the public interface, with an account of its own, and books each once. Its own door, on loopback, tells its ledger:
//
//	GET /stock[?now=true]   what it has of everything, after taking what has come if now is set
//	GET /entries?of=REF     the lines of its ledger about an order, a box, a part
type System struct {
	Access   *Access
	Solution string
	Name     string
	Dir      string // the country's folder: the ledger is in systems/ of it

	mu     sync.Mutex
	client *web.Client
	file   *os.File
	stock  map[string]float64
	lines  []Line
	seq    uint64
	size   int64 // of the ledger's whole lines
}

// Line is one line of a ledger.
type Line struct {
	Seq     uint64  `json:"seq"` // of the message that it books
	Account string  `json:"account"`
	Change  float64 `json:"change"`
	Ref     string  `json:"ref,omitempty"` // the order, box, part that it is about
	Run     string  `json:"run,omitempty"`
}

// Stock is what a system's door tells.
type Stock struct {
	System  string             `json:"system"` // solution/system
	Through uint64             `json:"through"`
	Lines   int                `json:"lines"`
	Stock   map[string]float64 `json:"stock"`
}

// SystemState is a business system of an enterprise, for which there is an account.
type SystemState struct {
	Solution string `json:"solution"`
	Name     string `json:"name"`
	Title    string `json:"title,omitempty"`
	Node     string `json:"node"`
}

// patience is how long a system goes on when its node does not answer.
const patience = time.Minute

func systemFile(dir, solution, name, end string) string {
	return filepath.Join(dir, "systems", solution+"."+name+end)
}

// systemKey is where the key of a system's account is.
func systemKey(n *NodeState, name string) string {
	return filepath.Join(n.Dir, "keys", "app-"+name+".pem")
}

// Run plays the system until ctx is done, or its node has not answered for a minute. ready is told the address of its door.
func (s *System) Run(ctx context.Context, ready func(url string)) error {
	if err := s.open(); err != nil {
		return err
	}
	defer s.file.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return problem.Wrap(err, problem.Unreachable, "the system %s cannot open its door", "系统 %s 无法打开端口", s.Name)
	}
	address := "http://" + listener.Addr().String()
	door := systemFile(s.Dir, s.Solution, s.Name, ".door")
	if x := openDoor(ctx, s.Dir, s.Solution, s.Name); x != nil {
		listener.Close()
		return problem.New(problem.Conflict, "the system %s/%s runs already, at %s", "系统 %s/%s 已在 %s 运行", s.Solution, s.Name, x.url)
	}
	server := &http.Server{Handler: s.door(), ReadHeaderTimeout: 5 * time.Second}
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(listener) })
	defer wg.Wait()
	defer server.Close()
	if err := node.WriteFile(door, []byte(address)); err != nil {
		return err
	}
	defer os.Remove(door)
	if ready != nil {
		ready(address)
	}
	for last := time.Now(); ; {
		err := s.follow(ctx, 20)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			last = time.Now()
			continue
		case !problem.Is(err, problem.Unreachable) && !problem.Is(err, problem.Busy) || time.Since(last) > patience:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// open finds the system's enterprise, and reads its ledger. A last line that was cut off when the process died is taken away: its message comes again.
func (s *System) open() error {
	var of *SystemState
	for i := range s.Access.State.Systems {
		if x := &s.Access.State.Systems[i]; x.Solution == s.Solution && x.Name == s.Name {
			of = x
		}
	}
	if of == nil {
		return problem.New(problem.NotFound, "no enterprise of this country has a system %s of %s", "本国没有企业设有 %[2]s 的系统 %[1]s", s.Name, s.Solution)
	}
	n := s.Access.State.Node(of.Node)
	key, err := readKey(systemKey(n, s.Name))
	if err != nil {
		return err
	}
	s.client = &web.Client{Base: n.HTTPS, Pin: n.Pin, User: record.Ref{Index: 300, Name: n.Prefix + "/App_" + s.Name}, Key: key}
	path := systemFile(s.Dir, s.Solution, s.Name, ".jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if s.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	s.stock, s.lines, s.seq = map[string]float64{}, nil, 0
	r := bufio.NewReader(s.file)
	var whole int64
	for {
		b, err := r.ReadBytes('\n')
		var l Line
		if err != nil || json.Unmarshal(b, &l) != nil || l.Seq <= s.seq {
			break
		}
		whole += int64(len(b))
		s.enter(l)
	}
	if err := s.file.Truncate(whole); err != nil {
		return err
	}
	s.size = whole
	_, err = s.file.Seek(whole, io.SeekStart)
	return err
}

func (s *System) enter(l Line) {
	s.seq = l.Seq
	s.stock[l.Account] += l.Change
	s.lines = append(s.lines, l)
}

// follow takes what came since, waiting so many seconds for the first, and books it.
func (s *System) follow(ctx context.Context, wait int) error {
	s.mu.Lock()
	after := s.seq
	s.mu.Unlock()
	q := url.Values{"to": {s.Solution + "/" + s.Name}, "limit": {"1000"}, "wait": {strconv.Itoa(wait)}, "after": {strconv.FormatUint(after, 10)}}
	status, body, err := s.client.Exchange(ctx, http.MethodGet, "/api/flow-messages?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		kind := problem.Unreachable
		if status < 500 && status != http.StatusTooManyRequests {
			kind = problem.BadRequest
		}
		return problem.New(kind, "the inbox of %s/%s answered %d: %.300s", "%s/%s 的收件箱应答 %d：%.300s", s.Solution, s.Name, status, body)
	}
	var out struct {
		Items []struct {
			Seq  uint64         `json:"seq"`
			Kind string         `json:"kind"`
			Body map[string]any `json:"body"`
			Run  string         `json:"run"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return problem.Wrap(err, problem.Internal, "the inbox of %s/%s answered no JSON", "%s/%s 的收件箱应答不是 JSON", s.Solution, s.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	var lines []Line
	for _, m := range out.Items {
		if m.Seq <= s.seq || len(lines) > 0 && m.Seq <= lines[len(lines)-1].Seq {
			continue // the door took it meanwhile
		}
		l := entry(m.Kind, m.Body)
		l.Seq, l.Run = m.Seq, m.Run
		line, err := json.Marshal(l)
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
		lines = append(lines, l)
	}
	if _, err := s.file.Write(b.Bytes()); err != nil {
		// Half of a line must not stand before the next one.
		s.file.Truncate(s.size)
		s.file.Seek(s.size, io.SeekStart)
		return problem.Wrap(err, problem.Full, "the ledger of %s cannot be written", "%s 的台账无法写入", s.Name)
	}
	s.size += int64(b.Len())
	for _, l := range lines {
		s.enter(l)
	}
	return nil
}

// entry is what a message means to a ledger: stock of an article, boxes that left, money that is to be paid; and of what it does not know, one more of its kind.
func entry(kind string, body map[string]any) (l Line) {
	word := func(names ...string) string {
		for _, n := range names {
			if t, ok := body[n].(string); ok && t != "" {
				return t
			}
		}
		return ""
	}
	number := func(name string) float64 { x, _ := body[name].(float64); return x }
	l = Line{Account: kind, Change: 1, Ref: word("order", "box", "part", "thing")}
	switch kind {
	case "stock":
		l.Account, l.Change = word("sku"), number("change")
	case "stock-in":
		l.Account, l.Change = word("product"), number("bottles")
	case "stock-out":
		l.Account, l.Change = "boxes shipped by "+word("warehouse"), number("boxes")
	case "passed":
		l.Account, l.Change = "to be paid", number("amount")
	}
	return l
}

// door is what others may ask the system itself.
func (s *System) door() http.Handler {
	mux := http.NewServeMux()
	give := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /stock", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("now") == "true" {
			if err := s.follow(r.Context(), 0); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
		}
		s.mu.Lock()
		out := Stock{s.Solution + "/" + s.Name, s.seq, len(s.lines), maps.Clone(s.stock)}
		s.mu.Unlock()
		give(w, out)
	})
	mux.HandleFunc("GET /entries", func(w http.ResponseWriter, r *http.Request) {
		of, out := r.FormValue("of"), []Line{}
		s.mu.Lock()
		for i := len(s.lines) - 1; i >= 0 && len(out) < 1000; i-- {
			if of == "" || s.lines[i].Ref == of {
				out = append(out, s.lines[i])
			}
		}
		s.mu.Unlock()
		give(w, out)
	})
	return mux
}

// book is a system as others see it.
type book struct{ name, url string }

// openDoor finds the door of a system that runs; nil when none answers.
func openDoor(ctx context.Context, dir, solution, name string) *book {
	b, err := os.ReadFile(systemFile(dir, solution, name, ".door"))
	if err != nil {
		return nil
	}
	l := &book{name, string(b)}
	if s, err := l.stock(ctx, false); err != nil || s.System != solution+"/"+name {
		return nil // of a process that died
	}
	return l
}

var doors = &http.Client{Timeout: 30 * time.Second}

func (l *book) get(ctx context.Context, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+path, nil)
	if err != nil {
		return err
	}
	res, err := doors.Do(req)
	if err != nil {
		return problem.Wrap(err, problem.Unreachable, "the system %s does not answer", "系统 %s 没有应答", l.name)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", b)
	}
	if err != nil {
		return problem.Wrap(err, problem.Unreachable, "the system %s answered %d", "系统 %s 应答 %d", l.name, res.StatusCode)
	}
	return json.Unmarshal(b, out)
}

func (l *book) stock(ctx context.Context, now bool) (s Stock, err error) {
	return s, l.get(ctx, "/stock?now="+strconv.FormatBool(now), &s)
}

// once says whether the ledger has exactly one line about a thing, taking what has come first.
func (l *book) once(ctx context.Context, ref string) error {
	if _, err := l.stock(ctx, true); err != nil {
		return err
	}
	var lines []Line
	if err := l.get(ctx, "/entries?of="+url.QueryEscape(ref), &lines); err != nil {
		return err
	}
	if len(lines) != 1 {
		return problem.New(problem.Internal, "the system %s booked %s %d times, want once", "系统 %s 对 %s 入账 %d 次，应为一次", l.name, ref, len(lines))
	}
	return nil
}

var errNoDoor = errors.New("no door")

// await waits until a system's door is open.
func await(ctx context.Context, dir, solution, name string, ended <-chan struct{}) (*book, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(systemFile(dir, solution, name, ".door")); !errors.Is(err, fs.ErrNotExist) {
			if l := openDoor(ctx, dir, solution, name); l != nil {
				return l, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ended:
			return nil, errNoDoor
		case <-tick.C:
		}
	}
}
