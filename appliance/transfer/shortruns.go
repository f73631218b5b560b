package transfer

import "io"

// longRun is how many rows one after the other must lack the same cells before that is believed to be Excel's doing.
const longRun = 8

// shortRuns mends what Excel breaks: where the last columns of a stretch of rows are empty, it leaves their separators
// out, so that those rows have fewer cells than the header. A single short row is more likely half of a row that was
// broken in two and stays rejected; a long run with the same number of cells each is taken, its missing cells empty.
// Not in a reject file, which gathers what was single.
type shortRuns struct {
	in      *records
	off     bool
	queue   []row // read ahead
	failure error
	cells   int // of the rows of the run that is believed; 0: none
}

// next gives the next row; io.EOF after the last.
func (s *shortRuns) next() (row, error) {
	if len(s.queue) == 0 {
		s.pull()
	}
	if len(s.queue) == 0 {
		return row{}, s.failure
	}
	if !s.off && s.queue[0].short && len(s.queue[0].cells) != s.cells {
		s.cells = 0
		s.judge(len(s.queue[0].cells))
	}
	out := s.queue[0]
	s.queue = s.queue[1:]
	if !out.short || s.cells == 0 {
		if !out.short {
			s.cells = 0
		}
		return out, nil
	}
	for len(out.cells) < s.in.columns {
		out.cells = append(out.cells, "")
	}
	return row{line: out.line, cells: out.cells, size: out.size}, nil
}

// judge reads on until the run of rows with that many cells is long enough or over.
func (s *shortRuns) judge(cells int) {
	for n := 0; n < longRun; n++ {
		if n == len(s.queue) && !s.pull() {
			return
		}
		if !s.queue[n].short || len(s.queue[n].cells) != cells {
			return
		}
	}
	s.cells = cells
}

// pull reads one row into the queue.
func (s *shortRuns) pull() bool {
	if s.failure != nil {
		return false
	}
	out, err := s.in.next()
	if err != nil && (err != io.EOF || out.line == 0) {
		s.failure = err
		return false
	}
	s.queue = append(s.queue, out)
	return true
}
