package recursor

import (
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// proof is what was found out about a record's values.
type proof struct {
	trust record.Trust
	until time.Time // when the signature ends; zero when there is none
	added int       // where in the values a signature stands that was made for this answer; -1 for none
}

// prove checks the values of the record name, said to be all that everybody may read, against the signatures of who
// answers for it. A value that was signed and did not come makes it bogus too: else leaving out a certificate would turn
// checking off for everything below. The error is of kind problem.Bogus.
func (r *Recursor) prove(by *authority, name id.ID, values []record.Value, now time.Time) (proof, error) {
	p := proof{trust: by.trust, added: -1}
	var reason error
	tried := 0
	for i := range values {
		if !handle.Equal(values[i].Type, record.TypeSignature) || tried >= maxSigners {
			continue
		}
		s, err := trust.ParseSignature(values[i].Data)
		if err != nil {
			reason = first(reason, err)
			continue
		}
		if by.trust != record.Secure {
			// Nothing can be proved, but a signature made for the asking is still told from a stored one.
			if s.Public && !isPrefixRecord(name) && i == len(values)-1 {
				p.added = i
			}
			continue
		}
		tried++
		if err := r.check(by, name, s, values, now); err != nil {
			reason = first(reason, err)
			continue
		}
		p.until = s.Until
		if s.Public && !isPrefixRecord(name) {
			p.added = i
		}
		return p, nil
	}
	switch {
	case by.trust != record.Secure:
		return p, nil
	case reason == nil:
		reason = problem.New(problem.Bogus, "%s has no signature, though %s signs all it answers", "%s 没有签名，而 %s 的答复均应签名", name, by.name)
	}
	return p, reason
}

// check is whether the signature s stands for the values.
func (r *Recursor) check(by *authority, name id.ID, s *trust.Signature, values []record.Value, now time.Time) error {
	var reason error
	for i := range by.signers {
		g := &by.signers[i]
		if !handle.Equal(s.Issuer.Name, g.owner) {
			continue
		}
		if !g.covers(name.String()) {
			reason = first(reason, problem.New(problem.Bogus, "the certificate of %s does not let it sign %s", "%s 的证书不允许其为 %s 签名", g.owner, name))
			continue
		}
		if err := s.Verify(g.key, r.within(s.From, s.Until, now)); err != nil {
			reason = first(reason, err)
			continue
		}
		all := *s
		all.Public = true // also one that does not say so must account for every value
		return all.CheckValues(name.String(), values, true)
	}
	if reason == nil {
		reason = problem.New(problem.Bogus, "the signature of %s is by %s, but %s is who answers for it", "%s 的签名来自 %s，而负责答复的是 %s", name, s.Issuer, by.name)
	}
	return reason
}

// certificates is the certificates in the prefix record name that hold. Those about others are passed over. When there
// are some about this prefix, but none holds, the whole record is bogus: else a broken certificate would turn checking
// off.
func (r *Recursor) certificates(name id.ID, values []record.Value, up *authority, now time.Time) ([]*trust.Cert, error) {
	var held []*trust.Cert
	var reason error
	for i := range values {
		if !handle.Equal(values[i].Type, record.TypeCert) || len(held) >= maxSigners {
			continue
		}
		c, err := trust.ParseCert(values[i].Data)
		if err == nil {
			if !handle.Equal(c.Subject.Name, name.String()) {
				continue
			}
			err = r.admit(c, up, now)
		}
		if err != nil {
			reason = first(reason, err)
			continue
		}
		held = append(held, c)
	}
	if len(held) == 0 {
		return nil, reason
	}
	return held, nil
}

// admit checks one certificate against all who may have issued it.
func (r *Recursor) admit(c *trust.Cert, up *authority, now time.Time) error {
	var reason error
	now = r.within(c.From, c.Until, now)
	for i := range up.signers {
		g := &up.signers[i]
		err := error(nil)
		switch {
		case !handle.Equal(c.Issuer.Name, g.owner):
			continue
		case g.cert != nil:
			err = g.cert.Admit(c, now)
		default:
			err = c.Verify(g.key, now)
		}
		if err == nil {
			return nil
		}
		reason = first(reason, err)
	}
	if reason == nil {
		reason = problem.New(problem.Bogus, "the certificate of %s is by %s, but %s is who answers for it", "%s 的证书由 %s 签发，而负责答复的是 %s", c.Subject, c.Issuer, up.name)
	}
	return reason
}

// within is now, moved into the time from which and until which something holds if our clock may be that far off.
func (r *Recursor) within(from, until, now time.Time) time.Time {
	switch {
	case now.Before(from) && from.Sub(now) <= r.c.Skew:
		return from
	case !now.Before(until) && now.Sub(until) <= r.c.Skew:
		return until.Add(-time.Second)
	}
	return now
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func isPrefixRecord(name id.ID) bool {
	_, ok := name.Delegated()
	return ok
}
