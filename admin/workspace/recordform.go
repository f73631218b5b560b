package workspace

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// recordForm is the form of a record that has no pages of its own, new or known, as contactForm is that of a customer.
type recordForm struct {
	Entity  *schema.Entity
	Fields  []*schema.Field
	Was     record.Record // as it is stored now; not there for a new one
	Title   string
	Version uint64
	Values  url.Values
	Stored  url.Values // what Was holds, as it stands in a form
	Wrong   []fault.Field
	Problem string
	Clashes []clash
	People  []person
	Choices map[string][]linkChoice // of a link field whose text fits several records: which are meant
	Key     string
}

// linkChoice is one record that the text of a link field may mean.
type linkChoice struct{ ID, Title string }

func (x recordForm) New() bool { return !x.Was.Exists() }

func (x recordForm) version() string { return strconv.FormatUint(x.Version, 10) }

func (x recordForm) back() string {
	if x.New() {
		return recordsView{Entity: x.Entity}.path()
	}
	return recordPath(&plugin.Ref{Entity: x.Entity.Name, ID: x.Was.ID})
}

func (x recordForm) action() string {
	if x.New() {
		return x.back() + "/new"
	}
	return x.back() + "/edit"
}

func (x recordForm) one(name string) string { return x.Values.Get(name) }

func (x recordForm) lines(name string) []string { return append(filled(x.Values[name]), "") }

func (x recordForm) has(name, value string) bool { return slices.Contains(x.Values[name], value) }

func (x recordForm) before(name string) string { return text(x.Values[beforeField+name]) }

// kept is what the hidden fields hold: what was stored when the form was made, or, after a clash, what is stored now.
func (x recordForm) kept(name string) string {
	if x.Wrong != nil || x.Problem != "" {
		return x.before(name)
	}
	return text(x.Stored[name])
}

func (x recordForm) wrong(v frame.View, name string) string {
	return contactForm{Wrong: x.Wrong}.wrong(v, name)
}

func (x recordForm) attributes(f *schema.Field) templ.Attributes {
	a := templ.Attributes{}
	if slices.ContainsFunc(x.Wrong, func(w fault.Field) bool { return w.Name == f.Name }) {
		a["aria-invalid"], a["aria-describedby"] = "true", "wrong-"+f.Name
	}
	if f.Required && f.Type != schema.YesNo {
		a["aria-required"] = "true"
	}
	return a
}

// shows tells whether a field stands in the form.
func (x recordForm) shows(name string) bool {
	return slices.ContainsFunc(x.Fields, func(f *schema.Field) bool { return f.Name == name })
}

// writable are the fields that the person may write in a form. Files come by other ways.
func (p *pages) writable(ctx context.Context, e *schema.Entity, people bool) (fields []*schema.Field) {
	rights := p.Gate.Fields(ctx, e.Name)
	for _, f := range p.readable(ctx, e) {
		switch {
		case f.Closed, f.Type == schema.Formula, f.Type == schema.File, f.Type == schema.Picture, rights.ReadOnly(f.Name):
		case f.Type == schema.Staff && (!people || f.Many):
		default:
			fields = append(fields, f)
		}
	}
	return fields
}

// stored puts a record into the form.
func (t *recordTeller) stored(e *schema.Entity, r record.Record, fields []*schema.Field) url.Values {
	values := url.Values{}
	for _, f := range fields {
		switch {
		case f.Type == schema.YesNo:
			values.Set(f.Name, yesNo(r.YesNo(f.Name)))
		case !r.Has(f.Name):
		case f.Type == schema.Link:
			for _, id := range r.Links(f.Name) {
				values.Add(f.Name, t.linkText(f, id))
			}
		case f.Type == schema.Number:
			n, _ := r.Number(f.Name)
			values.Set(f.Name, strconv.FormatFloat(n, 'f', -1, 64))
		case f.Type == schema.Money:
			a, _ := r.Amount(f.Name)
			values.Set(f.Name, a.String())
		case f.Type == schema.Time:
			values.Set(f.Name, r.Time(f.Name).In(t.Zone).Format("2006-01-02T15:04"))
		default:
			values[f.Name] = r.Texts(f.Name)
		}
	}
	return values
}

// yesNo is how a form says yes and no. A record that was never asked says no.
func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// linkText is how a linked record stands in a form: by its title, and by its id where the title is another's too.
func (t *recordTeller) linkText(f *schema.Field, id record.ID) string {
	title := t.link(f.Target, id).Text
	if found, err := t.named(f.Target, title); err == nil && len(found) == 1 {
		return title
	}
	return id.String()
}

