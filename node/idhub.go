package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/template"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/policy"
	"github.com/fujie-id/fujie/wire/web/idhub"
)

// hub is the interface of deployed enterprise nodes on this node's rooms.
func (d *desk) hub(plain bool) http.Handler {
	n := d.n
	s := &idhub.Server{Resolver: d, Registrar: checked{d}, Lister: d, Bearer: n.in.accounts.Bearer,
		Keys: n.appKeys,
		Issue: func(ctx context.Context, by record.Identity) (string, error) {
			key, err := n.keyAt(ctx, by.Ref)
			if err != nil {
				return "", err
			}
			s, err := n.in.accounts.Issue(ctx, by, key)
			if err != nil {
				return "", err
			}
			return s.Token, nil
		},
		Metas: metas{d}, Grants: granting{d}, Files: cabinet{d}, Notices: d.notices, Groups: d.grantees,
		Plain: plain, Log: n.log, Now: n.now}
	return s.Handler()
}

// appKeys is the public keys of a program, wherever it is kept, each at the place that its index has from 300 on.
func (n *Node) appKeys(ctx context.Context, app id.ID) ([]trust.PublicKey, error) {
	none := problem.New(problem.NotFound, "%s has no public key", "%s 没有公钥", app)
	if !strings.HasPrefix(handle.Fold(app.Suffix()), "APP_") {
		return nil, none
	}
	a, err := n.keys.Resolve(ctx, record.Query{ID: app, Types: []string{record.TypePubKey}, PublicOnly: true})
	if err != nil {
		return nil, err
	}
	const first, most = 300, 10
	var out []trust.PublicKey
	for i := range a.Values {
		v := &a.Values[i]
		if v.Type != record.TypePubKey || v.Index < first || v.Index >= first+most {
			continue
		}
		key, err := trust.ParsePublic(v.Data)
		if err != nil {
			continue
		}
		for len(out) <= int(v.Index-first) {
			out = append(out, trust.PublicKey{})
		}
		out[v.Index-first] = key
	}
	if len(out) == 0 {
		return nil, none
	}
	return out, nil
}

// keyAt is the public key at a reference, wherever it is kept.
func (n *Node) keyAt(ctx context.Context, ref record.Ref) (trust.PublicKey, error) {
	v, err := id.ParseHandle(ref.Name)
	if err != nil {
		return trust.PublicKey{}, err
	}
	a, err := n.keys.Resolve(ctx, record.Query{ID: v, Indexes: []uint32{ref.Index}, PublicOnly: true})
	if err != nil {
		return trust.PublicKey{}, err
	}
	for i := range a.Values {
		if a.Values[i].Index == ref.Index && a.Values[i].Type == record.TypePubKey {
			return trust.ParsePublic(a.Values[i].Data)
		}
	}
	return trust.PublicKey{}, problem.New(problem.NotFound, "%s is no public key", "%s 不是公钥", ref)
}

// faults is what breaks a template, in the interface's words.
type faults struct{ *template.Violations }

func (f faults) Faults() []idhub.Fault {
	var out []idhub.Fault
	for _, v := range f.List {
		out = append(out, idhub.Fault{Name: v.Property, ErrorMsg: v.ZH})
	}
	return out
}

func asFaults(err error) error {
	var bad *template.Violations
	if errors.As(err, &bad) {
		return faults{bad}
	}
	return err
}

// checked is the registry that tells what breaks a template property by property.
type checked struct{ *desk }

func (x checked) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	for i := range writes {
		w := &writes[i]
		if w.Op != record.Create {
			continue
		}
		at := slices.IndexFunc(w.Values, func(v record.Value) bool { return v.Index == record.IndexTemplateID })
		if at < 0 {
			continue
		}
		t, err := x.templates.Find(ctx, string(w.Values[at].Data))
		if err != nil {
			return nil, err
		}
		if list := t.Validate(w.Values, nil); len(list) > 0 {
			return nil, faults{&template.Violations{Template: t.ID, List: list}}
		}
	}
	res, err := x.desk.Write(ctx, by, writes)
	for i := range res {
		res[i].Err = asFaults(res[i].Err)
	}
	return res, asFaults(err)
}

// metas is the shelf of templates behind idhub.Metas.
type metas struct{ d *desk }

func (x metas) manage(ctx context.Context, by record.Identity, v id.ID) error {
	_, err := x.d.need(ctx, by, v.Prefix(), api.EnterpriseAdmin)
	return err
}

// Find implements idhub.Metas: a draft, and a template that was withdrawn, are for those who work at its prefix.
func (x metas) Find(ctx context.Context, by record.Identity, v id.ID) (*idhub.Meta, error) {
	if !x.d.here(v.Prefix()) {
		t, err := x.d.templates.Find(ctx, v.String())
		if err != nil {
			return nil, err
		}
		return meta(t, nil, idhub.MetaPublished), nil
	}
	s, err := x.d.templates.Get(ctx, v)
	if err != nil {
		return nil, err
	}
	c, err := x.d.at(ctx, by, v.Prefix())
	if err != nil {
		return nil, err
	}
	return x.view(ctx, c, v, s)
}

