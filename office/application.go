package office

import (
	"encoding/base64"
	"net/netip"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// State is where an application, and then the prefix that it won, stands.
type State string

// draft → submitted → in-review → approved → active, or refused; submitted and in-review → withdrawn; active ⇄ suspended → revoked.
const (
	Draft     State = "draft"     // 草稿: claims nothing yet
	Submitted State = "submitted" // 待审核: claims its prefix
	InReview  State = "in-review" // 审核中
	Approved  State = "approved"  // 已批准: decided, and being delegated
	Refused   State = "refused"   // 已驳回: the applicant may correct it and submit it again
	Withdrawn State = "withdrawn" // 已撤回
	Active    State = "active"    // 启用: delegated
	Suspended State = "suspended" // 停用: resolution says so; nothing is lost
	Revoked   State = "revoked"   // 已注销: nobody's, and kept from everybody for a time
)

// claims reports whether an application in this state keeps others from its prefix.
func (s State) claims() bool {
	return s == Submitted || s == InReview || s == Approved || s == Active || s == Suspended
}

// Kind is where the records of a prefix are.
type Kind string

const (
	SelfHosted Kind = "self-hosted" // 自建: on the enterprise's own node
	Hosted     Kind = "hosted"      // 托管: on the node of the office
)

// Form is what an applicant fills in.
type Form struct {
	Prefix       string       `json:"prefix" maxLength:"64" doc:"The prefix that it proposes (申请前缀), directly below the office's own: 88.118.1001"`
	Kind         Kind         `json:"kind" enum:"self-hosted,hosted" doc:"self-hosted 自建: records are on its own node; hosted 托管: on the node of this office"`
	Organisation Organisation `json:"organisation" doc:"Who applies (申请单位)"`
	Key          []byte       `json:"key" doc:"The applicant's public key (公钥), base64 of PEM, JWK or HS_PUBKEY. It becomes the prefix's key when self-hosted, its administrator's when hosted"`
	Sites        []Site       `json:"sites,omitempty" maxItems:"10" doc:"Where its node answers (站点); needed when self-hosted, before it is approved"`
	Note         string       `json:"note,omitempty" maxLength:"500" doc:"To the reviewer (备注)"`
}

// Site is an HS_SITE for people.
type Site struct {
	Description string   `json:"description,omitempty" maxLength:"200"`
	Primary     bool     `json:"primary" doc:"Takes changes; the others mirror it"`
	Serial      uint16   `json:"serial,omitempty"`
	Servers     []Server `json:"servers" minItems:"1" maxItems:"16"`
}

// Server is one server of a Site.
type Server struct {
	ID         uint32      `json:"id"`
	Address    string      `json:"address" doc:"IPv4 or IPv6"`
	Key        []byte      `json:"key,omitempty" doc:"Its public key, base64 of HS_PUBKEY data"`
	Interfaces []Interface `json:"interfaces" minItems:"1" maxItems:"16"`
}

// Interface is one way into a Server.
type Interface struct {
	Protocol string `json:"protocol" enum:"udp,tcp,http,https"`
	Port     uint32 `json:"port" minimum:"1" maximum:"65535"`
	Query    bool   `json:"query"`
	Admin    bool   `json:"admin"`
}

var protocols = [...]string{record.UDP: "udp", record.TCP: "tcp", record.HTTP: "http", record.HTTPS: "https"}

// SiteOf is s for people.
func SiteOf(s *record.Site) Site {
	out := Site{Description: s.Attribute("desc"), Primary: s.Primary, Serial: s.Serial}
	for _, srv := range s.Servers {
		v := Server{ID: srv.ID, Address: srv.Addr.Unmap().String(), Key: srv.PublicKey}
		for _, i := range srv.Interfaces {
			v.Interfaces = append(v.Interfaces, Interface{protocols[i.Protocol&3], i.Port, i.Query, i.Admin})
		}
		out.Servers = append(out.Servers, v)
	}
	return out
}

// Site is s as the delegation has it. Errors: problem.BadValue.
func (s *Site) Site() (*record.Site, error) {
	out := &record.Site{Version: 1, Major: 2, Minor: 11, Serial: max(1, s.Serial), Primary: s.Primary, Hash: record.HashAll}
	if s.Description != "" {
		out.Attributes = []record.Attribute{{Name: "desc", Value: s.Description}}
	}
	if len(s.Servers) == 0 || len(s.Servers) > 16 {
		return nil, problem.New(problem.BadValue, "a site has 1 to 16 servers, this one %d", "站点应有 1 至 16 台服务器，此处为 %d 台", len(s.Servers))
	}
	for i, srv := range s.Servers {
		a, err := netip.ParseAddr(srv.Address)
		if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			return nil, problem.New(problem.BadValue, "server %d has no address that others reach: %.64q", "第 %d 台服务器没有可供访问的地址：%.64q", i+1, srv.Address)
		}
		if len(srv.Interfaces) == 0 || len(srv.Interfaces) > 16 {
			return nil, problem.New(problem.BadValue, "server %d has no interface, or too many", "第 %d 台服务器没有接口或接口过多", i+1)
		}
		if len(srv.Key) > 4096 {
			return nil, problem.New(problem.BadValue, "the key of server %d is too long", "第 %d 台服务器的公钥过长", i+1)
		}
		v := record.Server{ID: srv.ID, Addr: a, PublicKey: srv.Key}
		for _, f := range srv.Interfaces {
			p := -1
			for n, name := range protocols {
				if name == f.Protocol {
					p = n
				}
			}
			if p < 0 || f.Port < 1 || f.Port > 65535 || !f.Query && !f.Admin {
				return nil, problem.New(problem.BadValue, "server %d has an interface %.10q to port %d that is none; use udp, tcp, http or https, query or admin",
					"第 %d 台服务器的接口 %.10q（端口 %d）无效；请用 udp、tcp、http 或 https，并注明 query 或 admin", i+1, f.Protocol, f.Port)
			}
			v.Interfaces = append(v.Interfaces, record.Interface{Protocol: record.Protocol(p), Port: f.Port, Query: f.Query, Admin: f.Admin})
		}
		out.Servers = append(out.Servers, v)
	}
	return out, nil
}

