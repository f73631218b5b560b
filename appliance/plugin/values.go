package plugin

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// recordToWire is a record as its reader may read it, with the fields that are asked for; all of them for none. A room's
// own data does not cross the line.
func recordToWire(r record.Record, e *schema.Entity, only []string) *wirev1.Record {
	out := &wirev1.Record{
		Entity: e.Name, Id: r.ID.String(), Version: r.Version(), CreatedBy: wire.Valid(r.CreatedBy()), UpdatedBy: wire.Valid(r.UpdatedBy()),
		CreatedAt: timestamppb.New(r.CreatedAt()), UpdatedAt: timestamppb.New(r.UpdatedAt()), Values: map[string]*wirev1.Value{},
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		if len(only) > 0 && !slices.Contains(only, f.Name) {
			continue
		}
		if v := valueToWire(r, f); v != nil {
			out.Values[f.Name] = v
		}
	}
	return out
}

// valueToWire is what a record holds in a field, nil for nothing.
func valueToWire(r record.Record, f *schema.Field) *wirev1.Value {
	if f.Type == schema.Formula {
		return computedToWire(r.Computed(f.Name))
	}
	if !r.Has(f.Name) {
		return nil
	}
	var all []*wirev1.Value
	switch f.Type {
	case schema.Data:
		return nil
	case schema.Number:
		n, _ := r.Number(f.Name)
		return &wirev1.Value{Of: &wirev1.Value_Number{Number: n}}
	case schema.YesNo:
		return &wirev1.Value{Of: &wirev1.Value_Yes{Yes: r.YesNo(f.Name)}}
	case schema.Time:
		return &wirev1.Value{Of: &wirev1.Value_Time{Time: timestamppb.New(r.Time(f.Name))}}
	case schema.Money:
		a, ok := r.Amount(f.Name)
		if !ok {
			return nil
		}
		return moneyToWire(a)
	case schema.File, schema.Picture:
		for _, a := range r.Attachments(f.Name) {
			all = append(all, &wirev1.Value{Of: &wirev1.Value_File{File: fileToWire(a)}})
		}
	case schema.Link:
		for _, id := range r.Links(f.Name) {
			all = append(all, textToWire(id.String()))
		}
	default:
		for _, s := range r.Texts(f.Name) {
			all = append(all, textToWire(s))
		}
	}
	switch {
	case f.Many:
		return &wirev1.Value{Of: &wirev1.Value_List{List: &wirev1.ValueList{Values: all}}}
	case len(all) == 0:
		return nil
	}
	return all[0]
}

func computedToWire(value any) *wirev1.Value {
	switch v := value.(type) {
	case string:
		return textToWire(v)
	case float64:
		return &wirev1.Value{Of: &wirev1.Value_Number{Number: v}}
	case bool:
		return &wirev1.Value{Of: &wirev1.Value_Yes{Yes: v}}
	case schema.Amount:
		return moneyToWire(v)
	}
	return nil
}

func textToWire(s string) *wirev1.Value {
	return &wirev1.Value{Of: &wirev1.Value_Text{Text: wire.Valid(s)}}
}

func moneyToWire(a schema.Amount) *wirev1.Value {
	return &wirev1.Value{Of: &wirev1.Value_Money{Money: &wirev1.Money{Minor: a.Minor, Currency: a.Currency}}}
}

func fileToWire(a schema.Attachment) *wirev1.BlobRef {
	return &wirev1.BlobRef{Blob: a.Blob, Name: wire.Valid(a.Name), Type: wire.Valid(a.Type), Size: a.Size}
}

// valueReader reads the values of one write. Made are the records that the writes before it in its batch made.
type valueReader struct {
	entity *schema.Entity
	made   []record.ID
	wrong  []fault.Field
}

