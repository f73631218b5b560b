package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// The formats of an export.
const (
	CSV  = "csv"
	JSON = "json"
	XLSX = "xlsx"
	VCF  = "vcf" // customers only
)

// Order says what to take out.
type Order struct {
	Entity    string
	Filter    string   // in the filter language; "" for all
	Fields    []string // none: all that the actor may read and that are not sensitive
	Format    string   // "" for CSV
	Sensitive bool     // sensitive fields too
	Mark      bool     // a CSV begins with a byte order mark, by which Excel knows UTF-8
}

// Exporter is an order that was checked. It takes records out once.
type Exporter struct {
	office *Office
	entity *schema.Entity
	order  Order
	filter *filter.Filter
	fields []column
	every  bool // the actor may take out all that he sees
}

// column is a field of an export: one of the schema's, or, where that is nil, one that every record has of itself.
type column struct {
	name  string
	field *schema.Field
}

// ownColumns are what every record has of itself and an export may show.
func ownColumns() []string {
	return []string{"id", "version", "created_at", "updated_at", "created_by", "updated_by"}
}

// Prepare checks an order of the actor's: permission "export", filter, fields. Nothing is read yet.
func (o *Office) Prepare(ctx context.Context, order Order) (*Exporter, error) {
	e := o.Book.Schema().Entity(order.Entity)
	if e == nil || e.Hidden {
		return nil, fault.Missing("entity", order.Entity)
	}
	rights, err := o.Gate.FilterFor(ctx, access.Export, e.Name)
	if err != nil {
		return nil, err
	}
	if order.Format == "" {
		order.Format = CSV
	}
	formats := []string{CSV, JSON, XLSX}
	if e.Name == "contact" {
		formats = append(formats, VCF)
	}
	if !slices.Contains(formats, order.Format) {
		return nil, fault.InvalidField("format", "field.choice", "choices", strings.Join(formats, ", "))
	}
	x := &Exporter{office: o, entity: e, order: order, every: rights.All && rights.Where == ""}
	if order.Filter != "" {
		if x.filter, err = o.Book.Parse(ctx, e.Name, order.Filter); err != nil {
			return nil, err
		}
	}
	x.fields, err = o.columns(ctx, e, order)
	return x, err
}

// columns are the fields of an export, in the order that was asked for.
func (o *Office) columns(ctx context.Context, e *schema.Entity, order Order) (columns []column, err error) {
	if len(order.Fields) == 0 {
		columns = []column{{name: "id"}, {name: "created_at"}, {name: "updated_at"}}
		for i := range e.Fields {
			f := &e.Fields[i]
			if o.Book.Readable(ctx, e, f.Name) && (order.Sensitive || !f.Sensitive) && f.Type != schema.Data {
				columns = append(columns, column{f.Name, f})
			}
		}
		return columns, nil
	}
	for _, name := range order.Fields {
		f := e.Field(name)
		switch {
		case slices.ContainsFunc(columns, func(c column) bool { return c.name == name }):
			continue
		case slices.Contains(ownColumns(), name):
			f = nil
		case !o.Book.Readable(ctx, e, name):
			return nil, fault.InvalidField("fields", "list.unknown-field", "field", name)
		case f.Sensitive && !order.Sensitive:
			return nil, fault.InvalidField("fields", "export.sensitive", "field", name)
		}
		columns = append(columns, column{name, f})
	}
	return columns, nil
}

// Fields lists the names of what is taken out of each record.
func (x *Exporter) Fields() (names []string) {
	for _, c := range x.fields {
		names = append(names, c.name)
	}
	return names
}

// MediaType is that of the file.
func (x *Exporter) MediaType() string {
	switch x.order.Format {
	case JSON:
		return "application/json"
	case XLSX:
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case VCF:
		return "text/vcard; charset=utf-8"
	}
	return "text/csv; charset=utf-8; header=present"
}

// FileName is what the file may be called.
func (x *Exporter) FileName() string {
	return x.entity.Name + "-" + x.office.Now().In(x.office.Book.Zone()).Format(time.DateOnly) + "." + x.order.Format
}

// sheet is a file on its way.
type sheet interface {
	head(columns []column) error
	add(r record.Record) error
	end() error
}

// Write takes the records out, oldest first, a page a transaction, so that a slow reader of the file holds nothing of
// the store. Progress, which may be nil, is told how many there are so far. What was taken out is told to the journal in
// any case, also when the file broke off.
func (x *Exporter) Write(ctx context.Context, w io.Writer, progress func(int)) (n int, err error) {
	out, err := x.sheet(w)
	if err != nil {
		return 0, err
	}
	defer func() {
		noted := x.office.Journal.Note(ctx, journal.Exported(x.entity.Name, x.Fields(), n))
		if err == nil {
			err = noted
		}
	}()
	if err := out.head(x.fields); err != nil {
		return 0, broken(err)
	}
	q := record.Query{Entity: x.entity.Name, Filter: x.filter, Limit: record.MaxLimit}
	for {
		page, err := x.page(ctx, q)
		if err != nil {
			return n, err
		}
		for _, r := range page.Records {
			if err := out.add(r); err != nil {
				return n, broken(err)
			}
			n++
		}
		if progress != nil && len(page.Records) > 0 {
			progress(n)
		}
		if q.Cursor = page.Next; page.Next == "" {
			return n, broken(out.end())
		}
	}
}

// broken is the error of a file that cannot be written.
func broken(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fault.Wrap(fmt.Errorf("write export: %w", err), fault.Unavailable, "disk.full")
	}
	return fmt.Errorf("write export: %w", err)
}

func (x *Exporter) page(ctx context.Context, q record.Query) (page record.Page, err error) {
	err = x.office.Book.View(ctx, func(tx store.Tx) error {
		if !x.every {
			q.Keep = func(r record.Record) bool { return x.office.Book.Allowed(ctx, tx, access.Export, r) }
		}
		page, err = x.office.Book.ListTx(ctx, tx, q)
		return err
	})
	return page, err
}

func (x *Exporter) sheet(w io.Writer) (sheet, error) {
	switch x.order.Format {
	case JSON:
		return newJSONSheet(w, x.fields), nil
	case XLSX:
		return newWorkbook(w, x.entity.Name, x.fields, x.office.Book.Zone())
	case VCF:
		return newCards(w, x.fields, x.office.Now), nil
	}
	return newCSVSheet(w, x.fields, x.order.Mark), nil
}
