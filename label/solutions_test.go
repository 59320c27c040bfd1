package label

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLabelsOfSolutions draws every label that comes with a solution, and finds that all its symbols will scan.
func TestLabelsOfSolutions(t *testing.T) {
	files, err := filepath.Glob("../solutions/*/labels/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no labels: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Read(file, b)
		if err != nil {
			t.Error(err)
			continue
		}
		p := press(t, d)
		f := Fields{"id": "88.118.1001/BTL-20261122-000123"}
		for _, x := range p.parts {
			for _, piece := range x.expr {
				if _, ok := Complete(f).get(piece.field); piece.field != "" && !ok {
					f[piece.field] = "示例 Sample"
				}
			}
		}
		if _, err := p.Draw(f); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		list, err := p.Advise(f)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, a := range list {
			for _, w := range a.Warnings {
				if w.Code != "case" && w.Code != "level-low" && w.Code != "long" {
					t.Errorf("%s: element %d: %s", file, w.Element, w)
				}
			}
		}
	}
}