func (x metas) view(ctx context.Context, c api.Caller, v id.ID, s template.Sheet) (*idhub.Meta, error) {
	inside := c.Has(v.Prefix(), api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Reviewer, api.Auditor)
	if s.State != template.Published && !inside {
		return nil, problem.New(problem.NotFound, "there is no published template %s", "没有已发布的模板 %s", v)
	}
	var of *template.Template
	if s.Version > 0 {
		var err error
		if of, err = x.d.templates.Version(ctx, v, s.Version); err != nil {
			return nil, err
		}
	}
	draft := s.Draft
	if !inside {
		draft = nil
	}
	state := map[template.State]int{template.Draft: idhub.MetaDraft, template.Published: idhub.MetaPublished, template.Withdrawn: idhub.MetaWithdrawn}[s.State]
	m := meta(of, draft, state)
	if s.State == template.Published {
		m.PublishedTime, m.EffectiveTime = inBeijing(s.Changed), inBeijing(s.Changed)
	}
	m.Contributor = s.By
	return m, nil
}

// Page implements idhub.Metas.
func (x metas) Page(ctx context.Context, by record.Identity, classify string, page, size int) ([]*idhub.Meta, int, error) {
	prefix := x.d.own(ctx, by)
	c, err := x.d.at(ctx, by, prefix)
	if err != nil {
		return nil, 0, err
	}
	var all []*idhub.Meta
	for after := ""; ; {
		list, next, err := x.d.templates.List(ctx, prefix, after, 1000, func(template.Sheet) bool { return true })
		if err != nil {
			return nil, 0, err
		}
		for _, p := range list {
			m, err := x.view(ctx, c, p.ID, p.Paper)
			if problem.Is(err, problem.NotFound) || err == nil && classify != "" && m.ClassifyCode != classify {
				continue
			}
			if err != nil {
				return nil, 0, err
			}
			all = append(all, m)
		}
		if next == "" || len(list) == 0 {
			return window(all, page, size), len(all), nil
		}
		after = next
	}
}

// Create implements idhub.Metas.
func (x metas) Create(ctx context.Context, by record.Identity, m *idhub.Meta) (string, error) {
	name, err := x.name(ctx, by, m)
	if err != nil {
		return "", err
	}
	t, err := draftOf(m)
	if err != nil {
		return "", err
	}
	t.ID = name
	if _, err := x.d.templates.Create(ctx, by, *t); err != nil {
		return "", asFaults(err)
	}
	return name, nil
}

// name is the identifier of a new template, whose prefix the caller manages.
func (x metas) name(ctx context.Context, by record.Identity, m *idhub.Meta) (string, error) {
	name := m.MetaHandle
	if name == "" {
		var b [8]byte
		rand.Read(b[:])
		name = x.d.own(ctx, by) + "/META_" + strings.ToUpper(hex.EncodeToString(b[:]))
	}
	v, err := id.ParseHandle(name)
	if err != nil {
		return "", err
	}
	return name, x.manage(ctx, by, v)
}

// Change implements idhub.Metas: what is changed is a draft until it is published.
func (x metas) Change(ctx context.Context, by record.Identity, m *idhub.Meta, items bool) error {
	v, err := id.ParseHandle(m.MetaHandle)
	if err != nil {
		return err
	}
	if err := x.manage(ctx, by, v); err != nil {
		return err
	}
	s, err := x.d.templates.Get(ctx, v)
	if err != nil {
		return err
	}
	base := s.Draft
	if base == nil {
		if base, err = x.d.templates.Version(ctx, v, s.Version); err != nil {
			return err
		}
	}
	if base.Base != "" && !strings.HasPrefix(handle.Fold(base.Base), handle.Fold(v.Prefix())+"/") {
		return problem.New(problem.Forbidden, "%s is a copy of another enterprise's template, which is not edited here", "%s 是其他企业模板的副本，不可编辑", v)
	}
	next := *base
	said, err := draftOf(m)
	if err != nil {
		return err
	}
	if !items {
		said.Items, said.Visibility, said.Base = base.Items, base.Visibility, base.Base
		next = *said
	} else {
		next.Items = slices.Clone(base.Items)
		for _, it := range said.Items {
			at := slices.IndexFunc(next.Items, func(o template.Item) bool { return handle.Equal(o.Name, it.Name) })
			if at < 0 {
				next.Items = append(next.Items, it)
				continue
			}
			if it.Index == 0 {
				it.Index = next.Items[at].Index
			}
			it.Visibility = next.Items[at].Visibility
			next.Items[at] = it
		}
	}
	_, err = x.d.templates.Revise(ctx, by, v, next, nil)
	return asFaults(err)
}

