package snapshot

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/store"
)

// line is one pair of a bucket's file. Text stands as text; what is not text stands as hex (keys) or base64 (values).
// Read is a record's fields for people; a restore does not look at it.
type line struct {
	Key      *string        `json:"k,omitempty"`
	KeyHex   string         `json:"kx,omitempty"`
	Value    *string        `json:"v,omitempty"`
	ValueB64 string         `json:"vx,omitempty"`
	Read     map[string]any `json:"read,omitempty"`
}

// lineOf writes a pair as a line. A record whose fields cannot be written as JSON stands there without them: its bytes
// count, and one odd record must not end the backup of all others.
func lineOf(key, value []byte, read map[string]any) ([]byte, error) {
	l := line{Read: read}
	if s := string(key); plain(s) {
		l.Key = &s
	} else {
		l.KeyHex = hex.EncodeToString(key)
	}
	if s := string(value); utf8.ValidString(s) && read == nil {
		l.Value = &s
	} else {
		l.ValueB64 = base64.StdEncoding.EncodeToString(value)
	}
	raw, err := json.Marshal(l)
	if err != nil && read != nil {
		return lineOf(key, value, nil)
	}
	return append(raw, '\n'), err
}

// plain tells whether a key can stand as text: no control character but the zero that parts its words, so that lines
// sort and read well.
func plain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < 0x20 && r != 0 || r == utf8.RuneError {
			return false
		}
	}
	return true
}

var (
	errNotText = errors.New("line is not text")
	errKey     = errors.New("line has no key that a store takes")
)

// parseLine reads a line back. It accepts nothing that lineOf does not write, but for fields it does not know.
func parseLine(raw []byte) (key, value []byte, err error) {
	if !utf8.Valid(raw) {
		return nil, nil, errNotText // json would put other characters in place of what is wrong
	}
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return nil, nil, err
	}
	if l.Key != nil {
		key = []byte(*l.Key)
	} else if key, err = hex.DecodeString(l.KeyHex); err != nil {
		return nil, nil, err
	}
	if len(key) == 0 || len(key) > store.MaxKey {
		return nil, nil, errKey
	}
	if l.Value != nil {
		return key, []byte(*l.Value), nil
	}
	value, err = base64.StdEncoding.DecodeString(l.ValueB64)
	return key, value, err
}
