// Package contact holds people and companies, and the identities by which they are known in every channel.
//
// It owns the entities contact and tag, the buckets contact.identities (kind and handle to contact), contact.imports
// (what an import brought already, where no identity stands beside it), contact.tombstones and contact.forgotten (who asked to be forgotten, and keyed hashes
// of the identities), contact.leaving (files that a forgotten person left), the job contact.forget, and the facts
// contact.created, contact.changed, contact.deleted and contact.restored, which record writes, and contact.forgotten.
//
// It promises that an e-mail address or a phone in any written form leads to its contact, that the same address resolves
// to the same contact every time (the oldest that has it), and that a phone stays written as somebody typed it. Whom
// Forget erased is in no record, history, bin, lookup, attachment or free page of the store's file. He stays in backups
// made before, in whatever words people wrote about him on others' cards, and in filters that name him.
//
// It will not merge two contacts by itself because they look alike: people decide that.
package contact

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	identitiesBucket = "contact.identities"
	importsBucket    = "contact.imports"
)

// ID names a contact.
type ID = record.ID

// Kinds of identity, which are the kinds of channel that lead to it.
const (
	Phone = "phone"
	Email = "email"
)

// Entity is the contact as schema knows it. Numbers stand in stored records: never change or reuse one.
func Entity() schema.Entity {
	return schema.Entity{
		Name: "contact", Title: "name", Owner: "owner", Contact: "id",
		Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Indexed: true, Searched: true, Max: 300},
			{Number: 17, Name: "kind", Type: schema.Choice, Choices: []string{"person", "company"}},
			{Number: 18, Name: "company", Type: schema.Text, Searched: true, Max: 300},
			{Number: 19, Name: "phones", Type: schema.Phone, Many: true, Searched: true, Max: 60},
			{Number: 20, Name: "emails", Type: schema.Email, Many: true, Searched: true, Max: 320},
			{Number: 21, Name: "city", Type: schema.Text, Searched: true, Max: 200},
			{Number: 22, Name: "address", Type: schema.Text},
			{Number: 23, Name: "note", Type: schema.LongText, Max: 64 << 10},
			{Number: 24, Name: "birthday", Type: schema.Yearly},
			{Number: 25, Name: "owner", Type: schema.Staff, Indexed: true},
			{Number: 26, Name: "external_id", Type: schema.Text, Indexed: true, Max: 200},
			{Number: 27, Name: "handles", Type: schema.Text, Many: true, Closed: true}, // "kind handle" of other identities
			{Number: 28, Name: "tags", Type: schema.Link, Target: "tag", Many: true, Indexed: true},
			{Number: 29, Name: "employer", Type: schema.Link, Target: "contact", Indexed: true},
			{Number: 30, Name: "language", Type: schema.Choice, Choices: []string{"he", "ru", "en"}},
			{Number: 31, Name: "source", Type: schema.Text, Max: 200},
			{Number: 32, Name: "last_contact", Type: schema.Time, Closed: true, Indexed: true}, // the newest message, in or out
		},
	}
}

