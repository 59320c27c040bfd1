// Package picture draws what a trace found: the graph of things, the line of time, the map, and a report on paper with the chain of signatures. A picture
// stands alone: it needs no script, no network and no font but those that every viewer has.
//
// Everything that is drawn comes from other enterprises' data: all of it is escaped, shortened and counted before it is drawn.
package picture

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/graph"
)

// Options of a picture. The zero value is English, with sizes that fit a screen.
type Options struct {
	Lang  problem.Lang
	Title string // default: what was asked for
	// Boxes is how many boxes a graph, and rows a timeline, may have; what is alike is put together, then the farthest are left out and counted. Default 400.
	Boxes int
	Zone  *time.Location // in which times are written; default UTC
}

func (o Options) boxes() int {
	if o.Boxes <= 0 {
		return 400
	}
	return o.Boxes
}

func (o Options) say(en, zh string, a ...any) string {
	if o.Lang == problem.Chinese {
		en = zh
	}
	return fmt.Sprintf(en, a...)
}

func (o Options) time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if o.Zone == nil {
		return t.UTC().Format("2006-01-02 15:04 UTC")
	}
	return t.In(o.Zone).Format("2006-01-02 15:04 -0700")
}

// stamp is time without the zone, for tables that say it once.
func (o Options) stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	zone := o.Zone
	if zone == nil {
		zone = time.UTC
	}
	return t.In(zone).Format("2006-01-02 15:04")
}

func (o Options) zone() string {
	if o.Zone == nil {
		return "UTC"
	}
	return o.Zone.String()
}

func (o Options) title(a *graph.Answer) string {
	if o.Title != "" {
		return o.Title
	}
	things := strings.Join(a.Question.Things[:min(3, len(a.Question.Things))], ", ")
	if n := len(a.Question.Things); n > 3 {
		things += o.say(" and %d more", " 等 %d 个", n)
	}
	switch q := a.Question; {
	case q.Up && !q.Down:
		return o.say("Where %s came from", "%s 的来源", things)
	case q.Down && !q.Up:
		return o.say("Where %s went", "%s 的去向", things)
	}
	return o.say("The trace of %s", "%s 的追溯", things)
}

// Kinds, stops, steps and findings in words.
var kindWords = map[graph.Kind][2]string{
	graph.Packed:      {"packed into", "装入"},
	graph.Assembled:   {"fixed to", "装配于"},
	graph.Transformed: {"made into", "加工成"},
	graph.Unpacked:    {"taken out of", "拆出"},
	graph.Referred:    {"refers to", "引用"},
	held:              {"held", "装有"},
}

// held is a packing seen from what it came in: upstream stands left, so the line is drawn from the container to what was in it.
const held graph.Kind = "held"

// leftToRight is a link as it is drawn: its left end, its right end, and its kind seen that way.
func leftToRight(a *graph.Answer, from, to int, k graph.Kind) (int, int, graph.Kind) {
	if k != graph.Transformed && a.Things[to].Depth < a.Things[from].Depth {
		return to, from, held
	}
	return from, to, k
}

var stopWords = map[string][2]string{
	"depth":       {"deeper than asked", "超出查询深度"},
	"limit":       {"more than asked for", "超出数量上限"},
	"time":        {"out of time", "查询超时"},
	"refused":     {"the owner does not tell", "所有者未授权"},
	"unreachable": {"the owner does not answer", "所有者无应答"},
	"unknown":     {"no event service is known", "未知事件服务"},
	"bogus":       {"the answer is not to be believed", "应答不可信"},
}

var outcomeWords = map[string][2]string{
	"answered":    {"answered", "已应答"},
	"partial":     {"answered in part", "部分应答"},
	"refused":     {"refused", "拒绝"},
	"unreachable": {"unreachable", "不可达"},
	"bogus":       {"not believed", "不可信"},
}

