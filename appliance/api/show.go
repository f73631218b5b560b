package api

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
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
	o.put("id", r.ID.String())
	o.put("entity", r.Entity())
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
	raw, err := json.Marshal(value)
	if err != nil {
		o.err = fault.Wrap(err, fault.Internal, "error.internal")
		return
	}
	if len(o.raw) == 0 {
		o.raw = append(o.raw, '{')
	} else {
		o.raw = append(o.raw, ',')
	}
	o.raw = strconv.AppendQuote(o.raw, name) // names are of the schema: ASCII letters
	o.raw = append(append(o.raw, ':'), raw...)
}

// MarshalJSON gives the object.
func (o object) MarshalJSON() ([]byte, error) {
	if len(o.raw) == 0 {
		return []byte("{}"), nil
	}
	return append(slices.Clip(o.raw), '}'), nil
}
