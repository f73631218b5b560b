package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

var update = flag.Bool("update", false, "write testdata/mail/*.want anew")

// received is when the mails of testdata came.
func received() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) }

func spoolOf(t testing.TB, raw []byte) *spool {
	t.Helper()
	s := newSpool(t.TempDir())
	if _, err := s.Write(raw); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// parsed parses a mail that must be readable.
func parsed(t testing.TB, raw []byte) sdk.Message {
	t.Helper()
	m, err := parser{defaultLimits(), "office@crm.test"}.parse(spoolOf(t, raw), received())
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return m
}

// TestGoldenMails reads each mail of testdata/mail and compares it with the text beside it, which people have read.
func TestGoldenMails(t *testing.T) {
	mails, err := filepath.Glob(filepath.Join("testdata", "mail", "*.eml"))
	if err != nil || len(mails) < 40 {
		t.Fatalf("%d mails, %v", len(mails), err)
	}
	for _, path := range mails {
		name := strings.TrimSuffix(filepath.Base(path), ".eml")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := describe(t, parsed(t, raw))
			golden := strings.TrimSuffix(path, ".eml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// describe writes a message for people to compare.
func describe(t *testing.T, m sdk.Message) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "id: %s\nfrom: %s\n", m.ExternalID, party(m.From))
	for _, p := range m.To {
		fmt.Fprintf(&b, "to: %s\n", party(p))
	}
	for _, p := range m.CC {
		fmt.Fprintf(&b, "cc: %s\n", party(p))
	}
	fmt.Fprintf(&b, "subject: %s\nsent: %s\n", m.Subject, m.SentAt.Format(time.RFC3339))
	for _, id := range m.InReplyTo {
		fmt.Fprintf(&b, "answers: %s\n", id)
	}
	if m.Automatic {
		b.WriteString("automatic\n")
	}
	for _, f := range m.Attachments {
		content, err := readFile(f)
		if err != nil || int64(len(content)) != f.Size {
			t.Errorf("%s has %d bytes and says %d, %v", f.Name, len(content), f.Size, err)
		}
		fmt.Fprintf(&b, "file: %s (%s, %d bytes, %.4x, inline %v)\n", f.Name, f.Type, f.Size, sha256.Sum256(content), f.Inline)
	}
	fmt.Fprintf(&b, "-- text\n%s\n", m.Text)
	if m.HTML != "" {
		fmt.Fprintf(&b, "-- html\n%s\n", m.HTML)
	}
	return b.String()
}

func party(p sdk.Party) string { return fmt.Sprintf("%s <%s>", p.Name, p.Handle) }

func TestOriginalIsKeptByteForByte(t *testing.T) {
	raw := []byte("\xEF\xBB\xBFFrom x\rSubject: \xF9\xEC\r\r\x00body")
	m := parsed(t, raw)
	if got, err := readFile(*m.Raw); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("the original is %q, %v", got, err)
	}
}

func TestLimits(t *testing.T) {
	parts := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 500)
	hidden := strings.Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\nx--b\r\n", 30)
	for name, raw := range map[string]string{
		"eleven multiparts within one another": string(nestedBomb(11)),
		"a thousand":                           string(nestedBomb(1000)),
		"many parts":                           parts,
		"one boundary for all":                 hidden,
		"a long header":                        "Subject: " + strings.Repeat("x", 300<<10) + "\r\n\r\nx",
		"many header lines":                    strings.Repeat("Received: x\r\n", 30<<10) + "\r\nx",
		"a long header of a part": "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-A: " +
			strings.Repeat("x", 300<<10) + "\r\n\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			p := parser{defaultLimits(), "office@crm.test"}
			src := spoolOf(t, []byte(raw))
			if _, err := p.parse(src, received()); !errors.Is(err, errHostile) {
				t.Errorf("the error is %v", err)
			}
			if _, err := p.headOf(src, received()); err != nil {
				t.Errorf("not even the header: %v", err)
			}
		})
	}
	if m := parsed(t, nestedBomb(10)); m.Text != "boom" {
		t.Errorf("ten multiparts within one another give %q", m.Text)
	}
}

// TestGarbageComesInSomehow reads what is no mail at all.
func TestGarbageComesInSomehow(t *testing.T) {
	p := parser{defaultLimits(), "office@crm.test"}
	for _, raw := range []string{"\x00\x01 not a mail at all \xff\xfe\n\n--\n", "\r", "\n", "--", ":", "From ", strings.Repeat("\x80", 5000)} {
		src := spoolOf(t, []byte(raw))
		m, err := p.parse(src, received())
		if err != nil {
			if m, err = p.headOf(src, received()); err != nil {
				t.Errorf("%q: %v", raw, err)
				continue
			}
		}
		checkMessage(t, m)
	}
}

