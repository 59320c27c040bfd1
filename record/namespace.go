package record

import (
	"encoding/xml"
	"strings"
)

// Namespace is what HS_NAMESPACE says of the names below a prefix: who to turn to, whether it is active, where pages
// of records are by default, and how a name that has no record of its own is made up from another's.
//
//	<namespace><contact>…</contact><status>active</status><statusmsg>…</statusmsg>
//	 <locs><location href="…"/></locs><template delimiter="@">…</template></namespace>
type Namespace struct {
	XMLName   xml.Name    `xml:"namespace"`
	Contact   string      `xml:"contact,omitempty"`
	Status    string      `xml:"status,omitempty"` // "active" and "inactive" are in use
	StatusMsg string      `xml:"statusmsg,omitempty"`
	Locs      *Locations  `xml:"locs"`
	Templates []Namescape `xml:"template"`
}

// Namescape is a template of a Namespace: names that hold Delimiter are made up from the record before it. Rules is
// its inner XML, as it came.
type Namescape struct {
	Delimiter string `xml:"delimiter,attr"`
	Rules     string `xml:",innerxml"`
}

// ParseNamespace reads the XML. The error is of kind problem.BadValue.
func ParseNamespace(b []byte) (*Namespace, error) {
	var n Namespace
	if err := parseXML(b, &n); err != nil {
		return nil, malformed(err, TypeNamespace)
	}
	return &n, nil
}

// AppendNamespace appends the XML.
func AppendNamespace(dst []byte, n *Namespace) []byte {
	b, err := xml.Marshal(n)
	if err != nil { // only types that cannot be written fail, and these can
		return dst
	}
	return append(dst, b...)
}

// parseXML refuses what encoding/xml lets pass behind the first element.
func parseXML(b []byte, into any) error {
	d := xml.NewDecoder(strings.NewReader(string(b)))
	d.Strict = true
	return d.Decode(into)
}
