// Package document keeps an office's papers (organisations, applications, accounts, templates, rules) as records of the
// registry: so they are mirrored, logged, signed, proved and backed up as every other record is, each has an identifier
// of its own, and nobody changes one without a Change that says who and when.
//
// A Shelf is the papers of one kind under one prefix. All of them are in memory, so that looking one up, or going
// through them, costs no I/O; a shelf is for thousands of papers, not for millions. Follow keeps shelves true when
// somebody else writes, as on a mirror.
package document

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Registry is where the papers are: the node's own registry, behind every check that guards it from outside.
type Registry interface {
	record.Resolver
	record.Registrar
	record.Lister
}

// Shelf is the papers of one kind. Fill the exported fields, then Open it.
type Shelf[T any] struct {
	Registry Registry
	Prefix   string // under which they are: 88.118
	Name     string // what their suffixes begin with: "Apply_"
	Type     string // of the value that holds the paper as JSON: "FUJIE.APPLICATION"
	Index    uint32 // of that value
	// Perm of that value; 0 means AdminRead and AdminWrite: for the prefix's administrators only.
	Perm record.Perm
	// Also is the other values of the record: its public face, its keys. They are written with each change. Nil: none.
	Also func(v id.ID, paper T) []record.Value
	// TTL of the paper's value in seconds; 300 if 0, so that others see a change soon.
	TTL uint32

	start   string     // what canonical names of its papers begin with
	writing sync.Mutex // one change at a time: what change sees is what is replaced
	mu      sync.RWMutex
	papers  map[string]kept[T] // by canonical name
	names   []string           // sorted
}

type kept[T any] struct {
	id    id.ID
	paper T
}

// Paper is one paper with its identifier.
type Paper[T any] struct {
	ID    id.ID
	Paper T
}

// shelf is a Shelf of any kind, as Follow sees it.
type shelf interface {
	holds(name string) bool
	reload(ctx context.Context, v id.ID) error
}

var operator = record.Identity{Operator: true}

// by is the operator on behalf of somebody, who stands in the Change.
func by(who record.Identity) record.Identity { return record.Identity{Ref: who.Ref, Operator: true} }

// Open reads the papers that are there. It may be called again.
func (s *Shelf[T]) Open(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	papers := map[string]kept[T]{}
	s.start = handle.Fold(s.Prefix + "/" + s.Name)
	start := s.start
	after := start
	for {
		list, err := s.Registry.List(ctx, operator, s.Prefix, after, 1000)
		if problem.Is(err, problem.NotHere) {
			break // a mirror that has nothing yet
		}
		if err != nil {
			return err
		}
		for _, name := range list {
			if !strings.HasPrefix(name, start) {
				list = nil
				break
			}
			after = name
			v, err := id.ParseHandle(name)
			if err != nil {
				return err
			}
			paper, found, err := s.read(ctx, v)
			if err != nil {
				return err
			}
			if found {
				papers[name] = kept[T]{v, paper}
			}
		}
		if len(list) == 0 {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.papers, s.names = papers, make([]string, 0, len(papers))
	for name := range papers {
		s.names = append(s.names, name)
	}
	slices.Sort(s.names)
	return nil
}

// read reads one paper from the registry.
func (s *Shelf[T]) read(ctx context.Context, v id.ID) (paper T, found bool, err error) {
	a, err := s.Registry.Resolve(ctx, record.Query{ID: v, By: operator, Indexes: []uint32{s.Index}, NoReferral: true})
	switch {
	case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues), problem.Is(err, problem.NotHere):
		return paper, false, nil
	case err != nil:
		return paper, false, err
	}
	for i := range a.Values {
		if a.Values[i].Index == s.Index && a.Values[i].Type == s.Type {
			if err := json.Unmarshal(a.Values[i].Data, &paper); err != nil {
				return paper, false, problem.Wrap(err, problem.Internal, "%s cannot be read: another version of the program wrote it; use that one, or restore a backup",
					"%s 无法读取：由其他版本的程序写入；请使用该版本或从备份恢复", v)
			}
			return paper, true, nil
		}
	}
	return paper, false, nil
}

func (s *Shelf[T]) holds(name string) bool {
	return strings.HasPrefix(name, s.start)
}

func (s *Shelf[T]) reload(ctx context.Context, v id.ID) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	paper, found, err := s.read(ctx, v)
	if err != nil {
		return err
	}
	s.keep(v, paper, found)
	return nil
}

// Reload reads the paper again, or forgets it when it is gone: for who hears of a change otherwise than by Follow.
func (s *Shelf[T]) Reload(ctx context.Context, v id.ID) error { return s.reload(ctx, v) }

func (s *Shelf[T]) keep(v id.ID, paper T, found bool) {
	name := v.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.papers == nil {
		s.papers = map[string]kept[T]{}
	}
	at, had := slices.BinarySearch(s.names, name)
	switch {
	case found && !had:
		s.names = slices.Insert(s.names, at, name)
	case !found && had:
		s.names = slices.Delete(s.names, at, at+1)
	}
	if found {
		s.papers[name] = kept[T]{v, paper}
	} else {
		delete(s.papers, name)
	}
}

// ID is the identifier of the paper called name: the shelf's prefix and Name before it.
func (s *Shelf[T]) ID(name string) (id.ID, error) {
	return id.ParseHandle(s.Prefix + "/" + s.Name + name)
}

