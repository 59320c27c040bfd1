package flow

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
)

// TestLostScan: a scan whose sender goes away in the middle was either taken whole or not at all; sent again, it is done once.
func TestLostScan(t *testing.T) {
	w := repairShop(t)
	r := rand.New(rand.NewPCG(3, 4))
	taken, lost := 0, 0
	for i := range 200 {
		code := fmt.Sprintf("%s/LOST-%d", home, i)
		w.put(code, "part", map[string]string{"state": "new"})
		in := Scan{ID: fmt.Sprint("lost ", i), Flow: "s/repair", Code: code}
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan struct{})
		go func() { // it goes away some turns later
			for range r.IntN(400) {
				if ctx.Err() != nil {
					break
				}
			}
			cancel()
			close(gone)
		}()
		first, err := w.engine.Scan(ctx, caller("W"), in)
		<-gone
		switch {
		case err == nil && first.Verdict == Passed:
			taken++
		case problem.Is(err, problem.Canceled):
			lost++
		default:
			t.Fatalf("%+v %v", first, err)
		}
		again, err := w.engine.Scan(context.Background(), caller("W"), in)
		if err != nil || again.Verdict != Passed || first != nil && (!again.Duplicate || again.Run != first.Run) {
			t.Fatalf("%+v, then %+v %v", first, again, err)
		}
	}
	w.settled()
	if taken == 0 {
		t.Error("every one was lost: the test goes away too soon")
	}
	once(t, w, 200)
}

// once holds the journal, the messages and the events to one scan of each part.
func once(t *testing.T, w *world, n int) {
	t.Helper()
	scans := map[string]int{}
	for _, x := range w.entries() {
		if x.Kind == "scan" {
			scans[x.Code]++
		}
	}
	mails := map[any]int{}
	for _, m := range w.mails("s/erp") {
		mails[m.Body["part"]]++
	}
	if len(scans) != n || len(mails) != n {
		t.Errorf("%d parts were scanned and %d told, want %d", len(scans), len(mails), n)
	}
	for code, k := range scans {
		if k != 1 || mails[code] != 1 {
			t.Errorf("%s was scanned %d times and told %d times", code, k, mails[code])
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.captured) != n {
		t.Errorf("%d events, want %d", len(w.captured), n)
	}
}

// TestLostConnection: a handheld's connection breaks in the middle of what it sends, or before the answer is there. It sends the scan again until it has an answer.
func TestLostConnection(t *testing.T) {
	w := repairShop(t)
	a := api.New(api.Config{Title: "t", Version: "1", Identify: func(r *http.Request) (api.Caller, error) { return caller(r.Header.Get("Who")), nil }})
	w.engine.Register(a)
	s := httptest.NewServer(a.Handler())
	t.Cleanup(s.Close)
	const parts = 40
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 5))
			for i := k; i < parts; i += 4 {
				code := fmt.Sprintf("%s/CUT-%d", home, i)
				w.put(code, "part", map[string]string{"state": "new"})
				body, err := json.Marshal(Scan{ID: fmt.Sprint("cut ", i), Flow: "s/repair", Code: code})
				if err != nil {
					t.Error(err)
					return
				}
				request := fmt.Appendf(nil, "POST /api/flow-scans HTTP/1.1\r\nHost: x\r\nWho: W\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				for range 3 {
					c, err := net.Dial("tcp", s.Listener.Addr().String())
					if err != nil {
						t.Error(err)
						return
					}
					// A part of it, or all of it; and away, at once or after the first byte of the answer.
					c.Write(request[:1+r.IntN(len(request))])
					if r.IntN(2) == 0 {
						c.Write(request[len(request):])
					}
					c.(*net.TCPConn).SetLinger(0)
					c.Close()
				}
				c, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				c.Write(request)
				if r.IntN(2) == 0 {
					c.Close() // all of it came, and nobody hears the answer
					if c, err = net.Dial("tcp", s.Listener.Addr().String()); err != nil {
						t.Error(err)
						return
					}
					c.Write(request)
				}
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Error(err)
					return
				}
				answer, err := io.ReadAll(res.Body)
				c.Close()
				var got Result
				if err != nil || json.Unmarshal(answer, &got) != nil || got.Verdict != Passed || got.Next == nil || got.Next.Step != "mend" {
					t.Errorf("%s: %d %s %v", code, res.StatusCode, answer, err)
				}
			}
		})
	}
	wg.Wait()
	s.Close() // and nobody scans any more
	w.settled()
	once(t, w, parts)
}
