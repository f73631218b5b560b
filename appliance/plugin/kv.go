package plugin

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

const (
	// kvBucket holds the plugins' small values: id NUL key to revision (uvarint) and value.
	kvBucket = "plugin.kv"
	// storageBucket holds what each plugin uses: id to bytes of small values, bytes of files, and the newest revision,
	// eight bytes each.
	storageBucket = "plugin.storage"

	maxKey       = 512
	maxValue     = 64 << 10
	maxKVWrites  = 500
	maxKVPage    = 500
	someKVPage   = 100
	blobPrefix   = "blob:" // of a value that keeps a file
	entryWeight  = 64      // bytes that an entry costs beside its own, so that empty ones are not for nothing
	anyRevision  = -1
	freshKeyOnly = 0
)

// storage is what a plugin uses of what Karov keeps for it. Revisions are drawn from one sequence for all its keys, so
// that a key which was deleted and made anew never has one that it had before.
type storage struct{ values, files, revision int64 }

func storageOf(tx store.Tx, id string) (s storage) {
	raw := tx.Bucket(storageBucket).Get([]byte(id))
	if len(raw) == 24 {
		s.values = int64(binary.BigEndian.Uint64(raw))
		s.files = int64(binary.BigEndian.Uint64(raw[8:]))
		s.revision = int64(binary.BigEndian.Uint64(raw[16:]))
	}
	return s
}

func (s storage) save(tx store.Tx, id string) {
	var raw []byte
	for _, n := range []int64{s.values, s.files, s.revision} {
		raw = binary.BigEndian.AppendUint64(raw, uint64(n))
	}
	tx.Bucket(storageBucket).Put([]byte(id), raw)
}

// grew refuses what makes a plugin use more than it was granted. What makes it less is always let through.
func (s storage) grew(before storage, m *Manifest) error {
	limit, used := int64(m.storage()), s.values+s.files
	if used > limit && used > before.values+before.files {
		return fault.New(fault.TooLarge, "plugin.storage-full", "limit", Bytes(limit))
	}
	return nil
}

// storage is how much Karov keeps for the plugin at most.
func (m *Manifest) storage() Bytes {
	if m.Permissions.Storage > 0 {
		return m.Permissions.Storage
	}
	return DefaultStorage
}

// kept is the key under which something of a plugin stands in a bucket of all plugins. No id holds a NUL.
func kept(id string, key []byte) []byte { return append([]byte(id+"\x00"), key...) }

func revisionOf(raw []byte) (revision int64, value []byte) {
	n, used := binary.Uvarint(raw)
	if raw == nil || used <= 0 {
		return 0, nil
	}
	return int64(n), raw[used:]
}

func goodKey(name string, key []byte) error {
	switch {
	case len(key) == 0:
		return fault.InvalidField(name, "field.required")
	case len(key) > maxKey:
		return fault.InvalidField(name, "field.too-long", "limit", maxKey)
	}
	return nil
}

// Get reads a value.
func (s kvService) Get(ctx context.Context, r *wirev1.KVGetRequest) (*wirev1.KVEntry, error) {
	answer, err := s.get(ctx, r)
	return replied(s.c, answer, err)
}

func (s kvService) get(ctx context.Context, r *wirev1.KVGetRequest) (*wirev1.KVEntry, error) {
	ctx, err := s.c.begin(ctx)
	if err == nil {
		err = goodKey("key", r.GetKey())
	}
	if err != nil {
		return nil, err
	}
	answer := &wirev1.KVEntry{Key: r.GetKey()}
	return answer, s.c.s.p.host.o.DB.View(ctx, func(tx store.Tx) error {
		revision, value := revisionOf(tx.Bucket(kvBucket).Get(kept(s.c.s.p.m.ID, r.GetKey())))
		answer.Revision, answer.Value = revision, slices.Clone(value)
		return nil
	})
}

// Put does several writes in one transaction, each only if its key still is as it was seen.
func (s kvService) Put(ctx context.Context, r *wirev1.KVPutRequest) (*wirev1.KVPutResponse, error) {
	answer, err := s.put(ctx, r)
	return replied(s.c, answer, err)
}

