package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/across"
	"github.com/fujie-id/fujie/trace/ask"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/picture"
)

type traceCmd struct {
	IDs      []string      `arg:"" optional:"" help:"88.118.1001/ENG-42 …"`
	Up       bool          `help:"${flag_up}"`
	Down     bool          `help:"${flag_down}"`
	By       string        `help:"${flag_by}" placeholder:"PREFIX"`
	Local    bool          `help:"${flag_local}"`
	From     time.Time     `help:"${flag_from}" placeholder:"TIME"`
	To       time.Time     `help:"${flag_until_event}" placeholder:"TIME"`
	Depth    int           `help:"${flag_depth}" placeholder:"N"`
	Recall   string        `help:"${flag_recall}" placeholder:"ID"`
	State    bool          `help:"${flag_thing_state}" xor:"what"`
	Siblings bool          `help:"${flag_siblings}" xor:"what"`
	Contacts bool          `help:"${flag_contacts}" xor:"what"`
	Within   time.Duration `help:"${flag_within}" placeholder:"24h"`
	Rounds   int           `help:"${flag_rounds_of}" placeholder:"N"`
	Path     string        `help:"${flag_path}" placeholder:"ID" xor:"what"`
	SVG      string        `name:"svg" help:"${flag_svg}" placeholder:"FILE"`
	Timeline string        `help:"${flag_timeline}" placeholder:"FILE"`
	Map      string        `help:"${flag_trace_map}" placeholder:"FILE"`
	GeoJSON  string        `name:"geojson" help:"${flag_geojson}" placeholder:"FILE"`
	PDF      string        `name:"pdf" help:"${flag_pdf}" placeholder:"FILE"`
	Evidence string        `help:"${flag_evidence}" placeholder:"FILE"`
	Check    string        `help:"${flag_check_evidence}" placeholder:"FILE" xor:"what"`
	Hints    string        `help:"${flag_hints}" placeholder:"FILE"`
	RootKey  []string      `help:"${flag_root_key}" placeholder:"FILE"`
	desk
}

func (c *traceCmd) Run(e *env) error {
	if c.Check != "" {
		return c.check(e)
	}
	if len(c.IDs) == 0 {
		return problem.New(problem.BadRequest, "name what is traced: fujie trace 88.118.1001/ENG-42", "请给出要追溯的标识：fujie trace 88.118.1001/ENG-42")
	}
	by := c.By
	if by == "" && c.Server == "" {
		// Whoever may read the country's folder is everybody: the owner asks.
		v, err := id.Parse(c.IDs[0])
		if err != nil {
			return err
		}
		by = v.Prefix()
	}
	q := url.Values{"id": c.IDs}
	set := func(name string, on bool) {
		if on {
			q.Set(name, "true")
		}
	}
	set("up", c.Up)
	set("down", c.Down)
	set("local", c.Local)
	for name, t := range map[string]time.Time{"from": c.From, "to": c.To} {
		if !t.IsZero() {
			q.Set(name, t.Format(time.RFC3339))
		}
	}
	if c.Depth > 0 {
		q.Set("depth", strconv.Itoa(c.Depth))
	}
	if c.Recall != "" {
		q.Set("recall", c.Recall)
	}
	switch {
	case c.State:
		return c.state(e, by)
	case c.Siblings:
		return c.siblings(e, by)
	case c.Contacts:
		q.Set("minutes", strconv.Itoa(int(c.Within.Minutes())))
		q.Set("rounds", strconv.Itoa(c.Rounds))
		return c.contacts(e, by, q)
	case c.Path != "":
		return c.path(e, by)
	}
	q.Set("evidence", strconv.FormatBool(c.Evidence != ""))
	var out ask.Traced
	start := time.Now()
	if err := c.call(e, by, http.MethodGet, "/api/trace?"+q.Encode(), nil, &out); err != nil {
		return err
	}
	took := time.Since(start)
	if c.Evidence != "" {
		if err := os.WriteFile(c.Evidence, out.Evidence, 0o600); err != nil {
			return problem.Wrap(err, problem.BadRequest, "the evidence cannot be written", "无法写入证据")
		}
	}
	if err := c.draw(e, &out); err != nil || c.Json {
		return err
	}
	printTrace(e, out.Answer)
	e.print("%d things, %d events of %d owners, in %.2f s", "%d 个标识，%[3]d 个所有者的 %[2]d 个事件，用时 %.2[4]f 秒", len(out.Answer.Things), len(out.Answer.Events), owners(out.Answer), took.Seconds())
	return nil
}

