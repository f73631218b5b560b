package record

import (
	"encoding/json"
	"math"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
)

// Values are new contents for some fields, by name. A nil empties the field. Besides Go's own types (string, []string,
// float64, bool, time.Time, ID, json.RawMessage) the forms that JSON and page forms give are taken: ids and moments as
// text, []any of texts.
type Values map[string]any

const (
	maxText     = 1000
	maxLongText = 5 << 20
	maxMany     = 100
)

// clean turns one value into the type its field stores, nil when it is empty.
func clean(f *schema.Field, value any) (any, *fault.Field) {
	switch f.Type {
	case schema.File, schema.Picture:
		return cleanFiles(f, value)
	case schema.Link:
		if f.Many {
			return cleanLinks(f, value)
		}
	}
	if f.Many {
		return cleanMany(f, value)
	}
	switch f.Type {
	case schema.Money:
		return cleanAmount(f, value)
	case schema.Number:
		n, ok := value.(float64)
		if value != nil && (!ok || math.IsNaN(n) || math.IsInf(n, 0)) {
			return nil, problem(f, "field.number")
		}
		return value, nil
	case schema.YesNo:
		if _, ok := value.(bool); value != nil && !ok {
			return nil, problem(f, "field.yes-no")
		}
		return value, nil
	case schema.Time:
		return cleanTime(f, value)
	case schema.Link:
		return cleanLink(f, value)
	case schema.Data:
		return cleanData(f, value)
	}
	if value == nil {
		return nil, nil
	}
	s, ok := value.(string)
	if !ok {
		return nil, problem(f, "field.text")
	}
	return cleanText(f, s)
}

func cleanText(f *schema.Field, s string) (any, *fault.Field) {
	limit := f.Max
	switch {
	case limit > 0:
	case f.Type == schema.LongText:
		limit = maxLongText
	default:
		limit = maxText
	}
	if !utf8.ValidString(s) {
		return nil, problem(f, "field.utf8")
	}
	s = stripControls(s, f.Type == schema.LongText)
	if f.Type != schema.LongText {
		s = strings.Join(strings.Fields(s), " ")
	}
	if strings.IndexFunc(s, visible) < 0 {
		return nil, nil
	}
	if len(s) > limit {
		return nil, problem(f, "field.too-long", "limit", limit)
	}
	switch f.Type {
	case schema.Choice:
		if !slices.Contains(f.Choices, s) {
			return nil, choiceProblem(f)
		}
	case schema.Email:
		a, err := mail.ParseAddress(s)
		if err != nil || a.Name != "" || !strings.Contains(a.Address, "@") {
			return nil, problem(f, "field.email")
		}
		s = strings.ToLower(a.Address)
	case schema.Date:
		if _, err := time.Parse(time.DateOnly, s); err != nil {
			return nil, problem(f, "field.date")
		}
	case schema.Yearly:
		return cleanYearly(f, s)
	case schema.URL:
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, problem(f, "field.url")
		}
	}
	return s, nil
}

func choiceProblem(f *schema.Field) *fault.Field {
	offered := slices.DeleteFunc(slices.Clone(f.Choices), func(c string) bool { return slices.Contains(f.Retired, c) })
	return problem(f, "field.choice", "choices", strings.Join(offered, ", "))
}

// cleanYearly takes a day with its year, or without one as vCard writes it (RFC 6350, section 4.3.1): --02-29. A day
// without a year may be the 29th of February.
func cleanYearly(f *schema.Field, s string) (any, *fault.Field) {
	day := s
	if rest, ok := strings.CutPrefix(s, "--"); ok {
		day = "2000-" + rest
	}
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return nil, problem(f, "field.yearly")
	}
	return s, nil
}

// cleanAmount takes what schema.AmountFrom takes: "12.34", "12.34 ILS", a number, or {"amount", "currency"}.
func cleanAmount(f *schema.Field, value any) (any, *fault.Field) {
	if value == nil || value == "" {
		return nil, nil
	}
	a, err := schema.AmountFrom(value, f.Currency)
	if err != nil {
		return nil, because(f, err)
	}
	return a, nil
}

