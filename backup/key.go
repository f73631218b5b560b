package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/karov-crm/karov/backup/repo"
)

// maxKeys is how many key files a repository gets here. Stock restic tries at
// most 20, each at the cost of a full scrypt, and that is what a wrong password costs.
const maxKeys = 10

// maxTried bounds how many key files are tried, as foreign repositories may have more.
const maxTried = 20

var errNoKeys = errors.New("no key files")

// KeyInfo is one password of the repository.
type KeyInfo struct {
	ID       string
	Created  time.Time
	Username string
	Hostname string
	// Current says that the repository was opened with it.
	Current bool
}

// openKey tries the password on each key file. A damaged file is passed over, and
// reported only if no other opens: then nobody can say whether the password was right.
func openKey(ctx context.Context, t Target, password string) (*repo.Key, string, error) {
	var damage error
	tried := 0
	for info, err := range t.List(ctx, KeyFile) {
		if err != nil {
			return nil, "", fmt.Errorf("list keys: %w", err)
		}
		if tried++; tried > maxTried {
			break
		}
		file, err := loadKeyFile(ctx, t, info.Name)
		if file == nil && isDamage(err) {
			damage = errors.Join(damage, err)
			continue
		}
		if file == nil {
			return nil, "", err
		}
		key, openErr := file.Open(password)
		if openErr == nil {
			return key, info.Name, nil
		}
		if !errors.Is(openErr, repo.ErrSeal) {
			err = &DamageError{Kind: KeyFile, Name: info.Name, Err: openErr}
		}
		damage = errors.Join(damage, err)
	}
	switch {
	case tried == 0:
		return nil, "", errNoKeys
	case damage != nil:
		return nil, "", damage
	}
	return nil, "", fmt.Errorf("open %s: %w", t.Location(), ErrWrongKey)
}

// loadKeyFile returns a *DamageError beside the file where the file's name is not
// its hash but it can be read: the change may be in a part that does not matter.
func loadKeyFile(ctx context.Context, t Target, name string) (*repo.KeyFile, error) {
	data, err := t.Load(ctx, KeyFile, name, 0, 0)
	if err != nil {
		if isLost(err) {
			return nil, &DamageError{Kind: KeyFile, Name: name, Err: err}
		}
		return nil, fmt.Errorf("load key: %w", err)
	}
	file, err := repo.ParseKeyFile(data)
	if err != nil {
		return nil, &DamageError{Kind: KeyFile, Name: name, Err: err}
	}
	if repo.Hash(data).String() != name {
		return file, &DamageError{Kind: KeyFile, Name: name, Err: repo.ErrHash}
	}
	return file, nil
}

func isDamage(err error) bool {
	var d *DamageError
	return errors.As(err, &d)
}

// Keys returns the passwords of the repository, oldest first. Key files that can
// not be read are left out and joined into the error, each as a *DamageError.
func (r *Repository) Keys(ctx context.Context) ([]KeyInfo, error) {
	var keys []KeyInfo
	var damage error
	for info, err := range r.target.List(ctx, KeyFile) {
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		file, err := loadKeyFile(ctx, r.target, info.Name)
		damage = errors.Join(damage, err)
		if file == nil {
			continue
		}
		keys = append(keys, KeyInfo{ID: info.Name, Created: file.Created, Username: file.Username,
			Hostname: file.Hostname, Current: info.Name == r.keyID})
	}
	slices.SortFunc(keys, func(a, b KeyInfo) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return keys, damage
}

// AddKey makes password open the repository too and returns the ID of its key.
// Whoever has a password keeps access to what was stored so far even after
// RemoveKey: the master key under all passwords is one and the same.
func (r *Repository) AddKey(ctx context.Context, password string) (string, error) {
	if password == "" {
		return "", fmt.Errorf("add key: password is empty: %w", ErrWrongKey)
	}
	release, err := r.lockShared(ctx)
	if err != nil {
		return "", fmt.Errorf("add key: %w", err)
	}
	defer release()
	count := 0
	for _, err := range r.target.List(ctx, KeyFile) {
		if err != nil {
			return "", fmt.Errorf("list keys: %w", err)
		}
		if count++; count >= maxKeys {
			return "", fmt.Errorf("add key: %w", ErrTooManyKeys)
		}
	}
	id, err := saveKey(ctx, r.target, r.codec.Key(), password)
	if err != nil {
		return "", fmt.Errorf("add key: %w", err)
	}
	return id, nil
}

// RemoveKey makes the password of the key with this ID open the repository no
// more. The key in use stays: open the repository with another one to remove it.
func (r *Repository) RemoveKey(ctx context.Context, id string) error {
	if id == r.keyID {
		return fmt.Errorf("remove key %s: %w", id, ErrLastKey)
	}
	if _, err := repo.ParseID(id); err != nil {
		return fmt.Errorf("remove key %s: %w", id, ErrNotFound)
	}
	release, err := r.lockExclusive(ctx)
	if err != nil {
		return fmt.Errorf("remove key: %w", err)
	}
	defer release()
	// The key in use must be there, or the last one would go.
	if _, err := r.target.Load(ctx, KeyFile, r.keyID, 0, 0); err != nil {
		return fmt.Errorf("look at the key in use: %w", err)
	}
	if _, err := r.target.Load(ctx, KeyFile, id, 0, 0); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove key %s: %w", id, ErrNotFound)
	}
	if err := r.target.Remove(ctx, KeyFile, id); err != nil {
		return fmt.Errorf("remove key %s: %w", id, err)
	}
	return nil
}
