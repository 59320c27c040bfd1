package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/fujie-id/fujie/store"
)

const childWriters = 4

// Child is the life of a process that Kill kills: it writes to s, opened by the caller with err, and says on standard
// output what was acknowledged. It does not return.
func Child(s store.Store, err error) {
	if err == nil {
		load := Load{Writers: childWriters, Ack: func(w, n int) {
			if _, err := fmt.Printf("%d %d\n", w, n); err != nil {
				os.Exit(3)
			}
		}}
		err = load.Run(context.Background(), s)
	}
	fmt.Fprintln(os.Stderr, "the writing process ended by itself:", err)
	os.Exit(2)
}

// Campaign is what Kill needs to know of an engine.
type Campaign struct {
	Start func() *exec.Cmd            // a process that calls Child on the store; with each call on the same store
	Open  func() (store.Store, error) // the store, in this process
}

// Kill starts a process that writes, kills it with signal 9 after a random number of acknowledged writes, and checks
// that none of them is lost: 5 times, or 100 with FUJIE_SOAK=1.
func Kill(t *testing.T, c Campaign) {
	rounds := 5
	if os.Getenv("FUJIE_SOAK") == "1" {
		rounds = 100
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 9))
	acked := map[int]int{}
	total := 0
	for round := range rounds {
		cmd := c.Start()
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// What it said before its end is still in the pipe after it.
		killAfter, said := 1+rnd.IntN(600), 0
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				break
			}
			var w, n int
			if _, err := fmt.Sscanf(line, "%d %d\n", &w, &n); err != nil {
				t.Errorf("the writing process said %q", line)
				break
			}
			acked[w] = max(acked[w], n)
			if said++; said == killAfter {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
		}
		_ = cmd.Wait()
		if said < killAfter {
			t.Fatalf("round %d: the writing process ended before it was killed, after %d writes", round, said)
		}
		total += said

		s, err := c.Open()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		load := Load{Writers: childWriters}
		if err := load.Check(context.Background(), s, maps.Clone(acked)); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		// A step whose acknowledgement died in the process counts from now on.
		for w := range childWriters {
			if acked[w], err = head(context.Background(), s, headKey(w)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d acknowledged writes, none lost", rounds, total)
}
