package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/schema"
)

// carOps add a field to the customer and a kind of record of the office's own.
const carOps = `[{"op":"add-field","entity":"contact","field":"shoe_size","type":"number","labels":{"he":"מידה"}},
	{"op":"add-entity","entity":"car","title":"plate","labels":{"en":"Car"},"fields":[{"field":"plate","type":"text","unique":true,"labels":{"en":"Plate"}},
	{"field":"colour","type":"choice","choices":["red","blue"],"choice_labels":{"red":{"he":"אדום"}},"labels":{"en":"Colour"}},
	{"field":"driver","type":"link","target":"contact","many":true,"labels":{"en":"Driver"}}]}]`

// TestSchemaChangesLive: what an office adds is there in the next call, and what it takes back is gone, with all data kept.
func TestSchemaChangesLive(t *testing.T) {
	h := newHouse(t)
	const path = Prefix + "/schema"
	for _, q := range []request{
		{as: "owner", method: "GET", path: path, status: 200, want: `"version":1 & "name":"contact" & "name":"phones","type":"phone","many":true`, never: []string{"shoe_size"}},
		{as: "owner", method: "GET", path: path + "/versions", status: 200, want: `"items":[] & "next":null`},
		{as: "manager", method: "POST", path: path + "/changes", body: `{"version":1,"preview":true,"ops":` + carOps + `}`, status: 200,
			want: `"version":1 & "entity":"car","what":"added" & "entity":"contact","field":"shoe_size","what":"added"`},
		{as: "owner", method: "GET", path: path, status: 200, want: `"version":1`, never: []string{"shoe_size"}},
		{as: "manager", method: "POST", path: path + "/changes", body: `{"version":1,"ops":` + carOps + `}`, status: 200, want: `"version":2`},
		{as: "owner", method: "POST", path: path + "/changes", body: `{"version":1,"ops":` + carOps + `}`, status: 409, want: `schema.changed & version 2 counts now & {manager}`},
		{as: "owner", method: "POST", path: path + "/changes", body: `{"ops":` + carOps + `}`, headers: `If-Match: "1"`, status: 409},
		{as: "owner", method: "GET", path: path, status: 200, want: `"version":2 & "name":"shoe_size","type":"number","many":false,"custom":true & "value":"red","labels":{"he":"אדום"},"retired":false`},
		{as: "owner", method: "POST", path: Prefix + "/records/car", body: `{"plate":"12-345","colour":"red","driver":["{Alpha}"]}`, status: 201, want: `"colour":"red"`},
		{as: "owner", method: "POST", path: Prefix + "/records/car", body: `{"plate":"12-345"}`, status: 422, want: `"plate"`},
		{as: "owner", method: "PATCH", path: Prefix + "/records/contact/{Alpha}", body: `{"shoe_size":42}`, headers: `If-Match: "1"`, status: 200, want: `"shoe_size":42`},
		{as: "owner", method: "POST", path: path + "/changes", body: `{"ops":[{"op":"hide-field","entity":"contact","field":"shoe_size"},{"op":"hide-entity","entity":"car"}]}`,
			headers: `If-Match: "2"`, status: 200, want: `"what":"hidden","before":false,"after":true`},
		{as: "owner", method: "GET", path: Prefix + "/records/contact/{Alpha}", status: 200, never: []string{"shoe_size"}},
		{as: "viewer", method: "GET", path: path, status: 200, want: `"version":3`, never: []string{"shoe_size", `"car"`}},
		{as: "owner", method: "GET", path: path, status: 200, want: `"name":"shoe_size" & "name":"car","custom":true,"hidden":true`},
		{as: "owner", method: "POST", path: path + "/revert", body: `{"version":3,"to":2,"preview":true}`, status: 200, want: `"version":3 & "before":true,"after":false`},
		{as: "owner", method: "POST", path: path + "/revert", body: `{"version":3,"to":2}`, status: 200, want: `"version":4`},
		{as: "owner", method: "GET", path: Prefix + "/records/contact/{Alpha}", status: 200, want: `"shoe_size":42`},
		{as: "owner", method: "GET", path: Prefix + "/records/car", status: 200, want: `"plate":"12-345"`},
		{as: "owner", method: "GET", path: path + "/versions?limit=2", status: 200, want: `"number":4 & "to":2 & "number":3 & "by":"{owner}" & "op":"hide-field" & "next":"3"`, never: []string{`"number":2`}},
		{as: "owner", method: "GET", path: path + "/versions?cursor=3", status: 200, want: `"number":2 & "by":"{manager}" & "next":null`, never: []string{`"number":3`}},
	} {
		h.check(t, q)
	}
}

