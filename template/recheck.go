package template

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// RecheckState is how far a recheck is.
type RecheckState string

// The states of a recheck.
const (
	Rechecking RecheckState = "running"
	Rechecked  RecheckState = "done"
)

// Recheck is a reading of all records of a prefix that keep to one template, whichever version, against one version of
// it. It changes nothing.
type Recheck struct {
	ID       string       `json:"id"`
	Prefix   string       `json:"prefix" doc:"Whose records are read"`
	Template string       `json:"template" doc:"With the version: 88.118.1001/META_PUMP/2"`
	State    RecheckState `json:"state" enum:"running,done"`
	Seen     uint64       `json:"seen" doc:"Records of the prefix that were looked at, of any kind"`
	Kept     uint64       `json:"kept" doc:"Records of this template that would hold"`
	Broken   uint64       `json:"broken" doc:"Records of this template that would break it"`
	Total    int64        `json:"total" doc:"Records of the prefix when it began"`
	After    string       `json:"after,omitempty" doc:"The last record that was looked at"`
	Bytes    int64        `json:"bytes" doc:"Of the file with the broken ones so far"`
	By       string       `json:"by,omitempty"`
	Made     time.Time    `json:"made"`
	Finished time.Time    `json:"finished,omitzero"`
}

// Breach is one line of a recheck's file, as JSON.
type Breach struct {
	ID       string `json:"id"`
	Version  string `json:"version,omitempty"` // that the record keeps to now
	Property string `json:"property,omitempty"`
	Rule     string `json:"rule"`
	Place    string `json:"place"`
	EN       string `json:"en"`
	ZH       string `json:"zh"`
}

var rechecks = table.Table[Recheck]{Name: "template.recheck", Key: func(r Recheck) []byte { return []byte(r.ID) }}

// recheckPage is how many records lie between two moments from which a recheck goes on after a stop.
const recheckPage = 500

// maxRechecks are under way at once.
const maxRechecks = 20

// Rechecker does rechecks, one after the other. Fill it and Run it; or Work it once.
type Rechecker struct {
	Templates *Templates
	Dir       string // where the files are

	mu   sync.Mutex // one beginning at a time
	once sync.Once
	wake chan struct{}
}

func (r *Rechecker) ready() { r.once.Do(func() { r.wake = make(chan struct{}, 1) }) }

