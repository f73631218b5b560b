package api

import (
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/transfer"
)

func importSchema() doc {
	count := doc{"type": "integer", "minimum": 0}
	wrong := objectOf(doc{"field": text(), "key": text(), "detail": text()})
	failure := objectOf(doc{"field": text(), "key": text(), "detail": text()})
	failure["type"], failure["description"] = []string{"object", "null"}, "What ended it early. What was imported before stays; importing the file again goes on from there."
	properties := doc{"id": uuid(), "entity": text(), "name": text(), "dry_run": doc{"type": "boolean"}, "at": moments(), "by": text(),
		"ended": doc{"type": "boolean", "description": "False: it goes on."}, "failure": failure,
		"rows": count, "rejected": count, "created": count, "updated": count, "unchanged": count,
		"read": doc{"type": "integer", "minimum": 0, "description": "Bytes of the file, so far."}, "size": count,
		"columns": doc{"type": "array", "description": "What each column was taken for; null for one that was not understood.",
			"items": objectOf(doc{"header": text(), "field": doc{"type": []string{"string", "null"}}})},
		"problems": doc{"type": "array", "description": "Rows that were not imported, with their lines in the file: the first thousand.",
			"items": objectOf(doc{"line": doc{"type": "integer", "minimum": 0}, "errors": list(wrong)})}}
	s := objectOf(properties)
	properties["encoding"], properties["separator"] = text(), text()
	return s
}

func describeImport(d *document) operation {
	form := doc{"type": "object", "required": []string{"file"}, "additionalProperties": false, "properties": doc{
		"file": doc{"type": "string", "contentMediaType": "application/octet-stream"}, "name": text(), "map": text(), "dry_run": text(), "encoding": text()}}
	o := call("import."+d.entity.Name, "Brings a file in: CSV, a workbook's first sheet (XLSX), or JSON but for customers. Each row becomes a record, is found to be "+
		"one already, or is told with its line and reasons; the same file twice changes nothing. It goes on when the caller hangs up.").
		asks("name", "What the file is called, for messages.", text()).
		asks("map", `Which columns fill which fields, as {"Handy": "phone"}; the others are known by their names. "-" leaves a column out.`, text()).
		asks("dry_run", "Reads and checks, and writes nothing.", doc{"type": "boolean"}).
		asks("encoding", "Where it is not to be found out.", doc{"enum": transfer.Encodings()}).
		onceOnly().
		answers("200", "It ended.", ref("Import")).answers("202", "It goes on; look at Location.", ref("Import"))
	content := doc{}
	for _, media := range importTypes() {
		content[media] = doc{"schema": doc{}}
	}
	content["multipart/form-data"] = doc{"schema": form}
	o["requestBody"] = doc{"required": true, "content": content}
	return o
}

func describeImports(*document) operation {
	return call("imports", "Lists the caller's own imports since the appliance started, the newest first, without their problems.").
		answers("200", "Those that are remembered.", listOf(ref("Import")))
}

func describeImportOf(*document) operation {
	return call("import", "How far an import is, and what became of the file.").answers("200", "As it is now.", ref("Import"))
}

func describeProgress(*document) operation {
	return call("import.progress", `How far an import is, as server-sent events "progress" and, as the last, "ended".`).
		gives("A stream until its end.", doc{"text/event-stream": doc{"schema": ref("Import")}})
}

func describeFinish(*document) operation {
	return call("task.finish", "Ends an open task that was done. Of one that repeats, next names the one that follows.").onceOnly().
		answers("200", "As it is now.", ref("task")).answers("204", "Done, and the caller sees it no more.", nil)
}

func describeCancel(*document) operation {
	return call("task.cancel", "Ends an open task that will not be done, and its series.").onceOnly().
		answers("200", "As it is now.", ref("task")).answers("204", "Done, and the caller sees it no more.", nil)
}

func describeReopenTask(*document) operation {
	return call("task.reopen", "Opens a task again that was done or cancelled.").onceOnly().
		answers("200", "As it is now.", ref("task")).answers("204", "Done, and the caller sees it no more.", nil)
}

func describeSnooze(*document) operation {
	return call("task.snooze", "Puts an open task off; its reminder moves with it.").onceOnly().
		takes(doc{"type": "object", "required": []string{"until"}, "additionalProperties": false,
			"properties": doc{"until": doc{"type": "string", "format": "date-time"}}}).
		answers("200", "As it is now.", ref("task")).answers("204", "Done, and the caller sees it no more.", nil)
}

func describeMoveDeal(*document) operation {
	return call("deal.move", "Brings a deal into another stage of its pipeline. One that wins or loses closes it.").moves(deal.Deals)
}

func describeMoveLead(*document) operation {
	return call("lead.move", "Brings a lead into another stage of its pipeline.").moves(deal.Leads)
}

