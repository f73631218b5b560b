package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/backup"
)

// building makes a data folder out of a snapshot's restored tree.
type building struct {
	tree, data string
	left       map[string]backup.LeftOut // what is not in the tree, or not whole
	remains    []string                  // files in the tree to be kept as they are
	proof      *Proof
}

// build makes store, attachments and configuration and compares them with the manifest.
func (b *building) build(ctx context.Context) error {
	buckets, err := b.buckets()
	if err != nil {
		return err
	}
	if len(buckets) == 0 {
		return fault.New(fault.Invalid, "restore.nothing")
	}
	db, err := bolt.Open(filepath.Join(b.data, StoreFile))
	if err != nil {
		return err
	}
	if err := errors.Join(b.fill(ctx, db, buckets), db.Close()); err != nil {
		return err
	}
	return b.files(ctx)
}

// buckets lists the buckets of which the tree holds anything.
func (b *building) buckets() (names []string, err error) {
	root, err := os.OpenRoot(b.tree)
	if err != nil {
		return nil, fmt.Errorf("look into the restored tree: %w", err)
	}
	defer root.Close()
	base := strings.TrimSuffix(basePath, "/")
	err = fs.WalkDir(root.FS(), base, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == base {
			return nil
		}
		if err != nil {
			return err
		}
		if name, ok := strings.CutSuffix(strings.TrimPrefix(path, basePath), ".jsonl"); ok && d.Type().IsRegular() {
			names = append(names, name)
		}
		return nil
	})
	for path, out := range b.left {
		if name, ok := strings.CutPrefix(path, basePath); ok && out.Partial != "" {
			names = append(names, strings.TrimSuffix(name, ".jsonl"))
		}
	}
	slices.Sort(names)
	return names, err
}

// fill loads every bucket and measures what came of it.
func (b *building) fill(ctx context.Context, db store.DB, buckets []string) (err error) {
	for _, name := range buckets {
		if err := b.bucket(ctx, db, name); err != nil {
			return err
		}
	}
	if m := b.proof.Manifest; m.Format > 0 { // what the store lost of itself, the manifest knows
		if err := db.Update(ctx, func(tx store.Tx) error { store.Stamp(tx, m.Format, m.Identity); return nil }); err != nil {
			return err
		}
	}
	if err := db.Check(ctx); err != nil {
		return err
	}
	if b.proof.Buckets, err = Measure(ctx, db); err != nil {
		return err
	}
	b.proof.compare()
	return nil
}

// bucket loads one bucket's file and removes it, so that both need not have room at once.
func (b *building) bucket(ctx context.Context, db store.DB, name string) error {
	path := bucketPath(name)
	if out, ok := b.left[path]; ok {
		path = out.Partial
	}
	path = filepath.Join(b.tree, filepath.FromSlash(path))
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	l := loading{db: db, bucket: name, from: bufio.NewReaderSize(f, 1<<20)}
	if err := errors.Join(l.run(ctx), f.Close()); err != nil {
		return err
	}
	if l.bad == 0 {
		return os.Remove(path)
	}
	b.proof.miss("%s: %d lines cannot be read, line %d the first: %v", name, l.bad, l.firstBad, l.why)
	b.remains = append(b.remains, path)
	return nil
}

// loading puts the lines of one file into a bucket. Lines that cannot be read are counted and passed over.
type loading struct {
	db     store.DB
	bucket string
	from   *bufio.Reader

	line, bad, firstBad int
	why                 error // of the first that could not be read
}

// A transaction takes so many lines, or so many bytes of them.
const (
	linesAtOnce = 5000
	bytesAtOnce = 8 << 20
)

type pair struct{ key, value []byte }

func (l *loading) run(ctx context.Context) error {
	for done := false; !done; {
		var pairs []pair
		var err error
		if pairs, done, err = l.next(); err != nil {
			return fmt.Errorf("read %s: %w", l.bucket, err)
		}
		err = l.db.Update(ctx, func(tx store.Tx) error {
			into := tx.Bucket(l.bucket)
			for _, p := range pairs {
				into.Put(p.key, p.value)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("load %s: %w", l.bucket, err)
		}
	}
	return nil
}

// next reads what one transaction takes.
func (l *loading) next() (pairs []pair, done bool, err error) {
	for size := 0; len(pairs) < linesAtOnce && size < bytesAtOnce; {
		raw, err := l.from.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		done = err == io.EOF
		// Where pieces of a damaged file are missing there are zero bytes, and JSON has none. They stand between lines,
		// or in a line too long for one piece, which then cannot be read.
		size += len(raw)
		if text := bytes.TrimLeft(raw, "\x00"); len(text) > 0 {
			l.line++
			key, value, err := parseLine(text)
			if err == nil {
				pairs = append(pairs, pair{key, value})
			} else if l.bad++; l.bad == 1 {
				l.firstBad, l.why = l.line, err
			}
		}
		if done {
			return pairs, true, nil
		}
	}
	return pairs, false, nil
}

// files moves attachments, configuration and the remains of damaged files into the new data folder.
func (b *building) files(ctx context.Context) error {
	for _, out := range b.left {
		if out.Partial != "" && !strings.HasPrefix(out.Path, basePath) {
			b.remains = append(b.remains, filepath.Join(b.tree, filepath.FromSlash(out.Partial)))
		}
	}
	for _, path := range b.remains {
		below, err := filepath.Rel(b.tree, path)
		if err != nil {
			return err
		}
		if err := move(path, filepath.Join(b.data, RemainsFolder, below)); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{filesPath: BlobFolder, configPath: ConfFolder} {
		if err := moveFolder(filepath.Join(b.tree, filepath.FromSlash(from)), filepath.Join(b.data, to)); err != nil {
			return err
		}
	}
	blobs, err := blob.Open(filepath.Join(b.data, BlobFolder))
	if err != nil {
		return err
	}
	count := 0
	for _, err := range blobs.All() {
		if err != nil {
			return err
		}
		count++
	}
	if m := b.proof.Manifest; m.Layout > 0 && count != m.Attachments {
		b.proof.miss("attachments: %d of %d are missing", m.Attachments-count, m.Attachments)
	}
	return ctx.Err()
}

// moveFolder moves a folder that may be missing. A link in its place is refused: it would lead out of the data.
func moveFolder(from, to string) error {
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		err = fs.ErrInvalid
	}
	if err != nil {
		return fmt.Errorf("place restored files: %w", err)
	}
	return move(from, to)
}

func move(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("place restored files: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("place restored files: %w", err)
	}
	return nil
}
