package api

import (
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
)

// objectOf is an object with these properties, all of which stand there.
func objectOf(properties doc) doc {
	return doc{"type": "object", "required": sortedNames(properties), "properties": properties}
}

func ruleSchemas() (grant, rule doc) {
	verbs := []string{"*"}
	for _, v := range access.Verbs() {
		verbs = append(verbs, string(v))
	}
	grant = doc{"type": "object", "required": []string{"entity", "verb", "scope"}, "additionalProperties": false, "properties": doc{
		"entity": doc{"type": "string", "description": `A kind of record; "*" for each, "custom" for each that the office made.`},
		"verb":   doc{"enum": verbs}, "scope": doc{"enum": []string{"none", "own", "team", "all"}},
		"where": doc{"type": "string", "description": "A filter that records must meet besides."}}}
	rule = doc{"type": "object", "required": []string{"entity", "field", "right"}, "additionalProperties": false, "properties": doc{
		"entity": text(), "field": text(), "right": doc{"enum": []string{string(access.Hide), string(access.ReadOnly)}}}}
	return grant, rule
}

func roleSchema() doc {
	grant, rule := ruleSchemas()
	return objectOf(doc{"name": text(), "built_in": doc{"type": "boolean"}, "labels": labelled(),
		"base":   doc{"type": "string", "description": "The built-in role that it is made on; empty for none."},
		"grants": list(grant), "fields": list(rule)})
}

func roleVersionSchema() doc {
	return doc{"type": "object", "required": []string{"number", "at", "by", "act"}, "properties": doc{"number": versionNumber(), "at": moments(), "by": text(),
		"act":  doc{"enum": []string{"set", "removed", "reverted"}},
		"role": doc{"type": "string", "description": "That was set or removed."}, "to": doc{"type": "integer", "description": "The version that was brought back."},
		"roles": doc{"type": "array", "items": ref("Role"), "description": "All of the office's own, as they stood; not in lists."}}}
}

const keyOfRoles = "The ETag of the roles as they were seen: one version for all of them."

func describeRoles(*document) operation {
	return call("roles", "Lists the roles: the built-in ones, then the office's own by name.").
		answers("200", "ETag is the version of all roles.", objectOf(doc{"version": doc{"type": "integer", "minimum": 0}, "items": list(ref("Role"))}))
}

func describeRole(*document) operation {
	return call("role", "Shows what a role may do.").answers("200", "ETag is the version of all roles.", ref("Role"))
}

func describeSetRole(*document) operation {
	grant, rule := ruleSchemas()
	return call("role.set", "Makes a role of the office's own, or gives it other rules. It counts at once. Nobody makes one that may do more than himself.").
		header("If-Match", keyOfRoles, true).
		takes(doc{"type": "object", "additionalProperties": false, "properties": doc{"labels": labelled(),
			"base":   doc{"type": "string", "description": "owner, manager, agent or viewer; without it nothing is allowed that is not granted."},
			"grants": list(grant), "fields": list(rule)}}).
		answers("200", "As it is now.", ref("Role"))
}

func describeRemoveRole(*document) operation {
	return call("role.remove", "Takes a role away that nobody has.").header("If-Match", keyOfRoles, true).answers("204", "It is gone.", nil)
}

func describeRoleVersions(*document) operation {
	return call("role.versions", "Lists the changes of the roles, the newest first.").pages(record.MaxLimit).answers("200", "A page.", listOf(ref("RoleVersion")))
}

func describeRoleVersion(*document) operation {
	return call("role.version", "Shows a version of the roles whole.").answers("200", "As the roles stood.", ref("RoleVersion"))
}

func describeRevertRoles(*document) operation {
	return call("role.revert", "Goes back to an older version of the roles, by a new one; 0 is that of no roles of the office's own.").
		header("If-Match", keyOfRoles, true).onceOnly().answers("200", "The new version.", ref("RoleVersion"))
}

