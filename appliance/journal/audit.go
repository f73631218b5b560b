package journal

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	// searchLimit and maxSearchLimit bound a page of the audit.
	searchLimit    = 50
	maxSearchLimit = 500
	// searchReach is how many facts one Search looks at, so that a rare thing does not make one call long: the next
	// call goes on from there.
	searchReach = 50_000
)

// Query asks the audit. What is empty asks for nothing.
type Query struct {
	Actor  string    // id of who did it
	Entity string    // of the record
	ID     string    // of the record; with the entity "contact" also what concerns that customer
	Name   string    // beginning of the fact's name, as "contact." or "staff.signed-in"
	From   time.Time // not before
	To     time.Time // before
	Limit  int       // 0 is 50
	Cursor string    // of the page before, "" for the newest
}

// Page is a run of facts, newest first, and the cursor to older ones, "" at the beginning of the journal. It may hold
// fewer than were asked for, even none, and still have a cursor: then looking on is another call.
type Page struct {
	Facts []Fact
	Next  string
}

// Audit lets those who may look at the journal: permission "see:audit".
type Audit struct {
	journal *Journal
	gate    *access.Gate
}

// NewAudit makes the audit of a journal.
func NewAudit(j *Journal, gate *access.Gate) *Audit { return &Audit{journal: j, gate: gate} }

// Search finds facts, newest first. Looking is noted too.
func (a *Audit) Search(ctx context.Context, q Query) (page Page, err error) {
	if err := a.gate.Require(ctx, access.See, access.Object{Entity: "audit"}); err != nil {
		return Page{}, err
	}
	var before uint64
	if q.Cursor != "" {
		if before, err = strconv.ParseUint(q.Cursor, 10, 64); err != nil || before == 0 {
			return Page{}, fault.InvalidField("cursor", "list.cursor")
		}
	}
	err = a.journal.db.View(ctx, func(tx store.Tx) error {
		page, err = q.page(ctx, tx, before)
		return err
	})
	if err == nil {
		err = a.journal.Note(ctx, Fact{Name: "audit.read", Entity: "audit", ID: q.subject()})
	}
	return page, err
}

// subject is about whom or what the audit was asked, for the note of it.
func (q Query) subject() string {
	for _, s := range []string{q.ID, q.Actor} {
		if s != "" {
			return s
		}
	}
	return "all"
}

func (q Query) page(ctx context.Context, tx store.Tx, before uint64) (page Page, err error) {
	limit := min(q.Limit, maxSearchLimit)
	if limit <= 0 {
		limit = searchLimit
	}
	var to []byte
	if before > 0 {
		to = seqKey(before)
	}
	looked, at := 0, uint64(0)
	marks := q.marks()
	for _, raw := range tx.Bucket(factsBucket).Scan(nil, to, true) {
		if len(page.Facts) == limit || looked == searchReach {
			page.Next = strconv.FormatUint(at, 10)
			return page, ctx.Err()
		}
		looked++
		if at, err = numberOf(raw); err != nil {
			return Page{}, err
		}
		if !holds(raw, marks) {
			continue
		}
		f, err := decode(raw)
		if err != nil {
			return Page{}, fault.Wrap(err, fault.Internal, "store.damaged", "what", factsBucket)
		}
		if q.matches(f) {
			page.Facts = append(page.Facts, f)
		}
	}
	return page, ctx.Err()
}

// numberOf reads the number of a stored fact without the rest.
func numberOf(raw []byte) (uint64, error) {
	if len(raw) > 1 && raw[0] == binaryForm {
		r := reader{rest: raw[1:]}
		if seq := r.number(); !r.bad {
			return seq, nil
		}
	}
	f, err := decode(raw)
	if err != nil {
		return 0, fault.Wrap(err, fault.Internal, "store.damaged", "what", factsBucket)
	}
	return f.Seq, nil
}

// marks are bytes that a stored fact must hold to match: looking for them costs a tenth of reading the fact.
func (q Query) marks() (marks [][]byte) {
	for _, text := range []string{q.Actor, q.ID, q.Name} {
		if id, ok := idOf(text); ok {
			marks = append(marks, id[:])
		} else if text != "" {
			marks = append(marks, []byte(text))
		}
	}
	return marks
}

// holds tells whether a fact may match. One that was written as JSON is always read.
func holds(raw []byte, marks [][]byte) bool {
	if raw[0] == '{' {
		return true
	}
	for _, mark := range marks {
		if !bytes.Contains(raw, mark) {
			return false
		}
	}
	return true
}

func (q Query) matches(f Fact) bool {
	switch {
	case q.Actor != "" && f.Actor != q.Actor,
		q.Name != "" && !strings.HasPrefix(f.Name, q.Name),
		!q.From.IsZero() && f.At.Before(q.From),
		!q.To.IsZero() && !f.At.Before(q.To):
		return false
	}
	if q.Entity == "contact" && q.ID != "" && f.Contact == q.ID {
		return true
	}
	return (q.Entity == "" || f.Entity == q.Entity) && (q.ID == "" || f.ID == q.ID)
}