// Contact is one person or company, decoded for those who need all of it.
type Contact struct {
	ID         ID
	Version    uint64
	Kind       string
	Name       string
	Company    string
	Phones     []string
	Emails     []string
	City       string
	Address    string
	Note       string
	Birthday   string // as 1990-02-28, or --02-28 where the year is unknown
	Owner      string // account id, "" for nobody's
	ExternalID string
	Tags       []ID
	Employer   ID        // the contact he works for
	Language   string    // in which he wants to be written to: he, ru, en
	Source     string    // how he came to us
	Last       time.Time // of the newest message, in or out
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Title is what people call it: its name, or else how it is reached.
func (c Contact) Title() string {
	if c.Name != "" {
		return c.Name
	}
	for _, s := range append(slices.Clone(c.Phones), c.Emails...) {
		if s != "" {
			return s
		}
	}
	return "…"
}

func fromRecord(r record.Record) Contact {
	return Contact{ID: r.ID, Version: r.Version(), Kind: r.Text("kind"), Name: r.Text("name"), Company: r.Text("company"),
		Phones: r.Texts("phones"), Emails: r.Texts("emails"), City: r.Text("city"), Address: r.Text("address"),
		Note: r.Text("note"), Birthday: r.Text("birthday"), Owner: r.Text("owner"), ExternalID: r.Text("external_id"),
		Tags: r.Links("tags"), Employer: r.Link("employer"), Language: r.Text("language"), Source: r.Text("source"), Last: r.Time("last_contact"),
		CreatedAt: r.CreatedAt(), UpdatedAt: r.UpdatedAt()}
}

// Room keeps contacts in a book.
type Room struct {
	book   *record.Book
	gate   *access.Gate
	region string // ISO 3166 code of the country whose phones are written without a prefix

	phones  knownPhones
	erasure Erasure
	erasing map[string][]Erasing
}

// New opens the room and hooks it into the book. Region is the office's country, as "IL".
func New(book *record.Book, gate *access.Gate, region string) *Room {
	r := &Room{book: book, gate: gate, region: region, erasing: map[string][]Erasing{}}
	book.Watch("contact", r.written)
	book.Lookup("contact", r.describe)
	return r
}

// Create makes a contact out of field values.
func (r *Room) Create(ctx context.Context, values record.Values) (Contact, error) {
	rec, err := r.book.Create(ctx, "contact", values)
	if err != nil {
		return Contact{}, err
	}
	return fromRecord(rec), nil
}

// CreateOnce is Create for a form that may be sent twice: the same actor's same key makes one contact.
func (r *Room) CreateOnce(ctx context.Context, key string, values record.Values) (Contact, error) {
	if key == "" {
		return r.Create(ctx, values)
	}
	rec, err := r.book.CreateOnce(ctx, "contact", key, values)
	if err != nil {
		return Contact{}, err
	}
	return fromRecord(rec), nil
}

// Get reads a contact that the actor may see. That he did stands in the journal.
func (r *Room) Get(ctx context.Context, id ID) (Contact, error) {
	rec, err := r.book.Get(ctx, "contact", id)
	if err == nil {
		err = r.book.TellRead(ctx, rec)
	}
	if err != nil {
		return Contact{}, err
	}
	return fromRecord(rec), nil
}

// Change changes some fields of the version that was seen.
func (r *Room) Change(ctx context.Context, id ID, version uint64, values record.Values) (Contact, error) {
	rec, err := r.book.Change(ctx, "contact", id, version, values)
	if err != nil {
		return Contact{}, err
	}
	return fromRecord(rec), nil
}

// List gives a page of contacts that the actor may see.
func (r *Room) List(ctx context.Context, q record.Query) (contacts []Contact, next string, err error) {
	q.Entity = "contact"
	page, err := r.book.List(ctx, q)
	if err == nil {
		err = r.book.TellListed(ctx, q, len(page.Records))
	}
	if err != nil {
		return nil, "", err
	}
	for _, rec := range page.Records {
		contacts = append(contacts, fromRecord(rec))
	}
	return contacts, page.Next, nil
}

// TellSearched tells the journal that the actor looked for somebody, never for whom, and how many were found.
func (r *Room) TellSearched(ctx context.Context, results int) error {
	return r.book.TellSearched(ctx, results)
}

// Count says how many contacts the actor may see.
func (r *Room) Count(ctx context.Context) (n int, exact bool, err error) {
	return r.book.Count(ctx, record.Query{Entity: "contact"})
}

// MayHandOver tells whether the actor may give a contact to somebody else.
func (r *Room) MayHandOver(ctx context.Context) bool {
	return r.gate.Scope(ctx, access.Assign, "contact") == access.All
}

// Named reads the title of a contact, as far as the actor may read it, for a room that has asked for permission already.
func (r *Room) Named(ctx context.Context, tx store.Tx, id ID) string {
	rec, err := r.book.Raw(tx, "contact", id)
	if err != nil {
		return ""
	}
	return fromRecord(r.book.Shown(ctx, tx, rec)).Title()
}

// handle brings an identity to the form in which it is compared, "" when it is none.
func (r *Room) handle(kind, handle string) string {
	switch kind {
	case Email:
		if strings.ContainsAny(handle, "<>()[]\",:;\\ \t\r\n") { // not an address alone
			if a, err := mail.ParseAddress(handle); err == nil {
				handle = a.Address
			}
		}
		handle = strings.ToLower(strings.TrimSpace(handle))
		if !strings.Contains(handle, "@") {
			return ""
		}
		return handle
	case Phone:
		return r.E164(handle)
	}
	return plain(handle)
}

// maxHandle is how many bytes of a handle are kept as they are.
const maxHandle = 300

// plain is a handle that no rule of its kind brings to a common form: a user name, the word that stands for a sender's
// number in a text message. A very long one is known by its hash, since its beginning may be somebody else's, and so is
// one that nobody can see.
func plain(handle string) string {
	handle = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(handle, "\uFFFD"))
	handle = strings.Join(strings.Fields(handle), " ")
	if len(handle) > maxHandle || handle != "" && unseen(handle) {
		return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(handle)))
	}
	return handle
}

