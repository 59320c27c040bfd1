// Package rest is the door of a company's events for every EPCIS program there is: the complete REST interface of EPCIS 2.0 (GS1 EPCIS 2.0, section 12).
// Events are captured as documents or one by one, in JSON and in XML; they are found by their own names, by what they tell of, and by queries that are
// kept under a name; and who subscribes is told of new ones at a callback address or on an open socket, in order, with nothing lost while it is away.
//
// What a caller sees is decided for each event: one that it may not see is not there, and of one that it may see in part only that part is matched and
// shown. Callback addresses are chosen by outsiders: this package reaches them only through Config.Send, which must not let them near the node's own
// networks.
package rest

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/query"
	"github.com/fujie-id/fujie/trace/share"
)

// Events is the history behind the interface; *history.History is one. Beside these methods it may have more:
//
//	Descendants(ctx, id) ([]string, error)                  // the places below a place, for WD_ parameters
//	Vocabulary(ctx, id) ([]history.Master, error)           // what is known of a thing, for HASATTR_ and EQ_ATTR_ parameters
//	PutVocabulary(ctx, history.Ref, []epcis.Vocabulary) error // takes the master data in the header of a capture
//	VocabularyOf(ctx, kind, after, limit) ([]history.Master, string, error) // shows it below /vocabularies
type Events interface {
	// Capture stores all of the events, or none and returns why; CaptureEach stores each that can be and says in the others' Err why not.
	Capture(ctx context.Context, by history.Ref, events []epcis.Event) ([]history.Captured, error)
	CaptureEach(ctx context.Context, by history.Ref, events []epcis.Event) ([]history.Captured, error)
	// Event is the event with an ID or a hash; problem.NotFound when there is none.
	Event(ctx context.Context, id string) (*epcis.Event, error)
	// Versions are all events with an ID: the event and its error declarations.
	Versions(ctx context.Context, id string) ([]history.Recorded, error)
	// Query and Values page by what they return: it is empty at the start and at the end.
	Query(ctx context.Context, q *query.Query, cursor string, limit int) (history.Page, error)
	Values(ctx context.Context, kind history.ValueKind, after string, limit int) ([]string, string, error)
	// After returns events in the order of their numbers, Last the greatest number there is, and Wait returns once there is a greater one.
	After(ctx context.Context, sequence uint64, limit int) ([]history.Recorded, error)
	Last(ctx context.Context) (uint64, error)
	Wait(ctx context.Context, sequence uint64) error
}

// What a caller wants to do, as May is asked.
const (
	ActCapture = "capture" // to write events and look at its own capture jobs
	ActQuery   = "query"   // to read events, and to keep queries and subscriptions
	ActAdmin   = "admin"   // to see and remove what others have: jobs, queries, subscriptions
)

// Config is what an interface is made of. Events, Store and Secret are needed.
type Config struct {
	Events Events
	Store  store.Store // jobs, named queries, subscriptions, in tables whose names begin with "epcis."
	Base   string      // where the interface stands, "/epcis" by default; "/" for the root
	Public string      // scheme and host before Base in Location and Link headers, "https://events.example.com"; empty: relative ones

	// Identify says who makes a request: nobody is no error, a proof that does not hold is one. Nil: everybody is nobody.
	Identify func(r *http.Request) (record.Identity, error)
	// May refuses what somebody is not let do, with an error of package problem. Nil: everybody may query and capture, and the operator may all.
	May func(ctx context.Context, who record.Identity, act string) error
	// See says how much of an event somebody sees. Nil: everybody sees everything.
	See func(ctx context.Context, who record.Identity, e *epcis.Event) share.Level
	// All reports whether somebody sees everything, which saves asking See for every event. Nil: by See alone.
	All func(ctx context.Context, who record.Identity) bool
	// Any reports whether somebody may see any event at all; for who may not, none is looked at, which spares the work that strangers could cause. Nil: see
	// See.
	Any func(ctx context.Context, who record.Identity) bool

	// Send makes a request to a callback address. The address is an outsider's choice: Send must refuse the node's own networks and follow no
	// redirects there. Nil: subscriptions by callback are refused.
	Send func(ctx context.Context, r *http.Request) (*http.Response, error)

	Secret []byte // signs page tokens; at least 16 bytes, the same on every process of a node
	Now    func() time.Time
	Rand   io.Reader
	Log    *slog.Logger
	Vendor string         // GS1-Vendor-Version; "fujie" by default
	Zone   *time.Location // of the schedules of subscriptions; UTC by default

	// CompanyPrefix tells how many digits the GS1 company prefix has with which some digits begin, 0 when it does not know: who wants EPC URNs gets them for
	// identifiers that were captured as links only where it knows. Nil: nowhere.
	CompanyPrefix func(digits string) int

	Limits Limits
}