// Delete implements idhub.Metas: what was published once stays, for the records that keep to it; it can be withdrawn.
func (x metas) Delete(ctx context.Context, by record.Identity, v id.ID) error {
	if err := x.manage(ctx, by, v); err != nil {
		return err
	}
	s, err := x.d.templates.Get(ctx, v)
	if err != nil {
		return err
	}
	if s.Version > 0 {
		return problem.New(problem.BadValue, "%s was published, and records may keep to it: withdraw it instead", "%s 曾发布过，可能已有标识使用：请改为撤回", v)
	}
	res, err := x.d.n.Write(ctx, record.Identity{Ref: by.Ref, Operator: true}, []record.Write{{Op: record.Delete, ID: v}})
	if err == nil {
		err = res[0].Err
	}
	if err != nil {
		return err
	}
	return x.d.templates.Heard(ctx, v)
}

// Publish implements idhub.Metas.
func (x metas) Publish(ctx context.Context, by record.Identity, v id.ID, on bool) error {
	if err := x.manage(ctx, by, v); err != nil {
		return err
	}
	var err error
	if on {
		_, err = x.d.templates.Publish(ctx, by, v)
	} else {
		_, err = x.d.templates.Withdraw(ctx, by, v)
	}
	return asFaults(err)
}

// Derive implements idhub.Metas.
func (x metas) Derive(ctx context.Context, by record.Identity, from id.ID, m *idhub.Meta) (string, error) {
	name, err := x.name(ctx, by, m)
	if err != nil {
		return "", err
	}
	said, err := draftOf(m)
	if err != nil {
		return "", err
	}
	base, err := x.d.templates.Find(ctx, from.String())
	if err != nil {
		return "", err
	}
	said.ID, said.Base = name, handle.Fold(base.ID)+"/"+strconv.Itoa(base.Version)
	said.Items = append(slices.Clone(base.Items), said.Items...)
	said.Visibility = base.Visibility
	if m.MetaName == "" {
		said.Names = base.Names
	}
	if _, err := x.d.templates.Create(ctx, by, *said); err != nil {
		return "", asFaults(err)
	}
	return name, nil
}

// Expand implements idhub.Metas. Whether what is required is there is asked when a record is created: a change may say
// less.
func (x metas) Expand(ctx context.Context, by record.Identity, v id.ID, properties map[string]any) ([]record.Value, error) {
	t, err := x.d.templates.Find(ctx, v.String())
	if problem.Is(err, problem.NotFound) && x.d.here(v.Prefix()) {
		if _, got := x.d.templates.Get(ctx, v); got == nil {
			return nil, problem.New(problem.Unsupported, "the template %s is not published", "模板 %s 未发布", v)
		}
	}
	if err != nil {
		return nil, err
	}
	lax := *t
	lax.Items = slices.Clone(t.Items)
	for i := range lax.Items {
		lax.Items[i].Required = false
	}
	props := make(map[string]any, len(properties))
	for name, p := range properties {
		it := t.Item(name)
		if it == nil {
			return nil, problem.New(problem.NoValues, "the template has no property %.60s", "模板中没有属性 %.60s", name)
		}
		props[name] = inward(it, p)
	}
	vs, err := lax.Expand(props)
	return vs, asFaults(err)
}

// inward is a property as our templates take it: the interface writes moments as 2026-11-22 10:00:00, in Beijing.
func inward(it *template.Item, p any) any {
	switch s := p.(type) {
	case string:
		if it.Type == template.Date && it.Format == "date-time" {
			if at, err := time.ParseInLocation(time.DateTime, s, beijing); err == nil {
				return at.Format(time.RFC3339)
			}
		}
		if it.Many && s != "" && s[0] != '[' {
			return []any{s}
		}
	}
	return p
}

// The kinds of data of the interface.
const (
	kindText = iota + 1
	kindNumber
	kindDate
	kindFile
	kindReference
	kindAudio
	kindVideo
	kindPicture
)

var dateFormats = map[string]string{"": "", "YYYY-MM-DD": "", "YYYY-MM-DD HH:MM:SS": "date-time", "YYYY-MM": "year-month", "YYYY": "year", "HH:MM:SS": "time"}

var dateShown = map[string]string{"": "YYYY-MM-DD", "date": "YYYY-MM-DD", "date-time": "YYYY-MM-DD HH:mm:ss", "year-month": "YYYY-MM", "year": "YYYY", "time": "HH:mm:ss"}

var media = map[int][]string{
	kindAudio:   {"mp3", "wav", "m4a", "flac", "ogg", "wma", "aac"},
	kindVideo:   {"mp4", "avi", "mov", "mkv", "wmv", "flv", "webm"},
	kindPicture: {"jpg", "jpeg", "png", "gif", "bmp", "webp", "svg", "tif", "tiff"},
}

