package plugin

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/karov-crm/karov/appliance/fault"
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
	Path   Type = "file"   // the path of a file or folder on this machine that the plugin may read
	Folder Type = "folder" // the path of a folder on this machine that the plugin may read and write
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

// maxPath is the longest path that Linux takes.
const maxPath = 4095

func (m *Manifest) checkSettings(c *checker) {
	if !c.notMany("config", len(m.Config), maxSettings) {
		return
	}
	for i, s := range m.Config {
		name := fmt.Sprintf("config[%d]", i)
		s.check(c, name)
		c.once(name+".key", "setting "+s.Key)
	}
}

func (s Setting) check(c *checker, name string) {
	c.form(name+".key", s.Key, len(s.Key) <= 100 && settingForm.MatchString(s.Key))
	checkLabel(c, name+".label", s.Label)
	switch s.Type {
	case Text, Number, YesNo, Secret, Path, Folder:
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
			if slices.ContainsFunc(s.Choices[:i], func(x Option) bool { return x.Value == o.Value }) {
				c.wrong(at+".value", "field.repeated")
			}
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
	case Path, Folder:
		ok = len(value) <= maxPath && filepath.IsAbs(value) && filepath.Clean(value) == value && value != "/" && plainText(value, maxPath)
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
