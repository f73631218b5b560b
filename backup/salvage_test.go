package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/backup"
)

// onePack makes a repository in which the content of one file is the only one in
// its pack, and returns that pack.
func onePack(t *testing.T, c content) (r *backup.Repository, dir string, s backup.Snapshot, pack string) {
	t.Helper()
	r, dir = initRepo(t)
	s = snapshot(t, r, c)
	var size int64
	for _, path := range files(t, dir, "data") {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > size {
			pack, size = path, info.Size()
		}
	}
	return r, dir, s, pack
}

// hard is records that do not compress, so that a byte of a pack is in one piece.
func hard(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"%06d\",\"note\":\"%x\"}\n", i, noise(uint64(i), 200))
	}
	return b.Bytes()
}

func salvage(t *testing.T, r *backup.Repository, s backup.Snapshot) (string, backup.RestoreReport) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "salvaged")
	report, err := r.Restore(t.Context(), s, to, backup.RestoreOptions{SkipDamaged: true})
	if err != nil {
		t.Fatal(err)
	}
	return to, report
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSalvageKeepsEverySoundLine(t *testing.T) {
	t.Parallel()
	c := content{"db/contact.jsonl": hard(8000), "whole": []byte("whole")}
	r, dir, s, pack := onePack(t, c)
	for name, at := range map[string]int{"first piece": 20, "middle": 1 << 19} {
		t.Run(name, func(t *testing.T) {
			change(t, pack, flip(at))
			defer change(t, pack, flip(at))
			to, report := salvage(t, r, s)
			if len(report.LeftOut) != 1 {
				t.Fatalf("left out: %+v", report.LeftOut)
			}
			left := report.LeftOut[0]
			var damage *backup.DamageError
			if left.Path != "db/contact.jsonl" || left.Partial != "db/contact.jsonl.damaged" || !errors.As(left.Err, &damage) ||
				damage.Path != left.Path || damage.Name != filepath.Base(pack) {
				t.Errorf("left out: %+v", left)
			}
			if left.MissingPieces != 1 || left.Pieces < 50 || left.Size != uint64(len(c[left.Path])) || left.MissingBytes == 0 || left.MissingBytes > 128<<10 {
				t.Errorf("missing: %+v", left)
			}
			linesOf(t, read(t, filepath.Join(to, left.Partial)), c[left.Path], left)
			gone(t, filepath.Join(to, left.Path))
			if got := read(t, filepath.Join(to, "whole")); string(got) != "whole" {
				t.Errorf("sound file: %q", got)
			}
		})
	}
	mustRestic(t, dir, "check", "--read-data")
}

// linesOf checks that got is want with one run of zero bytes in it, that no line is
// half there, and that it is as the report says.
func linesOf(t *testing.T, got, want []byte, left backup.LeftOut) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d bytes of %d", len(got), len(want))
	}
	zeros := 0
	for i := range got {
		if got[i] == 0 {
			zeros++
		} else if got[i] != want[i] {
			t.Fatalf("byte %d is shifted or wrong", i)
		}
	}
	if uint64(zeros) != left.MissingBytes {
		t.Errorf("%d bytes are missing, %d are reported", zeros, left.MissingBytes)
	}
	whole := map[string]bool{}
	for line := range strings.Lines(string(want)) {
		whole[line] = true
	}
	found := 0
	for line := range strings.Lines(string(got)) {
		if line = strings.TrimLeft(line, "\x00"); line == "" {
			continue
		}
		if found++; !whole[line] {
			t.Errorf("line %q was never stored", line)
		}
	}
	if lost := len(whole) - found; lost == 0 || lost > 400 {
		t.Errorf("%d lines of %d are lost", lost, len(whole))
	}
}

func TestSalvageOfAnAttachmentShiftsNothing(t *testing.T) {
	t.Parallel()
	c := content{"a/photo": noise(3, 20<<20), "a/photo.damaged": []byte("a name that is taken")}
	r, _, s, pack := onePack(t, c)
	change(t, pack, flip(1<<20))
	to, report := salvage(t, r, s)
	if len(report.LeftOut) != 1 || report.LeftOut[0].Partial != "a/photo.damaged-2" || report.LeftOut[0].Pieces < 3 {
		t.Fatalf("left out: %+v", report.LeftOut)
	}
	left := report.LeftOut[0]
	got, want := read(t, filepath.Join(to, left.Partial)), c["a/photo"]
	if len(got) != len(want) {
		t.Fatalf("%d bytes of %d", len(got), len(want))
	}
	// Random bytes are zero now and then: what counts is the run that differs.
	first, last := -1, 0
	for i := range got {
		if got[i] != want[i] {
			if last = i; first < 0 {
				first = i
			}
		}
	}
	if first < 0 || uint64(last-first) > left.MissingBytes || !bytes.Equal(got[first:last+1], make([]byte, last+1-first)) {
		t.Errorf("bytes %d to %d are wrong, %d are reported missing", first, last, left.MissingBytes)
	}
	gone(t, filepath.Join(to, "a/photo"))
	if got := read(t, filepath.Join(to, "a/photo.damaged")); string(got) != "a name that is taken" {
		t.Errorf("the file that has the name: %q", got)
	}
}

