package solutions

import (
	"testing"
)

// TestShipped: every case that comes with the program is whole.
func TestShipped(t *testing.T) {
	names := Builtin()
	if len(names) < 5 {
		t.Fatal(names)
	}
	for _, name := range names {
		if _, err := Open(name); err != nil {
			t.Errorf("%s:\n%v", name, err)
		}
	}
}
