package filter

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// cell is one stored value: bytes, or a number.
type cell struct {
	b     []byte
	n     uint64
	bytes bool
}

// run is one record on its way through a filter.
type run struct {
	row   Row
	env   *Env
	wired bool
	raw   []byte

	// A Wired record is read from where the last field was found, since fields stand in the order of their numbers:
	// at is where the first field begins whose number is not below number.
	at, number int
}

func enter(r Row, env *Env) run {
	x := run{row: r, env: env}
	if w, ok := r.(Wired); ok {
		x.raw, x.wired = w.Wire(), true
	}
	return x
}

// seek goes to the first field that has at least the number.
func (x *run) seek(number int) {
	if number < x.number {
		x.at = 0
	}
	x.number = number
	for x.at < len(x.raw) {
		n, _, next := field(x.raw, x.at)
		if next <= 0 {
			x.at = len(x.raw)
			return
		}
		if n >= number {
			return
		}
		x.at = next
	}
}

// field reads the stored field that begins at a byte, and where the next one begins; 0 where the bytes are damaged.
func field(raw []byte, at int) (number int, c cell, next int) {
	tag, at := varint(raw, at)
	if at == 0 || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return 0, c, 0
	}
	number = int(tag >> 3)
	switch protowire.Type(tag & 7) {
	case protowire.BytesType:
		size, at := varint(raw, at)
		if at == 0 || size > uint64(len(raw)-at) {
			return 0, c, 0
		}
		end := at + int(size)
		return number, cell{b: raw[at:end:end], bytes: true}, end
	case protowire.VarintType:
		n, at := varint(raw, at)
		return number, cell{n: n}, at
	case protowire.Fixed64Type:
		if len(raw)-at < 8 {
			return 0, c, 0
		}
		n, _ := protowire.ConsumeFixed64(raw[at:])
		return number, cell{n: n}, at + 8
	}
	return 0, c, 0
}

// varint reads a number and tells where the next byte is, 0 for damaged bytes.
func varint(raw []byte, at int) (uint64, int) {
	if at < len(raw) && raw[at] < 0x80 {
		return uint64(raw[at]), at + 1
	}
	if at+1 < len(raw) && raw[at+1] < 0x80 {
		return uint64(raw[at]&0x7f) | uint64(raw[at+1])<<7, at + 2
	}
	n, size := protowire.ConsumeVarint(raw[min(at, len(raw)):])
	if size < 0 {
		return 0, 0
	}
	return n, at + size
}

// cells goes through the values of one field.
type cells struct {
	cell
	raw    []byte
	at     int
	number int

	listed bool // a row that is not wired: its values were listed
	list   []cell
}

// values gives the stored values of a field.
func (x *run) values(number int) cells {
	if x.wired {
		x.seek(number)
		return cells{raw: x.raw, at: x.at, number: number}
	}
	c := cells{listed: true}
	x.row.Each(number, func(b []byte) bool {
		c.list = append(c.list, cell{b: b, bytes: true})
		return true
	})
	if n, ok := x.row.Scalar(number); ok && len(c.list) == 0 {
		c.list = append(c.list, cell{n: n})
	}
	return c
}

// next goes to the next value.
func (c *cells) next() bool {
	if c.listed {
		if len(c.list) == 0 {
			return false
		}
		c.cell, c.list = c.list[0], c.list[1:]
		return true
	}
	if c.at >= len(c.raw) {
		return false
	}
	n, value, next := field(c.raw, c.at)
	if next <= 0 || n != c.number {
		return false
	}
	c.cell, c.at = value, next
	return true
}
