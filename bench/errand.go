package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An errand is a measurement with a beginning and an end of its own, not a load on servers that run.
type errand struct {
	name string
	run  func(ctx context.Context, h *Host, r *Report) error
}

func errands() []errand {
	return []errand{
		{"bulk", bulk},
	}
}

// batch is how many records are made durable together, in both bulk subjects.
const batch = 1000

// bulk compares the registration of records with the bare engine's ingest of the same bytes, in turns.
func bulk(ctx context.Context, h *Host, r *Report) error {
	h.sayf("bulk: registering %d records, durable per %d", h.Names, batch)
	var bare []float64
	for range h.Rounds {
		in, err := h.bareIngest(ctx, h.Names)
		if err != nil {
			return err
		}
		h.sayf("  %-16s %10.0f /s, %d bytes a record on disk", "pebble-bare", float64(in.Records)/in.Seconds, in.Disk/in.Records)
		bare = append(bare, float64(in.Records)/in.Seconds)
	}
	r.add("bulk", "pebble-bare", "registered", "/s", bare...)
	return nil
}

// bareIngest runs the bare engine once, in a folder of its own.
func (h *Host) bareIngest(ctx context.Context, n uint64) (Ingest, error) {
	var in Ingest
	dir := filepath.Join(h.dir, "pebble-bare")
	defer os.RemoveAll(dir)
	p, err := h.SpawnWide([]string{fmt.Sprintf("%s=pebble-bare %s %d %d", ceilingEnv, dir, n, batch)}, h.Self...)
	if err != nil {
		return in, err
	}
	out, err := p.Wait(ctx)
	if err != nil {
		return in, err
	}
	line := out[strings.LastIndexByte(out, '\n')+1:]
	if err := json.Unmarshal([]byte(line), &in); err != nil || in.Records != n || in.Seconds <= 0 {
		return in, fmt.Errorf("the bare engine reported %q", out)
	}
	return in, nil
}
