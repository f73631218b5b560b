package sdk

import (
	"context"
	"time"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Job is one call of a job: one that plugin.yaml gives a time, or one that Office.Enqueue asked for.
type Job struct {
	Name    string    // as plugin.yaml names it
	Key     string    // the plugin's own, at most 200 bytes; "" for a scheduled one
	Payload []byte    // at most 64 KiB
	Due     time.Time // when it should have run: after a pause of the machine this may be long ago
	Attempt int       // 1 for the first
}

// JobFunc does a job. It is called at least once for each time: make it such that a second call does no harm, for
// example by Records.WriteOnce with the Key and Due of the job. An error is tried again with growing pauses, except one
// of Permanent. The Words stand in the job's history.
//
// ctx ends when the job's time (plugin.yaml: within) is over, and when the plugin is asked to stop: a job that leaves
// then with ctx's error is run again later.
type JobFunc func(ctx context.Context, h Host, j Job) (Words, error)

// jobs serves Plugin.Jobs.
type jobs struct {
	wirev1.UnimplementedJobsServer
	*server
}

// Run does one job.
func (s jobs) Run(ctx context.Context, r *wirev1.RunRequest) (*wirev1.RunResponse, error) {
	done, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	do, ok := s.plugin.Jobs[r.GetJob()]
	if !ok {
		return nil, unserved("job", r.GetJob())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.drained, cancel)()
	note, err := do(ctx, s.host, Job{
		Name: r.GetJob(), Key: r.GetKey(), Payload: r.GetPayload(), Due: plainTime(r.GetDue()), Attempt: int(r.GetAttempt()),
	})
	if err != nil {
		return nil, toAnswer(err)
	}
	return &wirev1.RunResponse{Note: note.wire()}, nil
}

// MigrateFunc brings the plugin's own records and values from one data version (plugin.yaml: data) to the next. It is
// called again with the cursor it answered until it is done, so that a fall in the middle goes on there: do a bounded
// piece each time, and such that the same piece twice does no harm. Karov keeps no copy of the data: from the first call
// on the plugin's old version cannot come back. After an error the new version stays and is shown as failed, and Karov
// goes on where it was when it is next started itself, or with the next version. So what may fail is best looked at before
// the first piece is changed.
type MigrateFunc func(ctx context.Context, h Host, from, to int, cursor string) (next string, done bool, err error)

// migration serves Plugin.Migrate.
type migration struct {
	wirev1.UnimplementedMigrationServer
	*server
}

// Migrate does one step.
func (s migration) Migrate(ctx context.Context, r *wirev1.MigrateRequest) (*wirev1.MigrateResponse, error) {
	done, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	next, ready, err := s.plugin.Migrate(ctx, s.host, int(r.GetFrom()), int(r.GetTo()), r.GetCursor())
	if err != nil {
		return nil, toAnswer(err)
	}
	return &wirev1.MigrateResponse{Done: ready, Cursor: next}, nil
}
