package backup

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrWrongKey says that no key file opens with the password given.
	ErrWrongKey = errors.New("wrong recovery key or password")
	// ErrNoRepository says that the target holds no repository.
	ErrNoRepository = errors.New("there is no backup repository here")
	// ErrExists says that the target already holds a repository or the rest of one.
	ErrExists = errors.New("there already is a backup repository here")
	// ErrTooNew says that the repository was made by a later format.
	ErrTooNew = errors.New("repository has a newer format than this program knows")
	// ErrTooOld says that the repository can be read, not written.
	ErrTooOld = errors.New("repository has format version 1, which is only read here")
	// ErrNoSpace says that the target, or the disk restored to, is full.
	ErrNoSpace = errors.New("no space left")
	// ErrReadOnly says that the target can not be written to.
	ErrReadOnly = errors.New("target can not be written to")
	// ErrNotFound says that no snapshot, or no file in it, has that name.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous says that several snapshots begin with the letters given.
	ErrAmbiguous = errors.New("several snapshots begin like this")
	// ErrLastKey says that the last key would have been removed.
	ErrLastKey = errors.New("the key in use can not be removed")
	// ErrTooManyKeys says that stock restic would not find a further key.
	ErrTooManyKeys = errors.New("repository has as many keys as may be")
	// ErrNotEmpty says that a folder to restore into already holds something.
	ErrNotEmpty = errors.New("folder is not empty")
	// ErrLockLost says that somebody took this program for dead and removed its
	// lock, or that it could not be refreshed, so that writing had to stop.
	ErrLockLost = errors.New("lock on the repository was lost")
	// ErrMistypedKey says that a typed recovery key has a typing mistake in it.
	ErrMistypedKey = errors.New("recovery key is mistyped")
	// ErrBadEntry says that a source yielded a file that can not be stored.
	ErrBadEntry = errors.New("file can not be stored")
	// ErrClosed says that the repository was closed.
	ErrClosed = errors.New("repository is closed")
)

// LockedError says who keeps the repository from being used.
type LockedError struct {
	Hostname  string
	Username  string
	PID       int
	Since     time.Time
	Exclusive bool
}

// Error names the holder of the lock.
func (e *LockedError) Error() string {
	return fmt.Sprintf("repository is locked by process %d of %s on %s since %s",
		e.PID, e.Username, e.Hostname, e.Since.UTC().Format(time.RFC3339))
}

// DamageError names one stored object that is missing or broken.
type DamageError struct {
	// Kind and Name say which stored file is damaged. Name is empty if no file is
	// known to hold the object.
	Kind FileKind
	Name string
	// Blob is the part of a pack that is damaged, as type and ID, if it is a part.
	Blob string
	// Path is the file or folder of the snapshot in hand that is hurt, if any.
	Path string
	// Err says what is wrong.
	Err error
}

// Error names the object, what is wrong with it and the path it hurts.
func (e *DamageError) Error() string {
	var b strings.Builder
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	fmt.Fprintf(&b, "damaged %s file", e.Kind)
	if e.Name == "" {
		fmt.Fprintf(&b, " (in none that is known)")
	} else if e.Name != ConfigName {
		fmt.Fprintf(&b, " %s", e.Name)
	}
	if e.Blob != "" {
		fmt.Fprintf(&b, ", blob %s", e.Blob)
	}
	return fmt.Sprintf("%s: %v", b.String(), e.Err)
}

// Unwrap returns what is wrong.
func (e *DamageError) Unwrap() error { return e.Err }

// at returns the same damage as one that hurts path.
func (e *DamageError) at(path string) *DamageError {
	d := *e
	d.Path = path
	return &d
}
