package picture

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/graph"
)

// beef is a small answer of three owners: a carton cut into packages, packed, sold; one branch refused.
func beef() *graph.Answer {
	day := time.Date(2026, 10, 8, 6, 0, 0, 0, time.UTC)
	a := &graph.Answer{Question: graph.Question{Things: []string{"88.610.8005/PACK-1-03-04"}, Up: true, Down: true}}
	thing := func(key string, depth int, step, place string) {
		a.Things = append(a.Things, graph.Thing{ID: key, Key: key, Depth: depth, Step: step, Place: place, First: day, Last: day.AddDate(0, 0, depth+3)})
	}
	link := func(from, to string, k graph.Kind) {
		a.Links = append(a.Links, graph.Link{From: from, To: to, Kind: k, Event: "e", Since: day})
	}
	thing("88.610.8001/CONTAINER-1", -2, "departing", "88.610.8003/LOC-YARD-3")
	thing("88.610.8001/CARTON-1-03", -1, "inspecting", "88.610.8005/LOC-PLANT-1")
	link("88.610.8001/CARTON-1-03", "88.610.8001/CONTAINER-1", graph.Packed)
	for i := range 12 {
		p := fmt.Sprintf("88.610.8005/PACK-1-03-%02d", i+1)
		thing(p, 0, "retail_selling", "88.610.8007/LOC-STORE-1")
		link("88.610.8001/CARTON-1-03", p, graph.Transformed)
		link(p, "88.610.8005/CASE-1-03", graph.Packed)
	}
	thing("88.610.8005/CASE-1-03", 1, "unpacking", "")
	thing("88.610.8006/PALLET-1-1", 2, "", "")
	a.Things[len(a.Things)-1].Stop = "refused"
	link("88.610.8005/CASE-1-03", "88.610.8006/PALLET-1-1", graph.Packed)
	for i, p := range []struct {
		place    string
		lon, lat float64
	}{{"88.610.8001/LOC-QUAY", -71.63, -33.03}, {"88.610.8003/LOC-YARD-3", 120.22, 36.02}, {"88.610.8005/LOC-PLANT-1", 119.1, 36.71}, {"88.610.8007/LOC-STORE-1", 117.12, 36.65}} {
		a.Events = append(a.Events, graph.Event{ID: fmt.Sprint("e", i), Time: day.AddDate(0, 0, 6*i), Step: "receiving", Place: p.place, Owner: p.place[:11], Point: &[2]float64{p.lon, p.lat},
			Things: []string{"88.610.8001/CARTON-1-03", "88.610.8005/PACK-1-03-04"}})
	}
	a.Findings = []graph.Finding{{Kind: "two-places", Thing: "x", Time: day, EN: "x was at two places at once", ZH: "x 同时出现在两个地点"}}
	a.Hops = []graph.Hop{{Owner: "88.610.8001", Outcome: "answered", Things: 2, Events: 1}, {Owner: "88.610.8006", Outcome: "refused", EN: "not shared", ZH: "未授权"}}
	return a
}

var chain = []Signature{{Owner: "88.610.8001", By: "300:0.NA/88.610.8001", Key: "SHA256:abcdef", Time: time.Unix(1790000000, 0), Digest: "sha256:0123", Holds: true}}

// draws are the pictures that are XML.
var draws = map[string]func(io.Writer, *graph.Answer, Options) error{"graph": SVG, "timeline": Timeline, "map": Map}

func wellFormed(b []byte) error {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e, ok := t.(xml.StartElement); ok && (e.Name.Local == "script" || e.Name.Local == "foreignObject") {
			return fmt.Errorf("a picture holds <%s>", e.Name.Local)
		}
	}
}

func TestPictures(t *testing.T) {
	for _, lang := range []problem.Lang{problem.English, problem.Chinese} {
		for name, draw := range draws {
			var b bytes.Buffer
			if err := draw(&b, beef(), Options{Lang: lang}); err != nil {
				t.Fatal(err)
			}
			if err := wellFormed(b.Bytes()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			want := map[problem.Lang]string{problem.English: "The trace of 88.610.8005/PACK-1-03-04", problem.Chinese: "88.610.8005/PACK-1-03-04 的追溯"}[lang]
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s does not say %q", name, want)
			}
			if dir := os.Getenv("FUJIE_PICTURES"); dir != "" {
				os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%v.svg", name, lang)), b.Bytes(), 0o600)
			}
		}
	}
	var b bytes.Buffer
	if err := SVG(&b, beef(), Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"11 × ", "the owner does not tell", "made into", "not complete", "x was at two places at once"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the graph does not say %q", want)
		}
	}
}

