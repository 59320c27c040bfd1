package rest

import (
	"context"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
)

// masterData is a history that keeps master data.
type masterData interface {
	VocabularyOf(ctx context.Context, kind, after string, limit int) ([]history.Master, string, error)
}

// master finds the master data, as far as the caller may see it: it belongs to the repository's owner, and who sees every event sees it.
func (c *call) master() masterData {
	if m, ok := c.s.cfg.Events.(masterData); ok && c.all {
		return m
	}
	return nil
}

// listVocabularies is GET /vocabularies, which the text of the interface leaves to repositories: the kinds of master data that there are.
func listVocabularies(c *call) error {
	if err := c.accept(mediaJSON, mediaLD); err != nil {
		return err
	}
	v, err := c.values()
	if err != nil {
		return err
	}
	perPage, next, err := c.paging(v, PerPageDefault)
	if err != nil {
		return err
	}
	of := c.question("vocabularies", v)
	t, err := c.open(next, of)
	if err != nil {
		return err
	}
	var list []string
	if c.master() != nil {
		var more string
		if list, more, err = c.s.cfg.Events.Values(c.ctx, history.Vocabularies, t.Cursor, perPage); err != nil {
			return err
		}
		if more != "" {
			c.more(v, token{Cursor: more, Of: of})
		}
	}
	return c.writeMembers(list)
}

// vocabulary is GET /vocabularies/{type}: master data of one kind, as a document that another repository captures as it is.
func (c *call) vocabulary(kind string) error {
	if err := c.accept(mediaJSON, mediaLD, mediaXML); err != nil {
		return err
	}
	v, err := c.values()
	if err != nil {
		return err
	}
	perPage, next, err := c.paging(v, PerPageDefault)
	if err != nil {
		return err
	}
	of := c.question("vocabulary "+kind, v)
	t, err := c.open(next, of)
	if err != nil {
		return err
	}
	known := epcis.Vocabulary{Type: kind}
	if m := c.master(); m != nil {
		list, more, err := m.VocabularyOf(c.ctx, kind, t.Cursor, perPage)
		if err != nil {
			return err
		}
		for i := range list {
			known.Elements = append(known.Elements, list[i].VocabularyElement)
		}
		if more != "" {
			c.more(v, token{Cursor: more, Of: of})
		}
	}
	if len(known.Elements) == 0 && next == "" {
		return problem.New(problem.NotFound, "there is no master data of the kind %s that you may see", "没有您可查看的 %s 类主数据", kind)
	}
	doc := &epcis.Document{SchemaVersion: c.out.version, Created: c.s.cfg.Now().UTC().Truncate(time.Millisecond), Vocabularies: []epcis.Vocabulary{known}}
	c.formats()
	if c.out.xml() {
		body, err := appendXML(doc, &c.out)
		if err != nil {
			return err
		}
		return c.write(200, body)
	}
	return c.write(200, epcis.AppendJSON(nil, doc, c.out.Format))
}
