package registry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
)

// A whole node is one file. It begins with exportMagic; the rest is one zstd stream of frames:
//
//	u8 kind | u32 length | payload | u32 CRC-32C of all before it in the frame
//
//	H  an exportHeader as JSON; the first frame
//	D  keys and values as they are stored (layout.go), each: uvarint length, key, uvarint length, value. First the
//	   prefixes, then the records in the order of their keys, then the changes in theirs, then what there is one of.
//	   Counts are not in it: they are counted again.
//	E  SHA-256 of all frames before it; the last frame
//
// The file says everything that the node knows, secret keys too unless they are left out: keep it like a key (mode
// 0600). Who can change it can change records, as who can change the store.
const (
	exportMagic  = "fujie export 1\n"
	exportFormat = 1

	frameHeader = 'H'
	frameData   = 'D'
	frameEnd    = 'E'

	exportWindow = 4 << 20 // bytes that whoever unpacks it must remember

	frameAim = 1 << 20          // bytes of payload after which a frame ends
	frameMax = frameAim + 1<<20 // more than any frame has: a record takes at most record.MaxBlock and a signature
)

// exportHeader says what is in the file.
type exportHeader struct {
	Format   int       `json:"format"`
	ID       string    `json:"id"` // made up for each file, so that an import that goes on knows its file again
	Made     time.Time `json:"made"`
	Layout   int       `json:"layout"`
	Records  int64     `json:"records"`
	Changes  uint64    `json:"changes"`
	Secrets  bool      `json:"secrets"`
	Prefixes []string  `json:"prefixes,omitempty"` // the first ones, for people
}

// Progress is how far an export or import is.
type Progress struct {
	Done, Total int64 // records; Total may be 0 when it is not known
}

// ExportOption changes what Export does.
type ExportOption func(*exporter)

// WithoutSecrets leaves HS_SECKEY values out.
func WithoutSecrets() ExportOption { return func(e *exporter) { e.header.Secrets = false } }

// Export writes everything that is here at this instant to w, while reading and writing go on. progress, if it is not
// nil, is called now and then. Create the file with mode 0600.
func (r *Registry) Export(ctx context.Context, w io.Writer, progress func(Progress), opts ...ExportOption) error {
	s, err := r.store.Snapshot(ctx)
	if err != nil {
		return storeProblem(err)
	}
	defer s.Close()
	e := &exporter{ctx: ctx, sum: sha256.New(), progress: progress}
	e.header = exportHeader{Format: exportFormat, Layout: layoutVersion, Made: r.cfg.Now().UTC(), Secrets: true}
	for _, o := range opts {
		o(e)
	}
	var raw [16]byte
	r.randMu.Lock()
	_, err = io.ReadFull(r.cfg.Rand, raw[:])
	r.randMu.Unlock()
	if err != nil {
		return problem.Wrap(err, problem.Internal, "there is no randomness to name the export by", "没有可用的随机数来标记导出文件")
	}
	e.header.ID = hexOf(raw[:])
	n, err := get(ctx, s, nil, changesKey)
	if err != nil {
		return err
	}
	e.header.Changes = number(n)
	if e.header.Records, err = r.total(ctx, s); err != nil {
		return err
	}
	e.total = e.header.Records
	err = s.Range(ctx, store.Under([]byte{tagHomed}), func(key, _ []byte) error {
		if e.header.Prefixes = append(e.header.Prefixes, string(key[1:])); len(e.header.Prefixes) >= 100 {
			return store.Stop
		}
		return nil
	})
	if err != nil {
		return storeProblem(err)
	}
	if _, err := io.WriteString(w, exportMagic); err != nil {
		return writing(err)
	}
	e.out, err = zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true), zstd.WithWindowSize(exportWindow))
	if err != nil {
		return writing(err)
	}
	if err := e.all(s); err != nil {
		return err
	}
	if err := e.out.Close(); err != nil {
		return writing(err)
	}
	return nil
}

type exporter struct {
	ctx      context.Context
	header   exportHeader
	out      *zstd.Encoder
	sum      hash.Hash
	payload  []byte
	progress func(Progress)
	done     int64
	total    int64
}

