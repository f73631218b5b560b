package record

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// An index key is: principal, NUL, mark, value, id. The principal is "" for the list of everybody's records, and an
// account or team for the list of those that are its own: so that somebody who sees only own customers never pays for
// the others. The mark tells a value from none; records without one come behind all others.

const (
	valued  = "\x01"
	missing = "\xff"

	// maxIndexed is how many bytes of a text stand in an index key; longer ones sort alike from there on.
	maxIndexed = 256

	// ageField names the list of an entity's records by age, of those who see only their own.
	ageField = "@"
)

func indexBucket(entity, field string) string { return "index." + entity + "." + field }

// reindex keeps index.<entity>.<field> in step with a record's values. Was and is are its principals before and after.
func (b *Book) reindex(tx store.Tx, before, after Record, was, is []string) {
	e := after.entity
	if e == nil {
		e = before.entity
	}
	if !before.Exists() {
		enterKeys(tx, e, after, is)
		return
	}
	swapKeys(tx.Bucket(indexBucket(e.Name, ageField)), ageKeys(before, was), ageKeys(after, is))
	for i := range e.Fields {
		if f := &e.Fields[i]; f.Indexed {
			swapKeys(tx.Bucket(indexBucket(e.Name, f.Name)), indexKeys(before, f, was), indexKeys(after, f, is))
		}
	}
}

// enterKeys is reindex for a record that is new, of which nothing stands there yet.
func enterKeys(tx store.Tx, e *schema.Entity, r Record, principals []string) {
	key := make([]byte, 0, 64)
	put := func(bucket store.Bucket, principal, value string) {
		key = append(append(append(append(key[:0], principal...), 0), value...), r.ID[:]...)
		bucket.Put(key, nil)
	}
	if len(principals) > 0 {
		ages := tx.Bucket(indexBucket(e.Name, ageField))
		for _, p := range principals {
			put(ages, p, "")
		}
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		if !f.Indexed {
			continue
		}
		bucket := tx.Bucket(indexBucket(e.Name, f.Name))
		for _, value := range indexValues(r, f) {
			put(bucket, "", value)
			for _, p := range principals {
				put(bucket, p, value)
			}
		}
	}
}

// partition moves an unchanged record between principals, in the indexes and in the counts.
func (b *Book) partition(tx store.Tx, r Record, was, is []string) {
	b.reindex(tx, r, r, was, is)
	tally(tx, r, r, was, is)
}

// swapKeys writes the difference between two sets of keys.
func swapKeys(bucket store.Bucket, old, fresh []string) {
	for _, key := range old {
		if !contains(fresh, key) {
			bucket.Delete([]byte(key))
		}
	}
	for _, key := range fresh {
		if !contains(old, key) {
			bucket.Put([]byte(key), nil)
		}
	}
}

func contains(keys []string, key string) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

// ageKeys lists a record's keys in the lists by age of its principals.
func ageKeys(r Record, principals []string) (keys []string) {
	if !r.Exists() {
		return nil
	}
	for _, p := range principals {
		keys = append(keys, p+"\x00"+string(r.ID[:]))
	}
	return keys
}

// indexKeys lists a record's keys in a field's index: each value for everybody and for each principal.
func indexKeys(r Record, f *schema.Field, principals []string) (keys []string) {
	if !r.Exists() {
		return nil
	}
	for _, value := range indexValues(r, f) {
		tail := value + string(r.ID[:])
		keys = append(keys, "\x00"+tail)
		for _, p := range principals {
			keys = append(keys, p+"\x00"+tail)
		}
	}
	return keys
}

// indexValues gives the marked sortable forms of what a record holds in a field, each once.
func indexValues(r Record, f *schema.Field) (values []string) {
	r.walk(func(n protowire.Number, _ protowire.Type, raw []byte, scalar uint64) bool {
		if n == numberOf(f) {
			if v := valued + sortable(f, raw, scalar); !contains(values, v) {
				values = append(values, v)
			}
		}
		return n <= numberOf(f)
	})
	if values == nil {
		return []string{missing}
	}
	return values
}

// wholeValues gives what indexValues does, with texts to their end, and nothing for nothing: what must be unique.
func wholeValues(r Record, f *schema.Field) (values []string) {
	r.walk(func(n protowire.Number, _ protowire.Type, raw []byte, scalar uint64) bool {
		if n == numberOf(f) {
			v := sortable(f, raw, scalar)
			if len(v) > maxIndexed/2 { // perhaps cut
				v = search.Fold(string(raw))
			}
			if !contains(values, v) {
				values = append(values, v)
			}
		}
		return n <= numberOf(f)
	})
	return values
}

func shareOne(a, b []string) bool {
	return slices.ContainsFunc(a, func(v string) bool { return contains(b, v) })
}

// sortable is the form of a stored value whose bytes sort as the values do.
func sortable(f *schema.Field, raw []byte, scalar uint64) string {
	switch f.Type {
	case schema.Number:
		return sortableNumber(math.Float64frombits(scalar))
	case schema.YesNo:
		return ""
	case schema.Time:
		return sortableMillis(protowire.DecodeZigZag(scalar))
	case schema.Link, schema.Money: // of one length each; an amount's bytes sort as they are
		return string(raw)
	case schema.Yearly:
		return sortableYearly(string(raw))
	}
	return sortableText(string(raw))
}

// sortableText is a text's key: folded, so that lists sort as people expect, and ended by a NUL, so that a value is not
// the beginning of another.
func sortableText(text string) string { return foldedText(text) + "\x00" }

func foldedText(text string) string {
	folded := search.Fold(text)
	if len(folded) > maxIndexed {
		folded = strings.ToValidUTF8(folded[:maxIndexed], "")
	}
	return strings.ReplaceAll(folded, "\x00", "")
}

// sortableTime is a moment's key: big-endian milliseconds with the sign turned, so that bytes sort as moments do.
func sortableTime(t time.Time) string { return sortableMillis(t.UnixMilli()) }

func sortableMillis(ms int64) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(ms)^(1<<63)))
}

// sortableNumber turns the bits of a float so that bytes sort as numbers do (IEEE 754 orders positives as integers,
// negatives the other way round). Both zeros are one.
func sortableNumber(n float64) string {
	if n == 0 {
		n = 0
	}
	bits := math.Float64bits(n)
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return string(binary.BigEndian.AppendUint64(nil, bits))
}

// sortableYearly is a yearly day's key: month and day before the year, so that a list runs through the year.
func sortableYearly(day string) string {
	if rest, ok := strings.CutPrefix(day, "--"); ok {
		return rest + "\x00"
	}
	if len(day) == len(time.DateOnly) {
		return day[5:] + day[:4] + "\x00"
	}
	return day + "\x00"
}
