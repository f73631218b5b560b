package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/karov-crm/karov/backup/repo"
)

// loadedIndex is the content of all index files at one moment.
type loadedIndex struct {
	*repo.Index
	files []string // sorted names, to see whether it is still current
	// sizes of the packs that are there; an indexed pack not among them is missing.
	sizes map[repo.ID]int64
	// unlisted packs are in no index that could be read. Those whose header could
	// be read are in the Index all the same.
	unlisted []repo.IndexedPack
	damage   []*DamageError
}

// loadIndex reads every index file. A damaged one does not end it: packs that no
// readable index lists are looked up in their own headers, so that only their
// bytes decide what can still be read.
func (r *Repository) loadIndex(ctx context.Context) (*loadedIndex, error) {
	files, err := r.names(ctx, IndexFile)
	if err != nil {
		return nil, err
	}
	x := &loadedIndex{Index: repo.NewIndex(), files: files}
	for _, name := range files {
		packs, err := r.loadIndexFile(ctx, name)
		var damage *DamageError
		if errors.As(err, &damage) {
			x.damage = append(x.damage, damage)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, p := range packs {
			x.Add(p)
		}
	}
	if x.sizes, err = r.packSizes(ctx); err != nil {
		return nil, err
	}
	return x, r.addUnlisted(ctx, x)
}

// currentIndex returns the index for reading, from memory if no index file came or
// went since. What it returns must not be changed.
func (r *Repository) currentIndex(ctx context.Context) (*loadedIndex, error) {
	r.mu.Lock()
	cached := r.cached
	r.mu.Unlock()
	if cached != nil && len(cached.damage) == 0 {
		files, err := r.names(ctx, IndexFile)
		if err != nil {
			return nil, err
		}
		if slices.Equal(files, cached.files) {
			return cached, nil
		}
	}
	x, err := r.loadIndex(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.cached = x
	}
	return x, nil
}

func (r *Repository) names(ctx context.Context, kind FileKind) ([]string, error) {
	var names []string
	for info, err := range r.target.List(ctx, kind) {
		if err != nil {
			return nil, fmt.Errorf("list %s files: %w", kind, err)
		}
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return names, nil
}

func (r *Repository) packSizes(ctx context.Context) (map[repo.ID]int64, error) {
	sizes := make(map[repo.ID]int64)
	for info, err := range r.target.List(ctx, PackFile) {
		if err != nil {
			return nil, fmt.Errorf("list packs: %w", err)
		}
		id, err := repo.ParseID(info.Name)
		if err != nil {
			continue // no name of the format
		}
		sizes[id] = info.Size
	}
	return sizes, nil
}

// loadNamed reads a file whose name is the hash of its bytes.
func (r *Repository) loadNamed(ctx context.Context, kind FileKind, name string) ([]byte, error) {
	data, err := r.target.Load(ctx, kind, name, 0, 0)
	switch {
	case isLost(err):
		return nil, &DamageError{Kind: kind, Name: name, Err: err}
	case err != nil:
		return nil, fmt.Errorf("load %s file %s: %w", kind, name, err)
	case repo.Hash(data).String() != name:
		return nil, &DamageError{Kind: kind, Name: name, Err: repo.ErrHash}
	}
	return data, nil
}

func (r *Repository) loadIndexFile(ctx context.Context, name string) ([]repo.IndexedPack, error) {
	data, err := r.loadNamed(ctx, IndexFile, name)
	if err != nil {
		return nil, err
	}
	packs, err := r.codec.DecodeIndex(data)
	if err != nil {
		return nil, &DamageError{Kind: IndexFile, Name: name, Err: err}
	}
	return packs, nil
}

// addUnlisted reads the headers of the packs that no index lists. That one can not
// be read is no damage: nothing is known to depend on it.
func (r *Repository) addUnlisted(ctx context.Context, x *loadedIndex) error {
	for _, id := range slices.SortedFunc(maps.Keys(x.sizes), compareID) {
		if x.HasPack(id) {
			continue
		}
		blobs, err := r.loadHeader(ctx, id, x.sizes[id])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			blobs = nil
		}
		x.unlisted = append(x.unlisted, repo.IndexedPack{ID: id, Blobs: blobs})
	}
	for _, p := range x.unlisted {
		if p.Blobs != nil {
			x.Add(p)
		}
	}
	return nil
}

func compareID(a, b repo.ID) int { return slices.Compare(a[:], b[:]) }

// headerGuess is read from the end of a pack at first: room for 1,500 blobs.
const headerGuess = 64 << 10

func (r *Repository) loadHeader(ctx context.Context, id repo.ID, size int64) ([]repo.Blob, error) {
	guess := min(size, headerGuess)
	if guess < repo.TrailerSize {
		return nil, fmt.Errorf("pack of %d bytes: %w", size, repo.ErrFormat)
	}
	tail, err := r.target.Load(ctx, PackFile, id.String(), size-guess, guess)
	if err != nil {
		return nil, fmt.Errorf("load pack header: %w", err)
	}
	need, err := repo.HeaderSize(tail[len(tail)-repo.TrailerSize:], size)
	if err != nil {
		return nil, err
	}
	if whole := need + repo.TrailerSize; whole > guess {
		if tail, err = r.target.Load(ctx, PackFile, id.String(), size-whole, whole); err != nil {
			return nil, fmt.Errorf("load pack header: %w", err)
		}
	}
	end := int64(len(tail)) - repo.TrailerSize
	return r.codec.HeaderBlobs(tail[end-need:end], size)
}