// stepWords are the business steps of the CBV that trade and industry use most; others are shown as they are.
var stepWords = map[string]string{
	"accepting": "接受", "arriving": "到达", "assembling": "组装", "collecting": "收集", "commissioning": "赋码", "consigning": "交付承运", "creating_class_instance": "生成批次",
	"cycle_counting": "盘点", "decommissioning": "注销", "departing": "出发", "destroying": "销毁", "disassembling": "拆解", "dispensing": "分发", "encoding": "写码",
	"entering_exiting": "进出", "holding": "暂扣", "inspecting": "检验", "installing": "安装", "killing": "灭活", "loading": "装载", "other": "其他", "packing": "包装", "picking": "拣选",
	"receiving": "收货", "removing": "移除", "repackaging": "再包装", "repairing": "维修", "replacing": "更换", "reserving": "预留", "retail_selling": "零售", "sampling": "抽样",
	"sensor_reporting": "传感上报", "shipping": "发货", "staging_outbound": "待发", "stock_taking": "清点", "stocking": "上架", "storing": "仓储", "transporting": "运输",
	"unloading": "卸载", "unpacking": "拆包", "void_shipping": "取消发货",
}

func (o Options) step(s string) string {
	if o.Lang == problem.Chinese {
		if w := stepWords[s]; w != "" {
			return w
		}
	}
	return strings.ReplaceAll(short(s), "_", " ")
}

func (o Options) word(table map[string][2]string, s string) string {
	if w, ok := table[s]; ok {
		return o.say(w[0], w[1])
	}
	return s
}

// short is the telling end of an identifier: the suffix of one of ours, the last parts of a link, the end of a URN.
func short(s string) string {
	s = printable(s)
	if i := strings.Index(s, "://"); i >= 0 {
		if _, path, ok := strings.Cut(s[i+3:], "/"); ok {
			s = path
		}
		return clip(s, 28)
	}
	if _, rest, ok := strings.Cut(s, "/"); ok && rest != "" {
		return clip(rest, 28)
	}
	if strings.HasPrefix(s, "urn:") {
		if i := strings.LastIndexByte(s, ':'); i >= 0 {
			s = s[i+1:]
		}
	}
	return clip(s, 28)
}

// clip keeps the beginning and the end of what is too long.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n/2-1]) + "…" + string(r[len(r)-n/2:])
}

// printable is s without what a terminal, a page or a font would take for something else.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// text is s for XML.
func text(s string) string { return html.EscapeString(printable(s)) }

// owner is the prefix that answered for a thing, or the one in front of its identifier.
func owner(t *graph.Thing) string {
	if t.Owner != "" {
		return t.Owner
	}
	if p, _, ok := strings.Cut(t.Key, "/"); ok && !strings.Contains(p, ":") {
		return p
	}
	return ""
}

// hues tell owners apart: eight colours that differ for all kinds of eyes, on light and on dark ground. More owners than that begin again.
var hues = []string{"#2a6fbb", "#d1662b", "#2f8f5b", "#8a5cc2", "#b8860b", "#c0447a", "#3a8fa3", "#7a6a58"}

// palette gives each owner of the answer its colour, by the order of their names.
func palette(a *graph.Answer) (names []string, colour map[string]string) {
	colour = map[string]string{}
	for i := range a.Things {
		if o := owner(&a.Things[i]); o != "" && colour[o] == "" {
			colour[o] = "-"
			names = append(names, o)
		}
	}
	for i := range a.Events {
		if o := a.Events[i].Owner; o != "" && colour[o] == "" {
			colour[o] = "-"
			names = append(names, o)
		}
	}
	slices.Sort(names)
	for i, n := range names {
		colour[n] = hues[i%len(hues)]
	}
	return names, colour
}

// box is one node of the drawing: a thing, or several that are alike.
type box struct {
	things []int // of the answer
	layer  int
	in     []int // boxes
	x, y   float64
	w, h   float64
	asked  bool
	order  float64
}

