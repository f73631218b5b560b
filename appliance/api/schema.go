package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// schemaRoutes are of what kinds of record there are, and of changing that.
func (a *API) schemaRoutes() []route {
	const path = Prefix + "/schema"
	return []route{
		{method: get, path: path, handle: a.showSchema, describe: describeSchema},
		{method: get, path: path + "/versions", handle: a.schemaVersions, describe: describeSchemaVersions},
		{method: post, path: path + "/changes", handle: a.changeSchema, describe: describeSchemaChange},
		{method: post, path: path + "/revert", handle: a.revertSchema, describe: describeSchemaRevert},
	}
}

// visible lists the entities of which the caller may see records, each without the fields that are hidden from him. What
// the office put out of use is there for those who may bring it back, when all is asked for.
func (a *API) visible(ctx context.Context, s *schema.Schema, all bool) (list []*schema.Entity) {
	for _, e := range s.Entities() {
		if e.Hidden && !all || a.Gate.Scope(ctx, access.See, e.Name) == access.None {
			continue
		}
		rights, seen := a.Gate.Fields(ctx, e.Name), *e
		seen.Fields = nil
		for _, f := range e.Fields {
			if (all || !f.Hidden) && !rights.Hidden(f.Name) {
				seen.Fields = append(seen.Fields, f)
			}
		}
		for _, part := range []*string{&seen.Title, &seen.Owner, &seen.Via, &seen.Contact} {
			if *part != "id" && seen.Field(*part) == nil {
				*part = ""
			}
		}
		list = append(list, &seen)
	}
	return list
}

func (a *API) showSchema(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	ctx, s := c.Request().Context(), a.Schema.Current()
	entities, all := []schema.ShownEntity{}, a.Gate.Scope(ctx, access.Administer, "schema") == access.All
	for _, e := range a.visible(ctx, s, all) {
		shown, rights := e.Shown(), a.Gate.Fields(ctx, e.Name)
		for i := range shown.Fields {
			f := &shown.Fields[i]
			f.ReadOnly = f.ReadOnly || rights.ReadOnly(f.Name)
			if !all {
				f.Formula = "" // it may name a field that is hidden from the caller
			}
		}
		entities = append(entities, shown)
	}
	c.Response().Header().Set("ETag", schemaTag(s.Version()))
	return writeJSON(c, http.StatusOK, jsonType, map[string]any{"version": s.Version(), "entities": entities})
}

func schemaTag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

func (a *API) schemaVersions(c echo.Context) error {
	values, err := parameters(c, "limit", "cursor")
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
	versions, err := a.Schema.Versions(c.Request().Context(), before, limit+1)
	if err != nil {
		return err
	}
	answer := map[string]any{"items": append([]schema.Version{}, versions...), "next": nil}
	if len(versions) > limit {
		answer["items"], answer["next"] = versions[:limit], strconv.FormatUint(versions[limit-1].Number, 10)
	}
	return writeJSON(c, http.StatusOK, jsonType, answer)
}

func (a *API) changeSchema(c echo.Context) error {
	values, seen, preview, err := a.schemaWish(c, "ops")
	if err != nil {
		return err
	}
	raw, err := json.Marshal(values["ops"])
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "schema.ops", "limit", schema.MaxOps)
	}
	ops, err := schema.ParseOps(raw)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	foreseen, err := a.Schema.Preview(ctx, seen, ops...)
	if err != nil || preview {
		return answerSchema(c, seen, foreseen, err)
	}
	s, err := a.Schema.Change(ctx, seen, ops...)
	if err != nil {
		return err
	}
	return answerSchema(c, s.Version(), foreseen, nil)
}

func (a *API) revertSchema(c echo.Context) error {
	values, seen, preview, err := a.schemaWish(c, "to")
	if err != nil {
		return err
	}
	to, err := wholeOf(values, "to")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	foreseen, err := a.Schema.PreviewRevert(ctx, seen, to)
	if err != nil || preview {
		return answerSchema(c, seen, foreseen, err)
	}
	s, err := a.Schema.Revert(ctx, seen, to)
	if err != nil {
		return err
	}
	return answerSchema(c, s.Version(), foreseen, nil)
}