func (s kvService) put(ctx context.Context, r *wirev1.KVPutRequest) (*wirev1.KVPutResponse, error) {
	ctx, err := s.c.begin(ctx)
	if err != nil {
		return nil, err
	}
	if n := len(r.GetWrites()); n == 0 || n > maxKVWrites {
		return nil, fault.InvalidField("writes", "field.too-many", "limit", maxKVWrites)
	}
	for i, w := range r.GetWrites() {
		err := goodKey("key", w.GetKey())
		switch {
		case err != nil:
		case len(w.GetValue()) > maxValue:
			err = fault.InvalidField("value", "field.too-long", "limit", maxValue)
		case w.GetExpected() < anyRevision:
			err = fault.InvalidField("expected", "field.malformed")
		}
		if err != nil {
			return nil, atWrite(i, err)
		}
	}
	var answer *wirev1.KVPutResponse
	m := s.c.s.p.m
	err = s.c.s.p.host.o.DB.Update(ctx, func(tx store.Tx) error {
		answer = &wirev1.KVPutResponse{}
		before := storageOf(tx, m.ID)
		now := before
		for i, w := range r.GetWrites() {
			revision, err := now.write(tx, m.ID, w)
			if err != nil {
				return atWrite(i, err)
			}
			answer.Revisions = append(answer.Revisions, revision)
		}
		now.save(tx, m.ID)
		return now.grew(before, m)
	})
	return answer, err
}

// write does one write and gives the key's new revision.
func (s *storage) write(tx store.Tx, id string, w *wirev1.KVWrite) (revision int64, err error) {
	bucket, key := tx.Bucket(kvBucket), kept(id, w.GetKey())
	raw := bucket.Get(key)
	seen, old := revisionOf(raw)
	if w.GetExpected() != anyRevision && w.GetExpected() != seen {
		return 0, fault.New(fault.Conflict, "plugin.value-changed", "revision", seen)
	}
	if raw != nil {
		s.values -= int64(len(key)+len(raw)) + entryWeight
		if err := refer(tx, id, old, -1); err != nil {
			return 0, err
		}
	}
	if w.GetDelete() {
		bucket.Delete(key)
		return freshKeyOnly, nil
	}
	s.revision++
	fresh := append(binary.AppendUvarint(nil, uint64(s.revision)), w.GetValue()...)
	s.values += int64(len(key)+len(fresh)) + entryWeight
	bucket.Put(key, fresh)
	return s.revision, refer(tx, id, w.GetValue(), +1)
}

// refer counts how many values keep a file that the plugin put.
func refer(tx store.Tx, id string, value []byte, by int) error {
	hash, names := strings.CutPrefix(string(value), blobPrefix)
	if !names || !blobForm.MatchString(hash) {
		return nil
	}
	f, there, err := putFileOf(tx, id, hash)
	if err != nil || !there {
		return err
	}
	f.Values = max(f.Values+by, 0)
	return f.save(tx, id)
}

// List gives entries whose keys begin alike, in the order of the keys.
func (s kvService) List(ctx context.Context, r *wirev1.KVListRequest) (*wirev1.KVListResponse, error) {
	answer, err := s.list(ctx, r)
	return replied(s.c, answer, err)
}

func (s kvService) list(ctx context.Context, r *wirev1.KVListRequest) (*wirev1.KVListResponse, error) {
	ctx, err := s.c.begin(ctx)
	if err != nil {
		return nil, err
	}
	limit := int(r.GetLimit())
	switch {
	case limit < 0 || limit > maxKVPage:
		return nil, fault.InvalidField("limit", "list.limit", "most", strconv.Itoa(maxKVPage))
	case len(r.GetPrefix()) > maxKey || len(r.GetAfter()) > maxKey:
		return nil, fault.InvalidField("prefix", "field.too-long", "limit", maxKey)
	case limit == 0:
		limit = someKVPage
	}
	answer, id := &wirev1.KVListResponse{}, s.c.s.p.m.ID
	from := kept(id, r.GetPrefix())
	to := store.PrefixEnd(from)
	if after := kept(id, r.GetAfter()); len(r.GetAfter()) > 0 {
		if r.GetReverse() {
			to = lower(to, after)
		} else if next := append(after, 0); bytes.Compare(next, from) > 0 {
			from = next
		}
	}
	return answer, s.c.s.p.host.o.DB.View(ctx, func(tx store.Tx) error {
		size := 0
		for key, raw := range tx.Bucket(kvBucket).Scan(from, to, r.GetReverse()) {
			if size += len(key) + len(raw) + entryWeight; len(answer.Entries) == limit || size > maxAnswer {
				answer.More = true
				break
			}
			revision, value := revisionOf(raw)
			answer.Entries = append(answer.Entries, &wirev1.KVEntry{Key: slices.Clone(key[len(id)+1:]), Value: slices.Clone(value), Revision: revision})
		}
		return nil
	})
}

// lower gives the lower of two ends, where nil is above all.
func lower(a, b []byte) []byte {
	if a == nil || bytes.Compare(b, a) < 0 {
		return b
	}
	return a
}