// unseen tells whether a text leaves only an empty place where it is shown.
func unseen(s string) bool {
	return strings.TrimFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.M)
	}) == ""
}

// identities lists the compared forms of a contact's phones, e-mails and other handles, as kind NUL handle.
func (r *Room) identities(rec record.Record) map[string]bool {
	found := map[string]bool{}
	if !rec.Exists() {
		return found
	}
	for kind, handles := range map[string][]string{Phone: rec.Texts("phones"), Email: rec.Texts("emails")} {
		for _, h := range handles {
			if h := r.handle(kind, h); h != "" {
				found[kind+"\x00"+h] = true
			}
		}
	}
	for _, other := range rec.Texts("handles") {
		if kind, h, ok := strings.Cut(other, " "); ok {
			found[kind+"\x00"+h] = true
		}
	}
	return found
}

// written keeps the identities in step with a contact, and refuses one that nobody could recognise.
func (r *Room) written(ctx context.Context, tx store.Tx, before, after record.Record) error {
	if after.Exists() && !after.Has("name") && !after.Has("phones") && !after.Has("emails") && !buried(tx, after.ID) {
		return fault.InvalidField("name", "contact.nameless")
	}
	id := after.ID
	if !after.Exists() {
		id = before.ID
	}
	old, fresh := r.identities(before), r.identities(after)
	bucket := tx.Bucket(identitiesBucket)
	for pair := range old {
		if !fresh[pair] {
			bucket.Delete(append([]byte(pair+"\x00"), id[:]...))
		}
	}
	var raw []byte
	for pair := range fresh {
		if old[pair] {
			continue
		}
		if raw == nil {
			raw = identity{source: access.ActorFrom(ctx).ID, certainty: 100, since: after.UpdatedAt()}.encode()
		}
		bucket.Put(append([]byte(pair+"\x00"), id[:]...), raw)
	}
	return nil
}

// describe says what lookup finds a contact by.
func (r *Room) describe(tx store.Tx, rec record.Record) (search.Doc, bool) {
	if buried(tx, rec.ID) {
		return search.Doc{}, false
	}
	c := Contact{ID: rec.ID, Version: rec.Version(), Name: rec.Text("name"), Company: rec.Text("company"), City: rec.Text("city"),
		Phones: rec.Texts("phones"), Emails: rec.Texts("emails"), Last: rec.Time("last_contact"), CreatedAt: rec.CreatedAt()}
	doc := search.Doc{Title: c.Title(), Parts: r.parts(c), Recent: c.CreatedAt}
	if e := r.book.Schema().Entity("contact"); e != nil {
		doc.Parts = append(doc.Parts, searched(e, rec)...)
	}
	if c.Last.After(doc.Recent) {
		doc.Recent = c.Last
	} else if c.Version > 1 && c.Last.IsZero() {
		doc.Recent = r.heard(tx, c)
	}
	return doc, true
}

// parts are the texts that a contact is found by. A phone stands as it was written, and as it is dialled from abroad
// where that is something else.
func (r *Room) parts(c Contact) (parts []search.Part) {
	add := func(field string, kind search.Kind, text string, shown bool) {
		if text != "" {
			parts = append(parts, search.Part{Field: field, Kind: kind, Text: text, Shown: shown})
		}
	}
	add("name", search.Name, c.Name, false)
	add("company", search.Text, c.Company, true)
	add("city", search.Text, c.City, true)
	for i, phone := range c.Phones {
		add("phones", search.Phone, phone, i == 0)
		if e164 := r.E164(phone); search.Digits(e164) != search.Digits(phone) {
			add("phones", search.Phone, e164, false)
		}
	}
	for i, email := range c.Emails {
		add("emails", search.Email, email, i == 0)
	}
	return parts
}

