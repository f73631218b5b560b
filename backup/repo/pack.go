package repo

import (
	"encoding/binary"
	"fmt"
	"math"
)

const (
	plainEntry      = 1 + 4 + 32
	compressedEntry = 1 + 4 + 4 + 32
	trailer         = 4
	maxHeader       = 16 << 20
	// maxPack keeps offsets in 32 bits.
	maxPack = math.MaxUint32
)

// Blob says where in a pack a blob lies. Uncompressed is its plain length, or 0
// if it was stored without compression.
type Blob struct {
	Handle
	Offset, Length, Uncompressed uint32
}

// PlainLength returns the length of the blob's plain bytes.
func (b Blob) PlainLength() uint32 {
	if b.Uncompressed > 0 {
		return b.Uncompressed
	}
	return b.Length - SealOverhead
}

// Pack collects stored blobs into one pack file.
type Pack struct {
	buf   []byte
	blobs []Blob
	have  map[Handle]bool
}

// NewPack starts a pack in the room of buf.
func NewPack(buf []byte) *Pack { return &Pack{buf: buf[:0], have: make(map[Handle]bool)} }

// Add appends the stored form of one blob. The same blob must not be added twice.
func (p *Pack) Add(h Handle, stored []byte, uncompressed uint32) error {
	if p.have[h] || len(stored) < SealOverhead || len(p.buf)+len(stored) > maxPack-maxHeader {
		return fmt.Errorf("add blob %s to pack: %w", h, ErrFormat)
	}
	p.have[h] = true
	p.blobs = append(p.blobs, Blob{Handle: h, Offset: uint32(len(p.buf)), Length: uint32(len(stored)), Uncompressed: uncompressed})
	p.buf = append(p.buf, stored...)
	return nil
}

// Size returns the bytes added so far.
func (p *Pack) Size() int { return len(p.buf) }

// Len returns the number of blobs added so far.
func (p *Pack) Len() int { return len(p.blobs) }

// Finish closes the pack and returns its ID, its bytes and its blobs. The header
// has been read back from the bytes and compared.
func (p *Pack) Finish(c *Codec) (ID, []byte, []Blob, error) {
	if len(p.blobs) == 0 {
		return ID{}, nil, nil, fmt.Errorf("finish empty pack: %w", ErrFormat)
	}
	start := len(p.buf)
	out, err := c.key.Seal(p.buf, encodeHeader(p.blobs))
	if err != nil {
		return ID{}, nil, nil, err
	}
	out = binary.LittleEndian.AppendUint32(out, uint32(len(out)-start))
	back, err := c.PackBlobs(out)
	if err != nil {
		return ID{}, nil, nil, fmt.Errorf("read back pack header: %w", err)
	}
	for i, b := range back {
		if b != p.blobs[i] {
			return ID{}, nil, nil, fmt.Errorf("read back pack header: %w", ErrHash)
		}
	}
	return Hash(out), out, p.blobs, nil
}

func encodeHeader(blobs []Blob) []byte {
	header := make([]byte, 0, len(blobs)*compressedEntry)
	for _, b := range blobs {
		kind := byte(b.Type)
		if b.Uncompressed > 0 {
			kind |= 2
		}
		header = append(header, kind)
		header = binary.LittleEndian.AppendUint32(header, b.Length)
		if b.Uncompressed > 0 {
			header = binary.LittleEndian.AppendUint32(header, b.Uncompressed)
		}
		header = append(header, b.ID[:]...)
	}
	return header
}

// HeaderSize reads the trailing length of a pack of the given size and returns
// how many bytes before the trailer are the sealed header.
func HeaderSize(last []byte, packSize int64) (int64, error) {
	if len(last) != trailer {
		return 0, fmt.Errorf("read pack trailer: %w", ErrFormat)
	}
	n := int64(binary.LittleEndian.Uint32(last))
	if n < SealOverhead+plainEntry || n > maxHeader+SealOverhead || n+trailer > packSize {
		return 0, fmt.Errorf("pack of %d bytes declares a header of %d: %w", packSize, n, ErrFormat)
	}
	return n, nil
}

// TrailerSize is the length of the number at the end of a pack.
const TrailerSize = trailer

// PackBlobs reads the header of a whole pack.
func (c *Codec) PackBlobs(pack []byte) ([]Blob, error) {
	if len(pack) < trailer {
		return nil, fmt.Errorf("read pack of %d bytes: %w", len(pack), ErrFormat)
	}
	n, err := HeaderSize(pack[len(pack)-trailer:], int64(len(pack)))
	if err != nil {
		return nil, err
	}
	return c.HeaderBlobs(pack[int64(len(pack))-trailer-n:len(pack)-trailer], int64(len(pack)))
}

// HeaderBlobs opens the sealed header of a pack of the given size and checks that
// its blobs fill the pack exactly.
func (c *Codec) HeaderBlobs(sealed []byte, packSize int64) ([]Blob, error) {
	plain, err := c.key.Open(nil, sealed)
	if err != nil {
		return nil, fmt.Errorf("open pack header: %w", err)
	}
	blobs, err := parseHeader(plain)
	if err != nil {
		return nil, err
	}
	if got := PackSize(blobs); got != packSize {
		return nil, fmt.Errorf("pack has %d bytes and not the %d its header says: %w", packSize, got, ErrFormat)
	}
	return blobs, nil
}

func parseHeader(plain []byte) ([]Blob, error) {
	blobs := make([]Blob, 0, len(plain)/plainEntry)
	var offset int64
	for len(plain) > 0 {
		kind, size := plain[0], plainEntry
		if kind > 3 {
			return nil, fmt.Errorf("read pack header entry of kind %d: %w", kind, ErrFormat)
		}
		if kind >= 2 {
			size = compressedEntry
		}
		if len(plain) < size {
			return nil, fmt.Errorf("read pack header: cut off: %w", ErrFormat)
		}
		b := Blob{Offset: uint32(offset), Length: binary.LittleEndian.Uint32(plain[1:])}
		b.Type = BlobType(kind & 1)
		if kind >= 2 {
			b.Uncompressed = binary.LittleEndian.Uint32(plain[5:])
		}
		copy(b.ID[:], plain[size-32:size])
		offset += int64(b.Length)
		if err := b.check(); err != nil || offset > maxPack || (kind >= 2 && b.Uncompressed == 0) {
			return nil, fmt.Errorf("read pack header entry %s: %w", b.Handle, ErrFormat)
		}
		blobs, plain = append(blobs, b), plain[size:]
	}
	return blobs, nil
}

func (b Blob) check() error {
	if b.Length < SealOverhead || b.Uncompressed > MaxBlob || int64(b.Offset)+int64(b.Length) > maxPack {
		return ErrFormat
	}
	return nil
}

// PackSize returns the size a pack with exactly these blobs has.
func PackSize(blobs []Blob) int64 {
	size := int64(SealOverhead + trailer)
	for _, b := range blobs {
		size += int64(b.Length) + plainEntry
		if b.Uncompressed > 0 {
			size += compressedEntry - plainEntry
		}
	}
	return size
}
