package main

import (
	"encoding/json"
	"testing"

	"github.com/karov-crm/karov/appliance/appliancetest"
)

// TestSeedMakesWork fills in customers with tasks, deals and leads, and again: then nothing is added.
func TestSeedMakesWork(t *testing.T) {
	a := appliancetest.Start(t)
	for _, want := range []map[string]int{{"created": 80, "letters": 0, "tasks": 40, "deals": 20, "leads": 10}, {"created": 0, "letters": 0, "tasks": 0, "deals": 0, "leads": 0}} {
		var got map[string]int
		out := a.Karov("", "seed", "--contacts", "80", "--letters", "0", "--deals", "20", "--json")
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for name, n := range want {
			if got[name] != n {
				t.Errorf("%d %s, want %d", got[name], name, n)
			}
		}
	}
	for entity, least := range map[string]int{"task": 40, "deal": 20, "lead": 10, "pipeline": 2, "stage": 10} {
		if n := a.Total(entity); n < least {
			t.Errorf("%d of %s, want %d", n, entity, least)
		}
	}
}
