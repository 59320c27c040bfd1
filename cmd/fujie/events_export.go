package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/export"
)

type eventsExportCmd struct {
	Out    string    `required:"" help:"${flag_events_out}" placeholder:"DIR"`
	Form   string    `help:"${flag_events_form}" enum:"parquet,postgres,clickhouse," default:""`
	Schema string    `help:"${flag_events_schema}" placeholder:"NAME"`
	Until  time.Time `help:"${flag_events_until}" placeholder:"TIME"`
	Part   int64     `help:"${flag_events_part}" default:"1000000" placeholder:"N"`
	Prefix string    `help:"${flag_events_prefix}" placeholder:"PREFIX"`
	desk
}

func (c *eventsExportCmd) Run(e *env) error {
	source, of, done, err := c.source(e.ctx)
	if err != nil {
		return err
	}
	defer done()
	before, err := export.ReadManifest(c.Out)
	if err != nil {
		return err
	}
	bar := e.counter()
	last := export.Progress{}
	m, err := export.Folder(e.ctx, c.Out, export.Options{Form: export.Form(c.Form), Schema: c.Schema, Part: c.Part, Of: of, Progress: func(p export.Progress) {
		last = p
		bar.Set64(p.Events)
	}}, source)
	bar.Finish()
	if err != nil {
		return err
	}
	if c.Json {
		return json.NewEncoder(e.out).Encode(m)
	}
	if len(m.Parts) == len(before.Parts) {
		e.print("%s has them all: %d events; nothing new", "%s 已包含全部 %d 个事件，无新增", c.Out, m.Events)
		return nil
	}
	e.print("%d events, %d rows, %d bytes are added to %s, which has %d events as %s", "已将 %[1]d 个事件（%[2]d 行，%[3]d 字节）加入 %[4]s，共 %[5]d 个事件，格式 %[6]s",
		last.Events, last.Rows, last.Bytes, c.Out, m.Events, m.Form)
	return nil
}

// source is the history in the folder of a node that does not run, or the interface of one that does; of is whose events they are, as far as that is known.
func (c *eventsExportCmd) source(ctx context.Context) (source export.Source, of string, done func(), err error) {
	dir := c.Data
	if dir == "" {
		dir = defaultData()
	}
	if cfg := filepath.Join(dir, "node.yaml"); c.Server == "" && exists(cfg) {
		conf, err := node.Load(cfg)
		if err != nil {
			return nil, "", nil, err
		}
		if c.Prefix != "" && c.Prefix != conf.Prefix {
			return nil, "", nil, problem.New(problem.BadRequest, "%s is the folder of the node of %s, which has no events of %s", "%s 是 %s 节点的目录，没有 %s 的事件", dir, conf.Prefix, c.Prefix)
		}
		n, err := node.Open(ctx, conf)
		if err != nil {
			return nil, "", nil, err
		}
		h, err := n.Events(ctx)
		if err != nil {
			n.Close()
			return nil, "", nil, err
		}
		return export.History(h, c.Until), conf.Prefix, func() { n.Close() }, nil
	}
	to, done, err := c.repository(ctx, c.Prefix)
	if err != nil {
		return nil, "", nil, err
	}
	to.Header = http.Header{"Gs1-Epc-Format": {"Never_Translates"}}
	to.Most = 256 << 20
	return export.Repository(func(ctx context.Context, q map[string][]string, visit func(*epcis.Event) error) error {
		return to.Query(ctx, url.Values(q), visit)
	}, c.Until), c.Prefix, done, nil
}
