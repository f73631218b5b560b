package plugin

import (
	"errors"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// toWire makes a fault what a plugin is told: kind, key, parameters and fields, never what lies beneath.
func toWire(f *fault.Error) *wirev1.Fault {
	out := &wirev1.Fault{Kind: kindToWire(f.Kind), Key: f.Key, Params: wire.CleanParams(f.Params)}
	for _, field := range f.Fields {
		out.Fields = append(out.Fields, &wirev1.Fault_Field{
			Name: wire.Valid(field.Name), Key: field.Key, Params: wire.CleanParams(field.Params),
		})
	}
	return out
}

// fromWire makes what a plugin answered a fault that a job and a page understand: final (Invalid, Forbidden, NotFound)
// or worth another attempt (Unavailable). Fallback is the sentence when the plugin gave none.
func fromWire(err error, fallback string) *fault.Error {
	f := wire.FaultOf(err)
	out := &fault.Error{Kind: fault.Unavailable, Key: f.Key, Params: f.Params, Err: errors.New(printable(err.Error()))}
	switch f.Kind {
	case wirev1.Kind_KIND_INVALID, wirev1.Kind_KIND_TOO_LARGE:
		out.Kind = fault.Invalid
	case wirev1.Kind_KIND_FORBIDDEN:
		out.Kind = fault.Forbidden
	case wirev1.Kind_KIND_NOT_FOUND:
		out.Kind = fault.NotFound
	}
	if out.Key == "" {
		out.Key = fallback
	}
	if f.Detail != "" {
		if out.Params == nil {
			out.Params = map[string]string{}
		}
		out.Params["detail"] = printable(f.Detail)
	}
	for _, field := range f.Fields {
		key := field.Key
		if key == "" {
			key = "field.malformed"
		}
		out.Fields = append(out.Fields, fault.Field{Name: printable(field.Name), Key: key, Params: field.Params})
	}
	return out
}

func kindToWire(k fault.Kind) wirev1.Kind {
	if k < fault.Internal || k > fault.TooMany {
		return wirev1.Kind_KIND_INTERNAL
	}
	return wirev1.Kind(k) + 1 // the same list, after KIND_UNSPECIFIED
}
