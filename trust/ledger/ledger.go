// Package ledger makes what a node does provable: every change of a record, and every look at what is not public, is
// an entry of a log that can only grow. Who keeps the node can neither take an entry out, nor alter one, nor show
// different logs to different people, without everybody being able to prove it.
//
// A log is a Merkle tree (RFC 6962) published as static files in the layout of C2SP tlog-tiles, so that any tool for
// that format can read it, and any web server can serve a copy (see Copy):
//
//	checkpoint                 size and root, signed by the log, co-signed by other nodes as witnesses
//	tile/0/x001/234            256 hashes; tile/1/… those of full tiles below, and so on; .p/N is a part of one
//	tile/entries/x001/234      the 256 entries themselves: u16 length and bytes each
//	vkey                       the log's public key
//
// Entries about records are commitments: they tell nothing to who reads the log, and prove the entry to who is shown
// it (see Entry). The log's folder on disk is
//
//	../secret                  what the commitments are made with; for the node alone
//	head                       the last checkpoint that was signed
//	checkpoint, vkey           as published
//	hashes/L/00000000          the hashes of level L one behind the other, 65,536 a file: a tile is a part of one
//	entries/00000000           the bundles, 65,536 entries a file; entries/at/… where each begins, u64
//	index/                     which entry was the last one about which identifier
//
// All but secret and head can be made again from the entries' source. Somebody who can write this folder can stop the
// log, but not alter what witnesses have seen; who can read secret can tell which guessed record is behind an entry;
// who has the key can sign another log, which witnesses will refuse and an audit will show.
package ledger

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// Config says what one log is. Dir, Origin, Key and Source must be set.
type Config struct {
	// Dir is the log's folder, made if need be. Its parent holds the secret, which logs of one node share.
	Dir string
	// Origin names the log in the whole world: a URL without its scheme, as id.example.com/ledger/changes. It cannot be
	// changed later.
	Origin string
	// Key signs; an Ed25519 one.
	Key    *trust.PrivateKey
	Source Source

	// Witnesses are asked to co-sign each checkpoint. With a Quorum a checkpoint is not published before so many have;
	// the last one stays meanwhile, and registration goes on.
	Witnesses []Witness
	Quorum    int
	// Interval is how long a new entry waits at most to be published, if the witnesses answer at once; 1 s if 0.
	Interval time.Duration
	// ID finds the identifier that an entry is about, for Last; nil: no index is kept.
	ID func(e *Entry) []byte

	Client *http.Client // to ask witnesses; one with a time limit of 10 s if nil
	Now    func() time.Time
	Rand   io.Reader // crypto/rand if nil
	Log    *slog.Logger
}

// batch is how many entries are taken from the source at once.
const batch = 4096

// Log is one append-only log. Make it with Open, let it Run.
type Log struct {
	cfg    Config
	dir    *disk
	signer signer
	maker  maker

	mu      sync.Mutex
	edge    edge
	grown   chan struct{} // closed when the edge grows
	scratch []byte
	index   *index

	pub       sync.Mutex // one checkpoint at a time
	head      Checkpoint // the last one signed
	witnesses []*witnessClient

	shown     sync.RWMutex
	checkpt   []byte // the published note
	published Checkpoint
	cosigned  []Cosignature
	fresh     chan struct{} // closed when published changes

	tiles tileCache
}

