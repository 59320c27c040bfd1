package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fujie-id/fujie/store"
)

// TestMeasure is how compression, block size and format were chosen: it loads FUJIE_MEASURE records of about 200 bytes,
// each with its entry in the log, in batches of 1,000, and prints speed, size, and the time of point reads. The raw
// engine with the same bytes stands beside it.
func TestMeasure(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("FUJIE_MEASURE"))
	if n == 0 {
		t.Skip("set FUJIE_MEASURE to the number of records to load")
	}
	for _, c := range []struct {
		name        string
		compression pebble.DBCompressionSettings
		block       int
		format      pebble.FormatMajorVersion
	}{
		{"chosen", compression, blockSize, format},
		{"snappy, 32 KiB, rows", pebble.DBCompressionFastest, 32 << 10, pebble.FormatFlushableIngest},
		{"snappy, 8 KiB, newest", pebble.DBCompressionFastest, 8 << 10, pebble.FormatNewest},
		{"snappy, 8 KiB, rows", pebble.DBCompressionFastest, 8 << 10, pebble.FormatFlushableIngest},
		{"balanced, 8 KiB, rows", pebble.DBCompressionBalanced, 8 << 10, pebble.FormatFlushableIngest},
		{"balanced, 8 KiB, newest", pebble.DBCompressionBalanced, 8 << 10, pebble.FormatNewest},
		{"good, 16 KiB, rows", pebble.DBCompressionGood, 16 << 10, pebble.FormatFlushableIngest},
		{"snappy, 4 KiB, rows", pebble.DBCompressionFastest, 4 << 10, pebble.FormatFlushableIngest},
	} {
		if only := os.Getenv("FUJIE_MEASURE_ONLY"); only != "" && !strings.HasPrefix(c.name, only) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			oldC, oldB, oldF := compression, blockSize, format
			compression, blockSize, format = c.compression, c.block, c.format
			defer func() { compression, blockSize, format = oldC, oldB, oldF }()
			dir := t.TempDir()
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			encoded, took := measureLoad(t, s, n)
			raw := rawLoad(t, n)
			t.Logf("that is %.0f %% of the raw engine", 100*raw.Seconds()/took.Seconds())
			t.Logf("on disk at once %.2f × encoded", float64(size(t, dir))/float64(encoded))
			begin := time.Now()
			s.Compact()
			t.Logf("compaction %.1f s, on disk then %.2f × encoded, %d B a record", time.Since(begin).Seconds(), float64(size(t, dir))/float64(encoded), size(t, dir)/int64(n))
			reads(t, s, n)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = nil
			debug.FreeOSMemory()
			begin = time.Now()
			if s, err = Open(dir, Options{}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Get(t.Context(), nil, measureKey(1)); err != nil {
				t.Fatal(err)
			}
			opened := time.Since(begin)
			reads(t, s, n)
			debug.FreeOSMemory()
			t.Logf("start to first answer %v; resident after the reads %d MiB; on disk at rest %.2f × encoded, %d B a record", opened, resident(),
				float64(size(t, dir))/float64(encoded), size(t, dir)/int64(n))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func measureKey(i int) []byte {
	return fmt.Appendf(nil, "r88.118.%d\x00%013d/%08x", 1000+i%100, uint64(i)*2654435761%10000000000000, uint32(i)*2654435761)
}

func measureValue(rnd *rand.Rand, i int) []byte {
	const letters = "abcdefghijklmnop"
	v := binary.BigEndian.AppendUint64(nil, uint64(i))
	v = fmt.Appendf(v, "\x01URL\x00https://udi.example.cn/88.118.%d/%d\x02NAME\x00", 1000+i%100, i)
	for range 40 {
		v = append(v, letters[rnd.IntN(len(letters))])
	}
	v = append(v, "\x03CATEGORY\x00orthopaedic implant, sterile\x04"...)
	for range 48 { // what does not compress: keys, serial numbers
		v = append(v, byte(rnd.Uint32()))
	}
	return v
}

func measureLoad(t *testing.T, s *Store, n int) (encoded int64, took time.Duration) {
	rnd := rand.New(rand.NewPCG(1, 1))
	begin := time.Now()
	var b store.Batch
	for i := 0; i < n; {
		b.Reset()
		for range 1000 {
			k, v := measureKey(i), measureValue(rnd, i)
			b.Expect(k, nil)
			b.Put(k, v)
			b.Append([]byte("log\x00"), k)
			encoded += int64(len(k) + len(v) + 12 + len(k))
			i++
		}
		if _, err := s.Apply(context.Background(), &b); err != nil {
			t.Fatal(err)
		}
	}
	took = time.Since(begin)
	t.Logf("load %.0f k records/s, %d B encoded each", float64(n)/took.Seconds()/1000, encoded/int64(n))
	return encoded, took
}

// rawLoad writes the same bytes into the bare engine: no conditions, no counters.
func rawLoad(t *testing.T, n int) time.Duration {
	db, err := pebble.Open(t.TempDir(), (&Store{}).options(Options{MemTable: memTableDefault}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rnd := rand.New(rand.NewPCG(1, 1))
	begin := time.Now()
	for i := 0; i < n; {
		b := db.NewBatch()
		for range 1000 {
			k := measureKey(i)
			_ = b.Set(k, measureValue(rnd, i), nil)
			_ = b.Set(store.LogKey([]byte("log\x00"), uint64(i)), k, nil)
			i++
		}
		if err := b.Commit(pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(begin)
}

func reads(t *testing.T, s *Store, n int) {
	rnd := rand.New(rand.NewPCG(2, 2))
	dst := make([]byte, 0, 1024)
	const count = 50000
	keys := make([][]byte, count)
	for i := range keys {
		keys[i] = measureKey(rnd.IntN(n))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	for _, k := range keys {
		if _, err := s.Get(context.Background(), dst, k); err != nil {
			t.Fatal(err)
		}
	}
	each := time.Since(begin) / count
	runtime.ReadMemStats(&after)
	begin = time.Now()
	for _, k := range keys {
		k[len(k)-1] ^= 0x55
		_, _ = s.Get(context.Background(), dst, k)
	}
	t.Logf("point read %v, absent %v, %.2f allocations each", each, time.Since(begin)/count, float64(after.Mallocs-before.Mallocs)/count)
}

func size(t *testing.T, dir string) (n int64) {
	if err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && filepath.Base(path) != "BALLAST" {
			n += info.Size()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func resident() int64 {
	b, _ := os.ReadFile("/proc/self/statm")
	var total, rss int64
	_, _ = fmt.Sscan(string(b), &total, &rss)
	return rss * int64(os.Getpagesize()) >> 20
}
