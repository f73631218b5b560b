package api

import (
	"strings"
	"testing"
	"time"
)

// TestTasksActs finishes, cancels, reopens and puts off tasks as programs do, each once however often it is asked for.
func TestTasksActs(t *testing.T) {
	h := newHouse(t)
	l := newLawyer(t, h)
	due := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	later := time.Now().Add(48 * time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")
	h.add(t, "dana", "call", "task", `{"title":"Call","contact":"{Alpha}","assignee":"{dana}","due":"`+due+`","repeat":"weekly"}`)
	h.add(t, "dana", "mail", "task", `{"title":"Mail","contact":"{Alpha}","assignee":"{dana}"}`)
	h.add(t, "yossi", "his", "task", `{"title":"His","contact":"{Gamma}","assignee":"{yossi}"}`)
	const key = "Idempotency-Key: one"
	for _, q := range []request{
		{path: "call/snooze", body: `{"until":"` + later + `"}`, headers: key, status: 200, want: `"due":"` + later + `" & "version":2`},
		{path: "call/snooze", body: `{"until":"` + later + `"}`, headers: key, status: 200, want: `"version":2`},
		{path: "call/snooze", body: `{"until":"` + due + `"}`, headers: key, status: 422, want: "idempotency.reused"},
		{path: "call/snooze", body: `{"until":"2001-01-01T00:00:00Z"}`, status: 422, want: `"field":"until","key":"task.snooze-past"`},
		{path: "call/snooze", body: `{"until":"soon"}`, status: 422, want: `"field":"until","key":"field.time"`},
		{path: "call/snooze", body: `{}`, status: 422, want: "field.time"},
		{path: "call/snooze", body: `{"until":"` + later + `","why":"x"}`, status: 422, want: "field.unknown"},
		{path: "call/snooze", status: 415, want: "body.media-type"},
		{path: "call/finish", headers: key, status: 200, want: `"state":"done" & "done_by":"{dana}" & "version":3`, never: []string{`"next":null`}},
		{path: "call/finish", headers: key, status: 200, want: `"state":"done" & "version":3`},
		{path: "call/finish", headers: "Idempotency-Key: two", status: 200, want: ""}, // see below
		{path: "mail/finish", body: `{"how":"well"}`, status: 422, want: "field.unknown"},
		{path: "mail/finish?how=well", status: 422, want: "query.unknown"},
		{path: "mail/cancel", headers: key, status: 200, want: `"state":"cancelled"`},
		{path: "mail/cancel", headers: key, status: 200, want: `"state":"cancelled" & "version":2`},
		{path: "mail/cancel", status: 409, want: "task.not-open"},
		{path: "mail/snooze", body: `{"until":"` + later + `"}`, status: 409, want: "task.not-open"},
		{path: "mail/reopen", headers: key, status: 200, want: `"state":"open"`},
		{path: "mail/reopen", headers: key, status: 200, want: `"state":"open" & "version":3`},
		{path: "mail/reopen", status: 409, want: "task.open"},
		{path: "his/finish", status: 404, never: []string{"His"}},
		{path: "his/finish", headers: key, status: 404, never: []string{"His"}},
		{path: "his/snooze", body: `{"until":"` + later + `"}`, status: 404},
	} {
		if strings.HasSuffix(q.headers, "two") {
			q.status, q.want = 409, "task.not-open" // another's wish, as its key says
		}
		name, act, _ := strings.Cut(q.path, "/")
		q.as, q.method, q.path = "dana", "POST", Prefix+"/tasks/{"+name+"}/"+act
		l.check(t, q)
	}
	for who, status := range map[string]int{"": 401, "viewer": 403, "manager": 200} {
		for _, act := range []string{"finish", "reopen", "cancel"} {
			h.check(t, request{as: who, method: "POST", path: Prefix + "/tasks/{his}/" + act, status: status})
			h.check(t, request{as: who, method: "POST", path: Prefix + "/tasks/{Alpha}/" + act, status: map[bool]int{true: 401, false: 404}[who == ""]})
		}
		if who == "manager" {
			h.check(t, request{as: who, method: "POST", path: Prefix + "/tasks/{his}/reopen", status: 200})
		}
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/task?count=exact", status: 200, want: `"total":4`}) // the series went on once
}

// TestConversationsActsOnce: what is done with a conversation is done once under one key.
func TestConversationsActsOnce(t *testing.T) {
	h := newHouse(t)
	l := newLawyer(t, h)
	last := ""
	for _, q := range []request{
		{path: "assign", body: `{"account":"{yossi}"}`, headers: "Idempotency-Key: a", want: `"assignee":"{yossi}"`},
		{path: "close", headers: "Idempotency-Key: c", want: `"state":"closed"`},
		{path: "reopen", headers: "Idempotency-Key: c", want: `"state":"open"`},
	} {
		q.as, q.method, q.path, q.status = "manager", "POST", Prefix+"/conversations/{Gamma.talk}/"+q.path, 200
		first := l.check(t, q)
		if again := l.check(t, q); again.body != first.body || first.body == last {
			t.Errorf("%s twice: %s, then %s", q.path, first.body, again.body)
		}
		last = first.body
	}
	l.check(t, request{as: "manager", method: "POST", path: Prefix + "/conversations/{Gamma.talk}/assign", body: `{"account":"{dana}"}`, headers: "Idempotency-Key: a", status: 422, want: "idempotency.reused"})
	h.check(t, request{as: "dana", method: "POST", path: Prefix + "/conversations/{Gamma.talk}/close", headers: "Idempotency-Key: a", status: 404})
}
