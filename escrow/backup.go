package escrow

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

// A backup is a node in one file: its folder (configuration, keys, hints, ledgers, what was set aside) and everything in
// its store, of one instant, whatever room keeps it there. It is sealed (seal.go) when recipients are given. Inside:
//
//	"fujie backup 1\n" | one zstd stream of frames: u8 kind | u32 length | payload
//
//	H  backupHeader as JSON; the first
//	F  backupFile as JSON: a file of the folder, whose content follows in
//	C  frames of content
//	D  keys and values as they are stored, each: uvarint length, key, uvarint length, value
//	E  backupEnd as JSON; the last, with the SHA-256 of all frames before it
//
// The folder is read before the store: what follows the store (a ledger) is then never ahead of it.
const (
	backupMagic  = "fujie backup 1\n"
	backupFormat = 1
	maxFrame     = 1<<20 + store.MaxValue + store.MaxKey + 64
	frameAim     = 1 << 20
)

type backupHeader struct {
	Format  int       `json:"format"`
	Made    time.Time `json:"made"`
	Name    string    `json:"name"`
	Version string    `json:"version"`
}

type backupFile struct {
	Path string      `json:"path"` // under the folder, with slashes
	Mode fs.FileMode `json:"mode"`
	Size int64       `json:"size"`
}

type backupEnd struct {
	Files    int    `json:"files"`
	Keys     int64  `json:"keys"`
	Sequence uint64 `json:"sequence"` // the last number that the store had given out
	SHA256   string `json:"sha256"`
}

// Node is a node to be backed up.
type Node struct {
	Name, Version string // for people
	Folder        string
	// Skip are files and folders that are not part of it: the store, when it lies in the folder. Absolute, or under Folder.
	Skip  []string
	Store store.Store

	Progress func(keys int64)
	Now      func() time.Time // time.Now if nil
}

// Summary is what is in a backup.
type Summary struct {
	Made    time.Time `json:"made"`
	Name    string    `json:"name"`
	Version string    `json:"version"` // of the program that wrote it
	Files   int       `json:"files"`
	Keys    int64     `json:"keys"` // of the store
	Sealed  bool      `json:"sealed"`
}

// Backup writes the node to w, sealed for the recipients if there are any, while the node goes on working. Create the
// file with mode 0600: without recipients it holds the node's keys in the clear.
func Backup(ctx context.Context, w io.Writer, n Node, to []Recipient) (*Summary, error) {
	if n.Now == nil {
		n.Now = time.Now
	}
	out := &Summary{Made: n.Now().UTC(), Name: n.Name, Version: n.Version, Sealed: len(to) > 0}
	var sealed io.WriteCloser
	if len(to) > 0 {
		var err error
		if sealed, err = Seal(w, to, nil); err != nil {
			return nil, err
		}
		w = sealed
	}
	if _, err := io.WriteString(w, backupMagic); err != nil {
		return nil, unwritten(err)
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20))
	if err != nil {
		return nil, unwritten(err)
	}
	f := &frames{ctx: ctx, w: z, sum: sha256.New()}
	if err := f.json('H', backupHeader{backupFormat, out.Made, n.Name, n.Version}); err != nil {
		return nil, err
	}
	if out.Files, err = n.files(f); err != nil {
		return nil, err
	}
	snap, err := n.Store.Snapshot(ctx)
	if err != nil {
		return nil, problem.Wrap(err, problem.KindOf(err), "the store cannot be read", "无法读取存储")
	}
	defer snap.Close()
	var page []byte
	err = snap.Range(ctx, store.Span{}, func(key, value []byte) error {
		page = binary.AppendUvarint(page, uint64(len(key)))
		page = append(page, key...)
		page = binary.AppendUvarint(page, uint64(len(value)))
		page = append(page, value...)
		if out.Keys++; len(page) >= frameAim {
			if err := f.put('D', page); err != nil {
				return err
			}
			if page = page[:0]; n.Progress != nil {
				n.Progress(out.Keys)
			}
		}
		return nil
	})
	if err == nil && len(page) > 0 {
		err = f.put('D', page)
	}
	if err == nil {
		err = f.json('E', backupEnd{out.Files, out.Keys, snap.Sequence(), hex.EncodeToString(f.sum.Sum(nil))})
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil && sealed != nil {
		err = sealed.Close()
	}
	if err != nil {
		return nil, unwritten(err)
	}
	return out, nil
}

