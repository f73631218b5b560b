package record

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
)

// A record is stored as protobuf wire data (https://protobuf.dev/programming-guides/encoding/): texts, ids and JSON as
// bytes, moments and yes-no as varints (zigzag for moments), numbers as 64-bit floats, many values as repeated fields.
// Fields stand in the order of their numbers, so equal contents are equal bytes.

func floatOf(n uint64) float64 { return math.Float64frombits(n) }

// walk visits the stored fields in order: bytes for byte fields, n for the others. Damaged bytes end the walk; valid
// finds them, and Check names the record.
func (r Record) walk(visit func(number protowire.Number, t protowire.Type, b []byte, n uint64) bool) {
	rest := r.raw
	for len(rest) > 0 {
		number, t, used := protowire.ConsumeTag(rest)
		if used < 0 {
			return
		}
		rest = rest[used:]
		var b []byte
		var n uint64
		switch t {
		case protowire.BytesType:
			b, used = protowire.ConsumeBytes(rest)
		case protowire.VarintType:
			n, used = protowire.ConsumeVarint(rest)
		case protowire.Fixed64Type:
			n, used = protowire.ConsumeFixed64(rest)
		default:
			return
		}
		if used < 0 || !visit(number, t, b, n) {
			return
		}
		rest = rest[used:]
	}
}

func (r Record) visit(number protowire.Number, fn func([]byte) bool) {
	r.walk(func(n protowire.Number, t protowire.Type, b []byte, _ uint64) bool {
		if n == number && t == protowire.BytesType {
			return fn(b)
		}
		return n <= number
	})
}

func (r Record) first(number protowire.Number) (value []byte) {
	if number == 0 {
		return nil
	}
	r.visit(number, func(b []byte) bool { value = b; return false })
	return value
}

func (r Record) scalar(number protowire.Number) (value uint64, ok bool) {
	r.walk(func(n protowire.Number, t protowire.Type, _ []byte, v uint64) bool {
		if n == number && t != protowire.BytesType {
			value, ok = v, true
			return false
		}
		return n <= number
	})
	return value, ok
}

func (r Record) varint(number protowire.Number) uint64 {
	n, _ := r.scalar(number)
	return n
}

// valid tells whether the bytes are a record to their end, each number and length in its shortest form.
func (r Record) valid() bool {
	seen := 0
	r.walk(func(n protowire.Number, t protowire.Type, b []byte, v uint64) bool {
		seen += protowire.SizeTag(n)
		switch t {
		case protowire.BytesType:
			seen += protowire.SizeBytes(len(b))
		case protowire.VarintType:
			seen += protowire.SizeVarint(v)
		default:
			seen += 8
		}
		return true
	})
	return seen == len(r.raw)
}

// header is what record itself keeps of a record.
type header struct {
	version            uint64
	created, updated   time.Time
	createdBy, updater string
}

// encode writes a record from its header and the wire form of each field by number. A field that the schema has no more
// is written too: what it held stays until somebody purges it.
func encode(h header, fields map[int][]byte) []byte {
	raw := protowire.AppendTag(nil, fieldVersion, protowire.VarintType)
	raw = protowire.AppendVarint(raw, h.version)
	raw = appendMoment(raw, fieldCreatedAt, h.created)
	raw = appendMoment(raw, fieldUpdatedAt, h.updated)
	raw = appendText(raw, fieldCreatedBy, h.createdBy)
	raw = appendText(raw, fieldUpdatedBy, h.updater)
	for _, number := range slices.Sorted(maps.Keys(fields)) {
		raw = append(raw, fields[number]...)
	}
	return raw
}

func appendMoment(raw []byte, number protowire.Number, t time.Time) []byte {
	raw = protowire.AppendTag(raw, number, protowire.VarintType)
	return protowire.AppendVarint(raw, protowire.EncodeZigZag(t.UnixMilli()))
}

func appendText(raw []byte, number protowire.Number, s string) []byte {
	raw = protowire.AppendTag(raw, number, protowire.BytesType)
	return protowire.AppendString(raw, s)
}

// split gives the wire form of each of the schema's fields that a stored record holds.
func (r Record) split() map[int][]byte {
	fields := map[int][]byte{}
	r.walk(func(n protowire.Number, t protowire.Type, b []byte, v uint64) bool {
		if n < schema.FirstField {
			return true
		}
		raw := protowire.AppendTag(fields[int(n)], n, t)
		switch t {
		case protowire.BytesType:
			raw = protowire.AppendBytes(raw, b)
		case protowire.VarintType:
			raw = protowire.AppendVarint(raw, v)
		default:
			raw = protowire.AppendFixed64(raw, v)
		}
		fields[int(n)] = raw
		return true
	})
	return fields
}

// wire is the stored form of one field's cleaned value, nil for an empty one.
func wire(f *schema.Field, value any) ([]byte, error) {
	number := protowire.Number(f.Number)
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return appendText(nil, number, v), nil
	case []string:
		var raw []byte
		for _, s := range v {
			raw = appendText(raw, number, s)
		}
		return raw, nil
	case ID:
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), v[:]), nil
	case []ID:
		var raw []byte
		for _, id := range v {
			raw = protowire.AppendBytes(protowire.AppendTag(raw, number, protowire.BytesType), id[:])
		}
		return raw, nil
	case schema.Amount:
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), v.Encode()), nil
	case []schema.Attachment:
		var raw []byte
		for _, a := range v {
			raw = protowire.AppendBytes(protowire.AppendTag(raw, number, protowire.BytesType), a.Encode())
		}
		return raw, nil
	case time.Time:
		return appendMoment(nil, number, v), nil
	case bool:
		if !v {
			return nil, nil
		}
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), 1), nil
	case float64:
		return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), math.Float64bits(v)), nil
	case json.RawMessage:
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), v), nil
	}
	return nil, fault.InvalidField(f.Name, "field.type")
}
