package api

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/schema"
)

// doc is an object in the OpenAPI document (OpenAPI 3.1, JSON Schema 2020-12).
type doc = map[string]any

// operation is one call as the document has it.
type operation doc

// document is the OpenAPI document while it is written.
type document struct {
	schema *schema.Schema
	hidden func(entity, field string) bool // from who reads the document
	knows  func(entity string) bool        // who reads the document may see or make records of it
	fills  func(entity, field string) bool // a new record needs no value for it
	entity *schema.Entity                  // that the path is written for; nil for paths of no single entity
}

// entities lists those that are in use and that the reader may have to do with.
func (d *document) entities() []*schema.Entity {
	return slices.DeleteFunc(d.schema.Entities(), func(e *schema.Entity) bool { return e.Hidden || !d.knows(e.Name) })
}

// fields lists an entity's fields that are in use and that the reader may know of.
func (d *document) fields(e *schema.Entity) (fields []*schema.Field) {
	for i := range e.Fields {
		if f := &e.Fields[i]; !f.Hidden && !d.hidden(e.Name, f.Name) {
			fields = append(fields, f)
		}
	}
	return fields
}

func (a *API) openapi(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, a.document(c.Request().Context()))
}

// document describes every route as it is for the caller, for every entity there is.
func (a *API) document(ctx context.Context) doc {
	d := &document{schema: a.Book.Schema(), fills: a.Book.Completes, hidden: func(entity, field string) bool { return a.Gate.Fields(ctx, entity).Hidden(field) },
		knows: func(entity string) bool {
			return a.Gate.Scope(ctx, access.See, entity) != access.None || a.Gate.Scope(ctx, access.Create, entity) != access.None
		}}
	components := d.components()
	paths := doc{}
	for _, r := range a.routes() {
		entities := []*schema.Entity{nil}
		if strings.Contains(r.path, ":entity") {
			entities = d.entities()
		}
		for _, d.entity = range entities {
			path := r.path
			if d.entity != nil {
				path = strings.Replace(path, ":entity", d.entity.Name, 1)
			}
			op := r.describe(d)
			if !op.within(components) {
				continue
			}
			if r.open {
				op["security"] = []any{}
			}
			path = op.places(path)
			item, ok := paths[path].(doc)
			if !ok {
				item = doc{}
				paths[path] = item
			}
			item[strings.ToLower(r.method)] = op
		}
	}
	return doc{
		"openapi": "3.1.0",
		"info": doc{"title": "Karov", "version": a.Version, "license": doc{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Made from the schema of this very appliance: its entities and fields are those of the office."},
		"servers":    []any{doc{"url": "/"}},
		"security":   []any{doc{"token": []any{}}},
		"paths":      paths,
		"components": components,
	}
}

// components are the schemas that the paths name. Those that are of no kind of record begin with a capital, which no name
// of a kind of record does.
func (d *document) components() doc {
	schemas := doc{
		"Problem": problemSchema(),
		"Amount":  amountSchema(),
		"File":    fileSchema(),
		"Hit": doc{"type": "object", "properties": doc{"entity": text(), "id": uuid(), "title": text(), "subtitle": text(),
			"matched": doc{"type": "string", "description": "The phone or e-mail that matched, where the title does not show it."},
			"marks":   marksSchema("title"), "subtitle_marks": marksSchema("subtitle"), "matched_marks": marksSchema("matched")}},
		"Entry": doc{"type": "object", "description": "What happened: a record, or a fact.",
			"properties": doc{"at": moments(), "record": doc{"type": "object"}, "fact": ref("Fact")}},
		"Fact":        factSchema(),
		"Revision":    revisionSchema(),
		"Share":       shareSchema(),
		"Bulk":        bulkSchema(),
		"Membership":  membershipSchema(),
		"Explanation": explanationSchema(),
		"Role":        roleSchema(),
		"RoleVersion": roleVersionSchema(),
		"Team":        teamSchema(),
		"Account":     accountSchema(),
		"Audited":     auditedSchema(),
		"Import":      importSchema(),
		"Card":        cardSchema(),
		"Outlook":     outlookSchema(),
	}
	for _, e := range d.entities() {
		schemas[e.Name] = d.shownSchema(e)
		schemas[e.Name+".new"] = d.writtenSchema(e, true)
		schemas[e.Name+".change"] = d.writtenSchema(e, false)
		schemas[e.Name+".page"] = pageSchema(e.Name)
	}
	return doc{
		"schemas": schemas,
		"responses": doc{"problem": doc{"description": "Why not (RFC 9457).",
			"content": doc{problemType: doc{"schema": ref("Problem")}}}},
		"securitySchemes": doc{"token": doc{"type": "http", "scheme": "bearer",
			"description": "A token of `karov token create`. It may do what its account may."}},
	}
}

func problemSchema() doc {
	field := doc{"type": "object", "properties": doc{"field": text(), "key": text(), "detail": text()}}
	return doc{"type": "object", "required": []string{"type", "title", "status", "detail", "instance", "id", "key"},
		"properties": doc{"type": doc{"type": "string", "format": "uri"}, "title": text(), "status": doc{"type": "integer"},
			"detail": text(), "instance": text(), "id": doc{"type": "string", "description": "The log has it too."},
			"key": doc{"type": "string", "description": "Stable name of what is wrong."}, "errors": doc{"type": "array", "items": field}}}
}

// shownSchema is a record as it is read.
func (d *document) shownSchema(e *schema.Entity) doc {
	properties := doc{"id": uuid(), "entity": doc{"const": e.Name}, "version": doc{"type": "integer", "minimum": 1},
		"created_at": moments(), "updated_at": moments(), "created_by": text(), "updated_by": text()}
	for _, f := range d.fields(e) {
		properties[f.Name] = fieldSchema(f)
	}
	return doc{"type": "object", "properties": properties, "required": []string{"id", "entity", "version"}}
}

// writtenSchema is a record as it is written: without what only its room writes, or nobody.
func (d *document) writtenSchema(e *schema.Entity, fresh bool) doc {
	properties, required := doc{}, []string{}
	for _, f := range d.fields(e) {
		if f.Closed || f.Type == schema.Formula {
			continue
		}
		properties[f.Name] = fieldSchema(f)
		if f.Required && fresh && f.Default == nil && !d.fills(e.Name, f.Name) {
			required = append(required, f.Name)
		}
	}
	return doc{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

func pageSchema(entity string) doc {
	return doc{"type": "object", "required": []string{"items", "next", "total", "total_exact"}, "properties": doc{
		"items":       doc{"type": "array", "items": ref(entity)},
		"next":        doc{"type": []string{"string", "null"}, "description": "Cursor of the next page, null on the last."},
		"total":       doc{"type": "integer"},
		"total_exact": doc{"type": "boolean", "description": "False: there are more than total. count=exact counts to the end."},
	}}
}

func fieldSchema(f *schema.Field) doc {
	s := doc{"type": []string{"string", "null"}}
	switch f.Type {
	case schema.Number:
		s["type"] = []string{"number", "null"}
	case schema.YesNo:
		s["type"] = []string{"boolean", "null"}
	case schema.Choice:
		s["enum"] = []any{nil}
		for _, choice := range f.Choices {
			s["enum"] = append(s["enum"].([]any), choice)
		}
	case schema.Time:
		s["format"] = "date-time"
	case schema.Date:
		s["format"] = "date"
	case schema.Yearly:
		s["description"] = "A day that comes every year: 1990-02-28, or --02-28 without a year."
	case schema.Email:
		s["format"] = "email"
	case schema.URL:
		s["format"] = "uri"
	case schema.Link:
		s["format"], s["description"] = "uuid", "The id of a "+f.Target+"."
	case schema.Staff:
		s["description"] = "The id of an account."
	case schema.Money:
		s = orNull("Amount")
	case schema.File, schema.Picture:
		s = orNull("File")
	case schema.Data:
		s = doc{}
	case schema.Formula:
		s = doc{"description": "Computed from other fields."}
	}
	if f.Many {
		s = doc{"type": []string{"array", "null"}, "items": withoutNull(s)}
	}
	if f.Closed || f.Type == schema.Formula {
		s["readOnly"] = true
	}
	return s
}

func orNull(name string) doc { return doc{"anyOf": []any{ref(name), doc{"type": "null"}}} }

// withoutNull is what each of many is: none of them is nothing.
func withoutNull(s doc) doc {
	if any, ok := s["anyOf"].([]any); ok {
		return any[0].(doc)
	}
	if types, ok := s["type"].([]string); ok {
		s["type"] = types[0]
	}
	if all, ok := s["enum"].([]any); ok {
		s["enum"] = all[1:]
	}
	return s
}

func text() doc    { return doc{"type": "string"} }
func uuid() doc    { return doc{"type": "string", "format": "uuid"} }
func moments() doc { return doc{"type": []string{"string", "null"}, "format": "date-time"} }

func ref(name string) doc { return doc{"$ref": "#/components/schemas/" + name} }

func whole(minimum, most int) doc { return doc{"type": "integer", "minimum": minimum, "maximum": most} }

// call begins an operation: every one may end in a problem.
func call(id, summary string) operation {
	return operation{"operationId": id, "summary": summary, "responses": doc{"default": doc{"$ref": "#/components/responses/problem"}}}
}

func (o operation) answers(status, description string, content doc) operation {
	answer := doc{"description": description}
	if content != nil {
		answer["content"] = doc{jsonType: doc{"schema": content}}
	}
	o["responses"].(doc)[status] = answer
	return o
}

func (o operation) needs(parameter doc) operation {
	list, _ := o["parameters"].([]any)
	o["parameters"] = append(list, parameter)
	return o
}

// within tells whether all schemas that the operation names are described: not so where it answers with records of a kind
// that its reader has nothing to do with.
func (o operation) within(components doc) bool {
	raw, err := json.Marshal(o)
	if err != nil {
		return false
	}
	schemas, _ := components["schemas"].(doc)
	for _, named := range refShape.FindAllSubmatch(raw, -1) {
		if schemas[string(named[1])] == nil {
			return false
		}
	}
	return true
}

var refShape = regexp.MustCompile(`"#/components/schemas/([^"]+)"`)

// places turns the names in a route's path into those of the document, and declares them.
func (o operation) places(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		name, ok := strings.CutPrefix(segment, ":")
		if !ok {
			continue
		}
		content := text()
		switch name {
		case "id":
			content = uuid()
		case "n":
			content = doc{"type": "integer", "minimum": 0}
		}
		segments[i] = "{" + name + "}"
		o.needs(doc{"name": name, "in": "path", "required": true, "schema": content})
	}
	return strings.Join(segments, "/")
}

func (o operation) asks(name, description string, content doc) operation {
	return o.needs(doc{"name": name, "in": "query", "description": description, "schema": content})
}

func (o operation) header(name, description string, required bool) operation {
	return o.needs(doc{"name": name, "in": "header", "required": required, "description": description, "schema": text()})
}

func (o operation) takes(content doc) operation {
	o["requestBody"] = doc{"required": true, "content": doc{jsonType: doc{"schema": content}}}
	return o
}

func (o operation) pages(most int) operation {
	return o.asks("limit", "How many at most.", whole(1, most)).asks("cursor", "From next of the page before.", text())
}

func (o operation) counts() operation {
	return o.asks("count", "Counts to the end, however many there are.", doc{"const": "exact"})
}

func (o operation) onceOnly() operation {
	return o.header("Idempotency-Key", "Asking again with the same key does it once.", false)
}

const (
	keyOfVersion = "The ETag of the version that was seen."
	keyOfFields  = "Names of the fields to show, with commas between."
)