// fileGroups are the endings of the interface's groups of files: documents, pictures, sound, video, archives.
var fileGroups = map[int][]string{1: {"doc", "docx", "pdf", "txt", "xls", "xlsx", "ppt", "pptx", "csv"}, 2: media[kindPicture], 3: media[kindAudio], 4: media[kindVideo],
	5: {"zip", "rar", "7z", "tar", "gz"}}

// draftOf is a template of the interface in our words. Errors: problem.BadValue.
func draftOf(m *idhub.Meta) (*template.Template, error) {
	t := &template.Template{ID: m.MetaHandle, Names: map[string]string{}, Description: m.MetaDesc, Standard: m.Standard,
		Industry: industryClass(m.IndustryCategory, m.IndustrySpecific, m.IndustryTrade, m.IndustrySubclass)}
	name := func(to map[string]string, tongue, s string) {
		if s != "" {
			to[tongue] = s
		}
	}
	name(t.Names, "zh", m.MetaName)
	name(t.Names, tongueCode, m.MetaCode)
	name(t.Names, tongueClassify, m.ClassifyCode)
	for i := range m.Items {
		x := &m.Items[i]
		it := template.Item{Index: x.Index, Name: x.EnglishName, Names: map[string]string{}, Description: x.Definition, Required: x.Required, Unique: x.UniqueField,
			Disabled: x.ItemState == idhub.ItemDisabled}
		name(it.Names, "zh", x.ChineseName)
		name(it.Names, tongueCode, x.ItemCode)
		var lists []string
		if x.InputNecessary {
			lists = append(lists, "input")
		}
		if x.ListItemNecessary {
			lists = append(lists, "list")
		}
		name(it.Names, tongueUse, strings.Join(lists, " "))
		bad := func(en, zh string) error {
			return problem.New(problem.BadValue, "the property %.60s: "+en, "属性 %.60s："+zh, x.EnglishName)
		}
		switch s := &x.Schema; s.DataType {
		case kindText:
			it.Type, it.MinLength, it.MaxLength = template.String, s.MinLength, s.MaxLength
		case kindNumber:
			it.Type, it.Precision = template.Number, s.MaxLength
			if s.MaxLength > template.MaxDigits {
				return nil, bad("a number has 38 digits at most", "数值至多 38 位")
			}
			scale := s.Accuracy
			it.Scale = &scale
			if s.NumberRange != "" {
				from, to, ok := strings.Cut(strings.Trim(s.NumberRange, "[] "), ",")
				if !ok {
					return nil, bad("numberRange is written as [1,10]", "numberRange 的写法为 [1,10]")
				}
				it.Minimum, it.Maximum = strings.TrimSpace(from), strings.TrimSpace(to)
			}
		case kindDate:
			format, known := dateFormats[strings.ToUpper(s.DateFormat)]
			if !known {
				return nil, bad("its dateFormat is not known: take YYYY-MM-DD, YYYY-MM-DD HH:mm:ss, YYYY-MM, YYYY or HH:mm:ss", "dateFormat 不支持：可用 YYYY-MM-DD、YYYY-MM-DD HH:mm:ss、YYYY-MM、YYYY、HH:mm:ss")
			}
			it.Type, it.Format = template.Date, format
		case kindReference:
			it.Type, it.Target, it.Many = template.Reference, s.ReferenceMetaHandle, s.ReferenceType == 2
		case kindFile, kindAudio, kindVideo, kindPicture:
			it.Type = template.File
			if it.Many = s.MaxFileCount > 1; it.Many {
				it.Max = s.MaxFileCount
			}
			if s.DataType != kindFile {
				it.Media = media[s.DataType]
			}
			if s.FileRange == 2 {
				it.Media = nil
				for _, g := range s.FileType {
					it.Media = append(it.Media, fileGroups[g]...)
				}
				for _, suffix := range s.SelfDefFileSuffix {
					it.Media = append(it.Media, strings.ToLower(strings.TrimPrefix(strings.TrimSpace(suffix), ".")))
				}
			}
			name(it.Names, tongueKind, strconv.Itoa(s.DataType))
		default:
			return nil, bad("its dataType is none of 1 to 8", "dataType 应为 1 至 8")
		}
		if len(it.Names) == 0 {
			it.Names = nil
		}
		t.Items = append(t.Items, it)
	}
	return t, nil
}

// meta is a template as the interface shows it: the published version, and what a draft adds to it as pending; of nil and a
// draft, the draft.
func meta(of, draft *template.Template, state int) *idhub.Meta {
	t := of
	if t == nil {
		t = draft
	}
	m := &idhub.Meta{MetaHandle: t.ID, MetaName: t.Names["zh"], MetaCode: t.Names[tongueCode], ClassifyCode: t.Names[tongueClassify], Standard: t.Standard, MetaDesc: t.Description,
		MetaState: state, Items: []idhub.Item{}}
	if m.MetaName == "" {
		m.MetaName = t.Names["en"]
	}
	prefix, _, _ := strings.Cut(t.ID, "/")
	m.IsQuote = t.Base != "" && !strings.HasPrefix(handle.Fold(t.Base), handle.Fold(prefix)+"/")
	m.IndustryCategory, m.IndustrySpecific, m.IndustryTrade, m.IndustrySubclass = industryParts(t.Industry)
	for i := range t.Items {
		m.Items = append(m.Items, metaItem(&t.Items[i]))
	}
	if of != nil && draft != nil {
		for i := range draft.Items {
			if of.Item(draft.Items[i].Name) == nil {
				x := metaItem(&draft.Items[i])
				x.ItemState = idhub.ItemPending
				m.Items = append(m.Items, x)
			}
		}
	}
	return m
}

