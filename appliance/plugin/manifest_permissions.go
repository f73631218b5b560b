package plugin

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/karov-crm/karov/appliance/schema"
)

// Limits of what a plugin may ask for, and what it gets where it asks for nothing.
const (
	DefaultMemory  Bytes = 256 << 20
	DefaultStorage Bytes = 256 << 20

	minMemory  Bytes = 16 << 20
	maxMemory  Bytes = 8 << 30
	minStorage Bytes = 1 << 20
	maxStorage Bytes = 1 << 40
	maxGrants        = 100
	maxPorts         = 20
)

var (
	sizeForm     = regexp.MustCompile(`^(\d{1,12})(KB|MB|GB)?$`)
	hostForm     = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	wildcardForm = regexp.MustCompile(`^\*(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){2,}$`)
	settingNamed = regexp.MustCompile(`^\$\{([a-z0-9.-]+)\}$`)
)

// recordVerbs are those that a plugin can be granted.
var recordVerbs = []string{"see", "create", "change", "delete"}

// UnmarshalYAML reads "300KB", "256MB", "1GB" or a plain number of bytes.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	found := sizeForm.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || found == nil {
		return fmt.Errorf("line %d: %q is no size; write 300KB, 256MB or 1GB", n.Line, n.Value)
	}
	size, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		return fmt.Errorf("line %d: read a size: %w", n.Line, err)
	}
	shift := map[string]uint{"": 0, "KB": 10, "MB": 20, "GB": 30}[found[2]]
	if size > 1<<(50-shift) {
		return fmt.Errorf("line %d: the size %s is too big", n.Line, n.Value)
	}
	*b = Bytes(size << shift)
	return nil
}

// String writes a size as a manifest has it.
func (b Bytes) String() string {
	for _, unit := range []struct {
		name string
		size Bytes
	}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}} {
		if b >= unit.size && b%unit.size == 0 {
			return strconv.FormatInt(int64(b/unit.size), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// size refuses one that is not within bounds; 0 stands for the default.
func (c *checker) size(name string, size, from, to Bytes) {
	if size != 0 && (size < from || size > to) {
		c.wrong(name, "plugin.size", "from", from, "to", to)
	}
}

func (m *Manifest) checkPermissions(c *checker) {
	p := m.Permissions
	c.size("permissions.memory", p.Memory, minMemory, maxMemory)
	c.size("permissions.storage", p.Storage, minStorage, maxStorage)
	if c.notMany("permissions.records", len(p.Records), maxGrants) {
		for i, g := range p.Records {
			g.check(c, fmt.Sprintf("permissions.records[%d]", i))
		}
	}
	if c.notMany("permissions.egress", len(p.Egress), maxGrants) {
		for i, g := range p.Egress {
			name := fmt.Sprintf("permissions.egress[%d].to", i)
			c.form(name, g.To, g.sound(m.Config))
			c.once(name, "egress "+g.To)
		}
	}
}

func (g RecordGrant) check(c *checker, name string) {
	c.form(name+".entity", g.Entity, schema.ValidName(g.Entity))
	c.once(name+".entity", "grant "+g.Entity)
	c.words(name+".verbs", g.Verbs, recordVerbs...)
	if !c.notMany(name+".fields", len(g.Fields), schema.MaxFields) {
		return
	}
	for i, f := range g.Fields {
		at := fmt.Sprintf("%s.fields[%d]", name, i)
		c.form(at, f, schema.ValidField(f))
		c.once(at, "grant "+g.Entity+" "+f)
	}
}

// sound tells whether the grant names a host and ports, or the settings that do.
func (g EgressGrant) sound(settings []Setting) bool {
	at := strings.LastIndexByte(g.To, ':')
	if at < 0 || len(g.To) > 300 {
		return false
	}
	setting := func(name string, t Type) bool {
		found := settingNamed.FindStringSubmatch(name)
		return found != nil && slices.ContainsFunc(settings, func(s Setting) bool { return s.Key == found[1] && s.Type == t })
	}
	host, ports := g.To[:at], strings.Split(g.To[at+1:], ",")
	if len(ports) > maxPorts {
		return false
	}
	for i, port := range ports {
		if setting(port, Number) {
			continue
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port || slices.Contains(ports[:i], port) {
			return false
		}
	}
	switch {
	case strings.HasPrefix(host, "["):
		inner, closed := strings.CutSuffix(host[1:], "]")
		ip, err := netip.ParseAddr(inner)
		return closed && err == nil && ip.Is6() && ip.Zone() == ""
	case strings.HasPrefix(host, "*"):
		return wildcardForm.MatchString(host)
	case strings.HasPrefix(host, "$"):
		return setting(host, Text)
	}
	return len(host) <= 253 && hostForm.MatchString(host)
}
