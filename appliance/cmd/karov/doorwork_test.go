package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/karov-crm/karov/appliance/deal"
)

// workDoors are the calls about what is done with and sold to customers, about files that come in, and the audit.
func workDoors() []door {
	return []door{
		{name: "API: board", pages: true, who: dealsOf, try: func(h *house, p person, x *customer) sight {
			status, answer := h.ask(p, http.MethodGet, "/api/v1/pipelines/"+h.pipeline().ID.String()+"/board", "")
			return x.of(answer, status == http.StatusOK, x.word)
		}},
		{name: "API: cards of a stage", pages: true, who: dealsOf, try: func(h *house, p person, x *customer) sight {
			status, answer := h.ask(p, http.MethodGet, "/api/v1/stages/"+h.pipeline().Stages[0].ID.String()+"/cards", "")
			return x.of(answer, status == http.StatusOK, x.word)
		}},
		{name: "API: forecast", pages: true, who: dealsOf, try: func(h *house, p person, x *customer) sight { return h.forecast(p, x) }},
		{name: "API: move a deal", pages: true, who: worksOn, try: func(h *house, p person, x *customer) sight { return h.moveDeal(p, x) }},
		{name: "API: finish a task", pages: true, who: worksOn, try: func(h *house, p person, x *customer) sight {
			status, answer := h.ask(p, http.MethodPost, "/api/v1/tasks/"+x.task.String()+"/finish", "")
			s := x.of(answer, true)
			if s.seen = status == http.StatusOK; s.seen {
				_, err := h.a.tasks.Reopen(h.appliance(), x.task)
				h.must(err)
			}
			return s
		}},
		lets(door{name: "API: rehearse an import", pages: true, try: func(h *house, p person, x *customer) sight {
			file := fmt.Sprintf("Name,Phone\n%s Customer,%s\n", x.word, x.phone)
			_, answer := h.ask(p, http.MethodPost, "/api/v1/import/contact?dry_run=true", file, "Content-Type", "text/csv")
			return x.of(answer, true, x.word, x.id.String(), `"unchanged":1`, `"updated":1`, `"created":1`)
		}}, func(person) []string { return nil }),
		lets(page("API: audit", "/api/v1/audit?record=contact:{id}", false), func(p person) []string {
			if p.name == "owner" {
				return everybody
			}
			return nil
		}),
	}
}

// pipeline is that of the office's deals.
func (h *house) pipeline() deal.Pipeline {
	h.t.Helper()
	all, err := h.a.deals.Pipelines(h.appliance(), deal.Deals)
	h.must(err)
	return all[0]
}

// dealsOf lists the customers whose deals somebody sees, and who is named to him with them. A role's condition on
// customers is none on their deals, and who sees his team's customers sees only his own deals.
func dealsOf(p person) []string {
	switch p.name {
	case "haifa":
		return everybody
	case "mate", "avi":
		return p.changes
	}
	return p.sees
}

// worksOn lists the customers whose deals and tasks somebody may change.
func worksOn(p person) []string {
	if p.name == "haifa" {
		return everybody
	}
	return p.changes
}

// forecast looks whether the sum of what somebody sees is that of his deals, and no more.
func (h *house) forecast(p person, x *customer) sight {
	status, answer := h.ask(p, http.MethodGet, "/api/v1/pipelines/"+h.pipeline().ID.String()+"/forecast", "")
	var told struct {
		Undated struct{ Count int }
	}
	if status == http.StatusOK && json.Unmarshal([]byte(answer), &told) != nil {
		h.t.Errorf("the forecast of %s is no JSON: %s", p.name, answer)
	}
	if mine := len(dealsOf(p)); status == http.StatusOK && told.Undated.Count != mine {
		h.t.Errorf("%s has %d deals in the forecast, but sees %d", p.name, told.Undated.Count, mine)
	}
	s := x.of(answer, true, x.word)
	s.seen = s.seen || status == http.StatusOK && slices.Contains(dealsOf(p), x.key)
	return s
}

// moveDeal tries to bring a customer's deal into another stage, and brings it back.
func (h *house) moveDeal(p person, x *customer) sight {
	stages := h.pipeline().Stages
	now, err := h.a.deals.Get(h.appliance(), x.deal)
	h.must(err)
	status, answer := h.ask(p, http.MethodPost, "/api/v1/deals/"+x.deal.String()+"/move", fmt.Sprintf(`{"stage": %q}`, stages[1].ID),
		"Content-Type", "application/json", "If-Match", fmt.Sprintf(`"%d"`, now.Version))
	s := x.of(answer, true)
	if s.seen = status == http.StatusOK || status == http.StatusNoContent; s.seen {
		now, err = h.a.deals.Get(h.appliance(), x.deal)
		h.must(err)
		_, err = h.a.deals.Move(h.appliance(), x.deal, now.Version, stages[0].ID, "")
		h.must(err)
	}
	return s
}
