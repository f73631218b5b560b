package schema

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
)

// build puts a layer over the built-in set. What of the layer contradicts the set is left out and named as dormant, so
// that any program starts over any store.
func build(builtin []Entity, l *layer, version uint64) (*Schema, error) {
	b := builder{names: map[string]bool{}, original: map[string]Field{}, refused: map[string]error{}}
	for _, e := range builtin {
		b.add(b.changed(e, l.entity(e.Name)))
	}
	for _, e := range l.Entities {
		switch {
		case b.names[e.Name]:
		case e.Custom:
			b.add(b.changed(Entity{Name: e.Name, Custom: true}, e))
		default:
			b.dormant = append(b.dormant, e.Name)
		}
	}
	for {
		s, err := New(b.entities...)
		if err == nil {
			s.version, s.layer, s.dormant, s.refused = version, l, b.dormant, b.refused
			return s, nil
		}
		if !b.leaveOut(err) {
			return nil, err
		}
	}
}

type builder struct {
	entities []Entity
	names    map[string]bool
	original map[string]Field // of entity.field: a built-in one as it was before the office changed it
	dormant  []string
	refused  map[string]error // of dormant: why, where New said so
}

func (b *builder) add(e Entity) {
	b.entities = append(b.entities, e)
	b.names[e.Name] = true
}

// changed is an entity with what the office changed of it. An own entity that became built in is an entity that got
// fields.
func (b *builder) changed(e Entity, l *entityLayer) Entity {
	if l == nil {
		return e
	}
	if d := l.Declared; d != nil && e.Custom {
		e.Plugin, e.Labels, e.Plurals = d.Plugin, d.Labels, d.Plurals
	}
	e.Labels, e.Plurals, e.Hidden = over(e.Labels, l.Labels), over(e.Plurals, l.Plurals), l.Hidden && (e.Custom || canHide(&e))
	if l.Declared != nil && l.Declared.Gone {
		e.Hidden = e.Custom
	}
	if e.Custom {
		e.Title, e.Owner, e.Via, e.Contact, e.Timeline = l.Title, l.Owner, l.Via, l.Contact, l.Timeline
	}
	e.Fields = slices.Clone(e.Fields)
	for _, change := range l.Fields {
		if change.Number != 0 {
			continue
		}
		i := slices.IndexFunc(e.Fields, func(f Field) bool { return f.Name == change.Name })
		if i < 0 {
			b.dormant = append(b.dormant, e.Name+"."+change.Name)
			continue
		}
		b.original[e.Name+"."+change.Name] = e.Fields[i]
		f := changedField(e.Fields[i], change)
		if plays(&e, f.Name) || f.Required || f.Closed {
			f.Hidden = false
		}
		e.Fields[i] = f
	}
	for _, own := range l.Fields {
		if own.Number != 0 {
			f := ownField(own)
			f.Name = freeName(&e, l, own)
			e.Fields = append(e.Fields, f)
		}
	}
	return e
}

// freeName is the name of an own field: another where a newer program has a built-in field of that name.
func freeName(e *Entity, l *entityLayer, own *fieldLayer) string {
	name := own.Name
	for n := 1; ; n++ {
		taken := slices.ContainsFunc(e.Fields, func(f Field) bool { return f.Name == name }) ||
			slices.ContainsFunc(l.Fields, func(f *fieldLayer) bool { return f.Number != 0 && f != own && f.Name == name })
		if !taken {
			return name
		}
		if name = own.Name + "_custom"; n > 1 {
			name += strconv.Itoa(n)
		}
	}
}

// ownField is an office's own field as its layer describes it.
func ownField(l *fieldLayer) Field {
	if d := l.Declared; d != nil {
		f := changedField(d.field(l.Name, l.Number), l)
		if d.Gone {
			f.Hidden, f.Required = true, false
		}
		return f
	}
	return changedField(Field{Name: l.Name, Number: l.Number, Custom: true, Type: l.Type, Many: l.Many, Target: l.Target,
		Currency: l.Currency, Max: l.Max, Formula: l.Formula}, l)
}

