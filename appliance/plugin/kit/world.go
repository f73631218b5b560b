package kit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
)

// WorldFile says, in the folder of a plugin, what the suite must know of the world behind it. Nothing below testdata is
// ever packed.
const WorldFile = "testdata/suite.yaml"

// World is the world behind a plugin, as far as the suite can reach it.
type World struct {
	Config map[string]string // a configuration that works
	Wrong  map[string]string // one that the plugin itself must refuse; nil when every value of the schema is good

	Bring  func(words string) error        // makes one message come whose text contains the words; nil for none
	Answer *inbox.Outbound                 // a message that can be sent, nil for a channel that sends nothing
	Sent   func(words string) (int, error) // how many messages with these words reached the world
}

func (w World) settings() (map[string]string, error) { return w.Config, nil }

// worldFile is WorldFile: a world of files. ${dir} stands for a fresh folder, ${words} for the words of one message.
type worldFile struct {
	Config map[string]string `yaml:"config"`
	Wrong  map[string]string `yaml:"wrong"`
	Bring  *struct {
		File string `yaml:"file"`
		Text string `yaml:"text"`
	} `yaml:"bring"`
	Answer *struct {
		Channel string `yaml:"channel"`
		Account string `yaml:"account"`
		To      string `yaml:"to"`
	} `yaml:"answer"`
	Sent string `yaml:"sent"` // pattern of the files that hold what was sent
}

// ReadWorld reads the world of the plugin in source; dir is the folder that it happens in. A plugin without the file has
// an empty world.
func ReadWorld(source, dir string) (World, error) {
	name := filepath.Join(source, filepath.FromSlash(WorldFile))
	raw, err := os.ReadFile(name)
	if source == "" || errors.Is(err, fs.ErrNotExist) {
		return World{}, nil
	}
	var f worldFile
	if err == nil {
		err = yaml.Unmarshal([]byte(strings.ReplaceAll(string(raw), "${dir}", dir)), &f)
	}
	if err != nil {
		return World{}, fault.New(fault.Invalid, "kit.world", "file", name, "detail", err)
	}
	w := World{Config: f.Config, Wrong: f.Wrong}
	if f.Bring != nil {
		w.Bring = func(words string) error {
			return placeFile(strings.ReplaceAll(f.Bring.File, "${words}", words), strings.ReplaceAll(f.Bring.Text, "${words}", words))
		}
	}
	if f.Answer != nil {
		w.Answer = &inbox.Outbound{Channel: f.Answer.Channel, Account: f.Answer.Account, To: inbox.Party{Handle: f.Answer.To}, Text: "Hello."}
		w.Sent = func(words string) (int, error) { return filesWith(f.Sent, words) }
	}
	return w, nil
}

// placeFile makes a file appear whole.
func placeFile(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(filepath.Dir(name)), ".part-*")
	if err != nil {
		return err
	}
	_, err = part.WriteString(text)
	return errors.Join(err, part.Close(), os.Rename(part.Name(), name))
}

func filesWith(pattern, words string) (n int, err error) {
	files, err := filepath.Glob(pattern)
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			return n, err
		}
		if strings.Contains(string(raw), words) {
			n++
		}
	}
	return n, err
}
