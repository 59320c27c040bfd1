package office

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Transfer copies every record under a prefix from the node that keeps it to the one that will, while the first goes on
// taking changes; what is not public is copied too. Templates go first, since records refer to them.
type Transfer struct {
	Prefix string
	From   record.Feed   // of the node that keeps it
	Names  record.Lister // of the same node
	// Values is a record as it is there now, whole; nil values when there is none. When it is nil, everything is
	// taken from the feed, from its first change on: right for a node that keeps little else.
	Values func(ctx context.Context, v id.ID) ([]record.Value, error)
	Last   func(ctx context.Context) (uint64, error) // with Values: the number of the last change there
	By     record.Identity                           // who reads
	To     Target
	ToBy   record.Identity // who writes

	// Freeze makes the first node refuse writes under the prefix (on), or take them again.
	Freeze func(ctx context.Context, on bool) error
	// Progress is called after each step with how far it is.
	Progress func(ctx context.Context, stage string, after uint64, copied int64) error
	// News is how long the feed may take to show something new before there is nothing; 500 ms if 0.
	News time.Duration

	after   uint64
	copied  int64
	pending []record.Write // those that were refused; they are tried again
}

const transferBatch = 500

// Run copies until nothing is missing, freezes the first node, copies the rest, and compares. When it returns nil, everything is
// at the second node, and the first one is frozen; else it is not frozen. Errors: those of the doors; problem.Conflict when
// the second node refuses a record, or has another number of them in the end.
func (t *Transfer) Run(ctx context.Context, after uint64) (records int64, err error) {
	t.after = after
	if t.News == 0 {
		t.News = 500 * time.Millisecond
	}
	if _, err := t.To.Count(ctx, t.ToBy, t.Prefix); err != nil {
		return 0, problem.Wrap(err, problem.KindOf(err), "the new node does not let records of %s in: it must answer for the prefix, and list %s among its administrators", "新节点不接收 %s 的记录：它须已负责该前缀，并将 %s 列为管理员", t.Prefix, t.ToBy.Ref)
	}
	if after == 0 {
		if err := t.first(ctx); err != nil {
			return 0, err
		}
	}
	if err := t.follow(ctx, nil, near0); err != nil {
		return 0, err
	}
	if err := t.Freeze(ctx, true); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			// Even if the caller went away: else nobody could write any more.
			free, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			t.Freeze(free, false)
		}
	}()
	end := uint64(0)
	if t.Last != nil {
		if end, err = t.Last(ctx); err != nil {
			return 0, err
		}
	}
	if err := t.follow(ctx, nil, end); err != nil {
		return 0, err
	}
	if err := t.note(ctx, "frozen"); err != nil {
		return 0, err
	}
	return t.compare(ctx)
}

func (t *Transfer) note(ctx context.Context, stage string) error {
	if t.Progress == nil {
		return nil
	}
	return t.Progress(ctx, stage, t.after, t.copied)
}

func isTemplate(v id.ID) bool { return strings.HasPrefix(v.Suffix(), "META_") }

// first copies what is there at the beginning.
func (t *Transfer) first(ctx context.Context) error {
	if t.Values == nil || t.Last == nil {
		// The feed alone: templates in a first reading, and everything in the second, which follow does.
		if err := t.follow(ctx, isTemplate, near0); err != nil {
			return err
		}
		t.after = 0
		return nil
	}
	last, err := t.Last(ctx)
	if err != nil {
		return err
	}
	for _, want := range []bool{true, false} {
		for at := ""; ; {
			names, err := t.Names.List(ctx, t.By, t.Prefix, at, transferBatch)
			if err != nil {
				return err
			}
			if len(names) == 0 {
				break
			}
			var writes []record.Write
			for _, n := range names {
				at = n
				v, err := id.ParseHandle(n)
				if err != nil {
					return err
				}
				if isTemplate(v) != want {
					continue
				}
				vs, err := t.Values(ctx, v)
				if err != nil {
					return err
				}
				if vs != nil {
					writes = append(writes, create(v, vs))
				}
			}
			if err := t.send(ctx, writes); err != nil {
				return err
			}
			if err := t.note(ctx, "copying"); err != nil {
				return err
			}
		}
	}
	t.after = last
	return t.note(ctx, "copying")
}

// create writes a record as it is elsewhere. A signature that was made for the feed alone stays behind.
func create(v id.ID, vs []record.Value) record.Write {
	vs = slices.DeleteFunc(slices.Clone(vs), func(x record.Value) bool { return x.Type == record.TypeSignature && x.Timestamp == 0 })
	return record.Write{Op: record.Create, ID: v, Values: vs, Overwrite: true}
}

// near0, in the place of the last change, means to stop when few are left: while others go on writing, there are always some.
const near0 = 1<<64 - 1

// maxChase is how many readings are made to come near the end of a feed that grows as fast as it is read.
const maxChase = 200

