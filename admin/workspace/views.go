package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// Plugins is the host of the plugins as the pages need it; plugin.Host is one.
type Plugins interface {
	Views(place plugin.Place, entity string) []plugin.ViewRef
	Render(ctx context.Context, id, view string, on *plugin.Ref, params map[string]string) (plugin.View, error)
	Actions(ctx context.Context, entity, on string) []plugin.ActionRef
	Act(ctx context.Context, press plugin.Press) (plugin.Outcome, error)
	Manifest(id string) (*plugin.Manifest, error)
}

// offeredRecords is how many records a field of a plugin's form offers.
const offeredRecords = 100

// viewPlace is where a view stands: on a card, or on the home page.
type viewPlace struct {
	plugin.ViewRef
	Label string
	On    *plugin.Ref
	Live  string // of what happens that the view is drawn again
}

// ID is the id of the element; the ids of plugins have dots, which a selector would take for classes.
func (x viewPlace) ID() string {
	sum := sha256.Sum256([]byte(x.Plugin + " " + x.Name))
	return "view-" + hex.EncodeToString(sum[:6])
}

// Src is from where the view itself is read.
func (x viewPlace) Src() string { return x.path("/part") }

// Page is the view as a page, for a browser without script.
func (x viewPlace) Page() string { return x.path("") }

