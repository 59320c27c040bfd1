package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/intake"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/template"
)

type registerCmd struct {
	access
	Files    []string `arg:"" name:"file" help:"JSON Lines, CSV; .gz; -"`
	Map      string   `help:"${flag_map}" placeholder:"FILE"`
	Acked    string   `help:"${flag_acked}" placeholder:"FILE"`
	Report   string   `help:"${flag_report}" placeholder:"FILE"`
	Encoding string   `help:"${flag_encoding}" default:"auto"`
	Batch    int      `help:"${flag_batch}" default:"1000"`
	Again    bool     `help:"${flag_again}"`
}

// registration is one run of the command.
type registration struct {
	e      *env
	c      *registerCmd
	target target
	m      *intake.Map
	acked  *os.File
	report io.Writer

	ready   map[string]bool // prefixes that were made sure of
	seen    map[id.ID]int   // line on which an identifier stood first, in this file
	batches map[registrar]*batch
	order   []registrar // the keys of batches, as they came
	pending int

	templates map[string]*template.Template // by name, as lines name them
	absent    map[string]error              // templates that are none

	registered, already, refused int
	first                        []string // a few of what is registered, for whoever wants to try them
}

// registrar takes writes for some prefixes.
type registrar interface {
	record.Registrar
	record.Resolver
}

// target finds who takes the writes for an identifier.
type target interface {
	keeper(ctx context.Context, v id.ID) (registrar, error)
	ensure(ctx context.Context, e *intake.Enterprise) error
	close()
}

type batch struct {
	items  []intake.Item
	writes []record.Write
}

const firstKept = 10

// maxRefusalsShown is how many refused lines are printed; all of them go to --report.
const maxRefusalsShown = 50

func (c *registerCmd) Run(e *env) error {
	_, err := c.do(e)
	return err
}

// do is Run, and tells what was done.
func (c *registerCmd) do(e *env) (r *registration, err error) {
	r = &registration{e: e, c: c, ready: map[string]bool{}, templates: map[string]*template.Template{}, absent: map[string]error{}}
	if c.Batch < 1 || c.Batch > 10000 {
		return r, problem.New(problem.BadRequest, "--batch takes 1 to 10000", "--batch 应为 1 至 10000")
	}
	if c.Map != "" {
		if r.m, err = intake.LoadMap(c.Map); err != nil {
			return r, err
		}
	}
	if r.target, err = c.open(e.ctx); err != nil {
		return r, err
	}
	defer r.target.close()
	if c.Acked != "" {
		if r.acked, err = os.OpenFile(c.Acked, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			return r, problem.Wrap(err, problem.BadRequest, "cannot write the list of acknowledged identifiers", "无法写入已确认标识清单")
		}
		defer r.acked.Close()
	}
	if c.Report != "" {
		f, err := os.Create(c.Report)
		if err != nil {
			return r, problem.Wrap(err, problem.BadRequest, "cannot write the report", "无法写入报告")
		}
		w := bufio.NewWriter(f)
		defer func() { err = errors.Join(err, w.Flush(), f.Close()) }()
		r.report = w
	}
	start := time.Now()
	for _, f := range c.Files {
		if err := r.file(e.ctx, f); err != nil {
			return r, err
		}
	}
	took := time.Since(start)
	rate := float64(r.registered+r.already) / max(took.Seconds(), 0.001)
	e.print("%d registered, %d there already, %d refused, in %.1f s (%.0f a second)", "新登记 %d，已存在 %d，拒绝 %d，用时 %.1f 秒（每秒 %.0f）",
		r.registered, r.already, r.refused, took.Seconds(), rate)
	if r.refused > 0 {
		return r, codeError{code: exitRefused}
	}
	return r, nil
}

// file registers one file, from where an earlier run of the same file got to.
func (r *registration) file(ctx context.Context, path string) error {
	in, err := intake.Open(path, intake.Options{Map: r.m, Encoding: r.c.Encoding})
	if err != nil {
		return err
	}
	defer in.Close()
	mark := newCheckpoint(r.c.stateDir(), path, r.c.Map)
	from := 0
	if !r.c.Again {
		if from = mark.read(); from > 0 {
			r.e.print("%s: going on behind line %d of an earlier run (--again starts over)", "%s：从上次做到的第 %d 行之后继续（--again 从头开始）", path, from)
		}
	}
	bar := r.bar(in, path)
	defer bar.Finish()
	r.seen, r.batches, r.order = map[id.ID]int{}, map[registrar]*batch{}, nil
	last := 0
	ctx, cancel := context.WithCancel(ctx)
	ahead := readAhead(ctx, in)
	defer func() {
		cancel()
		for range ahead { // the file is closed after this
		}
	}()
	for c := range ahead {
		bar.Set64(c.read)
		for _, it := range c.items {
			last = it.Line
			if err := r.item(ctx, path, it, it.Line <= from); err != nil {
				return err
			}
			if r.pending >= 10*r.c.Batch {
				if err := r.flush(ctx, path); err != nil {
					return err
				}
				mark.write(last)
			}
		}
		if c.err != nil {
			return c.err
		}
	}
	if ctx.Err() != nil {
		return problem.Wrap(ctx.Err(), problem.Canceled, "stopped at line %d", "在第 %d 行停止", last)
	}
	if err := r.flush(ctx, path); err != nil {
		return err
	}
	mark.write(last)
	return nil
}

