package schema

// ShownEntity is an entity as it is told to programs and commands, in JSON.
type ShownEntity struct {
	Name     string            `json:"name"`
	Custom   bool              `json:"custom"`
	Plugin   string            `json:"plugin,omitempty"` // that declares it
	Hidden   bool              `json:"hidden"`
	Labels   map[string]string `json:"labels"` // where the office gave it names of its own
	Plurals  map[string]string `json:"plurals"`
	Title    string            `json:"title,omitempty"`
	Owner    string            `json:"owner,omitempty"`
	Via      string            `json:"via,omitempty"`
	Contact  string            `json:"contact,omitempty"`
	Timeline bool              `json:"timeline"`
	Fields   []ShownField      `json:"fields"`
}

// ShownField is a field of a ShownEntity.
type ShownField struct {
	Name      string            `json:"name"`
	Type      Type              `json:"type"`
	Many      bool              `json:"many"`
	Custom    bool              `json:"custom"`
	Plugin    string            `json:"plugin,omitempty"` // that declares it
	Hidden    bool              `json:"hidden"`
	Labels    map[string]string `json:"labels"`
	Required  bool              `json:"required"`
	Unique    bool              `json:"unique"`
	Indexed   bool              `json:"indexed"`
	Searched  bool              `json:"searched"`
	Sensitive bool              `json:"sensitive"`
	ReadOnly  bool              `json:"read_only"`
	Default   any               `json:"default"`
	Max       int               `json:"max,omitempty"`
	Target    string            `json:"target,omitempty"`
	Currency  string            `json:"currency,omitempty"`
	Formula   string            `json:"formula,omitempty"`
	Choices   []ShownChoice     `json:"choices,omitempty"`
}

// ShownChoice is one value of a choice.
type ShownChoice struct {
	Value   string            `json:"value"`
	Labels  map[string]string `json:"labels"`
	Retired bool              `json:"retired"`
}

// Shown is the entity as it is told.
func (e *Entity) Shown() ShownEntity {
	shown := ShownEntity{Name: e.Name, Custom: e.Custom, Plugin: e.Plugin, Hidden: e.Hidden, Labels: over(e.Labels, nil), Plurals: over(e.Plurals, nil),
		Title: e.Title, Owner: e.Owner, Via: e.Via, Contact: e.Contact, Timeline: e.Timeline, Fields: make([]ShownField, len(e.Fields))}
	for i := range e.Fields {
		shown.Fields[i] = e.Fields[i].shown()
	}
	return shown
}

func (f *Field) shown() ShownField {
	shown := ShownField{Name: f.Name, Type: f.Type, Many: f.Many, Custom: f.Custom, Plugin: f.Plugin, Hidden: f.Hidden, Labels: over(f.Labels, nil),
		Required: f.Required, Unique: f.Unique, Indexed: f.Indexed, Searched: f.Searched, Sensitive: f.Sensitive,
		ReadOnly: f.Closed || f.Hidden || f.Type == Formula, Default: f.Default, Max: f.Max, Target: f.Target, Currency: f.Currency, Formula: f.Formula}
	for _, value := range f.Choices {
		shown.Choices = append(shown.Choices, ShownChoice{Value: value, Labels: over(f.ChoiceLabels[value], nil)})
	}
	for _, value := range f.Retired {
		shown.Choices = append(shown.Choices, ShownChoice{Value: value, Labels: over(f.ChoiceLabels[value], nil), Retired: true})
	}
	return shown
}
