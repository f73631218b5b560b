// Package deal holds what may be sold: leads, of whom little is known, deals with customers, and the pipelines of stages
// through which both move.
//
// It owns the entities pipeline, stage, deal and lead, the bucket deal.begun (that the first pipelines were made), the
// facts deal.moved, deal.won, deal.lost, deal.reopened, lead.moved and lead.converted, and those that record writes of
// its entities.
//
// It promises that a deal or a lead stands in a stage of its own kind of pipeline, in the first where whoever made it
// named none, and moves by Move and MoveLead only, so that when it was closed and how long it has stood in its stage is
// always right; that two who move one deal do not overwrite each other; that a stage is not taken away from under what
// stands in it; and that a lead becomes a customer and a deal in one transaction, once.
//
// It will not convert currencies: sums are by currency. It will not say what an offer costs or looks like.
package deal

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// What a pipeline holds.
const (
	Leads = "lead"
	Deals = "deal"
)

// Kinds of stage. What moves into a won or lost stage is closed.
const (
	Open = "open"
	Won  = "won"
	Lost = "lost"
)

// States of a lead, which follow from its stage.
const (
	LeadNew          = "new"
	LeadWorking      = "working"
	LeadQualified    = "qualified"
	LeadDisqualified = "disqualified"
)

// sources are where leads and deals come from. An office adds its own choices.
func sources() []string {
	return []string{"phone", "email", "website", "webchat", "social", "referral", "advert", "event", "visit", "import", "other"}
}

// Entities are the pipeline, the stage, the lead and the deal as schema knows them. An amount that names no currency is
// in the given one. Never change or reuse a number.
func Entities(currency string) []schema.Entity {
	return []schema.Entity{pipelineEntity(), stageEntity(), leadEntity(currency), dealEntity(currency)}
}

func dealEntity(currency string) schema.Entity {
	return schema.Entity{
		Name: "deal", Title: "title", Owner: "owner", Via: "contact", Contact: "contact", Timeline: true,
		Fields: []schema.Field{
			{Number: 16, Name: "title", Type: schema.Text, Required: true, Indexed: true, Max: 300},
			{Number: 17, Name: "contact", Type: schema.Link, Target: "contact", Required: true, Indexed: true},
			{Number: 18, Name: "company", Type: schema.Link, Target: "contact", Indexed: true},
			{Number: 19, Name: "pipeline", Type: schema.Link, Target: "pipeline", Required: true},
			{Number: 20, Name: "stage", Type: schema.Link, Target: "stage", Required: true, Indexed: true},
			{Number: 21, Name: "value", Type: schema.Money, Currency: currency},
			{Number: 22, Name: "owner", Type: schema.Staff, Indexed: true},
			{Number: 23, Name: "expected_close", Type: schema.Date, Indexed: true},
			{Number: 24, Name: "closed_at", Type: schema.Time, Closed: true, Indexed: true},
			{Number: 25, Name: "lost_reason", Type: schema.Text, Max: 300},
			{Number: 26, Name: "source", Type: schema.Choice, Choices: sources()},
			{Number: 27, Name: "note", Type: schema.LongText, Max: 64 << 10},
			{Number: 28, Name: "stage_since", Type: schema.Time, Closed: true},
		},
	}
}

func leadEntity(currency string) schema.Entity {
	return schema.Entity{
		Name: "lead", Title: "name", Owner: "owner", Via: "contact", Contact: "contact", Timeline: true,
		Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Indexed: true, Max: 300},
			{Number: 17, Name: "company", Type: schema.Text, Max: 300},
			{Number: 18, Name: "phone", Type: schema.Phone, Max: 60},
			{Number: 19, Name: "email", Type: schema.Email, Max: 320},
			{Number: 20, Name: "source", Type: schema.Choice, Choices: sources()},
			{Number: 21, Name: "state", Type: schema.Choice, Choices: []string{LeadNew, LeadWorking, LeadQualified, LeadDisqualified}, Default: LeadNew, Closed: true, Indexed: true},
			{Number: 22, Name: "stage", Type: schema.Link, Target: "stage", Required: true, Indexed: true},
			{Number: 23, Name: "owner", Type: schema.Staff, Indexed: true},
			{Number: 24, Name: "value", Type: schema.Money, Currency: currency},
			{Number: 25, Name: "note", Type: schema.LongText, Max: 64 << 10},
			{Number: 26, Name: "lost_reason", Type: schema.Text, Max: 300},
			{Number: 27, Name: "contact", Type: schema.Link, Target: "contact", Closed: true, Indexed: true}, // whom it became
			{Number: 28, Name: "deal", Type: schema.Link, Target: "deal", Closed: true, Indexed: true},
			{Number: 29, Name: "stage_since", Type: schema.Time, Closed: true},
			{Number: 30, Name: "closed_at", Type: schema.Time, Closed: true, Indexed: true},
		},
	}
}

// CurrencyOf is the currency of a country in ISO 3166 letters, as ILS for IL. A country that is not known has USD.
func CurrencyOf(country string) string {
	region, err := language.ParseRegion(country)
	if err == nil {
		if unit, ok := currency.FromRegion(region); ok {
			return unit.String()
		}
	}
	return currency.USD.String()
}

// Deal is one thing that may be sold to a customer, decoded for those who need all of it.
type Deal struct {
	ID            record.ID
	Version       uint64
	Title         string
	Contact       record.ID
	ContactName   string
	Company       record.ID
	CompanyName   string
	Pipeline      record.ID
	Stage         record.ID
	Value         schema.Amount // the zero Amount where it is not known, or not for the actor
	Owner         string        // account id, "" for nobody's
	ExpectedClose string        // as 2026-11-22
	ClosedAt      time.Time     // zero while it is open
	LostReason    string
	Source        string
	Note          string
	StageSince    time.Time
	CreatedAt     time.Time
}

