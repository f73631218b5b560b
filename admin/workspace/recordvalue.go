package workspace

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// cell is one value as people read it.
type cell struct {
	Text  string
	Href  string
	Left  bool // runs from left to right whatever the page does: a number, an address
	Plain bool // the link leads out of the pages
}

// recordTeller puts values of records into words. It asks for each name and each title once.
type recordTeller struct {
	*pages
	ctx    context.Context
	v      frame.View
	names  map[string]string
	titles map[string]string
}

func (p *pages) recordTeller(ctx context.Context, v frame.View) *recordTeller {
	return &recordTeller{pages: p, ctx: ctx, v: v, names: map[string]string{}, titles: map[string]string{}}
}

// entityName is what people call an entity, of many where plural.
func entityName(v frame.View, e *schema.Entity, plural bool) string {
	if text := inLanguage(v, e.Plurals); plural && text != "" {
		return text
	}
	if text := inLanguage(v, e.Labels); text != "" {
		return text
	}
	if key := "entity." + e.Name; v.Has(key) {
		return v.T(key)
	}
	return e.Name
}

func fieldName(v frame.View, e *schema.Entity, f *schema.Field) string {
	if text := inLanguage(v, f.Labels); text != "" {
		return text
	}
	if key := "field." + e.Name + "." + f.Name; v.Has(key) {
		return v.T(key)
	}
	return f.Name
}

func choiceName(v frame.View, e *schema.Entity, f *schema.Field, value string) string {
	if text := inLanguage(v, f.ChoiceLabels[value]); text != "" {
		return text
	}
	if key := "choice." + e.Name + "." + f.Name + "." + value; v.Has(key) {
		return v.T(key)
	}
	return value
}

// inLanguage picks a text in the reader's language, or in any when there is none in his.
func inLanguage(v frame.View, texts map[string]string) string {
	if text := texts[v.Code]; text != "" {
		return text
	}
	for _, lang := range []string{"en", "he", "ru"} {
		if texts[lang] != "" {
			return texts[lang]
		}
	}
	return ""
}

// generic tells whether an entity's records have the pages of this file: those that the office or a plugin made.
func generic(e *schema.Entity) bool { return e != nil && e.Custom && !e.Hidden }

// titleOf is what a record is called; one without a title by its kind and the day it was made.
func titleOf(v frame.View, e *schema.Entity, r record.Record) string {
	if text := r.Text(e.Title); e.Title != "" && text != "" {
		return text
	}
	return entityName(v, e, false) + " " + v.Date(r.CreatedAt())
}

// readable are the fields that the person may read, in the schema's order.
func (p *pages) readable(ctx context.Context, e *schema.Entity) (fields []*schema.Field) {
	for i := range e.Fields {
		if f := &e.Fields[i]; f.Type != schema.Data && p.Book.Readable(ctx, e, f.Name) {
			fields = append(fields, f)
		}
	}
	return fields
}

// cells are the values of a field.
func (t *recordTeller) cells(e *schema.Entity, r record.Record, f *schema.Field) (cells []cell) {
	switch f.Type {
	case schema.Formula:
		return t.computed(r.Computed(f.Name))
	case schema.Link:
		for _, id := range r.Links(f.Name) {
			cells = append(cells, t.link(f.Target, id))
		}
		return cells
	case schema.File, schema.Picture:
		for i, file := range r.Attachments(f.Name) {
			cells = append(cells, cell{Text: file.Name + " · " + t.v.Size(file.Size), Plain: true,
				Href: "/records/" + url.PathEscape(e.Name) + "/" + r.ID.String() + "/files/" + f.Name + "/" + strconv.Itoa(i)})
		}
		return cells
	case schema.Number, schema.Money, schema.YesNo, schema.Time:
		if r.Has(f.Name) {
			return t.computed(single(r, f))
		}
		return nil
	}
	for _, text := range r.Texts(f.Name) {
		cells = append(cells, t.text(e, f, text))
	}
	return cells
}

// single reads a value that is no text.
func single(r record.Record, f *schema.Field) any {
	switch f.Type {
	case schema.Number:
		n, _ := r.Number(f.Name)
		return n
	case schema.Money:
		a, _ := r.Amount(f.Name)
		return a
	case schema.YesNo:
		return r.YesNo(f.Name)
	}
	return r.Time(f.Name)
}

