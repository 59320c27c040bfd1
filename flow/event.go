package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// named is the identifier of an event that a flow captures: made of the run, the scan and the effect, so that the same effect is the same
// event however often it is done.
func named(run string, no, n int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "fujie flow event %s %d %d", run, no, n))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // a UUID of version 8 (RFC 9562, 5.8)
	x := hex.EncodeToString(h[:16])
	return "urn:uuid:" + x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:32]
}

// isPlace says whether a text can stand where an event wants an identifier; a scanner's plain name cannot.
func isPlace(s string) bool {
	if s == "" || strings.ContainsAny(s, " \t\r\n<>\"{}|\\^`") {
		return false
	}
	if strings.Contains(s, "://") || strings.HasPrefix(s, "urn:") || strings.HasPrefix(s, "geo:") {
		return true
	}
	v, err := id.Parse(s)
	return err == nil && !v.IsPrefix()
}

// event makes an event ready, whole and valid.
func (p *passage) event(x *effect, sc scope, undo bool) error {
	e := epcis.Event{Type: epcis.EventType(x.Event.Type), Time: p.at().In(zone), TimeZoneOffset: "+08:00"}
	var err error
	get := func(name string) string {
		t, e := x.fields[name].text(sc)
		err = errors.Join(err, e)
		return t
	}
	list := func(name string) []string {
		t, e := x.fields[name].texts(sc)
		err = errors.Join(err, e)
		return t
	}
	e.Action, e.BizStep, e.Disposition = epcis.Action(get("action")), get("step"), get("disposition")
	e.Parent = get("parent")
	e.EPCs = append(list("things"), list("children")...)
	e.InputEPCs, e.OutputEPCs = list("inputs"), list("outputs")
	if s := get("place"); isPlace(s) {
		e.BizLocation = &epcis.Location{ID: s}
	}
	if s := get("readPoint"); isPlace(s) {
		e.ReadPoint = &epcis.Location{ID: s}
	}
	each := func(name string, f func(get func(string) string)) {
		for _, m := range x.lists[name] {
			f(func(k string) string {
				t, e := m[k].text(sc)
				err = errors.Join(err, e)
				return t
			})
		}
	}
	each("transactions", func(get func(string) string) {
		if v := get("id"); v != "" {
			e.Transactions = append(e.Transactions, epcis.Transaction{Type: get("type"), ID: v})
		}
	})
	each("sources", func(get func(string) string) {
		if v := get("id"); isPlace(v) {
			e.Sources = append(e.Sources, epcis.Party{Type: get("type"), ID: v})
		}
	})
	each("destinations", func(get func(string) string) {
		if v := get("id"); isPlace(v) {
			e.Destinations = append(e.Destinations, epcis.Party{Type: get("type"), ID: v})
		}
	})
	each("quantities", func(get func(string) string) {
		e.Quantities = append(e.Quantities, epcis.Quantity{Class: get("class"), Quantity: epcis.Decimal(get("quantity")), Unit: get("unit")})
	})
	each("sensors", func(get func(string) string) {
		r := epcis.SensorReport{Type: get("type"), Value: epcis.Decimal(get("value")), Unit: get("unit"), DeviceID: get("device"), Time: e.Time}
		if t, ok := instant(get("time")); ok {
			r.Time = t
		}
		if r.Value == "" {
			return // nothing was read
		}
		e.Sensors = append(e.Sensors, epcis.SensorElement{Reports: []epcis.SensorReport{r}})
	})
	if len(x.values) > 0 {
		space := "urn:fujie:solution:" + p.p.sol.Name + ":"
		e.Namespaces = map[string]string{"s": space}
		for _, k := range slices.Sorted(maps.Keys(x.values)) {
			v, wrong := x.values[k].eval(sc)
			err = errors.Join(err, wrong)
			f := epcis.Field{Space: space, Name: k, Prefix: "s", Value: epcis.Value{Kind: epcis.Text, Text: text(v)}}
			switch v.(type) {
			case int64, float64:
				f.Value.Kind = epcis.Number
			case bool:
				f.Value.Kind = epcis.Bool
			}
			e.Extensions = append(e.Extensions, f)
		}
	}
	if err != nil {
		return err
	}
	if len(e.EPCs)+len(e.InputEPCs)+len(e.OutputEPCs)+len(e.Quantities) == 0 && e.Parent == "" {
		return nil // about nothing: none
	}
	n := len(p.unit.acts)
	if undo {
		n = 1000 + len(p.undo)
	}
	e.ID = named(p.run.ID, p.run.Steps+1, n)
	if faults := epcis.Validate(&e); len(faults) > 0 {
		return problem.New(problem.BadValue, "the event is not valid: %s", "事件不合规范：%s", faults[0].EN)
	}
	keys := []string{}
	for _, name := range e.Names() {
		if k := epcis.Key(name); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	step := e.BizStep
	if step == "" {
		step = string(e.Type)
	}
	p.queue(act{Event: epcis.AppendEventJSON(nil, &e, epcis.Format{}), Keys: keys}, undo, Done{Kind: "event", What: step})
	return nil
}
