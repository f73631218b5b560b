package kit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// deepest is how many records may have to be made for one.
const deepest = 5

// make makes a record of any kind of the office, with a value in each field that needs one. Records that it links to
// are made too, but for those of which the office has one already.
func (c *Core) make(ctx context.Context, entity string) (record.Record, error) {
	return c.makeWithin(ctx, entity, deepest)
}

func (c *Core) makeWithin(ctx context.Context, entity string, depth int) (record.Record, error) {
	e := c.Book.Schema().Entity(entity)
	if e == nil {
		return record.Record{}, fault.New(fault.Invalid, "schema.no-entity", "entity", entity)
	}
	values := record.Values{}
	for _, f := range e.Fields {
		if f.Closed || f.Hidden || f.Formula != "" || f.Default != nil || !f.Required && f.Name != e.Title && f.Name != e.Contact {
			continue
		}
		if f.Type == schema.Link && c.Book.Completes(entity, f.Name) {
			continue
		}
		value, err := c.value(ctx, f, depth)
		if err != nil {
			return record.Record{}, err
		}
		if value != nil {
			values[f.Name] = value
		}
	}
	return c.Book.Create(ctx, entity, values)
}

// value gives a value that a field takes, nil for one that only people have.
func (c *Core) value(ctx context.Context, f schema.Field, depth int) (any, error) {
	var one any
	switch f.Type {
	case schema.Text, schema.LongText:
		one = "Probe " + strings.ReplaceAll(record.NewID().String(), "-", "")[16:]
	case schema.Choice:
		one = f.Choices[0]
	case schema.Number:
		one = float64(1)
	case schema.YesNo:
		one = true
	case schema.Time:
		one = time.Now()
	case schema.Date:
		one = time.Now().Format(time.DateOnly)
	case schema.Money:
		one = schema.Amount{Minor: 100, Currency: "ILS"}
	case schema.Email:
		one = fmt.Sprintf("probe-%s@example.com", record.NewID())
	case schema.Phone:
		one = "+972501234567"
	case schema.URL:
		one = "https://example.com"
	case schema.Link:
		id, err := c.linked(ctx, f.Target, depth-1)
		if err != nil {
			return nil, err
		}
		one = id
	default:
		return nil, nil
	}
	if f.Many {
		return []any{one}, nil
	}
	return one, nil
}

// linked finds a record to link to, or makes one.
func (c *Core) linked(ctx context.Context, entity string, depth int) (string, error) {
	page, err := c.Book.List(ctx, record.Query{Entity: entity, Limit: 1})
	if err != nil {
		return "", err
	}
	if len(page.Records) > 0 {
		return page.Records[0].ID.String(), nil
	}
	if depth <= 0 {
		return "", fault.New(fault.Invalid, "schema.no-entity", "entity", entity)
	}
	r, err := c.makeWithin(ctx, entity, depth)
	return r.ID.String(), err
}
