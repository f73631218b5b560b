package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/backup"
)

// Origin is what a snapshot is taken of.
type Origin struct {
	DB      store.DB
	Book    *record.Book // reads records for people, so that the files can be used without us
	Blobs   *blob.Store
	Config  map[string]string // name in config/ -> file on disk; one that is not there is left out
	Program string
	Now     func() time.Time
}

// Take makes a snapshot of this moment while the appliance works, and returns when it is durable. Attachments that are
// rotten on the appliance's own disk go into it as they are and are named in the manifest.
func Take(ctx context.Context, repository *backup.Repository, o Origin, progress func(backup.Progress)) (backup.Snapshot, Manifest, error) {
	var made backup.Snapshot
	s := source{o: o}
	err := o.DB.View(ctx, func(tx store.Tx) (err error) {
		if err := s.begin(ctx, tx); err != nil {
			return err
		}
		made, err = repository.Snapshot(ctx, &s, backup.SnapshotOptions{Hostname: "karov", Username: "karov", Paths: []string{"/karov"},
			Tags: []string{ourTag}, ProgramVersion: "karov " + o.Program, Time: s.m.Taken, Progress: progress})
		return err
	})
	return made, s.m, AsFault(err)
}

// ourTag tells our snapshots from those that stock restic made in the same repository.
const ourTag = "karov"

// source yields a snapshot's files. Buckets are read from one transaction, so all show the same moment. The attachments
// are those that are there after it began: every one that its records name, and some that came since, which does no harm.
type source struct {
	o     Origin
	tx    store.Tx
	m     Manifest
	blobs []string
}

// begin counts what the snapshot will hold.
func (s *source) begin(ctx context.Context, tx store.Tx) error {
	format, err := store.Format(tx)
	if err != nil {
		return err
	}
	s.tx = tx
	s.m = Manifest{Layout: Layout, Program: s.o.Program, Format: format, Identity: store.Identity(tx), Taken: s.o.Now().UTC().Truncate(time.Second)}
	for hash, err := range s.o.Blobs.All() {
		if err != nil {
			return err
		}
		// Listed once: one that comes while the snapshot is made would move those behind it.
		s.blobs = append(s.blobs, hash)
	}
	s.m.Attachments = len(s.blobs)
	s.m.Buckets, err = measure(ctx, tx)
	return err
}

// unchanging is the time of files whose content alone says whether they changed.
var unchanging = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Entries implements backup.Source. The manifest is last, when everything it says is known.
func (s *source) Entries(ctx context.Context) iter.Seq2[backup.Entry, error] {
	return func(yield func(backup.Entry, error) bool) {
		for _, b := range s.m.Buckets {
			entry := backup.Entry{Path: bucketPath(b.Name), ModTime: unchanging, Records: true,
				Open: func() (io.ReadCloser, error) { return s.bucket(b.Name), nil }}
			if !yield(entry, ctx.Err()) {
				return
			}
		}
		for _, hash := range s.blobs {
			entry := backup.Entry{Path: filesPath + hash[:2] + "/" + hash[2:4] + "/" + hash, ModTime: unchanging,
				Open: func() (io.ReadCloser, error) { return s.attachment(hash) }}
			if !yield(entry, ctx.Err()) {
				return
			}
		}
		_ = s.config(yield) && s.notes(yield)
	}
}

func bucketPath(name string) string { return basePath + name + ".jsonl" }

// config yields the files of the configuration that are there.
func (s *source) config(yield func(backup.Entry, error) bool) bool {
	for _, name := range slices.Sorted(maps.Keys(s.o.Config)) {
		path := s.o.Config[name]
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return yield(backup.Entry{}, fault.Wrap(err, fault.Unavailable, "backup.unreadable", "file", path))
		}
		open := func() (io.ReadCloser, error) {
			f, err := os.Open(path)
			if err != nil {
				return nil, fault.Wrap(err, fault.Unavailable, "backup.unreadable", "file", path)
			}
			return f, nil
		}
		if !yield(backup.Entry{Path: configPath + name, ModTime: info.ModTime(), Open: open}, nil) {
			return false
		}
	}
	return true
}

// notes yields the manifest and the note to the finder.
func (s *source) notes(yield func(backup.Entry, error) bool) bool {
	raw, err := json.MarshalIndent(s.m, "", "  ")
	text := func(path string, content []byte, at time.Time) bool {
		return yield(backup.Entry{Path: path, ModTime: at, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		}}, err)
	}
	return text(manifestPath, append(raw, '\n'), s.m.Taken) && text("README.txt", []byte(readme), unchanging)
}

// attachment opens a blob that may be rotten.
func (s *source) attachment(hash string) (io.ReadCloser, error) {
	f, err := s.o.Blobs.Open(hash)
	if err != nil {
		return nil, err
	}
	return &attachment{ReadCloser: f, rotten: func() { s.m.Rotten = append(s.m.Rotten, hash) }}, nil
}

// attachment reads a blob to its end whether its bytes are still those of its name or not: one rotten file must not end
// the backups of everything else.
type attachment struct {
	io.ReadCloser
	rotten func()
	ended  bool
}

// Read notes a rotten blob where it ends.
func (a *attachment) Read(p []byte) (int, error) {
	if a.ended {
		return 0, io.EOF
	}
	n, err := a.ReadCloser.Read(p)
	if err != nil && err != io.EOF && fault.Of(err).Key == "blob.damaged" {
		a.rotten()
		err = io.EOF
	}
	a.ended = err == io.EOF
	return n, err
}

// bucket streams a bucket as lines, sorted by key.
func (s *source) bucket(name string) io.ReadCloser {
	next, stop := iter.Pull2(s.tx.Bucket(name).Scan(nil, nil, false))
	return &lines{next: next, stop: stop, entity: strings.TrimPrefix(name, "record."), book: s.o.Book, isRecord: strings.HasPrefix(name, "record.")}
}

// lines reads pairs of a store as lines.
type lines struct {
	next     func() ([]byte, []byte, bool)
	stop     func()
	book     *record.Book
	entity   string
	isRecord bool
	rest     []byte
}

// Read implements io.Reader.
func (l *lines) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		key, value, ok := l.next()
		if !ok {
			return 0, io.EOF
		}
		var read map[string]any
		if l.isRecord {
			read = l.book.Export(l.entity, key, value)
		}
		var err error
		if l.rest, err = lineOf(key, value, read); err != nil {
			return 0, fmt.Errorf("write line: %w", err)
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// Close ends the scan of the bucket.
func (l *lines) Close() error {
	l.stop()
	return nil
}

// readme is for who finds the disk.
const readme = `This is a backup of Karov, an office's customer records.

To have the office back: install Karov on any Debian machine, and there, as root, put the empty office aside and run
    systemctl stop karov
    mv /var/lib/karov /var/lib/karov.empty
    karov restore --from THIS-FOLDER --data /var/lib/karov
    chown -R karov:karov /var/lib/karov
    systemctl start karov
It asks for the recovery key.

Without Karov: the repository is in the format of restic (https://restic.net), and the recovery key is its password.
    restic -r THIS-FOLDER restore latest --target OUT
gives db/base-000001/*.jsonl: one line for each key of the database. In record.contact.jsonl each line's "read" holds
the customer's fields as you would read them; record.message.jsonl holds the messages. attachments/ holds the files, each
named by the SHA-256 of its content. manifest.json counts everything.
`
