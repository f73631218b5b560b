package transfer

import (
	"context"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/staff"
)

// Office is where imports put records and exports take them from. It is an Importer of customers.
type Office struct {
	Book     *record.Book
	Gate     *access.Gate
	Journal  *journal.Journal
	Contacts *contact.Room
	Staff    *staff.Room
	Now      func() time.Time
}

// Import implements Importer by the contact room.
func (o *Office) Import(ctx context.Context, rows []Draft) ([]Outcome, []error, error) {
	drafts, at := make([]contact.Draft, 0, len(rows)), make([]int, 0, len(rows))
	refused := make([]error, len(rows))
	owners := map[string]string{}
	for i, row := range rows {
		owner, err := o.owner(ctx, owners, row.OwnerEmail)
		if fault.KindOf(err) == fault.NotFound && err != nil {
			refused[i] = fault.InvalidField("owner", "transfer.owner", "column", "owner", "value", row.OwnerEmail)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		at = append(at, i)
		drafts = append(drafts, contact.Draft{Kind: row.Kind, Name: row.Name, Company: row.Company, Phones: row.Phones, Emails: row.Emails,
			City: row.City, Address: row.Address, Note: row.Note, Birthday: row.Birthday, Owner: owner, ExternalID: row.ExternalID, Key: row.Key})
	}
	found, errs, err := o.Contacts.Import(ctx, drafts, false)
	if err != nil {
		return nil, nil, err
	}
	outcomes := make([]Outcome, len(rows))
	for n, i := range at {
		outcomes[i], refused[i] = outcomeOf(found[n]), errs[n]
	}
	return outcomes, refused, nil
}

// owner is the id of the account with an address, "" for none.
func (o *Office) owner(ctx context.Context, known map[string]string, email string) (string, error) {
	if id, ok := known[email]; ok || email == "" {
		return id, nil
	}
	a, err := o.Staff.ByEmail(ctx, email)
	if err == nil {
		known[email] = a.ID
	}
	return a.ID, err
}

func outcomeOf(o contact.Outcome) Outcome {
	switch o {
	case contact.Created:
		return Created
	case contact.Updated:
		return Updated
	}
	return Unchanged
}
