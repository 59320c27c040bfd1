// Package intake reads your product files and says which identifiers they become: JSON Lines or CSV, plain or gzipped,
// in UTF-8 or a GB encoding, as they are or through a map file that names the fields. Nothing is registered here; each
// line gives an item to register or the reason why it cannot be, with its line number.
//
// A JSON line is {"id": "88.118.1001/ENG-42", "template": "…", "values": [{"index": 1, "type": "URL", "data": "…"}]}, its
// values in the JSON form of Handle.Net; or it gives the properties of its template by their English names instead:
// {"id": "…", "template": "88.118/META_PUMP", "properties": {"serialNumber": "P-1", "mass": 12.5}}. A CSV file has a header with a column "id" (or 标识); every other column is a value, its type
// the column's name, its index the number before a colon ("2000:name") or else its place (the first after id is 1).
package intake

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// MaxLine is the longest line read, in bytes; a longer one is reported and skipped.
const MaxLine = 4 << 20

// Item is what one line of a file becomes.
type Item struct {
	Line       int // from 1; in CSV the header is line 1
	ID         id.ID
	As         string // the identifier as it stands in the file
	Template   string
	Properties map[string]any // of the template, by English names; numbers are json.Number; nil when the line gives none
	Values     []record.Value
	Enterprise *Enterprise // when a map made the prefix up from the line; else nil
	Err        error       // why the line cannot be registered; the other fields may then be empty
}

// Enterprise is an enterprise that a map found in the data.
type Enterprise struct{ Prefix, Name string }

// Options say how to read a file. The zero value reads it as it is.
type Options struct {
	Map      *Map
	Encoding string // "utf-8", "gb18030" (which covers GBK and GB 2312) or "auto", the default: UTF-8 unless it is none
	Format   string // "jsonl", "csv" or "auto", the default: by the name, else by the first character
}

// Reader gives the items of one file, in order.
type Reader struct {
	opts   Options
	close  []io.Closer
	counts *counter
	size   int64

	lines *bufio.Reader // JSON Lines
	line  int

	csv    *csv.Reader
	header []string
	plan   []column
}

// Open opens a file. "-" is the standard input.
func Open(path string, opts Options) (*Reader, error) {
	var f *os.File
	if path == "-" {
		f = os.Stdin
	} else {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", path)
		}
	}
	r, err := NewReader(f, path, opts)
	if err != nil {
		f.Close()
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		r.size = st.Size()
	}
	r.close = append(r.close, f)
	return r, nil
}

// NewReader reads from src; name helps to tell its format.
func NewReader(src io.Reader, name string, opts Options) (*Reader, error) {
	r := &Reader{opts: opts, counts: &counter{r: src}}
	in := bufio.NewReaderSize(r.counts, 1<<16)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		gz, err := gzip.NewReader(in)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "%s looks gzipped but is damaged", "%s 像是 gzip 文件，但已损坏", name)
		}
		in = bufio.NewReaderSize(gz, 1<<16)
		name = strings.TrimSuffix(name, ".gz")
	}
	head, err := in.Peek(1 << 15)
	if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", name)
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) { // the mark that Windows programs put
		in.Discard(3)
		head = head[3:]
	}
	switch strings.ToLower(opts.Encoding) {
	case "", "auto":
		if !validHead(head) {
			in = bufio.NewReaderSize(simplifiedchinese.GB18030.NewDecoder().Reader(in), 1<<16)
		}
	case "utf-8", "utf8":
	case "gb18030", "gbk", "gb2312":
		in = bufio.NewReaderSize(simplifiedchinese.GB18030.NewDecoder().Reader(in), 1<<16)
	default:
		return nil, problem.New(problem.BadRequest, "the encoding %q is not known; take utf-8 or gb18030",
			"不认识编码 %q；可用 utf-8 或 gb18030", opts.Encoding)
	}
	format := opts.Format
	if format == "" || format == "auto" {
		switch strings.ToLower(filepath.Ext(name)) {
		case ".csv":
			format = "csv"
		case ".jsonl", ".ndjson", ".json":
			format = "jsonl"
		default:
			format = "csv"
			if t := bytes.TrimLeft(head, " \t\r\n"); len(t) == 0 || t[0] == '{' {
				format = "jsonl"
			}
		}
	}
	switch format {
	case "jsonl":
		r.lines = in
	case "csv":
		r.csv = csv.NewReader(in)
		r.csv.FieldsPerRecord = -1
		r.csv.ReuseRecord = true
		header, err := r.csv.Read()
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "%s has no header line; its first line must name the columns",
				"%s 没有表头；第一行须为列名", name)
		}
		r.header = append(r.header, header...)
		if opts.Map == nil {
			if r.plan, err = planColumns(r.header); err != nil {
				return nil, err
			}
		}
	default:
		return nil, problem.New(problem.BadRequest, "the format %q is not known; take jsonl or csv", "不认识格式 %q；可用 jsonl 或 csv", format)
	}
	return r, nil
}

