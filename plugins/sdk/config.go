package sdk

import (
	"fmt"
	"log/slog"
	"strconv"
)

// Config is the plugin's configuration as the administrator gave it: flat keys as plugin.yaml's config schema names
// them ("imap.host"), secrets already opened. It must never be logged.
type Config map[string]string

// Int gives a number, 0 where there is none. That it is one the host checked against plugin.yaml.
func (c Config) Int(key string) int {
	n, _ := strconv.Atoi(c[key])
	return n
}

// Yes tells whether a yes-no setting says yes.
func (c Config) Yes(key string) bool { return c[key] == "yes" }

// String keeps a configuration out of every log: fmt and slog print this instead of the values.
func (c Config) String() string { return fmt.Sprintf("configuration of %d keys", len(c)) }

// GoString does for %#v what String does for %v.
func (c Config) GoString() string { return c.String() }

// LogValue does for slog what String does for fmt.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
