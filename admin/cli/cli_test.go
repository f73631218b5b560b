package cli

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/fault"
)

// run does a command with a program whose daemon is served by serve.
func run(t *testing.T, serve func(config.Config) error, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(t.Context(), args, Program{Version: "1.2.3", In: strings.NewReader(""), Out: &o, Err: &e,
		Serve: func(_ context.Context, c config.Config, _ *slog.Logger) error { return serve(c) }})
	return code, o.String(), e.String()
}

func TestExitCodes(t *testing.T) {
	t.Setenv("KAROV_LANG", "en")
	data := filepath.Join(t.TempDir(), "d")
	for _, c := range []struct {
		name   string
		result error
		args   []string
		code   int
		says   string
	}{
		{"done", nil, []string{"serve", "--data", data}, 0, ""},
		{"failed", fault.New(fault.Unavailable, "disk.full"), []string{"serve", "--data", data}, 1, "disk"},
		{"newer data", fault.New(fault.Invalid, "store.too-new", "found", 2, "known", 1), []string{"serve", "--data", data}, 78, ""},
		{"no such command", nil, []string{"dance"}, 2, "dance"},
		{"no such flag", nil, []string{"serve", "--loud"}, 2, "--loud"},
		{"too few arguments", nil, []string{"import", "contact"}, 2, "--help"},
		{"no daemon", nil, []string{"status", "--data", data}, 1, "karov serve"},
		{"no file", nil, []string{"import", "contact", filepath.Join(data, "none.csv"), "--data", data}, 2, "none.csv"},
		{"a secret that never comes", nil, []string{"setup", "--owner-email", "a@b.test", "--password-stdin", "--data", data}, 2, "standard input"},
	} {
		code, _, errs := run(t, func(config.Config) error { return c.result }, c.args...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit %d, want %d\n%s", c.name, code, c.code, errs)
		}
	}
}

func TestFlagsStandOverTheFile(t *testing.T) {
	var got config.Config
	code, _, errs := run(t, func(c config.Config) error { got = c; return nil },
		"serve", "--data", "/elsewhere", "--listen", "127.0.0.1:9", "--plain-http", "--plugins", "/p")
	if code != 0 || got.Data != "/elsewhere" || got.Listen != "127.0.0.1:9" || !got.PlainHTTP || got.Plugins != "/p" || got.Country != config.Default().Country {
		t.Errorf("exit %d, %+v\n%s", code, got, errs)
	}
}

func TestLanguage(t *testing.T) {
	for env, want := range map[string]string{"LANG=he_IL.UTF-8": "he", "LANG=ru_RU": "ru", "LANG=C": "en", "KAROV_LANG=ru LANG=he_IL": "ru", "": "en"} {
		got := language(func(name string) string {
			for pair := range strings.FieldsSeq(env) {
				if key, value, _ := strings.Cut(pair, "="); key == name {
					return value
				}
			}
			return ""
		})
		if got != want {
			t.Errorf("%s: %s, want %s", env, got, want)
		}
	}
}

// TestEveryCommandSaysWhatItDoes: an administrator reads the help before anything else.
func TestEveryCommandSaysWhatItDoes(t *testing.T) {
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has no description", c.CommandPath())
		}
		for _, flag := range []string{"password", "key", "recovery-key", "token"} {
			if c.Flags().Lookup(flag) != nil {
				t.Errorf("%s takes a secret as --%s, which everybody on the machine can see", c.CommandPath(), flag)
			}
		}
		for _, child := range c.Commands() {
			look(child)
		}
	}
	look((&command{}).root())
}