func (x viewPlace) path(rest string) string {
	q := url.Values{}
	if x.On != nil {
		q.Set("_on", x.On.Entity+" "+x.On.ID.String())
	}
	return withQuery("/views/"+url.PathEscape(x.Plugin)+"/"+url.PathEscape(x.Name)+rest, q)
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// shownView is a view as it is drawn.
type shownView struct {
	plugin.View
	Ref     plugin.ViewRef
	By      string // the plugin's name
	On      *plugin.Ref
	Params  map[string]string
	Next    string // where an action of the view goes back to
	Problem string // said in its place when there is no view
	Offered map[string][]plugin.Chosen
}

// ActPath is where a button or a form of the view is sent.
func (x shownView) ActPath(action string) string {
	return "/actions/" + url.PathEscape(x.Ref.Plugin) + "/" + url.PathEscape(action)
}

// ViewPath is another page of the same plugin.
func (x shownView) ViewPath(view string, params map[string]string) string {
	q := url.Values{}
	for name, value := range params {
		q.Set(name, value)
	}
	return withQuery("/views/"+url.PathEscape(x.Ref.Plugin)+"/"+url.PathEscape(view), q)
}

// TabPath is the same view with another tab; of a view on a card it is a page of its own.
func (x shownView) TabPath(param, name string) string {
	params := maps.Clone(x.Params)
	if params == nil {
		params = map[string]string{}
	}
	params[param] = name
	if x.On != nil {
		params["_on"] = x.On.Entity + " " + x.On.ID.String()
	}
	return x.ViewPath(x.Ref.Name, params)
}

// Records are those on which the view's form works: the one on whose card it stands.
func (x shownView) Records() []string {
	if x.On == nil {
		return nil
	}
	return []string{x.On.Entity + " " + x.On.ID.String()}
}

// InputID is the id of a form's field on the page.
func (x shownView) InputID(i plugin.Input) string {
	return viewPlace{ViewRef: x.Ref}.ID() + "-" + i.Name
}

// slots are the places of the plugins' views on a card or at home.
func (p *pages) slots(v frame.View, place plugin.Place, on *plugin.Ref, live string) (slots []viewPlace) {
	if p.Plugins == nil {
		return nil
	}
	entity := ""
	if on != nil {
		entity = on.Entity
	}
	for _, ref := range p.Plugins.Views(place, entity) {
		slots = append(slots, viewPlace{ViewRef: ref, Label: ref.Label[v.Code], On: on, Live: live})
	}
	return slots
}

// viewIcons are those of the sprite that a plugin may choose for its page; another gets a plug.
var viewIcons = []string{icon("truck"), icon("calendar"), icon("tool"), "users", "building", "briefcase", "clock", "message", "phone", "mail", "history"}

// viewMenu are the pages of plugins.
func (p *pages) viewMenu(_ context.Context, v frame.View) (items []frame.MenuItem) {
	for _, slot := range p.slots(v, plugin.OnPage, nil, "") {
		icon := "plug"
		if slices.Contains(viewIcons, slot.Icon) {
			icon = slot.Icon
		}
		items = append(items, frame.MenuItem{Path: slot.Page(), Label: slot.Label, Icon: icon})
	}
	return items
}

// view answers a page of a plugin's own, and a card's view for a browser without script.
func (p *pages) view(c echo.Context) error {
	x, err := p.shownView(c)
	if err != nil {
		return err
	}
	return p.Page(c, http.StatusOK, x.Title, viewPage(frame.Of(c), x))
}

// viewPart answers a view in its place. What is wrong with the plugin is said there and nowhere else.
func (p *pages) viewPart(c echo.Context) error {
	x, err := p.shownView(c)
	if err != nil {
		return err
	}
	live := ""
	if x.On != nil {
		live = x.On.Entity + ":" + x.On.ID.String()
	}
	place := viewPlace{ViewRef: x.Ref, Label: x.Title, On: x.On, Live: live}
	return p.Part(c, http.StatusOK, viewCard(frame.Of(c), place, x))
}

// shownView renders a view. A plugin that fails is no failure of the page: the view says what is the matter.
func (p *pages) shownView(c echo.Context) (x shownView, err error) {
	if p.Plugins == nil {
		return x, echo.ErrNotFound
	}
	v, id, name := frame.Of(c), c.Param("plugin"), c.Param("view")
	m, err := p.Plugins.Manifest(id)
	if err != nil {
		return x, err
	}
	i := slices.IndexFunc(m.Views, func(one plugin.ViewSpec) bool { return one.Name == name })
	if i < 0 {
		return x, fault.Missing("view", name)
	}
	spec := m.Views[i]
	x = shownView{By: m.Name, Params: map[string]string{}, Ref: plugin.ViewRef{Plugin: id, Name: name, Place: spec.Place, Entity: spec.Entity, Icon: spec.Icon, Label: spec.Label}}
	for key, values := range c.QueryParams() {
		if !strings.HasPrefix(key, "_") && key != "limit" {
			x.Params[key] = values[0]
		}
	}
	if on := c.QueryParam("_on"); on != "" {
		if x.On, err = refOf(on); err != nil {
			return x, err
		}
	}
	x.Next = c.Request().URL.RequestURI()
	if x.On != nil {
		x.Next = recordPath(x.On)
	} else if spec.Place == plugin.OnHome {
		x.Next = "/"
	}
	x.View, err = p.Plugins.Render(c.Request().Context(), id, name, x.On, x.Params)
	if x.Title == "" {
		x.Title = spec.Label[v.Code]
	}
	if f := fault.Of(err); err != nil && (f.Kind == fault.NotFound || f.Kind == fault.Unauthenticated) {
		return x, err
	} else if err != nil {
		x.Problem = v.Say(err)
		return x, nil
	}
	x.Offered = p.offered(c, x.Blocks)
	return x, nil
}

// offered are the records that the fields of a view's forms offer.
func (p *pages) offered(c echo.Context, blocks []plugin.Block) map[string][]plugin.Chosen {
	out := map[string][]plugin.Chosen{}
	for _, b := range blocks {
		switch b := b.(type) {
		case plugin.Tabs:
			for _, t := range b.Tabs {
				maps.Copy(out, p.offered(c, t.Blocks))
			}
		case plugin.Form:
			for _, i := range b.Inputs {
				if i.Kind == plugin.InputRecord {
					out[i.Name] = p.recordsOf(c, i)
				}
			}
		}
	}
	return out
}

// recordsOf are the newest records of an entity that the person may see, and the one that stands there already.
func (p *pages) recordsOf(c echo.Context, i plugin.Input) (list []plugin.Chosen) {
	ctx, e := c.Request().Context(), p.Book.Schema().Entity(i.Entity)
	if e == nil {
		return nil
	}
	page, err := p.Book.List(ctx, record.Query{Entity: i.Entity, Sort: "-created_at", Limit: offeredRecords})
	if err != nil {
		return nil // nothing to offer: the plugin's action says what it misses
	}
	for _, r := range page.Records {
		list = append(list, plugin.Chosen{Value: r.ID.String(), Label: r.Text(e.Title)})
	}
	if now := inputValue(i); now != "" && !slices.ContainsFunc(list, func(c plugin.Chosen) bool { return c.Value == now }) {
		if id, err := record.ParseID(now); err == nil {
			if r, err := p.Book.Get(ctx, i.Entity, id); err == nil {
				list = append(list, plugin.Chosen{Value: now, Label: r.Text(e.Title)})
			}
		}
	}
	return list
}

// act does a plugin's action: the button of a card, of a list, or of a view.
func (p *pages) press(c echo.Context) error {
	if p.Plugins == nil {
		return echo.ErrNotFound
	}
	form, err := c.FormParams()
	if err != nil {
		return fault.InvalidField("form", "field.malformed")
	}
	id, action := c.Param("plugin"), c.Param("action")
	if act := form.Get("_act"); action == "" { // the buttons of a list share one form
		id, action, _ = strings.Cut(act, " ")
	}
	press := plugin.Press{Plugin: id, Action: action, Key: form.Get("_key"), Input: map[string]any{}}
	for _, text := range form["_record"] {
		ref, err := refOf(text)
		if err != nil {
			return err
		}
		press.Records = append(press.Records, *ref)
	}
	for name, values := range form {
		kind, field, ok := strings.Cut(name, ".")
		if !ok || strings.HasPrefix(name, "_") {
			continue
		}
		if press.Input[field], err = typed(kind, values[0]); err != nil {
			return fault.InvalidField(field, "field.malformed")
		}
	}
	outcome, err := p.Plugins.Act(c.Request().Context(), press)
	if err != nil {
		return err
	}
	next := form.Get("_next")
	switch {
	case outcome.Open != nil:
		next = recordPath(outcome.Open)
	case outcome.View != "":
		next = "/views/" + url.PathEscape(press.Plugin) + "/" + url.PathEscape(outcome.View)
	case !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n"):
		next = "/"
	}
	if outcome.Message != "" {
		p.Tell(c, outcome.Message)
	}
	return p.Done(c, next)
}

func refOf(text string) (*plugin.Ref, error) {
	entity, id, _ := strings.Cut(text, " ")
	parsed, err := record.ParseID(id)
	if err != nil {
		return nil, err
	}
	return &plugin.Ref{Entity: entity, ID: parsed}, nil
}

// recordPath is the page of a record.
func recordPath(ref *plugin.Ref) string {
	switch ref.Entity {
	case "contact":
		return "/contacts/" + ref.ID.String()
	case "conversation":
		return "/inbox/" + ref.ID.String()
	}
	return "/records/" + url.PathEscape(ref.Entity) + "/" + ref.ID.String()
}

// inputName says what kind of value a field holds, so that it comes back as what it was.
func inputName(i plugin.Input) string {
	switch i.Kind {
	case plugin.InputNumber:
		return "number." + i.Name
	case plugin.InputYesNo:
		return "yes-no." + i.Name
	case plugin.InputHidden:
		return kindOf(i.Value) + "." + i.Name
	}
	return "text." + i.Name
}

func kindOf(value any) string {
	switch value.(type) {
	case float64:
		return "number"
	case bool:
		return "yes-no"
	case time.Time:
		return "time"
	case schema.Amount:
		return "money"
	}
	return "text"
}

// inputValue is a value as a form holds it.
func inputValue(i plugin.Input) string { return formValue(i.Value) }

func formValue(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case schema.Amount:
		return v.String()
	}
	return ""
}

