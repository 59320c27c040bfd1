package site

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Tail is what a site alone held when another had taken over: stored here, never acknowledged by enough sites, and not
// part of what the prefix answers any more. The file has a line for each change.
type Tail struct {
	File    string    `json:"file"`
	Term    uint64    `json:"term"` // that began without it
	Changes int       `json:"changes"`
	Made    time.Time `json:"made"`
	IDs     []string  `json:"ids"` // the first ones
}

// A tail's file is JSON Lines: first a head, then the changes, oldest first, each with what the record held here:
//
//	{"tail":1,"site":"beijing","prefix":"88","term":2,"primary":"wuhan","made":"…"}
//	{"seq":12,"time":"…","op":"create","id":"88/x","by":"300:…","block":"…base64 of the value block…"}
type tailHead struct {
	Tail    int       `json:"tail"`
	Site    string    `json:"site"`
	Prefix  string    `json:"prefix"`
	Term    uint64    `json:"term"`
	Primary string    `json:"primary"`
	Made    time.Time `json:"made"`
}

type tailLine struct {
	Seq   uint64    `json:"seq"`
	Time  time.Time `json:"time"`
	Op    string    `json:"op"`
	ID    string    `json:"id"`
	By    string    `json:"by,omitempty"`
	Block string    `json:"block,omitempty"`
}

const maxTailIDs = 100

// adopt joins the term of another primary.
func (s *Site) adopt(ctx context.Context, lead State) error {
	if !s.turn.TryLock() {
		return problem.New(problem.Busy, "the site is busy with another change of its role: it asks again itself", "本站点正在变更角色：稍后会自行再次查询")
	}
	defer s.turn.Unlock()
	st, role := s.get()
	if s.ctx == nil || lead.Term <= st.Term || lead.Term < st.Promised {
		return nil
	}
	i := slices.IndexFunc(s.others, func(o *other) bool { return o.Name == lead.Site })
	if i < 0 || lead.Role != Primary {
		return problem.New(problem.BadRequest, "%q is no other site of %s: add it to the list of sites", "%q 不是 %s 的其他站点：请加入站点列表", lead.Site, s.cfg.Prefix)
	}
	if role == Primary {
		s.cfg.Registry.SetReadOnly(true)
		s.track.reset()
	}
	s.halt()
	if role != Fenced {
		s.become(Fenced)
	}
	mine, last, err := s.trail(ctx)
	if err != nil {
		return err
	}
	st, _ = s.get()
	p := join(mine, last, lead.Trail)
	if st.Primary == s.cfg.Name && !p.anew {
		// A former primary numbered its changes itself: what it holds less than others, it lost, and what it made since
		// under the same numbers is not what they hold.
		if e := end(mine); len(p.trail) > 0 && end(p.trail).Term == e.Term && heldOf(lead.Trail, e.Term) > e.Seq {
			p = plan{anew: true}
		} else if t := end(p.trail); t.Term == e.Term && len(t.Mark) > 0 {
			m, err := s.markOf(ctx, t.Seq)
			if err != nil {
				return err
			}
			if m != nil && !bytes.Equal(m, t.Mark) {
				p = plan{anew: true}
			}
		}
	}
	if !p.anew && last > p.tail {
		if err := s.aside(ctx, s.others[i], lead, p.tail, last); err != nil {
			return err
		}
	}
	next := state{Term: lead.Term, Primary: lead.Site, Promised: max(st.Promised, lead.Term), Trail: p.trail, From: p.from, Anew: p.anew}
	if err := s.save(ctx, next); err != nil {
		return err
	}
	s.become(Mirror)
	s.follow()
	s.cfg.Log.Info("the site joined a new term", "term", lead.Term, "primary", lead.Site, "from", p.from, "anew", p.anew)
	return nil
}

func heldOf(trail []Step, term uint64) uint64 {
	for _, t := range trail {
		if t.Term == term {
			return t.Seq
		}
	}
	return 0
}

// aside takes the changes behind after out again: it writes them to a file, then brings their records to what the primary
// holds. It may be done again after an interruption.
func (s *Site) aside(ctx context.Context, primary *other, lead State, after, last uint64) error {
	dir, err := s.folder()
	if err != nil {
		return err
	}
	name := filepath.Join(dir, fmt.Sprintf("tail-%06d-%s.jsonl", lead.Term, strings.NewReplacer("/", "_", ".", "_").Replace(s.cfg.Prefix)))
	_, err = os.Stat(name)
	written := err == nil
	var lines []byte
	if !written {
		lines = appendLine(lines, tailHead{1, s.cfg.Name, s.cfg.Prefix, lead.Term, lead.Site, s.cfg.Now().UTC()})
	}
	seen := map[id.ID]bool{}
	n := 0
	for after < last {
		es, err := s.cfg.Registry.Changes(ctx, operator, after, 500, true)
		if err != nil {
			return err
		}
		var ids []id.ID
		for i := range es {
			after = es[i].Seq
			if !seen[es[i].ID] {
				seen[es[i].ID] = true
				ids = append(ids, es[i].ID)
			}
		}
		theirs, err := primary.door.Records(ctx, ids)
		if err != nil {
			return problem.Wrap(err, problem.KindOf(err), "%s cannot be asked what it holds", "无法向 %s 查询其所持内容", primary.Name)
		}
		differs := map[id.ID]bool{}
		var restore []record.Entry
		for i := range theirs {
			same, err := s.same(ctx, &theirs[i])
			if err != nil {
				return err
			}
			if !same {
				differs[theirs[i].ID] = true
				theirs[i].Time, theirs[i].By = s.cfg.Now(), operator
				restore = append(restore, theirs[i])
			}
		}
		if !written {
			for i := range es {
				if e := &es[i]; differs[e.ID] {
					l := tailLine{Seq: e.Seq, Time: e.Time.UTC(), Op: e.Op.String(), ID: e.ID.String()}
					if !e.By.IsZero() {
						l.By = e.By.Ref.String()
					}
					if e.Values != nil {
						l.Block = base64.StdEncoding.EncodeToString(record.AppendBlock(nil, e.Values))
					}
					lines = appendLine(lines, l)
					n++
				}
			}
			// The whole tail is in the file before the first of it is taken out.
			if after < last {
				continue
			}
			if n > 0 {
				if err := writeWhole(name, lines); err != nil {
					return err
				}
				s.cfg.Log.Warn("changes that no other site held were set aside", "file", name, "changes", n)
				tails := readTails(s.cfg.Folder)
				s.mu.Lock()
				s.tails = tails
				s.mu.Unlock()
			}
			return s.restore(ctx, primary, seen)
		}
		if err := s.cfg.Registry.Copy(ctx, noteName+" join", restore, []byte{1}); err != nil {
			return err
		}
	}
	return nil
}