// moves is what both calls that move take and answer.
func (o operation) moves(entity string) operation {
	return o.header("If-Match", keyOfVersion, true).onceOnly().
		takes(doc{"type": "object", "required": []string{"stage"}, "additionalProperties": false, "properties": doc{"stage": uuid(),
			"reason": doc{"type": []string{"string", "null"}, "description": "Why it was lost."}}}).
		answers("200", "As it is now.", ref(entity)).answers("204", "Done, and the caller sees it no more.", nil)
}

func describeConvert(*document) operation {
	id := doc{"type": []string{"string", "null"}, "format": "uuid"}
	o := call("lead.convert", "Makes a lead a customer and a deal, at once; contact and deal of the answer name them.").header("If-Match", keyOfVersion, true).onceOnly().
		takes(doc{"type": "object", "additionalProperties": false, "properties": doc{
			"contact":  doc{"type": id["type"], "format": "uuid", "description": "The customer it is; without it the one of its phone or e-mail, or a new one."},
			"deal":     doc{"type": "boolean", "description": "False: only a customer."},
			"title":    doc{"type": []string{"string", "null"}, "description": "Of the deal; without it the lead's own."},
			"pipeline": doc{"type": id["type"], "format": "uuid", "description": "Of the deal; without it the first."}}}).
		answers("200", "As it is now.", ref("lead")).answers("204", "Done, and the caller sees it no more.", nil)
	o["requestBody"].(doc)["required"] = false
	return o
}

func cardSchema() doc {
	orText := doc{"type": []string{"string", "null"}}
	return objectOf(doc{"entity": doc{"enum": []string{deal.Deals, deal.Leads}}, "id": uuid(),
		"version": doc{"type": "integer", "minimum": 1, "description": "For If-Match of a move."}, "title": text(),
		"contact": doc{"type": []string{"string", "null"}, "format": "uuid"}, "contact_name": orText, "owner": orText, "value": orNull("Amount"),
		"expected_close": doc{"type": []string{"string", "null"}, "format": "date"}, "since": moments(),
		"stale": doc{"type": "boolean", "description": "It has stood in its stage longer than that allows."}})
}

func outlookSchema() doc {
	s := objectOf(doc{"count": doc{"type": "integer", "minimum": 0, "description": "Open deals."}, "total": list(ref("Amount")),
		"weighted": doc{"type": "array", "items": ref("Amount"), "description": "By the probability of their stages."},
		"won":      doc{"type": "array", "items": ref("Amount"), "description": "Won in it already."}})
	s["properties"].(doc)["month"] = doc{"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}
	return s
}

func describeBoard(d *document) operation {
	stage := objectOf(doc{"id": uuid(), "name": text(), "kind": doc{"enum": []string{deal.Open, deal.Won, deal.Lost}}, "probability": doc{"type": "integer"},
		"stale_days": doc{"type": "integer"}, "colour": doc{"type": []string{"string", "null"}}})
	column := objectOf(doc{"stage": stage, "total": doc{"type": "integer", "minimum": 0},
		"total_exact": doc{"type": "boolean", "description": "False: there are more than total, and sums and stale are of the newest."},
		"sums":        doc{"type": "array", "items": ref("Amount"), "description": "By currency."}, "stale": doc{"type": "integer", "minimum": 0},
		"cards": list(ref("Card")), "next": doc{"type": []string{"string", "null"}, "description": "Cursor of /stages/{id}/cards, null for no more."}})
	pipeline := objectOf(doc{"id": uuid(), "name": text(), "holds": doc{"enum": []string{deal.Deals, deal.Leads}}, "hidden": doc{"type": "boolean"}})
	return call("board", "A pipeline with what stands in each stage, of what the caller may see. Of a stage that closes, the last 30 days.").
		asks("limit", "How many cards of each stage at most.", whole(1, record.MaxLimit)).
		answers("200", "The newest of each stage.", d.ofDeals(objectOf(doc{"pipeline": pipeline, "columns": list(column)})))
}

func describeCards(d *document) operation {
	return call("cards", "More of what stands in a stage, from where the board's column ends.").pages(record.MaxLimit).
		answers("200", "A page.", d.ofDeals(listOf(ref("Card"))))
}

func describeForecast(d *document) operation {
	return call("forecast", "What a pipeline of deals will bring, month by month.").
		asks("from", "A day of the first month; without it today.", doc{"type": "string", "format": "date"}).
		asks("months", "How many.", whole(1, 36)).
		answers("200", "Of the deals that the caller may see.", d.ofDeals(objectOf(doc{"months": list(ref("Outlook")), "late": ref("Outlook"),
			"later": ref("Outlook"), "undated": ref("Outlook"), "exact": doc{"type": "boolean", "description": "False: a stage holds more than was added up."}})))
}

// ofDeals is what a call of pipelines answers. To who has nothing to do with pipelines it names one, which is not
// described to him, and so the call is left out.
func (d *document) ofDeals(answer doc) doc {
	if !d.knows("pipeline") {
		return ref("pipeline")
	}
	return answer
}
