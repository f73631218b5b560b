package schema

import (
	"maps"
	"reflect"
	"slices"
)

// Difference is one thing in which two schemas differ.
type Difference struct {
	Entity string `json:"entity"`
	Field  string `json:"field,omitempty"`  // "" where it is the entity itself
	Choice string `json:"choice,omitempty"` // "" where it is the field itself
	What   string `json:"what"`             // added, removed, or the name of what changed, as label, hidden, required, retired
	Lang   string `json:"lang,omitempty"`   // of a label
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Diff lists what changes from one schema to another, in the order of the entities and fields of the second. Fields are
// the same when their numbers are.
func Diff(before, after *Schema) (list []Difference) {
	for _, e := range after.entities {
		was := before.Entity(e.Name)
		if was == nil {
			list = append(list, Difference{Entity: e.Name, What: "added"})
			was = &Entity{Name: e.Name}
		} else {
			list = append(list, diffEntity(was, e)...)
		}
		for i := range e.Fields {
			f := &e.Fields[i]
			if old := was.Numbered(f.Number); old == nil {
				list = append(list, Difference{Entity: e.Name, Field: f.Name, What: "added"})
			} else {
				list = append(list, diffField(e.Name, old, f)...)
			}
		}
		for i := range was.Fields {
			if f := &was.Fields[i]; e.Numbered(f.Number) == nil {
				list = append(list, Difference{Entity: e.Name, Field: f.Name, What: "removed"})
			}
		}
	}
	for _, e := range before.entities {
		if after.Entity(e.Name) == nil {
			list = append(list, Difference{Entity: e.Name, What: "removed"})
		}
	}
	return list
}

// differ is a list of differences of one thing.
type differ struct {
	of   Difference
	list []Difference
}

func (d *differ) value(what string, before, after any) {
	if !reflect.DeepEqual(before, after) {
		found := d.of
		found.What, found.Before, found.After = what, before, after
		d.list = append(d.list, found)
	}
}

func (d *differ) labels(what string, before, after map[string]string) {
	langs := maps.Clone(before)
	if langs == nil {
		langs = map[string]string{}
	}
	maps.Copy(langs, after)
	for _, lang := range slices.Sorted(maps.Keys(langs)) {
		d.of.Lang = lang
		d.value(what, before[lang], after[lang])
	}
	d.of.Lang = ""
}

func diffEntity(before, after *Entity) []Difference {
	d := &differ{of: Difference{Entity: after.Name}}
	d.labels("label", before.Labels, after.Labels)
	d.labels("plural", before.Plurals, after.Plurals)
	d.value("hidden", before.Hidden, after.Hidden)
	d.value("title", before.Title, after.Title)
	d.value("owner", before.Owner, after.Owner)
	d.value("via", before.Via, after.Via)
	d.value("contact", before.Contact, after.Contact)
	d.value("timeline", before.Timeline, after.Timeline)
	return d.list
}

func diffField(entity string, before, after *Field) []Difference {
	d := &differ{of: Difference{Entity: entity, Field: after.Name}}
	d.value("name", before.Name, after.Name)
	d.labels("label", before.Labels, after.Labels)
	d.value("hidden", before.Hidden, after.Hidden)
	d.value("type", before.Type, after.Type)
	d.value("many", before.Many, after.Many)
	d.value("required", before.Required, after.Required)
	d.value("indexed", before.Indexed, after.Indexed)
	d.value("unique", before.Unique, after.Unique)
	d.value("searched", before.Searched, after.Searched)
	d.value("sensitive", before.Sensitive, after.Sensitive)
	d.value("default", before.Default, after.Default)
	d.value("formula", before.Formula, after.Formula)
	d.value("target", before.Target, after.Target)
	d.value("currency", before.Currency, after.Currency)
	d.value("max", before.Max, after.Max)
	d.choices(before, after)
	return d.list
}

func (d *differ) choices(before, after *Field) {
	was, is := slices.Concat(before.Choices, before.Retired), slices.Concat(after.Choices, after.Retired)
	for _, choice := range is {
		d.of.Choice = choice
		if !slices.Contains(was, choice) {
			d.value("added", nil, choice)
		}
		d.value("retired", slices.Contains(before.Retired, choice), slices.Contains(after.Retired, choice))
		d.labels("label", before.ChoiceLabels[choice], after.ChoiceLabels[choice])
	}
	for _, choice := range was {
		if !slices.Contains(is, choice) {
			d.of.Choice = choice
			d.value("removed", choice, nil)
		}
	}
	d.of.Choice = ""
}
