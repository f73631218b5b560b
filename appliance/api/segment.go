package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// segmentRoutes are of segments, their members, and views. They are made and changed as all records are.
func (a *API) segmentRoutes() []route {
	const one = Prefix + "/segments/:id"
	return []route{
		{method: get, path: one + "/members", handle: a.members, describe: describeMembers},
		{method: get, path: one + "/count", handle: a.countMembers, describe: describeMemberCount},
		{method: get, path: Prefix + "/records/:entity/:id/segments", handle: a.segmentsOf, describe: describeSegmentsOf},
		{method: get, path: Prefix + "/views", handle: a.views, describe: describeViews},
	}
}

// members lists the members of a segment that the caller may see.
func (a *API) members(c echo.Context) error {
	ctx := c.Request().Context()
	id, err := idOf(c, "segment")
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
	f, err := a.Segments.Filter(ctx, id)
	if err != nil {
		return err
	}
	e, err := a.kindOf(c, id)
	if err != nil {
		return err
	}
	s, err := a.shapeOf(ctx, e, values["fields"])
	if err != nil {
		return err
	}
	found, err := a.Segments.Members(ctx, id, values["cursor"], limit)
	if err != nil {
		return err
	}
	shown := make([]object, 0, len(found.Records))
	for _, r := range found.Records {
		o, err := s.show(r)
		if err != nil {
			return err
		}
		shown = append(shown, o)
		if err := a.noteSensitive(ctx, s, r); err != nil {
			return err
		}
	}
	if err := a.Book.TellListed(ctx, record.Query{Entity: e.Name, Filter: f}, len(shown)); err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, found.Next))
}

// kindOf is the kind of record that a segment is of.
func (a *API) kindOf(c echo.Context, segment record.ID) (*schema.Entity, error) {
	r, err := a.Book.Get(c.Request().Context(), "segment", segment)
	if err != nil {
		return nil, err
	}
	if e := a.Book.Schema().Entity(r.Text("kind")); e != nil {
		return e, nil
	}
	return nil, fault.New(fault.Forbidden, "segment.hidden", "id", segment.String()) // the kind itself is not for him
}

// countMembers counts the members of a segment that the caller may see, and tells whether they are computed.
func (a *API) countMembers(c echo.Context) error {
	ctx := c.Request().Context()
	id, err := idOf(c, "segment")
	if err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	n, exact, err := a.Segments.Count(ctx, id)
	if err != nil {
		return err
	}
	status, err := a.Segments.Status(ctx, id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, map[string]any{"total": n, "total_exact": exact, "ready": status.Ready})
}

// membership is a segment in which a record is, as programs get it.
type membership struct {
	Segment string `json:"segment"`
	Name    string `json:"name"`
	Since   any    `json:"since"`
}

// segmentsOf lists the segments that a record is in.
func (a *API) segmentsOf(c echo.Context) error {
	e, id, err := a.named(c)
	if err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	found, err := a.Segments.Of(c.Request().Context(), e.Name, id)
	if err != nil {
		return err
	}
	shown := make([]membership, 0, len(found))
	for _, m := range found {
		shown = append(shown, membership{m.Segment.String(), m.Name, moment(m.Since)})
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, ""))
}

// views lists the views of a kind of record that the caller may use: his own, and those that are shared.
func (a *API) views(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := parameters(c, "entity")
	if err != nil {
		return err
	}
	if values["entity"] == "" {
		return fault.InvalidField("entity", "field.required")
	}
	if a.Book.Schema().Entity(values["entity"]) == nil {
		return fault.Missing("entity", values["entity"])
	}
	found, err := a.Segments.Views(ctx, values["entity"])
	if err != nil {
		return err
	}
	e := a.Book.Schema().Entity("view")
	s := shape{entity: e, only: ownNames()}
	for i := range e.Fields { // a view that everybody may use has not been asked what is hidden from this caller
		if name := e.Fields[i].Name; a.Book.Readable(ctx, e, name) {
			s.only = append(s.only, name)
		}
	}
	shown := make([]object, 0, len(found))
	for _, r := range found {
		o, err := s.show(r)
		if err != nil {
			return err
		}
		shown = append(shown, o)
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, ""))
}

func describeMembers(d *document) operation {
	return call("segment.members", "Lists the members of a segment that the caller may see, the oldest records first.").
		asks("fields", keyOfFields, text()).pages(record.MaxLimit).answers("200", "A page.", d.ofSegments(listOf(d.anyRecord())))
}

func describeMemberCount(d *document) operation {
	return call("segment.count", "Counts the members of a segment that the caller may see.").
		answers("200", "How many.", d.ofSegments(doc{"type": "object", "required": []string{"total", "total_exact", "ready"}, "properties": doc{
			"total": doc{"type": "integer", "minimum": 0}, "total_exact": doc{"type": "boolean", "description": "False: there are more than total."},
			"ready": doc{"type": "boolean", "description": "False: the members are found by the filter, until they are computed."}}}))
}

func describeSegmentsOf(d *document) operation {
	return call("segments."+d.entity.Name, "Lists the segments that the record is in, by name.").
		answers("200", "All of them.", d.ofSegments(listOf(ref("Membership"))))
}

func describeViews(d *document) operation {
	return call("views", "Lists the views of a kind of record that the caller may use: his own and those that are shared, by name.").
		needs(doc{"name": "entity", "in": "query", "required": true, "description": "The kind of record.", "schema": text()}).
		answers("200", "All of them.", listOf(ref("view")))
}

func membershipSchema() doc {
	return doc{"type": "object", "required": []string{"segment", "name", "since"}, "properties": doc{"segment": uuid(), "name": text(),
		"since": moments()}}
}

// ofSegments is what a call of segments answers. To who has nothing to do with segments it names one, which is not
// described to him, and so the call is left out.
func (d *document) ofSegments(answer doc) doc {
	if !d.knows("segment") {
		return ref("segment")
	}
	return answer
}

// anyRecord is a record of any of the kinds that the reader may have to do with.
func (d *document) anyRecord() doc {
	var kinds []any
	for _, e := range d.entities() {
		kinds = append(kinds, ref(e.Name))
	}
	if kinds == nil {
		return doc{"type": "object"}
	}
	return doc{"anyOf": kinds}
}
