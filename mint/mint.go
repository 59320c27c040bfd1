package mint

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
)

const (
	TypeRule = "FUJIE.CODERULE"
	TypeJob  = "FUJIE.JOB"

	MaxTake = 10_000      // codes at once without a job
	MaxJob  = 100_000_000 // codes of one job

	chunk = 1 << 18 // codes between two moments from which a job goes on after a kill
)

// Kept is a rule with what nobody reads: the secret of its random codes, and how many numbers were given out.
type Kept struct {
	Rule
	Secret []byte    `json:"secret"`
	Next   uint64    `json:"next"`
	Made   time.Time `json:"made"`
}

// JobState is how far a job is.
type JobState string

// The states of a job.
const (
	Running JobState = "running"
	Done    JobState = "done"
	Failed  JobState = "failed"
)

// Job is an issue of codes into a file.
type Job struct {
	Rule     string    `json:"rule"`
	Template string    `json:"template,omitempty"`
	First    uint64    `json:"first" doc:"The number of its first code; they are its alone"`
	Count    uint64    `json:"count"`
	Date     time.Time `json:"date"`
	Class    string    `json:"class,omitempty"`
	Format   string    `json:"format" enum:"csv,jsonl"`
	Gzip     bool      `json:"gzip,omitempty"`
	State    JobState  `json:"state" enum:"running,done,failed"`
	Done     uint64    `json:"done" doc:"Codes that are in the file, whatever happens"`
	Bytes    int64     `json:"bytes" doc:"Of the file so far"`
	SHA256   string    `json:"sha256,omitempty" doc:"Of the whole file, hexadecimal"`
	Trouble  string    `json:"trouble,omitempty"`
	By       string    `json:"by,omitempty"`
	Made     time.Time `json:"made"`
	Finished time.Time `json:"finished,omitzero"`
}

// Config says what the mint stands on. Prefix, Registry and Dir are needed.
type Config struct {
	Prefix   string
	Hosted   func() []string   // other prefixes kept here; nil: none
	Registry document.Registry // the node's own
	Dir      string            // where the files of jobs are
	Now      func() time.Time
	Rand     io.Reader
	Log      *slog.Logger
}

// Mint is all code rules and jobs of one node.
type Mint struct {
	cfg    Config
	mu     sync.Mutex
	places map[string]*place
	wake   chan struct{}
	randMu sync.Mutex
}

type place struct {
	prefix string
	rules  *document.Shelf[Kept]
	jobs   *document.Shelf[Job]
}

// New opens the rules and jobs of the node's own prefix; those of hosted prefixes when they are first asked for.
func New(ctx context.Context, cfg Config) (*Mint, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Mint{cfg: cfg, places: map[string]*place{}, wake: make(chan struct{}, 1)}
	_, err := m.place(ctx, cfg.Prefix)
	return m, err
}

func (m *Mint) place(ctx context.Context, prefix string) (*place, error) {
	key := handle.Fold(prefix)
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.places[key]; p != nil {
		return p, nil
	}
	here := handle.Equal(prefix, m.cfg.Prefix)
	if !here && m.cfg.Hosted != nil {
		for _, h := range m.cfg.Hosted() {
			here = here || handle.Equal(h, prefix)
		}
	}
	if !here {
		return nil, problem.New(problem.NotHere, "codes of %.60s are not issued here: ask its own node", "%.60s 的编码不在本节点发放：请访问其自己的节点", prefix)
	}
	p := &place{prefix: prefix}
	// The secret of a rule is for the node alone: not even administrators of the prefix read it.
	p.rules = &document.Shelf[Kept]{Registry: m.cfg.Registry, Prefix: prefix, Name: "Rule_", Type: TypeRule, Index: 1, Perm: record.AdminWrite}
	p.jobs = &document.Shelf[Job]{Registry: m.cfg.Registry, Prefix: prefix, Name: "Job_", Type: TypeJob, Index: 1}
	if err := p.rules.Open(ctx); err != nil {
		return nil, err
	}
	if err := p.jobs.Open(ctx); err != nil {
		return nil, err
	}
	m.places[key] = p
	return p, nil
}

// Heard tells that a record changed, as another site or a mirror's copy may have done it.
func (m *Mint) Heard(ctx context.Context, v id.ID) error {
	m.mu.Lock()
	p := m.places[handle.Fold(v.Prefix())]
	m.mu.Unlock()
	switch s := handle.Fold(v.Suffix()); {
	case p == nil:
	case strings.HasPrefix(s, "RULE_"):
		return p.rules.Reload(ctx, v)
	case strings.HasPrefix(s, "JOB_"):
		return p.jobs.Reload(ctx, v)
	}
	return nil
}

