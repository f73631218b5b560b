// Package changes reads the notes that say what is new for the people who use
// Karov, and writes them in the form Debian wants.
//
// A version is a folder (0.1.0), a change that a user can see is one file in it
// (0001-first-house.md). The newest folder is the version being built: there is
// no other place where the version is written. A folder that holds a file named
// "released", with a date in it, is a version that went out and is not changed
// any more; the newest one has none until it goes out.
//
// A note's first line is its headline ("# A sentence."), what follows the empty
// line is for whoever wants to know more.
//
// The package owns no data of the appliance and imports nothing of it. It refuses
// a folder it does not understand instead of leaving a change out in silence.
package changes

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Release is one version with its notes, in the order of their file names.
type Release struct {
	Version string
	// Date is when the version went out; zero while it is being made.
	Date  time.Time
	Notes []Note
}

// Note is one change that a user can see.
type Note struct {
	// Name is the file's name without ".md".
	Name string
	// Headline is one sentence without its "# ".
	Headline string
	// Body is the rest of the note, possibly empty.
	Body string
}

// releasedFile is the file whose presence closes a version.
const releasedFile = "released"

var (
	versionForm = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	noteForm    = regexp.MustCompile(`^\d{4}-[a-z0-9]+(-[a-z0-9]+)*\.md$`)
)

// Read returns all versions below dir, newest first.
func Read(dir fs.FS) ([]Release, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("list the versions: %w", err)
	}
	var releases []Release
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		r, err := readRelease(dir, e.Name())
		if err != nil {
			return nil, fmt.Errorf("read version %s: %w", e.Name(), err)
		}
		releases = append(releases, r)
	}
	if len(releases) == 0 {
		return nil, errors.New("no version: expected a folder such as 0.1.0")
	}
	slices.SortFunc(releases, func(a, b Release) int { return compareVersions(b.Version, a.Version) })
	for _, r := range releases[1:] {
		if r.Date.IsZero() {
			return nil, fmt.Errorf("version %s has no %q file, but a newer version exists", r.Version, releasedFile)
		}
	}
	return releases, nil
}

func readRelease(dir fs.FS, version string) (Release, error) {
	r := Release{Version: version}
	if !versionForm.MatchString(version) {
		return r, errors.New("a folder's name must be a version such as 0.1.0")
	}
	entries, err := fs.ReadDir(dir, version)
	if err != nil {
		return r, err
	}
	for _, e := range entries {
		text, err := fs.ReadFile(dir, path.Join(version, e.Name()))
		if err != nil {
			return r, err
		}
		switch {
		case e.Name() == releasedFile:
			r.Date, err = time.Parse(time.DateOnly, strings.TrimSpace(string(text)))
		case noteForm.MatchString(e.Name()):
			var n Note
			n, err = parseNote(strings.TrimSuffix(e.Name(), ".md"), string(text))
			r.Notes = append(r.Notes, n)
		default:
			err = errors.New("neither a note (0001-some-words.md) nor \"released\"")
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", e.Name(), err)
		}
	}
	if len(r.Notes) == 0 {
		return r, errors.New("a version without a note")
	}
	return r, nil
}

func parseNote(name, text string) (Note, error) {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	headline, ok := strings.CutPrefix(first, "# ")
	headline = strings.TrimSpace(headline)
	if !ok || headline == "" {
		return Note{}, errors.New("the first line must be the headline, after \"# \"")
	}
	if !strings.HasSuffix(headline, ".") {
		return Note{}, errors.New("the headline must be a sentence and end with a full stop")
	}
	return Note{Name: name, Headline: headline, Body: strings.TrimSpace(rest)}, nil
}

// compareVersions orders two versions of versionForm.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range as {
		// versionForm holds for both, so that Atoi cannot fail but by size.
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}
