package live

import (
	"errors"
	"io"
	"net/http"
)

func send(line *http.ResponseController, w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return line.Flush()
}

func unsupported(err error) bool { return errors.Is(err, http.ErrNotSupported) }
