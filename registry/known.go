package registry

import (
	"hash/maphash"

	"github.com/fujie-id/fujie/store"
)

// known remembers which names are taken, so that a registration of a new one need not look for it in the store: half of
// what a registration costs. It may take a free name for a taken one, never the reverse; then the store is looked at.
//
// It is about one state of the store, told by the number of the last change. Whoever else writes moves that number on,
// and everything is forgotten; a batch that rests on it is conditional on the number, so that it fails if somebody was
// quicker. Only the leader of a group touches it.
type known struct {
	seed  maphash.Seed
	at    uint64 // the number of the last change that it knows of
	lost  uint64 // how often the writer had lost its way when it was last looked at
	of    map[string]*taken
	bytes int
}

// taken is the names of one prefix: Bloom filters, each twice as large as the one before. nil in known.of stands for a
// prefix that has too many names to read them all.
type taken struct{ layers []layer }

type layer struct {
	bits []uint64
	left int // names that it still takes
}

const (
	knownScan   = 50_000 // names that are read to begin with
	knownFirst  = 1024   // names of the first layer
	knownBits   = 12     // for each name: one free name in a few hundred is taken for a taken one
	knownHashes = 6
	knownBytes  = 64 << 20 // altogether; then everything is forgotten
	knownMost   = 4096     // prefixes
)

func (k *known) forget(at uint64) {
	k.of, k.bytes, k.at = nil, 0, at
}

// guess is what is known of a name.
type guess uint8

const (
	nameUnknown guess = iota
	nameFree          // certainly not registered
	nameMaybe         // registered, or mistaken for one that is
)

// guess says what is known of the name under key, which v has not touched, nor what is below it.
func (k *known) guess(v *view, prefix []byte, key []byte) (guess, error) {
	t, ok := k.of[string(prefix)]
	if !ok {
		var err error
		if t, err = k.begin(v, string(prefix)); err != nil {
			return nameUnknown, err
		}
	}
	switch {
	case t == nil:
		return nameUnknown, nil
	case t.has(k.hash(key)):
		return nameMaybe, nil
	}
	return nameFree, nil
}

// begin reads what names the prefix has.
func (k *known) begin(v *view, prefix string) (*taken, error) {
	if k.of == nil {
		k.of, k.seed = map[string]*taken{}, maphash.MakeSeed()
	}
	if len(k.of) >= knownMost {
		k.forget(k.at)
		k.of = map[string]*taken{}
	}
	n, err := v.look(countKey(prefix))
	if err != nil {
		return nil, err
	}
	if number(n) > knownScan {
		k.of[prefix] = nil
		return nil, nil
	}
	t := &taken{}
	k.of[prefix] = t
	names := under(prefix, "")
	err = v.r.store.Range(v.ctx, store.Under(names), func(key, _ []byte) error {
		k.add(t, key)
		return nil
	})
	if err != nil {
		k.forget(k.at)
		return nil, storeProblem(err)
	}
	for _, cells := range []map[string]*cell{v.below, v.cells} {
		for key := range cells {
			if len(key) > len(names) && key[:len(names)] == string(names) {
				k.add(t, []byte(key))
			}
		}
	}
	if k.of[prefix] != t {
		return nil, nil // there was no room for it
	}
	return t, nil
}

// note remembers that the name under key was registered.
func (k *known) note(key []byte) {
	if t := k.of[string(prefixIn(key))]; t != nil {
		k.add(t, key)
	}
}

func (k *known) hash(key []byte) uint64 { return maphash.Bytes(k.seed, key) }

func (k *known) add(t *taken, key []byte) {
	n := len(t.layers)
	if n == 0 || t.layers[n-1].left == 0 {
		size := knownFirst << n
		l := layer{bits: make([]uint64, size*knownBits/64), left: size}
		if k.bytes += len(l.bits) * 8; k.bytes > knownBytes {
			k.forget(k.at)
			return
		}
		t.layers = append(t.layers, l)
		n++
	}
	l := &t.layers[n-1]
	l.left--
	l.walk(k.hash(key), func(word *uint64, bit uint64) bool { *word |= bit; return true })
}

func (t *taken) has(hash uint64) bool {
	for i := range t.layers {
		if t.layers[i].walk(hash, func(word *uint64, bit uint64) bool { return *word&bit != 0 }) {
			return true
		}
	}
	return false
}

// walk goes to each place of the hash until visit says no.
func (l *layer) walk(hash uint64, visit func(word *uint64, bit uint64) bool) bool {
	n := uint64(len(l.bits)) * 64
	step := hash>>32 | 1
	for range knownHashes {
		at := hash % n
		if !visit(&l.bits[at/64], 1<<(at%64)) {
			return false
		}
		hash += step
	}
	return true
}
