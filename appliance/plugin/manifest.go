package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/pack"
	"github.com/karov-crm/karov/appliance/schema"
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
	maxWrong     = 100 // faults that are told at once
)

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

	dir        string                       // where it lies
	programSum string                       // SHA-256 of the program that was installed, "" when nobody wrote it down
	sentences  map[string]map[string]string // language -> key -> sentence
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
	m.dir, m.programSum = dir, pack.ProgramSum(dir, m.Binary, Arch())
	if m.sentences, err = readSentences(filepath.Join(dir, "locale")); err != nil {
		return nil, err
	}
	return m, nil
}

// ValidID tells whether a text can be the id of a plugin.
func ValidID(id string) bool { return len(id) <= maxID && idForm.MatchString(id) }

// Dir is the folder in which the manifest lies.
func (m *Manifest) Dir() string { return m.dir }

// Prefix is what the names of the plugin's entities (with a dot) and of its fields of others' entities (with an
// underscore) begin with: the last label of its id, "" where no name can begin so.
func (m *Manifest) Prefix() string {
	last := strings.ReplaceAll(m.ID[strings.LastIndexByte(m.ID, '.')+1:], "-", "_")
	if !schema.ValidName(last) {
		return ""
	}
	return last
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
type checker struct {
	fields []fault.Field
	seen   map[string]bool
}

func (c *checker) wrong(name, key string, args ...any) {
	if len(c.fields) < maxWrong {
		f := fault.New(fault.Invalid, key, args...)
		c.fields = append(c.fields, fault.Field{Name: name, Key: f.Key, Params: f.Params})
	}
}

func (c *checker) form(name, value string, ok bool) {
	switch {
	case value == "":
		c.wrong(name, "field.required")
	case !ok:
		c.wrong(name, "field.malformed")
	}
}

// oneOf refuses a word that is none of those allowed.
func (c *checker) oneOf(name, value string, allowed ...string) {
	switch {
	case value == "":
		c.wrong(name, "field.required")
	case !slices.Contains(allowed, value):
		c.wrong(name, "plugin.one-of", "allowed", strings.Join(allowed, ", "))
	}
}

// words refuses a list of words that is empty or has one twice or one that is not allowed.
func (c *checker) words(name string, values []string, allowed ...string) {
	if len(values) == 0 {
		c.wrong(name, "field.required")
	}
	if !c.notMany(name, len(values), len(allowed)) {
		return
	}
	for i, value := range values {
		at := fmt.Sprintf("%s[%d]", name, i)
		c.oneOf(at, value, allowed...)
		if slices.Contains(values[:i], value) {
			c.wrong(at, "field.repeated")
		}
	}
}

// once refuses a thing that stands in the manifest twice; what says which thing it is.
func (c *checker) once(name, what string) {
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	if c.seen[what] {
		c.wrong(name, "field.repeated")
	}
	c.seen[what] = true
}

// notMany refuses a list that is too long, and tells whether it is worth reading.
func (c *checker) notMany(name string, n, limit int) bool {
	if n > limit {
		c.wrong(name, "field.too-many", "limit", limit)
	}
	return n <= limit
}

func (m *Manifest) check(c *checker) {
	c.form("id", m.ID, ValidID(m.ID))
	c.form("name", m.Name, plainText(m.Name, 100))
	c.form("version", m.Version, versionForm.MatchString(m.Version))
	c.form("binary", m.Binary, binaryForm.MatchString(m.Binary))
	if m.Interpreter != "" && m.Interpreter != "python3" {
		c.oneOf("interpreter", m.Interpreter, "python3")
	}
	accepted, err := accepts(m.API, wire.APIMajor, wire.APIMinor)
	c.form("api", m.API, err == nil)
	if err == nil && !accepted {
		c.wrong("api", "plugin.api-unsupported")
	}
	if c.notMany("provides.channels", len(m.Provides.Channels), maxChannels) {
		for i, ch := range m.Provides.Channels {
			name := fmt.Sprintf("provides.channels[%d]", i)
			c.form(name, ch, channelForm.MatchString(ch))
			c.once(name, "channel "+ch)
		}
	}
	m.checkSettings(c)
	m.checkPermissions(c)
	m.checkEntities(c)
	m.checkParts(c)
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
