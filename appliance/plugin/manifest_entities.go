package plugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/schema"
)

// Limits of what a plugin adds to the schema.
const (
	maxEntities    = 30
	maxFields      = 200 // of one entity
	maxOtherFields = 100 // of others' entities
)

// checkEntities checks the entities and fields: their names and labels one by one, and what they are together by making a
// schema of them. What only the office's schema knows, as the entities of Karov, is looked at when they are declared.
func (m *Manifest) checkEntities(c *checker) {
	if !c.notMany("entities", len(m.Entities), maxEntities) || !c.notMany("fields", len(m.Fields), maxOtherFields) {
		return
	}
	prefix := m.Prefix()
	if prefix == "" && len(m.Entities)+len(m.Fields) > 0 {
		c.wrong("id", "plugin.no-prefix")
		return
	}
	for i, e := range m.Entities {
		m.checkEntity(c, fmt.Sprintf("entities[%d]", i), e)
	}
	for i, f := range m.Fields {
		name := fmt.Sprintf("fields[%d]", i)
		if c.form(name+".entity", f.Entity, schema.ValidName(f.Entity)); strings.HasPrefix(f.Entity, prefix+".") {
			c.wrong(name+".entity", "plugin.own-entity")
		}
		c.begins(name+".name", f.Name, prefix+"_", schema.ValidField)
		c.once(name+".name", "field "+f.Entity+" "+f.Name)
		if f.Required { // others that make such records know nothing of it
			c.wrong(name+".required", "plugin.required-elsewhere")
		}
		m.checkField(c, name, f)
	}
	if len(c.fields) == 0 {
		m.checkTogether(c)
	}
}

// begins refuses a name that does not begin as the plugin's names must.
func (c *checker) begins(at, name, prefix string, valid func(string) bool) {
	if c.form(at, name, valid(name)); name != "" && (!strings.HasPrefix(name, prefix) || name == prefix) {
		c.wrong(at, "plugin.prefix", "prefix", prefix)
	}
}

func (m *Manifest) checkEntity(c *checker, name string, e Entity) {
	c.begins(name+".name", e.Name, m.Prefix()+".", schema.ValidName)
	c.once(name+".name", "entity "+e.Name)
	c.label(name+".label", e.Label)
	c.label(name+".plural", e.Plural)
	if len(e.Fields) == 0 {
		c.wrong(name+".fields", "field.required")
	}
	if !c.notMany(name+".fields", len(e.Fields), maxFields) {
		return
	}
	for i, f := range e.Fields {
		at := fmt.Sprintf("%s.fields[%d]", name, i)
		c.form(at+".name", f.Name, schema.ValidField(f.Name))
		c.once(at+".name", "field "+e.Name+" "+f.Name)
		if f.Entity != "" {
			c.wrong(at+".entity", "field.malformed")
		}
		m.checkField(c, at, f)
	}
	if e.Title == "" {
		c.wrong(name+".title", "field.required")
	}
	for _, part := range []struct{ at, field, takes string }{
		{"title", e.Title, string(schema.Text)}, {"contact", e.Contact, string(schema.Link)}, {"owner", e.Owner, string(schema.Staff)},
	} {
		i := slices.IndexFunc(e.Fields, func(f Field) bool { return f.Name == part.field })
		switch {
		case part.field == "":
		case i < 0 || e.Fields[i].Type != part.takes || e.Fields[i].Many:
			c.wrong(name+"."+part.at, "plugin.role", "field", part.field, "type", part.takes)
		case part.at == "contact" && e.Fields[i].To != "contact":
			c.wrong(name+"."+part.at, "plugin.role", "field", part.field, "type", "link to contact")
		}
	}
	if e.Timeline && e.Contact == "" {
		c.wrong(name+".contact", "field.required")
	}
}

func (m *Manifest) checkField(c *checker, name string, f Field) {
	c.label(name+".label", f.Label)
	var types []string
	for _, t := range schema.Types() {
		types = append(types, string(t))
	}
	c.oneOf(name+".type", f.Type, types...)
	if f.Type == string(schema.Link) {
		c.form(name+".to", f.To, schema.ValidName(f.To))
		if strings.HasPrefix(f.To, m.Prefix()+".") && !slices.ContainsFunc(m.Entities, func(e Entity) bool { return e.Name == f.To }) {
			c.wrong(name+".to", "schema.no-entity", "entity", f.To)
		}
	}
	if !c.notMany(name+".choices", len(f.Choices), schema.MaxChoices) {
		return
	}
	for i, o := range f.Choices {
		at := fmt.Sprintf("%s.choices[%d]", name, i)
		c.form(at+".value", o.Value, schema.ValidLabel(o.Value))
		c.label(at+".label", o.Label)
	}
}

// label checks a name that stands among those of the office's own fields.
func (c *checker) label(name string, label map[string]string) {
	checkLabel(c, name, label)
	for _, lang := range Languages() {
		if label[lang] != "" && !schema.ValidLabel(label[lang]) {
			c.wrong(name+"."+lang, "field.malformed")
		}
	}
}

