package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// ownNames are the names under which every record shows what it is, beside the fields of its entity.
func ownNames() []string {
	return []string{"id", "entity", "version", "created_at", "updated_at", "created_by", "updated_by"}
}

// shape says what is shown of a record.
type shape struct {
	entity *schema.Entity
	only   []string // names to show beside id, entity and version; nil for all
	cut    int      // most bytes shown of a long text, 0 for no limit
}

// shapeOf reads a list of fields, as "name,phones". An empty one is all.
func (a *API) shapeOf(ctx context.Context, e *schema.Entity, fields string) (shape, error) {
	s := shape{entity: e}
	if fields == "" {
		return s, nil
	}
	for name := range strings.SplitSeq(fields, ",") {
		name = strings.TrimSpace(name)
		if !a.Book.Readable(ctx, e, name) && !slices.Contains(ownNames(), name) {
			return s, fault.InvalidField("fields", "list.unknown-field", "field", name)
		}
		s.only = append(s.only, name)
	}
	return s, nil
}

func (s shape) shows(name string) bool { return s.only == nil || slices.Contains(s.only, name) }

// show writes a record as a JSON object: its own names first, then the fields in the schema's order. Every field stands
// there, so that a program need not ask whether: an empty one is null, an empty list [].
func (s shape) show(r record.Record) (object, error) {
	o := object{}
	o.text("id", r.ID.String())
	o.text("entity", r.Entity())
	o.put("version", r.Version())
	for _, own := range []struct {
		name  string
		value any
	}{{"created_at", moment(r.CreatedAt())}, {"updated_at", moment(r.UpdatedAt())},
		{"created_by", r.CreatedBy()}, {"updated_by", r.UpdatedBy()}} {
		if s.shows(own.name) {
			o.put(own.name, own.value)
		}
	}
	var cut []string
	for i := range s.entity.Fields {
		f := &s.entity.Fields[i]
		if !s.shows(f.Name) || !r.Reads(f.Name) {
			continue
		}
		value := valueOf(r, f)
		if text, ok := value.(string); ok && f.Type == schema.LongText && s.cut > 0 && len(text) > s.cut {
			value, cut = strings.ToValidUTF8(text[:s.cut], ""), append(cut, f.Name)
		}
		o.put(f.Name, value)
	}
	if cut != nil {
		o.put("cut", cut)
	}
	return o, o.err
}

// valueOf reads a field in the form JSON has for its type.
func valueOf(r record.Record, f *schema.Field) any {
	switch {
	case f.Type == schema.YesNo:
		return r.YesNo(f.Name)
	case f.Type == schema.Time:
		return moment(r.Time(f.Name))
	case f.Type == schema.Formula:
		return r.Computed(f.Name)
	case r.Has(f.Name):
		return r.Plain(f)
	case f.Many:
		return []string{}
	}
	return nil
}

// moment is a time in UTC with milliseconds (RFC 3339), or null.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// object is a JSON object whose names keep their order.
type object struct {
	raw []byte
	err error
}

func (o *object) put(name string, value any) {
	o.name(name)
	var err error
	if o.raw, err = appendJSON(o.raw, value); err != nil {
		o.err = fault.Wrap(err, fault.Internal, "error.internal")
	}
}

// text is put for a text, without making an interface of it.
func (o *object) text(name, value string) {
	o.name(name)
	var err error
	if o.raw, err = appendText(o.raw, value); err != nil {
		o.err = fault.Wrap(err, fault.Internal, "error.internal")
	}
}

// name begins a member. Names are of the schema: ASCII letters.
func (o *object) name(name string) {
	if o.raw == nil {
		o.raw = append(make([]byte, 0, 480), '{')
	} else {
		o.raw = append(o.raw, ',')
	}
	o.raw = append(append(append(o.raw, '"'), name...), '"', ':')
}

// appendTo writes the object behind an answer.
func (o object) appendTo(raw []byte) []byte {
	if len(o.raw) == 0 {
		return append(raw, "{}"...)
	}
	return append(append(raw, o.raw...), '}')
}

// MarshalJSON gives the object.
func (o object) MarshalJSON() ([]byte, error) { return o.appendTo(nil), nil }
