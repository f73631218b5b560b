package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/karov-crm/karov/backup/repo"
)

const (
	// settle is how long after writing a lock a writer looks again: who looked before
	// it was written has written his own by then, and a slow listing shows it.
	settle = 200 * time.Millisecond
	// refreshLimit is how long refreshing may fail before others may take the
	// lock for stale, with some time left to stop.
	refreshLimit = repo.LockStale - 3*repo.LockRefresh/2
	retryLock    = time.Second
)

// locker holds the locks of one open repository.
type locker struct {
	wait time.Duration

	mu   sync.Mutex
	held map[*heldLock]bool
}

type lockMode struct {
	exclusive bool
	settle    time.Duration
}

// heldLock is one lock file and the goroutine that keeps it fresh.
type heldLock struct {
	exclusive bool
	stop      context.CancelFunc
	done      chan struct{}
	lost      context.CancelCauseFunc
	remove    func(name string) error

	mu   sync.Mutex
	name string
}

// lockShared takes a lock that keeps others from deleting, not from reading or
// writing. The function returned gives it back.
func (r *Repository) lockShared(ctx context.Context) (func(), error) {
	_, release, err := r.lock(ctx, lockMode{settle: settle})
	return release, err
}

func (r *Repository) lockExclusive(ctx context.Context) (func(), error) {
	_, release, err := r.lock(ctx, lockMode{exclusive: true, settle: settle})
	return release, err
}

// lockToRead is lockShared for acts that only read. A medium that is read-only or
// full must still be readable: then nobody deletes from it either, or the damage
// is found when it is read. It looks again at once: an exclusive taker settles.
func (r *Repository) lockToRead(ctx context.Context) (context.Context, func(), error) {
	locked, release, err := r.lock(ctx, lockMode{})
	if errors.Is(err, ErrReadOnly) || errors.Is(err, ErrNoSpace) {
		return ctx, func() {}, nil
	}
	return locked, release, err
}

// lock returns a context that ends with ErrLockLost if the lock does.
func (r *Repository) lock(ctx context.Context, mode lockMode) (context.Context, func(), error) {
	if r.isClosed() {
		return nil, nil, ErrClosed
	}
	deadline := time.Now().Add(r.locks.wait)
	for {
		name, err := r.tryLock(ctx, mode)
		var locked *LockedError
		if err == nil {
			locked, release := r.hold(ctx, name, mode.exclusive)
			return locked, release, nil
		}
		if !errors.As(err, &locked) || !time.Now().Before(deadline) {
			return nil, nil, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, errors.Join(ctx.Err(), err)
		case <-time.After(retryLock):
		}
	}
}

func (r *Repository) tryLock(ctx context.Context, mode lockMode) (string, error) {
	if err := r.conflict(ctx, mode.exclusive, ""); err != nil {
		return "", err
	}
	name, err := r.writeLock(ctx, mode.exclusive)
	if err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(mode.settle):
		err = r.conflict(ctx, mode.exclusive, name)
	}
	if err != nil {
		return "", errors.Join(err, r.target.Remove(context.WithoutCancel(ctx), LockFile, name))
	}
	return name, nil
}

func (r *Repository) writeLock(ctx context.Context, exclusive bool) (string, error) {
	data, err := r.codec.SealFile(repo.Lock{Time: time.Now(), Exclusive: exclusive, Hostname: r.host.lockName(),
		Username: userName(), PID: os.Getpid(), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())})
	if err != nil {
		return "", err
	}
	name := repo.Hash(data).String()
	if err := r.target.Save(ctx, LockFile, name, data); err != nil {
		return "", fmt.Errorf("lock repository: %w", err)
	}
	return name, nil
}