// draw writes the pictures that were asked for.
func (c *traceCmd) draw(e *env, t *ask.Traced) error {
	o := picture.Options{Lang: e.lang, Zone: time.Local}
	for _, p := range []struct {
		file string
		draw func(io.Writer) error
	}{
		{c.SVG, func(w io.Writer) error { return picture.SVG(w, t.Answer, o) }},
		{c.Timeline, func(w io.Writer) error { return picture.Timeline(w, t.Answer, o) }},
		{c.Map, func(w io.Writer) error { return picture.Map(w, t.Answer, o) }},
		{c.GeoJSON, func(w io.Writer) error { return picture.GeoJSON(w, t.Answer, o) }},
		{c.PDF, func(w io.Writer) error { return picture.PDF(w, t.Answer, t.Chain, time.Now(), o) }},
	} {
		if p.file == "" {
			continue
		}
		var b bytes.Buffer
		if err := p.draw(&b); err != nil {
			return err
		}
		if err := os.WriteFile(p.file, b.Bytes(), 0o644); err != nil {
			return problem.Wrap(err, problem.BadRequest, "the picture cannot be written", "无法写入图片")
		}
	}
	return nil
}

func owners(a *graph.Answer) int {
	seen := map[string]bool{}
	for i := range a.Events {
		seen[a.Events[i].Owner] = true
	}
	return len(seen)
}

