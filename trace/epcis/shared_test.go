package epcis

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shared = "../../../shared/data/"

// files are those of a shared folder that match; the test is skipped where there is no such folder.
func files(t testing.TB, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(shared + pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no shared data: %s", pattern)
		}
		t.Skipf("no shared data: %s", pattern)
	}
	return list
}

func slurp(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func readText(t testing.TB, text string) (*Document, Faults) {
	t.Helper()
	doc, faults, err := ReadJSON(strings.NewReader(text), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return doc, faults
}
