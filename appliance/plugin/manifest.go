package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	"gopkg.in/yaml.v3"
)

// Limits of what a plugin's folder may say.
const (
	maxManifest  = 256 << 10
	maxID        = 60
	maxSettings  = 200
	maxChannels  = 20
	maxChoices   = 100
	maxSentence  = 2000
	maxSentences = 5000
)

// Type is the type of a setting.
type Type string

// The types of a setting. The value of a yes-no is "yes" or "no"; of a number, decimal digits.
const (
	Text   Type = "text"
	Number Type = "number"
	YesNo  Type = "yes-no"
	Secret Type = "secret"
	Choice Type = "choice"
)

// Option is one value of a choice.
type Option struct {
	Value string            `yaml:"value"`
	Label map[string]string `yaml:"label"` // by language
}

// Setting is one key of a plugin's configuration.
type Setting struct {
	Key      string            `yaml:"key"`
	Type     Type              `yaml:"type"`
	Required bool              `yaml:"required"`
	Default  string            `yaml:"default"`
	Choices  []Option          `yaml:"choices"`
	Label    map[string]string `yaml:"label"` // by language
}

// Provides lists what a plugin adds.
type Provides struct {
	Channels []string `yaml:"channels"` // kinds of channel
}

// Manifest is a plugin.yaml, checked.
type Manifest struct {
	ID       string    `yaml:"id"` // reverse DNS
	Name     string    `yaml:"name"`
	Version  string    `yaml:"version"`
	API      string    `yaml:"api"`    // range of the contract, as ">=1.0,<2.0"
	Binary   string    `yaml:"binary"` // name of the program beside the manifest
	Provides Provides  `yaml:"provides"`
	Config   []Setting `yaml:"config"`

	Interpreter string         `yaml:"interpreter"` // "python3": Binary is a script for it; "" for a program
	Data        uint32         `yaml:"data"`        // version of the plugin's data, for Migrate
	Permissions Permissions    `yaml:"permissions"`
	Entities    []Entity       `yaml:"entities"`
	Fields      []Field        `yaml:"fields"` // of entities that are not the plugin's own
	Views       []ViewSpec     `yaml:"views"`
	Actions     []ActionSpec   `yaml:"actions"`
	Jobs        []JobSpec      `yaml:"jobs"`
	Hooks       Hooks          `yaml:"hooks"`
	HTTP        []RouteSpec    `yaml:"http"`
	Imports     []ImporterSpec `yaml:"imports"`

	dir       string                       // where it lies
	sentences map[string]map[string]string // language -> key -> sentence
}

// Languages are those in which a plugin speaks to people.
func Languages() []string { return []string{"he", "en", "ru"} }

var (
	idForm      = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+$`)
	versionForm = regexp.MustCompile(`^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})([-+][0-9A-Za-z.+-]{1,60})?$`)
	binaryForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	channelForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	settingForm = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*$`)
	rangeForm   = regexp.MustCompile(`^(>=|<=|>|<|=)\s*(\d{1,4})\.(\d{1,4})$`)
)

// ReadManifest reads and checks dir/plugin.yaml and the sentences beside it.
func ReadManifest(dir string) (*Manifest, error) {
	file := filepath.Join(dir, "plugin.yaml")
	raw, err := readLimited(file, maxManifest)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "plugin.manifest-unreadable", "file", file)
	}
	m, err := parseManifest(raw, file)
	if err != nil {
		return nil, err
	}
	m.dir = dir
	if m.sentences, err = readSentences(filepath.Join(dir, "locale")); err != nil {
		return nil, err
	}
	return m, nil
}

func readLimited(file string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not hold us up
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no plain file", file))
	}
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", file, limit)
	}
	return raw, err
}

