package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/blob"
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

// Take makes a snapshot of this moment while the appliance works, and returns when it is durable.
func Take(ctx context.Context, repository *backup.Repository, o Origin, progress func(backup.Progress)) (backup.Snapshot, Manifest, error) {
	var made backup.Snapshot
	var m Manifest
	err := o.DB.View(ctx, func(tx store.Tx) (err error) {
		if m, err = o.manifest(ctx, tx); err != nil {
			return err
		}
		made, err = repository.Snapshot(ctx, source{o, tx, m}, backup.SnapshotOptions{Hostname: "karov", Username: "karov",
			Paths: []string{"/karov"}, Tags: []string{"karov"}, ProgramVersion: "karov " + o.Program, Time: m.Taken, Progress: progress})
		return err
	})
	return made, m, AsFault(err)
}

func (o Origin) manifest(ctx context.Context, tx store.Tx) (Manifest, error) {
	format, err := store.Format(tx)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{Layout: Layout, Program: o.Program, Format: format, Identity: store.Identity(tx), Taken: o.Now().UTC().Truncate(time.Second)}
	for _, err := range o.Blobs.All() {
		if err != nil {
			return m, err
		}
		m.Attachments++
	}
	m.Buckets, err = measure(ctx, tx)
	return m, err
}

// source yields a snapshot's files. Buckets are read from one transaction, so all show the same moment. Attachments
// that come meanwhile do no harm: no record of that moment names them.
type source struct {
	o  Origin
	tx store.Tx
	m  Manifest
}

// unchanging is the time of files whose content alone says whether they changed.
var unchanging = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (s source) Entries(ctx context.Context) iter.Seq2[backup.Entry, error] {
	return func(yield func(backup.Entry, error) bool) {
		for _, b := range s.m.Buckets {
			entry := backup.Entry{Path: basePath + b.Name + ".jsonl", ModTime: unchanging, Records: true,
				Open: func() (io.ReadCloser, error) { return s.bucket(b.Name), nil }}
			if !yield(entry, ctx.Err()) {
				return
			}
		}
		left := s.m.Attachments
		for hash, err := range s.o.Blobs.All() {
			if left--; left < 0 && err == nil {
				break
			}
			entry := backup.Entry{ModTime: unchanging, Open: func() (io.ReadCloser, error) { return s.o.Blobs.Open(hash) }}
			if err == nil {
				entry.Path = filesPath + hash[:2] + "/" + hash[2:4] + "/" + hash
			}
			if !yield(entry, err) {
				return
			}
		}
		s.rest(yield)
	}
}

// rest yields configuration, manifest and the note to the finder.
func (s source) rest(yield func(backup.Entry, error) bool) {
	for name, path := range s.o.Config {
		info, err := os.Stat(path)
		if os.IsNotExist(err) {
			continue
		}
		entry := backup.Entry{Path: configPath + name, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
		if err == nil {
			entry.ModTime = info.ModTime()
		}
		if !yield(entry, err) {
			return
		}
	}
	raw, err := json.MarshalIndent(s.m, "", "  ")
	text := func(path string, content []byte, at time.Time) bool {
		return yield(backup.Entry{Path: path, ModTime: at, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		}}, err)
	}
	_ = text(manifestPath, append(raw, '\n'), s.m.Taken) && text("README.txt", []byte(readme), unchanging)
}

// bucket streams a bucket as lines, sorted by key.
func (s source) bucket(name string) io.ReadCloser {
	next, stop := iter.Pull2(s.tx.Bucket(name).Scan(nil, nil, false))
	return &lines{next: next, stop: stop, entity: strings.TrimPrefix(name, "record."), book: s.o.Book, isRecord: strings.HasPrefix(name, "record.")}
}

type lines struct {
	next     func() ([]byte, []byte, bool)
	stop     func()
	book     *record.Book
	entity   string
	isRecord bool
	rest     []byte
}

func (l *lines) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		key, value, ok := l.next()
		if !ok {
			return 0, io.EOF
		}
		var read map[string]any
		if l.isRecord {
			read = l.book.Readable(l.entity, key, value)
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

func (l *lines) Close() error {
	l.stop()
	return nil
}

// readme is for who finds the disk.
const readme = `This is a backup of Karov, an office's customer records.

To have the office back: install Karov on any Debian machine and run
    karov restore --from THIS-FOLDER --data /var/lib/karov
It asks for the recovery key.

Without Karov: the repository is in the format of restic (https://restic.net), and the recovery key is its password.
    restic -r THIS-FOLDER restore latest --target OUT
gives db/base-000001/*.jsonl: one line for each key of the database. In record.contact.jsonl each line's "read" holds
the customer's fields as you would read them; record.message.jsonl holds the messages. attachments/ holds the files, each
named by the SHA-256 of its content. manifest.json counts everything.
`

// loadLines puts a bucket's file into the store, a few thousand lines a transaction.
func loadLines(ctx context.Context, db store.DB, bucket, path string) (err error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("open %s: %w", bucket, err)
	}
	defer f.Close()
	reader := bufio.NewReaderSize(f, 1<<20)
	for done := false; !done; {
		var pairs [][2][]byte
		size := 0
		for len(pairs) < 5000 && size < 8<<20 {
			raw, err := reader.ReadBytes('\n')
			if err == io.EOF && len(raw) == 0 {
				done = true
				break
			}
			if err != nil && err != io.EOF {
				return fmt.Errorf("read %s: %w", bucket, err)
			}
			key, value, err := parseLine(raw)
			if err != nil {
				return fmt.Errorf("read line of %s: %w", bucket, err)
			}
			pairs = append(pairs, [2][]byte{key, value})
			size += len(raw)
		}
		err := db.Update(ctx, func(tx store.Tx) error {
			b := tx.Bucket(bucket)
			for _, pair := range pairs {
				b.Put(pair[0], pair[1])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