// Define keeps a new rule; rules never change, since codes were printed by them.
func (m *Mint) Define(ctx context.Context, who record.Identity, prefix string, r Rule) (id.ID, error) {
	if err := r.Check(); err != nil {
		return id.ID{}, err
	}
	p, err := m.place(ctx, prefix)
	if err != nil {
		return id.ID{}, err
	}
	secret := make([]byte, 32)
	m.randMu.Lock()
	_, err = io.ReadFull(m.cfg.Rand, secret)
	m.randMu.Unlock()
	if err != nil {
		return id.ID{}, problem.Wrap(err, problem.Internal, "there is no randomness to make a secret from", "没有可用的随机数")
	}
	v, err := p.rules.ID(r.Name)
	if err != nil {
		return v, err
	}
	return v, p.rules.Create(ctx, who, v, Kept{Rule: r, Secret: secret, Made: m.cfg.Now()})
}

// Rules is a page of a prefix's rules.
func (m *Mint) Rules(ctx context.Context, prefix, after string, limit int) ([]document.Paper[Kept], string, error) {
	p, err := m.place(ctx, prefix)
	if err != nil {
		return nil, "", err
	}
	page, next := p.rules.Page(after, limit, nil)
	return page, next, nil
}

func (m *Mint) rule(ctx context.Context, prefix, name string) (*place, id.ID, Kept, error) {
	p, err := m.place(ctx, prefix)
	if err != nil {
		return nil, id.ID{}, Kept{}, err
	}
	v, err := p.rules.ID(name)
	if err != nil {
		return nil, v, Kept{}, err
	}
	k, err := p.rules.Get(v)
	return p, v, k, err
}

// reserve takes count numbers of a rule; they are the caller's when it returns, durably, and nobody else's ever.
func (m *Mint) reserve(ctx context.Context, who record.Identity, p *place, v id.ID, count uint64) (first uint64, err error) {
	_, err = p.rules.Change(ctx, who, v, func(k *Kept) error {
		if room := k.Room(); count > room || k.Next > room-count {
			return problem.New(problem.Full, "the rule %s has %d codes left, fewer than the %d wanted: define one with a wider serial", "规则 %s 只剩 %d 个编码，不足 %d 个：请定义流水号更宽的规则", k.Name, room-k.Next, count)
		}
		first = k.Next
		k.Next += count
		return nil
	})
	return first, err
}

// Order is what is wanted of a rule.
type Order struct {
	Prefix string    `json:"prefix" doc:"Under which: 88.118.1001"`
	Rule   string    `json:"rule" doc:"The name of the code rule"`
	Count  uint64    `json:"count" minimum:"1" maximum:"100000000"`
	Date   time.Time `json:"date,omitzero" doc:"For rules with a date; now if absent"`
	Class  string    `json:"class,omitempty" doc:"For rules with a class"`
	Format string    `json:"format,omitempty" enum:"csv,jsonl" doc:"Of a job's file; csv if empty"`
	Gzip   bool      `json:"gzip,omitempty" doc:"Compress a job's file"`
}

func (m *Mint) order(ctx context.Context, o *Order, most uint64) (*place, id.ID, Kept, *maker, error) {
	p, v, k, err := m.rule(ctx, o.Prefix, o.Rule)
	if err != nil {
		return nil, v, k, nil, err
	}
	if o.Count < 1 || o.Count > most {
		return nil, v, k, nil, problem.New(problem.TooLarge, "1 to %d codes are issued so, not %d; more by a job, or by several", "此方式一次可发 1 至 %d 个编码，不能为 %d；更多请用任务或分次进行", most, o.Count)
	}
	if o.Date.IsZero() {
		o.Date = m.cfg.Now()
	}
	mk, err := newMaker(&k.Rule, k.Secret, o.Date, o.Class)
	if err != nil {
		return nil, v, k, nil, err
	}
	if _, err := id.ParseHandle(p.prefix + "/" + string(mk.append(nil, 0))); err != nil {
		return nil, v, k, nil, err
	}
	return p, v, k, mk, nil
}

// Take issues up to MaxTake codes at once: whole identifiers.
func (m *Mint) Take(ctx context.Context, who record.Identity, o Order) ([]string, error) {
	p, v, _, mk, err := m.order(ctx, &o, MaxTake)
	if err != nil {
		return nil, err
	}
	first, err := m.reserve(ctx, who, p, v, o.Count)
	if err != nil {
		return nil, err
	}
	out := make([]string, o.Count)
	for i := range out {
		out[i] = string(mk.append([]byte(p.prefix+"/"), first+uint64(i)))
	}
	return out, nil
}

