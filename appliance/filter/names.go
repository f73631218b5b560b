package filter

import (
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/schema"
)

// path looks a dotted name up in the schema.
func (c *checker) path(n *node) {
	parts := strings.Split(n.name, ".")
	p := &path{entity: c.entity}
	via := []Step{}
	for i, part := range parts {
		f, own := c.find(p.entity, part)
		if f == nil {
			c.unknown(p.entity, part, n.ats[i])
			return
		}
		if i == len(parts)-1 {
			p.field, p.own = f, own
			break
		}
		target := c.schema.Entity(f.Target)
		if f.Type != schema.Link || target == nil {
			c.wrong("filter.not-link", "column", n.ats[i], "field", part)
			return
		}
		c.cost += 10
		c.deps.uses = append(c.deps.uses, Use{Entity: p.entity.Name, Field: part, Via: slices.Clone(via)})
		via = append(via, Step{Entity: p.entity.Name, Field: part, Target: f.Target})
		p.hops = append(p.hops, hop{number: f.Number, target: f.Target, field: f, entity: p.entity.Name})
		p.entity = target
	}
	c.deps.uses = append(c.deps.uses, Use{Entity: p.entity.Name, Field: p.field.Name, Via: via})
	c.limitFan(p, n)
	n.path = p
	if p.field.Type == schema.Formula {
		c.formulaPath(n, via)
		return
	}
	if n.kind = kindOf(p.field); n.kind == kindNone {
		c.wrong("filter.data", "column", n.at, "field", n.name)
	}
}

// limitFan lets a path go through one field of many links only: hundred of hundred of hundred records are no condition
// on one.
func (c *checker) limitFan(p *path, n *node) {
	fans := 0
	for _, h := range p.hops {
		if h.field.Many {
			fans++
			c.cost += 100
		}
	}
	if fans > 1 {
		c.wrong("filter.fan", "column", n.at)
	}
}

// find looks a name up among the fields of an entity and those that every record has. A field that the asker may not
// see is not found.
func (c *checker) find(e *schema.Entity, name string) (f *schema.Field, own bool) {
	if f = ownFields[name]; f != nil {
		own = true
	} else {
		f = e.Field(name)
	}
	if f == nil || c.hidden != nil && c.hidden(e.Name, name) {
		return nil, false
	}
	return f, own
}

// unknown is the error of a name that is no field, with the name that was perhaps meant: never one that the asker may
// not see. A formula may read such a field, so to those who may not see all it is not named.
func (c *checker) unknown(e *schema.Entity, name string, at int) {
	best, distance := "", max(1, min(2, len(name)/2))+1
	for i := range e.Fields {
		f := &e.Fields[i]
		if f.Hidden || f.Type == schema.Data || f.Name == name || c.hidden != nil && (f.Type == schema.Formula || c.hidden(e.Name, f.Name)) {
			continue
		}
		if d := editDistance(name, f.Name); d < distance {
			best, distance = f.Name, d
		}
	}
	switch {
	case best == "" && c.value:
		c.wrong("filter.unquoted", "column", at, "found", excerpt(name))
		return
	case best == "":
		c.wrong("filter.unknown", "column", at, "field", excerpt(name))
		return
	}
	c.wrong("filter.nearest", "column", at, "field", excerpt(name), "nearest", best)
}

// editDistance counts the letters that were added, left out, changed or exchanged with their neighbour. Names longer
// than any field's are far from all.
func editDistance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	rows := [3][longest + 1]int{}
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, above, over := &rows[i%3], &rows[(i+2)%3], &rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], over[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}
