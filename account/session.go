package account

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// A session is a JWT (RFC 7519) signed by the node's key. Nothing is kept of it but what ends it.
type claims struct {
	Use        string   `json:"use"` // "session": no other statement by the node's key passes for one
	Issuer     string   `json:"iss"` // the node's prefix
	Subject    string   `json:"sub"` // 88.118.1001/User_li
	ID         string   `json:"jti"`
	Issued     int64    `json:"iat"`
	Expires    int64    `json:"exp"`
	Methods    []string `json:"amr"` // how they proved it (RFC 8176): pwd, otp, hwk, fed
	Generation int      `json:"gen"`
	Index      uint32   `json:"idx,omitempty"` // of the key that a program proved itself by
	Key        string   `json:"key,omitempty"` // its fingerprint
}

const maxToken = 4096

// Session is a log-in that succeeded.
type Session struct {
	Token   string     `json:"token" doc:"Send it as Authorization: Bearer (登录令牌)"`
	Expires time.Time  `json:"expires"`
	User    string     `json:"user" doc:"The account's identifier"`
	Roles   []api.Role `json:"roles"`
}

// session makes one for an account that has proved itself by methods.
func (a *Accounts) session(ctx context.Context, v id.ID, u User, methods ...string) (*Session, error) {
	now := a.cfg.Now()
	c := claims{Use: "session", Issuer: a.prefix, Subject: v.String(), ID: a.code(12), Issued: now.Unix(), Expires: now.Add(sessionLife).Unix(), Methods: methods, Generation: u.Generation}
	token, err := trust.SignStatement(a.cfg.Key, c)
	if err != nil {
		return nil, err
	}
	roles, err := a.Roles(ctx, record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}})
	if err != nil {
		return nil, err
	}
	a.cfg.Log.Info("logged in", "user", v.String(), "by", strings.Join(methods, "+"))
	return &Session{Token: string(token), Expires: time.Unix(c.Expires, 0).UTC(), User: v.String(), Roles: roles}, nil
}

// open checks a token and returns what it claims, and whose it is.
func (a *Accounts) open(ctx context.Context, token string) (c claims, v id.ID, err error) {
	over := func() error {
		return problem.New(problem.AuthFailed, "the session is over: log in again", "会话已失效：请重新登录")
	}
	if len(token) > maxToken {
		return c, v, over()
	}
	payload, err := trust.OpenStatement([]byte(token), a.public)
	if err != nil || json.Unmarshal(payload, &c) != nil || c.Use != "session" || c.Issuer != a.prefix {
		return c, v, over()
	}
	now := a.cfg.Now()
	if now.Unix() >= c.Expires || now.Add(5*time.Minute).Unix() < c.Issued {
		return c, v, over()
	}
	if v, err = id.ParseHandle(c.Subject); err != nil {
		return c, v, over()
	}
	if c.Key != "" {
		if !a.stands(ctx, record.Identity{Ref: record.Ref{Index: c.Index, Name: v.String()}}, c.Key) {
			return c, v, over()
		}
		return c, v, nil
	}
	u, err := a.user(ctx, v)
	if err != nil || u.Disabled || u.Generation != c.Generation || slices.ContainsFunc(u.Left, func(e ended) bool { return e.Session == c.ID }) {
		return c, v, over()
	}
	return c, v, nil
}

// Bearer says whose token it is: 301:PREFIX/User_NAME, or the key's place of a program: 300:PREFIX/App_NAME. Errors:
// problem.AuthFailed.
func (a *Accounts) Bearer(ctx context.Context, token string) (record.Identity, error) {
	c, v, err := a.open(ctx, token)
	if err != nil {
		return record.Identity{}, err
	}
	if c.Key != "" {
		return record.Identity{Ref: record.Ref{Index: c.Index, Name: v.String()}}, nil
	}
	return record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}, nil
}

// Logout ends the session of a token; everywhere ends every session of its account.
func (a *Accounts) Logout(ctx context.Context, token string, everywhere bool) error {
	c, v, err := a.open(ctx, token)
	if err != nil {
		return err
	}
	if c.Key != "" {
		return problem.New(problem.BadRequest, "a program's session ends by itself, or with its key: revoke the key", "应用的会话到期或随其密钥失效：请吊销密钥")
	}
	who := record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}
	_, err = a.changeUser(ctx, who, v, func(u *User) error {
		now := a.cfg.Now()
		u.Left = slices.DeleteFunc(u.Left, func(e ended) bool { return !now.Before(e.Until) })
		// So many log-outs in a day are a program's; then all sessions end.
		if everywhere || len(u.Left) >= 200 {
			u.Generation++
			u.Left = nil
			return nil
		}
		u.Left = append(u.Left, ended{c.ID, time.Unix(c.Expires, 0).UTC()})
		return nil
	})
	return err
}

// own is the account of a caller who logged in or signs with the account's key; problem.NeedAuth for all others.
func own(c api.Caller) (v id.ID, err error) {
	_, k, _, ok := split(c.Name)
	if !ok || k != userName {
		return v, problem.New(problem.NeedAuth, "log in as a user first: this is about your own account", "请先以用户身份登录：此操作针对您自己的账户")
	}
	return id.ParseHandle(handle.Fold(c.Name))
}
