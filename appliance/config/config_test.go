package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "karov.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestLoad(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "only a comment": "# nothing\n"} {
		if c, err := load(t, text); err != nil || c != Default() {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	c, err := load(t, "listen: 192.168.1.10:443\nlanguage: ru\ncountry: RU\ntime_zone: Europe/Moscow\n")
	if err != nil || c.Listen != "192.168.1.10:443" || c.Country != "RU" || c.Data != Default().Data {
		t.Errorf("%+v, %v", c, err)
	}
	for _, text := range []string{"lisen: :443\n", "listen: [1\n", "plain_http: perhaps\n"} {
		_, err := load(t, text)
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Of(err).Params["why"], "line 1") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); fault.Of(err).Key != "config.unreadable" {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestWhatIsPrintedIsRead(t *testing.T) {
	want := Default()
	want.Office, want.PlainHTTP, want.Listen = "משרד: \"כהן\" #1", true, "127.0.0.1:80"
	if got, err := load(t, want.YAML()); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestCheck(t *testing.T) {
	if err := Default().Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for field, spoil := range map[string]func(*Config){
		"data":       func(c *Config) { c.Data = "" },
		"listen":     func(c *Config) { c.Listen = "8443" },
		"plain_http": func(c *Config) { c.PlainHTTP, c.Listen = true, "0.0.0.0:80" },
		"language":   func(c *Config) { c.Language = "he ru" },
		"country":    func(c *Config) { c.Country = "il" },
		"time_zone":  func(c *Config) { c.TimeZone = "Mars/Olympus" },
		"log_level":  func(c *Config) { c.LogLevel = "loud" },
		"isolation":  func(c *Config) { c.Isolation = "much" },
	} {
		c := Default()
		spoil(&c)
		f := fault.Of(c.Check())
		if f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Name != field {
			t.Errorf("%s: %+v", field, f)
		}
	}
	for _, listen := range []string{"127.0.0.1:0", "[::1]:80", "localhost:80"} {
		c := Default()
		c.PlainHTTP, c.Listen = true, listen
		if err := c.Check(); err != nil {
			t.Errorf("plain http on %s: %v", listen, err)
		}
	}
}