// arrow is one line of the drawing.
type arrow struct {
	from, to int // boxes
	kind     graph.Kind
	links    int
	ended    bool
}

// drawing is an answer made ready to draw.
type drawing struct {
	a      *graph.Answer
	boxes  []box
	arrows []arrow
	left   int // things that did not fit
}

// many boxes are more than a person reads one by one.
const many = 40

// draw puts things that hang together with the same others in the same way into one box, and boxes into layers: what is downstream stands right.
func draw(a *graph.Answer, most int) *drawing {
	d := &drawing{a: a}
	index := make(map[string]int, len(a.Things))
	for i := range a.Things {
		index[a.Things[i].Key] = i
	}
	asked := map[string]bool{}
	for _, q := range a.Question.Things {
		asked[q] = true
	}
	type end struct {
		other int
		kind  graph.Kind
		down  bool
	}
	ends := make([][]end, len(a.Things))
	for _, l := range a.Links {
		if l.Kind == graph.Unpacked {
			continue // the end of a packing that is drawn already
		}
		f, ok1 := index[l.From]
		t, ok2 := index[l.To]
		if !ok1 || !ok2 || f == t {
			continue
		}
		f, t, kind := leftToRight(a, f, t, l.Kind)
		ends[f] = append(ends[f], end{t, kind, true})
		ends[t] = append(ends[t], end{f, kind, false})
	}
	// Alike: the same neighbours, owner, depth and stop. Asked things stand alone. Where that leaves many, things are alike too whose neighbours are alike:
	// four boxes of six bottles each are one box "4 boxes" and one "24 bottles".
	like := make([]int, len(a.Things))
	for i := range like {
		like[i] = i
	}
	group := map[string]int{}
	describe := func(i int) string {
		t := &a.Things[i]
		es := make([]end, len(ends[i]))
		for k, e := range ends[i] {
			es[k] = end{like[e.other], e.kind, e.down}
		}
		slices.SortFunc(es, func(x, y end) int {
			return cmp.Or(cmp.Compare(x.other, y.other), strings.Compare(string(x.kind), string(y.kind)))
		})
		es = slices.Compact(es)
		var key strings.Builder
		fmt.Fprintf(&key, "%s|%s|%d|%v|", owner(t), t.Stop, t.Depth, t.Class)
		for _, e := range es {
			fmt.Fprintf(&key, "%d%s%v,", e.other, e.kind, e.down)
		}
		if asked[t.Key] || asked[t.ID] {
			key.WriteString("asked" + t.Key)
		}
		return key.String()
	}
	kinds := map[string]int{}
	for i := range a.Things {
		kinds[describe(i)] = i
	}
	if len(kinds) > many {
		for i := range like {
			like[i] = 0
		}
		// Each round looks one link farther; a trace has few layers.
		for n, round := 0, 0; round < 32; round++ {
			kinds := map[string]int{}
			next := make([]int, len(like))
			for i := range a.Things {
				k := describe(i)
				if _, ok := kinds[k]; !ok {
					kinds[k] = len(kinds)
				}
				next[i] = kinds[k]
			}
			like = next
			if len(kinds) == n {
				break
			}
			n = len(kinds)
		}
	}
	boxOf := make([]int, len(a.Things))
	order := make([]int, len(a.Things))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Or(cmp.Compare(abs(a.Things[x].Depth), abs(a.Things[y].Depth)), strings.Compare(a.Things[x].Key, a.Things[y].Key))
	})
	for i := range boxOf {
		boxOf[i] = -1
	}
	for _, i := range order {
		t := &a.Things[i]
		own := asked[t.Key] || asked[t.ID]
		key := describe(i)
		b, ok := group[key]
		if !ok {
			if len(d.boxes) >= most {
				d.left++
				continue
			}
			b = len(d.boxes)
			group[key] = b
			d.boxes = append(d.boxes, box{asked: own})
		}
		d.boxes[b].things = append(d.boxes[b].things, i)
		boxOf[i] = b
	}
	// Arrows, each once.
	type pair struct {
		from, to int
		kind     graph.Kind
	}
	seen := map[pair]int{}
	for _, l := range a.Links {
		if l.Kind == graph.Unpacked {
			continue
		}
		f, ok1 := index[l.From]
		t, ok2 := index[l.To]
		if !ok1 || !ok2 || boxOf[f] < 0 || boxOf[t] < 0 || boxOf[f] == boxOf[t] {
			continue
		}
		f, t, kind := leftToRight(a, f, t, l.Kind)
		p := pair{boxOf[f], boxOf[t], kind}
		if k, ok := seen[p]; ok {
			d.arrows[k].links++
			continue
		}
		seen[p] = len(d.arrows)
		d.arrows = append(d.arrows, arrow{p.from, p.to, kind, 1, !l.Until.IsZero()})
		d.boxes[p.to].in = append(d.boxes[p.to].in, p.from)
	}
	d.layers()
	return d
}