// TestDecoderFuse opens the decoder's own fuse: multiparts that the survey did not count.
func TestDecoderFuse(t *testing.T) {
	p := parser{defaultLimits(), "office@crm.test"}
	if _, err := p.decode(bytes.NewReader(nestedBomb(p.limits.kinds + 1))); err == nil {
		t.Error("the decoder went deeper than the fuse allows")
	}
	if _, err := p.decode(bytes.NewReader(nestedBomb(p.limits.kinds))); err != nil {
		t.Errorf("the fuse blew too early: %v", err)
	}
}

func TestLongTextComesInAsFile(t *testing.T) {
	text := strings.Repeat("שלום ", maxText/8)
	m := parsed(t, []byte("Content-Type: text/html\r\n\r\n<p>"+text+"</p>"))
	if len(m.Text) > maxText || m.HTML != "" || len(m.Attachments) != 2 {
		t.Errorf("%d bytes of text, %d of HTML, %d files", len(m.Text), len(m.HTML), len(m.Attachments))
	}
}

func TestSpoolInMemoryAndInAFile(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 10, spoolInMemory, spoolInMemory + 1, 3*spoolInMemory + 5} {
		s := newSpool(dir)
		content := bytes.Repeat([]byte("0123456789abcdef\n"), size/17+1)[:size]
		for rest := content; len(rest) > 0; rest = rest[min(len(rest), 70000):] {
			if _, err := s.Write(rest[:min(len(rest), 70000)]); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if got, err := io.ReadAll(s.open()); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
			}
		}
		if s.sum() != fmt.Sprintf("%x", sha256.Sum256(content)) || s.size != int64(size) {
			t.Errorf("the sum or the size of %d bytes is wrong", size)
		}
		s.close()
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func FuzzParse(f *testing.F) {
	mails, err := filepath.Glob(filepath.Join("testdata", "mail", "*.eml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range mails {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add(nestedBomb(9))
	f.Add(nestedBomb(12))
	p := parser{defaultLimits(), "office@crm.test"}
	f.Fuzz(func(t *testing.T, raw []byte) {
		src := spoolOf(t, raw)
		m, err := p.parse(src, received())
		if err != nil {
			if m, err = p.headOf(src, received()); err != nil {
				t.Fatalf("no header: %v", err)
			}
		}
		checkMessage(t, m)
	})
}

// checkMessage holds a message against what every message promises.
func checkMessage(t *testing.T, m sdk.Message) {
	t.Helper()
	if m.ExternalID == "" || !strings.Contains(m.From.Handle, "@") || m.From.Handle != strings.ToLower(m.From.Handle) {
		t.Errorf("id %q, from %+v", m.ExternalID, m.From)
	}
	texts := []string{m.ExternalID, m.From.Handle, m.From.Name, m.Subject, m.Text, m.HTML}
	for _, f := range m.Attachments {
		texts = append(texts, f.Name, f.Type)
		if f.Name == "" || strings.ContainsAny(f.Name, "/\\\n\r\x00") {
			t.Errorf("a file is named %q", f.Name)
		}
	}
	for _, p := range append(m.To, m.CC...) {
		texts = append(texts, p.Handle, p.Name)
	}
	for _, s := range append(texts, m.InReplyTo...) {
		if strings.ContainsRune(s, 0) || strings.ToValidUTF8(s, "") != s {
			t.Errorf("%q is no clean text", s)
		}
	}
	if strings.ContainsAny(m.Subject+m.From.Name+m.ExternalID, "\r\n") {
		t.Errorf("a line end in subject %q, name %q or id %q", m.Subject, m.From.Name, m.ExternalID)
	}
}

func FuzzSurvey(f *testing.F) {
	f.Add(nestedBomb(3))
	f.Add(nestedBomb(30))
	f.Add([]byte("Content-Type: multipart/x; boundary=\"a\r\n b\"\r\n\r\n--a b\r\n\r\n--a b--\r\n"))
	l := defaultLimits()
	f.Fuzz(func(t *testing.T, raw []byte) {
		err := survey(normalise(bytes.NewReader(raw)), l)
		if err != nil && !errors.Is(err, errHostile) {
			t.Errorf("survey: %v", err)
		}
	})
}
