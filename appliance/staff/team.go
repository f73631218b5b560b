package staff

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// maxTeamName is the longest name of a team, in letters.
const maxTeamName = 100

// Team is a group of accounts: a role may let each see the records of all. An account is in one team or in none.
type Team struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Members int    `json:"members"` // how many accounts are in it
}

// storedTeam is a team as it lies in the store.
type storedTeam struct {
	Name string `json:"name"`
}

// Seat tells the gate who is in which team. The appliance calls it once, before anybody can ask for anything; each later
// change tells it by itself.
func (r *Room) Seat(ctx context.Context) error {
	return r.db.View(ctx, func(tx store.Tx) error {
		of, err := seats(tx)
		if err != nil {
			return err
		}
		r.seat(seating(tx), of)
		return nil
	})
}

// seat lets the gate know, unless it was told something newer already.
func (r *Room) seat(number uint64, of map[string]string) {
	r.seating.Lock()
	defer r.seating.Unlock()
	if number >= r.seated {
		r.gate.SetTeams(of)
		r.seated = number
	}
}

// reseat counts a change of who is in which team, and tells the gate once it is durable.
func (r *Room) reseat(tx store.Tx) error {
	of, err := seats(tx)
	if err != nil {
		return err
	}
	number := seating(tx) + 1
	tx.Bucket(seatingBucket).Put(seatingKey, binary.BigEndian.AppendUint64(nil, number))
	tx.OnCommit(func() { r.seat(number, of) })
	return nil
}

var seatingKey = []byte("number")

// seating is how many changes of teams there were: by it, a change that is told late is known from the newest.
func seating(tx store.Tx) uint64 {
	if raw := tx.Bucket(seatingBucket).Get(seatingKey); len(raw) == 8 {
		return binary.BigEndian.Uint64(raw)
	}
	return 0
}

// seats reads who is in which team. A disabled account stays in its own: its customers are still the team's.
func seats(tx store.Tx) (map[string]string, error) {
	of := map[string]string{}
	for id := range tx.Bucket(accountsBucket).Scan(nil, nil, false) {
		a, err := load(tx, string(id))
		if err != nil {
			return nil, err
		}
		if a.Team != "" {
			of[a.ID] = a.Team
		}
	}
	return of, nil
}

// teamName looks at the name of a team and gives it as it is kept.
func teamName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", fault.InvalidField("name", "field.required")
	case utf8.RuneCountInString(name) > maxTeamName:
		return "", fault.InvalidField("name", "field.too-long", "limit", maxTeamName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	}):
		return "", fault.InvalidField("name", "field.malformed")
	}
	return name, nil
}

// TeamAdd makes a team without members. Two teams of one name are a Conflict.
func (r *Room) TeamAdd(ctx context.Context, name string) (Team, error) {
	return r.TeamAddOnce(ctx, record.NewID(), name)
}

// TeamAddOnce is TeamAdd under an id, for a program that may ask twice: the team that stands there already is given as it
// is.
func (r *Room) TeamAddOnce(ctx context.Context, id record.ID, name string) (t Team, err error) {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return Team{}, err
	}
	if name, err = teamName(name); err != nil {
		return Team{}, err
	}
	err = r.db.Update(ctx, func(tx store.Tx) error {
		switch t, err = loadTeam(tx, id.String()); {
		case err == nil:
			of, err := seats(tx)
			t.Members = members(of, t.ID)
			return err
		case fault.KindOf(err) != fault.NotFound:
			return err
		}
		t = Team{ID: id.String(), Name: name}
		if err := saveTeam(tx, t.ID, name); err != nil {
			return err
		}
		return r.journal.Append(ctx, tx, journal.Fact{Name: "team.added", Entity: "team", ID: t.ID})
	})
	if err != nil {
		return Team{}, err
	}
	return t, nil
}

// TeamRename gives a team another name.
func (r *Room) TeamRename(ctx context.Context, id, name string) error {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return err
	}
	name, err := teamName(name)
	if err != nil {
		return err
	}
	return r.db.Update(ctx, func(tx store.Tx) error {
		if _, err := loadTeam(tx, id); err != nil {
			return err
		}
		if err := saveTeam(tx, id, name); err != nil {
			return err
		}
		return r.journal.Append(ctx, tx, journal.Fact{Name: "team.renamed", Entity: "team", ID: id})
	})
}

