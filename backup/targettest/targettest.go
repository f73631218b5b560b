// Package targettest is the suite that every implementation of backup.Target
// passes. It owns no data, promises that what it finds wrong would sooner or later
// lose a backup, and does not measure speed or pull plugs.
package targettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/karov-crm/karov/backup"
	"github.com/karov-crm/karov/backup/repo"
)

// Run checks what backup.Target promises. empty returns a new, empty target, and
// again the same one, newly opened, from the function beside it.
func Run(t *testing.T, empty func(t *testing.T) (target backup.Target, reopen func() backup.Target)) {
	for name, check := range map[string]func(*testing.T, backup.Target, func() backup.Target){
		"save and load":        saveAndLoad,
		"written once":         writtenOnce,
		"ranges":               ranges,
		"list":                 list,
		"remove":               remove,
		"names":                names,
		"many at once":         manyAtOnce,
		"same name at once":    sameNameAtOnce,
		"config at once":       configAtOnce,
		"context":              endedContext,
		"a repository in it":   repository,
		"nothing in the empty": nothing,
	} {
		t.Run(name, func(t *testing.T) {
			target, reopen := empty(t)
			check(t, target, reopen)
		})
	}
}

var kinds = []backup.FileKind{backup.KeyFile, backup.PackFile, backup.IndexFile, backup.SnapshotFile, backup.LockFile}

func named(text string) (string, []byte) {
	return repo.Hash([]byte(text)).String(), []byte(text)
}

func save(t *testing.T, target backup.Target, kind backup.FileKind, name string, data []byte) {
	t.Helper()
	if err := target.Save(t.Context(), kind, name, data); err != nil {
		t.Fatalf("save %s %s: %v", kind, name, err)
	}
}

func saveAndLoad(t *testing.T, target backup.Target, reopen func() backup.Target) {
	if target.Location() == "" {
		t.Error("target says not where it is")
	}
	save(t, target, backup.ConfigFile, backup.ConfigName, []byte("config"))
	for _, kind := range kinds {
		name, data := named("of kind " + string(kind))
		save(t, target, kind, name, data)
	}
	again := reopen()
	for _, kind := range kinds {
		name, data := named("of kind " + string(kind))
		if got, err := again.Load(t.Context(), kind, name, 0, 0); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s came back as %q, %v", kind, got, err)
		}
	}
	if got, err := again.Load(t.Context(), backup.ConfigFile, backup.ConfigName, 0, 0); err != nil || string(got) != "config" {
		t.Errorf("config came back as %q, %v", got, err)
	}
}

func writtenOnce(t *testing.T, target backup.Target, _ func() backup.Target) {
	name, data := named("first")
	save(t, target, backup.PackFile, name, data)
	save(t, target, backup.PackFile, name, data)
	if err := target.Save(t.Context(), backup.PackFile, name, []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("other bytes under the same name: %v", err)
	}
	if got, err := target.Load(t.Context(), backup.PackFile, name, 0, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("file is now %q, %v", got, err)
	}
}

func ranges(t *testing.T, target backup.Target, _ func() backup.Target) {
	name, data := named("0123456789")
	save(t, target, backup.PackFile, name, data)
	for _, c := range []struct {
		offset, length int64
		want           string
		err            error
	}{
		{0, 0, "0123456789", nil}, {3, 0, "3456789", nil}, {3, 4, "3456", nil}, {0, 10, "0123456789", nil}, {9, 1, "9", nil},
		{0, 11, "", io.ErrUnexpectedEOF}, {9, 2, "", io.ErrUnexpectedEOF}, {11, 0, "", io.ErrUnexpectedEOF}, {20, 5, "", io.ErrUnexpectedEOF},
	} {
		got, err := target.Load(t.Context(), backup.PackFile, name, c.offset, c.length)
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%d+%d gave %q, %v; want %q, %v", c.offset, c.length, got, err, c.want, c.err)
		}
	}
	other, _ := named("not there")
	if _, err := target.Load(t.Context(), backup.PackFile, other, 0, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file that is not there: %v", err)
	}
}

func listed(t *testing.T, target backup.Target, kind backup.FileKind) []string {
	t.Helper()
	var out []string
	for info, err := range target.List(t.Context(), kind) {
		if err != nil {
			t.Fatalf("list %s: %v", kind, err)
		}
		out = append(out, fmt.Sprintf("%s %d", info.Name, info.Size))
	}
	slices.Sort(out)
	return out
}

func list(t *testing.T, target backup.Target, _ func() backup.Target) {
	for _, kind := range kinds {
		var want []string
		for i := range 20 {
			name, data := named(fmt.Sprintf("%s %d", kind, i))
			save(t, target, kind, name, data)
			want = append(want, fmt.Sprintf("%s %d", name, len(data)))
		}
		slices.Sort(want)
		if got := listed(t, target, kind); !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", kind, got, want)
		}
		for range target.List(t.Context(), kind) {
			break // a list may be left
		}
	}
}

