package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// source gives the rows of a file one by one; io.EOF after the last.
type source interface {
	next() (row, error)
}

// objects reads records from JSON: a list of objects, as exports write it, or objects one after the other.
type objects struct {
	in    *json.Decoder
	lines *newlines
	list  bool // the objects stand in a list
	begun bool
}

// newlines counts lines in what passes, for the place of an object.
type newlines struct {
	in   io.Reader
	read int64
	ends []int64 // offsets of the line ends that were not passed yet
	line int
	from int64 // where the object that is being read begins
}

// maxObject is how many bytes one object may take: the decoder holds it whole.
const maxObject = 8 * maxRow

var errObject = errors.New("an object is larger than any record")

func (n *newlines) Read(p []byte) (int, error) {
	if n.read-n.from > maxObject {
		return 0, errObject
	}
	got, err := n.in.Read(p)
	for i, b := range p[:got] {
		if b == '\n' {
			n.ends = append(n.ends, n.read+int64(i))
		}
	}
	n.read += int64(got)
	return got, err
}

// at is the line in which a byte stands. Offsets only grow.
func (n *newlines) at(offset int64) int {
	passed := 0
	for passed < len(n.ends) && n.ends[passed] < offset {
		passed++
	}
	n.line += passed
	n.ends = slices.Delete(n.ends, 0, passed)
	return n.line + 1
}

// beginsJSON gives the bracket with which a file of JSON begins, 0 for what is none.
func beginsJSON(head []byte) byte {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xEF\xBB\xBF")), " \t\r\n")
	if len(head) > 0 && (head[0] == '[' || head[0] == '{') {
		return head[0]
	}
	return 0
}

// openJSON stands before the first object of a file.
func openJSON(r io.ReadSeeker, c *census, m *mapper) (*file, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("rewind import file: %w", err)
	}
	f := &file{encoding: UTF8, separator: ',', size: c.size, read: &counter{in: r}, mapper: m}
	lines := &newlines{in: skipMark(f.read)}
	f.rows = &objects{in: json.NewDecoder(lines), lines: lines, list: beginsJSON(c.head) == '['}
	return f, nil
}

// skipMark leaves a byte order mark out.
func skipMark(r io.Reader) io.Reader {
	head := make([]byte, 3)
	n, err := io.ReadFull(r, head)
	if n == 3 && string(head) == "\xEF\xBB\xBF" {
		return r
	}
	if err != nil && n < 3 {
		return bytes.NewReader(head[:n])
	}
	return io.MultiReader(bytes.NewReader(head), r)
}

// next gives the next object. JSON that is broken ends the import: nobody knows where the next object begins.
func (o *objects) next() (row, error) {
	if !o.begun && o.list {
		if _, err := o.in.Token(); err != nil {
			return row{}, o.broken(err)
		}
	}
	o.begun = true
	if o.list && !o.in.More() {
		if _, err := o.in.Token(); err != nil {
			return row{}, o.broken(err)
		}
		return row{}, io.EOF
	}
	var raw json.RawMessage
	if err := o.in.Decode(&raw); err != nil {
		if err == io.EOF && !o.list {
			return row{}, io.EOF
		}
		return row{}, o.broken(err)
	}
	o.lines.from = o.in.InputOffset()
	out := row{line: o.lines.at(o.in.InputOffset() - int64(len(raw))), size: len(raw), cells: []string{cut(string(raw), keptRaw)}}
	if len(raw) > maxRow {
		out.wrong = fault.Field{Key: "transfer.row-too-large", Params: map[string]string{"limit": fmt.Sprint(maxRow >> 10)}}
		return out, nil
	}
	if err := json.Unmarshal(raw, &out.object); err != nil || out.object == nil {
		out.wrong = fault.Field{Key: "transfer.object"}
	}
	return out, nil
}

func (o *objects) broken(err error) error {
	at := o.lines.read
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = max(syntax.Offset, o.in.InputOffset())
	}
	return fault.Wrap(err, fault.Invalid, "transfer.json", "line", o.lines.at(at))
}

// object turns an object into the values of a record: what is no field of it is a fault of the row.
func (u *understander) object(r row) (d Draft, faults []fault.Field) {
	d.Values = record.Values{}
	for name, value := range r.object {
		target := u.mapper.field(name)
		f := u.entity.Field(target)
		switch {
		case target == Ignore:
		case target == "":
			faults = append(faults, fault.Field{Name: cut(printable(name), keptRaw), Line: r.line, Key: "field.unknown"})
		case f != nil && f.Type == schema.Choice:
			found, key := chosen(f, value)
			if key != "" {
				bad := wrong(target, key, Column{Header: name}, fmt.Sprint(value))
				bad.Line = r.line
				faults = append(faults, bad)
			}
			d.Values[target] = found
		default:
			d.Values[target] = value
		}
	}
	d.Key = d.rowKey(u.entity.Name)
	return d, faults
}

func chosen(f *schema.Field, value any) (any, string) {
	switch v := value.(type) {
	case string:
		return choice(f, v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			text, ok := item.(string)
			if !ok {
				return value, ""
			}
			one, key := choice(f, text)
			if key != "" {
				return nil, key
			}
			out[i] = one
		}
		return out, ""
	}
	return value, ""
}
