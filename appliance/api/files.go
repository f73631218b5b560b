package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/fault"
)

// patient reads or writes what may take long: each pause is bounded, the whole is not.
type patient struct {
	line  *http.ResponseController
	in    io.Reader
	out   io.Writer
	pause time.Duration
}

func (a *API) patient(c echo.Context) *patient {
	return &patient{line: http.NewResponseController(c.Response()), in: c.Request().Body, out: c.Response(), pause: a.Limits.Time}
}

// Read implements io.Reader.
func (p *patient) Read(b []byte) (int, error) {
	// A connection that knows no deadline (none that we serve) has the server's.
	_ = p.line.SetReadDeadline(time.Now().Add(p.pause))
	return p.in.Read(b)
}

// Write implements io.Writer.
func (p *patient) Write(b []byte) (int, error) {
	_ = p.line.SetWriteDeadline(time.Now().Add(p.pause))
	return p.out.Write(b)
}

// upload takes a file in and answers with the value that puts it into a record.
func (a *API) upload(c echo.Context) error {
	r := c.Request()
	values, err := parameters(c, "name")
	if err != nil {
		return err
	}
	if values["name"] == "" {
		return fault.InvalidField("name", "field.required")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return fault.New(fault.Invalid, "body.encoding")
	}
	media := r.Header.Get("Content-Type")
	if media == "" {
		media = "application/octet-stream"
	}
	p := a.patient(c)
	p.in = http.MaxBytesReader(c.Response(), r.Body, a.Limits.File)
	file, err := a.Files.Put(r.Context(), values["name"], media, p)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return fault.New(fault.TooLarge, "body.too-large", "limit", a.Limits.File)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.Wrap(err, fault.Invalid, "body.slow")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Wrap(err, fault.Invalid, "body.broken")
	case err != nil:
		return err
	}
	return writeJSON(c, http.StatusCreated, jsonType, file)
}

// filePolicy lets nothing of a file that a browser opens act: whoever sent it may be an enemy of who reads it.
const filePolicy = "default-src 'none'; frame-ancestors 'none'; sandbox"

// file gives a file of a record's field. It is always offered for saving, under its own name.
func (a *API) file(c echo.Context) error {
	e, id, err := a.named(c)
	if err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	n, err := strconv.Atoi(c.Param("n"))
	if err != nil {
		return fault.Missing("file", shortened(c.Param("n")))
	}
	file, body, err := a.Files.Open(c.Request().Context(), e.Name, id, c.Param("field"), n)
	if err != nil {
		return err
	}
	defer body.Close()
	h := c.Response().Header()
	h.Set("Content-Type", file.Type)
	h.Set("Content-Length", strconv.FormatInt(file.Size, 10))
	h.Set("Content-Disposition", disposition(file.Name))
	h.Set("Content-Security-Policy", filePolicy)
	c.Response().WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(a.patient(c), body); err != nil {
		return a.brokeOff(c, err)
	}
	return nil
}

// disposition names a file for saving, in ASCII and, where that is not enough, as RFC 6266 has it.
func disposition(name string) string {
	if text := mime.FormatMediaType("attachment", map[string]string{"filename": name}); text != "" {
		return text
	}
	return "attachment"
}

// brokeOff ends an answer that has begun and cannot be finished so that the caller takes it for no whole one.
func (a *API) brokeOff(c echo.Context, err error) error {
	if !c.Response().Committed {
		return err
	}
	a.fail(err, c) // it logs, since nothing can be answered any more
	panic(http.ErrAbortHandler)
}