// printTrace draws the answer with letters: what it came from above, what became of it below, each thing once.
func printTrace(e *env, a *graph.Answer) {
	things := map[string]*graph.Thing{}
	for i := range a.Things {
		things[a.Things[i].Key] = &a.Things[i]
	}
	type edge struct {
		to   string
		link *graph.Link
	}
	up, down := map[string][]edge{}, map[string][]edge{}
	for i := range a.Links {
		l := &a.Links[i]
		if l.Kind == graph.Unpacked {
			continue
		}
		up[l.To] = append(up[l.To], edge{l.From, l})
		down[l.From] = append(down[l.From], edge{l.To, l})
	}
	words := map[graph.Kind][2]text{
		graph.Packed:      {{"held", "装有"}, {"packed into", "装入"}},
		graph.Assembled:   {{"has", "装配有"}, {"fixed to", "装配于"}},
		graph.Transformed: {{"made of", "由…加工"}, {"made into", "加工成"}},
		graph.Referred:    {{"referred to by", "被引用于"}, {"refers to", "引用"}},
	}
	// What something came in stands upstream too, though the link goes into it.
	const in = "in"
	for i := range a.Links {
		if l := &a.Links[i]; l.Kind != graph.Unpacked && things[l.To] != nil && things[l.To].Depth < 0 && things[l.From] != nil && things[l.From].Depth <= 0 {
			x := *l
			x.Kind = in
			up[l.From] = append(up[l.From], edge{l.To, &x})
		}
	}
	words[in] = [2]text{{"came in", "随…而来"}, {}}
	const perThing = 6
	var walk func(key string, next map[string][]edge, way, depth int, seen map[string]bool)
	walk = func(key string, next map[string][]edge, way, depth int, seen map[string]bool) {
		list := next[key]
		// What it was made of says most, what its record names least.
		rank := []graph.Kind{graph.Transformed, graph.Assembled, graph.Packed, in, graph.Referred}
		slices.SortStableFunc(list, func(x, y edge) int {
			return cmp.Or(slices.Index(rank, x.link.Kind)-slices.Index(rank, y.link.Kind), x.link.Since.Compare(y.link.Since))
		})
		shown := 0
		for _, x := range list {
			t := things[x.to]
			if t == nil || seen[x.to] || way == 0 && t.Depth >= 0 || way == 1 && t.Depth < 0 {
				continue
			}
			seen[x.to] = true
			if shown++; shown > perThing {
				continue
			}
			w := words[x.link.Kind][way]
			stop := ""
			if t.Stop != "" {
				stop = "  ✗ " + t.Stop
			}
			place := ""
			if t.Place != "" {
				place = "  @ " + printable(t.Place)
			}
			since := ""
			if !x.link.Since.IsZero() {
				since = "  " + x.link.Since.UTC().Format("2006-01-02 15:04")
			}
			fmt.Fprintf(e.out, "%s%s %s%s%s%s\n", strings.Repeat("  ", depth), e.say(w.en, w.zh), printable(t.ID), since, place, stop)
			walk(x.to, next, way, depth+1, seen)
		}
		if more := shown - perThing; more > 0 {
			e.print("%sand %d more", "%s另有 %d 个", strings.Repeat("  ", depth), more)
		}
	}
	for _, key := range a.Question.Things {
		name := key
		if t := things[key]; t != nil {
			name = t.ID
			if t.Stop != "" {
				name += "  ✗ " + t.Stop
			}
		}
		fmt.Fprintln(e.out, printable(name))
		if a.Question.Up {
			e.print("came from:", "来自：")
			walk(key, up, 0, 1, map[string]bool{key: true})
		}
		if a.Question.Down {
			e.print("went into:", "去向：")
			walk(key, down, 1, 1, map[string]bool{key: true})
		}
	}
	for _, f := range a.Findings {
		e.print("! %[1]s", "! %[2]s", printable(f.EN), printable(f.ZH))
	}
	for _, h := range a.Hops {
		said := map[string]text{"answered": {"answered", "已应答"}, "partial": {"answered in part", "部分应答"}, "refused": {"refused", "拒绝"}, "unreachable": {"unreachable", "不可达"}, "bogus": {"not believed", "不可信"}}[h.Outcome]
		why := e.say("%[1]s", "%[2]s", h.EN, h.ZH)
		if why != "" {
			why = ": " + printable(why)
		}
		fmt.Fprintf(e.out, "%s %s%s\n", h.Owner, e.say(said.en, said.zh), why)
	}
	if !a.Complete {
		e.print("not complete: see what is marked ✗", "不完整：见标 ✗ 处")
	}
}

func (c *traceCmd) one(path string) string {
	q := url.Values{"id": {c.IDs[0]}}
	if c.Local {
		q.Set("local", "true")
	}
	if !c.To.IsZero() {
		q.Set("at", c.To.Format(time.RFC3339))
		q.Set("to", c.To.Format(time.RFC3339))
	}
	if !c.From.IsZero() {
		q.Set("from", c.From.Format(time.RFC3339))
	}
	return path + "?" + q.Encode()
}

func (c *traceCmd) state(e *env, by string) error {
	var s graph.State
	if err := c.call(e, by, http.MethodGet, c.one("/api/trace/state"), nil, &s); err != nil || c.Json {
		return err
	}
	if !s.Known {
		return problem.New(problem.NotFound, "no event that can be seen names %s", "没有可见的事件提到 %s", c.IDs[0])
	}
	fmt.Fprintln(e.out, printable(s.ID))
	if s.Place != "" {
		e.print("at %s since %s", "位于 %s，自 %s", printable(s.Place), s.PlaceSince.UTC().Format(time.RFC3339))
	}
	if len(s.Inside) > 0 {
		e.print("in %s", "装于 %s", printable(strings.Join(s.Inside, " < ")))
	}
	if len(s.Contents) > 0 {
		e.print("%d things in it", "内有 %d 个", len(s.Contents))
	}
	e.print("last: %s, %s, %s", "最近：%s，%s，%s", printable(s.Step), printable(s.Disposition), s.EventAt.UTC().Format(time.RFC3339))
	if s.Ended != "" {
		e.print("it ended at %s", "已于 %s 终结", s.EndedAt.UTC().Format(time.RFC3339))
	}
	return nil
}

