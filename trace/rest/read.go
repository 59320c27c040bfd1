package rest

import (
	"bytes"
	"net/http"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// readBatch reads a document and validates each event of it.
func readBatch(text []byte, xml bool, lim Limits) (*batch, error) {
	bounds := epcis.Limits{Bytes: 2*lim.CaptureBytes + 1, Events: lim.CaptureEvents}
	read := epcis.ReadJSON
	if xml {
		read = readXML
	}
	doc, faults, err := read(bytes.NewReader(text), bounds)
	if err != nil {
		if problem.Is(err, problem.TooLarge) {
			return nil, fault(http.StatusRequestEntityTooLarge, "CaptureLimitExceededException", err)
		}
		return nil, fault(http.StatusBadRequest, "ValidationException", err)
	}
	b := judge(doc, faults)
	if b.total > lim.CaptureEvents {
		return nil, fault(http.StatusRequestEntityTooLarge, "CaptureLimitExceededException", problem.New(problem.TooLarge,
			"the document has %d events, more than the %d that are taken at once: capture them in parts", "文档含 %d 个事件，超过一次采集的上限 %d：请分批采集", b.total, lim.CaptureEvents))
	}
	return b, nil
}

// judge takes the events apart that have faults.
func judge(doc *epcis.Document, faults epcis.Faults) *batch {
	b := &batch{doc: doc, faults: faults}
	wrong := map[int]bool{}
	for _, f := range faults {
		if f.Event >= 0 {
			wrong[f.Event] = true
		}
	}
	b.total = len(doc.Events) + len(wrong)
	at := 0
	for range doc.Events {
		for wrong[at] {
			at++
		}
		b.places = append(b.places, at)
		at++
	}
	return b
}
