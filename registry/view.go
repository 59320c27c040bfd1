package registry

import (
	"context"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
)

// view is what is stored, as somebody sees it in the middle of a group of writes: the store; over it the group that is
// on its way to the disk; over that the group's own changes so far. A reader's view is the store alone.
type view struct {
	r     *Registry
	ctx   context.Context
	below map[string]*cell // on its way to the disk
	cells map[string]*cell // touched here
	slab  []cell
	sharp bool   // assume nothing about the store without reading
	known *known // of the leader of a group; nil for readers
}

// cell is one key in a group of writes.
type cell struct {
	key      []byte
	was, now []byte // nil: absent
	assumed  bool   // was is nil because nobody looked; the store will
	dirty    bool
}

// look is the value under key at this point, nil when there is none.
func (v *view) look(key []byte) ([]byte, error) {
	if c := v.cells[string(key)]; c != nil && !c.assumed {
		return c.now, nil
	} else if c != nil && c.dirty {
		return c.now, nil
	}
	if c := v.below[string(key)]; c != nil && c.dirty {
		return c.now, nil
	}
	return get(v.ctx, v.r.store, nil, key)
}

// cell is the cell of key. With guess, a key that nobody touched is taken to be absent, which the store then checks
// in the same instant as it writes.
func (v *view) cell(key []byte, guess bool) (*cell, error) {
	c := v.cells[string(key)]
	switch {
	case c == nil:
		if len(v.slab) == 0 {
			v.slab = make([]cell, 256)
		}
		c, v.slab = &v.slab[0], v.slab[1:]
		c.key = key
		if b := v.below[string(key)]; b != nil && b.dirty {
			c.was = b.now
		} else if g, err := v.guess(key, guess); err != nil {
			return nil, err
		} else if g == nameUnknown && guess && !v.sharp {
			c.assumed = true
		} else if g != nameFree {
			was, err := get(v.ctx, v.r.store, nil, key)
			if err != nil {
				return nil, err
			}
			c.was = was
		}
		c.now = c.was
		v.cells[string(key)] = c
	case c.assumed && !c.dirty && !guess:
		was, err := get(v.ctx, v.r.store, nil, key)
		if err != nil {
			return nil, err
		}
		c.was, c.now, c.assumed = was, was, false
	}
	return c, nil
}

// guess is what is known, without looking, of a record that should not be there.
func (v *view) guess(key []byte, want bool) (guess, error) {
	if v.known == nil || !want {
		return nameUnknown, nil
	}
	return v.known.guess(v, prefixIn(key), key)
}

// values are the values of the record under key; found is false when there is none.
func (v *view) values(key []byte) (vs []record.Value, found bool, err error) {
	b, err := v.look(key)
	if err != nil || b == nil {
		return nil, false, err
	}
	vs, err = storedValues(b)
	return vs, err == nil, err
}

func storedValues(b []byte) ([]record.Value, error) {
	s, err := openStored(b)
	if err != nil {
		return nil, err
	}
	return s.values()
}

// homed reports whether the node answers for prefix.
func (v *view) homed(prefix string) bool {
	if v.cells != nil || v.below != nil {
		var buf [64]byte
		key := append(append(buf[:0], tagHomed), prefix...)
		if c := v.cells[string(key)]; c != nil {
			return c.now != nil
		}
		if c := v.below[string(key)]; c != nil && c.dirty {
			return c.now != nil
		}
	}
	return homed(v.r, prefix)
}

// zone says whose place it is to keep the record rec here. A record under 88.118 is kept by who is home to 88.118; a
// prefix record by who is home to the nearest prefix above it, unless the record of a nearer one says that another
// service keeps those below: then away holds its values.
func (v *view) zone(rec id.ID) (home string, away *record.Referral, err error) {
	below, isPrefix := rec.Delegated()
	if !isPrefix {
		if v.homed(rec.Prefix()) {
			return rec.Prefix(), nil, nil
		}
		return "", nil, nil
	}
	if below == rootPrefix {
		if v.homed(rootPrefix) {
			return rootPrefix, nil, nil
		}
		return "", nil, nil
	}
	for p := id.ParentPrefix(below); p != ""; p = id.ParentPrefix(p) {
		if v.homed(p) {
			return p, nil, nil
		}
		at := id.PrefixRecord(p)
		vs, found, err := v.values(appendRecordKey(nil, at))
		if err != nil {
			return "", nil, err
		}
		if found {
			if ref := referral(vs); len(ref) > 0 && v.keeps(at) {
				return "", &record.Referral{Prefix: true, Values: ref}, nil
			}
		}
	}
	return "", nil, nil
}

// keeps reports whether a prefix record that is stored here is one that this node answers with: it is home to a
// prefix above.
func (v *view) keeps(rec id.ID) bool {
	p, _ := rec.Delegated()
	for p = id.ParentPrefix(p); p != ""; p = id.ParentPrefix(p) {
		if v.homed(p) {
			return true
		}
	}
	return false
}

// answers reports whether this node answers with the record that it has under rec: it keeps it, or it is home to the
// prefix that the record is about and has a copy.
func (v *view) answers(rec id.ID) bool {
	p, isPrefix := rec.Delegated()
	return v.homed(p) || isPrefix && v.keeps(rec) || !isPrefix && v.homed(rec.Prefix())
}

// referral picks what says who keeps the records of prefixes below.
func referral(vs []record.Value) []record.Value {
	var out []record.Value
	for i := range vs {
		switch vs[i].Type {
		case record.TypeSitePrefix, record.TypeServPrefix, record.TypeDelegate:
			if vs[i].Perm&record.PublicRead != 0 {
				out = append(out, vs[i])
			}
		}
	}
	return out
}
