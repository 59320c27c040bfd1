package label

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"iter"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record/document"
)

// View is a design with its identifier; its label is its name.
type View struct {
	ID string `json:"id" doc:"Its identifier, as 88.118.1001/LABEL_BOTTLE"`
	Design
}

// Sheets is the body of POST /api/label-sheets.
type Sheets struct {
	Design  string   `json:"design" maxLength:"64" doc:"The name of the design"`
	IDs     []string `json:"ids,omitempty" maxItems:"10000" doc:"The things, in the order in which their labels come"`
	Job     string   `json:"job,omitempty" maxLength:"200" doc:"Instead of ids: a job that issued codes (发码任务), as 88.118.1001/JOB_000001"`
	Format  string   `json:"format" enum:"pdf,zpl,svg,png" doc:"pdf: sheets; zpl: for label printers; svg, png: an archive of pictures (zip)"`
	Skip    int      `json:"skip,omitempty" minimum:"0" maximum:"10000" doc:"Places of the first sheet that are used up"`
	DPI     int      `json:"dpi,omitempty" minimum:"0" maximum:"1200" doc:"zpl, png: dots per inch; the design's if 0"`
	Copies  int      `json:"copies,omitempty" minimum:"0" maximum:"1000" doc:"zpl: of each label; 1 if 0"`
	Font    string   `json:"font,omitempty" maxLength:"24" doc:"zpl: a font of the printer that has Chinese, as E:SIMSUN.TTF; without one such text is sent as pictures"`
	Exact   bool     `json:"exact,omitempty" doc:"zpl: text and symbols as pictures, exactly as a preview shows them"`
	RFID    bool     `json:"rfid,omitempty" doc:"zpl: writes each label's tag too (RFID)"`
	Preview int      `json:"preview,omitempty" minimum:"0" maximum:"100" doc:"Only so many labels, to look at; 0: all"`
}

// Preview is the body of POST /api/label-previews.
type Preview struct {
	Design Design            `json:"design" doc:"A design that need not be kept yet"`
	Fields map[string]string `json:"fields,omitempty" doc:"What the fields stand for; id is needed where a symbol holds it"`
	ID     string            `json:"id,omitempty" maxLength:"2048" doc:"Instead of fields: a thing"`
	Format string            `json:"format,omitempty" enum:"svg,png,pdf,zpl" doc:"svg if empty"`
	DPI    int               `json:"dpi,omitempty" minimum:"0" maximum:"1200"`
}

// Tag is what an RFID tag holds.
type Tag struct {
	ID     string `json:"id"`
	Memory string `json:"memory" doc:"The EPC bank from its PC word on, in hexadecimal"`
	Bits   int    `json:"bits" doc:"That a tag needs behind the PC word"`
}

type nameInput struct {
	Name string `path:"name" maxLength:"64" doc:"The design's name: letters, digits, dots, dashes and underscores"`
}

type file struct {
	Type        string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Policy      string `header:"Content-Security-Policy"`
	Body        []byte
}

var (
	designers = []api.RoleName{api.EnterpriseAdmin}
	printers  = []api.RoleName{api.EnterpriseAdmin, api.EnterpriseUser, api.Application}
	readers   = []api.RoleName{api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor}

	mediaTypes = map[string]string{"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf", "zpl": "application/zpl; charset=utf-8", "zip": "application/zip"}
)

// asFile is a file for a response. No script runs in it, should somebody open it as a page.
func asFile(name, format string, body []byte) *file {
	return &file{mediaTypes[format], disposition("inline", name, format), "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox", body}
}

func disposition(how, name, format string) string {
	return mime.FormatMediaType(how, map[string]string{"filename": fileName(name) + "." + format})
}

func answers(types ...string) map[string]*huma.Response {
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		content[strings.Split(mediaTypes[t], ";")[0]] = &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}}
	}
	return map[string]*huma.Response{"200": {Description: "The file", Content: content}}
}