// typed reads a value back that formValue wrote, or that a person typed.
func typed(kind, text string) (any, error) {
	switch kind {
	case "number":
		if text == "" {
			return nil, nil
		}
		return strconv.ParseFloat(text, 64)
	case "yes-no":
		return text == "yes", nil
	case "time":
		return time.Parse(time.RFC3339Nano, text)
	case "money":
		return schema.ParseAmount(text, "")
	}
	if text == "" {
		return nil, nil
	}
	return text, nil
}

// hiddenInput is one value that a button sends along.
type hiddenInput struct{ Name, Value string }

func buttonInputs(b plugin.Button) (list []hiddenInput) {
	for _, name := range slices.Sorted(maps.Keys(b.Input)) {
		list = append(list, hiddenInput{kindOf(b.Input[name]) + "." + name, formValue(b.Input[name])})
	}
	return list
}

// shownValue is a value in the person's language.
func shownValue(v frame.View, value any) string {
	switch x := value.(type) {
	case string:
		return x
	case float64:
		return v.Decimal(x)
	case bool:
		if x {
			return v.T("view.yes")
		}
		return v.T("view.no")
	case time.Time:
		return v.Moment(x)
	case schema.Amount:
		return v.Money(x)
	case []any:
		texts := make([]string, 0, len(x))
		for _, one := range x {
			texts = append(texts, shownValue(v, one))
		}
		return strings.Join(texts, ", ")
	}
	return ""
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func toneClass(t plugin.Tone) string {
	switch t {
	case plugin.Good:
		return "good"
	case plugin.Warn:
		return "warn"
	case plugin.Bad:
		return "danger"
	case plugin.Quiet:
		return "muted"
	}
	return ""
}

func noticeClass(t plugin.Tone) string {
	if t == plugin.Good {
		return "good"
	}
	return toneClass(t)
}

// toneIcon is the shape that goes with a colour.
func toneIcon(t plugin.Tone) string {
	switch t {
	case plugin.Good:
		return "circle-check"
	case plugin.Warn:
		return "alert-triangle"
	case plugin.Bad:
		return "circle-x"
	}
	return ""
}

func buttonClass(t plugin.Tone) string {
	switch t {
	case plugin.Good:
		return "primary"
	case plugin.Quiet:
		return "quiet"
	}
	return ""
}

// mayAct lists the plugins' buttons on a card or a list that the person may press.
func (p *pages) mayAct(c echo.Context, entity, on string) []plugin.ActionRef {
	if p.Plugins == nil || !p.may(c, access.See, entity) {
		return nil
	}
	return p.Plugins.Actions(c.Request().Context(), entity, on)
}
