package journal

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

const someID = "0198a6f2-7c3e-7d41-9a55-3f0e6b1c2d4e"

// all pages through a query and gives the numbers of what it finds.
func (a *Audit) all(t testing.TB, q Query) (seqs []uint64) {
	t.Helper()
	ctx := access.WithActor(t.Context(), access.Actor{ID: "boss", Role: access.Owner})
	for range 1000 {
		page, err := a.Search(ctx, q)
		must(t, err)
		for _, f := range page.Facts {
			seqs = append(seqs, f.Seq)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return seqs
		}
	}
	t.Fatal("the pages do not end")
	return nil
}

func TestAuditFinds(t *testing.T) {
	j, at := clocked(t)
	gate, err := access.NewGate()
	must(t, err)
	a := NewAudit(j, gate)
	start := time.UnixMilli(at.Load())
	for i, f := range []Fact{
		{Name: "contact.created", Entity: "contact", ID: someID, Contact: someID},
		{Name: "message.received", Entity: "message", ID: "m", Contact: someID},
		{Name: "contact.changed", Entity: "contact", ID: "other", Contact: "other"},
		{Name: "staff.signed-in", Entity: "staff", ID: someID},
		{Name: "contact.read", Entity: "contact", ID: someID, Contact: someID},
	} {
		must(t, j.db.Update(t.Context(), func(tx store.Tx) error {
			return j.Append(as([]string{"dana", someID}[i%2], t), tx, f)
		}))
		at.Add(60_000)
	}
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	for _, c := range []struct {
		q    Query
		want []uint64
	}{
		{Query{}, []uint64{5, 4, 3, 2, 1}},
		{Query{Limit: 2}, []uint64{5, 4, 3, 2, 1}},
		{Query{Limit: 1 << 30}, []uint64{5, 4, 3, 2, 1}},
		{Query{Actor: "dana"}, []uint64{5, 3, 1}},
		{Query{Actor: someID}, []uint64{4, 2}},
		{Query{Entity: "contact"}, []uint64{5, 3, 1}},
		{Query{Entity: "contact", ID: someID}, []uint64{5, 2, 1}}, // and what concerns the customer
		{Query{Entity: "staff", ID: someID}, []uint64{4}},
		{Query{ID: someID}, []uint64{5, 4, 1}},
		{Query{Name: "contact."}, []uint64{5, 3, 1}},
		{Query{Name: "contact.c"}, []uint64{3, 1}},
		{Query{Name: "ontact"}, nil},
		{Query{From: minute(1), To: minute(3)}, []uint64{3, 2}},
		{Query{From: minute(1), Actor: "dana", Name: "contact.r"}, []uint64{5}},
	} {
		j.notes = newNotes() // the test looks often: its own notes are not what it looks for
		if got := a.all(t, c.q); !slices.Equal(got, c.want) {
			t.Errorf("%+v finds %v, want %v", c.q, got, c.want)
		}
	}
}

// TestAuditIsBounded looks for what is not there in a long journal: each call ends early, and all of them together
// have looked at everything.
func TestAuditIsBounded(t *testing.T) {
	j := open(t)
	gate, err := access.NewGate()
	must(t, err)
	a := NewAudit(j, gate)
	j.tell(t, Fact{Name: "needle", Entity: "x"})
	j.tell(t, numbered(2*searchReach)...)
	calls, q := 0, Query{Name: "needle"}
	ctx := access.WithActor(t.Context(), access.Actor{ID: "boss", Role: access.Owner})
	for {
		page, err := a.Search(ctx, q)
		must(t, err)
		calls++
		if len(page.Facts) == 1 {
			break
		}
		if q.Cursor = page.Next; q.Cursor == "" || calls > 10 {
			t.Fatalf("not found after %d calls", calls)
		}
	}
	if calls != 3 {
		t.Errorf("%d calls looked at %d facts", calls, 2*searchReach+1)
	}
}

func TestAuditIsForTheOwner(t *testing.T) {
	j := open(t)
	gate, err := access.NewGate()
	must(t, err)
	for _, role := range access.Roles() {
		ctx := access.WithActor(t.Context(), access.Actor{ID: "x", Role: role})
		_, err := NewAudit(j, gate).Search(ctx, Query{})
		if ok := err == nil; ok != (role == access.Owner) {
			t.Errorf("%s: %v", role, err)
		}
	}
	if _, err := NewAudit(j, gate).Search(t.Context(), Query{}); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("nobody: %v", err)
	}
	if got := j.names(t); !slices.Equal(got, []string{"x audit.read all"}) {
		t.Errorf("noted %q", got)
	}
	ctx := access.WithActor(t.Context(), access.Actor{ID: "x", Role: access.Owner})
	for _, cursor := range []string{"x", "-1", "0", "1e3", "99999999999999999999"} {
		if _, err := NewAudit(j, gate).Search(ctx, Query{Cursor: cursor}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	if _, err := NewAudit(j, gate).Search(ctx, Query{Cursor: fmt.Sprint(uint64(1<<64 - 1))}); err != nil {
		t.Error(err)
	}
}
