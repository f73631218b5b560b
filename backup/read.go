package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/karov-crm/karov/backup/repo"
	"golang.org/x/sync/semaphore"
)

const (
	// batchPlain and batchSpan bound what one read of a pack takes in: pieces that
	// follow each other in a file mostly follow each other in a pack.
	batchPlain = 4 << 20
	batchSpan  = 8 << 20
)

var errNotStored = errors.New("piece is in no pack")

// reader reads blobs by one state of the index.
type reader struct {
	r *Repository
	x *loadedIndex
	// budget bounds the bytes read ahead by all streams of this reader.
	budget *semaphore.Weighted
}

// aheadBudget lets two workers be busy with a batch each and two more be ready.
const aheadBudget = 4 * (batchPlain + batchSpan)

func (r *Repository) newReader(x *loadedIndex) reader {
	return reader{r: r, x: x, budget: semaphore.NewWeighted(aheadBudget)}
}

// blob loads one blob from the first of its places that is sound. If none is, the
// error is a *DamageError for the first place.
func (rd reader) blob(ctx context.Context, h repo.Handle) ([]byte, error) {
	places := rd.x.Locations(h)
	if len(places) == 0 {
		return nil, &DamageError{Kind: PackFile, Blob: h.String(), Err: errNotStored}
	}
	var first error
	for _, at := range places {
		plain, err := rd.place(ctx, at)
		if err == nil {
			return plain, nil
		}
		if !isDamage(err) {
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (rd reader) place(ctx context.Context, at repo.Location) ([]byte, error) {
	stored, err := rd.load(ctx, at.Pack, int64(at.Offset), int64(at.Length))
	if err == nil {
		var plain []byte
		if plain, err = rd.r.codec.OpenBlob(nil, at.Handle, stored, at.Uncompressed); err == nil {
			return plain, nil
		}
		err = &DamageError{Kind: PackFile, Name: at.Pack.String(), Err: err}
	}
	var d *DamageError
	if errors.As(err, &d) {
		d.Blob = at.Handle.String()
	}
	return nil, err
}

// load reads a part of a pack; that it is missing or too short is damage, other
// failures may pass.
func (rd reader) load(ctx context.Context, pack repo.ID, offset, length int64) ([]byte, error) {
	data, err := rd.r.target.Load(ctx, PackFile, pack.String(), offset, length)
	switch {
	case isLost(err):
		return nil, &DamageError{Kind: PackFile, Name: pack.String(), Err: err}
	case err != nil:
		return nil, fmt.Errorf("load pack %s: %w", pack, err)
	}
	return data, nil
}

// isLost reports whether a stored file, or a part of it, is not there to be read: a
// sector that the disk can not read is as lost as bytes that are gone.
func isLost(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EIO)
}

func (rd reader) tree(ctx context.Context, id repo.ID) (*repo.Tree, error) {
	h := repo.Handle{Type: repo.TreeBlob, ID: id}
	plain, err := rd.blob(ctx, h)
	if err != nil {
		return nil, err
	}
	t, err := repo.DecodeTree(plain)
	if err != nil {
		d := &DamageError{Kind: PackFile, Blob: h.String(), Err: err}
		if at, ok := rd.x.First(h); ok {
			d.Name = at.Pack.String()
		}
		return nil, d
	}
	return t, nil
}

// batch is a run of pieces of one file that are read at once.
type batch struct {
	blobs  []repo.Location
	offset int64 // of the first byte in the pack
	length int64 // 0 if the pieces are to be looked up one by one
}

// cost is what reading the batch takes of memory.
func (b batch) cost() int64 {
	cost := b.length
	for _, at := range b.blobs {
		cost += int64(at.PlainLength())
	}
	return min(cost, aheadBudget)
}

// batches groups the pieces of a file into runs that lie close together.
func (rd reader) batches(content []repo.ID) []batch {
	var out []batch
	var plain, stored int64
	for _, id := range content {
		h := repo.Handle{Type: repo.DataBlob, ID: id}
		at, ok := rd.x.First(h)
		if !ok {
			out = append(out, batch{blobs: []repo.Location{{Blob: repo.Blob{Handle: h, Length: repo.SealOverhead}}}})
			continue
		}
		begin, end := int64(at.Offset), int64(at.Offset)+int64(at.Length)
		if n := len(out) - 1; n >= 0 && out[n].length > 0 && out[n].blobs[0].Pack == at.Pack {
			last := &out[n]
			from, to := min(last.offset, begin), max(last.offset+last.length, end)
			near := to-from <= 2*(stored+int64(at.Length))
			if near && to-from <= batchSpan && plain+int64(at.PlainLength()) <= batchPlain {
				last.blobs = append(last.blobs, at)
				last.offset, last.length = from, to-from
				plain += int64(at.PlainLength())
				stored += int64(at.Length)
				continue
			}
		}
		out = append(out, batch{blobs: []repo.Location{at}, offset: begin, length: end - begin})
		plain, stored = int64(at.PlainLength()), int64(at.Length)
	}
	return out
}

// opened is one piece of a file: its plain bytes, or the damage it has and the
// length it had, 0 if no index says it.
type opened struct {
	plain  []byte
	length uint32
	damage error
}

// open opens the pieces of a batch. A piece that does not open in the run read at
// once is looked up by itself, in all its places.
func (rd reader) open(ctx context.Context, b batch) ([]opened, error) {
	out := make([]opened, len(b.blobs))
	var run []byte
	if b.length > 0 {
		data, err := rd.load(ctx, b.blobs[0].Pack, b.offset, b.length)
		if err != nil && !isDamage(err) {
			return nil, err
		}
		run = data
	}
	for i, at := range b.blobs {
		if run != nil {
			from := int64(at.Offset) - b.offset
			plain, err := rd.r.codec.OpenBlob(nil, at.Handle, run[from:from+int64(at.Length)], at.Uncompressed)
			if err == nil {
				out[i].plain = plain
				continue
			}
		}
		plain, err := rd.blob(ctx, at.Handle)
		if err != nil && !isDamage(err) {
			return out[:i], err
		}
		out[i] = opened{plain: plain, length: at.PlainLength(), damage: err}
	}
	return out, nil
}

// openedBatch is what came of a batch; err ended it.
type openedBatch struct {
	pieces []opened
	err    error
	cost   int64
}

// sink takes the pieces of a file in order.
type sink struct {
	write func(plain []byte) error
	// lost is told of each damaged piece. Where it is nil, the first one is an error.
	lost func(o opened) error
}

func (s sink) all(b openedBatch) error {
	for _, o := range b.pieces {
		var err error
		switch {
		case o.damage == nil:
			err = s.write(o.plain)
		case s.lost != nil:
			err = s.lost(o)
		default:
			err = o.damage
		}
		if err != nil {
			return err
		}
	}
	return b.err
}

// stream gives the sink each piece of a file in order. It reads and opens some
// batches ahead, in parallel. Pieces before a damaged one are written.
func (rd reader) stream(ctx context.Context, content []repo.ID, to sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ahead := make(chan chan openedBatch, workers())
	go func() {
		defer close(ahead)
		for _, b := range rd.batches(content) {
			if rd.budget.Acquire(ctx, b.cost()) != nil {
				return
			}
			result := make(chan openedBatch, 1)
			select {
			case ahead <- result:
			case <-ctx.Done():
				rd.budget.Release(b.cost())
				return
			}
			go func() {
				pieces, err := rd.open(ctx, b)
				result <- openedBatch{pieces, err, b.cost()}
			}()
		}
	}()
	defer func() {
		cancel()
		for result := range ahead {
			rd.budget.Release((<-result).cost)
		}
	}()
	for result := range ahead {
		b := <-result
		err := to.all(b)
		rd.budget.Release(b.cost)
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// ReadFile returns the content of one file of a snapshot. Each piece is opened and
// compared with its name before a byte of it is given out. Reading fails with a
// *DamageError where a piece is damaged, and never ends early without an error.
// Close it; until then the repository is locked against deletion.
func (r *Repository) ReadFile(ctx context.Context, snap Snapshot, path string) (io.ReadCloser, error) {
	ctx, release, err := r.lockToRead(ctx)
	if err != nil {
		return nil, err
	}
	x, err := r.currentIndex(ctx)
	if err != nil {
		release()
		return nil, err
	}
	rd := r.newReader(x)
	node, err := rd.find(ctx, snap, path)
	if err != nil {
		release()
		return nil, err
	}
	return rd.file(ctx, node, path, release), nil
}

// file streams a file through a pipe.
func (rd reader) file(ctx context.Context, node *repo.Node, path string, release func()) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer release()
		err := rd.copyFile(ctx, node, path, pw)
		pw.CloseWithError(err)
	}()
	return &fileReader{PipeReader: pr, stop: func() {
		cancel()
		<-done
	}}
}

// copyFile writes a file's content and checks its length against the listing.
func (rd reader) copyFile(ctx context.Context, node *repo.Node, path string, w io.Writer) error {
	var size uint64
	err := rd.stream(ctx, node.Content, sink{write: func(plain []byte) error {
		size += uint64(len(plain))
		_, err := w.Write(plain)
		return err
	}})
	var d *DamageError
	switch {
	case errors.As(err, &d):
		return d.at(path)
	case err != nil:
		return interrupted(ctx, err)
	case size != node.Size:
		return wrongSize(path, size, node)
	}
	return nil
}

// interrupted returns why the context ended, if it did, instead of what followed.
func interrupted(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func wrongSize(path string, size uint64, node *repo.Node) *DamageError {
	return &DamageError{Kind: PackFile, Path: path,
		Err: fmt.Errorf("content has %d bytes and not the %d its folder lists: %w", size, node.Size, repo.ErrFormat)}
}

type fileReader struct {
	*io.PipeReader
	stop func()
}

// Close ends reading and gives the lock back.
func (f *fileReader) Close() error {
	err := f.PipeReader.Close()
	f.stop()
	return err
}

// find walks down to a file.
func (rd reader) find(ctx context.Context, snap Snapshot, path string) (*repo.Node, error) {
	id, err := snap.treeID()
	if err != nil {
		return nil, err
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, name := range parts {
		t, err := rd.tree(ctx, id)
		if err != nil {
			var d *DamageError
			if errors.As(err, &d) {
				return nil, d.at(strings.Join(parts[:i], "/") + "/")
			}
			return nil, err
		}
		n, ok := t.Find(name)
		switch {
		case !ok:
			return nil, fmt.Errorf("find %s in snapshot %s: %w", path, snap.ID, ErrNotFound)
		case i == len(parts)-1 && n.Type == repo.FileNode:
			return n, nil
		case n.Type != repo.DirNode:
			return nil, fmt.Errorf("find %s in snapshot %s: %q is a %s: %w", path, snap.ID, name, n.Type, ErrNotFound)
		case i < len(parts)-1:
			id = *n.Subtree
		}
	}
	return nil, fmt.Errorf("find %s in snapshot %s: it is a folder: %w", path, snap.ID, ErrNotFound)
}
