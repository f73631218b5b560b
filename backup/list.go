package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/karov-crm/karov/backup/repo"
)

// Latest is the name under which Find returns the newest snapshot.
const Latest = "latest"

// Snapshots returns all snapshots, newest first. Snapshot files that are damaged
// are joined into the error, each as a *DamageError; the list beside it holds all
// the others.
func (r *Repository) Snapshots(ctx context.Context) ([]Snapshot, error) {
	if r.isClosed() {
		return nil, ErrClosed
	}
	names, err := r.names(ctx, SnapshotFile)
	if err != nil {
		return nil, err
	}
	var list []Snapshot
	var damage error
	for _, name := range names {
		s, err := r.loadSnapshot(ctx, name)
		var d *DamageError
		switch {
		case errors.As(err, &d):
			damage = errors.Join(damage, err)
		case err != nil:
			return nil, err
		default:
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Snapshot) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.ID, b.ID))
	})
	return list, damage
}

func (r *Repository) loadSnapshot(ctx context.Context, name string) (Snapshot, error) {
	data, err := r.loadNamed(ctx, SnapshotFile, name)
	if err != nil {
		return Snapshot{}, err
	}
	meta, err := r.codec.DecodeSnapshot(data)
	if err != nil {
		return Snapshot{}, &DamageError{Kind: SnapshotFile, Name: name, Err: err}
	}
	return newSnapshot(name, meta), nil
}

// Find returns the snapshot whose ID begins with the letters given, or the newest
// for "latest". It fails with ErrNotFound, ErrAmbiguous or a *DamageError. While a
// snapshot file is damaged, nobody knows whether it was the newest, so "latest"
// fails then and the snapshot has to be named.
func (r *Repository) Find(ctx context.Context, prefixOrLatest string) (Snapshot, error) {
	if r.isClosed() {
		return Snapshot{}, ErrClosed
	}
	if prefixOrLatest == Latest {
		list, err := r.Snapshots(ctx)
		switch {
		case err != nil:
			return Snapshot{}, fmt.Errorf("find the newest snapshot: %w", err)
		case len(list) == 0:
			return Snapshot{}, fmt.Errorf("find the newest snapshot: %w", ErrNotFound)
		}
		return list[0], nil
	}
	prefix := strings.ToLower(strings.TrimSpace(prefixOrLatest))
	names, err := r.names(ctx, SnapshotFile)
	if err != nil {
		return Snapshot{}, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return prefix == "" || !strings.HasPrefix(name, prefix) })
	switch len(names) {
	case 0:
		return Snapshot{}, fmt.Errorf("find snapshot %q: %w", prefixOrLatest, ErrNotFound)
	case 1:
		return r.loadSnapshot(ctx, names[0])
	}
	return Snapshot{}, fmt.Errorf("find snapshot %q: %w", prefixOrLatest, ErrAmbiguous)
}

func (s Snapshot) treeID() (repo.ID, error) {
	id, err := repo.ParseID(s.Tree)
	if err != nil {
		return repo.ID{}, fmt.Errorf("read tree of snapshot %s: %w", s.ID, err)
	}
	return id, nil
}
