package plugin

import (
	"context"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Limits of a view. What is over them is a fault of the plugin: half a table would be taken for a whole one.
const (
	maxBlocks     = 100
	maxRows       = 500
	maxColumns    = 12
	maxFigures    = 12
	maxInputs     = 40
	maxOptions    = 200
	maxHappenings = 100
	maxLabels     = 100
	maxSeries     = 6
	maxButtons    = 12
	maxTabs       = 8
	maxViewText   = 256 << 10
	maxViewParams = 20
)

// Views lists the declared views of a place, of the plugins that run; of OnCard those for an entity.
func (h *Host) Views(place Place, entity string) []ViewRef {
	var out []ViewRef
	h.each(func(p *supervised) {
		if _, err := p.current(); err != nil {
			return
		}
		for _, v := range p.m.Views {
			if v.Place == place && (place != OnCard || v.Entity == entity) {
				out = append(out, ViewRef{Plugin: p.m.ID, Name: v.Name, Place: v.Place, Entity: v.Entity, Icon: v.Icon, Label: v.Label})
			}
		}
	})
	return out
}

// Render asks a plugin for a view, for the actor of ctx, on a record that he may see (nil elsewhere than on a card). It
// takes at most two seconds; a plugin that is slow, gone, or answers what is no view is a fault to show in its place.
func (h *Host) Render(ctx context.Context, plugin, view string, on *Ref, params map[string]string) (View, error) {
	p, err := h.find(plugin)
	if err != nil {
		return View{}, err
	}
	place := slices.IndexFunc(p.m.Views, func(v ViewSpec) bool { return v.Name == view })
	if place < 0 {
		return View{}, fault.Missing("view", view)
	}
	spec := p.m.Views[place]
	if err := h.mayRender(ctx, spec, on); err != nil {
		return View{}, err
	}
	s, err := p.current()
	if err != nil {
		return View{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, h.o.Timing.Render)
	defer cancel()
	lang := languageOf(ctx)
	request := &wirev1.RenderRequest{View: view, Record: on.toWire(), Actor: actorToWire(ctx), Params: map[string]string{}}
	for name, value := range params {
		if len(request.Params) < maxViewParams && len(name) <= 100 && len(value) <= maxName {
			request.Params[wire.Valid(name)] = wire.Valid(value)
		}
	}
	call, done := s.asCaller(ctx)
	defer done()
	answer, err := wirev1.NewViewsClient(s.conn).Render(call, request)
	if err != nil {
		return View{}, fromWire(err, "plugin.view-failed")
	}
	r := &viewReader{m: p.m, lang: lang, schema: h.o.schemaNow(), left: maxViewText, params: request.Params}
	out := View{Title: r.words(answer.GetTitle()), Blocks: r.blocks(answer.GetBlocks(), false)}
	if r.wrong != "" {
		return View{}, fault.New(fault.Unavailable, "plugin.view-wrong", "view", view, "what", r.wrong)
	}
	return out, nil
}

// mayRender refuses a view on a record that is not for the actor, and one of settings to those who do not administer.
func (h *Host) mayRender(ctx context.Context, spec ViewSpec, on *Ref) error {
	switch {
	case spec.Place == OnSettings:
		return h.o.Gate.Require(ctx, access.Administer, access.Object{Entity: "office"})
	case spec.Place != OnCard:
		return nil
	case on == nil || on.Entity != spec.Entity:
		return fault.Missing("view", spec.Name)
	}
	_, err := h.o.Book.Get(ctx, on.Entity, on.ID)
	return err
}

func languageOf(ctx context.Context) string {
	if lang := access.ActorFrom(ctx).Lang; slices.Contains(Languages(), lang) {
		return lang
	}
	return "en"
}

func actorToWire(ctx context.Context) *wirev1.Actor {
	a := access.ActorFrom(ctx)
	return &wirev1.Actor{Id: wire.Valid(a.ID), Name: wire.Valid(a.Name), Language: languageOf(ctx)}
}

func (r *Ref) toWire() *wirev1.RecordRef {
	if r == nil {
		return nil
	}
	return &wirev1.RecordRef{Entity: r.Entity, Id: r.ID.String()}
}

// schemaNow is the schema, or an empty one of a host without records.
func (o Options) schemaNow() *schema.Schema {
	if o.Book == nil {
		s, _ := schema.New() // of nothing there is nothing to refuse
		return s
	}
	return o.Book.Schema()
}

// nameForm is the form of the name of a form's field.
var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)

// paragraphs makes foreign text printable and leaves its lines.
func paragraphs(s string) string {
	lines := strings.Split(wire.Cut(s, maxViewText), "\n")
	for i, line := range lines {
		lines[i] = printable(strings.TrimSuffix(line, "\r"))
	}
	return strings.Join(lines, "\n")
}

// viewReader checks a view that a plugin sent. The first thing that is wrong ends the reading.
type viewReader struct {
	m      *Manifest
	lang   string
	schema *schema.Schema
	params map[string]string
	left   int // bytes of text that the view may still have
	count  int // blocks so far
	wrong  string
}

// bad notes what is wrong, unless something was before.
func (r *viewReader) bad(what string) {
	if r.wrong == "" {
		r.wrong = what
	}
}

// within tells whether n things are allowed.
func (r *viewReader) within(what string, n, limit int) bool {
	if n > limit {
		r.bad(what)
	}
	return n <= limit
}

func (r *viewReader) text(s string) string {
	if r.left -= len(s); r.left < 0 {
		r.bad("text")
		return ""
	}
	return s
}

func (r *viewReader) words(w *wirev1.Words) string {
	if w == nil {
		return ""
	}
	if w.GetKey() != "" && r.m.sentences["en"][w.GetKey()] == "" {
		r.bad(wire.Cut(w.GetKey(), 100))
	}
	return r.text(r.m.words(r.lang, w))
}

func (r *viewReader) tone(t wirev1.Tone) Tone {
	switch t {
	case wirev1.Tone_TONE_GOOD:
		return Good
	case wirev1.Tone_TONE_WARN:
		return Warn
	case wirev1.Tone_TONE_BAD:
		return Bad
	case wirev1.Tone_TONE_QUIET:
		return Quiet
	}
	return Plain
}

// value makes a value something that a page can show.
func (r *viewReader) value(v *wirev1.Value) any {
	switch of := v.GetOf().(type) {
	case *wirev1.Value_Text:
		return r.text(paragraphs(of.Text))
	case *wirev1.Value_Number:
		if math.IsNaN(of.Number) || math.IsInf(of.Number, 0) {
			r.bad("number")
			return nil
		}
		return of.Number
	case *wirev1.Value_Yes:
		return of.Yes
	case *wirev1.Value_Time:
		if !of.Time.IsValid() {
			r.bad("time")
			return nil
		}
		return of.Time.AsTime()
	case *wirev1.Value_Money:
		if _, ok := schema.Digits(of.Money.GetCurrency()); !ok {
			r.bad("currency")
			return nil
		}
		return schema.Amount{Minor: of.Money.GetMinor(), Currency: of.Money.GetCurrency()}
	case *wirev1.Value_List:
		var list []any
		if r.within("values", len(of.List.GetValues()), maxRows) {
			for _, one := range of.List.GetValues() {
				if _, nested := one.GetOf().(*wirev1.Value_List); nested {
					r.bad("values")
					return nil
				}
				list = append(list, r.value(one))
			}
		}
		return list
	case *wirev1.Value_File:
		return r.text(printable(wire.Cut(of.File.GetName(), maxName))) // a view names a file; the record's own card opens it
	}
	return nil
}

// ref reads a reference to a record; nil for none.
func (r *viewReader) ref(w *wirev1.RecordRef) *Ref {
	if w == nil {
		return nil
	}
	id, err := record.ParseID(w.GetId())
	if e := r.schema.Entity(w.GetEntity()); err != nil || e == nil {
		r.bad("record")
		return nil
	}
	return &Ref{Entity: w.GetEntity(), ID: id}
}

func (r *viewReader) action(name string) string {
	if !slices.ContainsFunc(r.m.Actions, func(a ActionSpec) bool { return a.Name == name }) {
		r.bad("action " + wire.Cut(name, 100))
	}
	return name
}

func (r *viewReader) blocks(in []*wirev1.Block, inTab bool) (out []Block) {
	for _, b := range in {
		if r.count++; !r.within("blocks", r.count, maxBlocks) || r.wrong != "" {
			return nil
		}
		switch of := b.GetOf().(type) {
		case *wirev1.Block_Text:
			out = append(out, Paragraph{Text: r.words(of.Text.GetWords()), Tone: r.tone(of.Text.GetTone()), Heading: of.Text.GetHeading()})
		case *wirev1.Block_Figures:
			out = append(out, r.figures(of.Figures))
		case *wirev1.Block_Table:
			out = append(out, r.table(of.Table))
		case *wirev1.Block_Form:
			out = append(out, r.form(of.Form))
		case *wirev1.Block_Timeline:
			out = append(out, r.timeline(of.Timeline))
		case *wirev1.Block_Chart:
			out = append(out, r.chart(of.Chart))
		case *wirev1.Block_Buttons:
			out = append(out, r.buttons(of.Buttons))
		case *wirev1.Block_Tabs:
			if inTab {
				r.bad("tabs")
				return nil
			}
			out = append(out, r.tabs(of.Tabs))
		default: // a block of a newer contract: what is not known is left out
		}
	}
	return out
}

func (r *viewReader) figures(in *wirev1.Figures) (out Figures) {
	if !r.within("figures", len(in.GetFigures()), maxFigures) {
		return nil
	}
	for _, f := range in.GetFigures() {
		out = append(out, Figure{Label: r.words(f.GetLabel()), Note: r.words(f.GetNote()), Value: r.value(f.GetValue()), Tone: r.tone(f.GetTone())})
	}
	return out
}

func (r *viewReader) table(in *wirev1.Table) (out Table) {
	if !r.within("columns", len(in.GetColumns()), maxColumns) || !r.within("rows", len(in.GetRows()), maxRows) {
		return out
	}
	out.Empty = r.words(in.GetEmpty())
	for _, c := range in.GetColumns() {
		out.Columns = append(out.Columns, Column{Label: r.words(c.GetLabel()), End: c.GetEnd()})
	}
	for _, row := range in.GetRows() {
		if len(row.GetCells()) != len(out.Columns) {
			r.bad("cells")
			return out
		}
		line := Row{Open: r.ref(row.GetOpen())}
		for _, c := range row.GetCells() {
			cell := Cell{Tone: r.tone(c.GetTone())}
			if words, ok := c.GetOf().(*wirev1.Cell_Words); ok {
				cell.Value = r.words(words.Words)
			} else {
				cell.Value = r.value(c.GetValue())
			}
			line.Cells = append(line.Cells, cell)
		}
		out.Rows = append(out.Rows, line)
	}
	return out
}

var inputKinds = map[wirev1.Input_Kind]InputKind{
	wirev1.Input_KIND_UNSPECIFIED: InputText, wirev1.Input_KIND_LONG_TEXT: InputLong, wirev1.Input_KIND_NUMBER: InputNumber,
	wirev1.Input_KIND_DATE: InputDate, wirev1.Input_KIND_YES_NO: InputYesNo, wirev1.Input_KIND_CHOICE: InputChoice,
	wirev1.Input_KIND_RECORD: InputRecord, wirev1.Input_KIND_HIDDEN: InputHidden,
}

func (r *viewReader) form(in *wirev1.Form) (out Form) {
	if !r.within("inputs", len(in.GetInputs()), maxInputs) {
		return out
	}
	out = Form{Action: r.action(in.GetAction()), Submit: r.words(in.GetSubmit())}
	seen := map[string]bool{}
	for _, i := range in.GetInputs() {
		kind, ok := inputKinds[i.GetKind()]
		if !ok || !nameForm.MatchString(i.GetName()) || seen[i.GetName()] ||
			!r.within("choices", len(i.GetChoices()), maxOptions) || kind == InputRecord && r.schema.Entity(i.GetEntity()) == nil {
			r.bad("input " + wire.Cut(i.GetName(), 100))
			return out
		}
		seen[i.GetName()] = true
		input := Input{Name: i.GetName(), Label: r.words(i.GetLabel()), Help: r.words(i.GetHelp()), Kind: kind,
			Required: i.GetRequired(), Value: r.value(i.GetValue()), Entity: i.GetEntity()}
		for _, c := range i.GetChoices() {
			input.Choices = append(input.Choices, Chosen{Value: r.text(printable(wire.Cut(c.GetValue(), 100))), Label: r.words(c.GetLabel())})
		}
		out.Inputs = append(out.Inputs, input)
	}
	return out
}

func (r *viewReader) timeline(in *wirev1.Timeline) (out Timeline) {
	if !r.within("timeline", len(in.GetHappenings()), maxHappenings) {
		return nil
	}
	for _, h := range in.GetHappenings() {
		if !h.GetAt().IsValid() {
			r.bad("time")
			return nil
		}
		out = append(out, Happening{At: h.GetAt().AsTime(), Text: r.words(h.GetWords()), Open: r.ref(h.GetOpen()), Tone: r.tone(h.GetTone())})
	}
	return out
}

func (r *viewReader) chart(in *wirev1.Chart) (out Chart) {
	if !r.within("labels", len(in.GetLabels()), maxLabels) || !r.within("series", len(in.GetSeries()), maxSeries) {
		return out
	}
	out = Chart{Title: r.words(in.GetTitle()), Lines: in.GetKind() == wirev1.Chart_KIND_LINE}
	for _, l := range in.GetLabels() {
		out.Labels = append(out.Labels, r.text(printable(wire.Cut(l, 100))))
	}
	for _, s := range in.GetSeries() {
		if len(s.GetValues()) != len(out.Labels) || slices.ContainsFunc(s.GetValues(), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
			r.bad("series")
			return out
		}
		out.Series = append(out.Series, Series{Label: r.words(s.GetLabel()), Values: s.GetValues()})
	}
	return out
}

func (r *viewReader) buttons(in *wirev1.Buttons) (out Buttons) {
	if !r.within("buttons", len(in.GetButtons()), maxButtons) {
		return nil
	}
	for _, b := range in.GetButtons() {
		button := Button{Label: r.words(b.GetLabel()), Tone: r.tone(b.GetTone())}
		switch {
		case b.GetAction() != "" && r.within("records", len(b.GetRecords()), maxPressed) && r.within("input", len(b.GetInput()), maxInputs):
			button.Action = r.action(b.GetAction())
			button.Input = map[string]any{}
			for name, v := range b.GetInput() {
				button.Input[r.text(wire.Cut(name, 100))] = r.value(v)
			}
			for _, ref := range b.GetRecords() {
				if to := r.ref(ref); to != nil {
					button.Records = append(button.Records, *to)
				}
			}
		case slices.ContainsFunc(r.m.Views, func(v ViewSpec) bool { return v.Name == b.GetView() && v.Place == OnPage }):
			button.View, button.Params = b.GetView(), map[string]string{}
			for name, value := range b.GetParams() {
				if len(button.Params) < maxViewParams {
					button.Params[r.text(wire.Cut(name, 100))] = r.text(wire.Cut(value, maxName))
				}
			}
		default:
			r.bad("button")
			return nil
		}
		out = append(out, button)
	}
	return out
}

func (r *viewReader) tabs(in *wirev1.Tabs) (out Tabs) {
	if !r.within("tabs", len(in.GetTabs()), maxTabs) || !settingForm.MatchString(in.GetParam()) || len(in.GetTabs()) == 0 {
		r.bad("tabs")
		return out
	}
	out.Param = in.GetParam()
	shown := max(0, slices.IndexFunc(in.GetTabs(), func(t *wirev1.Tab) bool { return t.GetName() == r.params[out.Param] }))
	for i, t := range in.GetTabs() {
		if t.GetName() == "" || !utf8.ValidString(t.GetName()) || len(t.GetName()) > 100 {
			r.bad("tabs")
			return out
		}
		tab := Tab{Name: t.GetName(), Label: r.words(t.GetLabel()), Shown: i == shown}
		if tab.Shown {
			tab.Blocks = r.blocks(t.GetBlocks(), true)
		}
		out.Tabs = append(out.Tabs, tab)
	}
	return out
}