func (c *traceCmd) siblings(e *env, by string) error {
	var s ask.SiblingList
	if err := c.call(e, by, http.MethodGet, c.one("/api/trace/siblings"), nil, &s); err != nil || c.Json {
		return err
	}
	for _, x := range s.Siblings {
		fmt.Fprintf(e.out, "%-15s %s  %s\n", x.Why, printable(x.ID), printable(x.Of))
	}
	return nil
}

func (c *traceCmd) contacts(e *env, by string, q url.Values) error {
	var a graph.ContactAnswer
	if err := c.call(e, by, http.MethodGet, "/api/trace/contacts?"+q.Encode(), nil, &a); err != nil || c.Json {
		return err
	}
	words := map[string]text{"event": {"scanned with", "同扫于"}, "container": {"in one container with", "同箱于"}, "place": {"at one place with", "同处于"}, "trace": {"on the way of", "流转于"}}
	for _, x := range a.Contacts {
		w := words[x.Why]
		at := ""
		if x.Place != "" {
			at = "  @ " + printable(x.Place)
		}
		fmt.Fprintf(e.out, "%s  %s %s%s\n", printable(x.ID), e.say(w.en, w.zh), printable(x.With), at)
	}
	e.print("%d contacts", "%d 个接触者", len(a.Contacts))
	for k, stop := range a.Stops {
		fmt.Fprintf(e.err, "%s: %s\n", printable(k), stop)
	}
	if !a.Complete {
		e.print("not complete", "不完整")
	}
	return nil
}

func (c *traceCmd) path(e *env, by string) error {
	q := url.Values{"a": {c.IDs[0]}, "b": {c.Path}, "local": {strconv.FormatBool(c.Local)}}
	var a graph.Answer
	if err := c.call(e, by, http.MethodGet, "/api/trace/path?"+q.Encode(), nil, &a); err != nil {
		return err
	}
	if err := c.draw(e, &ask.Traced{Answer: &a}); err != nil || c.Json {
		return err
	}
	if len(a.Things) == 0 {
		return problem.New(problem.NotFound, "no way leads from %s to %s", "%s 与 %s 之间没有关联路径", c.IDs[0], c.Path)
	}
	for i := range a.Things {
		fmt.Fprintln(e.out, printable(a.Things[i].ID))
	}
	return nil
}

// check verifies evidence without any network.
func (c *traceCmd) check(e *env) error {
	b, err := readInput(c.Check, 512<<20)
	if err != nil {
		return err
	}
	ev, err := across.ParseEvidence(b)
	if err != nil {
		return err
	}
	anchors, err := (&verifyCmd{Hints: c.Hints, RootKey: c.RootKey, Data: c.Data}).anchors()
	if err != nil {
		return err
	}
	chain, err := node.Signatures(ev, anchors, time.Now())
	if c.Json {
		json.NewEncoder(e.out).Encode(chain)
	} else {
		for _, s := range chain {
			verdict := e.say("holds", "成立")
			if !s.Holds {
				verdict = e.say("does not hold", "不成立")
			}
			fmt.Fprintf(e.out, "%s  %s  %s  %s\n", s.Owner, s.By, s.Time.UTC().Format(time.RFC3339), verdict)
		}
	}
	if err != nil {
		return err
	}
	e.print("the evidence holds: %d signed answers, from the root's key down", "证据成立：%d 份签名应答，均可由根密钥逐级核验", len(chain))
	return nil
}
