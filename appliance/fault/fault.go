// Package fault is what every error of Karov becomes before it leaves its room: an error with a kind.
//
// It exists so that one place each (page, API, command, job) can turn an error into a status, a sentence in the
// reader's language or a retry, without knowing which room it came from. It owns the list of kinds and nothing else;
// it imports the standard library only.
//
// It promises that kinds are append-only, since they cross the plugin contract and the API. It will not hold texts:
// a fault carries the key of a sentence and its parameters, and admin/frame/locale has the sentence.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what a caller can do about an error. Kinds are append-only: their numbers cross the plugin contract.
type Kind int

const (
	Internal        Kind = iota // a surprise: logged with an id, shown as "something went wrong"
	Invalid                     // the input is wrong; Fields say where
	NotFound                    // no such thing, or not for this actor
	Conflict                    // somebody else was first: read again, then decide
	Forbidden                   // the actor may not
	Unavailable                 // not now: retry later
	Unauthenticated             // nobody is signed in
	TooLarge                    // over a stated limit
	TooMany                     // too often: slow down
)

// String gives the kind's name as it stands in the API and in logs.
func (k Kind) String() string {
	names := [...]string{"internal", "invalid", "not-found", "conflict", "forbidden", "unavailable",
		"unauthenticated", "too-large", "too-many"}
	if k < 0 || int(k) >= len(names) {
		return "internal"
	}
	return names[k]
}

// Field is what is wrong with one field of an input, and on which line of a file when there was a file.
type Field struct {
	Name   string // the field's name as the input called it
	Line   int    // 1-based line in the input, 0 where there are no lines
	Key    string // key of the sentence, as "field.required"
	Params map[string]string
}

// Error is an error with a kind. Key names the sentence shown to people; Params fill it in.
type Error struct {
	Kind   Kind
	Key    string
	Params map[string]string
	Fields []Field
	Err    error // what lies beneath, for the log only
}

// New makes a fault. Args alternate parameter names and values; an odd one out is ignored.
func New(kind Kind, key string, args ...any) *Error {
	return &Error{Kind: kind, Key: key, Params: params(args)}
}

// Wrap makes a fault that carries err for the log.
func Wrap(err error, kind Kind, key string, args ...any) *Error {
	return &Error{Kind: kind, Key: key, Params: params(args), Err: err}
}

// InvalidField is the fault of one wrong field.
func InvalidField(name, key string, args ...any) *Error {
	return &Error{Kind: Invalid, Key: "input.invalid", Fields: []Field{{Name: name, Key: key, Params: params(args)}}}
}

// Missing is the fault of a thing that does not exist, or is not for this actor: both look alike on purpose.
func Missing(what, id string) *Error {
	return New(NotFound, what+".not-found", "id", id)
}

func params(args []any) map[string]string {
	if len(args) < 2 {
		return nil
	}
	m := make(map[string]string, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		m[fmt.Sprint(args[i])] = fmt.Sprint(args[i+1])
	}
	return m
}

// Error describes the fault for a log, never for a person.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Kind.String() + ": " + e.Key)
	for _, f := range e.Fields {
		b.WriteString(" [" + f.Name + ": " + f.Key + "]")
	}
	if len(e.Params) > 0 {
		fmt.Fprintf(&b, " %v", e.Params)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap gives what lies beneath.
func (e *Error) Unwrap() error { return e.Err }

// KindOf finds the kind of the outermost fault in err; an error without one is Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Of finds the outermost fault in err. An error that carries none becomes an Internal one around it.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Wrap(err, Internal, "error.internal")
}