// Begin keeps a new recheck of prefix's records against a version (the newest when name has none); Work or Run does it.
func (r *Rechecker) Begin(ctx context.Context, who record.Identity, prefix, name string) (Recheck, error) {
	r.ready()
	t := r.Templates
	if !t.here(prefix) {
		return Recheck{}, problem.New(problem.NotHere, "records of %.60s are not kept here: ask its own node", "%.60s 的记录不在本节点：请访问其自己的节点", prefix)
	}
	x, err := t.Find(ctx, name)
	if err != nil {
		return Recheck{}, err
	}
	total, err := t.cfg.Registry.Count(ctx, operator, prefix)
	if err != nil {
		return Recheck{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last, running := 0, 0
	err = rechecks.Range(ctx, t.cfg.Store, store.Span{}, func(c Recheck) error {
		n := 0
		if _, err := fmt.Sscanf(c.ID, "%d", &n); err == nil {
			last = max(last, n)
		}
		if c.State == Rechecking {
			running++
		}
		return nil
	})
	if err != nil {
		return Recheck{}, err
	}
	if running >= maxRechecks {
		return Recheck{}, problem.New(problem.Busy, "%d rechecks are under way: wait for one to end", "已有 %d 个复核任务：请等待其中之一结束", running)
	}
	c := Recheck{ID: fmt.Sprintf("%06d", last+1), Prefix: prefix, Template: versionName(x), State: Rechecking, Total: total, By: who.Ref.Name, Made: t.cfg.Now()}
	if err := rechecks.Put(ctx, t.cfg.Store, c); err != nil {
		return Recheck{}, err
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return c, nil
}

// Get is one recheck; problem.NotFound when there is none.
func (r *Rechecker) Get(ctx context.Context, number string) (Recheck, error) {
	row, err := rechecks.Load(ctx, r.Templates.cfg.Store, []byte(number))
	if err == nil && !row.Found() {
		err = problem.New(problem.NotFound, "there is no recheck %.20q", "没有复核任务 %.20q", number)
	}
	return row.Value, err
}

// Path is where the file of a recheck is, a line of JSON for each place at fault.
func (r *Rechecker) Path(c Recheck) string { return filepath.Join(r.Dir, "recheck-"+c.ID+".jsonl") }

// Run does rechecks until ctx ends, whose error it returns. What was cut off goes on from its last page.
func (r *Rechecker) Run(ctx context.Context) error {
	r.ready()
	for {
		if err := r.Work(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.Templates.cfg.Log.Error("a recheck of records waits", "err", err)
		}
		t := time.NewTimer(time.Minute)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-r.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// Work does the rechecks that there are, and returns.
func (r *Rechecker) Work(ctx context.Context) error {
	var todo []Recheck
	err := rechecks.Range(ctx, r.Templates.cfg.Store, store.Span{}, func(c Recheck) error {
		if c.State == Rechecking {
			todo = append(todo, c)
		}
		return nil
	})
	for _, c := range todo {
		if e := r.do(ctx, c); e != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			err = errors.Join(err, e)
		}
	}
	return err
}

// do goes on with one recheck, page by page: the file is on disk before the page is remembered, and cut to what is
// remembered before it is gone on with.
func (r *Rechecker) do(ctx context.Context, c Recheck) (err error) {
	reg := r.Templates.cfg.Registry
	t, err := r.Templates.Find(ctx, c.Template)
	if err != nil {
		return err
	}
	unwritable := func(err error) error {
		return problem.Wrap(err, problem.Full, "%s cannot be written: look at space and permissions; the recheck goes on then", "%s 无法写入：请检查空间与权限；之后复核会继续", r.Path(c))
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return unwritable(err)
	}
	f, err := os.OpenFile(r.Path(c), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unwritable(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return unwritable(err)
	} else if st.Size() < c.Bytes { // the file is gone, as after a move: it is made again
		c.Seen, c.Kept, c.Broken, c.After, c.Bytes = 0, 0, 0, "", 0
	}
	if err := f.Truncate(c.Bytes); err != nil {
		return unwritable(err)
	}
	if _, err := f.Seek(c.Bytes, io.SeekStart); err != nil {
		return unwritable(err)
	}
	for c.State == Rechecking {
		names, err := reg.List(ctx, operator, c.Prefix, c.After, recheckPage)
		if err != nil {
			return err
		}
		w := &tally{w: bufio.NewWriter(f)}
		for _, name := range names {
			if err := r.one(ctx, reg, t, &c, w, name); err != nil {
				return err
			}
			c.Seen, c.After = c.Seen+1, name
		}
		if err := w.w.Flush(); err != nil {
			return unwritable(err)
		}
		if err := f.Sync(); err != nil {
			return unwritable(err)
		}
		c.Bytes += w.n
		if len(names) < recheckPage {
			c.State, c.Finished = Rechecked, r.Templates.cfg.Now()
		}
		if err := rechecks.Put(ctx, r.Templates.cfg.Store, c); err != nil {
			return err
		}
	}
	return nil
}

type tally struct {
	w *bufio.Writer
	n int64
}

// one looks at one record.
func (r *Rechecker) one(ctx context.Context, reg record.Resolver, t *Template, c *Recheck, w *tally, name string) error {
	v, err := id.ParseHandle(name)
	if err != nil || v.IsPrefix() {
		return nil // a prefix keeps to no template
	}
	a, err := reg.Resolve(ctx, record.Query{ID: v, By: operator, NoReferral: true})
	if problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues) {
		return nil // it was deleted meanwhile
	}
	if err != nil {
		return err
	}
	of := find(a.Values, record.IndexTemplateID)
	if of == nil || !handle.Equal(string(of.Data), t.ID) {
		return nil
	}
	version := ""
	if x := find(a.Values, record.IndexTemplate); x != nil {
		version = string(x.Data)
	}
	// Values of a property that the version disables stay good: they are there already.
	bad := t.Validate(a.Values, func(uint32) bool { return false })
	if len(bad) == 0 {
		c.Kept++
		return nil
	}
	c.Broken++
	for _, b := range bad {
		line, err := json.Marshal(Breach{v.String(), version, b.Property, b.Rule, b.Place, b.EN, b.ZH})
		if err != nil {
			return problem.Wrap(err, problem.Internal, "what is wrong with %s cannot be written as JSON", "%s 的问题无法写成 JSON", v)
		}
		n, err := w.w.Write(append(line, '\n'))
		if w.n += int64(n); err != nil {
			return problem.Wrap(err, problem.Full, "%s cannot be written: look at space and permissions", "%s 无法写入：请检查空间与权限", r.Path(*c))
		}
	}
	return nil
}

// RecheckOrder is the body of POST /api/template-rechecks.
type RecheckOrder struct {
	Prefix   string `json:"prefix" doc:"Whose records are read: 88.118.1001"`
	Template string `json:"template" doc:"88.118/META_PUMP/2; without a version the newest"`
}

func (r *Rechecker) register(a *api.API) {
	tag := []string{"templates"}
	seen := func(ctx context.Context, number string) (Recheck, error) {
		c, err := r.Get(ctx, number)
		if err == nil && !api.From(ctx).Has(c.Prefix, readers...) {
			err = problem.New(problem.NotFound, "there is no recheck %.20q", "没有复核任务 %.20q", number)
		}
		return c, err
	}
	type place struct {
		Number string `path:"number" maxLength:"20"`
	}
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/template-rechecks", Tags: tag, DefaultStatus: http.StatusAccepted, Summary: "List the stored records that a version would refuse (复核)", Description: "It changes nothing, and goes on by itself after a stop. The broken records are lines of JSON at …/file when it is done."},
		func(ctx context.Context, in *struct{ Body RecheckOrder }) (*api.Body[Recheck], error) {
			c := api.From(ctx)
			if err := c.Need(in.Body.Prefix, managers...); err != nil {
				return nil, err
			}
			x, err := r.Begin(ctx, c.Identity, in.Body.Prefix, in.Body.Template)
			return &api.Body[Recheck]{Body: x}, err
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/template-rechecks/{number}", Tags: tag, Summary: "How far a recheck is"},
		func(ctx context.Context, in *place) (*api.Body[Recheck], error) {
			x, err := seen(ctx, in.Number)
			return &api.Body[Recheck]{Body: x}, err
		})
	a.Mux.HandleFunc("GET /api/template-rechecks/{number}/file", func(w http.ResponseWriter, q *http.Request) {
		c, err := seen(q.Context(), q.PathValue("number"))
		if err == nil && c.State != Rechecked {
			err = problem.New(problem.NotFound, "the recheck %s is not complete yet: ask again", "复核任务 %s 尚未完成：请稍后再试", c.ID)
		}
		if err != nil {
			a.Refuse(w, q, err)
			return
		}
		f, err := os.Open(r.Path(c))
		if err != nil {
			a.Refuse(w, q, problem.Wrap(err, problem.NotFound, "the file of the recheck %s is not at this site", "复核任务 %s 的文件不在本站点", c.ID))
			return
		}
		defer f.Close()
		w.Header().Set("Content-Type", "application/jsonl")
		http.ServeContent(w, q, "", c.Finished, f)
	})
}