func metaItem(it *template.Item) idhub.Item {
	x := idhub.Item{Index: it.Index, ItemCode: it.Names[tongueCode], EnglishName: it.Name, ChineseName: it.Title(problem.Chinese), Definition: it.Description, Required: it.Required,
		UniqueField: it.Unique, ItemState: idhub.ItemEnabled}
	if it.Disabled {
		x.ItemState = idhub.ItemDisabled
	}
	use := strings.Fields(it.Names[tongueUse])
	x.InputNecessary, x.ListItemNecessary = slices.Contains(use, "input"), slices.Contains(use, "list")
	s := &x.Schema
	switch it.Type {
	case template.Number:
		s.DataType, s.MaxLength = kindNumber, it.Precision
		if it.Scale != nil {
			s.Accuracy = *it.Scale
		}
		if it.Minimum != "" || it.Maximum != "" {
			s.NumberRange = "[" + it.Minimum + "," + it.Maximum + "]"
		}
	case template.Date:
		s.DataType, s.DateFormat = kindDate, dateShown[it.Format]
	case template.Reference:
		s.DataType, s.ReferenceType, s.ReferenceMetaHandle = kindReference, 1, it.Target
		if it.Many {
			s.ReferenceType = 2
		}
	case template.File:
		s.DataType, s.MaxFileCount, s.FileRange = kindFile, 1, 1
		if k, err := strconv.Atoi(it.Names[tongueKind]); err == nil && k >= kindFile && k <= kindPicture {
			s.DataType = k
		}
		if it.Many {
			s.MaxFileCount = max(it.Max, 1)
			if it.Max == 0 {
				s.MaxFileCount = template.MaxMany
			}
		}
		if len(it.Media) > 0 && !slices.Equal(it.Media, media[s.DataType]) {
			s.FileRange, s.SelfDefFileSuffix = 2, it.Media
		}
	default: // text, and what the interface does not know as anything else
		s.DataType, s.MinLength, s.MaxLength = kindText, it.MinLength, it.MaxLength
		if it.Type != template.String {
			s.MaxLength = template.MaxLength
		}
	}
	return x
}

// granting is the rules behind idhub.Grants. What a class shows is one rule for each property; each grant has a single
// grantee, so that it can be taken back by itself.
type granting struct{ d *desk }

func (x granting) rules() *policy.Policy { return x.d.n.policy }

// prefix is whose records of a template the caller rules over.
func (x granting) prefix(ctx context.Context, by record.Identity, t id.ID) (string, error) {
	prefix := t.Prefix()
	if !x.d.here(prefix) {
		prefix = x.d.own(ctx, by)
	}
	_, err := x.d.need(ctx, by, prefix, api.EnterpriseAdmin)
	return prefix, err
}

// Class implements idhub.Grants.
func (x granting) Class(ctx context.Context, by record.Identity, v id.ID, g idhub.ClassGrant) error {
	prefix, err := x.prefix(ctx, by, v)
	if err != nil {
		return err
	}
	t, err := x.d.templates.Find(ctx, v.String())
	if err != nil {
		return err
	}
	target := policy.Target{Template: t.ID, Prefix: prefix}
	if g.Item != "" {
		it := t.Item(g.Item)
		if it == nil {
			return problem.New(problem.NoValues, "the template has no property %.60s", "模板中没有属性 %.60s", g.Item)
		}
		target.Items = []string{it.Name}
	}
	if !g.Edit {
		r := policy.Rule{Template: t.ID, Items: target.Items, Visibility: policy.Granted}
		if g.Public {
			r.Visibility = policy.Public
		}
		h := sha256.Sum256([]byte(handle.Fold(t.ID + "\x00" + strings.Join(target.Items, ""))))
		if _, err := x.rules().SetPaper(ctx, by, prefix, "idhub-"+strings.ToUpper(hex.EncodeToString(h[:10])), r); err != nil {
			return err
		}
	}
	action := policy.Read
	if g.Edit {
		action = policy.Edit
	}
	return x.change(ctx, by, prefix, target, action, g.Add, g.Remove)
}

