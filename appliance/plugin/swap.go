package plugin

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
)

// Add takes in the plugin in a folder and starts it when the host runs. One whose id is taken is a Conflict.
func (h *Host) Add(dir string) error {
	m, err := h.manifestIn(dir)
	if err != nil {
		return err
	}
	p := newSupervised(h, m, nil)
	h.mu.Lock()
	if slices.ContainsFunc(h.plugins, func(q *supervised) bool { return q.m.ID == m.ID }) {
		h.mu.Unlock()
		return fault.New(fault.Conflict, "plugin.repeated", "id", m.ID, "file", filepath.Join(dir, "plugin.yaml"))
	}
	h.put(p, nil)
	h.mu.Unlock()
	h.changed()
	return nil
}

// manifestIn reads the manifest of a folder and checks whether a process of it could be started.
func (h *Host) manifestIn(dir string) (*Manifest, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "plugin.manifest-unreadable", "file", dir)
	}
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	return m, h.checkSockets(m.ID)
}

// put sets p in the place of another, or adds it where there is no other, and launches it when the host runs. A nil p
// takes the other away. The caller holds the lock.
func (h *Host) put(p, instead *supervised) {
	plugins := slices.DeleteFunc(slices.Clone(h.plugins), func(q *supervised) bool { return q == instead })
	if p != nil {
		plugins = append(plugins, p)
	}
	slices.SortFunc(plugins, func(a, b *supervised) int { return cmp.Compare(a.m.ID, b.m.ID) })
	h.plugins = plugins
	if p != nil && h.launch != nil {
		h.launch(p)
	}
}

// hold gives the plugin with this id to the caller alone, as far as what runs of it changes, until he calls release.
func (h *Host) hold(ctx context.Context, id string) (p *supervised, release func(), err error) {
	for {
		if p, err = h.find(id); err != nil {
			return nil, nil, err
		}
		if ctx.Err() != nil {
			return nil, nil, tooLate(ctx, id)
		}
		select {
		case p.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, tooLate(ctx, id)
		}
		release = func() { <-p.turn }
		if now, err := h.find(id); err == nil && now == p {
			return p, release, nil
		}
		release() // another version took its place meanwhile, or it was removed
	}
}

func tooLate(ctx context.Context, id string) error {
	return fault.Wrap(ctx.Err(), fault.Unavailable, "plugin.still-stopping", "id", id)
}

// Swap drains the process of a plugin and starts the version that lies in dir. It returns when that runs; when it does
// not start, or ctx ends before, the version before runs again and the error says why. Of a plugin that is disabled
// nothing is started. What the plugin reported, its log and its numbers go on under its id.
func (h *Host) Swap(ctx context.Context, id, dir string) error {
	m, err := h.manifestIn(dir)
	if err != nil {
		return err
	}
	if m.ID != id {
		return fault.New(fault.Conflict, "plugin.other-id", "id", id, "other", m.ID)
	}
	old, release, err := h.hold(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	old.retire(ctx)
	next := newSupervised(h, m, old)
	h.replace(old, next)
	if err := next.started(ctx); err != nil {
		next.retire(ctx)
		h.replace(next, old)
		return err
	}
	return nil
}

func (h *Host) replace(old, next *supervised) {
	h.mu.Lock()
	h.put(next, old)
	h.mu.Unlock()
	h.changed()
}

// started waits for the first start of the tenure and tells how it went. A plugin that is not launched has nothing to
// tell.
func (p *supervised) started(ctx context.Context) error {
	t := p.held()
	if t.leave == nil {
		return nil
	}
	select {
	case err := <-t.first:
		return err
	case <-t.over: // the host closes
		return fault.New(fault.Unavailable, "plugin.not-running", "plugin", p.m.Name)
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Unavailable, "plugin.not-started")
	}
}

// Remove stops a plugin and forgets it. Its data and its settings stay.
func (h *Host) Remove(ctx context.Context, id string) error {
	p, release, err := h.hold(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	p.retire(ctx)
	h.replace(p, nil)
	return nil
}

// Healthy tells whether a plugin does its work: it runs, took its settings and says that it is well. Otherwise the fault
// says what is wrong.
func (h *Host) Healthy(id string) error {
	p, err := h.find(id)
	if err != nil {
		return err
	}
	_, err = p.current()
	now := p.snapshot()
	switch {
	case err == nil:
		return now.Pulse.unwell()
	case now.LastError != nil:
		return now.LastError
	}
	return err
}

// Enable starts a plugin that was disabled, or whose circuit is open, and remembers it.
func (h *Host) Enable(ctx context.Context, id string) error {
	p, release, err := h.hold(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if p.broken != nil {
		return p.broken
	}
	if err := h.remember(ctx, id, true); err != nil {
		return err
	}
	p.enable()
	return nil
}

// Disable stops a plugin, returns when its process is gone, and remembers it.
func (h *Host) Disable(ctx context.Context, id string) error {
	p, release, err := h.hold(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if err := h.remember(ctx, id, false); err != nil {
		return err
	}
	return p.disable(ctx)
}

func (h *Host) remember(ctx context.Context, id string, enabled bool) error {
	if h.o.Remember == nil {
		return nil
	}
	return h.o.Remember(ctx, id, enabled)
}
