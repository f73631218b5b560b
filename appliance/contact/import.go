package contact

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// Draft is a contact as a file or another system describes it.
type Draft struct {
	Kind       string
	Name       string
	Company    string
	Phones     []string
	Emails     []string
	City       string
	Address    string
	Note       string
	Birthday   string
	Owner      string // account id
	ExternalID string // the other system's id
	Language   string
	Source     string
	Tags       []ID
	Key        string // the same for the same row each time it comes; it is taken once
	Anew       bool   // take it also where the person asked to be forgotten
}

// Outcome is what an import did with a draft.
type Outcome int

const (
	Unchanged Outcome = iota // everything it says stands here already
	Created
	Updated // fields that were empty are filled, identities added
)

// Import takes a batch of drafts in one transaction. Errs has the reason for each draft that was refused, nil for the
// others; err is about the whole batch, of which then nothing was taken. A draft that came before, or that says no more
// than its contact, changes nothing. With dry nothing is kept.
func (r *Room) Import(ctx context.Context, drafts []Draft, dry bool) (outcomes []Outcome, errs []error, err error) {
	if err := r.gate.Require(ctx, access.Import, access.Object{Entity: "contact"}); err != nil {
		return nil, nil, err
	}
	err = r.book.Update(ctx, func(tx store.Tx) error {
		return r.book.Together(ctx, tx, func(ctx context.Context) error {
			outcomes, errs, err = r.takeAll(ctx, tx, drafts)
			if err == nil && dry {
				return errDry
			}
			return err
		})
	})
	if errors.Is(err, errDry) {
		err = nil
	}
	return outcomes, errs, err
}

func (r *Room) takeAll(ctx context.Context, tx store.Tx, drafts []Draft) ([]Outcome, []error, error) {
	outcomes, errs := make([]Outcome, len(drafts)), make([]error, len(drafts))
	forgotten := anyMarks(tx)
	for i, d := range drafts {
		if forgotten && !d.Anew {
			if field := r.forgottenIn(tx, d); field != "" {
				errs[i] = fault.InvalidField(field, "contact.forgotten")
				continue
			}
		}
		outcomes[i], errs[i] = r.take(ctx, tx, d)
		if errs[i] != nil && fault.KindOf(errs[i]) != fault.Invalid {
			return nil, nil, errs[i]
		}
	}
	return outcomes, errs, nil
}

// errDry takes a rehearsed transaction back.
var errDry = fault.New(fault.Conflict, "import.dry")

func (r *Room) take(ctx context.Context, tx store.Tx, d Draft) (Outcome, error) {
	pairs := r.pairsOf(d)
	at := rowOf(d.Key, pairs)
	if at.known(tx) {
		return Unchanged, nil
	}
	if d.Name == "" && len(d.Phones) == 0 && len(d.Emails) == 0 {
		return Unchanged, fault.InvalidField("name", "contact.nameless")
	}
	id, err := r.same(tx, d, pairs)
	if err != nil {
		return Unchanged, err
	}
	outcome := Created
	change := record.Change{Entity: "contact", Values: d.values(), Inside: true, About: map[string]string{"via": "import"}}
	if id.Zero() {
		rec, err := r.book.CreateTx(ctx, tx, change)
		if err != nil {
			return Unchanged, err
		}
		id = rec.ID
	} else {
		old, err := r.book.Raw(tx, "contact", id)
		if err != nil {
			return Unchanged, err
		}
		change.ID, change.Values = id, r.missing(old, change.Values)
		rec, err := r.book.ChangeTx(ctx, tx, change)
		if err != nil {
			return Unchanged, err
		}
		outcome = Updated
		if rec.Version() == old.Version() {
			outcome = Unchanged
		}
	}
	at.put(tx, id)
	return outcome, nil
}

// pairsOf are the identities of a draft as kind NUL handle, addresses first: they say more than a phone.
func (r *Room) pairsOf(d Draft) []string {
	pairs := make([]string, 0, len(d.Emails)+len(d.Phones))
	for _, typed := range d.Emails {
		if handle := r.handle(Email, typed); handle != "" {
			pairs = append(pairs, Email+"\x00"+handle)
		}
	}
	for _, typed := range d.Phones {
		if handle := r.handle(Phone, typed); handle != "" {
			pairs = append(pairs, Phone+"\x00"+handle)
		}
	}
	return pairs
}

func (d Draft) values() record.Values {
	values := record.Values{}
	for name, value := range map[string]string{"kind": d.Kind, "name": d.Name, "company": d.Company, "city": d.City,
		"address": d.Address, "note": d.Note, "birthday": d.Birthday, "owner": d.Owner, "external_id": d.ExternalID,
		"language": d.Language, "source": d.Source} {
		if value != "" {
			values[name] = value
		}
	}
	if len(d.Phones) > 0 {
		values["phones"] = d.Phones
	}
	if len(d.Emails) > 0 {
		values["emails"] = d.Emails
	}
	if len(d.Tags) > 0 {
		values["tags"] = d.Tags
	}
	return values
}

// same finds the contact that a draft describes: by the other system's id, or by an identity together with the name.
// An identity alone is not enough, since a family shares a phone, but where one of the two has no name yet.
func (r *Room) same(tx store.Tx, d Draft, pairs []string) (ID, error) {
	if d.ExternalID != "" {
		for rec := range r.book.With(tx, "contact", "external_id", d.ExternalID) {
			return rec.ID, nil
		}
	}
	for _, pair := range pairs {
		for _, id := range allOf(tx, pair) {
			rec, err := r.book.Raw(tx, "contact", id)
			if err != nil {
				return ID{}, err
			}
			if d.ExternalID != "" && rec.Text("external_id") != "" {
				continue // another row of the same other system
			}
			if d.Name == "" || !rec.Has("name") || alike(rec.Text("name"), d.Name) {
				return id, nil
			}
		}
	}
	return ID{}, nil
}

// alike tells whether two names are made of the same words in any order.
func alike(a, b string) bool {
	x, y := search.Words(a), search.Words(b)
	slices.Sort(x)
	slices.Sort(y)
	return len(x) > 0 && strings.Join(x, " ") == strings.Join(y, " ")
}

// missing keeps of values what the contact does not say yet.
func (r *Room) missing(old record.Record, values record.Values) record.Values {
	kept := record.Values{}
	for name, value := range values {
		switch v := value.(type) {
		case []string:
			if all := r.union(name, old.Texts(name), v); len(all) > len(old.Texts(name)) {
				kept[name] = all
			}
		case []ID:
			all := old.Links(name)
			for _, id := range v {
				if !slices.Contains(all, id) {
					all = append(all, id)
				}
			}
			if len(all) > len(old.Links(name)) {
				kept[name] = all
			}
		default:
			if !old.Has(name) {
				kept[name] = value
			}
		}
	}
	return kept
}

// union adds handles that are not there in another written form.
func (r *Room) union(field string, have, more []string) []string {
	kind := Phone
	if field == "emails" {
		kind = Email
	}
	all := slices.Clone(have)
	for _, h := range more {
		known := slices.ContainsFunc(all, func(other string) bool {
			return other == h || r.handle(kind, other) != "" && r.handle(kind, other) == r.handle(kind, h)
		})
		if !known {
			all = append(all, h)
		}
	}
	return all
}