// checkTogether makes a schema of what the plugin declares, with empty entities for those that others own.
func (m *Manifest) checkTogether(c *checker) {
	s, err := schema.New(m.alone()...)
	if err != nil {
		f := fault.Of(err)
		c.fields = append(c.fields, fault.Field{Name: m.at(f.Params["entity"], f.Params["field"]), Key: f.Key, Params: f.Params})
		return
	}
	for _, e := range s.Entities() {
		for i := range e.Fields {
			f := &e.Fields[i]
			if f.Type != schema.Formula {
				continue
			}
			if _, err := filter.ParseFormula(f.Formula, s, e.Name, filter.Options{}); err != nil && !elsewhere(err) {
				why := fault.Of(err)
				if len(why.Fields) > 0 {
					why = &fault.Error{Key: why.Fields[0].Key, Params: why.Fields[0].Params}
				}
				c.fields = append(c.fields, fault.Field{Name: m.at(e.Name, f.Name) + ".formula", Key: why.Key, Params: why.Params})
			}
		}
	}
}

// elsewhere tells whether a formula was refused for a name that may be a field of another's entity.
func elsewhere(err error) bool {
	f := fault.Of(err)
	for _, key := range []string{"filter.unknown", "filter.nearest", "filter.unquoted"} {
		if f.Key == key || slices.ContainsFunc(f.Fields, func(x fault.Field) bool { return x.Key == key }) {
			return true
		}
	}
	return false
}

// at is where a field of the schema, or an entity, stands in the manifest.
func (m *Manifest) at(entity, field string) string {
	for i, e := range m.Entities {
		if e.Name != entity {
			continue
		}
		for j, f := range e.Fields {
			if f.Name == field {
				return fmt.Sprintf("entities[%d].fields[%d]", i, j)
			}
		}
		return fmt.Sprintf("entities[%d]", i)
	}
	for i, f := range m.Fields {
		if f.Entity == entity && f.Name == field {
			return fmt.Sprintf("fields[%d]", i)
		}
	}
	return "entities"
}

// alone is the schema that the plugin would have if there were nothing but it.
func (m *Manifest) alone() (all []schema.Entity) {
	others := map[string]*schema.Entity{}
	other := func(name string) *schema.Entity {
		if others[name] == nil {
			others[name] = &schema.Entity{Name: name}
		}
		return others[name]
	}
	number := schema.FirstCustom
	next := func(f Field) schema.Field {
		number++
		if f.To != "" && !m.owns(f.To) {
			other(f.To)
		}
		return f.field(number)
	}
	for _, e := range m.Entities {
		made := schema.Entity{Name: e.Name, Title: e.Title, Owner: e.Owner, Contact: e.Contact, Timeline: e.Timeline}
		for _, f := range e.Fields {
			field := next(f)
			field.Indexed = field.Indexed || f.Name == e.Contact
			made.Fields = append(made.Fields, field)
		}
		all = append(all, made)
	}
	for _, f := range m.Fields {
		e := other(f.Entity)
		e.Fields = append(e.Fields, next(f))
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		all = append(all, *others[name])
	}
	return all
}

func (m *Manifest) owns(entity string) bool {
	return slices.ContainsFunc(m.Entities, func(e Entity) bool { return e.Name == entity })
}

// definition is the field as the schema takes it.
func (f Field) definition() schema.Definition {
	d := schema.Definition{Type: schema.Type(f.Type), Many: f.Many, Required: f.Required, Indexed: f.Indexed || f.Unique, Unique: f.Unique,
		Searched: f.Searched, Sensitive: f.Sensitive, Target: f.To, Formula: f.Formula, Currency: f.Currency, Default: plainValue(f.Default)}
	for _, o := range f.Choices {
		if d.ChoiceLabels == nil {
			d.ChoiceLabels = map[string]map[string]string{}
		}
		d.Choices = append(d.Choices, o.Value)
		d.ChoiceLabels[o.Value] = o.Label
	}
	return d
}

// field is the field as a schema has it.
func (f Field) field(number int) schema.Field {
	d := f.definition()
	return schema.Field{Number: number, Name: f.Name, Type: d.Type, Many: d.Many, Required: d.Required, Indexed: d.Indexed, Unique: d.Unique,
		Searched: d.Searched, Sensitive: d.Sensitive, Target: d.Target, Formula: d.Formula, Currency: d.Currency, Default: d.Default, Choices: d.Choices}
}

// plainValue is a default that YAML gave, in the form that the schema has it.
func plainValue(value any) any {
	switch v := value.(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case time.Time:
		if v.Equal(v.Truncate(24 * time.Hour)) {
			return v.Format(time.DateOnly)
		}
		return v.Format(time.RFC3339Nano)
	case []any:
		texts := make([]string, len(v))
		for i, item := range v {
			text, ok := item.(string)
			if !ok {
				return value
			}
			texts[i] = text
		}
		return texts
	}
	return value
}
