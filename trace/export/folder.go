package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Options say how an export is written.
type Options struct {
	Form   Form   // empty: that of the folder, or Parquet
	Schema string // of the tables in SQL, the database in ClickHouse; empty: the one that the loader is in
	Part   int64  // events a part at most; 0: a million. An export that is stopped goes on behind its last whole part
	Until  uint64 // the number of the last event that is exported; 0: all there are
	Of     string // whose events they are, 88.118.1001: those of another are not added to the folder; empty: not checked

	Progress func(Progress)   // told each thousand events and behind each part; nil: nobody
	Now      func() time.Time // nil: time.Now

	hasty bool // tests do not wait for the disk
}

// Progress is how far a run is.
type Progress struct{ Events, Rows, Bytes int64 }

// Manifest says what is in the folder of an export.
type Manifest struct {
	Version        int       `json:"version"` // 1
	Form           Form      `json:"form"`
	Schema         string    `json:"schema,omitempty"`
	Of             string    `json:"of,omitempty"`
	Events         int64     `json:"events"`
	LastSequence   uint64    `json:"lastSequence,omitempty"`  // 0: not known, of a repository
	LastRecordTime time.Time `json:"lastRecordTime,omitzero"` // the next run goes on from here
	LastKeys       []string  `json:"lastKeys,omitempty"`      // event_keys that were recorded at that instant and are here
	Parts          []Part    `json:"parts"`
}

// Part is what one run, or a million events of it, added.
type Part struct {
	Number        int       `json:"number"`
	Written       time.Time `json:"written"`
	Events        int64     `json:"events"`
	FirstSequence uint64    `json:"firstSequence,omitempty"`
	LastSequence  uint64    `json:"lastSequence,omitempty"`
	FirstRecorded time.Time `json:"firstRecorded"`
	LastRecorded  time.Time `json:"lastRecorded"`
	Files         []File    `json:"files"`
}

// File is a file of a part.
type File struct {
	Name   string `json:"name"`            // below the folder, with slashes
	Table  string `json:"table,omitempty"` // empty: all tables
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}

const manifestName = "manifest.json"

// ReadManifest says what is in the folder; a folder that is empty, or not there, has a manifest without parts.
func ReadManifest(dir string) (Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{Version: 1}, nil
	}
	if err != nil {
		return Manifest{}, problem.Wrap(err, problem.BadRequest, "cannot read the manifest of the export in %s", "无法读取 %s 中的导出清单", dir)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil || m.Version != 1 {
		return Manifest{}, problem.Wrap(err, problem.BadRequest, "%s is no manifest of an export: export into another folder", "%s 不是导出清单：请导出到其他目录", filepath.Join(dir, manifestName))
	}
	return m, nil
}

// writer turns rows into the files of a part.
type writer interface {
	write(r *rows) error
	close() error // what is left is in the files, which stay open
}

// file is a file of a part on its way. It counts and digests what is written.
type file struct {
	File
	f      *os.File
	digest hash.Hash
	path   string // its own name
}

func (f *file) Write(b []byte) (int, error) {
	n, err := f.f.Write(b)
	f.Bytes += int64(n)
	f.digest.Write(b[:n])
	return n, err
}

// part is a part on its way.
type part struct {
	dir   string
	hasty bool
	files []*file
	Part
}

func (p *part) name() string { return fmt.Sprintf("%06d", p.Number) }

// create makes a file of the part under the name that it has until the part is whole.
func (p *part) create(name, table string) (*file, error) {
	path := filepath.Join(p.dir, filepath.FromSlash(name))
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(temporary(path), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot write into %s", "无法写入 %s", filepath.Dir(path))
	}
	out := &file{File: File{Name: name, Table: table}, f: f, digest: sha256.New(), path: path}
	p.files = append(p.files, out)
	return out, nil
}

func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
}

func (p *part) bytes() (n int64) {
	for _, f := range p.files {
		n += f.Bytes
	}
	return n
}

// drop forgets a part that did not become whole.
func (p *part) drop() {
	for _, f := range p.files {
		f.f.Close()
		os.Remove(temporary(f.path))
	}
	p.files = nil
}

