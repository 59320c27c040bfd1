package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/wire/web"
)

// Floor is a plant's floor, played over the public interface of its enterprise's node: what scanners, handhelds and the parties' systems would send, at their rates and with
// their errors. Everything that it does it does with the account of its floor.
type Floor struct {
	Access *Access
	Rand   *rand.Rand
	// Every is the time between two pieces of work: a box, an order, a claim. 0: as fast as it goes.
	Every time.Duration
	// Say is told what happened, in both languages.
	Say func(en, zh string)
	// Dir is the country's folder, and Program the fujie program: with them the floor starts the business systems that do not run yet.
	Dir     string
	Program string

	children sync.WaitGroup
}

// floors are those that there are, by the name of the solution.
var floors = map[string]func(f *Floor, ctx context.Context, count int) error{
	"order-interception": (*Floor).orders,
	"bottle-to-store":    (*Floor).bottles,
	"warranty-claims":    (*Floor).claims,
	"process-parameters": (*Floor).setUps,
	"cold-chain":         (*Floor).containers,
}

// Floors are the names of the solutions that have a floor.
func Floors() []string { return slices.Sorted(maps.Keys(floors)) }

// Play plays a solution's floor for so many pieces of work (0: until ctx is done).
func (f *Floor) Play(ctx context.Context, solution string, count int) error {
	play, ok := floors[solution]
	if !ok {
		return problem.New(problem.NotFound, "there is no floor %q: there are %s", "没有车间 %q：现有 %s", solution, strings.Join(Floors(), ", "))
	}
	ctx, stop := context.WithCancel(ctx)
	defer f.children.Wait()
	defer stop()
	return play(f, ctx, count)
}

// each does a piece of work so many times, at the floor's rate.
func (f *Floor) each(ctx context.Context, count int, work func(i int) error) error {
	for i := 0; count == 0 || i < count; i++ {
		if err := work(i); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if f.Every > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(f.Every):
			}
		} else if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// desk is one enterprise's node, as a floor sees it.
type desk struct {
	*web.Client
	office *web.Client // the enterprise's own administration, whose master data the floor works with
	prefix string
}

// at finds the enterprise that is a party of a solution.
func (f *Floor) at(ctx context.Context, solution, party string) (*desk, error) {
	for i := range f.Access.State.Nodes {
		n := &f.Access.State.Nodes[i]
		if n.Solutions[solution] != party {
			continue
		}
		c, err := f.Access.Floor(n)
		if err != nil {
			return nil, err
		}
		office, err := f.Access.Client(n)
		return &desk{c, office, n.Prefix}, err
	}
	return nil, problem.New(problem.NotFound, "nobody in this country is %s of %s", "本国没有企业担任 %[2]s 的 %[1]s", party, solution)
}

