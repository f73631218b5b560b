package staff

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

const secretWord = "correct horse battery"

type office struct {
	*Room
	t    testing.TB
	mu   sync.Mutex
	at   time.Time
	dana Account
}

// open is a room with one account: Dana, an agent.
func open(t testing.TB) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	gate, err := access.NewGate()
	must(t, err)
	o := &office{t: t, at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	o.Room = New(db, gate, journal.New(db, o.clock), o.clock)
	o.dana, err = o.Add(as(t, access.Owner), Draft{Email: "Dana@Example.com", Name: "Dana", Password: secretWord, Role: access.Agent, Lang: "he"})
	must(t, err)
	return o
}

func (o *office) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at = o.at.Add(d)
}

func as(t testing.TB, role access.Role) context.Context {
	return access.WithActor(t.Context(), access.Actor{ID: string(role), Role: role})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

func wantKind(t testing.TB, what string, err error, kind string) {
	t.Helper()
	got := ""
	if err != nil {
		got = fault.KindOf(err).String()
	}
	if got != kind {
		t.Errorf("%s = %q (%v), want %q", what, got, err, kind)
	}
}

func (o *office) signIn() string {
	o.t.Helper()
	secret, _, err := o.SignIn(o.t.Context(), "dana@example.com", secretWord, "desk")
	must(o.t, err)
	return secret
}

func (o *office) session(secret string) error { return second(o.Session(o.t.Context(), secret)) }

func TestAccounts(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	if o.dana.Email != "dana@example.com" || o.dana.Password != "" || o.dana.Role != access.Agent {
		t.Errorf("the account is %+v", o.dana)
	}
	wantKind(t, "same address", second(o.Add(owner, Draft{Email: " DANA@example.com ", Password: secretWord, Role: access.Viewer})), "conflict")
	for field, d := range map[string]Draft{
		"email": {Email: "x", Password: secretWord, Role: access.Viewer}, "password": {Email: "a@b.example", Password: "short", Role: access.Viewer},
		"role": {Email: "a@b.example", Password: secretWord, Role: access.System}, "lang": {Email: "a@b.example", Password: secretWord, Role: access.Viewer, Lang: "xx"},
	} {
		_, err := o.Add(owner, d)
		wantKind(t, field, err, "invalid")
		if fields := fault.Of(err).Fields; len(fields) != 1 || fields[0].Name != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	wantKind(t, "endless address", second(o.Add(owner, Draft{Email: strings.Repeat("x", 400) + "@b.example", Password: secretWord, Role: access.Viewer})), "invalid")
	wantKind(t, "endless password", second(o.Add(owner, Draft{Email: "a@b.example", Password: strings.Repeat("x", 1001), Role: access.Viewer})), "invalid")
	must(t, second(o.Add(owner, Draft{Email: "avi@example.com", Password: secretWord, Role: access.Viewer})))
	list, err := o.List(as(t, access.Viewer))
	must(t, err)
	if len(list) != 2 || list[0].Name != "Dana" || list[1].Name != "avi" || list[0].Password != "" || list[1].Lang != "en" {
		t.Errorf("List = %+v", list)
	}
	if o.Name(as(t, access.Agent), o.dana.ID) != "Dana" || o.Name(t.Context(), o.dana.ID) != "" || o.Name(as(t, access.Agent), "x") != "" {
		t.Error("Name tells too much or too little")
	}
	if empty, err := o.Empty(t.Context()); empty || err != nil {
		t.Errorf("Empty = %v, %v", empty, err)
	}
	me := access.WithActor(t.Context(), o.dana.Actor())
	must(t, o.SetLanguage(me, "ru"))
	wantKind(t, "language", o.SetLanguage(me, "xx"), "invalid")
	if a, err := o.ByEmail(owner, "dana@example.com"); err != nil || a.Lang != "ru" || a.Password != "" {
		t.Errorf("ByEmail = %+v, %v", a, err)
	}
}

func TestOnlyThoseWhoMay(t *testing.T) {
	o := open(t)
	for door, c := range map[string]struct {
		knock            func(context.Context) error
		manager, strange string
	}{
		"add":      {func(ctx context.Context) error { return second(o.Add(ctx, Draft{})) }, "forbidden", "forbidden"},
		"list":     {func(ctx context.Context) error { return second(o.List(ctx)) }, "", "forbidden"},
		"by email": {func(ctx context.Context) error { return second(o.ByEmail(ctx, "dana@example.com")) }, "", "forbidden"},
		"disable":  {func(ctx context.Context) error { return o.Disable(ctx, o.dana.ID, true) }, "forbidden", "forbidden"},
		"reset":    {func(ctx context.Context) error { return o.ResetPassword(ctx, o.dana.ID, secretWord) }, "forbidden", "forbidden"},
		"token":    {func(ctx context.Context) error { _, _, err := o.CreateToken(ctx, o.dana.ID, "x"); return err }, "forbidden", "forbidden"},
		"tokens":   {func(ctx context.Context) error { return second(o.Tokens(ctx)) }, "forbidden", "forbidden"},
		"revoke":   {func(ctx context.Context) error { return o.RevokeToken(ctx, "x") }, "forbidden", "forbidden"},
	} {
		wantKind(t, door+" by a manager", c.knock(as(t, access.Manager)), c.manager)
		wantKind(t, door+" by an agent", c.knock(as(t, access.Agent)), c.strange)
		wantKind(t, door+" by a plugin", c.knock(as(t, access.Plugin)), "forbidden")
		wantKind(t, door+" by nobody", c.knock(t.Context()), "unauthenticated")
	}
}

func TestSession(t *testing.T) {
	o := open(t)
	secret := o.signIn()
	a, err := o.Session(t.Context(), secret)
	must(t, err)
	if a.ID != o.dana.ID || a.Password != "" {
		t.Errorf("the session is of %+v", a)
	}
	for _, bad := range []string{"", "x", secret + "x", strings.Repeat("x", 1<<20)} {
		wantKind(t, "a false secret", o.session(bad), "unauthenticated")
	}
	for range 5 {
		o.pass(sessionLife - time.Hour)
		wantKind(t, "a session in use", o.session(secret), "")
	}
	o.pass(sessionLife + time.Second)
	wantKind(t, "a session that nobody used", o.session(secret), "unauthenticated")

	secret, other := o.signIn(), o.signIn()
	must(t, o.SignOut(t.Context(), secret))
	must(t, o.SignOut(t.Context(), secret))
	wantKind(t, "after signing out", o.session(secret), "unauthenticated")
	wantKind(t, "the other session", o.session(other), "")
}

func TestDisabledAndReset(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	secret := o.signIn()
	token, _, err := o.CreateToken(owner, o.dana.ID, "script")
	must(t, err)
	must(t, o.Disable(owner, o.dana.ID, true))
	wantKind(t, "session of a disabled account", o.session(secret), "unauthenticated")
	wantKind(t, "token of a disabled account", second(o.Token(t.Context(), token)), "unauthenticated")
	_, _, err = o.SignIn(t.Context(), "dana@example.com", secretWord, "desk")
	wantKind(t, "sign-in of a disabled account", err, "unauthenticated")
	must(t, o.Disable(owner, o.dana.ID, false))
	wantKind(t, "a session from before", o.session(secret), "unauthenticated")
	wantKind(t, "token of an enabled account", second(o.Token(t.Context(), token)), "")

	secret = o.signIn()
	wantKind(t, "short password", o.ResetPassword(owner, o.dana.ID, "short"), "invalid")
	must(t, o.ResetPassword(owner, o.dana.ID, "another "+secretWord))
	wantKind(t, "a session from before the reset", o.session(secret), "unauthenticated")
	_, _, err = o.SignIn(t.Context(), "dana@example.com", secretWord, "desk")
	wantKind(t, "the old password", err, "unauthenticated")
	_, _, err = o.SignIn(t.Context(), "dana@example.com", "another "+secretWord, "desk")
	wantKind(t, "the new password", err, "")
	wantKind(t, "reset of nobody", o.ResetPassword(owner, "x", secretWord), "not-found")
	wantKind(t, "disabling nobody", o.Disable(owner, "x", true), "not-found")
}

func TestTokens(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	secret, made, err := o.CreateToken(owner, o.dana.ID, "script")
	must(t, err)
	if a, err := o.Token(t.Context(), secret); err != nil || a.ID != o.dana.ID || a.Password != "" || !strings.HasPrefix(secret, tokenPrefix) {
		t.Errorf("the token acts as %+v, %v", a, err)
	}
	wantKind(t, "a token as a session", o.session(secret), "unauthenticated")
	wantKind(t, "a session as a token", second(o.Token(t.Context(), o.signIn())), "unauthenticated")
	_, _, err = o.CreateToken(owner, "nobody", "x")
	wantKind(t, "token of nobody", err, "not-found")
	list, err := o.Tokens(owner)
	must(t, err)
	if raw, _ := json.Marshal(list); len(list) != 1 || list[0].ID != made.ID || strings.Contains(string(raw), secret) {
		t.Errorf("Tokens = %s", raw)
	}
	must(t, o.RevokeToken(owner, made.ID))
	wantKind(t, "a revoked token", second(o.Token(t.Context(), secret)), "unauthenticated")
	wantKind(t, "a second revoke", o.RevokeToken(owner, made.ID), "not-found")
}

// TestNoSecretStandsInTheStore reads every key and value for what would open something.
func TestNoSecretStandsInTheStore(t *testing.T) {
	o := open(t)
	session := o.signIn()
	token, _, err := o.CreateToken(as(t, access.Owner), o.dana.ID, "script")
	must(t, err)
	must(t, o.db.View(t.Context(), func(tx store.Tx) error {
		for _, bucket := range tx.Buckets() {
			for k, v := range tx.Bucket(bucket).Scan(nil, nil, false) {
				for _, secret := range []string{secretWord, session, token} {
					if strings.Contains(string(k)+string(v), secret) {
						t.Errorf("%s keeps a secret", bucket)
					}
				}
			}
		}
		return nil
	}))
}

func TestFactsOfSignIn(t *testing.T) {
	o := open(t)
	_, _, _ = o.SignIn(t.Context(), "dana@example.com", "wrong", "desk")
	_, _, _ = o.SignIn(t.Context(), "nobody@example.com", "wrong", "desk")
	must(t, o.SignOut(access.WithActor(t.Context(), o.dana.Actor()), o.signIn()))
	facts, err := o.journal.After(t.Context(), 0, 10)
	must(t, err)
	var got []string
	for _, f := range facts {
		got = append(got, f.Name+map[bool]string{true: " dana"}[f.ID == o.dana.ID])
	}
	if want := "staff.added dana|staff.refused dana|staff.refused|staff.signed-in dana|staff.signed-out dana"; strings.Join(got, "|") != want {
		t.Errorf("facts %v, want %s", got, want)
	}
}

func TestLastOwnerStays(t *testing.T) {
	o := open(t)
	ctx := access.WithActor(t.Context(), access.Appliance())
	add := func(email string) string {
		a, err := o.Add(ctx, Draft{Email: email, Password: secretWord, Role: access.Owner})
		must(t, err)
		return a.ID
	}
	first := add("first@office.example")
	if err := o.Disable(ctx, first, true); err == nil || fault.Of(err).Key != "staff.last-owner" {
		t.Errorf("the last owner was disabled: %v", err)
	}
	second := add("second@office.example")
	must(t, o.Disable(ctx, first, true))
	if err := o.Disable(ctx, second, true); err == nil {
		t.Error("the second owner went too")
	}
}
