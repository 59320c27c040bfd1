package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// A request to /api/register is JSON Lines, one write each:
//
//	{"id":"88.118.1001/ENG-42","values":[{"index":1,"type":"URL","data":"http://a"}],
//	 "op":"create","overwrite":true,"mint":true,"indexes":[1]}
//
// op is create unless said: create, delete, add, remove, modify, home, unhome. The answer has one line for each:
//
//	{"line":1,"responseCode":1,"id":"88.118.1001/ENG-42"}
//	{"line":2,"responseCode":101,"id":"…","problem":"exists","message":"…"}
//
// A line answered with responseCode 1 is durable. One whose outcome is not told may be sent again.

// registerBatch is how many lines are written at a time.
const registerBatch = 1000

const (
	linesType = "application/x-ndjson"
	// A request by nobody is read no further than this: it can only be told to prove who asks.
	anonymousBulk = 1 << 20
)

type line struct {
	number int
	write  record.Write
	err    error
}

func (s *Server) register(c *call) error {
	if s.Registrar == nil {
		return problem.New(problem.Unsupported, "this node takes no changes", "本节点不接受更改")
	}
	limit := s.Limits.Bulk
	if c.by.IsAnonymous() {
		limit = min(limit, anonymousBulk)
	}
	// Reading a long request may take as long as it goes on.
	rc := http.NewResponseController(c.w)
	body := &patient{r: http.MaxBytesReader(c.w, c.r.Body, limit), more: func() {
		at := time.Now().Add(s.Limits.Request)
		rc.SetReadDeadline(at)
		rc.SetWriteDeadline(at)
	}}
	in := bufio.NewReaderSize(body, 64<<10)
	var batch []line
	var failed error // of a whole call: what follows is not tried
	answered := 0
	flush := func() {
		if failed == nil {
			failed = s.registerBatch(c, batch)
		}
		if failed != nil && answered == 0 {
			return // nothing was acknowledged, the request as a whole failed
		}
		for i := range batch {
			if batch[i].err == nil && failed != nil {
				batch[i].err = failed
			}
			c.out = appendOutcome(c.out, &batch[i], c.lang())
			answered++
		}
		batch = batch[:0]
	}
	c.out = c.out[:0]
	for n := 1; ; n++ {
		text, err := readLine(in, s.Limits.Line)
		if err != nil && err != io.EOF {
			if c.by.IsAnonymous() {
				return problem.New(problem.NeedAuth, "prove who you are before you send this much", "提交大量数据前请先证明身份")
			}
			return tooLong(err, limit, s.Limits.Line, answered)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			w, bad := parseWrite(text)
			batch = append(batch, line{n, w, bad})
			if len(batch) == registerBatch {
				flush()
			}
		}
		if err == io.EOF {
			break
		}
		if failed != nil && answered == 0 {
			return failed
		}
	}
	if len(batch) > 0 {
		if flush(); failed != nil && answered == 0 {
			return failed
		}
	}
	head := c.w.Header()
	head.Set("Content-Type", linesType)
	head.Set("Cache-Control", "no-store")
	head["Content-Length"] = []string{strconv.Itoa(len(c.out))}
	c.w.Write(c.out)
	return nil
}

// tooLong says why a bulk request could not be read to its end. What was answered before is done, and said to be so by
// nothing but its being there: registering it again is harmless with overwrite.
func tooLong(err error, limit int64, line, answered int) error {
	var over *http.MaxBytesError
	if errors.As(err, &over) || errors.Is(err, bufio.ErrTooLong) {
		return problem.New(problem.TooLarge, "the request is over the limit of %d bytes, or a line over %d; send fewer lines at a time (%d lines were taken)",
			"请求超过 %d 字节，或某行超过 %d 字节；请减少每次的行数（已处理 %d 行）", limit, line, answered)
	}
	return problem.Wrap(err, problem.BadRequest, "the request broke off", "请求中断")
}

// patient moves the deadlines on while bytes keep coming.
type patient struct {
	r    io.Reader
	more func()
	n    int
}

func (p *patient) Read(b []byte) (int, error) {
	if p.n <= 0 {
		p.more()
		p.n = 256 << 10
	}
	n, err := p.r.Read(b)
	p.n -= n
	return n, err
}

// readLine is the next line without its end; bufio.ErrTooLong when it has more than limit bytes.
func readLine(in *bufio.Reader, limit int) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return text, err
	}
	long := append([]byte(nil), text...)
	for err == bufio.ErrBufferFull {
		if len(long) > limit {
			return nil, bufio.ErrTooLong
		}
		text, err = in.ReadSlice('\n')
		long = append(long, text...)
	}
	return long, err
}