// named finds the records of an entity with a title, that the person may see.
func (t *recordTeller) named(entity, title string) (found []linkChoice, err error) {
	e := t.Book.Schema().Entity(entity)
	if e == nil || e.Title == "" || !t.Book.Readable(t.ctx, e, e.Title) {
		return nil, nil
	}
	wanted, err := t.Book.Parse(t.ctx, entity, e.Title+" = "+quoted(title))
	if err != nil {
		return nil, err
	}
	page, err := t.Book.List(t.ctx, record.Query{Entity: entity, Filter: wanted, Limit: 10})
	if err != nil {
		return nil, err
	}
	for _, r := range page.Records {
		found = append(found, linkChoice{r.ID.String(), titleOf(t.v, e, r) + " · " + t.v.Date(r.CreatedAt())})
	}
	return found, nil
}

// changes are the values that were changed in the form since it was made. What cannot be read is told in wrong.
func (x *recordForm) changes(t *recordTeller) (values record.Values, wrong []fault.Field, err error) {
	values = record.Values{}
	for _, f := range x.Fields {
		sent, ok := x.Values[f.Name]
		if !ok && f.Type == schema.Choice && f.Many {
			sent, ok = nil, true // no box was ticked
		}
		if !ok || text(sent) == x.before(f.Name) {
			continue
		}
		value, key, err := x.valueOf(t, f, filled(sent))
		if err != nil {
			return nil, nil, err
		}
		if key != "" {
			wrong = append(wrong, fault.Field{Name: f.Name, Key: key})
		}
		values[f.Name] = value
	}
	return values, wrong, nil
}

// valueOf reads what was sent for a field; key says what is wrong with it.
func (x *recordForm) valueOf(t *recordTeller, f *schema.Field, sent []string) (value any, key string, err error) {
	if f.Type == schema.Link {
		return x.links(t, f, sent)
	}
	if f.Many {
		return sent, "", nil
	}
	if len(sent) == 0 {
		return nil, "", nil
	}
	one := strings.TrimSpace(sent[0])
	switch f.Type {
	case schema.Number:
		n, err := strconv.ParseFloat(strings.ReplaceAll(strings.ReplaceAll(one, " ", ""), ",", "."), 64)
		if err != nil {
			return nil, "field.number", nil
		}
		return n, "", nil
	case schema.YesNo:
		return one == "yes", "", nil
	case schema.Time:
		at, err := time.ParseInLocation("2006-01-02T15:04", one, t.Zone)
		if err != nil {
			return nil, "field.time", nil
		}
		return at, "", nil
	case schema.Staff:
		return one, "", nil
	}
	return sent[0], "", nil
}

// links reads the records that a field's texts mean: an id, or the title of exactly one.
func (x *recordForm) links(t *recordTeller, f *schema.Field, sent []string) (value any, key string, err error) {
	var ids []string
	for _, one := range sent {
		one = strings.TrimSpace(one)
		if _, err := record.ParseID(one); err == nil {
			ids = append(ids, one)
			continue
		}
		found, err := t.named(f.Target, one)
		switch {
		case err != nil:
			return nil, "", err
		case len(found) == 0:
			return nil, "record.no-such-link", nil
		case len(found) > 1:
			x.Choices[f.Name] = found
			return nil, "record.which-link", nil
		}
		ids = append(ids, found[0].ID)
	}
	switch {
	case f.Many:
		return ids, "", nil
	case len(ids) == 0:
		return nil, "", nil
	}
	return ids[0], "", nil
}

func (p *pages) recordNew(c echo.Context) error {
	e, err := p.entityOf(c)
	if err != nil {
		return err
	}
	ctx, v := c.Request().Context(), frame.Of(c)
	if err := p.Gate.Require(ctx, access.Create, access.Object{Entity: e.Name}); err != nil {
		return err
	}
	x, err := p.recordForm(ctx, e)
	if err != nil {
		return err
	}
	x.Key = v.Key()
	t := p.recordTeller(ctx, v)
	for _, f := range x.Fields {
		given := c.QueryParam(f.Name)
		id, err := record.ParseID(given)
		switch {
		case given == "" && f.Default != nil:
			x.Values[f.Name] = defaultTexts(f.Default)
		case given == "":
		case f.Type == schema.Link && err == nil:
			x.Values.Set(f.Name, t.linkText(f, id))
		default:
			x.Values.Set(f.Name, given)
		}
	}
	return p.showRecordForm(c, http.StatusOK, x)
}

// defaultTexts is a default as it stands in a form.
func defaultTexts(value any) []string {
	switch d := value.(type) {
	case string:
		return []string{d}
	case []string:
		return d
	case bool:
		return []string{yesNo(d)}
	case float64:
		return []string{strconv.FormatFloat(d, 'f', -1, 64)}
	}
	return nil
}

// recordForm begins the form of an entity.
func (p *pages) recordForm(ctx context.Context, e *schema.Entity) (x recordForm, err error) {
	x = recordForm{Entity: e, Values: url.Values{}, Stored: url.Values{}, Choices: map[string][]linkChoice{}}
	if x.People, err = p.people(ctx, p.Gate.Scope(ctx, access.Assign, e.Name) == access.All); err != nil {
		return x, err
	}
	x.Fields = p.writable(ctx, e, len(x.People) > 0)
	return x, nil
}

