package api

import "testing"

// TestForgetThroughTheDoor erases somebody: only those who may, only the version they saw, and only once.
func TestForgetThroughTheDoor(t *testing.T) {
	h := newHouse(t)
	path := Prefix + "/contacts/{Alpha}/forget"
	const version = `If-Match: "1"`
	for _, q := range []request{
		{as: "", status: 401, headers: version, body: `{"reason":"request"}`},
		{as: "viewer", status: 403, headers: version, body: `{"reason":"request"}`, want: "forget:contact"},
		{as: "dana", status: 403, headers: version, body: `{"reason":"request"}`},
		{as: "yossi", status: 404, headers: version, body: `{"reason":"request"}`},
		{as: "manager", status: 428, body: `{"reason":"request"}`},
		{as: "manager", status: 412, headers: `If-Match: "9"`, body: `{"reason":"request"}`, want: "record.changed"},
		{as: "manager", status: 422, headers: version, body: `{"reason":"Alpha rang us"}`, want: "field.choice"},
		{as: "manager", status: 422, headers: version, body: `{}`},
		{as: "manager", status: 422, headers: version, body: `{"reason":"request","name":"Alpha"}`, want: "field.unknown"},
		{as: "manager", status: 204, headers: version, body: `{"reason":"request"}`},
		{as: "manager", status: 404, headers: version, body: `{"reason":"request"}`},
	} {
		q.method, q.path = "POST", path
		h.check(t, q)
	}
	for _, q := range []request{
		{path: "/records/contact/{Alpha}", status: 404},
		{path: "/records/contact/{Alpha}/timeline", status: 404},
		{path: "/records/conversation/{Alpha.talk}", status: 404},
		{path: "/records/message/{Alpha.mail}", status: 404},
		{path: "/search?q=alpha", status: 200, want: `{"items":[]}`},
		{path: "/records/contact", status: 200, want: `"total":5`, never: []string{"Alpha"}},
		{path: "/conversations?view=waiting", status: 200, want: `"total":5`, never: []string{"Alpha"}},
	} {
		q.as, q.method, q.path = "owner", "GET", Prefix+q.path
		h.check(t, q)
	}
}
