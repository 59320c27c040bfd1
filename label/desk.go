package label

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
)

// The papers' form: under the owner's prefix, 88.118.1001/Label_NAME, at this index.
const (
	paperName = "Label_"
	paperType = "FUJIE.LABEL"
	paperAt   = 1

	maxPaper = 200 << 10 // bytes of a design as JSON: a record takes 252 KiB in all
)

// Config is what the desk needs of the node.
type Config struct {
	Prefix   string            // whose designs they are
	Registry document.Registry // where the papers are
	// Resolve gives the fields of a thing as the caller may see them: properties of its template by name, as text. An identifier that the caller may not see is
	// problem.NotFound.
	Resolve func(ctx context.Context, c api.Caller, name string) (Fields, error)
	// Codes gives the identifiers that a job of issuing codes made, as 88.118.1001/JOB_000001, to a caller who may have them; nil: runs name each identifier.
	Codes func(ctx context.Context, c api.Caller, job string) (iter.Seq2[string, error], error)
	// EPC gives the memory of an RFID tag for an identifier of GS1, from its PC word on; problem.BadID for others, which are written as EPC of this room does. Nil: all are.
	EPC func(name string) ([]byte, error)
	// Dir is where a run's file is until it is sent; the system's temporary directory when empty.
	Dir string
	// AFI of tags that are not of GS1.
	AFI byte
	Now func() time.Time // time.Now when nil
}

// Desk keeps an enterprise's designs and prints by them. It is safe for concurrent use.
type Desk struct {
	cfg    Config
	papers *document.Shelf[Design]
	runs   chan struct{} // takes a token for each print run that is under way
	looks  chan struct{} // and for each preview
}

// New opens the desk with the designs that there are. Errors are those of reading the registry.
func New(ctx context.Context, cfg Config) (*Desk, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Desk{cfg: cfg, runs: make(chan struct{}, 2), looks: make(chan struct{}, 4)}
	d.papers = &document.Shelf[Design]{Registry: cfg.Registry, Prefix: cfg.Prefix, Name: paperName, Type: paperType, Index: paperAt}
	return d, d.papers.Open(ctx)
}

// Heard reads a design again that somebody else wrote; other identifiers are passed over.
func (d *Desk) Heard(ctx context.Context, v id.ID) error {
	if !strings.EqualFold(v.Prefix(), d.cfg.Prefix) || !strings.HasPrefix(handle.Fold(v.Suffix()), handle.Fold(paperName)) {
		return nil
	}
	return d.papers.Reload(ctx, v)
}

func (d *Desk) named(name string) (id.ID, error) {
	if !goodName(name) {
		return id.ID{}, problem.New(problem.BadValue, "%.80q is no name of a label: 1 to 64 letters, digits, dots, dashes and underscores", "%.80q 不是标签名称：应为 1 至 64 个字母、数字、点、横线或下划线", name)
	}
	return d.papers.ID(name)
}

// Get is the design of that name; problem.NotFound when there is none. It is shared: do not change it.
func (d *Desk) Get(name string) (*Design, error) {
	v, err := d.named(name)
	if err != nil {
		return nil, err
	}
	x, err := d.papers.Get(v)
	if err != nil {
		return nil, err
	}
	return &x, nil
}

// Put keeps a design under a name, on behalf of who, in the place of an old one of that name. match, if not nil, is asked about the old one first, with nil for none.
// Errors: problem.BadValue, problem.TooLarge, those of match and of record.Registrar.
func (d *Desk) Put(ctx context.Context, who record.Identity, name string, x Design, match func(old *Design) error) (*Design, error) {
	v, err := d.named(name)
	if err != nil {
		return nil, err
	}
	x.Label = name
	if err := x.Check(); err != nil {
		return nil, err
	}
	if b, err := json.Marshal(x); err != nil || len(b) > maxPaper {
		return nil, problem.New(problem.TooLarge, "the design takes %d bytes and may take %d: use smaller images", "设计占 %d 字节，上限为 %d：请使用更小的图片", len(b), maxPaper)
	}
	if match == nil {
		match = func(*Design) error { return nil }
	}
	_, err = d.papers.Change(ctx, who, v, func(old *Design) error {
		if err := match(old); err != nil {
			return err
		}
		*old = x
		return nil
	})
	if problem.Is(err, problem.NotFound) {
		if err = match(nil); err == nil {
			err = d.papers.Create(ctx, who, v, x)
		}
	}
	if err != nil {
		return nil, err
	}
	return d.Get(name)
}

// Remove takes a design away, on behalf of who. Errors: problem.NotFound, and those of record.Registrar.
func (d *Desk) Remove(ctx context.Context, who record.Identity, name string) error {
	v, err := d.named(name)
	if err != nil {
		return err
	}
	if _, err := d.papers.Get(v); err != nil {
		return err
	}
	return d.papers.Remove(ctx, who, v)
}

// Memory is the EPC memory for an identifier: that of GS1 for a code of GS1, else that of EPC.
func (d *Desk) Memory(name string) ([]byte, error) {
	if d.cfg.EPC != nil {
		mem, err := d.cfg.EPC(name)
		if err == nil || !problem.Is(err, problem.BadID) && !problem.Is(err, problem.Unsupported) {
			return mem, err
		}
	}
	return EPC(name, d.cfg.AFI)
}

// things resolves identifiers one by one, as the run comes to them.
func (d *Desk) things(ctx context.Context, c api.Caller, ids iter.Seq2[string, error]) iter.Seq2[Fields, error] {
	return func(yield func(Fields, error) bool) {
		for name, err := range ids {
			var f Fields
			if err == nil {
				f, err = d.fields(ctx, c, name)
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

func (d *Desk) fields(ctx context.Context, c api.Caller, name string) (Fields, error) {
	if name == "" || len(name) > 2048 {
		return nil, problem.New(problem.BadID, "an identifier is empty or over 2048 bytes: correct it", "标识为空或超过 2048 字节：请改正")
	}
	f := Fields{}
	if d.cfg.Resolve != nil {
		got, err := d.cfg.Resolve(ctx, c, name)
		if err != nil {
			var p *problem.Error
			if errors.As(err, &p) && !strings.Contains(p.EN, name) {
				return nil, problem.Wrap(err, p.Kind, "the label of %.200s cannot be made", "无法制作 %.200s 的标签", name)
			}
			return nil, err
		}
		for k, v := range got {
			f[k] = v
		}
	}
	if f["id"] == "" {
		f["id"] = name
	}
	return f, nil
}

// PutLabel keeps a design that comes as a file in YAML or JSON, on behalf of who, in the place of an old one of that name. Errors: Faults of kind problem.BadValue, and those
// of Put.
func (d *Desk) PutLabel(ctx context.Context, by api.Caller, name string, text []byte) error {
	x, err := Read("labels/"+name+".yaml", text)
	if err == nil {
		_, err = d.Put(ctx, by.Identity, name, *x, nil)
	}
	return err
}

// RemoveLabel is Remove on behalf of a caller.
func (d *Desk) RemoveLabel(ctx context.Context, by api.Caller, name string) error {
	return d.Remove(ctx, by.Identity, name)
}
