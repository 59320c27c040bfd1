package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/share"
)

// The parts of a cold chain, in the order in which goods pass through them; china.yaml names the enterprise that plays each.
const (
	Importer    = "importer"
	Customs     = "customs"
	PortYard    = "port-yard"
	Carrier     = "carrier"
	Processor   = "processor"
	Distributor = "distributor"
	Supermarket = "supermarket"
	Community   = "community"
)

// ColdChainParts are all of them.
var ColdChainParts = []string{Importer, Customs, PortYard, Carrier, Processor, Distributor, Supermarket, Community}

// The goods of the cold chain: two containers of cartons; each carton is cut into small packages, which go on in cases and on pallets.
const (
	coldContainers = 2
	coldCartons    = 10 // of a container
	coldPackages   = 12 // of a carton, and of a case
	coldPallets    = 4  // of a container's cases
)

// ColdChain is an imported cold chain, from a ship's quay to a household: every enterprise's own events.
type ColdChain struct {
	Events map[string][]epcis.Event // part → its events, in the order in which they are captured

	prefixes map[string]string // part → prefix

	// Contaminated is the small package in which something was found; the rest is what a trace of it has to find.
	Contaminated string
	Container    string   // the container it came in
	Carton       string   // the carton it was cut from
	Siblings     []string // the other packages of that carton
	SameBox      []string // the other cartons of the container
	People       []string // who was scanned together with it, or with what it was in or made of, anywhere on the way
	Others       []string // people who handled the other container only: a trace that names them is wrong
}

// coldSpace is the namespace of the cold chain's own words.
const coldSpace = "https://ns.coldchain.example/"

// coldDay is when the containers are loaded.
var coldDay = time.Date(2026, 10, 8, 6, 0, 0, 0, time.FixedZone("", 8*3600))

type coldPlace struct {
	name     string
	lat, lon float64
}

var coldPlaces = map[string]coldPlace{
	Importer:    {"QUAY", -33.03, -71.63},
	Customs:     {"INSPECTION", 36.07, 120.32},
	PortYard:    {"YARD-3", 36.02, 120.22},
	Carrier:     {"ROAD", 36.40, 119.60},
	Processor:   {"PLANT-1", 36.71, 119.10},
	Distributor: {"COLD-STORE", 36.67, 117.00},
	Supermarket: {"STORE-1", 36.65, 117.12},
	Community:   {"STATION", 36.66, 117.06},
}

