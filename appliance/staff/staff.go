// Package staff holds the people who work with Karov: their accounts, teams, sign-in, sessions and API tokens.
//
// It owns the buckets staff.accounts, staff.emails (address to account), staff.teams, staff.seating (how often teams
// changed), staff.sessions and staff.tokens (both named by the SHA-256 of their secret, so that a stolen data file opens
// nothing), and the facts staff.added, staff.changed, staff.signed-in, staff.refused, staff.signed-out, team.added,
// team.renamed, team.removed, token.created and token.revoked.
//
// It promises that a password is kept as argon2id only, that a wrong address and a wrong password look and take alike,
// that guessing is slowed down per address and per machine, that disabling an account ends its sessions and tokens at
// once, that another role or team counts from the next request on, and that nobody handles the account of somebody who
// may do more than himself. It will not decide what anybody may do: access does, by the account's role and team.
package staff

import (
	"context"
	"encoding/json"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	accountsBucket = "staff.accounts"
	emailsBucket   = "staff.emails"
	teamsBucket    = "staff.teams"
	seatingBucket  = "staff.seating"
	sessionsBucket = "staff.sessions"
	tokensBucket   = "staff.tokens"
)

// Languages that pages speak.
var languages = []string{"he", "ru", "en"}

// maxEmail is the longest address of an account.
const maxEmail = 320

// Account is a person who signs in.
type Account struct {
	ID       string      `json:"id"`
	Email    string      `json:"email"`
	Name     string      `json:"name"`
	Role     access.Role `json:"role"`
	Team     string      `json:"team,omitempty"`
	Lang     string      `json:"lang"`
	Password string      `json:"password,omitempty"` // PHC string of argon2id; emptied before it leaves the room
	Disabled bool        `json:"disabled,omitempty"`
	Created  time.Time   `json:"created"`
}

// Actor is the account as access knows it.
func (a Account) Actor() access.Actor {
	return access.Actor{ID: a.ID, Role: a.Role, Team: a.Team, Name: a.Name, Lang: a.Lang}
}

// Room keeps the accounts of a store.
type Room struct {
	db      store.DB
	gate    *access.Gate
	journal *journal.Journal
	now     func() time.Time
	guesses *guesses

	seating sync.Mutex // held while the gate is told who is in which team
	seated  uint64     // number of the change of teams that it was told last
}

// New opens the room.
func New(db store.DB, gate *access.Gate, j *journal.Journal, now func() time.Time) *Room {
	return &Room{db: db, gate: gate, journal: j, now: now, guesses: newGuesses(now)}
}

// Draft is what a new account is made of.
type Draft struct {
	Email, Name, Lang, Password string
	Role                        access.Role
}

// Add makes an account. An address that has one already is a Conflict.
func (r *Room) Add(ctx context.Context, d Draft) (Account, error) {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return Account{}, err
	}
	a, err := r.draft(d)
	if err != nil {
		return Account{}, err
	}
	err = r.db.Update(ctx, func(tx store.Tx) error {
		if tx.Bucket(emailsBucket).Get([]byte(a.Email)) != nil {
			return fault.New(fault.Conflict, "staff.exists", "email", a.Email)
		}
		if _, err := r.gate.ParseRoleTx(tx, string(a.Role)); err != nil { // it may have gone since it was looked at
			return err
		}
		if err := r.mayHandle(ctx, a); err != nil {
			return err
		}
		if err := save(tx, a); err != nil {
			return err
		}
		return r.journal.Append(ctx, tx, journal.Fact{Name: "staff.added", Entity: "staff", ID: a.ID, About: map[string]string{"role": string(a.Role)}})
	})
	return a.shown(), err
}

func (r *Room) draft(d Draft) (Account, error) {
	var wrong []fault.Field
	address, err := mail.ParseAddress(strings.TrimSpace(d.Email))
	if err != nil || address.Name != "" || len(address.Address) > maxEmail {
		wrong = append(wrong, fault.Field{Name: "email", Key: "field.email"})
	}
	if len(d.Password) < MinPassword {
		wrong = append(wrong, fault.Field{Name: "password", Key: "staff.password-short", Params: map[string]string{"least": "10"}})
	}
	if len(d.Password) > 1000 {
		wrong = append(wrong, fault.Field{Name: "password", Key: "field.too-long", Params: map[string]string{"limit": "1000"}})
	}
	if _, err := r.gate.ParseRole(string(d.Role)); err != nil {
		wrong = append(wrong, fault.Field{Name: "role", Key: "role.unknown", Params: map[string]string{"role": string(d.Role)}})
	}
	if d.Lang == "" {
		d.Lang = "en"
	}
	if !slices.Contains(languages, d.Lang) {
		wrong = append(wrong, fault.Field{Name: "lang", Key: "field.choice", Params: map[string]string{"choices": "he, ru, en"}})
	}
	if len(wrong) > 0 {
		return Account{}, &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: wrong}
	}
	a := Account{ID: record.NewID().String(), Email: strings.ToLower(address.Address), Name: strings.TrimSpace(d.Name),
		Role: d.Role, Lang: d.Lang, Password: hashPassword(d.Password), Created: r.now().UTC()}
	if a.Name == "" {
		a.Name, _, _ = strings.Cut(a.Email, "@")
	}
	return a, nil
}

func (a Account) shown() Account {
	a.Password = ""
	return a
}

func save(tx store.Tx, a Account) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	tx.Bucket(accountsBucket).Put([]byte(a.ID), raw)
	tx.Bucket(emailsBucket).Put([]byte(a.Email), []byte(a.ID))
	return nil
}