// answerSchema tells the version and what is, or would be, different.
func answerSchema(c echo.Context, version uint64, differences []schema.Difference, err error) error {
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", schemaTag(version))
	return writeJSON(c, http.StatusOK, jsonType, map[string]any{"version": version, "differences": append([]schema.Difference{}, differences...)})
}

// schemaWish reads a call that changes the schema: the version that was seen, in the body or in If-Match, and whether it
// is only to be said what would be done.
func (a *API) schemaWish(c echo.Context, member string) (values record.Values, seen uint64, preview bool, err error) {
	if _, err = parameters(c); err != nil {
		return nil, 0, false, err
	}
	if values, err = a.body(c, false); err != nil {
		return nil, 0, false, err
	}
	if err = onlyThese(values, "version", "preview", member); err != nil {
		return nil, 0, false, err
	}
	preview, ok := values["preview"].(bool)
	if values["preview"] != nil && !ok {
		return nil, 0, false, fault.InvalidField("preview", "field.yes-no")
	}
	tags := tagsOf(c.Request().Header, "If-Match")
	if values["version"] == nil {
		seen, err = versionOf(tags)
		return values, seen, preview, err
	}
	if seen, err = wholeOf(values, "version"); err != nil {
		return nil, 0, false, err
	}
	if len(tags) > 0 {
		tagged, err := versionOf(tags)
		if err != nil {
			return nil, 0, false, err
		}
		if tagged != seen {
			return nil, 0, false, fault.InvalidField("version", "version.malformed")
		}
	}
	return values, seen, preview, nil
}

// wholeOf reads a field that holds a number of a version.
func wholeOf(values record.Values, name string) (uint64, error) {
	n, ok := values[name].(float64)
	if !ok || n < 1 || n > 1<<53 || n != float64(uint64(n)) {
		return 0, fault.InvalidField(name, "field.number")
	}
	return uint64(n), nil
}

func describeSchema(*document) operation {
	entity := doc{"type": "object", "required": []string{"name", "custom", "hidden", "labels", "plurals", "timeline", "fields"}, "properties": doc{
		"name": text(), "custom": doc{"type": "boolean", "description": "Made by the office or a plugin, not built in."}, "plugin": declarer(),
		"hidden": outOfUse(), "labels": labelled(),
		"plurals": labelled(), "title": text(), "owner": text(), "via": text(), "contact": text(),
		"timeline": doc{"type": "boolean"}, "fields": list(shownFieldSchema())}}
	return call("schema", "What kinds of record there are, and which fields of them the caller may see.").
		answers("200", "ETag is its version.", doc{"type": "object", "required": []string{"version", "entities"},
			"properties": doc{"version": versionNumber(), "entities": list(entity)}})
}

func shownFieldSchema() doc {
	choice := doc{"type": "object", "required": []string{"value", "labels", "retired"}, "properties": doc{"value": text(), "labels": labelled(),
		"retired": doc{"type": "boolean", "description": "Old records may hold it; nobody can choose it any more."}}}
	properties := doc{"name": text(), "type": doc{"enum": append(schema.Types(), schema.Data)}, "plugin": declarer(), "labels": labelled(), "hidden": outOfUse(),
		"read_only": doc{"type": "boolean", "description": "For the caller."}, "default": doc{"description": "What a new record gets by itself."},
		"max": doc{"type": "integer"}, "target": text(), "currency": text(), "formula": text(), "choices": list(choice)}
	for _, name := range []string{"many", "custom", "required", "unique", "indexed", "searched", "sensitive"} {
		properties[name] = doc{"type": "boolean"}
	}
	return doc{"type": "object", "required": []string{"name", "type", "many", "custom", "hidden", "labels", "required", "unique", "indexed",
		"searched", "sensitive", "read_only", "default"}, "properties": properties}
}

