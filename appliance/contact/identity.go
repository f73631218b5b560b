package contact

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
)

// identity is what contact.identities says of a pair of handle and contact. The first stores kept it as JSON, which
// begins with '{'; since then it is a fifth as long:
//
//	1 byte   1, the form
//	1 byte   certainty, percent; 128 more where the source is an id
//	varint   since, milliseconds since 1970
//	         source: the 16 bytes of an account's id, or whatever text it is
type identity struct {
	source    string // actor who brought it
	certainty int
	since     time.Time
}

const (
	identityForm = 1
	sourceIsID   = 0x80
)

func (i identity) encode() []byte {
	raw := append(make([]byte, 0, 32), identityForm, byte(i.certainty))
	raw = binary.AppendVarint(raw, i.since.UnixMilli())
	if id, err := record.ParseID(i.source); err == nil && id.String() == i.source {
		raw[1] |= sourceIsID
		return append(raw, id[:]...)
	}
	return append(raw, i.source...)
}

// identityOf reads either form.
func identityOf(raw []byte) (i identity, err error) {
	damaged := fault.New(fault.Internal, "store.damaged", "what", identitiesBucket)
	if len(raw) > 0 && raw[0] == '{' {
		var old struct {
			Source    string
			Certainty int
			Since     time.Time
		}
		if err := json.Unmarshal(raw, &old); err != nil {
			return i, damaged
		}
		return identity{old.Source, old.Certainty, old.Since}, nil
	}
	if len(raw) < 3 || raw[0] != identityForm {
		return i, damaged
	}
	since, used := binary.Varint(raw[2:])
	if used <= 0 {
		return i, damaged
	}
	i = identity{certainty: int(raw[1] &^ sourceIsID), since: time.UnixMilli(since).UTC(), source: string(raw[2+used:])}
	if raw[1]&sourceIsID != 0 {
		if len(i.source) != len(ID{}) {
			return i, damaged
		}
		i.source = ID([]byte(i.source)).String()
	}
	return i, nil
}
