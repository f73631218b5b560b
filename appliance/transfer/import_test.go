package transfer

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// ledger is an Importer as its contract says, in memory: a key it knows, or an identity with the same name, is the
// same contact; what is empty is filled.
type ledger struct {
	contacts []*Draft
	byKey    map[string]*Draft
	batches  []int
	refuse   func(Draft) error
	fail     error // of the batch after the first
}

func (l *ledger) Import(_ context.Context, drafts []Draft) ([]Outcome, []error, error) {
	if l.fail != nil && len(l.batches) > 0 {
		return nil, nil, l.fail
	}
	l.batches = append(l.batches, len(drafts))
	outcomes, errs := make([]Outcome, len(drafts)), make([]error, len(drafts))
	for i, d := range drafts {
		if l.refuse != nil {
			if errs[i] = l.refuse(d); errs[i] != nil {
				continue
			}
		}
		outcomes[i] = l.one(d)
	}
	return outcomes, errs, nil
}

func (l *ledger) one(d Draft) Outcome {
	if l.byKey == nil {
		l.byKey = map[string]*Draft{}
	}
	have := l.byKey[d.Key]
	if have == nil {
		l.contacts = append(l.contacts, &d)
		l.byKey[d.Key] = &d
		return Created
	}
	out := Unchanged
	for _, f := range []struct{ have, more *string }{{&have.City, &d.City}, {&have.Note, &d.Note}, {&have.Address, &d.Address}} {
		if *f.have == "" && *f.more != "" {
			*f.have, out = *f.more, Updated
		}
	}
	for i, p := range d.PhonesE164 {
		if !slices.Contains(have.PhonesE164, p) {
			have.PhonesE164, have.Phones, out = append(have.PhonesE164, p), append(have.Phones, d.Phones[i]), Updated
		}
	}
	return out
}

// regions says where the phones of a file are that is not from Israel.
func regions(file string) string {
	if strings.HasPrefix(file, "ru-") || strings.Contains(file, "outlook-ru") {
		return "RU"
	}
	return "IL"
}

// TestFiles imports every file of testdata twice and compares what it became with the golden text beside it.
func TestFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.*")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d files in testdata: %v", len(paths), err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, ".golden") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var book ledger
			var rejects bytes.Buffer
			o := Options{Name: filepath.Base(path), Region: regions(filepath.Base(path)), Rejects: &rejects}
			got, first := story(data, o, &book)
			compare(t, path+".golden", got+"== rejects\n"+rejects.String())
			if first.Rows == 0 {
				return
			}
			if sum := first.Created + first.Updated + first.Unchanged + first.Rejected; sum != first.Rows {
				t.Errorf("%d rows, but %d outcomes", first.Rows, sum)
			}
			before := len(book.contacts)
			o.Rejects = nil
			again, err := Import(t.Context(), bytes.NewReader(data), o, &book)
			if err != nil || again.Created+again.Updated != 0 || again.Rows != first.Rows || len(book.contacts) != before {
				t.Errorf("the same file again: %+v, %v, %d contacts after %d", again, err, len(book.contacts), before)
			}
		})
	}
}

// story tells an import as text.
func story(data []byte, o Options, book *ledger) (string, Result) {
	var b strings.Builder
	res, err := Import(context.Background(), bytes.NewReader(data), o, book)
	if err != nil {
		f := fault.Of(err)
		fmt.Fprintf(&b, "error %s: %s %v\n", f.Kind, f.Key, f.Params)
		return b.String(), res
	}
	fmt.Fprintf(&b, "%s %q rows=%d created=%d updated=%d unchanged=%d rejected=%d\n", res.Encoding, res.Separator,
		res.Rows, res.Created, res.Updated, res.Unchanged, res.Rejected)
	for _, c := range res.Columns {
		fmt.Fprintf(&b, "  %s -> %s\n", c.Header, c.Field)
	}
	for _, d := range book.contacts {
		fmt.Fprintf(&b, "%s %q company=%q city=%q address=%q note=%q birthday=%s owner=%s phones=%q e164=%q emails=%q\n",
			d.Kind, d.Name, d.Company, d.City, d.Address, d.Note, d.Birthday, d.OwnerEmail, d.Phones, d.PhonesE164, d.Emails)
	}
	for _, r := range res.Rejects {
		fmt.Fprintf(&b, "line %d:", r.Line)
		for _, f := range r.Fields {
			fmt.Fprintf(&b, " [%s %s %q]", f.Name, f.Key, f.Params["value"])
			if f.Line != r.Line {
				fmt.Fprintf(&b, " FIELD LINE %d", f.Line)
			}
		}
		fmt.Fprintf(&b, " %q\n", r.Raw)
	}
	return b.String(), res
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
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
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", golden, got, want)
	}
}

func mustImport(t *testing.T, text string, o Options, book *ledger) Result {
	t.Helper()
	res, err := Import(t.Context(), strings.NewReader(text), o, book)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

var errDown = errors.New("the store is down")

var _ io.ReadSeeker = (*strings.Reader)(nil)
