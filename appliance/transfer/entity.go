package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// idColumn names the column by which an export comes back to its records.
const idColumn = "id"

// newEntityMapper knows the columns of an entity's records: the names of its fields, and what people call them in any
// language. What an export shows and nobody writes (moments, authors, formulas) is left out without a word.
func newEntityMapper(e *schema.Entity, byHand map[string]string) *mapper {
	m := &mapper{names: map[string]string{}, byHand: map[string]string{}, typed: map[string]string{}, key: spaced,
		repeats: func(name string) bool {
			f := e.Field(name)
			return name == Ignore || f != nil && f.Many
		}}
	fields := []string{idColumn, Ignore}
	for _, name := range append(ownColumns(), "entity") {
		m.names[spaced(name)] = Ignore
	}
	m.names[idColumn] = idColumn
	for i := range e.Fields {
		f := &e.Fields[i]
		if f.Hidden {
			continue
		}
		target := f.Name
		if f.Closed || f.Type == schema.Formula || f.Type == schema.Data {
			target = Ignore
		} else {
			fields = append(fields, f.Name)
		}
		for _, label := range f.Labels {
			if k := spaced(label); k != "" && m.names[k] == "" {
				m.names[k] = target
			}
		}
		m.names[spaced(f.Name)] = target
	}
	for header, field := range byHand {
		if !slices.Contains(fields, field) {
			m.wrong = fault.New(fault.Invalid, "transfer.map-field", "field", field, "fields", strings.Join(fields, ", "))
		}
		m.byHand[plain(header)] = field
		m.typed[plain(header)] = header
	}
	return m
}

// spaced folds a header like plain, and takes the signs between words for spaces.
func spaced(header string) string {
	return plain(strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ':' {
			return ' '
		}
		return r
	}, header))
}

// values turns the cells of a row into the values of a record. Links and people stay as they were typed: who writes them
// looks them up.
func (u *understander) values(r row) (d Draft, faults []fault.Field, blank bool) {
	d.Values, blank = record.Values{}, true
	for i, c := range u.columns {
		text, key := clean(r.cells[i])
		if key == "" && text == "" {
			continue
		}
		blank = false
		if c.Field == "" || c.Field == Ignore {
			continue
		}
		f := u.entity.Field(c.Field)
		var value any = text
		if key == "" && f != nil {
			value, key = u.valueOf(f, text)
		}
		if key != "" {
			bad := wrong(c.Field, key, c, r.cells[i])
			bad.Line = r.line
			faults = append(faults, bad)
			continue
		}
		d.add(c.Field, value)
	}
	d.Key = d.rowKey(u.entity.Name)
	return d, faults, blank
}

// add puts a value into a field; several columns of one field that holds many make one list.
func (d *Draft) add(field string, value any) {
	more, many := value.([]any)
	before, _ := d.Values[field].([]any)
	if many {
		value = append(before, more...)
	}
	d.Values[field] = value
}

// rowKey is the row's identity, for a record that names none: all that it says.
func (d *Draft) rowKey(entity string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(d.Values)) {
		raw, err := json.Marshal(d.Values[name])
		if err != nil {
			raw = fmt.Append(nil, d.Values[name])
		}
		fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(raw), raw)
	}
	return entity + ":" + hex.EncodeToString(h.Sum(nil)[:16])
}

// valueOf reads a cell as its field's type has it.
func (u *understander) valueOf(f *schema.Field, text string) (value any, key string) {
	if !f.Many {
		return u.oneOf(f, text)
	}
	values := []any{}
	for _, part := range partsOf(text) {
		one, key := u.oneOf(f, part)
		if key != "" {
			return nil, key
		}
		if one != nil {
			values = append(values, one)
		}
	}
	return values, ""
}

