package inbox

import (
	"context"
	"crypto/sha256"
	"slices"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// messageErased drops what the room keeps about a message of somebody who is forgotten. That it came in stays known by
// a hash of its id, so that a channel that brings it again does not bring the person back.
func (r *Room) messageErased(_ context.Context, tx store.Tx, m record.Record) error {
	threads, thread := tx.Bucket(threadsBucket), threadKey(m.Text("channel"), m.Text("external_id"))
	conversation := m.Link("conversation")
	if slices.Equal(threads.Get(thread), conversation[:]) {
		threads.Delete(thread)
	}
	seen, key := tx.Bucket(seenBucket), seenKey(m.Text("channel"), m.Text("account"), m.Text("external_id"))
	if slices.Equal(seen.Get(key), m.ID[:]) {
		seen.Delete(key)
		seen.Put(erasedKey(key), nil)
	}
	return nil
}

// erasedKey is where it stands that a message came in that is erased since. No other key begins with NUL.
func erasedKey(key []byte) []byte {
	sum := sha256.Sum256(key)
	return append([]byte{0}, sum[:]...)
}
