package sim

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// What one container of the cold chain's floor holds: little, so that many go through.
const (
	floorCartons  = 2
	floorPackages = 5 // of a carton
)

// journey is one container on its way through eight enterprises, each of which scans at its own node.
type journey struct {
	f     *Floor
	at    map[string]*desk // part → its node
	clock time.Time        // of the journey, which is made in two hours of its own

	container, truck string
	name             string // of the container, for scan numbers
	cartons          []string
	packages         [][]string // by carton
	people           []string   // who met it
	warm, turned     int        // readings that were too warm; scans that were turned away
	late             int        // readings that came after later ones
}

// later moves the journey's clock on.
func (j *journey) later(minutes int) time.Time {
	j.clock = j.clock.Add(time.Duration(minutes) * time.Minute)
	return j.clock
}

func (j *journey) company(part string) string { return j.at[part].prefix + "/COMPANY" }

// person is somebody who works there; who it is differs from journey to journey.
func (j *journey) person(part, job string) string {
	p := fmt.Sprintf("%s/PERSON-%s-%s", j.at[part].prefix, job, j.name)
	if !slices.Contains(j.people, p) {
		j.people = append(j.people, p)
	}
	return p
}

// does is a scan at a part's node that must come out as wanted. It is sent a second time now and then, as a handheld does that lost the answer: nothing more may be done.
func (j *journey) does(ctx context.Context, part, want string, s scan) (answer, error) {
	d := j.at[part]
	if s.ID != "" {
		s.ID += " " + j.name
	}
	s.Where = d.prefix + "/LOC-" + coldPlaces[part].name
	if s.Device == "" {
		s.Device = d.prefix + "/PDA-1"
	}
	a, err := d.scan(ctx, s)
	if err == nil && a.Verdict != want {
		err = problem.New(problem.Internal, "%s at %s was %s, want %s: %s", "%s 在 %s 判定为 %s，应为 %s：%s", s.Code, part, a.Verdict, want, a.Say)
	}
	if err == nil && s.ID != "" && j.f.Rand.IntN(25) == 0 {
		again, twice := d.scan(ctx, s)
		if err = twice; err == nil && (!again.Dup || again.Run != a.Run || again.Verdict != a.Verdict) {
			err = problem.New(problem.Internal, "%s was scanned once and done twice: %s", "%s 扫描一次却执行两次：%s", s.Code, again.Say)
		}
	}
	return a, err
}

// misread is a code with letters that were not read right, now and then: it is turned away.
func (j *journey) misread(ctx context.Context, part, flow, code string, form map[string]any) error {
	if j.f.Rand.IntN(6) > 0 {
		return nil
	}
	j.turned++
	_, err := j.does(ctx, part, "refused", scan{Flow: "cold-chain/" + flow, Code: code[:len(code)-2] + "Q?", Form: form, At: j.clock})
	return err
}

// takes is a hand-over: goods, person and lorry are scanned together, with the temperature there.
func (j *journey) takes(ctx context.Context, part, job, code string, degrees float64, from, to string) error {
	form := map[string]any{"temperature": tenth(degrees), "badge": j.person(part, job)}
	if part == Carrier {
		form["truck"] = j.truck
	}
	if from != "" {
		form["from"] = j.company(from)
	}
	if to != "" {
		form["to"] = j.company(to)
	}
	if err := j.misread(ctx, part, "pass-on", code, form); err != nil {
		return err
	}
	want := "passed"
	if degrees > coldWarmest {
		want = "warned"
		j.warm++
	}
	_, err := j.does(ctx, part, want, scan{ID: part + " " + code[strings.IndexByte(code, '/')+1:], Flow: "cold-chain/pass-on", Code: code, Form: form, At: j.clock})
	return err
}

// coldWarmest is what solution.yaml allows.
const coldWarmest = -12.0

func tenth(x float64) float64 { return math.Round(x*10) / 10 }

