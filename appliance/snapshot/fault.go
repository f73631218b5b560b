package snapshot

import (
	"errors"
	"os"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/backup"
)

// AsFault gives an error of the backup library its kind and sentence. What is a fault already stays what it is.
func AsFault(err error) error {
	var is *fault.Error
	var damage *backup.DamageError
	var locked *backup.LockedError
	switch {
	case err == nil, errors.As(err, &is):
		return err
	case errors.As(err, &locked):
		return fault.Wrap(err, fault.Unavailable, "backup.locked", "host", locked.Hostname, "user", locked.Username,
			"process", locked.PID, "since", locked.Since.UTC().Format(time.RFC3339))
	}
	for _, known := range []struct {
		err  error
		kind fault.Kind
		key  string
	}{
		{backup.ErrWrongKey, fault.Forbidden, "backup.wrong-key"},
		{backup.ErrMistypedKey, fault.Invalid, "backup.mistyped-key"},
		{backup.ErrNoRepository, fault.NotFound, "backup.no-repository"},
		{backup.ErrExists, fault.Conflict, "backup.exists"},
		{backup.ErrTooNew, fault.Invalid, "backup.too-new"},
		{backup.ErrTooOld, fault.Invalid, "backup.too-old"},
		{backup.ErrNoSpace, fault.Unavailable, "backup.no-space"},
		{backup.ErrReadOnly, fault.Unavailable, "backup.read-only"},
		{os.ErrPermission, fault.Unavailable, "backup.read-only"},
		{backup.ErrLockLost, fault.Unavailable, "backup.lock-lost"},
		{backup.ErrNotFound, fault.NotFound, "backup.no-snapshot"},
		{backup.ErrAmbiguous, fault.Invalid, "backup.ambiguous"},
		{backup.ErrNotEmpty, fault.Conflict, "backup.folder-not-empty"},
		{backup.ErrTooManyKeys, fault.Conflict, "backup.too-many-keys"},
	} {
		if errors.Is(err, known.err) {
			return fault.Wrap(err, known.kind, known.key)
		}
	}
	if errors.As(err, &damage) {
		return fault.Wrap(err, fault.Invalid, "backup.damaged", "what", damaged(damage))
	}
	return err
}

// damaged names what is damaged: the file it hurts, or else the stored one.
func damaged(d *backup.DamageError) string {
	if d.Path != "" {
		return d.Path
	}
	return string(d.Kind) + " " + d.Name
}
