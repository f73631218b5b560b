package main

import (
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

func spoolOf(t testing.TB, raw []byte) *spool {
	t.Helper()
	s := newSpool(t.TempDir())
	if _, err := s.Write(raw); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// parsed parses a mail that must be readable.
func parsed(t testing.TB, raw []byte) sdk.Message {
	t.Helper()
	m, err := parser{defaultLimits(), "office@crm.test"}.parse(spoolOf(t, raw), time.Now())
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return m
}
