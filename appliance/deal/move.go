package deal

import (
	"context"
	"maps"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// movingKey marks the room's own moves: the rules let nothing else change a stage.
type movingKey struct{}

func moving(ctx context.Context) context.Context {
	return context.WithValue(ctx, movingKey{}, true)
}

func isMoving(ctx context.Context) bool {
	is, _ := ctx.Value(movingKey{}).(bool)
	return is
}

// create makes a lead or a deal, with what its maker did not have to say.
func (r *Room) create(ctx context.Context, entity, key string, values record.Values) (record.ID, error) {
	values = maps.Clone(values)
	if values == nil {
		values = record.Values{}
	}
	if _, given := values["owner"]; !given && isPerson(access.ActorFrom(ctx)) {
		values["owner"] = access.ActorFrom(ctx).ID
	}
	if key == "" {
		rec, err := r.book.Create(ctx, entity, values)
		return rec.ID, err
	}
	rec, err := r.book.CreateOnce(ctx, entity, key, values)
	return rec.ID, err
}

// begin puts a new lead or deal that names no stage into the first one of its pipeline, or of the first pipeline. A
// pipeline that cannot be read from the values is left to record, which says so.
func (r *Room) begin(entity string) record.Fill {
	return func(_ context.Context, tx store.Tx, values record.Values) (record.Values, error) {
		if !isEmpty(values["stage"]) {
			return nil, nil
		}
		pipeline := record.ID{}
		switch v := values["pipeline"].(type) {
		case record.ID:
			pipeline = v
		case string:
			if id, err := record.ParseID(v); err == nil {
				pipeline = id
			}
		}
		s, err := r.first(tx, entity, pipeline)
		if err != nil {
			return nil, err
		}
		more := record.Values{"stage": s.ID}
		if entity == Deals && isEmpty(values["pipeline"]) {
			more["pipeline"] = s.Pipeline
		}
		return more, nil
	}
}

// isPerson tells somebody with an account from a plugin and the appliance itself.
func isPerson(a access.Actor) bool { return a.Role != access.System && a.Role != access.Plugin }

func isEmpty(v any) bool {
	id, isID := v.(record.ID)
	return v == nil || v == "" || isID && id.Zero()
}

// Move brings a deal into another stage of its pipeline. Version is the one that was seen: a deal that somebody else
// moved or changed meanwhile is a Conflict. A won or lost stage closes the deal, and lost may have a reason; from there
// back into an open one it is open again.
func (r *Room) Move(ctx context.Context, id record.ID, version uint64, stage record.ID, reason string) (d Deal, err error) {
	err = r.book.Update(ctx, func(tx store.Tx) error {
		rec, err := r.moveTx(ctx, tx, move{Deals, id, version, stage, reason})
		if err == nil {
			d = r.deal(ctx, tx, rec)
		}
		return err
	})
	if err != nil {
		return Deal{}, err
	}
	return d, nil
}

// MoveLead is Move for a lead. Won is qualified; a lead that became a customer does not move any more.
func (r *Room) MoveLead(ctx context.Context, id record.ID, version uint64, stage record.ID, reason string) (l Lead, err error) {
	err = r.book.Update(ctx, func(tx store.Tx) error {
		rec, err := r.moveTx(ctx, tx, move{Leads, id, version, stage, reason})
		if err == nil {
			l = r.lead(ctx, tx, rec)
		}
		return err
	})
	if err != nil {
		return Lead{}, err
	}
	return l, nil
}

// move is what Move was asked.
type move struct {
	entity  string
	id      record.ID
	version uint64
	stage   record.ID
	reason  string
}

func (r *Room) moveTx(ctx context.Context, tx store.Tx, m move) (record.Record, error) {
	if m.version == 0 {
		return record.Record{}, fault.New(fault.Invalid, "record.version-missing")
	}
	before, err := r.book.Raw(tx, m.entity, m.id)
	if err != nil {
		return record.Record{}, err
	}
	if err := r.book.Require(ctx, tx, access.Change, before); err != nil {
		return record.Record{}, err
	}
	if before.Version() != m.version {
		return record.Record{}, fault.New(fault.Conflict, "record.changed", "version", before.Version(), "by", before.UpdatedBy())
	}
	if r.gate.Fields(ctx, m.entity).ReadOnly("stage") {
		return record.Record{}, fault.InvalidField("stage", "field.read-only")
	}
	to, ok := r.stage(tx, m.stage)
	if !ok {
		return record.Record{}, fault.InvalidField("stage", "field.link")
	}
	from, _ := r.stage(tx, before.Link("stage"))
	switch {
	case to.Pipeline != from.Pipeline:
		return record.Record{}, fault.InvalidField("stage", "deal.other-pipeline")
	case m.entity == Leads && !before.Link("contact").Zero():
		return record.Record{}, fault.New(fault.Conflict, "lead.converted")
	}
	if to.ID != from.ID {
		if err := r.step(ctx, tx, m, from, to); err != nil {
			return record.Record{}, err
		}
	}
	// Read anew: a role that may see only deals of some stages must not move one out of its own sight.
	after, err := r.book.GetTx(ctx, tx, m.entity, m.id)
	if err != nil {
		return record.Record{}, fault.New(fault.Forbidden, "access.not-yours", "entity", m.entity)
	}
	return after, nil
}

// step writes a move and tells it.
func (r *Room) step(ctx context.Context, tx store.Tx, m move, from, to Stage) error {
	now := r.now()
	values := record.Values{"stage": to.ID, "stage_since": now, "closed_at": nil, "lost_reason": nil}
	if to.Closes() {
		values["closed_at"] = now
	}
	if to.Kind == Lost {
		values["lost_reason"] = m.reason
	}
	if m.entity == Leads {
		values["state"] = r.stateOf(tx, to)
	}
	after, err := r.book.ChangeTx(moving(ctx), tx, record.Change{Entity: m.entity, ID: m.id, Version: m.version, Inside: true, Values: values,
		Fact: m.entity + ".moved", About: map[string]string{"from": from.ID.String(), "to": to.ID.String(), "pipeline": to.Pipeline.String()}})
	if err != nil || m.entity == Leads || from.Kind == to.Kind {
		return err
	}
	f := journal.Fact{Name: map[string]string{Won: "deal.won", Lost: "deal.lost", Open: "deal.reopened"}[to.Kind], Entity: Deals,
		ID: m.id.String(), Contact: after.Link("contact").String(), Card: true,
		About: map[string]string{"stage": to.ID.String(), "pipeline": to.Pipeline.String()}}
	return r.journal.Append(ctx, tx, f)
}

// dealWritten holds a deal to its pipeline, and lets it move by Move only.
func (r *Room) dealWritten(ctx context.Context, tx store.Tx, before, after record.Record) error {
	if !after.Exists() {
		return nil
	}
	if value, ok := after.Amount("value"); ok && value.Minor < 0 {
		return fault.InvalidField("value", "deal.negative")
	}
	return r.placed(ctx, tx, before, after)
}

// leadWritten does the same for a lead, and refuses one by which nobody can be found.
func (r *Room) leadWritten(ctx context.Context, tx store.Tx, before, after record.Record) error {
	if !after.Exists() {
		return nil
	}
	if !after.Has("name") && !after.Has("phone") && !after.Has("email") {
		return fault.InvalidField("name", "lead.nameless")
	}
	if value, ok := after.Amount("value"); ok && value.Minor < 0 {
		return fault.InvalidField("value", "deal.negative")
	}
	return r.placed(ctx, tx, before, after)
}

// placed refuses a lead or a deal in a stage where it cannot be. One that is new begins in an open stage; one that comes
// back from the bin may have been closed long ago.
func (r *Room) placed(ctx context.Context, tx store.Tx, before, after record.Record) error {
	stage, pipeline := after.Link("stage"), after.Link("pipeline")
	if before.Exists() {
		if before.Link("stage") == stage && before.Link("pipeline") == pipeline {
			return nil
		}
		if !isMoving(ctx) || before.Link("pipeline") != pipeline {
			return fault.InvalidField("stage", "deal.move")
		}
	}
	s, ok := r.stage(tx, stage)
	if !ok {
		return fault.InvalidField("stage", "field.link")
	}
	if after.Entity() == Deals && s.Pipeline != pipeline {
		return fault.InvalidField("stage", "deal.other-pipeline")
	}
	over, err := r.book.Raw(tx, "pipeline", s.Pipeline)
	if err != nil || over.Text("holds") != after.Entity() {
		return fault.InvalidField("stage", "deal.other-kind")
	}
	if !before.Exists() && s.Closes() && !after.Has("closed_at") {
		return fault.InvalidField("stage", "deal.closed-stage")
	}
	return nil
}
