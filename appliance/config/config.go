// Package config is the appliance's one configuration: typed, validated, printed with its defaults by `karov config`.
//
// It owns the file karov.yaml and nothing else. It promises that a wrong value is refused at start with its name and
// line, and that an unknown name is wrong too, since a misspelt one would silently mean its default. It will not hold
// what an office changes in the product itself: that lies in the data.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/karov-crm/karov/appliance/fault"
)

// Config is everything that is decided before the data is open.
type Config struct {
	Data      string `yaml:"data"`       // folder of the data, made where there is none
	Listen    string `yaml:"listen"`     // address of the pages and the API
	PlainHTTP bool   `yaml:"plain_http"` // without TLS, only on a loopback address
	Plugins   string `yaml:"plugins"`    // folder with a folder for each plugin
	Packages  string `yaml:"packages"`   // folder where the system's packages put .karovplug files; "" for none
	Office    string `yaml:"office"`     // the office's name on its pages
	Language  string `yaml:"language"`   // of visitors whose browser speaks none of ours: he, ru, en
	Country   string `yaml:"country"`    // whose phones are written without a prefix: IL, RU, ...
	TimeZone  string `yaml:"time_zone"`  // IANA name
	LogLevel  string `yaml:"log_level"`  // debug, info, warn, error
	Isolation string `yaml:"isolation"`  // what a plugin must at least be locked into to be started: none, files, full
}

// Default is the configuration of an appliance without a file.
func Default() Config {
	return Config{Data: "/var/lib/karov", Listen: ":8443", Plugins: "/usr/lib/karov/plugins", Packages: "/usr/share/karov/plugins", Language: "he", Country: "IL",
		TimeZone: "Asia/Jerusalem", LogLevel: "info", Isolation: "files"}
}

// Load reads a file over the defaults. A file that is not there is the defaults only when the path is "".
func Load(path string) (Config, error) {
	c := Default()
	if path == "" {
		return c, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, fault.Wrap(err, fault.Invalid, "config.unreadable", "file", path)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, fault.Wrap(err, fault.Invalid, "config.wrong", "file", path, "why", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return c, nil
}

// Check refuses values that cannot work, each with its name.
func (c Config) Check() error {
	var wrong []fault.Field
	add := func(name, key string) { wrong = append(wrong, fault.Field{Name: name, Key: key}) }
	if c.Data == "" {
		add("data", "field.required")
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		add("listen", "config.address")
	} else if c.PlainHTTP && !loopback(host) {
		add("plain_http", "config.plain-http")
	}
	if !slices.Contains([]string{"he", "ru", "en"}, c.Language) {
		add("language", "config.language")
	}
	if len(c.Country) != 2 || strings.ToUpper(c.Country) != c.Country {
		add("country", "config.country")
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		add("time_zone", "config.time-zone")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		add("log_level", "config.log-level")
	}
	if !slices.Contains([]string{"none", "files", "full"}, c.Isolation) {
		add("isolation", "config.isolation")
	}
	if len(wrong) > 0 {
		return &fault.Error{Kind: fault.Invalid, Key: "config.invalid", Fields: wrong}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// YAML is the configuration as a file that Load reads.
func (c Config) YAML() string {
	raw, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Sprintf("# %v\n", err)
	}
	return string(raw)
}

// DataFile is where a part of the data lies.
func (c Config) DataFile(name ...string) string {
	return filepath.Join(append([]string{c.Data}, name...)...)
}
