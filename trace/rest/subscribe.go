package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// subscription is a subscription by callback as it rests. Who can read the store can read Token: it signs messages to this subscriber and nothing else.
type subscription struct {
	ID, Query     string
	By            record.Identity
	Dest          string
	Token         string `json:",omitempty"`
	Stream        bool
	Schedule      *Schedule `json:",omitempty"`
	ReportIfEmpty bool
	Initial       time.Time // events recorded before are not reported
	EPC, CBV      string    // the headers it was made with
	Created       time.Time

	Sent     uint64    // events up to this number were delivered, or are not for it
	Target   uint64    // a report up to this number is owed (schedules)
	Owed     bool      // a report is owed
	Tick     time.Time // when the last report was due
	Notified time.Time // when it last took a message
	Size     int       // events in one message: smaller after a 413
	Failures int       // messages refused in a row
	NextTry  time.Time
	Trouble  string // why the last message was refused
}

var subscriptions = table.Table[subscription]{Name: "epcis.subscription", Key: func(s subscription) []byte { return []byte(s.ID) },
	Indexes: []table.Index[subscription]{
		{Name: "query", Values: func(s subscription) [][]byte { return [][]byte{[]byte(s.Query)} }},
		{Name: "by", Values: func(s subscription) [][]byte { return [][]byte{ownerKey(s.By)} }},
	}}

// minRecordTime is the record time before which nothing is reported any more.
func (s *subscription) minRecordTime() time.Time {
	if s.Tick.After(s.Initial) {
		return s.Tick.UTC()
	}
	if s.Stream && s.Notified.After(s.Initial) {
		return s.Notified.UTC()
	}
	return s.Initial.UTC()
}

// subscriptionView is a subscription as it is answered: without its secret.
type subscriptionView struct {
	ID            string     `json:"subscriptionID"`
	Query         string     `json:"queryName"`
	Dest          string     `json:"dest"`
	Stream        bool       `json:"stream,omitempty"`
	Schedule      *Schedule  `json:"schedule,omitempty"`
	ReportIfEmpty bool       `json:"reportIfEmpty,omitempty"`
	Signed        bool       `json:"signed"` // messages carry GS1-Signature
	Initial       time.Time  `json:"initialRecordTime"`
	Min           time.Time  `json:"minRecordTime"`
	EPC           string     `json:"epcFormat"`
	Created       time.Time  `json:"createdAt"`
	Notified      *time.Time `json:"lastNotifiedAt,omitempty"`
	Failures      int        `json:"failures,omitempty"` // messages in a row that the receiver did not take
	NextTry       *time.Time `json:"nextTryAt,omitempty"`
	Trouble       string     `json:"lastError,omitempty"`
}

func (s *subscription) view() subscriptionView {
	v := subscriptionView{ID: s.ID, Query: s.Query, Dest: s.Dest, Stream: s.Stream, Schedule: s.Schedule, ReportIfEmpty: s.ReportIfEmpty, Signed: s.Token != "",
		Initial: s.Initial.UTC(), Min: s.minRecordTime(), EPC: or(s.EPC, "Always_GS1_Digital_Link"), Created: s.Created, Failures: s.Failures, Trouble: s.Trouble}
	if !s.Notified.IsZero() {
		v.Notified = &s.Notified
	}
	if s.Failures > 0 && !s.NextTry.IsZero() {
		v.NextTry = &s.NextTry
	}
	return v
}

// subscriptionRequest is the body of POST /queries/{queryName}/subscriptions.
type subscriptionRequest struct {
	Dest           string          `json:"dest"`
	SignatureToken string          `json:"signatureToken"`
	Secret         string          `json:"secret"` // another name for it in the interface's text
	Stream         *bool           `json:"stream"`
	Schedule       json.RawMessage `json:"schedule"`
	ReportIfEmpty  bool            `json:"reportIfEmpty"`
	Initial        *time.Time      `json:"initialRecordTime"`
}

// destination checks a callback address as far as its text goes; whether it may be reached, Send decides each time.
func destination(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > 2048 || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fault(http.StatusBadRequest, "ValidationException", problem.New(problem.BadRequest,
			"dest is not the address of a receiver: give an http or https URL of at most 2048 bytes, without a password and without a #",
			"dest 不是接收方地址：请给出不超过 2048 字节、不含密码与 # 的 http 或 https 网址"))
	}
	return nil
}