func TestSchemaRefusals(t *testing.T) {
	h := bareHouse(t, nil)
	for _, q := range []request{
		{path: "/changes", body: `{"version":1,"ops":[]}`, status: 400, want: "schema.ops"},
		{path: "/changes", body: `{"version":1}`, status: 400, want: "schema.ops"},
		{path: "/changes", body: `{"version":1,"ops":{}}`, status: 400, want: "schema.ops"},
		{path: "/changes", body: `{"ops":` + carOps + `}`, status: 428, want: "version.missing"},
		{path: "/changes", body: `{"ops":` + carOps + `}`, headers: `If-Match: *`, status: 428},
		{path: "/changes", body: `{"version":1,"ops":` + carOps + `}`, headers: `If-Match: "2"`, status: 422},
		{path: "/changes", body: `{"version":"1","ops":` + carOps + `}`, status: 422, want: `"field":"version"`},
		{path: "/changes", body: `{"version":1.5,"ops":` + carOps + `}`, status: 422},
		{path: "/changes", body: `{"version":-1,"ops":` + carOps + `}`, status: 422},
		{path: "/changes", body: `{"version":1,"preview":"yes","ops":` + carOps + `}`, status: 422, want: `"field":"preview"`},
		{path: "/changes", body: `{"version":1,"force":true,"ops":` + carOps + `}`, status: 422, want: "field.unknown"},
		{path: "/changes", body: `{"version":1,"ops":[{"op":"add-field","entity":"contact","filed":"x"}]}`, status: 422, want: `"field":"ops[0].filed" & schema.member`},
		{path: "/changes", body: `{"version":1,"ops":[{"op":"hide-field","entity":"contact","field":"city"},{"op":"hide-field","entity":"contact","field":"owner"}]}`,
			status: 422, want: `"field":"ops[1]","key":"schema.needed" & The field owner of contact cannot be hidden`},
		{path: "/changes", body: `{"version":1,"ops":[null]}`, status: 422},
		{path: "/changes", body: `{"version":1,"ops":[{"op":"add-field","entity":"contact","field":"a\"b","type":"text","labels":{"en":"x"}}]}`, status: 422, want: "schema.name"},
		{path: "/changes?x=1", body: `{"version":1,"ops":` + carOps + `}`, status: 422, want: "query.unknown"},
		{path: "/revert", body: `{"version":1}`, status: 422, want: `"field":"to"`},
		{path: "/revert", body: `{"version":1,"to":99}`, status: 404, want: "schema.no-version"},
		{path: "/revert", body: `{"version":1,"to":0}`, status: 422},
	} {
		q.as, q.method, q.path = "owner", "POST", Prefix+"/schema"+q.path
		h.check(t, q)
	}
	for _, query := range []string{"?cursor=0", "?cursor=x", "?cursor=-1", "?limit=0", "?limit=201", "?x=1"} {
		h.check(t, request{as: "owner", method: "GET", path: Prefix + "/schema/versions" + query, status: 400})
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/schema", status: 200, want: `"version":1`})
}

// TestSchemaByRole: who may not administer the schema sees only what he may see records of, and changes nothing.
func TestSchemaByRole(t *testing.T) {
	h := bareHouse(t, nil)
	for _, role := range []string{"dana", "viewer"} {
		h.check(t, request{as: role, method: "GET", path: Prefix + "/schema", status: 200, want: `"name":"contact"`})
		h.check(t, request{as: role, method: "GET", path: Prefix + "/schema/versions", status: 403, want: "administer:schema"})
		h.check(t, request{as: role, method: "POST", path: Prefix + "/schema/changes", body: `{"version":1,"ops":` + carOps + `}`, status: 403})
		h.check(t, request{as: role, method: "POST", path: Prefix + "/schema/changes", body: `{"version":1,"preview":true,"ops":` + carOps + `}`, status: 403})
		h.check(t, request{as: role, method: "POST", path: Prefix + "/schema/revert", body: `{"version":1,"to":1}`, status: 403})
	}
	h.check(t, request{method: "GET", path: Prefix + "/schema", status: 401})
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/schema/changes", status: 200, body: `{"version":1,"ops":[
		{"op":"add-field","entity":"contact","field":"twice","type":"formula","formula":"1","labels":{"en":"x"}},
		{"op":"add-entity","entity":"secret","labels":{"en":"Secret"}}]}`})
	h.check(t, request{as: "viewer", method: "GET", path: Prefix + "/schema", status: 200, want: `"name":"twice","type":"formula"`, never: []string{`"secret"`, `"formula":"1"`}})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/schema", status: 200, want: `"secret" & "formula":"1"`})
}

// TestSchemaFitsItsForms: every member that is answered is one that programs read back.
func TestSchemaFitsItsForms(t *testing.T) {
	h := bareHouse(t, nil)
	a := h.check(t, request{as: "owner", method: "GET", path: Prefix + "/schema", status: 200})
	var shown struct {
		Version  uint64
		Entities []schema.ShownEntity
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&shown); err != nil || shown.Version != 1 || len(shown.Entities) != len(h.Schema.Current().Entities()) {
		t.Errorf("%v: %+v", err, shown)
	}
	if a.header.Get("ETag") != `"1"` {
		t.Errorf("ETag is %s", a.header.Get("ETag"))
	}
}
