// Package record is the one door to every record, of whatever entity: validate, permit, write, index, tell the journal.
//
// Rooms and the API read and write through a Book; nothing else touches the buckets it owns: record.<entity> (id to
// record), index.<entity>.<field> (principal, value and id, for lists), record.counts (how many there are, for all and
// by principal), record.bin (what was deleted, until it is restored or purged), record.shares, record.history (what
// fields held before), record.bulk (changes of many, for their undo), record.building (indexes that are not complete
// yet) and record.requests. Its facts are <entity>.created, .changed, .deleted, .restored, .shared, .unshared and
// .erased, unless a room names its own.
//
// It promises that a change names the version it saw, so that a lost update is a conflict and never silent; that index,
// lookup, count and fact are written in the record's own transaction; that a record which is not for the actor looks
// like one that does not exist; and that one field is read without decoding the rest.
//
// It will not know what an entity means: rooms do, and are asked in the same transaction (Watch).
package record

import (
	"encoding/json"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/schema"
)

// The record's own fields. Those of a schema begin at schema.FirstField.
const (
	fieldVersion   = 1
	fieldCreatedAt = 2
	fieldUpdatedAt = 3
	fieldCreatedBy = 4
	fieldUpdatedBy = 5
)

// Record is a stored record. It reads each field from the stored bytes when it is asked for.
type Record struct {
	ID     ID
	entity *schema.Entity
	raw    []byte

	rights   *access.Fields // of whom it was read for; nil for no limits
	computed map[string]any // the values of its formulas, as plain values for JSON
}

// Entity is the name of the record's entity.
func (r Record) Entity() string {
	if r.entity == nil {
		return ""
	}
	return r.entity.Name
}

// Exists tells a record from the zero Record.
func (r Record) Exists() bool { return r.entity != nil }

// Version grows by one with each change, from 1.
func (r Record) Version() uint64 { return r.varint(fieldVersion) }

// CreatedAt is when the record was made.
func (r Record) CreatedAt() time.Time { return r.moment(fieldCreatedAt) }

// UpdatedAt is when it was last changed.
func (r Record) UpdatedAt() time.Time { return r.moment(fieldUpdatedAt) }

// CreatedBy is the id of the actor who made it.
func (r Record) CreatedBy() string { return string(r.first(fieldCreatedBy)) }

// UpdatedBy is the id of the actor who last changed it.
func (r Record) UpdatedBy() string { return string(r.first(fieldUpdatedBy)) }

// Text reads a field that holds one text (text, choice, phone, e-mail, date, staff). An empty field is "".
func (r Record) Text(field string) string { return string(r.first(r.number(field))) }

// Texts reads a field that holds many.
func (r Record) Texts(field string) (texts []string) {
	r.visit(r.number(field), func(b []byte) bool { texts = append(texts, string(b)); return true })
	return texts
}

// Link reads a link to one record, the zero ID where there is none.
func (r Record) Link(field string) (id ID) {
	copy(id[:], r.first(r.number(field)))
	return id
}

// Links reads a link to many records.
func (r Record) Links(field string) (ids []ID) {
	r.visit(r.number(field), func(b []byte) bool {
		if len(b) == 16 {
			ids = append(ids, ID(b))
		}
		return true
	})
	return ids
}

// Amount reads a money field and whether it holds one.
func (r Record) Amount(field string) (schema.Amount, bool) {
	raw := r.first(r.number(field))
	if raw == nil {
		return schema.Amount{}, false
	}
	return schema.DecodeAmount(raw)
}

// Attachments reads a file or picture field. One that is damaged is left out.
func (r Record) Attachments(field string) (files []schema.Attachment) {
	r.visit(r.number(field), func(b []byte) bool {
		if a, ok := schema.DecodeAttachment(b); ok {
			files = append(files, a)
		}
		return true
	})
	return files
}

// Computed reads a formula's value: a string, float64, bool, schema.Amount, or nil for none.
func (r Record) Computed(field string) any {
	if r.number(field) == 0 {
		return nil
	}
	return r.computed[field]
}

// Time reads a moment, the zero time where there is none.
func (r Record) Time(field string) time.Time { return r.moment(r.number(field)) }

// YesNo reads a yes-no field.
func (r Record) YesNo(field string) bool { return r.varint(r.number(field)) == 1 }

// Number reads a number and whether there is one.
func (r Record) Number(field string) (float64, bool) {
	n, ok := r.scalar(r.number(field))
	return floatOf(n), ok
}

// Data reads a room's JSON into target; an empty field leaves target alone.
func (r Record) Data(field string, target any) error {
	raw := r.first(r.number(field))
	if raw == nil {
		return nil
	}
	return json.Unmarshal(raw, target)
}

// Reads tells whether the record has a field that its reader may read, empty or not.
func (r Record) Reads(field string) bool { return r.number(field) != 0 }

// Has tells whether the field holds anything.
func (r Record) Has(field string) bool {
	number := r.number(field)
	found := false
	r.walk(func(n protowire.Number, _ protowire.Type, _ []byte, _ uint64) bool {
		found = n == number
		return !found
	})
	return found
}

// number is where a field stands in the stored bytes, 0 for one that is not there for the reader. No stored field has
// the number 0, so every way to read ends here.
func (r Record) number(field string) protowire.Number {
	if r.entity == nil {
		return 0
	}
	f := r.entity.Field(field)
	if f == nil || f.Hidden || r.rights.Hidden(field) {
		return 0
	}
	return numberOf(f)
}

func numberOf(f *schema.Field) protowire.Number { return protowire.Number(f.Number) }

func (r Record) moment(number protowire.Number) time.Time {
	n, ok := r.scalar(number)
	if !ok {
		return time.Time{}
	}
	return time.UnixMilli(protowire.DecodeZigZag(n)).UTC()
}
