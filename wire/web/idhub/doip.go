package idhub

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// The operations of digital objects.
const (
	opHello    = "0.DOIP/Op.Hello"
	opList     = "0.DOIP/Op.ListOperations"
	opCreate   = "0.DOIP/Op.Create"
	opRetrieve = "0.DOIP/Op.Retrieve"
	opUpdate   = "0.DOIP/Op.Update"
	opExtend   = "0.DOIP.EXTEND/Op.Update.Non.Overlay"
	opDelete   = "0.DOIP/Op.Delete"
	opSearch   = "0.DOIP/Op.Search"
)

const typeTemplate = "0.TYPE/DO.DOIPMETA"

// operation does what operationId says to what targetId names.
func (s *Server) operation(c *call) (any, error) {
	if err := c.login(); err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	op, target := q.Get("operationId"), q.Get("targetId")
	write := c.r.Method == "POST"
	switch op {
	case "":
		return nil, bad("operationId")
	case opHello:
		return map[string]any{"id": target, "type": "0.TYPE/DOIPService", "attributes": map[string]any{"protocol": "DOIP", "protocolVersion": "2.0"}}, nil
	case opList:
		return []string{opHello, opList, opCreate, opRetrieve, opUpdate, opExtend, opDelete, opSearch}, nil
	}
	if target == "" {
		return nil, bad("targetId")
	}
	v, err := parse(target)
	if err != nil {
		return nil, err
	}
	if op != opRetrieve && op != opSearch && c.by.IsAnonymous() {
		return nil, &refusal{codeLogin, "请先登录"}
	}
	switch op {
	case opRetrieve:
		return s.retrieve(c, v, target)
	case opSearch:
		return s.search(c, v)
	case opCreate, opUpdate, opExtend, opDelete:
		if !write {
			return nil, &refusal{codeUnsupported, "该操作须使用 POST"}
		}
	default:
		return nil, &refusal{codeNoOperation, "操作不存在: " + clip(op)}
	}
	if op == opDelete {
		return nil, s.one(c, record.Write{Op: record.Delete, ID: v}, codeNoEdit)
	}
	return nil, s.put(c, v, op)
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

type element struct {
	Index    uint32 `json:"index"`
	Type     string `json:"type"`
	Name     string `json:"name"`
	Data     string `json:"data"`
	DataType int    `json:"dataType"`
}

type object struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Attributes any    `json:"attributes"`
}

type instance struct {
	Elements []element `json:"elements"`
	MetaData history   `json:"metaData"`
}

type history struct {
	CreateTime string `json:"createTime"`
	UpdateTime string `json:"updateTime"`
	Creator    string `json:"creator"`
	Updater    string `json:"updater"`
}

// get reads a record as the caller, or as anybody when not all of it is for them.
func (s *Server) get(ctx context.Context, v id.ID, by record.Identity) ([]record.Value, error) {
	a, err := s.Resolver.Resolve(ctx, record.Query{ID: v, By: by, PublicOnly: by.IsAnonymous()})
	switch problem.KindOf(err) {
	case problem.NotAdmin, problem.Forbidden, problem.NeedAuth:
		if err != nil {
			a, err = s.Resolver.Resolve(ctx, record.Query{ID: v, PublicOnly: true})
		}
	}
	return a.Values, err
}

func (s *Server) retrieve(c *call, v id.ID, name string) (any, error) {
	if s.Metas != nil && strings.HasPrefix(strings.ToUpper(v.Suffix()), "META_") {
		m, err := s.Metas.Find(c.r.Context(), c.by, v)
		if err == nil {
			return object{ID: name, Type: typeTemplate, Attributes: map[string]any{"content": contentOf(m)}}, nil
		}
		if !problem.Is(err, problem.NotFound) {
			return nil, metaProblem(err)
		}
	}
	vs, err := s.get(c.r.Context(), v, c.by)
	if err != nil {
		if problem.Is(err, problem.NoValues) {
			return nil, &refusal{codeNoRead, "没有读取权限"}
		}
		return nil, err
	}
	o := object{ID: name}
	in := instance{Elements: []element{}}
	var first, last uint32
	var m *Meta
	for i := range vs {
		if vs[i].Index == record.IndexTemplateID && vs[i].Type == record.TypeTemplateID {
			o.Type = string(vs[i].Data)
		}
	}
	if t, err := id.ParseHandle(o.Type); err == nil && s.Metas != nil {
		if m, err = s.Metas.Find(c.r.Context(), c.by, t); err != nil {
			m = nil // a template that is away does not hide the data
		}
	}
	for i := range vs {
		x := &vs[i]
		if t := x.Timestamp; t > 0 {
			if first == 0 || t < first {
				first = t
			}
			last = max(last, t)
		}
		if x.Index < record.IndexProperty || !utf8.Valid(x.Data) {
			continue
		}
		e := element{Index: x.Index, Type: x.Type, Data: string(x.Data), DataType: dataText}
		if m != nil {
			if at := slices.IndexFunc(m.Items, func(i Item) bool { return i.Index == x.Index }); at >= 0 {
				e.Name, e.DataType = m.Items[at].ChineseName, m.Items[at].Schema.DataType
			}
		}
		in.Elements = append(in.Elements, e)
	}
	in.MetaData = history{CreateTime: moment(first), UpdateTime: moment(last)}
	o.Attributes = in
	return o, nil
}

