package plugin

import (
	"context"
	"regexp"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

const (
	maxAbout   = 10
	maxPayload = 64 << 10
	maxRuns    = 10_000 // runs of one plugin that wait
	farAhead   = 2      // years
)

var (
	actForm   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	aboutForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:+/-]{0,63}$`) // a code, a number, a day: no blank, no @, no letters of a name in Hebrew
)

// takenActs are those of records: the fact of a plugin must not look like one of an entity's that bears the same name.
var takenActs = []string{"created", "changed", "deleted", "restored", "shared", "unshared", "erased", "read", "listed", "file-opened"}

// About is what plugins are told of the office.
type About struct {
	Name, Language, TimeZone, Country, Currency string
}

func (o Options) about() About {
	if o.Office == nil {
		return About{Language: "en", TimeZone: "UTC"}
	}
	return o.Office()
}

// About describes the office.
func (s officeService) About(ctx context.Context, _ *wirev1.AboutRequest) (*wirev1.AboutResponse, error) {
	_, err := s.c.begin(ctx)
	a := s.c.s.p.host.o.about()
	return replied(s.c, &wirev1.AboutResponse{
		Name: wire.Valid(a.Name), Language: a.Language, TimeZone: a.TimeZone, Country: a.Country, Currency: a.Currency,
	}, err)
}

// Say makes a sentence.
func (s officeService) Say(ctx context.Context, r *wirev1.SayRequest) (*wirev1.SayResponse, error) {
	_, err := s.c.begin(ctx)
	lang := r.GetLanguage()
	if lang == "" {
		lang = s.c.s.p.host.o.about().Language
	}
	switch {
	case err != nil:
	case !slices.Contains(Languages(), lang):
		err = fault.InvalidField("language", "field.malformed")
	case r.GetWords().GetKey() != "" && !s.c.s.p.m.knows(r.GetWords().GetKey()):
		err = fault.InvalidField("words.key", "field.unknown")
	}
	return replied(s.c, &wirev1.SayResponse{Text: s.c.s.p.m.words(lang, r.GetWords())}, err)
}

// knows tells whether the plugin's locale folder has a sentence.
func (m *Manifest) knows(key string) bool {
	return slices.ContainsFunc(Languages(), func(lang string) bool { return m.sentences[lang][key] != "" })
}

// Audit writes to the audit what the plugin did elsewhere.
func (s officeService) Audit(ctx context.Context, r *wirev1.AuditRequest) (*wirev1.AuditResponse, error) {
	err := s.tell(ctx, told{act: r.GetAct(), field: "act", record: r.GetRecord(), about: r.GetAbout()})
	return replied(s.c, &wirev1.AuditResponse{}, err)
}

// Emit tells the journal a fact of the plugin's own.
func (s officeService) Emit(ctx context.Context, r *wirev1.EmitRequest) (*wirev1.EmitResponse, error) {
	err := s.tell(ctx, told{act: r.GetName(), field: "name", record: r.GetRecord(), about: r.GetAbout(), card: true})
	return replied(s.c, &wirev1.EmitResponse{}, err)
}

// told is what a plugin tells the journal.
type told struct {
	act, field string // and what the request calls it
	record     *wirev1.RecordRef
	about      map[string]string
	card       bool // it stands on the customer's timeline
}

// check refuses what is no code: the journal is never changed, so nobody's name may come into it.
func (t told) check() error {
	switch {
	case len(t.act) > 60 || !actForm.MatchString(t.act) || slices.Contains(takenActs, t.act):
		return fault.InvalidField(t.field, "field.malformed")
	case len(t.about) > maxAbout:
		return fault.InvalidField("about", "field.too-many", "limit", maxAbout)
	case t.card && t.record == nil:
		return fault.InvalidField("record", "field.required")
	}
	for name, value := range t.about {
		if len(name) > 40 || !actForm.MatchString(name) || name == "via" || !aboutForm.MatchString(value) {
			return fault.InvalidField("about."+printable(wire.Cut(name, 40)), "plugin.about-text")
		}
	}
	return nil
}

func (s officeService) tell(ctx context.Context, t told) error {
	ctx, err := s.c.begin(ctx)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return err
	}
	if !s.c.s.limit.audits.AllowN(s.c.s.limit.now(), 1) {
		s.c.refused(ctx, refusedRate, map[string]string{"permission": "audit"})
		return fault.New(fault.TooMany, "plugin.too-many-facts")
	}
	fact := journal.Fact{Name: s.c.s.p.m.ID + "." + t.act, About: t.about}
	if t.record != nil {
		if err := s.concerns(ctx, t, &fact); err != nil {
			return err
		}
	}
	o := s.c.s.p.host.o
	return o.DB.Update(ctx, func(tx store.Tx) error { return o.Journal.Append(ctx, tx, fact) })
}

// concerns names the record of a fact, which the caller must be able to see, and its customer.
func (s officeService) concerns(ctx context.Context, t told, fact *journal.Fact) error {
	e, err := s.c.entity(ctx, access.See, t.record.GetEntity())
	if err != nil {
		return err
	}
	id, err := record.ParseID(t.record.GetId())
	if err != nil {
		return fault.Missing(e.Name, wire.Cut(t.record.GetId(), 100))
	}
	if _, err := s.c.s.p.host.o.Book.Get(ctx, e.Name, id); err != nil {
		return err
	}
	contact, err := s.c.contactOf(ctx, e, id)
	if err != nil {
		return err
	}
	fact.Entity, fact.ID = e.Name, id.String()
	if !contact.Zero() {
		fact.Contact, fact.Card = contact.String(), t.card
	}
	return nil
}

// contactOf gives the customer whom a record concerns, the zero ID for none, whether the plugin may read the link or not.
func (c *callbacks) contactOf(ctx context.Context, e *schema.Entity, id record.ID) (contact record.ID, err error) {
	if e.Contact == "" || e.Contact == "id" {
		if e.Contact == "id" {
			contact = id
		}
		return contact, nil
	}
	book := c.s.p.host.o.Book
	err = book.View(ctx, func(tx store.Tx) error {
		r, err := book.Raw(tx, e.Name, id)
		if err == nil {
			contact = r.Link(e.Contact)
		}
		return err
	})
	return contact, err
}

// Enqueue asks for one call of a job.
func (s officeService) Enqueue(ctx context.Context, r *wirev1.EnqueueRequest) (*wirev1.EnqueueResponse, error) {
	return replied(s.c, &wirev1.EnqueueResponse{}, s.enqueue(ctx, r))
}

func (s officeService) enqueue(ctx context.Context, r *wirev1.EnqueueRequest) error {
	h, m := s.c.s.p.host, s.c.s.p.m
	ctx, err := s.ofJob(ctx, r.GetJob(), r.GetKey())
	if err != nil {
		return err
	}
	run := pluginRun{Plugin: m.ID, Job: r.GetJob(), Key: r.GetKey(), Payload: r.GetPayload()}
	if len(run.Payload) > maxPayload {
		return fault.InvalidField("payload", "field.too-long", "limit", maxPayload)
	}
	if r.GetAt() != nil {
		if run.Due = r.GetAt().AsTime(); !r.GetAt().IsValid() || run.Due.After(h.o.Now().AddDate(farAhead, 0, 0)) {
			return fault.InvalidField("at", "field.time")
		}
	}
	return h.o.DB.Update(ctx, func(tx store.Tx) error {
		if h.o.Queue.Waiting(tx, runKind, m.ID+"\x00", maxRuns) >= maxRuns {
			return fault.New(fault.TooLarge, "plugin.too-many-runs", "limit", maxRuns)
		}
		return h.enqueue(tx, run)
	})
}

// Cancel takes a call back that has not begun.
func (s officeService) Cancel(ctx context.Context, r *wirev1.CancelRequest) (*wirev1.CancelResponse, error) {
	h := s.c.s.p.host
	ctx, err := s.ofJob(ctx, r.GetJob(), r.GetKey())
	if err == nil {
		err = h.o.DB.Update(ctx, func(tx store.Tx) error { return h.cancelRun(tx, s.c.s.p.m.ID, r.GetJob(), r.GetKey()) })
	}
	return replied(s.c, &wirev1.CancelResponse{}, err)
}

// ofJob refuses a job that the manifest does not declare, and a key that is none.
func (s officeService) ofJob(ctx context.Context, name, key string) (context.Context, error) {
	ctx, err := s.c.begin(ctx)
	switch {
	case err != nil:
		return nil, err
	case s.c.s.p.host.o.Queue == nil:
		return nil, fault.New(fault.Unavailable, "plugin.service-absent")
	case !slices.ContainsFunc(s.c.s.p.m.Jobs, func(j JobSpec) bool { return j.Name == name }):
		return nil, fault.Missing("job", wire.Cut(name, 100))
	case key == "":
		return nil, fault.InvalidField("key", "field.required")
	case !plainText(key, maxRunKey):
		return nil, fault.InvalidField("key", "field.malformed")
	}
	return ctx, nil
}
