package record

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// What fields held before a change stands in record.history under entity, NUL, id and the version that the change made:
// the header of that version, the numbers of the fields that changed (fieldChanged, once each) and what they held.
// Journal facts cannot hold it, since a person must be forgotten without breaking their chain.

const fieldChanged = 9

// Revision is one change of a record.
type Revision struct {
	Version uint64
	At      time.Time
	By      string // id of the actor
	Changes []FieldChange
}

// FieldChange is what one field held before a change and after it, as plain values for JSON; nil for nothing.
type FieldChange struct {
	Field    string
	From, To any
}

// remember keeps what the fields of a change held. Fields that only a room writes, and that follow from other records
// (the text of a last message, a moment), are not remembered: the other records are.
func remember(tx store.Tx, w written) {
	if !w.before.Exists() || !w.after.Exists() {
		return
	}
	var kept []*schema.Field
	for _, name := range w.fields {
		f := w.after.entity.Field(name)
		if f.Closed && f.Type != schema.Staff && f.Type != schema.Choice && f.Type != schema.Link {
			continue
		}
		kept = append(kept, f)
	}
	if len(kept) == 0 {
		return
	}
	raw := protowire.AppendTag(nil, fieldUpdatedAt, protowire.VarintType)
	raw = protowire.AppendVarint(raw, w.after.varint(fieldUpdatedAt))
	raw = appendText(raw, fieldUpdatedBy, w.after.UpdatedBy())
	for _, f := range kept {
		raw = protowire.AppendTag(raw, fieldChanged, protowire.VarintType)
		raw = protowire.AppendVarint(raw, uint64(f.Number))
	}
	old := w.before.split()
	slices.SortFunc(kept, func(a, b *schema.Field) int { return a.Number - b.Number })
	for _, f := range kept {
		raw = append(raw, old[f.Number]...)
	}
	tx.Bucket(historyBucket).Put(historyKey(w.after.Entity(), w.after.ID, w.after.Version()), raw)
}

func historyKey(entity string, id ID, version uint64) []byte {
	return binary.BigEndian.AppendUint64(shareKey(entity, id, ""), version)
}

// History lists the changes of a record that the actor may see, newest first, from those older than the version before
// (0: from the newest). Fields that are hidden from him are left out.
func (b *Book) History(ctx context.Context, entity string, id ID, before uint64, limit int) (revisions []Revision, err error) {
	if limit <= 0 || limit > MaxLimit {
		limit = DefaultLimit
	}
	err = b.db.View(ctx, func(tx store.Tx) error {
		revisions = nil
		r, err := b.GetTx(ctx, tx, entity, id)
		if err != nil {
			return err
		}
		// A change's new value is what the next newer change of the field held before, or what stands there now.
		after := map[int]Record{}
		for key, raw := range tx.Bucket(historyBucket).Scan(historyKey(entity, id, 0), store.PrefixEnd(shareKey(entity, id, "")), true) {
			old := Record{ID: id, entity: r.entity, raw: slices.Clone(raw), rights: r.rights}
			rev := Revision{Version: binary.BigEndian.Uint64(key[len(key)-8:]), At: old.UpdatedAt(), By: old.UpdatedBy()}
			for _, f := range changedFields(old) {
				next, ok := after[f.Number]
				if !ok {
					next = r
				}
				after[f.Number] = old
				if old.number(f.Name) != 0 {
					rev.Changes = append(rev.Changes, FieldChange{Field: f.Name, From: old.plainOrNil(f), To: next.plainOrNil(f)})
				}
			}
			if (before == 0 || rev.Version < before) && len(rev.Changes) > 0 {
				if revisions = append(revisions, rev); len(revisions) == limit {
					return nil
				}
			}
		}
		return nil
	})
	return revisions, err
}

// changedFields lists the fields whose change an entry of the history remembers.
func changedFields(old Record) (fields []*schema.Field) {
	old.walk(func(n protowire.Number, _ protowire.Type, _ []byte, v uint64) bool {
		if n == fieldChanged {
			for i := range old.entity.Fields {
				if f := &old.entity.Fields[i]; uint64(f.Number) == v {
					fields = append(fields, f)
				}
			}
		}
		return n <= fieldChanged
	})
	return fields
}

func (r Record) plainOrNil(f *schema.Field) any {
	if !r.Has(f.Name) {
		return nil
	}
	return r.Plain(f)
}