// Event is one step of an application's way, signed by the office's key.
type Event struct {
	At   time.Time `json:"at"`
	By   string    `json:"by" doc:"Who did it: the identifier of their key or account"`
	What string    `json:"what" doc:"apply, correct, submit, review, approve, refuse, withdraw, delegate, renew, suspend, resume, expire, revoke, move, …"`
	From State     `json:"from"`
	To   State     `json:"to"`
	Why  string    `json:"why,omitempty" doc:"The reason, as it was given"`
	// JWS signs Claims of this event and of the one before, so that none can be left out.
	JWS string `json:"jws" doc:"The event and the hash of the event before it, a JWS (RFC 7515) by the office's key"`
}

// Claims is what an event's JWS signs.
type Claims struct {
	Issuer  string `json:"iss"` // 300:0.NA/88.118
	Subject string `json:"sub"` // 88.118/APPLY_000001
	Prefix  string `json:"prefix"`
	Number  int    `json:"n"` // of the event, from 1
	At      int64  `json:"iat"`
	By      string `json:"by"`
	What    string `json:"what"`
	From    State  `json:"from"`
	To      State  `json:"to"`
	Why     string `json:"why,omitempty"`
	Before  string `json:"before,omitempty"` // base64url of SHA-256 of the JWS before this one
}

// Task is something decided that takes several writes. It stands in the paper before the first of them, so that a crash
// leaves nothing half done: whoever opens the office again finishes it.
type Task struct {
	What  string    `json:"what"` // approve, suspend, resume, revoke, move
	By    string    `json:"by"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"` // why it could not be finished yet
	Move  *Move     `json:"move,omitempty"`
}

// Warning is something that a reviewer must look at.
type Warning struct {
	Code  string `json:"code" doc:"look-alike-prefix, look-alike-name, same-certificate, same-key, long-prefix, quarantined, mixed-scripts, …"`
	About string `json:"about,omitempty" doc:"What it collides with"`
	EN    string `json:"en"`
	ZH    string `json:"zh"`
}

// Timing is how long it took from the approval until the prefix resolved.
type Timing struct {
	Approved   time.Time `json:"approved,omitzero"`
	Delegated  time.Time `json:"delegated,omitzero"`
	Resolvable time.Time `json:"resolvable,omitzero" doc:"When it was first resolved from outside"`
	Seconds    float64   `json:"seconds,omitempty" doc:"From the approval to the first resolution (注册生效时长)"`
}

// Notice is something that an applicant is to know.
type Notice struct {
	At time.Time `json:"at"`
	EN string    `json:"en"`
	ZH string    `json:"zh"`
}

// Application is the file of one prefix: the form, and everything that happened to it since.
type Application struct {
	Form
	Applicant string    `json:"applicant"` // whose application it is: 300:88.118/APPLY_000001, or an account
	State     State     `json:"state"`
	Warnings  []Warning `json:"warnings,omitempty"`
	Events    []Event   `json:"events"`
	Notices   []Notice  `json:"notices,omitempty"`
	Task      *Task     `json:"task,omitempty"`
	Until     time.Time `json:"until,omitzero"`      // end of its term
	Kept      []byte    `json:"kept,omitempty"`      // the delegation's values while it is suspended, as a value block
	ByTerm    bool      `json:"byTerm,omitempty"`    // suspended because the term was over
	Reminded  int       `json:"reminded,omitempty"`  // how many reminders of this term were given
	FreeAgain time.Time `json:"freeAgain,omitzero"`  // revoked: until when nobody gets the prefix
	Timing    Timing    `json:"timing,omitzero"`     // approved → resolvable
	Checks    int       `json:"checks,omitempty"`    // how often it was asked from outside before it resolved
	LastMoved *Move     `json:"lastMoved,omitempty"` // the last finished move
}

// Opened and Changed are when the application began and when something last happened to it.
func (a *Application) Opened() time.Time {
	if len(a.Events) == 0 {
		return time.Time{}
	}
	return a.Events[0].At
}

// Changed is when something last happened to it.
func (a *Application) Changed() time.Time {
	if len(a.Events) == 0 {
		return time.Time{}
	}
	return a.Events[len(a.Events)-1].At
}

var b64url = base64.RawURLEncoding.Strict()

// Move is a prefix on its way from its host's node to its own, or back.
type Move struct {
	To      Kind      `json:"to" enum:"self-hosted,hosted"`
	Sites   []Site    `json:"sites,omitempty" doc:"Where its own node answers"`
	Stage   string    `json:"stage" doc:"copying, frozen, switched, done"`
	After   uint64    `json:"after" doc:"The change up to which the records are there"`
	Copied  int64     `json:"copied"`
	Since   time.Time `json:"since"`
	Linger  time.Time `json:"linger,omitzero" doc:"Until when the old place goes on answering"`
	Records int64     `json:"records"`
}