// cleanFiles takes attachments that were stored before: their blob's name is what counts.
func cleanFiles(f *schema.Field, value any) (any, *fault.Field) {
	var given []any
	switch v := value.(type) {
	case nil:
	case []schema.Attachment:
		for _, a := range v {
			given = append(given, a)
		}
	case []any:
		given = v
	default:
		given = []any{v}
	}
	if len(given) > 1 && !f.Many || len(given) > maxMany {
		return nil, problem(f, "field.too-many", "limit", maxMany)
	}
	var files []schema.Attachment
	for _, item := range given {
		a, err := schema.AttachmentFrom(item)
		if err != nil {
			return nil, because(f, err)
		}
		if f.Type == schema.Picture && !a.IsPicture() {
			return nil, problem(f, "field.picture")
		}
		files = append(files, a)
	}
	if files == nil {
		return nil, nil
	}
	return files, nil
}

// because is a field's problem as another room's fault names it.
func because(f *schema.Field, err error) *fault.Field {
	found := fault.Of(err)
	return &fault.Field{Name: f.Name, Key: found.Key, Params: found.Params}
}

// visible tells what a reader sees from what leaves an empty place.
func visible(r rune) bool { return !unicode.IsSpace(r) && !unicode.In(r, unicode.Cf, unicode.Mn) }

// stripControls drops NUL and the other control characters, and the invisible ones that turn the direction of the text
// around them (Unicode Bidirectional Algorithm, embeddings, overrides and isolates): with them one customer's name can
// make a whole line read otherwise than it is.
func stripControls(s string, keepLines bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			if keepLines {
				return r
			}
			return ' '
		case r == '\r' && !keepLines:
			return ' '
		case r < 0x20, r == 0x7f, r >= 0x80 && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
			return -1
		}
		return r
	}, s)
}

func cleanMany(f *schema.Field, value any) (any, *fault.Field) {
	var texts []string
	switch v := value.(type) {
	case nil:
	case []string:
		texts = v
	case []any:
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, problem(f, "field.text")
			}
			texts = append(texts, s)
		}
	default:
		return nil, problem(f, "field.many")
	}
	if len(texts) > maxMany {
		return nil, problem(f, "field.too-many", "limit", maxMany)
	}
	var kept []string
	for _, s := range texts {
		v, bad := cleanText(f, s)
		if bad != nil {
			return nil, bad
		}
		if s, ok := v.(string); ok && !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	if kept == nil {
		return nil, nil
	}
	return kept, nil
}

func cleanTime(f *schema.Field, value any) (any, *fault.Field) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case time.Time:
		return possible(f, v)
	case string:
		if v == "" {
			return nil, nil
		}
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return nil, problem(f, "field.time")
		}
		return possible(f, t)
	}
	return nil, problem(f, "field.time")
}

// possible refuses moments that cannot be written as JSON again.
func possible(f *schema.Field, t time.Time) (any, *fault.Field) {
	switch year := t.UTC().Year(); {
	case t.IsZero():
		return nil, nil
	case year < 1 || year > 9999:
		return nil, problem(f, "field.time")
	}
	return t, nil
}

func cleanLink(f *schema.Field, value any) (any, *fault.Field) {
	id, ok := value.(ID)
	if s, text := value.(string); text && s != "" {
		var err error
		if id, err = ParseID(s); err != nil {
			return nil, problem(f, "field.link")
		}
		ok = true
	}
	if value != nil && value != "" && !ok {
		return nil, problem(f, "field.link")
	}
	if id.Zero() {
		return nil, nil
	}
	return id, nil
}

// cleanLinks takes many ids, each once, in their order.
func cleanLinks(f *schema.Field, value any) (any, *fault.Field) {
	var given []any
	switch v := value.(type) {
	case nil:
	case ID, string:
		given = []any{v}
	case []any:
		given = v
	case []ID:
		for _, id := range v {
			given = append(given, id)
		}
	case []string:
		for _, s := range v {
			given = append(given, s)
		}
	default:
		return nil, problem(f, "field.many")
	}
	if len(given) > maxMany {
		return nil, problem(f, "field.too-many", "limit", maxMany)
	}
	var ids []ID
	for _, item := range given {
		cleaned, bad := cleanLink(f, item)
		if bad != nil {
			return nil, bad
		}
		if id, ok := cleaned.(ID); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return nil, nil
	}
	return ids, nil
}

func cleanData(f *schema.Field, value any) (any, *fault.Field) {
	if value == nil {
		return nil, nil
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, problem(f, "field.type")
	}
	return json.RawMessage(raw), nil
}

func problem(f *schema.Field, key string, args ...any) *fault.Field {
	return &fault.InvalidField(f.Name, key, args...).Fields[0]
}