// follow copies changes: up to the one with the number end; with 0, until there are no more for a moment; with near0,
// until few are left. only picks records; nil: all.
func (t *Transfer) follow(ctx context.Context, only func(id.ID) bool, end uint64) error {
	limit := transferBatch
	if t.Values != nil {
		limit = 10 * transferBatch // they come without what the records hold
	}
	for try := 0; ; try++ {
		if end != 0 && t.after >= end || end == near0 && try > maxChase {
			return t.again(ctx)
		}
		short, cancel := context.WithTimeout(ctx, t.News)
		entries, err := t.From.Changes(short, t.By, t.after, limit, t.Values == nil)
		quiet := short.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return problem.Wrap(ctx.Err(), problem.Canceled, "the move was stopped; start it again to go on", "迁移已停止；重新启动即可继续")
		case err != nil && quiet || err == nil && len(entries) == 0:
			return t.again(ctx)
		case err != nil:
			return err
		}
		var writes []record.Write
		seen := map[id.ID]bool{}
		for i := len(entries) - 1; i >= 0; i-- { // the last word on each
			e := &entries[i]
			if e.Op == record.Home || e.Op == record.Unhome || e.ID.Prefix() != t.Prefix || seen[e.ID] || only != nil && !only(e.ID) {
				continue
			}
			seen[e.ID] = true
			vs := e.Values
			if t.Values != nil {
				if vs, err = t.Values(ctx, e.ID); err != nil {
					return err
				}
			}
			if vs == nil {
				writes = append(writes, record.Write{Op: record.Delete, ID: e.ID})
			} else {
				writes = append(writes, create(e.ID, vs))
			}
		}
		slices.Reverse(writes)
		if err := t.send(ctx, writes); err != nil {
			return err
		}
		t.after = entries[len(entries)-1].Seq
		if only == nil {
			if err := t.note(ctx, "copying"); err != nil {
				return err
			}
		}
		if end == near0 && len(entries) < transferBatch {
			return t.again(ctx)
		}
	}
}

// maxPending bounds what is kept to be tried again.
const maxPending = 10_000

// send writes to the second node. What it refuses, because something that it refers to is not there yet, waits.
func (t *Transfer) send(ctx context.Context, writes []record.Write) error {
	if len(writes) == 0 {
		return nil
	}
	// What is written anew now must not be overwritten by an older one that waited.
	t.pending = slices.DeleteFunc(t.pending, func(w record.Write) bool {
		return slices.ContainsFunc(writes, func(n record.Write) bool { return n.ID == w.ID })
	})
	var res []record.Result
	for part := range slices.Chunk(writes, transferBatch) {
		got, err := t.To.Write(ctx, t.ToBy, part)
		if err != nil {
			return err
		}
		res = append(res, got...)
	}
	for i := range res {
		switch {
		case res[i].Err == nil, writes[i].Op == record.Delete && problem.Is(res[i].Err, problem.NotFound):
			t.copied++
		case len(t.pending) >= maxPending:
			return refusedThere(writes[i].ID, res[i].Err)
		default:
			t.pending = append(t.pending, writes[i])
		}
	}
	return nil
}

// again tries what was refused, while that gets any of it in.
func (t *Transfer) again(ctx context.Context) error {
	for len(t.pending) > 0 {
		writes := t.pending
		t.pending = nil
		res, err := t.To.Write(ctx, t.ToBy, writes)
		if err != nil {
			return err
		}
		var first error
		for i := range res {
			if res[i].Err != nil && !(writes[i].Op == record.Delete && problem.Is(res[i].Err, problem.NotFound)) {
				t.pending = append(t.pending, writes[i])
				if first == nil {
					first = refusedThere(writes[i].ID, res[i].Err)
				}
			} else {
				t.copied++
			}
		}
		if first != nil && len(t.pending) == len(writes) {
			return first
		}
	}
	return nil
}

func refusedThere(v id.ID, err error) error {
	return problem.Wrap(err, problem.Conflict, "the new node does not take %s; cure that there, then start the move again", "新节点不接收 %s；请在该节点处理后重新启动迁移", v)
}

// compare takes out what only the second node has, and counts both.
func (t *Transfer) compare(ctx context.Context) (int64, error) {
	for try := 0; ; try++ {
		here, err := t.Names.Count(ctx, t.By, t.Prefix)
		if err != nil {
			return 0, err
		}
		there, err := t.To.Count(ctx, t.ToBy, t.Prefix)
		if err != nil || here == there {
			return here, err
		}
		if try > 0 {
			return 0, problem.New(problem.Conflict, "%s has %d records here and %d at the new node; start the move again", "%s 在此处有 %d 条记录，在新节点有 %d 条；请重新启动迁移", t.Prefix, here, there)
		}
		if err := t.reconcile(ctx); err != nil {
			return 0, err
		}
	}
}

// reconcile makes the names at the second node those of the first.
func (t *Transfer) reconcile(ctx context.Context) error {
	names := func(l record.Lister, by record.Identity) (map[string]bool, error) {
		all := map[string]bool{}
		for at := ""; ; {
			list, err := l.List(ctx, by, t.Prefix, at, 1000)
			if err != nil || len(list) == 0 {
				return all, err
			}
			for _, n := range list {
				all[handle.Fold(n)] = true
				at = n
			}
		}
	}
	here, err := names(t.Names, t.By)
	if err != nil {
		return err
	}
	there, err := names(t.To, t.ToBy)
	if err != nil {
		return err
	}
	var writes []record.Write
	for n := range there {
		if here[n] {
			continue
		}
		v, err := id.ParseHandle(n)
		if err != nil {
			return err
		}
		writes = append(writes, record.Write{Op: record.Delete, ID: v})
	}
	for n := range here {
		if there[n] || t.Values == nil {
			continue
		}
		v, err := id.ParseHandle(n)
		if err != nil {
			return err
		}
		vs, err := t.Values(ctx, v)
		if err != nil {
			return err
		}
		if vs != nil {
			writes = append(writes, create(v, vs))
		}
	}
	for part := range slices.Chunk(writes, transferBatch) {
		if err := t.send(ctx, part); err != nil {
			return err
		}
	}
	return t.again(ctx)
}
