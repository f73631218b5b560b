package record

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// tree is a thing, a part of it and a scrap of the part.
func (s *shop) tree(owner string) (thing, part, scrap Record) {
	s.t.Helper()
	ctx := as(s.t, access.Owner)
	thing, err := s.Create(ctx, "thing", Values{"name": "tree", "owner": owner})
	must(s.t, err)
	part, err = s.Create(ctx, "part", Values{"of": thing.ID, "name": "part"})
	must(s.t, err)
	scrap, err = s.Create(ctx, "scrap", Values{"of": part.ID, "name": "scrap"})
	must(s.t, err)
	return thing, part, scrap
}

// sees tells which of the three entities' one record somebody gets, lists and counts; all three doors must agree.
func (s *shop) sees(ctx context.Context, of ...Record) (seen string) {
	s.t.Helper()
	for _, r := range of {
		_, err := s.Get(ctx, r.Entity(), r.ID)
		listed := 0
		for _, sort := range []string{"", "-name"} {
			page, err := s.List(ctx, Query{Entity: r.Entity(), Sort: sort})
			must(s.t, err)
			if slices.ContainsFunc(page.Records, func(found Record) bool { return found.ID == r.ID }) {
				listed++
			}
		}
		n, exact, countErr := s.Count(ctx, Query{Entity: r.Entity()})
		must(s.t, countErr)
		if (err == nil) != (listed == 2) || (err == nil) != (n == 1) || !exact {
			s.t.Errorf("%s as %s: got %v, listed %d times of 2, counted %d", r.Entity(), access.ActorFrom(ctx).ID, err, listed, n)
		}
		if err == nil {
			seen += r.Entity()[:1]
		}
	}
	return seen
}

// TestStandingReachesWhatHangsBelow hands over, shares, deletes and restores a thing, and looks at its parts.
func TestStandingReachesWhatHangsBelow(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	thing, part, scrap := s.tree("dana")
	dana, yossi, anna := as(t, "mine", "dana"), as(t, "mine", "yossi"), as(t, "mine", "anna")
	team := as(t, "whole-team", "yossi")
	want := func(when string, forDana, forYossi, forAnna, forTeam string) {
		t.Helper()
		for who, c := range map[string]struct {
			ctx  context.Context
			want string
		}{"dana": {dana, forDana}, "yossi": {yossi, forYossi}, "anna": {anna, forAnna}, "yossi for his team": {team, forTeam}} {
			if got := s.sees(c.ctx, thing, part, scrap); got != c.want {
				t.Errorf("%s, %s sees %q, want %q", when, who, got, c.want)
			}
		}
		must(t, s.Check(owner))
	}
	want("owned by dana", "tps", "", "", "tps")
	must(t, s.Share(owner, "thing", thing.ID, access.Share{Subject: "anna"}))
	want("shared with anna", "tps", "", "tps", "tps")
	r, err := s.Change(owner, "thing", thing.ID, thing.Version(), Values{"owner": "yossi"})
	must(t, err)
	want("handed over to yossi", "", "tps", "tps", "tps")
	must(t, s.Unshare(owner, "thing", thing.ID, "anna"))
	want("unshared", "", "tps", "", "tps")
	must(t, s.Share(owner, "part", part.ID, access.Share{Subject: "anna"}))
	want("only the part shared", "", "tps", "ps", "tps")
	must(t, s.Share(owner, "thing", thing.ID, access.Share{Subject: "team:south", Change: true}))
	want("shared with the south", "", "tps", "tps", "tps")
	must(t, s.Delete(owner, "thing", thing.ID, r.Version()))
	if got := s.sees(yossi, part, scrap); got != "" {
		t.Errorf("of a deleted thing yossi sees %q", got)
	}
	if got := s.sees(anna, part, scrap); got != "ps" {
		t.Errorf("of a deleted thing anna sees %q, want what is shared with her", got)
	}
	must(t, s.Check(owner))
	_, err = s.Restore(owner, "thing", thing.ID)
	must(t, err)
	want("restored", "", "tps", "tps", "tps")
	s.gate.SetTeams(map[string]string{"dana": "south"})
	want("dana alone in the south", "tps", "tps", "ps", "tps")
}

// TestShareGivesNoVerbThatTheRoleLacks tries what a share lends.
func TestShareGivesNoVerbThatTheRoleLacks(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	thing, _, _ := s.tree("yossi")
	anna := as(t, "mine", "anna")
	change := func(ctx context.Context) error {
		now, err := s.Get(ctx, "thing", thing.ID)
		if err != nil {
			return err
		}
		_, err = s.Change(ctx, "thing", thing.ID, now.Version(), Values{"name": "changed by " + access.ActorFrom(ctx).ID + fmt.Sprint(now.Version())})
		return err
	}
	wantKind(t, "change without a share", change(anna), "not-found")
	must(t, s.Share(owner, "thing", thing.ID, access.Share{Subject: "anna"}))
	wantKind(t, "change with a share to see", change(anna), "forbidden")
	must(t, s.Share(owner, "thing", thing.ID, access.Share{Subject: "anna", Change: true}))
	wantKind(t, "change with a share to change", change(anna), "")
	wantKind(t, "delete with a share to change", s.Delete(anna, "thing", thing.ID, 2), "forbidden")
	wantKind(t, "share it on", s.Share(anna, "thing", thing.ID, access.Share{Subject: "dana"}), "forbidden")
	wantKind(t, "take the share of another", s.Unshare(anna, "thing", thing.ID, "anna"), "forbidden")
	must(t, s.Share(owner, "thing", thing.ID, access.Share{Subject: "v", Change: true}))
	wantKind(t, "change by a role that sees nothing", change(as(t, access.Viewer, "v")), "not-found")
	for _, subject := range []string{"", "a\x00b", string(make([]byte, 300))} {
		wantKind(t, "share with nobody", s.Share(owner, "thing", thing.ID, access.Share{Subject: subject}), "invalid")
	}
	must(t, s.Check(owner))
}

// TestHandingOverALongHistory moves a thing with many parts.
func TestHandingOverALongHistory(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	thing, _, _ := s.tree("dana")
	const parts = 3000
	must(t, s.Update(owner, func(tx store.Tx) error {
		for i := range parts - 1 {
			_, err := s.CreateTx(owner, tx, Change{Entity: "part", Inside: true, Fact: "-", Values: Values{"of": thing.ID, "name": fmt.Sprint(i)}})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	_, err := s.Change(owner, "thing", thing.ID, thing.Version(), Values{"owner": "anna"})
	must(t, err)
	for who, want := range map[string]int{"dana": 0, "anna": parts} {
		if n, err := s.CountAll(as(t, "mine", who), Query{Entity: "part", Sort: "name"}); err != nil || n != want {
			t.Errorf("%s has %d parts, %v, want %d", who, n, err, want)
		}
	}
	must(t, s.Check(owner))
}

// TestRingOfLinksEnds makes a part hang on a thing and records hang on each other.
func TestRingOfLinksEnds(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	a, _, _ := s.tree("dana")
	b, err := s.Create(owner, "thing", Values{"name": "b", "over": a.ID})
	must(t, err)
	_, err = s.Change(owner, "thing", a.ID, a.Version(), Values{"over": b.ID})
	must(t, err)
	f, err := s.Parse(owner, "thing", `over.over.over.name = "b"`)
	must(t, err)
	if n, err := s.CountAll(owner, Query{Entity: "thing", Filter: f}); err != nil || n != 1 {
		t.Errorf("through a ring of links: %d, %v", n, err)
	}
}