// Open opens the log in cfg.Dir, or begins it. What a crash left half done is made again from the source. Errors:
// problem.BadValue for a configuration that does not fit; problem.Bogus when the source no longer gives what was
// signed: then nothing is signed any more.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Interval <= 0 {
		cfg.Interval = time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if cfg.Key == nil || cfg.Source == nil || cfg.Dir == "" {
		return nil, problem.New(problem.BadValue, "a ledger needs a folder, a key and a source of entries", "账本需要目录、密钥和条目来源")
	}
	if cfg.Quorum > len(cfg.Witnesses) {
		return nil, problem.New(problem.BadValue, "the ledger asks for %d witnesses, but only %d are named: name more, or lower the quorum", "账本要求 %d 个见证者，但只列出 %d 个：请增加见证者或降低数目", cfg.Quorum, len(cfg.Witnesses))
	}
	v, err := LogVerifier(cfg.Origin, cfg.Key.Public())
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, dir: newDisk(cfg.Dir), signer: signer{Verifier: v, key: cfg.Key}, grown: make(chan struct{}), fresh: make(chan struct{})}
	for _, w := range cfg.Witnesses {
		if !w.Key.IsWitness() || w.URL == "" {
			return nil, problem.New(problem.BadValue, "the witness %s needs a URL and a witness's key (its vkey begins with its name)", "见证者 %s 需要 URL 和见证者密钥", w.Key.Name())
		}
		l.witnesses = append(l.witnesses, &witnessClient{Witness: w})
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, diskProblem(err, cfg.Dir)
	}
	headNote, err := l.dir.read("head")
	if err != nil {
		return nil, err
	}
	key, err := ensureSecret(filepath.Join(filepath.Dir(filepath.Clean(cfg.Dir)), "secret"), cfg.Rand, headNote != nil)
	if err != nil {
		return nil, err
	}
	l.maker.secret = secret{key: key, origin: cfg.Origin}
	if headNote != nil {
		if l.head, _, err = openCheckpoint(headNote, v, nil); err != nil {
			return nil, problem.Wrap(err, problem.Bogus, "the file head of the ledger in %s was damaged or belongs to another key: restore it from a backup", "账本 %s 中的 head 文件已损坏或属于其他密钥：请从备份恢复", cfg.Dir)
		}
	} else {
		l.head = Checkpoint{Origin: cfg.Origin, Root: l.edge.root()}
	}
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	if err := l.checkLast(ctx); err != nil {
		return nil, err
	}
	if cfg.ID != nil {
		if err := l.openIndex(ctx); err != nil {
			return nil, err
		}
	}
	if err := l.dir.write("vkey", []byte(v.String()+"\n")); err != nil {
		return nil, err
	}
	return l, l.loadPublished()
}

// load takes the edge from the files, or, if they do not give the signed root, makes all files again.
func (l *Log) load(ctx context.Context) error {
	if l.head.Size == 0 {
		l.dir.begin(0, 0)
		return nil
	}
	if e, at, ok := l.dir.load(l.head.Size); ok && e.root() == l.head.Root {
		l.edge = e
		l.dir.begin(e.size, at)
		return nil
	}
	l.cfg.Log.Warn("the ledger's files are damaged; they are made again", "ledger", l.cfg.Origin, "size", l.head.Size)
	l.dir.begin(0, 0)
	for l.edge.size < l.head.Size {
		list, err := l.entries(ctx, int(min(batch, l.head.Size-l.edge.size)))
		if err != nil {
			return err
		}
		if err := l.append(list, false); err != nil {
			return err
		}
	}
	if l.edge.root() != l.head.Root {
		return l.altered()
	}
	return l.dir.sync()
}

// load reads the edge of a tree of this size, and where the next entry goes.
func (d *disk) load(size int64) (e edge, at int64, ok bool) {
	e.size = size
	for lv := 0; size>>(tileHeight*lv) > 0; lv++ {
		var b []byte
		if w := width(size, lv); w > 0 {
			var err error
			if b, err = d.tile(tile{lv, size >> (tileHeight * (lv + 1)), w}); err != nil || b == nil {
				return e, 0, false
			}
		}
		e.levels = append(e.levels, append(make([]byte, 0, tileBytes), b...))
	}
	// The last entries: those of the incomplete tile, or of the last full one.
	last := tile{entriesLevel, (size - 1) >> tileHeight, int((size-1)%tileWidth) + 1}
	b, err := d.tile(last)
	hashes, err2 := d.tile(tile{0, last.n, last.width})
	at, err3 := d.offset(last.n)
	leaves, whole := splitBundle(b, last.width)
	if err != nil || err2 != nil || err3 != nil || at < 0 || !whole || hashes == nil {
		return e, 0, false
	}
	var scratch []byte
	for i, leaf := range leaves {
		var h Hash
		if h, scratch = leafHash(scratch, leaf); !bytes.Equal(h[:], hashes[i*len(h):][:len(h)]) {
			return e, 0, false
		}
	}
	if at += int64(len(b)); size%segment == 0 {
		at = 0
	}
	return e, at, true
}

