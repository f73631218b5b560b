package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
)

// maxAudit is the most facts of one page of the audit.
const maxAudit = 500

// auditRoutes are of who did and read what.
func (a *API) auditRoutes() []route {
	return []route{{method: get, path: Prefix + "/audit", handle: a.searchAudit, describe: describeAudit}}
}

// audited is a fact as the audit has it, with the name of who did it, and what its place in the chain proves.
type audited struct {
	fact
	Who     string `json:"who"`
	Entity  string `json:"entity"`
	ID      string `json:"id"`
	Contact string `json:"contact,omitempty"`
	Read    bool   `json:"read"`
	Prev    string `json:"prev"`
	Hash    string `json:"hash"`
}

// searchAudit looks through the journal, newest first. A page may be short, or empty, and have a next one all the same.
func (a *API) searchAudit(c echo.Context) error {
	ctx := c.Request().Context()
	q, err := a.auditQuery(c)
	if err != nil {
		return err
	}
	if err := a.Gate.Require(ctx, access.See, access.Object{Entity: "audit"}); err != nil {
		return err
	}
	if err := a.Journal.Flush(ctx); err != nil { // what was read a moment ago is found too
		return err
	}
	found, err := journal.NewAudit(a.Journal, a.Gate).Search(ctx, q)
	if err != nil {
		return err
	}
	shown := make([]audited, 0, len(found.Facts))
	for _, f := range found.Facts {
		shown = append(shown, audited{fact: fact{Seq: f.Seq, At: moment(f.At), Name: f.Name, Actor: f.Actor, Fields: append([]string{}, f.Fields...), About: f.About},
			Who: a.Staff.Name(ctx, f.Actor), Entity: f.Entity, ID: f.ID, Contact: f.Contact, Read: f.Read, Prev: f.Prev, Hash: f.Hash})
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, found.Next))
}

// auditQuery reads what is looked for, as `karov audit list` has it.
func (a *API) auditQuery(c echo.Context) (q journal.Query, err error) {
	values, err := parameters(c, "actor", "record", "name", "since", "until", "limit", "cursor")
	if err != nil {
		return q, err
	}
	q = journal.Query{Actor: values["actor"], Name: values["name"], Cursor: values["cursor"]}
	q.Entity, q.ID = subjectOf(values["record"])
	if q.Limit, err = limitOf(values, record.DefaultLimit, maxAudit); err != nil {
		return q, err
	}
	if _, err := beforeOf(values); err != nil {
		return q, err
	}
	if q.From, err = a.momentOf(values, "since"); err != nil {
		return q, err
	}
	if q.To, err = a.momentOf(values, "until"); err != nil {
		return q, err
	}
	if strings.Contains(q.Actor, "@") {
		account, err := a.Staff.ByEmail(c.Request().Context(), q.Actor)
		if err != nil {
			return q, err
		}
		q.Actor = account.ID
	}
	return q, nil
}

// subjectOf takes KIND:ID, KIND or ID apart.
func subjectOf(text string) (entity, id string) {
	if kind, id, ok := strings.Cut(text, ":"); ok {
		return kind, id
	}
	if _, err := record.ParseID(text); err == nil {
		return "", text
	}
	return text, ""
}

// momentOf reads a moment, or the beginning of a day of the office; the zero time where none is given.
func (a *API) momentOf(values map[string]string, name string) (time.Time, error) {
	text, given := values[name]
	if !given {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	at, err := time.ParseInLocation(time.DateOnly, text, a.Book.Zone())
	if err != nil {
		return time.Time{}, fault.InvalidField(name, "field.time")
	}
	return at, nil
}
