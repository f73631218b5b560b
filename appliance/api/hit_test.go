package api

import (
	"encoding/json"
	"testing"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/search"
)

// TestHitIsWhatEncodingJSONWrites: a result is written by hand, and programs read JSON.
func TestHitIsWhatEncodingJSONWrites(t *testing.T) {
	id := record.NewID()
	h := search.Hit{Entity: "contact", ID: id, Title: "משה <Cohen> & \"x\"", Subtitle: "a\x00b · חיפה", Matched: "050",
		Marks: []search.Span{{From: 0, To: 6}, {From: 8, To: 13}}, MatchedMarks: []search.Span{{From: 1, To: 99}, {From: -1, To: 2}}}
	want, err := json.Marshal(struct {
		Entity   string   `json:"entity"`
		ID       string   `json:"id"`
		Title    string   `json:"title"`
		Subtitle string   `json:"subtitle"`
		Matched  string   `json:"matched"`
		Marks    [][2]int `json:"marks"`
		In       [][2]int `json:"subtitle_marks"`
		Of       [][2]int `json:"matched_marks"`
	}{h.Entity, id.String(), h.Title, h.Subtitle, h.Matched, [][2]int{{0, 3}, {5, 10}}, [][2]int{}, [][2]int{{1, 3}, {0, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := appendHit(nil, &h)
	if err != nil || string(got) != string(want) {
		t.Errorf("written\n%s, %v; want\n%s", got, err, want)
	}
}
