package schema

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/karov-crm/karov/appliance/store"
)

// builtKey holds the whole schema under which the store's records and indexes were last written.
var builtKey = []byte("built")

// Settle asks the watchers about what another program brought: after an upgrade a built-in field may be new, or indexed
// now, or an own one may go by another name, with no change of the office's in between. It is called once, when all
// watchers are there and before anybody writes. What a watcher refuses counts all the same, because an office must start
// after an upgrade: the refusals are returned when everything is durable, for the log.
func (r *Registry) Settle(ctx context.Context) (refused, err error) {
	if r.db == nil {
		return nil, nil
	}
	err = r.db.Update(ctx, func(tx store.Tx) error {
		refused = nil
		after, err := r.load(tx)
		if err != nil {
			return err
		}
		raw, bucket := after.whole(), tx.Bucket(versionsBucket)
		old := bucket.Get(builtKey)
		if bytes.Equal(old, raw) {
			return nil
		}
		if old != nil {
			before, err := readWhole(old, after.version)
			if err != nil {
				return err
			}
			refused = r.tellWatchers(tx, before, after)
		}
		bucket.Put(builtKey, raw)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return refused, nil
}

// tellWatchers asks all of them, whatever one of them answers.
func (r *Registry) tellWatchers(tx store.Tx, before, after *Schema) error {
	r.watching.RLock()
	watchers := r.watchers
	r.watching.RUnlock()
	var refusals []error
	for _, watch := range watchers {
		refusals = append(refusals, watch(tx, before, after))
	}
	return errors.Join(refusals...)
}

// whole writes all of a schema.
func (s *Schema) whole() []byte {
	raw, err := json.Marshal(s.entities)
	if err != nil {
		panic(err) // a schema holds nothing that JSON cannot: New has checked what its defaults are
	}
	return raw
}

// readWhole reads what whole wrote, of this program or another: it is not checked, since it was sound to that one.
func readWhole(raw []byte, version uint64) (*Schema, error) {
	s := &Schema{version: version, byName: map[string]*Entity{}}
	if err := json.Unmarshal(raw, &s.entities); err != nil {
		return nil, damaged(err)
	}
	for _, e := range s.entities {
		if e == nil {
			return nil, damaged(nil)
		}
		for i := range e.Fields {
			e.Fields[i].Default = plainDefault(e.Fields[i].Default)
		}
		s.byName[e.Name] = e
	}
	return s, nil
}
