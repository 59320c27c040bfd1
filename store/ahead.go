package store

import (
	"context"
	"errors"
)

const aheadBytes = 1 << 20

// ReadAhead is Range for long walks, an export say: the engine reads the next rows in a goroutine of its own while visit
// works on the last ones. The slices are good until visit returns. Use it on a Snapshot.
func ReadAhead(ctx context.Context, r Reader, span Span, visit func(key, value []byte) error) error {
	type block struct {
		data []byte
		ends []int // of each key and each value in data
	}
	ctx, cancel := context.WithCancelCause(ctx)
	full, empty := make(chan *block, 2), make(chan *block, 3)
	for range cap(empty) {
		empty <- &block{}
	}
	ended := make(chan error, 1)
	go func() {
		defer close(full)
		b := <-empty
		err := r.Range(ctx, span, func(key, value []byte) error {
			b.data = append(b.data, key...)
			b.ends = append(b.ends, len(b.data))
			b.data = append(b.data, value...)
			b.ends = append(b.ends, len(b.data))
			if len(b.data) < aheadBytes {
				return nil
			}
			full <- b
			select {
			case b = <-empty:
				b.data, b.ends = b.data[:0], b.ends[:0]
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err == nil && len(b.ends) > 0 {
			full <- b
		}
		ended <- err
	}()

	var failed error
	for b := range full {
		begin := 0
		for i := 0; i < len(b.ends) && failed == nil; i += 2 {
			k, v := b.data[begin:b.ends[i]:b.ends[i]], b.data[b.ends[i]:b.ends[i+1]:b.ends[i+1]]
			begin = b.ends[i+1]
			if failed = ctx.Err(); failed == nil {
				failed = visit(k, v)
			}
		}
		if failed != nil {
			cancel(failed)
			continue // the reader may hand over one more
		}
		empty <- b
	}
	err := <-ended
	cancel(nil)
	if failed != nil {
		err = failed
	}
	if errors.Is(err, Stop) {
		return nil
	}
	return err
}