// coldChain writes the cold chain of enterprises with these prefixes, part → prefix.
func coldChain(prefix map[string]string) *ColdChain {
	c := &ColdChain{Events: map[string][]epcis.Event{}, prefixes: prefix}
	r := rand.New(rand.NewPCG(610, 2026))
	of := func(part, name string, a ...any) string { return prefix[part] + "/" + fmt.Sprintf(name, a...) }
	place := func(part string) string { return of(part, "LOC-%s", coldPlaces[part].name) }
	person := func(part, job string, k int) string { return of(part, "PERSON-%s-%d", job, k+1) }
	var clock time.Time
	at := func(d time.Duration) time.Time { clock = clock.Add(d); return clock }

	// event is one event of a part, at its place, the given time after the one before.
	event := func(part string, after time.Duration, typ epcis.EventType, action epcis.Action, step, disposition string) *epcis.Event {
		p := coldPlaces[part]
		lat, lon := p.lat, p.lon
		e := epcis.Event{Type: typ, Time: at(after), TimeZoneOffset: "+08:00", Action: action, BizStep: step, Disposition: disposition,
			ReadPoint:   &epcis.Location{ID: fmt.Sprintf("geo:%.4f,%.4f", lat+0.01*r.Float64(), lon+0.01*r.Float64())},
			BizLocation: &epcis.Location{ID: place(part)}}
		c.Events[part] = append(c.Events[part], e)
		return &c.Events[part][len(c.Events[part])-1]
	}
	hand := func(e *epcis.Event, from, to string) {
		e.Sources = []epcis.Party{{Type: "possessing_party", ID: of(from, "COMPANY")}}
		e.Destinations = []epcis.Party{{Type: "possessing_party", ID: of(to, "COMPANY")}}
	}
	sensors := func(e *epcis.Event, device string, degrees float64, n int) {
		el := epcis.SensorElement{Metadata: &epcis.SensorMetadata{DeviceID: device, Start: e.Time.Add(-time.Duration(n) * 30 * time.Minute), End: e.Time}}
		for i := range n {
			t := e.Time.Add(-time.Duration(n-i) * 30 * time.Minute)
			el.Reports = append(el.Reports,
				epcis.SensorReport{Type: "Temperature", Time: t, Value: decimal(degrees + 0.8*r.NormFloat64()), Unit: "CEL"},
				epcis.SensorReport{Type: "RelativeHumidity", Time: t, Value: decimal(82 + 3*r.NormFloat64()), Unit: "P1"})
		}
		e.Sensors = append(e.Sensors, el)
	}

	for k := range coldContainers {
		clock = coldDay.Add(time.Duration(k) * 31 * time.Hour)
		day := clock
		container, order := of(Importer, "CONTAINER-%d", k+1), of(Importer, "ORDER-2610-%02d", k+1)
		declaration := of(Customs, "DECLARATION-%08d", 37100+k)
		truck, probe := of(Carrier, "TRUCK-%d", k+1), of(Importer, "PROBE-%d", k+1)
		loader, inspector := person(Importer, "LOADER", k), person(Customs, "INSPECTOR", k)
		crane, driver := person(PortYard, "CRANE", k), person(Carrier, "DRIVER", k)
		receiver, cutter := person(Processor, "RECEIVER", k), person(Processor, "CUTTER", k)
		keeper, stocker := person(Distributor, "KEEPER", k), person(Supermarket, "STOCKER", k)
		cashier := person(Supermarket, "CASHIER", k)
		var cartons []string
		for i := range coldCartons {
			cartons = append(cartons, of(Importer, "CARTON-%d-%02d", k+1, i+1))
		}

		// Overseas: cartons of frozen beef are packed into a container; order, lorry and loader are bound to it by a scan.
		e := event(Importer, 0, epcis.ObjectEvent, epcis.Add, "commissioning", "active")
		e.EPCs = cartons
		e.Transactions = []epcis.Transaction{{Type: "po", ID: order}}
		e.ILMD = []epcis.Field{cold("lot", fmt.Sprintf("FB-2610-%d", k+1)), cold("countryOfOrigin", "CL"), cold("goods", "冷冻牛肉 frozen beef, 20 kg")}
		e = event(Importer, 40*time.Minute, epcis.AggregationEvent, epcis.Add, "loading", "in_progress")
		e.Parent, e.EPCs, e.Transactions = container, cartons, []epcis.Transaction{{Type: "po", ID: order}}
		e = event(Importer, 20*time.Minute, epcis.ObjectEvent, epcis.Observe, "departing", "in_transit")
		e.EPCs = []string{container, loader}
		hand(e, Importer, PortYard)

		// The port yard takes it off the ship, customs look at it and let it go.
		e = event(PortYard, 17*24*time.Hour, epcis.ObjectEvent, epcis.Observe, "arriving", "in_progress")
		e.EPCs = []string{container, crane}
		hand(e, Importer, Customs)
		sensors(e, probe, -19, 6)
		e = event(Customs, 9*time.Hour, epcis.TransactionEvent, epcis.Add, "inspecting", "conformant")
		e.EPCs, e.Transactions = []string{container, inspector}, []epcis.Transaction{{Type: coldSpace + "declaration", ID: declaration}}
		hand(e, PortYard, Carrier)

		// The carrier puts it on a lorry and drives it to the plant.
		e = event(Carrier, 5*time.Hour, epcis.AggregationEvent, epcis.Add, "loading", "in_transit")
		e.Parent, e.EPCs = truck, []string{container}
		e = event(Carrier, 30*time.Minute, epcis.ObjectEvent, epcis.Observe, "departing", "in_transit")
		e.EPCs = []string{truck, driver}
		hand(e, Customs, Processor)
		for range 4 {
			e = event(Carrier, 35*time.Minute, epcis.ObjectEvent, epcis.Observe, "transporting", "in_transit")
			e.EPCs = []string{truck}
			sensors(e, probe, -18, 2)
		}
		e = event(Carrier, 20*time.Minute, epcis.AggregationEvent, epcis.Delete, "unloading", "in_progress")
		e.Parent, e.EPCs = truck, []string{container}
		hand(e, Carrier, Processor)

		// The plant unpacks it and cuts each carton into small packages with identifiers of their own, which refer to the container.
		e = event(Processor, 15*time.Minute, epcis.ObjectEvent, epcis.Observe, "receiving", "in_progress")
		e.EPCs = []string{container, receiver}
		hand(e, Carrier, Processor)
		e = event(Processor, 20*time.Minute, epcis.AggregationEvent, epcis.Delete, "unpacking", "in_progress")
		e.Parent, e.EPCs = container, cartons
		var packages, cases []string
		for i, carton := range cartons {
			var cut []string
			for j := range coldPackages {
				cut = append(cut, of(Processor, "PACK-%d-%02d-%02d", k+1, i+1, j+1))
			}
			e = event(Processor, 8*time.Minute, epcis.ObjectEvent, epcis.Observe, "inspecting", "conformant")
			e.EPCs = []string{carton, cutter}
			e = event(Processor, 4*time.Minute, epcis.TransformationEvent, "", "commissioning", "active")
			e.InputEPCs, e.OutputEPCs = []string{carton}, cut
			e.ILMD = []epcis.Field{cold("container", container), cold("bestBefore", day.AddDate(1, 0, 0).Format(time.DateOnly))}
			packages = append(packages, cut...)
			box := of(Processor, "CASE-%d-%02d", k+1, i+1)
			e = event(Processor, 3*time.Minute, epcis.AggregationEvent, epcis.Add, "packing", "in_progress")
			e.Parent, e.EPCs = box, cut
			cases = append(cases, box)
		}
		e = event(Processor, time.Hour, epcis.ObjectEvent, epcis.Observe, "shipping", "in_transit")
		e.EPCs = cases
		hand(e, Processor, Distributor)
		sensors(e, of(Processor, "PROBE-1"), -20, 4)

		// The distributor's cold store, by the pallet.
		e = event(Distributor, 7*time.Hour, epcis.ObjectEvent, epcis.Observe, "receiving", "in_progress")
		e.EPCs = append(slices.Clone(cases), keeper)
		hand(e, Processor, Distributor)
		var pallets []string
		for i, chunk := range slices.Collect(slices.Chunk(cases, (len(cases)+coldPallets-1)/coldPallets)) {
			pallet := of(Distributor, "PALLET-%d-%d", k+1, i+1)
			e = event(Distributor, 10*time.Minute, epcis.AggregationEvent, epcis.Add, "packing", "in_progress")
			e.Parent, e.EPCs = pallet, chunk
			pallets = append(pallets, pallet)
		}
		e = event(Distributor, 20*time.Hour, epcis.ObjectEvent, epcis.Observe, "storing", "in_progress")
		e.EPCs = pallets
		sensors(e, of(Distributor, "PROBE-1"), -21, 8)
		e = event(Distributor, 26*time.Hour, epcis.ObjectEvent, epcis.Observe, "shipping", "in_transit")
		e.EPCs = pallets
		hand(e, Distributor, Supermarket)

		// The supermarket unpacks and sells; the community's station hears from households.
		e = event(Supermarket, 3*time.Hour, epcis.ObjectEvent, epcis.Observe, "receiving", "in_progress")
		e.EPCs = append(slices.Clone(pallets), stocker)
		hand(e, Distributor, Supermarket)
		for i, chunk := range slices.Collect(slices.Chunk(cases, (len(cases)+coldPallets-1)/coldPallets)) {
			e = event(Supermarket, 10*time.Minute, epcis.AggregationEvent, epcis.Delete, "unpacking", "in_progress")
			e.Parent, e.EPCs = pallets[i], chunk
		}
		for i, box := range cases {
			e = event(Supermarket, 4*time.Minute, epcis.AggregationEvent, epcis.Delete, "unpacking", "in_progress")
			e.Parent, e.EPCs = box, packages[i*coldPackages:(i+1)*coldPackages]
		}
		e = event(Supermarket, time.Hour, epcis.ObjectEvent, epcis.Observe, "stocking", "sellable_accessible")
		e.EPCs = append(slices.Clone(packages), stocker)
		for i := 0; i < len(packages); i += 9 {
			consumer := person(Community, "HOUSEHOLD", k*100+i/9)
			e = event(Supermarket, 25*time.Minute, epcis.ObjectEvent, epcis.Observe, "retail_selling", "retail_sold")
			e.EPCs = []string{packages[i], cashier}
			hand(e, Supermarket, Community)
			e = event(Community, 40*time.Minute, epcis.ObjectEvent, epcis.Observe, "receiving", "in_progress")
			e.EPCs = []string{packages[i], consumer}
			hand(e, Supermarket, Community)
			if k == 0 && i == 27 {
				c.Contaminated, c.Container = packages[i], container
				box := i / coldPackages
				c.Carton = cartons[box]
				for _, p := range packages[box*coldPackages : (box+1)*coldPackages] {
					if p != c.Contaminated {
						c.Siblings = append(c.Siblings, p)
					}
				}
				c.SameBox = slices.DeleteFunc(slices.Clone(cartons), func(s string) bool { return s == c.Carton })
				c.People = []string{loader, inspector, crane, driver, receiver, cutter, keeper, stocker, cashier, consumer}
			}
		}
		if k > 0 {
			c.Others = append(c.Others, loader, inspector, crane, driver, receiver, cutter, keeper, stocker, cashier)
		}
	}
	return c
}

