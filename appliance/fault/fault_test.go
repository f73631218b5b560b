package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestKinds(t *testing.T) {
	// Numbers and names cross the plugin contract and the API: this list only grows.
	for i, name := range []string{"internal", "invalid", "not-found", "conflict", "forbidden", "unavailable", "unauthenticated", "too-large", "too-many"} {
		if got := Kind(i).String(); got != name {
			t.Errorf("kind %d is %q, want %q", i, got, name)
		}
	}
	if Kind(-1).String() != "internal" || Kind(99).String() != "internal" {
		t.Error("an unknown kind is not internal")
	}
}

func TestOutermostFaultCounts(t *testing.T) {
	inner := Wrap(io.ErrUnexpectedEOF, Unavailable, "mail.cut", "host", "mx", "odd")
	outer := fmt.Errorf("send: %w", Wrap(inner, Conflict, "x.y"))
	if KindOf(outer) != Conflict || Of(outer).Key != "x.y" || !errors.Is(outer, io.ErrUnexpectedEOF) {
		t.Errorf("%v", outer)
	}
	if KindOf(io.EOF) != Internal || Of(io.EOF).Key != "error.internal" || !errors.Is(Of(io.EOF), io.EOF) {
		t.Error("an error without a fault is not internal")
	}
	if len(inner.Params) != 1 || inner.Params["host"] != "mx" {
		t.Errorf("params %v", inner.Params)
	}
	if got := inner.Error(); got != "unavailable: mail.cut map[host:mx]: unexpected EOF" {
		t.Errorf("Error() = %q", got)
	}
	if got := InvalidField("name", "field.too-long", "limit", 3); got.Kind != Invalid || got.Fields[0].Params["limit"] != "3" || got.Error() != "invalid: input.invalid [name: field.too-long]" {
		t.Errorf("%v", got)
	}
	if m := Missing("contact", "7"); m.Kind != NotFound || m.Key != "contact.not-found" {
		t.Errorf("%v", m)
	}
}
