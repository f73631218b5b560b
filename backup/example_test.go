package backup_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/karov-crm/karov/backup"
	"github.com/karov-crm/karov/backup/disk"
)

// office is a source of two files.
type office struct{}

func (office) Entries(context.Context) iter.Seq2[backup.Entry, error] {
	text := func(s string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
	}
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	return func(yield func(backup.Entry, error) bool) {
		_ = yield(backup.Entry{Path: "README.txt", ModTime: day, Open: text("how to read this\n")}, nil) &&
			yield(backup.Entry{Path: "db/contacts.jsonl", ModTime: day, Records: true, Open: text("{\"id\":1,\"name\":\"Ada\"}\n")}, nil)
	}
}

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	target, err := disk.New(filepath.Join(dir, "repository"))
	if err != nil {
		log.Fatal(err)
	}
	key, err := backup.NewRecoveryKey() // print it: without it nothing can be restored
	if err != nil {
		log.Fatal(err)
	}
	r, err := backup.Init(ctx, target, key)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	snap, err := r.Snapshot(ctx, office{}, backup.SnapshotOptions{Hostname: "office", Tags: []string{"daily"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(snap.Summary.Files, "files stored")

	report, err := r.Verify(ctx, backup.VerifyOptions{ReadData: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sound:", report.OK())

	restored, err := r.Restore(ctx, snap, filepath.Join(dir, "restored"), backup.RestoreOptions{})
	if err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(restored.Dir, "db/contacts.jsonl"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", data)
	// Output:
	// 2 files stored
	// sound: true
	// {"id":1,"name":"Ada"}
}

func ExampleNormalizeRecoveryKey() {
	exact, err := backup.NormalizeRecoveryKey("karov 22222 22222 22222 22222 22222 22222")
	fmt.Println(exact, err)
	_, err = backup.NormalizeRecoveryKey("karov 22222 22222 22232 22222 22222 22222")
	fmt.Println(err)
	other, err := backup.NormalizeRecoveryKey("the password of an old repository")
	fmt.Println(other, err)
	// Output:
	// KAROV-22222-22222-22222-22222-22222-22222 <nil>
	// recovery key is mistyped: the check letters at its end do not fit
	// the password of an old repository <nil>
}
