package contact

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

func TestResolveFindsEveryWrittenForm(t *testing.T) {
	o := open(t)
	dana := o.create(record.Values{"name": "דנה", "phones": []string{"050-123 4567", "no phone"}, "emails": []string{"Dana@Example.com"}})
	for _, c := range [][2]string{{Phone, "+972501234567"}, {Phone, "0501234567"}, {Phone, "972-50-123-4567"}, {Phone, "+972 (50) 123.45.67"},
		{Email, "dana@example.com"}, {Email, " DANA@example.COM "}, {Email, "Dana <dana@example.com>"}} {
		if id := o.resolve(c[0], c[1], "x"); id != dana.ID {
			t.Errorf("%s %q leads to another contact", c[0], c[1])
		}
	}
	if c, _ := o.Get(as(t, access.Owner), dana.ID); c.Phones[0] != "050-123 4567" {
		t.Errorf("the phone stands as %q", c.Phones[0])
	}
	if n := o.count(); n != 1 {
		t.Errorf("%d contacts", n)
	}
}

// TestResolveIsTotal brings senders that no rule of their channel knows: each is one contact, the same each time.
func TestResolveIsTotal(t *testing.T) {
	o := open(t)
	seen := map[ID]string{}
	for _, c := range []struct{ kind, handle, name string }{
		{Email, "new@example.com", "New"}, {Email, "nameless@example.com", ""}, {Email, "MAILER-DAEMON", ""}, {Email, "half@", "Half"},
		{Email, `"a b"@example.com`, ""}, {Email, strings.Repeat("x", 310) + "@example.com", ""}, {Email, strings.Repeat("x", 900), ""},
		{Email, strings.Repeat("y", 900), ""}, {Email, "bad\xff@example.com", "Bad"},
		{Phone, "+972501112233", ""}, {Phone, "BANK HAPOALIM", ""}, {Phone, "*2700", ""},
		{"telegram", "dana_l", ""}, {"telegram", "dana_k", "\u202e"}, {"example", "dana_l", "Dana"}, {"telegram", "\u0301", ""},
	} {
		first, again := o.resolve(c.kind, c.handle, c.name), o.resolve(c.kind, c.handle, c.name)
		if first != again {
			t.Errorf("%s %.20q leads to two contacts", c.kind, c.handle)
		}
		if other, taken := seen[first]; taken {
			t.Errorf("%s %.20q leads to the contact of %.20q", c.kind, c.handle, other)
		}
		seen[first] = c.handle
		if got, err := o.Get(as(t, access.Owner), first); err != nil || got.Title() == "…" {
			t.Errorf("%s %.20q is called %q, %v", c.kind, c.handle, got.Title(), err)
		}
	}
	if n := o.count(); n != len(seen) {
		t.Errorf("%d contacts, want %d", n, len(seen))
	}
	for _, bad := range [][2]string{{"", "x"}, {"a b", "x"}, {"a\x00b", "x"}, {Email, ""}, {Email, " \u200e "}} {
		err := o.book.Update(t.Context(), func(tx store.Tx) error { return second(o.ResolveTx(t.Context(), tx, bad[0], bad[1], "x")) })
		wantKind(t, "resolve", err, "invalid")
	}
}

func second[T any](_ T, err error) error { return err }

