package kit

import "context"

// Report is what became of all checks.
type Report struct {
	ID      string              `json:"id"`
	Version string              `json:"version"`
	Grade   Grade               `json:"grade"`
	Next    Grade               `json:"next,omitempty"`  // the grade after it, "" after gold
	Lacks   map[string][]string `json:"lacks,omitempty"` // for the next grade: by check, what is wrong or missing
	Results []Result            `json:"results"`
}

// Test puts a plugin through all checks. Told hears each result as it comes; nil for nobody.
func (s *Subject) Test(ctx context.Context, told func(Result)) Report {
	r := Report{ID: s.m.ID, Version: s.m.Version}
	for _, c := range Checks() {
		result := s.Run(ctx, c)
		r.Results = append(r.Results, result)
		if told != nil {
			told(result)
		}
		if c.first && result.Outcome == Failed {
			break // what does not start, fails at all that follows
		}
	}
	r.judge()
	return r
}

// judge gives the grade: the highest below which everything passed or is not about such a plugin.
func (r *Report) judge() {
	r.Grade = NoGrade
	for _, g := range []Grade{Bronze, Silver, Gold} {
		lacks := map[string][]string{}
		for _, result := range r.Results {
			if result.Grade == g && (result.Outcome == Failed || result.Outcome == Missing) {
				lacks[result.Name] = result.Notes
			}
		}
		if len(lacks) > 0 {
			r.Next, r.Lacks = g, lacks
			return
		}
		r.Grade = g
	}
}

// Reaches tells whether the grade is at least another.
func (r *Report) Reaches(g Grade) bool {
	rank := map[Grade]int{NoGrade: 0, Bronze: 1, Silver: 2, Gold: 3}
	return rank[r.Grade] >= rank[g]
}