// checkLast compares the last entry that was signed with the source's. A store that was restored from an older backup
// does not have it, or has another one under its number.
func (l *Log) checkLast(ctx context.Context) error {
	if l.head.Size == 0 {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list, err := l.cfg.Source.Entries(wait, uint64(l.head.Size)-1, 1)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return l.altered()
	case err != nil:
		return err
	case len(list) == 0 || list[0].Seq != uint64(l.head.Size):
		return l.altered()
	}
	leaf, _, err := l.maker.leaf(&list[0])
	if err != nil {
		return err
	}
	h, _ := leafHash(nil, leaf)
	last := (l.head.Size - 1) % tileWidth
	b, err := l.dir.tile(tile{0, (l.head.Size - 1) >> tileHeight, int(last) + 1})
	if err != nil {
		return err
	}
	if b == nil || !bytes.Equal(b[last*tlog.HashSize:], h[:]) {
		return l.altered()
	}
	return nil
}

func (l *Log) altered() error {
	return problem.New(problem.Bogus, "the first %[2]d entries of the ledger %[1]s are not what was signed before: the store was altered, or restored from an older state; nothing more is signed. Restore the store as it was, or begin a ledger under another origin",
		"账本 %s 的前 %d 项与此前签名的内容不符：存储已被更改或恢复到更早的状态，因此不再签名。请恢复存储原状，或以新的名称另建账本", l.cfg.Origin, l.head.Size)
}

func (l *Log) loadPublished() error {
	b, err := l.dir.read("checkpoint")
	if err != nil {
		return err
	}
	if b != nil {
		var by []Cosignature
		c, _, err := openCheckpoint(b, l.signer.Verifier, nil)
		if err == nil && c.Size <= l.head.Size {
			_, by, _ = openCheckpoint(b, l.signer.Verifier, l.witnessKeys())
			l.checkpt, l.published, l.cosigned = b, c, by
		}
	}
	return nil
}

func (l *Log) witnessKeys() (out []Verifier) {
	for _, w := range l.cfg.Witnesses {
		out = append(out, w.Key)
	}
	return out
}

// entries asks the source for what comes next, and checks that nothing is left out.
func (l *Log) entries(ctx context.Context, limit int) ([]Entry, error) {
	list, err := l.cfg.Source.Entries(ctx, uint64(l.edge.size), limit)
	if err != nil {
		return nil, err
	}
	if len(list) > limit {
		list = list[:limit]
	}
	for i := range list {
		if want := uint64(l.edge.size) + uint64(i) + 1; list[i].Seq != want {
			return nil, problem.New(problem.Bogus, "the source of the ledger %s gives entry %d where %d is due: entries were taken out of the store; restore it", "账本 %s 的来源给出第 %d 项，而应为第 %d 项：存储中有条目被删除，请恢复", l.cfg.Origin, list[i].Seq, want)
		}
	}
	if len(list) == 0 {
		return nil, problem.New(problem.Internal, "the source of the ledger %s gave nothing without an error", "账本 %s 的来源未给出内容也未报错", l.cfg.Origin)
	}
	return list, nil
}

// append adds the entries. Only one goroutine appends. What could not be written stays pending, and nothing is signed
// before it is written.
func (l *Log) append(list []Entry, indexed bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.dir.flush(); err != nil {
		return err
	}
	for i := range list {
		leaf, _, err := l.maker.leaf(&list[i])
		if err != nil {
			return err
		}
		if err := l.dir.addEntry(l.edge.size, leaf); err != nil {
			return err
		}
		var h Hash
		h, l.scratch = leafHash(l.scratch, leaf)
		l.edge.push(h, l.dir.addHash)
		if indexed && l.index != nil {
			l.index.add(l.cfg.ID(&list[i]), list[i].Seq)
		}
	}
	if err := l.dir.flush(); err != nil {
		return err
	}
	if l.index != nil {
		return l.index.flush()
	}
	return nil
}

// Run follows the source and publishes checkpoints until ctx is done, and then publishes what was appended. It returns
// ctx's error, or, of kind problem.Bogus, why the log must not go on. What passes is tried again: a full disk, a busy
// store, a witness that is away.
func (l *Log) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.publishing(ctx); err != nil {
			cancel(err)
		}
	})
	err := l.follow(ctx)
	cancel(err)
	wg.Wait()
	err = context.Cause(ctx)
	if !problem.Is(err, problem.Bogus) {
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		if perr := l.Publish(last); perr != nil {
			l.cfg.Log.Info("the ledger's last checkpoint was not published; it will be after the next start", "ledger", l.cfg.Origin, "err", perr)
		}
	}
	return err
}

