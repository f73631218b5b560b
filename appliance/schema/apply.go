package schema

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
)

// draft is a layer while a change is worked into it.
type draft struct {
	builtin []Entity
	layer   *layer
	next    int  // number of the next own field
	dots    bool // names with a dot, which are plugins', may be given
}

// reserved are names that an office's entity cannot have: buckets of package record, what access knows by name without
// its being records, and parts of the API's paths.
var reserved = strings.Fields(`bin building bulk counts history indexes requests shares undo views
	account api audit backup channel custom journal office plugin record role schema search session staff system team timeline token`)

// reservedFields are names that an office's field cannot have: what every record shows of itself, and the words of the
// filter language.
var reservedFields = strings.Fields(`id entity version created_at updated_at created_by updated_by
	and or not in is empty contains starts true false yes no me my today now`)

// place is what an op speaks of.
type place struct {
	entity  *entityLayer
	builtin *Entity // nil for an own one
	field   *fieldLayer
	origin  *Field // the built-in field, or the one that a plugin declares; nil for an own one
}

// now is the field as it would be with what the draft has of it.
func (p place) now() Field {
	if p.origin != nil {
		return changedField(*p.origin, p.field)
	}
	return ownField(p.field)
}

func (d *draft) builtinEntity(name string) *Entity {
	for i := range d.builtin {
		if d.builtin[i].Name == name {
			return &d.builtin[i]
		}
	}
	return nil
}

// entity finds an entity, and makes the place for changes of a built-in one.
func (d *draft) entity(name string) (place, error) {
	p := place{entity: d.layer.entity(name), builtin: d.builtinEntity(name)}
	switch {
	case p.builtin == nil && (p.entity == nil || !p.entity.Custom):
		return place{}, fault.New(fault.Invalid, "schema.no-entity", "entity", name)
	case p.entity == nil:
		p.entity = &entityLayer{Name: name}
		d.layer.Entities = append(d.layer.Entities, p.entity)
	}
	return p, nil
}

// field finds a field, and makes the place for changes of a built-in one.
func (d *draft) field(entity, name string) (place, error) {
	p, err := d.entity(entity)
	if err != nil {
		return p, err
	}
	for _, f := range p.entity.Fields {
		if f.Number != 0 && f.Name == name {
			p.field = f
			if f.Declared != nil {
				declared := f.Declared.field(f.Name, f.Number)
				p.origin = &declared
			}
			return p, nil
		}
	}
	if p.builtin != nil {
		p.origin = p.builtin.Field(name)
	}
	if p.origin == nil {
		return p, fault.New(fault.Invalid, "schema.no-field", "entity", entity, "field", name)
	}
	if p.field = p.entity.own(0, name); p.field == nil {
		p.field = &fieldLayer{Name: name}
		p.entity.Fields = append(p.entity.Fields, p.field)
	}
	return p, nil
}

// do works one op into the draft.
func (d *draft) do(op Op) error {
	switch op.Kind {
	case AddEntity:
		return d.addEntity(op)
	case AddField:
		return d.addField(op.Entity, NewField{op.Field, op.Labels, op.Definition})
	case RenameEntity, HideEntity, ShowEntity:
		return d.changeEntity(op)
	case RenameField, HideField, ShowField, AddChoice, RenameChoice, RetireChoice, ShowChoice, Set:
		return d.changeField(op)
	}
	return fault.New(fault.Invalid, "schema.op", "op", op.Kind)
}

