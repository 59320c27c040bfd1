package label

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/fujie-id/fujie/problem"
)

// MaxBytes is the size of a design's file, at most; images are in it.
const MaxBytes = 240 << 10

// Fault is one thing that is wrong with a file: where, and what with its cure.
type Fault struct {
	File   string
	Line   int // 0: of the whole
	EN, ZH string
}

// Faults is everything that is wrong with a file. It is of kind problem.BadValue.
type Faults []Fault

func (f Faults) Error() string { return f.problem().EN }

// Unwrap is the faults as one problem.
func (f Faults) Unwrap() error { return f.problem() }

func (f Faults) problem() *problem.Error {
	var en, zh []string
	for i, x := range f {
		if i == 10 {
			en, zh = append(en, fmt.Sprintf("and %d more", len(f)-i)), append(zh, fmt.Sprintf("另有 %d 处", len(f)-i))
			break
		}
		at := x.File
		if x.Line > 0 {
			at += fmt.Sprintf(":%d", x.Line)
		}
		if at != "" {
			at += ": "
		}
		en, zh = append(en, at+x.EN), append(zh, at+x.ZH)
	}
	return &problem.Error{Kind: problem.BadValue, EN: strings.Join(en, "; "), ZH: strings.Join(zh, "；")}
}

// Read reads a design in YAML or JSON. A key that does not exist is an error, as is every value that makes no sense; the error is Faults, with the file's name as it is
// given here, lines and cures.
func Read(file string, b []byte) (d *Design, err error) {
	one := func(line int, en, zh string, args ...any) error {
		e := problem.New(problem.BadValue, en, zh, args...)
		return Faults{{file, line, e.EN, e.ZH}}
	}
	switch {
	case len(b) > MaxBytes:
		return nil, one(0, "the design has %d bytes, over the limit of %d: use smaller images", "设计有 %d 字节，超过上限 %d：请使用更小的图片", len(b), MaxBytes)
	case !utf8.Valid(b):
		return nil, one(0, "the file is not UTF-8: save it as UTF-8", "文件不是 UTF-8：请另存为 UTF-8")
	case deep(b):
		return nil, one(0, "the file is nested too deep for a label", "文件嵌套过深")
	}
	defer func() {
		if p := recover(); p != nil { // the parser met something that it was not made for
			d, err = nil, one(0, "the file cannot be read as YAML: rewrite it more simply", "无法按 YAML 读取文件：请改用更简单的写法")
		}
	}()
	tree, err := parser.ParseBytes(b, 0)
	if err != nil {
		line, what := yamlFault(err)
		return nil, one(line, "this is no YAML: %s", "不是有效的 YAML：%s", what)
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, one(0, "the file holds %d documents, and a label is one: keep one", "文件含 %d 个文档，而标签只能是一个：请保留一个", len(tree.Docs))
	}
	var alias aliases
	ast.Walk(&alias, tree.Docs[0].Body)
	if alias.line > 0 {
		return nil, one(alias.line, "labels have no anchors and aliases: write the value out", "标签文件不支持锚点与别名：请直接写出内容")
	}
	d = new(Design)
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(d); err != nil {
		line, what := yamlFault(err)
		return nil, one(line, "%s: correct it as the schema of labels has it", "%s：请按标签模式改正", what)
	}
	var out Faults
	for _, f := range d.faults() {
		out = append(out, Fault{file, lineOf(tree, f.path), f.path[2:] + ": " + f.en, f.path[2:] + "：" + f.zh})
	}
	if len(out) > 0 {
		return nil, out
	}
	return d, nil
}

// deep reports brackets or indents that nest further than any label.
func deep(b []byte) bool {
	open, most := 0, 0
	for line := range bytes.Lines(b) {
		if n := len(line) - len(bytes.TrimLeft(line, " -?")); n > 200 {
			return true
		}
		for _, c := range line {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open = max(0, open-1)
			}
			most = max(most, open)
		}
	}
	return most > 1000
}

type aliases struct{ line int }

func (a *aliases) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		if a.line == 0 {
			a.line = n.GetToken().Position.Line
		}
		return nil
	}
	return a
}

func yamlFault(err error) (line int, what string) {
	var e yaml.Error
	if errors.As(err, &e) {
		if t := e.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
		return line, e.GetMessage()
	}
	what, _, _ = strings.Cut(err.Error(), "\n")
	return 0, what
}

// lineOf is the line where the path stands, or the nearest thing around it.
func lineOf(tree *ast.File, path string) int {
	for {
		if p, err := yaml.PathString(path); err == nil {
			if n, err := p.FilterFile(tree); err == nil && n != nil && n.GetToken() != nil {
				return n.GetToken().Position.Line
			}
		}
		at := strings.LastIndexAny(path, ".[")
		if at <= 0 {
			return 1
		}
		path = path[:at]
	}
}
