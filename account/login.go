package account

import (
	"context"
	"crypto/subtle"
	"encoding/base32"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Step is what came of a step of a log-in: a session, or a ticket for the next step.
type Step struct {
	*Session
	Ticket string `json:"ticket,omitempty" doc:"For POST /api/login/totp, within five minutes; the password was right"`
}

func wrongLogin() error {
	return problem.New(problem.AuthFailed, "user or password is wrong: check both", "用户或密码错误：请检查")
}

// Login checks a password, and the one-time code (or a recovery code) if one is given and wanted. Whether there is
// such a user shows neither in what it says nor in how long it takes. Errors: problem.AuthFailed, problem.Busy after
// too many wrong ones.
func (a *Accounts) Login(ctx context.Context, user, password, code string) (Step, error) {
	v, prefix, ok := a.full(user)
	name := v.String()
	if !ok {
		name = strings.ToUpper(user[:min(len(user), 128)])
	}
	if err := a.tries.begin(name); err != nil {
		return Step{}, err
	}
	var u User
	if ok {
		if p, err := a.place(ctx, prefix); err == nil {
			u, err = p.users.Get(v)
			ok = err == nil && !u.Disabled
		} else {
			ok = false
		}
	}
	stored := u.Password
	if !ok {
		stored = ""
	}
	right, err := a.matches(ctx, stored, password)
	if err != nil {
		return Step{}, err
	}
	if !right {
		return Step{}, wrongLogin()
	}
	a.tries.good(name)
	if d := a.digest(password); d != u.Digest && d != "" {
		// The node's configuration began to ask for it after the password was set.
		who := record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}
		if u, err = a.changeUser(ctx, who, v, func(x *User) error {
			if x.Password == stored {
				x.Digest = d
			}
			return nil
		}); err != nil {
			return Step{}, err
		}
	}
	if u.TOTP == nil {
		s, err := a.session(ctx, v, u, "pwd")
		return Step{Session: s}, err
	}
	if code != "" {
		return a.second(ctx, v, u.Generation, code)
	}
	ticket := a.code(16)
	if err := a.pending.put(ticket, "totp", stepLife, waiting{v, u.Generation}); err != nil {
		return Step{}, err
	}
	return Step{Ticket: ticket}, nil
}

// waiting is an account whose password was right.
type waiting struct {
	id         id.ID
	generation int
}

// Second finishes a log-in with the one-time code, or a recovery code.
func (a *Accounts) Second(ctx context.Context, ticket, code string) (Step, error) {
	x, ok := a.pending.peek(ticket, "totp")
	if !ok {
		return Step{}, problem.New(problem.AuthFailed, "the log-in took too long: begin again", "登录已超时：请重新开始")
	}
	w := x.(waiting)
	s, err := a.second(ctx, w.id, w.generation, code)
	if err == nil {
		a.pending.take(ticket, "totp")
	}
	return s, err
}

func (a *Accounts) second(ctx context.Context, v id.ID, generation int, code string) (Step, error) {
	if err := a.tries.begin("totp:" + v.String()); err != nil {
		return Step{}, err
	}
	who := record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}
	method := "otp"
	u, err := a.changeUser(ctx, who, v, func(u *User) error {
		if u.TOTP == nil || u.Disabled || u.Generation != generation || !u.TOTP.take(a, code) {
			return problem.New(problem.AuthFailed, "the code is wrong or was used: wait for the next one", "验证码错误或已使用：请等待下一个")
		}
		return nil
	})
	if err != nil {
		return Step{}, err
	}
	a.tries.good("totp:" + v.String())
	s, err := a.session(ctx, v, u, "pwd", method)
	return Step{Session: s}, err
}

// take checks a code and uses it up.
func (s *second) take(a *Accounts, code string) bool {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	if step, ok := totpMatch(s.Secret, code, a.cfg.Now(), s.Last); ok {
		s.Last = step
		return true
	}
	h := fingerprint(recoveryForm(code))
	for i, r := range s.Recovery {
		if subtle.ConstantTimeCompare(h, r) == 1 {
			s.Recovery = slices.Delete(s.Recovery, i, i+1)
			return true
		}
	}
	return false
}

func recoveryForm(code string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
}

// Enrolment is what an authenticator program needs.
type Enrolment struct {
	Secret string `json:"secret" doc:"Base32, to be typed in"`
	URI    string `json:"uri" doc:"otpauth: address, to be shown as a QR code"`
	Ticket string `json:"ticket" doc:"For the confirmation, within five minutes"`
}

// BeginTOTP makes a secret for one-time codes; it counts once ConfirmTOTP has seen a code by it.
func (a *Accounts) BeginTOTP(ctx context.Context, v id.ID) (Enrolment, error) {
	u, err := a.user(ctx, v)
	if err != nil {
		return Enrolment{}, err
	}
	if u.TOTP != nil {
		return Enrolment{}, problem.New(problem.Exists, "one-time codes are on already: take them off first", "动态口令已开启：请先关闭")
	}
	secret := a.random(totpSecret)
	e := Enrolment{Secret: base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret), URI: totpURI(secret, a.cfg.Prefix, v.String()), Ticket: a.code(16)}
	return e, a.pending.put(e.Ticket, "enrol", stepLife, enrolling{v, secret})
}

type enrolling struct {
	id     id.ID
	secret []byte
}

// ConfirmTOTP turns one-time codes on and returns recovery codes, each good once in the place of one.
func (a *Accounts) ConfirmTOTP(ctx context.Context, v id.ID, ticket, code string) (recovery []string, err error) {
	x, ok := a.pending.peek(ticket, "enrol")
	if !ok || x.(enrolling).id != v {
		return nil, problem.New(problem.AuthFailed, "it took too long: begin again", "已超时：请重新开始")
	}
	s := &second{Secret: x.(enrolling).secret}
	step, ok := totpMatch(s.Secret, strings.TrimSpace(code), a.cfg.Now(), 0)
	if !ok {
		return nil, problem.New(problem.BadValue, "the code is wrong: check the clock of the device that shows it", "验证码错误：请检查显示验证码的设备的时钟")
	}
	s.Last = step
	for range recoveries {
		c := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(a.random(10))
		s.Recovery = append(s.Recovery, fingerprint(c))
		recovery = append(recovery, c[:4]+"-"+c[4:8]+"-"+c[8:12]+"-"+c[12:])
	}
	_, err = a.changeUser(ctx, record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}, v, func(u *User) error {
		u.TOTP = s
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.pending.take(ticket, "enrol")
	return recovery, nil
}

// RemoveTOTP turns one-time codes off, for who has one at hand.
func (a *Accounts) RemoveTOTP(ctx context.Context, v id.ID, code string) error {
	if err := a.tries.begin("totp:" + v.String()); err != nil {
		return err
	}
	_, err := a.changeUser(ctx, record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}, v, func(u *User) error {
		if u.TOTP == nil || !u.TOTP.take(a, code) {
			return problem.New(problem.AuthFailed, "the code is wrong or was used: wait for the next one", "验证码错误或已使用：请等待下一个")
		}
		u.TOTP = nil
		return nil
	})
	if err == nil {
		a.tries.good("totp:" + v.String())
	}
	return err
}
