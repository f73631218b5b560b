package transfer

import (
	"context"
	"strings"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// rowsBucket remembers which rows an import brought: the row's key, and the record it became.
const rowsBucket = "transfer.rows"

// Records is an Importer of records of any kind, by the schema. A row with an id changes that record, or makes it with
// that id; one without makes a record, once. Everything else is as record has it: rights, required and unique fields.
func (o *Office) Records(e *schema.Entity) Importer { return &entries{office: o, entity: e} }

type entries struct {
	office *Office
	entity *schema.Entity
}

// Import implements Importer.
func (i *entries) Import(ctx context.Context, rows []Draft) (outcomes []Outcome, errs []error, err error) {
	if err := i.office.Gate.Require(ctx, access.Import, access.Object{Entity: i.entity.Name}); err != nil {
		return nil, nil, err
	}
	people, err := i.people(ctx, rows)
	if err != nil {
		return nil, nil, err
	}
	book := i.office.Book
	err = book.Update(ctx, func(tx store.Tx) error {
		outcomes, errs = make([]Outcome, len(rows)), make([]error, len(rows))
		return book.Together(ctx, tx, func(ctx context.Context) error {
			for n, row := range rows {
				outcomes[n], errs[n] = i.take(ctx, tx, row, people)
				switch fault.KindOf(errs[n]) {
				case fault.Internal, fault.Unavailable:
					if errs[n] != nil {
						return errs[n]
					}
				}
			}
			return ctx.Err()
		})
	})
	return outcomes, errs, err
}

// people looks up the accounts that rows name by their addresses, which cannot be done inside a transaction.
func (i *entries) people(ctx context.Context, rows []Draft) (map[string]string, error) {
	known := map[string]string{}
	for _, row := range rows {
		for f := range i.fieldsOf(schema.Staff) {
			for _, text := range textsIn(row.Values[f.Name]) {
				if _, asked := known[text]; asked || !strings.Contains(text, "@") {
					continue
				}
				a, err := i.office.Staff.ByEmail(ctx, text)
				if err != nil && fault.KindOf(err) != fault.NotFound {
					return nil, err
				}
				known[text] = a.ID
			}
		}
	}
	return known, nil
}

func (i *entries) fieldsOf(kind schema.Type) func(func(*schema.Field) bool) {
	return func(yield func(*schema.Field) bool) {
		for n := range i.entity.Fields {
			if f := &i.entity.Fields[n]; f.Type == kind && !yield(f) {
				return
			}
		}
	}
}

func textsIn(value any) (texts []string) {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok {
				texts = append(texts, s)
			}
		}
	}
	return texts
}

// take writes one row.
func (i *entries) take(ctx context.Context, tx store.Tx, row Draft, people map[string]string) (Outcome, error) {
	rows := tx.Bucket(rowsBucket)
	values, id, err := i.resolved(ctx, tx, row, people)
	if err != nil {
		return Unchanged, err
	}
	change := record.Change{Entity: i.entity.Name, ID: id, Values: values, About: map[string]string{"via": "import"}}
	if !id.Zero() {
		before, err := i.office.Book.GetTx(ctx, tx, i.entity.Name, id)
		if err == nil {
			change.Version = before.Version()
			after, err := i.office.Book.ChangeTx(ctx, tx, change)
			if err != nil || after.Version() == before.Version() {
				return Unchanged, err
			}
			return Updated, nil
		}
		if fault.KindOf(err) != fault.NotFound {
			return Unchanged, err
		}
	} else if rows.Get([]byte(row.Key)) != nil {
		return Unchanged, nil
	}
	made, err := i.office.Book.CreateTx(ctx, tx, change)
	if err != nil {
		return Unchanged, err
	}
	if id.Zero() {
		rows.Put([]byte(row.Key), made.ID[:])
	}
	return Created, nil
}

// resolved are the row's values with ids in place of titles and addresses, and the id of its record, zero for none.
func (i *entries) resolved(ctx context.Context, tx store.Tx, row Draft, people map[string]string) (values record.Values, id record.ID, err error) {
	values = record.Values{}
	for name, value := range row.Values {
		f := i.entity.Field(name)
		switch {
		case name == idColumn && f == nil:
			text, _ := value.(string)
			if id, err = record.ParseID(text); err != nil {
				return nil, id, fault.InvalidField(idColumn, "id.invalid", "id", cut(text, 80))
			}
			continue
		case f == nil:
		case f.Type == schema.Link:
			value, err = each(value, func(text string) (string, error) { return i.linked(ctx, tx, f, text) })
		case f.Type == schema.Staff:
			value, err = each(value, func(text string) (string, error) {
				if found, asked := people[text]; asked && found == "" {
					return "", fault.InvalidField(f.Name, "transfer.owner", "column", f.Name, "value", cut(text, 80))
				} else if asked {
					return found, nil
				}
				return text, nil
			})
		}
		if err != nil {
			return nil, id, err
		}
		values[name] = value
	}
	return values, id, nil
}

// each puts every text of a value through a function.
func each(value any, fn func(string) (string, error)) (any, error) {
	switch v := value.(type) {
	case string:
		return fn(v)
	case []any:
		out := make([]any, len(v))
		for n, item := range v {
			text, ok := item.(string)
			if !ok {
				return value, nil // record says what is wrong with it
			}
			found, err := fn(text)
			if err != nil {
				return nil, err
			}
			out[n] = found
		}
		return out, nil
	}
	return value, nil
}

// linked is the id of the record that a cell names: by its id, or by its title if one record only has it.
func (i *entries) linked(ctx context.Context, tx store.Tx, f *schema.Field, text string) (string, error) {
	if _, err := record.ParseID(text); err == nil || text == "" {
		return text, nil
	}
	target := i.office.Book.Schema().Entity(f.Target)
	title := target.Field(target.Title)
	if title == nil || !title.Indexed {
		return "", fault.InvalidField(f.Name, "field.link")
	}
	found := ""
	for r := range i.office.Book.With(tx, target.Name, title.Name, text) {
		if !i.office.Book.Allowed(ctx, tx, access.See, r) || i.office.Gate.Fields(ctx, target.Name).Hidden(title.Name) {
			continue
		}
		if found != "" {
			return "", fault.InvalidField(f.Name, "transfer.link-ambiguous", "column", f.Name, "value", cut(text, 80))
		}
		found = r.ID.String()
	}
	if found == "" {
		return "", fault.InvalidField(f.Name, "transfer.link", "column", f.Name, "value", cut(text, 80))
	}
	return found, nil
}