// Issue begins a job: its numbers are reserved when it returns. Run makes its file.
func (m *Mint) Issue(ctx context.Context, who record.Identity, o Order) (id.ID, Job, error) {
	p, v, k, _, err := m.order(ctx, &o, MaxJob)
	if err != nil {
		return v, Job{}, err
	}
	switch o.Format {
	case "":
		o.Format = "csv"
	case "csv", "jsonl":
	default:
		return v, Job{}, problem.New(problem.BadValue, "%.20q is no format: take csv or jsonl", "%.20q 不是格式：可为 csv 或 jsonl", o.Format)
	}
	first, err := m.reserve(ctx, who, p, v, o.Count)
	if err != nil {
		return v, Job{}, err
	}
	j := Job{Rule: k.Name, Template: k.Template, First: first, Count: o.Count, Date: o.Date, Class: o.Class, Format: o.Format, Gzip: o.Gzip, State: Running, By: who.Ref.Name, Made: m.cfg.Now()}
	for n := p.jobs.Len() + 1; ; n++ {
		jv, err := p.jobs.ID(fmt.Sprintf("%06d", n))
		if err != nil {
			return jv, j, err
		}
		if err := p.jobs.Create(ctx, who, jv, j); problem.Is(err, problem.Exists) {
			continue
		} else if err != nil {
			return jv, j, err
		}
		select {
		case m.wake <- struct{}{}:
		default:
		}
		return jv, j, nil
	}
}

// Job is one job.
func (m *Mint) Job(ctx context.Context, v id.ID) (Job, error) {
	p, err := m.place(ctx, v.Prefix())
	if err != nil {
		return Job{}, err
	}
	return p.jobs.Get(v)
}

// Jobs is a page of a prefix's jobs.
func (m *Mint) Jobs(ctx context.Context, prefix, after string, limit int) ([]document.Paper[Job], string, error) {
	p, err := m.place(ctx, prefix)
	if err != nil {
		return nil, "", err
	}
	page, next := p.jobs.Page(after, limit, nil)
	return page, next, nil
}

// Parse takes an identifier apart by a rule, and says whether it was issued. Its errors are problem.BadValue for a suffix
// that the rule does not make.
func (m *Mint) Parse(ctx context.Context, rule string, v id.ID) (Parsed, error) {
	_, _, k, err := m.rule(ctx, v.Prefix(), rule)
	if err != nil {
		return Parsed{}, err
	}
	mk, err := newMaker(&Rule{Name: k.Name, Parts: k.Parts}, k.Secret, m.cfg.Now(), strings.Repeat("0", classWidth(&k.Rule)))
	if err != nil {
		return Parsed{}, err
	}
	out, err := mk.parse(v.Suffix())
	out.Issued = err == nil && out.Serial < k.Next
	return out, err
}

func classWidth(r *Rule) int {
	for i := range r.Parts {
		if r.Parts[i].Kind == "class" {
			return r.Parts[i].Width
		}
	}
	return 0
}

// Path is where the file of a job is, or will be.
func (m *Mint) Path(v id.ID, j Job) string {
	name := strings.NewReplacer("/", "_", "\\", "_", ":", "_").Replace(v.String()) + "." + j.Format
	if j.Gzip {
		name += ".gz"
	}
	return filepath.Join(m.cfg.Dir, name)
}