func (d *desk) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	status, answer, err := d.Exchange(ctx, method, path, body)
	if err != nil {
		return err
	}
	if status >= 300 {
		return problem.New(problem.BadRequest, "%s %s: status %d: %.300s", "%s %s：状态 %d：%.300s", method, path, status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// scan is what a floor sends, and answer what it hears.
type (
	scan struct {
		ID     string         `json:"id,omitempty"`
		Flow   string         `json:"flow,omitempty"`
		Run    string         `json:"run,omitempty"`
		Code   string         `json:"code,omitempty"`
		Form   map[string]any `json:"form,omitempty"`
		Finish bool           `json:"finish,omitempty"`
		At     time.Time      `json:"at,omitzero"`
		Device string         `json:"device,omitempty"`
		Where  string         `json:"where,omitempty"`
	}
	answer struct {
		Run     string `json:"run"`
		Verdict string `json:"verdict"`
		Say     string `json:"say"`
		Ended   bool   `json:"ended"`
		Dup     bool   `json:"duplicate"`
		Error   string `json:"error"`
		Next    *struct {
			Step string `json:"step"`
		} `json:"next"`
	}
)

func (d *desk) scan(ctx context.Context, s scan) (a answer, err error) {
	return a, d.call(ctx, http.MethodPost, "/api/flow-scans", s, &a)
}

func (d *desk) batch(ctx context.Context, all []scan) ([]answer, error) {
	var out struct {
		Results []answer `json:"results"`
	}
	err := d.call(ctx, http.MethodPost, "/api/flow-scan-batches", map[string]any{"scans": all}, &out)
	return out.Results, err
}

// codes takes codes of a code rule.
func (d *desk) codes(ctx context.Context, rule string, count int) (list []string, err error) {
	return list, d.call(ctx, http.MethodPost, "/api/codes", map[string]any{"prefix": d.prefix, "rule": rule, "count": count}, &list)
}

// register puts a record of a template there, in the place of one that there may be.
func (d *desk) register(ctx context.Context, id, template string, values map[string]string) error {
	var list []json.RawMessage
	if err := d.call(ctx, http.MethodPost, "/api/template-checks", map[string]any{"template": d.prefix + "/META_" + template, "properties": values}, &list); err != nil {
		return err
	}
	b, err := json.Marshal(map[string]any{"id": id, "values": list, "overwrite": true})
	if err != nil {
		return err
	}
	var out struct {
		ResponseCode int    `json:"responseCode"`
		Message      string `json:"message"`
	}
	status, text, err := d.office.Exchange(ctx, http.MethodPost, "/api/register", append(b, '\n'))
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil || status >= 300 || out.ResponseCode != 1 {
		return problem.Wrap(err, problem.BadRequest, "registering %s: status %d: %s", "注册 %s：状态 %d：%s", id, status, out.Message)
	}
	return nil
}

var stations = []string{"wave", "high-bay", "label", "pack", "ship"}

// orders is a warehouse: orders go through five stations, some are sent back while they do, and three systems book the stock.
func (f *Floor) orders(ctx context.Context, count int) error {
	const solution = "order-interception"
	d, err := f.at(ctx, solution, "warehouse")
	if err != nil {
		return err
	}
	systems, err := f.systems(ctx, solution, "shop-front", "middle-platform", "erp", "sorter")
	if err != nil {
		return err
	}
	systems, sorter := systems[:3], systems[3]
	stopped, shipped := 0, 0
	return f.each(ctx, count, func(int) error {
		list, err := d.codes(ctx, "orders", 1)
		if err != nil {
			return err
		}
		order := list[0]
		if a, err := d.scan(ctx, scan{ID: "take " + order, Flow: solution + "/take-order", Code: order, Form: map[string]any{"sku": fmt.Sprintf("SKU-%03d", f.Rand.IntN(20)), "quantity": 1 + f.Rand.IntN(3)}}); err != nil || a.Verdict != "passed" {
			return problem.New(problem.Conflict, "the order %s was not taken: %s %v", "订单 %s 未被接收：%s %v", order, a.Say, err)
		}
		back := -1 // the station before which it is sent back
		if f.Rand.IntN(5) == 0 {
			back = f.Rand.IntN(len(stations))
		}
		for i, station := range stations {
			if i == back {
				if a, err := d.scan(ctx, scan{ID: "back " + order, Flow: solution + "/return-order", Code: order, Form: map[string]any{"why": "七天无理由退货 sent back"}}); err != nil || a.Verdict != "passed" {
					return problem.New(problem.Conflict, "the order %s could not be marked: %s %v", "订单 %s 无法标记：%s %v", order, a.Say, err)
				}
			}
			a, err := d.scan(ctx, scan{ID: station + " " + order, Flow: solution + "/parcel", Code: order, Device: d.prefix + "/SCANNER-" + strings.ToUpper(station), Where: d.prefix + "/LOC-" + strings.ToUpper(station)})
			if err != nil {
				return err
			}
			if back >= 0 && i >= back {
				if a.Verdict != "diverted" {
					return problem.New(problem.Internal, "the order %s was marked and went on at %s: %s", "订单 %s 已标记，却在 %s 继续：%s", order, station, a.Say)
				}
				stopped++
				if err := sorter.once(ctx, order); err != nil {
					return err
				}
				break
			}
			if a.Verdict != "passed" {
				return problem.New(problem.Internal, "the order %s did not pass %s: %s", "订单 %s 未通过 %s：%s", order, station, a.Say)
			}
			if i == len(stations)-1 {
				shipped++
			}
		}
		if err := sameStock(ctx, systems); err != nil {
			return err
		}
		f.Say(fmt.Sprintf("%d orders shipped, %d stopped; the stock of three systems is the same", shipped, stopped), fmt.Sprintf("已发货 %d 单，拦截 %d 单；三个系统库存一致", shipped, stopped))
		return nil
	})
}

// sameStock holds the ledgers of several systems against each other. What somebody else does between two looks is no difference: it is gone at the next.
func sameStock(ctx context.Context, systems []*book) error {
	var first, s Stock
	var err error
	for range 5 {
		same := true
		for i, l := range systems {
			if s, err = l.stock(ctx, true); err != nil {
				return err
			}
			if i == 0 {
				first = s
			}
			if same = same && maps.Equal(s.Stock, first.Stock); !same {
				break
			}
		}
		if same {
			return nil
		}
	}
	return problem.New(problem.Internal, "the stock of %s and %s is not the same", "%s 与 %s 的库存不一致", s.System, first.System)
}

// bottles is a packing line with its misreads, and a storekeeper who ships.
func (f *Floor) bottles(ctx context.Context, count int) error {
	const solution = "bottle-to-store"
	d, err := f.at(ctx, solution, "winery")
	if err != nil {
		return err
	}
	for _, w := range []string{"WH-LINE", "WH-ZHENGZHOU", "WH-LUOYANG"} {
		if err := d.register(ctx, d.prefix+"/"+w, "WAREHOUSE", map[string]string{"name": w}); err != nil {
			return err
		}
		if err := d.register(ctx, d.prefix+"/PDA-"+w[3:], "HANDHELD", map[string]string{"serial": "SN-" + w, "warehouse": d.prefix + "/" + w}); err != nil {
			return err
		}
	}
	wms, err := f.systems(ctx, solution, "wms")
	if err != nil {
		return err
	}
	var stock []string
	inside := map[string][]string{} // box in stock → its bottles
	bottles, misread, orders, sold, copies := 0, 0, 0, 0, 0
	return f.each(ctx, count, func(i int) error {
		boxes, err := d.codes(ctx, "boxes", 1)
		if err != nil {
			return err
		}
		codes, err := d.codes(ctx, "bottles", 6)
		if err != nil {
			return err
		}
		all := []scan{{ID: "b" + boxes[0], Flow: solution + "/pack-box", Code: boxes[0], Form: map[string]any{"product": "仰泉 52%vol 500mL"}, Device: d.prefix + "/LINE-1", Where: d.prefix + "/WH-LINE"}}
		for _, c := range codes {
			s := scan{ID: "b" + c, Run: "@b" + boxes[0], Code: c, Device: d.prefix + "/LINE-1", Where: d.prefix + "/WH-LINE"}
			switch f.Rand.IntN(40) {
			case 0: // a misread: some letters are wrong
				bad := s
				bad.ID, bad.Code = s.ID+"?", c[:len(c)-3]+"??"
				all = append(all, bad)
				misread++
			case 1: // read twice; the last one of a box is not, since the box is closed by then
				if c == codes[len(codes)-1] {
					break
				}
				twice := s
				twice.ID = s.ID + "2"
				all = append(all, s, twice)
				misread++
				bottles++
				continue
			}
			all = append(all, s)
			bottles++
		}
		answers, err := d.batch(ctx, all)
		if err != nil {
			return err
		}
		for i, a := range answers {
			if a.Error != "" {
				return problem.New(problem.Internal, "the scan of %s was not taken: %s", "对 %s 的扫描未被接受：%s", all[i].Code, a.Error)
			}
		}
		if last := answers[len(answers)-1]; !last.Ended {
			return problem.New(problem.Internal, "the box %s is not full: %s", "箱 %s 未装满：%s", boxes[0], last.Say)
		}
		if err := wms[0].once(ctx, boxes[0]); err != nil {
			return err
		}
		stock = append(stock, boxes[0])
		inside[boxes[0]] = codes
		// Now and then a shop orders; a third of the orders are shipped straight from the line.
		if len(stock) >= 4 && f.Rand.IntN(4) == 0 {
			handheld, where := "PDA-LINE", "WH-LINE"
			if f.Rand.IntN(3) > 0 {
				handheld, where = "PDA-ZHENGZHOU", "WH-ZHENGZHOU"
				for _, b := range stock[:2] {
					if _, err := d.scan(ctx, scan{ID: "r" + b, Flow: solution + "/receive", Code: b, Device: d.prefix + "/" + handheld, Where: d.prefix + "/" + where}); err != nil {
						return err
					}
				}
			}
			orders++
			order := fmt.Sprintf("%s/ORD-%s", d.prefix, boxes[0][len(boxes[0])-8:])
			if err := d.register(ctx, order, "SALES-ORDER", map[string]string{"shop": d.prefix + "/SHOP-" + strconv.Itoa(f.Rand.IntN(50)), "boxes": "2", "state": "open"}); err != nil {
				return err
			}
			a, err := d.scan(ctx, scan{ID: "s" + order, Flow: solution + "/ship", Code: order, Device: d.prefix + "/" + handheld, Where: d.prefix + "/" + where})
			if err != nil {
				return err
			}
			for _, b := range stock[:2] {
				if a, err = d.scan(ctx, scan{ID: "s" + b, Run: a.Run, Code: b, Device: d.prefix + "/" + handheld, Where: d.prefix + "/" + where}); err != nil {
					return err
				}
			}
			if !a.Ended {
				return problem.New(problem.Internal, "the order %s was not shipped: %s", "订单 %s 未发货：%s", order, a.Say)
			}
			// The shop sells a bottle of it; now and then somebody comes with a copy of its code, or with a code that no line packed.
			for _, x := range []struct {
				code, want string
				chance     int
			}{{inside[stock[0]][0], "passed", 1}, {inside[stock[0]][0], "refused", 3}, {d.prefix + "/B" + strings.Repeat("0", 5) + stock[0][len(stock[0])-8:], "refused", 4}} {
				if f.Rand.IntN(x.chance) > 0 {
					continue
				}
				if a, err = d.scan(ctx, scan{Flow: solution + "/sell", Code: x.code, Where: d.prefix + "/SHOP-1"}); err != nil {
					return err
				}
				if a.Verdict != x.want {
					return problem.New(problem.Internal, "the bottle %s was %s at the shop, want %s: %s", "门店扫描 %s 判定为 %s，应为 %s：%s", x.code, a.Verdict, x.want, a.Say)
				}
				if sold++; x.want == "refused" {
					sold, copies = sold-1, copies+1
				}
			}
			delete(inside, stock[0])
			delete(inside, stock[1])
			stock = stock[2:]
		}
		f.Say(fmt.Sprintf("%d bottles packed, %d scans turned away, %d orders shipped, %d bottles sold, %d forged codes caught", bottles, misread, orders, sold, copies),
			fmt.Sprintf("已装 %d 瓶，拒绝 %d 次扫描，发货 %d 单，售出 %d 瓶，识别假冒编码 %d 个", bottles, misread, orders, sold, copies))
		return nil
	})
}

// claims is a part maker, a vehicle maker and its service stations, some of whose claims are false.
func (f *Floor) claims(ctx context.Context, count int) error {
	const solution = "warranty-claims"
	maker, err := f.at(ctx, solution, "maker")
	if err != nil {
		return err
	}
	supplier, err := f.at(ctx, solution, "supplier")
	if err != nil {
		return err
	}
	settlement, err := f.systems(ctx, solution, "claims")
	if err != nil {
		return err
	}
	passed, refused := 0, 0
	return f.each(ctx, count, func(int) error {
		parts, err := supplier.codes(ctx, "parts", 1)
		if err != nil {
			return err
		}
		part := parts[0]
		inspection := []string{"passed", "passed", "conceded"}[f.Rand.IntN(3)]
		if _, err := supplier.scan(ctx, scan{ID: "m" + part, Flow: solution + "/make-part", Code: part, Form: map[string]any{"partNumber": "BRG-6204", "name": "轮毂轴承 Hub bearing", "lot": "L2611", "inspection": inspection}}); err != nil {
			return err
		}
		serial := part[strings.IndexByte(part, '/')+1:]
		vin := fmt.Sprintf("LVBV3PBB8NE%06d", f.Rand.IntN(1_000_000))
		vehicle := maker.prefix + "/VEH-" + vin
		if err := maker.register(ctx, vehicle, "VEHICLE", map[string]string{"vin": vin, "model": "欧曼 Auman", "warrantyDays": "730", "warrantyDistance": "200000"}); err != nil {
			return err
		}
		a, err := maker.scan(ctx, scan{ID: "v" + serial, Flow: solution + "/fit", Code: vehicle})
		if err != nil {
			return err
		}
		if a, err = maker.scan(ctx, scan{ID: "f" + serial, Run: a.Run, Code: part}); err != nil {
			return err
		}
		if _, err = maker.scan(ctx, scan{ID: "e" + serial, Run: a.Run, Finish: true}); err != nil {
			return err
		}
		form := map[string]any{"vin": vin, "mileage": 1000 + f.Rand.IntN(150_000), "fault": "异响 noise", "amount": 300 + f.Rand.IntN(2000)}
		lie, code, want := f.Rand.IntN(4), part, "refused"
		switch lie {
		case 0:
			form["vin"] = "LVBV3PBB8NE999999" // a part taken off another vehicle
		case 1:
			form["mileage"] = 250_000
		case 2:
			code = supplier.prefix + "/FAKE-" + serial // no part that anybody made
		default:
			want = "passed"
		}
		if a, err = maker.scan(ctx, scan{ID: "c" + serial, Flow: solution + "/claim", Code: code, Form: form}); err != nil {
			return err
		}
		if a.Verdict != want {
			return problem.New(problem.Internal, "the claim for %s was %s, want %s: %s", "%s 的索赔判定为 %s，应为 %s：%s", part, a.Verdict, want, a.Say)
		}
		if want == "passed" {
			passed++
			// Only the supplier's node knows how the part passed its inspection, and tells the maker alone.
			bearer := maker.prefix
			if inspection == "conceded" {
				bearer = supplier.prefix
			}
			if !strings.HasSuffix(a.Say, bearer) && !strings.Contains(a.Say, " "+bearer+" ") {
				return problem.New(problem.Internal, "the claim for %s, which is %s, is not borne by %s: %s", "%s（%s）的索赔费用未由 %s 承担：%s", part, inspection, bearer, a.Say)
			}
			if err := settlement[0].once(ctx, part); err != nil {
				return err
			}
		} else {
			refused++
		}
		f.Say(fmt.Sprintf("%d claims passed, %d false ones went back", passed, refused), fmt.Sprintf("索赔通过 %d 单，退回虚假索赔 %d 单", passed, refused))
		return nil
	})
}

// setUps is a works with presses, and the maker of its film; the works learns what its presses do best.
func (f *Floor) setUps(ctx context.Context, count int) error {
	const solution = "process-parameters"
	factory, err := f.at(ctx, solution, "factory")
	if err != nil {
		return err
	}
	maker, err := f.at(ctx, solution, "maker")
	if err != nil {
		return err
	}
	for k := range 3 {
		if err := factory.register(ctx, fmt.Sprintf("%s/PRESS-%d", factory.prefix, k+1), "MACHINE", map[string]string{"name": fmt.Sprintf("Press %d", k+1), "kind": []string{"press", "press", "quick-press"}[k], "maxPressure": []string{"5", "5", "15"}[k]}); err != nil {
			return err
		}
	}
	grades := []struct{ name, pi, glue, kind string }{{"CF-1215", "12.5", "15", "epoxy"}, {"CF-2525", "25", "25", "epoxy"}, {"CA-2525", "25", "25", "acrylic"}}
	done, own := 0, 0
	return f.each(ctx, count, func(int) error {
		lots, err := maker.codes(ctx, "film-lots", 1)
		if err != nil {
			return err
		}
		g := grades[f.Rand.IntN(len(grades))]
		if a, err := maker.scan(ctx, scan{ID: "l" + lots[0], Flow: solution + "/release-lot", Code: lots[0], Form: map[string]any{"grade": g.name, "pi": g.pi, "glueThickness": g.glue, "liner": "100", "glue": g.kind}}); err != nil || a.Verdict != "passed" {
			return problem.New(problem.Conflict, "the lot %s was not released: %s %v", "批次 %s 未放行：%s %v", lots[0], a.Say, err)
		}
		press := fmt.Sprintf("%s/PRESS-%d", factory.prefix, 1+f.Rand.IntN(3))
		a, err := factory.scan(ctx, scan{ID: "p" + lots[0], Flow: solution + "/set-up", Code: press})
		if err != nil {
			return err
		}
		if a, err = factory.scan(ctx, scan{ID: "q" + lots[0], Run: a.Run, Code: lots[0]}); err != nil {
			return err
		}
		if a.Verdict != "passed" {
			return problem.New(problem.Internal, "no parameters for %s: %s", "%s 没有参数：%s", g.name, a.Say)
		}
		var run struct {
			Vars map[string]any `json:"vars"`
		}
		if err := factory.call(ctx, http.MethodGet, "/api/flow-runs/"+a.Run, nil, &run); err != nil {
			return err
		}
		// The first time an operator tries around the work instruction; with the machine's own parameters there is nothing to try.
		minutes, films, yield := 20+f.Rand.IntN(12), 3, 96.5+f.Rand.Float64()
		if run.Vars["source"] == "machine" {
			own++
			minutes, films, yield = 10+f.Rand.IntN(6), 1+f.Rand.IntN(2), 97.6+f.Rand.Float64()*0.8
		}
		temperature, _ := run.Vars["temperature"].(float64)
		if a, err = factory.scan(ctx, scan{ID: "r" + lots[0], Run: a.Run, Form: map[string]any{"temperature": temperature + float64(f.Rand.IntN(3)), "pressure": run.Vars["pressure"], "seconds": run.Vars["seconds"], "minutes": minutes, "films": films,
			"yield": float64(int(yield*100)) / 100}}); err != nil {
			return err
		}
		if !a.Ended {
			return problem.New(problem.Internal, "the set-up did not end: %s", "调机未结束：%s", a.Say)
		}
		done++
		f.Say(fmt.Sprintf("%d set-ups, %d with the machine's own parameters", done, own), fmt.Sprintf("调机 %d 次，其中 %d 次采用机台专用参数", done, own))
		return nil
	})
}
