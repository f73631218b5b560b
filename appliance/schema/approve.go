package schema

import (
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
)

// approve refuses a schema that is sound by itself and still not one to go to.
func (r *Registry) approve(before, after *Schema) error {
	for _, name := range after.dormant {
		if err := after.refused[name]; err != nil && !slices.Contains(before.dormant, name) {
			return err
		}
	}
	custom := func(s *Schema) (n int) {
		for _, e := range s.entities {
			if e.Custom {
				n++
			}
		}
		return n
	}
	if custom(after) > max(MaxEntities, custom(before)) {
		return fault.New(fault.Invalid, "schema.entities", "limit", MaxEntities)
	}
	for _, e := range after.entities {
		was := before.Entity(e.Name)
		if was == nil {
			was = &Entity{}
		}
		if err := after.approveEntity(was, e); err != nil {
			return err
		}
		if err := r.approveFormulas(before, after, was, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Schema) approveEntity(was, e *Entity) error {
	if len(e.Fields) > max(MaxFields, len(was.Fields)) {
		return fault.New(fault.Invalid, "schema.fields", "entity", e.Name, "limit", MaxFields)
	}
	if f := e.Field(e.Contact); e.Custom && f != nil && f.Target != "contact" {
		return fault.New(fault.Invalid, "schema.role", "entity", e.Name, "role", "contact", "field", f.Name, "type", f.Type)
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		choices := len(f.Choices) + len(f.Retired)
		if old := was.Field(f.Name); choices > MaxChoices && (old == nil || choices > len(old.Choices)+len(old.Retired)) {
			return fault.New(fault.Invalid, "schema.choices-many", "entity", e.Name, "field", f.Name, "type", f.Type, "limit", MaxChoices)
		}
		if target := s.Entity(f.Target); target != nil && f.Required && target.Hidden && !e.Hidden {
			return fault.New(fault.Invalid, "schema.entity-needed", "entity", target.Name)
		}
	}
	return nil
}

// approveFormulas refuses a change that breaks a formula. One that was broken before, by another program's set of
// built-in fields, holds nothing up.
func (r *Registry) approveFormulas(before, after *Schema, was, e *Entity) error {
	for i := range e.Fields {
		f := &e.Fields[i]
		if r.CheckFormula == nil || f.Type != Formula || f.Hidden || e.Hidden {
			continue
		}
		err := r.CheckFormula(after, e, f)
		if err == nil {
			continue
		}
		old := was.Field(f.Name)
		if old == nil || old.Formula != f.Formula || old.Hidden || r.CheckFormula(before, was, old) == nil {
			why := fault.Of(err)
			return &fault.Error{Kind: fault.Invalid, Key: "schema.formula-wrong", Params: map[string]string{"entity": e.Name, "field": f.Name},
				Fields: append([]fault.Field{{Name: "formula", Key: why.Key, Params: why.Params}}, why.Fields...), Err: err}
		}
	}
	return nil
}