// TeamRemove takes a team away. One that has members is a Conflict, since they would all at once see less. What was
// shared with it is nobody's then.
func (r *Room) TeamRemove(ctx context.Context, id string) error {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return err
	}
	return r.db.Update(ctx, func(tx store.Tx) error {
		if _, err := loadTeam(tx, id); err != nil {
			return err
		}
		of, err := seats(tx)
		if err != nil {
			return err
		}
		if n := members(of, id); n > 0 {
			return fault.New(fault.Conflict, "team.in-use", "accounts", n)
		}
		if err := r.journal.Append(ctx, tx, journal.Fact{Name: "team.removed", Entity: "team", ID: id}); err != nil {
			return err
		}
		tx.Bucket(teamsBucket).Delete([]byte(id))
		return nil
	})
}

// Teams lists all teams by name, to those who may see the staff.
func (r *Room) Teams(ctx context.Context) (teams []Team, err error) {
	if err := r.gate.Require(ctx, access.See, access.Object{Entity: "staff"}); err != nil {
		return nil, err
	}
	err = r.db.View(ctx, func(tx store.Tx) error {
		of, err := seats(tx)
		if err != nil {
			return err
		}
		for id := range tx.Bucket(teamsBucket).Scan(nil, nil, false) {
			t, err := loadTeam(tx, string(id))
			if err != nil {
				return err
			}
			t.Members = members(of, t.ID)
			teams = append(teams, t)
		}
		return nil
	})
	slices.SortFunc(teams, func(a, b Team) int { return strings.Compare(a.Name, b.Name) })
	return teams, err
}

func members(of map[string]string, team string) (n int) {
	for _, t := range of {
		if t == team {
			n++
		}
	}
	return n
}

func loadTeam(tx store.Tx, id string) (Team, error) {
	raw := tx.Bucket(teamsBucket).Get([]byte(id))
	if id == "" || raw == nil {
		return Team{}, fault.Missing("team", id)
	}
	var t storedTeam
	if err := json.Unmarshal(raw, &t); err != nil {
		return Team{}, fault.Wrap(err, fault.Internal, "store.damaged", "what", teamsBucket)
	}
	return Team{ID: id, Name: t.Name}, nil
}

// saveTeam keeps a team's name, unless another team has it.
func saveTeam(tx store.Tx, id, name string) error {
	raw, err := json.Marshal(storedTeam{Name: name})
	if err != nil {
		return err
	}
	for other, taken := range tx.Bucket(teamsBucket).Scan(nil, nil, false) {
		if bytes.Equal(taken, raw) && string(other) != id {
			return fault.New(fault.Conflict, "team.exists", "name", name)
		}
	}
	tx.Bucket(teamsBucket).Put([]byte(id), raw)
	return nil
}

// SetTeam puts an account into a team, or into none with "". It counts from the account's next request on.
func (r *Room) SetTeam(ctx context.Context, account, team string) error {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return err
	}
	return r.alter(ctx, account, []string{"team"}, func(tx store.Tx, a *Account) error {
		if team != "" {
			if _, err := loadTeam(tx, team); err != nil {
				return err
			}
		}
		if err := r.mayHandle(ctx, *a); err != nil {
			return err
		}
		a.Team = team
		if err := save(tx, *a); err != nil { // now, because reseat reads it
			return err
		}
		return r.reseat(tx)
	})
}

// SetRole gives an account another role: a built-in one, or one of the office's own. It counts from the account's next
// request on. Nobody gives a role that may do more than he may himself.
func (r *Room) SetRole(ctx context.Context, account string, role access.Role) error {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return err
	}
	return r.alter(ctx, account, []string{"role"}, func(tx store.Tx, a *Account) error {
		if _, err := r.gate.ParseRoleTx(tx, string(role)); err != nil {
			return err
		}
		if err := r.mayHandle(ctx, *a); err != nil {
			return err
		}
		if a.Role == access.Owner && role != access.Owner && !a.Disabled && owners(tx, a.ID) == 0 {
			return fault.New(fault.Conflict, "staff.last-owner")
		}
		a.Role = role
		return r.mayHandle(ctx, *a)
	})
}

// mayHandle refuses an account to those who may do less than it may: by its password, its token or its role they could
// do what they may not.
func (r *Room) mayHandle(ctx context.Context, a Account) error {
	if r.gate.Within(ctx, a.Role) {
		return nil
	}
	return fault.New(fault.Forbidden, "role.beyond-yours", "role", a.Role)
}

// Holders counts the accounts that have a role, disabled ones too: access keeps a role that somebody has.
func (r *Room) Holders(tx store.Tx, role access.Role) (n int, err error) {
	for id := range tx.Bucket(accountsBucket).Scan(nil, nil, false) {
		a, err := load(tx, string(id))
		if err != nil {
			return 0, err
		}
		if a.Role == role {
			n++
		}
	}
	return n, nil
}
