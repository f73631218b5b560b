package changes

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// lineWidth is where Debian folds a changelog line.
const lineWidth = 80

// WriteDebian writes releases as debian/changelog. A version that has not gone
// out yet is dated building, so that the same commit always gives the same text.
func WriteDebian(w io.Writer, releases []Release, maintainer string, building time.Time) error {
	out := bufio.NewWriter(w)
	for i, r := range releases {
		if i > 0 {
			fmt.Fprintln(out)
		}
		date := r.Date
		if date.IsZero() {
			date = building
		}
		fmt.Fprintf(out, "karov (%s) stable; urgency=medium\n\n", r.Version)
		for _, n := range r.Notes {
			fmt.Fprintln(out, fold(n.Headline, "  * ", "    "))
		}
		fmt.Fprintf(out, "\n -- %s  %s\n", maintainer, date.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the changelog: %w", err)
	}
	return nil
}

// fold breaks text at spaces; the first line begins with first, the others with rest.
func fold(text, first, rest string) string {
	var b strings.Builder
	line := first
	empty := true
	for _, word := range strings.Fields(text) {
		switch {
		case empty:
			line += word
			empty = false
		case len(line)+1+len(word) > lineWidth:
			b.WriteString(line + "\n")
			line = rest + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line)
	return b.String()
}
