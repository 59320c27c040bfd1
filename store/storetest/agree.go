package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

// Engine is one engine of a random run.
type Engine struct {
	Name string
	store.Store
	Reopen func() (store.Store, error) // closes or crashes the store and opens it again; nil: never
}

// Agree plays one random history, made from seed, on all engines. They must agree on the outcome of every step: values,
// orders, errors, receipts, snapshots. The first engine is the model. Agree leaves the engines open.
func Agree(ctx context.Context, engines []*Engine, seed uint64, steps int) error {
	rnd := rand.New(rand.NewPCG(seed, 2))
	type view struct{ of []store.Snapshot }
	var views []view
	closeView := func(i int) error {
		var err error
		for _, n := range views[i].of {
			err = errors.Join(err, n.Close())
		}
		views = append(views[:i], views[i+1:]...)
		return err
	}
	defer func() {
		for len(views) > 0 {
			_ = closeView(0)
		}
	}()

	for step := range steps {
		// told is what each engine says about this step; what says what was asked.
		told := make([]string, len(engines))
		what := ""
		ask := func(text string, f func(i int) string) {
			what = text
			for i := range engines {
				told[i] = f(i)
			}
		}
		readers := func(i int) store.Reader { return engines[i] }
		if len(views) > 0 && rnd.IntN(3) == 0 {
			v := views[rnd.IntN(len(views))]
			readers = func(i int) store.Reader { return v.of[i] }
		}
		switch k := rnd.IntN(100); {
		case k < 45:
			b := randomBatch(ctx, rnd, engines[0])
			ask(fmt.Sprintf("Apply %v", b.Ops), func(i int) string {
				r, err := engines[i].Apply(ctx, b)
				return fmt.Sprint(r, errorName(err))
			})
		case k < 65:
			key := randomKey(rnd)
			ask(fmt.Sprintf("Get %q", key), func(i int) string {
				v, err := readers(i).Get(ctx, []byte("dst"), key)
				return fmt.Sprintf("%q %s", v, errorName(err))
			})
		case k < 85:
			span := store.Span{From: randomKey(rnd), To: randomKey(rnd), Reverse: rnd.IntN(2) == 0}
			switch rnd.IntN(4) {
			case 0:
				span.From = nil
			case 1:
				span.To = nil
			}
			limit := 1 << 30
			if rnd.IntN(3) == 0 {
				limit = 1 + rnd.IntN(4)
			}
			ask(fmt.Sprintf("Range %v, %d at most", span, limit), func(i int) string {
				var out bytes.Buffer
				n := 0
				err := readers(i).Range(ctx, span, func(k, v []byte) error {
					fmt.Fprintf(&out, "%q=%x ", k, v)
					if n++; n == limit {
						return store.Stop
					}
					return nil
				})
				return out.String() + errorName(err)
			})
		case k < 90 && len(views) < 4:
			v := view{of: make([]store.Snapshot, len(engines))}
			var failed error
			ask("Snapshot", func(i int) string {
				n, err := engines[i].Snapshot(ctx)
				if failed = errors.Join(failed, err); err != nil {
					return errorName(err)
				}
				v.of[i] = n
				return fmt.Sprint(n.Sequence())
			})
			if failed != nil {
				return fmt.Errorf("seed %d, step %d: Snapshot: %w", seed, step, failed)
			}
			views = append(views, v)
		case k < 96 && len(views) > 0:
			if err := closeView(rnd.IntN(len(views))); err != nil {
				return fmt.Errorf("seed %d, step %d: closing a snapshot: %w", seed, step, err)
			}
		case k == 99 && rnd.IntN(4) == 0:
			for len(views) > 0 {
				if err := closeView(0); err != nil {
					return fmt.Errorf("seed %d, step %d: closing a snapshot: %w", seed, step, err)
				}
			}
			for _, e := range engines {
				if e.Reopen == nil {
					continue
				}
				s, err := e.Reopen()
				if err != nil {
					return fmt.Errorf("seed %d, step %d: reopening %s: %w", seed, step, e.Name, err)
				}
				e.Store = s
			}
			ask("everything after a restart", func(i int) string { return everything(ctx, engines[i]) })
		default:
			continue
		}
		for i := range told {
			if told[i] != told[0] {
				return fmt.Errorf("seed %d, step %d: %s:\n%s says %s\n%s says %s", seed, step, what,
					engines[0].Name, told[0], engines[i].Name, told[i])
			}
		}
	}
	first := everything(ctx, engines[0])
	for _, e := range engines[1:] {
		if got := everything(ctx, e); got != first {
			return fmt.Errorf("seed %d, at the end:\n%s has %s\n%s has %s", seed, engines[0].Name, first, e.Name, got)
		}
	}
	return nil
}

func everything(ctx context.Context, s store.Store) string {
	var out bytes.Buffer
	n, err := s.Snapshot(ctx)
	if err != nil {
		return errorName(err)
	}
	defer n.Close()
	fmt.Fprintf(&out, "%d: ", n.Sequence())
	err = n.Range(ctx, store.Span{}, func(k, v []byte) error {
		fmt.Fprintf(&out, "%q=%x ", k, v)
		return nil
	})
	return out.String() + errorName(err)
}

// randomBatch is a batch whose conditions hold about half of the time.
func randomBatch(ctx context.Context, rnd *rand.Rand, model store.Reader) *store.Batch {
	b := &store.Batch{}
	for range 1 + rnd.IntN(6) {
		key := randomKey(rnd)
		value := make([]byte, rnd.IntN(20))
		for i := range value {
			value[i] = byte(rnd.Uint32())
		}
		switch rnd.IntN(10) {
		case 0, 1, 2, 3:
			b.Put(key, value)
		case 4:
			b.Delete(key)
		case 5, 6, 7:
			v, err := model.Get(ctx, []byte{}, key)
			if rnd.IntN(6) == 0 {
				v, err = value, nil
			}
			if err != nil {
				v = nil
			}
			b.Expect(key, v)
			b.Put(key, value)
		case 8:
			b.Append([]byte{"ab"[rnd.IntN(2)]}, value)
		case 9:
			if rnd.IntN(20) == 0 {
				key = nil
			}
			b.Put(key, value)
		}
	}
	return b
}

// errorName is the part of an error on which engines must agree.
func errorName(err error) string {
	if err == nil {
		return "ok"
	}
	known := map[string]error{"not found": store.ErrNotFound, "conflict": store.ErrConflict, "full": store.ErrFull, "closed": store.ErrClosed}
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if errors.Is(err, known[name]) {
			return name
		}
	}
	if kind := problem.KindOf(err); kind != problem.Internal {
		return kind.String()
	}
	return "error: " + err.Error()
}
