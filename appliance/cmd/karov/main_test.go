package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/appliancetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	appliancetest.CleanUp()
	os.Exit(code)
}

func TestSecondDaemonIsRefused(t *testing.T) {
	a := appliancetest.Start(t)
	out, err := a.Try("", "serve", "--listen", "127.0.0.1:0", "--plain-http")
	if err == nil || !strings.Contains(out, "Another Karov") || strings.Count(strings.TrimSpace(out), "\n") > 1 {
		t.Fatalf("a second daemon: %v\n%s", err, out)
	}
	if n := a.Total("contact"); n != 0 {
		t.Errorf("the first one counts %d customers", n)
	}
}

func TestCommandsWithoutDaemon(t *testing.T) {
	a := appliancetest.New(t)
	out, err := a.Try("", "status")
	if err == nil || !strings.Contains(out, "not running") {
		t.Errorf("status without a daemon: %v\n%s", err, out)
	}
	if out, err := a.Try("password of somebody\n", "setup", "--owner-email", "second@karov.test", "--password-stdin"); err == nil {
		t.Errorf("a second owner was made:\n%s", out)
	}
	if out, err := a.Try("", "backup", "init"); err == nil || !strings.Contains(out, "--repo") {
		t.Errorf("backup init without a folder: %v\n%s", err, out)
	}
}

// TestPlainHTTPIsForLoopback: pages without TLS never leave the machine.
func TestPlainHTTPIsForLoopback(t *testing.T) {
	a := appliancetest.New(t)
	if out, err := a.Try("", "serve", "--listen", "0.0.0.0:0", "--plain-http"); err == nil {
		t.Errorf("plain HTTP on all addresses was taken:\n%s", out)
	}
}

// csv1255 writes a file as Excel does in an Israeli office.
func csv1255(t *testing.T, rows int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("שם;טלפון נייד;דוא\"ל;עיר\r\n")
	for i := range rows {
		fmt.Fprintf(&b, "ישראל כהן %d;050-%07d;cohen%d@customer.example;חיפה\r\n", i, 1000000+i, i)
	}
	raw, err := encode1255(b.String())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "לקוחות.csv")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImportAsExcelSavesIt(t *testing.T) {
	a := appliancetest.Start(t)
	path := csv1255(t, 1000)
	out := a.Karov("", "import", "contact", path)
	if !strings.Contains(out, "created    1000") || a.Total("contact") != 1000 {
		t.Fatalf("first import:\n%s", out)
	}
	out = a.Karov("", "import", "contact", path)
	if !strings.Contains(out, "unchanged  1000") || a.Total("contact") != 1000 {
		t.Fatalf("the same file again:\n%s", out)
	}
	var found struct {
		Items []struct{ Title, Matched string }
	}
	a.Get("/api/v1/search?q=0501000777", &found)
	if len(found.Items) != 1 || found.Items[0].Title != "ישראל כהן 777" {
		t.Errorf("by phone: %+v", found)
	}
	var page struct{ Items []struct{ Phones []string } }
	a.Get("/api/v1/records/contact?limit=1", &page)
	if len(page.Items) != 1 || len(page.Items[0].Phones) != 1 || page.Items[0].Phones[0] != "050-1000000" {
		t.Errorf("the phone as typed: %+v", page)
	}
}

func TestImportNamesBadRows(t *testing.T) {
	a := appliancetest.Start(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out := a.Karov("", "import", "contact", write("some.csv", "name,phone,owner\nAnna,0501234567,\nBad,12,\nEve,0527654321,nobody@karov.test\n"))
	for _, want := range []string{"created        1", "rejected       2", "line 3", "line 4", "some.rejects.csv"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for name, content := range map[string]string{"empty.csv": "", "book.csv": "PK\x03\x04 a workbook by another name"} {
		if out, err := a.Try("", "import", "contact", write(name, content)); err == nil {
			t.Errorf("%s was taken:\n%s", name, out)
		}
	}
	if n := a.Total("contact"); n != 1 {
		t.Errorf("%d customers, want 1", n)
	}
}
