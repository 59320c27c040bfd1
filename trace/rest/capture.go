package rest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
)

// What a capture does with the good events of a document that has bad ones (GS1-Capture-Error-Behaviour).
const (
	Rollback = "rollback" // captures none
	Proceed  = "proceed"  // captures the good ones
)

// Job is a capture job, as GET /capture/{captureID} tells of it.
type Job struct {
	ID         string     `json:"captureID"`
	Created    time.Time  `json:"createdAt"`
	Finished   *time.Time `json:"finishedAt,omitempty"`
	Running    bool       `json:"running"`
	Success    bool       `json:"success"`
	Behaviour  string     `json:"captureErrorBehaviour"`
	Errors     []place    `json:"errors"`
	Total      int        `json:"total"`                // events in the document
	Done       int        `json:"done"`                 // events that are decided: captured, known before or refused
	Captured   int        `json:"captured"`             // new events
	Duplicates int        `json:"duplicates"`           // events that were captured before
	Refused    int        `json:"refused"`              // events with an error
	MoreErrors int        `json:"moreErrors,omitempty"` // beyond those listed
}

// jobRow is a job as it rests. The body of one that waits lies beside it, in parts, so that a restart takes it up again.
type jobRow struct {
	Job
	By    record.Identity
	XML   bool
	Parts int // of the body; 0 when it is no longer needed
}

// jobs by who made them, in the order of their making.
var jobs = table.Table[jobRow]{Name: "epcis.job", Key: func(j jobRow) []byte { return []byte(j.ID) },
	Indexes: []table.Index[jobRow]{
		{Name: "by", Values: func(j jobRow) [][]byte { return [][]byte{append(ownerKey(j.By), j.ID...)} }},
		{Name: "waits", Values: func(j jobRow) [][]byte {
			if j.Running {
				return [][]byte{{1}}
			}
			return nil
		}},
	}}

// jobPart is one part of a waiting body.
type jobPart struct {
	Key  []byte
	Body []byte
}

var jobParts = table.Table[jobPart]{Name: "epcis.job.part", Key: func(p jobPart) []byte { return p.Key },
	Encode: func(p jobPart) ([]byte, error) {
		return append(append([]byte{byte(len(p.Key))}, p.Key...), p.Body...), nil
	},
	Decode: func(b []byte) (jobPart, error) {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return jobPart{}, errors.New("a part of a capture is too short")
		}
		n := 1 + int(b[0])
		return jobPart{slices.Clone(b[1:n]), slices.Clone(b[n:])}, nil
	}}

const partSize = 8 << 20

func partKey(id string, n int) []byte { return fmt.Appendf(nil, "%s/%06d", id, n) }

// ownerKey begins the index entries of what somebody has.
func ownerKey(who record.Identity) []byte {
	if who.Operator {
		return []byte("operator\x00")
	}
	return append(strconv.AppendUint([]byte("@"), uint64(who.Index), 10), (":" + who.Name + "\x00")...)
}

// newID makes a name that sorts by time.
func (s *Server) newID() (string, error) {
	var b [10]byte
	if _, err := io.ReadFull(s.cfg.Rand, b[:]); err != nil {
		return "", problem.Wrap(err, problem.Internal, "no random numbers can be had: check the machine's source of them", "无法取得随机数：请检查本机的随机数来源")
	}
	return fmt.Sprintf("%012x", s.cfg.Now().UnixMilli()) + hex.EncodeToString(b[:]), nil
}

// read reads a document with its faults; those of the whole document have the event -1.
func (s *Server) read(text []byte, xml bool) (*batch, error) {
	return readBatch(text, xml, s.lim)
}

// batch is a document that was read: its good events, where in the document they stand, and what is wrong with the others.
type batch struct {
	doc    *epcis.Document
	total  int
	places []int // of doc.Events
	faults epcis.Faults
}

// whole are the faults of the document itself.
func (b *batch) whole() (out epcis.Faults) {
	for _, f := range b.faults {
		if f.Event < 0 {
			out = append(out, f)
		}
	}
	return out
}