func TestResolveAtOnceMakesOneContact(t *testing.T) {
	o := open(t)
	var wg sync.WaitGroup
	ids := make([]ID, 12)
	for i := range ids {
		wg.Go(func() {
			err := o.book.Update(t.Context(), func(tx store.Tx) (err error) {
				ids[i], err = o.ResolveTx(t.Context(), tx, Email, "new@example.com", "New")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id.Zero() {
			t.Fatalf("one address leads to %v", ids)
		}
	}
	if n := o.count(); n != 1 {
		t.Errorf("%d contacts", n)
	}
}

func TestIdentitiesFollowTheContact(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	a := o.create(record.Values{"name": "A", "emails": []string{"a@example.com", "b@example.com"}})
	b := o.create(record.Values{"name": "B", "emails": []string{"a@example.com"}})
	if o.resolve(Email, "a@example.com", "") != a.ID {
		t.Error("a shared address does not lead to the oldest contact")
	}
	_, err := o.Change(ctx, a.ID, 1, record.Values{"emails": []string{"b@example.com"}})
	must(t, err)
	if o.resolve(Email, "a@example.com", "") != b.ID || o.resolve(Email, "b@example.com", "") != a.ID {
		t.Error("an address that was taken away still leads there")
	}
	must(t, o.book.Delete(ctx, "contact", b.ID, 1))
	c := o.resolve(Email, "a@example.com", "C")
	if c == a.ID || c == b.ID {
		t.Error("the address of a deleted contact leads somewhere")
	}
	_, err = o.book.Restore(ctx, "contact", b.ID)
	must(t, err)
	if o.resolve(Email, "a@example.com", "") != b.ID {
		t.Error("the address of a restored contact does not lead to it")
	}
	tg := o.resolve("telegram", "t", "T")
	must(t, o.book.Delete(ctx, "contact", tg, 1))
	if again := o.resolve("telegram", "t", "T"); again == tg {
		t.Error("the handle of a deleted contact leads to it")
	}
}

func TestNobodyIsNameless(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	for what, v := range map[string]record.Values{"nothing": {}, "a city": {"city": "חיפה"}, "a name that nobody sees": {"name": "\u202e\u200b"}} {
		wantKind(t, what, second(o.Create(ctx, v)), "invalid")
	}
	c := o.create(record.Values{"phones": []string{"03-1234567"}})
	if c.Title() != "03-1234567" {
		t.Errorf("it is called %q", c.Title())
	}
	wantKind(t, "taking the last name away", second(o.Change(ctx, c.ID, 1, record.Values{"phones": nil})), "invalid")
	wantKind(t, "handles from outside", second(o.Create(ctx, record.Values{"name": "x", "handles": []string{"email boss@example.com"}})), "invalid")
	if n := o.count(); n != 1 {
		t.Errorf("%d contacts", n)
	}
}

func TestLookupFindsTheContact(t *testing.T) {
	o := open(t)
	dana := o.create(record.Values{"name": "דנה כהן", "company": "Acme Ltd", "city": "חיפה", "phones": []string{"050-1234567"},
		"emails": []string{"dana.c@mail.example.com"}})
	moscow := o.create(record.Values{"name": "Фёдор Кузнецов", "phones": []string{"+7 495 123-45-67"}})
	typed := o.create(record.Values{"name": "Typed", "phones": []string{"8 (499) 765-43-21"}})
	for query, want := range map[string]ID{
		"כהן דנ": dana.ID, "acme": dana.ID, "050-1234567": dana.ID, "+972 50 123 4567": dana.ID, "972501234567": dana.ID, "00972501234567": dana.ID,
		"050‑123‑4567": dana.ID, "\u202a+972-50-1234567\u202c": dana.ID, "כהן 050-1234567": dana.ID, "dana.c@mail": dana.ID,
		"@mail.example.com": dana.ID, "Dana.C@mail.example.com": dana.ID, "федор": moscow.ID, "кузнецов ФЁ": moscow.ID,
		"8 (495) 123-45-67": moscow.ID, "+7 495 1234567": moscow.ID, "495 123": moscow.ID, "+7 499 765 43 21": typed.ID,
		"7654321": typed.ID,
	} {
		hits, err := o.index.Find(as(t, access.Owner), query, 5)
		must(t, err)
		if len(hits) != 1 || ID(hits[0].ID) != want {
			t.Errorf("%q finds %v", query, hits)
		}
	}
	if hits, _ := o.index.Find(as(t, access.Owner), "4567", 5); len(hits) != 2 {
		t.Errorf("the last four digits find %d contacts, want 2", len(hits))
	}
}

func TestHandOver(t *testing.T) {
	o := open(t)
	for role, want := range map[access.Role]bool{access.Owner: true, access.Manager: true, access.Agent: false, access.Viewer: false} {
		if got := o.MayHandOver(as(t, role)); got != want {
			t.Errorf("%s may hand over: %v", role, got)
		}
	}
	mine, err := o.Create(as(t, access.Agent, "dana"), record.Values{"name": "mine"})
	must(t, err)
	list, next, err := o.List(as(t, access.Agent, "yossi"), record.Query{})
	must(t, err)
	if mine.Owner != "dana" || len(list) != 0 || next != "" {
		t.Errorf("owner %q, others see %v", mine.Owner, list)
	}
}

// TestHeardLeavesTheVersion hears of a contact whose card somebody is editing.
func TestHeardLeavesTheVersion(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	c := o.create(record.Values{"name": "Dana", "note": "x"})
	hear := func(at time.Time) time.Time {
		t.Helper()
		must(t, o.book.Update(t.Context(), func(tx store.Tx) error { return o.HeardTx(t.Context(), tx, c.ID, at) }))
		now, err := o.Get(ctx, c.ID)
		must(t, err)
		if now.Version != c.Version || !now.UpdatedAt.Equal(c.UpdatedAt) {
			t.Errorf("version %d of %v, want %d", now.Version, now.UpdatedAt, c.Version)
		}
		return now.Last
	}
	first := o.at.Add(time.Hour)
	for _, step := range []struct{ at, want time.Time }{
		{first, first}, {first.Add(59 * time.Second), first}, {first.Add(-time.Hour), first},
		{first.Add(time.Minute), first.Add(time.Minute)},
	} {
		if got := hear(step.at); !got.Equal(step.want) {
			t.Errorf("heard at %v, it says %v, want %v", step.at, got, step.want)
		}
	}
	_, err := o.Change(ctx, c.ID, c.Version, record.Values{"note": "y"})
	must(t, err)
	wantKind(t, "a last message from outside", second(o.Change(ctx, c.ID, 2, record.Values{"last_contact": first})), "invalid")
	f, err := o.book.Parse(ctx, "contact", "last_contact > now-90d and last_contact is not empty")
	must(t, err)
	if found, _, err := o.List(ctx, record.Query{Filter: f}); err != nil || len(found) != 1 {
		t.Errorf("by the last message: %v, %v", found, err)
	}
	must(t, o.book.Check(t.Context()))
	must(t, o.book.Delete(ctx, "contact", c.ID, 2))
	must(t, o.book.Update(t.Context(), func(tx store.Tx) error { return o.HeardTx(t.Context(), tx, c.ID, first.Add(time.Hour)) }))
}

// TestHeardRaisesInLookup finds two of one name, the one last heard of first.
func TestHeardRaisesInLookup(t *testing.T) {
	o := open(t)
	a, b := o.create(record.Values{"name": "Dana"}), o.create(record.Values{"name": "Dana"})
	for i, first := range []ID{a.ID, b.ID, a.ID} {
		at := o.at.Add(time.Duration(i+1) * 48 * time.Hour)
		must(t, o.book.Update(t.Context(), func(tx store.Tx) error { return o.HeardTx(t.Context(), tx, first, at) }))
		hits, err := o.index.Find(as(t, access.Owner), "dana", 5)
		must(t, err)
		if len(hits) != 2 || ID(hits[0].ID) != first {
			t.Errorf("after %d: %v", i, hits)
		}
	}
}

func TestWiderContact(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	tag, err := o.book.Create(ctx, "tag", record.Values{"name": "VIP"})
	must(t, err)
	acme := o.create(record.Values{"name": "Acme", "kind": "company", "city": "חיפה"})
	for _, day := range []string{"1990-02-28", "--02-28", "--02-29", "1992-02-29"} {
		c := o.create(record.Values{"name": "Dana", "birthday": day, "tags": []ID{tag.ID}, "employer": acme.ID, "language": "he", "source": "a friend"})
		if c.Birthday != day || len(c.Tags) != 1 || c.Tags[0] != tag.ID || c.Employer != acme.ID || c.Language != "he" || c.Source != "a friend" {
			t.Errorf("it came back as %+v", c)
		}
	}
	for what, v := range map[string]record.Values{"30 February": {"birthday": "--02-30"}, "29 February 1990": {"birthday": "1990-02-29"},
		"another language": {"language": "xx"}, "a tag that is not there": {"tags": []ID{acme.ID}}} {
		v["name"] = "x"
		wantKind(t, what, second(o.Create(ctx, v)), "invalid")
	}
	f, err := o.book.Parse(ctx, "contact", `employer.city = "חיפה" and birthday = "--02-29"`)
	must(t, err)
	if found, _, err := o.List(ctx, record.Query{Filter: f}); err != nil || len(found) == 0 {
		t.Errorf("through the employer: %v, %v", found, err)
	}
}
