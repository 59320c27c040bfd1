package postgres

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

func TestExplain(t *testing.T) {
	s := &Store{where: "db:5432/fujie"}
	for _, c := range []struct {
		err  error
		kind problem.Kind
		is   error
		lost bool
	}{
		{&pgconn.PgError{Code: "53100", Severity: "ERROR"}, problem.Full, store.ErrFull, false},
		{&pgconn.PgError{Code: "25006", Severity: "ERROR"}, problem.ReadOnly, nil, false},
		{&pgconn.PgError{Code: "28P01", Severity: "ERROR"}, problem.AuthFailed, nil, false},
		{&pgconn.PgError{Code: "42501", Severity: "ERROR"}, problem.AuthFailed, nil, false},
		{&pgconn.PgError{Code: "42P01", Severity: "ERROR"}, problem.Internal, nil, false},
		{&pgconn.PgError{Code: "57P01", Severity: "FATAL"}, problem.Unreachable, nil, true},
		{&pgconn.PgError{Code: "57P03", Severity: "FATAL"}, problem.Unreachable, nil, true},
		{io.ErrUnexpectedEOF, problem.Unreachable, nil, true},
		{store.ErrConflict, problem.Conflict, store.ErrConflict, false},
		{store.ErrNotFound, problem.NotFound, store.ErrNotFound, false},
	} {
		got := s.explain(c.err)
		if !problem.Is(got, c.kind) || (c.is != nil && !errors.Is(got, c.is)) {
			t.Errorf("%v: %v, of kind %v", c.err, got, problem.KindOf(got))
		}
		if problem.Say(got, problem.Chinese) == problem.Say(got, problem.English) {
			t.Errorf("%v: not said in Chinese", got)
		}
		if isLost(c.err) != c.lost {
			t.Errorf("%v: lost %v", c.err, !c.lost)
		}
	}
	for _, err := range []error{nil, context.Canceled, context.DeadlineExceeded} {
		if got := s.explain(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := late(context.DeadlineExceeded); !problem.Is(got, problem.Busy) {
		t.Error(got)
	}
	if got := late(errors.Join(store.ErrUncertain, context.DeadlineExceeded)); !errors.Is(got, store.ErrUncertain) {
		t.Error(got)
	}
}
