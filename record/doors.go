package record

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
)

// Identity is who asks or acts, once a wire has had it proved. The zero Identity is anybody.
type Identity struct {
	Ref           // the value that holds their key, as 300:88.118.1001/ADMIN
	Operator bool // the node's own operator, working on its files or its control socket: may do everything
}

// IsAnonymous reports whether nothing is known of who asks.
func (i Identity) IsAnonymous() bool { return !i.Operator && i.IsZero() }

// Query asks for the values of one identifier. Indexes and Types are a union; with both empty all values are meant.
type Query struct {
	ID      id.ID
	As      string   // the spelling that was asked, which answers echo; empty means ID's canonical form
	Indexes []uint32 // these values
	Types   []string // and those of these types; "URL." means URL and every URL.x; letters a–z match A–Z

	By            Identity
	PublicOnly    bool // leave out, silently, what is not for everybody; else such a value makes the query NeedAuth
	Authoritative bool // from a primary, past every cache
	Certify       bool // with the record's signature, made now if need be
	NoReferral    bool // do not answer with a referral
	Depth         int  // hops already made for this question; resolvers refuse over MaxDepth
	Trace         bool // fill Answer.Path

	Purpose string // what the asker says that the data is for: a word that the owner's rules may ask about, as "warranty"
}

// MaxDepth is how many hops, through referrals, services and aliases, one question may make.
const MaxDepth = 10

// Name is the spelling to echo.
func (q *Query) Name() string {
	if q.As != "" {
		return q.As
	}
	return q.ID.String()
}

// All reports whether the query asks for every value.
func (q *Query) All() bool { return len(q.Indexes) == 0 && len(q.Types) == 0 }

// Wants reports whether the query asks for a value with this index and type.
func (q *Query) Wants(index uint32, typ string) bool {
	if q.All() {
		return true
	}
	for _, i := range q.Indexes {
		if i == index {
			return true
		}
	}
	for _, t := range q.Types {
		if MatchType(t, typ) {
			return true
		}
	}
	return false
}

// MatchType reports whether a value of type typ answers a request for type want. "URL." matches URL, URL. and every
// URL.x; without the dot only the same name matches. Letters a–z match A–Z.
func MatchType(want, typ string) bool {
	if strings.HasSuffix(want, ".") {
		base := want[:len(want)-1]
		return len(typ) >= len(base) && handle.Equal(typ[:len(base)], base) &&
			(len(typ) == len(base) || typ[len(base)] == '.')
	}
	return handle.Equal(want, typ)
}

// Trust says what is known of an answer's origin.
type Trust uint8

const (
	Unchecked Trust = iota // nobody looked; what an authoritative node says of its own records
	Unsigned               // looked, and some authority on the way signs nothing: it may be true
	Secure                 // every signature from the root's key to this answer holds
)

// String is the word that people and JSON see.
func (t Trust) String() string { return [...]string{"unchecked", "unsigned", "secure"}[t] }

// Answer is what a Resolver found.
type Answer struct {
	Values    []Value
	Referral  *Referral // set when another service answers for the identifier; Values is then empty
	Trust     Trust
	Stale     bool      // past its lifetime, served because every authority is down
	Primary   bool      // from a primary site, or as good as one
	Certified bool      // the message that brought it was signed by the server's key, and the signature holds
	Expires   time.Time // until when it may be kept; zero means by the values' TTLs
	Source    string    // where it came from, for people: "store", "cache", "127.0.0.1:2641"
	Path      []Step    // how it was found, when Query.Trace asked
	Live      time.Time // when the oldest of the fetched values was read from its owner's system; zero when all were stored
}

// Referral names the service to ask instead.
type Referral struct {
	Prefix bool    // a prefix referral (303): for records of prefixes below; else a service referral (302)
	Name   string  // the record that names the service, may be empty
	Values []Value // HS_SITE and HS_SERV values, may be empty
}

// Step is one step of a lookup.
type Step struct {
	At      time.Duration // since the lookup began
	Took    time.Duration
	Asked   string // the server or the cache
	Name    string // what it was asked for
	Outcome string // what came of it, in a few words
	Trust   Trust
}

// Resolver is the door through which everything is asked: the registry, the recursor, a client of another node, a
// guard around one of them.
//
// Resolve returns the answer, or a *problem.Error: NotFound when there is no record; NoValues when there is one but
// nothing that was asked for; NotHere when it does not answer for the prefix; NeedAuth when a value that was asked for
// (and PublicOnly is false) is not for this asker; TooDeep, Unreachable, Bogus from those that ask others. Trust, Path
// and Expires are filled beside NotFound and NoValues too. The answer's slices are the caller's to read, not to change.
type Resolver interface {
	Resolve(ctx context.Context, q Query) (Answer, error)
}

// Governor is the door between the registry and the rules about who may see what. The registry asks it whenever it
// makes an answer; ready answers are made once, so that rules cost nothing while they do not change.
type Governor interface {
	// Govern returns the values with the permissions that hold by the rules: PublicRead where anybody may read, none
	// where not. It returns values itself when no rule changes any, and never changes it. governed reports whether the
	// record has rules: what is hidden in it is then absent for those who may not see it, and nothing tells that it is
	// there. It looks at what is in memory or in the local store only. An error hides everything (fail closed).
	Govern(ctx context.Context, rec id.ID, values []Value) (out []Value, governed bool, err error)
	// Admit decides which of the values at the places hidden, which the query asks for and Govern left without
	// PublicRead, the asker (q.By, q.Purpose) sees; q.By is not anonymous. Places admitted are durably in the audit
	// trail when it returns.
	Admit(ctx context.Context, q *Query, rec id.ID, values []Value, hidden []int) (admitted []int, err error)
}

// Protocol is a way to reach a server.
type Protocol uint8