// Limits bound what outsiders can ask for. A zero field has the value that its comment names.
type Limits struct {
	CaptureBytes  int64         // of a capture document, unpacked: 32 MiB
	CaptureEvents int           // of a capture document: 20,000
	Immediate     int           // a document of at most so many events is captured before the answer: 500
	Chunk         int           // events that are captured together under "proceed": 1,000
	Jobs          int           // capture jobs that wait or run: 100
	JobLife       time.Duration // finished jobs are forgotten after: 30 days
	JobErrors     int           // errors that a job lists: 1,000
	QueryBytes    int64         // of the body of a query or a subscription: 1 MiB
	URI           int           // of a request's target: 16 KiB
	PerPage       int           // greatest perPage: 1,000
	Scan          int           // events that are looked at for one page, where a caller may see few of them: 20,000
	TokenLife     time.Duration // of a nextPageToken: 24 hours
	Queries       int           // named queries: 10,000
	Subscriptions int           // of one caller: 100
	Sockets       int           // open at once: 1,000
	Batch         int           // events in one message to a subscriber: 100
	SendTimeout   time.Duration // for one message: 30 s
	RetryMin      time.Duration // the first wait after a failed message: 1 s
	RetryMax      time.Duration // the longest: 5 min
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (l *Limits) fill() {
	l.CaptureBytes = or(l.CaptureBytes, 32<<20)
	l.CaptureEvents = or(l.CaptureEvents, 20_000)
	l.Immediate = or(l.Immediate, 500)
	l.Chunk = or(l.Chunk, 1000)
	l.Jobs = or(l.Jobs, 100)
	l.JobLife = or(l.JobLife, 30*24*time.Hour)
	l.JobErrors = or(l.JobErrors, 1000)
	l.QueryBytes = or(l.QueryBytes, 1<<20)
	l.URI = or(l.URI, 16<<10)
	l.PerPage = or(l.PerPage, 1000)
	l.Scan = or(l.Scan, 20_000)
	l.TokenLife = or(l.TokenLife, 24*time.Hour)
	l.Queries = or(l.Queries, 10_000)
	l.Subscriptions = or(l.Subscriptions, 100)
	l.Sockets = or(l.Sockets, 1000)
	l.Batch = or(l.Batch, 100)
	l.SendTimeout = or(l.SendTimeout, 30*time.Second)
	l.RetryMin = or(l.RetryMin, time.Second)
	l.RetryMax = or(l.RetryMax, 5*time.Minute)
}

// Server is the interface. Make it with New, mount Handler, and keep Run running: jobs and subscriptions live by it.
type Server struct {
	cfg Config
	lim Limits

	jobs    chan struct{}   // a capture waits
	changed chan struct{}   // subscriptions came or went
	closing context.Context // ends with Run's, for the sockets
	close   context.CancelFunc

	mu      sync.Mutex
	sockets map[*socket]struct{}
	ahead   map[string]*batch // documents of jobs that wait, to spare reading them twice
}

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	if cfg.Events == nil || cfg.Store == nil {
		return nil, errors.New("rest: Config.Events and Config.Store are needed")
	}
	if len(cfg.Secret) < 16 {
		return nil, errors.New("rest: Config.Secret needs at least 16 bytes")
	}
	if cfg.Base = strings.TrimRight(or(cfg.Base, "/epcis"), "/"); cfg.Base != "" && cfg.Base[0] != '/' {
		return nil, errors.New("rest: Config.Base begins with a slash")
	}
	cfg.Public = strings.TrimRight(cfg.Public, "/")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	cfg.Vendor = or(cfg.Vendor, "fujie")
	if cfg.May == nil {
		cfg.May = func(_ context.Context, who record.Identity, act string) error {
			if act != ActAdmin || who.Operator {
				return nil
			}
			return problem.New(problem.Forbidden, "only the operator of the node may do that", "仅节点运维方可执行该操作")
		}
	}
	s := &Server{cfg: cfg, lim: cfg.Limits, jobs: make(chan struct{}, 1), changed: make(chan struct{}, 1), sockets: map[*socket]struct{}{}}
	s.lim.fill()
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Handler answers everything under Config.Base.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Run works on capture jobs and subscriptions until ctx ends, and then closes the sockets. Jobs that a stop interrupted are taken up again. Of several
// processes on one store only one may run it: two would send every message twice.
func (s *Server) Run(ctx context.Context) error {
	defer s.close()
	var all sync.WaitGroup
	all.Go(func() { s.runJobs(ctx) })
	all.Go(func() { s.runSubscriptions(ctx) })
	all.Go(func() { s.runCleaning(ctx) })
	all.Wait()
	return ctx.Err()
}

// poke wakes who waits on a channel of one place.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sleep waits, and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
