package sdk

import (
	"errors"
	"fmt"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Error is an error with a sentence for people. Key names the sentence ("mail.refused") in the plugin's locale folder;
// Err is what lies beneath and is shown beside the sentence, as the other side said it.
type Error struct {
	Final  bool // bringing or sending the same again is of no use
	Key    string
	Params map[string]string
	Field  string // the configuration's key that is wrong, "" elsewhere
	Err    error
}

// Temporary says that the same may work later: the host tries again.
func Temporary(key string, err error) error { return &Error{Key: key, Err: err} }

// Permanent says that the same will never work: the host gives up and tells people why.
func Permanent(key string, err error) error { return &Error{Final: true, Key: key, Err: err} }

// Invalid says, from Configure, that the value of a configuration key is wrong.
func Invalid(field, key string) error { return &Error{Final: true, Key: key, Field: field} }

// IsPermanent tells whether an error is final. Of Deliver's error it says: the host will never take this message, so
// set it aside and go on; any other error means "keep it and bring it again later".
func IsPermanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Final
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

// toWire makes err what crosses the line. An error that says nothing about itself is temporary.
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
		f.Key, f.Params, f.Detail = e.Key, validParams(e.Params), ""
		if e.Err != nil {
			f.Detail = wire.Valid(e.Err.Error())
		}
		if e.Field != "" {
			f.Fields = []*wirev1.Fault_Field{{Name: wire.Valid(e.Field), Key: e.Key, Params: f.Params}}
		}
	}
	return wire.FaultError(f)
}

// fromWire makes an error of the host what a plugin's author sees.
func fromWire(err error) error {
	if err == nil {
		return nil
	}
	f := wire.FaultOf(err)
	e := &Error{Key: f.Key, Params: f.Params, Err: err}
	switch f.Kind {
	case wirev1.Kind_KIND_INVALID, wirev1.Kind_KIND_TOO_LARGE:
		e.Final = true
	}
	if e.Key == "" {
		e.Key = "host.failed"
	}
	return e
}

func validParams(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[wire.Valid(k)] = wire.Valid(v)
	}
	return out
}
