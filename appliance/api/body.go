package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
)

// maxDepth is how deep a body may be nested: values are texts, numbers and lists of texts.
const maxDepth = 8

const (
	jsonType  = "application/json"
	mergeType = "application/merge-patch+json" // RFC 7396: a null empties a field
)

// body reads the one JSON object that a request carries. Optional says that there may be none.
func (a *API) body(c echo.Context, optional bool) (record.Values, error) {
	r := c.Request()
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, fault.New(fault.Invalid, "body.encoding")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, a.Limits.Body))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, fault.New(fault.TooLarge, "body.too-large", "limit", a.Limits.Body)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fault.Wrap(err, fault.Invalid, "body.slow")
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "body.broken")
	case len(raw) == 0 && optional:
		return record.Values{}, nil
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	patch := r.Method == http.MethodPatch && media == mergeType
	if err != nil || media != jsonType && !patch || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return nil, fault.New(fault.Invalid, "body.media-type", "wanted", jsonType)
	}
	return parseObject(raw)
}

// parseObject reads a JSON object strictly: valid UTF-8, no name twice, nothing after it, not too deep. Two readers of a
// name that stands twice may each believe another value.
func parseObject(raw []byte) (record.Values, error) {
	if len(raw) == 0 {
		return nil, fault.New(fault.Invalid, "body.missing")
	}
	if !utf8.Valid(raw) {
		return nil, fault.New(fault.Invalid, "body.utf8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(raw, &whole); err != nil {
		var syntax *json.SyntaxError
		at := int64(len(raw))
		if errors.As(err, &syntax) {
			at = syntax.Offset
		}
		return nil, fault.Wrap(err, fault.Invalid, "body.malformed", "byte", at)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return nil, fault.New(fault.Invalid, "body.not-object")
	}
	if err := checkNames(json.NewDecoder(bytes.NewReader(raw)), 1); err != nil {
		return nil, err
	}
	var values record.Values
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "body.number") // valid JSON that no value holds: a number out of range
	}
	return values, nil
}

// checkNames walks one value that is known to be valid JSON.
func checkNames(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "body.number")
	}
	open, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	if depth > maxDepth {
		return fault.New(fault.Invalid, "body.deep", "limit", maxDepth)
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return fault.Wrap(err, fault.Invalid, "body.malformed", "byte", d.InputOffset())
			}
			text, _ := name.(string)
			if seen[text] {
				return fault.InvalidField(text, "field.repeated")
			}
			seen[text] = true
		}
		if err := checkNames(d, depth+1); err != nil {
			return err
		}
	}
	if _, err = d.Token(); err != nil {
		return fault.Wrap(err, fault.Invalid, "body.malformed", "byte", d.InputOffset())
	}
	return nil
}

// onlyThese refuses fields that a call does not know.
func onlyThese(values record.Values, names ...string) error {
	wrong := &fault.Error{Kind: fault.Invalid, Key: "input.invalid"}
	for name := range values {
		if !slices.Contains(names, name) {
			wrong.Fields = append(wrong.Fields, fault.Field{Name: name, Key: "field.unknown"})
		}
	}
	if len(wrong.Fields) == 0 {
		return nil
	}
	slices.SortFunc(wrong.Fields, func(x, y fault.Field) int { return strings.Compare(x.Name, y.Name) })
	return wrong
}

// textOf reads a field that holds a text; one that is not there, or null, is "".
func textOf(values record.Values, name string) (string, error) {
	if values[name] == nil {
		return "", nil
	}
	text, ok := values[name].(string)
	if !ok {
		return "", fault.InvalidField(name, "field.text")
	}
	return text, nil
}

// idempotencyKey reads the header by which a caller may ask twice, "" for none: visible ASCII of at most 200 bytes.
func idempotencyKey(r *http.Request) (string, error) {
	given := r.Header.Values("Idempotency-Key")
	if len(given) == 0 {
		return "", nil
	}
	key := given[0]
	visible := strings.Trim(key, " ") == key && strings.IndexFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) < 0
	if len(given) > 1 || key == "" || len(key) > record.MaxKey || !visible {
		return "", fault.InvalidField("Idempotency-Key", "idempotency.malformed", "limit", record.MaxKey)
	}
	return key, nil
}

// writeJSON answers with a value. The whole answer is made before its first byte leaves.
func writeJSON(c echo.Context, status int, media string, value any) error {
	raw, err := appendJSON(nil, value)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "error.internal")
	}
	return c.Blob(status, media, append(raw, '\n'))
}
