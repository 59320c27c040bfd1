package rest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store/table"
)

// token is what a nextPageToken says. It is signed and holds all there is to know, so that nothing is kept for a page that nobody asks for:
//
//	base64url(JSON) "." base64url(the first 16 bytes of its HMAC-SHA256)
type token struct {
	Cursor string `json:"c"`
	Count  int    `json:"n,omitempty"` // events in the pages before
	Of     []byte `json:"q"`           // which question by whom it continues
	Until  int64  `json:"e"`           // seconds since 1970
}

// revoked are tokens that were given back before their time, by their signatures.
type revoked struct {
	Mac   string
	Until int64
}

var revocations = table.Table[revoked]{Name: "epcis.revoked", Key: func(r revoked) []byte { return []byte(r.Mac) }}

func (s *Server) mac(text string) string {
	h := hmac.New(sha256.New, s.cfg.Secret)
	h.Write([]byte("epcis page\x00" + text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// question is the digest of what a token continues: the same question by the same caller.
func (c *call) question(scope string, v url.Values) []byte {
	h := sha256.New()
	write := func(s string) {
		h.Write(strconv.AppendInt(nil, int64(len(s)), 10))
		h.Write([]byte{':'})
		h.Write([]byte(s))
	}
	write(c.who.Name)
	write(strconv.Itoa(int(c.who.Index)))
	write(strconv.FormatBool(c.who.Operator))
	write(scope)
	write(strings.Join(c.r.Header.Values("GS1-Extensions"), ","))
	rest := url.Values{}
	for k, list := range v {
		if k != "perPage" && k != "nextPageToken" {
			rest[k] = list
		}
	}
	write(rest.Encode())
	return h.Sum(nil)[:16]
}

func (s *Server) seal(t token) string {
	raw, _ := json.Marshal(t)
	text := base64.RawURLEncoding.EncodeToString(raw)
	return text + "." + s.mac(text)
}

func badToken(en, zh string) error {
	return fault(http.StatusBadRequest, "QueryParameterException", problem.New(problem.BadRequest, en, zh))
}

// genuine reports whether this node made the token.
func (s *Server) genuine(text string) (t token, mac string, ok bool) {
	body, mac, cut := strings.Cut(text, ".")
	if !cut || !hmac.Equal([]byte(mac), []byte(s.mac(body))) {
		return t, "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	return t, mac, err == nil && json.Unmarshal(raw, &t) == nil
}

// open reads the token of a page of the question; an empty text is the first page.
func (c *call) open(text string, of []byte) (token, error) {
	if text == "" {
		return token{Of: of}, nil
	}
	t, mac, ok := c.s.genuine(text)
	switch {
	case !ok:
		return t, badToken("nextPageToken is none that this repository gave: start again without it", "nextPageToken 并非本存储库所发：请去掉后重新查询")
	case t.Until <= c.s.cfg.Now().Unix():
		return t, badToken("nextPageToken is too old: start again without it", "nextPageToken 已过期：请去掉后重新查询")
	case !hmac.Equal(t.Of, of):
		return t, badToken("nextPageToken belongs to another query: repeat the query that it came with, or start without it",
			"nextPageToken 属于另一查询：请使用原查询参数，或去掉后重新查询")
	}
	row, err := revocations.Load(c.ctx, c.s.cfg.Store, []byte(mac))
	if err != nil {
		return t, err
	}
	if row.Found() {
		return t, badToken("nextPageToken was given back: start again without it", "nextPageToken 已被释放：请去掉后重新查询")
	}
	return t, nil
}

// more tells where the next page is.
func (c *call) more(v url.Values, t token) {
	until := c.s.cfg.Now().Add(c.s.lim.TokenLife).UTC().Truncate(time.Second)
	t.Until = until.Unix()
	next := url.Values{}
	for k, list := range v {
		next[k] = list
	}
	next.Set("nextPageToken", c.s.seal(t))
	head := c.w.Header()
	head.Set("Link", "<"+c.s.cfg.Public+c.r.URL.EscapedPath()+"?"+next.Encode()+`>; rel="next"`)
	head.Set("GS1-Next-Page-Token-Expires", until.Format(time.RFC3339))
}

// forget makes a token unusable: DELETE /nextPageToken/{token}. One that is none is as good as gone.
func (c *call) forget(text string) error {
	if t, mac, ok := c.s.genuine(text); ok && t.Until > c.s.cfg.Now().Unix() {
		if err := revocations.Put(c.ctx, c.s.cfg.Store, revoked{mac, t.Until}); err != nil {
			return err
		}
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// sweepTokens forgets revocations of tokens that are over anyway.
func (s *Server) sweepTokens(ctx context.Context) error {
	now, old := s.cfg.Now().Unix(), [][]byte(nil)
	err := revocations.Range(ctx, s.cfg.Store, all, func(r revoked) error {
		if r.Until <= now {
			old = append(old, []byte(r.Mac))
		}
		return nil
	})
	for _, k := range old {
		if err == nil {
			err = revocations.Delete(ctx, s.cfg.Store, k)
		}
	}
	return err
}

// paging reads perPage and nextPageToken; without a perPage it is def.
func (c *call) paging(v url.Values, def int) (perPage int, next string, err error) {
	if len(v["perPage"]) > 1 || len(v["nextPageToken"]) > 1 {
		return 0, "", badToken("perPage and nextPageToken are given once each", "perPage 与 nextPageToken 各只能给出一次")
	}
	perPage = def
	if text := v.Get("perPage"); text != "" {
		if perPage, err = strconv.Atoi(text); err != nil || perPage < 1 {
			return 0, "", fault(http.StatusBadRequest, "QueryParameterException", problem.New(problem.BadRequest,
				"perPage=%q is no number from 1 to %d", "perPage=%q 不是 1 至 %d 的数", text, c.s.lim.PerPage))
		}
	}
	return min(perPage, c.s.lim.PerPage), v.Get("nextPageToken"), nil
}

// values reads the request's parameters.
func (c *call) values() (url.Values, error) {
	v, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, fault(http.StatusBadRequest, "QueryParameterException", problem.New(problem.BadRequest,
			"the part of the address behind the question mark cannot be read (%v): escape its values as URLs are", "地址中问号之后的部分无法读取（%v）：请按 URL 规则转义参数值", err))
	}
	return v, nil
}