var beijing = time.FixedZone("CST", 8*3600)

func moment(t uint32) string {
	if t == 0 {
		return ""
	}
	return time.Unix(int64(t), 0).In(beijing).Format(time.DateTime)
}

// put creates or changes an object from its properties.
func (s *Server) put(c *call, v id.ID, op string) error {
	if s.Metas == nil {
		return errTemplates
	}
	var in struct {
		Type       string `json:"type"`
		Attributes struct {
			Content map[string]any `json:"content"`
		} `json:"attributes"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	ctx := c.r.Context()
	old := []record.Value(nil)
	if op != opCreate {
		var err error
		if old, err = s.get(ctx, v, c.by); err != nil {
			return err
		}
		for i := range old {
			if in.Type == "" && old[i].Index == record.IndexTemplateID {
				in.Type = string(old[i].Data)
			}
		}
	}
	if in.Type == "" {
		return bad("type")
	}
	t, err := parse(in.Type)
	if err != nil {
		return err
	}
	vs, err := s.Metas.Expand(ctx, c.by, t, in.Attributes.Content)
	if err != nil {
		return metaProblem(err)
	}
	if op == opCreate {
		return s.one(c, record.Write{Op: record.Create, ID: v, Values: vs}, codeNoEdit)
	}
	if err := s.one(c, record.Write{Op: record.Add, ID: v, Values: vs, Overwrite: true}, codeNoEdit); err != nil || op == opExtend {
		return err
	}
	// What the object had and is not named now goes, as far as the caller sees it.
	var gone []uint32
	for i := range old {
		if x := old[i].Index; x >= record.IndexProperty && !slices.ContainsFunc(vs, func(v record.Value) bool { return v.Index == x }) {
			gone = append(gone, x)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return s.one(c, record.Write{Op: record.Remove, ID: v, Indexes: gone}, codeNoEdit)
}

func (s *Server) one(c *call, w record.Write, forbidden int) error {
	rs, err := s.Registrar.Write(c.r.Context(), c.by, []record.Write{w})
	if err == nil {
		err = rs[0].Err
	}
	if k := problem.KindOf(err); err != nil && (k == problem.NotAdmin || k == problem.Forbidden) {
		return &refusal{forbidden, "没有编辑权限"}
	}
	return err
}

// search finds the identifiers of one enterprise whose name begins as the target does.
func (s *Server) search(c *call, v id.ID) (any, error) {
	if s.Lister == nil || c.by.IsAnonymous() {
		return nil, &refusal{codeLogin, "请先登录"}
	}
	names, err := s.Lister.List(c.r.Context(), c.by, v.Prefix(), "", 1000)
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, n := range names {
		if strings.HasPrefix(n, v.String()) {
			out = append(out, n)
		}
	}
	return out, nil
}

// handles is a page of identifiers under a prefix.
func (s *Server) handles(c *call) (any, error) {
	page, size, err := c.window()
	if err != nil {
		return nil, err
	}
	prefix := c.r.URL.Query().Get("prefix")
	if prefix == "" {
		if v, err := id.ParseHandle(c.by.Name); err == nil {
			prefix = v.Prefix()
		}
	}
	if s.Lister == nil {
		return nil, &refusal{codeUnsupported, "本节点不提供列表"}
	}
	total, err := s.Lister.Count(c.r.Context(), c.by, prefix)
	if err != nil {
		return nil, err
	}
	if page*size > 1_000_000 {
		return nil, bad("page")
	}
	after, rows := "", []map[string]string{}
	for skip := page * size; skip > 0; {
		names, err := s.Lister.List(c.r.Context(), c.by, prefix, after, min(skip, 1000))
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return paged(rows, int(total), page, size), nil
		}
		skip, after = skip-len(names), names[len(names)-1]
	}
	names, err := s.Lister.List(c.r.Context(), c.by, prefix, after, size)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		rows = append(rows, map[string]string{"handle": n})
	}
	return paged(rows, int(total), page, size), nil
}
