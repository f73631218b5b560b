package main

import (
	"context"
	"time"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/backup"
)

// backupInit makes a repository, or lets this machine into one that is there when its recovery key is given.
func (a *appliance) backupInit(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Repo, Key string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	key, err := a.targets.Add(ctx, args.Repo, args.Key, a.now())
	return map[string]string{"recovery_key": key, "repo": args.Repo}, err
}

// made is what one backup to one target came to.
type made struct {
	Folder   string            `json:"folder"`
	Snapshot string            `json:"snapshot"`
	Taken    time.Time         `json:"taken"`
	Bytes    uint64            `json:"bytes"`
	Added    uint64            `json:"added_bytes"`
	Took     string            `json:"took"`
	Manifest snapshot.Manifest `json:"manifest"`
}

// backupNow makes a snapshot on every target while the appliance works.
func (a *appliance) backupNow(ctx context.Context, c *control.Call) (any, error) {
	if !a.backing.TryLock() {
		return nil, fault.New(fault.Conflict, "backup.running")
	}
	defer a.backing.Unlock()
	targets, err := a.targets.List(ctx)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, fault.New(fault.Invalid, "backup.no-target")
	}
	var all []made
	for _, target := range targets {
		one, err := a.backupTo(ctx, target, progressOf(c))
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (a *appliance) backupTo(ctx context.Context, target snapshot.Target, progress func(backup.Progress)) (made, error) {
	repository, err := a.targets.Open(ctx, target)
	if err != nil {
		return made{}, err
	}
	defer repository.Close()
	began := time.Now()
	snap, manifest, err := snapshot.Take(ctx, repository, a.origin(), progress)
	if err != nil {
		return made{}, err
	}
	a.log.Info("backup made", "folder", target.Folder, "snapshot", snap.ID, "bytes", snap.Summary.Bytes, "added", snap.Summary.AddedStored)
	return made{Folder: target.Folder, Snapshot: snap.ID, Taken: manifest.Taken, Bytes: snap.Summary.Bytes,
			Added: snap.Summary.AddedStored, Took: time.Since(began).Round(time.Millisecond).String(), Manifest: manifest},
		a.targets.Done(ctx, target, snap)
}

// progressOf tells a command about progress a few times a second.
func progressOf(c *control.Call) func(backup.Progress) {
	var last time.Time
	return func(p backup.Progress) {
		if time.Since(last) > 300*time.Millisecond {
			last = time.Now()
			c.Progress(p)
		}
	}
}

// backupList gives the snapshots of every target.
func (a *appliance) backupList(ctx context.Context, _ *control.Call) (any, error) {
	targets, err := a.targets.List(ctx)
	if err != nil {
		return nil, err
	}
	type listed struct {
		Folder string          `json:"folder"`
		Made   backup.Snapshot `json:"snapshot"`
	}
	all := []listed{}
	for _, target := range targets {
		repository, err := a.targets.Open(ctx, target)
		if err != nil {
			return nil, err
		}
		snapshots, err := repository.Snapshots(ctx)
		if err != nil {
			_ = repository.Close()
			return nil, snapshot.AsFault(err)
		}
		for _, s := range snapshots {
			all = append(all, listed{target.Folder, s})
		}
		if err := repository.Close(); err != nil {
			return nil, snapshot.AsFault(err)
		}
	}
	return all, nil
}

// backupVerify reads every byte of every target and names what is damaged.
func (a *appliance) backupVerify(ctx context.Context, c *control.Call) (any, error) {
	targets, err := a.targets.List(ctx)
	if err != nil {
		return nil, err
	}
	reports := map[string]backup.Report{}
	for _, target := range targets {
		repository, err := a.targets.Open(ctx, target)
		if err != nil {
			return nil, err
		}
		reports[target.Folder], err = repository.Verify(ctx, backup.VerifyOptions{ReadData: true, Progress: progressOf(c)})
		if closeErr := repository.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, snapshot.AsFault(err)
		}
	}
	return reports, nil
}
