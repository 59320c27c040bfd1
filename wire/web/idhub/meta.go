package idhub

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// The types of an item's data.
const (
	dataText = iota + 1
	dataNumber
	dataDate
	dataFile
	dataReference
	dataAudio
	dataVideo
	dataPicture
)

// The states of a template and of an item.
const (
	MetaDraft     = 0
	MetaPublished = 1
	MetaWithdrawn = 2

	ItemEnabled  = 0
	ItemDisabled = 1
	ItemPending  = 2
)

// Meta is a template in the interface's words.
type Meta struct {
	MetaHandle       string `json:"metaHandle"`
	MetaName         string `json:"metaName"`
	MetaCode         string `json:"metaCode"`
	ClassifyCode     string `json:"classifyCode"`
	Standard         string `json:"standard"`
	MetaDesc         string `json:"metaDesc"`
	IndustryCategory string `json:"industryCategory"`
	IndustrySpecific string `json:"industrySpecific"`
	IndustryTrade    string `json:"industryTrade"`
	IndustrySubclass string `json:"industrySubclass"`
	MetaState        int    `json:"metaState"`
	Contributor      string `json:"metaContributor"`
	IsQuote          bool   `json:"isQuote"` // a copy of another enterprise's template, which cannot be edited
	PublishedTime    string `json:"publishedTime"`
	EffectiveTime    string `json:"effectiveTime"`
	Items            []Item `json:"items"`
}

// Item is one property.
type Item struct {
	Index             uint32 `json:"itemIndex"`
	ItemCode          string `json:"itemCode"`
	EnglishName       string `json:"englishName"`
	ChineseName       string `json:"chineseName"`
	Definition        string `json:"definition"`
	Required          bool   `json:"required"`
	UniqueField       bool   `json:"uniqueField"`
	InputNecessary    bool   `json:"inputNecessary"`
	ListItemNecessary bool   `json:"listItemNecessary"`
	ItemState         int    `json:"itemState"`
	Schema            Schema `json:"itemSchemaInfo"`
}

// Schema says what an item takes.
type Schema struct {
	DataType            int      `json:"dataType"`
	MinLength           int      `json:"minLength,omitempty"`
	MaxLength           int      `json:"maxLength,omitempty"`
	Accuracy            int      `json:"accuracy,omitempty"`
	NumberRange         string   `json:"numberRange,omitempty"` // [1,10]
	DateFormat          string   `json:"dateFormat,omitempty"`  // YYYY-MM-DD
	MaxFileCount        int      `json:"maxFileCount,omitempty"`
	FileRange           int      `json:"fileRange,omitempty"` // 1 any, 2 those of FileType and SelfDefFileSuffix
	FileType            []int    `json:"fileType,omitempty"`
	SelfDefFileSuffix   []string `json:"selfDefFileSuffix,omitempty"`
	ReferenceType       int      `json:"referenceType,omitempty"` // 1 one, 2 many
	ReferenceMetaHandle string   `json:"referenceMetaHandle,omitempty"`
}

// Metas is the shelf of templates. Errors of all: problem.NotFound, Exists, BadValue, NeedAuth, Forbidden, and Faults.
type Metas interface {
	Find(ctx context.Context, by record.Identity, v id.ID) (*Meta, error)
	Page(ctx context.Context, by record.Identity, classify string, page, size int) (rows []*Meta, total int, err error)
	// Create makes a template; its identifier is made up when MetaHandle is empty.
	Create(ctx context.Context, by record.Identity, m *Meta) (identifier string, err error)
	// Change replaces what a template says of itself, and with items the items it names; none goes away.
	Change(ctx context.Context, by record.Identity, m *Meta, items bool) error
	Delete(ctx context.Context, by record.Identity, v id.ID) error
	Publish(ctx context.Context, by record.Identity, v id.ID, on bool) error
	// Derive begins a template with the items of another.
	Derive(ctx context.Context, by record.Identity, from id.ID, m *Meta) (identifier string, err error)
	// Expand makes a record's values from properties by English name. problem.Unsupported: the template is not published.
	Expand(ctx context.Context, by record.Identity, template id.ID, properties map[string]any) ([]record.Value, error)
}

