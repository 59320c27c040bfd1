package account

import (
	"bytes"
	"context"
	"encoding/base64"
	"net"
	"net/url"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

const maxPasskeys = 20

func (a *Accounts) openPasskeys() error {
	if a.cfg.Origin == "" {
		return nil
	}
	u, err := url.Parse(a.cfg.Origin)
	if err != nil || u.Host == "" {
		return problem.New(problem.BadValue, "%.200q is no address of a node: write https://HOST", "%.200q 不是节点地址：请写成 https://主机", a.cfg.Origin)
	}
	if net.ParseIP(u.Hostname()) != nil {
		return nil // WebAuthn wants a name
	}
	a.keys, err = webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: a.cfg.Prefix, RPOrigins: []string{u.Scheme + "://" + u.Host},
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired},
	})
	if err != nil {
		return problem.Wrap(err, problem.BadValue, "passkeys cannot be offered at %s", "无法在 %s 提供通行密钥", a.cfg.Origin)
	}
	return nil
}

func (a *Accounts) passkeys() (*webauthn.WebAuthn, error) {
	if a.keys == nil {
		return nil, problem.New(problem.Unsupported, "passkeys need a node with a host name: log in with a password", "通行密钥需要节点有主机名：请用密码登录")
	}
	return a.keys, nil
}

// holder is an account as WebAuthn sees it. Its handle there is the fingerprint of the identifier, since that may be
// longer than the 64 bytes that a handle has.
type holder struct {
	v id.ID
	u User
}

func (h holder) WebAuthnID() []byte          { return fingerprint(h.v.String()) }
func (h holder) WebAuthnName() string        { return h.v.String() }
func (h holder) WebAuthnDisplayName() string { return first(h.u.Title, h.v.String()) }
func (h holder) WebAuthnCredentials() []webauthn.Credential {
	var cs []webauthn.Credential
	for _, p := range h.u.Passkeys {
		cs = append(cs, p.Cred)
	}
	return cs
}

type ceremony struct {
	id   id.ID
	data webauthn.SessionData
}

// BeginPasskey is what a browser's navigator.credentials.create takes, and a ticket for FinishPasskey.
func (a *Accounts) BeginPasskey(ctx context.Context, v id.ID) (*protocol.CredentialCreation, string, error) {
	w, err := a.passkeys()
	if err != nil {
		return nil, "", err
	}
	u, err := a.user(ctx, v)
	if err != nil {
		return nil, "", err
	}
	if len(u.Passkeys) >= maxPasskeys {
		return nil, "", problem.New(problem.TooLarge, "an account has at most %d passkeys: remove one", "一个账户最多 %d 个通行密钥：请删除一个", maxPasskeys)
	}
	h := holder{v, u}
	var known []protocol.CredentialDescriptor
	for _, p := range u.Passkeys {
		known = append(known, p.Cred.Descriptor())
	}
	options, data, err := w.BeginRegistration(h, webauthn.WithExclusions(known))
	if err != nil {
		return nil, "", problem.Wrap(err, problem.Internal, "a passkey could not be begun", "无法开始登记通行密钥")
	}
	ticket := a.code(16)
	return options, ticket, a.pending.put(ticket, "passkey-new", stepLife, ceremony{v, *data})
}

// FinishPasskey checks the browser's answer and keeps the passkey under a title.
func (a *Accounts) FinishPasskey(ctx context.Context, v id.ID, ticket, title string, answer []byte) error {
	w, err := a.passkeys()
	if err != nil {
		return err
	}
	if err := checkTitle(title); err != nil {
		return err
	}
	x, ok := a.pending.take(ticket, "passkey-new")
	if !ok || x.(ceremony).id != v {
		return problem.New(problem.AuthFailed, "it took too long: begin again", "已超时：请重新开始")
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return problem.New(problem.BadRequest, "the browser's answer is no passkey: begin again", "浏览器的应答不是通行密钥：请重新开始")
	}
	u, err := a.user(ctx, v)
	if err != nil {
		return err
	}
	cred, err := w.CreateCredential(holder{v, u}, x.(ceremony).data, parsed)
	if err != nil {
		a.cfg.Log.Warn("a passkey did not hold", "user", v.String(), "err", err)
		return problem.New(problem.AuthFailed, "the passkey does not hold: begin again", "通行密钥无效：请重新开始")
	}
	_, err = a.changeUser(ctx, record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}, v, func(u *User) error {
		if slices.ContainsFunc(u.Passkeys, func(p passkey) bool { return bytes.Equal(p.Cred.ID, cred.ID) }) {
			return problem.New(problem.Exists, "this passkey is known already", "该通行密钥已登记")
		}
		u.Passkeys = append(u.Passkeys, passkey{Title: title, Made: a.cfg.Now(), Cred: *cred})
		return nil
	})
	return err
}

