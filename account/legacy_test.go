package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

func sum(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }

// TestIssue shows that a program's session lasts as long as its key, here and at another node.
func TestIssue(t *testing.T) {
	far, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	known := far.Public()
	w := newWorld(t, func(c *Config) {
		c.Keys = func(_ context.Context, ref record.Ref) (trust.PublicKey, error) {
			if ref.Name != "88.9.1/APP_FAR" || ref.Index != 300 || known.IsZero() {
				return trust.PublicKey{}, problem.New(problem.NotFound, "no", "无")
			}
			return known, nil
		}
	})
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	app, err := w.acc.CreateApp(t.Context(), api.Caller{Identity: node}, "88.118.1001", "erp", "", nil, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	who := record.Identity{Ref: record.Ref{Index: 300, Name: app.String()}}
	if _, err := w.acc.Issue(t.Context(), who, far.Public()); !problem.Is(err, problem.AuthFailed) {
		t.Errorf("another's key: %v", err)
	}
	s, err := w.acc.Issue(t.Context(), who, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.acc.Bearer(t.Context(), s.Token); err != nil || got.Ref != who.Ref {
		t.Errorf("the session is %v's: %v", got, err)
	}
	if err := w.acc.RevokeApp(t.Context(), node, app); err != nil {
		t.Fatal(err)
	}
	if _, err := w.acc.Bearer(t.Context(), s.Token); !problem.Is(err, problem.AuthFailed) {
		t.Errorf("the session outlived its key: %v", err)
	}

	s, err = w.acc.Issue(t.Context(), record.Identity{Ref: record.Ref{Index: 300, Name: "88.9.1/App_far"}}, far.Public())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.acc.Bearer(t.Context(), s.Token); err != nil || got.Name != "88.9.1/APP_FAR" {
		t.Errorf("the session is %v's: %v", got, err)
	}
	known = key.Public()
	if _, err := w.acc.Bearer(t.Context(), s.Token); !problem.Is(err, problem.AuthFailed) {
		t.Errorf("the session outlived its key elsewhere: %v", err)
	}
	for _, name := range []string{"88.118/User_li", "0.NA/88.118", "88.118.1001/App_none"} {
		if _, err := w.acc.Issue(t.Context(), record.Identity{Ref: record.Ref{Index: 300, Name: name}}, key.Public()); !problem.Is(err, problem.AuthFailed) {
			t.Errorf("a session for %s: %v", name, err)
		}
	}
}

// TestLoginDigest shows that the digest of deployed systems works where it is asked for, and nowhere else.
func TestLoginDigest(t *testing.T) {
	const password = "correct horse 7"
	for _, on := range []bool{true, false} {
		w := newWorld(t, func(c *Config) { c.DigestLogin = on })
		if _, _, err := w.acc.CreateUser(t.Context(), api.Caller{Identity: node}, NewUser{Prefix: "88.118", Name: "li", Password: password}); err != nil {
			t.Fatal(err)
		}
		_, err := w.acc.LoginDigest(t.Context(), "li", sum(sum(password)+"2026-11-22"), []string{"2026-11-21", "2026-11-22"})
		if on != (err == nil) {
			t.Errorf("digest log-in allowed %v: %v", on, err)
		}
		for _, wrong := range []struct{ user, digest string }{
			{"li", sum(sum("another") + "2026-11-22")}, {"li", sum("2026-11-22")}, {"li", sum(sum(password) + "2026-11-20")}, {"nobody", sum("2026-11-22")},
		} {
			if _, err := w.acc.LoginDigest(t.Context(), wrong.user, wrong.digest, []string{"2026-11-22"}); !problem.Is(err, problem.AuthFailed) {
				t.Errorf("%v: %v", wrong, err)
			}
		}
	}
	// A password that was set before the node's configuration asked for digests is kept so at the next log-in.
	w := newWorld(t)
	if _, _, err := w.acc.CreateUser(t.Context(), api.Caller{Identity: node}, NewUser{Prefix: "88.118", Name: "li", Password: password}); err != nil {
		t.Fatal(err)
	}
	w.acc.cfg.DigestLogin = true
	days, right := []string{"2026-11-22"}, sum(sum(password)+"2026-11-22")
	if _, err := w.acc.LoginDigest(t.Context(), "li", right, days); !problem.Is(err, problem.AuthFailed) {
		t.Errorf("before a log-in: %v", err)
	}
	if _, err := w.acc.Login(t.Context(), "li", password, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.acc.LoginDigest(t.Context(), "li", right, days); err != nil {
		t.Errorf("after a log-in: %v", err)
	}
}
