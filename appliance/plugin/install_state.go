package plugin

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin/pack"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	installedBucket = "plugin.installed"
	trustBucket     = "plugin.trust"
)

// SignedBy names who stands for a package.
type SignedBy struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Serial    string `json:"serial"` // of the certificate
	Root      string `json:"root"`   // its ID
	RootName  string `json:"root_name"`
}

// Asks is what a version of a plugin wants from the office.
type Asks struct {
	Permissions pack.Permissions `json:"permissions"`
	Powers      []string         `json:"powers,omitempty"` // phrases: hooks, channels, public routes, fields of others' entities
}

// Version is one version of a plugin in the store.
type Version struct {
	Version string    `json:"version"`
	Hash    string    `json:"hash"`
	Data    uint32    `json:"data"` // version of the plugin's data that it works with
	Signer  SignedBy  `json:"signer"`
	Asks    Asks      `json:"asks"`
	At      time.Time `json:"at"` // when it was installed
}

// Trial is a version on probation.
type Trial struct {
	Version
	Well   bool `json:"well"`   // the version before did its work
	Starts int  `json:"starts"` // of Karov during it
}

// Waiting is a version in Drop that somebody must approve.
type Waiting struct {
	Version
	File string          `json:"file"`
	More pack.Difference `json:"more"` // than what was approved
}

// Failure is the last version that did not get through its probation.
type Failure struct {
	Version string            `json:"version"`
	Hash    string            `json:"hash"`
	Key     string            `json:"key"`
	Params  map[string]string `json:"params,omitempty"`
	At      time.Time         `json:"at"`
	Stays   bool              `json:"stays,omitempty"` // it had changed the plugin's data, so the version before could not come back
}

// Migration is a change of the plugin's data that is under way.
type Migration struct {
	To     uint32 `json:"to"`
	Cursor string `json:"cursor"`
}

// Installed is what is written down of a plugin.
type Installed struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Active   *Version   `json:"active,omitempty"`
	Previous *Version   `json:"previous,omitempty"`
	Trial    *Trial     `json:"trial,omitempty"`
	Waiting  *Waiting   `json:"waiting,omitempty"`
	Failed   *Failure   `json:"failed,omitempty"`
	Held     []string   `json:"held,omitempty"` // hashes that Drop does not bring by itself
	Granted  Asks       `json:"granted"`        // what was approved
	Pinned   bool       `json:"pinned,omitempty"`
	Removed  bool       `json:"removed,omitempty"` // its data may still be there
	Data     uint32     `json:"data"`              // version of the plugin's data
	Moving   *Migration `json:"moving,omitempty"`
}

// touched is the newest version of the data that any part of it may have.
func (s *Installed) touched() uint32 {
	if s.Moving != nil {
		return max(s.Data, s.Moving.To)
	}
	return s.Data
}

// maxHeld is how many hashes are held at most; the oldest are forgotten.
const maxHeld = 20

func (s *Installed) hold(hash string) {
	s.Held = append(slices.DeleteFunc(s.Held, func(h string) bool { return h == hash }), hash)
	s.Held = s.Held[max(0, len(s.Held)-maxHeld):]
}

func readInstalled(raw []byte) (s Installed, err error) {
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fault.Wrap(err, fault.Internal, "store.damaged", "what", installedBucket)
	}
	return s, nil
}

// all reads what is written down, in the order of ids, with what was removed.
func (in *Installer) all(ctx context.Context) (all []Installed, err error) {
	err = in.o.DB.View(ctx, func(tx store.Tx) error {
		for _, raw := range tx.Bucket(installedBucket).Scan(nil, nil, false) {
			s, err := readInstalled(raw)
			if err != nil {
				return err
			}
			all = append(all, s)
		}
		return nil
	})
	return all, err
}

// load reads what is written down of a plugin; of an unknown one only the id.
func (in *Installer) load(ctx context.Context, id string) (s Installed, err error) {
	err = in.o.DB.View(ctx, func(tx store.Tx) error {
		s, err = loadTx(tx, id)
		return err
	})
	return s, err
}

func loadTx(tx store.Tx, id string) (Installed, error) {
	raw := tx.Bucket(installedBucket).Get([]byte(id))
	if raw == nil {
		return Installed{ID: id}, nil
	}
	return readInstalled(raw)
}

// known reads a plugin that must be installed.
func (in *Installer) known(ctx context.Context, id string) (Installed, error) {
	s, err := in.load(ctx, id)
	if err == nil && !s.there() {
		err = fault.New(fault.NotFound, "plugin.not-installed", "id", id)
	}
	return s, err
}

// newest is the version that is to run: the one on probation, else the active one; nil for none.
func (s *Installed) newest() *Version {
	if s.Trial != nil {
		return &s.Trial.Version
	}
	return s.Active
}

// there tells whether there is anything of a plugin to speak of.
func (s *Installed) there() bool {
	return !s.Removed && (s.Active != nil || s.Trial != nil || s.Waiting != nil || s.Failed != nil)
}

// change changes what is written down of a plugin, with the fact of it; "" for none.
func (in *Installer) change(ctx context.Context, id, fact string, fn func(s *Installed) map[string]string) (s Installed, err error) {
	err = in.o.DB.Update(ctx, func(tx store.Tx) error {
		if s, err = loadTx(tx, id); err != nil {
			return err
		}
		about := fn(&s)
		raw, err := json.Marshal(s)
		if err != nil {
			return err
		}
		tx.Bucket(installedBucket).Put([]byte(id), raw)
		if fact == "" {
			return nil
		}
		return in.o.Journal.Append(ctx, tx, journal.Fact{Name: fact, Entity: "plugin", ID: id, About: about})
	})
	return s, err
}

// about is what a fact says of a version.
func (v Version) about() map[string]string {
	return map[string]string{"version": v.Version, "hash": v.Hash, "signer": v.Signer.Name, "root": v.Signer.Root}
}
