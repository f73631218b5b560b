package sdk

import (
	"fmt"
	"log/slog"
)

// Config is the plugin's configuration as the administrator gave it: flat keys as plugin.yaml's config schema names
// them ("imap.host"), secrets already opened. It must never be logged.
type Config map[string]string

// String keeps a configuration out of every log: fmt and slog print this instead of the values.
func (c Config) String() string { return fmt.Sprintf("configuration of %d keys", len(c)) }

// GoString does for %#v what String does for %v.
func (c Config) GoString() string { return c.String() }

// LogValue does for slog what String does for fmt.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
