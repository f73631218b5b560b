package frame_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

// door is a staff room with one account; it stands in because these tests are about the frame.
type door struct {
	sessions map[string]access.Actor
	tries    int
}

func (d *door) SignIn(_ context.Context, email, password, _ string) (string, error) {
	if d.tries++; d.tries > 5 {
		return "", fault.New(fault.TooMany, "failure.too-many.text")
	}
	if email != "dana@office.example" || password != "correct horse" {
		return "", fault.New(fault.Unauthenticated, "signin.wrong")
	}
	d.sessions["token-of-dana"] = access.Actor{ID: "dana", Name: "דנה לוי", Role: access.Owner}
	return "token-of-dana", nil
}

func (d *door) Session(_ context.Context, token string) (access.Actor, error) {
	if a, ok := d.sessions[token]; ok {
		return a, nil
	}
	return access.Actor{}, fault.New(fault.Unauthenticated, "signin.needed")
}

func (d *door) SignOut(_ context.Context, token string) error {
	delete(d.sessions, token)
	return nil
}

func (d *door) SetLanguage(ctx context.Context, lang string) error {
	for token, a := range d.sessions {
		if a.ID == access.ActorFrom(ctx).ID {
			a.Lang = lang
			d.sessions[token] = a
		}
	}
	return nil
}

func newFrame(t *testing.T, change func(*frame.Options)) (*frame.Frame, *door) {
	t.Helper()
	d := &door{sessions: map[string]access.Actor{}}
	o := frame.Options{
		Auth: d, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Zone: time.UTC, Office: "Office", Language: "he",
		Now: func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) },
	}
	if change != nil {
		change(&o)
	}
	f, err := frame.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f, d
}

func serve(t *testing.T, f *frame.Frame) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}