// change grants an action to some, and takes it from others.
func (x granting) change(ctx context.Context, by record.Identity, prefix string, t policy.Target, action policy.Action, add, remove []string) error {
	if len(add)+len(remove) == 0 {
		return nil
	}
	all, err := x.rules().All(ctx, prefix)
	if err != nil {
		return err
	}
	have := map[string][]policy.Grant{} // by folded grantee
	for _, r := range all {
		if !about(&r, &t) {
			continue
		}
		for _, g := range r.Grants {
			if g.Refuse || !slices.Equal(g.Actions, []policy.Action{action}) || len(g.To) != 1 {
				continue
			}
			have[handle.Fold(g.To[0])] = append(have[handle.Fold(g.To[0])], g)
		}
	}
	for _, who := range remove {
		for _, g := range have[handle.Fold(who)] {
			if err := x.rules().Revoke(ctx, by, prefix, g.ID, ""); err != nil && !problem.Is(err, problem.NotFound) {
				return err
			}
		}
		delete(have, handle.Fold(who))
	}
	for _, who := range add {
		if slices.ContainsFunc(have[handle.Fold(who)], func(g policy.Grant) bool { return unconditional(&g) }) {
			continue
		}
		g, err := x.rules().Add(ctx, by, t, policy.Grant{To: []string{who}, Actions: []policy.Action{action}})
		if err != nil {
			return err
		}
		have[handle.Fold(who)] = append(have[handle.Fold(who)], g)
	}
	return nil
}

func unconditional(g *policy.Grant) bool {
	return g.When == "" && len(g.Purposes) == 0 && g.From == nil && g.Until == nil && g.Count == 0 && !g.Paid
}

// about reports whether a rule is about just that target.
func about(r *policy.Stated, t *policy.Target) bool {
	if t.ID != "" {
		return r.Index > 0 && handle.Equal(r.Source, t.ID) && len(r.Items) == 0
	}
	return r.Index == 0 && handle.Equal(r.Template, t.Template) && len(r.Items) == len(t.Items) &&
		(len(t.Items) == 0 || handle.Equal(r.Items[0], t.Items[0]))
}

// Single implements idhub.Grants.
func (x granting) Single(ctx context.Context, by record.Identity, v id.ID, g idhub.SingleGrant) error {
	if _, err := x.d.need(ctx, by, v.Prefix(), api.EnterpriseAdmin); err != nil {
		return err
	}
	if ofRooms(v) && !strings.HasPrefix(handle.Fold(v.Suffix()), "FILE_") {
		return problem.New(problem.Forbidden, "%s is a paper of the node, which has rules of its own", "%s 是节点的文书，另有规则", v)
	}
	if !g.Own {
		return x.rules().SetOwn(ctx, by, v, nil)
	}
	all, err := x.rules().All(ctx, v.Prefix())
	if err != nil {
		return err
	}
	word := policy.Granted
	if g.Public {
		word = policy.Public
	}
	var rules []policy.Rule
	said := false
	for i := range all {
		if all[i].Index == 0 || !handle.Equal(all[i].Source, v.String()) {
			continue
		}
		r := all[i].Rule
		if len(r.Items) == 0 && !said {
			r.Visibility, said = word, true
		}
		rules = append(rules, r)
	}
	if !said {
		rules = append(rules, policy.Rule{Visibility: word})
	}
	if err := x.rules().SetOwn(ctx, by, v, rules); err != nil {
		return err
	}
	t := policy.Target{ID: v.String()}
	if err := x.change(ctx, by, v.Prefix(), t, policy.Read, g.AddReaders, g.RemoveReaders); err != nil {
		return err
	}
	return x.change(ctx, by, v.Prefix(), t, policy.Edit, g.AddWriters, g.RemoveWriters)
}

