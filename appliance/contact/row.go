package contact

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/store"
)

// A row that an import brought is remembered, so that it is taken once. Its key is random, and a key that stands alone in
// its page of the store costs the import a page for each row. So where the row has an identity, what remembers it stands
// beside that in contact.identities, in the page that is written anyway: under the first of its identities, with rowSign
// and the 16 bytes of the key; the value is the contact's id. All others stand in contact.imports, under the key itself.

const (
	// rowSign parts an identity from the row beside it. What follows an identity is as long as an id where it is one.
	rowSign = "\x00row:"
	// rowPrefix begins the keys that imports of files make; 32 hex digits follow.
	rowPrefix = "import:"
	rowSize   = 16
)

// rowPlace is where a row is remembered.
type rowPlace struct {
	key    string // "" for a row that is not remembered
	beside []byte // its key in contact.identities; nil for none
}

func rowOf(key string, pairs []string) rowPlace {
	at := rowPlace{key: key}
	digits, ours := strings.CutPrefix(key, rowPrefix)
	if !ours || len(pairs) == 0 || len(digits) != 2*rowSize || strings.ToLower(digits) != digits {
		return at
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return at
	}
	first := slices.Min(pairs) // in whatever order the row has them
	at.beside = append(append(append(make([]byte, 0, len(first)+len(rowSign)+rowSize), first...), rowSign...), raw...)
	return at
}

// known tells whether the row came before. Rows of earlier imports stand in contact.imports, all of them.
func (at rowPlace) known(tx store.Tx) bool {
	return at.key != "" && (at.beside != nil && tx.Bucket(identitiesBucket).Get(at.beside) != nil ||
		tx.Bucket(importsBucket).Get([]byte(at.key)) != nil)
}

func (at rowPlace) put(tx store.Tx, id ID) {
	switch {
	case at.key == "":
	case at.beside != nil:
		tx.Bucket(identitiesBucket).Put(at.beside, id[:])
	default:
		tx.Bucket(importsBucket).Put([]byte(at.key), id[:])
	}
}

// rowKey is the key of the row that a pair of a bucket remembers, "" for a pair that is something else.
func rowKey(bucket string, key []byte) string {
	if bucket == importsBucket {
		return string(key)
	}
	sign := len(key) - rowSize - len(rowSign)
	if sign <= 0 || string(key[sign:sign+len(rowSign)]) != rowSign {
		return ""
	}
	return rowPrefix + hex.EncodeToString(key[len(key)-rowSize:])
}
