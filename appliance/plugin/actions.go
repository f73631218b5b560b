package plugin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	actWithin  = 10 * time.Second
	maxPressed = 200 // records on which one button is pressed
)

// Actions lists the buttons that the running plugins put on an entity's card or list ("card", "list"), without those
// that the actor could not use on any of its records.
func (h *Host) Actions(ctx context.Context, entity, on string) []ActionRef {
	var out []ActionRef
	h.each(func(p *supervised) {
		if _, err := p.current(); err != nil {
			return
		}
		for _, a := range p.m.Actions {
			if a.Entity == entity && slices.Contains(a.On, on) && h.o.Gate.Scope(ctx, a.verb(), entity) != access.None {
				out = append(out, ActionRef{Plugin: p.m.ID, Name: a.Name, Entity: entity, Needs: string(a.verb()), Label: a.Label})
			}
		}
	})
	return out
}

// verb is what one must be allowed to do with a record to press the button on it.
func (a ActionSpec) verb() access.Verb {
	if a.Needs == "" {
		return access.Change
	}
	return access.Verb(a.Needs)
}

// Act does what a button says, for the actor of ctx, who must have the button's right to each of the records. It takes
// at most ten seconds. The same Key again is for the plugin to recognise: it may be asked twice for one press.
func (h *Host) Act(ctx context.Context, press Press) (Outcome, error) {
	p, err := h.find(press.Plugin)
	if err != nil {
		return Outcome{}, err
	}
	place := slices.IndexFunc(p.m.Actions, func(a ActionSpec) bool { return a.Name == press.Action })
	if place < 0 {
		return Outcome{}, fault.Missing("action", press.Action)
	}
	if err := h.mayPress(ctx, p.m.Actions[place], press); err != nil {
		return Outcome{}, err
	}
	s, err := p.current()
	if err != nil {
		return Outcome{}, err
	}
	request := &wirev1.ActRequest{Action: press.Action, Actor: actorToWire(ctx), IdempotencyKey: wire.Cut(press.Key, 200), Input: map[string]*wirev1.Value{}}
	for _, r := range press.Records {
		request.Records = append(request.Records, r.toWire())
	}
	for name, value := range press.Input {
		if request.Input[wire.Valid(name)], err = shownToWire(value); err != nil {
			return Outcome{}, fault.InvalidField(name, "field.malformed")
		}
	}
	ctx, cancel := context.WithTimeout(ctx, actWithin)
	defer cancel()
	call, done := s.asCaller(ctx)
	defer done()
	answer, err := wirev1.NewActionsClient(s.conn).Act(call, request)
	if err != nil {
		return Outcome{}, fromWire(err, "plugin.action-failed")
	}
	r := &viewReader{m: p.m, lang: languageOf(ctx), schema: h.o.schemaNow(), left: maxViewText}
	out := Outcome{Message: r.words(answer.GetMessage()), Open: r.ref(answer.GetOpen())}
	if slices.ContainsFunc(p.m.Views, func(v ViewSpec) bool { return v.Name == answer.GetOpenView() && v.Place == OnPage }) {
		out.View = answer.GetOpenView()
	}
	return out, nil
}

// mayPress refuses who may not do to one of the records what the button needs. Of an action without an entity the
// plugin itself asks, by what it does for the person.
func (h *Host) mayPress(ctx context.Context, a ActionSpec, press Press) error {
	if len(press.Records) > maxPressed {
		return fault.InvalidField("records", "field.too-many", "limit", maxPressed)
	}
	if len(press.Input) > maxInputs {
		return fault.InvalidField("input", "field.too-many", "limit", maxInputs)
	}
	if a.Entity != "" && h.o.Gate.Scope(ctx, a.verb(), a.Entity) == access.None {
		return h.o.Gate.Require(ctx, a.verb(), access.Object{Entity: a.Entity})
	}
	for _, ref := range press.Records {
		if a.Entity != "" && ref.Entity != a.Entity {
			return fault.InvalidField("records", "field.malformed")
		}
		err := h.o.Book.View(ctx, func(tx store.Tx) error {
			r, err := h.o.Book.GetTx(ctx, tx, ref.Entity, ref.ID)
			if err != nil {
				return err
			}
			return h.o.Book.Require(ctx, tx, a.verb(), r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// shownToWire makes a value as a page has it one that crosses the line.
func shownToWire(value any) (*wirev1.Value, error) {
	switch v := value.(type) {
	case nil:
		return &wirev1.Value{}, nil
	case string:
		if len(v) > 64<<10 {
			return nil, fmt.Errorf("a text of %d bytes is too long", len(v))
		}
		return &wirev1.Value{Of: &wirev1.Value_Text{Text: wire.Valid(v)}}, nil
	case record.ID:
		return &wirev1.Value{Of: &wirev1.Value_Text{Text: v.String()}}, nil
	case float64:
		return &wirev1.Value{Of: &wirev1.Value_Number{Number: v}}, nil
	case int:
		return &wirev1.Value{Of: &wirev1.Value_Number{Number: float64(v)}}, nil
	case bool:
		return &wirev1.Value{Of: &wirev1.Value_Yes{Yes: v}}, nil
	case time.Time:
		return &wirev1.Value{Of: &wirev1.Value_Time{Time: timestamppb.New(v)}}, nil
	case schema.Amount:
		return &wirev1.Value{Of: &wirev1.Value_Money{Money: &wirev1.Money{Minor: v.Minor, Currency: v.Currency}}}, nil
	case []any:
		list := &wirev1.ValueList{}
		for _, one := range v {
			w, err := shownToWire(one)
			if err != nil {
				return nil, err
			}
			list.Values = append(list.Values, w)
		}
		return &wirev1.Value{Of: &wirev1.Value_List{List: list}}, nil
	}
	return nil, fmt.Errorf("%T is no value", value)
}
