package record

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	// requestsBucket remembers what CreateOnce made: under "k" and a sum of actor, entity and key stands the outcome,
	// under "t", the moment and that sum nothing, so that old ones are found without reading all.
	requestsBucket = "record.requests"
	// requestLife is how long a key is remembered: a program that was down over a long weekend may still ask again.
	requestLife = 7 * 24 * time.Hour
	// MaxKey is the longest idempotency key, in bytes.
	MaxKey = 200
	// forgetBatch bounds how many old keys one write forgets, so that none is slow.
	forgetBatch = 50
)

// CreateOnce is Create for somebody who may ask twice because he never heard the answer: the same actor's same key
// makes one record of an entity, and asking again gives that record as it is now. The same key with other values is
// Invalid "idempotency.reused"; one whose record is gone meanwhile is a Conflict "idempotency.gone".
func (b *Book) CreateOnce(ctx context.Context, entity, key string, values Values) (r Record, err error) {
	if key == "" || len(key) > MaxKey {
		return Record{}, fault.InvalidField("key", "field.too-long", "limit", MaxKey)
	}
	raw, err := json.Marshal(values)
	if err != nil {
		return Record{}, fault.Wrap(err, fault.Invalid, "input.invalid")
	}
	name := sha256.Sum256([]byte(access.ActorFrom(ctx).ID + "\x00" + entity + "\x00" + key))
	done := request{id: NewID(), values: sha256.Sum256(raw), at: b.now()}
	err = b.update(ctx, func(tx store.Tx) error {
		requests := tx.Bucket(requestsBucket)
		if before, ok := readRequest(requests.Get(requestKey(name[:]))); ok && done.at.Sub(before.at) < requestLife {
			r, err = b.again(ctx, tx, entity, before, done)
			return err
		}
		if r, err = b.CreateTx(ctx, tx, Change{Entity: entity, ID: done.id, Values: values}); err != nil {
			return err
		}
		keep(requests, name[:], done)
		return nil
	})
	return r, err
}

// Once is for what is done once beside records, as an act on many of them: the same actor's same key gives the same id
// for it, and fresh only the first time. The same key with something else asked is Invalid "idempotency.reused".
func (b *Book) Once(ctx context.Context, what, key string, asked any) (id ID, fresh bool, err error) {
	if key == "" || len(key) > MaxKey {
		return ID{}, false, fault.InvalidField("key", "field.too-long", "limit", MaxKey)
	}
	raw, err := json.Marshal(asked)
	if err != nil {
		return ID{}, false, fault.Wrap(err, fault.Invalid, "input.invalid")
	}
	name := sha256.Sum256([]byte(access.ActorFrom(ctx).ID + "\x00" + what + "\x00" + key))
	now := request{id: NewID(), values: sha256.Sum256(raw), at: b.now()}
	err = b.update(ctx, func(tx store.Tx) error {
		requests := tx.Bucket(requestsBucket)
		if before, ok := readRequest(requests.Get(requestKey(name[:]))); ok && now.at.Sub(before.at) < requestLife {
			if id, fresh = before.id, false; before.values != now.values {
				return fault.InvalidField("Idempotency-Key", "idempotency.reused")
			}
			return nil
		}
		id, fresh = now.id, true
		keep(requests, name[:], now)
		return nil
	})
	return id, fresh, err
}

// keep remembers a request, and forgets some that are old.
func keep(requests store.Bucket, name []byte, q request) {
	forget(requests, q.at.Add(-requestLife))
	requests.Put(requestKey(name), q.raw())
	requests.Put(requestTime(q.at, name), nil)
}

// again gives what an earlier request made.
func (b *Book) again(ctx context.Context, tx store.Tx, entity string, before, now request) (Record, error) {
	if before.values != now.values {
		return Record{}, fault.InvalidField("Idempotency-Key", "idempotency.reused")
	}
	r, err := b.GetTx(ctx, tx, entity, before.id)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return Record{}, fault.New(fault.Conflict, "idempotency.gone")
	}
	return r, err
}

// request is what is remembered of one CreateOnce.
type request struct {
	id     ID
	values [sha256.Size]byte
	at     time.Time
}

func (q request) raw() []byte {
	raw := append(q.id[:len(q.id):len(q.id)], q.values[:]...)
	return binary.BigEndian.AppendUint64(raw, uint64(q.at.UnixMilli()))
}

func readRequest(raw []byte) (q request, ok bool) {
	if len(raw) != 16+sha256.Size+8 {
		return q, false
	}
	copy(q.id[:], raw)
	copy(q.values[:], raw[16:])
	q.at = time.UnixMilli(int64(binary.BigEndian.Uint64(raw[16+sha256.Size:])))
	return q, true
}

func requestKey(name []byte) []byte { return append([]byte("k"), name...) }

func requestTime(at time.Time, name []byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("t"), uint64(at.UnixMilli())), name...)
}

// forget drops the oldest requests made before a moment. A key that was used anew since is kept.
func forget(requests store.Bucket, before time.Time) {
	var old [][]byte
	for key := range requests.Scan([]byte("t"), requestTime(before, nil), false) {
		if old = append(old, bytes.Clone(key)); len(old) == forgetBatch {
			break
		}
	}
	for _, key := range old {
		name := key[1+8:]
		if q, ok := readRequest(requests.Get(requestKey(name))); ok && bytes.Equal(requestTime(q.at, name), key) {
			requests.Delete(requestKey(name))
		}
		requests.Delete(key)
	}
}
