package repo

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// IndexedPack is one pack as an index file lists it.
type IndexedPack struct {
	ID    ID
	Blobs []Blob
}

type indexJSON struct {
	Packs []packJSON `json:"packs"`
}

type packJSON struct {
	ID    ID         `json:"id"`
	Blobs []blobJSON `json:"blobs"`
}

type blobJSON struct {
	ID           ID       `json:"id"`
	Type         BlobType `json:"type"`
	Offset       uint32   `json:"offset"`
	Length       uint32   `json:"length"`
	Uncompressed uint32   `json:"uncompressed_length,omitempty"`
}

// EncodeIndex returns the stored form of an index file.
func (c *Codec) EncodeIndex(packs []IndexedPack) ([]byte, error) {
	j := indexJSON{Packs: make([]packJSON, 0, len(packs))}
	for _, p := range packs {
		pj := packJSON{ID: p.ID, Blobs: make([]blobJSON, 0, len(p.Blobs))}
		for _, b := range p.Blobs {
			pj.Blobs = append(pj.Blobs, blobJSON{ID: b.ID, Type: b.Type, Offset: b.Offset, Length: b.Length, Uncompressed: b.Uncompressed})
		}
		j.Packs = append(j.Packs, pj)
	}
	return c.SealFile(j)
}

// DecodeIndex opens and checks an index file.
func (c *Codec) DecodeIndex(sealed []byte) ([]IndexedPack, error) {
	plain, err := c.OpenFile(sealed)
	if err != nil {
		return nil, err
	}
	return parseIndex(plain)
}

func parseIndex(plain []byte) ([]IndexedPack, error) {
	var j indexJSON
	if err := json.Unmarshal(plain, &j); err != nil {
		return nil, fmt.Errorf("read index: %w: %w", ErrFormat, err)
	}
	packs := make([]IndexedPack, 0, len(j.Packs))
	for _, pj := range j.Packs {
		p := IndexedPack{ID: pj.ID, Blobs: make([]Blob, 0, len(pj.Blobs))}
		for _, bj := range pj.Blobs {
			b := Blob{Handle: Handle{Type: bj.Type, ID: bj.ID}, Offset: bj.Offset, Length: bj.Length, Uncompressed: bj.Uncompressed}
			if err := b.check(); err != nil {
				return nil, fmt.Errorf("read index entry %s: %w", b.Handle, err)
			}
			p.Blobs = append(p.Blobs, b)
		}
		packs = append(packs, p)
	}
	return packs, nil
}

// Location is one place where a blob is stored.
type Location struct {
	Pack ID
	Blob
}

type place struct{ pack, offset, length, uncompressed uint32 }

// Index knows where each blob lies; a blob may lie in several packs, and then
// each place serves if another is damaged. It is not safe for concurrent change.
type Index struct {
	packs  []ID
	number map[ID]uint32
	first  map[Handle]place
	more   map[Handle][]place // the rare second and later places
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{number: make(map[ID]uint32), first: make(map[Handle]place), more: make(map[Handle][]place)}
}

// Add takes a pack into the index. A pack may be added again, as when two index
// files list it: places already known are not doubled.
func (x *Index) Add(p IndexedPack) {
	n, known := x.number[p.ID]
	if !known {
		n = uint32(len(x.packs))
		x.packs = append(x.packs, p.ID)
		x.number[p.ID] = n
	}
	for _, b := range p.Blobs {
		at := place{n, b.Offset, b.Length, b.Uncompressed}
		first, ok := x.first[b.Handle]
		switch {
		case !ok:
			x.first[b.Handle] = at
		case first != at && !slices.Contains(x.more[b.Handle], at):
			x.more[b.Handle] = append(x.more[b.Handle], at)
		}
	}
}

// Has reports whether the blob is stored somewhere.
func (x *Index) Has(h Handle) bool {
	_, ok := x.first[h]
	return ok
}

// HasPack reports whether some index file listed the pack.
func (x *Index) HasPack(id ID) bool {
	_, ok := x.number[id]
	return ok
}

// Locations returns every place of the blob, none if it is unknown.
func (x *Index) Locations(h Handle) []Location {
	first, ok := x.first[h]
	if !ok {
		return nil
	}
	out := append(make([]Location, 0, 1), x.location(h, first))
	for _, at := range x.more[h] {
		out = append(out, x.location(h, at))
	}
	return out
}

// First returns the first place of the blob.
func (x *Index) First(h Handle) (Location, bool) {
	at, ok := x.first[h]
	return x.location(h, at), ok
}

func (x *Index) location(h Handle, at place) Location {
	l := Location{Blob: Blob{Handle: h, Offset: at.offset, Length: at.length, Uncompressed: at.uncompressed}}
	if int(at.pack) < len(x.packs) {
		l.Pack = x.packs[at.pack]
	}
	return l
}

// Len returns the number of different blobs.
func (x *Index) Len() int { return len(x.first) }

// Packs yields each pack with its blobs in the order they lie in it.
func (x *Index) Packs() iter.Seq[IndexedPack] {
	return func(yield func(IndexedPack) bool) {
		packs := make([][]Blob, len(x.packs))
		put := func(h Handle, at place) {
			packs[at.pack] = append(packs[at.pack], x.location(h, at).Blob)
		}
		for h, at := range x.first {
			put(h, at)
		}
		for h, places := range x.more {
			for _, at := range places {
				put(h, at)
			}
		}
		for n, blobs := range packs {
			slices.SortFunc(blobs, func(a, b Blob) int { return int(int64(a.Offset) - int64(b.Offset)) })
			if !yield(IndexedPack{ID: x.packs[n], Blobs: blobs}) {
				return
			}
		}
	}
}

// PackIDs yields the packs of the index.
func (x *Index) PackIDs() iter.Seq[ID] { return maps.Keys(x.number) }
