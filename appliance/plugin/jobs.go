package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"github.com/robfig/cron/v3"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	runKind = "plugin.run" // of a job in the queue

	// scheduleBucket keeps, by plugin NUL job, when a job runs next and how it fared last.
	scheduleBucket = "plugin.schedule"

	runWithin   = 10 * time.Minute // where the manifest says nothing
	longestRun  = time.Hour
	runsAtOnce  = 2           // of one plugin
	skipOverdue = time.Minute // a run that is later than this counts as missed
	maxRunKey   = 200

	// maxRunAttempts is many: the attempts at a plugin that is not running count too, and an office may be closed for weeks.
	maxRunAttempts = 500
)

// pluginRun is one call of a plugin's job: a scheduled one, whose Key is empty, or one that was asked for.
type pluginRun struct {
	Plugin  string    `json:"plugin"`
	Job     string    `json:"job"`
	Key     string    `json:"key,omitempty"`
	Payload []byte    `json:"payload,omitempty"`
	Due     time.Time `json:"due"`
}

func (r pluginRun) name() string { return r.Plugin + "\x00" + r.Job + "\x00" + r.Key }

// enqueue asks for a run. One with the same plugin, job and key takes the place of the one before.
func (h *Host) enqueue(tx store.Tx, r pluginRun) error {
	if r.Due.IsZero() {
		r.Due = h.o.Now()
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return h.o.Queue.Add(tx, job.Job{Kind: runKind, Key: r.name(), Payload: raw, Due: r.Due})
}

// cancelRun takes a run back that has not begun.
func (h *Host) cancelRun(tx store.Tx, plugin, name, key string) error {
	return h.o.Queue.Cancel(tx, runKind, pluginRun{Plugin: plugin, Job: name, Key: key}.name())
}

// JobState is how a job of a plugin fares.
type JobState struct {
	Job      string    `json:"job"`
	Label    Label     `json:"label,omitempty"`
	Schedule string    `json:"schedule,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	Last     time.Time `json:"last,omitzero"` // of the newest run, zero before the first
	OK       bool      `json:"ok"`            // how it ended
	Key      string    `json:"key,omitempty"` // sentence of its failure
	Runs     int       `json:"runs"`
}

// JobStates lists the jobs that a plugin declares, for those who administer the office.
func (h *Host) JobStates(ctx context.Context, id string) (states []JobState, err error) {
	p, err := h.find(id)
	if err != nil {
		return nil, err
	}
	if err := h.o.Gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return nil, err
	}
	err = h.o.DB.View(ctx, func(tx store.Tx) error {
		states = nil
		for _, spec := range p.m.Jobs {
			state, err := h.jobState(tx, id, spec.Name)
			if err != nil {
				return err
			}
			state.Label, state.Schedule = spec.Label, spec.Schedule
			states = append(states, state)
		}
		return nil
	})
	return states, err
}

// RunJob asks for a run of a job now, for those who administer the office.
func (h *Host) RunJob(ctx context.Context, id, name string) error {
	p, err := h.find(id)
	if err != nil {
		return err
	}
	if err := h.o.Gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return err
	}
	if !slices.ContainsFunc(p.m.Jobs, func(j JobSpec) bool { return j.Name == name }) {
		return fault.Missing("job", name)
	}
	return h.o.DB.Update(ctx, func(tx store.Tx) error {
		return h.enqueue(tx, pluginRun{Plugin: id, Job: name, Key: "by-hand"})
	})
}

func scheduleKey(plugin, name string) []byte { return []byte(plugin + "\x00" + name) }

func (h *Host) jobState(tx store.Tx, plugin, name string) (JobState, error) {
	state := JobState{Job: name}
	raw := tx.Bucket(scheduleBucket).Get(scheduleKey(plugin, name))
	if raw == nil {
		return state, nil
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		return state, fault.Wrap(err, fault.Internal, "store.damaged", "what", scheduleBucket)
	}
	return state, nil
}

func saveJobState(tx store.Tx, plugin string, state JobState) error {
	state.Label = nil // it is in the manifest
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	tx.Bucket(scheduleBucket).Put(scheduleKey(plugin, state.Job), raw)
	return nil
}

// schedule makes each scheduled job of a plugin stand in the queue. It is called at each start of the plugin: a
// schedule that changed with a new version counts from then on, and one that is gone is taken out.
func (h *Host) schedule(ctx context.Context, m *Manifest) error {
	if h.o.Queue == nil {
		return nil
	}
	return h.o.DB.Update(ctx, func(tx store.Tx) error {
		prefix := scheduleKey(m.ID, "")
		var gone []string
		for key := range tx.Bucket(scheduleBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
			name := string(key[len(prefix):])
			if !slices.ContainsFunc(m.Jobs, func(j JobSpec) bool { return j.Name == name && j.Schedule != "" }) {
				gone = append(gone, name)
			}
		}
		for _, name := range gone {
			if err := h.cancelRun(tx, m.ID, name, ""); err != nil {
				return err
			}
			tx.Bucket(scheduleBucket).Delete(scheduleKey(m.ID, name))
		}
		for _, spec := range m.Jobs {
			state, err := h.jobState(tx, m.ID, spec.Name)
			if err != nil {
				return err
			}
			if spec.Schedule == "" || spec.Schedule == state.Schedule {
				continue
			}
			state.Schedule = spec.Schedule
			if err := h.arm(tx, m.ID, state); err != nil {
				return err
			}
		}
		return nil
	})
}

// arm puts the next run of a scheduled job into the queue.
func (h *Host) arm(tx store.Tx, plugin string, state JobState) error {
	when, err := cron.ParseStandard(state.Schedule)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "plugin.manifest-invalid", "file", plugin)
	}
	zone := h.o.Zone
	if zone == nil {
		zone = time.UTC
	}
	state.Next = when.Next(h.o.Now().In(zone))
	if err := saveJobState(tx, plugin, state); err != nil {
		return err
	}
	return h.enqueue(tx, pluginRun{Plugin: plugin, Job: state.Job, Due: state.Next})
}

// Runs is the kind of job by which plugins are called. It is done by a runner of its own, so that a plugin that takes
// an hour holds up nobody's mail.
func (h *Host) Runs() job.Kind {
	var mu sync.Mutex
	busy := map[string]int{}
	return job.Kind{Name: runKind, MaxAttempts: maxRunAttempts,
		Work: func(ctx context.Context, j job.Job) error {
			var r pluginRun
			if err := json.Unmarshal(j.Payload, &r); err != nil {
				return fault.Wrap(err, fault.Invalid, "store.damaged", "what", runKind)
			}
			mu.Lock()
			full := busy[r.Plugin] >= runsAtOnce
			if !full {
				busy[r.Plugin]++
			}
			mu.Unlock()
			if full {
				return fault.New(fault.TooMany, "plugin.busy-running")
			}
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				busy[r.Plugin]--
			}()
			err := h.run(ctx, r, j.Attempts+1)
			if err == nil || errors.Is(err, errMissed) {
				return h.ran(ctx, r, err == nil, "")
			}
			return err
		},
		Failed: func(ctx context.Context, tx store.Tx, j job.Job, failure error, again time.Time) error {
			var r pluginRun
			if err := json.Unmarshal(j.Payload, &r); err != nil || !again.IsZero() {
				return nil // what cannot be read was told as the failure itself
			}
			return h.ranTx(tx, r, false, fault.Of(failure).Key)
		}}
}

// errMissed says that a run was due too long ago and its manifest wants such runs to be skipped.
var errMissed = errors.New("the run was missed")

// run calls the plugin's job once. A plugin that is disabled or gone keeps its runs waiting.
func (h *Host) run(ctx context.Context, r pluginRun, attempt int) error {
	p, err := h.find(r.Plugin)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "plugin.not-running", "plugin", r.Plugin)
	}
	place := slices.IndexFunc(p.m.Jobs, func(j JobSpec) bool { return j.Name == r.Job })
	if place < 0 {
		return fault.Missing("job", r.Job)
	}
	spec := p.m.Jobs[place]
	if spec.Missed == "skip" && r.Key == "" && h.o.Now().Sub(r.Due) > skipOverdue && attempt == 1 {
		return errMissed
	}
	s, err := p.current()
	if err != nil {
		return err
	}
	within := spec.Within
	if within <= 0 {
		within = runWithin
	}
	ctx, cancel := context.WithTimeout(ctx, min(within, longestRun))
	defer cancel()
	_, err = wirev1.NewJobsClient(s.conn).Run(ctx, &wirev1.RunRequest{Job: r.Job, Key: wire.Valid(r.Key), Payload: r.Payload,
		Due: timestamppb.New(r.Due), Attempt: int32(min(attempt, 1<<30))})
	if err != nil {
		return fromWire(err, "plugin.job-failed")
	}
	return nil
}

// ran keeps how a run ended and puts the next one of a scheduled job into the queue.
func (h *Host) ran(ctx context.Context, r pluginRun, ok bool, key string) error {
	return h.o.DB.Update(ctx, func(tx store.Tx) error { return h.ranTx(tx, r, ok, key) })
}

func (h *Host) ranTx(tx store.Tx, r pluginRun, ok bool, key string) error {
	state, err := h.jobState(tx, r.Plugin, r.Job)
	if err != nil {
		return err
	}
	state.Last, state.OK, state.Key = h.o.Now(), ok, key
	state.Runs++
	if r.Key != "" || state.Schedule == "" {
		return saveJobState(tx, r.Plugin, state)
	}
	return h.arm(tx, r.Plugin, state)
}
