package schema

// OpKind says what an Op does.
type OpKind string

const (
	AddEntity    OpKind = "add-entity" // Entity, Labels, Plurals, Title, Owner, Via, Contact, Timeline, Fields
	RenameEntity OpKind = "rename-entity"
	HideEntity   OpKind = "hide-entity"
	ShowEntity   OpKind = "show-entity"
	AddField     OpKind = "add-field" // Entity, Field, Labels and the Definition
	RenameField  OpKind = "rename-field"
	HideField    OpKind = "hide-field"
	ShowField    OpKind = "show-field"
	AddChoice    OpKind = "add-choice" // Entity, Field, Choice, Labels
	RenameChoice OpKind = "rename-choice"
	RetireChoice OpKind = "retire-choice"
	ShowChoice   OpKind = "show-choice"
	Set          OpKind = "set" // Entity, Field, Mark, Value
)

// Definition is what a new field is.
type Definition struct {
	Type         Type                         `json:"type,omitempty"`
	Many         bool                         `json:"many,omitempty"`
	Required     bool                         `json:"required,omitempty"`
	Indexed      bool                         `json:"indexed,omitempty"`
	Unique       bool                         `json:"unique,omitempty"` // makes it Indexed too
	Searched     bool                         `json:"searched,omitempty"`
	Sensitive    bool                         `json:"sensitive,omitempty"`
	Choices      []string                     `json:"choices,omitempty"`
	ChoiceLabels map[string]map[string]string `json:"choice_labels,omitempty"` // choice, language, text
	Target       string                       `json:"target,omitempty"`
	Formula      string                       `json:"formula,omitempty"`
	Currency     string                       `json:"currency,omitempty"`
	Max          int                          `json:"max,omitempty"`
	Default      any                          `json:"default,omitempty"`
}

// NewField is a field that comes with its entity.
type NewField struct {
	Field  string            `json:"field"`
	Labels map[string]string `json:"labels,omitempty"`
	Definition
}

// Op is one step of a change. Its JSON form is that of the API and of a package's manifest.
type Op struct {
	Kind    OpKind            `json:"op"`
	Entity  string            `json:"entity"`
	Field   string            `json:"field,omitempty"`
	Choice  string            `json:"choice,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`  // by language; renaming to "" goes back to the built-in name
	Plurals map[string]string `json:"plurals,omitempty"` // of an entity
	Definition

	Title    string     `json:"title,omitempty"` // this and the next five: of a new entity
	Owner    string     `json:"owner,omitempty"`
	Via      string     `json:"via,omitempty"`
	Contact  string     `json:"contact,omitempty"`
	Timeline bool       `json:"timeline,omitempty"`
	Fields   []NewField `json:"fields,omitempty"`

	Mark  string `json:"mark,omitempty"`  // of Set: required, unique, indexed, searched, sensitive, default or formula
	Value any    `json:"value,omitempty"` // of Set: a yes-no, the default, null for none, or the formula
}