func TestSalvageWhereThePackIsGone(t *testing.T) {
	t.Parallel()
	// Packs end at 16 MiB: the file is in two.
	c := content{strings.Repeat("n", 255): noise(5, 24<<20)}
	r, dir, s, pack := onePack(t, c)
	if err := os.Remove(pack); err != nil {
		t.Fatal(err)
	}
	to, report := salvage(t, r, s)
	if len(report.LeftOut) != 1 || report.LeftOut[0].MissingPieces < 2 || report.LeftOut[0].MissingBytes < 12<<20 {
		t.Fatalf("left out: %+v", report.LeftOut)
	}
	if info, err := os.Stat(filepath.Join(to, report.LeftOut[0].Partial)); err != nil || info.Size() != 24<<20 {
		t.Errorf("partial file: %v, %v", info, err)
	}
	// With the index gone too nobody knows how long the pieces were, but together
	// they are what is missing.
	for _, index := range files(t, dir, "index") {
		if err := os.Remove(index); err != nil {
			t.Fatal(err)
		}
	}
	to, again := salvage(t, openRepo(t, dir, testKey), s)
	if len(again.LeftOut) != 1 || again.LeftOut[0].MissingBytes != report.LeftOut[0].MissingBytes {
		t.Fatalf("left out: %+v", again.LeftOut)
	}
	if info, err := os.Stat(filepath.Join(to, again.LeftOut[0].Partial)); err != nil || info.Size() < 24<<20 || info.Size() > 24<<20+64 {
		t.Errorf("partial file: %v, %v", info, err)
	}
	// Nothing is left at all: no empty file pretends to be the rest.
	for _, path := range files(t, dir, "data") {
		if info, err := os.Stat(path); err == nil && info.Size() > 1<<20 {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	to, none := salvage(t, openRepo(t, dir, testKey), s)
	if len(none.LeftOut) != 1 || none.LeftOut[0].Partial != "" || none.LeftOut[0].MissingBytes != 24<<20 {
		t.Errorf("left out: %+v", none.LeftOut)
	}
	if entries, err := os.ReadDir(to); err != nil || len(entries) > 0 {
		t.Errorf("restored: %v, %v", entries, err)
	}
}

func TestSalvageOfALineLongerThanAPiece(t *testing.T) {
	t.Parallel()
	long := fmt.Appendf(nil, "{\"id\":\"long\",\"note\":\"%x\"}\n", noise(1, 2<<20))
	c := content{"db/long.jsonl": append(append(hard(200), long...), hard(100)...)}
	r, _, s, pack := onePack(t, c)
	change(t, pack, flip(1<<20))
	to, report := salvage(t, r, s)
	if len(report.LeftOut) != 1 {
		t.Fatalf("left out: %+v", report.LeftOut)
	}
	got := read(t, filepath.Join(to, report.LeftOut[0].Partial))
	if len(got) != len(c["db/long.jsonl"]) {
		t.Errorf("%d bytes of %d", len(got), len(c["db/long.jsonl"]))
	}
	if !bytes.HasPrefix(got, hard(200)) || !bytes.HasSuffix(got, hard(100)) || bytes.Contains(got, long) {
		t.Error("the lines around the long one are not all there")
	}
}

// badSector is a disk that can not read one stretch of one pack.
type badSector struct {
	backup.Target
	pack     string
	from, to int64
}

func (b badSector) Load(ctx context.Context, kind backup.FileKind, name string, offset, length int64) ([]byte, error) {
	if name == b.pack && offset < b.to && (length == 0 || offset+length > b.from) {
		return nil, fmt.Errorf("read %s: %w", name, syscall.EIO)
	}
	return b.Target.Load(ctx, kind, name, offset, length)
}

func TestSalvageFromADiskWithABadSector(t *testing.T) {
	t.Parallel()
	c := content{"db/contact.jsonl": hard(8000)}
	_, dir, s, pack := onePack(t, c)
	bad := badSector{target(t, dir), filepath.Base(pack), 1 << 19, 1<<19 + 4096}
	r, err := backup.Open(t.Context(), bad, testKey)
	if err != nil {
		t.Fatal(err)
	}
	defer closeRepo(t, r)
	var damage *backup.DamageError
	if _, err := r.Restore(t.Context(), s, filepath.Join(t.TempDir(), "x"), backup.RestoreOptions{}); !errors.As(err, &damage) || damage.Name != bad.pack {
		t.Errorf("restore: %v", err)
	}
	to, report := salvage(t, r, s)
	if len(report.LeftOut) != 1 || !errors.Is(report.LeftOut[0].Err, syscall.EIO) {
		t.Fatalf("left out: %+v", report.LeftOut)
	}
	linesOf(t, read(t, filepath.Join(to, report.LeftOut[0].Partial)), c["db/contact.jsonl"], report.LeftOut[0])
}
