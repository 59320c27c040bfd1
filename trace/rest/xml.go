package rest

import (
	"io"

	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/epcis/epcisxml"
)

// readXML reads a document of EPCIS 1.2 or 2.0.
func readXML(r io.Reader, lim epcis.Limits) (*epcis.Document, epcis.Faults, error) {
	return epcisxml.Read(r, lim)
}

// appendXML writes a document as XML of the version.
func appendXML(doc *epcis.Document, f *format) ([]byte, error) {
	return epcisxml.Append(nil, doc, f.version, f.Format)
}
