package plugin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"golang.org/x/sys/unix"
)

const good = `id: il.karov.email
name: E-mail
version: 1.2.3
api: ">=1.0,<2.0"
binary: email
provides: {channels: [email]}
config:
  - {key: imap.host, type: text, required: true, label: {he: שרת, en: Server, ru: Сервер}}
  - {key: imap.port, type: number, default: "993", label: {he: פתח, en: Port, ru: Порт}}
  - {key: idle, type: yes-no, default: "yes", label: {he: א, en: Idle, ru: И}}
  - {key: password, type: secret, required: true, label: {he: סיסמה, en: Password, ru: Пароль}}
  - key: tls
    type: choice
    default: direct
    label: {he: א, en: TLS, ru: И}
    choices:
      - {value: direct, label: {he: א, en: Direct, ru: И}}
      - {value: starttls, label: {he: א, en: Later, ru: И}}
`

func TestGoodManifest(t *testing.T) {
	m, err := parseManifest([]byte(good), "plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != "il.karov.email" || len(m.Config) != 5 || m.Config[4].Choices[1].Value != "starttls" {
		t.Errorf("read %+v", m)
	}
}

func TestWrongManifestsNameTheField(t *testing.T) {
	tests := []struct{ from, to, field string }{
		{"id: il.karov.email", "id: ../../etc", "id"},
		{"id: il.karov.email", "id: email", "id"},
		{"id: il.karov.email", "id: il." + strings.Repeat("x", 60), "id"},
		{"name: E-mail", "name: \"two\\nlines\"", "name"},
		{"name: E-mail\n", "", "name"},
		{"version: 1.2.3", "version: \"1.2\"", "version"},
		{`">=1.0,<2.0"`, `">=2.0"`, "api"},
		{`">=1.0,<2.0"`, `"latest"`, "api"},
		{"binary: email", "binary: ../email", "binary"},
		{"binary: email", "binary: /bin/sh", "binary"},
		{"binary: email", "binary: ..", "binary"},
		{"[email]", "[E-Mail]", "provides.channels[0]"},
		{"[email]", "[email, email]", "provides.channels[1]"},
		{"key: imap.host", "key: IMAP", "config[0].key"},
		{"key: imap.port", "key: imap.host", "config[1].key"},
		{"type: text", "type: color", "config[0].type"},
		{"ru: Сервер", "fr: Serveur", "config[0].label.ru"},
		{`default: "993"`, `default: "x"`, "config[1].default"},
		{`default: "yes"`, `default: "true"`, "config[2].default"},
		{"type: secret, required: true", "type: secret, default: letmein", "config[3].default"},
		{"default: direct", "default: none", "config[4].default"},
		{"value: starttls", `value: ""`, "config[4].choices[1].value"},
		{"type: number", "type: choice", "config[1].choices"},
	}
	for _, test := range tests {
		text := strings.Replace(good, test.from, test.to, 1)
		if text == good {
			t.Fatalf("the good manifest has no %q", test.from)
		}
		_, err := parseManifest([]byte(text), "some/plugin.yaml")
		f := fault.Of(err)
		if err == nil || f.Params["file"] != "some/plugin.yaml" {
			t.Errorf("%s -> %s: %v", test.from, test.to, err)
			continue
		}
		if !slices.ContainsFunc(f.Fields, func(x fault.Field) bool { return x.Name == test.field }) {
			t.Errorf("%s -> %s: %v does not name %s", test.from, test.to, err, test.field)
		}
	}
}

