package contact

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
)

func (o *office) importAll(dry bool, drafts ...Draft) string {
	o.t.Helper()
	outcomes, errs, err := o.Import(as(o.t, access.Owner), drafts, dry)
	must(o.t, err)
	var words []string
	for i, outcome := range outcomes {
		word := []string{"same", "new", "more"}[outcome]
		if errs[i] != nil {
			wantKind(o.t, "draft", errs[i], "invalid")
			word = "bad"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestImportTwiceChangesNothing(t *testing.T) {
	for _, key := range []string{"", "row "} {
		o := open(t)
		var drafts []Draft
		for i := range 20 {
			d := Draft{Name: fmt.Sprint("Name ", i), Phones: []string{fmt.Sprintf("050-12345%02d", i)}, City: "חיפה"}
			if key != "" {
				d.Key = key + fmt.Sprint(i)
			}
			drafts = append(drafts, d)
		}
		if got := o.importAll(false, drafts...); got != strings.TrimSpace(strings.Repeat("new ", 20)) {
			t.Errorf("first import: %s", got)
		}
		if got := o.importAll(false, drafts...); got != strings.TrimSpace(strings.Repeat("same ", 20)) {
			t.Errorf("second import: %s", got)
		}
		if n := o.count(); n != 20 {
			t.Errorf("%d contacts", n)
		}
	}
}

func TestImportMergesByIdentityAndName(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	mother := o.create(record.Values{"name": "רותי כהן", "phones": []string{"03-5551234"}, "city": "יפו"})
	writer := o.create(record.Values{"emails": []string{"w@example.com"}})
	got := o.importAll(false,
		Draft{Name: "כהן רותי", Phones: []string{"+972 3 555 1234", "050-1111111"}, City: "חיפה", Company: "אקמה"}, // the same, more known
		Draft{Name: "אבי כהן", Phones: []string{"035551234"}},                                                      // family: shares the phone
		Draft{Name: "Writer", Emails: []string{"W@example.com"}},                                                   // wrote without a name
		Draft{Phones: []string{"03-555-1234"}},                                                                     // says nothing new
		Draft{Name: "רותי כהן", Phones: []string{"-"}},                                                             // the name alone is not enough
		Draft{Name: "רותי כהן", Phones: []string{"-"}},
	)
	if got != "more new more same new new" {
		t.Errorf("outcomes: %s", got)
	}
	m, err := o.Get(ctx, mother.ID)
	must(t, err)
	if m.City != "יפו" || m.Company != "אקמה" || m.Name != "רותי כהן" || !slices.Equal(m.Phones, []string{"03-5551234", "050-1111111"}) {
		t.Errorf("merged: %+v", m)
	}
	if w, _ := o.Get(ctx, writer.ID); w.Name != "Writer" || len(w.Emails) != 1 {
		t.Errorf("the one who wrote without a name is now %+v", w)
	}
	if n := o.count(); n != 5 {
		t.Errorf("%d contacts", n)
	}
}

func TestImportByTheOtherSystemsID(t *testing.T) {
	o := open(t)
	got := o.importAll(false,
		Draft{Name: "A", ExternalID: "x1", Phones: []string{"050-1234567"}},
		Draft{Name: "A", ExternalID: "X1", Phones: []string{"050-1234567"}}, // another row: ids differ in case
		Draft{Name: "B", ExternalID: "x1", City: "חיפה"},                    // the same row with a new name: the name stays
		Draft{Name: "A", ExternalID: "x1"},
		Draft{Name: "A", Phones: []string{"0501234567"}},
	)
	if got != "new new more same same" {
		t.Errorf("outcomes: %s", got)
	}
}

func TestImportRefusesRowsAndTakesTheRest(t *testing.T) {
	o := open(t)
	got := o.importAll(false,
		Draft{Name: "good", Phones: []string{"1"}},
		Draft{City: "nowhere"},
		Draft{Name: "\u202e\x00"}, // nothing of it can be seen
		Draft{Phones: []string{"\x00"}},
		Draft{Name: "mail", Emails: []string{"no address"}},
		Draft{Name: strings.Repeat("x", 5<<20)},
		Draft{Name: "\xff"},
		Draft{Name: "robot", Kind: "robot"},
		Draft{Name: "born", Birthday: "yesterday"},
		Draft{Name: "also good"},
	)
	if got != "new bad bad bad bad bad bad bad bad new" {
		t.Errorf("outcomes: %s", got)
	}
	if n := o.count(); n != 2 {
		t.Errorf("%d contacts, want 2: a refused row stands", n)
	}
}

func TestDryImportKeepsNothing(t *testing.T) {
	o := open(t)
	drafts := []Draft{{Name: "A", Key: "1"}, {Name: "", Key: "2"}, {Name: "A", Key: "1"}}
	if got := o.importAll(true, drafts...); got != "new bad same" {
		t.Errorf("rehearsal: %s", got)
	}
	if n := o.count(); n != 0 {
		t.Errorf("%d contacts after a rehearsal", n)
	}
	if got := o.importAll(false, drafts...); got != "new bad same" {
		t.Errorf("import after the rehearsal: %s", got)
	}
}

func TestImportIsForThoseWhoMay(t *testing.T) {
	o := open(t)
	for role, kind := range map[access.Role]string{access.Agent: "forbidden", access.Viewer: "forbidden", access.Manager: "", access.System: ""} {
		_, _, err := o.Import(as(t, role), []Draft{{Name: "x"}}, true)
		wantKind(t, string(role), err, kind)
	}
	_, _, err := o.Import(t.Context(), nil, true)
	wantKind(t, "nobody", err, "unauthenticated")
}

func TestImportAddsTags(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	var tags []ID
	for _, name := range []string{"VIP", "Fair"} {
		tag, err := o.book.Create(ctx, "tag", record.Values{"name": name})
		must(t, err)
		tags = append(tags, tag.ID)
	}
	d := Draft{Name: "Dana", Phones: []string{"050-1234567"}, Language: "ru", Source: "the fair", Birthday: "--02-29", Tags: tags[:1]}
	more := d
	more.Tags, more.Source = tags, "another"
	if got := o.importAll(false, d, d, more, more); got != "new same more same" {
		t.Errorf("outcomes: %s", got)
	}
	list, _, err := o.List(ctx, record.Query{})
	must(t, err)
	if len(list) != 1 || !slices.Equal(list[0].Tags, tags) || list[0].Source != "the fair" || list[0].Language != "ru" || list[0].Birthday != "--02-29" {
		t.Errorf("%+v", list)
	}
}