// searched are the texts of the fields that the office added and wants contacts to be found by.
func searched(e *schema.Entity, rec record.Record) (parts []search.Part) {
	for i := range e.Fields {
		f := &e.Fields[i]
		if !f.Custom || !f.Searched || f.Hidden {
			continue
		}
		kind := search.Text
		switch f.Type {
		case schema.Phone:
			kind = search.Phone
		case schema.Email:
			kind = search.Email
		}
		for _, text := range rec.Texts(f.Name) {
			parts = append(parts, search.Part{Field: f.Name, Kind: kind, Text: text})
		}
	}
	return parts
}

// heard is when a contact was last heard of, of one that has no last message: the newest thing on the timeline.
func (r *Room) heard(tx store.Tx, c Contact) time.Time {
	recent := c.CreatedAt
	for _, e := range r.book.Schema().Entities() {
		if e.Timeline {
			for entry := range r.book.Linked(tx, e.Name, e.Contact, c.ID, ID{}) {
				if at := entry.CreatedAt(); at.After(recent) {
					recent = at
				}
				break
			}
		}
	}
	return recent
}

// heardStep is by how much the moment of the last message has to move to be written anew.
const heardStep = time.Minute

// HeardTx keeps when the contact was last heard of, for the room that takes and sends messages. It leaves the contact's
// version as it is, so that nobody who is editing the card is told that it changed. One that is deleted stays as it is.
func (r *Room) HeardTx(ctx context.Context, tx store.Tx, id ID, at time.Time) error {
	rec, err := r.book.Raw(tx, "contact", id)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil || at.Sub(rec.Time("last_contact")) < heardStep {
		return err
	}
	_, err = r.book.ChangeTx(ctx, tx, record.Change{Entity: "contact", ID: id, Inside: true, Quiet: true, Fact: "-",
		Values: record.Values{"last_contact": at}})
	return err
}

// all lists the contacts that have the identity, oldest first. Handle is in its compared form.
func (r *Room) all(tx store.Tx, kind, handle string) (ids []ID) {
	if handle == "" {
		return nil
	}
	return allOf(tx, kind+"\x00"+handle)
}

// allOf is all for a kind, a NUL and a handle.
func allOf(tx store.Tx, pair string) (ids []ID) {
	prefix := append(append(make([]byte, 0, len(pair)+1), pair...), 0)
	for key := range tx.Bucket(identitiesBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
		if rest := key[len(prefix):]; len(rest) == len(ID{}) {
			ids = append(ids, ID(rest))
		}
	}
	return ids
}

// ResolveTx finds the contact an identity belongs to, or makes one that has it, with the name the channel gave. It is
// for rooms that act for the appliance: it asks nobody's permission. A handle that is no address of its kind (a sender
// MAILER-DAEMON, a text message from a word) is an identity too, since what it brought must not be lost.
func (r *Room) ResolveTx(ctx context.Context, tx store.Tx, kind, handle, name string) (ID, error) {
	if kind == "" || strings.ContainsFunc(kind, func(r rune) bool { return r <= ' ' }) {
		return ID{}, fault.InvalidField("channel", "field.malformed")
	}
	compared := r.handle(kind, handle)
	regular := compared != "" && (kind == Email || kind == Phone)
	if compared == "" {
		compared = plain(handle)
	}
	if compared == "" {
		return ID{}, fault.InvalidField("from", "field.required")
	}
	for _, form := range []string{compared, plain(compared)} {
		if ids := r.all(tx, kind, form); len(ids) > 0 {
			return ids[0], nil
		}
	}
	values := record.Values{"kind": "person", "name": name}
	if regular {
		if kind == Email {
			handle = compared
		}
		values[kind+"s"] = []string{handle}
		id, err := r.createTx(ctx, tx, kind, values)
		if fault.KindOf(err) != fault.Invalid || err == nil {
			return id, err
		}
		delete(values, kind+"s") // longer than an address may be, or not quite one
	}
	if unseen(name) {
		values["name"] = plain(handle)
	}
	values["handles"] = []string{kind + " " + plain(compared)}
	return r.createTx(ctx, tx, kind, values)
}

func (r *Room) createTx(ctx context.Context, tx store.Tx, via string, values record.Values) (ID, error) {
	rec, err := r.book.CreateTx(ctx, tx, record.Change{Entity: "contact", Values: values, Inside: true, About: map[string]string{"via": via}})
	return rec.ID, err
}