// changedField is a field with what the office changed of it.
func changedField(f Field, l *fieldLayer) Field {
	f.Labels, f.Hidden = over(f.Labels, l.Labels), l.Hidden
	f.Retired = slices.Clone(f.Retired)
	for _, choice := range l.Choices {
		f.Choices, f.Retired = setIn(f.Choices, choice, true), setIn(f.Retired, choice, false)
	}
	for _, choice := range l.Retired {
		f.Choices, f.Retired = setIn(f.Choices, choice, false), setIn(f.Retired, choice, true)
	}
	if len(l.ChoiceLabels) > 0 {
		labels := map[string]map[string]string{}
		maps.Copy(labels, f.ChoiceLabels)
		for choice, texts := range l.ChoiceLabels {
			labels[choice] = over(labels[choice], texts)
		}
		f.ChoiceLabels = labels
	}
	for _, mark := range marksOf(&f, l) {
		if mark.changed != nil && *mark.changed != nil {
			*mark.field = **mark.changed
		}
	}
	if l.Default != nil {
		value, ok := decodeDefault(l.Default)
		if ok {
			f.Default = value
		}
	}
	return f
}

// mark is one yes-no property of a field and where the layer keeps it.
type mark struct {
	name    string
	field   *bool
	changed **bool
}

func marksOf(f *Field, l *fieldLayer) []mark {
	return []mark{
		{"required", &f.Required, &l.Required}, {"indexed", &f.Indexed, &l.Indexed}, {"unique", &f.Unique, &l.Unique},
		{"searched", &f.Searched, &l.Searched}, {"sensitive", &f.Sensitive, &l.Sensitive},
	}
}

// decodeDefault gives a default in the form that Field has it, nil for null.
func decodeDefault(raw json.RawMessage) (any, bool) {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return nil, false
	}
	return plainDefault(value), true
}

// plainDefault makes a list of texts of what JSON gave as a list of anything.
func plainDefault(value any) any {
	list, ok := value.([]any)
	if !ok {
		return value
	}
	texts := make([]string, len(list))
	for i, item := range list {
		if texts[i], ok = item.(string); !ok {
			return value
		}
	}
	return texts
}

// over puts labels over others, in a map of its own.
func over(base, changes map[string]string) map[string]string {
	both := map[string]string{}
	maps.Copy(both, base)
	maps.Copy(both, changes)
	return both
}

// plays tells whether a field is one by which its entity works: its title, owner, customer or the record it hangs on.
func plays(e *Entity, field string) bool {
	return field != "" && slices.ContainsFunc(roles(e), func(r role) bool { return r.field == field })
}

// canHide tells whether nothing stops when an entity is out of use: a room writes the closed fields of its own.
func canHide(e *Entity) bool {
	return !slices.ContainsFunc(e.Fields, func(f Field) bool { return f.Closed })
}

// leaveOut takes what an error of New names out of the office's part, and tells whether there was such a thing.
func (b *builder) leaveOut(err error) bool {
	where := fault.Of(err).Params
	i := slices.IndexFunc(b.entities, func(e Entity) bool { return e.Name == where["entity"] })
	if i < 0 {
		return false
	}
	e := &b.entities[i]
	j := slices.IndexFunc(e.Fields, func(f Field) bool { return f.Name == where["field"] })
	name := e.Name
	if j >= 0 {
		name += "." + e.Fields[j].Name
	}
	original, changed := b.original[name]
	switch {
	case j >= 0 && changed:
		e.Fields[j] = original
		delete(b.original, name)
	case j >= 0 && e.Fields[j].Custom && !plays(e, e.Fields[j].Name):
		e.Fields = slices.Delete(e.Fields, j, j+1)
	case e.Custom:
		name = e.Name
		b.entities = slices.Delete(b.entities, i, i+1)
	default:
		return false
	}
	b.dormant, b.refused[name] = append(b.dormant, name), err
	return true
}

// jsonNames lists the members that a struct reads and writes.
func jsonNames(pointer any) (names []string) {
	t := reflect.TypeOf(pointer).Elem()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}
