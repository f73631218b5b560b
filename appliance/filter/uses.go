package filter

import (
	"fmt"
	"slices"
	"strings"
)

// Use is a field that a filter or a formula reads.
type Use struct {
	Entity, Field string
	Via           []Step // the links that lead to it, none for the record's own fields
}

// Step is one link on the way to a field: Field of Entity, which leads to a record of Target.
type Step struct{ Entity, Field, Target string }

// Clock says how the passing of time changes what meets a filter.
type Clock int

const (
	Timeless Clock = iota
	Daily          // at midnight of the asker's zone: today-90d, age(birthday)
	Always         // at any moment: now-2h
)

// deps is what a tree depends on.
type deps struct {
	uses  []Use
	clock Clock
	asker bool
}

func (d *deps) ticks(r relative) {
	switch r.base {
	case now:
		d.clock = Always
	case today:
		d.clock = max(d.clock, Daily)
	}
}

// add adds what a formula depends on that is reached by way of links.
func (d *deps) add(of deps, via []Step) {
	for _, u := range of.uses {
		d.uses = append(d.uses, Use{u.Entity, u.Field, slices.Concat(via, u.Via)})
	}
	d.clock, d.asker = max(d.clock, of.clock), d.asker || of.asker
}

func (d deps) and(other deps) deps {
	return deps{slices.Concat(d.uses, other.uses), max(d.clock, other.clock), d.asker || other.asker}
}

// sorted lists each use once.
func (d deps) sorted() []Use {
	name := func(u Use) string { return fmt.Sprint(u.Via, u.Entity, " ", u.Field) }
	uses := slices.Clone(d.uses)
	slices.SortFunc(uses, func(a, b Use) int { return strings.Compare(name(a), name(b)) })
	return slices.CompactFunc(uses, func(a, b Use) bool { return name(a) == name(b) })
}

// Uses lists the fields that the filter reads, through links and formulas too, each once; the links themselves are
// among them. The record's own fields (id, created_at) are listed by their names.
func (f *Filter) Uses() []Use { return f.deps.sorted() }

// Clock says how the passing of time changes what meets the filter.
func (f *Filter) Clock() Clock { return f.deps.clock }

// Asker tells whether the filter depends on who asks: me, my team.
func (f *Filter) Asker() bool { return f.deps.asker }
