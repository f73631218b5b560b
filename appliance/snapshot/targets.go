package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/backup"
)

const targetsBucket = "snapshot.targets"

// Target is one place to which the appliance backs itself up.
type Target struct {
	Folder     string    `json:"folder"`
	Repository string    `json:"repository"` // id of the repository
	Added      time.Time `json:"added"`
	Last       time.Time `json:"last,omitzero"` // of the last snapshot there
	Snapshot   string    `json:"snapshot,omitempty"`
}

// Targets remembers where backups go. The appliance opens a repository with a password of its own, kept in a file: the
// recovery key is shown once and stands nowhere on the machine.
type Targets struct {
	db      store.DB
	keyFile string
	adding  sync.Mutex // one machine password, however many ask for the first
}

// NewTargets keeps targets in a store and the machine's password in a file.
func NewTargets(db store.DB, keyFile string) *Targets { return &Targets{db: db, keyFile: keyFile} }

// Add makes a repository in the folder, or opens the one that is there with its recovery key, lets this machine into
// it, and gives the recovery key. A new repository gets a new key unless one is given.
func (t *Targets) Add(ctx context.Context, folder, key string, now time.Time) (recovery string, err error) {
	t.adding.Lock()
	defer t.adding.Unlock()
	folder, err = filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("find folder: %w", err)
	}
	target, err := OpenTarget(folder, true)
	if err != nil {
		return "", err
	}
	// Before the repository is made: a new one whose key nobody was told is of no use.
	password, err := t.password(true)
	if err != nil {
		return "", err
	}
	repository, recovery, err := initOrOpen(ctx, target, key)
	if err != nil {
		return "", AsFault(err)
	}
	defer repository.Close()
	if err := letIn(ctx, repository, target, password); err != nil {
		return "", AsFault(err)
	}
	err = t.db.Update(ctx, func(tx store.Tx) error {
		added := Target{Folder: folder, Repository: repository.ID(), Added: now.UTC()}
		was, found, err := load(tx, folder)
		if err != nil {
			return err
		}
		if found && was.Repository == added.Repository {
			added.Last, added.Snapshot = was.Last, was.Snapshot
		}
		return save(tx, added)
	})
	return recovery, err
}

// letIn makes the machine's password one of the repository's unless it is already.
func letIn(ctx context.Context, repository *backup.Repository, target backup.Target, password string) error {
	own, err := backup.Open(ctx, target, password)
	if err == nil {
		return own.Close()
	}
	if _, err := repository.AddKey(ctx, password); err != nil {
		return fmt.Errorf("let this machine into the repository: %w", err)
	}
	return nil
}

func initOrOpen(ctx context.Context, target backup.Target, key string) (*backup.Repository, string, error) {
	var err error
	if key == "" {
		if key, err = backup.NewRecoveryKey(); err != nil {
			return nil, "", err
		}
		repository, err := backup.Init(ctx, target, key)
		return repository, key, err
	}
	if key, err = backup.NormalizeRecoveryKey(key); err != nil {
		return nil, "", err
	}
	repository, err := backup.Open(ctx, target, key)
	if errors.Is(err, backup.ErrNoRepository) {
		repository, err = backup.Init(ctx, target, key)
	}
	return repository, key, err
}

// Open opens the repository of a target with this machine's password.
func (t *Targets) Open(ctx context.Context, target Target) (*backup.Repository, error) {
	password, err := t.password(false)
	if err != nil {
		return nil, err
	}
	place, err := OpenTarget(target.Folder, false)
	if err != nil {
		return nil, err
	}
	repository, err := backup.Open(ctx, place, password, backup.WithLockWait(time.Minute))
	if errors.Is(err, backup.ErrWrongKey) {
		return nil, fault.Wrap(err, fault.Forbidden, "backup.machine-unknown", "folder", target.Folder)
	}
	return repository, AsFault(err)
}

// List gives all targets, by folder.
func (t *Targets) List(ctx context.Context) (targets []Target, err error) {
	err = t.db.View(ctx, func(tx store.Tx) error {
		for _, raw := range tx.Bucket(targetsBucket).Scan(nil, nil, false) {
			target, err := decode(raw)
			if err != nil {
				return err
			}
			targets = append(targets, target)
		}
		return nil
	})
	return targets, err
}

// Done remembers the last snapshot of a target.
func (t *Targets) Done(ctx context.Context, target Target, made backup.Snapshot) error {
	return t.db.Update(ctx, func(tx store.Tx) error {
		if is, found, err := load(tx, target.Folder); err != nil {
			return err
		} else if found {
			target = is // it may have been added again meanwhile
		}
		target.Last, target.Snapshot = made.Time, made.ID
		return save(tx, target)
	})
}

func load(tx store.Tx, folder string) (target Target, found bool, err error) {
	raw := tx.Bucket(targetsBucket).Get([]byte(folder))
	if raw == nil {
		return target, false, nil
	}
	target, err = decode(raw)
	return target, true, err
}

func decode(raw []byte) (target Target, err error) {
	if err := json.Unmarshal(raw, &target); err != nil {
		return target, fault.Wrap(err, fault.Internal, "store.damaged", "what", targetsBucket)
	}
	return target, nil
}

func save(tx store.Tx, target Target) error {
	raw, err := json.Marshal(target)
	if err != nil {
		return err
	}
	tx.Bucket(targetsBucket).Put([]byte(target.Folder), raw)
	return nil
}

// password reads the machine's password; with fresh it is made where there is none. An empty file is none: the password
// it held is lost.
func (t *Targets) password(fresh bool) (string, error) {
	raw, err := os.ReadFile(t.keyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fault.Wrap(err, fault.Unavailable, "backup.unreadable", "file", t.keyFile)
	}
	if password := strings.TrimSpace(string(raw)); password != "" {
		return password, nil
	}
	if !fresh {
		return "", fault.Wrap(err, fault.Forbidden, "backup.machine-key-lost", "file", t.keyFile)
	}
	// A key like those on paper is random enough to be tried in no time, which matters each time a backup begins.
	password, err := backup.NewRecoveryKey()
	if err != nil {
		return "", err
	}
	if err := writeKey(t.keyFile, password); err != nil {
		return "", fmt.Errorf("keep this machine's backup password: %w", err)
	}
	return password, nil
}

// writeKey writes the file durably, whole or not at all: with a password that a power cut takes no backup can be made.
func writeKey(path, password string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(password)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
