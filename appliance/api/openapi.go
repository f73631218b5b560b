package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// object in the OpenAPI document (OpenAPI 3.1, JSON Schema 2020-12).
type doc = map[string]any

// operation is one call as the document has it.
type operation doc

// document is the OpenAPI document while it is written.
type document struct {
	schema *schema.Schema
	entity *schema.Entity // that the path is written for; nil for paths of no single entity
}

func (a *API) openapi(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, a.document())
}

// document describes every route as it is, for every entity there is.
func (a *API) document() doc {
	d := &document{schema: a.Book.Schema()}
	paths := doc{}
	for _, r := range a.routes() {
		entities := []*schema.Entity{nil}
		if strings.Contains(r.path, ":entity") {
			entities = d.schema.Entities()
		}
		for _, d.entity = range entities {
			path := r.path
			if d.entity != nil {
				path = strings.Replace(path, ":entity", d.entity.Name, 1)
			}
			op := r.describe(d)
			if r.open {
				op["security"] = []any{}
			}
			if strings.Contains(path, ":id") {
				path = strings.Replace(path, ":id", "{id}", 1)
				op.needs(doc{"name": "id", "in": "path", "required": true, "schema": doc{"type": "string", "format": "uuid"}})
			}
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
		"components": d.components(),
	}
}

func (d *document) components() doc {
	schemas := doc{
		"problem": problemSchema(),
		"hit": doc{"type": "object", "properties": doc{"entity": text(), "id": uuid(), "title": text(), "subtitle": text(),
			"matched": doc{"type": "string", "description": "The phone or e-mail that matched, where the title does not show it."}}},
		"entry": doc{"type": "object", "description": "What happened: a record, or a fact.",
			"properties": doc{"at": moments(), "record": doc{"type": "object"}, "fact": doc{"type": "object"}}},
	}
	for _, e := range d.schema.Entities() {
		schemas[e.Name] = shownSchema(e)
		schemas[e.Name+".new"] = writtenSchema(e, true)
		schemas[e.Name+".change"] = writtenSchema(e, false)
		schemas[e.Name+".page"] = pageSchema(e.Name)
	}
	return doc{
		"schemas": schemas,
		"responses": doc{"problem": doc{"description": "Why not (RFC 9457).",
			"content": doc{problemType: doc{"schema": ref("problem")}}}},
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
func shownSchema(e *schema.Entity) doc {
	properties := doc{"id": uuid(), "entity": doc{"const": e.Name}, "version": doc{"type": "integer", "minimum": 1},
		"created_at": moments(), "updated_at": moments(), "created_by": text(), "updated_by": text()}
	for i := range e.Fields {
		properties[e.Fields[i].Name] = fieldSchema(&e.Fields[i])
	}
	return doc{"type": "object", "properties": properties, "required": []string{"id", "entity", "version"}}
}

// writtenSchema is a record as it is written: without what only its room writes.
func writtenSchema(e *schema.Entity, fresh bool) doc {
	properties, required := doc{}, []string{}
	for i := range e.Fields {
		f := &e.Fields[i]
		if f.Closed {
			continue
		}
		properties[f.Name] = fieldSchema(f)
		if f.Required && fresh {
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
	case schema.Email:
		s["format"] = "email"
	case schema.Link:
		s["format"], s["description"] = "uuid", "The id of a "+f.Target+"."
	case schema.Staff:
		s["description"] = "The id of an account."
	case schema.Data:
		s = doc{}
	}
	if f.Many {
		s["type"] = "string"
		s = doc{"type": []string{"array", "null"}, "items": s}
	}
	if f.Closed {
		s["readOnly"] = true
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

func describeHealth(*document) operation {
	return call("health", "The process answers.").answers("200", "It does.", doc{"type": "object"})
}

func describeReady(*document) operation {
	return call("ready", "Customers can be served.").answers("200", "They can.", doc{"type": "object"})
}

func describeMetrics(*document) operation {
	o := call("metrics", "Numbers for Prometheus.")
	o["responses"].(doc)["200"] = doc{"description": "Text exposition format.", "content": doc{"text/plain": doc{"schema": text()}}}
	return o
}

func describeSelf(*document) operation {
	return call("openapi", "This document.").answers("200", "OpenAPI 3.1.", doc{"type": "object"})
}

func describeSearch(*document) operation {
	return call("search", "Finds customers by a few letters of any word, or by digits of a phone.").
		needs(doc{"name": "q", "in": "query", "required": true, "schema": text()}).
		asks("limit", "How many at most.", whole(1, 50)).
		answers("200", "Best first.", doc{"type": "object", "properties": doc{"items": doc{"type": "array", "items": ref("hit")}}})
}

func describeList(d *document) operation {
	e := d.entity
	var indexed []string
	for _, f := range e.Fields {
		if f.Indexed {
			indexed = append(indexed, f.Name)
		}
	}
	return call("list."+e.Name, "Lists what the caller may see.").
		asks("filter", `One field and the value it equals, as field = "value". Of: `+strings.Join(indexed, ", ")+".", text()).
		asks("sort", `A field, with "-" before it for backwards; without one by age. Of: `+strings.Join(indexed, ", ")+".", text()).
		asks("fields", keyOfFields, text()).pages(record.MaxLimit).counts().
		answers("200", "A page.", ref(e.Name+".page"))
}

func describeCreate(d *document) operation {
	return call("create."+d.entity.Name, "Makes a record.").onceOnly().takes(ref(d.entity.Name+".new")).
		answers("201", "It stands at Location.", ref(d.entity.Name))
}

func describeGet(d *document) operation {
	return call("get."+d.entity.Name, "Reads a record.").asks("fields", keyOfFields, text()).
		header("If-None-Match", "The ETag of a version that is known already.", false).
		answers("200", "ETag is its version.", ref(d.entity.Name)).answers("304", "It is that version still.", nil)
}

func describeChange(d *document) operation {
	o := call("change."+d.entity.Name, "Changes some fields; null empties one.").header("If-Match", keyOfVersion, true).
		takes(ref(d.entity.Name+".change")).answers("200", "As it is now.", ref(d.entity.Name))
	o["requestBody"].(doc)["content"].(doc)[mergeType] = doc{"schema": ref(d.entity.Name + ".change")}
	return o
}

func describeRemove(d *document) operation {
	return call("delete."+d.entity.Name, "Puts a record into the bin.").header("If-Match", keyOfVersion, true).
		answers("204", "It is there.", nil)
}

func describeTimeline(*document) operation {
	return call("timeline", "Everything that happened with a customer, newest first. Long texts are cut; \"cut\" names them.").
		pages(timelineMost).answers("200", "A page.", doc{"type": "object", "properties": doc{
		"items": doc{"type": "array", "items": ref("entry")}, "next": doc{"type": []string{"string", "null"}}}})
}

func describeConversations(*document) operation {
	return call("conversations", "Lists conversations of the inbox; each says its customer's name in contact_name.").
		asks("view", "Which; without it those that are open.", doc{"enum": []string{"waiting", "open", "mine", "closed"}}).
		pages(record.MaxLimit).counts().answers("200", "A page.", ref("conversation.page"))
}

func describeMessages(*document) operation {
	return call("messages", "Lists the messages of a conversation, newest first.").asks("fields", keyOfFields, text()).
		pages(record.MaxLimit).counts().answers("200", "A page.", ref("message.page"))
}

func describeReply(*document) operation {
	return call("reply", "Answers. It leaves by the conversation's channel.").onceOnly().
		takes(doc{"type": "object", "properties": doc{"text": text()}, "required": []string{"text"}, "additionalProperties": false}).
		answers("201", "It waits to be sent; its state tells when it was.", ref("message"))
}

func describeAssign(*document) operation {
	return call("assign", "Gives a conversation to an account, or with null to nobody.").
		takes(doc{"type": "object", "properties": doc{"account": doc{"type": []string{"string", "null"}}},
			"required": []string{"account"}, "additionalProperties": false}).
		answers("200", "As it is now.", ref("conversation")).answers("204", "Done, and the caller sees it no more.", nil)
}

func describeClose(*document) operation {
	return call("close", "Ends a conversation until the customer writes again.").
		answers("200", "As it is now.", ref("conversation"))
}

func describeReopen(*document) operation {
	return call("reopen", "Takes a conversation up again.").answers("200", "As it is now.", ref("conversation"))
}

func describeRetry(*document) operation {
	return call("retry", "Sends a message again that failed.").answers("200", "As it is now.", ref("message"))
}