// partsOf cuts a cell of many values: a JSON list, as exports write where it is needed, or texts with semicolons or
// line ends between.
func partsOf(text string) []string {
	var list []any
	if strings.HasPrefix(text, "[") && json.Unmarshal([]byte(text), &list) == nil {
		parts := make([]string, 0, len(list))
		for _, item := range list {
			if s, ok := item.(string); ok {
				parts = append(parts, s)
			} else if raw, err := json.Marshal(item); err == nil {
				parts = append(parts, string(raw))
			}
		}
		return parts
	}
	return split(text, ";\n")
}

func (u *understander) oneOf(f *schema.Field, text string) (value any, key string) {
	switch f.Type {
	case schema.Number:
		return number(text)
	case schema.YesNo:
		return yesNo(text)
	case schema.Choice:
		return choice(f, text)
	case schema.Date:
		return optional(birthday(text))
	case schema.Yearly:
		if strings.HasPrefix(text, "--") {
			return text, ""
		}
		return optional(birthday(text))
	case schema.Time:
		return moment(text, u.zone)
	case schema.Money:
		a, err := schema.ParseAmount(decimal(text), f.Currency)
		if err != nil {
			return nil, fault.Of(err).Key
		}
		return a.String(), ""
	case schema.File, schema.Picture:
		var file map[string]any
		if json.Unmarshal([]byte(text), &file) != nil {
			return nil, "attachment.malformed"
		}
		return file, ""
	case schema.LongText:
		return text, ""
	}
	return oneLine(text), ""
}

// optional is nothing for a text that says nothing.
func optional(text, key string) (any, string) {
	if text == "" {
		return nil, key
	}
	return text, key
}

// decimal takes a number as people write it, with a decimal comma and spaces, to one with a point: 1 234,50 ILS.
func decimal(text string) string {
	text = strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(text)
	figures := strings.TrimRight(text, " ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	code := strings.TrimSpace(text[len(figures):])
	figures = strings.ReplaceAll(figures, " ", "")
	comma, point := strings.LastIndexByte(figures, ','), strings.LastIndexByte(figures, '.')
	switch {
	case comma >= 0 && point > comma: // 1,234.50
		figures = strings.ReplaceAll(figures, ",", "")
	case comma >= 0 && point < 0 && strings.Count(figures, ",") == 1 && len(figures)-comma != 4: // 1234,5; 1,234 is either
		figures = strings.Replace(figures, ",", ".", 1)
	}
	if code == "" {
		return figures
	}
	return figures + " " + code
}

func number(text string) (any, string) {
	n, err := strconv.ParseFloat(decimal(text), 64)
	if err != nil || n-n != 0 { // what is no number, or beyond all numbers
		return nil, "transfer.number"
	}
	return n, ""
}

func yesNo(text string) (any, string) {
	switch strings.ToLower(text) {
	case "yes", "y", "true", "1", "x", "v", "כן", "да", "+":
		return true, ""
	case "no", "n", "false", "0", "לא", "нет", "-":
		return false, ""
	}
	return nil, "transfer.yes-no"
}

// choice takes a choice by its value, or by what people call it in any language, if that is one of them only.
func choice(f *schema.Field, text string) (any, string) {
	if slices.Contains(f.Choices, text) {
		return text, ""
	}
	found, asked := "", spaced(text)
	for _, value := range f.Choices {
		same := spaced(value) == asked
		for _, label := range f.ChoiceLabels[value] {
			same = same || spaced(label) == asked
		}
		switch {
		case same && found != "":
			return nil, "transfer.choice"
		case same:
			found = value
		}
	}
	if found == "" {
		return nil, "transfer.choice"
	}
	return found, ""
}

// moment reads a moment: as programs write it, or a day, day first, with or without the time on the office's clock.
func moment(text string, zone *time.Location) (any, string) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, ""
	}
	for _, day := range []string{"2006-1-2", "2006/1/2", "2.1.2006", "2/1/2006", "2-1-2006"} {
		for _, clock := range []string{"", " 15:04", " 15:04:05", "T15:04", "T15:04:05"} {
			if t, err := time.ParseInLocation(day+clock, text, zone); err == nil {
				return t, ""
			}
		}
	}
	return nil, "transfer.moment"
}