// conflict returns a *LockedError if a living lock but our own forbids what is
// wanted, and removes the locks of the dead on its way: stock restic does not
// ignore them, and would refuse its owner a check for as long as they are there.
func (r *Repository) conflict(ctx context.Context, exclusive bool, own string) error {
	for info, err := range r.target.List(ctx, LockFile) {
		if err != nil {
			return fmt.Errorf("list locks: %w", err)
		}
		if info.Name == own || info.Size == 0 {
			continue
		}
		l, err := r.loadLock(ctx, info)
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		if r.stale(l) {
			if err := r.target.Remove(ctx, LockFile, info.Name); err != nil && !errors.Is(err, ErrReadOnly) {
				return fmt.Errorf("remove stale lock: %w", err)
			}
			continue
		}
		if l.Exclusive || exclusive {
			return &LockedError{Hostname: l.Hostname, Username: l.Username, PID: l.PID, Since: l.Time, Exclusive: l.Exclusive}
		}
	}
	return nil
}

// loadLock returns nil for a lock that is gone. One that can not be read is taken
// as one that is shared, of unknown hand and as old as its file.
func (r *Repository) loadLock(ctx context.Context, info FileInfo) (*repo.Lock, error) {
	data, err := r.target.Load(ctx, LockFile, info.Name, 0, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load lock: %w", err)
	}
	l, err := r.codec.DecodeLock(data)
	if err != nil {
		return &repo.Lock{Hostname: "unknown", Username: "unknown", Time: info.ModTime}, nil
	}
	return l, nil
}

// stale prefers what the process table knows over what clocks say: after months
// without power a machine's clock may be anywhere.
func (r *Repository) stale(l *repo.Lock) bool {
	if dead, local := r.host.dead(l); local {
		return dead
	}
	return time.Since(l.Time) > repo.LockStale
}

// hold keeps a lock fresh until it is released.
func (r *Repository) hold(ctx context.Context, name string, exclusive bool) (context.Context, func()) {
	work, lost := context.WithCancelCause(ctx)
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := &heldLock{exclusive: exclusive, name: name, stop: stop, lost: lost, done: make(chan struct{})}
	h.remove = func(name string) error {
		// The act may have been ended by its context: the lock must go all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return r.target.Remove(ctx, LockFile, name)
	}
	r.locks.mu.Lock()
	if r.locks.held == nil {
		r.locks.held = make(map[*heldLock]bool)
	}
	r.locks.held[h] = true
	r.locks.mu.Unlock()
	go func() {
		defer close(h.done)
		r.refresh(keep, h)
	}()
	return work, func() {
		// The act is over; a lock that can not be removed goes stale by itself.
		_ = r.release(h, context.Canceled)
	}
}

func (r *Repository) refresh(ctx context.Context, h *heldLock) {
	ticker := time.NewTicker(repo.LockRefresh)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := r.renew(ctx, h)
		if err == nil {
			last = time.Now()
		} else if errors.Is(err, ErrLockLost) || time.Since(last) > refreshLimit {
			h.lost(fmt.Errorf("%w: %w", ErrLockLost, err))
			return
		}
	}
}

// renew writes the lock with a new time and removes the old one. That somebody
// else removed the old one means that he took us for dead and may be deleting.
func (r *Repository) renew(ctx context.Context, h *heldLock) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := r.target.Load(ctx, LockFile, h.name, 0, 0); errors.Is(err, fs.ErrNotExist) {
		return ErrLockLost
	}
	name, err := r.writeLock(ctx, h.exclusive)
	if err != nil {
		return err
	}
	old := h.name
	h.name = name
	if err := r.target.Remove(ctx, LockFile, old); err != nil {
		return fmt.Errorf("remove old lock: %w", err)
	}
	return nil
}

func (r *Repository) release(h *heldLock, cause error) error {
	r.locks.mu.Lock()
	held := r.locks.held[h]
	delete(r.locks.held, h)
	r.locks.mu.Unlock()
	if !held {
		return nil
	}
	h.stop()
	<-h.done
	h.lost(cause)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.remove(h.name); err != nil {
		return fmt.Errorf("remove lock: %w", err)
	}
	return nil
}

func (r *Repository) releaseAll() error {
	r.locks.mu.Lock()
	all := make([]*heldLock, 0, len(r.locks.held))
	for h := range r.locks.held {
		all = append(all, h)
	}
	r.locks.mu.Unlock()
	var errs error
	for _, h := range all {
		errs = errors.Join(errs, r.release(h, ErrClosed))
	}
	return errs
}