// follow appends what the source gives.
func (l *Log) follow(ctx context.Context) error {
	for {
		list, err := l.entries(ctx, batch)
		if err == nil {
			err = l.append(list, true)
			l.mu.Lock()
			close(l.grown)
			l.grown = make(chan struct{})
			l.mu.Unlock()
		}
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case problem.Is(err, problem.Bogus):
			return err
		}
		l.cfg.Log.Warn("the ledger falls behind; it will be tried again", "ledger", l.cfg.Origin, "err", err)
		if !l.pause(ctx) {
			return ctx.Err()
		}
	}
}

// pause waits for the interval; false when ctx is done.
func (l *Log) pause(ctx context.Context) bool {
	t := time.NewTimer(l.cfg.Interval)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// publishing publishes at most once an interval. It returns nil when ctx is done.
func (l *Log) publishing(ctx context.Context) error {
	for {
		l.mu.Lock()
		grown, size := l.grown, l.edge.size
		l.mu.Unlock()
		// One that was not published for want of witnesses is tried again.
		if size == l.Published().Size {
			select {
			case <-ctx.Done():
				return nil
			case <-grown:
			}
		}
		if err := l.Publish(ctx); err != nil && ctx.Err() == nil {
			if problem.Is(err, problem.Bogus) {
				return err
			}
			l.cfg.Log.Warn("the ledger's checkpoint was not published; it will be tried again", "ledger", l.cfg.Origin, "err", err)
		}
		if !l.pause(ctx) {
			return nil
		}
	}
}

// Size is how many entries the log has, published or not.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.edge.size
}

// Origin is the log's name.
func (l *Log) Origin() string { return l.cfg.Origin }

// Verifier is what others check the log's signatures with.
func (l *Log) Verifier() Verifier { return l.signer.Verifier }

// Published is the last checkpoint that everybody may see; its Size is 0 before the first.
func (l *Log) Published() Checkpoint {
	l.shown.RLock()
	defer l.shown.RUnlock()
	return l.published
}

// Wait returns when entry seq is covered by the published checkpoint, or ctx's error.
func (l *Log) Wait(ctx context.Context, seq uint64) error {
	for {
		l.shown.RLock()
		size, fresh := l.published.Size, l.fresh
		l.shown.RUnlock()
		if uint64(size) >= seq {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-fresh:
		}
	}
}

// Publish signs what was appended and publishes it: first the files are durable, then the head is, then the signature
// leaves, to witnesses and, when enough have co-signed, to everybody. So a log never signs two checkpoints of one
// size: after a crash it has the files again, or makes them again from the source and compares.
func (l *Log) Publish(ctx context.Context) error {
	l.pub.Lock()
	defer l.pub.Unlock()
	l.mu.Lock()
	size, root := l.edge.size, Hash{}
	if size != l.Published().Size {
		root = l.edge.root()
	}
	err := l.dir.flush()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if size == l.Published().Size {
		return nil
	}
	c := Checkpoint{l.cfg.Origin, size, root}
	switch {
	case c.Size < l.head.Size:
		return l.altered()
	case c.Size == l.head.Size:
		if c.Root != l.head.Root {
			return l.altered()
		}
	default:
		if err := l.dir.sync(); err != nil {
			return err
		}
		msg, err := note.Sign(&note.Note{Text: c.text()}, &l.signer)
		if err != nil {
			return problem.Wrap(err, problem.Internal, "the checkpoint could not be signed", "检查点无法签名")
		}
		if err := l.dir.write("head", msg); err != nil {
			return err
		}
		l.head = c
	}
	msg, err := note.Sign(&note.Note{Text: c.text()}, &l.signer)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "the checkpoint could not be signed", "检查点无法签名")
	}
	msg, by := l.collect(ctx, c, msg)
	if len(by) < l.cfg.Quorum {
		return problem.New(problem.Unreachable, "only %d of the %d witnesses that the ledger %s needs have co-signed; the last checkpoint stays meanwhile: see that the witnesses run and know this ledger",
			"账本 %[3]s 需要 %[2]d 个见证者，仅有 %[1]d 个已联署；暂时保留上一检查点：请确认见证者正在运行且已登记本账本", len(by), l.cfg.Quorum, l.cfg.Origin)
	}
	if err := l.dir.write("checkpoint", msg); err != nil {
		return err
	}
	l.shown.Lock()
	l.checkpt, l.published, l.cosigned = msg, c, by
	close(l.fresh)
	l.fresh = make(chan struct{})
	l.shown.Unlock()
	return nil
}