func metaProblem(err error) error {
	var faults Faults
	if err == nil || asFaults(err, &faults) {
		return err
	}
	switch problem.KindOf(err) {
	case problem.NotFound, problem.NotHere:
		return &refusal{codeNoTemplate, "模板不存在"}
	case problem.Unsupported:
		return &refusal{codeUnpublished, "模板未发布"}
	case problem.NotAdmin, problem.Forbidden, problem.NeedAuth:
		return &refusal{codeNoTemplateR, "没有模板权限"}
	case problem.NoValues:
		return &refusal{codeNoItem, problem.Say(err, problem.Chinese)}
	}
	return err
}

func asFaults(err error, to *Faults) bool {
	for err != nil {
		if f, ok := err.(Faults); ok {
			*to = f
			return true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = u.Unwrap()
	}
	return false
}

// contentOf is a template as Op.Retrieve shows it.
func contentOf(m *Meta) map[string]any {
	infos, required, unique, input, list := []any{}, []string{}, []string{}, []string{}, []string{}
	for i := range m.Items {
		x := &m.Items[i]
		infos = append(infos, map[string]any{
			"itemBasicInfo":  map[string]any{"itemIndex": x.Index, "itemCode": x.ItemCode, "enName": x.EnglishName, "cnName": x.ChineseName, "state": x.ItemState},
			"itemSchemaInfo": x.Schema,
		})
		for _, l := range []struct {
			on bool
			to *[]string
		}{{x.Required, &required}, {x.UniqueField, &unique}, {x.InputNecessary, &input}, {x.ListItemNecessary, &list}} {
			if l.on {
				*l.to = append(*l.to, x.EnglishName)
			}
		}
	}
	return map[string]any{
		"basicInfo": map[string]any{"metaName": m.MetaName, "metaCode": m.MetaCode, "industryCategory": m.IndustryCategory, "industrySpecific": m.IndustrySpecific,
			"industryTrade": m.IndustryTrade, "industrySubclass": m.IndustrySubclass, "metaState": m.MetaState, "metaContributor": m.Contributor,
			"standard": m.Standard, "isQuote": m.IsQuote, "publishedTime": m.PublishedTime, "effectiveTime": m.EffectiveTime},
		"itemInfos": infos, "required": required, "uniqueness": unique, "inputItem": input, "listItem": list,
	}
}

// handleOf reads the identifier of a template from a request, under the name that it should have or the misspelt one
// that deployed programs send.
func handleOf(b []byte) (id.ID, error) {
	var x struct {
		Right string `json:"metaHandle"`
		Wrong string `json:"metaHanlde"`
	}
	if err := json.Unmarshal(b, &x); err != nil {
		return id.ID{}, &refusal{codeRequest, "请求体不是有效的 JSON"}
	}
	if x.Right == "" {
		x.Right = x.Wrong
	}
	if x.Right == "" {
		return id.ID{}, bad("metaHandle")
	}
	return parse(x.Right)
}

func (s *Server) metaRoutes(closed func(string, func(*call) (any, error))) {
	meta := func(pattern string, f func(c *call, b []byte) (any, error)) {
		closed(pattern, func(c *call) (any, error) {
			if s.Metas == nil {
				return nil, errTemplates
			}
			b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
			if err != nil {
				return nil, &refusal{codeRequest, "请求过大或已中断"}
			}
			out, err := f(c, b)
			return out, metaProblem(err)
		})
	}
	const at = "/api/v1/open/meta/"
	meta("POST "+at+"create", func(c *call, b []byte) (any, error) {
		m, err := readMeta(b)
		if err != nil {
			return nil, err
		}
		return s.Metas.Create(c.r.Context(), c.by, m)
	})
	info := func(c *call, b []byte) (any, error) {
		v, err := parse(c.r.URL.Query().Get("metaHandle"))
		if c.r.Method == http.MethodPost {
			v, err = handleOf(b)
		}
		if err != nil {
			return nil, err
		}
		return s.Metas.Find(c.r.Context(), c.by, v)
	}
	meta("GET "+at+"info", info)
	meta("POST "+at+"info", info)
	for path, items := range map[string]bool{"update-basic-info": false, "update-item": true} {
		meta("POST "+at+path, func(c *call, b []byte) (any, error) {
			v, err := handleOf(b)
			if err != nil {
				return nil, err
			}
			m, err := readMeta(b)
			if err != nil {
				return nil, err
			}
			m.MetaHandle = v.String()
			return nil, s.Metas.Change(c.r.Context(), c.by, m, items)
		})
	}
	meta("POST "+at+"delete", func(c *call, b []byte) (any, error) {
		v, err := handleOf(b)
		if err != nil {
			return nil, err
		}
		return nil, s.Metas.Delete(c.r.Context(), c.by, v)
	})
	meta("POST "+at+"publish-or-withdraw", func(c *call, b []byte) (any, error) {
		v, err := handleOf(b)
		if err != nil {
			return nil, err
		}
		var x struct {
			State     *int `json:"state"`
			MetaState *int `json:"metaState"`
		}
		json.Unmarshal(b, &x)
		if x.State == nil {
			x.State = x.MetaState
		}
		if x.State == nil || *x.State != MetaPublished && *x.State != MetaWithdrawn {
			return nil, bad("state")
		}
		return nil, s.Metas.Publish(c.r.Context(), c.by, v, *x.State == MetaPublished)
	})
	meta("POST "+at+"baseon-create", func(c *call, b []byte) (any, error) {
		var x struct {
			From string `json:"baseMetaHandle"`
		}
		if json.Unmarshal(b, &x); x.From == "" {
			return nil, bad("baseMetaHandle")
		}
		from, err := parse(x.From)
		if err != nil {
			return nil, err
		}
		m, err := readMeta(b)
		if err != nil {
			return nil, err
		}
		return s.Metas.Derive(c.r.Context(), c.by, from, m)
	})
	list := func(c *call, b []byte) (any, error) {
		page, size, err := c.window()
		if err != nil {
			return nil, err
		}
		rows, total, err := s.Metas.Page(c.r.Context(), c.by, c.r.URL.Query().Get("classifyCode"), page, size)
		return paged(rows, total, page, size), err
	}
	meta("GET "+at+"page", list)
	meta("GET "+at+"classify-query", list)
}

// readMeta reads a template and checks the lengths that the interface sets.
func readMeta(b []byte) (*Meta, error) {
	var m Meta
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, &refusal{codeRequest, "请求体不是有效的 JSON"}
	}
	for _, x := range []struct {
		name, value string
		most        int
	}{{"metaName", m.MetaName, 100}, {"metaCode", m.MetaCode, 100}, {"standard", m.Standard, 200}, {"metaDesc", m.MetaDesc, 1000}} {
		if len([]rune(x.value)) > x.most {
			return nil, bad(x.name)
		}
	}
	for i := range m.Items {
		x := &m.Items[i]
		if x.EnglishName == "" || len([]rune(x.EnglishName)) > 50 || len([]rune(x.ChineseName)) > 50 || len([]rune(x.Definition)) > 200 {
			return nil, bad("items[" + strconv.Itoa(i) + "]")
		}
		if x.Index != 0 && x.Index < record.IndexProperty {
			return nil, bad("items[" + strconv.Itoa(i) + "].itemIndex")
		}
		d := x.Schema.DataType
		if d < dataText || d > dataPicture || x.Schema.MaxLength > 4000 || x.Schema.MaxFileCount > 50 {
			return nil, bad("items[" + strconv.Itoa(i) + "].itemSchemaInfo")
		}
	}
	return &m, nil
}

