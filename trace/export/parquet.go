package export

import (
	"errors"

	"github.com/parquet-go/parquet-go"

	"github.com/fujie-id/fujie/problem"
)

// Rows of a table, and bytes of all tables, that are held in memory before they are written as a row group. Readers pass over row groups by their statistics: too small ones cost more than they spare.
const (
	groupRows  = 100_000
	groupBytes = 64 << 20
)

// sheet is one Parquet file of a part.
type sheet[T any] struct {
	f *file
	w *parquet.GenericWriter[T]
}

func newSheet[T any](p *part, table string, errs *[]error) sheet[T] {
	f, err := p.create(table+"/"+p.name()+".parquet", table)
	if err != nil {
		*errs = append(*errs, err)
		return sheet[T]{}
	}
	return sheet[T]{f: f, w: parquet.NewGenericWriter[T](f, parquet.MaxRowsPerRowGroup(groupRows), parquet.CreatedBy("Fujie", "1", ""))}
}

func (s *sheet[T]) add(list ...T) error {
	n, err := s.w.Write(list)
	s.f.Rows += int64(n)
	return err
}

// parquetPart writes the files of a part as Parquet.
type parquetPart struct {
	events     sheet[Event]
	things     sheet[Thing]
	relations  sheet[Relation]
	sensors    sheet[Sensor]
	extensions sheet[Extension]
	held       int
}

func newParquet(p *part) (writer, error) {
	var errs []error
	w := &parquetPart{events: newSheet[Event](p, "events", &errs), things: newSheet[Thing](p, "event_things", &errs), relations: newSheet[Relation](p, "event_relations", &errs),
		sensors: newSheet[Sensor](p, "event_sensors", &errs), extensions: newSheet[Extension](p, "event_extensions", &errs)}
	return w, errors.Join(errs...)
}

func (w *parquetPart) write(r *rows) error {
	w.held += r.size
	err := errors.Join(w.events.add(r.event), w.things.add(r.things...), w.relations.add(r.relations...), w.sensors.add(r.sensors...), w.extensions.add(r.extensions...))
	if err == nil && w.held >= groupBytes {
		w.held = 0
		err = errors.Join(w.events.w.Flush(), w.things.w.Flush(), w.relations.w.Flush(), w.sensors.w.Flush(), w.extensions.w.Flush())
	}
	return notWritten(err)
}

func (w *parquetPart) close() error {
	return notWritten(errors.Join(w.events.w.Close(), w.things.w.Close(), w.relations.w.Close(), w.sensors.w.Close(), w.extensions.w.Close()))
}

func notWritten(err error) error {
	if err == nil {
		return nil
	}
	return problem.Wrap(err, problem.Internal, "the export could not be written: is there room on the disk?", "无法写出导出文件：磁盘空间是否充足？")
}