// registerBatch writes those lines that are well formed; each line's outcome is in its err.
func (s *Server) registerBatch(c *call, batch []line) error {
	writes := make([]record.Write, 0, len(batch))
	for i := range batch {
		if batch[i].err == nil {
			writes = append(writes, batch[i].write)
		}
	}
	if len(writes) == 0 {
		return nil
	}
	rs, err := s.Registrar.Write(c.r.Context(), c.by, writes)
	if err != nil {
		return err
	}
	next := 0
	for i := range batch {
		if batch[i].err == nil {
			batch[i].write.ID, batch[i].err = rs[next].ID, rs[next].Err
			next++
		}
	}
	return nil
}

func appendOutcome(dst []byte, l *line, lang problem.Lang) []byte {
	rc := success
	if l.err != nil {
		rc = codeOf(l.err)
	}
	dst = append(dst, `{"line":`...)
	dst = strconv.AppendInt(dst, int64(l.number), 10)
	dst = append(dst, `,"responseCode":`...)
	dst = strconv.AppendInt(dst, int64(rc), 10)
	if l.write.ID.IsValid() {
		dst = append(dst, `,"id":`...)
		dst = record.AppendJSONString(dst, l.write.ID.String())
	}
	if l.err != nil {
		dst = append(dst, `,"problem":"`...)
		dst = append(dst, problem.KindOf(l.err).String()...)
		dst = append(dst, `","message":`...)
		dst = record.AppendJSONString(dst, problem.Say(l.err, lang))
	}
	return append(dst, '}', '\n')
}

var ops = func() map[string]record.Op {
	m := map[string]record.Op{"": record.Create}
	for op := record.Create; op <= record.Unhome; op++ {
		m[op.String()] = op
	}
	return m
}()

// parseWrite reads one line of a bulk request.
func parseWrite(b []byte) (w record.Write, err error) {
	r := record.NewJSONReader(b)
	name, op := "", ""
	r.Object(func(key string) {
		switch key {
		case "id", "handle":
			name = r.String()
		case "op":
			op = r.String()
		case "values":
			w.Values = r.Values()
		case "indexes":
			r.Array(func() { w.Indexes = append(w.Indexes, uint32(r.Uint(1<<31-1))) })
		case "overwrite":
			w.Overwrite = r.Bool()
		case "mint":
			w.Mint = r.Bool()
		default:
			r.Skip()
		}
	})
	r.End()
	if r.Err() != nil {
		return w, r.Err()
	}
	var ok bool
	if w.Op, ok = ops[op]; !ok {
		return w, problem.New(problem.BadRequest, "the operation %q is not known; create, delete, add, remove, modify, home and unhome are",
			"操作 %q 未知；可用 create、delete、add、remove、modify、home、unhome", op)
	}
	if w.Op == record.Remove && len(w.Indexes) == 0 {
		return w, problem.New(problem.BadRequest, "remove needs indexes; to remove the whole record write delete", "remove 需要 indexes；删除整条记录请用 delete")
	}
	if w.Mint {
		name = strings.TrimSuffix(name, "/")
	}
	w.ID, err = id.Parse(name)
	return w, err
}

func appendWrite(dst []byte, w *record.Write) []byte {
	dst = append(dst, `{"id":`...)
	dst = record.AppendJSONString(dst, spell(w.ID))
	dst = append(dst, `,"op":"`...)
	dst = append(dst, w.Op.String()...)
	dst = append(dst, '"')
	if w.Overwrite {
		dst = append(dst, `,"overwrite":true`...)
	}
	if w.Mint {
		dst = append(dst, `,"mint":true`...)
	}
	if len(w.Indexes) > 0 {
		dst = append(dst, `,"indexes":[`...)
		for i, x := range w.Indexes {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendUint(dst, uint64(x), 10)
		}
		dst = append(dst, ']')
	}
	if w.Values != nil {
		dst = append(dst, `,"values":[`...)
		for i := range w.Values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = record.AppendValueJSON(dst, &w.Values[i])
		}
		dst = append(dst, ']')
	}
	return append(dst, '}', '\n')
}

// spell is a spelling of v that every reader takes for v: its canonical form, with the scheme in front where that
// looks like another scheme's.
func spell(v id.ID) string {
	s := v.String()
	if back, err := id.Parse(s); err != nil || back != v {
		return "hdl:" + s
	}
	return s
}

// The feed is JSON Lines, one change each, oldest first:
//
//	{"seq":7,"time":"2026-11-22T15:10:27.123Z","op":"create","id":"88.118.1001/ENG-42","by":"300:0.NA/88.118.1001",
//	 "digest":"…hex…","values":[…]}
//
// values=block gives "block" instead, the value block in base64, which loses nothing; values=none neither. A record
// that is gone has none.

