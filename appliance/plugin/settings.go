package plugin

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/store"
)

const settingsBucket = "plugin.settings"

// StoredSettings keeps the plugins' settings in the store, sealed as a whole with a key that lies in a file of its own:
// whoever has the data file alone reads no password. It is a Settings.
type StoredSettings struct {
	db      store.DB
	gate    *access.Gate
	journal *journal.Journal
	seal    cipher.AEAD
}

// OpenSettings opens the settings of a store. The key file is made where there is none.
func OpenSettings(db store.DB, gate *access.Gate, j *journal.Journal, keyFile string) (*StoredSettings, error) {
	key, err := os.ReadFile(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = newKey(keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("open the key of secrets: %w", err)
	}
	if len(key) != 32 {
		return nil, fault.New(fault.Invalid, "secret.key-damaged", "file", keyFile)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(block)
	return &StoredSettings{db: db, gate: gate, journal: j, seal: seal}, err
}

// newKey makes the key file durably: settings sealed with a key that a power cut takes are lost.
func newKey(path string) ([]byte, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return key, errors.Join(dir.Sync(), dir.Close())
}

// PluginConfig implements Settings. A plugin without settings has an empty map.
func (s *StoredSettings) PluginConfig(ctx context.Context, id string) (values map[string]string, err error) {
	err = s.db.View(ctx, func(tx store.Tx) error {
		values, err = s.open(tx, id)
		return err
	})
	return values, err
}

func (s *StoredSettings) open(tx store.Tx, id string) (map[string]string, error) {
	values := map[string]string{}
	sealed := tx.Bucket(settingsBucket).Get([]byte(id))
	if sealed == nil {
		return values, nil
	}
	if len(sealed) < s.seal.NonceSize() {
		return nil, fault.New(fault.Invalid, "secret.unreadable", "plugin", id)
	}
	raw, err := s.seal.Open(nil, sealed[:s.seal.NonceSize()], sealed[s.seal.NonceSize():], []byte(id))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "secret.unreadable", "plugin", id)
	}
	return values, json.Unmarshal(raw, &values)
}

// Set changes some settings of a plugin; an empty value takes one away. With anew the ones before are forgotten unread,
// as when the key that opens them is lost. It is for those who administer the office.
func (s *StoredSettings) Set(ctx context.Context, id string, changes map[string]string, anew bool) error {
	if err := s.gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx store.Tx) error {
		values, err := map[string]string{}, error(nil)
		if !anew {
			values, err = s.open(tx, id)
		}
		if err != nil {
			return err
		}
		var names []string
		for name, value := range changes {
			names = append(names, name)
			if values[name] = value; value == "" {
				delete(values, name)
			}
		}
		slices.Sort(names)
		raw, err := json.Marshal(values)
		if err != nil {
			return err
		}
		nonce := make([]byte, s.seal.NonceSize())
		if _, err := rand.Read(nonce); err != nil {
			return err
		}
		tx.Bucket(settingsBucket).Put([]byte(id), s.seal.Seal(nonce, nonce, raw, []byte(id)))
		return s.journal.Append(ctx, tx, journal.Fact{Name: "plugin.configured", Entity: "plugin", ID: id, Fields: names})
	})
}
