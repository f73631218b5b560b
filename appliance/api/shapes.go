package api

import "github.com/karov-crm/karov/appliance/record"

// The schemas of what the document's calls take and give beside records.

func list(item doc) doc { return doc{"type": "array", "items": item} }

func texts0(description string) doc {
	return doc{"type": "array", "items": text(), "description": description}
}

func listOf(item doc) doc {
	return doc{"type": "object", "required": []string{"items", "next"}, "properties": doc{"items": list(item),
		"next": doc{"type": []string{"string", "null"}, "description": "Cursor of the rest, null at the end."}}}
}

func marksSchema(of string) doc {
	return doc{"type": "array", "description": "What of the " + of + " was looked for: from the first character (Unicode code point) to the one behind the last.",
		"items": doc{"type": "array", "items": doc{"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2}}
}

func amountSchema() doc {
	return doc{"type": "object", "description": `Money. Texts as "12.30" and "12.30 ILS" are taken too.`,
		"required": []string{"amount", "currency"}, "additionalProperties": false,
		"properties": doc{"amount": doc{"type": "string", "pattern": `^-?[0-9]+(\.[0-9]+)?$`},
			"currency": doc{"type": "string", "pattern": "^[A-Z]{3}$"}}}
}

func fileSchema() doc {
	return doc{"type": "object", "description": "A file. Upload it to /blobs within a day before it is put into a record.",
		"required": []string{"blob", "name", "size", "type"}, "additionalProperties": false,
		"properties": doc{"blob": doc{"type": "string", "pattern": "^[0-9a-f]{64}$"}, "name": text(),
			"size": doc{"type": "integer", "minimum": 0}, "type": doc{"type": "string", "description": "Its media type."}}}
}

func factSchema() doc {
	return doc{"type": "object", "description": "What happened, with the names of what it happened to and never what stands there.",
		"required": []string{"seq", "name", "actor"},
		"properties": doc{"seq": doc{"type": "integer"}, "at": moments(), "name": text(), "actor": text(), "entity": text(), "id": text(),
			"contact": text(), "fields": texts0("Names of the fields that changed."),
			"about": doc{"type": "object", "additionalProperties": text()}}}
}

func revisionSchema() doc {
	change := doc{"type": "object", "required": []string{"field", "from", "to"},
		"properties": doc{"field": text(), "from": doc{"description": "What it held before."}, "to": doc{"description": "What it held after."}}}
	return doc{"type": "object", "required": []string{"version", "at", "by", "changes"},
		"properties": doc{"version": doc{"type": "integer", "description": "That the change made."}, "at": moments(),
			"by": text(), "changes": list(change)}}
}

func shareSchema() doc {
	return doc{"type": "object", "required": []string{"subject", "change"}, "properties": doc{
		"subject": doc{"type": "string", "description": `The id of an account, or "team:" and the id of a team.`},
		"change":  doc{"type": "boolean", "description": "It may be changed too, not only seen."}}}
}

func bulkSchema() doc {
	count := func(description string) doc {
		return doc{"type": "integer", "minimum": 0, "description": description}
	}
	reason := doc{"type": "object", "required": []string{"id", "key"}, "properties": doc{"id": uuid(), "key": text()}}
	return doc{"type": "object", "required": []string{"id", "entity", "total", "done", "skipped", "ended"}, "properties": doc{
		"id": uuid(), "entity": text(), "filter": text(), "fields": texts0("That were changed."), "deletion": doc{"type": "boolean"},
		"by": text(), "at": moments(), "total": count("Records that matched when it began."), "done": count("Changed by it."),
		"skipped": count("Left as they were."), "problems": list(reason),
		"ended":    doc{"type": "boolean", "description": "False: it goes on, or was interrupted; either way it can be undone."},
		"undone":   doc{"type": "boolean"},
		"restored": count("Brought back by the undo."), "kept": count("Left by the undo: somebody changed them meanwhile.")}}
}

func explanationSchema() doc {
	return doc{"type": "object", "required": []string{"walks", "sorts", "text"}, "properties": doc{
		"walks": text(), "by": doc{"type": "string", "description": "The condition that the index serves."},
		"holds": doc{"type": "integer", "description": "How many keys it leaves, counted to 5000."}, "sorts": text(),
		"tests":     doc{"type": "string", "description": "The filter that is tested on each record walked."},
		"principal": texts0("Whose records are walked, where not everybody's."),
		"text":      doc{"type": "string", "description": "All of it in one line."}}}
}

func describeEvents(*document) operation {
	o := call("events", "Facts as they happen, within the caller's rights, as server-sent events; each id is the fact's number.").
		asks("after", "The number of the last fact heard; without it from now on.", doc{"type": "integer", "minimum": 0}).
		header("Last-Event-ID", "The same, as browsers send it.", false)
	return o.gives("A stream that goes on until the caller hangs up, or may listen no more.", doc{"text/event-stream": doc{"schema": ref("Fact")}})
}

// gives is an answer that is no JSON.
func (o operation) gives(description string, content doc) operation {
	o["responses"].(doc)["200"] = doc{"description": description, "content": content}
	return o
}

func describeHistory(d *document) operation {
	return call("history."+d.entity.Name, "What the record's fields held, newest change first.").
		pages(record.MaxLimit).answers("200", "Changes.", listOf(ref("Revision")))
}

func describeBin(d *document) operation {
	return call("bin."+d.entity.Name, "Lists what was deleted and the caller may restore; each says deleted_at and deleted_by.").
		asks("fields", keyOfFields, text()).pages(record.MaxLimit).answers("200", "A page.", listOf(ref(d.entity.Name)))
}

func describeRestore(d *document) operation {
	return call("restore."+d.entity.Name, "Brings a record back from the bin.").answers("200", "As it is now.", ref(d.entity.Name))
}

func describeShares(d *document) operation {
	return call("shares."+d.entity.Name, "Lists with whom the record is shared.").answers("200", "All of them.", listOf(ref("Share")))
}

func describeShare(d *document) operation {
	return call("share."+d.entity.Name, `Lends the record to an account, or to a team as "team:<id>".`).
		takes(doc{"type": "object", "properties": doc{"change": doc{"type": "boolean"}}, "required": []string{"change"}, "additionalProperties": false}).
		answers("200", "It is lent.", ref("Share"))
}

func describeUnshare(d *document) operation {
	return call("unshare."+d.entity.Name, "Takes a share back.").answers("204", "It is not lent any more.", nil)
}

func describeBulk(d *document) operation {
	one := d.entity.Name
	return call("bulk."+one, "Changes, or deletes, all records that a filter finds and the caller may change or delete.").onceOnly().
		takes(doc{"type": "object", "required": []string{"filter"}, "additionalProperties": false, "properties": doc{
			"filter": doc{"type": "string", "minLength": 1, "description": filterHelp}, "values": ref(one + ".change"),
			"delete": doc{"type": "boolean", "description": "Puts them into the bin; then without values."}}}).
		answers("200", "It is done.", ref("Bulk")).answers("202", "It goes on; look at Location.", ref("Bulk"))
}

func describeBulks(*document) operation {
	return call("bulks", "Lists the newest acts on many records.").asks("limit", "How many at most.", whole(1, record.MaxLimit)).
		answers("200", "Newest first.", listOf(ref("Bulk")))
}

func describeBulkOf(*document) operation {
	return call("bulk", "How far an act on many records is.").answers("200", "As it is now.", ref("Bulk"))
}

func describeUndoBulk(*document) operation {
	return call("undo-bulk", "Takes an act on many records back, but for records that somebody changed meanwhile.").
		answers("200", "It is undone.", ref("Bulk")).answers("202", "It goes on; look at Location.", ref("Bulk"))
}

func describeExport(d *document) operation {
	formats := []string{"csv", "json", "xlsx"}
	content := doc{"text/csv": doc{"schema": text()}, jsonType: doc{"schema": list(doc{"type": "object"})},
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": doc{"schema": doc{}}}
	if d.entity.Name == "contact" {
		formats = append(formats, "vcf")
		content["text/vcard"] = doc{"schema": text()}
	}
	return call("export."+d.entity.Name, "All records that a filter finds and the caller may take out, by age, as a file. In CSV a cell that a "+
		"spreadsheet would calculate (= + - @ and the like) has an apostrophe before it, which an import takes off again; a cell of a workbook "+
		"has at most 32,767 characters, the rest is left out.").
		asks("filter", filterHelp, text()).
		asks("fields", keyOfFields+" Without them all that are not sensitive.", text()).
		asks("format", "Without it csv.", doc{"enum": formats}).
		asks("sensitive", "Sensitive fields too.", doc{"type": "boolean"}).
		asks("bom", "Begins a CSV with a byte order mark, by which Excel knows UTF-8.", doc{"type": "boolean"}).
		gives("The file.", content)
}

func describeUpload(*document) operation {
	o := call("upload", "Takes a file in. Within a day the caller puts what is answered into a field of a record.").
		needs(doc{"name": "name", "in": "query", "required": true, "description": "Its name.", "schema": text()}).
		answers("201", "The value for the field.", ref("File"))
	o["requestBody"] = doc{"required": true, "content": doc{"*/*": doc{"schema": doc{}}}}
	return o
}

func describeFile(d *document) operation {
	return call("file."+d.entity.Name, "A file that a field of the record holds, counted from 0.").
		gives("Its bytes, for saving.", doc{"*/*": doc{"schema": doc{}}})
}
