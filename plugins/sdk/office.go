package sdk

import (
	"context"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// About describes the office.
type About struct {
	Name     string
	Language string // "he", "ru" or "en"
	TimeZone string // IANA name, "Asia/Jerusalem"
	Country  string // ISO 3166-1, two letters
	Currency string // ISO 4217
}

// Location loads the office's time zone. A plugin that may run where the machine has no time zones imports
// time/tzdata.
func (a About) Location() (*time.Location, error) { return time.LoadLocation(a.TimeZone) }

// Office tells a plugin where it is, speaks to people for it, and writes for it what must be known later.
type Office interface {
	// About describes the office. It may change while the plugin runs.
	About(ctx context.Context) (About, error)
	// Say makes a sentence of the plugin's locale folder in a language, "" for the office's own: for a message to a
	// customer. What people of the office see (views, refusals, notes) needs no Say; Karov makes it in each one's language.
	Say(ctx context.Context, language string, words Words) (string, error)
	// Audit writes to the office's audit what the plugin did outside of Karov's sight, at most 1,000 times a minute. The act
	// is lower-case words with hyphens, "invoice-sent"; about has at most 10 short values that identify no person.
	Audit(ctx context.Context, act string, on Ref, about map[string]string) error
	// Emit tells the journal a fact of the plugin's own, "<plugin id>.<name>": other plugins that may see the record hear it,
	// and it stands on the customer's timeline where the plugin has the sentence "fact.<plugin id>.<name>", with {name} for
	// who did it and what about holds.
	Emit(ctx context.Context, name string, on Ref, about map[string]string) error
	// Enqueue asks for one call of one of the plugin's Jobs at job.Due, at once where that is zero, at least once, also
	// after a fall. The same Name and Key again move it and change its payload. Attempt is not looked at.
	Enqueue(ctx context.Context, job Job) error
	// Cancel takes a call back that was asked for and has not begun. One that is not there is no error.
	Cancel(ctx context.Context, job, key string) error
}

// office is Office over the line.
type office struct{ client wirev1.OfficeClient }

// About describes the office.
func (c office) About(ctx context.Context) (About, error) {
	a, err := call(ctx, c.client.About, &wirev1.AboutRequest{})
	if err != nil {
		return About{}, err
	}
	return About{
		Name: a.GetName(), Language: a.GetLanguage(), TimeZone: a.GetTimeZone(),
		Country: a.GetCountry(), Currency: a.GetCurrency(),
	}, nil
}

// Say makes a sentence.
func (c office) Say(ctx context.Context, language string, words Words) (string, error) {
	answer, err := call(ctx, c.client.Say, &wirev1.SayRequest{Language: wire.Valid(language), Words: words.wire()})
	return answer.GetText(), err
}

// Audit writes an entry.
func (c office) Audit(ctx context.Context, act string, on Ref, about map[string]string) error {
	ask := &wirev1.AuditRequest{Act: wire.Valid(act), Record: on.wire(), About: validParams(about)}
	_, err := call(ctx, c.client.Audit, ask)
	return err
}

// Emit tells a fact.
func (c office) Emit(ctx context.Context, name string, on Ref, about map[string]string) error {
	ask := &wirev1.EmitRequest{Name: wire.Valid(name), Record: on.wire(), About: validParams(about)}
	_, err := call(ctx, c.client.Emit, ask)
	return err
}

// Enqueue asks for a call.
func (c office) Enqueue(ctx context.Context, job Job) error {
	_, err := call(ctx, c.client.Enqueue, &wirev1.EnqueueRequest{
		Job: wire.Valid(job.Name), Key: wire.Valid(job.Key), Payload: job.Payload, At: wireTime(job.Due),
	})
	return err
}

// Cancel takes a call back.
func (c office) Cancel(ctx context.Context, job, key string) error {
	_, err := call(ctx, c.client.Cancel, &wirev1.CancelRequest{Job: wire.Valid(job), Key: wire.Valid(key)})
	return err
}