// validHead reports whether b, which may end amid a character, is UTF-8.
func validHead(b []byte) bool {
	for i := range min(len(b), utf8.UTFMax) {
		if utf8.Valid(b[:len(b)-i]) {
			return true
		}
	}
	return len(b) == 0
}

// Progress is how many bytes of the file were read, and how many it has (0 when not known).
func (r *Reader) Progress() (read, size int64) { return r.counts.n, r.size }

// Close closes the file.
func (r *Reader) Close() error {
	var err error
	for _, c := range r.close {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Next is the next item; io.EOF after the last. Any other error means that the file itself cannot be read on.
func (r *Reader) Next() (Item, error) {
	if r.csv != nil {
		return r.nextCSV()
	}
	return r.nextLine()
}

func (r *Reader) nextLine() (Item, error) {
	for {
		line, tooLong, err := r.readLine()
		if err != nil {
			return Item{}, err
		}
		r.line++
		if tooLong {
			return Item{Line: r.line, Err: problem.New(problem.TooLarge, "the line is longer than %d bytes", "该行超过 %d 字节", MaxLine)}, nil
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		it := r.fromJSON(line)
		it.Line = r.line
		return it, nil
	}
}

// readLine reads to the next newline, or the end; what is beyond MaxLine is thrown away.
func (r *Reader) readLine() (line []byte, tooLong bool, err error) {
	for {
		part, err := r.lines.ReadSlice('\n')
		switch {
		case err == nil && line == nil && !tooLong:
			return part, false, nil
		case !tooLong:
			if line = append(line, part...); len(line) > MaxLine {
				line, tooLong = nil, true
			}
		}
		switch {
		case err == nil:
			return line, tooLong, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF && (len(line) > 0 || tooLong):
			return line, tooLong, nil
		case err == io.EOF:
			return nil, false, io.EOF
		default:
			return nil, false, problem.Wrap(err, problem.BadRequest, "line %d and what follows cannot be read", "第 %d 行起无法读取", r.line+1)
		}
	}
}

func (r *Reader) fromJSON(line []byte) Item {
	if r.opts.Map != nil {
		var doc any
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		if err := dec.Decode(&doc); err != nil {
			return Item{Err: badJSON(err)}
		}
		return r.opts.Map.item(doc)
	}
	var it Item
	var name string
	in := record.NewJSONReader(line)
	in.Object(func(field string) {
		switch field {
		case "id":
			name = in.String()
		case "template":
			it.Template = in.String()
		case "values":
			it.Values = in.Values()
		case "properties":
			it.Properties = properties(in)
		default:
			in.Skip()
		}
	})
	in.End()
	if it.Err = in.Err(); it.Err != nil {
		return it
	}
	it.As = name
	if it.ID, it.Err = id.Parse(name); it.Err == nil {
		it.Err = record.CheckAll(it.Values)
	}
	if it.Err == nil && it.Properties != nil && it.Template == "" {
		it.Err = problem.New(problem.BadValue, "the line has properties but names no template: give \"template\", as 88.118/META_PUMP", "该行给出了 properties 但未注明模板：请给出 template，例如 88.118/META_PUMP")
	}
	return it
}

// properties reads an object whose members are any JSON.
func properties(in *record.JSONReader) map[string]any {
	out := map[string]any{}
	in.Object(func(name string) {
		if _, twice := out[name]; twice {
			in.Fail("the property %.60q is there twice", "属性 %.60q 重复", name)
		}
		out[name] = anything(in)
	})
	return out
}

// anything reads any JSON; numbers stay as they are written.
func anything(in *record.JSONReader) any {
	switch in.Peek() {
	case '{':
		return properties(in)
	case '[':
		list := []any{}
		in.Array(func() { list = append(list, anything(in)) })
		return list
	case '"':
		return in.String()
	case 't', 'f':
		return in.Bool()
	case 'n':
		if !in.Null() {
			in.Fail("null expected", "应为 null")
		}
		return nil
	}
	return json.Number(in.Number())
}

func badJSON(err error) error {
	return problem.Wrap(err, problem.BadRequest, "the line is no JSON object", "该行不是 JSON 对象")
}

// column is what a CSV column without a map becomes: the identifier, the template, or a value.
type column struct {
	kind  byte // 'i', 't', 'v'
	index uint32
	typ   string
}

func planColumns(header []string) ([]column, error) {
	plan := make([]column, len(header))
	next, found := uint32(1), false
	for i, h := range header {
		h = strings.TrimSpace(h)
		switch {
		case strings.EqualFold(h, "id"), h == "标识":
			plan[i].kind, found = 'i', true
		case strings.EqualFold(h, "template"), h == "模板":
			plan[i].kind = 't'
		default:
			c := column{kind: 'v', index: next, typ: h}
			if n, t, ok := strings.Cut(h, ":"); ok {
				if v, err := strconv.ParseUint(n, 10, 31); err == nil {
					c.index, c.typ = uint32(v), t
				}
			}
			plan[i] = c
			next = c.index + 1
		}
	}
	if !found {
		return nil, problem.New(problem.BadRequest,
			"the header has no column \"id\"; name the column that holds the identifier so, or give a map with --map",
			"表头中没有 id（或“标识”）列；请将存放标识的列改为此名，或用 --map 给出映射文件")
	}
	return plan, nil
}

func (r *Reader) nextCSV() (Item, error) {
	row, err := r.csv.Read()
	if err == io.EOF {
		return Item{}, io.EOF
	}
	var pe *csv.ParseError
	if errors.As(err, &pe) {
		return Item{Line: pe.StartLine, Err: problem.Wrap(pe.Err, problem.BadRequest, "the row is no CSV", "该行不是合规的 CSV")}, nil
	}
	if err != nil {
		return Item{}, problem.Wrap(err, problem.BadRequest, "the file cannot be read on", "文件无法继续读取")
	}
	line, _ := r.csv.FieldPos(0)
	it := r.fromRow(row)
	it.Line = line
	return it, nil
}

func (r *Reader) fromRow(row []string) Item {
	if len(row) != len(r.header) {
		return Item{Err: problem.New(problem.BadRequest, "the row has %d columns, the header %d", "该行有 %d 列，表头有 %d 列", len(row), len(r.header))}
	}
	if r.opts.Map != nil {
		doc := make(map[string]any, len(row))
		for i, v := range row {
			doc[strings.TrimSpace(r.header[i])] = v
		}
		return r.opts.Map.item(doc)
	}
	var it Item
	for i, c := range r.plan {
		v := strings.TrimSpace(row[i])
		switch c.kind {
		case 'i':
			it.As = v
			if it.ID, it.Err = id.Parse(v); it.Err != nil {
				return it
			}
		case 't':
			it.Template = v
		default:
			if v != "" {
				it.Values = append(it.Values, value(c.index, c.typ, v))
			}
		}
	}
	it.Err = record.CheckAll(it.Values)
	return it
}

func value(index uint32, typ, data string) record.Value {
	return record.Value{Index: index, Type: typ, Data: []byte(data), TTL: record.TTL{Seconds: record.DefaultTTL}, Perm: record.DefaultPerm}
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
