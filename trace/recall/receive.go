package recall

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/share"
)

// Paths below the host of an event service.
const (
	NoticesPath          = "/trace/notices"
	AcknowledgementsPath = "/trace/acknowledgements"
	RecallsPath          = "/trace/recalls"
)

// Acknowledgement is what a holder sends back: its answers that the owner may not have.
type Acknowledgement struct {
	Recall  string   `json:"recall"`
	Answers []Answer `json:"answers"`
}

// Serves reports whether Handler answers at a path.
func Serves(path string) bool {
	return path == NoticesPath || path == AcknowledgementsPath || path == RecallsPath
}

// Handler takes what other nodes send. identify says who makes a request; only the keys of prefixes send here.
func (d *Desk) Handler(identify func(*http.Request) (record.Identity, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := d.serve(w, r, identify)
		if err == nil {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"received":true}`)
			return
		}
		status := http.StatusInternalServerError
		switch problem.KindOf(err) {
		case problem.BadRequest, problem.BadValue, problem.BadID, problem.BadCredential:
			status = http.StatusBadRequest
		case problem.NeedAuth, problem.AuthFailed, problem.AuthTimeout, problem.AuthError:
			status = http.StatusUnauthorized
		case problem.Forbidden:
			status = http.StatusForbidden
		case problem.NotFound:
			status = http.StatusNotFound
		case problem.Unsupported:
			status = http.StatusMethodNotAllowed
		case problem.TooLarge:
			status = http.StatusRequestEntityTooLarge
		case problem.Full, problem.Busy, problem.ReadOnly:
			status = http.StatusServiceUnavailable
		default:
			d.cfg.Log.Error("what another node sent could not be taken", "path", r.URL.Path, "err", err)
			err = problem.New(problem.Internal, "it could not be taken now; send it again later", "暂时无法受理；请稍后重发")
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		w.Write(mustJSON(map[string]any{"type": "urn:fujie:problem:" + problem.KindOf(err).String(), "status": status, "kind": problem.KindOf(err).String(),
			"detail": problem.Say(err, problem.ParseLang(r.Header.Get("Accept-Language")))}))
	})
}

func (d *Desk) serve(w http.ResponseWriter, r *http.Request, identify func(*http.Request) (record.Identity, error)) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return problem.New(problem.Unsupported, "only POST is known here", "此处只支持 POST")
	}
	who, err := identify(r)
	if err != nil {
		return err
	}
	from := share.Prefix(who)
	if who.IsAnonymous() || !strings.HasPrefix(handle.Fold(who.Ref.Name), "0.NA/") {
		return problem.New(problem.NeedAuth, "only the key of a prefix sends here: sign the request with yours", "此处只受理前缀密钥的请求：请以您的前缀密钥签名")
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return problem.New(problem.TooLarge, "it is over %d bytes", "内容超过 %d 字节", maxBody)
		}
		return problem.Wrap(err, problem.BadRequest, "it broke off", "内容中断")
	}
	bad := func(err error) error {
		return problem.Wrap(err, problem.BadRequest, "it is not the JSON that is expected here", "内容不是此处所需的 JSON")
	}
	switch r.URL.Path {
	case NoticesPath:
		var n Notice
		if err := json.Unmarshal(b, &n); err != nil {
			return bad(err)
		}
		return d.receive(r.Context(), from, n)
	case AcknowledgementsPath:
		var a Acknowledgement
		if err := json.Unmarshal(b, &a); err != nil {
			return bad(err)
		}
		return d.acknowledge(r.Context(), from, a)
	case RecallsPath:
		var c Copy
		if err := json.Unmarshal(b, &c); err != nil {
			return bad(err)
		}
		return d.receiveCopy(r.Context(), from, c)
	}
	return problem.New(problem.NotFound, "there is nothing here", "此处没有内容")
}

// ownRecall checks that a recall belongs to who speaks of it.
func ownRecall(name, from string) (id.ID, error) {
	v, err := id.ParseHandle(name)
	if err != nil || len(name) > handle.MaxLen || !strings.HasPrefix(v.Suffix(), "RECALL_") || !handle.Equal(v.Prefix(), from) {
		return v, problem.New(problem.Forbidden, "%q is no recall of %s, who sends it", "%q 不是发送者 %s 的召回", clip(name), from)
	}
	return v, nil
}

// receive takes a notice. One that is here already, or an older one, changes nothing.
func (d *Desk) receive(ctx context.Context, from string, n Notice) error {
	if _, err := ownRecall(n.Recall, from); err != nil {
		return err
	}
	o := Order{Title: n.Title, Reason: n.Reason, Instructions: n.Instructions, Contact: n.Contact, Things: n.Things}
	if err := o.check(); err != nil {
		return err
	}
	if len(n.Items) > maxItems || n.Count < 0 || n.Serial < 1 {
		return problem.New(problem.BadValue, "the notice has over %d items, or numbers that make no sense", "通知的条目超过 %d 个，或数值不成立", maxItems)
	}
	n.Owner, n.Received = from, d.cfg.Now().UTC()
	n.Answers, n.Delivered, n.Tries, n.Error = nil, 0, 0, ""
	v, err := d.notices.ID(hashed(n.Recall))
	if err != nil {
		return err
	}
	if _, err := d.notices.Get(v); problem.Is(err, problem.NotFound) {
		if d.notices.Len() >= maxNotices {
			return problem.New(problem.Full, "there are %d notices here already; its people have to answer some first", "此处已有 %d 个通知；须先处理部分通知", maxNotices)
		}
		err = d.notices.Create(ctx, operator, v, n)
		if !problem.Is(err, problem.Exists) {
			if err == nil {
				d.cfg.Log.Warn("a recall reached this enterprise", "recall", n.Recall, "by", from, "things", n.Count)
			}
			return err
		}
	}
	_, err = d.notices.Change(ctx, operator, v, func(old *Notice) error {
		if n.Serial <= old.Serial {
			return document.ErrNoChange
		}
		n.Answers, n.Delivered, n.Tries, n.Again, n.Error, n.Received = old.Answers, old.Delivered, old.Tries, old.Again, old.Error, old.Received
		*old = n
		return nil
	})
	return err
}

// Answer writes down what was found and done here about a notice, on behalf of who; the recall's owner hears of it. Errors: problem.NotFound, problem.BadValue, problem.Conflict when the recall is
// closed.
func (d *Desk) Answer(ctx context.Context, who record.Identity, v id.ID, a Answer) (Notice, error) {
	if err := a.check(); err != nil {
		return Notice{}, err
	}
	defer d.nudge()
	return d.notices.Change(ctx, who, v, func(n *Notice) error {
		if n.Closed {
			return problem.New(problem.Conflict, "%s is closed", "%s 已关闭", n.Recall)
		}
		if len(n.Answers) == maxAnswers {
			return problem.New(problem.TooLarge, "there are %d answers to this notice already; speak to %s", "该通知已有 %d 个答复；请联系 %s", maxAnswers, n.Owner)
		}
		a.Number, a.Time = len(n.Answers)+1, d.cfg.Now().UTC()
		n.Answers = append(n.Answers, a)
		n.Again = a.Time
		return nil
	})
}

func (a *Answer) check() error {
	if len(a.Items) > maxItems || len(a.Note) > 2000 || len(a.Items) == 0 && a.Note == "" && !a.Done {
		return problem.New(problem.BadValue, "an answer says something: up to %d items, a note of 2000 bytes, or that all is done", "答复须有内容：不超过 %d 个条目、2000 字节的说明，或表明处置完毕", maxItems)
	}
	size := 0
	for i := range a.Items {
		f := &a.Items[i]
		size += len(f.Thing) + len(f.Place)
		if f.Thing == "" || len(f.Thing) > 2048 || len(f.Place) > 2048 || len(f.Unit) > 16 || !actions[f.Action] || size > 64<<10 {
			return problem.New(problem.BadValue, "item %d of the answer needs a thing, and an action among quarantined, returned, destroyed, sold, used, not-found",
				"答复的第 %d 个条目须有物品，且 action 为 quarantined、returned、destroyed、sold、used、not-found 之一", i+1)
		}
		if f.Quantity != "" {
			if r, ok := number(f.Quantity); !ok || r.Sign() < 0 {
				return problem.New(problem.BadValue, "the quantity %q of item %d is no number from 0 on", "第 %[2]d 个条目的数量 %[1]q 不是非负数", clip(string(f.Quantity)), i+1)
			}
		}
	}
	return nil
}

// number reads a quantity; one whose exponent would take a computer's memory is none.
func number(d epcis.Decimal) (*big.Rat, bool) {
	s := string(d)
	if len(s) > 64 || strings.ContainsAny(s, "eE/_xXpP") {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// add sums two quantities without loss.
func add(a, b epcis.Decimal) (epcis.Decimal, bool) {
	if a == "" {
		a = "0"
	}
	x, ok := number(a)
	y, ok2 := number(b)
	if !ok || !ok2 {
		return a, false
	}
	places := 0
	for _, s := range []string{string(a), string(b)} {
		if i := strings.IndexByte(s, '.'); i >= 0 {
			places = max(places, len(s)-i-1)
		}
	}
	return epcis.Decimal(x.Add(x, y).FloatString(places)), true
}

// acknowledge takes a holder's answers. Those that are here already change nothing.
func (d *Desk) acknowledge(ctx context.Context, from string, a Acknowledgement) error {
	v, err := id.ParseHandle(a.Recall)
	if err != nil || v.Prefix() != d.cfg.Prefix || !strings.HasPrefix(v.Suffix(), "RECALL_") {
		return problem.New(problem.NotFound, "%q is no recall of this enterprise", "%q 不是本企业的召回", clip(a.Recall))
	}
	name, err := d.holders.ID(holderName(v, from))
	if err != nil {
		return err
	}
	if len(a.Answers) > maxAnswers {
		return problem.New(problem.TooLarge, "these are over %d answers", "答复超过 %d 个", maxAnswers)
	}
	for i := range a.Answers {
		if err := a.Answers[i].check(); err != nil {
			return err
		}
	}
	news := false
	_, err = d.holders.Change(ctx, operator, name, func(h *Holder) error {
		for _, x := range a.Answers {
			if x.Number != len(h.Acknowledged)+1 || len(h.Acknowledged) == maxAnswers {
				continue // it is here already
			}
			h.Acknowledged = append(h.Acknowledged, x)
			h.Done = x.Done
			news = true
		}
		if !news {
			return document.ErrNoChange
		}
		return nil
	})
	if problem.Is(err, problem.NotFound) {
		return problem.New(problem.NotFound, "%q is no recall of this enterprise, or %s was not asked about it", "%q 不是本企业的召回，或未向 %s 发出通知", clip(a.Recall), from)
	}
	if err == nil && news {
		d.bump(ctx, v)
		d.nudge()
	}
	return err
}

// receiveCopy takes what an enterprise below tells of its recall.
func (d *Desk) receiveCopy(ctx context.Context, from string, c Copy) error {
	if _, err := ownRecall(c.Recall, from); err != nil {
		return err
	}
	if own := d.cfg.Prefix; from != own && !strings.HasPrefix(from, own+".") {
		return problem.New(problem.Forbidden, "%s is not below %s, whose authority sees its recalls", "%s 不在 %s 之下，其召回不由此处监管", from, own)
	}
	o := Order{Title: c.Title, Reason: c.Reason, Things: c.Things}
	if err := o.check(); err != nil {
		return err
	}
	if len(c.Holders) > maxHolders || len(c.Totals) > 100 || c.Serial < 1 || c.State != Open && c.State != Notified && c.State != Closed {
		return problem.New(problem.BadValue, "the recall has too many holders, or a state that is none", "召回的持有方过多，或状态无效")
	}
	c.Owner, c.Received = from, d.cfg.Now().UTC()
	v, err := d.copies.ID(hashed(c.Recall))
	if err != nil {
		return err
	}
	if _, err := d.copies.Get(v); problem.Is(err, problem.NotFound) {
		if d.copies.Len() >= maxNotices {
			return problem.New(problem.Full, "there are %d recalls here already", "此处已有 %d 个召回", maxNotices)
		}
		if err := d.copies.Create(ctx, operator, v, c); !problem.Is(err, problem.Exists) {
			return err
		}
	}
	_, err = d.copies.Change(ctx, operator, v, func(old *Copy) error {
		if c.Serial <= old.Serial {
			return document.ErrNoChange
		}
		*old = c
		return nil
	})
	return err
}