func unwritten(err error) error {
	var p *problem.Error
	if errors.As(err, &p) {
		return err
	}
	return problem.Wrap(err, problem.Full, "the backup cannot be written: see that there is room and the right to write, then start again", "无法写出备份：请检查剩余空间与写入权限后重新开始")
}

// frames writes frames.
type frames struct {
	ctx context.Context
	w   io.Writer
	sum hash.Hash
}

func (f *frames) json(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "the backup cannot be described", "无法描述备份")
	}
	return f.put(kind, b)
}

func (f *frames) put(kind byte, payload []byte) error {
	if err := f.ctx.Err(); err != nil {
		return problem.Wrap(err, problem.Canceled, "the backup was given up", "备份已放弃")
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	for _, p := range [][]byte{head, payload} {
		f.sum.Write(p)
		if _, err := f.w.Write(p); err != nil {
			return unwritten(err)
		}
	}
	return nil
}

// files writes the files of the folder.
func (n *Node) files(f *frames) (count int, err error) {
	dir, err := filepath.Abs(n.Folder)
	if err != nil {
		return 0, problem.Wrap(err, problem.BadRequest, "the folder %q has no place", "目录 %q 无法定位", n.Folder)
	}
	skip := map[string]bool{}
	for _, s := range n.Skip {
		if !filepath.IsAbs(s) {
			s = filepath.Join(dir, s)
		}
		skip[filepath.Clean(s)] = true
	}
	buf := make([]byte, 256<<10)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // it went meanwhile
		}
		if err != nil {
			return problem.Wrap(err, problem.Internal, "%s cannot be read", "无法读取 %s", path)
		}
		if skip[filepath.Clean(path)] {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || strings.HasSuffix(path, ".part") {
			return nil
		}
		in, err := os.Open(path)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return problem.Wrap(err, problem.Internal, "%s cannot be read: run this as the node's user", "无法读取 %s：请以节点的用户运行", path)
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return problem.Wrap(err, problem.Internal, "%s cannot be read", "无法读取 %s", path)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return problem.Wrap(err, problem.Internal, "%s cannot be read", "无法读取 %s", path)
		}
		count++
		// A file that grows meanwhile is taken as long as it was; what is appended later belongs to a later backup.
		left := info.Size()
		if err := f.json('F', backupFile{filepath.ToSlash(rel), info.Mode().Perm(), left}); err != nil {
			return err
		}
		for left > 0 {
			k, err := io.ReadFull(in, buf[:min(int64(len(buf)), left)])
			if err != nil {
				return problem.Wrap(err, problem.Busy, "%s became shorter while it was read: try again", "%s 在读取时变短：请重试", path)
			}
			if err := f.put('C', buf[:k]); err != nil {
				return err
			}
			left -= int64(k)
		}
		return nil
	})
	return count, err
}

// CheckBackup reads a backup from its beginning to its end and says what is in it. Errors: problem.BadRequest when it is
// damaged or cut off; problem.Forbidden when it was sealed for somebody else; problem.Unsupported.
func CheckBackup(ctx context.Context, r io.Reader, ids []Identity) (*Summary, error) {
	return readBackup(ctx, r, ids, nil, nil)
}

// RestoreBackup puts a backup into dir, which must not be there or be empty, and into the store that open opens once
// the configuration is back in its place; dir there is where the files are for now. The folder appears under its name when
// all is done. Check the backup first.
func RestoreBackup(ctx context.Context, r io.Reader, dir string, ids []Identity, open func(dir string) (store.Store, error)) (*Summary, error) {
	if es, err := os.ReadDir(dir); err == nil && len(es) > 0 {
		return nil, problem.New(problem.Exists, "%s is not empty: restore into a new folder", "%s 不为空：请恢复到新目录", dir)
	}
	tmp := filepath.Clean(dir) + ".part"
	if err := os.RemoveAll(tmp); err != nil {
		return nil, problem.Wrap(err, problem.Full, "%s cannot be taken away", "无法清除 %s", tmp)
	}
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, problem.Wrap(err, problem.Full, "the folder %s cannot be made", "无法建立目录 %s", tmp)
	}
	s, err := readBackup(ctx, r, ids, &folderWriter{dir: tmp}, func() (store.Store, error) { return open(tmp) })
	if err != nil {
		return nil, err
	}
	os.Remove(dir) // when it is there and empty
	if err := os.Rename(tmp, dir); err != nil {
		return nil, problem.Wrap(err, problem.Full, "%s is whole but cannot be given the name %s", "%s 已完整，但无法改名为 %s", tmp, dir)
	}
	return s, nil
}