func abs(n int) int { return max(n, -n) }

// layers puts each box right of all that lead to it; a cycle is cut where it is first met.
func (d *drawing) layers() {
	state := make([]int8, len(d.boxes)) // 0 not seen, 1 under way, 2 done
	type frame struct{ b, next int }
	for start := range d.boxes {
		if state[start] != 0 {
			continue
		}
		stack := []frame{{start, 0}}
		state[start] = 1
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			b := &d.boxes[f.b]
			if f.next < len(b.in) {
				n := b.in[f.next]
				f.next++
				if state[n] == 0 {
					state[n] = 1
					stack = append(stack, frame{n, 0})
				} else if state[n] == 2 {
					b.layer = max(b.layer, d.boxes[n].layer+1)
				}
				continue
			}
			state[f.b] = 2
			done := f.b
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				up := &d.boxes[stack[len(stack)-1].b]
				up.layer = max(up.layer, d.boxes[done].layer+1)
			}
		}
	}
	// What leads on stands next to what it leads to, not far left of it.
	for range d.boxes {
		moved := false
		next := make([]int, len(d.boxes))
		for i := range next {
			next[i] = 1 << 30
		}
		for _, ar := range d.arrows {
			next[ar.from] = min(next[ar.from], d.boxes[ar.to].layer)
		}
		for i := range d.boxes {
			if b := &d.boxes[i]; len(b.in) == 0 && next[i] < 1<<30 && b.layer < next[i]-1 {
				b.layer, moved = next[i]-1, true
			}
		}
		if !moved {
			break
		}
	}
}

// columns are the boxes of each layer, from top to bottom, ordered so that arrows cross little.
func (d *drawing) columns() [][]int {
	most := 0
	for i := range d.boxes {
		most = max(most, d.boxes[i].layer)
	}
	cols := make([][]int, most+1)
	for i := range d.boxes {
		cols[d.boxes[i].layer] = append(cols[d.boxes[i].layer], i)
	}
	if len(d.boxes) == 0 {
		return nil
	}
	near := make([][]int, len(d.boxes))
	for _, ar := range d.arrows {
		near[ar.from] = append(near[ar.from], ar.to)
		near[ar.to] = append(near[ar.to], ar.from)
	}
	for _, col := range cols {
		for k, b := range col {
			d.boxes[b].order = float64(k) - float64(len(col))/2
		}
	}
	for range 6 {
		for _, col := range cols {
			mean := map[int]float64{}
			for _, b := range col {
				sum, n := d.boxes[b].order, 1.0
				for _, o := range near[b] {
					sum, n = sum+d.boxes[o].order, n+1
				}
				mean[b] = sum / n
			}
			slices.SortStableFunc(col, func(x, y int) int { return cmp.Compare(mean[x], mean[y]) })
			for k, b := range col {
				d.boxes[b].order = float64(k) - float64(len(col))/2
			}
		}
	}
	return cols
}