func declarer() doc {
	return doc{"type": "string", "description": "The plugin that declares it; not there for what the office made or is built in."}
}

func outOfUse() doc {
	return doc{"type": "boolean", "description": "Out of use; what records hold stays."}
}

func labelled() doc {
	return doc{"type": "object", "description": "By language, as he, ru, en.", "additionalProperties": text()}
}

func versionNumber() doc { return doc{"type": "integer", "minimum": 1} }

func describeSchemaVersions(*document) operation {
	version := doc{"type": "object", "required": []string{"number", "at", "by"}, "properties": doc{"number": versionNumber(), "at": moments(), "by": text(),
		"to":  doc{"type": "integer", "description": "The version it went back to."},
		"ops": list(doc{"type": "object", "description": "As they were sent."})}}
	return call("schema.versions", "Lists the changes of the schema, the newest first. Version 1 is how Karov comes.").
		pages(record.MaxLimit).answers("200", "A page.", listOf(version))
}

func describeSchemaChange(*document) operation {
	return call("schema.change", "Changes the schema, all ops or none. No data is dropped by it.").wishes("ops",
		doc{"type": "array", "minItems": 1, "maxItems": schema.MaxOps, "items": opSchema()})
}

func describeSchemaRevert(*document) operation {
	return call("schema.revert", "Goes back to an older version, by a new one. What was made since is hidden.").wishes("to", versionNumber())
}

// wishes is what both calls that change the schema take and answer.
func (o operation) wishes(member string, content doc) operation {
	difference := doc{"type": "object", "required": []string{"entity", "what", "before", "after"}, "properties": doc{"entity": text(), "field": text(),
		"choice": text(), "lang": text(), "what": doc{"type": "string", "description": "added, removed, or what changed, as label or required."},
		"before": doc{"description": "What it was."}, "after": doc{"description": "What it is."}}}
	return o.header("If-Match", keyOfVersion+" Needed where the body names none.", false).
		takes(doc{"type": "object", "required": []string{member}, "additionalProperties": false, "properties": doc{
			"version": versionNumber(), "preview": doc{"type": "boolean", "description": "Only says what would be different."}, member: content}}).
		answers("200", "What is different, or would be.", doc{"type": "object", "required": []string{"version", "differences"},
			"properties": doc{"version": versionNumber(), "differences": list(difference)}})
}

// opSchema describes an op. Which members each kind takes stands in the description of its name.
func opSchema() doc {
	definition := doc{"type": doc{"enum": schema.Types()}, "choices": list(text()), "choice_labels": doc{"type": "object", "additionalProperties": labelled()},
		"target": text(), "formula": text(), "currency": text(), "max": doc{"type": "integer", "minimum": 0}, "default": doc{"description": "Fits the type."}}
	for _, name := range []string{"many", "required", "indexed", "unique", "searched", "sensitive"} {
		definition[name] = doc{"type": "boolean"}
	}
	field := maps.Clone(definition)
	field["field"], field["labels"] = text(), labelled()
	op := maps.Clone(definition)
	maps.Copy(op, doc{"entity": text(), "field": text(), "choice": text(), "labels": labelled(), "plurals": labelled(), "title": text(), "owner": text(),
		"via": text(), "contact": text(), "timeline": doc{"type": "boolean"}, "value": doc{"description": "Of set: yes or no, a default, a formula; null for none."},
		"fields": list(doc{"type": "object", "required": []string{"field", "type", "labels"}, "additionalProperties": false, "properties": field}),
		"mark":   doc{"enum": []string{"required", "unique", "indexed", "searched", "sensitive", "default", "formula"}},
		"op": doc{"enum": schema.OpKinds(), "description": "add-entity: entity, labels, plurals, title, owner, via, contact, timeline, fields. add-field: " +
			"entity, field, labels, type and what defines it. add-choice: choice, labels. set: mark, value. The others: what they rename, hide, show or retire."}})
	return doc{"type": "object", "required": []string{"op", "entity"}, "additionalProperties": false, "properties": op}
}