// finish gives the files their own names. They hold to the disk before the manifest names them.
func (p *part) finish() error {
	folders := map[string]bool{p.dir: true}
	for _, f := range p.files {
		if !p.hasty {
			if err := f.f.Sync(); err != nil {
				return notWritten(err)
			}
		}
		if err := f.f.Close(); err != nil {
			return notWritten(err)
		}
		f.SHA256 = hex.EncodeToString(f.digest.Sum(nil))
		p.Files = append(p.Files, f.File)
	}
	for _, f := range p.files {
		if err := os.Rename(temporary(f.path), f.path); err != nil {
			return notWritten(err)
		}
		folders[filepath.Dir(f.path)] = true
	}
	for d := range folders {
		if p.hasty {
			break
		}
		if err := syncFolder(d); err != nil {
			return notWritten(err)
		}
	}
	p.files = nil
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (m *Manifest) save(dir string, hasty bool) error {
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestName)
	f, err := os.OpenFile(temporary(path), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return notWritten(err)
	}
	_, err = f.Write(append(b, '\n'))
	if !hasty {
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary(path), path)
	}
	if err == nil && !hasty {
		err = syncFolder(dir)
	}
	return notWritten(err)
}

// Folder adds to the export in dir what source has behind it, and gives the manifest. After an error dir is as it was, but for parts that became whole before. One run at a time
// may write into a folder; a second is told so (problem.Busy).
func Folder(ctx context.Context, dir string, o Options, source Source) (Manifest, error) {
	if o.Form != "" && !slices.Contains([]Form{Parquet, PostgreSQL, ClickHouse}, o.Form) {
		return Manifest{}, problem.New(problem.BadRequest, "%q is no form of an export: parquet, postgres or clickhouse", "%q 不是导出格式：可用 parquet、postgres、clickhouse", o.Form)
	}
	if err := checkSchema(o.Schema); err != nil {
		return Manifest{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Manifest{}, problem.Wrap(err, problem.BadRequest, "cannot make the folder %s", "无法创建目录 %s", dir)
	}
	unlock, err := lock(dir)
	if err != nil {
		return Manifest{}, err
	}
	defer unlock()
	m, err := ReadManifest(dir)
	if err != nil {
		return Manifest{}, err
	}
	if len(m.Parts) == 0 {
		if m.Form, m.Schema = o.Form, o.Schema; m.Form == "" {
			m.Form = Parquet
		}
	} else if o.Form != "" && o.Form != m.Form || o.Schema != "" && o.Schema != m.Schema {
		return m, problem.New(problem.BadRequest, "the export in %s is %s: export into another folder for another form or schema", "%s 中的导出格式为 %s：如需其他格式或模式，请导出到其他目录", dir, m.Form)
	}
	if m.Of != "" && o.Of != "" && m.Of != o.Of {
		return m, problem.New(problem.BadRequest, "the export in %s is of the events of %s: export those of %s into another folder", "%s 中导出的是 %s 的事件：请将 %s 的事件导出到其他目录", dir, m.Of, o.Of)
	}
	if m.Of == "" {
		m.Of = o.Of
	}
	x := &run{dir: dir, o: o, m: m, known: map[string]bool{}}
	if x.o.Part <= 0 {
		x.o.Part = 1_000_000
	}
	if x.o.Now == nil {
		x.o.Now = time.Now
	}
	for _, k := range m.LastKeys {
		x.known[k] = true
	}
	err = x.all(ctx, source)
	if x.p != nil {
		x.p.drop()
	}
	return x.m, err
}

// run is one run of an export.
type run struct {
	dir   string
	o     Options
	m     Manifest
	known map[string]bool // event_keys of the last record time

	p    *part
	w    writer
	rows rows
	done Progress
	held int64 // bytes of parts that are whole

	// where the part is, for the manifest when it is whole
	sequence uint64
	recorded time.Time
	keys     []string
}

func (x *run) all(ctx context.Context, source Source) error {
	x.sequence, x.recorded, x.keys = x.m.LastSequence, x.m.LastRecordTime, slices.Clone(x.m.LastKeys)
	for item, err := range source(ctx, Mark{Sequence: x.m.LastSequence, RecordTime: x.m.LastRecordTime}) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			if ctx.Err() != nil {
				return problem.Wrap(err, problem.Canceled, "the export was stopped; run it again to go on behind part %d", "导出已停止；再次运行将从第 %d 部分之后继续", len(x.m.Parts))
			}
			return err
		}
		if x.o.Until != 0 && item.Sequence > x.o.Until {
			break
		}
		if err := x.event(&item); err != nil {
			return err
		}
	}
	return x.whole()
}