func (d *draft) addEntity(op Op) error {
	switch {
	case !nameShape.MatchString(op.Entity) || len(op.Entity) > maxName || strings.Contains(op.Entity, ".") && !d.dots:
		return fault.New(fault.Invalid, "schema.name", "name", op.Entity)
	case slices.Contains(reserved, op.Entity):
		return fault.New(fault.Invalid, "schema.reserved", "name", op.Entity)
	case d.builtinEntity(op.Entity) != nil || d.layer.entity(op.Entity) != nil:
		return fault.New(fault.Invalid, "schema.twice", "entity", op.Entity)
	case op.Contact == "id":
		return fault.New(fault.Invalid, "schema.role", "entity", op.Entity, "role", "contact", "field", "id", "type", Link)
	}
	e := &entityLayer{Name: op.Entity, Custom: true, Title: op.Title, Owner: op.Owner, Via: op.Via, Contact: op.Contact, Timeline: op.Timeline}
	var err error
	if e.Labels, err = relabelled(nil, op.Labels, true); err != nil {
		return err
	}
	if e.Plurals, err = relabelled(nil, op.Plurals, false); err != nil {
		return err
	}
	d.layer.Entities = append(d.layer.Entities, e)
	for _, f := range op.Fields {
		if err := d.addField(op.Entity, f); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) addField(entity string, added NewField) error {
	p, err := d.entity(entity)
	if err != nil {
		return err
	}
	name := added.Field
	own := slices.ContainsFunc(p.entity.Fields, func(f *fieldLayer) bool { return f.Name == name && f.Number != 0 })
	switch {
	case !fieldShape.MatchString(name) || len(name) > maxName:
		return fault.New(fault.Invalid, "schema.name", "name", name)
	case slices.Contains(reservedFields, name):
		return fault.New(fault.Invalid, "schema.reserved", "name", name)
	case own || p.builtin != nil && p.builtin.Field(name) != nil:
		return fault.New(fault.Invalid, "schema.taken", "entity", entity, "field", name)
	case added.Type == Data:
		return fault.New(fault.Invalid, "schema.type", "entity", entity, "field", name, "type", added.Type)
	}
	f := &fieldLayer{Name: name, Number: d.next, Type: added.Type, Many: added.Many, Target: added.Target, Currency: added.Currency,
		Max: added.Max, Formula: added.Formula, Choices: slices.Clone(added.Choices)}
	d.next++
	if f.Labels, err = relabelled(nil, added.Labels, true); err != nil {
		return err
	}
	for choice, labels := range added.ChoiceLabels {
		if !slices.Contains(f.Choices, choice) {
			return fault.New(fault.Invalid, "schema.no-such-choice", "entity", entity, "field", name, "choice", choice)
		}
		if err := f.labelChoice(choice, labels); err != nil {
			return err
		}
	}
	for _, m := range marksOf(&Field{Required: added.Required, Indexed: added.Indexed || added.Unique, Unique: added.Unique,
		Searched: added.Searched, Sensitive: added.Sensitive}, f) {
		if *m.field {
			*m.changed = m.field
		}
	}
	p.entity.Fields = append(p.entity.Fields, f)
	return f.setDefault(added.Default, nil)
}

func (d *draft) changeEntity(op Op) error {
	p, err := d.entity(op.Entity)
	if err != nil {
		return err
	}
	switch op.Kind {
	case RenameEntity:
		if p.entity.Labels, err = relabelled(p.entity.Labels, op.Labels, p.builtin == nil && p.entity.Declared == nil); err != nil {
			return err
		}
		p.entity.Plurals, err = relabelled(p.entity.Plurals, op.Plurals, false)
	case HideEntity:
		if p.builtin != nil && !canHide(p.builtin) {
			return fault.New(fault.Invalid, "schema.entity-needed", "entity", op.Entity)
		}
		p.entity.Hidden = true
	case ShowEntity:
		p.entity.Hidden = false
	}
	return err
}

func (d *draft) changeField(op Op) error {
	p, err := d.field(op.Entity, op.Field)
	if err != nil {
		return err
	}
	now := p.now()
	switch op.Kind {
	case RenameField:
		p.field.Labels, err = relabelled(p.field.Labels, op.Labels, p.origin == nil)
	case HideField:
		if now.Required || now.Closed || p.plays() {
			return fault.New(fault.Invalid, "schema.needed", "entity", op.Entity, "field", op.Field)
		}
		p.field.Hidden = true
	case ShowField:
		p.field.Hidden = false
	case Set:
		err = p.set(op, now)
	default:
		err = p.changeChoice(op, now)
	}
	return err
}

// plays tells whether the field is one by which its entity works.
func (p place) plays() bool {
	if p.builtin != nil && plays(p.builtin, p.field.Name) {
		return true
	}
	e := p.entity
	return slices.Contains([]string{e.Title, e.Owner, e.Via, e.Contact}, p.field.Name)
}

func (p place) changeChoice(op Op, now Field) error {
	wrong := func(key string) error {
		return fault.New(fault.Invalid, key, "entity", op.Entity, "field", op.Field, "type", now.Type, "choice", op.Choice)
	}
	if now.Type != Choice || now.Closed {
		return wrong("schema.no-choice")
	}
	offered, retired := slices.Contains(now.Choices, op.Choice), slices.Contains(now.Retired, op.Choice)
	if op.Kind == AddChoice {
		if offered || retired {
			return wrong("schema.choice-twice")
		}
		p.field.Choices = append(p.field.Choices, op.Choice)
		return p.field.labelChoice(op.Choice, op.Labels)
	}
	if !offered && !retired {
		return wrong("schema.no-such-choice")
	}
	if op.Kind == RenameChoice {
		return p.field.labelChoice(op.Choice, op.Labels)
	}
	show := op.Kind == ShowChoice
	builtIn := p.origin != nil && slices.Contains(p.origin.Choices, op.Choice)
	p.field.Retired = setIn(p.field.Retired, op.Choice, !show)
	p.field.Choices = setIn(p.field.Choices, op.Choice, show && !builtIn)
	return nil
}

func (f *fieldLayer) labelChoice(choice string, labels map[string]string) error {
	fresh, err := relabelled(f.ChoiceLabels[choice], labels, false)
	if err != nil {
		return err
	}
	all := maps.Clone(f.ChoiceLabels)
	if all == nil {
		all = map[string]map[string]string{}
	}
	if all[choice] = fresh; len(fresh) == 0 {
		delete(all, choice)
	}
	f.ChoiceLabels = all
	return nil
}

// set changes one mark.
func (p place) set(op Op, now Field) error {
	refused := fault.New(fault.Invalid, "schema.value", "entity", op.Entity, "field", op.Field, "mark", op.Mark)
	switch op.Mark {
	case "default":
		if now.Closed {
			return refused
		}
		var origin any
		if p.origin != nil {
			origin = p.origin.Default
		}
		return p.field.setDefault(op.Value, origin)
	case "formula":
		text, ok := op.Value.(string)
		if p.origin != nil || now.Type != Formula || !ok {
			return refused
		}
		p.field.Formula = text
		return nil
	}
	on, ok := op.Value.(bool)
	if !ok {
		return refused
	}
	var origin Field
	if p.origin != nil {
		origin = *p.origin
	}
	for _, m := range marksOf(&origin, p.field) {
		if m.name != op.Mark && (m.name != "indexed" || op.Mark != "unique" || !on) {
			continue
		}
		// What a room relies on stays: what it wrote as required, and lists by. What only a room writes is its own.
		relied := m.name == "required" || m.name == "indexed" || m.name == "unique"
		if relied && *m.field && !on || now.Closed && (m.name == "required" || m.name == "unique") {
			return fault.New(fault.Invalid, "schema.built-in", "entity", op.Entity, "field", op.Field, "mark", op.Mark)
		}
		if *m.changed = nil; *m.field != on {
			*m.changed = &on
		}
		refused = nil
	}
	if refused != nil {
		return refused
	}
	return nil
}

func (f *fieldLayer) setDefault(value, origin any) error {
	f.Default = nil
	if value == nil && origin == nil {
		return nil
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "schema.default", "field", f.Name)
	}
	f.Default = raw
	return nil
}

// relabelled puts new names over old ones; an empty one takes a name away. With needed, one has to stay.
func relabelled(old, labels map[string]string, needed bool) (map[string]string, error) {
	fresh := maps.Clone(old)
	if fresh == nil {
		fresh = map[string]string{}
	}
	for lang, label := range labels {
		if label == "" {
			delete(fresh, lang)
		} else {
			fresh[lang] = label
		}
	}
	if err := checkLabels(fresh); err != nil {
		return nil, err
	}
	if needed && len(fresh) == 0 {
		return nil, fault.New(fault.Invalid, "schema.unnamed")
	}
	return fresh, nil
}
