package workspace

import (
	"strings"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/task"
)

// What is done for a customer, as lines of the timeline: tasks, deals and the lead from which the customer came.

// task says what is to be done, by whom and until when.
func (t teller) task(k task.Task) entry {
	e := entry{ID: "task-" + k.ID.String(), Icon: taskIcon(k.Kind), At: k.CreatedAt, Title: choice(t.v, "task", "kind", k.Kind) + subject(k.Title)}
	parts := []string{choice(t.v, "task", "state", k.State)}
	switch {
	case k.State != task.Open || k.Due.IsZero():
	case k.Late(t.v.Now):
		parts, e.Tone = []string{t.v.T("timeline.late", "when", t.v.When(k.Due, t.v.Now))}, "bad"
	default:
		parts = append(parts, t.v.T("timeline.due", "when", t.v.When(k.Due, t.v.Now)))
	}
	if k.Assignee != "" {
		t.name(t.ctx, t.names, k.Assignee)
		parts = append(parts, isolated(who(k.Assignee, t.names)))
	}
	e.Text = strings.Join(parts, " · ")
	return e
}

// deal says what may be sold, for how much, and where it stands.
func (t teller) deal(d deal.Deal) entry {
	e := entry{ID: "deal-" + d.ID.String(), Icon: icon("briefcase"), At: d.CreatedAt, Title: t.v.T("entity.deal") + subject(d.Title)}
	parts := []string{isolated(t.stage(d.Stage))}
	if d.Value.Currency != "" {
		parts = append(parts, t.v.Money(d.Value))
	}
	if d.ClosedAt.IsZero() && d.ExpectedClose != "" {
		parts = append(parts, t.v.T("timeline.expected", "day", dayOf(t.v, d.ExpectedClose)))
	}
	if d.LostReason != "" {
		parts = append(parts, isolated(d.LostReason))
	}
	e.Text = strings.Join(parts, " · ")
	return e
}

// lead says where the customer came from.
func (t teller) lead(l deal.Lead) entry {
	e := entry{ID: "lead-" + l.ID.String(), Icon: icon("user-plus"), At: l.CreatedAt, Title: t.v.T("entity.lead") + subject(l.Title())}
	parts := []string{choice(t.v, "lead", "state", l.State)}
	if l.Source != "" {
		parts = append(parts, choice(t.v, "lead", "source", l.Source))
	}
	e.Text = strings.Join(parts, " · ")
	return e
}

// title reads what a fact about a task or a deal is about.
func (t teller) title(f journal.Fact) string {
	id, err := record.ParseID(f.ID)
	if err != nil {
		return ""
	}
	switch f.Entity {
	case "task":
		return t.Tasks.Title(t.ctx, id)
	case "deal":
		return t.Deals.Title(t.ctx, id)
	}
	return ""
}

// stage looks the name of a stage up once.
func (t teller) stage(id record.ID) string {
	if _, known := t.stages[id]; !known {
		t.stages[id] = "…"
		if s, err := t.Deals.Stage(t.ctx, id); err == nil {
			t.stages[id] = s.Name
		}
	}
	return t.stages[id]
}

// choice is one of a field's values in words; an office's own stands as it was written.
func choice(v frame.View, entity, field, value string) string {
	if key := "choice." + entity + "." + field + "." + value; v.Has(key) {
		return v.T(key)
	}
	return isolated(value)
}

// isolated keeps a foreign text from turning the direction of what stands around it.
func isolated(text string) string { return "\u2068" + text + "\u2069" }

func taskIcon(kind string) string {
	switch kind {
	case task.Call:
		return icon("phone")
	case task.Meeting:
		return icon("users")
	case task.Mail:
		return icon("mail")
	}
	return icon("check")
}

func factIcon(name string) string {
	switch name {
	case "task.done", "deal.won":
		return icon("circle-check")
	case "deal.lost":
		return icon("circle-x")
	case "deal.reopened":
		return icon("refresh")
	}
	return icon("history")
}
