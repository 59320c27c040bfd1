package intake

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/fujie-id/fujie/problem"
)

// read gives one line of text for each item: its line number, identifier and values, or the kind of its error.
func read(t *testing.T, name, data string, opts Options) (string, error) {
	t.Helper()
	r, err := NewReader(strings.NewReader(data), name, opts)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var b strings.Builder
	for {
		it, err := r.Next()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		if it.Err != nil {
			fmt.Fprintf(&b, "%d %s\n", it.Line, problem.KindOf(it.Err))
			continue
		}
		fmt.Fprintf(&b, "%d %s", it.Line, it.ID)
		if it.Template != "" {
			fmt.Fprintf(&b, " <%s>", it.Template)
		}
		if it.Enterprise != nil {
			fmt.Fprintf(&b, " (%s)", it.Enterprise.Name)
		}
		for _, v := range it.Values {
			fmt.Fprintf(&b, " %d:%s=%s", v.Index, v.Type, v.Data)
		}
		b.WriteByte('\n')
	}
}

func gb(t *testing.T, s string) string {
	t.Helper()
	out, err := simplifiedchinese.GB18030.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	parts := mustMap(t, "identifier: '88.118.1001/{件号}'\ntemplate: part\nvalues:\n - {index: 2000, field: 名称, required: true, max: 8}\n - {index: 2001, field: 重量, as: number}\n - {index: 2002, field: 日期, as: date}\n")
	for _, c := range []struct {
		what, name, data string
		opts             Options
		want             string
	}{
		{"a line of the contract", "a.jsonl", `{"id":"88.118.1001/eng-42","template":"t","values":[{"index":1,"type":"URL","data":"http://a"}]}`, Options{},
			"1 88.118.1001/ENG-42 <t> 1:URL=http://a\n"},
		{"blank lines count, and are skipped", "a.jsonl", "\n{\"id\":\"88.1/a\"}\n\n{\"id\":\"88.1/b\"}", Options{}, "2 88.1/A\n4 88.1/B\n"},
		{"bad lines are items with errors", "a.jsonl", "{\n{\"id\":\"88.1/\"}\n{\"id\":\"88.1/c\",\"values\":[{\"index\":0,\"type\":\"x\",\"data\":\"\"}]}\n{\"id\":\"88.1/d\"}\n", Options{},
			"1 bad-value\n2 bad-identifier\n3 bad-value\n4 88.1/D\n"},
		{"an index twice", "a.jsonl", `{"id":"88.1/a","values":[{"index":1,"type":"x","data":"1"},{"index":1,"type":"y","data":"2"}]}`, Options{}, "1 value-exists\n"},
		{"csv", "a.csv", "id,URL,2000:name\n88.1/a,http://a,Alpha\n88.1/b,,Beta\n", Options{}, "2 88.1/A 1:URL=http://a 2000:name=Alpha\n3 88.1/B 2000:name=Beta\n"},
		{"csv in Chinese, with the mark of Windows", "a.csv", "\xef\xbb\xbf标识,模板,名称\n88.1/甲,t,阀门\n", Options{}, "2 88.1/甲 <t> 1:名称=阀门\n"},
		{"csv in GB 18030, found out", "a.csv", gb(t, "标识,名称\n88.1/甲,阀门\n"), Options{}, "2 88.1/甲 1:名称=阀门\n"},
		{"csv in GBK, named", "a.csv", gb(t, "标识,名称\n88.1/甲,阀门\n"), Options{Encoding: "gbk"}, "2 88.1/甲 1:名称=阀门\n"},
		{"csv with a short row", "a.csv", "id,a\n88.1/a\n88.1/b,2\n", Options{}, "2 bad-request\n3 88.1/B 1:a=2\n"},
		{"csv with a field over two lines", "a.csv", "id,a\n88.1/a,\"x\ny\"\n88.1/b,2\n", Options{}, "2 88.1/A 1:a=x\ny\n4 88.1/B 1:a=2\n"},
		{"gzipped", "a.jsonl.gz", gzipped(t, `{"id":"88.1/a"}`), Options{}, "1 88.1/A\n"},
		{"the format by its first character", "-", " {\"id\":\"88.1/a\"}", Options{}, "1 88.1/A\n"},
		{"a map over csv", "a.csv", "件号,名称,重量,日期\nA1,阀门,1.5,2026-02-28\nA2,,1,\nA3,一二三四五六七八九,1,\nA4,轴,x,\nA5,轴,1,2026-02-30\n,轴,1,\n", Options{Map: parts},
			"2 88.118.1001/A1 <part> 2000:名称=阀门 2001:重量=1.5 2002:日期=2026-02-28\n3 bad-value\n4 too-large\n5 bad-value\n6 bad-value\n7 bad-value\n"},
		{"a map over JSON numbers", "a.jsonl", `{"件号":"A1","名称":"阀门","重量":1.50}`, Options{Map: parts}, "1 88.118.1001/A1 <part> 2000:名称=阀门 2001:重量=1.50\n"},
	} {
		got, err := read(t, c.name, c.data, c.opts)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
		} else if got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.what, got, c.want)
		}
	}
}

