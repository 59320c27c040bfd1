package history

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Master data (EPCIS 2.0, 6.1.1) rests per thing, under its normal form:
//
//	u8 1 | list of { text type | text id as written | by: uvarint index, text name | list of { text attribute, value } | list of children }
//
// where a thing that several vocabularies describe has several items, one of each type.
const vocabularyVersion = 1

// Master is one thing's master data of one type.
type Master struct {
	Type string // urn:epcglobal:epcis:vtype:BusinessLocation
	epcis.VocabularyElement
	By Ref // who put it
}

func encodeMaster(list []Master) []byte {
	b := appendUvarint([]byte{vocabularyVersion}, uint64(len(list)))
	for i := range list {
		m := &list[i]
		b = appendText(appendText(b, m.Type), m.ID)
		b = appendText(appendUvarint(b, uint64(m.By.Index)), m.By.Name)
		b = appendUvarint(b, uint64(len(m.Attributes)))
		for j := range m.Attributes {
			b = appendText(b, m.Attributes[j].ID)
			b = appendValue(b, &m.Attributes[j].Value)
		}
		b = appendTexts(b, m.Children)
	}
	return b
}

func decodeMaster(value []byte) ([]Master, error) {
	if len(value) == 0 || value[0] != vocabularyVersion {
		return nil, damaged()
	}
	r := reader{s: string(value[1:])}
	out := make([]Master, r.count(6))
	for i := range out {
		m := &out[i]
		m.Type, m.ID = r.text(), r.text()
		m.By = Ref{Index: uint32(r.uvarint()), Name: r.text()}
		if n := r.count(2); n > 0 {
			m.Attributes = make([]epcis.VocabularyAttribute, n)
			for j := range m.Attributes {
				m.Attributes[j].ID = r.text()
				r.value(&m.Attributes[j].Value, maxDepth)
			}
		}
		m.Children = r.texts()
	}
	if r.bad || r.s != "" {
		return nil, damaged()
	}
	return out, nil
}

func (h *History) masterKey(key string) []byte { return appendWord(h.key(nil, tagVocabulary), key) }

func (h *History) belowKey(parent, child string) []byte {
	return append(append(appendWord(h.key(nil, tagBelow), parent), 0), child...)
}

func (h *History) typeKey(kind, key string) []byte {
	return append(append(append(appendWord(h.key(nil, tagVocType), kind), 0), appendWord(nil, key)...), 0)
}

// master reads what is known of a thing; raw is nil when that is nothing.
func (h *History) master(ctx context.Context, r store.Reader, key string) (list []Master, raw []byte, err error) {
	raw, err = r.Get(ctx, nil, h.masterKey(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	list, err = decodeMaster(raw)
	return list, raw, err
}

// PutVocabulary takes master data in: each element takes the place of what was known of the thing under the same type. Elements are written one by one; an error leaves those
// before it written. It is problem.TooLarge for an element or an ID that no store takes.
func (h *History) PutVocabulary(ctx context.Context, by Ref, list []epcis.Vocabulary) error {
	for i := range list {
		for j := range list[i].Elements {
			if err := h.putMaster(ctx, Master{list[i].Type, list[i].Elements[j], by}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *History) putMaster(ctx context.Context, m Master) error {
	key := epcis.Key(m.ID)
	if len(m.Type) > longest {
		return problem.New(problem.TooLarge, "the vocabulary type %.60s… has %d bytes, more than %d: shorten it", "词汇类型 %.60s… 有 %d 字节，超过上限 %d：请缩短", m.Type, len(m.Type), longest)
	}
	for _, child := range m.Children {
		if len(child) > 2000 {
			return problem.New(problem.TooLarge, "a child of %s has an ID of %d bytes: shorten it", "%s 的下级标识有 %d 字节：请缩短", m.ID, len(child))
		}
	}
	for range patience {
		known, raw, err := h.master(ctx, h.store, key)
		if err != nil {
			return err
		}
		var b store.Batch
		b.Expect(h.masterKey(key), raw)
		now := slices.DeleteFunc(slices.Clone(known), func(o Master) bool { return o.Type == m.Type })
		now = append(now, m)
		was, is := childrenOf(known), childrenOf(now)
		for _, child := range was {
			if !slices.Contains(is, child) {
				b.Delete(h.belowKey(key, child))
			}
		}
		for _, child := range is {
			b.Put(h.belowKey(key, child), []byte{})
		}
		b.Put(h.typeKey(m.Type, key), []byte(m.ID))
		b.Put(h.masterKey(key), encodeMaster(now))
		if _, err := h.store.Apply(ctx, &b); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

func childrenOf(list []Master) (out []string) {
	for i := range list {
		for _, child := range list[i].Children {
			out = append(out, epcis.Key(child))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Vocabulary is what is known of a thing, one item for each type; none when nothing is known.
func (h *History) Vocabulary(ctx context.Context, id string) ([]Master, error) {
	list, _, err := h.master(ctx, h.store, epcis.Key(id))
	return list, err
}

// VocabularyOf lists the things of a type, limit at most (0: 30), behind after, with their master data. next is empty when there are no more.
func (h *History) VocabularyOf(ctx context.Context, kind, after string, limit int) (list []Master, next string, err error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	prefix := append(appendWord(h.key(nil, tagVocType), kind), 0)
	span := store.Under(prefix)
	if after != "" {
		span.From = append(h.typeKey(kind, epcis.Key(after)), 0)
	}
	var ids []string
	if err := h.store.Range(ctx, span, func(_, value []byte) error {
		if len(ids) == limit {
			next = ids[limit-1]
			return store.Stop
		}
		ids = append(ids, string(value))
		return nil
	}); err != nil {
		return nil, "", err
	}
	for _, id := range ids {
		known, err := h.Vocabulary(ctx, id)
		if err != nil {
			return nil, "", err
		}
		for _, m := range known {
			if m.Type == kind {
				list = append(list, m)
			}
		}
	}
	return list, next, nil
}

// maxBelow is how many descendants are followed.
const maxBelow = 100000

// Descendants are the keys of the thing and of everything below it in the master data, the thing first: what a WD_ parameter of a query means. Loops end. It is problem.TooLarge
// for more than 100,000.
func (h *History) Descendants(ctx context.Context, id string) ([]string, error) {
	out := []string{epcis.Key(id)}
	seen := map[string]bool{out[0]: true}
	for at := 0; at < len(out); at++ {
		prefix := append(appendWord(h.key(nil, tagBelow), out[at]), 0)
		if err := h.store.Range(ctx, store.Under(prefix), func(key, _ []byte) error {
			child := string(bytes.Clone(key[len(prefix):]))
			if !seen[child] {
				seen[child] = true
				out = append(out, child)
			}
			if len(out) > maxBelow {
				return problem.New(problem.TooLarge, "more than %d places lie below %s: ask for a smaller part", "%[2]s 之下的地点超过 %[1]d 个：请缩小范围", maxBelow, id)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}
