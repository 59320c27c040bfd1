package fujie_test

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fujie-id/fujie/"

// TestFloors holds the imports of every room against floors.txt.
func TestFloors(t *testing.T) {
	may, words := readFloors(t, "floors.txt")

	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{.Standard}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		room, ok := strings.CutPrefix(f[0], module)
		if !ok {
			continue // the root, which holds only this test
		}
		if _, ok := may[room]; !ok {
			t.Errorf("%s: floors.txt does not name this room", room)
			continue
		}
		seen[room] = true
		for _, imp := range f[2:] {
			if r, ok := strings.CutPrefix(imp, module); ok {
				if !reaches(may, room, r) {
					t.Errorf("%s imports %s, which floors.txt does not allow", room, r)
				}
			} else if words[room] && strings.Contains(strings.Split(imp, "/")[0], ".") && !strings.HasPrefix(imp, "golang.org/x/") {
				t.Errorf("%s is of the words and imports %s; words use the standard library and golang.org/x only", room, imp)
			}
		}
	}
	for room := range may {
		if !seen[room] {
			t.Errorf("floors.txt names %s, which is not there", room)
		}
	}
}

// TestFloorsCanFail shows that the check sees a step upwards.
func TestFloorsCanFail(t *testing.T) {
	may, _ := readFloors(t, "floors.txt")
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"record", "id", true},
		{"node", "problem", true}, // through what it may import
		{"id", "record", false},
		{"wire/irp", "store", false},
		{"recursor", "wire/irp", false},
		{"wire/web", "wire/irp", false},
		{"mirror", "registry", false},
	} {
		if got := reaches(may, c.from, c.to); got != c.want {
			t.Errorf("may %s import %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// readFloors gives, for each room, the rooms right below it, and the rooms under "words:".
func readFloors(t *testing.T, file string) (may map[string][]string, words map[string]bool) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	may, words = map[string][]string{}, map[string]bool{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		if list, ok := strings.CutPrefix(line, "words:"); ok {
			for _, r := range split(list, ",") {
				words[r] = true
				may[r] = append(may[r], []string{}...) // named, if by nobody else
			}
			continue
		}
		var below []string
		for _, set := range split(line, "<") {
			rooms := split(set, ",")
			for _, r := range rooms {
				may[r] = append(may[r], below...)
			}
			below = rooms
		}
	}
	return may, words
}

func split(s, sep string) []string {
	var out []string
	for p := range strings.SplitSeq(s, sep) {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// reaches reports whether from may import to: directly or through what it may import.
func reaches(may map[string][]string, from, to string) bool {
	return slices.ContainsFunc(may[from], func(b string) bool { return b == to || reaches(may, b, to) })
}
