// Package filter is the one language of conditions: lists, saved views, segments, permissions, automation and the API
// all speak it, and formula fields are written in it.
//
//	city = "חיפה" and not (birthday is this week or company.city starts "Tel")
//	owner in (me, my team) and total >= 100 ILS and last_at < today-90d
//	if(total > 1000 ILS, "large", "small") & " " & name
//
// A text is parsed once against the schema, which gives every name a type; what is wrong is said with the column where
// it stands and what is wanted there. A Filter or an Expr never changes and is used from any goroutine. It reads only
// the fields it needs, from stored bytes (package record's wire form), and allocates nothing for texts of the usual
// alphabets, numbers, days and choices.
//
// It owns no bucket and no facts. It promises that a name which the asker may not see is answered exactly like one that
// does not exist, also where a formula reads it; that hostile texts end in an error and never in a crash or a long wait
// (the limits below); and that String gives a text that parses to the same tree. Conditions says what an index could
// serve; whoever uses one still asks Match.
//
// Texts compare folded as lookup folds them (search.Fold), phones by their digits. Choices, people and links compare
// exactly. A field that holds many meets a comparison when one of its values does, so != means that none is equal.
// Nothing is equal to, less or greater than an empty field; a yes-no field that holds nothing is "no". A day that comes
// every year falls on 28 February where its year has no 29th. It will not read a store, nor decide whose a record is: it
// sees what its Row gives.
package filter

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
)

// Limits of one text. Those who write more want a list of their own, not a condition.
const (
	MaxBytes    = 64 << 10
	MaxDepth    = 100  // of parentheses, not and functions
	MaxTerms    = 1000 // comparisons, conditions, sums and functions
	MaxLinks    = 4    // a.b.c.d.city
	maxCost     = 10_000
	maxFormulas = 16 // formula fields that read formula fields
)

// Row is a record as a filter reads it. A Row that is Wired too is read faster.
type Row interface {
	ID() [16]byte
	// Bytes gives the first value of a bytes field by its number, and whether there is one.
	Bytes(number int) ([]byte, bool)
	// Each visits every value of a bytes field until fn returns false.
	Each(number int, fn func([]byte) bool)
	// Scalar gives a varint or 64-bit field as it is stored.
	Scalar(number int) (uint64, bool)
	// Follow gives the record of an entity that a link names, false where it is gone or not for the asker.
	Follow(target string, id []byte) (Row, bool)
}

// Wired is a Row that hands out its whole stored form, so that several fields are read in one pass.
type Wired interface {
	Wire() []byte
}

// Env is what a filter knows of the moment and of who asks. The zero Zone is UTC.
type Env struct {
	Now  time.Time
	Zone *time.Location
	Week time.Weekday // the day on which a week begins
	Me   string       // account id
	Team []string     // account ids of the asker's team
}

// Options say how names are looked up.
type Options struct {
	// Hidden tells the fields that the asker may not see: they are answered like ones that do not exist.
	Hidden func(entity, field string) bool
}

// Filter is a condition on the records of one entity.
type Filter struct {
	root   *node // nil: every record meets it
	entity string
	deps   deps
}

// Parse reads a condition on the records of an entity. A blank text is met by every record. What is wrong is an Invalid
// fault of the field "filter", with the column (in characters, from 1) where it stands.
func Parse(text string, s *schema.Schema, entity string, o Options) (*Filter, error) {
	root, c, err := read(text, s, entity, o)
	if err != nil {
		return nil, err
	}
	f := &Filter{root: root, entity: entity, deps: c.deps}
	if root == nil {
		return f, nil
	}
	if root.kind != kindYesNo {
		c.wrong("filter.condition", "column", root.at)
		return nil, c.err
	}
	return f, nil
}

// read parses and checks a text; its root is nil when there is nothing in it.
func read(text string, s *schema.Schema, entity string, o Options) (*node, *checker, error) {
	e := s.Entity(entity)
	if e == nil {
		return nil, nil, fault.Missing("entity", entity)
	}
	root, err := parse(text)
	if err != nil || root == nil {
		return nil, &checker{}, err
	}
	c := &checker{text: text, schema: s, entity: e, hidden: o.Hidden, formulas: map[*schema.Field]*formula{},
		choices: map[*schema.Field]map[string]string{}}
	c.check(root)
	if c.err == nil && c.cost > maxCost {
		c.wrong("filter.costly", "column", root.at)
	}
	if c.err != nil {
		return nil, nil, c.err
	}
	return root, c, nil
}

// Entity is the entity whose records the filter is for.
func (f *Filter) Entity() string { return f.entity }

// All tells a filter that every record meets.
func (f *Filter) All() bool { return f == nil || f.root == nil }

// Match tells whether a record meets the condition.
func (f *Filter) Match(r Row, env *Env) bool {
	if f.root == nil {
		return true
	}
	x := enter(r, env)
	return test(f.root, &x)
}

// String is the condition in its canonical form: Parse gives the same tree for it.
func (f *Filter) String() string {
	if f.root == nil {
		return ""
	}
	return written(f.root)
}

// And is met by the records that meet both. Nil is a filter that all records meet; both are of the same entity.
func And(a, b *Filter) *Filter {
	switch {
	case a.All():
		return b
	case b.All():
		return a
	}
	return &Filter{root: join(opAnd, a.root, b.root), entity: a.entity, deps: a.deps.and(b.deps)}
}

// column counts characters from 1, as an editor does.
func column(text string, at int) int { return utf8.RuneCountInString(text[:min(at, len(text))]) + 1 }

// located is the arguments of a fault, which begin with "column" and a byte of the text, with the column in its place.
func located(text string, args []any) []any {
	args = slices.Clone(args)
	args[1] = column(text, args[1].(int))
	return args
}