// parseManifest reads a plugin.yaml. It names every field that is wrong, not only the first.
func parseManifest(raw []byte, file string) (*Manifest, error) {
	m := &Manifest{}
	if err := decode(raw, m); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "plugin.manifest-malformed", "file", file, "detail", wire.Cut(err.Error(), 500))
	}
	c := &checker{}
	m.check(c)
	if len(c.fields) > 0 {
		return nil, &fault.Error{
			Kind: fault.Invalid, Key: "plugin.manifest-invalid",
			Params: map[string]string{"file": file}, Fields: c.fields,
		}
	}
	return m, nil
}

// decode reads YAML that may be hostile: one document, no field that to does not have, and none of the features by
// which a short text makes much work (aliases, merges) or makes the decoder panic (keys that are no text).
func decode(raw []byte, to any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the YAML cannot be read: %v", v)
		}
	}()
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return err
	}
	if err := plainYAML(&doc, 0); err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	return dec.Decode(to)
}

func plainYAML(n *yaml.Node, depth int) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || depth > 20 {
		return fmt.Errorf("line %d: anchors, aliases and deep nesting are not taken", n.Line)
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && (c.Kind != yaml.ScalarNode || c.Tag == "!!merge") {
			return fmt.Errorf("line %d: a key must be plain text", c.Line)
		}
		if err := plainYAML(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// checker collects what is wrong.
type checker struct{ fields []fault.Field }

func (c *checker) wrong(name, key string) {
	c.fields = append(c.fields, fault.Field{Name: name, Key: key})
}

func (c *checker) form(name, value string, ok bool) {
	switch {
	case value == "":
		c.wrong(name, "field.required")
	case !ok:
		c.wrong(name, "field.malformed")
	}
}

func (m *Manifest) check(c *checker) {
	c.form("id", m.ID, len(m.ID) <= maxID && idForm.MatchString(m.ID))
	c.form("name", m.Name, plainText(m.Name, 100))
	c.form("version", m.Version, versionForm.MatchString(m.Version))
	c.form("binary", m.Binary, binaryForm.MatchString(m.Binary))
	accepted, err := accepts(m.API, wire.APIMajor, wire.APIMinor)
	c.form("api", m.API, err == nil)
	if err == nil && !accepted {
		c.wrong("api", "plugin.api-unsupported")
	}
	if len(m.Provides.Channels) > maxChannels {
		c.wrong("provides.channels", "field.too-many")
		return
	}
	for i, ch := range m.Provides.Channels {
		name := fmt.Sprintf("provides.channels[%d]", i)
		c.form(name, ch, channelForm.MatchString(ch))
		if slices.Contains(m.Provides.Channels[:i], ch) {
			c.wrong(name, "field.repeated")
		}
	}
	if len(m.Config) > maxSettings {
		c.wrong("config", "field.too-many")
		return
	}
	seen := map[string]bool{}
	for i, s := range m.Config {
		name := fmt.Sprintf("config[%d]", i)
		s.check(c, name)
		if seen[s.Key] {
			c.wrong(name+".key", "field.repeated")
		}
		seen[s.Key] = true
	}
}

func (s Setting) check(c *checker, name string) {
	c.form(name+".key", s.Key, len(s.Key) <= 100 && settingForm.MatchString(s.Key))
	checkLabel(c, name+".label", s.Label)
	switch s.Type {
	case Text, Number, YesNo, Secret:
		if len(s.Choices) > 0 {
			c.wrong(name+".choices", "field.malformed")
		}
	case Choice:
		if len(s.Choices) == 0 || len(s.Choices) > maxChoices {
			c.wrong(name+".choices", "field.required")
			return
		}
		for i, o := range s.Choices {
			at := fmt.Sprintf("%s.choices[%d]", name, i)
			c.form(at+".value", o.Value, plainText(o.Value, 100))
			checkLabel(c, at+".label", o.Label)
		}
	default:
		c.form(name+".type", string(s.Type), false)
		return
	}
	if s.Default == "" {
		return
	}
	if s.Type == Secret || s.refuse(s.Default) != "" {
		c.wrong(name+".default", "field.malformed")
	}
}

// refuse gives the key of what is wrong with a value of the setting, "" when nothing is.
func (s Setting) refuse(value string) string {
	ok := true
	switch s.Type {
	case Number:
		_, err := strconv.ParseInt(value, 10, 64)
		ok = err == nil
	case YesNo:
		ok = value == "yes" || value == "no"
	case Choice:
		ok = slices.ContainsFunc(s.Choices, func(o Option) bool { return o.Value == value })
	default:
		ok = len(value) <= 64<<10
	}
	if !ok {
		return "field.malformed"
	}
	return ""
}

// fill makes the configuration a plugin gets: each key of the schema that has a value or a default, and nothing else.
func (m *Manifest) fill(given map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(m.Config))
	c := &checker{}
	for _, s := range m.Config {
		v := given[s.Key]
		if v == "" {
			v = s.Default
		}
		if v == "" {
			if s.Required {
				c.wrong(s.Key, "field.required")
			}
			continue
		}
		if key := s.refuse(v); key != "" {
			c.wrong(s.Key, key)
		}
		out[s.Key] = v
	}
	if len(c.fields) > 0 {
		return nil, &fault.Error{Kind: fault.Invalid, Key: "plugin.not-configured", Fields: c.fields}
	}
	return out, nil
}

func checkLabel(c *checker, name string, label map[string]string) {
	for _, lang := range Languages() {
		c.form(name+"."+lang, label[lang], plainText(label[lang], 200))
	}
	for lang := range label {
		if !slices.Contains(Languages(), lang) {
			c.wrong(name, "field.malformed")
			return
		}
	}
}

// plainText tells whether s is one line of text that is not too long.
func plainText(s string, limit int) bool {
	return len(s) <= limit && wire.Valid(s) == s && !strings.ContainsFunc(s, isControl)
}

// accepts tells whether a range as ">=1.0,<2.0" contains a version of the contract.
func accepts(rang string, major, minor int) (bool, error) {
	all := true
	for part := range strings.SplitSeq(rang, ",") {
		f := rangeForm.FindStringSubmatch(strings.TrimSpace(part))
		if f == nil {
			return false, fmt.Errorf("%q is no range of versions", rang)
		}
		ma, _ := strconv.Atoi(f[2]) // digits, by the form
		mi, _ := strconv.Atoi(f[3])
		diff := major - ma
		if diff == 0 {
			diff = minor - mi
		}
		switch f[1] {
		case ">=":
			all = all && diff >= 0
		case "<=":
			all = all && diff <= 0
		case ">":
			all = all && diff > 0
		case "<":
			all = all && diff < 0
		default:
			all = all && diff == 0
		}
	}
	return all, nil
}

// readSentences reads locale/<language>.yaml. A plugin that says nothing to people has no such folder.
func readSentences(dir string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, lang := range Languages() {
		file := filepath.Join(dir, lang+".yaml")
		raw, err := readLimited(file, maxManifest)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "plugin.manifest-unreadable", "file", file)
		}
		if out[lang], err = parseSentences(raw, file); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func parseSentences(raw []byte, file string) (map[string]string, error) {
	var m map[string]string
	if err := decode(raw, &m); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "plugin.manifest-malformed", "file", file, "detail", wire.Cut(err.Error(), 500))
	}
	c := &checker{}
	if len(m) > maxSentences {
		c.wrong("", "field.too-many")
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !wire.ValidKey(key) || !plainText(m[key], maxSentence) || m[key] == "" {
			c.wrong(wire.Cut(key, 100), "field.malformed")
		}
		if len(c.fields) >= 20 {
			break
		}
	}
	if len(c.fields) > 0 {
		return nil, &fault.Error{
			Kind: fault.Invalid, Key: "plugin.manifest-invalid",
			Params: map[string]string{"file": file}, Fields: c.fields,
		}
	}
	return m, nil
}