// restore brings records to what the primary holds.
func (s *Site) restore(ctx context.Context, primary *other, ids map[id.ID]bool) error {
	list := make([]id.ID, 0, len(ids))
	for v := range ids {
		list = append(list, v)
	}
	for part := range slices.Chunk(list, 500) {
		theirs, err := primary.door.Records(ctx, part)
		if err != nil {
			return err
		}
		var out []record.Entry
		for i := range theirs {
			same, err := s.same(ctx, &theirs[i])
			if err != nil {
				return err
			}
			if !same {
				theirs[i].Time, theirs[i].By = s.cfg.Now(), operator
				out = append(out, theirs[i])
			}
		}
		if err := s.cfg.Registry.Copy(ctx, noteName+" join", out, []byte{1}); err != nil {
			return err
		}
	}
	return nil
}

// same reports whether this site holds what e says, signatures made for the feed left aside.
func (s *Site) same(ctx context.Context, e *record.Entry) (bool, error) {
	if e.Op == record.Home || e.Op == record.Unhome {
		p, _ := e.ID.Delegated()
		return s.cfg.Registry.Homed(p) == (e.Op == record.Home), nil
	}
	mine, err := s.cfg.Registry.Entry(ctx, e.ID)
	if err != nil {
		return false, err
	}
	return bytes.Equal(bare(mine.Values), bare(e.Values)), nil
}

// bare is the values' block without a signature made for the feed; nil when there is no record.
func bare(vs []record.Value) []byte {
	if vs == nil {
		return nil
	}
	if n := len(vs); n > 0 && vs[n-1].Type == record.TypeSignature && vs[n-1].Timestamp == 0 {
		vs = vs[:n-1]
	}
	return record.AppendBlock(nil, vs)
}

// records is what this site holds of some identifiers; of a prefix record also whether the prefix is answered for.
func (s *Site) records(ctx context.Context, ids []id.ID) ([]record.Entry, error) {
	var out []record.Entry
	for _, v := range ids {
		e, err := s.cfg.Registry.Entry(ctx, v)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		if p, ok := v.Delegated(); ok {
			op := record.Unhome
			if s.cfg.Registry.Homed(p) {
				op = record.Home
			}
			out = append(out, record.Entry{Change: record.Change{Op: op, ID: v}})
		}
	}
	return out, nil
}

func appendLine(dst []byte, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return dst
	}
	return append(append(dst, b...), '\n')
}

// writeWhole makes a file that is there wholly or not at all.
func writeWhole(name string, b []byte) error {
	fail := func(err error) error {
		return problem.Wrap(err, problem.Full, "%s cannot be written: see that there is room and the right to write", "无法写入 %s：请检查剩余空间与写入权限", name)
	}
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(name+".part", name)
	}
	if err != nil {
		return fail(err)
	}
	if d, err := os.Open(filepath.Dir(name)); err == nil {
		d.Sync()
		d.Close()
	}
	return nil
}

// readTails is what was set aside in the folder; what cannot be read is left out.
func readTails(dir string) (out []Tail) {
	if dir == "" {
		dir = "."
	}
	names, _ := filepath.Glob(filepath.Join(dir, "tail-*.jsonl"))
	sort.Strings(names)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		t := Tail{File: name}
		for i, line := range bytes.Split(bytes.TrimSpace(b), []byte{'\n'}) {
			if i == 0 {
				var h tailHead
				if json.Unmarshal(line, &h) != nil || h.Tail != 1 {
					break
				}
				t.Term, t.Made = h.Term, h.Made
				continue
			}
			var l tailLine
			if json.Unmarshal(line, &l) != nil {
				continue
			}
			if t.Changes++; len(t.IDs) < maxTailIDs && !slices.Contains(t.IDs, l.ID) {
				t.IDs = append(t.IDs, l.ID)
			}
		}
		if t.Changes > 0 {
			out = append(out, t)
		}
	}
	return out
}

// String is for logs.
func (t Tail) String() string { return t.File + " (" + strconv.Itoa(t.Changes) + ")" }
