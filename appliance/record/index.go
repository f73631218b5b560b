package record

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// maxIndexed is how many bytes of a text stand in an index key; longer ones sort alike from there on.
const maxIndexed = 256

func indexBucket(entity, field string) string { return "index." + entity + "." + field }

// reindex keeps index.<entity>.<field> in step with a record.
func reindex(tx store.Tx, before, after Record) {
	e := after.entity
	if e == nil {
		e = before.entity
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		if !f.Indexed {
			continue
		}
		old, fresh := indexKeys(before, f), indexKeys(after, f)
		bucket := tx.Bucket(indexBucket(e.Name, f.Name))
		for key := range old {
			if !fresh[key] {
				bucket.Delete([]byte(key))
			}
		}
		for key := range fresh {
			if !old[key] {
				bucket.Put([]byte(key), nil)
			}
		}
	}
}

func indexKeys(r Record, f *schema.Field) map[string]bool {
	keys := map[string]bool{}
	if !r.Exists() {
		return keys
	}
	add := func(value string) { keys[value+string(r.ID[:])] = true }
	switch f.Type {
	case schema.Link:
		if id := r.Link(f.Name); !id.Zero() {
			add(string(id[:]))
		}
	case schema.Time:
		if t := r.Time(f.Name); !t.IsZero() {
			add(sortableTime(t))
		}
	default:
		for _, text := range r.Texts(f.Name) {
			add(sortableText(text))
		}
		if f.Name == r.entity.Title && !r.Has(f.Name) {
			add(sortableText("")) // a list by name shows those without one too
		}
	}
	return keys
}

// sortableText is a text's key: folded, so that lists sort as people expect, and ended by a NUL, so that a value is not
// the beginning of another.
func sortableText(text string) string {
	folded := search.Fold(text)
	if len(folded) > maxIndexed {
		folded = strings.ToValidUTF8(folded[:maxIndexed], "")
	}
	return strings.ReplaceAll(folded, "\x00", "") + "\x00"
}

// sortableTime is a moment's key: big-endian milliseconds with the sign turned, so that bytes sort as moments do.
func sortableTime(t time.Time) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(t.UnixMilli())^(1<<63)))
}
