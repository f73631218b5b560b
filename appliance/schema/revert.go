package schema

import (
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// back makes the revision that is an older version.
func (r *Registry) back(tx store.Tx, before *Schema, to uint64) (*revision, error) {
	target := &layer{}
	switch {
	case to == before.version:
		target = before.layer.clone()
	case to != 1:
		raw := tx.Bucket(versionsBucket).Get(versionKey(to))
		if raw == nil {
			return nil, fault.New(fault.NotFound, "schema.no-version", "version", to)
		}
		v, err := decodeVersion(raw, to, nextNumber(tx))
		if err != nil {
			return nil, err
		}
		target = v.Layer
	}
	d := &draft{builtin: r.builtin, layer: target, next: nextNumber(tx)}
	if before.layer != nil {
		d.forget(before.layer)
		d.keep(before.layer)
	}
	d.layer.prune()
	after, err := build(r.builtin, d.layer, before.version+1)
	if err == nil {
		err = r.approve(before, after)
	}
	if err != nil {
		return nil, err
	}
	return &revision{schema: after, next: d.next, to: to}, nil
}

// forget drops out of the draft, which is an older layer, what a plugin declared then and was purged since.
func (d *draft) forget(newer *layer) {
	d.layer.Entities = slices.DeleteFunc(d.layer.Entities, func(e *entityLayer) bool {
		now := newer.entity(e.Name)
		e.Fields = slices.DeleteFunc(e.Fields, func(f *fieldLayer) bool {
			return f.Declared != nil && (now == nil || now.own(f.Number, f.Name) == nil)
		})
		return e.Declared != nil && now == nil
	})
}

// keep brings into the draft, which is an older layer, what a newer one has besides: hidden, so that it is out of use, and
// whole, because records may hold it.
func (d *draft) keep(newer *layer) {
	for _, e := range newer.clone().Entities {
		older := d.layer.entity(e.Name)
		if older == nil && (e.Custom || d.builtinEntity(e.Name) == nil) {
			e.Hidden = e.Hidden || e.Declared == nil
			d.layer.Entities = append(d.layer.Entities, e)
			continue
		}
		if older == nil {
			older = &entityLayer{Name: e.Name}
			d.layer.Entities = append(d.layer.Entities, older)
		}
		if older.Declared = e.Declared; e.Declared != nil { // which entities a plugin has is its own to say
			older.Title, older.Owner, older.Via, older.Contact, older.Timeline = e.Title, e.Owner, e.Via, e.Contact, e.Timeline
		}
		for _, f := range e.Fields {
			d.keepField(older, f)
		}
	}
}

func (d *draft) keepField(e *entityLayer, f *fieldLayer) {
	var choices []string // that are built in: none of them is lost
	older := e.own(f.Number, f.Name)
	if f.Number == 0 {
		builtin := d.builtinEntity(e.Name)
		if builtin == nil || builtin.Field(f.Name) == nil {
			if older == nil {
				e.Fields = append(e.Fields, f)
			}
			return
		}
		choices = slices.Concat(builtin.Field(f.Name).Choices, builtin.Field(f.Name).Retired)
		if older == nil {
			older = &fieldLayer{Name: f.Name}
			e.Fields = append(e.Fields, older)
		}
	}
	if f.Declared != nil {
		choices = slices.Concat(f.Declared.Choices, f.Declared.Retired)
		if older == nil {
			e.Fields = append(e.Fields, f)
			return
		}
		older.Declared = f.Declared
	}
	if older == nil {
		f.Hidden, f.Required = true, nil
		f.Name = e.freeName(f.Name)
		e.Fields = append(e.Fields, f)
		return
	}
	for _, choice := range slices.Concat(f.Choices, f.Retired) {
		if slices.Contains(choices, choice) || slices.Contains(older.Choices, choice) || slices.Contains(older.Retired, choice) {
			continue
		}
		older.Retired = append(older.Retired, choice)
		if labels := f.ChoiceLabels[choice]; len(labels) > 0 {
			if older.ChoiceLabels == nil {
				older.ChoiceLabels = map[string]map[string]string{}
			}
			older.ChoiceLabels[choice] = labels
		}
	}
}

// freeName is a name that no other own field of the entity has.
func (e *entityLayer) freeName(name string) string {
	for slices.ContainsFunc(e.Fields, func(f *fieldLayer) bool { return f.Number != 0 && f.Name == name }) {
		name += "_custom"
	}
	return name
}