// Room keeps leads and deals in a book.
type Room struct {
	book     *record.Book
	gate     *access.Gate
	journal  *journal.Journal
	contacts *contact.Room
	now      func() time.Time
}

// Parts is what a Room is made of.
type Parts struct {
	Book     *record.Book
	Gate     *access.Gate
	Journal  *journal.Journal
	Contacts *contact.Room
	Now      func() time.Time
}

// New opens the room and hooks it into the book.
func New(p Parts) *Room {
	r := &Room{book: p.Book, gate: p.Gate, journal: p.Journal, contacts: p.Contacts, now: p.Now}
	r.book.Watch("pipeline", r.pipelineWritten)
	r.book.Watch("stage", r.stageWritten)
	r.book.Watch(Deals, r.dealWritten)
	r.book.Watch(Leads, r.leadWritten)
	r.book.Complete(Deals, r.begin(Deals), "pipeline", "stage")
	r.book.Complete(Leads, r.begin(Leads), "stage")
	return r
}

// Get reads a deal that the actor may see. That he did stands in the journal.
func (r *Room) Get(ctx context.Context, id record.ID) (Deal, error) {
	d, rec, err := r.shown(ctx, id)
	if err != nil {
		return Deal{}, err
	}
	return d, r.book.TellRead(ctx, rec)
}

// Title is what a deal is called, "" for who may not see it.
func (r *Room) Title(ctx context.Context, id record.ID) string {
	d, _, err := r.shown(ctx, id)
	if err != nil {
		return ""
	}
	return d.Title
}

// shown reads a deal as the actor may read it.
func (r *Room) shown(ctx context.Context, id record.ID) (d Deal, rec record.Record, err error) {
	err = r.book.View(ctx, func(tx store.Tx) (err error) {
		if rec, err = r.book.GetTx(ctx, tx, Deals, id); err == nil {
			d = r.deal(ctx, tx, rec)
		}
		return err
	})
	return d, rec, err
}

// FromRecord decodes a deal record that was read elsewhere, as on the timeline. It does not know the customer's name.
func FromRecord(rec record.Record) Deal {
	value, _ := rec.Amount("value")
	return Deal{ID: rec.ID, Version: rec.Version(), Title: rec.Text("title"), Contact: rec.Link("contact"), Company: rec.Link("company"),
		Pipeline: rec.Link("pipeline"), Stage: rec.Link("stage"), Value: value, Owner: rec.Text("owner"),
		ExpectedClose: rec.Text("expected_close"), ClosedAt: rec.Time("closed_at"), LostReason: rec.Text("lost_reason"),
		Source: rec.Text("source"), Note: rec.Text("note"), StageSince: since(rec), CreatedAt: rec.CreatedAt()}
}

// since is when a deal or a lead came into its stage.
func since(rec record.Record) time.Time {
	if at := rec.Time("stage_since"); !at.IsZero() {
		return at
	}
	return rec.CreatedAt()
}

func (r *Room) deal(ctx context.Context, tx store.Tx, rec record.Record) Deal {
	d := FromRecord(rec)
	d.ContactName, d.CompanyName = r.named(ctx, tx, d.Contact), r.named(ctx, tx, d.Company)
	return d
}

func (r *Room) named(ctx context.Context, tx store.Tx, id record.ID) string {
	if id.Zero() {
		return ""
	}
	return r.contacts.Named(ctx, tx, id)
}

// Create makes a deal out of field values. One that names no stage begins in the first stage of the first pipeline, or of
// the pipeline that it names; one that names no owner is its maker's.
func (r *Room) Create(ctx context.Context, values record.Values) (Deal, error) {
	return r.CreateOnce(ctx, "", values)
}

// CreateOnce is Create for a form that may be sent twice: the same actor's same key makes one deal.
func (r *Room) CreateOnce(ctx context.Context, key string, values record.Values) (Deal, error) {
	id, err := r.create(ctx, Deals, key, values)
	if err != nil {
		return Deal{}, err
	}
	d, _, err := r.shown(ctx, id)
	return d, err
}

// Change changes some fields of the version that was seen, all but the stage.
func (r *Room) Change(ctx context.Context, id record.ID, version uint64, values record.Values) (Deal, error) {
	if _, err := r.book.Change(ctx, Deals, id, version, values); err != nil {
		return Deal{}, err
	}
	d, _, err := r.shown(ctx, id)
	return d, err
}

// Of gives the newest deals with a customer, also those in which it is the company, that the actor may see; open ones
// first.
func (r *Room) Of(ctx context.Context, customer record.ID, limit int) (deals []Deal, err error) {
	if limit <= 0 || limit > record.MaxLimit {
		limit = record.DefaultLimit
	}
	err = r.book.View(ctx, func(tx store.Tx) error {
		deals = nil
		seen := map[record.ID]bool{}
		for _, link := range []string{"contact", "company"} {
			found := 0
			for linked := range r.book.Linked(tx, Deals, link, customer, record.ID{}) {
				rec, err := r.book.GetTx(ctx, tx, Deals, linked.ID)
				if err != nil || seen[rec.ID] {
					continue
				}
				seen[rec.ID] = true
				deals = append(deals, r.deal(ctx, tx, rec))
				if found++; found == limit {
					break
				}
			}
		}
		return ctx.Err()
	})
	slices.SortStableFunc(deals, func(a, b Deal) int {
		if a.ClosedAt.IsZero() != b.ClosedAt.IsZero() {
			return cmp.Compare(a.ClosedAt.Unix(), b.ClosedAt.Unix()) // the zero time is before all others
		}
		return b.CreatedAt.Compare(a.CreatedAt)
	})
	return deals[:min(limit, len(deals))], err
}
