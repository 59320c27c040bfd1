package gs1_test

import (
	"os"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/id/gs1"
)

// TestTagPublished holds every scheme to the examples of the Tag Data Standard, both ways. They are printed in whole digits; memory is in whole words.
func TestTagPublished(t *testing.T) {
	b, err := os.ReadFile("testdata/tags.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		hex, text, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if !ok || line[0] == '#' {
			continue
		}
		n++
		whole := hex + strings.Repeat("0", (4-len(hex)%4)%4)
		tag, err := gs1.ParseTag(hex)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := tag.String()
		if tag.Elements != nil {
			got = tag.Elements.String()
		}
		if got != text {
			t.Errorf("%s is %s, want %s", hex, got, text)
		}
		if !strings.HasPrefix(text, "urn:") { // no URN: the tag is made of its fields
			e, err := gs1.ParseElements(text)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			tag = gs1.Tag{Scheme: tag.Scheme, Filter: tag.Filter, Elements: e}
		} else if tag, err = gs1.ParseTag(text); err != nil {
			t.Error(err)
			continue
		}
		if back, err := tag.Hex(); err != nil || back != whole {
			t.Errorf("%s is %s (%v), want %s", text, back, err, whole)
		}
	}
	if n < 33 {
		t.Errorf("only %d examples", n)
	}
}
