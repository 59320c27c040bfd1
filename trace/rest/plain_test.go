package rest

import (
	"reflect"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// plain is an event without what no reader may care for, so that two can be compared field by field: the prefixes of namespaces, the place of a time zone in
// memory, and what JSON tells apart and XML does not (a number and the text of its digits, a list of one and the one).
func plain(e epcis.Event) epcis.Event {
	e.Namespaces = nil
	return deep(reflect.ValueOf(e)).Interface().(epcis.Event)
}

func deep(v reflect.Value) reflect.Value {
	switch x := v.Interface().(type) {
	case time.Time:
		if _, offset := x.Zone(); !x.IsZero() {
			return reflect.ValueOf(x.In(time.FixedZone("", offset)))
		}
		return v
	case []epcis.Field:
		return reflect.ValueOf(plainFields(x))
	}
	switch v.Kind() {
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			out.Field(i).Set(deep(v.Field(i)))
		}
		return out
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(deep(v.Elem()))
		return out
	case reflect.Slice:
		if v.Len() == 0 {
			return reflect.Zero(v.Type())
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(deep(v.Index(i)))
		}
		return out
	}
	return v
}

func plainFields(list []epcis.Field) (out []epcis.Field) {
	for _, f := range list {
		f.Prefix = ""
		f.Value = plainValue(f.Value)
		if f.Value.Kind != epcis.List || len(f.Value.Items) > 0 {
			out = append(out, f)
		}
	}
	return out
}

func plainValue(v epcis.Value) epcis.Value {
	v.Attrs, v.Fields = plainFields(v.Attrs), plainFields(v.Fields)
	switch v.Kind {
	case epcis.List:
		var items []epcis.Value
		for _, x := range v.Items {
			if x = plainValue(x); x.Kind == epcis.List {
				items = append(items, x.Items...) // XML has no lists of lists
			} else {
				items = append(items, x)
			}
		}
		if v.Items = items; len(items) == 1 {
			return items[0]
		}
	case epcis.Object:
		if len(v.Fields) == 0 {
			v.Kind = epcis.Text
		}
	default:
		v.Kind = epcis.Text
	}
	return v
}
