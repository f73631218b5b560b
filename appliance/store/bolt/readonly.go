package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// Look opens a file only to read it, of whatever format, shows it to fn and closes it: nothing is written, also not by a
// migration. It is for a copy that somebody brought, or a data folder that no daemon holds; one that a daemon holds is an
// Unavailable fault "store.in-use". A file that makes the engine panic is Invalid "store.damaged".
func Look(path string, fn func(store.DB) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // reading behind the end of a file that was cut
	defer func() {
		if p := recover(); p != nil {
			err = fault.Wrap(fmt.Errorf("panic: %v", p), fault.Invalid, "store.damaged", "what", path)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: 500 * time.Millisecond})
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(err, fault.NotFound, "store.not-found", "path", path)
	case errors.Is(err, bolterrors.ErrTimeout):
		return fault.Wrap(err, fault.Unavailable, "store.in-use", "path", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fault.Wrap(err, fault.Invalid, "store.damaged", "what", path)
	default:
		return fmt.Errorf("look at store %s: %w", path, diskFault(err))
	}
	return errors.Join(fn(&DB{bolt: db, path: path}), db.Close())
}
