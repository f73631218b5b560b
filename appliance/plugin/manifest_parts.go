package plugin

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/schema"
)

// Limits of a plugin's parts.
const (
	maxViews     = 50
	maxActions   = 100
	maxJobs      = 50
	maxHooks     = 100
	maxRoutes    = 50
	maxImporters = 20
	maxEndings   = 10

	// DefaultWithin is how long a job may take that does not say, and MaxWithin how long it may say.
	DefaultWithin = 10 * time.Minute
	MaxWithin     = time.Hour

	// DefaultBody is how long the body of a request may be where its route does not say, and MaxBody how long it may say.
	DefaultBody Bytes = 1 << 20
	MaxBody     Bytes = 100 << 20
)

var (
	partForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,49}$`)
	routeForm  = regexp.MustCompile(`^/[A-Za-z0-9._~/-]{0,199}$`)
	factForm   = regexp.MustCompile(`^([a-z][a-z0-9_-]*\.)+([a-z][a-z0-9_-]*|\*)$`)
	endingForm = regexp.MustCompile(`^\.[a-z0-9]{1,10}$`)
)

// Schedule reads the five fields of a job's cron line; its moments are in the time zone of the time it is asked about.
func Schedule(line string) (cron.Schedule, error) {
	if strings.ContainsAny(line, "=@") { // a time zone or a name of a schedule, which the parser would take
		return nil, fmt.Errorf("%q is no line of five fields", line)
	}
	return cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(line)
}

func (m *Manifest) checkParts(c *checker) {
	each(c, "views", m.Views, maxViews, ViewSpec.check)
	each(c, "actions", m.Actions, maxActions, ActionSpec.check)
	each(c, "jobs", m.Jobs, maxJobs, JobSpec.check)
	each(c, "hooks.before", m.Hooks.Before, maxHooks, BeforeSpec.check)
	each(c, "http", m.HTTP, maxRoutes, RouteSpec.check)
	each(c, "imports", m.Imports, maxImporters, ImporterSpec.check)
	each(c, "hooks.after", m.Hooks.After, maxHooks, func(fact string, c *checker, name string) {
		c.form(name, fact, len(fact) <= 100 && factForm.MatchString(fact))
		c.once(name, "after "+fact)
	})
}

// each checks the parts of one kind.
func each[T any](c *checker, list string, parts []T, limit int, check func(T, *checker, string)) {
	if !c.notMany(list, len(parts), limit) {
		return
	}
	for i, part := range parts {
		check(part, c, fmt.Sprintf("%s[%d]", list, i))
	}
}

// named checks what all parts have that people see.
func (c *checker) named(at, kind, name string, label Label) {
	c.form(at+".name", name, partForm.MatchString(name))
	c.once(at+".name", kind+" "+name)
	checkLabel(c, at+".label", label)
}

func (v ViewSpec) check(c *checker, name string) {
	c.named(name, "view", v.Name, v.Label)
	c.oneOf(name+".place", string(v.Place), string(OnCard), string(OnPage), string(OnHome), string(OnSettings))
	switch {
	case v.Place == OnCard:
		c.form(name+".entity", v.Entity, schema.ValidName(v.Entity))
	case v.Entity != "":
		c.wrong(name+".entity", "field.malformed")
	}
	if v.Icon != "" && !partForm.MatchString(v.Icon) {
		c.wrong(name+".icon", "field.malformed")
	}
}

func (a ActionSpec) check(c *checker, name string) {
	c.named(name, "action", a.Name, a.Label)
	if len(a.On) > 0 {
		c.words(name+".on", a.On, "card", "list")
	}
	if a.Entity != "" || len(a.On) > 0 {
		c.form(name+".entity", a.Entity, schema.ValidName(a.Entity))
	}
	c.verb(name+".needs", a.Needs)
}

// verb refuses what is no verb; "" is allowed.
func (c *checker) verb(name, verb string) {
	if verb == "" {
		return
	}
	var verbs []string
	for _, v := range access.Verbs() {
		verbs = append(verbs, string(v))
	}
	c.oneOf(name, verb, verbs...)
}

func (j JobSpec) check(c *checker, name string) {
	c.named(name, "job", j.Name, j.Label)
	if j.Schedule != "" {
		if _, err := Schedule(j.Schedule); err != nil || !plainText(j.Schedule, 100) {
			c.wrong(name+".schedule", "plugin.schedule")
		}
	}
	if j.Missed != "" {
		c.oneOf(name+".missed", j.Missed, "once", "skip")
	}
	if j.Within < 0 || j.Within > MaxWithin {
		c.wrong(name+".within", "plugin.within", "limit", MaxWithin)
	}
}

func (b BeforeSpec) check(c *checker, name string) {
	c.form(name+".entity", b.Entity, schema.ValidName(b.Entity))
	c.words(name+".acts", b.Acts, "create", "update", "delete")
	for _, act := range b.Acts {
		c.once(name+".acts", "before "+b.Entity+" "+act)
	}
	c.oneOf(name+".failing", b.Failing, "open", "closed")
	c.verb(name+".override", b.Override)
	if !c.notMany(name+".fields", len(b.Fields), schema.MaxFields) {
		return
	}
	for i, f := range b.Fields {
		c.form(fmt.Sprintf("%s.fields[%d]", name, i), f, schema.ValidField(f))
	}
}

func (r RouteSpec) check(c *checker, name string) {
	clean := path.Clean(r.Path)
	c.form(name+".path", r.Path, routeForm.MatchString(r.Path) && (clean == r.Path || clean+"/" == r.Path))
	c.words(name+".methods", r.Methods, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete)
	for _, method := range r.Methods {
		c.once(name+".path", "route "+method+" "+r.Path)
	}
	c.size(name+".limit", r.Limit, 1, MaxBody)
}

func (i ImporterSpec) check(c *checker, name string) {
	c.named(name, "importer", i.Name, i.Label)
	c.form(name+".entity", i.Entity, schema.ValidName(i.Entity))
	if len(i.Files) == 0 {
		c.wrong(name+".files", "field.required")
	}
	if !c.notMany(name+".files", len(i.Files), maxEndings) {
		return
	}
	for n, ending := range i.Files {
		at := fmt.Sprintf("%s.files[%d]", name, n)
		c.form(at, ending, endingForm.MatchString(ending))
		c.once(at, "importer "+i.Name+" "+ending)
	}
}
