package irp

import (
	"bytes"
	"container/list"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Limits of the table of challenges that nobody has answered yet.
const (
	challengeLifetime = time.Minute
	maxChallenges     = 16384    // of each kind of peer, see challenges
	maxChallengeBytes = 64 << 20 // of kept requests and answers, of each kind of peer
	maxPeerChallenges = 256      // of one address (IPv6: of one /64)
	nonceSize         = 16
)

// challenge is one "prove who you are" that was sent, with the request that waits for the proof. Its fields do not
// change once it is in the table.
type challenge struct {
	id        uint32 // the message's session id: the session's when there is one, else odd
	nonce     [nonceSize]byte
	digest    []byte // of request, as the challenge's message carries it, without the algorithm byte
	request   []byte // header and body, to be run once the proof holds
	version   uint16 // major<<8 | minor that the request's answers use
	requestID uint32
	peer      netip.AddrPort
	expires   time.Time

	proven   bool // the peer's address is: it came over a connection
	place    *list.Element
	answered bool
	answerID uint32         // request id of the one answer that was taken
	answerer netip.AddrPort // and where it came from
	response []byte         // what was sent to it, for a datagram that comes again
}

func (c *challenge) size() int { return len(c.request) + len(c.response) + len(c.digest) + 256 }

// challenges is a server's table of pending challenges. Each is answered at most once, whatever the outcome, within
// its lifetime. The table is bounded in number and in bytes: of two parts, one for peers behind a connection and one
// for datagrams, whose source may be forged, so that forged ones push out only each other. In a part, and among those
// of one address, the oldest goes first. Methods may be called at once from many goroutines.
type challenges struct {
	now  func() time.Time
	rand io.Reader

	mu    sync.Mutex
	byID  map[uint32]*challenge
	byAsk map[ask]*challenge
	peers map[netip.Addr]*list.List // of *challenge, oldest first
	parts [2]challengePart          // datagrams, connections
}

type challengePart struct {
	n     int
	bytes int
	order *list.List // of *challenge, oldest first
}

// ask tells a request that is sent again from a new one.
type ask struct {
	peer      netip.AddrPort
	session   uint32
	requestID uint32
}

// newChallenges makes an empty table. now and random may be nil, for the clock and the system's randomness.
func newChallenges(now func() time.Time, random io.Reader) *challenges {
	if now == nil {
		now = time.Now
	}
	if random == nil {
		random = rand.Reader
	}
	t := &challenges{now: now, rand: random,
		byID: map[uint32]*challenge{}, byAsk: map[ask]*challenge{}, peers: map[netip.Addr]*list.List{}}
	t.parts[0].order, t.parts[1].order = list.New(), list.New()
	return t
}

// put notes that request (header and body; copied) from peer waits for a proof, and returns the challenge to send.
// session is the id of the session it came in, or 0. The same request again gets the same challenge; in a session a
// new one takes the place of the one before, since both would have the session's id. proven says that peer's address
// is its own. The error is of kind problem.Internal: no randomness.
func (t *challenges) put(peer netip.AddrPort, proven bool, session, requestID uint32, version uint16, digest, request []byte) (*challenge, error) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	key := ask{peer, session, requestID}
	if session != 0 {
		key.peer = netip.AddrPort{} // a session may go from connection to connection
	}
	if c := t.byAsk[key]; c != nil {
		if !c.answered && bytes.Equal(c.request, request) {
			return c, nil
		}
		t.drop(c)
	}
	c := &challenge{id: session, digest: bytes.Clone(digest), request: bytes.Clone(request), version: version,
		requestID: requestID, peer: peer, proven: proven, expires: now.Add(challengeLifetime)}
	if _, err := io.ReadFull(t.rand, c.nonce[:]); err != nil {
		return nil, noRandomness(err)
	}
	if session != 0 {
		if old := t.byID[session]; old != nil {
			t.drop(old)
		}
	}
	if c.id == 0 {
		id, err := randomID(t.rand)
		if err != nil {
			return nil, err
		}
		// Odd, so that it is never a session's.
		for id |= 1; t.byID[id] != nil; {
			id = (id + 2) &^ (1 << 31)
		}
		c.id = id
	}
	part := t.part(c)
	for part.n >= maxChallenges || part.bytes+c.size() > maxChallengeBytes {
		front := part.order.Front()
		if front == nil {
			break
		}
		t.drop(front.Value.(*challenge))
	}
	own := t.peers[network(peer.Addr())]
	if own == nil {
		own = list.New()
		t.peers[network(peer.Addr())] = own
	}
	if own.Len() >= maxPeerChallenges {
		t.drop(own.Front().Value.(*challenge))
		t.peers[network(peer.Addr())] = own
	}
	own.PushBack(c)
	c.place = part.order.PushBack(c)
	part.n++
	part.bytes += c.size()
	t.byID[c.id], t.byAsk[key] = c, c
	return c, nil
}