type pageOf[T any] struct {
	Content       []T `json:"content"`
	Number        int `json:"number"`
	Size          int `json:"size"`
	TotalElements int `json:"totalElements"`
	TotalPages    int `json:"totalPages"`
}

func paged[T any](rows []T, total, number, size int) pageOf[T] {
	if rows == nil {
		rows = []T{}
	}
	if size <= 0 {
		size = 10
	}
	return pageOf[T]{rows, number, size, total, (total + size - 1) / size}
}

// window reads which page is asked for, counted from 0.
func (c *call) window() (number, size int, err error) {
	size = 10
	for name, to := range map[string]*int{"page": &number, "size": &size} {
		if v := c.r.URL.Query().Get(name); v != "" {
			if *to, err = strconv.Atoi(v); err != nil || *to < 0 || *to > 1<<20 {
				return 0, 10, bad(name)
			}
		}
	}
	if size == 0 || size > 1000 {
		return 0, 10, bad("size")
	}
	return number, size, nil
}

// Files keeps what file properties name. Errors: problem.NotFound, TooLarge, Forbidden.
type Files interface {
	Keep(ctx context.Context, by record.Identity, name string, data []byte) (identifier string, err error)
	Fetch(ctx context.Context, by record.Identity, identifier string) (name string, data []byte, err error)
}

