package transfer

import (
	"bytes"
	"io"
)

// line is one line of the file without its end.
type line struct {
	number int
	text   string
	long   bool // over maxRow; text is its beginning, the rest was thrown away
}

// lines reads lines that end in CRLF, LF or CR, mixed as they may be.
type lines struct {
	in      io.Reader
	buf     []byte // what was read and not yet given
	space   []byte
	last    int // number of the line given last
	skipLF  bool
	failure error
}

func newLines(in io.Reader) *lines {
	return &lines{in: in, space: make([]byte, sampleSize)}
}

// next gives the next line; io.EOF after the last.
func (l *lines) next() (line, error) {
	var out []byte
	started, long := false, false
	for {
		if len(l.buf) == 0 && !l.fill() {
			if !started {
				return line{}, l.failure
			}
			break
		}
		if l.skipLF {
			l.skipLF = false
			if l.buf[0] == '\n' {
				l.buf = l.buf[1:]
				continue
			}
		}
		started = true
		end := lineEnd(l.buf)
		piece := l.buf
		if end >= 0 {
			piece = l.buf[:end]
		}
		if room := maxRow - len(out); len(piece) > room {
			piece, long = piece[:room], true
		}
		out = append(out, piece...)
		if end >= 0 {
			l.skipLF = l.buf[end] == '\r'
			l.buf = l.buf[end+1:]
			break
		}
		l.buf = nil
	}
	l.last++
	return line{number: l.last, text: string(out), long: long}, nil
}

func lineEnd(p []byte) int {
	lf := bytes.IndexByte(p, '\n')
	if lf >= 0 {
		p = p[:lf]
	}
	if cr := bytes.IndexByte(p, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// fill reads the next piece; false at the end or after a failure.
func (l *lines) fill() bool {
	for l.failure == nil {
		n, err := l.in.Read(l.space)
		l.failure = err
		if n > 0 {
			l.buf = l.space[:n]
			return true
		}
	}
	return false
}
