package workspace

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// contactForm is the form of a customer, new or known: what stands in its fields, what is wrong with them, and where
// somebody else saved first.
type contactForm struct {
	Was     contact.Contact // as it is stored now; zero for a new one
	Version uint64          // the one the form was made from
	Values  url.Values
	Wrong   []fault.Field
	Problem string
	Clashes []clash
	People  []person
	Key     string
	More    recordForm // the fields that the office or a plugin added
}

// beforeField comes before the names of the hidden fields that keep what a field held when the form was made.
const beforeField = "before."

// clash is a field that two people changed. Label is its name where it is not built in.
type clash struct{ Field, Label, Mine, Theirs string }

func contactFields() []string {
	return []string{"name", "kind", "company", "phones", "emails", "city", "address", "birthday", "note", "owner"}
}

func (x contactForm) New() bool { return x.Was.ID.Zero() }

func (x contactForm) version() string { return strconv.FormatUint(x.Version, 10) }

func (x contactForm) action() string {
	if x.New() {
		return "/contacts/new"
	}
	return "/contacts/" + x.Was.ID.String() + "/edit"
}

func (x contactForm) back() string {
	if x.New() {
		return "/contacts"
	}
	return "/contacts/" + x.Was.ID.String()
}

func (x contactForm) one(name string) string { return x.Values.Get(name) }

// kept is what the hidden fields hold: what was stored when the form was made, or, after a clash, what is stored now.
func (x contactForm) kept(name string) string {
	if x.Wrong != nil || x.Problem != "" {
		return x.before(name)
	}
	return text(valuesOf(x.Was)[name])
}

// lines are the values of a field that holds many, with an empty line for another.
func (x contactForm) lines(name string) []string { return append(filled(x.Values[name]), "") }

func (x contactForm) wrong(v frame.View, name string) string {
	for _, f := range x.Wrong {
		if f.Name == name {
			if v.Has(f.Key) {
				return v.Fill(f.Key, f.Params)
			}
			return v.T("failure.invalid.text")
		}
	}
	return ""
}

func (x contactForm) attributes(name string) templ.Attributes {
	if slices.ContainsFunc(x.Wrong, func(f fault.Field) bool { return f.Name == name }) {
		return templ.Attributes{"aria-invalid": "true", "aria-describedby": "wrong-" + name}
	}
	return nil
}

// shown writes a value of a clash for people: a colleague by name, an empty one as a dash.
func (x contactForm) shown(v frame.View, field, value string) string {
	if value == "" {
		return "–"
	}
	switch field {
	case "owner":
		for _, p := range x.People {
			if p.ID == value {
				return p.Name
			}
		}
	case "kind":
		return v.T("contact.kind-" + value)
	}
	return value
}

func inputType(kind string) string {
	if kind == "email" {
		return "text" // an office writes what it was given; the room says what is no address, in the reader's language
	}
	return kind
}

func lineID(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "-" + strconv.Itoa(i)
}

func filled(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// valuesOf puts a stored contact into the form.
func valuesOf(c contact.Contact) url.Values {
	return url.Values{"name": {c.Name}, "kind": {c.Kind}, "company": {c.Company}, "phones": c.Phones, "emails": c.Emails, "city": {c.City},
		"address": {c.Address}, "birthday": {c.Birthday}, "note": {c.Note}, "owner": {c.Owner}}
}

// changes are the fields that were changed in the form since it was made.
func (x contactForm) changes() record.Values {
	values := record.Values{}
	for _, name := range contactFields() {
		if _, sent := x.Values[name]; !sent {
			continue
		}
		switch mine := text(x.Values[name]); {
		case mine == x.before(name):
		case name == "phones" || name == "emails":
			values[name] = filled(x.Values[name])
		default:
			values[name] = mine
		}
	}
	return values
}

// before is what a field held when the form was made.
func (x contactForm) before(name string) string { return text(x.Values[beforeField+name]) }

// text makes values comparable and readable: line endings as a browser sends them do not count as a change.
func text(values []string) string {
	return strings.ReplaceAll(strings.Join(filled(values), ", "), "\r\n", "\n")
}

func (p *pages) contactNew(c echo.Context) error {
	v := frame.Of(c)
	x := contactForm{Values: url.Values{"kind": {"person"}}, Key: v.Key()}
	for _, name := range []string{"name", "phones", "emails"} {
		if given := c.QueryParam(name); given != "" {
			x.Values.Set(name, given)
		}
	}
	if err := p.more(c, &x); err != nil {
		return err
	}
	for _, f := range x.More.Fields {
		x.Values[f.Name] = defaultTexts(f.Default)
	}
	return p.showForm(c, http.StatusOK, x)
}

func (p *pages) contactCreate(c echo.Context) error {
	x, err := readForm(c)
	if err != nil {
		return err
	}
	changes, err := p.allChanges(c, &x)
	var made contact.Contact
	if err == nil {
		made, err = p.Contacts.CreateOnce(c.Request().Context(), x.Key, changes)
	}
	if fault.KindOf(err) == fault.Invalid && err != nil {
		return p.showForm(c, http.StatusUnprocessableEntity, x.refused(frame.Of(c), err))
	}
	if err != nil {
		return err
	}
	return p.Done(c, "/contacts/"+made.ID.String())
}

func (p *pages) contactEdit(c echo.Context) error {
	was, err := p.contactOf(c)
	if err != nil {
		return err
	}
	x := contactForm{Was: was, Version: was.Version, Values: valuesOf(was), Key: frame.Of(c).Key()}
	if err := p.more(c, &x); err != nil {
		return err
	}
	maps.Copy(x.Values, x.More.Stored)
	return p.showForm(c, http.StatusOK, x)
}

func (p *pages) contactSave(c echo.Context) error {
	x, err := readForm(c)
	if err != nil {
		return err
	}
	if x.Was, err = p.contactOf(c); err != nil {
		return err
	}
	changes, err := p.allChanges(c, &x)
	switch {
	case fault.KindOf(err) == fault.Invalid && err != nil:
		return p.showForm(c, http.StatusUnprocessableEntity, x.refused(frame.Of(c), err))
	case err != nil:
		return err
	case len(changes) == 0:
		return p.Done(c, x.back())
	}
	clashes := append(x.clashes(changes), x.More.clashes(frame.Of(c), changes)...)
	if len(clashes) == 0 {
		x.Version = x.Was.Version // whatever others changed, it was not these fields
	}
	_, err = p.Contacts.Change(c.Request().Context(), x.Was.ID, x.Version, changes)
	switch kind := fault.KindOf(err); {
	case err == nil:
		return p.Done(c, x.back())
	case kind == fault.Conflict:
		return p.showForm(c, http.StatusConflict, x.clashed(clashes))
	case kind == fault.Invalid:
		return p.showForm(c, http.StatusUnprocessableEntity, x.refused(frame.Of(c), err))
	}
	return err
}

// more puts the fields into the form that the office or a plugin added to customers.
func (p *pages) more(c echo.Context, x *contactForm) error {
	ctx := c.Request().Context()
	e := p.Book.Schema().Entity("contact")
	more, err := p.recordForm(ctx, e)
	if err != nil {
		return err
	}
	more.Fields = slices.DeleteFunc(more.Fields, func(f *schema.Field) bool { return !f.Custom })
	more.Values = x.Values
	if !x.New() && len(more.Fields) > 0 {
		if more.Was, err = p.Book.Get(ctx, e.Name, x.Was.ID); err != nil {
			return err
		}
		more.Stored = p.recordTeller(ctx, frame.Of(c)).stored(e, more.Was, more.Fields)
	}
	x.More = more
	return nil
}

// allChanges are the fields that were changed, those that were added to customers among them.
func (p *pages) allChanges(c echo.Context, x *contactForm) (record.Values, error) {
	if err := p.more(c, x); err != nil {
		return nil, err
	}
	changes := x.changes()
	more, wrong, err := x.More.changes(p.recordTeller(c.Request().Context(), frame.Of(c)))
	if err != nil {
		return nil, err
	}
	if len(wrong) > 0 {
		return nil, &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: wrong}
	}
	maps.Copy(changes, more)
	return changes, nil
}

