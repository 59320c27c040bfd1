package record

import (
	"encoding/xml"
	"math"
	"strconv"
	"strings"
)

// Locations is what a 10320/loc value says: several addresses of one thing, and the order of rules by which one is
// chosen for a person.
//
//	<locations chooseby="locatt,country,weighted">
//	 <location id="0" href="https://…" weight="1" country="cn"/>
//	</locations>
type Locations struct {
	ChooseBy []string // rules in order; empty means locatt, country, weighted
	List     []Location
}

// Location is one address. Every attribute of the XML is in Attrs, href, weight and country too, names in lower case.
type Location struct {
	Href  string
	Attrs []Attribute
}

// Get is the value of an attribute, names in lower case; empty when there is none.
func (l *Location) Get(name string) string {
	for _, a := range l.Attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

func (l *Location) weight() float64 {
	s := l.Get("weight")
	if s == "" {
		return 1
	}
	w, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(w) || math.IsInf(w, 0) || w < 0 {
		return 0
	}
	return w
}

// UnmarshalXML reads <locations> and <locs>.
func (l *Locations) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	for _, a := range start.Attr {
		if strings.EqualFold(a.Name.Local, "chooseby") {
			for rule := range strings.SplitSeq(a.Value, ",") {
				if rule = strings.ToLower(strings.TrimSpace(rule)); rule != "" {
					l.ChooseBy = append(l.ChooseBy, rule)
				}
			}
		}
	}
	for {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			if t.Name.Local == "location" {
				var loc Location
				for _, a := range t.Attr {
					name := strings.ToLower(a.Name.Local)
					loc.Attrs = append(loc.Attrs, Attribute{name, a.Value})
					if name == "href" {
						loc.Href = strings.TrimSpace(a.Value)
					}
				}
				l.List = append(l.List, loc)
			}
			if err := d.Skip(); err != nil {
				return err
			}
		}
	}
}

// MarshalXML writes the element that it is asked to be.
func (l *Locations) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	start.Attr = nil
	if len(l.ChooseBy) > 0 {
		start.Attr = []xml.Attr{{Name: xml.Name{Local: "chooseby"}, Value: strings.Join(l.ChooseBy, ",")}}
	}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	for _, loc := range l.List {
		el := xml.StartElement{Name: xml.Name{Local: "location"}}
		for _, a := range loc.Attrs {
			el.Attr = append(el.Attr, xml.Attr{Name: xml.Name{Local: a.Name}, Value: a.Value})
		}
		if err := e.EncodeToken(el); err != nil {
			return err
		}
		if err := e.EncodeToken(el.End()); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

// ParseLocations reads the XML. The error is of kind problem.BadValue.
func ParseLocations(b []byte) (*Locations, error) {
	var l Locations
	if err := parseXML(b, &l); err != nil {
		return nil, malformed(err, TypeLoc)
	}
	return &l, nil
}

// AppendLocations appends the XML.
func AppendLocations(dst []byte, l *Locations) []byte {
	var b strings.Builder
	e := xml.NewEncoder(&b)
	if err := e.EncodeElement(l, xml.StartElement{Name: xml.Name{Local: "locations"}}); err != nil {
		return dst // only attribute names that are no XML names fail; ParseLocations gives none
	}
	return append(dst, b.String()...)
}

// Visitor is what is known of who follows a 10320/loc value.
type Visitor struct {
	LocAtt  string  // "name:value", as ?locatt= carries it; empty when not given
	Country string  // ISO 3166 code of two letters; empty when unknown
	Chance  float64 // 0 ≤ Chance < 1, random; decides among equals by their weights
}

// Choose is the location for a visitor, or nil when there is none. Each rule in turn keeps the locations it favours; one
// that favours none of those left changes nothing. Rules that are not known are passed over.
func (l *Locations) Choose(v Visitor) *Location {
	left := make([]*Location, 0, len(l.List))
	for i := range l.List {
		if l.List[i].Href != "" {
			left = append(left, &l.List[i])
		}
	}
	rules := l.ChooseBy
	if len(rules) == 0 {
		rules = []string{"locatt", "country", "weighted"}
	}
	for _, rule := range rules {
		switch rule {
		case "locatt":
			if name, value, ok := strings.Cut(v.LocAtt, ":"); ok {
				name = strings.ToLower(name)
				left = keep(left, func(loc *Location) bool { return strings.EqualFold(loc.Get(name), value) })
			}
		case "country":
			near := keep(left, func(loc *Location) bool {
				return v.Country != "" && strings.EqualFold(loc.Get("country"), v.Country)
			})
			if len(near) == len(left) {
				near = keep(left, func(loc *Location) bool { return loc.Get("country") == "" })
			}
			left = near
		case "weighted":
			if loc := weighted(left, v.Chance); loc != nil {
				return loc
			}
		}
	}
	if len(left) == 0 {
		return nil
	}
	return left[0]
}

// keep is the locations that ok favours, or all when it favours none.
func keep(all []*Location, ok func(*Location) bool) []*Location {
	var some []*Location
	for _, loc := range all {
		if ok(loc) {
			some = append(some, loc)
		}
	}
	if len(some) == 0 {
		return all
	}
	return some
}

func weighted(all []*Location, chance float64) *Location {
	var sum float64
	for _, loc := range all {
		sum += loc.weight()
	}
	if sum == 0 || math.IsInf(sum, 0) {
		return nil
	}
	at := chance * sum
	var last *Location
	for _, loc := range all {
		w := loc.weight()
		if w == 0 {
			continue
		}
		if last = loc; at < w {
			return loc
		}
		at -= w
	}
	return last
}
