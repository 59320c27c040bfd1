package site

import "bytes"

// Every site numbers its changes itself. A change that is copied gets one number here or none (a record that was changed
// twice before it was copied is logged once), and numbers go up in the order of the original. So, where a site held the
// original's changes up to y when its own last number was o, it had held those up to x < y at latest when its own was
// o-(y-x): whoever holds everything up to x may follow this site behind that number and misses nothing.

// Step is how far a site holds the changes of one term.
type Step struct {
	Term uint64 `json:"term"`
	Seq  uint64 `json:"seq"`            // the last change that is held, by the numbers of that term's primary
	Own  uint64 `json:"own"`            // the number of the site's own last change then
	Mark []byte `json:"mark,omitempty"` // what change Seq was
	// Loose: everything was copied anew in this term, so that the site's numbers say nothing of the order.
	Loose bool `json:"loose,omitempty"`
	// Partial: the copy was not finished.
	Partial bool `json:"partial,omitempty"`
}

// plan is how a site joins another one.
type plan struct {
	from  uint64 // follow behind this number of the other
	tail  uint64 // what is behind this number here is not part of what the other goes on from
	anew  bool   // copy everything
	trail []Step // what holds of this site's own trail then
}

// join finds the plan. last is the number of the joining site's last change.
func join(mine []Step, last uint64, theirs []Step) plan {
	for i := len(mine) - 1; i >= 0; i-- {
		m := mine[i]
		for _, y := range theirs {
			if y.Term != m.Term {
				continue
			}
			if m.Partial || y.Partial || m.Seq != y.Seq && (m.Loose || y.Loose) {
				return plan{anew: true, tail: last}
			}
			p := plan{from: y.Own, tail: m.Own, trail: append([]Step{}, mine[:i]...)}
			switch {
			case m.Seq == y.Seq:
				if len(m.Mark) > 0 && len(y.Mark) > 0 && !bytes.Equal(m.Mark, y.Mark) {
					return plan{anew: true, tail: last}
				}
			case m.Seq < y.Seq:
				p.from -= min(p.from, y.Seq-m.Seq)
			default:
				p.tail -= min(p.tail, m.Seq-y.Seq)
				m.Mark = y.Mark
			}
			m.Seq, m.Own = min(m.Seq, y.Seq), p.tail
			p.trail = append(p.trail, m)
			return p
		}
	}
	if last == 0 {
		return plan{}
	}
	return plan{anew: true, tail: last}
}

// end is the last step, a zero one when there is none.
func end(trail []Step) Step {
	if len(trail) == 0 {
		return Step{}
	}
	return trail[len(trail)-1]
}

// ahead reports whether a site with trail a holds something that one with trail b does not.
func ahead(a, b Step) bool { return a.Term > b.Term || a.Term == b.Term && a.Seq > b.Seq }
