package share

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
)

// rules are the shares as they are asked, replaced as a whole.
type rules struct{ now atomic.Pointer[[]rule] }

// rule is a share, compiled.
type rule struct {
	Share
	everybody  bool
	prefixes   map[string]bool // folded
	below      []string        // folded, with the dot behind
	identities map[string]bool // folded, without an index
	things     map[string]bool // keys
	starts     []string        // what keys may begin with
}

func (r *rules) get() []rule {
	if p := r.now.Load(); p != nil {
		return *p
	}
	return nil
}

func (r *rules) set(shares []Share) {
	out := make([]rule, 0, len(shares))
	for _, s := range shares {
		c := rule{Share: s, prefixes: map[string]bool{}, identities: map[string]bool{}}
		for _, to := range s.To {
			name := handle.Fold(to)
			if i := strings.IndexByte(name, ':'); i > 0 {
				name = name[i+1:]
			}
			switch below, ok := strings.CutSuffix(name, ".*"); {
			case to == "*":
				c.everybody = true
			case ok:
				c.below = append(c.below, below+".")
				c.prefixes[below] = true
			case strings.Contains(name, "/"):
				c.identities[name] = true
			default:
				c.prefixes[name] = true
			}
		}
		if len(s.Things) > 0 {
			c.things = map[string]bool{}
		}
		for _, t := range s.Things {
			if start, ok := strings.CutSuffix(t, "*"); ok {
				c.starts = append(c.starts, start, handle.Fold(start))
				c.things[""] = true // so that it is known to have some
			} else {
				c.things[epcis.Key(t)] = true
			}
		}
		out = append(out, c)
	}
	// Those that show most come first, so that others need no look.
	slices.SortStableFunc(out, func(a, b rule) int { return int(b.Level) - int(a.Level) })
	r.now.Store(&out)
}

// about reports whether the rule is about the thing with this key.
func (r *rule) about(key string) bool {
	if key != "" && r.things[key] {
		return true
	}
	for _, s := range r.starts {
		if strings.HasPrefix(key, s) {
			return true
		}
	}
	return false
}

// asking is who asks, folded.
type asking struct {
	name, prefix string
	key          bool // it is the prefix's own key
}

// Prefix is the prefix that an identity belongs to: 88.118.1002 for 300:0.NA/88.118.1002 and for 300:88.118.1002/App_erp. Empty for nobody.
func Prefix(who record.Identity) string { return whom(who).prefix }

func whom(who record.Identity) asking {
	name := handle.Fold(who.Ref.Name)
	prefix, suffix, ok := strings.Cut(name, "/")
	if ok && prefix == "0.NA" {
		return asking{name, suffix, true}
	}
	return asking{name: name, prefix: prefix}
}

func (r *rule) names(who asking) bool {
	if r.everybody {
		return true
	}
	if who.name == "" {
		return false
	}
	if r.prefixes[who.prefix] || r.identities[who.name] {
		return true
	}
	for _, b := range r.below {
		if strings.HasPrefix(who.prefix, b) {
			return true
		}
	}
	return false
}