func TestFileErrors(t *testing.T) {
	for _, c := range []struct{ what, name, data, encoding string }{
		{"csv without an id", "a.csv", "a,b\n1,2\n", ""},
		{"empty csv", "a.csv", "", ""},
		{"unknown encoding", "a.csv", "id\n", "klingon"},
		{"damaged gzip", "a.gz", "\x1f\x8bnot", ""},
	} {
		if _, err := read(t, c.name, c.data, Options{Encoding: c.encoding}); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%s: got %v, want a bad request", c.what, err)
		}
	}
	whole := gzipped(t, strings.Repeat(`{"id":"88.1/a"}`+"\n", 1000))
	if got, err := read(t, "cut.jsonl.gz", whole[:len(whole)-20], Options{}); err == nil {
		t.Errorf("a cut gzip file read to its end as %q", got)
	}
}

// TestTooLong shows that an endless line costs no more than its limit, and that what follows is read.
func TestTooLong(t *testing.T) {
	long := `{"id":"88.1/a","x":"` + strings.Repeat("x", MaxLine) + "\"}\n" + `{"id":"88.1/b"}`
	got, err := read(t, "a.jsonl", long, Options{})
	if want := "1 too-large\n2 88.1/B\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func mustMap(t *testing.T, s string) *Map {
	t.Helper()
	m, err := ParseMap([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMapErrors(t *testing.T) {
	for _, c := range []struct{ what, yaml, says string }{
		{"unknown key", "identifier: a\nvalue: []\n", "value"},
		{"no identifier", "template: x\n", "identifier"},
		{"open brace", "identifier: 'a/{b'\n", "brace"},
		{"two values of one index", "identifier: a/{b}\nvalues: [{index: 1, field: a}, {index: 1, field: b}]\n", "index"},
		{"unknown kind", "identifier: a/{b}\nvalues: [{index: 1, field: a, as: colour}]\n", "colour"},
		{"bad second level", "enterprise: {under: '88', field: c}\nidentifier: '{b}'\n", "88"},
		{"no enterprise field", "enterprise: {under: '88.118'}\nidentifier: '{b}'\n", "field"},
	} {
		_, err := ParseMap([]byte(c.yaml))
		if !problem.Is(err, problem.BadRequest) && !problem.Is(err, problem.BadID) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want an error that names %q", c.what, err, c.says)
		}
	}
}

// TestEnterpriseCode pins the codes: prefixes that were delegated must never change.
func TestEnterpriseCode(t *testing.T) {
	if a, b := EnterpriseCode("Choice  Spine, LP ", 8), EnterpriseCode("CHOICE SPINE, LP", 8); a != b {
		t.Errorf("spellings of one name get %s and %s", a, b)
	}
	for name, want := range map[string]string{"CHOICE SPINE, LP": "04674804", "青禾医疗器械有限公司": "33850231"} {
		if got := EnterpriseCode(name, 8); got != want {
			t.Errorf("%s gets %s, got %s before", name, got, want)
		}
	}
}

// TestDevices reads the official device list with its map: every line becomes an item, and no two companies share a prefix.
func TestDevices(t *testing.T) {
	path := filepath.FromSlash("../../shared/data/openfda-udi/udi-sample.jsonl.gz")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the official device list is not beside the project")
	}
	m, err := LoadMap("../sim/maps/openfda-udi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, Options{Map: m})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	names := map[string]string{}
	items, values := 0, 0
	for {
		it, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if it.Err != nil {
			t.Fatalf("line %d: %v", it.Line, it.Err)
		}
		if old, ok := names[it.Enterprise.Prefix]; ok && old != it.Enterprise.Name {
			t.Errorf("%s and %s share the prefix %s", old, it.Enterprise.Name, it.Enterprise.Prefix)
		}
		names[it.Enterprise.Prefix] = it.Enterprise.Name
		items++
		values += len(it.Values)
	}
	if items != 10000 || len(names) != 138 {
		t.Errorf("%d devices of %d companies, want 10000 of 138", items, len(names))
	}
	if values < 10*items {
		t.Errorf("%d values in %d records: the map loses fields", values, items)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("a.jsonl", []byte(`{"id":"88.1/a","values":[{"index":1,"type":"URL","data":"x"}]}`))
	f.Add("a.csv", []byte("id,a,2000:b\n88.1/a,1,2\n"))
	f.Add("a.csv", []byte("\xb1\xea\xca\xb6,a\n88.1/\xbc\xd7,1\n"))
	f.Add("a.gz", []byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		r, err := NewReader(bytes.NewReader(data), name, Options{})
		if err != nil {
			return
		}
		last := 0
		for range 100000 {
			it, err := r.Next()
			if err != nil {
				return
			}
			if it.Line < last {
				t.Fatalf("line %d comes behind line %d", it.Line, last)
			}
			last = it.Line
			if it.Err == nil && !it.ID.IsValid() {
				t.Fatal("an item has neither an identifier nor an error")
			}
		}
	})
}

func FuzzMap(f *testing.F) {
	f.Add([]byte("identifier: '88.118.1001/{a.0.b}'\nvalues: [{index: 1, field: a, as: list}]\n"), []byte(`{"a":[{"b":"x"}]}`))
	f.Fuzz(func(t *testing.T, y, line []byte) {
		m, err := ParseMap(y)
		if err != nil {
			return
		}
		r, err := NewReader(bytes.NewReader(line), "a.jsonl", Options{Map: m})
		if err != nil {
			return
		}
		for range 1000 {
			if _, err := r.Next(); err != nil {
				return
			}
		}
	})
}
