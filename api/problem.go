package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/problem"
)

// Problem is an error as problem details (RFC 9457).
type Problem struct {
	Type   string   `json:"type" doc:"urn:fujie:problem: and the kind, for programs"`
	Title  string   `json:"title" doc:"The HTTP status in words"`
	Status int      `json:"status"`
	Kind   string   `json:"kind" doc:"What went wrong, for programs: not-found, exists, bad-value, authentication-needed, …"`
	Detail string   `json:"detail" doc:"What went wrong and what to do, for people, in the caller's language"`
	Errors []Detail `json:"errors,omitempty" doc:"Each place at fault"`
}

// Detail is one place at fault.
type Detail struct {
	Location string `json:"location,omitempty" doc:"Where, as body.items[3].name or line 12"`
	Property string `json:"property,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Message  string `json:"message"`
}

// Detailed is an error that knows several places at fault.
type Detailed interface {
	error
	Details(lang problem.Lang) []Detail
}

// Error, GetStatus and ContentType make it huma's error model.
func (p *Problem) Error() string                { return p.Detail }
func (p *Problem) GetStatus() int               { return p.Status }
func (p *Problem) ContentType(ct string) string { return "application/problem+json" }

// StatusOf is the HTTP status of a kind in our own interface.
func StatusOf(kind problem.Kind) int {
	switch kind {
	case problem.NotFound, problem.NoValues:
		return http.StatusNotFound
	case problem.BadID, problem.BadValue, problem.NotHere, problem.BadRequest:
		return http.StatusBadRequest
	case problem.Exists, problem.ValueExists:
		return http.StatusConflict
	case problem.Conflict:
		return http.StatusPreconditionFailed
	case problem.Unsupported:
		return http.StatusNotImplemented
	case problem.Busy, problem.ReadOnly, problem.Canceled:
		return http.StatusServiceUnavailable
	case problem.NotAdmin, problem.Forbidden:
		return http.StatusForbidden
	case problem.NeedAuth, problem.AuthFailed, problem.BadCredential, problem.AuthError, problem.SessionTimeout, problem.AuthTimeout:
		return http.StatusUnauthorized
	case problem.TooLarge:
		return http.StatusRequestEntityTooLarge
	case problem.Full:
		return http.StatusInsufficientStorage
	case problem.Unreachable, problem.Bogus:
		return http.StatusBadGateway
	}
	return http.StatusInternalServerError
}

// render makes an operation's error what the caller sees.
func (a *API) render(ctx context.Context, err error) error {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var own huma.StatusError
	if errors.As(err, &own) {
		return own
	}
	kind := problem.KindOf(err)
	if ctx.Err() != nil && kind == problem.Internal {
		kind = problem.Canceled
	}
	lang := From(ctx).Lang
	p = &Problem{Type: "urn:fujie:problem:" + kind.String(), Kind: kind.String(), Status: StatusOf(kind), Detail: problem.Say(err, lang)}
	p.Title = http.StatusText(p.Status)
	if kind == problem.Internal {
		a.cfg.Log.Error("an operation failed", "err", err)
		p.Detail = problem.Say(problem.New(kind, "the node could not do it; its log says why", "节点未能完成该操作；原因见其日志"), lang)
	}
	var d Detailed
	if errors.As(err, &d) {
		p.Errors = d.Details(lang)
	}
	return p
}

// Refuse answers a plain HTTP request with err.
func (a *API) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := a.render(r.Context(), err).(*Problem)
	if !ok {
		p = &Problem{Type: "about:blank", Status: http.StatusInternalServerError, Title: http.StatusText(http.StatusInternalServerError)}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

func urlOf(path string) *url.URL { return &url.URL{Path: path} }

func init() {
	// What huma itself finds wrong in a request has the same shape.
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		kind := problem.BadRequest
		if status == http.StatusUnprocessableEntity {
			status = http.StatusBadRequest
		}
		switch {
		case status == http.StatusRequestEntityTooLarge:
			kind = problem.TooLarge
		case status >= 500:
			kind = problem.Internal
		}
		p := &Problem{Type: "urn:fujie:problem:" + kind.String(), Kind: kind.String(), Status: status, Title: http.StatusText(status), Detail: msg}
		for _, e := range errs {
			if e == nil {
				continue
			}
			var d huma.ErrorDetailer
			if errors.As(e, &d) {
				p.Errors = append(p.Errors, Detail{Location: d.ErrorDetail().Location, Message: d.ErrorDetail().Message})
			} else {
				p.Errors = append(p.Errors, Detail{Message: e.Error()})
			}
		}
		return p
	}
}

// Told is the error that another node's answer tells of; nil when the answer is no problem document.
func Told(answer []byte) error {
	var p Problem
	if json.Unmarshal(answer, &p) != nil || p.Detail == "" {
		return nil
	}
	for _, d := range p.Errors {
		p.Detail += "; " + strings.TrimPrefix(d.Location+": "+d.Message, ": ")
	}
	kind := problem.Internal
	for k := problem.Internal; k <= problem.Canceled; k++ {
		if k.String() == p.Kind {
			kind = k
		}
	}
	return &problem.Error{Kind: kind, EN: p.Detail, ZH: p.Detail}
}