func load(tx store.Tx, id string) (a Account, err error) {
	raw := tx.Bucket(accountsBucket).Get([]byte(id))
	if id == "" || raw == nil {
		return a, fault.Missing("staff", id)
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fault.Wrap(err, fault.Internal, "store.damaged", "what", accountsBucket)
	}
	return a, nil
}

func byEmail(tx store.Tx, email string) (Account, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	if email == "" || len(email) > maxEmail {
		return Account{}, fault.Missing("staff", email)
	}
	return load(tx, string(tx.Bucket(emailsBucket).Get([]byte(email))))
}

// Empty tells whether there is no account yet: the appliance was never set up.
func (r *Room) Empty(ctx context.Context) (empty bool, err error) {
	empty = true
	err = r.db.View(ctx, func(tx store.Tx) error {
		for range tx.Bucket(accountsBucket).Scan(nil, nil, false) {
			empty = false
			break
		}
		return nil
	})
	return empty, err
}

// List gives all accounts, by name, to those who may see the staff.
func (r *Room) List(ctx context.Context) (accounts []Account, err error) {
	if err := r.gate.Require(ctx, access.See, access.Object{Entity: "staff"}); err != nil {
		return nil, err
	}
	err = r.db.View(ctx, func(tx store.Tx) error {
		for id := range tx.Bucket(accountsBucket).Scan(nil, nil, false) {
			a, err := load(tx, string(id))
			if err != nil {
				return err
			}
			accounts = append(accounts, a.shown())
		}
		return nil
	})
	slices.SortFunc(accounts, func(a, b Account) int { return strings.Compare(a.Name, b.Name) })
	return accounts, err
}

// Name gives the name of an account for pages that show who did something, "" where there is none. Anybody signed in
// may know his colleagues' names.
func (r *Room) Name(ctx context.Context, id string) (name string) {
	if access.ActorFrom(ctx).ID == "" {
		return ""
	}
	_ = r.db.View(ctx, func(tx store.Tx) error {
		a, err := load(tx, id)
		name = a.Name
		return err
	})
	return name
}

// ByEmail finds an account by its address, for those who may see the staff.
func (r *Room) ByEmail(ctx context.Context, email string) (a Account, err error) {
	if err := r.gate.Require(ctx, access.See, access.Object{Entity: "staff"}); err != nil {
		return Account{}, err
	}
	err = r.db.View(ctx, func(tx store.Tx) error {
		a, err = byEmail(tx, email)
		return err
	})
	return a.shown(), err
}

// SetLanguage changes the language of the actor's own pages.
func (r *Room) SetLanguage(ctx context.Context, lang string) error {
	if !slices.Contains(languages, lang) {
		return fault.InvalidField("lang", "field.choice", "choices", strings.Join(languages, ", "))
	}
	return r.alter(ctx, access.ActorFrom(ctx).ID, []string{"lang"}, func(_ store.Tx, a *Account) error { a.Lang = lang; return nil })
}

// Disable ends an account: its sessions end and its tokens stop at once. Enabling it again brings back the tokens only.
func (r *Room) Disable(ctx context.Context, id string, disabled bool) error {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return err
	}
	return r.alter(ctx, id, []string{"disabled"}, func(tx store.Tx, a *Account) error {
		if err := r.mayHandle(ctx, *a); err != nil {
			return err
		}
		if disabled && a.Role == access.Owner && owners(tx, id) == 0 {
			return fault.New(fault.Conflict, "staff.last-owner")
		}
		a.Disabled = disabled
		endSessions(tx, id)
		return nil
	})
}

// owners counts the owners who can sign in, but for one account.
func owners(tx store.Tx, but string) (n int) {
	for id := range tx.Bucket(accountsBucket).Scan(nil, nil, false) {
		if a, err := load(tx, string(id)); err == nil && a.Role == access.Owner && !a.Disabled && a.ID != but {
			n++
		}
	}
	return n
}

// Holder makes a hook for records of an entity that belong to an account: it refuses to give one to somebody who is
// not a member of staff. Main hooks it into the book, since the rooms that own those entities do not know this one.
func Holder(field string) record.Hook {
	return func(_ context.Context, tx store.Tx, before, after record.Record) error {
		if !after.Exists() {
			return nil
		}
		id := after.Text(field)
		if id == "" || before.Exists() && before.Text(field) == id {
			return nil
		}
		if _, err := load(tx, id); err != nil {
			return fault.InvalidField(field, "staff.unknown")
		}
		return nil
	}
}

// ResetPassword gives an account a new password and ends its sessions.
func (r *Room) ResetPassword(ctx context.Context, id, password string) error {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return err
	}
	if len(password) < MinPassword || len(password) > 1000 {
		return fault.InvalidField("password", "staff.password-short", "least", MinPassword)
	}
	hashed := hashPassword(password)
	return r.alter(ctx, id, []string{"password"}, func(tx store.Tx, a *Account) error {
		if err := r.mayHandle(ctx, *a); err != nil {
			return err
		}
		a.Password = hashed
		endSessions(tx, id)
		return nil
	})
}

func (r *Room) alter(ctx context.Context, id string, fields []string, change func(store.Tx, *Account) error) error {
	return r.db.Update(ctx, func(tx store.Tx) error {
		a, err := load(tx, id)
		if err != nil {
			return err
		}
		if err := change(tx, &a); err != nil {
			return err
		}
		if err := save(tx, a); err != nil {
			return err
		}
		return r.journal.Append(ctx, tx, journal.Fact{Name: "staff.changed", Entity: "staff", ID: id, Fields: fields})
	})
}
