package sdk

import (
	"context"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Press is one press of a button, or one form that was sent.
type Press struct {
	Action  string // as plugin.yaml names it
	Records []Ref  // on which it was pressed, at most 200
	Input   Values // of the form, or what the button carried
	Actor   Actor  // who pressed
	Key     string // the same for each attempt at one press: give it to Records.WriteOnce
}

// Outcome says what became of a press. The zero Outcome stays where the person is and draws the page again.
type Outcome struct {
	Message  Words  // told to the person
	Open     Ref    // the record to go to
	OpenView string // or a page of the plugin's own, by name
}

// ActionFunc does what a button says. It must answer within 10 seconds; what takes longer it begins by Office.Enqueue.
// Refuse says no, with a sentence. It may be called from several goroutines. ctx acts for the person who pressed.
type ActionFunc func(ctx context.Context, h Host, p Press) (Outcome, error)

// actions serves Plugin.Actions.
type actions struct {
	wirev1.UnimplementedActionsServer
	*server
}

// Act does one press.
func (s actions) Act(ctx context.Context, r *wirev1.ActRequest) (*wirev1.ActResponse, error) {
	done, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	act, ok := s.plugin.Actions[r.GetAction()]
	if !ok {
		return nil, unserved("action", r.GetAction())
	}
	out, err := act(withActor(ctx, r.GetActor()), s.host, Press{
		Action: r.GetAction(), Records: plainRefs(r.GetRecords()), Input: plainValues(r.GetInput(), Ref{}),
		Actor: plainActor(r.GetActor()), Key: r.GetIdempotencyKey(),
	})
	if err != nil {
		return nil, toAnswer(err)
	}
	return &wirev1.ActResponse{Message: out.Message.wire(), Open: out.Open.wire(), OpenView: wire.Valid(out.OpenView)}, nil
}
