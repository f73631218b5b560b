package seed

import (
	"slices"
	"strings"
	"testing"
)

// TestSameSeedSameWork fails when any task, deal or lead changes.
func TestSameSeedSameWork(t *testing.T) {
	for what, hashes := range map[string][3]string{
		"tasks": {hash(Tasks(1, 2000)), "95420fb7713d9528", hash(Tasks(2, 2000))},
		"deals": {hash(Deals(1, 2000)), "46abf9c129eb2bf7", hash(Deals(2, 2000))},
		"leads": {hash(Leads(1, 2000)), "9fc302805db4f73b", hash(Leads(2, 2000))},
	} {
		if hashes[0] != hashes[1] || hashes[0] == hashes[2] {
			t.Errorf("%s of seed 1: %s, want %s; of seed 2 %s", what, hashes[0], hashes[1], hashes[2])
		}
	}
	few := slices.Collect(Tasks(7, 30))
	for i, task := range slices.Collect(Tasks(7, 300))[:30] {
		if task != few[i] {
			t.Errorf("task %d is %+v, but %+v", i, few[i], task)
		}
	}
}

// TestWorkIsPlausible looks at the shares of what is drawn, and that nothing is left of a pattern.
func TestWorkIsPlausible(t *testing.T) {
	const n = 5000
	states, kinds, languages := map[string]int{}, map[string]int{}, map[Language]int{}
	customers := slices.Collect(Contacts(5, n))
	for task := range Tasks(5, n) {
		states[task.State]++
		kinds[task.Kind]++
		languages[task.Language]++
		if task.Title == "" || strings.ContainsAny(task.Title+task.Note, "{}|") || task.Minute < 8*60 || task.Minute >= 18*60 || task.Language != customers[task.Index].Language ||
			task.State != "open" && (task.Days >= 0 || task.Repeat != "none") {
			t.Fatalf("%+v", task)
		}
	}
	if len(kinds) != 4 || states["open"] < n/2 || states["done"] < n/4 || states["cancelled"] == 0 || len(languages) != 3 {
		t.Errorf("states %v, kinds %v, languages %v", states, kinds, languages)
	}
	outcomes := map[string]int{}
	for deal := range Deals(5, n) {
		outcomes[deal.Outcome]++
		if deal.Title == "" || strings.ContainsAny(deal.Title, "{}|") || deal.Value < 200 || (deal.Reason != "") != (deal.Outcome == "lost") || deal.Source == "" {
			t.Fatalf("%+v", deal)
		}
	}
	if outcomes["open"] < n/2 || outcomes["won"] < n/8 || outcomes["lost"] < n/10 {
		t.Errorf("outcomes %v", outcomes)
	}
	phones := map[string]int{}
	for _, c := range customers {
		for _, p := range c.Phones {
			phones["+"+digits(p)] = c.Index
		}
	}
	for lead := range Leads(5, n) {
		if lead.Name == "" || lead.Phone == "" || lead.Source == "" || strings.ContainsAny(lead.Note, "{}|") {
			t.Fatalf("%+v", lead)
		}
		unique(t, phones, "+"+digits(lead.Phone), -1-lead.Index)
	}
}
