package across

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/share"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/httpsig"
)

// answered is an answer that was believed.
type answered struct {
	body         Body
	events       []*known
	signed       Signed
	certificates map[string][]string
}

// put puts a question to an enterprise, and believes the answer when its signature holds from the root down and each event is what its hash says. Errors: problem.Forbidden when it
// refuses, problem.Unreachable, problem.Bogus.
func (a *Across) put(ctx context.Context, at service, q Request) (*answered, error) {
	nonce := make([]byte, 18)
	if _, err := io.ReadFull(cmpRand(a.cfg.Rand), nonce); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "there is no randomness for a nonce", "没有可用的随机数来生成 nonce")
	}
	q.Nonce = base64.RawURLEncoding.EncodeToString(nonce)
	sent, err := json.Marshal(q)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "a question cannot be written", "查询无法写出")
	}
	// The certificates are looked up while the owner thinks.
	var certs map[string][]string
	var noCerts error
	looking, enough := context.WithCancel(ctx)
	defer enough()
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		certs, noCerts = a.certificates(looking, q.Owner)
	}()
	body, stmt, err := a.exchange(ctx, at, http.MethodPost, WalkPath, sent)
	if err != nil {
		return nil, err
	}
	<-looked
	if err := noCerts; err != nil {
		return nil, problem.Wrap(err, problem.Unreachable, "the key of %s cannot be looked up", "无法查到 %s 的密钥", q.Owner)
	}
	out := &answered{certificates: certs, signed: Signed{Owner: q.Owner, URL: at.base + WalkPath, Request: sent, Body: body, Statement: stmt}}
	out.body, out.events, _, err = out.signed.open(a.cfg.Anchors, certs, a.cfg.User.String(), a.cfg.Now())
	if err != nil {
		return nil, err
	}
	return out, nil
}

// exchange makes one signed request. Errors: as put.
func (a *Across) exchange(ctx context.Context, at service, method, path string, sent []byte) (body []byte, stmt string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, at.base+path, bytes.NewReader(sent))
	if err != nil {
		return nil, "", problem.Wrap(err, problem.BadValue, "the address %s cannot be asked", "无法向地址 %s 查询", at.base)
	}
	if len(sent) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept", "application/json")
	if err := httpsig.Sign(r, a.cfg.Key, a.cfg.User, httpsig.Options{Now: a.cfg.Now, Rand: a.cfg.Rand}); err != nil {
		return nil, "", err
	}
	resp, err := a.http.get(at.pins).Do(r)
	if err != nil {
		var p *problem.Error
		if errors.As(err, &p) && p.Kind == problem.Bogus {
			return nil, "", p
		}
		if ctx.Err() != nil {
			return nil, "", problem.Wrap(ctx.Err(), problem.Unreachable, "%s did not answer in time", "%s 未在时限内应答", at.base)
		}
		return nil, "", problem.Wrap(err, problem.Unreachable, "%s cannot be reached", "无法访问 %s", at.base)
	}
	defer resp.Body.Close()
	limit := a.cfg.Limits.Answer
	if resp.StatusCode != http.StatusOK {
		limit = 64 << 10
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, "", problem.Wrap(err, problem.Unreachable, "the answer of %s broke off", "%s 的应答中断", at.base)
	}
	if resp.StatusCode != http.StatusOK {
		var p struct{ Detail string }
		if json.Unmarshal(body, &p) != nil {
			p.Detail = http.StatusText(resp.StatusCode)
		}
		kind := problem.Unreachable
		switch resp.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			kind = problem.Forbidden
		}
		return nil, "", problem.New(kind, "it answers HTTP %d: %s", "对方应答 HTTP %d：%s", resp.StatusCode, clip(p.Detail))
	}
	if int64(len(body)) > limit {
		return nil, "", problem.New(problem.Bogus, "the answer of %s is over %d bytes and was not read to its end", "%s 的应答超过 %d 字节，未予读完", at.base, limit)
	}
	return body, resp.Header.Get(HeaderStatement), nil
}

func cmpRand(r io.Reader) io.Reader {
	if r == nil {
		return rand.Reader
	}
	return r
}

// events reads the events of an answer and checks them against their marks: whole ones against their hash. The error is of kind problem.Bogus.
func (b *Body) events() ([]*known, error) {
	if len(b.Events) == 0 {
		if len(b.Marks) > 0 {
			return nil, problem.New(problem.Bogus, "the answer has %d marks and no events", "应答有 %d 个标记而无事件", len(b.Marks))
		}
		return nil, nil
	}
	d, faults, err := epcis.ReadJSON(bytes.NewReader(b.Events), epcis.Limits{})
	if err != nil {
		return nil, problem.Wrap(err, problem.Bogus, "the events of the answer cannot be read", "应答中的事件无法读取")
	}
	if len(faults) > 0 || len(d.Events) != len(b.Marks) {
		return nil, problem.New(problem.Bogus, "the answer has %d marks for %d events, %d of them with faults", "应答有 %d 个标记对应 %d 个事件，其中 %d 个有误", len(b.Marks), len(d.Events), len(faults))
	}
	out := make([]*known, 0, len(d.Events))
	for i := range d.Events {
		e, m := &d.Events[i], &b.Marks[i]
		switch {
		case m.Level == share.Contents:
			if got := epcis.Hash(e); got != m.Hash {
				return nil, problem.New(problem.Bogus, "the event %s is not what its hash says: it was changed", "事件 %s 与其哈希不符：内容被更改", clip(e.ID))
			}
		case m.Level != share.Trace || len(m.Hash) > 256 || m.Hash == "":
			return nil, problem.New(problem.Bogus, "the event %s is marked with no level or no hash", "事件 %s 没有级别或哈希标记", clip(e.ID))
		}
		out = append(out, &known{event: e, hash: m.Hash, level: m.Level})
	}
	return out, nil
}

// sign makes the statement of an answer.
func (a *Across) sign(owner, asker string, req, ans []byte) (string, error) {
	b, err := trust.SignStatement(a.cfg.Key, statement{Typ: answerType, Iss: a.cfg.User.String(), Own: owner, Sub: asker, Iat: a.cfg.Now().Unix(), Req: digest(req), Ans: digest(ans)})
	return string(b), err
}