func (e *exporter) all(s store.Reader) error {
	head, err := json.Marshal(e.header)
	if err != nil {
		return err
	}
	if err := e.frame(frameHeader, head); err != nil {
		return err
	}
	for _, tag := range []byte{tagHomed, tagRecord, tagLog, tagMeta} {
		err := s.Range(e.ctx, store.Under([]byte{tag}), func(key, value []byte) error { return e.entry(tag, key, value) })
		if err != nil {
			if problem.KindOf(err) == problem.Internal || e.ctx.Err() != nil {
				return storeProblem(err)
			}
			return err
		}
	}
	if err := e.flush(); err != nil {
		return err
	}
	return e.frame(frameEnd, e.sum.Sum(nil))
}

func (e *exporter) entry(tag byte, key, value []byte) error {
	switch {
	case tag == tagMeta && !strings.HasPrefix(string(key[2:]), "cursor "):
		return nil
	case tag == tagRecord:
		e.done++
		if !e.header.Secrets {
			s, err := openStored(value)
			if err != nil {
				return err
			}
			vs, err := s.values()
			if err != nil {
				return err
			}
			kept := vs[:0:0]
			for i := range vs {
				if !strings.EqualFold(vs[i].Type, record.TypeSecKey) {
					kept = append(kept, vs[i])
				}
			}
			if len(kept) < len(vs) {
				var seal *record.Value
				if v, ok := s.sealed(); ok {
					seal = &v
				}
				value = appendStored(nil, kept, seal)
			}
		}
	}
	e.payload = binary.AppendUvarint(e.payload, uint64(len(key)))
	e.payload = append(e.payload, key...)
	e.payload = binary.AppendUvarint(e.payload, uint64(len(value)))
	e.payload = append(e.payload, value...)
	if len(e.payload) >= frameAim {
		return e.flush()
	}
	return nil
}

