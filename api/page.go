package api

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/problem"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("docs").Parse(pageText))

// operation is one line of the page.
type operation struct {
	Method, Path, Summary, Description string
	Parameters                         []*huma.Param
	Body, Answer                       string // names of schemas
}

type section struct {
	Tag        string
	Operations []operation
}

// page shows every operation to people, from the same description as /openapi.json.
func (a *API) page(w http.ResponseWriter, r *http.Request) {
	byTag := map[string][]operation{}
	for path, item := range a.Huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete} {
			if op == nil {
				continue
			}
			tag := "other"
			if len(op.Tags) > 0 {
				tag = op.Tags[0]
			}
			o := operation{Method: method, Path: path, Summary: op.Summary, Description: op.Description, Parameters: op.Parameters}
			if op.RequestBody != nil {
				o.Body = schemaName(op.RequestBody.Content)
			}
			for _, code := range []string{"200", "201", "202"} {
				if resp := op.Responses[code]; resp != nil && o.Answer == "" {
					o.Answer = schemaName(resp.Content)
				}
			}
			byTag[tag] = append(byTag[tag], o)
		}
	}
	var sections []section
	for tag, ops := range byTag {
		slices.SortFunc(ops, func(x, y operation) int { return strings.Compare(x.Path+x.Method, y.Path+y.Method) })
		sections = append(sections, section{tag, ops})
	}
	slices.SortFunc(sections, func(x, y section) int { return strings.Compare(x.Tag, y.Tag) })
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, map[string]any{
		"Title": a.cfg.Title, "Version": a.cfg.Version, "Sections": sections, "Zh": From(r.Context()).Lang == problem.Chinese,
	})
	if err != nil {
		a.Refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Write(b.Bytes())
}

func schemaName(content map[string]*huma.MediaType) string {
	for _, m := range content {
		if m.Schema == nil {
			continue
		}
		ref := m.Schema.Ref
		if ref == "" && m.Schema.Items != nil {
			ref = m.Schema.Items.Ref
		}
		return ref[strings.LastIndexByte(ref, '/')+1:]
	}
	return ""
}
