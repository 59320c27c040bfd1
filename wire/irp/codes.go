package irp

import (
	"fmt"

	"github.com/fujie-id/fujie/problem"
)

// Op is what a message asks for (RFC 3652 §2.2.2.1 and the deployed additions).
type Op uint32

const (
	OpResolution          Op = 1
	OpGetSiteInfo         Op = 2
	OpCreate              Op = 100
	OpDelete              Op = 101
	OpAdd                 Op = 102
	OpRemove              Op = 103
	OpModify              Op = 104
	OpList                Op = 105
	OpListDerived         Op = 106
	OpAnswerChallenge     Op = 200
	OpVerifyChallenge     Op = 201
	OpHome                Op = 300
	OpUnhome              Op = 301
	OpListHomed           Op = 302
	OpSessionSetup        Op = 400
	OpSessionTerminate    Op = 401
	OpSessionExchangeKey  Op = 402
	OpNextTransaction     Op = 1000 // replication: known, not offered
	OpRetrieveTransaction Op = 1001
	OpDumpHandles         Op = 1002
	OpBackup              Op = 1003
	OpLogin               Op = 2000 // Chinese dialect, old
	OpLoginSystem         Op = 2001 // Chinese dialect: binds an identity to a TCP connection
)

var opNames = map[Op]string{
	OpResolution: "resolution", OpGetSiteInfo: "get site info", OpCreate: "create handle", OpDelete: "delete handle",
	OpAdd: "add value", OpRemove: "remove value", OpModify: "modify value", OpList: "list handles",
	OpListDerived: "list derived prefixes", OpAnswerChallenge: "challenge response", OpVerifyChallenge: "verify challenge",
	OpHome: "home prefix", OpUnhome: "unhome prefix", OpListHomed: "list homed prefixes", OpSessionSetup: "session setup",
	OpSessionTerminate: "session terminate", OpSessionExchangeKey: "session key exchange",
	OpNextTransaction: "next transaction id", OpRetrieveTransaction: "retrieve transactions", OpDumpHandles: "dump handles",
	OpBackup: "backup server", OpLogin: "login", OpLoginSystem: "login to system",
}

// String is the operation's name in words, for logs and messages.
func (o Op) String() string {
	if n, ok := opNames[o]; ok {
		return n
	}
	return fmt.Sprintf("operation %d", uint32(o))
}

// admin reports whether only interfaces that offer administration take the operation.
func (o Op) admin() bool {
	switch o {
	case OpCreate, OpDelete, OpAdd, OpRemove, OpModify, OpList, OpListDerived, OpHome, OpUnhome, OpListHomed, OpBackup:
		return true
	}
	return false
}

// Code is a response code (RFC 3652 §2.2.2.2 and the deployed additions).
type Code uint32

const (
	Success               Code = 1
	Failure               Code = 2
	TooBusy               Code = 3
	ProtocolError         Code = 4
	NotSupported          Code = 5
	RecursionTooHigh      Code = 6
	ServerBackup          Code = 7
	HandleNotFound        Code = 100
	HandleExists          Code = 101
	InvalidHandle         Code = 102
	ValuesNotFound        Code = 200
	ValueExists           Code = 201
	InvalidValue          Code = 202
	StaleSiteInfo         Code = 300
	NotResponsible        Code = 301
	ServiceReferral       Code = 302
	PrefixReferral        Code = 303 // to peers of 2.5 and later; before that it meant a server backup
	InvalidAdmin          Code = 400
	PermissionDenied      Code = 401
	AuthenticationNeeded  Code = 402
	AuthenticationFailed  Code = 403
	InvalidCredential     Code = 404
	AuthenticationTimeout Code = 405
	AuthenticationError   Code = 406
	SessionTimeout        Code = 500
	SessionFailed         Code = 501
	InvalidSessionKey     Code = 502
	NeedRSAKey            Code = 503
	InvalidSessionSetup   Code = 504
	SessionReplay         Code = 505
	ChannelError          Code = 601 // 601 to 605: the Chinese dialect only
	ClientTimeout         Code = 602
	DailyLimit            Code = 603
	RegisterLimit         Code = 604
	PrefixLimit           Code = 605
)

