// Package registry gives the authoritative answer: what is registered here, who may change it, and what was changed
// when. Registrations are durable when they are acknowledged, a million of them take minutes, and every one can be
// asked for the moment it is made.
//
// It stands on a store (see layout.go for what is under which key) and is a record.Resolver, Appender, Registrar,
// Lister, Feed and SecretFinder. One Registry at a time writes to a store; a second one does no harm to what is stored,
// since every batch is conditional on the number of the last change, but would not know which of its ready answers have
// become old.
//
// Who is trusted: whoever can write to the store's files can change every record that is not signed, and read every
// secret key; of signed ones they can at most bring old versions back.
package registry

import (
	"context"
	"crypto/rand"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trust"
)

// Config says on what a Registry stands and whom it obeys. Only Store is needed.
type Config struct {
	Store store.Store
	// Keys are the keys that sign for prefixes this node answers for. The first one of a prefix signs; others of the
	// same prefix stay listed until what they signed has run out.
	Keys []SigningKey
	// Admins may do everything here, over any wire. Each is a key's reference or a group's (HS_VLIST).
	Admins []record.Ref
	// Followers may read the feed, secret keys included: the mirrors of this node.
	Followers []record.Ref
	// Groups finds prefix records and groups that are kept elsewhere; nil when there is nobody to ask.
	Groups record.Resolver
	// Governor knows the rules about who may see what; nil when the permissions of the values are all there is. It may
	// be a Quick and a Noter too. Whoever changes a rule calls Forget.
	Governor record.Governor
	// HotBytes is the memory for ready answers; 0 keeps none. A million records of five values take about 300 MB.
	HotBytes int64
	// ReadOnly refuses every Write with problem.ReadOnly, as a mirror does.
	ReadOnly bool
	// CertFor is how long a delegation's certificate and signature hold, 400 days if 0; SignFor, how long the signature
	// of any other record does, 30 days if 0. Renew makes new ones in time.
	CertFor, SignFor time.Duration

	Now  func() time.Time // time.Now if nil
	Rand io.Reader        // crypto/rand if nil
}

// SigningKey is a private key and where its public half is registered.
type SigningKey struct {
	Prefix string     // for whose records it signs: 88.118; 0.NA is the root's
	Ref    record.Ref // 300:0.NA/88.118
	Key    *trust.PrivateKey
}

// Registry is the authoritative answer of one node. Make it with Open.
type Registry struct {
	cfg      Config
	store    store.Store
	hot      *hot
	keys     atomic.Pointer[keyring]
	mayWrite atomic.Bool
	writing  sync.RWMutex // held, shared, by writes under way
	quick    Quick        // the Governor, if it is one

	homesMu sync.RWMutex
	homes   map[string]struct{}

	elsewhere elsewhere
	writer    writer
	randMu    sync.Mutex
}

// rootPrefix is the prefix of prefix records, and the root's own.
const rootPrefix = "0.NA"

// Open opens what is in the store, or begins with nothing. It reads the list of prefixes only, so that it takes no
// longer when there are more records. The store stays the caller's to close, after the last call here.
func Open(ctx context.Context, cfg Config) (*Registry, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.CertFor <= 0 {
		cfg.CertFor = 400 * 24 * time.Hour
	}
	if cfg.SignFor <= 0 {
		cfg.SignFor = 30 * 24 * time.Hour
	}
	r := &Registry{cfg: cfg, store: cfg.Store, hot: newHot(cfg.HotBytes)}
	r.mayWrite.Store(!cfg.ReadOnly)
	r.quick, _ = cfg.Governor.(Quick)
	r.SetKeys(cfg.Keys)
	if err := r.readLayout(ctx); err != nil {
		return nil, err
	}
	if err := r.readHomes(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Registry) readLayout(ctx context.Context) error {
	key := metaKey("format")
	got, err := get(ctx, r.store, nil, key)
	if err != nil {
		return err
	}
	if got == nil {
		var b store.Batch
		b.Expect(key, nil)
		b.Put(key, []byte{layoutVersion})
		_, err = r.store.Apply(ctx, &b)
		switch {
		case err == nil:
			return nil
		case problem.Is(err, problem.Conflict):
			return r.readLayout(ctx)
		}
		return storeProblem(err)
	}
	if len(got) != 1 || got[0] != layoutVersion {
		return problem.New(problem.Unsupported,
			"the store was written in layout %d, this program reads layout %d: use the program's version that wrote it, export there and import here",
			"存储的布局版本为 %d，本程序读取版本 %d：请用写入它的程序版本导出，再在此导入", first(got), layoutVersion)
	}
	return nil
}

func first(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (r *Registry) readHomes(ctx context.Context) error {
	homes := map[string]struct{}{}
	err := r.store.Range(ctx, store.Under([]byte{tagHomed}), func(key, _ []byte) error {
		homes[string(key[1:])] = struct{}{}
		return nil
	})
	if err != nil {
		return storeProblem(err)
	}
	r.homesMu.Lock()
	r.homes = homes
	r.homesMu.Unlock()
	return nil
}

// SetReadOnly says whether Write is refused. A mirror that takes over is switched to false.
// When it returns from being switched to true, no write is under way any more: the last change stays the last but for
// what Copy brings.
func (r *Registry) SetReadOnly(on bool) {
	r.mayWrite.Store(!on)
	if on {
		r.writing.Lock()
		//lint:ignore SA2001 those that were let in before have ended.
		r.writing.Unlock()
	}
}

// homed reports whether this node answers for the prefix, which is folded.
func homed[T string | []byte](r *Registry, prefix T) bool {
	r.homesMu.RLock()
	_, ok := r.homes[string(prefix)]
	r.homesMu.RUnlock()
	return ok
}

// get is the store's Get, with nil for what is not there.
func get(ctx context.Context, s store.Reader, dst, key []byte) ([]byte, error) {
	b, err := s.Get(ctx, dst, key)
	if err != nil {
		if problem.Is(err, problem.NotFound) {
			return nil, nil
		}
		return nil, storeProblem(err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// storeProblem is err as it leaves this room.
func storeProblem(err error) error {
	switch problem.KindOf(err) {
	case problem.Full, problem.Busy, problem.Conflict, problem.TooLarge:
		return err
	}
	if c := canceled(err); c != nil {
		return c
	}
	return problem.Wrap(err, problem.Internal, "the store failed: see the node's log and its disk", "存储出错：请查看节点日志与磁盘")
}

func canceled(err error) error {
	if err == context.Canceled || err == context.DeadlineExceeded {
		return problem.Wrap(err, problem.Canceled, "the request was given up before it was done: ask again", "请求在完成前被放弃：请重试")
	}
	return nil
}

// prefixOf reads the name of a prefix as people and wires give it: 88.118 or 0.NA/88.118.
func prefixOf(s string) string {
	s = handle.Fold(s)
	if len(s) > len(rootPrefix) && s[len(rootPrefix)] == '/' && s[:len(rootPrefix)] == rootPrefix {
		return s[len(rootPrefix)+1:]
	}
	return s
}

func notHere(v id.ID) error {
	return problem.New(problem.NotHere, "That prefix doesn't live here: %s. Ask the server that its prefix record names",
		"本节点不负责该前缀：%s。请向其前缀记录所指的服务器查询", clip(v.Prefix()))
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