func remove(t *testing.T, target backup.Target, _ func() backup.Target) {
	name, data := named("lock")
	save(t, target, backup.LockFile, name, data)
	for range 2 {
		if err := target.Remove(t.Context(), backup.LockFile, name); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	if _, err := target.Load(t.Context(), backup.LockFile, name, 0, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed file: %v", err)
	}
	save(t, target, backup.LockFile, name, data)
}

func names(t *testing.T, target backup.Target, _ func() backup.Target) {
	for _, name := range []string{"", "x", "../../etc/passwd", "config", string(bytes.Repeat([]byte("A"), 64)), string(bytes.Repeat([]byte("/"), 64))} {
		if err := target.Save(t.Context(), backup.PackFile, name, nil); err == nil {
			t.Errorf("pack named %q was saved", name)
		}
		if _, err := target.Load(t.Context(), backup.PackFile, name, 0, 0); err == nil {
			t.Errorf("pack named %q was loaded", name)
		}
	}
	if err := target.Save(t.Context(), backup.ConfigFile, "config2", nil); err == nil {
		t.Error("a second config was saved")
	}
}

func manyAtOnce(t *testing.T, target backup.Target, _ func() backup.Target) {
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			name, data := named(fmt.Sprint("file ", i))
			if err := target.Save(t.Context(), backup.PackFile, name, data); err != nil {
				t.Errorf("save: %v", err)
			}
			if got, err := target.Load(t.Context(), backup.PackFile, name, 0, 0); err != nil || !bytes.Equal(got, data) {
				t.Errorf("load: %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if got := listed(t, target, backup.PackFile); len(got) != 32 {
		t.Errorf("%d of 32 files are there", len(got))
	}
}

func sameNameAtOnce(t *testing.T, target backup.Target, _ func() backup.Target) {
	name, data := named(string(bytes.Repeat([]byte("same"), 1<<16)))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := target.Save(t.Context(), backup.PackFile, name, data); err != nil {
				t.Errorf("save: %v", err)
			}
		})
	}
	wg.Wait()
	if got, err := target.Load(t.Context(), backup.PackFile, name, 0, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("load: %d bytes, %v", len(got), err)
	}
	if got := listed(t, target, backup.PackFile); len(got) != 1 {
		t.Errorf("list: %v", got)
	}
}

func configAtOnce(t *testing.T, target backup.Target, _ func() backup.Target) {
	var wg sync.WaitGroup
	won := make(chan []byte, 8)
	for i := range 8 {
		wg.Go(func() {
			data := []byte(fmt.Sprint("config ", i))
			err := target.Save(t.Context(), backup.ConfigFile, backup.ConfigName, data)
			if err == nil {
				won <- data
			} else if !errors.Is(err, fs.ErrExist) {
				t.Errorf("save config: %v", err)
			}
		})
	}
	wg.Wait()
	close(won)
	got, err := target.Load(t.Context(), backup.ConfigFile, backup.ConfigName, 0, 0)
	if len(won) != 1 || err != nil || !bytes.Equal(got, <-won) {
		t.Errorf("%d writers of the config won; it is %q, %v", len(won), got, err)
	}
}

func endedContext(t *testing.T, target backup.Target, _ func() backup.Target) {
	ctx, cancel := context.WithCancel(t.Context())
	name, data := named("x")
	save(t, target, backup.PackFile, name, data)
	cancel()
	other, data := named("y")
	if err := target.Save(ctx, backup.PackFile, other, data); !errors.Is(err, context.Canceled) {
		t.Errorf("save: %v", err)
	}
	if _, err := target.Load(ctx, backup.PackFile, name, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("load: %v", err)
	}
	failed := false
	for _, err := range target.List(ctx, backup.PackFile) {
		failed = errors.Is(err, context.Canceled)
	}
	if !failed {
		t.Error("list did not end with its context")
	}
	if got := listed(t, target, backup.PackFile); len(got) != 1 {
		t.Errorf("list: %v", got)
	}
}

func nothing(t *testing.T, target backup.Target, _ func() backup.Target) {
	for _, kind := range append(kinds, backup.ConfigFile) {
		if got := listed(t, target, kind); len(got) != 0 {
			t.Errorf("empty target lists %s %v", kind, got)
		}
	}
	if _, err := target.Load(t.Context(), backup.ConfigFile, backup.ConfigName, 0, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("config: %v", err)
	}
	if _, err := backup.Open(t.Context(), target, "x"); !errors.Is(err, backup.ErrNoRepository) {
		t.Errorf("open: %v", err)
	}
}

func repository(t *testing.T, target backup.Target, reopen func() backup.Target) {
	key, err := backup.NewRecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	r, err := backup.Init(t.Context(), target, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Init(t.Context(), target, key); !errors.Is(err, backup.ErrExists) {
		t.Errorf("second init: %v", err)
	}
	r, err = backup.Open(t.Context(), reopen(), key)
	if err != nil {
		t.Fatal(err)
	}
	if report, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: true}); err != nil || !report.OK() {
		t.Errorf("verify: %+v, %v", report, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := listed(t, target, backup.LockFile); len(got) != 0 {
		t.Errorf("locks are left: %v", got)
	}
}