// cold is a field of the cold chain's own namespace.
func cold(name, value string) epcis.Field {
	return epcis.Field{Space: coldSpace, Name: name, Prefix: "cold", Value: epcis.Value{Kind: epcis.Text, Text: value}}
}

func decimal(f float64) epcis.Decimal { return epcis.Decimal(strconv.FormatFloat(f, 'f', 1, 64)) }

// records are what an enterprise of the chain registers: its place, and of its goods those that refer to others'.
func (c *ColdChain) records(part, prefix, title string) []record.Write {
	p := coldPlaces[part]
	create := func(name string, values ...record.Value) record.Write {
		values = append(values, textValue(2000, "operator", title))
		return record.Write{Op: record.Create, ID: id.MustParse(prefix + "/" + name), Values: values}
	}
	out := []record.Write{
		create("COMPANY", textValue(2001, "name", title)),
		create("LOC-"+p.name, textValue(2001, "name", title+" "+p.name), textValue(2002, "latitude", fmt.Sprintf("%.4f", p.lat)), textValue(2003, "longitude", fmt.Sprintf("%.4f", p.lon))),
	}
	seen := map[string]bool{}
	for _, e := range c.Events[part] {
		for i, f := range e.ILMD {
			if f.Name != "container" {
				continue
			}
			for _, v := range e.OutputEPCs {
				if suffix, ok := strings.CutPrefix(v, prefix+"/"); ok && !seen[v] {
					seen[v] = true
					out = append(out, create(suffix, textValue(2001, "productName", "冷冻牛肉小包装 frozen beef, 500 g"), textValue(2002, "container", e.ILMD[i].Value.Text)))
				}
			}
		}
	}
	return out
}

// coldShares is what each enterprise of the chain lets others see of its events, by the share's name: the others of the chain what a trace needs, the second level,
// which stands for the authority, everything.
func coldShares(authority string, prefixes map[string]string) map[string][]byte {
	var chain []string
	for _, part := range ColdChainParts {
		chain = append(chain, prefixes[part])
	}
	out := map[string][]byte{}
	for name, s := range map[string]share.Share{
		"chain":     {To: chain, Level: share.Trace, Note: "冷链各方可追溯 the parties of the chain may trace"},
		"authority": {To: []string{authority}, Level: share.Contents, Note: "监管方可查看全部 the authority sees everything"},
	} {
		b, err := json.Marshal(s)
		if err != nil {
			panic(err) // it has no field that could fail
		}
		out[name] = b
	}
	return out
}
