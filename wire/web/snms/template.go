package snms

import (
	"fmt"

	"github.com/fujie-id/fujie/record"
)

func (c *call) version() (prefix, version string, err error) {
	q := c.r.URL.Query()
	if prefix, version = q.Get("prefix"), q.Get("version"); prefix == "" {
		return "", "", missing("prefix")
	}
	if version == "" {
		return "", "", missing("version")
	}
	if c.s.Templates == nil {
		return "", "", refuse("本节点不提供模板")
	}
	return prefix, version, nil
}

func (s *Server) template(c *call) (any, error) {
	prefix, version, err := c.version()
	if err != nil {
		return nil, err
	}
	t, err := s.Templates.Find(c.r.Context(), c.by, prefix, version)
	if err != nil {
		return nil, templateProblem(err)
	}
	return t, nil
}

// read reads a template and checks what the interface asks of it; items of an extension may lack what they do not change.
func (c *call) readTemplate() (*Template, error) {
	if c.s.Templates == nil {
		return nil, refuse("本节点不提供模板")
	}
	var t Template
	if err := c.body(&t); err != nil {
		return nil, err
	}
	switch {
	case t.Prefix == "":
		return nil, missing("prefix")
	case t.Version == "":
		return nil, missing("version")
	case len(t.Version) > maxType:
		return nil, refuse("模板版本长度不能超过 128")
	case len(t.Items) == 0:
		return nil, missing("items")
	}
	seen, names := map[Number]bool{}, map[string]bool{}
	for i := range t.Items {
		x := &t.Items[i]
		switch {
		case x.IDIndex == record.IndexTemplateID || x.IDIndex == record.IndexTemplate:
			return nil, refuse(fmt.Sprintf("索引%d为系统保留", x.IDIndex))
		case x.IDIndex < record.IndexProperty:
			return nil, refuse(fmt.Sprintf("索引%d应不小于2000", x.IDIndex))
		case x.IDType == "":
			return nil, missing("idType")
		case len(x.IDType) > maxType:
			return nil, refuse("idType 长度不能超过 128")
		case seen[x.IDIndex] || names[x.IDType]:
			return nil, refuse(fmt.Sprintf("索引%d或类型%s重复", x.IDIndex, x.IDType))
		case x.Metadata.Type != "" && x.Metadata.Type != "string":
			return nil, refuse("metadata.type 只支持 string")
		case x.Metadata.MinLength < 0 || x.Metadata.MaxLength < 0 || x.Metadata.MaxLength > 0 && x.Metadata.MinLength > x.Metadata.MaxLength:
			return nil, refuse(x.Name + "的长度范围有误")
		}
		seen[x.IDIndex], names[x.IDType] = true, true
		x.Metadata.Type = "string"
	}
	return &t, nil
}

func (s *Server) newTemplate(c *call) (any, error) {
	t, err := c.readTemplate()
	if err != nil {
		return nil, err
	}
	if err := s.Templates.Create(c.r.Context(), c.by, t); err != nil {
		return nil, templateProblem(err)
	}
	return true, nil
}

func (s *Server) extendTemplate(c *call) (any, error) {
	t, err := c.readTemplate()
	if err != nil {
		return nil, err
	}
	if err := s.Templates.Extend(c.r.Context(), c.by, t); err != nil {
		return nil, templateProblem(err)
	}
	return true, nil
}

func (s *Server) dropTemplate(c *call) (any, error) {
	prefix, version, err := c.version()
	if err != nil {
		return nil, err
	}
	if err := s.Templates.Withdraw(c.r.Context(), c.by, prefix, version); err != nil {
		return nil, templateProblem(err)
	}
	return true, nil
}
