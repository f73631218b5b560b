package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/karov-crm/karov/backup/repo"
)

// Init makes a new repository in t and opens it. It fails with ErrExists, and
// changes nothing, where a config, a key or a snapshot is: keys without their
// config are the remains of a repository whose data may still be needed.
func Init(ctx context.Context, t Target, password string, opts ...Option) (*Repository, error) {
	if password == "" {
		return nil, fmt.Errorf("make repository: password is empty: %w", ErrWrongKey)
	}
	if err := refuseExisting(ctx, t); err != nil {
		return nil, err
	}
	key, err := repo.NewKey()
	if err != nil {
		return nil, err
	}
	config, err := repo.NewConfig()
	if err != nil {
		return nil, err
	}
	keyID, err := saveKey(ctx, t, key, password)
	if err != nil {
		return nil, fmt.Errorf("save key: %w", err)
	}
	// The config is last: with it the repository exists.
	sealed, err := config.Encode(key)
	if err == nil {
		err = t.Save(ctx, ConfigFile, ConfigName, sealed)
	}
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = ErrExists
		}
		undo := t.Remove(context.WithoutCancel(ctx), KeyFile, keyID)
		return nil, errors.Join(fmt.Errorf("save config: %w", err), undo)
	}
	return newRepository(t, key, keyID, config, opts)
}

func refuseExisting(ctx context.Context, t Target) error {
	for _, kind := range []FileKind{ConfigFile, KeyFile, SnapshotFile} {
		for _, err := range t.List(ctx, kind) {
			if err != nil {
				return fmt.Errorf("look for a repository: %w", err)
			}
			return fmt.Errorf("%s holds a %s file: %w", t.Location(), kind, ErrExists)
		}
	}
	return nil
}

// saveKey writes the key file of a password and opens it again before it counts.
func saveKey(ctx context.Context, t Target, master *repo.Key, password string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	cost := repo.ChosenSecretKDF()
	if isRecoveryKey(password) {
		cost = repo.RandomSecretKDF()
	}
	who := repo.KeyFile{Created: time.Now(), Username: userName(), Hostname: host}
	data, err := repo.WrapKey(who, password, cost, master)
	if err != nil {
		return "", err
	}
	parsed, err := repo.ParseKeyFile(data)
	if err != nil {
		return "", err
	}
	if _, err := parsed.Open(password); err != nil {
		return "", fmt.Errorf("read back key file: %w", err)
	}
	name := repo.Hash(data).String()
	return name, t.Save(ctx, KeyFile, name, data)
}