// Register adds this room's operations to the interface.
func (d *Desk) Register(a *api.API) {
	a.Mux.HandleFunc("GET /api/schemas/label.json", func(w http.ResponseWriter, r *http.Request) {
		b, err := Schema()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/schema+json")
		w.Write(append(b, '\n'))
	})
	tags := []string{"Labels 标签"}
	need := func(ctx context.Context, roles []api.RoleName) error {
		return api.From(ctx).Need(d.cfg.Prefix, roles...)
	}
	view := func(x *Design) (View, error) {
		v, err := d.named(x.Label)
		return View{v.String(), *x}, err
	}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/labels", OperationID: "list-labels", Tags: tags,
		Summary: "List the designs of labels (标签设计)", Description: "In the order of their names.",
	}, func(ctx context.Context, in *api.PageInput) (*api.Body[api.Page[View]], error) {
		if err := need(ctx, readers); err != nil {
			return nil, err
		}
		page, next := d.papers.Page(in.After, in.Limit, nil)
		out := api.Page[View]{Items: []View{}, Next: next}
		for _, p := range page {
			out.Items = append(out.Items, paperView(p))
		}
		return &api.Body[api.Page[View]]{Body: out}, nil
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/labels/{name}", OperationID: "get-label", Tags: tags,
		Summary: "Read one design (标签设计)", Description: "With its ETag, to change it safely.",
	}, func(ctx context.Context, in *nameInput) (*api.Tagged[View], error) {
		if err := need(ctx, readers); err != nil {
			return nil, err
		}
		x, err := d.Get(in.Name)
		if err != nil {
			return nil, err
		}
		v, err := view(x)
		return api.Tag(v), err
	})
	api.Do(a, huma.Operation{Method: http.MethodPut, Path: "/api/labels/{name}", OperationID: "put-label", Tags: tags,
		Summary: "Design a label (设计标签), or change one", Description: "Everything that is wrong with the design is said at once, with its cure. Images are PNG or JPEG inside the design; nothing is fetched.",
	}, func(ctx context.Context, in *struct {
		Name    string `path:"name" maxLength:"64" doc:"The design's name: letters, digits, dots, dashes and underscores"`
		IfMatch string `header:"If-Match" doc:"The ETag of what was read; the request is refused when somebody changed it meanwhile"`
		Body    Design
	}) (*api.Tagged[View], error) {
		if err := need(ctx, designers); err != nil {
			return nil, err
		}
		x, err := d.Put(ctx, api.From(ctx).Identity, in.Name, in.Body, func(old *Design) error {
			if old == nil {
				return api.Match(in.IfMatch, View{})
			}
			v, err := view(old)
			if err != nil {
				return err
			}
			return api.Match(in.IfMatch, v)
		})
		if err != nil {
			return nil, err
		}
		v, err := view(x)
		return api.Tag(v), err
	})
	api.Do(a, huma.Operation{Method: http.MethodDelete, Path: "/api/labels/{name}", OperationID: "delete-label", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Remove a design (删除标签设计)", Description: "What was printed by it stays where it is.",
	}, func(ctx context.Context, in *nameInput) (*struct{}, error) {
		if err := need(ctx, designers); err != nil {
			return nil, err
		}
		return nil, d.Remove(ctx, api.From(ctx).Identity, in.Name)
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/labels/{name}/preview", OperationID: "preview-label", Tags: tags, Responses: answers("svg", "png", "pdf", "zpl"),
		Summary: "See one label (预览)", Description: "As it will be printed for the thing.",
	}, func(ctx context.Context, in *struct {
		Name   string `path:"name" maxLength:"64" doc:"The design's name: letters, digits, dots, dashes and underscores"`
		ID     string `query:"id" required:"true" maxLength:"2048" doc:"The thing"`
		Format string `query:"format" enum:"svg,png,pdf,zpl" default:"svg"`
		DPI    int    `query:"dpi" minimum:"0" maximum:"1200" doc:"Dots per inch of png and zpl; the design's if 0"`
	}) (*file, error) {
		if err := need(ctx, readers); err != nil {
			return nil, err
		}
		x, err := d.Get(in.Name)
		if err != nil {
			return nil, err
		}
		return d.preview(ctx, x, nil, in.ID, in.Format, in.DPI)
	})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/label-previews", OperationID: "preview-design", Tags: tags, Responses: answers("svg", "png", "pdf", "zpl"),
		Summary: "See a label of a design that is not kept yet (预览设计)", Description: "With fields that are given, or of a thing.",
	}, func(ctx context.Context, in *struct{ Body Preview }) (*file, error) {
		if err := need(ctx, readers); err != nil {
			return nil, err
		}
		return d.preview(ctx, &in.Body.Design, in.Body.Fields, in.Body.ID, in.Body.Format, in.Body.DPI)
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/labels/{name}/advice", OperationID: "advise-label", Tags: tags,
		Summary: "Ask whether a label's symbols will scan (条码建议)", Description: "For one thing: the size of modules, quiet zones, the level of error correction that fits, and warnings with their cure.",
	}, func(ctx context.Context, in *struct {
		Name string `path:"name" maxLength:"64" doc:"The design's name: letters, digits, dots, dashes and underscores"`
		ID   string `query:"id" required:"true" maxLength:"2048" doc:"The thing; take one with a long identifier"`
	}) (*api.Body[[]Advice], error) {
		if err := need(ctx, readers); err != nil {
			return nil, err
		}
		x, err := d.Get(in.Name)
		if err != nil {
			return nil, err
		}
		p, err := NewPress(x)
		if err != nil {
			return nil, err
		}
		f, err := d.fields(ctx, api.From(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		out, err := p.Advise(f)
		return &api.Body[[]Advice]{Body: out}, err
	})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/label-advice", OperationID: "advise-symbol", Tags: tags,
		Summary: "Ask whether a symbol will scan at a size (条码建议)", Description: "Before a label is designed.",
	}, func(ctx context.Context, in *struct{ Body Question }) (*api.Body[*Advice], error) {
		if err := need(ctx, readers); err != nil {
			return nil, err
		}
		out, err := Advise(in.Body)
		return &api.Body[*Advice]{Body: out}, err
	})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/label-sheets", OperationID: "print-labels", Tags: tags, Responses: answers("pdf", "zpl", "zip"),
		Summary:     "Print labels (打印标签)",
		Description: "A file of sheets, of printer commands, or an archive of pictures, for up to 10,000 things. It is made whole before the first byte is sent: a thing whose label cannot be made is an error that names it.",
	}, func(ctx context.Context, in *struct{ Body Sheets }) (*huma.StreamResponse, error) {
		if err := need(ctx, printers); err != nil {
			return nil, err
		}
		return d.sheets(ctx, &in.Body)
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/rfid-memory", OperationID: "rfid-memory", Tags: tags,
		Summary: "What an RFID tag holds for an identifier (RFID 存储区), or the identifier that a tag holds", Description: "Give id, or memory as a reader gives it. Tags of GS1 are written as EPC; others by ISO/IEC 18000-63 with the toggle bit set.",
	}, func(ctx context.Context, in *struct {
		ID     string `query:"id" maxLength:"2048"`
		Memory string `query:"memory" maxLength:"200" doc:"Hexadecimal, from the PC word on"`
	}) (*api.Body[Tag], error) {
		if err := need(ctx, readers); err != nil {
			return nil, err
		}
		out := Tag{ID: in.ID}
		var mem []byte
		var err error
		switch {
		case (in.ID == "") == (in.Memory == ""):
			return nil, problem.New(problem.BadRequest, "give id or memory, one of them", "请给出 id 或 memory 其中之一")
		case in.ID != "":
			mem, err = d.Memory(in.ID)
		default:
			if mem, err = hex.DecodeString(in.Memory); err != nil {
				return nil, problem.New(problem.BadRequest, "the memory is not in hexadecimal: give it as the reader shows it", "存储区不是十六进制：请按读写器显示的内容给出")
			}
			var m Memory
			m, err = ParseEPC(mem)
			out.ID = m.ID
		}
		if err != nil {
			return nil, err
		}
		out.Memory, out.Bits = strings.ToUpper(hex.EncodeToString(mem)), (len(mem)-2)*8
		return &api.Body[Tag]{Body: out}, nil
	})
}

