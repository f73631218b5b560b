package repo

import (
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	// compressed is the first byte of an index, snapshot or lock that is zstd.
	compressed = 0x02
	// window is the zstd window stock restic uses.
	window = 512 << 10
	// MaxFile bounds the plain size of an index, snapshot or lock.
	MaxFile = 256 << 20
	// MaxBlob bounds the plain size of a blob. Pieces of files have at most 8 MiB;
	// only the listing of a folder with very many entries comes near.
	MaxBlob = 1 << 30
)

// Codec seals, compresses, opens and checks with the master key of one
// repository. It is safe for concurrent use.
type Codec struct {
	key   *Key
	enc   *zstd.Encoder
	files *zstd.Decoder
	blobs *zstd.Decoder
}

// NewCodec returns the codec of the repository whose master key is given.
func NewCodec(key *Key) (*Codec, error) {
	// The fastest level: compression is most of the cost of a backup, and the
	// next level saves a tenth of the space for half of the speed.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithWindowSize(window),
		zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	files, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxFile))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	// Blobs say how long they are: never take more than that.
	blobs, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(MaxBlob))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return &Codec{key: key, enc: enc, files: files, blobs: blobs}, nil
}

// Key returns the master key.
func (c *Codec) Key() *Key { return c.key }

// SealFile returns the stored form of an index, snapshot or lock.
func (c *Codec) SealFile(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	sealed, err := c.key.Seal(nil, c.enc.EncodeAll(plain, []byte{compressed}))
	if err != nil {
		return nil, err
	}
	back, err := c.OpenFile(sealed)
	if err != nil || Hash(back) != Hash(plain) {
		return nil, fmt.Errorf("read back what was sealed: %w", ErrHash)
	}
	return sealed, nil
}

// OpenFile returns the JSON in the stored form of an index, snapshot or lock.
func (c *Codec) OpenFile(sealed []byte) ([]byte, error) {
	plain, err := c.key.Open(nil, sealed)
	if err != nil {
		return nil, err
	}
	if len(plain) == 0 {
		return nil, fmt.Errorf("read empty file: %w", ErrFormat)
	}
	switch plain[0] {
	case '{', '[':
		return plain, nil
	case compressed:
		out, err := c.files.DecodeAll(plain[1:], nil)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w: %w", ErrFormat, err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("read encoding byte %#x: %w", plain[0], ErrFormat)
}

// SealBlob appends the stored form of a blob to dst and returns it with the
// length to declare as uncompressed, 0 if it was not compressed. It has been
// opened and compared again before it is returned, so that a fault of this
// machine's memory does not become a backup that can not be read.
func (c *Codec) SealBlob(dst []byte, h Handle, plain []byte) ([]byte, uint32, error) {
	if len(plain) == 0 || len(plain) > MaxBlob {
		return nil, 0, fmt.Errorf("store blob of %d bytes: %w", len(plain), ErrFormat)
	}
	body, length := c.enc.EncodeAll(plain, make([]byte, 0, len(plain)+64)), uint32(len(plain))
	if len(body) >= len(plain) && h.Type == DataBlob {
		body, length = plain, 0
	}
	start := len(dst)
	dst, err := c.key.Seal(dst, body)
	if err != nil {
		return nil, 0, err
	}
	if _, err := c.OpenBlob(nil, h, dst[start:], length); err != nil {
		return nil, 0, fmt.Errorf("read back blob %s: %w", h, err)
	}
	return dst, length, nil
}

// OpenBlob returns the plain bytes of a stored blob, which are those of its ID,
// or an error. The room of scratch is used if it suffices.
func (c *Codec) OpenBlob(scratch []byte, h Handle, stored []byte, uncompressed uint32) ([]byte, error) {
	plain, err := c.key.Open(nil, stored)
	if err != nil {
		return nil, err
	}
	if uncompressed > 0 {
		if uncompressed > MaxBlob {
			return nil, fmt.Errorf("read blob of %d bytes: %w", uncompressed, ErrFormat)
		}
		if cap(scratch) < int(uncompressed) {
			scratch = make([]byte, 0, uncompressed)
		}
		plain, err = c.blobs.DecodeAll(plain, scratch[:0:uncompressed])
		if err != nil {
			return nil, fmt.Errorf("decompress: %w: %w", ErrFormat, err)
		}
		if len(plain) != int(uncompressed) {
			return nil, fmt.Errorf("blob has %d bytes and not the %d declared: %w", len(plain), uncompressed, ErrFormat)
		}
	}
	if Hash(plain) != h.ID {
		return nil, ErrHash
	}
	return plain, nil
}