const (
	maxFile  = 50 << 20
	maxFiles = 50
)

// fileUpload takes a form with up to 50 files.
func (s *Server) fileUpload(c *call) (any, error) {
	if s.Files == nil {
		return nil, &refusal{codeUnsupported, "本节点不保存文件"}
	}
	if t, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || t != "multipart/form-data" {
		return nil, &refusal{codeRequest, "请以 multipart/form-data 上传文件"}
	}
	parts, err := c.r.MultipartReader()
	if err != nil {
		return nil, &refusal{codeRequest, "上传内容有误"}
	}
	out := []map[string]string{}
	for {
		p, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, &refusal{codeRequest, "上传中断"}
		}
		if p.FileName() == "" {
			continue
		}
		if len(out) == maxFiles {
			return nil, &refusal{codeInput, "一次最多上传 50 个文件"}
		}
		b, err := io.ReadAll(io.LimitReader(p, maxFile+1))
		if err != nil {
			return nil, &refusal{codeRequest, "上传中断"}
		}
		if len(b) > maxFile {
			return nil, &refusal{codeInput, "单个文件不能超过 50 MB"}
		}
		name, err := s.Files.Keep(c.r.Context(), c.by, p.FileName(), b)
		if err != nil {
			return nil, err
		}
		out = append(out, map[string]string{"fileName": p.FileName(), "fileId": name})
	}
	return out, nil
}

// fileAcquire gives a file back as it is.
func (s *Server) fileAcquire(w http.ResponseWriter, r *http.Request) {
	var name string
	var data []byte
	c := &call{s: s, r: r, w: w}
	err := c.login()
	if err == nil && s.Files == nil {
		err = &refusal{codeUnsupported, "本节点不保存文件"}
	}
	if err == nil {
		var in struct {
			FileID string `json:"fileId"`
		}
		if err = c.body(&in); err == nil {
			name, data, err = s.Files.Fetch(r.Context(), c.by, in.FileID)
		}
	}
	if err != nil {
		s.answer(w, r, func(*call) (any, error) { return nil, err })
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": strings.Map(plain, name)}))
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data)
}

func plain(r rune) rune {
	if r < ' ' || r == '"' || r == '\\' || r == '/' {
		return '_'
	}
	return r
}

// DataURL is how a file that is small enough stands in a record.
func DataURL(contentType string, data []byte) string {
	return "data:" + contentType + ";base64," + base64.StdEncoding.EncodeToString(data)
}
