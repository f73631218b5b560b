package access

// Right is what a field rule takes away.
type Right string

const (
	Hide     Right = "hide"      // neither read nor written, as if the field were not there
	ReadOnly Right = "read-only" // read, not written
)

// Fields are the fields of one entity that a role may not read or write. A nil Fields restricts nothing.
type Fields struct {
	rights map[string]Right
	every  bool // nobody's role: all are hidden
}

// Hidden tells whether the field must look as if it were not there.
func (f *Fields) Hidden(name string) bool { return f != nil && (f.every || f.rights[name] == Hide) }

// ReadOnly tells whether the field may not be written. A hidden one may not either.
func (f *Fields) ReadOnly(name string) bool { return f != nil && (f.every || f.rights[name] != "") }
