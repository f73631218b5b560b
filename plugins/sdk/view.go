package sdk

import (
	"context"
	"fmt"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Look is one person looking at a view.
type Look struct {
	View   string            // as plugin.yaml names it
	Record Ref               // the card on which it stands; zero elsewhere
	Actor  Actor             // who looks, and in which language
	Params map[string]string // what a button, a tab or a link of this view set
}

// View is what is shown: data in a closed set of blocks, which Karov draws. A plugin never sends HTML, CSS or script,
// and need not translate, format or escape: Words become sentences in the person's language, Money and dates are
// written as people there write them. At most 100 blocks.
type View struct {
	Title  Words // none for the one of plugin.yaml
	Blocks []Block
}

// ViewFunc gives a view for one person. It must answer within 2 seconds; the page around it never waits. It may be
// called from several goroutines. ctx acts for the person who looks.
type ViewFunc func(ctx context.Context, h Host, l Look) (View, error)

// Block is one part of a view: Text, Heading, Figures, Table, Form, Timeline, Chart, Buttons or Tabs.
type Block interface {
	block() (*wirev1.Block, error)
}

// Tone is what a thing means; Karov shows it by colour, shape and word.
type Tone int

// The tones. The zero Tone is plain.
const (
	Good Tone = iota + 1
	Warn
	Bad
	Quiet
)

// Paragraph is a text that stands by itself. Text and Heading make it.
type Paragraph struct {
	Words   Words
	Tone    Tone
	Heading bool
}

// Text is a paragraph.
func Text(w Words) Paragraph { return Paragraph{Words: w} }

// Heading is the head of what follows.
func Heading(w Words) Paragraph { return Paragraph{Words: w, Heading: true} }

// Figures are a few numbers with their names, at most 12.
type Figures []Figure

// Figure is one number. Value is anything that Values may hold.
type Figure struct {
	Label Words
	Value any
	Tone  Tone
	Note  Words // small, below
}

// Table is rows under columns: at most 12 columns, 500 rows.
type Table struct {
	Columns []Column
	Rows    []TableRow
	Empty   Words // said where there are no rows
}

// Column is a column's head.
type Column struct {
	Label   Words
	Numbers bool // stand at the end of the line, under each other
}

// TableRow is one row. Each cell is Words, anything that Values may hold, or one of them with a tone (Toned).
type TableRow struct {
	Cells []any
	Open  Ref // the record that the row leads to
}

// Cell is a cell of a table with a tone.
type Cell struct {
	Value any
	Tone  Tone
}

// Toned gives a cell a tone.
func Toned(t Tone, value any) Cell { return Cell{Value: value, Tone: t} }

// Form asks for values and sends them to an action, which finds them in Press.Input.
type Form struct {
	Action string  // as plugin.yaml names it
	Inputs []Input // at most 40
	Submit Words   // on the button
}

// InputKind is how a value is asked for.
type InputKind int

// The kinds of inputs. The zero kind is one line of text.
const (
	LongText InputKind = iota + 1
	Numeric
	Day
	YesNo
	OneOf      // of Choices
	OneRecord  // of Entity, found by lookup
	HiddenText // not shown, sent along; a person can read and change it all the same
)

// Input is one field of a form.
type Input struct {
	Name     string
	Label    Words
	Kind     InputKind
	Required bool
	Value    any      // what stands there at first; anything that Values may hold
	Choices  []Choice // of OneOf, at most 200
	Entity   string   // of OneRecord
	Help     Words
}

// Choice is one value of a choice.
type Choice struct {
	Value string
	Label Words
}

// Timeline is what happened, newest first, at most 100.
type Timeline []Happening

// Happening is one entry of a timeline.
type Happening struct {
	At    time.Time
	Words Words
	Open  Ref
	Tone  Tone
}

// Chart is drawn as a picture, with a table of its numbers beside it: bars, or lines.
type Chart struct {
	Title  Words
	Lines  bool
	Labels []string // along the axis, at most 100
	Series []Series // at most 6
}

// Series is one row of numbers of a chart, one for each label.
type Series struct {
	Label  Words
	Values []float64
}

// Buttons stand beside each other, at most 12.
type Buttons []Button

// Button calls an action, or leads to another view of the plugin.
type Button struct {
	Label   Words
	Action  string // as plugin.yaml names it
	Input   Values // for the action: Press.Input
	Records []Ref  // for the action: Press.Records
	View    string // instead of an action: a page of the plugin's own
	Params  map[string]string
	Tone    Tone
}

// Tabs divide a view; one of them is shown at a time, the one whose name stands in Look.Params[Param]. Only that one
// needs blocks, and none has tabs within.
type Tabs struct {
	Param string
	Tabs  []Tab // at most 8
}

// Tab is one of them.
type Tab struct {
	Name   string
	Label  Words
	Blocks []Block
}

// views serves Plugin.Views.
type views struct {
	wirev1.UnimplementedViewsServer
	*server
}

// Render gives one view.
func (s views) Render(ctx context.Context, r *wirev1.RenderRequest) (*wirev1.RenderResponse, error) {
	done, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	show, ok := s.plugin.Views[r.GetView()]
	if !ok {
		return nil, unserved("view", r.GetView())
	}
	v, err := show(withActor(ctx, r.GetActor()), s.host, Look{
		View: r.GetView(), Record: plainRef(r.GetRecord()), Actor: plainActor(r.GetActor()), Params: r.GetParams(),
	})
	if err != nil {
		return nil, toAnswer(err)
	}
	blocks, err := wireBlocks(v.Blocks)
	if err != nil {
		return nil, toAnswer(fmt.Errorf("draw the view %s: %w", wire.Valid(r.GetView()), err))
	}
	return &wirev1.RenderResponse{Title: v.Title.wire(), Blocks: blocks}, nil
}
