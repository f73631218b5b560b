package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/transfer"
)

// parcel is a file that is to be imported, on disk, and how it is to be read. It lies there because an import reads it
// twice.
type parcel struct {
	file     *os.File
	sum      hash.Hash // of what was sent
	name     string
	columns  map[string]string // header -> field
	dry      bool
	encoding string
}

// importTypes are the media types that a file to import may have. What it is tells its content.
func importTypes() []string {
	return []string{"text/csv", jsonType, xlsxType, "application/octet-stream", "text/plain", "multipart/form-data"}
}

const xlsxType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

// parcel takes a file in: the body itself, or the part "file" of a form whose other parts are those that the query may
// name.
func (a *API) parcel(c echo.Context) (p *parcel, err error) {
	r := c.Request()
	said, err := parameters(c, "name", "map", "dry_run", "encoding")
	if err != nil {
		return nil, err
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, fault.New(fault.Invalid, "body.encoding")
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(importTypes(), media) {
		return nil, fault.New(fault.Invalid, "body.media-type", "wanted", strings.Join(importTypes(), ", "))
	}
	in := a.patient(c)
	in.in = http.MaxBytesReader(c.Response(), r.Body, a.Limits.Import)
	p = &parcel{sum: sha256.New()}
	if media == "multipart/form-data" {
		err = p.form(multipart.NewReader(in, params["boundary"]), a.Spool, said)
	} else {
		err = p.keep(in, a.Spool)
	}
	if err == nil {
		err = p.read(said)
	}
	if err == nil && p.file == nil {
		err = fault.InvalidField("file", "field.required")
	}
	if err != nil {
		return nil, errors.Join(cutOff(err), p.drop())
	}
	// What came in over minutes is answered as what came at once.
	_ = in.line.SetWriteDeadline(time.Now().Add(a.Limits.Time + bulkPatience))
	return p, nil
}

// cutOff is what went wrong while a body arrived, in words for who sent it.
func cutOff(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return fault.New(fault.TooLarge, "body.too-large", "limit", large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.Wrap(err, fault.Invalid, "body.slow")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Wrap(err, fault.Invalid, "body.broken")
	}
	return err
}

// keep writes a file to disk.
func (p *parcel) keep(in io.Reader, folder string) error {
	f, err := os.CreateTemp(folder, "import-*.csv")
	if err != nil {
		return fmt.Errorf("keep the file to import: %w", err)
	}
	p.file = f
	if _, err := io.Copy(io.MultiWriter(f, p.sum), in); err != nil {
		return fmt.Errorf("take the file to import in: %w", err)
	}
	return nil
}

// form reads a form, part by part.
func (p *parcel) form(parts *multipart.Reader, folder string, said map[string]string) error {
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "body.broken")
		}
		name := part.FormName()
		_, twice := said[name]
		switch {
		case name == "file" && p.file != nil, twice:
			return fault.InvalidField(name, "field.repeated")
		case name == "file":
			p.name = part.FileName()
			if err := p.keep(part, folder); err != nil {
				return err
			}
		case slices.Contains([]string{"name", "map", "dry_run", "encoding"}, name):
			raw, err := io.ReadAll(io.LimitReader(part, maxParameter+1))
			if err != nil {
				return fault.Wrap(err, fault.Invalid, "body.broken")
			}
			if len(raw) > maxParameter {
				return fault.InvalidField(name, "field.too-long", "limit", maxParameter)
			}
			said[name] = string(raw)
		default:
			return fault.InvalidField(name, "field.unknown")
		}
	}
}

// read understands how the file is to be read.
func (p *parcel) read(said map[string]string) (err error) {
	if said["name"] != "" {
		p.name = said["name"]
	}
	if p.name == "" {
		p.name = "file"
	}
	p.name = shortened(p.name)
	if p.dry, err = flagOf(said, "dry_run"); err != nil {
		return err
	}
	if p.encoding = said["encoding"]; p.encoding != "" && !slices.Contains(transfer.Encodings(), p.encoding) {
		return fault.InvalidField("encoding", "field.choice", "choices", strings.Join(transfer.Encodings(), ", "))
	}
	if text, given := said["map"]; given {
		values, err := parseObject([]byte(text))
		if err != nil {
			return fault.InvalidField("map", "field.malformed")
		}
		p.columns = map[string]string{}
		for header := range values {
			if p.columns[header], err = textOf(values, header); err != nil {
				return fault.InvalidField("map", "field.text")
			}
		}
	}
	return nil
}

// asked is what an Idempotency-Key stands for.
func (p *parcel) asked() any {
	columns, _ := json.Marshal(p.columns) // texts by texts always can be
	return []string{hex.EncodeToString(p.sum.Sum(nil)), p.name, string(columns), fmt.Sprint(p.dry), p.encoding}
}

// drop takes the file off the disk. Doing so again does nothing.
func (p *parcel) drop() error {
	if p.file == nil {
		return nil
	}
	f := p.file
	p.file = nil
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// importShown is an import as programs get it.
type importShown struct {
	ID        string        `json:"id"`
	Entity    string        `json:"entity"`
	Name      string        `json:"name"`
	DryRun    bool          `json:"dry_run"`
	At        any           `json:"at"`
	By        string        `json:"by"`
	Ended     bool          `json:"ended"`
	Failure   *fieldProblem `json:"failure"`
	Rows      int           `json:"rows"`
	Rejected  int           `json:"rejected"`
	Created   int           `json:"created"`
	Updated   int           `json:"updated"`
	Unchanged int           `json:"unchanged"`
	Read      int64         `json:"read"`
	Size      int64         `json:"size"`
	Encoding  string        `json:"encoding,omitempty"`
	Separator string        `json:"separator,omitempty"`
	Columns   []columnOf    `json:"columns"`
	Problems  []rowProblem  `json:"problems"`
}

// columnOf is a column of the file, and the field that it fills; null for one that was not understood.
type columnOf struct {
	Header string `json:"header"`
	Field  any    `json:"field"`
}

// rowProblem is why a row was not imported.
type rowProblem struct {
	Line   int            `json:"line"`
	Errors []fieldProblem `json:"errors"`
}

// importShown shows how far an import is, and once it ended, what became of the file.
func (a *API) importShown(one *importing) importShown {
	p := one.so()
	s := importShown{ID: one.id.String(), Entity: one.entity, Name: one.name, DryRun: one.dry, At: moment(one.at), By: one.by, Ended: one.ended(),
		Rows: p.Rows, Rejected: p.Rejected, Read: p.Bytes, Size: p.Size, Columns: []columnOf{}, Problems: []rowProblem{}}
	if !s.Ended {
		return s
	}
	r := one.result
	s.Rows, s.Rejected, s.Created, s.Updated, s.Unchanged = r.Rows, r.Rejected, r.Created, r.Updated, r.Unchanged
	s.Encoding, s.Separator = r.Encoding, r.Separator
	for _, column := range r.Columns {
		s.Columns = append(s.Columns, columnOf{column.Header, orNil(column.Field)})
	}
	for _, reject := range r.Rejects {
		why := rowProblem{Line: reject.Line, Errors: []fieldProblem{}}
		for _, f := range reject.Fields {
			why.Errors = append(why.Errors, fieldProblem{shortened(f.Name), f.Key, a.texts.fill(f.Key, f.Params)})
		}
		s.Problems = append(s.Problems, why)
	}
	if one.err != nil {
		f := fault.Of(one.err)
		s.Failure = &fieldProblem{Key: f.Key, Detail: a.texts.say(f)}
	}
	return s
}