func (e *exporter) flush() error {
	if len(e.payload) > 0 {
		if err := e.frame(frameData, e.payload); err != nil {
			return err
		}
		e.payload = e.payload[:0]
	}
	if e.progress != nil {
		e.progress(Progress{e.done, e.total})
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (e *exporter) frame(kind byte, payload []byte) error {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	crc := crc32.Update(crc32.Update(0, castagnoli, head), castagnoli, payload)
	for _, p := range [][]byte{head, payload, binary.BigEndian.AppendUint32(nil, crc)} {
		e.sum.Write(p)
		if _, err := e.out.Write(p); err != nil {
			return writing(err)
		}
	}
	return nil
}

func writing(err error) error {
	return problem.Wrap(err, problem.Full, "the export cannot be written: see that there is room and the right to write, then start again",
		"无法写入导出文件：请检查剩余空间与写入权限后重新开始")
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// Import brings everything from an export into this node, which must be empty. It is done in batches, each with the
// note how far the import is, so that one that was interrupted goes on when it is given the same file again, and one
// that was finished does nothing. Write is refused meanwhile. The numbers of the changes stay what they were, so that
// mirrors of the old node may follow the new one. Errors: problem.BadRequest with the place when the file is damaged;
// problem.Exists when the node is not empty, or another import was begun.
func (r *Registry) Import(ctx context.Context, in io.Reader, progress func(Progress)) error {
	if r.mayWrite.CompareAndSwap(true, false) {
		defer r.mayWrite.Store(true)
	}
	r.writer.disk.Lock()
	defer r.writer.disk.Unlock()
	m := &importer{r: r, ctx: ctx, progress: progress, sum: sha256.New(), file: &counted{r: in}}
	err := m.all()
	if m.touched {
		r.writer.lost.Add(1)
		if err2 := r.readHomes(context.WithoutCancel(ctx)); err == nil {
			err = err2
		}
		r.hot.forgetAll()
	}
	return err
}

// counted counts what was read of a file.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

type importer struct {
	r        *Registry
	ctx      context.Context
	file     *counted
	zr       *zstd.Decoder
	sum      hash.Hash
	header   exportHeader
	progress func(Progress)

	frames  uint64 // read so far
	mark    []byte // the note in the store; nil: none
	done    uint64 // frames that are in the store
	records int64
	next    uint64 // the number of the next change
	touched bool
}

// The note how far an import is: 16 bytes hex-decoded identity as text (32), u8 finished, u64 frames.
const markSize = 32 + 1 + 8

var importKey = metaKey("import")

func (m *importer) all() error {
	magic := make([]byte, len(exportMagic))
	if _, err := io.ReadFull(m.file, magic); err != nil || string(magic) != exportMagic {
		if strings.HasPrefix(string(magic), exportMagic[:13]) {
			return problem.New(problem.Unsupported, "the export is of a later format: import it with the program that wrote it, or a newer one",
				"导出文件的格式较新：请使用写出它的程序或更新的版本导入")
		}
		return problem.New(problem.BadRequest, "the file is no export of a node: it must begin with %q", "该文件不是节点的导出文件：应以 %q 开头", strings.TrimSpace(exportMagic))
	}
	var err error
	m.zr, err = zstd.NewReader(m.file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(exportWindow))
	if err != nil {
		return m.bad(err, "it cannot be unpacked", "无法解压")
	}
	defer m.zr.Close()
	kind, payload, err := m.frame()
	if err != nil {
		return err
	}
	if kind != frameHeader || json.Unmarshal(payload, &m.header) != nil || len(m.header.ID) != 32 {
		return m.bad(nil, "it has no header", "缺少文件头")
	}
	if m.header.Format != exportFormat || m.header.Layout != layoutVersion {
		return problem.New(problem.Unsupported, "the export has format %d and layout %d, this program reads %d and %d: import it with the program that wrote it",
			"导出文件格式为 %d、布局为 %d，本程序读取 %d 与 %d：请使用写出它的程序导入", m.header.Format, m.header.Layout, exportFormat, layoutVersion)
	}
	finished, err := m.begin()
	if err != nil || finished {
		return err
	}
	for {
		before := m.sum.Sum(nil)
		kind, payload, err := m.frame()
		switch {
		case err != nil:
			return err
		case kind == frameEnd:
			if string(payload) != string(before) {
				return m.bad(nil, "its checksum does not hold", "校验和不符")
			}
			if _, err := io.ReadFull(m.zr, make([]byte, 1)); err != io.EOF {
				return m.bad(err, "something stands behind its end, or its end is damaged", "文件末尾之后还有内容，或末尾已损坏")
			}
			return m.finish()
		case kind != frameData:
			return m.bad(nil, "it has a frame of unknown kind", "含有未知类型的数据帧")
		}
		if err := m.take(payload); err != nil {
			return err
		}
		if m.progress != nil {
			m.progress(Progress{m.records, m.header.Records})
		}
	}
}

// begin sees how far an earlier import of the same file came.
func (m *importer) begin() (finished bool, err error) {
	if m.mark, err = get(m.ctx, m.r.store, nil, importKey); err != nil {
		return false, err
	}
	n, err := get(m.ctx, m.r.store, nil, changesKey)
	if err != nil {
		return false, err
	}
	m.next = number(n) + 1
	if m.mark == nil {
		for _, tag := range []byte{tagRecord, tagHomed, tagCount, tagLog} {
			err := m.r.store.Range(m.ctx, store.Under([]byte{tag}), func(_, _ []byte) error { return notEmpty() })
			if err != nil {
				if problem.Is(err, problem.Exists) {
					return false, err
				}
				return false, storeProblem(err)
			}
		}
		return false, nil
	}
	if len(m.mark) != markSize {
		return false, damaged("the note on an import is damaged", "导入进度标记已损坏")
	}
	if string(m.mark[:32]) != m.header.ID {
		if m.mark[32] != 0 {
			return false, notEmpty()
		}
		return false, problem.New(problem.Exists, "the import of another file was begun here: finish that one, or take an empty store",
			"此处已开始导入另一个文件：请完成该导入，或使用空的存储")
	}
	m.done = binary.BigEndian.Uint64(m.mark[33:])
	return m.mark[32] != 0, nil
}

func notEmpty() error {
	return problem.New(problem.Exists, "the node holds something already: import into an empty one", "节点中已有内容：请导入到空节点")
}

// bad says where the file is damaged.
func (m *importer) bad(cause error, en, zh string) error {
	return problem.Wrap(cause, problem.BadRequest, "the export is damaged in frame %[1]d, near byte %[2]d of the file: %[3]s; what came before it is imported: take a good copy of the same file and go on",
		"导出文件在第 %[1]d 帧（文件第 %[2]d 字节附近）损坏：%[4]s；此前的内容已导入：请换用同一文件的完好副本继续", m.frames+1, m.file.n, en, zh)
}

// frame reads the next one.
func (m *importer) frame() (kind byte, payload []byte, err error) {
	if err := m.ctx.Err(); err != nil {
		return 0, nil, canceled(err)
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(m.zr, head); err != nil {
		return 0, nil, m.cut(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > frameMax {
		return 0, nil, m.bad(nil, "a frame is longer than any that is written", "数据帧过长")
	}
	payload = make([]byte, n+4)
	if _, err := io.ReadFull(m.zr, payload); err != nil {
		return 0, nil, m.cut(err)
	}
	crc := crc32.Update(crc32.Update(0, castagnoli, head), castagnoli, payload[:n])
	if crc != binary.BigEndian.Uint32(payload[n:]) {
		return 0, nil, m.bad(nil, "a checksum does not hold", "校验和不符")
	}
	if head[0] != frameEnd {
		m.sum.Write(head)
		m.sum.Write(payload)
	}
	m.frames++
	return head[0], payload[:n:n], nil
}

func (m *importer) cut(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return m.bad(nil, "it ends too soon", "文件不完整")
	}
	return m.bad(err, "it cannot be unpacked", "无法解压")
}

// take stores one frame and the note that it is stored.
func (m *importer) take(payload []byte) error {
	fresh := m.frames > m.done // else it is in the store already
	var b store.Batch
	counts := map[string]int64{}
	logged := false
	for len(payload) > 0 {
		key, rest, ok := field(payload, store.MaxKey)
		if !ok || len(key) < 2 {
			return m.bad(nil, "a key is cut short", "键不完整")
		}
		value, rest, ok := field(rest, frameMax)
		if !ok {
			return m.bad(nil, "a value is cut short", "值不完整")
		}
		payload = rest
		if key[0] == tagRecord {
			m.records++
		}
		if !fresh {
			continue
		}
		switch key[0] {
		case tagRecord:
			rec, err := idOf(key)
			if err != nil || rec.IsPrefix() || string(appendRecordKey(nil, rec)) != string(key) {
				return m.bad(err, "a name is no identifier", "名称不是标识")
			}
			s, err := openStored(value)
			if err == nil {
				_, err = s.values()
			}
			if err != nil {
				return m.bad(err, "a record is damaged", "记录已损坏")
			}
			counts[rec.Prefix()]++
			b.Put(key, value)
		case tagHomed:
			b.Put(key, value)
		case tagMeta:
			if !strings.HasPrefix(string(key[1:]), "\x00cursor ") {
				return m.bad(nil, "it has an entry of unknown kind", "含有未知类型的条目")
			}
			b.Put(key, value)
		case tagLog:
			if len(key) != len(logPrefix)+store.SequenceSize {
				return m.bad(nil, "a change has no number", "变更缺少编号")
			}
			if store.LogNumber(key) != m.next {
				return m.bad(nil, "a change is out of order", "变更次序错误")
			}
			next, err := visitPage(m.next, value, 0, func(record.Change) error { return nil })
			if err != nil || next == m.next {
				return m.bad(err, "a change is damaged", "变更已损坏")
			}
			b.Put(key, value)
			m.next, logged = next, true
		default:
			return m.bad(nil, "it has an entry of unknown kind", "含有未知类型的条目")
		}
	}
	if !fresh {
		return nil
	}
	if logged {
		b.Put(changesKey, binary.BigEndian.AppendUint64(nil, m.next-1))
		b.Append(wakePrefix, nil)
	}
	for prefix, n := range counts {
		old, err := m.r.count(m.ctx, m.r.store, prefix)
		if err != nil {
			return err
		}
		b.Put(countKey(prefix), binary.BigEndian.AppendUint64(nil, uint64(old+n)))
	}
	return m.apply(&b, 0)
}

// apply stores a batch together with the note.
func (m *importer) apply(b *store.Batch, finished byte) error {
	mark := append(append([]byte(m.header.ID), finished), binary.BigEndian.AppendUint64(nil, m.frames)...)
	b.Expect(importKey, m.mark)
	b.Put(importKey, mark)
	_, err := m.r.store.Apply(m.ctx, b)
	if err != nil {
		if errors.Is(err, store.ErrConflict) {
			return problem.Wrap(err, problem.Conflict, "another import goes on at the same time: let it finish", "另一个导入正在进行：请等待其完成")
		}
		return writeProblem(err)
	}
	m.mark, m.done, m.touched = mark, m.frames, true
	return nil
}

// finish notes that all is done.
func (m *importer) finish() error {
	if m.next != m.header.Changes+1 {
		return m.bad(nil, "changes are missing", "缺少变更")
	}
	var b store.Batch
	return m.apply(&b, 1)
}

// field is what the next length covers.
func field(b []byte, limit int) (f, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(limit) || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n) : w+int(n)], b[w+int(n):], true
}