// Info implements idhub.Grants.
func (x granting) Info(ctx context.Context, by record.Identity, v id.ID) ([]idhub.ClassGrant, error) {
	prefix, err := x.prefix(ctx, by, v)
	if err != nil {
		return nil, err
	}
	all, err := x.rules().All(ctx, prefix)
	if err != nil {
		return nil, err
	}
	out := []idhub.ClassGrant{}
	find := func(item string, edit bool) *idhub.ClassGrant {
		at := slices.IndexFunc(out, func(g idhub.ClassGrant) bool { return g.Edit == edit && handle.Equal(g.Item, item) })
		if at < 0 {
			out, at = append(out, idhub.ClassGrant{Item: item, Edit: edit, Add: []string{}}), len(out)
		}
		return &out[at]
	}
	for i := range all {
		r := &all[i]
		if r.Index > 0 || !handle.Equal(r.Template, v.String()) {
			continue
		}
		items := r.Items
		if len(items) == 0 {
			items = []string{""}
		}
		for _, item := range items {
			if r.Visibility != "" {
				find(item, false).Public = r.Visibility == policy.Public
			}
			for _, g := range r.Grants {
				for _, a := range g.Actions {
					if !g.Refuse {
						to := find(item, a == policy.Edit)
						to.Add = append(to.Add, g.To...)
					}
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b idhub.ClassGrant) int {
		if a.Item == b.Item && a.Edit != b.Edit {
			if b.Edit {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Item, b.Item)
	})
	return out, nil
}

var noticeWords = map[string]string{"granted": "授权通知", "refused": "申请被拒绝", "revoked": "授权已撤销", "expired": "授权已到期", "request": "访问申请"}

// notices is what concerns the caller, and what concerns everybody under its prefix, the newest first.
func (d *desk) notices(ctx context.Context, by record.Identity, page, size int) ([]idhub.Notice, int, error) {
	to := []string{by.Name}
	if v, err := id.ParseHandle(by.Name); err == nil && !v.IsPrefix() {
		to = append(to, v.Prefix())
	}
	var all []policy.Notice
	for _, who := range to {
		list, err := d.n.policy.Notices(ctx, who)
		if err != nil {
			return nil, 0, err
		}
		for _, n := range list {
			if n.Kind != "request" { // for those who decide on requests, in our own interface
				all = append(all, n)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b policy.Notice) int { return b.At.Compare(a.At) })
	var out []idhub.Notice
	for _, n := range window(all, page, size) {
		about := n.Target.ID
		if about == "" {
			about = n.Target.Template
		}
		text := n.From + " " + noticeWords[n.Kind] + ": " + about
		if len(n.Target.Items) > 0 {
			text += " (" + strings.Join(n.Target.Items, ", ") + ")"
		}
		if n.Reason != "" {
			text += " " + n.Reason
		}
		out = append(out, idhub.Notice{ID: n.To + "-" + strconv.FormatUint(n.Seq, 10), Title: noticeWords[n.Kind], Content: text, Handle: about, CreateTime: inBeijing(n.At)})
	}
	return out, len(all), nil
}

// grantees is the programs and groups of the caller's own prefix.
func (d *desk) grantees(ctx context.Context, by record.Identity) ([]idhub.Group, error) {
	prefix := d.own(ctx, by)
	c, err := d.at(ctx, by, prefix)
	if err != nil {
		return nil, err
	}
	if !c.Has(prefix, mayWrite...) {
		return []idhub.Group{}, nil
	}
	out := []idhub.Group{}
	for _, kind := range []string{"APP_", "GROUP_"} {
		head := handle.Fold(prefix) + "/" + kind
		for after := head; len(out) < 2000; {
			names, err := d.doors.lister.List(ctx, operator, prefix, after, 500)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				if after = name; !strings.HasPrefix(name, head) {
					break
				}
				title := name
				if v, err := id.ParseHandle(name); err == nil {
					if a, err := d.doors.resolver.Resolve(ctx, record.Query{ID: v, Indexes: []uint32{1}, By: operator, NoReferral: true}); err == nil {
						var paper struct{ Title string }
						if len(a.Values) > 0 && json.Unmarshal(a.Values[0].Data, &paper) == nil && paper.Title != "" {
							title = paper.Title
						}
					}
				}
				out = append(out, idhub.Group{Name: title, UserHandle: name, BelongCompany: prefix})
			}
			if len(names) == 0 || !strings.HasPrefix(after, head) {
				break
			}
		}
	}
	return out, nil
}

// cabinet keeps files: their bytes in the node's folder, under their SHA-256, and a record P/File_… that names them. Who may
// see the value "file" of that record may have the file: everybody who knows the identifier, which nobody guesses,
// unless a rule says otherwise; for what belongs to an application, who left it and those who work at its prefix.
type cabinet struct{ d *desk }

const (
	typeFile  = "FUJIE.FILE"
	indexFile = record.IndexProperty

	maxLeft = 100 << 20 // bytes that somebody without a role leaves here
)

type paperFile struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
	By     string `json:"by"`
}

// Keep implements idhub.Files.
func (x cabinet) Keep(ctx context.Context, by record.Identity, name string, data []byte) (string, error) {
	prefix := x.d.own(ctx, by)
	if _, err := x.d.need(ctx, by, prefix, mayWrite...); err != nil {
		return "", err
	}
	return x.keep(ctx, by, prefix, name, data, true)
}

func (x cabinet) keep(ctx context.Context, by record.Identity, prefix, name string, data []byte, public bool) (string, error) {
	name = filepath.Base(strings.ReplaceAll(strings.ToValidUTF8(name, "_"), "\\", "/"))
	if len(name) > 255 || name == "." || name == "/" {
		return "", problem.New(problem.BadValue, "the file needs a name of up to 255 bytes", "文件须有不超过 255 字节的文件名")
	}
	c, err := x.d.at(ctx, by, prefix)
	if err != nil {
		return "", err
	}
	if !c.Has(prefix, mayWrite...) {
		x.d.mu.Lock()
		over := x.d.kept[by.Name]+int64(len(data)) > maxLeft
		if !over {
			x.d.kept[by.Name] += int64(len(data))
		}
		x.d.mu.Unlock()
		if over {
			return "", problem.New(problem.TooLarge, "you left more than %d MiB of files here: wait until the application is decided on", "您上传的文件已超过 %d MiB：请等待申请审结", maxLeft>>20)
		}
	}
	digest := sha256.Sum256(data)
	sum := hex.EncodeToString(digest[:])
	mark := sha256.Sum256([]byte(sum + "\x00" + handle.Fold(by.Name) + "\x00" + name + "\x00" + strconv.FormatBool(public)))
	v, err := id.ParseHandle(prefix + "/File_" + strings.ToUpper(hex.EncodeToString(mark[:16])))
	if err != nil {
		return "", err
	}
	if err := x.put(sum, data); err != nil {
		return "", err
	}
	paper, err := json.Marshal(paperFile{name, len(data), sum, by.Name})
	if err != nil {
		return "", problem.Wrap(err, problem.Internal, "%s cannot be written as JSON", "%s 无法写成 JSON", v)
	}
	perm := record.AdminRead | record.AdminWrite
	face := perm
	if public {
		face = record.DefaultPerm
	}
	ttl := record.TTL{Seconds: record.DefaultTTL}
	res, err := x.d.n.Write(ctx, record.Identity{Ref: by.Ref, Operator: true}, []record.Write{{Op: record.Create, ID: v, Values: []record.Value{
		{Index: 1, Type: typeFile, Data: paper, Perm: perm, TTL: ttl},
		{Index: indexFile, Type: "file", Data: []byte(name), Perm: face, TTL: ttl},
	}}})
	if err == nil && !problem.Is(res[0].Err, problem.Exists) {
		err = res[0].Err
	}
	return v.String(), err
}

func (x cabinet) path(sum string) string {
	return filepath.Join(x.d.n.cfg.Data, "files", sum[:2], sum)
}

// put writes a file that is whole or not there.
func (x cabinet) put(sum string, data []byte) error {
	to := x.path(sum)
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return problem.Wrap(err, problem.Full, "the file cannot be kept", "无法保存文件")
	}
	f, err := os.CreateTemp(filepath.Dir(to), "part-")
	if err == nil {
		defer os.Remove(f.Name())
		if _, err = f.Write(data); err == nil {
			err = f.Sync()
		}
		if e := f.Close(); err == nil {
			err = e
		}
		if err == nil {
			err = os.Rename(f.Name(), to)
		}
	}
	if err != nil {
		return problem.Wrap(err, problem.Full, "the file cannot be kept", "无法保存文件")
	}
	return nil
}

// Fetch implements idhub.Files.
func (x cabinet) Fetch(ctx context.Context, by record.Identity, identifier string) (string, []byte, error) {
	absent := problem.New(problem.NotFound, "there is no file %.80s, or it is not for you", "没有文件 %.80s，或您无权获取", identifier)
	v, err := id.ParseHandle(identifier)
	if err != nil || v.IsPrefix() || !strings.HasPrefix(handle.Fold(v.Suffix()), "FILE_") || !x.d.here(v.Prefix()) {
		return "", nil, absent
	}
	a, err := x.d.doors.resolver.Resolve(ctx, record.Query{ID: v, Indexes: []uint32{1}, By: operator, NoReferral: true})
	var p paperFile
	if err != nil || len(a.Values) != 1 || a.Values[0].Type != typeFile || json.Unmarshal(a.Values[0].Data, &p) != nil {
		return "", nil, absent
	}
	if b, err := hex.DecodeString(p.SHA256); err != nil || len(b) != sha256.Size {
		return "", nil, absent
	}
	c, err := x.d.at(ctx, by, v.Prefix())
	if err != nil {
		return "", nil, err
	}
	if (by.IsZero() || !handle.Equal(p.By, by.Name)) && !c.Has(v.Prefix(), api.EnterpriseAdmin, api.Reviewer) {
		shown, err := x.d.doors.resolver.Resolve(ctx, record.Query{ID: v, Indexes: []uint32{indexFile}, By: by, PublicOnly: by.IsZero(), NoReferral: true})
		if err != nil || !slices.ContainsFunc(shown.Values, func(v record.Value) bool { return v.Index == indexFile }) {
			return "", nil, absent
		}
	}
	data, err := os.ReadFile(x.path(p.SHA256))
	if os.IsNotExist(err) {
		return "", nil, problem.New(problem.NotFound, "the bytes of %s are at another site of this prefix", "%s 的内容在本前缀的另一站点", v)
	}
	if err != nil {
		return "", nil, problem.Wrap(err, problem.Internal, "the file cannot be read", "无法读取文件")
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 {
		return "", nil, problem.New(problem.Bogus, "%s was changed on disk: restore it from a backup", "%s 在磁盘上已被改动：请从备份恢复", v)
	}
	return p.Name, data, nil
}

var (
	_ idhub.Metas      = metas{}
	_ idhub.Grants     = granting{}
	_ idhub.Files      = cabinet{}
	_ idhub.Faults     = faults{}
	_ record.Registrar = checked{}
)