// sentForm reads what a form sent.
func (p *pages) sentForm(c echo.Context, e *schema.Entity) (recordForm, error) {
	x, err := p.recordForm(c.Request().Context(), e)
	if err != nil {
		return x, err
	}
	sent, err := readForm(c)
	x.Values, x.Version, x.Key = sent.Values, sent.Version, sent.Key
	return x, err
}

func (p *pages) recordCreate(c echo.Context) error {
	e, err := p.entityOf(c)
	if err != nil {
		return err
	}
	x, err := p.sentForm(c, e)
	if err != nil {
		return err
	}
	ctx, v := c.Request().Context(), frame.Of(c)
	values, wrong, err := x.changes(p.recordTeller(ctx, v))
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return p.showRecordForm(c, http.StatusUnprocessableEntity, x.refused(v, &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: wrong}))
	}
	made, err := p.Book.CreateOnce(ctx, e.Name, x.Key, values)
	if fault.KindOf(err) == fault.Invalid && err != nil {
		return p.showRecordForm(c, http.StatusUnprocessableEntity, x.refused(v, err))
	}
	if err != nil {
		return err
	}
	return p.Done(c, recordPath(&plugin.Ref{Entity: e.Name, ID: made.ID}))
}

func (p *pages) recordEdit(c echo.Context) error {
	e, r, err := p.recordOf(c)
	if err != nil {
		return err
	}
	ctx, v := c.Request().Context(), frame.Of(c)
	x, err := p.recordForm(ctx, e)
	if err != nil {
		return err
	}
	x.Was, x.Version, x.Key = r, r.Version(), v.Key()
	x.Values = p.recordTeller(ctx, v).stored(e, r, x.Fields)
	return p.showRecordForm(c, http.StatusOK, x)
}

func (p *pages) recordSave(c echo.Context) error {
	e, r, err := p.recordOf(c)
	if err != nil {
		return err
	}
	x, err := p.sentForm(c, e)
	if err != nil {
		return err
	}
	ctx, v := c.Request().Context(), frame.Of(c)
	t := p.recordTeller(ctx, v)
	x.Was, x.Stored = r, t.stored(e, r, x.Fields)
	values, wrong, err := x.changes(t)
	switch {
	case err != nil:
		return err
	case len(wrong) > 0:
		return p.showRecordForm(c, http.StatusUnprocessableEntity, x.refused(v, &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: wrong}))
	case len(values) == 0:
		return p.Done(c, x.back())
	}
	clashes := x.clashes(v, values)
	if len(clashes) == 0 {
		x.Version = r.Version() // whatever others changed, it was not these fields
	}
	_, err = p.Book.Change(ctx, e.Name, r.ID, x.Version, values)
	switch kind := fault.KindOf(err); {
	case err == nil:
		return p.Done(c, x.back())
	case kind == fault.Conflict && len(clashes) > 0:
		return p.showRecordForm(c, http.StatusConflict, x.clashed(clashes, values))
	case kind == fault.Invalid:
		return p.showRecordForm(c, http.StatusUnprocessableEntity, x.refused(v, err))
	}
	return err
}

// refused keeps what was typed and says what is wrong with it.
func (x recordForm) refused(v frame.View, err error) recordForm {
	x.Wrong = fault.Of(err).Fields
	if !slices.ContainsFunc(x.Wrong, func(f fault.Field) bool { return x.shows(f.Name) }) {
		x.Problem = v.Say(err)
	}
	return x
}

// clashes are the fields that were changed here and by somebody else since the form was made, to something else.
func (x recordForm) clashes(v frame.View, values record.Values) (list []clash) {
	for _, f := range x.Fields {
		mine, theirs := text(x.Values[f.Name]), text(x.Stored[f.Name])
		if _, changed := values[f.Name]; changed && theirs != x.before(f.Name) && theirs != mine {
			list = append(list, clash{Field: f.Name, Label: fieldName(v, x.Entity, f), Mine: mine, Theirs: theirs})
		}
	}
	return list
}

// clashed keeps what was typed, shows what somebody else saved meanwhile, and takes the new version.
func (x recordForm) clashed(clashes []clash, values record.Values) recordForm {
	for _, f := range x.Fields {
		if _, mine := values[f.Name]; !mine {
			x.Values[f.Name] = x.Stored[f.Name]
		}
	}
	x.Clashes, x.Version = clashes, x.Was.Version()
	return x
}

func (p *pages) showRecordForm(c echo.Context, status int, x recordForm) error {
	v := frame.Of(c)
	if x.New() {
		x.Title = v.T("record.new-of", "entity", entityName(v, x.Entity, false))
	} else {
		x.Stored = p.recordTeller(c.Request().Context(), v).stored(x.Entity, x.Was, x.Fields)
		x.Title = v.T("contact.editing", "name", titleOf(v, x.Entity, x.Was))
	}
	if frame.WantsPart(c) {
		return p.Part(c, status, recordFormBody(v, x))
	}
	return p.Page(c, status, x.Title, recordFormPage(v, x))
}
