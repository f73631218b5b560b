package access

// Right is what a field rule takes away.
type Right string

const (
	Hide     Right = "hide"      // neither read nor written, as if the field were not there
	ReadOnly Right = "read-only" // read, not written
)

// Fields are the fields of one entity that an actor may not read or write. A nil Fields restricts nothing.
type Fields struct {
	rights map[string]Right
	every  bool // nobody's role: all are hidden

	entity string
	grant  *Granted // hides besides what it does not grant; nil for none
}

// Hidden tells whether the field must look as if it were not there.
func (f *Fields) Hidden(name string) bool {
	return f != nil && (f.every || f.rights[name] == Hide || f.grant.hides(f.entity, name))
}

// ReadOnly tells whether the field may not be written. A hidden one may not either.
func (f *Fields) ReadOnly(name string) bool {
	return f != nil && (f.every || f.rights[name] != "" || f.grant.hides(f.entity, name))
}
