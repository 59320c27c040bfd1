package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/wire/burst"
)

// Serve is one of the ceilings, until ctx ends. Run starts them as processes of their own; the specification is one of
//
//	udp-echo ADDR            hand each datagram back, many at a time
//	udp-plain-echo ADDR      hand each datagram back, one at a time
//	udp-reply ADDR SIZE      answer each datagram with SIZE bytes, of which the first 20 are the question's
//	tcp-echo ADDR            hand each connection's bytes back
//	http-bare ADDR FILE      answer each request with the bytes of FILE, as JSON
//	pebble-bare DIR N BATCH  put N records into a new store in DIR, durable per BATCH, and print an Ingest
func Serve(ctx context.Context, spec string, w io.Writer) error {
	f := strings.Fields(spec)
	bad := problem.New(problem.BadRequest, "%q is no ceiling; fujie bench starts these by itself", "%q 不是有效的基准服务；fujie bench 会自行启动它们", spec)
	if len(f) < 2 {
		return bad
	}
	var addr netip.AddrPort
	if f[0] != "pebble-bare" {
		var err error
		if addr, err = netip.ParseAddrPort(f[1]); err != nil {
			return bad
		}
	}
	switch {
	case f[0] == "udp-echo" && len(f) == 2:
		return serveUDP(ctx, addr, burst.Options{}, 0)
	case f[0] == "udp-plain-echo" && len(f) == 2:
		return serveUDP(ctx, addr, burst.Options{Plain: true}, 0)
	case f[0] == "udp-reply" && len(f) == 3:
		size, err := strconv.Atoi(f[2])
		if err != nil || size < envelopeSize || size > burst.MaxDatagram {
			return bad
		}
		return serveUDP(ctx, addr, burst.Options{}, size)
	case f[0] == "tcp-echo" && len(f) == 2:
		return serveTCP(ctx, addr)
	case f[0] == "http-bare" && len(f) == 3:
		body, err := os.ReadFile(f[2])
		if err != nil {
			return problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", f[2])
		}
		return serveHTTP(ctx, addr, body)
	case f[0] == "pebble-bare" && len(f) == 4:
		n, err1 := strconv.ParseUint(f[2], 10, 64)
		batch, err2 := strconv.Atoi(f[3])
		if err1 != nil || err2 != nil || n == 0 || batch < 1 {
			return bad
		}
		in, err := ingest(ctx, f[1], n, batch)
		if err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(in)
	}
	return bad
}

// until makes err nil when it only says that the server was closed because ctx ended.
func until(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func serveUDP(ctx context.Context, addr netip.AddrPort, o burst.Options, size int) error {
	c, err := burst.Listen(addr, o)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	in := burst.NewBatch(burst.DefaultBatch, max(2048, size))
	for {
		n, err := c.Read(in)
		if err != nil {
			return until(ctx, err)
		}
		if size > 0 {
			for i := range in[:n] {
				in[i].N = size
			}
		}
		_, _ = c.Write(in[:n]) // a client that went away is no failure
	}
}

func serveTCP(ctx context.Context, addr netip.AddrPort) error {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return until(ctx, err)
		}
		wg.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			b := make([]byte, 64<<10)
			for {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				if _, err := c.Write(b[:n]); err != nil {
					return
				}
			}
		})
	}
}

func serveHTTP(ctx context.Context, addr netip.AddrPort, body []byte) error {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return err
	}
	length := []string{strconv.Itoa(len(body))}
	jsonType := []string{"application/json;charset=UTF-8"}
	s := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["Content-Type"], h["Content-Length"] = jsonType, length
			_, _ = w.Write(body)
		}),
	}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	return until(ctx, s.Serve(l))
}

// Ingest is what the bare engine needed to take records in, durable per batch.
type Ingest struct {
	Records uint64  `json:"records"`
	Bytes   uint64  `json:"bytes"` // of keys and encoded values
	Seconds float64 `json:"seconds"`
	Disk    uint64  `json:"disk"` // bytes of the closed store
}

// ingest is the least that a registration costs: the encoded records in the engine, synced per batch. The engine is
// set as this program's own store sets it.
func ingest(ctx context.Context, dir string, n uint64, batch int) (Ingest, error) {
	var in Ingest
	o := &pebble.Options{MemTableSize: 64 << 20, Logger: quiet{}}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		return in, problem.Wrap(err, problem.Internal, "cannot open a store in %s", "无法在 %s 打开存储", dir)
	}
	began := time.Now()
	var key, val []byte
	for in.Records < n && ctx.Err() == nil {
		b := db.NewBatch()
		to := min(in.Records+uint64(batch), n)
		for at := in.Records; at < to && err == nil; at++ {
			key, val = AppendHandle(key[:0], at), appendRecord(val[:0], at)
			in.Bytes += uint64(len(key) + len(val))
			err = b.Set(key, val, nil)
		}
		if err == nil {
			err = b.Commit(pebble.Sync)
		}
		if err != nil {
			return in, problem.Wrap(err, problem.Full, "cannot write to %s", "无法写入 %s", dir)
		}
		in.Records = to
	}
	in.Seconds = time.Since(began).Seconds()
	if err := db.Close(); err != nil {
		return in, problem.Wrap(err, problem.Full, "cannot close the store in %s", "无法关闭 %s 中的存储", dir)
	}
	in.Disk, err = diskUsed(dir)
	return in, err
}

// diskUsed is the sum of the sizes of all files below dir, in bytes.
func diskUsed(dir string) (sum uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += uint64(info.Size())
		}
		return err
	})
	return sum, err
}

// quiet drops what the engine says about its own housekeeping, and stops on what it cannot survive.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