func paperView(p document.Paper[Design]) View { return View{p.ID.String(), p.Paper} }

// preview is one label in a format.
func (d *Desk) preview(ctx context.Context, x *Design, f Fields, name, format string, dpi int) (*file, error) {
	p, err := NewPress(x)
	if err != nil {
		return nil, err
	}
	if name != "" {
		if f, err = d.fields(ctx, api.From(ctx), name); err != nil {
			return nil, err
		}
	}
	if format == "" {
		format = "svg"
	}
	select {
	case d.looks <- struct{}{}:
		defer func() { <-d.looks }()
	case <-ctx.Done():
		return nil, problem.Wrap(ctx.Err(), problem.Canceled, "the preview was not waited for", "预览请求已取消")
	}
	var b bytes.Buffer
	switch format {
	case "svg", "png":
		with := Fields{"n": "1"}
		for k, v := range f {
			with[k] = v
		}
		drawing, err := p.Draw(with)
		if err != nil {
			return nil, err
		}
		if format == "svg" {
			err = drawing.SVG(&b)
		} else {
			err = drawing.PNG(&b, p.dpi(Run{DPI: dpi}, 300))
		}
		if err != nil {
			return nil, err
		}
	default:
		run := Run{DPI: dpi, Made: d.cfg.Now(), Things: func(yield func(Fields, error) bool) { yield(f, nil) }}
		if format == "pdf" {
			err = p.PDF(ctx, &b, run)
		} else {
			err = p.WriteZPL(ctx, &b, run)
		}
		if err != nil {
			return nil, err
		}
	}
	return asFile("label-"+x.Label, format, b.Bytes()), nil
}

