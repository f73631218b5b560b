package main

import (
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/appliancetest"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// oldData makes a data folder with the store of format 1: 50 synthetic customers and 23 of their letters, one more made
// through the API, one deleted, five handed to agent@karov.test, a conversation assigned and answered, one closed.
func oldData(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "km") // short, since sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f, err := os.Open(filepath.Join("testdata", "format-1.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, snapshot.StoreFile), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// contents reads the pairs of some buckets of a store that nobody holds, by "bucket/key".
func contents(t *testing.T, path string, wanted func(bucket string) bool) (pairs map[string]string, format int) {
	t.Helper()
	db, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pairs = map[string]string{}
	err = db.View(t.Context(), func(tx store.Tx) (err error) {
		for _, bucket := range tx.Buckets() {
			if !wanted(bucket) {
				continue
			}
			for k, v := range tx.Bucket(bucket).Scan(nil, nil, false) {
				pairs[bucket+"/"+string(k)] = string(v)
			}
		}
		format, err = store.Format(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pairs, format
}

// kept are the buckets whose content no migration has a reason to change. Those that follow from them are compared by
// what people find.
func kept(bucket string) bool {
	for _, prefix := range []string{"record.contact", "record.conversation", "record.message", "record.bin", "contact.", "inbox.", "staff.accounts",
		"staff.emails", "staff.tokens"} {
		if strings.HasPrefix(bucket, prefix) {
			return true
		}
	}
	return false
}

// TestOfficeOfFormat1 lets the real program open data that an older one wrote.
func TestOfficeOfFormat1(t *testing.T) {
	dir := oldData(t)
	file := filepath.Join(dir, snapshot.StoreFile)
	before, format := contents(t, file, kept)
	if format != 1 || len(before) < 300 {
		t.Fatalf("the fixture is of format %d, with %d pairs", format, len(before))
	}
	a := appliancetest.Over(t, dir)
	a.Start()
	if _, err := os.Stat(file + ".format-1"); err != nil {
		t.Errorf("the old file is not kept: %v\n%s", err, a.Log())
	}
	officeOfFormat1(t, a)
	a.Stop()
	a.Start()
	if _, err := os.Stat(file + ".format-1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old file is still there after the next start: %v", err)
	}
	a.Stop()
	after, format := contents(t, file, kept)
	if format < 2 {
		t.Errorf("the data is of format %d", format)
	}
	for key, value := range after { // tokens that the test itself made, and the answer that the daemon goes on trying to send
		if strings.HasPrefix(key, "staff.tokens/") && before[key] == "" || strings.Contains(value, "retrying") && strings.Contains(before[key], "retrying") {
			delete(after, key)
			delete(before, key)
		}
	}
	if !maps.Equal(before, after) {
		for key, value := range before {
			if after[key] != value {
				t.Errorf("%q was %q and is %q", key, value, after[key])
			}
		}
		t.Errorf("%d pairs were kept, %d are", len(before), len(after))
	}
}

// officeOfFormat1 asks for what follows from the records, and has to be made anew by the migration.
func officeOfFormat1(t *testing.T, a *appliancetest.Appliance) {
	t.Helper()
	for entity, want := range map[string]int{"contact": 50, "conversation": 23, "message": 24} {
		if n := a.Total(entity); n != want {
			t.Errorf("%d of %s, want %d", n, entity, want)
		}
	}
	for query, title := range map[string]string{"כה": "רונן כהן", "ronen.cohen5@box.test": "רונן כהן", "+7 495 123-45-67": "Михаил Коэн", "Mikhail": "Михаил Коэн"} {
		var found struct{ Items []struct{ Title string } }
		a.Get("/api/v1/search?q="+url.QueryEscape(query), &found)
		hit := false
		for _, item := range found.Items {
			hit = hit || item.Title == title
		}
		if !hit {
			t.Errorf("%s finds %v and not %s", query, found.Items, title)
		}
	}
	var page struct{ Items []struct{ ID, Name string } }
	a.Get("/api/v1/records/contact?sort=name&limit=200", &page)
	if len(page.Items) != 50 {
		t.Errorf("the list by name has %d customers", len(page.Items))
	}
	var open struct{ Items []struct{ ID string } }
	a.Get("/api/v1/conversations?view=waiting&limit=200", &open)
	if len(open.Items) != 21 {
		t.Errorf("%d conversations wait", len(open.Items))
	}
	a.Karov("", "audit", "verify")
}

// TestKillWhileAnOfficeIsTaken kills the real program at any moment of its first start over older data, again and again.
func TestKillWhileAnOfficeIsTaken(t *testing.T) {
	dir := oldData(t)
	a := appliancetest.Over(t, dir)
	for range 12 {
		cmd := a.Command("serve", "--listen", "127.0.0.1:0", "--plain-http", "--plugins", filepath.Join(dir, "none"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	}
	a.Start()
	officeOfFormat1(t, a)
}