// RemovePasskey forgets the passkey with the ID (base64url) that GET /api/me shows.
func (a *Accounts) RemovePasskey(ctx context.Context, v id.ID, cred string) error {
	_, err := a.changeUser(ctx, record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}, v, func(u *User) error {
		n := len(u.Passkeys)
		u.Passkeys = slices.DeleteFunc(u.Passkeys, func(p passkey) bool { return base64.RawURLEncoding.EncodeToString(p.Cred.ID) == cred })
		if len(u.Passkeys) == n {
			return problem.New(problem.NotFound, "there is no such passkey: GET /api/me lists them", "没有该通行密钥：GET /api/me 可列出")
		}
		return nil
	})
	return err
}

// BeginPasskeyLogin is what a browser's navigator.credentials.get takes, and a ticket for PasskeyLogin. The passkey
// says whose it is.
func (a *Accounts) BeginPasskeyLogin() (*protocol.CredentialAssertion, string, error) {
	w, err := a.passkeys()
	if err != nil {
		return nil, "", err
	}
	options, data, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, "", problem.Wrap(err, problem.Internal, "a log-in could not be begun", "无法开始登录")
	}
	ticket := a.code(16)
	return options, ticket, a.pending.put(ticket, "passkey", stepLife, ceremony{data: *data})
}

// PasskeyLogin checks the browser's answer. Errors: problem.AuthFailed.
func (a *Accounts) PasskeyLogin(ctx context.Context, ticket string, answer []byte) (*Session, error) {
	w, err := a.passkeys()
	if err != nil {
		return nil, err
	}
	failed := problem.New(problem.AuthFailed, "the passkey does not hold: begin again, or log in with a password", "通行密钥无效：请重新开始，或用密码登录")
	x, ok := a.pending.take(ticket, "passkey")
	if !ok {
		return nil, failed
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return nil, failed
	}
	var h holder
	cred, err := w.ValidateDiscoverableLogin(func(_, handle []byte) (webauthn.User, error) {
		var ok bool
		if h, ok = a.holder(handle); !ok || h.u.Disabled {
			return nil, failed
		}
		return h, nil
	}, x.(ceremony).data, parsed)
	if err != nil || cred.Authenticator.CloneWarning {
		a.cfg.Log.Warn("a log-in by passkey did not hold", "user", h.v.String(), "err", err, "cloned", cred != nil && cred.Authenticator.CloneWarning)
		return nil, failed
	}
	// The counter shows copies of a passkey, where its kind counts at all.
	u := h.u
	if cred.Authenticator.SignCount > 0 {
		u, err = a.changeUser(ctx, record.Identity{Ref: record.Ref{Index: indexLogin, Name: h.v.String()}}, h.v, func(u *User) error {
			for i := range u.Passkeys {
				if p := &u.Passkeys[i]; bytes.Equal(p.Cred.ID, cred.ID) {
					if p.Cred.Authenticator.SignCount >= cred.Authenticator.SignCount {
						return failed
					}
					p.Cred.Authenticator, p.Cred.Flags = cred.Authenticator, cred.Flags
					return nil
				}
			}
			return failed
		})
		if err != nil {
			return nil, err
		}
	}
	return a.session(ctx, h.v, u, "hwk")
}

// holder finds the account with a WebAuthn handle.
func (a *Accounts) holder(handle []byte) (holder, bool) {
	for _, p := range a.opened() {
		if x, ok := p.users.Find(func(v id.ID, u User) bool { return len(u.Passkeys) > 0 && bytes.Equal(fingerprint(v.String()), handle) }); ok {
			return holder{x.ID, x.Paper}, true
		}
	}
	return holder{}, false
}
