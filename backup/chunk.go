package backup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/restic/chunker"
)

const (
	// recordTarget is the average piece of a stream of records.
	recordTarget = 16 << 10
	// recordMax ends a piece in which no key asked for an end: 1 of 3,000.
	recordMax = 128 << 10
	// lineMax is the longest part of a line that is kept together.
	lineMax = 1 << 20
	// keyMax bounds what of a line is taken for its key.
	keyMax = 256
)

// cutter cuts one stream into pieces. Next returns io.EOF after the last one; the
// piece is appended to buf, and none is empty.
type cutter interface {
	Next(buf []byte) ([]byte, error)
}

// cutters makes the cutters of one snapshot and reuses their buffers.
type cutters struct {
	pol     chunker.Pol
	lines   *bufio.Reader
	rabin   *chunker.Chunker
	content []byte
}

func (c *cutters) cut(rd io.Reader, records bool) (cutter, error) {
	if records {
		if c.lines == nil {
			c.lines = bufio.NewReaderSize(nil, lineMax)
		}
		c.lines.Reset(rd)
		return &recordCutter{rd: c.lines, seed: uint64(c.pol)}, nil
	}
	// Content below the least size of a piece is one piece: no need to roll a hash.
	if c.content == nil {
		c.content = make([]byte, chunker.MinSize)
	}
	n, err := io.ReadFull(rd, c.content)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &wholeCutter{content: c.content[:n]}, nil
	case err != nil:
		return nil, fmt.Errorf("read content: %w", err)
	}
	all := io.MultiReader(bytes.NewReader(c.content), rd)
	if c.rabin == nil {
		c.rabin = chunker.New(all, c.pol)
	} else {
		c.rabin.Reset(all, c.pol)
	}
	return rabinCutter{c.rabin}, nil
}

type wholeCutter struct{ content []byte }

func (c *wholeCutter) Next(buf []byte) ([]byte, error) {
	if len(c.content) == 0 {
		return nil, io.EOF
	}
	buf = append(buf, c.content...)
	c.content = nil
	return buf, nil
}

type rabinCutter struct{ *chunker.Chunker }

func (c rabinCutter) Next(buf []byte) ([]byte, error) {
	chunk, err := c.Chunker.Next(buf)
	if err != nil {
		return nil, err
	}
	return chunk.Data, nil
}

// recordCutter cuts between lines. Whether a piece ends after a line depends on
// that line alone, so that lines put in or taken out elsewhere move no end. The
// chance of an end grows with the length of the line, which makes pieces equally
// large whatever the records are.
type recordCutter struct {
	rd   *bufio.Reader
	seed uint64
	held []byte // read, belongs to the next piece
}

func (c *recordCutter) Next(buf []byte) ([]byte, error) {
	start := len(buf)
	for {
		line, err := c.line()
		if err != nil {
			if errors.Is(err, io.EOF) && len(buf) > start {
				return buf, nil
			}
			return nil, err
		}
		size := len(buf) - start
		if size > 0 && size+len(line) > recordMax {
			c.held = line
			return buf, nil
		}
		buf = append(buf, line...)
		if len(line) >= recordMax || c.ends(line) {
			return buf, nil
		}
	}
}

// line returns the next line with its end, or a part of one that is longer than
// lineMax, valid until the next call.
func (c *recordCutter) line() ([]byte, error) {
	if line := c.held; line != nil {
		c.held = nil
		return line, nil
	}
	line, err := c.rd.ReadSlice('\n')
	if len(line) > 0 && (err == nil || errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF)) {
		return line, nil
	}
	return nil, err
}

func (c *recordCutter) ends(line []byte) bool {
	key := line[:min(len(line), keyMax)]
	if i := bytes.IndexAny(key, ",\t\n"); i >= 0 {
		key = key[:i]
	}
	// FNV-1a, begun with the repository's polynomial so that sizes tell less to who
	// only sees them, and stirred at the end, as its upper bits are weak.
	h := c.seed ^ 14695981039346656037
	for _, b := range key {
		h = (h ^ uint64(b)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return h>>32 < uint64(len(line))<<32/recordTarget
}