// values makes what a plugin sent values for a Book, which says what they must be besides. A field that the entity does
// not have goes along empty: the Book refuses it, and one that is hidden from the writer, in the same words.
func (r *valueReader) values(in map[string]*wirev1.Value) (record.Values, error) {
	out := make(record.Values, len(in))
	for name, v := range in {
		f := r.entity.Field(name)
		if f == nil {
			out[name] = nil
			continue
		}
		value, wrong := r.value(f, v)
		if wrong != "" {
			r.wrong = append(r.wrong, fault.Field{Name: name, Key: wrong})
		}
		out[name] = value
	}
	if len(r.wrong) > 0 {
		slices.SortFunc(r.wrong, func(a, b fault.Field) int { return strings.Compare(a.Name, b.Name) })
		return nil, &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: r.wrong}
	}
	return out, nil
}

// value reads what a field takes: one value of its type, or a list of such. Wrong is the key of what does not fit.
func (r *valueReader) value(f *schema.Field, v *wirev1.Value) (value any, wrong string) {
	if v.GetOf() == nil {
		return nil, ""
	}
	list, many := v.GetOf().(*wirev1.Value_List)
	switch {
	case many && !f.Many:
		return nil, "field.type"
	case f.Many && !many:
		return nil, "field.many"
	case !many:
		return r.single(f, v)
	}
	all := make([]any, 0, len(list.List.GetValues()))
	for _, each := range list.List.GetValues() {
		one, wrong := r.single(f, each)
		if wrong != "" {
			return nil, wrong
		}
		if one != nil {
			all = append(all, one)
		}
	}
	return all, ""
}

func (r *valueReader) single(f *schema.Field, v *wirev1.Value) (value any, wrong string) {
	switch of := v.GetOf().(type) {
	case nil:
		return nil, ""
	case *wirev1.Value_Text:
		if f.Type == schema.Link {
			return r.link(of.Text)
		}
		return of.Text, fits(f, schema.Text, schema.LongText, schema.Choice, schema.Phone, schema.Email, schema.URL,
			schema.Staff, schema.Date, schema.Yearly)
	case *wirev1.Value_Number:
		return of.Number, fits(f, schema.Number)
	case *wirev1.Value_Yes:
		return of.Yes, fits(f, schema.YesNo)
	case *wirev1.Value_Time:
		if !of.Time.IsValid() {
			return nil, "field.time"
		}
		return of.Time.AsTime(), fits(f, schema.Time)
	case *wirev1.Value_Money:
		a := schema.Amount{Minor: of.Money.GetMinor(), Currency: of.Money.GetCurrency()}
		if a.Currency == "" {
			a.Currency = f.Currency
		}
		return a, fits(f, schema.Money)
	case *wirev1.Value_File:
		b := of.File
		return schema.Attachment{Blob: b.GetBlob(), Name: b.GetName(), Type: b.GetType(), Size: b.GetSize()},
			fits(f, schema.File, schema.Picture)
	}
	return nil, "field.type" // a list in a list, or what a newer contract has
}

func fits(f *schema.Field, types ...schema.Type) string {
	if slices.Contains(types, f.Type) || f.Type == schema.Formula || f.Type == schema.Data {
		return "" // the last two are refused by the Book, as closed
	}
	return "field.type"
}

// link reads the id of a record, or "@0" for the record that the first write of the batch made.
func (r *valueReader) link(text string) (value any, wrong string) {
	number, refers := strings.CutPrefix(text, "@")
	if !refers {
		return text, ""
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= len(r.made) || r.made[n].Zero() || number != strconv.Itoa(n) {
		return nil, "field.link"
	}
	return r.made[n], ""
}

// named refuses names that are not fields the reader may read.
func named(e *schema.Entity, only []string, readable func(field string) bool) error {
	if len(only) > len(e.Fields) {
		return fault.InvalidField("fields", "field.too-many", "limit", len(e.Fields))
	}
	for i, name := range only {
		if !readable(name) {
			return fault.InvalidField(fmt.Sprintf("fields[%d]", i), "field.unknown")
		}
	}
	return nil
}
