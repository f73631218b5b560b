package api

import (
	"strings"

	"github.com/karov-crm/karov/appliance/record"
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
	return call("search", "Finds customers by a few letters of any word, or by digits of a phone, in any of three alphabets.").
		needs(doc{"name": "q", "in": "query", "required": true, "schema": text()}).
		asks("limit", "How many at most.", whole(1, 50)).
		answers("200", "Best first.", doc{"type": "object", "properties": doc{"items": doc{"type": "array", "items": ref("Hit")}}})
}

const filterHelp = `A condition, as city = "Haifa" and not (updated_at >= today-90d). Words: and or not ( ) = != < <= > >= in ` +
	`contains starts "is empty" "is not empty" me "my team" today now.`

func describeList(d *document) operation {
	return call("list."+d.entity.Name, "Lists what the caller may see.").chooses(d).
		asks("fields", keyOfFields, text()).pages(record.MaxLimit).counts().
		answers("200", "A page.", ref(d.entity.Name+".page"))
}

// chooses are the parameters that say which records, in which order.
func (o operation) chooses(d *document) operation {
	var indexed []string
	for _, f := range d.fields(d.entity) {
		if f.Indexed && !f.Many {
			indexed = append(indexed, f.Name)
		}
	}
	return o.asks("filter", filterHelp, text()).
		asks("sort", `A field, with "-" before it for backwards; without one by age. Of: `+strings.Join(indexed, ", ")+".", text()).
		asks("valued", "Only records that have a value in the field of sort.", doc{"type": "boolean"})
}

func describeExplain(d *document) operation {
	return call("explain."+d.entity.Name, "Says how a list would be answered: which index is walked, what is tested on each record.").
		chooses(d).answers("200", "The plan.", ref("Explanation"))
}

const keyOfOverride = `"true": lets the write pass where a plugin would refuse it, for those whom the plugin allows that.`

func describeCreate(d *document) operation {
	return call("create."+d.entity.Name, "Makes a record.").onceOnly().header(overrideHeader, keyOfOverride, false).takes(ref(d.entity.Name+".new")).
		answers("201", "It stands at Location.", ref(d.entity.Name))
}

func describeGet(d *document) operation {
	return call("get."+d.entity.Name, "Reads a record.").asks("fields", keyOfFields, text()).
		header("If-None-Match", "The ETag of a version that is known already.", false).
		answers("200", "ETag is its version.", ref(d.entity.Name)).answers("304", "It is that version still.", nil)
}

func describeChange(d *document) operation {
	o := call("change."+d.entity.Name, "Changes some fields; null empties one.").header("If-Match", keyOfVersion, true).
		header(overrideHeader, keyOfOverride, false).takes(ref(d.entity.Name+".change")).answers("200", "As it is now.", ref(d.entity.Name))
	o["requestBody"].(doc)["content"].(doc)[mergeType] = doc{"schema": ref(d.entity.Name + ".change")}
	return o
}

func describeRemove(d *document) operation {
	return call("delete."+d.entity.Name, "Puts a record into the bin.").header("If-Match", keyOfVersion, true).
		header(overrideHeader, keyOfOverride, false).answers("204", "It is there.", nil)
}

func describeTimeline(*document) operation {
	return call("timeline", "Everything that happened with a customer, newest first. Long texts are cut; \"cut\" names them.").
		pages(timelineMost).answers("200", "A page.", doc{"type": "object", "properties": doc{
		"items": doc{"type": "array", "items": ref("Entry")}, "next": doc{"type": []string{"string", "null"}}}})
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
	return call("assign", "Gives a conversation to an account, or with null to nobody.").onceOnly().
		takes(doc{"type": "object", "properties": doc{"account": doc{"type": []string{"string", "null"}}},
			"required": []string{"account"}, "additionalProperties": false}).
		answers("200", "As it is now.", ref("conversation")).answers("204", "Done, and the caller sees it no more.", nil)
}

func describeClose(*document) operation {
	return call("close", "Ends a conversation until the customer writes again.").onceOnly().
		answers("200", "As it is now.", ref("conversation"))
}

func describeReopen(*document) operation {
	return call("reopen", "Takes a conversation up again.").onceOnly().answers("200", "As it is now.", ref("conversation"))
}

func describeRetry(*document) operation {
	return call("retry", "Sends a message again that failed.").answers("200", "As it is now.", ref("message"))
}
