package account

import (
	"context"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// App is a program's account, as its record keeps it.
type App struct {
	Title    string     `json:"title,omitempty"`
	Roles    []api.Role `json:"roles,omitempty"`
	Made     time.Time  `json:"made"`
	Disabled bool       `json:"disabled,omitempty"`
	Keys     []AppKey   `json:"keys,omitempty"`
}

// AppKey is a public key of a program: it signs as index:identifier.
type AppKey struct {
	Index uint32    `json:"index"`
	Data  []byte    `json:"data"` // HS_PUBKEY
	Made  time.Time `json:"made"`
	Until time.Time `json:"until,omitzero"` // an old key, until it is taken away
}

// live is the keys that hold at now.
func (x App) live(now time.Time) []AppKey {
	var keys []AppKey
	for _, k := range x.Keys {
		if k.Until.IsZero() || now.Before(k.Until) {
			keys = append(keys, k)
		}
	}
	return keys
}

func appValues(v id.ID, x App) []record.Value {
	vs := []record.Value{admin(v)}
	for _, k := range x.Keys {
		vs = append(vs, keyValue(k.Index, k.Data))
	}
	return vs
}

// CreateApp makes a program's account with its public key, on behalf of by. Without roles it is an application at its
// prefix. Errors as of CreateUser.
func (a *Accounts) CreateApp(ctx context.Context, by api.Caller, prefix, name, title string, roles []api.Role, key trust.PublicKey) (v id.ID, err error) {
	p, err := a.place(ctx, prefix)
	if err != nil {
		return v, err
	}
	if err := checkName(name); err != nil {
		return v, err
	}
	if err := checkTitle(title); err != nil {
		return v, err
	}
	if key.IsZero() {
		return v, problem.New(problem.BadValue, "the program has no public key: give one, or ask for one to be made", "应用没有公钥：请提供公钥或要求生成")
	}
	if len(roles) == 0 {
		roles = []api.Role{{Name: api.Application, Prefix: prefix}}
	}
	if err := mayGive(by, prefix, roles); err != nil {
		return v, err
	}
	if v, err = p.apps.ID(name); err != nil {
		return v, err
	}
	now := a.cfg.Now()
	return v, p.apps.Create(ctx, by.Identity, v, App{Title: title, Roles: roles, Made: now, Keys: []AppKey{{Index: indexKey, Data: key.Data(), Made: now}}})
}

// RotateApp gives a program a new key, under the index 300 or 301 that is free, which it returns: the program signs as
// that from now on. The old key holds beside it for overlap (0: DefaultOverlap; negative: not at all, for a key that was
// lost), then it is taken away; others may still know it for five minutes.
func (a *Accounts) RotateApp(ctx context.Context, by record.Identity, v id.ID, key trust.PublicKey, overlap time.Duration) (index uint32, err error) {
	if key.IsZero() {
		return 0, problem.New(problem.BadValue, "the program has no public key: give one, or ask for one to be made", "应用没有公钥：请提供公钥或要求生成")
	}
	if overlap == 0 {
		overlap = DefaultOverlap
	}
	if overlap > 30*24*time.Hour {
		return 0, problem.New(problem.BadValue, "an old key holds beside the new one for at most 30 days: shorten the overlap", "旧密钥与新密钥并存最多 30 天：请缩短")
	}
	now := a.cfg.Now()
	_, err = a.changeApp(ctx, by, v, func(x *App) error {
		if x.Disabled {
			return problem.New(problem.Forbidden, "%s was revoked: make another account for the program", "%s 已吊销：请为该应用新建账户", v)
		}
		// Of several keys the newest is the one to keep beside the new one.
		old := x.live(now)
		if len(old) > 1 {
			old = old[len(old)-1:]
		}
		index = indexKey
		if len(old) == 1 && old[0].Index == indexKey && overlap > 0 {
			index = indexRoll
		}
		x.Keys = nil
		if overlap > 0 {
			for _, k := range old {
				k.Until = now.Add(overlap)
				x.Keys = append(x.Keys, k)
			}
		}
		x.Keys = append(x.Keys, AppKey{Index: index, Data: key.Data(), Made: now})
		return nil
	})
	return index, err
}

// RevokeApp takes all keys and roles from a program for good: five minutes later nobody believes it any more.
func (a *Accounts) RevokeApp(ctx context.Context, by record.Identity, v id.ID) error {
	_, err := a.changeApp(ctx, by, v, func(x *App) error {
		x.Disabled, x.Keys, x.Roles = true, nil, nil
		return nil
	})
	return err
}

func (a *Accounts) changeApp(ctx context.Context, by record.Identity, v id.ID, change func(*App) error) (App, error) {
	prefix, k, _, ok := split(v.String())
	if !ok || k != appName {
		return App{}, problem.New(problem.NotFound, "%s is no program: write PREFIX/App_NAME", "%s 不是应用：请写成 前缀/App_名称", v)
	}
	p, err := a.place(ctx, prefix)
	if err != nil {
		return App{}, err
	}
	return p.apps.Change(ctx, by, v, change)
}
