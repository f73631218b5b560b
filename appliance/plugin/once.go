package plugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// onceBucket remembers which records a batch with an idempotency key wrote: under "k" and a sum of plugin, actor and
	// key stands what was done, under "t", the moment and that sum nothing, so that old ones are found without reading all.
	onceBucket = "plugin.writes"
	onceLife   = 7 * 24 * time.Hour
	onceForget = 50 // old ones that one batch forgets at most, so that none is slow
)

// once is the key of a batch, and what it must be the key of.
type once struct {
	name  [sha256.Size]byte
	asked [sha256.Size]byte
	now   time.Time
}

// doneBatch is what is remembered of a batch. It holds no values: a person who is forgotten stands nowhere.
type doneBatch struct {
	Asked  []byte      `json:"asked"`
	At     time.Time   `json:"at"`
	Writes []doneWrite `json:"writes"`
}

type doneWrite struct {
	Entity string `json:"entity"`
	ID     string `json:"id"`
}

// once reads the idempotency key of a batch, nil where there is none.
func (s recordsService) once(ctx context.Context, r *wirev1.WriteRequest) (*once, error) {
	key := r.GetIdempotencyKey()
	if key == "" {
		return nil, nil
	}
	if len(key) > record.MaxKey {
		return nil, fault.InvalidField("idempotency_key", "field.too-long", "limit", record.MaxKey)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&wirev1.WriteRequest{Writes: r.GetWrites()})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "input.invalid")
	}
	name := s.c.s.p.m.ID + "\x00" + access.ActorFrom(ctx).ID + "\x00" + key
	return &once{name: sha256.Sum256([]byte(name)), asked: sha256.Sum256(raw), now: s.c.s.p.host.o.Now().UTC()}, nil
}

func (o *once) key() []byte { return append([]byte("k"), o.name[:]...) }

func onceTime(at time.Time, name []byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("t"), uint64(at.UnixMilli())), name...)
}

// before gives what a batch with this key wrote lately, nil for nothing.
func (o *once) before(tx store.Tx) ([]doneWrite, error) {
	raw := tx.Bucket(onceBucket).Get(o.key())
	if raw == nil {
		return nil, nil
	}
	var done doneBatch
	if err := json.Unmarshal(raw, &done); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "store.damaged", "what", onceBucket)
	}
	switch {
	case o.now.Sub(done.At) >= onceLife:
		return nil, nil
	case !bytes.Equal(done.Asked, o.asked[:]):
		return nil, fault.InvalidField("idempotency_key", "idempotency.reused")
	}
	return done.Writes, nil
}

// keep remembers what the batch wrote, and forgets some that are old.
func (o *once) keep(tx store.Tx, answers []*wirev1.Record) error {
	done := doneBatch{Asked: o.asked[:], At: o.now}
	for _, r := range answers {
		done.Writes = append(done.Writes, doneWrite{r.GetEntity(), r.GetId()})
	}
	raw, err := json.Marshal(done)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "error.internal")
	}
	o.forget(tx)
	tx.Bucket(onceBucket).Put(o.key(), raw)
	tx.Bucket(onceBucket).Put(onceTime(o.now, o.name[:]), nil)
	return nil
}

// forget drops some of the oldest. A key that was used anew since is kept.
func (o *once) forget(tx store.Tx) {
	bucket := tx.Bucket(onceBucket)
	var old [][]byte
	for key := range bucket.Scan([]byte("t"), onceTime(o.now.Add(-onceLife), nil), false) {
		if old = append(old, bytes.Clone(key)); len(old) == onceForget {
			break
		}
	}
	for _, key := range old {
		name := key[1+8:]
		var done doneBatch
		held := append([]byte("k"), name...)
		if json.Unmarshal(bucket.Get(held), &done) == nil && bytes.Equal(onceTime(done.At, name), key) {
			bucket.Delete(held)
		}
		bucket.Delete(key)
	}
}
