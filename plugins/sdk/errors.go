package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errCallOver is what is wrong with a person's ctx that is used too late.
var errCallOver = errors.New("the call for which this context was made is over; sdk.AsPlugin goes on as the plugin itself")

// Error is an error with a sentence for people. Key names the sentence ("mail.refused") in the plugin's locale folder;
// Err is what lies beneath and is shown beside the sentence, as the other side said it.
type Error struct {
	Final  bool // bringing or sending the same again is of no use
	Key    string
	Params map[string]string
	Field  string // the configuration's key, or the record's field, that is wrong; "" elsewhere
	Err    error

	kind   wirev1.Kind // unspecified: Final decides
	local  bool        // Key is this package's own and has no sentence anywhere
	fields []*wirev1.Fault_Field
}

// Temporary says that the same may work later: the host tries again.
func Temporary(key string, err error) error { return &Error{Key: key, Err: err} }

// Permanent says that the same will never work: the host gives up and tells people why.
func Permanent(key string, err error) error { return &Error{Final: true, Key: key, Err: err} }

// Invalid says that a value is wrong: of a configuration key, from Configure, or of a field, from a Before or an
// action.
func Invalid(field, key string) error { return &Error{Final: true, Key: key, Field: field} }

// Refuse says no to the person who writes or presses, with the sentence of the plugin's locale folder that key names:
//
//	return nil, sdk.Refuse("fieldservice.contract-expired", "until", contract.Date("until"))
//
// Parameters are written as names and values in turns, as for Say.
func Refuse(key string, params ...any) error {
	return &Error{Final: true, Key: key, Params: paramsOf(params)}
}

// Forbid says that this person may not. Everything else is as with Refuse.
func Forbid(key string, params ...any) error {
	return &Error{Key: key, Params: paramsOf(params), kind: wirev1.Kind_KIND_FORBIDDEN}
}

// NotFound says that there is no such thing, or none that the caller may see.
func NotFound(key string) error { return &Error{Key: key, kind: wirev1.Kind_KIND_NOT_FOUND} }

// Conflict says that somebody else was first.
func Conflict(key string) error { return &Error{Key: key, kind: wirev1.Kind_KIND_CONFLICT} }

// local is an error of this package, for the author and the log: people are told the host's sentence for what failed.
func local(kind wirev1.Kind, key string, err error) *Error {
	return &Error{Final: isFinal(kind), Key: key, Err: err, kind: kind, local: true}
}

// isFinal tells whether the same would fail again. A right that is lacking may be given.
func isFinal(k wirev1.Kind) bool {
	return k == wirev1.Kind_KIND_INVALID || k == wirev1.Kind_KIND_TOO_LARGE
}

// IsPermanent tells whether an error is final. Of Deliver's error it says: the host will never take this message, so
// set it aside and go on; any other error means "keep it and bring it again later".
func IsPermanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Final
}

// IsNotFound tells whether there is no such thing, or none that the caller may see.
func IsNotFound(err error) bool { return isKind(err, wirev1.Kind_KIND_NOT_FOUND) }

// IsConflict tells whether somebody else was first: read again, decide again, write again. Amend does so by itself.
func IsConflict(err error) bool { return isKind(err, wirev1.Kind_KIND_CONFLICT) }

// IsForbidden tells whether the plugin was not granted what it asked for, or the person for whom it acts may not.
func IsForbidden(err error) bool { return isKind(err, wirev1.Kind_KIND_FORBIDDEN) }

// IsTooMany tells whether the plugin asks too often: slow down.
func IsTooMany(err error) bool { return isKind(err, wirev1.Kind_KIND_TOO_MANY) }

func isKind(err error, k wirev1.Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.kind == k
}

// With adds a parameter of the sentence.
func (e *Error) With(name, value string) *Error {
	c := *e
	c.Params = make(map[string]string, len(e.Params)+1)
	for k, v := range e.Params {
		c.Params[k] = v
	}
	c.Params[name] = value
	return &c
}

// Error describes the error for a log.
func (e *Error) Error() string {
	s := e.Key
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if len(e.Params) > 0 {
		s += fmt.Sprintf(" %v", e.Params)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives what lies beneath.
func (e *Error) Unwrap() error { return e.Err }

// toWire makes an error of a channel what crosses the line. One that says nothing about itself is temporary, and so is
// a refusal of the host: only the channel knows what is final for a message.
func toWire(err error) error {
	if err == nil {
		return nil
	}
	f := &wirev1.Fault{Kind: wirev1.Kind_KIND_UNAVAILABLE, Detail: wire.Valid(err.Error())}
	var e *Error
	if errors.As(err, &e) {
		if e.Final {
			f.Kind = wirev1.Kind_KIND_INVALID
		}
		e.tell(f)
	}
	return wire.FaultError(f)
}

// toAnswer makes an error of any other handler what crosses the line. A refusal of the host goes on to the person as
// it is; an error that says nothing about itself is a surprise.
func toAnswer(err error) error {
	if err == nil {
		return nil
	}
	f := &wirev1.Fault{Kind: wirev1.Kind_KIND_INTERNAL, Detail: wire.Valid(err.Error())}
	var e *Error
	switch {
	case errors.As(err, &e):
		f.Kind = e.kind
		if e.kind == wirev1.Kind_KIND_UNSPECIFIED {
			f.Kind = wirev1.Kind_KIND_UNAVAILABLE
			if e.Final {
				f.Kind = wirev1.Kind_KIND_INVALID
			}
		}
		e.tell(f)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f.Kind = wirev1.Kind_KIND_UNAVAILABLE
	}
	return wire.FaultError(f)
}

// tell puts the sentence into f.
func (e *Error) tell(f *wirev1.Fault) {
	if e.local {
		f.Detail, f.Fields = wire.Valid(e.Error()), e.fields
		return
	}
	f.Key, f.Params, f.Detail, f.Fields = e.Key, validParams(e.Params), "", e.fields
	if e.Err != nil {
		f.Detail = wire.Valid(e.Err.Error())
	}
	if e.Field != "" && len(e.fields) == 0 {
		f.Fields = []*wirev1.Fault_Field{{Name: wire.Valid(e.Field), Key: e.Key, Params: f.Params}}
	}
}

// fromWire makes an error of the host what a plugin's author sees. It is also context.Canceled or
// context.DeadlineExceeded where the call was cut by its context.
func fromWire(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok { // refused on this side, before it was sent
		return e
	}
	f := wire.FaultOf(err)
	e := local(f.Kind, "host.failed", beneath(err, f))
	e.Params, e.fields = f.Params, f.Fields
	if f.Key != "" {
		e.Key, e.local = f.Key, false
	}
	if len(f.Fields) > 0 {
		e.Field = f.Fields[0].Name
	}
	return e
}

// said is what the host said, word for word, over what gRPC knows of it.
type said struct {
	words string
	under error
}

// Error gives the words.
func (s said) Error() string { return s.words }

// Unwrap gives what gRPC knows, or the context's own error.
func (s said) Unwrap() error { return s.under }

func beneath(err error, f *wirev1.Fault) error {
	s := said{words: f.Detail, under: err}
	if s.words == "" {
		s.words = "Karov said " + strings.ToLower(strings.TrimPrefix(f.Kind.String(), "KIND_"))
	}
	switch status.Code(err) {
	case codes.Canceled:
		s.under = errors.Join(context.Canceled, err)
	case codes.DeadlineExceeded:
		s.under = errors.Join(context.DeadlineExceeded, err)
	}
	return s
}
