package transfer

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
)

// row is one row of the file, or what is left of one.
type row struct {
	line  int // where it begins
	cells []string
	size  int         // bytes
	wrong fault.Field // Key is empty for a good row
	short bool        // wrong only in that it has fewer cells than the header
	over  bool        // wrong in that it has far more
	long  bool        // wrong in that it is too large

	object map[string]any // of a file of JSON
}

// records reads rows. What makes it differ from encoding/csv: a row that is broken takes no other row with it.
type records struct {
	in        *lines
	separator byte
	columns   int    // cells of a row; 0: any number (the header)
	ahead     []line // read; those before place are done with
	place     int
	ready     *row // read on the search for a whole row
}

// lineSign stands for a line end in a row that could not be cut into cells. A real one would let the lines of that row,
// in a reject file that nobody mended, be taken for rows.
const lineSign = " ⏎ "

// extraCells is how many empty cells a row may have beyond the header's.
const extraCells = 64

// next gives the next row that is not blank; io.EOF after the last.
func (r *records) next() (row, error) {
	if r.ready != nil {
		out := *r.ready
		r.ready = nil
		return out, nil
	}
	for {
		r.forget()
		l, err := r.take()
		if err != nil {
			return row{}, err
		}
		if !l.long && r.blank(l.text) {
			continue
		}
		out, good, err := r.attempt(l)
		if err != nil || good {
			return out, err
		}
		return r.reject(l, out)
	}
}

// take gives the next line, read anew or read before and rewound to.
func (r *records) take() (line, error) {
	if r.place == len(r.ahead) {
		l, err := r.in.next()
		if err != nil {
			return line{}, err
		}
		r.ahead = append(r.ahead, l)
	}
	l := r.ahead[r.place]
	r.place++
	return l, nil
}

// forget lets go of the lines that are done with, when that is worth the copying.
func (r *records) forget() {
	switch {
	case r.place == len(r.ahead):
		r.ahead, r.place = r.ahead[:0], 0
	case r.place > 1024 && r.place > len(r.ahead)/2:
		r.ahead = slices.Delete(r.ahead, 0, r.place)
		r.place = 0
	}
}

// blank tells lines with nothing in them, which Excel leaves below a table: none of their cells has anything.
func (r *records) blank(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != r.separator && text[i] != ' ' && text[i] != '\t' {
			return false
		}
	}
	return true
}

// attempt reads the row that begins at l: by the rules; else, if l alone makes a row, leniently. When neither does,
// the lines after l are to be taken again.
func (r *records) attempt(l line) (row, bool, error) {
	out := row{line: l.number, size: len(l.text)}
	if out.long = l.long; l.long {
		return out, false, nil
	}
	start := r.place
	strict := r.cutter(false)
	v := strict.add(l.text)
	for v == unclosed {
		more, err := r.take()
		if err == io.EOF {
			break
		}
		if err != nil {
			return out, false, err
		}
		out.size += len(more.text) + 1
		if more.long || out.size > maxRow {
			break
		}
		v = strict.add(more.text)
	}
	if v == whole && r.fit(strict) {
		out.cells = strict.cells
		return out, true, nil
	}
	alone := r.place == start
	r.place, out.size = start, len(l.text)
	if v == whole && alone {
		out.cells = strict.cells
		return out, false, nil
	}
	out.over = v == over && alone
	lazy := r.cutter(true)
	if lazy.add(l.text) == whole && r.fit(lazy) {
		out.cells = lazy.cells
		return out, true, nil
	}
	return out, false, nil
}

func (r *records) cutter(lazy bool) *cutter {
	most := maxColumns + 1
	if r.columns > 0 {
		most = r.columns + extraCells
	}
	return &cutter{separator: r.separator, most: most, lazy: lazy, cells: make([]string, 0, min(most, r.columns+1))}
}

// fit tells whether c has as many cells as a row has; more are taken away if they are empty.
func (r *records) fit(c *cutter) bool {
	if r.columns == 0 {
		return true
	}
	for len(c.cells) > r.columns && strings.TrimSpace(c.cells[len(c.cells)-1]) == "" {
		c.cells = c.cells[:len(c.cells)-1]
	}
	return len(c.cells) == r.columns
}

// reject makes the rejected row that begins at l. One whose quotation marks are wrong takes the lines after it with
// it, up to the next line that begins a whole row.
func (r *records) reject(l line, out row) (row, error) {
	switch {
	case out.long:
		out.wrong = fault.Field{Key: "transfer.row-too-large", Params: map[string]string{"limit": strconv.Itoa(maxRow >> 10)}}
		out.cells = []string{cut(l.text, sampleSize)}
		out.size = sampleSize
		return out, nil
	case out.over:
		out.wrong = fault.Field{Key: "transfer.cells", Params: map[string]string{
			"cells": "> " + strconv.Itoa(r.columns+extraCells), "columns": strconv.Itoa(r.columns)}}
		out.cells = []string{l.text}
		return out, nil
	case out.cells != nil:
		out.wrong = fault.Field{Key: "transfer.cells", Params: map[string]string{
			"cells": strconv.Itoa(len(out.cells)), "columns": strconv.Itoa(r.columns)}}
		out.short = len(out.cells) < r.columns
		return out, nil
	}
	out.wrong = fault.Field{Key: "transfer.quotes"}
	var raw strings.Builder
	raw.WriteString(l.text)
	err := r.absorb(&raw)
	out.cells = []string{raw.String()}
	out.size = raw.Len()
	return out, err
}

// absorb adds lines to raw until one begins a whole row, which is then ready.
func (r *records) absorb(raw *strings.Builder) error {
	for raw.Len() < maxRow {
		l, err := r.take()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if l.long {
			r.place--
			return nil
		}
		next, good, err := r.attempt(l)
		if err != nil {
			return err
		}
		if good && !r.blank(l.text) {
			r.ready = &next
			return nil
		}
		raw.WriteString(lineSign + l.text)
	}
	return nil
}

// cut shortens s to at most n bytes, whole letters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