// containers is the floor of the cold chain: containers of frozen goods go through eight enterprises; loggers send temperatures, some late and out of order; one lorry in four has a cooler
// that fails; and now and then a package at a market turns out to be contaminated, and everything about it is traced.
func (f *Floor) containers(ctx context.Context, count int) error {
	at := map[string]*desk{}
	for _, part := range ColdChainParts {
		d, err := f.at(ctx, "cold-chain", part)
		if err != nil {
			return err
		}
		at[part] = d
	}
	defer func(every time.Duration) { f.Every = every }(f.Every)
	f.Every *= 10 // a container is more work than a box
	sum := struct{ done, warm, late, turned, found int }{}
	return f.each(ctx, count, func(i int) error {
		j := &journey{f: f, at: at, clock: time.Now().Add(-2 * time.Hour)}
		if err := j.load(ctx); err != nil {
			return err
		}
		if err := j.ride(ctx, i%4 == 1); err != nil {
			return err
		}
		if err := j.sell(ctx); err != nil {
			return err
		}
		if i%3 == 1 {
			part, who, parties := Supermarket, "SAMPLER", len(ColdChainParts)-1
			if i%6 == 4 {
				part, who, parties = Community, "HOUSEHOLD", len(ColdChainParts)
			}
			if err := j.outbreak(ctx, part, who, parties); err != nil {
				return err
			}
			sum.found++
		}
		sum.done, sum.warm, sum.late, sum.turned = sum.done+1, sum.warm+j.warm, sum.late+j.late, sum.turned+j.turned
		f.Say(fmt.Sprintf("%d containers, %d readings too warm, %d late, %d scans turned away, %d contaminated packages traced", sum.done, sum.warm, sum.late, sum.turned, sum.found),
			fmt.Sprintf("集装箱 %d 个，温度超限 %d 次，迟到读数 %d 条，拒绝扫描 %d 次，追溯问题产品 %d 件", sum.done, sum.warm, sum.late, sum.turned, sum.found))
		return nil
	})
}

// load is the importer's, the customs' and the yard's part.
func (j *journey) load(ctx context.Context) error {
	importer := j.at[Importer]
	var err error
	if j.cartons, err = importer.codes(ctx, "cartons", floorCartons); err != nil {
		return err
	}
	_, j.name, _ = strings.Cut(j.cartons[0], "/")
	j.container = importer.prefix + "/CONTAINER-" + j.name
	a, err := j.does(ctx, Importer, "passed", scan{ID: "load", Flow: "cold-chain/load", Code: j.container, At: j.later(0), Form: map[string]any{"order": importer.prefix + "/ORDER-" + j.name, "truck": "VIN " + j.name,
		"goods": "冷冻牛肉 frozen beef", "origin": "CL", "lot": "FB-" + j.name, "badge": j.person(Importer, "LOADER"), "to": j.company(Customs)}})
	if err != nil {
		return err
	}
	for i, c := range j.cartons {
		if _, err := j.does(ctx, Importer, "passed", scan{ID: "carton " + c, Run: a.Run, Code: c, At: j.later(1)}); err != nil {
			return err
		}
		if i == 0 && j.f.Rand.IntN(3) == 0 { // the same carton again
			j.turned++
			if _, err := j.does(ctx, Importer, "warned", scan{Run: a.Run, Code: c, At: j.later(1)}); err != nil {
				return err
			}
		}
	}
	if a, err = j.does(ctx, Importer, "passed", scan{ID: "full", Run: a.Run, Finish: true, At: j.later(1)}); err != nil {
		return err
	}
	if !a.Ended {
		return problem.New(problem.Internal, "the container %s is not closed: %s", "集装箱 %s 未封箱：%s", j.container, a.Say)
	}
	j.later(10)
	if _, err := j.does(ctx, Customs, "passed", scan{ID: "clear", Flow: "cold-chain/clear", Code: j.container, At: j.clock, Form: map[string]any{"declaration": fmt.Sprintf("%012d", j.f.Rand.Int64N(1e12)), "result": "released",
		"badge": j.person(Customs, "INSPECTOR"), "to": j.company(PortYard)}}); err != nil {
		return err
	}
	j.later(5)
	return j.takes(ctx, PortYard, "CRANE", j.container, -19+j.f.Rand.NormFloat64(), Customs, Carrier)
}

