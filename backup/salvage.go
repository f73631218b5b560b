package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"

	"github.com/karov-crm/karov/backup/repo"
)

// LeftOut is one file or folder that could not be restored, or not whole.
type LeftOut struct {
	Path string
	// Err is the first *DamageError met, or ErrSpecial.
	Err error
	// Partial is where in the folder restored to the sound pieces of a damaged file
	// are; it is empty if none is sound. A file never stands short under its own
	// name: this is the name with ".damaged" behind it, or ".damaged-2" and so on if
	// the snapshot has such a file.
	//
	// What is missing is filled with zero bytes, so nothing behind it is shifted:
	// who knows the format of the file finds everything at its place. Only behind a
	// piece that no index knows may the place be wrong, if it is not the only one.
	// An entry that was stored with Records is cut at line ends: each of its sound
	// lines stands whole in the partial file, and zero bytes stand between lines,
	// but for a line of more than 1 MiB, which is itself cut.
	Partial string
	// Size is how long the file was, and MissingBytes how much of it is missing.
	Size, MissingBytes uint64
	// Pieces is in how many pieces the file was stored, MissingPieces how many of
	// them are damaged.
	Pieces, MissingPieces int
}

const (
	damagedSuffix = ".damaged"
	// suffixRoom is kept free behind a name for the suffix and a number.
	suffixRoom = len(damagedSuffix) + 12
)

// copySound writes the sound pieces of a file, each at its place, and returns what
// is missing, or nil if the file is whole. Where something is written its Partial is
// the file's own path until namePartials gives it another name.
func (rd reader) copySound(ctx context.Context, v visit, w *restoreWriter) (*LeftOut, error) {
	s := &salvage{rd: rd, node: v.node, w: w, left: LeftOut{Path: v.path, Size: v.node.Size, Pieces: len(v.node.Content)}}
	if err := rd.stream(ctx, v.node.Content, sink{write: s.write, lost: s.lost}); err != nil {
		return nil, interrupted(ctx, err)
	}
	if s.left.Err == nil && s.sound != v.node.Size {
		s.left.Err = wrongSize(v.path, s.sound, v.node)
	}
	if s.left.Err == nil {
		return nil, nil
	}
	if s.sound < v.node.Size {
		s.left.MissingBytes = v.node.Size - s.sound
	}
	if s.sound > 0 {
		s.left.Partial = v.path
	}
	// A gap at the end is not there before the file is as long as it.
	return &s.left, w.f.Truncate(s.at)
}

// salvage is the writing of one file of which pieces may be damaged.
type salvage struct {
	rd    reader
	node  *repo.Node
	w     *restoreWriter
	at    int64  // where the next piece belongs
	sound uint64 // bytes written
	left  LeftOut
	// unknown is what the pieces that no index knows take together, once summed.
	unknown int64
	summed  bool
}

func (s *salvage) write(plain []byte) error {
	s.at += int64(len(plain))
	s.sound += uint64(len(plain))
	_, err := s.w.Write(plain)
	return err
}

// lost leaves a gap where a piece was. On most disks it takes no room.
func (s *salvage) lost(o opened) error {
	s.left.MissingPieces++
	var d *DamageError
	if s.left.Err == nil && errors.As(o.damage, &d) {
		s.left.Err = d.at(s.left.Path)
	}
	length := int64(o.length)
	if length == 0 {
		length = s.unlisted()
	}
	// At least one zero byte keeps two lines apart; the listing bounds the file
	// whatever an index says.
	if s.node.Size <= math.MaxInt64 {
		length = min(length, int64(s.node.Size)-s.at)
	}
	length = max(length, 1)
	s.at += length
	if _, err := s.w.f.Seek(length, io.SeekCurrent); err != nil {
		return fmt.Errorf("leave a gap in %s: %w", s.left.Path, err)
	}
	return nil
}

// unlisted is how long a piece is taken to be that no index knows: all that the
// others leave of the file for the first one, nothing for the next.
func (s *salvage) unlisted() int64 {
	if !s.summed {
		s.summed = true
		s.unknown = int64(min(s.node.Size, math.MaxInt64))
		for _, id := range s.node.Content {
			if at, ok := s.rd.x.First(repo.Handle{Type: repo.DataBlob, ID: id}); ok {
				s.unknown -= int64(at.PlainLength())
			}
		}
	}
	length := s.unknown
	s.unknown = 0
	return length
}

// namePartials takes what is left of damaged files away from their names. It is
// done when all other names are taken.
func (run *restoreRun) namePartials() error {
	left := run.report.LeftOut
	slices.SortFunc(left, func(a, b LeftOut) int { return cmp.Compare(a.Path, b.Path) })
	for i := range left {
		if left[i].Partial == "" {
			continue
		}
		name, err := run.freeName(left[i].Path)
		if err != nil {
			return err
		}
		if err := run.root.Rename(left[i].Path, name); err != nil {
			return err
		}
		left[i].Partial = name
	}
	return nil
}

func (run *restoreRun) freeName(taken string) (string, error) {
	dir, base := path.Split(taken)
	base = base[:min(len(base), nameMax-suffixRoom)] + damagedSuffix
	name := dir + base
	for n := 2; ; n++ {
		_, err := run.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
		name = fmt.Sprintf("%s%s-%d", dir, base, n)
	}
}
