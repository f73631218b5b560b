package transfer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
)

// smallDisk mounts a disk of so many megabytes.
func smallDisk(t *testing.T, megabytes int) (dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: needs root to mount a small disk")
	}
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// stored counts the customers by the counter and by looking at each, and checks the store and the records.
func stored(t *testing.T, o *Office, ctx context.Context) int {
	t.Helper()
	counted, exact, err := o.Contacts.Count(ctx)
	if err != nil || !exact {
		t.Fatalf("count: %v, exact %v", err, exact)
	}
	n := 0
	for q := (record.Query{Limit: record.MaxLimit}); ; {
		list, next, err := o.Contacts.List(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		if n += len(list); next == "" {
			break
		}
		q.Cursor = next
	}
	if n != counted {
		t.Errorf("%d customers are there, the counter says %d", n, counted)
	}
	if err := o.Book.Check(ctx); err != nil {
		t.Error(err)
	}
	return n
}

// TestImportOntoAFullDisk: the import ends with a sentence, what it said is imported is there and nothing else, and when
// there is room again the same file goes on where it ended.
func TestImportOntoAFullDisk(t *testing.T) {
	dir := smallDisk(t, 96)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 84<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	o, db := officeIn(t, dir)
	ctx := asAppliance(t.Context())
	const n = 9000
	file := customers(t, n)
	told := 0
	first, err := Import(ctx, bytes.NewReader(file), Options{Batch: 500, Progress: func(p Progress) { told = p.Rows }}, o)
	if fault.KindOf(err) != fault.Unavailable || fault.Of(err).Key != "disk.full" {
		t.Fatalf("import onto a full disk: %v after %d rows", err, first.Rows)
	}
	if first.Created == 0 || first.Rows != told || first.Rows != first.Created+first.Updated+first.Unchanged+first.Rejected {
		t.Errorf("told %d, result %+v", told, first)
	}
	if got := stored(t, o, ctx); got != first.Created {
		t.Errorf("%d customers are there, the import told of %d", got, first.Created)
	}
	if err := db.Check(ctx); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	again, err := Import(ctx, bytes.NewReader(file), Options{Batch: 500}, o)
	if err != nil || again.Unchanged+again.Updated < first.Rows-first.Rejected || again.Rows != n {
		t.Errorf("the file again: %+v, %v; first %+v", again, err, first)
	}
	if got := stored(t, o, ctx); got != first.Created+again.Created {
		t.Errorf("%d customers are there, want %d and %d", got, first.Created, again.Created)
	}
	if err := db.Check(ctx); err != nil {
		t.Error(err)
	}
}

// TestExportOntoAFullDisk: each kind of file ends with a sentence that says why, wherever it breaks off, and the next one,
// where there is room, is whole.
func TestExportOntoAFullDisk(t *testing.T) {
	dir := smallDisk(t, 1)
	o := newOffice(t)
	ctx := asAppliance(t.Context())
	const n = 4000
	if res, err := Import(ctx, bytes.NewReader(customers(t, n)), Options{}, o); err != nil || res.Created < n*9/10 {
		t.Fatalf("%+v, %v", res, err)
	}
	for _, format := range []string{CSV, JSON, XLSX, VCF} {
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 900<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "out."+format)
		count, err := export(ctx, o, format, path)
		if fault.KindOf(err) != fault.Unavailable || fault.Of(err).Key != "disk.full" {
			t.Errorf("%s onto a full disk: %d records, %v", format, count, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		roomy := filepath.Join(t.TempDir(), "out")
		want := stored(t, o, ctx)
		if count, err := export(ctx, o, format, roomy); err != nil || count != want {
			t.Errorf("%s where there is room: %d of %d records, %v", format, count, want, err)
		}
		if raw, err := os.ReadFile(roomy); err != nil || format == VCF && strings.Count(string(raw), "END:VCARD") != want {
			t.Errorf("%s: %d bytes, %v", format, len(raw), err)
		}
	}
}

func export(ctx context.Context, o *Office, format, path string) (count int, err error) {
	x, err := o.Prepare(ctx, Order{Entity: "contact", Format: format})
	if err != nil {
		return 0, err
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	return x.Write(ctx, f, nil)
}
