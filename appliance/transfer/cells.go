package transfer

import "strings"

// verdict is what a line made of a row.
type verdict int

const (
	whole    verdict = iota // the row ends with this line
	unclosed                // a quoted cell goes on in the next line
	stray                   // a quotation mark where none may stand
	over                    // more cells than any row here may have
)

// cutter cuts one row into cells. A quotation mark inside an unquoted cell is a letter like any other, as in
// חברה בע"מ, which programs other than Excel write without quotes.
type cutter struct {
	separator byte
	most      int  // cells; more are over
	lazy      bool // a mark inside a quoted cell that no separator follows is a letter too
	cells     []string
	cell      []byte
	quoted    bool
}

// add takes the row's next line. After anything but unclosed the row is done.
func (c *cutter) add(text string) verdict {
	i := 0
	if c.quoted {
		c.cell = append(c.cell, '\n')
	}
	for {
		if !c.quoted {
			if i < len(text) && text[i] == '"' {
				c.quoted, c.cell = true, c.cell[:0]
				i++
				continue
			}
			j := strings.IndexByte(text[i:], c.separator)
			if j < 0 {
				return c.push(text[i:], whole)
			}
			if v := c.push(text[i:i+j], unclosed); v == over {
				return over
			}
			i += j + 1
			continue
		}
		next, v := c.quotedCell(text, i)
		if v != whole {
			return v
		}
		if next > len(text) {
			return whole
		}
		i = next
	}
}

// quotedCell goes on inside a quoted cell at i. It returns where the next cell begins, past the end of text when
// there is none; unclosed when the cell does not end in this line.
func (c *cutter) quotedCell(text string, i int) (int, verdict) {
	for {
		j := strings.IndexByte(text[i:], '"')
		if j < 0 {
			c.cell = append(c.cell, text[i:]...)
			return 0, unclosed
		}
		c.cell = append(c.cell, text[i:i+j]...)
		i += j + 1
		after := i
		for after < len(text) && (text[after] == ' ' || text[after] == '\t') && text[after] != c.separator {
			after++
		}
		switch {
		case i < len(text) && text[i] == '"':
			c.cell = append(c.cell, '"')
			i++
		case after == len(text), text[after] == c.separator:
			c.quoted = false
			if v := c.push(string(c.cell), whole); v == over {
				return 0, over
			}
			return after + 1, whole
		case c.lazy:
			c.cell = append(c.cell, '"')
		default:
			return 0, stray
		}
	}
}

func (c *cutter) push(cell string, v verdict) verdict {
	if len(c.cells) >= c.most {
		return over
	}
	c.cells = append(c.cells, cell)
	return v
}