func TestMalformedManifests(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		p := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+p+",", 9) + "]\n"
	}
	for name, text := range map[string]string{
		"empty": "", "no map": "- 1", "unknown field": good + "root: yes\n", "two ids": good + "id: il.karov.other\n",
		"binary bytes": "\x00\xff\xfe", "alias bomb": bomb, "deep": strings.Repeat("[", 100_000),
	} {
		if _, err := parseManifest([]byte(text), "plugin.yaml"); fault.Of(err).Key != "plugin.manifest-malformed" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManifestFilesThatAreNone(t *testing.T) {
	make := map[string]func(file string) error{
		"too long": func(file string) error {
			return os.WriteFile(file, []byte(good+"#"+strings.Repeat("x", maxManifest)), 0o600)
		},
		"a folder": func(file string) error { return os.Mkdir(file, 0o700) },
		"missing":  func(string) error { return nil },
		"a pipe":   func(file string) error { return unix.Mkfifo(file, 0o600) },
	}
	for name, f := range make {
		dir := t.TempDir()
		if err := f(filepath.Join(dir, "plugin.yaml")); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadManifest(dir); fault.Of(err).Key != "plugin.manifest-unreadable" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFill(t *testing.T) {
	m, err := parseManifest([]byte(good), "plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.fill(map[string]string{"imap.host": "mail.example.com", "password": "p", "idle": "no", "stranger": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || got["imap.port"] != "993" || got["idle"] != "no" || got["tls"] != "direct" {
		t.Errorf("filled %v", got)
	}
	_, err = m.fill(map[string]string{"imap.host": "h", "imap.port": "many"})
	f := fault.Of(err)
	if f.Kind != fault.Invalid || len(f.Fields) != 2 || f.Fields[0].Name != "imap.port" || f.Fields[1].Name != "password" {
		t.Errorf("the fault is %v", err)
	}
}

func TestRanges(t *testing.T) {
	for rang, want := range map[string]bool{
		">=1.0": true, ">=1.0,<2.0": true, ">= 1.0 , < 1.0": false, "=1.0": true, ">1.0": false, "<=1.0": true, ">=0.9": true,
		">=1.1": false, "<1.0": false,
	} {
		if got, err := accepts(rang, 1, 0); err != nil || got != want {
			t.Errorf("%s: %v, %v", rang, got, err)
		}
	}
	for _, rang := range []string{"", "1", "^1.0", ">=1.0,", ">=99999.0"} {
		if _, err := accepts(rang, 1, 0); err == nil {
			t.Errorf("%q was taken for a range", rang)
		}
	}
}

func TestSentencesAreChecked(t *testing.T) {
	for name, text := range map[string]string{
		"bad key": "Hello: x\n", "empty": "a.b:\n", "control": "a.b: \"x\\ny\"\n", "long": "a.b: " + strings.Repeat("x", 3000),
		"no map": "- a",
	} {
		if _, err := parseSentences([]byte(text), "locale/en.yaml"); fault.KindOf(err) != fault.Invalid ||
			fault.Of(err).Params["file"] != "locale/en.yaml" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(whole))
	f.Add([]byte("id: a.b\nentities: [{fields: [{default: {a: [1]}}]}]\njobs: [{schedule: TZ=0}]"))
	f.Add([]byte(""))
	f.Add([]byte("id: [&a, *a]\nconfig: {}"))
	f.Add([]byte("config: [{choices: [{}]}]"))
	f.Add([]byte("<<: {id: x}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseManifest(raw, "plugin.yaml")
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("a wrong manifest is %v", err)
			}
			return
		}
		if strings.ContainsAny(m.Binary, "/\x00") || strings.Contains(m.ID, "/") || len(m.ID) > maxID {
			t.Errorf("taken: id %q, binary %q", m.ID, m.Binary)
		}
		if _, err := m.fill(nil); err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("fill: %v", err)
		}
	})
}

func FuzzSentences(f *testing.F) {
	f.Add([]byte("mail.refused: No.\n"))
	f.Add([]byte("a.b: [1]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseSentences(raw, "en.yaml")
		if err != nil {
			return
		}
		for key, sentence := range m {
			if strings.ContainsAny(key+sentence, "\n\r<\x00") && strings.ContainsAny(key, "\n\r<\x00") {
				t.Errorf("taken: %q: %q", key, sentence)
			}
		}
	})
}