// invalid is the refusal of a document by its faults.
func invalid(faults epcis.Faults) error {
	f := faults[0]
	where, where2 := f.Path, f.Path
	if f.Line > 0 {
		where, where2 = fmt.Sprintf("%s, line %d", where, f.Line), fmt.Sprintf("%s，第 %d 行", where2, f.Line)
	}
	if f.Event >= 0 {
		where, where2 = fmt.Sprintf("event %d, %s", f.Event, where), fmt.Sprintf("事件 %d，%s", f.Event, where2)
	}
	e := &problem.Error{Kind: problem.BadRequest,
		EN: fmt.Sprintf("%d faults, nothing was captured; the first: %s (%s)", len(faults), f.EN, where),
		ZH: fmt.Sprintf("共 %d 处错误，未采集任何事件；第一处：%s（%s）", len(faults), f.ZH, where2)}
	if len(faults) == 1 {
		e.EN = fmt.Sprintf("nothing was captured: %s (%s)", f.EN, where)
		e.ZH = fmt.Sprintf("未采集任何事件：%s（%s）", f.ZH, where2)
	}
	return &exception{status: http.StatusBadRequest, name: "ValidationException", err: e, faults: faults}
}

// capture is POST /capture.
func capture(c *call) error {
	if err := c.accept(mediaJSON, mediaLD, mediaXML); err != nil {
		return err
	}
	behaviour := or(c.r.Header.Get("GS1-Capture-Error-Behaviour"), Rollback)
	if behaviour != Rollback && behaviour != Proceed {
		return badBody("the header GS1-Capture-Error-Behaviour: %q is neither rollback nor proceed", "标头 GS1-Capture-Error-Behaviour: %q 既不是 rollback 也不是 proceed", behaviour)
	}
	text, xml, err := c.body(c.s.lim.CaptureBytes, "CaptureLimitExceededException", true)
	if err != nil {
		return err
	}
	in, err := c.s.read(text, xml)
	if err != nil {
		return err
	}
	if faults := in.whole(); len(faults) > 0 {
		return invalid(faults)
	}
	if behaviour == Rollback && len(in.faults) > 0 {
		return invalid(in.faults)
	}
	id, err := c.s.newID()
	if err != nil {
		return err
	}
	row := jobRow{Job: Job{ID: id, Created: c.s.cfg.Now().UTC(), Running: true, Success: true, Behaviour: behaviour, Total: in.total, Errors: []place{}},
		By: c.who, XML: xml}
	if in.total <= c.s.lim.Immediate {
		// At once: what the answer promises is durable before it is given.
		if err := c.s.work(c.ctx, &row, in, nil); err != nil {
			return err
		}
		if err := jobs.Put(c.ctx, c.s.cfg.Store, row); err != nil {
			return err
		}
	} else if err := c.s.enqueue(c.ctx, &row, text, in); err != nil {
		return err
	}
	head := c.w.Header()
	head.Set("Location", c.s.url("capture", id))
	if ext := extensions(in.doc.Events); ext != "" {
		head.Set("GS1-Extensions", ext)
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// enqueue keeps a body until Run captures it.
func (s *Server) enqueue(ctx context.Context, row *jobRow, text []byte, in *batch) error {
	n := 0
	if err := jobs.By(ctx, s.cfg.Store, "waits", table.Is([]byte{1}), func(jobRow) error { n++; return nil }); err != nil {
		return err
	}
	if n >= s.lim.Jobs {
		return problem.New(problem.Busy, "%d captures wait already: try again in a moment", "已有 %d 个采集任务等待处理：请稍后重试", n)
	}
	// The parts come first, so that a job that can be seen has its body.
	for part := range slices.Chunk(text, partSize) {
		if err := jobParts.Put(ctx, s.cfg.Store, jobPart{partKey(row.ID, row.Parts), part}); err != nil {
			return err
		}
		row.Parts++
	}
	if err := jobs.Put(ctx, s.cfg.Store, *row); err != nil {
		return err
	}
	s.mu.Lock()
	if s.ahead == nil {
		s.ahead = map[string]*batch{}
	}
	if len(s.ahead) < 4 {
		s.ahead[row.ID] = in // spares reading it again, when it comes soon
	}
	s.mu.Unlock()
	poke(s.jobs)
	return nil
}

// runJobs captures what waits, the oldest first.
func (s *Server) runJobs(ctx context.Context) {
	for ctx.Err() == nil {
		row, found := jobRow{}, false
		err := jobs.By(ctx, s.cfg.Store, "waits", table.Is([]byte{1}), func(j jobRow) error {
			row, found = j, true
			return store.Stop
		})
		if err == nil && found {
			if err = s.runJob(ctx, &row); err == nil {
				continue
			}
		}
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("a capture job could not go on", "job", row.ID, "err", err)
		}
		wait := time.NewTimer(s.lim.RetryMax)
		if err != nil {
			wait.Reset(s.lim.RetryMin)
		}
		select {
		case <-ctx.Done():
		case <-s.jobs:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// runJob captures one. An error means that it is to be tried again.
func (s *Server) runJob(ctx context.Context, row *jobRow) error {
	// Taken up again, it is done from the start: what was captured is found to be so.
	row.Done, row.Captured, row.Duplicates, row.Refused, row.MoreErrors = 0, 0, 0, 0, 0
	row.Success, row.Errors = true, []place{}
	s.mu.Lock()
	in := s.ahead[row.ID]
	delete(s.ahead, row.ID)
	s.mu.Unlock()
	if in == nil {
		var text []byte
		for n := range row.Parts {
			p, err := jobParts.Get(ctx, s.cfg.Store, partKey(row.ID, n))
			if err != nil {
				return err
			}
			text = append(text, p.Body...)
		}
		var err error
		if in, err = s.read(text, row.XML); err != nil {
			// It was read when it came; a newer program judges it otherwise.
			in = &batch{doc: &epcis.Document{}, total: row.Total}
			row.fail(s.lim, -1, "", err)
		}
	}
	parts := row.Parts
	err := s.work(ctx, row, in, func() error {
		return jobs.Put(ctx, s.cfg.Store, *row)
	})
	if err != nil {
		return err
	}
	row.Parts = 0
	if err := jobs.Put(ctx, s.cfg.Store, *row); err != nil {
		return err
	}
	for n := range parts {
		if err := jobParts.Delete(ctx, s.cfg.Store, partKey(row.ID, n)); err != nil {
			return err
		}
	}
	return nil
}

// fail notes an error of a job.
func (j *jobRow) fail(lim Limits, event int, id string, err error) {
	j.Success = false
	if len(j.Errors) >= lim.JobErrors {
		j.MoreErrors++
		return
	}
	e := classify(captureError(err))
	p := place{Type: typeOf(e.name), Title: titleOf(e), Status: e.status, ID: id,
		Detail: problem.Say(e.err, problem.English), ZH: problem.Say(e.err, problem.Chinese)}
	if event >= 0 {
		p.Event = &event
	}
	j.Errors = append(j.Errors, p)
}

// captureError gives an error of a capture its name.
func captureError(err error) error {
	if problem.Is(err, problem.TooLarge) {
		return fault(http.StatusRequestEntityTooLarge, "CaptureLimitExceededException", err)
	}
	return err
}

// conflicts notes which events of a batch that was refused have the name of another one; none found is no answer.
func (s *Server) conflicts(ctx context.Context, row *jobRow, in *batch, at int, events []epcis.Event) (found bool) {
	here := map[string]string{}
	for i := range events {
		e := &events[i]
		if e.ID == "" || e.Error != nil {
			continue
		}
		hash := epcis.Hash(e)
		other, taken := here[e.ID]
		taken = taken && other != hash
		here[e.ID] = hash
		if !taken {
			versions, err := s.cfg.Events.Versions(ctx, e.ID)
			taken = err == nil && len(versions) > 0 && !slices.ContainsFunc(versions, func(r history.Recorded) bool { return r.Hash == hash })
		}
		if taken {
			found = true
			row.fail(s.lim, in.places[at+i], e.ID, problem.New(problem.Exists, "another event with other contents has the ID %s: give this one its own, or an errorDeclaration",
				"标识 %s 已被内容不同的另一事件使用：请为此事件另定标识，或附上 errorDeclaration", e.ID))
		}
	}
	return found
}

// transient reports whether trying again may help.
func transient(err error) bool {
	switch problem.KindOf(err) {
	case problem.Busy, problem.Canceled, problem.Conflict, problem.Unreachable:
		return true
	}
	return errors.Is(err, store.ErrUncertain) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// work captures a document and fills the job. progress is called as it goes on. An error means that nothing is decided: try again.
func (s *Server) work(ctx context.Context, row *jobRow, in *batch, progress func() error) error {
	for _, f := range in.faults {
		row.Success = false
		if len(row.Errors) >= s.lim.JobErrors {
			row.MoreErrors++
			continue
		}
		p := placeOf(f, problem.English)
		p.ZH = f.ZH
		row.Errors = append(row.Errors, p)
	}
	row.Refused = in.total - len(in.doc.Events)
	row.Done = row.Refused
	if len(in.doc.Vocabularies) > 0 {
		if keeper, ok := s.cfg.Events.(interface {
			PutVocabulary(ctx context.Context, by history.Ref, v []epcis.Vocabulary) error
		}); ok {
			if err := keeper.PutVocabulary(ctx, row.By.Ref, in.doc.Vocabularies); err != nil {
				if transient(err) {
					return err
				}
				row.fail(s.lim, -1, "", err)
			}
		}
	}
	size := len(in.doc.Events)
	if row.Behaviour == Proceed {
		size = min(size, s.lim.Chunk)
	}
	for at := 0; at < len(in.doc.Events) && (row.Success || row.Behaviour == Proceed); at += size {
		events := in.doc.Events[at:min(at+size, len(in.doc.Events))]
		got, err := s.captureAll(ctx, row, events)
		if err != nil && transient(err) {
			return err
		}
		if err != nil {
			if !problem.Is(err, problem.Exists) || !s.conflicts(ctx, row, in, at, events) {
				row.fail(s.lim, -1, "", err)
			}
			row.Refused += len(events)
			row.Done += len(events)
			if problem.Is(err, problem.Full) || problem.Is(err, problem.ReadOnly) {
				break
			}
			continue
		}
		for i, g := range got {
			switch {
			case g.Err != nil:
				row.fail(s.lim, in.places[at+i], or(g.ID, events[i].ID), g.Err)
				row.Refused++
			case g.Duplicate:
				row.Duplicates++
			default:
				row.Captured++
			}
		}
		row.Done += len(events)
		if progress != nil && at+size < len(in.doc.Events) {
			if err := progress(); err != nil {
				return err
			}
		}
	}
	now := s.cfg.Now().UTC()
	row.Running, row.Finished, row.Done = false, &now, row.Total
	row.Refused = row.Total - row.Captured - row.Duplicates
	return nil
}

// captureAll captures events together. After an uncertain end it tries again: what was captured is then known.
func (s *Server) captureAll(ctx context.Context, row *jobRow, events []epcis.Event) (got []history.Captured, err error) {
	for range 3 {
		if row.Behaviour == Proceed {
			got, err = s.cfg.Events.CaptureEach(ctx, row.By.Ref, events)
		} else {
			got, err = s.cfg.Events.Capture(ctx, row.By.Ref, events)
		}
		if !errors.Is(err, store.ErrUncertain) {
			break
		}
	}
	return got, err
}

// job reads a job that the caller may see: its own, or an administrator any.
func (c *call) job(id string) (jobRow, error) {
	row, err := jobs.Get(c.ctx, c.s.cfg.Store, []byte(id))
	if errors.Is(err, store.ErrNotFound) || err == nil && !c.mine(row.By) && !c.admin() {
		return row, problem.New(problem.NotFound, "you have no capture job %s: jobs are forgotten after %v", "您没有采集任务 %s：任务在 %v 后清除", id, c.s.lim.JobLife)
	}
	return row, err
}

// showJob is GET /capture/{captureID}.
func (c *call) showJob(id string) error {
	if err := c.accept(mediaJSON, mediaLD, mediaXML); err != nil {
		return err
	}
	row, err := c.job(id)
	if err != nil {
		return err
	}
	if row.Running {
		c.w.Header().Set("Retry-After", "1")
	}
	if c.out.xml() {
		return c.tagged(appendJobXML(nil, &row.Job))
	}
	body, err := json.Marshal(&row.Job)
	if err != nil {
		return err
	}
	return c.tagged(body)
}

func appendJobXML(dst []byte, j *Job) []byte {
	dst = fmt.Appendf(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<epcis:EPCISCaptureJob xmlns:epcis="%s" captureID="%s" running="%t" success="%t">`, xmlSpace, escapeXML(j.ID), j.Running, j.Success)
	dst = element(dst, "createdAt", j.Created.Format(time.RFC3339Nano))
	if j.Finished != nil {
		dst = element(dst, "finishedAt", j.Finished.Format(time.RFC3339Nano))
	}
	dst = element(dst, "captureErrorBehaviour", j.Behaviour)
	dst = append(dst, "<errors>"...)
	for i := range j.Errors {
		dst = appendPlaceXML(dst, "error", &j.Errors[i])
	}
	dst = append(dst, "</errors>"...)
	for _, n := range []struct {
		name string
		n    int
	}{{"total", j.Total}, {"done", j.Done}, {"captured", j.Captured}, {"duplicates", j.Duplicates}, {"refused", j.Refused}, {"moreErrors", j.MoreErrors}} {
		dst = element(dst, n.name, strconv.Itoa(n.n))
	}
	return append(dst, "</epcis:EPCISCaptureJob>"...)
}

// listJobs is GET /capture: the caller's jobs, the oldest first.
func listJobs(c *call) error {
	if err := c.accept(mediaJSON, mediaLD); err != nil {
		return err
	}
	out := []Job{}
	everything := c.admin()
	err := page(c, "capture", func(span store.Span, visit func(key string) error) error {
		each := func(j jobRow) error {
			if err := visit(j.ID); err != nil {
				return err
			}
			out = append(out, j.Job)
			return nil
		}
		if everything {
			return jobs.Range(c.ctx, c.s.cfg.Store, span, each)
		}
		own := ownerKey(c.who)
		under := store.Under(own)
		if span.From != nil {
			under.From = append(slices.Clone(own), span.From...)
		}
		return jobs.By(c.ctx, c.s.cfg.Store, "by", under, each)
	})
	if err != nil {
		return err
	}
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return c.tagged(body)
}

// captureOne is POST /events: one event, captured before the answer.
func captureOne(c *call) error {
	if err := c.accept(mediaJSON, mediaLD, mediaXML); err != nil {
		return err
	}
	text, xml, err := c.body(c.s.lim.CaptureBytes, "CaptureLimitExceededException", true)
	if err != nil {
		return err
	}
	in, err := c.s.read(text, xml)
	if err != nil {
		return err
	}
	if len(in.faults) > 0 {
		return invalid(in.faults)
	}
	if in.total != 1 || len(in.doc.Events) != 1 {
		return badBody("the body has %d events, and one is captured here: send several to POST %s", "请求正文含 %d 个事件，而此处只采集一个：多个事件请发送至 POST %s", in.total, c.s.url("capture"))
	}
	row := jobRow{Job: Job{Behaviour: Rollback}, By: c.who}
	got, err := c.s.captureAll(c.ctx, &row, in.doc.Events)
	if err != nil {
		return captureError(err)
	}
	e := &in.doc.Events[0]
	if got[0].Duplicate {
		if known, err := c.s.cfg.Events.Event(c.ctx, got[0].ID); err == nil && known != nil {
			e = known
		}
	}
	e.ID = got[0].ID
	head := c.w.Header()
	head.Set("Location", c.s.url("events", got[0].ID))
	if ext := extensions(in.doc.Events); ext != "" {
		head.Set("GS1-Extensions", ext)
	}
	c.formats()
	if !c.out.xml() {
		return c.write(http.StatusCreated, epcis.AppendEventJSON(nil, e, c.out.Format))
	}
	doc := &epcis.Document{SchemaVersion: c.out.version, Created: c.s.cfg.Now().UTC().Truncate(time.Millisecond), Events: []epcis.Event{*e}}
	body, err := appendXML(doc, &c.out)
	if err != nil {
		return err
	}
	return c.write(http.StatusCreated, body)
}

// sweepJobs forgets jobs that are over long ago, and parts that no job has.
func (s *Server) sweepJobs(ctx context.Context) error {
	before, old := s.cfg.Now().Add(-s.lim.JobLife), []string(nil)
	err := jobs.Range(ctx, s.cfg.Store, all, func(j jobRow) error {
		if j.Finished != nil && j.Finished.Before(before) {
			old = append(old, j.ID)
		}
		return nil
	})
	for _, id := range old {
		if err == nil {
			err = jobs.Delete(ctx, s.cfg.Store, []byte(id))
		}
	}
	return err
}

// runCleaning removes what is over, once an hour.
func (s *Server) runCleaning(ctx context.Context) {
	for {
		for _, sweep := range []func(context.Context) error{s.sweepTokens, s.sweepJobs} {
			if err := sweep(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Error("what is over could not be removed", "err", err)
			}
		}
		if !sleep(ctx, time.Hour) {
			return
		}
	}
}
