package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/record"
)

// Changes is a registry's feed as the entries of a log. The change of a prefix record, whose values are public, is a
// public entry:
//
//	{"seq":12,"time":"2026-11-22T08:00:00.000Z","op":"create","id":"0.NA/88.118.1001","by":"300:0.NA/88.118","sealed.values":"…"}
//
// Every other one is private, and its member "by" is sealed too. The sealed value "values" is the change's digest, 32
// bytes; "by" is the reference of who changed it, "operator" for the node's own, "" for nobody.
func Changes(feed record.Feed) Source {
	return &changes{feed: feed}
}

type changes struct{ feed record.Feed }

var operator = record.Identity{Operator: true}

// byText is who made a change, for people.
func byText(by record.Identity) string {
	if by.IsZero() && by.Operator {
		return "operator"
	}
	if by.IsZero() {
		return ""
	}
	return by.Ref.String()
}

func (c *changes) Entries(ctx context.Context, after uint64, limit int) ([]Entry, error) {
	list, err := c.feed.Changes(ctx, operator, after, limit, false)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, len(list))
	// One piece of memory for all lines, one for all sealed values.
	arena := make([]byte, 0, 200*len(list))
	sealed := make([]Sealed, 0, 2*len(list))
	var at clock
	var lastBy record.Identity
	by := []byte("")
	for i := range list {
		e := &list[i]
		if e.By != lastBy || i == 0 {
			lastBy, by = e.By, []byte(byText(e.By))
		}
		_, public := e.ID.Delegated()
		from := len(arena)
		arena = strconv.AppendUint(append(arena, `{"seq":`...), e.Seq, 10)
		arena = at.append(append(arena, `,"time":`...), e.Time)
		arena = append(append(append(arena, `,"op":"`...), e.Op.String()...), `","id":`...)
		arena = appendJSON(arena, e.ID.String())
		if public {
			arena = appendJSON(append(arena, `,"by":`...), string(by))
		}
		arena = append(arena, '}')
		line := arena[from:len(arena):len(arena)]
		first := len(sealed)
		sealed = append(sealed, Sealed{"values", e.Digest[:]})
		if !public {
			sealed = append(sealed, Sealed{"by", by})
		}
		out[i] = Entry{Seq: e.Seq, Time: e.Time, Sealed: sealed[first:len(sealed):len(sealed)], Owner: owner(e)}
		if public {
			out[i].Public = line
		} else {
			out[i].Private = line
		}
	}
	return out, nil
}

// owner is the prefix whose business the change is.
func owner(e *record.Entry) string {
	if p, ok := e.ID.Delegated(); ok {
		return p
	}
	return handle.Fold(e.ID.Prefix())
}

// EntryID is Config.ID for a log of Changes: the identifier that an entry is about.
func EntryID(e *Entry) []byte {
	line := e.Public
	if line == nil {
		line = e.Private
	}
	_, rest, ok := bytes.Cut(line, []byte(`,"id":`))
	if !ok {
		return nil
	}
	if rest[0] == '"' {
		if i := bytes.IndexByte(rest[1:], '"'); i >= 0 && bytes.IndexByte(rest[1:1+i], '\\') < 0 {
			return rest[1 : 1+i]
		}
	}
	var s string
	if json.NewDecoder(bytes.NewReader(rest)).Decode(&s) != nil {
		return nil
	}
	return []byte(s)
}