// take spends the challenge with this id for the answer requestID from peer. Nobody else gets it again, whether the
// proof holds or not. For an answer that is sent again it returns the response that was sent before; both results are
// nil while that is still being worked out, and then the message is to be dropped. The error is of kind
// problem.AuthTimeout: unknown, spent or too old.
func (t *challenges) take(peer netip.AddrPort, id, requestID uint32) (c *challenge, response []byte, err error) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	c = t.byID[id]
	if c == nil {
		return nil, nil, problem.New(problem.AuthTimeout,
			"no challenge is waiting for this answer: it was answered already or is older than %d seconds; send the request again",
			"没有等待此应答的质询：已应答过或已超过 %d 秒；请重新发送请求", int(challengeLifetime/time.Second))
	}
	if c.answered {
		if c.answerID == requestID && c.answerer == peer {
			return nil, c.response, nil
		}
		return nil, nil, problem.New(problem.AuthTimeout,
			"this challenge was answered already; send the request again to get a new one",
			"此质询已被应答；请重新发送请求以取得新的质询")
	}
	c.answered, c.answerID, c.answerer = true, requestID, peer
	return c, nil, nil
}

// done notes what was sent to the answer that took c (the whole message; copied). keep is for datagrams: on a
// connection nothing comes twice, and the challenge is forgotten.
func (t *challenges) done(c *challenge, response []byte, keep bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[c.id] != c {
		return
	}
	if !keep {
		t.drop(c)
		return
	}
	part := t.part(c)
	part.bytes -= c.size()
	// A new slice: whoever took the challenge may still read the request.
	c.response = bytes.Clone(response)
	part.bytes += c.size()
}

// len is how many challenges are kept.
func (t *challenges) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

func (t *challenges) part(c *challenge) *challengePart {
	if c.proven {
		return &t.parts[1]
	}
	return &t.parts[0]
}

// expire forgets what is too old. All live equally long, so the oldest are in front.
func (t *challenges) expire(now time.Time) {
	for i := range t.parts {
		for {
			front := t.parts[i].order.Front()
			if front == nil || now.Before(front.Value.(*challenge).expires) {
				break
			}
			t.drop(front.Value.(*challenge))
		}
	}
}

func (t *challenges) drop(c *challenge) {
	part := t.part(c)
	part.order.Remove(c.place)
	part.n--
	part.bytes -= c.size()
	if t.byID[c.id] == c {
		delete(t.byID, c.id)
	}
	key := ask{c.peer, 0, c.requestID}
	if c.id&1 == 0 {
		key = ask{netip.AddrPort{}, c.id, c.requestID}
	}
	if t.byAsk[key] == c {
		delete(t.byAsk, key)
	}
	net := network(c.peer.Addr())
	own := t.peers[net]
	for e := own.Front(); e != nil; e = e.Next() {
		if e.Value.(*challenge) == c {
			own.Remove(e)
			break
		}
	}
	if own.Len() == 0 {
		delete(t.peers, net)
	}
}

// network is what counts as one asker: an IPv4 address, or the /64 that one IPv6 host commonly has to itself.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// randomID is a random positive number, as message, session and challenge ids are.
func randomID(random io.Reader) (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, noRandomness(err)
	}
	return max(binary.BigEndian.Uint32(b[:])&^(1<<31), 2), nil
}

func noRandomness(err error) error {
	return problem.Wrap(err, problem.Internal, "no random numbers can be had from the system",
		"无法从系统取得随机数")
}
