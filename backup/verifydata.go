package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/karov-crm/karov/backup/repo"
	"golang.org/x/sync/errgroup"
)

// data reads the packs whole, if asked to.
func (v *verification) data(ctx context.Context) error {
	packs := v.packsNeeded()
	if !v.o.ReadData {
		return nil
	}
	var progress Progress
	progress.TotalFiles = uint64(len(packs))
	for _, p := range packs {
		progress.TotalBytes += uint64(v.rd.x.sizes[p.ID])
	}
	group, all := errgroup.WithContext(ctx)
	group.SetLimit(min(workers(), 4)) // each holds a pack
	for _, p := range packs {
		if all.Err() != nil {
			break
		}
		group.Go(func() error {
			size, err := v.pack(all, p)
			if err != nil {
				return err
			}
			v.mu.Lock()
			defer v.mu.Unlock()
			progress.Files++
			progress.Bytes += uint64(size)
			v.report.BytesRead += uint64(size)
			if v.o.Progress != nil {
				v.o.Progress(progress)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// pack reads one pack: its name, its header, and each of its blobs, whether or
// not its name fits, so that the damage is told as narrowly as possible.
func (v *verification) pack(ctx context.Context, p repo.IndexedPack) (int, error) {
	data, err := v.rd.load(ctx, p.ID, 0, 0)
	if err != nil {
		return 0, v.noteIf(err)
	}
	var wrong error
	if repo.Hash(data) != p.ID {
		wrong = repo.ErrHash
	}
	header, err := v.r.codec.PackBlobs(data)
	switch {
	case err != nil:
		wrong = errors.Join(wrong, fmt.Errorf("read header: %w", err))
	case !slices.Equal(header, p.Blobs):
		wrong = errors.Join(wrong, fmt.Errorf("header and index differ: %w", repo.ErrFormat))
	}
	found := false
	for _, b := range p.Blobs {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		found = !v.blob(data, p.ID, b) || found
	}
	if wrong != nil && !found {
		v.noteOnce(p.ID, wrong)
	}
	return len(data), nil
}

// blob reports whether the blob in the pack is sound, and notes it if not.
func (v *verification) blob(data []byte, pack repo.ID, b repo.Blob) bool {
	at := repo.Location{Pack: pack, Blob: b}
	v.mu.Lock()
	_, known := v.bad[at]
	v.mu.Unlock()
	if known {
		return false
	}
	end := int64(b.Offset) + int64(b.Length)
	err := fmt.Errorf("pack ends before it: %w", repo.ErrFormat)
	if end <= int64(len(data)) {
		_, err = v.r.codec.OpenBlob(nil, b.Handle, data[b.Offset:end], b.Uncompressed)
	}
	if err == nil {
		return true
	}
	n := v.note(&DamageError{Kind: PackFile, Name: pack.String(), Blob: b.String(), Err: err})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bad[at] = n
	return false
}

// noteOnce notes a damage of a pack as such, unless its size has been found wrong.
func (v *verification) noteOnce(pack repo.ID, err error) {
	v.mu.Lock()
	known := slices.ContainsFunc(v.report.Damage, func(d Damage) bool { return d.Kind == PackFile && d.Name == pack.String() && d.Blob == "" })
	v.mu.Unlock()
	if !known {
		v.note(&DamageError{Kind: PackFile, Name: pack.String(), Err: err})
	}
}
