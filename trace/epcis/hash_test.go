package epcis

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHashVectors: the published hashes of the JSON inputs, and the prehashes where they are the texts of these hashes (three are stale).
func TestHashVectors(t *testing.T) {
	hashes := 0
	for _, path := range files(t, "epcis-event-hash/tests/examples/*.jsonld") {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonld")
		t.Run(name, func(t *testing.T) {
			doc, faults := readText(t, slurp(t, path))
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			want := strings.Fields(slurp(t, strings.TrimSuffix(path, ".jsonld")+".hashes"))
			if len(want) != len(doc.Events) {
				t.Fatalf("%d events, %d hashes", len(doc.Events), len(want))
			}
			var pre []string
			if b, err := os.ReadFile(strings.TrimSuffix(path, ".jsonld") + ".prehashes"); err == nil {
				pre = strings.Split(strings.TrimSpace(string(b)), "\n")
			}
			ignored := doc.Ignored()
			for i := range doc.Events {
				e := &doc.Events[i]
				hashes++
				got := HashWithout(e, ignored)
				if len(ignored) == 0 && got != Hash(e) {
					t.Error("Hash differs from HashWithout nothing")
				}
				if got != want[i] {
					t.Errorf("event %d: %s, want %s\n%s", i, got, want[i], appendPrehash(nil, e, ignored))
					if i < len(pre) {
						t.Log(pre[i])
					}
				}
				if i < len(pre) {
					if sum := sha256.Sum256([]byte(pre[i])); strings.Contains(want[i], hex.EncodeToString(sum[:])) && pre[i] != string(appendPrehash(nil, e, ignored)) {
						t.Errorf("event %d: the prehash\n%s\nwant\n%s", i, appendPrehash(nil, e, ignored), pre[i])
					}
				}
			}
		})
	}
	if hashes < 40 {
		t.Errorf("only %d hashes were compared", hashes)
	}
}

// TestHashEqual: the events of each of these documents say the same in different words.
func TestHashEqual(t *testing.T) {
	for _, path := range files(t, "epcis-event-hash/tests/expected_equal/*.json") {
		doc, faults := readText(t, slurp(t, path))
		if len(faults) > 0 || len(doc.Events) < 2 {
			t.Fatal(path, faults, len(doc.Events))
		}
		for i := range doc.Events {
			if Hash(&doc.Events[i]) != Hash(&doc.Events[0]) {
				t.Errorf("%s: event %d: %s", path, i, AppendPrehash(nil, &doc.Events[i]))
			}
		}
	}
}