// Get is the paper; problem.NotFound when there is none. What it points to is shared: do not change it.
func (s *Shelf[T]) Get(v id.ID) (T, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, ok := s.papers[v.String()]
	if !ok {
		return k.paper, problem.New(problem.NotFound, "%s is not here: check its spelling, or list what there is", "此处没有 %s：请检查拼写，或列出已有的", v)
	}
	return k.paper, nil
}

// Len is how many papers there are.
func (s *Shelf[T]) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.names)
}

// Page is at most limit papers behind after (an identifier's canonical text; empty: from the start) that keep says yes
// to (nil: all), in the order of their identifiers, and what to give as after for the next ones; empty at the end.
func (s *Shelf[T]) Page(after string, limit int, keep func(id.ID, T) bool) (page []Paper[T], next string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, had := slices.BinarySearch(s.names, handle.Fold(after))
	if had {
		at++
	}
	for ; at < len(s.names); at++ {
		k := s.papers[s.names[at]]
		if keep != nil && !keep(k.id, k.paper) {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].ID.String()
		}
		page = append(page, Paper[T]{k.id, k.paper})
	}
	return page, ""
}

// Find is the first paper that match says yes to.
func (s *Shelf[T]) Find(match func(id.ID, T) bool) (Paper[T], bool) {
	page, _ := s.Page("", 1, match)
	if len(page) == 0 {
		return Paper[T]{}, false
	}
	return page[0], true
}

// Create puts a new paper under v, on behalf of who. Errors: problem.Exists, and those of record.Registrar.
func (s *Shelf[T]) Create(ctx context.Context, who record.Identity, v id.ID, paper T) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.write(ctx, who, v, paper, false)
}

func (s *Shelf[T]) write(ctx context.Context, who record.Identity, v id.ID, paper T, over bool) error {
	data, err := json.Marshal(paper)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "%s cannot be written as JSON", "%s 无法写成 JSON", v)
	}
	perm, ttl := s.Perm, s.TTL
	if perm == 0 {
		perm = record.AdminRead | record.AdminWrite
	}
	if ttl == 0 {
		ttl = 300
	}
	values := []record.Value{{Index: s.Index, Type: s.Type, Data: data, Perm: perm, TTL: record.TTL{Seconds: ttl}}}
	if s.Also != nil {
		values = append(values, s.Also(v, paper)...)
	}
	err = do(ctx, s.Registry, who, record.Write{Op: record.Create, ID: v, Values: values, Overwrite: over})
	if err == nil {
		s.keep(v, paper, true)
	}
	return err
}

// ErrNoChange is what a change returns when there is nothing to write after all; Change then returns nil.
var ErrNoChange = errors.New("document: no change")

// Change writes what change makes of a copy of the paper, on behalf of who; changes of one shelf happen one after
// another. An error of change is returned as it is, and nothing is written. Errors: problem.NotFound, and those of
// record.Registrar.
func (s *Shelf[T]) Change(ctx context.Context, who record.Identity, v id.ID, change func(paper *T) error) (T, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	old, err := s.Get(v)
	if err != nil {
		return old, err
	}
	// A copy by way of JSON, so that who holds the old one never sees it change.
	var paper T
	data, err := json.Marshal(old)
	if err == nil {
		err = json.Unmarshal(data, &paper)
	}
	if err != nil {
		return old, problem.Wrap(err, problem.Internal, "%s cannot be copied", "%s 无法复制", v)
	}
	switch err := change(&paper); {
	case errors.Is(err, ErrNoChange):
		return old, nil
	case err != nil:
		return old, err
	}
	if err := s.write(ctx, who, v, paper, true); err != nil {
		return old, err
	}
	return paper, nil
}

// Remove takes the paper away, on behalf of who.
func (s *Shelf[T]) Remove(ctx context.Context, who record.Identity, v id.ID) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := do(ctx, s.Registry, who, record.Write{Op: record.Delete, ID: v})
	if err == nil {
		var none T
		s.keep(v, none, false)
	}
	return err
}

func do(ctx context.Context, r record.Registrar, who record.Identity, w record.Write) error {
	res, err := r.Write(ctx, by(who), []record.Write{w})
	if err != nil {
		return err
	}
	return res[0].Err
}

// Follow keeps shelves true to the feed until ctx ends, whose error it returns: what others write to a record, or a
// mirror copies, is in memory soon after. It begins with the changes behind after: take the feed's last number before
// Open. changed, if not nil, hears of each paper that was read anew.
func Follow(ctx context.Context, feed record.Feed, after uint64, changed func(id.ID), shelves ...shelf) error {
	return FollowEach(ctx, feed, after, nil, changed, shelves...)
}

// FollowEach is Follow for a node with other readers of the feed beside its shelves: each hears of every change, after
// the shelves, so that the feed is read once for all of them.
func FollowEach(ctx context.Context, feed record.Feed, after uint64, each func(context.Context, *record.Change), changed func(id.ID), shelves ...shelf) error {
	for {
		entries, err := feed.Changes(ctx, operator, after, 1000, false)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			// The store is in trouble; who writes hears of it. Ask again, not in a hurry.
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
			continue
		}
		for i := range entries {
			after = entries[i].Seq
			name := entries[i].ID.String()
			for _, s := range shelves {
				if !s.holds(name) {
					continue
				}
				if err := s.reload(ctx, entries[i].ID); err != nil && ctx.Err() != nil {
					return ctx.Err()
				}
				if changed != nil {
					changed(entries[i].ID)
				}
			}
			if each != nil {
				each(ctx, &entries[i].Change)
			}
		}
	}
}
