package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// named reads which record a path names.
func (a *API) named(c echo.Context) (*schema.Entity, record.ID, error) {
	e, err := a.entity(c)
	if err != nil {
		return nil, record.ID{}, err
	}
	id, err := idOf(c, e.Name)
	return e, id, err
}

// items is a list with the cursor of the rest, null at its end.
type items struct {
	Items any     `json:"items"`
	Next  *string `json:"next"`
}

func itemsOf(list any, next string) items {
	if next == "" {
		return items{list, nil}
	}
	return items{list, &next}
}

// revision is one change of a record as programs get it.
type revision struct {
	Version uint64        `json:"version"`
	At      any           `json:"at"`
	By      string        `json:"by"`
	Changes []fieldChange `json:"changes"`
}

type fieldChange struct {
	Field string `json:"field"`
	From  any    `json:"from"`
	To    any    `json:"to"`
}

// history lists what a record's fields held, newest change first. The cursor is the version of the last one shown.
func (a *API) history(c echo.Context) error {
	ctx := c.Request().Context()
	e, id, err := a.named(c)
	if err != nil {
		return err
	}
	values, err := parameters(c, "cursor", "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, record.DefaultLimit, record.MaxLimit)
	if err != nil {
		return err
	}
	before, err := beforeOf(values)
	if err != nil {
		return err
	}
	found, err := a.Book.History(ctx, e.Name, id, before, limit)
	if err != nil {
		return err
	}
	shown, next := make([]revision, 0, len(found)), ""
	var read []string
	for _, r := range found {
		one := revision{Version: r.Version, At: moment(r.At), By: r.By, Changes: []fieldChange{}}
		for _, change := range r.Changes {
			one.Changes = append(one.Changes, fieldChange{change.Field, change.From, change.To})
			if f := e.Field(change.Field); f != nil && f.Sensitive && !slices.Contains(read, f.Name) {
				read = append(read, f.Name)
			}
		}
		shown = append(shown, one)
	}
	if len(found) == limit {
		next = strconv.FormatUint(found[limit-1].Version, 10)
	}
	if err := a.noteOf(ctx, e, id, read); err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, next))
}

// bin lists what was deleted and the caller may restore.
func (a *API) bin(c echo.Context) error {
	ctx := c.Request().Context()
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	values, err := parameters(c, "cursor", "limit", "fields")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, record.DefaultLimit, record.MaxLimit)
	if err != nil {
		return err
	}
	s, err := a.shapeOf(ctx, e, values["fields"])
	if err != nil {
		return err
	}
	var after record.ID
	if text, given := values["cursor"]; given {
		if after, err = record.ParseID(text); err != nil {
			return fault.InvalidField("cursor", "list.cursor")
		}
	}
	found, next, err := a.Book.Bin(ctx, e.Name, after, limit)
	if err != nil {
		return err
	}
	shown := make([]object, 0, len(found))
	for _, d := range found {
		o, err := s.show(d.Record)
		if err != nil {
			return err
		}
		o.put("deleted_at", moment(d.At))
		o.put("deleted_by", d.By)
		shown = append(shown, o)
		if err := a.noteSensitive(ctx, s, d.Record); err != nil {
			return err
		}
	}
	cursor := ""
	if !next.Zero() {
		cursor = next.String()
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, cursor))
}

// restore brings a record back from the bin.
func (a *API) restore(c echo.Context) error {
	e, id, err := a.named(c)
	if err != nil {
		return err
	}
	if _, _, err := a.act(c, e.Name); err != nil {
		return err
	}
	r, err := a.Book.Restore(c.Request().Context(), e.Name, id)
	if err != nil {
		return err
	}
	return answerRecord(c, http.StatusOK, shape{entity: e}, r)
}

// lent is a share as programs get it.
type lent struct {
	Subject string `json:"subject"`
	Change  bool   `json:"change"`
}

// shares lists with whom a record is shared.
func (a *API) shares(c echo.Context) error {
	e, id, err := a.named(c)
	if err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	found, err := a.Book.Shares(c.Request().Context(), e.Name, id)
	if err != nil {
		return err
	}
	shown := make([]lent, 0, len(found))
	for _, s := range found {
		shown = append(shown, lent{s.Subject, s.Change})
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, ""))
}

// share lends a record to an account or a team.
func (a *API) share(c echo.Context) error {
	ctx := c.Request().Context()
	e, id, err := a.named(c)
	if err != nil {
		return err
	}
	values, _, err := a.act(c, e.Name, "change")
	if err != nil {
		return err
	}
	change, ok := values["change"].(bool)
	if !ok {
		return fault.InvalidField("change", "field.yes-no")
	}
	// Whether the record is there for the caller comes first: a stranger learns nothing about accounts here.
	if _, err := a.Book.Shares(ctx, e.Name, id); err != nil {
		return err
	}
	subject, err := a.subject(c)
	if err != nil {
		return err
	}
	if err := a.Book.Share(ctx, e.Name, id, access.Share{Subject: subject, Change: change}); err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, lent{subject, change})
}

// unshare takes a share back. One that is not there is no error.
func (a *API) unshare(c echo.Context) error {
	e, id, err := a.named(c)
	if err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	if err := a.Book.Unshare(c.Request().Context(), e.Name, id, c.Param("subject")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// subject is the account or team that a path names.
func (a *API) subject(c echo.Context) (string, error) {
	ctx, subject := c.Request().Context(), c.Param("subject")
	team, isTeam := strings.CutPrefix(subject, access.TeamSubject(""))
	if !isTeam {
		if a.Staff.Name(ctx, subject) == "" {
			return "", fault.InvalidField("subject", "staff.not-found", "id", shortened(subject))
		}
		return subject, nil
	}
	known, err := a.Staff.Teams(access.WithActor(ctx, access.Appliance()))
	if err != nil {
		return "", err
	}
	for _, t := range known {
		if t.ID == team {
			return subject, nil
		}
	}
	return "", fault.InvalidField("subject", "team.not-found", "id", shortened(team))
}
