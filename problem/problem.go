// Package problem says what went wrong, so that a program can act on it and a person can cure it.
//
// Every error that leaves a room is, or wraps, an *Error: a Kind for programs, and one sentence in English and one in
// Chinese that name the thing at fault and the cure. Each wire renders the kind in its own codes, once, at its edge;
// nobody compares sentences.
package problem

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is what a program may decide on. Its zero value is Internal, so that an error nobody classified is never
// mistaken for the caller's fault.
type Kind uint8

const (
	Internal        Kind = iota // our fault, or one that nobody classified
	NotFound                    // the identifier has no record
	NoValues                    // the record exists, but none of the values asked for does (or may be seen)
	Exists                      // the identifier is taken
	BadID                       // the text is no identifier
	ValueExists                 // the index is taken
	BadValue                    // a value breaks a rule
	NotHere                     // this node does not answer for that prefix
	Referral                    // another service answers for it; the answer says which
	BadRequest                  // the message breaks its protocol
	Unsupported                 // the protocol knows it, this node does not offer it
	TooDeep                     // a limit on hops was reached: a loop, or as good as one
	Busy                        // try again later
	ReadOnly                    // the node answers but takes no writes now (a mirror, a full disk, a backup under way)
	StaleSite                   // the asker's site information is out of date
	NotAdmin                    // authenticated, but no administrator of this record
	Forbidden                   // authenticated, and an administrator, but without this permission
	NeedAuth                    // who asks must say so first
	AuthFailed                  // who asks could not prove it
	BadCredential               // the proof is malformed
	AuthTimeout                 // the challenge is unknown, used or too old
	AuthError                   // the proof could not be checked (the key cannot be found, its server is away)
	SessionTimeout              // the session is unknown or over
	SessionFailed               // the session could not be used
	BadSessionKey               // the exchanged key is of no use
	BadSessionSetup             // the session request is malformed
	SessionReplay               // the message was seen before in its session
	Unreachable                 // no server that answers for it could be reached in time
	Bogus                       // an answer came, but its signatures do not hold; it is not shown
	Conflict                    // somebody else changed it meanwhile; read again, then retry
	TooLarge                    // over a published limit
	Full                        // no room left to write
	Canceled                    // the asker went away, or its time is up
)

var kindNames = [...]string{
	"internal", "not-found", "no-values", "exists", "bad-identifier", "value-exists", "bad-value", "not-here",
	"referral", "bad-request", "unsupported", "too-deep", "busy", "read-only", "stale-site", "not-admin",
	"forbidden", "authentication-needed", "authentication-failed", "bad-credential", "authentication-timeout",
	"authentication-error", "session-timeout", "session-failed", "bad-session-key", "bad-session-setup",
	"session-replay", "unreachable", "bogus", "conflict", "too-large", "full", "canceled",
}

// String is the kind's stable name, as it stands in JSON and in logs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "internal"
}

// Lang is a language that sentences come in.
type Lang uint8

const (
	English Lang = iota
	Chinese
)

// ParseLang reads a POSIX locale ("zh_CN.GB18030") or an Accept-Language header ("zh-CN,zh;q=0.9"): Chinese when it
// prefers Chinese, else English.
func ParseLang(s string) Lang {
	s = strings.ToLower(strings.TrimSpace(s))
	if strings.HasPrefix(s, "zh") {
		return Chinese
	}
	return English
}

// Error is a kind, its sentence in both languages, and the cause if there is one.
type Error struct {
	Kind Kind
	EN   string // one sentence, naming what is wrong and the cure
	ZH   string
	Err  error // the cause, or nil
}

// New makes an Error. Both sentences are formats over the same arguments.
func New(kind Kind, en, zh string, args ...any) *Error {
	return Wrap(nil, kind, en, zh, args...)
}

// Wrap is New with a cause, which Error and Say put behind the sentence.
func Wrap(cause error, kind Kind, en, zh string, args ...any) *Error {
	if len(args) > 0 {
		en, zh = fmt.Sprintf(en, args...), fmt.Sprintf(zh, args...)
	}
	return &Error{Kind: kind, EN: en, ZH: zh, Err: cause}
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.EN + ": " + e.Err.Error()
	}
	return e.EN
}

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, problem.New(kind, "", "")) compare kinds alone.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.EN == ""
}

// KindOf is the kind of the outermost *Error in err's chain; Internal when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is of the kind. It is false for a nil err.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// Say is the sentence for a person, causes included, in their language.
func Say(err error, lang Lang) string {
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	if lang == English {
		return e.Error()
	}
	if e.Err != nil {
		return e.ZH + "：" + Say(e.Err, lang)
	}
	return e.ZH
}