// subscribe is POST /queries/{queryName}/subscriptions.
func (c *call) subscribe(name string) error {
	if err := c.known(); err != nil {
		return err
	}
	if _, err := c.query(name); err != nil {
		return err
	}
	if err := c.accept(mediaJSON, mediaLD); err != nil {
		return err
	}
	if c.s.cfg.Send == nil {
		return problem.New(problem.Unsupported, "this repository sends no messages to callback addresses: open a WebSocket on %s", "本存储库不向回调地址发送消息：请在 %s 上打开 WebSocket", c.s.url("queries", name, "events"))
	}
	raw, _, err := c.body(c.s.lim.QueryBytes, "QueryTooComplexException", false)
	if err != nil {
		return err
	}
	var in subscriptionRequest
	if err := readJSON(raw, &in); err != nil {
		return fault(http.StatusBadRequest, "ValidationException", err)
	}
	if err := destination(in.Dest); err != nil {
		return err
	}
	token := or(in.SignatureToken, in.Secret)
	if len(token) > 1024 {
		return badBody("the signatureToken has more than 1024 bytes: shorten it", "signatureToken 超过 1024 字节：请缩短")
	}
	sub := subscription{Query: name, By: c.who, Dest: in.Dest, Token: token, ReportIfEmpty: in.ReportIfEmpty,
		EPC: c.r.Header.Get("GS1-EPC-Format"), CBV: c.r.Header.Get("GS1-CBV-XML-Format"), Created: c.s.cfg.Now().UTC().Truncate(time.Millisecond)} // as record times are
	if len(in.Schedule) > 0 && string(in.Schedule) != "null" {
		sub.Schedule = new(Schedule)
		if err := json.Unmarshal(in.Schedule, sub.Schedule); err != nil {
			return fault(http.StatusBadRequest, "SubscriptionControlsException", problem.Wrap(err, problem.BadRequest, "the schedule cannot be read", "计划无法读取"))
		}
	}
	if in.Stream != nil {
		sub.Stream = *in.Stream
	}
	if err := checkControls(sub.Stream, in.Stream != nil && !*in.Stream, sub.Schedule, c.s.cfg.Zone); err != nil {
		return err
	}
	if sub.Initial = sub.Created; in.Initial != nil {
		sub.Initial = *in.Initial
	}
	sub.Tick = sub.Created
	n := 0
	if err := subscriptions.By(c.ctx, c.s.cfg.Store, "by", table.Is(ownerKey(c.who)), func(subscription) error { n++; return nil }); err != nil {
		return err
	}
	if n >= c.s.lim.Subscriptions {
		return controlsError("you have %d subscriptions already: delete one that is no longer used", "您已有 %d 个订阅：请先删除不再使用的订阅", n)
	}
	if sub.Sent, err = c.s.before(c.ctx, sub.Initial); err != nil {
		return err
	}
	if sub.ID, err = c.s.newID(); err != nil {
		return err
	}
	if err := subscriptions.Put(c.ctx, c.s.cfg.Store, sub); err != nil {
		return err
	}
	if _, err := c.query(name); err != nil { // deleted meanwhile
		subscriptions.Delete(c.ctx, c.s.cfg.Store, []byte(sub.ID))
		return err
	}
	poke(c.s.changed)
	body, err := json.Marshal(sub.view())
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.s.url("queries", name, "subscriptions", sub.ID))
	return c.write(http.StatusCreated, body)
}

// checkControls wants exactly one of stream and schedule.
func checkControls(stream, refused bool, schedule *Schedule, zone *time.Location) error {
	switch {
	case stream && schedule != nil:
		return controlsError("both stream and a schedule are given: choose one", "同时给出了 stream 与计划：请选择其一")
	case refused && schedule == nil, !stream && schedule == nil:
		return controlsError("nothing says when to report: set stream to true, or give a schedule", "未说明何时通知：请将 stream 设为 true，或给出计划")
	case schedule != nil:
		_, err := schedule.parse(zone)
		return err
	}
	return nil
}

// subscription reads a subscription that the caller may see: its own, or an administrator any.
func (c *call) subscription(query, id string) (subscription, error) {
	sub, err := subscriptions.Get(c.ctx, c.s.cfg.Store, []byte(id))
	if errors.Is(err, store.ErrNotFound) || err == nil && (sub.Query != query || !c.mine(sub.By) && !c.admin()) {
		return sub, problem.New(problem.NotFound, "you have no subscription %s to the query %s", "您没有对查询 %[2]s 的订阅 %[1]s", id, query)
	}
	return sub, err
}

// listSubscriptions is GET /queries/{queryName}/subscriptions: the caller's own.
func (c *call) listSubscriptions(name string) error {
	if err := c.accept(mediaJSON, mediaLD); err != nil {
		return err
	}
	if _, err := c.query(name); err != nil {
		return err
	}
	out, admin := []subscriptionView{}, c.admin()
	err := page(c, "subscriptions "+name, func(span store.Span, visit func(key string) error) error {
		return subscriptions.By(c.ctx, c.s.cfg.Store, "query", table.Is([]byte(name)), func(sub subscription) error {
			if !c.mine(sub.By) && !admin || strings.Compare(sub.ID+"\x00", string(span.From)) <= 0 {
				return nil
			}
			if err := visit(sub.ID); err != nil {
				return err
			}
			out = append(out, sub.view())
			return nil
		})
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

// showSubscription is GET /queries/{queryName}/subscriptions/{subscriptionID}.
func (c *call) showSubscription(query, id string) error {
	if err := c.accept(mediaJSON, mediaLD); err != nil {
		return err
	}
	sub, err := c.subscription(query, id)
	if err != nil {
		return err
	}
	body, err := json.Marshal(sub.view())
	if err != nil {
		return err
	}
	return c.tagged(body)
}

// unsubscribe is DELETE /queries/{queryName}/subscriptions/{subscriptionID}.
func (c *call) unsubscribe(query, id string) error {
	if _, err := c.subscription(query, id); err != nil {
		return err
	}
	if err := subscriptions.Delete(c.ctx, c.s.cfg.Store, []byte(id)); err != nil {
		return err
	}
	poke(c.s.changed)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