type folderWriter struct {
	dir  string
	f    *os.File
	left int64
}

func (w *folderWriter) begin(b backupFile) error {
	rel := filepath.FromSlash(b.Path)
	if !filepath.IsLocal(rel) {
		return problem.New(problem.BadRequest, "the backup has a file called %q, which leads out of its folder", "备份中的文件 %q 指向目录之外", b.Path)
	}
	full := filepath.Join(w.dir, rel)
	err := os.MkdirAll(filepath.Dir(full), 0o700)
	if err == nil {
		w.f, err = os.OpenFile(full, os.O_CREATE|os.O_EXCL|os.O_WRONLY, b.Mode.Perm())
	}
	w.left = b.Size
	if err != nil {
		return problem.Wrap(err, problem.Full, "%s cannot be written: see that there is room", "无法写入 %s：请检查剩余空间", full)
	}
	return nil
}

func (w *folderWriter) write(b []byte) error {
	if _, err := w.f.Write(b); err != nil {
		return problem.Wrap(err, problem.Full, "%s cannot be written: see that there is room", "无法写入 %s：请检查剩余空间", w.f.Name())
	}
	return nil
}

func (w *folderWriter) end() error {
	if w == nil || w.f == nil {
		return nil
	}
	err := w.f.Sync()
	if err2 := w.f.Close(); err == nil {
		err = err2
	}
	w.f = nil
	if err != nil {
		return problem.Wrap(err, problem.Full, "a file cannot be finished: see that there is room", "无法完成文件：请检查剩余空间")
	}
	return nil
}

// readBackup reads a backup; files and keys go where they are wanted, or nowhere.
func readBackup(ctx context.Context, r io.Reader, ids []Identity, files *folderWriter, open func() (store.Store, error)) (out *Summary, err error) {
	bad := func(cause error, en, zh string) error {
		var p *problem.Error
		if errors.As(cause, &p) {
			return cause
		}
		return problem.Wrap(cause, problem.BadRequest, "the backup is damaged: "+en+"; take a good copy", "备份已损坏："+zh+"；请换用完好的副本")
	}
	out = &Summary{}
	in := bufio.NewReaderSize(r, 64<<10)
	plain := io.Reader(in)
	if start, _ := in.Peek(len(backupMagic)); string(start) != backupMagic {
		out.Sealed = true
		if plain, err = Open(in, ids); err != nil {
			return nil, err
		}
	}
	magic := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(plain, magic); err != nil || string(magic) != backupMagic {
		return nil, bad(err, "it does not begin as a backup does", "开头不是备份文件")
	}
	z, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, bad(err, "it cannot be unpacked", "无法解压")
	}
	defer z.Close()
	var s store.Store
	defer func() {
		files.end()
		if s != nil {
			if err2 := s.Close(); err == nil {
				err = err2
			}
		}
	}()
	sum := sha256.New()
	head := make([]byte, 5)
	var payload []byte
	var left int64 // content of the file that is being read
	for first := true; ; first = false {
		if err := ctx.Err(); err != nil {
			return nil, problem.Wrap(err, problem.Canceled, "it was given up", "已放弃")
		}
		if _, err := io.ReadFull(z, head); err != nil {
			return nil, bad(err, "it ends too soon", "不完整")
		}
		n := binary.BigEndian.Uint32(head[1:])
		if n > maxFrame {
			return nil, bad(nil, "a frame is longer than any that is written", "数据帧过长")
		}
		if uint32(cap(payload)) < n {
			payload = make([]byte, n)
		}
		payload = payload[:n]
		if _, err := io.ReadFull(z, payload); err != nil {
			return nil, bad(err, "it ends too soon", "不完整")
		}
		before := sum.Sum(nil)
		sum.Write(head)
		sum.Write(payload)
		switch kind := head[0]; {
		case first != (kind == 'H'), left > 0 && kind != 'C':
			return nil, bad(nil, "its parts are out of order", "各部分次序错误")
		case kind == 'H':
			var h backupHeader
			if err := json.Unmarshal(payload, &h); err != nil {
				return nil, bad(err, "its header is no JSON", "头部不是 JSON")
			}
			if h.Format != backupFormat {
				return nil, problem.New(problem.Unsupported, "the backup has format %d, this program reads %d: restore it with the program that wrote it (%s)",
					"备份格式为 %d，本程序读取 %d：请用写出它的程序（%s）恢复", h.Format, backupFormat, h.Version)
			}
			out.Made, out.Name, out.Version = h.Made, h.Name, h.Version
		case kind == 'F':
			var b backupFile
			if err := json.Unmarshal(payload, &b); err != nil || b.Size < 0 {
				return nil, bad(err, "a file is not described", "文件缺少说明")
			}
			out.Files, left = out.Files+1, b.Size
			if files != nil {
				if err := files.end(); err != nil {
					return nil, err
				}
				if err := files.begin(b); err != nil {
					return nil, err
				}
			}
		case kind == 'C':
			if left -= int64(len(payload)); left < 0 || len(payload) == 0 {
				return nil, bad(nil, "a file is longer than it says", "文件长于其声明")
			}
			if files != nil {
				if err := files.write(payload); err != nil {
					return nil, err
				}
			}
		case kind == 'D' || kind == 'E':
			if err := files.end(); err != nil {
				return nil, err
			}
			if s == nil && open != nil {
				if s, err = open(); err != nil {
					return nil, err
				}
				if err := isEmpty(ctx, s); err != nil {
					return nil, err
				}
			}
			if kind == 'D' {
				k, err := keys(ctx, s, payload)
				if err != nil {
					return nil, bad(err, "a key or a value is cut short", "键或值不完整")
				}
				out.Keys += k
				continue
			}
			var e backupEnd
			if err := json.Unmarshal(payload, &e); err != nil || e.SHA256 != hex.EncodeToString(before) || e.Files != out.Files || e.Keys != out.Keys {
				return nil, bad(err, "its checksum does not hold", "校验和不符")
			}
			if _, err := io.ReadFull(z, head[:1]); err != io.EOF {
				return nil, bad(err, "something stands behind its end", "末尾之后还有内容")
			}
			if s != nil {
				return out, count(ctx, s, e.Sequence)
			}
			return out, nil
		default:
			return nil, bad(nil, "it has a part of unknown kind", "含有未知类型的部分")
		}
	}
}

