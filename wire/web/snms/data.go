package snms

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// object is an identifier with its values, as it comes and goes.
type object struct {
	Handle          string  `json:"handle"`
	TemplateVersion string  `json:"templateVersion"`
	Value           []value `json:"value"`
}

type value struct {
	Index Number `json:"index"`
	Type  string `json:"type"`
	Data  datum  `json:"data"`
	Auth  string `json:"auth"`
}

type datum struct {
	Format string `json:"format"`
	Value  string `json:"value"`
}

type detail struct {
	Code            string  `json:"code"`
	Prefix          string  `json:"prefix"`
	Handle          string  `json:"handle"`
	TemplateVersion string  `json:"templateVersion"`
	Value           []value `json:"value"`
}

// verdict is what became of one item of a batch.
type verdict struct {
	Handle string `json:"handle"`
	Msg    string `json:"msg"`
	Code   int    `json:"code,omitempty"` // of deletions only
}

func (s *Server) detail(c *call) (any, error) {
	name := c.r.URL.Query().Get("handle")
	v, err := parse(name)
	if err != nil {
		return nil, err
	}
	a, err := s.Resolver.Resolve(c.r.Context(), record.Query{ID: v, As: name, By: c.by, PublicOnly: c.by.IsAnonymous()})
	if problem.Is(err, problem.NotAdmin) || problem.Is(err, problem.Forbidden) || problem.Is(err, problem.NeedAuth) {
		// Not all of it is for this asker: what is for everybody then.
		a, err = s.Resolver.Resolve(c.r.Context(), record.Query{ID: v, As: name, PublicOnly: true})
	}
	if err != nil {
		return nil, err
	}
	d := detail{Code: "200", Prefix: v.Prefix(), Handle: name, Value: []value{}}
	template := ""
	for i := range a.Values {
		x := &a.Values[i]
		switch {
		case x.Index == record.IndexTemplateID && x.Type == record.TypeTemplateID:
			template = string(x.Data)
		case x.Index == record.IndexTemplate && x.Type == record.TypeTemplate:
			if d.TemplateVersion == "" {
				d.TemplateVersion = string(x.Data)
			}
		case x.Index >= record.IndexProperty && utf8.Valid(x.Data):
			d.Value = append(d.Value, value{Index: Number(x.Index), Type: x.Type, Data: datum{"string", string(x.Data)}})
		}
	}
	if s.Templates != nil {
		if _, version, ok := s.Templates.Version(template); ok {
			d.TemplateVersion = version
		}
	}
	return d, nil
}

// values checks an object against its template and makes the values of its record.
func (s *Server) values(c *call, o *object, known map[string]*Template) (id.ID, []record.Value, error) {
	v, err := parse(o.Handle)
	switch {
	case err != nil:
		return v, nil, err
	case o.TemplateVersion == "":
		return v, nil, missing("templateVersion")
	case len(o.TemplateVersion) > maxType:
		return v, nil, refuse("模板版本长度不能超过 128")
	case s.Templates == nil:
		return v, nil, refuse("本节点不提供模板")
	}
	t := known[v.Prefix()+"\x00"+o.TemplateVersion]
	if t == nil {
		if t, err = s.Templates.Find(c.r.Context(), c.by, v.Prefix(), o.TemplateVersion); err != nil {
			if problem.Is(err, problem.NotFound) {
				return v, nil, refuse("模板不存在: " + o.TemplateVersion)
			}
			return v, nil, err
		}
		known[v.Prefix()+"\x00"+o.TemplateVersion] = t
	}
	attr := func(index uint32, typ, data string) record.Value {
		return record.Value{Index: index, Type: typ, Data: []byte(data), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: record.DefaultTTL}}
	}
	vs := []record.Value{
		attr(record.IndexTemplateID, record.TypeTemplateID, s.Templates.Identifier(v.Prefix(), o.TemplateVersion)),
		attr(record.IndexTemplate, record.TypeTemplate, o.TemplateVersion),
	}
	seen := map[Number]bool{}
	for _, x := range o.Value {
		at := slices.IndexFunc(t.Items, func(i Item) bool { return i.IDIndex == x.Index })
		switch {
		case at < 0:
			return v, nil, refuse(fmt.Sprintf("非法操作，索引%d在模板中不存在", x.Index))
		case t.Items[at].State == 0:
			return v, nil, refuse(fmt.Sprintf("非法操作，索引%d在模板中已禁用", x.Index))
		case t.Items[at].IDType != x.Type:
			return v, nil, refuse(fmt.Sprintf("非法操作，索引%d的类型应为%s", x.Index, t.Items[at].IDType))
		case x.Data.Format != "" && x.Data.Format != "string":
			return v, nil, refuse(fmt.Sprintf("非法操作，索引%d的 format 只支持 string", x.Index))
		case seen[x.Index]:
			return v, nil, refuse(fmt.Sprintf("非法操作，索引%d重复", x.Index))
		}
		seen[x.Index] = true
		n, m := utf8.RuneCountInString(x.Data.Value), t.Items[at].Metadata
		if n > maxValue || m.MaxLength > 0 && n > int(m.MaxLength) || n < int(m.MinLength) {
			return v, nil, refuse(fmt.Sprintf("%s长度应在%d到%d之间", t.Items[at].Name, m.MinLength, most(m)))
		}
		vs = append(vs, attr(uint32(x.Index), x.Type, x.Data.Value))
	}
	return v, vs, nil
}

