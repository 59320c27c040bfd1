package escrow_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/escrow"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/memory"
)

func TestDesk(t *testing.T) {
	s := memory.New()
	write(t, open(t, s), home("88.118"), put("88.118/a", "1"))
	admin := record.Ref{Index: 300, Name: "0.NA/88.118"}
	var kinds []escrow.Kind
	d := &escrow.Desk{Node: escrow.Node{Folder: folder(t), Skip: []string{"store"}, Store: s}, Admins: []record.Ref{admin},
		Make: func(_ context.Context, k escrow.Kind) (*escrow.Manifest, error) {
			kinds = append(kinds, k)
			if k == escrow.Diff {
				return nil, problem.New(problem.Conflict, "no base", "无基础")
			}
			return &escrow.Manifest{Deposit: "d1"}, nil
		}}
	routes := d.Routes(func(r *http.Request) (record.Identity, error) {
		switch r.Header.Get("Authorization") {
		case "admin":
			return record.Identity{Ref: admin}, nil
		case "other":
			return record.Identity{Ref: record.Ref{Index: 300, Name: "0.NA/88.119"}}, nil
		case "":
			return record.Identity{}, nil
		}
		return record.Identity{}, problem.New(problem.AuthFailed, "no", "否")
	})
	if routes("/api/other") != nil {
		t.Error("answers everywhere")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { routes(r.URL.Path).ServeHTTP(w, r) }))
	defer server.Close()
	k := keepers(t)[1]
	ask := func(method, path, as, body string) (int, []byte) {
		t.Helper()
		r, _ := http.NewRequest(method, server.URL+path, strings.NewReader(body))
		if as != "" {
			r.Header.Set("Authorization", as)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, b
	}
	defer http.DefaultClient.CloseIdleConnections()
	for _, c := range []struct {
		method, path, as, body string
		want                   int
	}{
		{"GET", "/api/backup", "", "", 401}, {"GET", "/api/backup", "forged", "", 401}, {"GET", "/api/backup", "other", "", 404},
		{"GET", "/api/backup?to=nonsense", "admin", "", 400}, {"PUT", "/api/backup", "admin", "", 405},
		{"POST", "/api/escrow", "other", "", 404}, {"POST", "/api/escrow", "admin", "", 200}, {"POST", "/api/escrow", "admin", `{"kind":"full"}`, 200},
		{"POST", "/api/escrow", "admin", `{"kind":"DIFF"}`, 409}, {"POST", "/api/escrow", "admin", `{"kind":"x"}`, 400}, {"POST", "/api/escrow", "admin", `{`, 400},
		{"GET", "/api/escrow", "admin", "", 200},
	} {
		if got, b := ask(c.method, c.path, c.as, c.body); got != c.want {
			t.Errorf("%s %s as %q: %d %s", c.method, c.path, c.as, got, b)
		}
	}
	if len(kinds) != 3 {
		t.Error(kinds)
	}
	code, b := ask("GET", "/api/backup?to="+url.QueryEscape(k.public), "admin", "")
	if code != 200 {
		t.Fatal(code, string(b))
	}
	if sum, err := escrow.CheckBackup(context.Background(), bytes.NewReader(b), k.ids); err != nil || !sum.Sealed || sum.Files != 4 {
		t.Error(sum, err)
	}
}

func TestDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var at []time.Time
		d := &escrow.Desk{Make: func(context.Context, escrow.Kind) (*escrow.Manifest, error) {
			at = append(at, time.Now())
			if len(at) == 2 {
				return nil, errors.New("the place is away")
			}
			return &escrow.Manifest{}, nil
		}}
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		time.Sleep(72*time.Hour + time.Minute)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		// Midnight UTC is 8 o'clock in Beijing. The second one failed, and was made a quarter of an hour later.
		if len(at) != 4 || at[2].Sub(at[1]) != 15*time.Minute || at[0].UTC().Hour() != 0 || at[3].Sub(at[0]) != 48*time.Hour {
			t.Error(at)
		}
	})
}