func (p *pages) contactOf(c echo.Context) (contact.Contact, error) {
	id, err := idOf(c, "id")
	if err != nil {
		return contact.Contact{}, err
	}
	return p.Contacts.Get(c.Request().Context(), id)
}

func readForm(c echo.Context) (contactForm, error) {
	values, err := c.FormParams()
	if err != nil {
		return contactForm{}, fault.Wrap(err, fault.Invalid, "failure.invalid.text")
	}
	version, err := strconv.ParseUint(values.Get("version"), 10, 64)
	if err != nil {
		version = 0
	}
	return contactForm{Values: values, Version: version, Key: values.Get("_key")}, nil
}

// refused keeps what was typed and says what is wrong with it.
func (x contactForm) refused(v frame.View, err error) contactForm {
	x.Wrong = fault.Of(err).Fields
	if !slices.ContainsFunc(x.Wrong, func(f fault.Field) bool { return slices.Contains(contactFields(), f.Name) || x.More.shows(f.Name) }) {
		x.Problem = v.Say(err)
	}
	return x
}

// clashes are the fields that were changed here and by somebody else since the form was made, to something else.
func (x contactForm) clashes(changes record.Values) (list []clash) {
	stored := valuesOf(x.Was)
	for _, name := range contactFields() {
		mine, theirs := text(x.Values[name]), text(stored[name])
		if _, changed := changes[name]; changed && theirs != x.before(name) && theirs != mine {
			list = append(list, clash{Field: name, Mine: mine, Theirs: theirs})
		}
	}
	return list
}

// clashed keeps what was typed, shows what somebody else saved meanwhile, and takes the new version: saving again is
// then a decision. Fields that nobody typed in show what is stored now.
func (x contactForm) clashed(clashes []clash) contactForm {
	stored, changes := valuesOf(x.Was), x.changes()
	for _, f := range x.More.Fields {
		if text(x.Values[f.Name]) == x.before(f.Name) {
			x.Values[f.Name] = x.More.Stored[f.Name]
		}
	}
	for _, name := range contactFields() {
		if _, mine := changes[name]; !mine {
			x.Values[name] = stored[name]
		}
	}
	x.Clashes, x.Version = clashes, x.Was.Version
	return x
}

func (p *pages) showForm(c echo.Context, status int, x contactForm) error {
	v, ctx := frame.Of(c), c.Request().Context()
	var err error
	if x.People, err = p.people(ctx, p.Gate.Scope(ctx, access.Assign, "contact") == access.All); err != nil {
		return err
	}
	x.More.Values, x.More.Wrong, x.More.Problem, x.More.People = x.Values, x.Wrong, x.Problem, x.People
	title := v.T("contact.new")
	if !x.New() {
		title = v.T("contact.editing", "name", x.Was.Title())
	}
	if frame.WantsPart(c) {
		return p.Part(c, status, contactFormBody(v, x))
	}
	return p.Page(c, status, title, contactFormPage(v, x))
}

// people are the colleagues to whom something can be given, for those who may give.
func (p *pages) people(ctx context.Context, may bool) (list []person, err error) {
	if !may {
		return nil, nil
	}
	accounts, err := p.Staff.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if !a.Disabled {
			list = append(list, person{a.ID, a.Name})
		}
	}
	return list, nil
}