// ride is the carrier's part: a curve of temperatures, which comes late where there is no network. A cooler that fails warms up by half a degree a minute until somebody looks after it.
func (j *journey) ride(ctx context.Context, fails bool) error {
	carrier := j.at[Carrier]
	j.truck = carrier.prefix + "/TRUCK-" + j.name
	degrees := -18.5 + 0.4*j.f.Rand.NormFloat64()
	j.later(5)
	if err := j.takes(ctx, Carrier, "DRIVER", j.container, degrees, PortYard, Processor); err != nil {
		return err
	}
	var sent, kept []scan
	for k := range 10 {
		switch {
		case fails && k >= 3 && k < 7:
			degrees += 2.6
		case degrees > -18:
			degrees -= 2.2
		}
		at := j.later(4)
		s := scan{ID: fmt.Sprintf("log %d %s", k, j.name), Flow: "cold-chain/telemetry", Code: j.container, At: at, Device: carrier.prefix + "/LOGGER-" + j.name,
			Where: fmt.Sprintf("geo:%.4f,%.4f", 36.1+0.06*float64(k), 120.2-0.1*float64(k)),
			Form:  map[string]any{"temperature": tenth(degrees + 0.3*j.f.Rand.NormFloat64()), "humidity": tenth(82 + 3*j.f.Rand.NormFloat64()), "weight": 40.0, "truck": j.truck}}
		if j.f.Rand.IntN(5) == 0 && k < 9 {
			kept = append(kept, s) // no network here: it is sent later
			continue
		}
		sent = append(sent, s)
	}
	j.late += len(kept)
	all := append(sent, kept...)
	answers, err := carrier.batch(ctx, all)
	if err != nil {
		return err
	}
	for i, a := range answers {
		want := "passed"
		if all[i].Form["temperature"].(float64) > coldWarmest {
			want = "warned"
			j.warm++
		}
		if a.Verdict != want {
			return problem.New(problem.Internal, "a reading of %v °C was %s: %s%s", "读数 %v °C 判定为 %s：%s%s", all[i].Form["temperature"], a.Verdict, a.Say, a.Error)
		}
	}
	return nil
}

// sell is the processor's, the distributor's and the supermarket's part: cartons become packages, which go on by themselves.
func (j *journey) sell(ctx context.Context) error {
	j.later(5)
	if err := j.takes(ctx, Processor, "RECEIVER", j.container, -17.5, Carrier, ""); err != nil {
		return err
	}
	processor := j.at[Processor]
	cutter := j.person(Processor, "CUTTER")
	for _, c := range j.cartons {
		a, err := j.does(ctx, Processor, "passed", scan{ID: "cut " + c, Flow: "cold-chain/cut", Code: c, At: j.later(3), Form: map[string]any{"packages": floorPackages, "badge": cutter}})
		if err != nil {
			return err
		}
		var run struct {
			Vars struct {
				Packages []string `json:"packages"`
			} `json:"vars"`
		}
		if err := processor.call(ctx, http.MethodGet, "/api/flow-runs/"+url.PathEscape(a.Run), nil, &run); err != nil {
			return err
		}
		if len(run.Vars.Packages) != floorPackages {
			return problem.New(problem.Internal, "%s was cut into %d packages, want %d", "%s 分割为 %d 个小包装，应为 %d", c, len(run.Vars.Packages), floorPackages)
		}
		j.packages = append(j.packages, run.Vars.Packages)
	}
	j.later(5)
	for _, p := range slices.Concat(j.packages...) {
		if err := j.takes(ctx, Processor, "SHIPPER", p, -19, "", Distributor); err != nil {
			return err
		}
	}
	j.later(5)
	for _, p := range slices.Concat(j.packages...) {
		if err := j.takes(ctx, Distributor, "KEEPER", p, -21, Processor, Supermarket); err != nil {
			return err
		}
	}
	j.later(5)
	for _, p := range slices.Concat(j.packages...) {
		if err := j.takes(ctx, Supermarket, "STOCKER", p, -18, Distributor, Community); err != nil {
			return err
		}
	}
	// A clean sample of each carton.
	j.later(5)
	for _, all := range j.packages {
		if _, err := j.does(ctx, Supermarket, "passed", scan{ID: "clean " + all[0], Flow: "cold-chain/test", Code: all[0], At: j.clock, Form: map[string]any{"result": "negative"}}); err != nil {
			return err
		}
	}
	return nil
}