func (x *run) event(n *Item) error {
	e := n.Event
	if e.RecordTime.IsZero() {
		return problem.New(problem.Unsupported, "event %s has no recordTime, so the next export would not know where to go on: ask a repository that gives it", "事件 %s 没有 recordTime，下次导出无法接续：请使用会给出该字段的存储库", e.ID)
	}
	if n.Hash == "" {
		n.Hash = epcis.Hash(e)
	}
	at := e.RecordTime.UTC()
	if x.m.LastSequence != 0 && n.Sequence != 0 {
		if n.Sequence <= x.m.LastSequence {
			return nil
		}
	} else if at.Before(x.m.LastRecordTime) {
		return nil
	}
	key := keyOf(e, n.Hash)
	if x.known[key] {
		return nil
	}
	if at.Before(x.recorded) {
		return problem.New(problem.Bogus, "the source gives event %s, recorded at %s, behind one recorded at %s: it does not keep the order of recordTime", "来源未按 recordTime 排序：事件 %s（%s）排在 %s 之后",
			e.ID, at.Format(time.RFC3339Nano), x.recorded.Format(time.RFC3339Nano))
	}
	if x.p == nil {
		if err := x.begin(n, at); err != nil {
			return err
		}
	}
	x.rows.fill(n, key)
	if err := x.w.write(&x.rows); err != nil {
		return err
	}
	if !at.Equal(x.recorded) {
		x.recorded, x.keys = at, x.keys[:0]
		clear(x.known)
	}
	x.keys, x.known[key] = append(x.keys, key), true
	x.sequence = n.Sequence
	x.p.Events++
	x.p.LastSequence, x.p.LastRecorded = n.Sequence, at
	x.done.Events++
	x.done.Rows += int64(x.rows.count())
	if x.done.Events%1000 == 0 {
		x.tell()
	}
	if x.p.Events >= x.o.Part {
		return x.whole()
	}
	return nil
}

func (x *run) tell() {
	if x.o.Progress == nil {
		return
	}
	x.done.Bytes = x.held
	if x.p != nil {
		x.done.Bytes += x.p.bytes()
	}
	x.o.Progress(x.done)
}

// begin opens the files of a new part.
func (x *run) begin(n *Item, at time.Time) (err error) {
	x.p = &part{dir: x.dir, hasty: x.o.hasty, Part: Part{Number: len(x.m.Parts) + 1, FirstSequence: n.Sequence, FirstRecorded: at}}
	if x.m.Form == Parquet {
		x.w, err = newParquet(x.p)
	} else {
		x.w, err = newSQL(x.p, x.m.Form, x.m.Schema)
	}
	return err
}

// whole ends the part that is being written.
func (x *run) whole() error {
	if x.p == nil {
		x.tell()
		return nil
	}
	if err := x.w.close(); err != nil {
		return err
	}
	written := x.p.bytes()
	if err := x.p.finish(); err != nil {
		return err
	}
	x.p.Written = x.o.Now().UTC()
	next := x.m
	next.Parts = append(slices.Clone(next.Parts), x.p.Part)
	next.Events += x.p.Events
	next.LastSequence, next.LastRecordTime, next.LastKeys = x.sequence, x.recorded, slices.Clone(x.keys)
	if err := next.save(x.dir, x.o.hasty); err != nil {
		return err
	}
	x.m, x.p, x.w = next, nil, nil
	x.held += written
	x.tell()
	return nil
}
