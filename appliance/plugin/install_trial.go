package plugin

import (
	"context"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// maxTrialStarts is how often Karov may be started during one probation before the version before comes back: a version
// must not be tried for ever because Karov never stays up long enough.
const maxTrialStarts = 5

// resume goes on with a probation that the end of Karov cut short.
func (in *Installer) resume(s Installed, trust *pack.Trust) error {
	s, err := in.change(in.life, s.ID, "", func(s *Installed) map[string]string { s.Trial.Starts++; return nil })
	if err != nil {
		return err
	}
	if s.Trial.Starts > maxTrialStarts {
		return fault.New(fault.Unavailable, "plugin.trial-cut-short")
	}
	if err := in.mayStart(s.Trial.Version, s.ID, trust); err != nil {
		return err
	}
	if err := in.o.Host.Add(in.dir(s.ID, s.Trial.Version)); err != nil {
		return err
	}
	in.running.Go(func() {
		if err := in.upAgain(s.ID); err != nil {
			in.settle(s.ID, s.Trial.Hash, err)
			return
		}
		if s.Active == nil {
			in.settle(s.ID, s.Trial.Hash, nil)
			return
		}
		in.watch(s.ID, *s.Trial)
	})
	return nil
}

// upAgain waits until the host has started the version, and ends what it had begun to do with its data.
func (in *Installer) upAgain(id string) error {
	p, err := in.o.Host.find(id)
	if err != nil {
		return err
	}
	for p.held().leave == nil { // the host is not started yet
		if !in.pause(20 * time.Millisecond) {
			return nil
		}
	}
	if err := p.started(in.life); err != nil {
		return err
	}
	return in.migrate(in.life, id)
}

// pause waits, and tells whether the installer still lives.
func (in *Installer) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-in.life.Done():
		return false
	}
}

// watch is a probation: the version must not fall, and at the end it must do its work if the version before did.
func (in *Installer) watch(id string, trial Trial) {
	end := time.Now().Add(in.o.Probation) // the machine's clock: the office's may be set
	every := min(max(in.o.Probation/20, 10*time.Millisecond), time.Second)
	first, err := in.o.Host.status(id)
	for err == nil {
		if !in.pause(every) {
			return
		}
		var s Status
		if s, err = in.o.Host.status(id); err != nil {
			break
		}
		over := time.Now().After(end)
		switch {
		case s.Version != trial.Version.Version:
			return // somebody ended the probation
		case s.State == Disabled:
			err = fault.New(fault.Unavailable, "plugin.trial-disabled")
		case s.Restarts > first.Restarts, over && s.State != Running:
			if err = fault.New(fault.Unavailable, "plugin.not-started"); s.LastError != nil {
				err = s.LastError
			}
		case over && trial.Well:
			if err = in.o.Host.Healthy(id); err == nil {
				in.settle(id, trial.Hash, nil)
				return
			}
		case over:
			in.settle(id, trial.Hash, nil)
			return
		}
	}
	in.settle(id, trial.Hash, err)
}

// settle ends a probation that nobody ended meanwhile.
func (in *Installer) settle(id, hash string, why error) {
	in.turn.Lock()
	defer in.turn.Unlock()
	if in.life.Err() != nil {
		return // it goes on with the next start
	}
	var err error
	if why == nil {
		_, err = in.succeed(in.life, id, hash)
	} else {
		in.o.Log.Error("a plugin's new version did not do", "plugin", id, "error", why)
		_, err = in.fail(in.life, id, hash, fault.Of(why))
	}
	if err != nil {
		in.o.Log.Error("the end of a plugin's probation", "plugin", id, "error", err)
		in.note(id, err)
	}
}

// succeed makes the version on probation the active one.
func (in *Installer) succeed(ctx context.Context, id, hash string) (Installed, error) {
	fact := "plugin.upgraded"
	if s, err := in.load(ctx, id); err != nil || s.Trial == nil || s.Trial.Hash != hash {
		return s, err
	} else if s.Active == nil {
		fact = "plugin.installed"
	}
	s, err := in.change(ctx, id, fact, func(s *Installed) map[string]string {
		v := s.Trial.Version
		if s.Active == nil || s.Active.Hash != v.Hash {
			s.Previous = s.Active
		}
		s.Active, s.Trial, s.Failed = &v, nil, nil
		s.Granted, s.Data = v.Asks, max(s.Data, v.Data)
		return v.about()
	})
	if err == nil {
		in.cleanNow(ctx)
	}
	return s, err
}

// fail takes the version on probation back: the one before runs again, or, where there was none, nothing. A version
// that began to change the plugin's data stays, since no other could read it.
func (in *Installer) fail(ctx context.Context, id, hash string, why *fault.Error) (Installed, error) {
	s, err := in.load(ctx, id)
	if err != nil || s.Trial == nil || s.Trial.Hash != hash {
		return s, err
	}
	stays := s.Active != nil && s.Active.Data < s.touched()
	fact := "plugin.rolled-back"
	if stays {
		fact = "plugin.upgraded"
	}
	s, err = in.change(ctx, id, fact, func(s *Installed) map[string]string {
		v := s.Trial.Version
		s.hold(v.Hash)
		s.Failed = &Failure{Version: v.Version, Hash: v.Hash, Key: why.Key, Params: why.Params, At: in.o.Now().UTC().Truncate(time.Second), Stays: stays}
		s.Trial = nil
		if stays {
			s.Previous, s.Active, s.Granted = s.Active, &v, v.Asks
		}
		about := v.about()
		about["why"] = why.Key
		return about
	})
	if err != nil || stays {
		return s, err
	}
	return s, in.goBack(ctx, s)
}

// goBack makes the host run what is written down as active.
func (in *Installer) goBack(ctx context.Context, s Installed) error {
	defer in.cleanNow(ctx)
	switch {
	case !in.o.Host.has(s.ID):
		return nil
	case s.Active == nil:
		return in.o.Host.Remove(ctx, s.ID)
	case in.runs(s):
		return nil
	}
	return in.o.Host.Swap(ctx, s.ID, in.dir(s.ID, *s.Active))
}

// runs tells whether what the host has of a plugin is what is written down as active.
func (in *Installer) runs(s Installed) bool {
	m, err := in.o.Host.Manifest(s.ID)
	return err == nil && m.Dir() == in.dir(s.ID, *s.Active)
}
