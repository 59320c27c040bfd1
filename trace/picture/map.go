package picture

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/trace/graph"
)

// place is where events of an answer happened.
type place struct {
	lon, lat float64
	name     string
	events   []int
}

// way is how a thing moved: places in the order of time.
type way struct {
	thing string
	at    []int // places
}

// near is how close two points count as one place, in degrees: about two kilometres.
const near = 0.02

// places gathers the events that say where they were, and the ways between them.
func places(a *graph.Answer) (all []place, ways []way) {
	order := make([]int, 0, len(a.Events))
	for i, e := range a.Events {
		if p := e.Point; p != nil && p[0] >= -180 && p[0] <= 180 && p[1] >= -90 && p[1] <= 90 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(x, y int) int { return a.Events[x].Time.Compare(a.Events[y].Time) })
	grid := map[[2]int]int{}
	byThing := map[string]*way{}
	for _, i := range order {
		e := &a.Events[i]
		cell := [2]int{int(math.Floor(e.Point[0] / near)), int(math.Floor(e.Point[1] / near))}
		k := -1
		for dx := -1; dx <= 1 && k < 0; dx++ {
			for dy := -1; dy <= 1 && k < 0; dy++ {
				if p, ok := grid[[2]int{cell[0] + dx, cell[1] + dy}]; ok {
					k = p
				}
			}
		}
		if k < 0 {
			k = len(all)
			grid[cell] = k
			all = append(all, place{lon: e.Point[0], lat: e.Point[1], name: e.Place})
		}
		all[k].events = append(all[k].events, i)
		for _, t := range e.Things {
			w := byThing[t]
			if w == nil {
				w = &way{thing: t}
				byThing[t] = w
			}
			if len(w.at) == 0 || w.at[len(w.at)-1] != k {
				w.at = append(w.at, k)
			}
		}
	}
	seen := map[string]bool{}
	for i := range a.Things {
		w := byThing[a.Things[i].Key]
		if w == nil || len(w.at) < 2 {
			continue
		}
		if k := fmt.Sprint(w.at); !seen[k] { // things that went together go as one line
			seen[k] = true
			ways = append(ways, *w)
		}
	}
	return all, ways
}

type feature struct {
	Type       string         `json:"type"`
	Geometry   geometry       `json:"geometry"`
	Properties map[string]any `json:"properties"`
}

type geometry struct {
	Type        string `json:"type"`
	Coordinates any    `json:"coordinates"`
}

