package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// maxParameter is the most bytes of one query parameter.
const maxParameter = 4096

// parameters reads the query of a call: each name at most once, and only those it knows. A misspelt filter that was
// ignored would list everybody.
func parameters(c echo.Context, names ...string) (map[string]string, error) {
	given, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "query.malformed")
	}
	values := map[string]string{}
	for name, all := range given {
		switch {
		case !slices.Contains(names, name):
			return nil, fault.InvalidField(name, "query.unknown", "known", strings.Join(names, ", "))
		case len(all) > 1:
			return nil, fault.InvalidField(name, "query.repeated")
		case len(all[0]) > maxParameter:
			return nil, fault.InvalidField(name, "field.too-long", "limit", maxParameter)
		case !utf8.ValidString(all[0]):
			return nil, fault.InvalidField(name, "field.utf8")
		}
		values[name] = all[0]
	}
	return values, nil
}

// limitOf reads a page size: from 1 to most, usual where none is given.
func limitOf(values map[string]string, usual, most int) (int, error) {
	text, given := values["limit"]
	if !given {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fault.InvalidField("limit", "list.limit", "most", most)
	}
	return n, nil
}

// countOf tells whether an exact total is wanted, whatever it costs.
func countOf(values map[string]string) (exact bool, err error) {
	if text, given := values["count"]; given && text != "exact" {
		return false, fault.InvalidField("count", "field.choice", "choices", "exact")
	}
	return values["count"] == "exact", nil
}

// asked is what a list was asked for.
type asked struct {
	query record.Query
	shape shape
	exact bool
}

// listOf reads the query of a list of an entity.
func listOf(c echo.Context, e *schema.Entity) (l asked, err error) {
	values, err := parameters(c, "filter", "sort", "limit", "cursor", "fields", "count")
	if err != nil {
		return l, err
	}
	l.query = record.Query{Entity: e.Name, Sort: values["sort"], Cursor: values["cursor"]}
	if l.query.Limit, err = limitOf(values, record.DefaultLimit, record.MaxLimit); err != nil {
		return l, err
	}
	if l.exact, err = countOf(values); err != nil {
		return l, err
	}
	if l.shape, err = shapeOf(e, values["fields"]); err != nil {
		return l, err
	}
	if text, given := values["filter"]; given {
		l.query.Field, l.query.Value, err = filterOf(e, text)
	}
	return l, err
}

// filterOf reads a filter, which today is one field and the value it equals, as city = "חיפה", checked against the
// schema.
func filterOf(e *schema.Entity, text string) (name string, value any, err error) {
	name, quoted, column, err := parseFilter(text)
	if err != nil {
		return "", nil, err
	}
	f := e.Field(name)
	if f == nil || !f.Indexed {
		return "", nil, fault.InvalidField("filter", "filter.unlisted", "field", name, "column", column)
	}
	switch f.Type {
	case schema.Link:
		if value, err = record.ParseID(quoted); err != nil {
			return "", nil, fault.InvalidField("filter", "field.link")
		}
	case schema.Time:
		if value, err = time.Parse(time.RFC3339Nano, quoted); err != nil {
			return "", nil, fault.InvalidField("filter", "field.time")
		}
	case schema.Choice:
		if !slices.Contains(f.Choices, quoted) {
			return "", nil, fault.InvalidField("filter", "field.choice", "choices", strings.Join(f.Choices, ", "))
		}
		value = quoted
	case schema.Number, schema.YesNo, schema.Data, schema.LongText:
		return "", nil, fault.InvalidField("filter", "filter.type", "field", name)
	default:
		value = quoted
	}
	return name, value, nil
}

// parseFilter reads field = "value"; column is where the field stands. In the value \" is a quote and \\ a backslash.
func parseFilter(text string) (field, value string, column int, err error) {
	p := filterText{text: text}
	p.space()
	column = p.column()
	if field = p.name(); field == "" {
		return "", "", 0, p.wrong("filter.field")
	}
	p.space()
	if !p.eat("=") {
		return "", "", 0, p.wrong("filter.equals")
	}
	p.space()
	if !p.eat(`"`) {
		return "", "", 0, p.wrong("filter.value")
	}
	var b strings.Builder
	for !p.eat(`"`) {
		switch {
		case p.at == len(p.text):
			return "", "", 0, p.wrong("filter.unended")
		case p.eat(`\`) && !strings.HasPrefix(p.text[p.at:], `"`) && !strings.HasPrefix(p.text[p.at:], `\`):
			return "", "", 0, p.wrong("filter.escape")
		}
		_, size := utf8.DecodeRuneInString(p.text[p.at:])
		b.WriteString(p.text[p.at : p.at+size])
		p.at += size
	}
	p.space()
	if p.at < len(p.text) {
		return "", "", 0, p.wrong("filter.more")
	}
	return field, b.String(), column, nil
}

// filterText is a filter and how far it was read.
type filterText struct {
	text string
	at   int
}

// column counts characters from 1, as an editor does.
func (p *filterText) column() int { return utf8.RuneCountInString(p.text[:p.at]) + 1 }

func (p *filterText) wrong(key string) error {
	return fault.InvalidField("filter", key, "column", p.column())
}

func (p *filterText) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

func (p *filterText) eat(s string) bool {
	if !strings.HasPrefix(p.text[p.at:], s) {
		return false
	}
	p.at += len(s)
	return true
}

func (p *filterText) name() string {
	from := p.at
	for p.at < len(p.text) && strings.IndexByte("abcdefghijklmnopqrstuvwxyz0123456789_.", p.text[p.at]) >= 0 {
		p.at++
	}
	return p.text[from:p.at]
}