var codeNames = map[Code]string{
	Success: "success", Failure: "error", TooBusy: "server too busy", ProtocolError: "protocol error",
	NotSupported: "operation not supported", RecursionTooHigh: "recursion count too high", ServerBackup: "server backup",
	HandleNotFound: "handle not found", HandleExists: "handle already exists", InvalidHandle: "invalid handle",
	ValuesNotFound: "values not found", ValueExists: "value already exists", InvalidValue: "invalid value",
	StaleSiteInfo: "out of date site info", NotResponsible: "server not responsible", ServiceReferral: "service referral",
	PrefixReferral: "prefix referral", InvalidAdmin: "invalid admin", PermissionDenied: "insufficient permissions",
	AuthenticationNeeded: "authentication needed", AuthenticationFailed: "authentication failed",
	InvalidCredential: "invalid credential", AuthenticationTimeout: "authentication timeout",
	AuthenticationError: "authentication error", SessionTimeout: "session timeout", SessionFailed: "session failed",
	InvalidSessionKey: "invalid session key", NeedRSAKey: "need RSA key for session exchange",
	InvalidSessionSetup: "invalid session setup request", SessionReplay: "session message rejected",
	ChannelError: "client channel error", ClientTimeout: "client time-out", DailyLimit: "daily request limit",
	RegisterLimit: "registration limit", PrefixLimit: "prefix limit",
}

// String is the code's name in words.
func (c Code) String() string {
	if n, ok := codeNames[c]; ok {
		return n
	}
	return fmt.Sprintf("response code %d", uint32(c))
}

// kindCodes renders kinds in response codes that every deployed client knows.
var kindCodes = map[problem.Kind]Code{
	problem.Internal: Failure, problem.NotFound: HandleNotFound, problem.NoValues: ValuesNotFound,
	problem.Exists: HandleExists, problem.BadID: InvalidHandle, problem.ValueExists: ValueExists,
	problem.BadValue: InvalidValue, problem.NotHere: NotResponsible, problem.Referral: ServiceReferral,
	problem.BadRequest: ProtocolError, problem.Unsupported: NotSupported, problem.TooDeep: RecursionTooHigh,
	problem.Busy: TooBusy, problem.ReadOnly: ServerBackup, problem.StaleSite: StaleSiteInfo,
	problem.NotAdmin: InvalidAdmin, problem.Forbidden: PermissionDenied, problem.NeedAuth: AuthenticationNeeded,
	problem.AuthFailed: AuthenticationFailed, problem.BadCredential: InvalidCredential,
	problem.AuthTimeout: AuthenticationTimeout, problem.AuthError: AuthenticationError,
	problem.SessionTimeout: SessionTimeout, problem.SessionFailed: SessionFailed,
	problem.BadSessionKey: InvalidSessionKey, problem.BadSessionSetup: InvalidSessionSetup,
	problem.SessionReplay: SessionReplay,
	// Those that the protocol has no word for. An asker of a recursive server should not take a broken chain or silent
	// authorities for an absence; a lost race may be run again.
	problem.Unreachable: Failure, problem.Bogus: Failure, problem.Conflict: TooBusy, problem.TooLarge: InvalidValue,
	problem.Full: ServerBackup, problem.Canceled: TooBusy,
}

// CodeOf renders a kind. chinese peers know the codes 601 to 605 too; to others they are never sent, since deployed
// clients fail on a code they do not know.
func CodeOf(k problem.Kind, chinese bool) Code {
	if chinese && k == problem.Full {
		return RegisterLimit
	}
	if c, ok := kindCodes[k]; ok {
		return c
	}
	return Failure
}

// KindOf reads a response code. Success and what nobody knows is problem.Internal.
func KindOf(c Code) problem.Kind {
	switch c {
	case Failure:
		return problem.Internal
	case TooBusy, DailyLimit:
		return problem.Busy
	case ServerBackup:
		return problem.ReadOnly
	case InvalidValue:
		return problem.BadValue
	case ServiceReferral, PrefixReferral:
		return problem.Referral
	case NeedRSAKey:
		return problem.BadSessionKey
	case ChannelError, ClientTimeout:
		return problem.Unreachable
	case RegisterLimit, PrefixLimit:
		return problem.Full
	}
	for k, kc := range kindCodes {
		if kc == c {
			return k
		}
	}
	return problem.Internal
}

// problemOf makes the error that a response code stands for. text is what the server said.
func problemOf(c Code, text string) error {
	if text == "" {
		return problem.New(KindOf(c), "the server answered %d (%s)", "服务器返回 %d（%s）", uint32(c), c)
	}
	return problem.New(KindOf(c), "the server answered %d (%s): %s", "服务器返回 %d（%s）：%s", uint32(c), c, text)
}