// FeedWatcher is a Feed that wants to know who follows it and how far they are: the request parameter site=NAME says that
// a site of that name asks, which durably holds every change up to the one that it asks behind.
type FeedWatcher interface {
	// Followed hears of such a request when it begins; left is called when it has been answered or given up. Whether by
	// may speak for the site is the watcher's to decide.
	Followed(by record.Identity, site string, after uint64) (left func())
}

const feedTime = "2006-01-02T15:04:05.000Z"

func (s *Server) feed(c *call) error {
	if s.Feed == nil {
		return problem.New(problem.Unsupported, "this node has no feed", "本节点没有变更订阅")
	}
	after, err := strconv.ParseUint(c.query.Get("after"), 10, 63)
	if err != nil && c.query.Get("after") != "" {
		return problem.New(problem.BadRequest, "the parameter after must be the number of a change", "参数 after 应为变更序号")
	}
	limit, err := c.number("limit", listChunk, 2*listChunk)
	if err != nil {
		return err
	}
	wait, err := c.number("wait", 0, 3600)
	if err != nil {
		return err
	}
	form := c.query.Get("values")
	// With nothing to wait for, a moment is still given to look.
	patience := min(max(time.Duration(wait)*time.Second, 100*time.Millisecond), s.Limits.Wait)
	ctx, cancel := context.WithTimeout(c.r.Context(), patience)
	defer cancel()
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case <-s.stop:
			cancel()
		case <-stopped:
		}
	}()
	http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(patience + s.Limits.Request))
	if w, ok := s.Feed.(FeedWatcher); ok && c.query.Get("site") != "" && !c.by.IsAnonymous() {
		defer w.Followed(c.by, c.query.Get("site"), after)()
	}
	es, err := s.Feed.Changes(ctx, c.by, after, max(limit, 1), form != "none")
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err != nil && c.r.Context().Err() != nil {
		return nil // nobody is there any more
	}
	c.out = c.out[:0]
	for i := range es {
		if c.out = appendEntry(c.out, &es[i], form == "block"); len(c.out) > 8<<20 {
			break // the rest comes with the next request
		}
	}
	head := c.w.Header()
	head.Set("Content-Type", linesType)
	head.Set("Cache-Control", "no-store")
	head["Content-Length"] = []string{strconv.Itoa(len(c.out))}
	c.w.Write(c.out)
	return nil
}

func appendEntry(dst []byte, e *record.Entry, block bool) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, feedTime)
	dst = append(dst, `","op":"`...)
	dst = append(dst, e.Op.String()...)
	dst = append(dst, `","id":`...)
	dst = record.AppendJSONString(dst, spell(e.ID))
	if !e.By.IsZero() {
		dst = append(dst, `,"by":`...)
		dst = record.AppendJSONString(dst, e.By.Ref.String())
	}
	if e.By.Operator {
		dst = append(dst, `,"operator":true`...)
	}
	dst = append(dst, `,"digest":"`...)
	dst = hex.AppendEncode(dst, e.Digest[:])
	dst = append(dst, '"')
	switch {
	case e.Values == nil:
	case block:
		dst = append(dst, `,"block":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, record.AppendBlock(nil, e.Values))
		dst = append(dst, '"')
	default:
		dst = append(dst, `,"values":`...)
		dst = record.AppendValuesJSON(dst, e.Values)
	}
	return append(dst, '}', '\n')
}

func parseEntry(b []byte) (e record.Entry, err error) {
	r := record.NewJSONReader(b)
	bad := func() { r.Fail("no entry of a feed", "不是变更订阅的条目") }
	r.Object(func(key string) {
		switch key {
		case "seq":
			e.Seq = r.Uint(1<<64 - 1)
		case "time":
			t, err := time.Parse(feedTime, r.String())
			if err != nil {
				bad()
			}
			e.Time = t
		case "op":
			op := r.String()
			if e.Op = ops[op]; e.Op == 0 || op == "" {
				bad()
			}
		case "id":
			v, err := id.Parse(r.String())
			if err != nil {
				bad()
			}
			e.ID = v
		case "by":
			ref, err := record.ParseRef(r.String())
			if err != nil {
				bad()
			}
			e.By.Ref = ref
		case "operator":
			e.By.Operator = r.Bool()
		case "digest":
			d, err := hex.DecodeString(r.String())
			if err != nil || len(d) != len(e.Digest) {
				bad()
			}
			copy(e.Digest[:], d)
		case "block":
			raw, err := base64.StdEncoding.DecodeString(r.String())
			vs, rest, err2 := record.DecodeBlock(raw)
			if err != nil || err2 != nil || len(rest) > 0 {
				bad()
			}
			e.Values = append([]record.Value{}, vs...)
		case "values":
			e.Values = r.Values()
		default:
			r.Skip()
		}
	})
	r.End()
	if r.Err() == nil && (e.Op == 0 || !e.ID.IsValid()) {
		bad()
	}
	return e, r.Err()
}