func most(m Metadata) int {
	if m.MaxLength > 0 && int(m.MaxLength) < maxValue {
		return int(m.MaxLength)
	}
	return maxValue
}

// complete names a required item that vs lacks.
func complete(t *Template, vs []record.Value) error {
	for _, i := range t.Items {
		if bool(i.Required) && i.State != 0 && !slices.ContainsFunc(vs, func(v record.Value) bool { return v.Index == uint32(i.IDIndex) }) {
			return refuse(i.Name + "(" + strconv.Itoa(int(i.IDIndex)) + ")为必填项")
		}
	}
	return nil
}

// write makes the write for an object.
func (s *Server) write(c *call, o *object, op record.Op, known map[string]*Template) (record.Write, error) {
	v, vs, err := s.values(c, o, known)
	if err != nil {
		return record.Write{}, err
	}
	w := record.Write{Op: op, ID: v, Values: vs}
	if op == record.Create {
		return w, complete(known[v.Prefix()+"\x00"+o.TemplateVersion], vs)
	}
	w.Overwrite = true // record.Add with Overwrite: what is named is replaced, the rest stays
	return w, nil
}

func (s *Server) one(c *call, w record.Write) (any, error) {
	rs, err := s.Registrar.Write(c.r.Context(), c.by, []record.Write{w})
	if err != nil {
		return nil, err
	}
	return rs[0].Err == nil, rs[0].Err
}

func (s *Server) create(c *call) (any, error) { return s.single(c, record.Create) }
func (s *Server) update(c *call) (any, error) { return s.single(c, record.Add) }

func (s *Server) single(c *call, op record.Op) (any, error) {
	var o object
	if err := c.body(&o); err != nil {
		return nil, err
	}
	w, err := s.write(c, &o, op, map[string]*Template{})
	if err != nil {
		return nil, err
	}
	return s.one(c, w)
}

func (s *Server) remove(c *call) (any, error) {
	var o object
	if err := c.body(&o); err != nil {
		return nil, err
	}
	v, err := parse(o.Handle)
	if err != nil {
		return nil, err
	}
	return s.one(c, record.Write{Op: record.Delete, ID: v})
}

func (s *Server) batchCreate(c *call) (any, error) { return s.batch(c, record.Create) }
func (s *Server) batchUpdate(c *call) (any, error) { return s.batch(c, record.Add) }

// batch does each item on its own: those that are wrong are told of, the others are done.
func (s *Server) batch(c *call, op record.Op) (any, error) {
	var os []object
	if err := c.body(&os); err != nil {
		return nil, err
	}
	if err := sized(len(os)); err != nil {
		return nil, err
	}
	out := make([]verdict, len(os))
	var writes []record.Write
	var places []int
	known := map[string]*Template{}
	for i := range os {
		out[i] = verdict{Handle: os[i].Handle, Msg: "success"}
		w, err := s.write(c, &os[i], op, known)
		if err != nil {
			_, out[i].Msg = s.verdict(err, c.r)
			continue
		}
		writes, places = append(writes, w), append(places, i)
	}
	return out, s.all(c, writes, func(i, status int, message string) { out[places[i]].Msg = message })
}

func (s *Server) batchDelete(c *call) (any, error) {
	var raw json.RawMessage
	if err := c.body(&raw); err != nil {
		return nil, err
	}
	var names []string
	var wrapped struct {
		Handles []string `json:"handles"`
	}
	if json.Unmarshal(raw, &names) != nil {
		if err := json.Unmarshal(raw, &wrapped); err != nil {
			return nil, refuse("请求体应为标识数组")
		}
		names = wrapped.Handles
	}
	if err := sized(len(names)); err != nil {
		return nil, err
	}
	out := make([]verdict, len(names))
	var writes []record.Write
	var places []int
	for i, name := range names {
		out[i] = verdict{name, "success", statusOK}
		v, err := parse(name)
		if err != nil {
			out[i].Msg, out[i].Code = err.Error(), statusRefused
			continue
		}
		writes, places = append(writes, record.Write{Op: record.Delete, ID: v}), append(places, i)
	}
	return out, s.all(c, writes, func(i, status int, message string) {
		if status == statusRefused && message == "没有找到标识" {
			message = "标识不存在"
		}
		out[places[i]].Msg, out[places[i]].Code = message, statusRefused
	})
}

func sized(n int) error {
	switch {
	case n == 0:
		return refuse("标识数据不能为空")
	case n > maxBatch:
		return refuse("单次批量操作不能超过 2000 条")
	}
	return nil
}

// all does the writes and tells of those that were refused.
func (s *Server) all(c *call, writes []record.Write, failed func(i, status int, message string)) error {
	if len(writes) == 0 {
		return nil
	}
	rs, err := s.Registrar.Write(c.r.Context(), c.by, writes)
	if err != nil {
		return err
	}
	for i := range rs {
		if rs[i].Err != nil {
			status, message := s.verdict(rs[i].Err, c.r)
			failed(i, status, message)
		}
	}
	return nil
}
