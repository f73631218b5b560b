package pack

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Permissions are what a plugin asks for, and, in a certificate, the most that its holder may ask for. There "*" stands
// for each entity or verb, "*" and "*.name" for hosts and "*" for each port.
type Permissions struct {
	Records []Record `json:"records,omitempty"`
	Egress  []Egress `json:"egress,omitempty"`
	Memory  int64    `json:"memory,omitempty"`  // bytes; 0 is what every plugin has
	Storage int64    `json:"storage,omitempty"` // bytes; 0 is what every plugin has
}

// Record is what may be done with the records of an entity.
type Record struct {
	Entity string   `json:"entity"`
	Verbs  []string `json:"verbs"`
	Fields []string `json:"fields,omitempty"` // none: all but those that are marked sensitive
}

// Egress is a place in the network, as host:port or host:port,port; a host ${name} is what stands in that setting.
type Egress struct {
	To      string `json:"to"`
	Private bool   `json:"private,omitempty"` // though its address is a private one
}

const wildcard = "*"

// Everything is the ceiling that forbids nothing.
func Everything() Permissions {
	return Permissions{
		Records: []Record{{Entity: wildcard, Verbs: []string{wildcard}}}, Egress: []Egress{{To: "*:*", Private: true}},
		Memory: 1 << 50, Storage: 1 << 50,
	}
}

// Beyond names what of p the ceiling does not cover, a phrase each; none when all is covered.
func (p Permissions) Beyond(ceiling Permissions) []string { return p.beyond(ceiling, true) }

// beyond is Beyond. Of an office's grant (ceiling false) a record without fields covers no field that is named: it may
// be a sensitive one.
func (p Permissions) beyond(other Permissions, ceiling bool) []string {
	var out []string
	for _, r := range p.Records {
		for _, verb := range r.Verbs {
			if !other.coversRecord(r.Entity, verb, r.Fields, ceiling) {
				out = append(out, Record{Entity: r.Entity, Verbs: []string{verb}, Fields: r.Fields}.String())
			}
		}
	}
	for _, e := range p.Egress {
		if !other.coversEgress(e) {
			out = append(out, e.String())
		}
	}
	if p.Memory > other.Memory {
		out = append(out, "memory "+size(p.Memory))
	}
	if p.Storage > other.Storage {
		out = append(out, "storage "+size(p.Storage))
	}
	return out
}

// coversRecord tells whether the permissions together cover a verb on fields of an entity.
func (p Permissions) coversRecord(entity, verb string, fields []string, ceiling bool) bool {
	covered := map[string]bool{}
	for _, r := range p.Records {
		if r.Entity != wildcard && r.Entity != entity || !slices.Contains(r.Verbs, wildcard) && !slices.Contains(r.Verbs, verb) {
			continue
		}
		if len(r.Fields) == 0 && (ceiling || len(fields) == 0) {
			return true
		}
		for _, f := range r.Fields {
			covered[f] = true
		}
	}
	return len(fields) > 0 && !slices.ContainsFunc(fields, func(f string) bool { return !covered[f] })
}

// coversEgress tells whether each port of a place is covered.
func (p Permissions) coversEgress(asked Egress) bool {
	host, ports, ok := splitPlace(asked.To)
	return ok && !slices.ContainsFunc(strings.Split(ports, ","), func(port string) bool {
		return !slices.ContainsFunc(p.Egress, func(e Egress) bool { return (e.Private || !asked.Private) && e.covers(host, port) })
	})
}

func (e Egress) covers(askedHost, askedPort string) bool {
	host, ports, ok := splitPlace(e.To)
	if !ok || ports != wildcard && !slices.Contains(strings.Split(ports, ","), askedPort) {
		return false
	}
	setting := strings.HasPrefix(askedHost, "${")
	switch {
	case host == wildcard, host == askedHost, setting && host == "${*}":
		return true
	case setting:
		return false
	}
	below, wild := strings.CutPrefix(host, "*")
	return wild && strings.HasPrefix(below, ".") && strings.HasSuffix(askedHost, below) && len(askedHost) > len(below)
}

// splitPlace splits at the last colon: an address of IPv6 stands in brackets.
func splitPlace(to string) (host, port string, ok bool) {
	i := strings.LastIndexByte(to, ':')
	if i <= 0 || i == len(to)-1 {
		return "", "", false
	}
	return strings.TrimSuffix(strings.ToLower(to[:i]), "."), to[i+1:], true
}

// String describes the grant for a list: "see, edit contact (name, phone)".
func (r Record) String() string {
	s := strings.Join(r.Verbs, ", ") + " " + r.Entity
	if len(r.Fields) > 0 {
		s += " (" + strings.Join(r.Fields, ", ") + ")"
	}
	return s
}

// String describes the place for a list.
func (e Egress) String() string {
	if e.Private {
		return "connect to " + e.To + " (private)"
	}
	return "connect to " + e.To
}

// size writes bytes as a manifest has them.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		shift uint
	}{{"GB", 30}, {"MB", 20}, {"KB", 10}} {
		if n >= 1<<unit.shift && n%(1<<unit.shift) == 0 {
			return strconv.FormatInt(n>>unit.shift, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Difference is what an upgrade would change about the permissions, a phrase each.
type Difference struct {
	Added   []string `json:"added,omitempty"`   // not covered by those before: somebody must approve
	Removed []string `json:"removed,omitempty"` // covered before and no more
}

// Since tells the difference from the permissions before. A grant that grew counts as added.
func (p Permissions) Since(before Permissions) Difference {
	return Difference{Added: p.beyond(before, false), Removed: before.beyond(p, false)}
}

// Phrases describes all permissions, a phrase each.
func (p Permissions) Phrases() []string { return p.Beyond(Permissions{}) }

// equal tells whether both say the same, in whatever order.
func (p Permissions) equal(q Permissions) bool {
	return p.Memory == q.Memory && p.Storage == q.Storage && maps.Equal(p.words(), q.words())
}

func (p Permissions) words() map[string]bool {
	out := map[string]bool{}
	for _, r := range p.Records {
		fields := slices.Sorted(slices.Values(r.Fields))
		for _, v := range r.Verbs {
			out[fmt.Sprintf("%q %q %q", r.Entity, v, fields)] = true
		}
	}
	for _, e := range p.Egress {
		out[fmt.Sprintf("%q %v", e.To, e.Private)] = true
	}
	return out
}