// outbreak is a package at a market's shelf, or at a household, that turns out to be contaminated: its source, its siblings and everybody who met it are traced over the nodes of all parties that had it, and what comes back is held
// against what was done.
func (j *journey) outbreak(ctx context.Context, part, who string, parties int) error {
	d := j.at[part]
	bad := j.packages[0][1]
	form := map[string]any{"result": "positive", "badge": j.person(part, who)}
	if part == Community {
		form["from"] = j.company(Supermarket)
	}
	if _, err := j.does(ctx, part, "stopped", scan{ID: "sample " + bad, Flow: "cold-chain/test", Code: bad, At: j.later(5), Form: form}); err != nil {
		return err
	}
	var trace struct {
		Answer struct {
			Complete bool `json:"complete"`
			Things   []struct {
				ID string `json:"id"`
			} `json:"things"`
			Events []struct {
				Owner string `json:"owner"`
			} `json:"events"`
			Hops any `json:"hops"`
		} `json:"answer"`
	}
	if err := d.call(ctx, http.MethodGet, "/api/trace?id="+url.QueryEscape(bad), nil, &trace); err != nil {
		return err
	}
	things, owners := map[string]bool{}, map[string]bool{}
	for _, x := range trace.Answer.Things {
		things[x.ID] = true
	}
	for _, x := range trace.Answer.Events {
		owners[x.Owner] = true
	}
	if !trace.Answer.Complete || !things[j.cartons[0]] || !things[j.container] || len(owners) != parties {
		return problem.New(problem.Internal, "the trace of %s found %d things over %d enterprises (complete: %t); its carton %t, its container %t; %v", "%s 的追溯得到 %d 个对象、%d 家企业（完整：%t）；原箱 %t，集装箱 %t；%v",
			bad, len(things), len(owners), trace.Answer.Complete, things[j.cartons[0]], things[j.container], trace.Answer.Hops)
	}
	var siblings struct {
		Siblings []struct {
			ID string `json:"id"`
		} `json:"siblings"`
	}
	if err := d.call(ctx, http.MethodGet, "/api/trace/siblings?id="+url.QueryEscape(bad), nil, &siblings); err != nil {
		return err
	}
	same := map[string]bool{}
	for _, s := range siblings.Siblings {
		same[s.ID] = true
	}
	for _, p := range j.packages[0] {
		if p != bad && !same[p] {
			return problem.New(problem.Internal, "the sibling %s of %s was not found", "未找到 %[2]s 的同批次 %[1]s", p, bad)
		}
	}
	var contacts struct {
		Contacts []struct {
			ID string `json:"id"`
		} `json:"contacts"`
	}
	if err := d.call(ctx, http.MethodGet, "/api/trace/contacts?id="+url.QueryEscape(bad), nil, &contacts); err != nil {
		return err
	}
	var people []string
	for _, c := range contacts.Contacts {
		if strings.Contains(c.ID, "/PERSON-") {
			people = append(people, c.ID)
		}
	}
	want := slices.Clone(j.people)
	slices.Sort(want)
	slices.Sort(people)
	if !slices.Equal(people, want) {
		return problem.New(problem.Internal, "the people who met %s are %v; found were %v", "接触过 %s 的人员为 %v；追溯得到 %v", bad, want, people)
	}
	_, err := j.does(ctx, part, "passed", scan{ID: "found " + bad, Flow: "cold-chain/outbreak", Code: bad, Form: map[string]any{"source": j.container, "siblings": len(j.packages[0]) - 1, "people": len(people)}})
	return err
}