// sheets makes a run into a file that is gone once it is sent.
func (d *Desk) sheets(ctx context.Context, in *Sheets) (*huma.StreamResponse, error) {
	x, err := d.Get(in.Design)
	if err != nil {
		return nil, err
	}
	p, err := NewPress(x)
	if err != nil {
		return nil, err
	}
	c := api.From(ctx)
	var ids iter.Seq2[string, error]
	switch {
	case (len(in.IDs) == 0) == (in.Job == ""):
		return nil, problem.New(problem.BadRequest, "give ids or job, one of them", "请给出 ids 或 job 其中之一")
	case in.Job == "":
		ids = func(yield func(string, error) bool) {
			for _, v := range in.IDs {
				if !yield(v, nil) {
					return
				}
			}
		}
	case d.cfg.Codes == nil:
		return nil, problem.New(problem.Unsupported, "this node prints no jobs: name the identifiers in ids", "本节点不支持按任务打印：请在 ids 中列出标识")
	default:
		if ids, err = d.cfg.Codes(ctx, c, in.Job); err != nil {
			return nil, err
		}
	}
	if in.Preview > 0 {
		all := ids
		ids = func(yield func(string, error) bool) {
			left := in.Preview
			for v, err := range all {
				if !yield(v, err) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
		}
	}
	select {
	case d.runs <- struct{}{}:
		defer func() { <-d.runs }()
	default:
		return nil, problem.New(problem.Busy, "other labels are being printed: try again in a moment", "正在打印其他标签：请稍后再试")
	}
	run := Run{Things: d.things(ctx, c, ids), Skip: in.Skip, DPI: in.DPI, Made: d.cfg.Now(), ZPL: ZPL{Font: in.Font, Pictures: in.Exact, Copies: in.Copies}}
	if in.RFID {
		run.ZPL.EPC = func(f Fields) ([]byte, error) { return d.Memory(f["id"]) }
	}
	spool, err := os.CreateTemp(d.cfg.Dir, "fujie-label-*")
	if err != nil {
		return nil, problem.Wrap(err, problem.Full, "there is no room for the file: free space where temporary files are", "没有空间存放文件：请清理临时目录")
	}
	// The file has no name from here on, so that nothing is left of it whatever happens. Where a system keeps the name of an open file, it goes when the file is sent.
	named := os.Remove(spool.Name()) != nil
	drop := func() {
		spool.Close()
		if named {
			os.Remove(spool.Name())
		}
	}
	format := in.Format
	switch format {
	case "pdf":
		err = p.PDF(ctx, spool, run)
	case "zpl":
		err = p.WriteZPL(ctx, spool, run)
	default:
		err, format = p.Zip(ctx, spool, format, run), "zip"
	}
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		drop()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer drop()
		h.SetHeader("Content-Type", mediaTypes[format])
		h.SetHeader("Content-Disposition", disposition("attachment", "labels-"+in.Design, format))
		_, _ = io.Copy(h.BodyWriter(), spool) // the caller went away, or the network did: nobody is left to tell
	}}, nil
}