func teamSchema() doc {
	return objectOf(doc{"id": uuid(), "name": text(), "members": doc{"type": "integer", "minimum": 0, "description": "How many accounts are in it."}})
}

func accountSchema() doc {
	return objectOf(doc{"id": uuid(), "email": text(), "name": text(), "role": text(), "team": doc{"type": []string{"string", "null"}, "format": "uuid"},
		"lang": doc{"enum": []string{"he", "ru", "en"}}, "disabled": doc{"type": "boolean"}, "created_at": moments()})
}

func nameSchema() doc {
	return doc{"type": "object", "required": []string{"name"}, "additionalProperties": false,
		"properties": doc{"name": doc{"type": "string", "minLength": 1, "maxLength": 100}}}
}

func describeTeams(*document) operation {
	return call("teams", "Lists the teams by name.").answers("200", "All of them.", listOf(ref("Team")))
}

func describeAddTeam(*document) operation {
	return call("team.add", "Makes a team without members.").onceOnly().takes(nameSchema()).answers("201", "It is there.", ref("Team"))
}

func describeRenameTeam(*document) operation {
	return call("team.rename", "Gives a team another name.").takes(nameSchema()).answers("200", "As it is now.", ref("Team")).
		answers("204", "Done, and not for the caller to see.", nil)
}

func describeRemoveTeam(*document) operation {
	return call("team.remove", "Takes a team away that has no members.").answers("204", "It is gone.", nil)
}

func describeAccounts(*document) operation {
	return call("accounts", "Lists the accounts of the office by name.").answers("200", "All of them.", listOf(ref("Account")))
}

func describeAccountRole(*document) operation {
	return call("account.role", "Gives an account a role. It counts from the account's next request on.").
		takes(doc{"type": "object", "required": []string{"role"}, "additionalProperties": false, "properties": doc{"role": text()}}).
		answers("200", "As it is now.", ref("Account")).answers("204", "Done, and not for the caller to see.", nil)
}

func describeAccountTeam(*document) operation {
	return call("account.team", "Puts an account into a team, or with null into none.").
		takes(doc{"type": "object", "required": []string{"team"}, "additionalProperties": false,
			"properties": doc{"team": doc{"type": []string{"string", "null"}, "description": "The id of a team."}}}).
		answers("200", "As it is now.", ref("Account")).answers("204", "Done, and not for the caller to see.", nil)
}

func auditedSchema() doc {
	return doc{"type": "object", "description": "What happened or was read, with the names of records and fields and never what stands there.",
		"required": []string{"seq", "at", "name", "actor", "who", "entity", "id", "fields", "read", "prev", "hash"}, "properties": doc{
			"seq": doc{"type": "integer"}, "at": moments(), "name": text(), "actor": doc{"type": "string", "description": "The id of an account, system, or plugin:ID."},
			"who":    doc{"type": "string", "description": "The name of the account, empty where there is none."},
			"entity": text(), "id": text(), "contact": doc{"type": "string", "description": "The customer whom it concerns."},
			"fields": texts0("Names of the fields that changed or were read."), "about": doc{"type": "object", "additionalProperties": text()},
			"read": doc{"type": "boolean", "description": "It tells of reading; nothing changed."},
			"prev": text(), "hash": doc{"type": "string", "description": "SHA-256 of the fact and of the hash before it."}}}
}

func describeAudit(*document) operation {
	moment := doc{"type": "string", "description": "As 2026-11-22T09:30:00Z, or a day of the office, as 2026-11-22."}
	return call("audit", "Looks for who did and read what, the newest first. Looking is noted too. A page may be short, or empty, and have a next one.").
		asks("actor", "Who did it: an e-mail address, the id of an account, system, plugin:ID.", text()).
		asks("record", "About what: KIND:ID, KIND or ID. Of a customer, all that concerns him.", text()).
		asks("name", "The beginning of what happened, as contact. or staff.signed-in.", text()).
		asks("since", "Not before.", moment).asks("until", "Before.", moment).
		pages(maxAudit).answers("200", "A page.", listOf(ref("Audited")))
}
