package web

import (
	"net/http"

	"github.com/fujie-id/fujie/problem"
)

// code is a response code of the Handle protocol, which every JSON answer carries (handle-protocol §1.7).
type code int

const (
	success        code = 1
	failure        code = 2
	protocolError  code = 4
	valuesNotFound code = 200
	serviceMoved   code = 302
	prefixMoved    code = 303
	needAuth       code = 402
)

var codes = map[problem.Kind]code{
	problem.Internal: failure, problem.NotFound: 100, problem.NoValues: valuesNotFound, problem.Exists: 101, problem.BadID: 102,
	problem.ValueExists: 201, problem.BadValue: 202, problem.NotHere: 301, problem.Referral: serviceMoved,
	problem.BadRequest: protocolError, problem.Unsupported: 5, problem.TooDeep: 6, problem.Busy: 3, problem.ReadOnly: 7,
	problem.StaleSite: 300, problem.NotAdmin: 400, problem.Forbidden: 401, problem.NeedAuth: needAuth, problem.AuthFailed: 403,
	problem.BadCredential: 404, problem.AuthTimeout: 405, problem.AuthError: 406, problem.SessionTimeout: 500,
	problem.SessionFailed: 501, problem.BadSessionKey: 502, problem.BadSessionSetup: 504, problem.SessionReplay: 505,
	// Those that the protocol has no word for.
	problem.Unreachable: failure, problem.Bogus: failure, problem.Conflict: 3, problem.TooLarge: 202, problem.Full: 7,
	problem.Canceled: 3,
}

// codeOf is failure for a kind without a code of its own.
func codeOf(err error) code {
	if c, ok := codes[problem.KindOf(err)]; ok {
		return c
	}
	return failure
}

// statusOf is the HTTP status of an error (handle-protocol §3.3). That of NeedAuth depends on the connection.
func statusOf(kind problem.Kind) int {
	switch kind {
	case problem.NotFound:
		return http.StatusNotFound
	case problem.NoValues, problem.BadID, problem.BadValue, problem.NotHere, problem.BadRequest:
		return http.StatusBadRequest
	case problem.Exists, problem.ValueExists:
		return http.StatusConflict
	case problem.Referral:
		return http.StatusMultipleChoices
	case problem.Unsupported:
		return http.StatusNotImplemented
	case problem.Busy, problem.ReadOnly, problem.Conflict, problem.Canceled:
		return http.StatusServiceUnavailable
	case problem.NotAdmin, problem.Forbidden, problem.AuthFailed, problem.BadCredential, problem.AuthTimeout:
		return http.StatusForbidden
	case problem.NeedAuth:
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

// kinds are the kinds by name, as they stand in the header that our own clients read.
var kinds = func() map[string]problem.Kind {
	m := map[string]problem.Kind{}
	for k := problem.Kind(1); k.String() != problem.Internal.String(); k++ {
		m[k.String()] = k
	}
	return m
}()

// kindOf is the kind that an answer tells of: by name, or by its response code when a server of another make answered.
func kindOf(name string, c code) problem.Kind {
	if k, ok := kinds[name]; ok {
		return k
	}
	switch c {
	case failure:
		return problem.Internal
	case 3:
		return problem.Busy
	case 7:
		return problem.ReadOnly
	case 202:
		return problem.BadValue
	case prefixMoved:
		return problem.Referral
	case 503:
		return problem.BadSessionKey
	}
	for k, kc := range codes {
		if kc == c {
			return k
		}
	}
	return problem.Internal
}
