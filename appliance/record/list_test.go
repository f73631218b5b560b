package record

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
)

// all walks every page of a query.
func (o *office) all(role access.Role, q Query) (found []Record) {
	o.t.Helper()
	for pages := 0; ; pages++ {
		page, err := o.List(as(o.t, role, "dana"), q)
		must(o.t, err)
		found = append(found, page.Records...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return found
		}
		if pages > 10_000 {
			o.t.Fatal("the list does not end")
		}
	}
}

func names(records []Record) (names []string) {
	for _, r := range records {
		names = append(names, r.Text("name"))
	}
	return names
}

func TestSort(t *testing.T) {
	o := open(t)
	for i, name := range []string{"בני", "Zoe", "אדם", "anna", "", "Ärzte", "Борис"} {
		v := Values{"name": name, "seen": time.Date(2026, 1, 20-i, 0, 0, 0, 0, time.UTC)}
		if i == 2 {
			v["seen"] = time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		o.create(v)
	}
	for sort, want := range map[string]string{
		"":      "בני Zoe אדם anna  Ärzte Борис",
		"-":     "Борис Ärzte  anna אדם Zoe בני",
		"name":  "anna Ärzte Zoe Борис אדם בני ",
		"-name": "בני אדם Борис Zoe Ärzte anna ",
		"seen":  "אדם Борис Ärzte  anna Zoe בני",
	} {
		if got := strings.Join(names(o.all(access.Owner, Query{Entity: "contact", Sort: sort, Limit: 2})), " "); got != want {
			t.Errorf("by %q: %q, want %q", sort, got, want)
		}
	}
}

func TestFilterIsExact(t *testing.T) {
	o := open(t)
	long := strings.Repeat("x", maxIndexed)
	for _, id := range []string{"A1", "a1", "A10", "1A", long + "1", long + "2"} {
		o.create(Values{"name": id, "external_id": id})
	}
	for _, id := range []string{"A1", "a1", " 1A ", long + "2"} {
		got := names(o.all(access.Owner, Query{Entity: "contact", Field: "external_id", Value: id}))
		if want := []string{strings.TrimSpace(id)}; !slices.Equal(got, want) {
			t.Errorf("external id %.10q lists %.10q", id, got)
		}
	}
	o.create(Values{"name": "tagged", "tags": []string{"one", "two"}})
	if got := names(o.all(access.Owner, Query{Entity: "contact", Field: "tags", Value: "two"})); !slices.Equal(got, []string{"tagged"}) {
		t.Errorf("tag two lists %q", got)
	}
	parent := o.create(Values{"name": "talker"})
	talk, err := o.Create(as(t, access.Owner), "conversation", Values{"contact": parent.ID})
	must(t, err)
	for _, value := range []any{parent.ID, parent.ID.String()} {
		if got := o.all(access.Owner, Query{Entity: "conversation", Field: "contact", Value: value}); len(got) != 1 || got[0].ID != talk.ID {
			t.Errorf("conversations of %v: %v", value, got)
		}
	}
}

func TestBadQueriesAreRefused(t *testing.T) {
	o := open(t)
	for range 3 {
		o.create(Values{"name": "x", "owner": "dana"})
	}
	page, err := o.List(as(t, access.Owner), Query{Entity: "contact", Sort: "name", Limit: 1})
	must(t, err)
	flipped := []byte(page.Next)
	flipped[0] ^= 1
	for what, q := range map[string]Query{
		"sort by nothing":         {Sort: "nothing"},
		"sort by what is no list": {Sort: "note"},
		"sort by many":            {Sort: "tags"},
		"filter by what is none":  {Field: "note", Value: "x"},
		"filter and sort":         {Field: "kind", Value: "person", Sort: "name"},
		"filter of a wrong type":  {Field: "kind", Value: 7},
		"filter of nothing":       {Field: "kind"},
		"filter of no moment":     {Field: "seen", Value: "noon"},
		"cursor of another sort":  {Sort: "-name", Cursor: page.Next},
		"cursor of another field": {Field: "owner", Value: "dana", Cursor: page.Next},
		"cursor that is flipped":  {Sort: "name", Cursor: string(flipped)},
		"cursor that is cut":      {Sort: "name", Cursor: page.Next[:8]},
		"cursor that is no text":  {Sort: "name", Cursor: "\x00\xff"},
		"cursor that is huge":     {Sort: "name", Cursor: page.Next + strings.Repeat("A", 4096)},
	} {
		q.Entity = "contact"
		_, err := o.List(as(t, access.Owner), q)
		wantKind(t, what, err, "invalid")
	}
}

// TestHostileCursorShowsNothingMore puts keys of others' records into cursors of an agent's lists.
func TestHostileCursorShowsNothingMore(t *testing.T) {
	o := open(t)
	for i := range 20 {
		o.create(Values{"name": fmt.Sprintf("n%02d", i), "owner": []string{"dana", "yossi"}[i%2]})
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, q := range []Query{{}, {Sort: "-"}, {Sort: "name"}, {Sort: "-name"}, {Sort: "owner"}, {Field: "owner", Value: "yossi"}} {
		q.Entity = "contact"
		for range 200 {
			key := make([]byte, 16+rnd.IntN(40))
			for i := range key {
				key[i] = byte(rnd.Uint32())
			}
			key = append([]byte([]string{"", "dana\x00", "yossi\x00", "n01\x00", "\xff\xff"}[rnd.IntN(5)]), key...)
			q.Cursor = base64.RawURLEncoding.EncodeToString(append(querySum(q), key...))
			page, err := o.List(as(t, access.Agent, "dana"), q)
			if err != nil {
				wantKind(t, "list", err, "invalid")
			}
			for _, r := range page.Records {
				if r.Text("owner") != "dana" {
					t.Fatalf("cursor %q shows a record of %s", q.Cursor, r.Text("owner"))
				}
			}
		}
	}
}

// TestPagingMeetsEachRecordOnce pages while others insert and change.
func TestPagingMeetsEachRecordOnce(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	var made []ID
	for i := range 60 {
		made = append(made, o.create(Values{"name": fmt.Sprintf("n%02d", i*7%60), "owner": "dana"}).ID)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for writer := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				r, err := o.Create(ctx, "contact", Values{"name": fmt.Sprintf("n%02d", (i*11+writer)%60), "owner": "dana"})
				if err == nil {
					_, err = o.Change(ctx, "contact", r.ID, 1, Values{"note": "x"})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	for _, role := range []access.Role{access.Owner, access.Agent} {
		for _, sort := range []string{"-", "-name", "name"} {
			met := map[ID]int{}
			q := Query{Entity: "contact", Sort: sort, Limit: 7}
			for pages := 0; pages < 40; pages++ { // by name the writers can stay ahead of the reader for ever
				page, err := o.List(as(t, role, "dana"), q)
				must(t, err)
				for _, r := range page.Records {
					met[r.ID]++
				}
				if q.Cursor = page.Next; q.Cursor == "" {
					break
				}
			}
			for id, n := range met {
				if n != 1 {
					t.Errorf("%s by %q met %s %d times", role, sort, id, n)
				}
			}
			for _, id := range made {
				if met[id] != 1 && (q.Cursor == "" || sort == "-") {
					t.Errorf("%s by %q missed %s", role, sort, id)
				}
			}
		}
	}
}

func TestLimits(t *testing.T) {
	o := open(t)
	for range MaxLimit + 10 {
		o.create(Values{"name": "x"})
	}
	for limit, want := range map[int]int{-1: DefaultLimit, 0: DefaultLimit, 3: 3, 1 << 30: MaxLimit} {
		page, err := o.List(as(t, access.Owner), Query{Entity: "contact", Limit: limit})
		must(t, err)
		if len(page.Records) != want || page.Next == "" {
			t.Errorf("limit %d gives %d records", limit, len(page.Records))
		}
	}
}

func TestCountWithSortOrKeepCountsWhatIsListed(t *testing.T) {
	o := open(t)
	for i := range 10 {
		v := Values{"name": fmt.Sprint(i), "owner": "dana"}
		if i < 4 {
			v["seen"] = time.Unix(int64(i+1), 0)
		}
		o.create(v)
	}
	for _, role := range []access.Role{access.Owner, access.Agent} {
		for want, q := range map[int]Query{
			4:  {Sort: "seen", Valued: true},
			10: {Sort: "-seen"},
			3:  {Keep: func(r Record) bool { return r.Text("name") < "3" }},
			1:  {Field: "name", Value: "7"},
		} {
			q.Entity = "contact"
			n, exact, err := o.Count(as(t, role, "dana"), q)
			must(t, err)
			if n != want || !exact || len(o.all(role, q)) != want {
				t.Errorf("%s counts %d, exact %v, want %d", role, n, exact, want)
			}
		}
	}
}
