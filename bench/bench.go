// Package bench says how fast this program is on your machine: whole-program figures, each beside the bare ceiling of the
// same work and beside well-known servers doing work of the same kind, in the same run.
//
// A figure alone says little on a machine that others share. So each server is a process of its own on one core, the
// load runs on the others, all servers are up at once and take turns (A, B, C, A, B, C, …), and what is published is the
// median of the turns and the ratio of medians. Run writes a table for people (Markdown) and the same for programs (JSON).
//
// The ceilings are the least that any program must do for the same question: hand the datagrams back with the same
// system calls (udp-echo), hand the bytes of a connection back (tcp-echo), write a ready answer from net/http (http-bare),
// put the same bytes into the storage engine with nothing around it (pebble-bare). The peers are authoritative DNS
// servers holding the same names and the same data, because theirs is the most polished software of this kind of work.
package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Options of a run. The zero value measures everything that this machine has, and writes no files.
type Options struct {
	// Program is the fujie that is measured. Default: the program that runs.
	Program string
	// Only names the scenarios to run, separated by commas: "udp-32", "udp" for all that begin so, or a path.Match
	// pattern. Default: all.
	Only string
	// Subjects names the servers to run, in the same way. Default: all that are installed.
	Subjects string
	// Quick makes a run of a minute that shows whether everything works; its figures are not to be published.
	Quick bool
	// Names is the number of records that every server holds. Default 1,000,000.
	Names uint64
	// Large is the number of records for start-up time, memory and bytes per identifier. Default 10,000,000.
	Large uint64
	// Rounds is how many turns each server gets. Default 5.
	Rounds int
	// Turn is how long one turn is measured, after Warm of the same load that does not count. Default 3 s and 500 ms.
	Turn, Warm time.Duration
	// Out is the folder that receives the report, and below it the profiles of each server that has a debug address,
	// taken in a turn that does not count. Default: none is written.
	Out string
	// Work is a folder for zones, stores and built peers; what takes long to make is kept there and used again. It
	// needs 10 GB. Default: a folder in the user's cache.
	Work string
	// Self is the command that runs Run again, as one of the ceilings. Default: this program with "bench".
	Self []string
	// Version and Command stand in the report. Defaults: the commit this program was built from, and its command line.
	Version, Command string
	// Now is the clock of the report's date. Default time.Now. (What is measured is measured by the machine's own.)
	Now func() time.Time
}

func (o Options) withDefaults() (Options, error) {
	exe, err := os.Executable()
	if err != nil {
		return o, problem.Wrap(err, problem.Internal, "cannot find the path of this program", "找不到本程序的路径")
	}
	if o.Program == "" {
		o.Program = exe
	}
	if o.Program, err = filepath.Abs(o.Program); err != nil {
		return o, problem.Wrap(err, problem.Internal, "the program to measure has no path", "待测程序没有有效路径")
	}
	if len(o.Self) == 0 {
		o.Self = []string{exe, "bench"}
	}
	if o.Quick {
		set(&o.Names, 20_000)
		set(&o.Large, 50_000)
		set(&o.Rounds, 1)
		set(&o.Turn, 500*time.Millisecond)
		set(&o.Warm, 100*time.Millisecond)
	}
	set(&o.Names, 1_000_000)
	set(&o.Large, 10_000_000)
	set(&o.Rounds, 5)
	set(&o.Turn, 3*time.Second)
	set(&o.Warm, 500*time.Millisecond)
	if o.Work == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir()
		}
		o.Work = filepath.Join(cache, "fujie-bench")
	}
	if o.Work, err = filepath.Abs(o.Work); err != nil {
		return o, problem.Wrap(err, problem.Internal, "the working folder has no path", "工作目录没有有效路径")
	}
	commit := builtFrom()
	if o.Version != "" && o.Version != commit {
		commit = o.Version + " (" + commit + ")"
	}
	o.Version = commit
	set(&o.Command, strings.Join(os.Args, " "))
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, p := range append(patterns(o.Only), patterns(o.Subjects)...) {
		if _, err := path.Match(p, ""); err != nil {
			return o, problem.New(problem.BadRequest, "%q is no pattern: write names such as udp-32 or udp-*",
				"%q 不是有效的匹配模式：请写 udp-32 或 udp-* 之类的名称", p)
		}
	}
	return o, nil
}

// set gives v its default unless it has a value.
func set[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// wanted reports whether the name matches one of the patterns, or there are none. A pattern also stands for the names
// that begin with it and a dash: "udp" for "udp-1" and "udp-32".
func wanted(name, list string) bool {
	all := patterns(list)
	return len(all) == 0 || slices.ContainsFunc(all, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok || strings.HasPrefix(name, p+"-")
	})
}

func patterns(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// ceilingEnv makes a process started by Run serve a ceiling; its value is the specification.
const ceilingEnv = "FUJIE_BENCH_CEILING"

// Run measures, says on w what it does, prints the report there and writes it to o.Out. It returns an error when the
// bench could not be run, or a server gave wrong answers; a figure below its target is reported and is no error.
func Run(ctx context.Context, o Options, w io.Writer) error {
	if spec := os.Getenv(ceilingEnv); spec != "" {
		return Serve(ctx, spec, w)
	}
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	h, err := newHost(o, w)
	if err != nil {
		return err
	}
	defer h.close()
	began := o.Now()
	r := Report{
		Date: began.UTC().Truncate(time.Second), Commit: o.Version, Command: o.Command, Quick: o.Quick,
		Machine: machine(), Names: o.Names, Rounds: o.Rounds, Turn: o.Turn.String(),
		Layout: h.layout.String(),
	}
	servers := h.startAll(ctx, subjects(), &r)
	for _, s := range scenarios() {
		if !wanted(s.Name, o.Only) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return problem.Wrap(err, problem.Canceled, "the bench was interrupted", "性能测试被中断")
		}
		if err := s.measure(ctx, h, servers, &r); err != nil {
			return err
		}
	}
	h.stopAll(servers)
	for _, s := range errands() {
		if !wanted(s.name, o.Only) {
			continue
		}
		if err := s.run(ctx, h, &r); err != nil {
			if ctx.Err() != nil {
				return err
			}
			r.Notes = append(r.Notes, fmt.Sprintf("%s was not measured: %v", s.name, err))
		}
	}
	r.judge()
	r.bounded(max(len(h.layout.load), 1))
	r.Took = o.Now().Sub(began).Round(time.Second).String()
	if err := r.WriteMarkdown(w); err != nil {
		return err
	}
	if o.Out != "" {
		if err := r.save(o.Out); err != nil {
			return err
		}
	}
	if wrong := r.wrong(); wrong != "" {
		return problem.New(problem.Internal, "wrong answers under load: %s", "负载下出现错误应答：%s", wrong)
	}
	return nil
}

// layout says which processors serve and which make the load.
type layout struct {
	server, load []int // empty: no processor is set apart
	all          []int
}

func newLayout() layout {
	all := processors()
	l := layout{all: all}
	if len(all) >= 2 {
		l.server, l.load = all[:1], all[1:]
	}
	return l
}

func (l layout) String() string {
	if len(l.server) == 0 {
		return fmt.Sprintf("server and load share %d processors", runtime.NumCPU())
	}
	return fmt.Sprintf("each server on processor %d alone, the load on %d other(s)", l.server[0], len(l.load))
}