// TestHostile draws what an enterprise that means harm could have put into its events.
func TestHostile(t *testing.T) {
	bad := []string{`"><script>alert(1)</script>`, "]]>&amp;<g onload='x'>", "a\x00b\x1b[31m\u202e", strings.Repeat("长", 4000), "\xff\xfe", ""}
	r := rand.New(rand.NewPCG(1, 1))
	a := &graph.Answer{Question: graph.Question{Things: bad}}
	for i := range 200 {
		s := bad[r.IntN(len(bad))] + fmt.Sprint(i)
		a.Things = append(a.Things, graph.Thing{ID: s, Key: s, Owner: bad[r.IntN(len(bad))], Stop: bad[r.IntN(len(bad))], Step: s, Place: s, Depth: r.IntN(9) - 4, Disposition: s})
		// Links anywhere, cycles and loose ends among them.
		a.Links = append(a.Links, graph.Link{From: s, To: a.Things[r.IntN(len(a.Things))].Key, Kind: graph.Kind(bad[r.IntN(len(bad))])}, graph.Link{From: "nowhere", To: s})
		a.Events = append(a.Events, graph.Event{ID: s, Place: s, Step: s, Owner: s, Things: []string{s, "nowhere"}, Point: &[2]float64{r.Float64()*800 - 400, r.Float64()*400 - 200}})
	}
	a.Findings = []graph.Finding{{EN: bad[0], ZH: bad[1]}}
	for name, draw := range draws {
		var b bytes.Buffer
		if err := draw(&b, a, Options{}); err != nil {
			t.Fatal(err)
		}
		if err := wellFormed(b.Bytes()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var b bytes.Buffer
	if err := PDF(&b, a, nil, time.Now(), Options{Lang: problem.Chinese}); err != nil {
		t.Fatal(err)
	}
}

func TestEmpty(t *testing.T) {
	for name, draw := range draws {
		var b bytes.Buffer
		if err := draw(&b, &graph.Answer{}, Options{}); err != nil {
			t.Fatal(err)
		}
		if err := wellFormed(b.Bytes()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMany: a recall of a hundred thousand things is still a picture.
func TestMany(t *testing.T) {
	a := &graph.Answer{Question: graph.Question{Things: []string{"88.1.1/LOT"}, Down: true}, Complete: true}
	a.Things = append(a.Things, graph.Thing{ID: "88.1.1/LOT", Key: "88.1.1/LOT"})
	for i := range 2000 {
		box := fmt.Sprintf("88.1.1/BOX-%d", i)
		a.Things = append(a.Things, graph.Thing{ID: box, Key: box, Depth: 1})
		a.Links = append(a.Links, graph.Link{From: "88.1.1/LOT", To: box, Kind: graph.Transformed})
		for j := range 12 {
			bottle := fmt.Sprintf("88.1.1/BOTTLE-%d-%d", i, j)
			a.Things = append(a.Things, graph.Thing{ID: bottle, Key: bottle, Depth: 2})
			a.Links = append(a.Links, graph.Link{From: bottle, To: box, Kind: graph.Packed})
		}
	}
	var b bytes.Buffer
	if err := SVG(&b, a, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2000 × ", "24000 × "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the graph does not say %q", want)
		}
	}
	if b.Len() > 100_000 {
		t.Errorf("the graph takes %d bytes", b.Len())
	}
}

func TestGeoJSON(t *testing.T) {
	var b bytes.Buffer
	if err := GeoJSON(&b, beef(), Options{}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Type     string
		Features []struct {
			Geometry struct {
				Type        string
				Coordinates json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	points, lines := 0, 0
	for _, f := range got.Features {
		switch f.Geometry.Type {
		case "Point":
			points++
		case "LineString":
			lines++
		}
	}
	// Carton and package went together: one line.
	if got.Type != "FeatureCollection" || points != 4 || lines != 1 {
		t.Errorf("%s with %d points and %d lines, want 4 and 1", got.Type, points, lines)
	}
}

// TestReport reads the printed report back, where the machine can.
func TestReport(t *testing.T) {
	var b, again bytes.Buffer
	made := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if err := PDF(&b, beef(), chain, made, Options{Lang: problem.Chinese}); err != nil {
		t.Fatal(err)
	}
	if err := PDF(&again, beef(), chain, made, Options{Lang: problem.Chinese}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("the same report twice is not the same file")
	}
	if dir := os.Getenv("FUJIE_PICTURES"); dir != "" {
		os.WriteFile(filepath.Join(dir, "report.pdf"), b.Bytes(), 0o600)
	}
	if !bytes.HasPrefix(b.Bytes(), []byte("%PDF-")) {
		t.Fatal("the report is no PDF")
	}
	pdftotext, err := exec.LookPath("pdftotext")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no pdftotext")
	}
	c := exec.Command(pdftotext, "-layout", "-", "-")
	c.Stdin = &b
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"88.610.8005/PACK-1-03-04 的追溯", "签名链", "300:0.NA/88.610.8001", "x 同时出现在两个地点", "所有者未授权"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
}
