package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// limits is what a mail may ask of the parser. A mail beyond them comes in with its header and the original only.
type limits struct {
	header int // bytes of the header of the mail or of a part
	depth  int // multiparts within one another
	parts  int // boundary lines
	kinds  int // multiparts in all, as the parser counts them while it works
}

// defaultLimits are far above what mail programs write. The MIME decoder doubles its time with each unclosed
// multipart within another; at ten it is still in the milliseconds.
func defaultLimits() limits {
	return limits{header: 256 << 10, depth: 10, parts: 400, kinds: 16}
}

// errHostile is the answer to a mail that exceeds the limits.
var errHostile = errors.New("the mail exceeds the limits of the parser")

// survey walks once through a mail the way the MIME decoder will, and stops with errHostile before the decoder can be
// brought to its knees. Its own time grows with the size only.
func survey(r io.Reader, l limits) error {
	s := surveyor{limits: l, inHeader: true}
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 {
			if e := s.line(line); e != nil {
				return e
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("read the mail: %w", err)
		}
	}
}

// surveyor is the state of survey: which multiparts are open and where in a part it stands.
type surveyor struct {
	limits
	open     []string // boundaries, outermost first
	inHeader bool
	used     int    // bytes of the header so far
	content  []byte // the Content-Type field, as far as read
	inField  bool   // the last line belonged to Content-Type
	seen     int    // boundary lines
}

func (s *surveyor) line(line []byte) error {
	if boundary, final, ok := s.boundary(line); ok {
		if s.seen++; s.seen > s.parts {
			return fmt.Errorf("%w: more than %d parts", errHostile, s.parts)
		}
		for len(s.open) > 0 && s.open[len(s.open)-1] != boundary {
			s.open = s.open[:len(s.open)-1]
		}
		if final {
			s.open = s.open[:len(s.open)-1]
		}
		s.startHeader(!final)
		return nil
	}
	if !s.inHeader {
		return nil
	}
	if s.used += len(line); s.used > s.header {
		return fmt.Errorf("%w: a header of more than %d bytes", errHostile, s.header)
	}
	return s.headerLine(bytes.TrimRight(line, "\r\n"))
}

func (s *surveyor) startHeader(in bool) {
	s.inHeader, s.used, s.content, s.inField = in, 0, nil, false
}

func (s *surveyor) headerLine(line []byte) error {
	if len(line) == 0 {
		kind, params := mediaType(s.content)
		s.startHeader(false)
		// The decoder opens a part at any boundary parameter, whatever the type says.
		if b := params["boundary"]; b != "" && !strings.HasPrefix(kind, "text/") {
			if s.open = append(s.open, b); len(s.open) > s.depth {
				return fmt.Errorf("%w: more than %d multiparts within one another", errHostile, s.depth)
			}
		}
		return nil
	}
	if line[0] == ' ' || line[0] == '\t' {
		if s.inField {
			s.content = append(append(s.content, ' '), bytes.TrimLeft(line, " \t")...)
		}
		return nil
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	s.inField = ok && s.content == nil && strings.EqualFold(string(bytes.TrimSpace(name)), "content-type")
	if s.inField {
		s.content = append([]byte{}, value...)
	}
	return nil
}

// boundary says whether the line holds a boundary of an open multipart, innermost first. Like the decoder it takes
// one that does not stand at the line's beginning.
func (s *surveyor) boundary(line []byte) (boundary string, final, ok bool) {
	if !bytes.Contains(line, []byte("--")) {
		return "", false, false
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		at := bytes.Index(line, []byte("--"+s.open[i]))
		if at < 0 {
			continue
		}
		rest := line[at+2+len(s.open[i]):]
		if bytes.HasPrefix(rest, []byte("--")) {
			return s.open[i], true, true
		}
		if len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n') {
			return s.open[i], false, true
		}
	}
	return "", false, false
}

// normalise takes away what keeps decoders from seeing a mail at all: a byte order mark, mbox's "From " line, line ends
// of bare carriage returns.
func normalise(r io.Reader) io.Reader {
	br := bufio.NewReaderSize(r, 64<<10)
	if head, _ := br.Peek(3); bytes.Equal(head, []byte("\xEF\xBB\xBF")) {
		br.Discard(3)
	}
	head, _ := br.Peek(br.Size())
	var out io.Reader = br
	if bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0 {
		br = bufio.NewReader(carriageReturns{br})
		out = br
		head, _ = br.Peek(8)
	}
	if bytes.HasPrefix(head, []byte("From ")) || bytes.HasPrefix(head, []byte(">From ")) {
		readLine(br, 1<<10)
	}
	return out
}

// carriageReturns reads with \r turned into \n.
type carriageReturns struct{ r io.Reader }

func (c carriageReturns) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i, b := range p[:n] {
		if b == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}
