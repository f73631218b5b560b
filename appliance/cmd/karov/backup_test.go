package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/appliance/appliancetest"
)

// initBackup makes a repository and gives its folder and recovery key.
func initBackup(t *testing.T, a *appliancetest.Appliance) (folder, key string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "repo")
	var made struct {
		Key string `json:"recovery_key"`
	}
	if err := json.Unmarshal([]byte(a.Karov("", "backup", "init", "--repo", folder, "--json")), &made); err != nil || made.Key == "" {
		t.Fatalf("backup init gave no key: %v", err)
	}
	return folder, made.Key
}

// restic runs Debian's restic on a repository.
func restic(t *testing.T, folder, key string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("restic"); err != nil {
		t.Fatal("restic is needed: apt-get install restic")
	}
	cmd := exec.Command("restic", append([]string{"-r", folder, "--no-cache"}, args...)...)
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+key)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("restic %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// restore brings a backup back into a new folder.
func restore(a *appliancetest.Appliance, folder, key string, flags ...string) (string, error) {
	cmd := a.Command(append([]string{"restore", "--from", folder}, flags...)...)
	cmd.Env = append(os.Environ(), "KAROV_RECOVERY_KEY="+key, "KAROV_LANG=en")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestBackupSurvivesTheMachine: a backup while the daemon works, stock restic's judgement, and an office that comes back
// on a machine that never saw the old one.
func TestBackupSurvivesTheMachine(t *testing.T) {
	a := appliancetest.Start(t)
	a.Karov("", "seed", "--contacts", "400", "--letters", "60")
	folder, key := initBackup(t, a)
	contacts, messages := a.Total("contact"), a.Total("message")

	var stop atomic.Bool
	written := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			if _, err := a.Request(t.Context(), http.MethodPost, "/api/v1/records/contact", map[string]any{"name": "meanwhile"}); err != nil {
				break
			}
		}
		written <- n
	}()
	var made []struct {
		Manifest struct {
			Buckets []struct {
				Name  string
				Count int
			}
		}
	}
	if err := json.Unmarshal([]byte(a.Karov("", "backup", "now", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	stop.Store(true)
	if n := <-written; n == 0 {
		t.Error("nothing was written while the backup ran")
	}
	t.Log(restic(t, folder, key, "check", "--read-data"))
	stock := t.TempDir()
	restic(t, folder, key, "restore", "latest", "--target", stock)
	lines, err := os.ReadFile(filepath.Join(stock, "db", "base-000001", "record.contact.jsonl"))
	if err != nil || !strings.Contains(string(lines), `"name":`) {
		t.Errorf("stock restic gives no readable customers: %v", err)
	}

	a.Kill()
	dir, err := os.MkdirTemp("", "kt")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	b := appliancetest.Over(t, filepath.Join(dir, "new"))
	out, err := restore(b, folder, key)
	if err != nil || strings.Contains(out, "DIFFERS") || !strings.Contains(out, "identical") {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	t.Log(out)
	b.Start()
	saved := 0
	for _, bucket := range made[0].Manifest.Buckets {
		if bucket.Name == "record.contact" {
			saved = bucket.Count
		}
	}
	if n := b.Total("contact"); n != saved || saved < contacts {
		t.Errorf("%d customers came back, the snapshot has %d, there were %d before it", n, saved, contacts)
	}
	if n := b.Total("message"); n != messages {
		t.Errorf("%d messages came back of %d", n, messages)
	}
	if out := b.Karov("", "audit", "verify"); !strings.Contains(out, "whole") {
		t.Error(out)
	}
	if out, err := restore(b, folder, key); err == nil || !strings.Contains(out, b.Data) {
		t.Errorf("a restore over an office in use: %v\n%s", err, out)
	}
}

func TestRestoreRefusesAndSalvages(t *testing.T) {
	a := appliancetest.Start(t)
	a.Karov("", "seed", "--contacts", "300", "--letters", "20")
	folder, key := initBackup(t, a)
	a.Karov("", "backup", "now")
	dir := t.TempDir()
	b := appliancetest.Over(t, filepath.Join(dir, "new"))
	if out, err := restore(b, folder, "KAROV-AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-AAAAA"); err == nil {
		t.Errorf("a wrong key opened the backup:\n%s", out)
	}
	flipByte(t, largest(t, filepath.Join(folder, "data")))
	out, err := restore(b, folder, key)
	if err == nil || !strings.Contains(out, ".jsonl") {
		t.Errorf("a damaged backup was restored, or nothing is named: %v\n%s", err, out)
	}
	if _, err := os.Stat(b.Data); err == nil {
		t.Error("a refused restore left a data folder")
	}
	out, err = restore(b, folder, key, "--salvage")
	if err == nil || !strings.Contains(out, "MISSING") {
		t.Fatalf("salvage is silent about what is missing: %v\n%s", err, out)
	}
	t.Log(out)
	b.Start()
	if out, err := a.Try("", "backup", "verify"); err == nil || !strings.Contains(out, "DAMAGED") {
		t.Errorf("verify finds no damage: %v\n%s", err, out)
	}
}

func largest(t *testing.T, dir string) (path string) {
	t.Helper()
	size := int64(-1)
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			path, size = p, info.Size()
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatalf("find a pack: %v", err)
	}
	return path
}

func flipByte(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/3] ^= 0x20
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk lets the data grow until the disk is full: a clear answer, nothing half-written, and work goes on when
// there is room.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root to mount a small disk")
	}
	dir, err := os.MkdirTemp("", "kt")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	a := appliancetest.Over(t, filepath.Join(dir, "d"))
	a.Karov(appliancetest.OwnerPassword+"\n", "setup", "--owner-email", appliancetest.OwnerEmail, "--password-stdin")
	a.Start()
	a.Token("")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	note := strings.Repeat("many words ", 5000)
	taken, refused := 0, 0
	for range 400 {
		answer, err := a.Request(t.Context(), http.MethodPost, "/api/v1/records/contact", map[string]any{"name": "Full", "note": note})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status == http.StatusCreated {
			taken++
			continue
		}
		refused++
		if answer.Status != http.StatusServiceUnavailable || !strings.Contains(string(answer.Body), "disk") {
			t.Fatalf("a full disk is answered %d\n%s", answer.Status, answer.Body)
		}
		break
	}
	if refused == 0 {
		t.Fatal("the disk never filled")
	}
	if n := a.Total("contact"); n != taken {
		t.Errorf("%d customers stand here, %d were acknowledged", n, taken)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	a.Post("/api/v1/records/contact", map[string]any{"name": "Room again"}, nil)
	if n := a.Total("contact"); n != taken+1 {
		t.Errorf("%d customers after there was room, want %d", n, taken+1)
	}
	a.Karov("", "audit", "verify")
}