func (t *recordTeller) computed(value any) []cell {
	switch x := value.(type) {
	case string:
		return []cell{{Text: x}}
	case float64:
		return []cell{{Text: t.v.Decimal(x), Left: true}}
	case schema.Amount:
		return []cell{{Text: t.v.Money(x)}}
	case bool:
		return []cell{{Text: yesOrNo(t.v, x)}}
	case time.Time:
		return []cell{{Text: t.v.Moment(x)}}
	}
	return nil
}

func yesOrNo(v frame.View, yes bool) string {
	if yes {
		return v.T("record.yes")
	}
	return v.T("record.no")
}

func (t *recordTeller) text(e *schema.Entity, f *schema.Field, text string) cell {
	switch f.Type {
	case schema.Choice:
		return cell{Text: choiceName(t.v, e, f, text)}
	case schema.Date, schema.Yearly:
		return cell{Text: dayOf(t.v, text)}
	case schema.Phone:
		return cell{Text: phone(text, t.Region), Href: "tel:" + dialled(text, t.Region), Left: true, Plain: true}
	case schema.Email:
		return cell{Text: text, Href: "mailto:" + text, Left: true, Plain: true}
	case schema.URL:
		if u, err := url.Parse(text); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
			return cell{Text: text, Href: text, Left: true, Plain: true}
		}
	case schema.Staff:
		t.name(t.ctx, t.names, text)
		return cell{Text: who(text, t.names)}
	}
	return cell{Text: text}
}

// link is the record that a link names, by its title; one that the person may not see is only said to be there.
func (t *recordTeller) link(target string, id record.ID) cell {
	text, known := t.titles[id.String()]
	if !known {
		e := t.Book.Schema().Entity(target)
		r, err := t.Book.Get(t.ctx, target, id)
		if e != nil && err == nil {
			if text = titleOf(t.v, e, r); target == "contact" && r.Text("name") == "" {
				text = r.Text("company")
			}
		}
		t.titles[id.String()] = text
	}
	if text == "" {
		return cell{Text: t.v.T("record.not-yours")}
	}
	if e := t.Book.Schema().Entity(target); target == "contact" || target == "conversation" || generic(e) {
		return cell{Text: text, Href: recordPath(&plugin.Ref{Entity: target, ID: id})}
	}
	return cell{Text: text}
}

// columns are what a list shows beside the title: the first fields that say something in a word.
func columns(e *schema.Entity, fields []*schema.Field, most int) (list []*schema.Field) {
	long := []schema.Type{schema.LongText, schema.File, schema.Picture, schema.URL}
	for _, f := range fields {
		if f.Name != e.Title && !slices.Contains(long, f.Type) && len(list) < most {
			list = append(list, f)
		}
	}
	return list
}

// recordMenu are the entities that the office or a plugin made and that the person may see.
func (p *pages) recordMenu(ctx context.Context, v frame.View) (items []frame.MenuItem) {
	for _, e := range p.Book.Schema().Entities() {
		if generic(e) && e.Title != "" && p.Gate.Scope(ctx, access.See, e.Name) != access.None {
			items = append(items, frame.MenuItem{Path: "/records/" + url.PathEscape(e.Name), Label: entityName(v, e, true), Icon: "list-details"})
		}
	}
	return items
}

// quoted writes a text as the filter language takes it.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// fieldInput, fieldMode and fieldDir say how a browser takes a field. What is wrong with a value the room says, in the
// reader's language, so that only days and times have an input of their own.
func fieldInput(f *schema.Field) string {
	switch f.Type {
	case schema.Date:
		return "date"
	case schema.Time:
		return "datetime-local"
	}
	return "text"
}

func fieldMode(f *schema.Field) string {
	switch f.Type {
	case schema.Number, schema.Money:
		return "decimal"
	case schema.Phone:
		return "tel"
	case schema.Email:
		return "email"
	case schema.URL:
		return "url"
	}
	return "text"
}

func fieldDir(f *schema.Field) string {
	switch f.Type {
	case schema.Text, schema.LongText, schema.Link:
		return "auto"
	}
	return "ltr"
}

// offered are the choices of a field, and those that the record holds although they are retired.
func (x recordForm) offered(f *schema.Field) []string {
	list := slices.Clone(f.Choices)
	for _, held := range x.Stored[f.Name] {
		if slices.Contains(f.Retired, held) && !slices.Contains(list, held) {
			list = append(list, held)
		}
	}
	return list
}