func isEmpty(ctx context.Context, s store.Store) error {
	return s.Range(ctx, store.Span{}, func(_, _ []byte) error {
		return problem.New(problem.Exists, "the store that the configuration names holds something already: empty it, or name another", "配置所指的存储中已有内容：请清空或更换")
	})
}

var errCut = errors.New("cut short")

// keys stores the keys of one frame; s may be nil.
func keys(ctx context.Context, s store.Store, payload []byte) (n int64, err error) {
	var b store.Batch
	for len(payload) > 0 {
		key, rest, ok := cut(payload, store.MaxKey)
		if !ok || len(key) == 0 {
			return n, errCut
		}
		value, rest, ok := cut(rest, store.MaxValue)
		if !ok {
			return n, errCut
		}
		payload = rest
		b.Put(key, value)
		n++
	}
	if s != nil {
		_, err = s.Apply(ctx, &b)
	}
	return n, err
}

func cut(b []byte, limit int) (f, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(limit) || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n) : w+int(n)], b[w+int(n):], true
}

// count brings the store's numbers to where they were: who keeps a log by them must not get a number twice.
func count(ctx context.Context, s store.Store, to uint64) error {
	filler := []byte("\xffrestore ")
	for {
		snap, err := s.Snapshot(ctx)
		if err != nil {
			return err
		}
		at := snap.Sequence()
		snap.Close()
		if at >= to {
			return nil
		}
		var b store.Batch
		for range min(to-at, 50_000) {
			b.Append(filler, nil)
		}
		r, err := s.Apply(ctx, &b)
		if err != nil {
			return problem.Wrap(err, problem.KindOf(err), "the store does not take what is restored", "存储无法接受恢复的内容")
		}
		b.Reset()
		for n := r.First; n <= r.Last; n++ {
			b.Delete(store.LogKey(filler, n))
		}
		if _, err := s.Apply(ctx, &b); err != nil {
			return problem.Wrap(err, problem.KindOf(err), "the store does not take what is restored", "存储无法接受恢复的内容")
		}
	}
}
