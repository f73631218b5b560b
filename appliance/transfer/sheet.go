package transfer

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// plainOf is what a record shows in a column, as a plain value for JSON; nil for nothing.
func plainOf(r record.Record, c column) any {
	switch {
	case c.field != nil && c.field.Type == schema.Formula:
		return r.Computed(c.name)
	case c.field != nil && r.Has(c.name):
		return r.Plain(c.field)
	case c.field != nil && c.field.Type == schema.YesNo && r.Reads(c.name):
		return false
	case c.field != nil:
		return nil
	}
	switch c.name {
	case "id":
		return r.ID.String()
	case "version":
		return r.Version()
	case "created_at":
		return r.CreatedAt().Format(time.RFC3339Nano)
	case "updated_at":
		return r.UpdatedAt().Format(time.RFC3339Nano)
	case "created_by":
		return r.CreatedBy()
	}
	return r.UpdatedBy()
}

// cellOf writes a plain value as the text of one cell. Many values stand with semicolons between; where one of them has
// a semicolon, a bracket or a line end itself, they stand as a JSON list, which an import knows.
func cellOf(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case uint64:
		return strconv.FormatUint(v, 10)
	case schema.Amount:
		return v.String()
	case []string:
		return cellOfMany(v)
	case []record.ID:
		texts := make([]string, len(v))
		for i, id := range v {
			texts[i] = id.String()
		}
		return cellOfMany(texts)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(raw)
}

func cellOfMany(texts []string) string {
	for _, s := range texts {
		if strings.ContainsAny(s, ";\n") || strings.HasPrefix(s, "[") || s != strings.TrimSpace(s) {
			raw, err := json.Marshal(texts)
			if err != nil {
				break
			}
			return string(raw)
		}
	}
	return strings.Join(texts, "; ")
}

// csvSheet writes RFC 4180 with a comma. Cells that a spreadsheet would calculate or shorten are guarded.
type csvSheet struct {
	out     *bufio.Writer
	columns []column
	mark    bool
}

func newCSVSheet(w io.Writer, columns []column, mark bool) *csvSheet {
	return &csvSheet{out: bufio.NewWriterSize(w, 64<<10), columns: columns, mark: mark}
}

func (s *csvSheet) head(columns []column) error {
	if s.mark {
		_, _ = s.out.WriteString("\uFEFF") // the buffer keeps an error for the end
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return s.row(names)
}

func (s *csvSheet) add(r record.Record) error {
	cells := make([]string, len(s.columns))
	for i, c := range s.columns {
		value := plainOf(r, c)
		if cells[i] = cellOf(value); c.typed() {
			cells[i] = guard(cells[i])
		}
	}
	return s.row(cells)
}

// typed tells a column whose cells somebody typed. Numbers, moments and ids are what they are, also a number below zero.
func (c column) typed() bool {
	if c.field == nil {
		return false
	}
	switch c.field.Type {
	case schema.Number, schema.YesNo, schema.Link, schema.Staff, schema.Time, schema.Date:
		return false
	}
	return true
}

func (s *csvSheet) row(cells []string) error {
	for i, cell := range cells {
		if i > 0 {
			_ = s.out.WriteByte(',')
		}
		if strings.ContainsAny(cell, ",\"\r\n") || cell != strings.TrimSpace(cell) {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		_, _ = s.out.WriteString(cell)
	}
	_, err := s.out.WriteString("\r\n")
	return err
}

func (s *csvSheet) end() error { return s.out.Flush() }

// jsonSheet writes one JSON list, an object a line. Every field stands in each object, an empty one as null.
type jsonSheet struct {
	out     *bufio.Writer
	columns []column
	begun   bool
}

func newJSONSheet(w io.Writer, columns []column) *jsonSheet {
	return &jsonSheet{out: bufio.NewWriterSize(w, 64<<10), columns: columns}
}

func (s *jsonSheet) head([]column) error {
	_, err := s.out.WriteString("[")
	return err
}

func (s *jsonSheet) add(r record.Record) error {
	if s.begun {
		_ = s.out.WriteByte(',')
	}
	s.begun = true
	for i, c := range s.columns {
		raw, err := json.Marshal(plainOf(r, c))
		if err != nil {
			return err
		}
		between := ","
		if i == 0 {
			between = "\n{"
		}
		_, _ = s.out.WriteString(between + strconv.Quote(c.name) + ":") // names are of the schema: ASCII letters
		_, _ = s.out.Write(raw)
	}
	_, err := s.out.WriteString("}")
	return err
}

func (s *jsonSheet) end() error {
	_, _ = s.out.WriteString("\n]\n")
	return s.out.Flush()
}
