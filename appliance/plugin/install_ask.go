package plugin

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/plugin/pack"
	"github.com/karov-crm/karov/plugins/wire"
)

// describe reads a plugin.yaml for package pack.
func describe(raw []byte) (pack.Description, error) {
	m, err := parseManifest(raw, "plugin.yaml")
	if err != nil {
		return pack.Description{}, err
	}
	return pack.Description{
		ID: m.ID, Version: m.Version, API: m.API, Binary: m.Binary, Script: m.Interpreter != "", Permissions: m.Permissions.packed(),
	}, nil
}

// packed gives the permissions as a package states them. What every plugin has is not stated.
func (p Permissions) packed() pack.Permissions {
	out := pack.Permissions{}
	for _, g := range p.Records {
		out.Records = append(out.Records, pack.Record{Entity: g.Entity, Verbs: g.Verbs, Fields: g.Fields})
	}
	for _, g := range p.Egress {
		out.Egress = append(out.Egress, pack.Egress{To: g.To, Private: g.Private})
	}
	if p.Memory > DefaultMemory {
		out.Memory = int64(p.Memory)
	}
	if p.Storage > DefaultStorage {
		out.Storage = int64(p.Storage)
	}
	return out
}

// asks gives what a plugin wants from the office beside permissions, too.
func (m *Manifest) asks() Asks {
	a := Asks{Permissions: m.Permissions.packed()}
	say := func(words ...string) { a.Powers = append(a.Powers, strings.Join(words, " ")) }
	for _, ch := range m.Provides.Channels {
		say("channel", ch)
	}
	for _, f := range m.Fields {
		say("field", f.Entity+"."+f.Name)
	}
	for _, h := range m.Hooks.Before {
		for _, act := range h.Acts {
			say("asked before", act, h.Entity)
		}
	}
	for _, fact := range m.Hooks.After {
		say("told of", fact)
	}
	for _, r := range m.HTTP {
		if r.Public {
			say("open to everybody", r.Path)
		}
	}
	slices.Sort(a.Powers)
	a.Powers = slices.Compact(a.Powers)
	return a
}

// since tells what is more and what is less than before.
func (a Asks) since(before Asks) pack.Difference {
	d := a.Permissions.Since(before.Permissions)
	for _, p := range a.Powers {
		if !slices.Contains(before.Powers, p) {
			d.Added = append(d.Added, p)
		}
	}
	for _, p := range before.Powers {
		if !slices.Contains(a.Powers, p) {
			d.Removed = append(d.Removed, p)
		}
	}
	return d
}

// phrases gives all that is asked for.
func (a Asks) phrases() []string { return slices.Concat(a.Permissions.Phrases(), a.Powers) }

// BuildPackage packs and signs the plugin in a folder.
func BuildPackage(dir string, w io.Writer, key *pack.Signer) (*pack.Manifest, error) {
	if _, err := ReadManifest(dir); err != nil {
		return nil, err
	}
	return pack.Build(dir, w, key, describe)
}

// VerifyPackage proves a package whole, signed by somebody trusted, and made for this Karov; with an arch of "" for
// whatever processor.
func VerifyPackage(r io.ReaderAt, size int64, trust *pack.Trust, now time.Time, arch string) (*pack.Package, error) {
	return pack.Verify(r, size, trust, pack.Options{Now: now, Arch: arch, Describe: describe, Accepts: func(api string) error {
		ok, err := accepts(api, wire.APIMajor, wire.APIMinor)
		if err == nil && !ok {
			err = errors.New("this Karov speaks " + wire.API())
		}
		return err
	}})
}

// Arch is the architecture that Karov runs on, as packages name it.
func Arch() string { return runtime.GOOS + "/" + runtime.GOARCH }
