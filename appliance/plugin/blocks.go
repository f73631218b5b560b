package plugin

import (
	"time"

	"github.com/karov-crm/karov/appliance/record"
)

// View is what a plugin shows, checked, in the language of whoever looks. Every string of it is foreign text: whoever
// draws it escapes and isolates it.
type View struct {
	Title  string // "" for the label of the manifest
	Blocks []Block
}

// Block is one of Paragraph, Figures, Table, Form, Timeline, Chart, Buttons, Tabs.
type Block interface{ isBlock() }

// Tone is what a thing means, shown by colour, shape and word.
type Tone string

// The tones.
const (
	Plain Tone = ""
	Good  Tone = "good"
	Warn  Tone = "warn"
	Bad   Tone = "bad"
	Quiet Tone = "quiet"
)

// Ref names a record.
type Ref struct {
	Entity string
	ID     record.ID
}

// Paragraph is a text, or a heading.
type Paragraph struct {
	Text    string
	Tone    Tone
	Heading bool
}

// Figures are a few numbers with their names.
type Figures []Figure

// Figure is one of them. Value is a string, float64, bool, time.Time, schema.Amount or schema.Attachment, a slice of
// these, or nil.
type Figure struct {
	Label, Note string
	Value       any
	Tone        Tone
}

// Table is rows under columns; each row has as many cells as there are columns.
type Table struct {
	Columns []Column
	Rows    []Row
	Empty   string // said where there are no rows
}

// Column is the head of one.
type Column struct {
	Label string
	End   bool // numbers, at the end of the line
}

// Row is one row.
type Row struct {
	Cells []Cell
	Open  *Ref // the record that it leads to
}

// Cell is one cell; Value is as in Figure.
type Cell struct {
	Value any
	Tone  Tone
}

// Form asks for values and sends them to an action of the plugin.
type Form struct {
	Action string
	Inputs []Input
	Submit string
}

// InputKind is what an Input asks for.
type InputKind string

// The kinds of an Input.
const (
	InputText   InputKind = "text"
	InputLong   InputKind = "long-text"
	InputNumber InputKind = "number"
	InputDate   InputKind = "date"
	InputYesNo  InputKind = "yes-no"
	InputChoice InputKind = "choice"
	InputRecord InputKind = "record"
	InputHidden InputKind = "hidden"
)

// Input is one field of a form; Value is as in Figure.
type Input struct {
	Name, Label, Help string
	Kind              InputKind
	Required          bool
	Value             any
	Choices           []Chosen
	Entity            string // of a record
}

// Chosen is one value of a choice, in the language of whoever chooses.
type Chosen struct{ Value, Label string }

// Timeline is what happened, newest first.
type Timeline []Happening

// Happening is one entry of a timeline.
type Happening struct {
	At   time.Time
	Text string
	Open *Ref
	Tone Tone
}

// Chart is bars, or lines. Each series has a number for each label.
type Chart struct {
	Title  string
	Lines  bool
	Labels []string
	Series []Series
}

// Series is one row of numbers.
type Series struct {
	Label  string
	Values []float64
}

// Buttons stand beside each other.
type Buttons []Button

// Button calls an action with an input, or leads to another view of the plugin.
type Button struct {
	Label   string
	Action  string // "" for one that leads to View
	Input   map[string]any
	Records []Ref
	View    string
	Params  map[string]string
	Tone    Tone
}

// Tabs divide a view. Exactly one of them is shown.
type Tabs struct {
	Param string // the parameter of the view that names the tab which is shown
	Tabs  []Tab
}

// Tab is one of them. One that is not shown need not have blocks.
type Tab struct {
	Name, Label string
	Shown       bool
	Blocks      []Block
}

func (Paragraph) isBlock() {}
func (Figures) isBlock()   {}
func (Table) isBlock()     {}
func (Form) isBlock()      {}
func (Timeline) isBlock()  {}
func (Chart) isBlock()     {}
func (Buttons) isBlock()   {}
func (Tabs) isBlock()      {}

// ViewRef is one declared view, for menus and the places where views stand.
type ViewRef struct {
	Plugin string // id
	Name   string
	Place  Place
	Entity string // of a card
	Icon   string
	Label  Label
}

// ActionRef is one declared action, for the buttons of cards and lists.
type ActionRef struct {
	Plugin string
	Name   string
	Entity string
	Needs  string // the verb without which it is not shown
	Label  Label
}

// Press is one press of a button.
type Press struct {
	Plugin, Action string
	Records        []Ref
	Input          map[string]any // as in Figure
	Key            string         // the same for each attempt at one press
}

// Outcome is what became of it.
type Outcome struct {
	Message string // told to the person, in his language; "" for nothing
	Open    *Ref   // where the page goes next
	View    string // a page of the plugin's own where it goes
}
