package irp

import (
	"context"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// maxTogether is how many changes go to the Registrar in one call.
const maxTogether = 256

// turn is one request whose turn has come, and its answer.
type turn struct {
	job
	r    *request
	name string
	w    record.Write // what is to be written, if Op is set
	out  []byte
}

// follow does the requests of a connection that are done in order. Changes that came behind one another, as they do from
// a client that does not wait for answers, go to the Registrar together: what makes one of them durable makes all
// durable, so that a thousand cost little more than one.
func (c *conn) follow(ctx context.Context, lane <-chan job) {
	var turns []*turn
	for j := range lane {
		if !c.worker(ctx) {
			c.done(j)
			continue
		}
		turns = turns[:0]
		for more := true; more; {
			turns = c.take(ctx, turns, j)
			more = false
			if len(turns) > 0 && len(turns) < maxTogether {
				select {
				case j, more = <-lane:
				default:
				}
			}
		}
		c.settle(ctx, turns)
		<-c.s.connWork
	}
}

// take reads a request. If it is a change, or was refused at once, it joins the turns; everything else is done right
// away, behind the turns before it, and none are left.
func (c *conn) take(ctx context.Context, turns []*turn, j job) []*turn {
	t := &turn{job: j}
	t.r = c.s.request(ctx, &c.channel, j.e, func(msg []byte, _ bool) error {
		t.out = append(t.out, msg...)
		return nil
	})
	if c.joins(t) {
		// One call is for one identity.
		for _, o := range turns {
			if t.w.Op != 0 && o.w.Op != 0 && o.r.by != t.r.by {
				c.settle(ctx, turns)
				turns = turns[:0]
				break
			}
		}
		return append(turns, t)
	}
	c.settle(ctx, turns)
	defer c.done(j)
	emit, let := c.emitter()
	defer let()
	t.r.emit = emit
	c.gone(t.r.guarded(ctx, (*request).act))
	return turns[:0]
}

// joins readies a request and reports whether it is settled with others: because it is a change, or because its
// answer is there.
func (c *conn) joins(t *turn) (joined bool) {
	var err error
	defer func() { joined = joined || err != nil }()
	defer t.r.guard(&err)
	ready, err := t.r.read(t.payload)
	if !ready {
		return true
	}
	switch t.r.Op {
	case OpCreate, OpDelete, OpAdd, OpRemove, OpModify:
	default:
		return false
	}
	if t.r.s.Registrar == nil {
		return false
	}
	if err := t.r.admissible(); err != nil {
		t.r.fail(err)
		return true
	}
	name, w, err := t.r.plan()
	if err != nil {
		t.r.fail(err)
		return true
	}
	t.name, t.w = name, w
	return true
}

// guarded calls do with the limit on one request's time.
func (r *request) guarded(ctx context.Context, do func(*request, context.Context) error) (err error) {
	defer r.guard(&err)
	ctx, cancel := context.WithTimeout(ctx, r.s.Limits.Request)
	defer cancel()
	return do(r, ctx)
}

// settle writes what the turns want written, and sends all their answers in order.
func (c *conn) settle(ctx context.Context, turns []*turn) {
	if len(turns) == 0 {
		return
	}
	var writes []record.Write
	var by record.Identity
	for _, t := range turns {
		if t.w.Op != 0 {
			writes, by = append(writes, t.w), t.r.by
		}
	}
	results, err := c.commit(ctx, by, writes)
	var out []byte
	next := 0
	for _, t := range turns {
		if t.w.Op != 0 {
			res := record.Result{Err: err}
			if err == nil {
				res = results[next]
				next++
			}
			t.r.guarded(ctx, func(r *request, _ context.Context) error { return r.written(t.name, &t.w, res) })
		}
		out = append(out, t.out...)
		c.done(t.job)
	}
	if len(out) > 0 {
		c.gone(c.write(out))
	}
}

// commit is one call to the Registrar, in which faults of ours become errors.
func (c *conn) commit(ctx context.Context, by record.Identity, writes []record.Write) (results []record.Result, err error) {
	if len(writes) == 0 {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			c.s.Stats.Panics.Add(1)
			c.s.Log.Error("a change ran into a fault of this program; please report it", "peer", c.peer, "fault", p)
			err = problem.New(problem.Internal, "a fault of the server", "服务器故障")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, c.s.Limits.Request)
	defer cancel()
	results, err = c.s.Registrar.Write(ctx, by, writes)
	if err == nil && len(results) != len(writes) {
		err = problem.New(problem.Internal, "%d writes gave %d results", "%d 次写入返回了 %d 个结果", len(writes), len(results))
	}
	return results, err
}
