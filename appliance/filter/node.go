package filter

import (
	"github.com/karov-crm/karov/appliance/schema"
)

// op is what a node of the tree does.
type op uint8

const (
	opNone op = iota // stands in after an error
	opAnd
	opOr
	opNot
	// Comparisons: the first child is compared with the second.
	opEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opContains
	opStarts
	opIn // the children after the first are the list
	opEmpty
	opPeriod
	// Values.
	opConst
	opRelative
	opMe
	opTeam
	opPath
	opCall
	opIf
	opNegative
	opJoin
	opAdd
	opSubtract
	opMultiply
	opDivide
)

// signs are the operators as they are written.
var signs = map[op]string{opAnd: "and", opOr: "or", opNot: "not", opEqual: "=", opLess: "<", opLessEqual: "<=", opGreater: ">",
	opGreaterEqual: ">=", opContains: "contains", opStarts: "starts", opIn: "in", opEmpty: "is empty", opPeriod: "is", opNegative: "-",
	opJoin: "&", opAdd: "+", opSubtract: "-", opMultiply: "*", opDivide: "/"}

// mirrored is the comparison with its sides exchanged.
var mirrored = map[op]op{opEqual: opEqual, opLess: opGreater, opLessEqual: opGreaterEqual, opGreater: opLess, opGreaterEqual: opLessEqual}

// kind is what type of value a node gives.
type kind uint8

const (
	kindNone kind = iota
	kindText
	kindNumber
	kindMoney
	kindDate   // days since 1970-01-01
	kindTime   // milliseconds since then
	kindYearly // a day of a year that may be unknown
	kindYesNo
	kindLink
	kindSpan // a length of time, as 3m
	kindMe   // the asker
	kindTeam // the asker's team
)

// node is a part of a condition or a formula. The parser makes it, the checker fills in the lower half, and then it
// never changes.
type node struct {
	op   op
	at   int // the byte where it stands in the text
	kids []*node
	name string   // of a path (with dots) or a function
	ats  []int    // of a path: where each of its names stands
	lit  Value    // of a constant
	rel  relative // of a relative moment or a span
	per  period

	kind  kind
	path  *path
	reads bool    // reads the record
	probe probe   // of a comparison
	fixed bool    // the probe is ready, since it depends on nothing
	alts  []*node // of "in": one comparison for each of the list, where it has no set
	fn    function
}

// path leads from a record to a field: of itself, or of one it links to.
type path struct {
	hops    []hop
	entity  *schema.Entity // that has the field
	field   *schema.Field
	formula *formula // of a formula field
	own     bool     // one of the fields that every record has
}

// hop is one link of a path.
type hop struct {
	number int
	target string
	field  *schema.Field
	entity string // that has the link
}

// many tells whether a record can have several values at the path's end.
func (p *path) many() bool {
	for _, h := range p.hops {
		if h.field.Many {
			return true
		}
	}
	return p.field.Many
}

// exact tells the fields whose texts are compared byte by byte: ids and choices, not what people wrote.
func exact(t schema.Type) bool { return t == schema.Choice || t == schema.Staff || t == schema.Link }

// ownFields are the fields that every record has, by the numbers that package record gives them; 0 is the id.
var ownFields = map[string]*schema.Field{
	"id":         {Number: 0, Name: "id", Type: schema.Link},
	"version":    {Number: 1, Name: "version", Type: schema.Number},
	"created_at": {Number: 2, Name: "created_at", Type: schema.Time},
	"updated_at": {Number: 3, Name: "updated_at", Type: schema.Time},
	"created_by": {Number: 4, Name: "created_by", Type: schema.Staff},
	"updated_by": {Number: 5, Name: "updated_by", Type: schema.Staff},
}

// kindOf is the kind of a field's values; kindNone for one that cannot be read here.
func kindOf(f *schema.Field) kind {
	switch f.Type {
	case schema.Number:
		return kindNumber
	case schema.Money:
		return kindMoney
	case schema.YesNo:
		return kindYesNo
	case schema.Time:
		return kindTime
	case schema.Date:
		return kindDate
	case schema.Yearly:
		return kindYearly
	case schema.Link:
		return kindLink
	case schema.Data, schema.Formula:
		return kindNone
	}
	return kindText
}

// join makes one node of two that are joined by and or by or; what is joined so already stays flat.
func join(o op, a, b *node) *node {
	n := &node{op: o, at: a.at, kind: kindYesNo, reads: true}
	for _, k := range []*node{a, b} {
		if k.op == o {
			n.kids = append(n.kids, k.kids...)
		} else {
			n.kids = append(n.kids, k)
		}
	}
	return n
}