// GeoJSON writes where the events were, and how things moved between, as a FeatureCollection (RFC 7946): for any map.
func GeoJSON(w io.Writer, a *graph.Answer, o Options) error {
	all, ways := places(a)
	out := struct {
		Type     string    `json:"type"`
		Features []feature `json:"features"`
	}{"FeatureCollection", []feature{}}
	for _, p := range all {
		var events []map[string]any
		for _, i := range p.events[:min(len(p.events), 1000)] {
			e := &a.Events[i]
			m := map[string]any{"id": e.ID, "time": e.Time, "things": e.Things}
			for k, v := range map[string]string{"step": e.Step, "disposition": e.Disposition, "owner": e.Owner} {
				if v != "" {
					m[k] = v
				}
			}
			events = append(events, m)
		}
		out.Features = append(out.Features, feature{"Feature", geometry{"Point", []float64{p.lon, p.lat}},
			map[string]any{"place": p.name, "count": len(p.events), "events": events}})
	}
	for _, x := range ways {
		var line [][]float64
		for _, k := range x.at {
			line = append(line, []float64{all[k].lon, all[k].lat})
		}
		out.Features = append(out.Features, feature{"Feature", geometry{"LineString", line}, map[string]any{"thing": x.thing}})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// Map draws the same over the coasts of the earth.
func Map(w io.Writer, a *graph.Answer, o Options) error {
	all, ways := places(a)
	const width, height = 960.0, 560.0
	minX, maxX, minY, maxY := 73.0, 135.0, 18.0, 54.0
	if len(all) > 0 {
		turn(all)
		minX, maxX, minY, maxY = 540, -540, 90, -90
		for _, p := range all {
			minX, maxX, minY, maxY = min(minX, p.lon), max(maxX, p.lon), min(minY, p.lat), max(maxY, p.lat)
		}
	}
	// Some room around, and never so near that the coasts lose their meaning.
	spanX, spanY := max((maxX-minX)*1.3, 14), max((maxY-minY)*1.4, 9)
	if spanX/spanY < width/(height-headRoom) {
		spanX = spanY * width / (height - headRoom)
	} else {
		spanY = spanX * (height - headRoom) / width
	}
	cx, cy := (minX+maxX)/2, (minY+maxY)/2
	px := func(lon float64) float64 { return width/2 + (lon-cx)/spanX*width }
	py := func(lat float64) float64 {
		return headRoom + (height-headRoom)/2 - (lat-cy)/spanY*(height-headRoom)
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">%s<rect class="bg" width="100%%" height="100%%"/><g class="g">`,
		width, height, width, height, text(o.title(a)), style)
	fmt.Fprintf(b, `<clipPath id="c"><rect x="0" y="%.0f" width="%.0f" height="%.0f"/></clipPath><rect class="sea" x="0" y="%.0f" width="%.0f" height="%.0f"/><g clip-path="url(#c)">`,
		headRoom, width, height-headRoom, headRoom, width, height-headRoom)
	for _, shore := range land {
		var path strings.Builder
		prev, west, east := shore[0], 540.0, -540.0
		for i := 0; i+1 < len(shore); i += 2 {
			lon := shore[i]
			// A line over the 180th meridian goes on, and does not come back around the earth.
			for lon-prev > 180 {
				lon -= 360
			}
			for prev-lon > 180 {
				lon += 360
			}
			prev = lon
			west, east = min(west, lon), max(east, lon)
			c := byte('L')
			if i == 0 {
				c = 'M'
			}
			fmt.Fprintf(&path, "%c%.1f %.1f", c, px(lon), py(shore[i+1]))
		}
		for _, round := range []float64{-360, 0, 360} {
			if west+round < cx+spanX/2 && east+round > cx-spanX/2 {
				fmt.Fprintf(b, `<path class="land" transform="translate(%.1f 0)" d="%sz"/>`, round/spanX*width, path.String())
			}
		}
	}
	b.WriteString(`<defs><marker id="m" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path class="c" d="M0 0 8 4 0 8z"/></marker></defs>`)
	drawn := map[[2]int]bool{}
	for _, x := range ways {
		for i := 1; i < len(x.at); i++ {
			leg := [2]int{x.at[i-1], x.at[i]}
			if drawn[leg] {
				continue
			}
			drawn[leg] = true
			p, q := all[leg[0]], all[leg[1]]
			x1, y1, x2, y2 := px(p.lon), py(p.lat), px(q.lon), py(q.lat)
			bend := 0.12
			fmt.Fprintf(b, `<path class="l" d="M%.1f %.1fQ%.1f %.1f %.1f %.1f" marker-end="url(#m)"><title>%s</title></path>`, x1, y1,
				(x1+x2)/2-(y2-y1)*bend, (y1+y2)/2+(x2-x1)*bend, x2, y2, text(short(x.thing)))
		}
	}
	_, colour := palette(a)
	var labels [][2]float64
	for k, p := range all {
		e := &a.Events[p.events[0]]
		c := colour[e.Owner]
		if c == "" {
			c = hues[k%len(hues)]
		}
		x, y := px(p.lon), py(p.lat)
		name := short(p.name)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s" stroke="#fff" stroke-width="1.5"><title>%s</title></circle>`, x, y, 5+min(6, math.Sqrt(float64(len(p.events)))), c,
			text(o.say("%[1]s: %[2]d events, %[3]s – %[4]s", "%[1]s：%[2]d 个事件，%[3]s – %[4]s", name, len(p.events), o.time(e.Time), o.time(a.Events[p.events[len(p.events)-1]].Time))))
		// A label stands where no other does; the place says its name when pointed at in any case.
		free := true
		for _, l := range labels {
			free = free && (math.Abs(l[0]-x) > 90 || math.Abs(l[1]-y) > 16)
		}
		if free && name != "" {
			labels = append(labels, [2]float64{x, y})
			fmt.Fprintf(b, `<text class="s" x="%.1f" y="%.1f">%s</text>`, x+11, y+4, text(name))
		}
	}
	b.WriteString(`</g>`)
	fmt.Fprintf(b, `<text class="t" x="%.0f" y="32">%s</text><text class="s" x="%.0f" y="50">%s</text>`, margin, text(o.title(a)), margin,
		text(o.say("%d places, %d events that say where", "%d 个地点，%d 个带位置的事件", len(all), located(all))))
	b.WriteString("</g></svg>\n")
	return b.Flush()
}

// turn moves places around the earth so that they lie side by side: what crosses the Pacific is drawn across the Pacific.
func turn(all []place) {
	lons := make([]float64, len(all))
	for i, p := range all {
		lons[i] = p.lon
	}
	slices.Sort(lons)
	gap, from := 360-(lons[len(lons)-1]-lons[0]), lons[0]
	for i := 1; i < len(lons); i++ {
		if d := lons[i] - lons[i-1]; d > gap {
			gap, from = d, lons[i]
		}
	}
	for i := range all {
		if all[i].lon < from {
			all[i].lon += 360
		}
	}
}

func located(all []place) (n int) {
	for _, p := range all {
		n += len(p.events)
	}
	return n
}
