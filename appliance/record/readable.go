package record

import (
	"encoding/json"
	"time"

	"github.com/karov-crm/karov/appliance/schema"
)

// Export gives the fields of a stored record as plain values for JSON, by name: what a person who has only a backup
// can read. It is nil for an entity that the schema does not know.
func (b *Book) Export(entity string, id, raw []byte) map[string]any {
	e := b.schema.Current().Entity(entity)
	if e == nil || len(id) != 16 {
		return nil
	}
	r := Record{ID: ID(id), entity: e, raw: raw}
	fields := r.Fields()
	fields["id"], fields["version"] = r.ID.String(), r.Version()
	fields["created_at"], fields["updated_at"] = r.CreatedAt(), r.UpdatedAt()
	return fields
}

// Fields gives the schema's fields that hold something, as plain values for JSON.
func (r Record) Fields() map[string]any {
	fields := map[string]any{}
	for i := range r.entity.Fields {
		f := &r.entity.Fields[i]
		if v, ok := r.computed[f.Name]; ok {
			fields[f.Name] = v
		} else if r.Has(f.Name) {
			fields[f.Name] = r.Plain(f)
		}
	}
	return fields
}

// Plain reads a field that holds something as a plain value for JSON.
func (r Record) Plain(f *schema.Field) any {
	switch f.Type {
	case schema.Number:
		n, _ := r.Number(f.Name)
		return n
	case schema.YesNo:
		return r.YesNo(f.Name)
	case schema.Time:
		return r.Time(f.Name).Format(time.RFC3339Nano)
	case schema.Link:
		if f.Many {
			return r.Links(f.Name)
		}
		return r.Link(f.Name).String()
	case schema.Money:
		if a, ok := r.Amount(f.Name); ok {
			return a
		}
		return nil
	case schema.File, schema.Picture:
		files := r.Attachments(f.Name)
		if f.Many || len(files) == 0 {
			return files
		}
		return files[0]
	case schema.Data:
		var raw json.RawMessage
		if r.Data(f.Name, &raw) != nil {
			return nil
		}
		return raw
	}
	if f.Many {
		return r.Texts(f.Name)
	}
	return r.Text(f.Name)
}