// chunk is some lines of a file, taken apart.
type chunk struct {
	items []intake.Item
	read  int64 // bytes of the file so far
	err   error // why the file cannot be read on
}

// readAhead takes the file apart while what came before is registered. It ends with the file, its first error, or ctx.
func readAhead(ctx context.Context, in *intake.Reader) <-chan chunk {
	out := make(chan chunk, 4)
	go func() {
		defer close(out)
		for end := false; !end; {
			c := chunk{items: make([]intake.Item, 0, 256)}
			for len(c.items) < cap(c.items) && !end {
				it, err := in.Next()
				if end = err != nil; !end {
					c.items = append(c.items, it)
				} else if err != io.EOF {
					c.err = err
				}
			}
			c.read, _ = in.Progress()
			select {
			case out <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// item puts one line into its keeper's batch. done lines were acknowledged by an earlier run and only count as seen.
func (r *registration) item(ctx context.Context, path string, it intake.Item, done bool) error {
	if it.Err == nil {
		if first, ok := r.seen[it.ID]; ok {
			it.Err = problem.New(problem.Exists, "%s stands on line %d already; one of the two must go", "%s 已在第 %d 行出现；两行只能保留一行", it.ID, first)
		} else {
			r.seen[it.ID] = it.Line
		}
	}
	if done {
		return nil
	}
	if it.Err == nil && it.ID.IsPrefix() {
		it.Err = problem.New(problem.BadID, "%s is a prefix; an identifier to register needs a suffix", "%s 只是前缀；登记的标识须有后缀", it.ID)
	}
	if it.Err != nil {
		r.refuse(path, it)
		return nil
	}
	if p := it.Enterprise; p != nil && !r.ready[p.Prefix] {
		if err := r.target.ensure(ctx, p); err != nil {
			return problem.Wrap(err, problem.KindOf(err), "the prefix %s of %s could not be made", "无法建立 %[2]s 的前缀 %[1]s", p.Prefix, p.Name)
		}
		r.ready[p.Prefix] = true
	}
	to, err := r.target.keeper(ctx, it.ID)
	if problem.Is(err, problem.NotHere) {
		it.Err = err
		r.refuse(path, it)
		return nil
	}
	if err != nil {
		return err
	}
	if it.Template != "" {
		if it.Values, err = r.expand(ctx, to, it); err != nil {
			if k := problem.KindOf(err); k != problem.BadValue && k != problem.NotFound && k != problem.BadID && k != problem.Conflict {
				return err // the node is away: the line may well be good
			}
			it.Err = err
			r.refuse(path, it)
			return nil
		}
	}
	b := r.batches[to]
	if b == nil {
		b = &batch{}
		r.batches[to] = b
		r.order = append(r.order, to)
	}
	b.items = append(b.items, it)
	b.writes = append(b.writes, record.Write{Op: record.Create, ID: it.ID, Values: it.Values})
	r.pending++
	if len(b.writes) >= r.c.Batch {
		return r.send(ctx, path, to, b)
	}
	return nil
}

// expand is the values of a line that names a template: its properties, or its values as they are, beside the template's name
// and version. What breaks the template is refused here, before the node would refuse it.
func (r *registration) expand(ctx context.Context, to registrar, it intake.Item) ([]record.Value, error) {
	t, err := r.template(ctx, to, it.Template)
	if err != nil {
		return nil, err
	}
	return t.Complete(it.Values, it.Properties)
}

// template fetches a template once, from the node that keeps the first record of it.
func (r *registration) template(ctx context.Context, from registrar, name string) (*template.Template, error) {
	if t := r.templates[name]; t != nil {
		return t, nil
	}
	if err := r.absent[name]; err != nil {
		return nil, err
	}
	t, err := fetchTemplate(ctx, from, name)
	if err != nil {
		if problem.Is(err, problem.NotFound) || problem.Is(err, problem.BadValue) || problem.Is(err, problem.BadID) {
			err = problem.Wrap(err, problem.BadValue, "the line names the template %.100q, which is not there", "该行所用的模板 %.100q 不存在", name)
			r.absent[name] = err
		}
		return nil, err
	}
	r.templates[name] = t
	return t, nil
}

func (r *registration) flush(ctx context.Context, path string) error {
	for _, to := range r.order {
		if err := r.send(ctx, path, to, r.batches[to]); err != nil {
			return err
		}
	}
	r.pending = 0
	return nil
}

// send registers a batch. What was acknowledged is listed; what is taken is compared, since an earlier run may have registered just this.
func (r *registration) send(ctx context.Context, path string, to registrar, b *batch) error {
	if len(b.writes) == 0 {
		return nil
	}
	res, err := to.Write(ctx, record.Identity{}, b.writes)
	if err != nil {
		return err
	}
	var acked []byte
	for i, x := range res {
		it := b.items[i]
		switch {
		case x.Err == nil:
			r.registered++
		case problem.Is(x.Err, problem.Exists) && r.same(ctx, to, it):
			r.already++
		default:
			it.Err = x.Err
			r.refuse(path, it)
			continue
		}
		acked = append(append(acked, it.As...), '\n')
		if len(r.first) < firstKept {
			r.first = append(r.first, it.ID.String())
		}
	}
	b.items, b.writes = b.items[:0], b.writes[:0]
	if r.acked != nil && len(acked) > 0 {
		if _, err := r.acked.Write(acked); err != nil {
			return problem.Wrap(err, problem.Internal, "cannot write the list of acknowledged identifiers", "无法写入已确认标识清单")
		}
	}
	return nil
}

// same reports whether what is registered under the item's identifier is what the item says.
func (r *registration) same(ctx context.Context, to registrar, it intake.Item) bool {
	a, err := to.Resolve(ctx, record.Query{ID: it.ID, PublicOnly: true, Authoritative: true})
	return err == nil && sim.SameContent(it.Values, a.Values)
}

func (r *registration) refuse(path string, it intake.Item) {
	r.refused++
	text := problem.Say(it.Err, r.e.lang)
	var broken *template.Violations
	if errors.As(it.Err, &broken) {
		for i, d := range broken.Details(r.e.lang) {
			if i > 0 { // the first stands in the sentence
				text += "; " + d.Property + " (" + d.Location + ", " + d.Rule + "): " + d.Message
			}
		}
	}
	if r.report != nil {
		b, _ := json.Marshal(map[string]any{"file": path, "line": it.Line, "id": it.ID.String(), "kind": problem.KindOf(it.Err).String(), "error": text})
		fmt.Fprintf(r.report, "%s\n", b)
		return
	}
	switch {
	case r.refused <= maxRefusalsShown:
		fmt.Fprintf(r.e.err, "%s:%d: %s\n", path, it.Line, text)
	case r.refused == maxRefusalsShown+1:
		fmt.Fprintln(r.e.err, r.e.say("further refused lines are counted only; --report FILE lists all", "其余被拒绝的行只计数；--report 文件 可列出全部"))
	}
}

func (r *registration) bar(in *intake.Reader, path string) *progressbar.ProgressBar {
	_, size := in.Progress()
	if !r.e.terminal || size == 0 {
		return progressbar.DefaultBytesSilent(size)
	}
	return progressbar.NewOptions64(size, progressbar.OptionSetWriter(r.e.err), progressbar.OptionSetDescription(filepath.Base(path)),
		progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}

// checkpoint remembers up to which line a file was registered, for as long as the file does not change.
type checkpoint struct {
	path string // empty: nothing is remembered
	mark mark
}

type mark struct {
	File string    `json:"file"`
	Map  string    `json:"map"`
	Size int64     `json:"size"`
	Time time.Time `json:"time"`
	Line int       `json:"line"`
}

func newCheckpoint(dir, file, mapFile string) *checkpoint {
	abs, err := filepath.Abs(file)
	st, serr := os.Stat(file)
	if err != nil || serr != nil || !st.Mode().IsRegular() || dir == "" {
		return &checkpoint{}
	}
	sum := sha256.Sum256([]byte(abs + "\x00" + mapFile))
	return &checkpoint{filepath.Join(dir, "register-"+hex.EncodeToString(sum[:8])+".json"),
		mark{File: abs, Map: mapFile, Size: st.Size(), Time: st.ModTime().UTC()}}
}

func (c *checkpoint) read() int {
	b, err := os.ReadFile(c.path)
	var m mark
	if err != nil || json.Unmarshal(b, &m) != nil || m.Size != c.mark.Size || !m.Time.Equal(c.mark.Time) {
		return 0
	}
	return m.Line
}

func (c *checkpoint) write(line int) {
	if c.path == "" {
		return
	}
	c.mark.Line = line
	if b, err := json.Marshal(c.mark); err == nil {
		node.WriteFile(c.path, b) // without it a later run only does more than it need
	}
}
