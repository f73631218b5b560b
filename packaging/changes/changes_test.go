package changes

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func tree(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestReadOrdersVersionsByNumber(t *testing.T) {
	got, err := Read(tree(map[string]string{
		"README.md":               "how to write a note",
		"0.9.0/released":          "2027-01-05\n",
		"0.9.0/0001-older.md":     "# Older.\n",
		"0.10.0/0002-second.md":   "# Second.\n\nMore on it.\n",
		"0.10.0/0001-first.md":    "# First.\n",
		"0.2.0/released":          "2026-12-01",
		"0.2.0/0001-very-old.md":  "# Very old.",
		"0.2.0/0001-same-num.md":  "# Two people took one number.",
		"changes.go":              "package changes",
		"debian.go":               "package changes",
		"not-a-version-of-it.txt": "files beside the folders are left alone",
	}))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range got {
		for _, n := range r.Notes {
			order = append(order, r.Version+" "+n.Headline)
		}
	}
	want := "0.10.0 First.|0.10.0 Second.|0.9.0 Older.|0.2.0 Two people took one number.|0.2.0 Very old."
	if s := strings.Join(order, "|"); s != want {
		t.Errorf("order\n got %s\nwant %s", s, want)
	}
	if got[0].Notes[1].Body != "More on it." {
		t.Errorf("body = %q", got[0].Notes[1].Body)
	}
	if !got[0].Date.IsZero() || got[1].Date.Format(time.DateOnly) != "2027-01-05" {
		t.Errorf("dates = %v, %v", got[0].Date, got[1].Date)
	}
}

func TestReadRefusesWhatItDoesNotUnderstand(t *testing.T) {
	note := "# A sentence.\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing":            {map[string]string{"README.md": ""}, "no version"},
		"folder's name":      {map[string]string{"next/0001-a.md": note}, "must be a version"},
		"empty version":      {map[string]string{"0.1.0/released": "2026-12-01"}, "without a note"},
		"note's name":        {map[string]string{"0.1.0/First.md": note}, "neither a note"},
		"no headline":        {map[string]string{"0.1.0/0001-a.md": "A sentence.\n"}, "first line"},
		"empty headline":     {map[string]string{"0.1.0/0001-a.md": "# \n\ntext\n"}, "first line"},
		"not a sentence":     {map[string]string{"0.1.0/0001-a.md": "# Words\n"}, "full stop"},
		"date":               {map[string]string{"0.1.0/released": "yesterday", "0.1.0/0001-a.md": note}, "cannot parse"},
		"older, not closed":  {map[string]string{"0.1.0/0001-a.md": note, "0.2.0/0001-b.md": note}, "has no \"released\""},
		"a folder in it":     {map[string]string{"0.1.0/sub/0001-a.md": note}, "sub"},
		"zero-byte note":     {map[string]string{"0.1.0/0001-a.md": ""}, "first line"},
		"version with words": {map[string]string{"0.1.0-rc1/0001-a.md": note}, "must be a version"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(tree(c.files))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestWriteDebian(t *testing.T) {
	releases, err := Read(tree(map[string]string{
		"0.2.0/0001-long.md": "# A customer's mail of any size comes in, is shown on the customer's card and can be answered from there at once.",
		"0.2.0/0002-b.md":    "# Short.",
		"0.1.0/released":     "2026-12-01",
		"0.1.0/0001-a.md":    "# First.",
	}))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	building := time.Date(2027, 2, 3, 6, 5, 6, 0, time.FixedZone("", 2*3600))
	if err := WriteDebian(&b, releases, "Karov <packages@karov.example>", building); err != nil {
		t.Fatal(err)
	}
	want := `karov (0.2.0) stable; urgency=medium

  * A customer's mail of any size comes in, is shown on the customer's card and
    can be answered from there at once.
  * Short.

 -- Karov <packages@karov.example>  Wed, 03 Feb 2027 04:05:06 +0000

karov (0.1.0) stable; urgency=medium

  * First.

 -- Karov <packages@karov.example>  Tue, 01 Dec 2026 00:00:00 +0000
`
	if b.String() != want {
		t.Errorf("changelog\n got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestTheNotesOfThisTreeAreReadable(t *testing.T) {
	releases, err := Read(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if !releases[0].Date.IsZero() {
		t.Errorf("the newest version, %s, is already released: open a new folder for the next one", releases[0].Version)
	}
}
