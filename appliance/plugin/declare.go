package plugin

import "time"

// Label is a text for people, by language. All of Languages are required.
type Label map[string]string

// Permissions are what a plugin asks for in its manifest and the administrator approves at installation. Nothing else
// is granted: of its own entities a plugin may do everything, and these need not be listed.
type Permissions struct {
	Records []RecordGrant `yaml:"records"`
	Egress  []EgressGrant `yaml:"egress"`
	Memory  Bytes         `yaml:"memory"`  // 256MB where it says nothing
	Storage Bytes         `yaml:"storage"` // of its folder and of what Karov keeps for it, each; 256MB where it says nothing
}

// RecordGrant is a right to records of an entity.
type RecordGrant struct {
	Entity string   `yaml:"entity"`
	Verbs  []string `yaml:"verbs"`  // see, create, change, delete
	Fields []string `yaml:"fields"` // empty: all that are not marked sensitive; a sensitive one must be named
}

// EgressGrant is a way out to the network.
type EgressGrant struct {
	To      string `yaml:"to"`      // "api.example.com:443", "*.example.com:443", "${imap.host}:143,993"
	Private bool   `yaml:"private"` // may be an address of the office's own network, or of this machine
}

// Bytes is a size; in a manifest "300KB", "256MB", "1GB" (powers of 1024) or a plain number.
type Bytes int64

// Entity is a kind of record that a plugin declares. Its Name begins with the last label of the plugin's id and a dot.
type Entity struct {
	Name     string  `yaml:"name"` // "fieldservice.asset"
	Label    Label   `yaml:"label"`
	Plural   Label   `yaml:"plural"`
	Title    string  `yaml:"title"`   // the text field that names a record to people
	Contact  string  `yaml:"contact"` // the link field that names the customer
	Owner    string  `yaml:"owner"`   // the staff field that says whose it is; without one it is his whose the customer is
	Timeline bool    `yaml:"timeline"`
	Fields   []Field `yaml:"fields"`
}

// Field is a field of an entity. Of another's entity (Manifest.Fields) its Name begins with the last label of the
// plugin's id and an underscore.
type Field struct {
	Entity    string   `yaml:"entity"` // only in Manifest.Fields
	Name      string   `yaml:"name"`
	Type      string   `yaml:"type"` // as appliance/schema names it, except data
	Label     Label    `yaml:"label"`
	Many      bool     `yaml:"many"`
	Required  bool     `yaml:"required"`
	Unique    bool     `yaml:"unique"`
	Searched  bool     `yaml:"searched"`
	Indexed   bool     `yaml:"indexed"`
	Sensitive bool     `yaml:"sensitive"`
	To        string   `yaml:"to"` // of a link: the entity
	Choices   []Option `yaml:"choices"`
	Currency  string   `yaml:"currency"`
	Formula   string   `yaml:"formula"`
	Default   any      `yaml:"default"`
}

// Place is where a view stands.
type Place string

// The places of a view.
const (
	OnCard     Place = "card"     // of records of Entity
	OnPage     Place = "page"     // a page of its own, in the menu
	OnHome     Place = "home"     // a box of the home page
	OnSettings Place = "settings" // in the plugin's settings, for those who administer
)

// ViewSpec is a view that a plugin draws as blocks.
type ViewSpec struct {
	Name   string `yaml:"name"`
	Place  Place  `yaml:"place"`
	Entity string `yaml:"entity"` // of a card
	Label  Label  `yaml:"label"`
	Icon   string `yaml:"icon"` // one of the sprite's, "" for the plugin's own sign
}

// ActionSpec is a button that a plugin does. On a card and on a list it stands by itself; an action without On is only
// for the plugin's views.
type ActionSpec struct {
	Name   string   `yaml:"name"`
	Entity string   `yaml:"entity"`
	On     []string `yaml:"on"`    // card, list
	Needs  string   `yaml:"needs"` // the verb on Entity without which the button is not there; change where it says nothing
	Label  Label    `yaml:"label"`
}

// JobSpec is work that Karov calls a plugin for.
type JobSpec struct {
	Name     string        `yaml:"name"`
	Schedule string        `yaml:"schedule"` // cron, five fields, in the office's time zone; "" for one that is only enqueued
	Missed   string        `yaml:"missed"`   // what to do after a pause over its time: once (the default) or skip
	Within   time.Duration `yaml:"within"`   // how long it may take, at most an hour; 10m where it says nothing
	Label    Label         `yaml:"label"`
}

// BeforeSpec is a before-hook.
type BeforeSpec struct {
	Entity   string   `yaml:"entity"`
	Acts     []string `yaml:"acts"`     // create, update, delete
	Fields   []string `yaml:"fields"`   // of an update: asked only when one of these changes; empty for any
	Failing  string   `yaml:"failing"`  // open: the write goes on when the plugin does not answer; closed: it is refused
	Override string   `yaml:"override"` // a verb on Entity by which a person may override the refusal, "" for nobody
}

// Hooks are what a plugin wants to be asked and told.
type Hooks struct {
	Before []BeforeSpec `yaml:"before"`
	After  []string     `yaml:"after"` // names of facts, "contact.changed"; a star at the end stands for the rest
}

// RouteSpec is an HTTP route below /p/<id>.
type RouteSpec struct {
	Path    string   `yaml:"path"` // "/hook"; with a slash at the end it stands for all below it
	Methods []string `yaml:"methods"`
	Public  bool     `yaml:"public"` // nobody need be signed in; the plugin proves the caller itself
	Limit   Bytes    `yaml:"limit"`  // of a body; 1MB where it says nothing, at most 100MB
}

// ImporterSpec is a kind of file that a plugin reads.
type ImporterSpec struct {
	Name   string   `yaml:"name"`
	Entity string   `yaml:"entity"`
	Files  []string `yaml:"files"` // endings, ".xml"
	Label  Label    `yaml:"label"`
}
