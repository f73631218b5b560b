package deal

import (
	"context"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// Lead is somebody who may become a customer, decoded for those who need all of it.
type Lead struct {
	ID          record.ID
	Version     uint64
	Name        string
	Company     string
	Phone       string
	Email       string
	Source      string
	State       string // follows from the stage
	Stage       record.ID
	Owner       string // account id, "" for nobody's
	Value       schema.Amount
	Note        string
	LostReason  string
	Contact     record.ID // whom it became, zero before
	ContactName string
	Deal        record.ID // what it became, zero for none
	StageSince  time.Time
	ClosedAt    time.Time
	CreatedAt   time.Time
}

// Title is what people call the lead: its name, or else how it is reached.
func (l Lead) Title() string {
	for _, s := range []string{l.Name, l.Company, l.Phone, l.Email} {
		if s != "" {
			return s
		}
	}
	return "…"
}

// LeadFromRecord decodes a lead record that was read elsewhere. It does not know the customer's name.
func LeadFromRecord(rec record.Record) Lead {
	value, _ := rec.Amount("value")
	state := rec.Text("state")
	if state == "" {
		state = LeadNew
	}
	return Lead{ID: rec.ID, Version: rec.Version(), Name: rec.Text("name"), Company: rec.Text("company"), Phone: rec.Text("phone"),
		Email: rec.Text("email"), Source: rec.Text("source"), State: state, Stage: rec.Link("stage"), Owner: rec.Text("owner"),
		Value: value, Note: rec.Text("note"), LostReason: rec.Text("lost_reason"), Contact: rec.Link("contact"), Deal: rec.Link("deal"),
		StageSince: since(rec), ClosedAt: rec.Time("closed_at"), CreatedAt: rec.CreatedAt()}
}

func (r *Room) lead(ctx context.Context, tx store.Tx, rec record.Record) Lead {
	l := LeadFromRecord(rec)
	l.ContactName = r.named(ctx, tx, l.Contact)
	return l
}

// GetLead reads a lead that the actor may see. That he did stands in the journal.
func (r *Room) GetLead(ctx context.Context, id record.ID) (Lead, error) {
	l, rec, err := r.shownLead(ctx, id)
	if err != nil {
		return Lead{}, err
	}
	return l, r.book.TellRead(ctx, rec)
}

// shownLead reads a lead as the actor may read it.
func (r *Room) shownLead(ctx context.Context, id record.ID) (l Lead, rec record.Record, err error) {
	err = r.book.View(ctx, func(tx store.Tx) (err error) {
		if rec, err = r.book.GetTx(ctx, tx, Leads, id); err == nil {
			l = r.lead(ctx, tx, rec)
		}
		return err
	})
	return l, rec, err
}

// CreateLead makes a lead out of field values. One that names no stage begins in the first stage of the first pipeline;
// one that names no owner is its maker's. The same actor's same key makes one lead; an empty key promises nothing.
func (r *Room) CreateLead(ctx context.Context, key string, values record.Values) (Lead, error) {
	id, err := r.create(ctx, Leads, key, values)
	if err != nil {
		return Lead{}, err
	}
	l, _, err := r.shownLead(ctx, id)
	return l, err
}

// ChangeLead changes some fields of the version that was seen, all but the stage.
func (r *Room) ChangeLead(ctx context.Context, id record.ID, version uint64, values record.Values) (Lead, error) {
	if _, err := r.book.Change(ctx, Leads, id, version, values); err != nil {
		return Lead{}, err
	}
	l, _, err := r.shownLead(ctx, id)
	return l, err
}

// stateOf is the state of a lead that comes into a stage.
func (r *Room) stateOf(tx store.Tx, s Stage) string {
	switch s.Kind {
	case Won:
		return LeadQualified
	case Lost:
		return LeadDisqualified
	}
	if begin, err := r.first(tx, Leads, s.Pipeline); err == nil && begin.ID == s.ID {
		return LeadNew
	}
	return LeadWorking
}

// Conversion says what a lead is to become.
type Conversion struct {
	Contact  record.ID // the customer it is; zero finds the one of its phone or e-mail, or makes one
	NoDeal   bool      // only a customer
	Title    string    // of the deal; "" is the lead's own
	Pipeline record.ID // of the deal; zero is the first
}

// Convert makes a lead a customer and a deal, in one transaction, and closes the lead as qualified. The customer may be
// one who is known by the lead's phone or e-mail already: then what he lacks is not filled in. A lead that was converted
// before is a Conflict.
func (r *Room) Convert(ctx context.Context, id record.ID, version uint64, c Conversion) (l Lead, err error) {
	if version == 0 {
		return Lead{}, fault.New(fault.Invalid, "record.version-missing")
	}
	err = r.book.Update(ctx, func(tx store.Tx) error {
		rec, err := r.convertTx(ctx, tx, id, version, c)
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

func (r *Room) convertTx(ctx context.Context, tx store.Tx, id record.ID, version uint64, c Conversion) (record.Record, error) {
	rec, err := r.book.Raw(tx, Leads, id)
	if err != nil {
		return record.Record{}, err
	}
	if err := r.book.Require(ctx, tx, access.Change, rec); err != nil {
		return record.Record{}, err
	}
	switch {
	case !rec.Link("contact").Zero():
		return record.Record{}, fault.New(fault.Conflict, "lead.converted")
	case version != rec.Version():
		return record.Record{}, fault.New(fault.Conflict, "record.changed", "version", rec.Version(), "by", rec.UpdatedBy())
	}
	// What the actor may not read of the lead must not come to light in what he makes of it.
	seen, err := r.book.GetTx(ctx, tx, Leads, id)
	if err != nil {
		return record.Record{}, err
	}
	l := LeadFromRecord(seen)
	l.Stage, l.Owner = rec.Link("stage"), rec.Text("owner")
	if actor := access.ActorFrom(ctx); l.Owner == "" && isPerson(actor) {
		l.Owner = actor.ID
	}
	customer, err := r.customer(ctx, tx, l, c.Contact)
	if err != nil {
		return record.Record{}, err
	}
	now := r.now()
	values := record.Values{"contact": customer, "state": LeadQualified, "closed_at": now, "lost_reason": nil}
	about := map[string]string{"contact": customer.String()}
	if !c.NoDeal {
		made, err := r.dealOf(ctx, tx, l, customer, c)
		if err != nil {
			return record.Record{}, err
		}
		values["deal"], about["deal"] = made, made.String()
	}
	if at, ok := r.stage(tx, l.Stage); ok && at.Kind != Won {
		if won, ok := r.wonStage(tx, at.Pipeline); ok {
			values["stage"], values["stage_since"] = won.ID, now
		}
	}
	if _, err := r.book.ChangeTx(moving(ctx), tx, record.Change{Entity: Leads, ID: id, Version: version, Inside: true, Values: values,
		Fact: "lead.converted", About: about}); err != nil {
		return record.Record{}, err
	}
	return r.book.GetTx(ctx, tx, Leads, id)
}

// wonStage is the first stage of a pipeline in which its leads are qualified.
func (r *Room) wonStage(tx store.Tx, pipeline record.ID) (Stage, bool) {
	for _, s := range r.stages(tx, pipeline) {
		if s.Kind == Won {
			return s, true
		}
	}
	return Stage{}, false
}

// customer finds or makes the contact that a lead becomes. A contact with the same phone or e-mail that the actor may not
// see is passed over: to him it does not exist.
func (r *Room) customer(ctx context.Context, tx store.Tx, l Lead, chosen record.ID) (record.ID, error) {
	if !chosen.Zero() {
		if _, err := r.book.GetTx(ctx, tx, "contact", chosen); err != nil {
			return record.ID{}, fault.InvalidField("contact", "field.link")
		}
		return chosen, nil
	}
	if err := r.gate.Require(ctx, access.Create, access.Object{Entity: "contact"}); err != nil {
		return record.ID{}, err
	}
	for _, identity := range []struct{ kind, handle string }{{contact.Email, l.Email}, {contact.Phone, l.Phone}} {
		for _, known := range r.contacts.KnownTx(tx, identity.kind, identity.handle) {
			if _, err := r.book.GetTx(ctx, tx, "contact", known); err == nil {
				return known, nil
			}
		}
	}
	values := record.Values{"kind": "person", "name": l.Name, "company": l.Company, "note": l.Note, "owner": l.Owner}
	if l.Name == "" && l.Company != "" {
		values["kind"], values["name"] = "company", l.Company
	}
	if l.Phone != "" {
		values["phones"] = []string{l.Phone}
	}
	if l.Email != "" {
		values["emails"] = []string{l.Email}
	}
	made, err := r.book.CreateTx(ctx, tx, record.Change{Entity: "contact", Values: values, Inside: true, About: map[string]string{"via": Leads}})
	return made.ID, err
}

// dealOf makes the deal that a lead becomes.
func (r *Room) dealOf(ctx context.Context, tx store.Tx, l Lead, customer record.ID, c Conversion) (record.ID, error) {
	if err := r.gate.Require(ctx, access.Create, access.Object{Entity: Deals}); err != nil {
		return record.ID{}, err
	}
	begin, err := r.first(tx, Deals, c.Pipeline)
	if err != nil {
		return record.ID{}, err
	}
	title := strings.TrimSpace(c.Title)
	if title == "" {
		title = l.Title()
	}
	values := record.Values{"title": title, "contact": customer, "pipeline": begin.Pipeline, "stage": begin.ID, "owner": l.Owner,
		"source": l.Source, "note": l.Note}
	if l.Value != (schema.Amount{}) {
		values["value"] = l.Value
	}
	made, err := r.book.CreateTx(ctx, tx, record.Change{Entity: Deals, Values: values, Inside: true, About: map[string]string{"lead": l.ID.String()}})
	return made.ID, err
}