// Run makes the files of jobs until ctx ends, whose error it returns. A job that was cut off goes on from its last
// checkpoint.
func (m *Mint) Run(ctx context.Context) error {
	for {
		if err := m.Work(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			m.cfg.Log.Error("an issue of codes waits: its file cannot be written", "err", err)
		}
		t := time.NewTimer(time.Minute)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-m.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// Work does the jobs that there are, and returns.
func (m *Mint) Work(ctx context.Context) error {
	prefixes := []string{m.cfg.Prefix}
	if m.cfg.Hosted != nil {
		prefixes = append(prefixes, m.cfg.Hosted()...)
	}
	var failed error
	for _, prefix := range prefixes {
		p, err := m.place(ctx, prefix)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for after := ""; ; {
			page, next := p.jobs.Page(after, 100, func(_ id.ID, j Job) bool { return j.State == Running })
			for _, x := range page {
				if err := m.make(ctx, p, x.ID, x.Paper); err != nil {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					failed = errors.Join(failed, err)
				}
			}
			if after = next; next == "" {
				break
			}
		}
	}
	return failed
}

// make writes the file of one job, from its last checkpoint on.
func (m *Mint) make(ctx context.Context, p *place, v id.ID, j Job) (err error) {
	mk, err := m.makerOf(ctx, p, j)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return unwritable(err, m.cfg.Dir)
	}
	path := m.Path(v, j)
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unwritable(err, part)
	}
	defer f.Close()
	sum := sha256.New()
	if n, err := io.CopyN(sum, f, j.Bytes); err != nil || n != j.Bytes {
		// The file is not what it was, as after a move to another site: it is made again, the codes are the same.
		sum.Reset()
		j.Done, j.Bytes = 0, 0
	}
	if err := f.Truncate(j.Bytes); err != nil {
		return unwritable(err, part)
	}
	if _, err := f.Seek(j.Bytes, io.SeekStart); err != nil {
		return unwritable(err, part)
	}
	w := &counted{w: io.MultiWriter(f, sum), n: j.Bytes}
	save := func(change func(*Job)) error {
		_, err := p.jobs.Change(ctx, record.Identity{Ref: record.Ref{Name: j.By}}, v, func(x *Job) error { change(x); return nil })
		return err
	}
	for j.Done < j.Count {
		n := min(chunk, j.Count-j.Done)
		if err := m.lines(w, p.prefix, mk, &j, n); err != nil {
			return unwritable(err, part)
		}
		j.Done, j.Bytes = j.Done+n, w.n
		if err := ctx.Err(); err != nil {
			return err
		}
		if j.Done < j.Count {
			if err := f.Sync(); err != nil {
				return unwritable(err, part)
			}
			if err := save(func(x *Job) { x.Done, x.Bytes = j.Done, j.Bytes }); err != nil {
				return err
			}
		}
	}
	if err := f.Sync(); err != nil {
		return unwritable(err, part)
	}
	if err := os.Rename(part, path); err != nil {
		return unwritable(err, path)
	}
	if d, err := os.Open(m.cfg.Dir); err == nil {
		err = d.Sync()
		d.Close()
		if err != nil {
			return unwritable(err, m.cfg.Dir)
		}
	}
	return save(func(x *Job) {
		x.State, x.Done, x.Bytes, x.SHA256, x.Finished = Done, j.Done, w.n, digest(sum), m.cfg.Now()
	})
}

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func unwritable(err error, path string) error {
	return problem.Wrap(err, problem.Full, "%s cannot be written: look at space and permissions; the job goes on then", "%s 无法写入：请检查空间与权限；之后任务会继续", path)
}

func (m *Mint) makerOf(ctx context.Context, p *place, j Job) (*maker, error) {
	_, _, k, err := m.rule(ctx, p.prefix, j.Rule)
	if err != nil {
		return nil, err
	}
	return newMaker(&k.Rule, k.Secret, j.Date, j.Class)
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// block is how many codes are made at a time.
const block = 8192

// lines writes n codes. What is compressed is a member of its own, so that it can be cut there.
func (m *Mint) lines(to io.Writer, prefix string, mk *maker, j *Job, n uint64) error {
	var zip *gzip.Writer
	if j.Gzip {
		zip, _ = gzip.NewWriterLevel(to, gzip.BestSpeed)
		to = zip
	}
	w := bufio.NewWriterSize(to, 1<<18)
	if j.Done == 0 && j.Format == "csv" {
		if j.Template == "" {
			w.WriteString("id\n")
		} else {
			w.WriteString("id,template\n")
		}
	}
	start, end := []byte(nil), []byte("\n")
	if j.Format == "csv" {
		if j.Template != "" {
			end = []byte("," + csvText(j.Template) + "\n")
		}
	} else {
		start, end = []byte(`{"id":"`), []byte("\"}\n")
		if j.Template != "" {
			t, err := json.Marshal(j.Template)
			if err != nil {
				return err
			}
			end = append(append([]byte(`","template":`), t...), "}\n"...)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	head := append(append(start, prefix...), '/')
	// Codes are made in blocks on every core, and written in their order.
	blocks := make(chan chan []byte, runtime.GOMAXPROCS(0))
	free := make(chan []byte, cap(blocks)+2)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(blocks)
		for from := uint64(0); from < n; from += block {
			made := make(chan []byte, 1)
			select {
			case blocks <- made:
			case <-stop:
				return
			}
			go func() {
				var b []byte
				select {
				case b = <-free:
				default:
				}
				b = b[:0]
				own := *mk // with room of its own to reckon in
				for i := from; i < min(from+block, n); i++ {
					b = append(b, head...)
					b = own.append(b, j.First+j.Done+i)
					b = append(b, end...) // codes have no commas, quotes and backslashes: Rule.Check sees to it
				}
				made <- b
			}()
		}
	}()
	for made := range blocks {
		b := <-made
		if _, err := w.Write(b); err != nil {
			return err
		}
		select {
		case free <- b:
		default:
		}
	}
	if err := w.Flush(); err != nil || zip == nil {
		return err
	}
	return zip.Close()
}

func csvText(s string) string {
	if strings.ContainsAny(s, ",\"\n\r") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}
