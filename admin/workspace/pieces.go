package workspace

import (
	"context"
	"io"

	"github.com/a-h/templ"
)

// pieces draws runs of text without a blank between them, which a template would add.
func pieces(list []piece) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		for _, p := range list {
			text := templ.EscapeString(p.Text)
			switch {
			case p.Text == "":
			case p.Marked:
				text = "<mark>" + text + "</mark>"
			case p.Href != "":
				text = `<a href="` + templ.EscapeString(string(templ.URL(p.Href))) +
					`" target="_blank" rel="noopener noreferrer nofollow"><bdi dir="ltr">` + text + "</bdi></a>"
			}
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
		}
		return nil
	})
}
