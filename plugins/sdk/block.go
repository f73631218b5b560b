package sdk

import (
	"errors"
	"fmt"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

func wireBlocks(in []Block) ([]*wirev1.Block, error) {
	out := make([]*wirev1.Block, 0, len(in))
	for i, b := range in {
		if b == nil {
			return nil, fmt.Errorf("block %d is nil", i)
		}
		w, err := b.block()
		if err != nil {
			return nil, fmt.Errorf("block %d, %T: %w", i, b, err)
		}
		out = append(out, w)
	}
	return out, nil
}

func (p Paragraph) block() (*wirev1.Block, error) {
	text := &wirev1.Text{Words: p.Words.wire(), Tone: wirev1.Tone(p.Tone), Heading: p.Heading}
	return &wirev1.Block{Of: &wirev1.Block_Text{Text: text}}, nil
}

func (f Figures) block() (*wirev1.Block, error) {
	out := &wirev1.Figures{}
	for i, one := range f {
		v, err := wireValue(one.Value)
		if err != nil {
			return nil, fmt.Errorf("figure %d: %w", i, err)
		}
		out.Figures = append(out.Figures, &wirev1.Figure{
			Label: one.Label.wire(), Value: v, Tone: wirev1.Tone(one.Tone), Note: one.Note.wire(),
		})
	}
	return &wirev1.Block{Of: &wirev1.Block_Figures{Figures: out}}, nil
}

func (t Table) block() (*wirev1.Block, error) {
	out := &wirev1.Table{Empty: t.Empty.wire()}
	for _, c := range t.Columns {
		out.Columns = append(out.Columns, &wirev1.Column{Label: c.Label.wire(), End: c.Numbers})
	}
	for i, row := range t.Rows {
		r := &wirev1.TableRow{Open: row.Open.wire()}
		for n, cell := range row.Cells {
			c, err := wireCell(cell)
			if err != nil {
				return nil, fmt.Errorf("row %d, cell %d: %w", i, n, err)
			}
			r.Cells = append(r.Cells, c)
		}
		out.Rows = append(out.Rows, r)
	}
	return &wirev1.Block{Of: &wirev1.Block_Table{Table: out}}, nil
}

func wireCell(cell any) (*wirev1.Cell, error) {
	toned, _ := cell.(Cell)
	if _, is := cell.(Cell); is {
		cell = toned.Value
	}
	out := &wirev1.Cell{Tone: wirev1.Tone(toned.Tone)}
	if w, ok := cell.(Words); ok {
		out.Of = &wirev1.Cell_Words{Words: &wirev1.Words{}}
		if !w.IsZero() {
			out.Of = &wirev1.Cell_Words{Words: w.wire()}
		}
		return out, nil
	}
	v, err := wireValue(cell)
	if err != nil {
		return nil, err
	}
	out.Of = &wirev1.Cell_Value{Value: v}
	return out, nil
}

// wire names the kind as the contract does.
func (k InputKind) wire() (wirev1.Input_Kind, error) {
	switch k {
	case 0:
		return wirev1.Input_KIND_UNSPECIFIED, nil
	case LongText:
		return wirev1.Input_KIND_LONG_TEXT, nil
	case Numeric:
		return wirev1.Input_KIND_NUMBER, nil
	case Day:
		return wirev1.Input_KIND_DATE, nil
	case YesNo:
		return wirev1.Input_KIND_YES_NO, nil
	case OneOf:
		return wirev1.Input_KIND_CHOICE, nil
	case OneRecord:
		return wirev1.Input_KIND_RECORD, nil
	case HiddenText:
		return wirev1.Input_KIND_HIDDEN, nil
	}
	return 0, fmt.Errorf("there is no kind %d of input", int(k))
}

func (f Form) block() (*wirev1.Block, error) {
	out := &wirev1.Form{Action: wire.Valid(f.Action), Submit: f.Submit.wire()}
	for _, in := range f.Inputs {
		kind, err := in.Kind.wire()
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", in.Name, err)
		}
		v, err := wireValue(in.Value)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", in.Name, err)
		}
		input := &wirev1.Input{
			Name: wire.Valid(in.Name), Label: in.Label.wire(), Kind: kind, Required: in.Required, Value: v,
			Entity: wire.Valid(in.Entity), Help: in.Help.wire(),
		}
		for _, c := range in.Choices {
			input.Choices = append(input.Choices, &wirev1.Choice{Value: wire.Valid(c.Value), Label: c.Label.wire()})
		}
		out.Inputs = append(out.Inputs, input)
	}
	return &wirev1.Block{Of: &wirev1.Block_Form{Form: out}}, nil
}

func (t Timeline) block() (*wirev1.Block, error) {
	out := &wirev1.Timeline{}
	for _, one := range t {
		out.Happenings = append(out.Happenings, &wirev1.Happening{
			At: wireTime(one.At), Words: one.Words.wire(), Open: one.Open.wire(), Tone: wirev1.Tone(one.Tone),
		})
	}
	return &wirev1.Block{Of: &wirev1.Block_Timeline{Timeline: out}}, nil
}

func (c Chart) block() (*wirev1.Block, error) {
	out := &wirev1.Chart{Labels: validTexts(c.Labels), Title: c.Title.wire()}
	if c.Lines {
		out.Kind = wirev1.Chart_KIND_LINE
	}
	for _, s := range c.Series {
		if len(s.Values) != len(c.Labels) {
			return nil, fmt.Errorf("a series has %d values for %d labels", len(s.Values), len(c.Labels))
		}
		out.Series = append(out.Series, &wirev1.Series{Label: s.Label.wire(), Values: s.Values})
	}
	return &wirev1.Block{Of: &wirev1.Block_Chart{Chart: out}}, nil
}

func (b Buttons) block() (*wirev1.Block, error) {
	out := &wirev1.Buttons{}
	for i, one := range b {
		if (one.Action == "") == (one.View == "") {
			return nil, fmt.Errorf("button %d has to name an action or a view, one of them", i)
		}
		input, err := one.Input.wire()
		if err != nil {
			return nil, fmt.Errorf("button %d: %w", i, err)
		}
		button := &wirev1.Button{
			Label: one.Label.wire(), Action: wire.Valid(one.Action), Input: input, View: wire.Valid(one.View),
			Params: validParams(one.Params), Tone: wirev1.Tone(one.Tone),
		}
		for _, r := range one.Records {
			button.Records = append(button.Records, r.wire())
		}
		out.Buttons = append(out.Buttons, button)
	}
	return &wirev1.Block{Of: &wirev1.Block_Buttons{Buttons: out}}, nil
}

func (t Tabs) block() (*wirev1.Block, error) {
	out := &wirev1.Tabs{Param: wire.Valid(t.Param)}
	for _, tab := range t.Tabs {
		for _, b := range tab.Blocks {
			if _, nested := b.(Tabs); nested {
				return nil, errors.New("there are no tabs within tabs")
			}
		}
		blocks, err := wireBlocks(tab.Blocks)
		if err != nil {
			return nil, fmt.Errorf("tab %s: %w", tab.Name, err)
		}
		out.Tabs = append(out.Tabs, &wirev1.Tab{Name: wire.Valid(tab.Name), Label: tab.Label.wire(), Blocks: blocks})
	}
	return &wirev1.Block{Of: &wirev1.Block_Tabs{Tabs: out}}, nil
}
