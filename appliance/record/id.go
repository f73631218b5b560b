package record

import (
	"github.com/google/uuid"

	"github.com/karov-crm/karov/appliance/fault"
)

// ID names a record: a UUIDv7 (RFC 9562), so that ids made later sort later.
type ID [16]byte

// NewID makes an id of this moment.
func NewID() ID { return ID(uuid.Must(uuid.NewV7())) }

// ParseID reads the text form. A text that is not an id is an Invalid fault.
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return ID{}, fault.New(fault.Invalid, "id.invalid", "id", s)
	}
	return ID(u), nil
}

// String is the text form, as 0198a6f2-....
func (id ID) String() string { return uuid.UUID(id).String() }

// Zero tells whether the id names nothing.
func (id ID) Zero() bool { return id == ID{} }

// MarshalText lets an id stand in JSON; the zero id is an empty text.
func (id ID) MarshalText() ([]byte, error) {
	if id.Zero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	*id, err = ParseID(string(b))
	return err
}