const (
	UDP   Protocol = 0
	TCP   Protocol = 1
	HTTP  Protocol = 2
	HTTPS Protocol = 3
)

// Endpoint is one way to reach one server.
type Endpoint struct {
	Addr     netip.AddrPort
	Protocol Protocol
	Key      []byte // its public key in HS_PUBKEY form, from its HS_SITE; empty when it has none
}

// String is protocol, colon, address.
func (e Endpoint) String() string {
	return [...]string{"udp", "tcp", "http", "https"}[e.Protocol&3] + ":" + e.Addr.String()
}

// Asker puts one question to one server and takes its answer as it comes, referrals included. The errors are those of
// Resolver; Certified, Primary and Referral of the Answer are filled beside NotFound, NoValues and NotHere too.
// Unreachable means that nothing usable came before ctx ended or the server was given up.
type Asker interface {
	Ask(ctx context.Context, server Endpoint, q Query) (Answer, error)
}

// Appender is the fast way through a Resolver that has its answers ready. AppendPublic appends the value block (u32 n,
// then n values) of everything under name that anybody may read, and the second since 1970 until which it may be kept.
// ok is false whenever the long way must be taken: nothing ready, a referral, an alias, a mistake. name is a handle as
// it was asked, not folded, and not kept. Nothing is allocated when dst has room.
type Appender interface {
	AppendPublic(dst, name []byte, now int64) (out []byte, expires int64, ok bool)
}

// Op is what a Write does.
type Op uint8

const (
	Create Op = iota + 1 // a new record; with Overwrite also in the place of an old one
	Delete               // the whole record
	Add                  // values with new indexes; with Overwrite also in the place of old ones
	Remove               // the values with Indexes
	Modify               // values whose indexes exist
	Home                 // start to answer for the prefix of the prefix record ID
	Unhome               // stop
)

// String is the operation's name in changes and logs.
func (o Op) String() string {
	names := [...]string{"", "create", "delete", "add", "remove", "modify", "home", "unhome"}
	if int(o) < len(names) {
		return names[o]
	}
	return ""
}

// Write is one change that somebody wants.
type Write struct {
	Op        Op
	ID        id.ID
	Values    []Value
	Indexes   []uint32
	Overwrite bool
	Mint      bool // Create only: the registry makes up the suffix behind ID's
}

// Result is what became of one Write: the identifier (the minted one, if so), or why not.
type Result struct {
	ID  id.ID
	Err error
}

// Registrar is the door through which everything is changed.
//
// Write does each write on its own, wholly or not at all, in order; later ones see earlier ones. What succeeded is durable when it returns,
// together with its Change. There is one Result for each Write. The error is for the whole call: nothing in it was
// acknowledged (problem.Full, problem.ReadOnly, problem.Internal), and what is uncertain may be written again.
// A Result's error is NeedAuth when an anonymous caller would have to prove who they are; rules that need no identity
// are checked before that, in the order of deployed servers: NotHere; Exists; ValueExists and BadValue within the request;
// for Modify NotFound. Then NotAdmin, Forbidden, NotFound, NoValues, ValueExists.
type Registrar interface {
	Write(ctx context.Context, by Identity, writes []Write) ([]Result, error)
}

// Lister is the door through which names are listed.
//
// List returns at most limit canonical names under prefix, in byte order, that come behind after (empty: from the
// start). Prefixes does so for the prefixes that this node answers for. Errors: NeedAuth, NotAdmin, Forbidden, NotHere.
type Lister interface {
	List(ctx context.Context, by Identity, prefix, after string, limit int) ([]string, error)
	Count(ctx context.Context, by Identity, prefix string) (int64, error)
	Prefixes(ctx context.Context, by Identity, after string, limit int) ([]string, error)
}

// Change is one thing that happened to one record, written in the same transaction.
type Change struct {
	Seq    uint64
	Time   time.Time // to the millisecond
	Op     Op
	ID     id.ID
	By     Identity
	Digest [32]byte // SHA-256 of the record's value block afterwards; zeros when it is gone
}

// Entry is a Change with what the record holds now, for those who copy it; Values is nil when it is gone.
type Entry struct {
	Change
	Values []Value
}

// Feed is the door through which mirrors, caches, counts and ledgers hear of changes.
//
// Changes returns up to limit changes behind after, oldest first, and waits for the first until ctx is done (then it
// returns ctx's error). With values, each comes with what its record holds now, secrets included: an entry may so be
// ahead of its own change, never behind it. Errors: NotAdmin, NeedAuth.
type Feed interface {
	Changes(ctx context.Context, by Identity, after uint64, limit int, values bool) ([]Entry, error)
}

// SecretFinder gives the room that checks proofs the secret keys kept here. It is never offered on a wire.
//
// Secrets returns the data of the HS_SECKEY values that ref names (index 0: all of the record), whatever their
// permissions, and held false when this node does not keep that record.
type SecretFinder interface {
	Secrets(ctx context.Context, ref Ref) (keys [][]byte, held bool, err error)
}

// Checkers of proofs of identity sit in trust; wires take this door.
//
// Authenticate checks proof against the challenge that was put (nonce and digest are what was signed or MACed, one
// behind the other) and returns who it is. Errors: AuthFailed, BadCredential, AuthError.
type Authenticator interface {
	Authenticate(ctx context.Context, proof Proof, nonce, digest []byte) (Identity, error)
}

// Proof is somebody's answer to a challenge.
type Proof struct {
	Type string // "HS_PUBKEY" or "HS_SECKEY"
	User Ref    // whose key; index 0 means any of that record
	// Signed is the answer in its wire form (handle-protocol §1.9). Public key: u32 len, hash name, u32 len, signature.
	// Secret key: u8 algorithm and the MAC or its parameters.
	Signed []byte
}
