package plugin

import (
	"context"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin/pack"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	rootPrefix        = "root/"
	revocationsPrefix = "revocations/"
)

// trust reads whom the office believes.
func (in *Installer) trust(ctx context.Context) (*pack.Trust, error) {
	t := &pack.Trust{Product: in.o.Product, Revocations: map[string]*pack.Revocations{}}
	err := in.o.DB.View(ctx, func(tx store.Tx) error {
		for key, raw := range tx.Bucket(trustBucket).Scan(nil, nil, false) {
			if strings.HasPrefix(string(key), rootPrefix) {
				r, err := pack.ReadRoot(raw)
				if err != nil {
					return fault.Wrap(err, fault.Internal, "store.damaged", "what", trustBucket)
				}
				t.Roots = append(t.Roots, r)
				continue
			}
			l, err := pack.ReadRevocations(raw)
			if err != nil {
				return fault.Wrap(err, fault.Internal, "store.damaged", "what", trustBucket)
			}
			t.Revocations[l.Root] = l
		}
		return nil
	})
	return t, err
}

// TrustedRoot is a root that the office believes.
type TrustedRoot struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Product     bool     `json:"product,omitempty"`     // of Karov itself
	Revocations uint64   `json:"revocations,omitempty"` // counter of the newest list, 0 for none
	Plugins     []string `json:"plugins,omitempty"`     // installed under it
}

// Roots lists whom the office believes.
func (in *Installer) Roots(ctx context.Context) ([]TrustedRoot, error) {
	t, err := in.trust(ctx)
	if err != nil {
		return nil, err
	}
	all, err := in.all(ctx)
	if err != nil {
		return nil, err
	}
	roots := t.Roots
	if t.Product != nil {
		roots = append([]pack.Root{*t.Product}, roots...)
	}
	out := []TrustedRoot{}
	for i, r := range roots {
		shown := TrustedRoot{ID: r.ID(), Name: r.Name, Product: i == 0 && t.Product != nil}
		if l := t.Revocations[r.ID()]; l != nil {
			shown.Revocations = l.Counter
		}
		for _, s := range all {
			if s.under(r.ID()) {
				shown.Plugins = append(shown.Plugins, s.ID)
			}
		}
		out = append(out, shown)
	}
	return out, nil
}

// under tells whether a version that may be started stands under a root.
func (s *Installed) under(root string) bool {
	for _, v := range s.versions() {
		if v.Signer.Root == root {
			return true
		}
	}
	return false
}

// Trust believes a root from now on.
func (in *Installer) Trust(ctx context.Context, file []byte) (pack.Root, error) {
	if err := in.require(ctx); err != nil {
		return pack.Root{}, err
	}
	r, err := pack.ReadRoot(file)
	if err != nil {
		return r, err
	}
	raw, err := r.Encode()
	if err != nil {
		return r, err
	}
	in.forget()
	return r, in.o.DB.Update(ctx, func(tx store.Tx) error {
		tx.Bucket(trustBucket).Put([]byte(rootPrefix+r.ID()), raw)
		return in.o.Journal.Append(ctx, tx, journal.Fact{Name: "plugin.root-trusted", Entity: "plugin", ID: r.ID(), About: map[string]string{"root": r.Name}})
	})
}

// Distrust believes a root no more. While something is installed under it this is refused: that would stay.
func (in *Installer) Distrust(ctx context.Context, id string) error {
	if err := in.require(ctx); err != nil {
		return err
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	roots, err := in.Roots(ctx)
	if err != nil {
		return err
	}
	for _, r := range roots {
		switch {
		case r.ID != id:
			continue
		case r.Product:
			return fault.New(fault.Conflict, "plugin.root-of-product")
		case len(r.Plugins) > 0:
			return fault.New(fault.Conflict, "plugin.root-in-use", "root", r.Name, "plugins", strings.Join(r.Plugins, ", "))
		}
		in.forget()
		return in.o.DB.Update(ctx, func(tx store.Tx) error {
			tx.Bucket(trustBucket).Delete([]byte(rootPrefix + id))
			return in.o.Journal.Append(ctx, tx, journal.Fact{Name: "plugin.root-distrusted", Entity: "plugin", ID: id, About: map[string]string{"root": r.Name}})
		})
	}
	return fault.New(fault.NotFound, "plugin.root-not-found", "id", id)
}

// TakeRevocations takes in a revocation list and names the installed plugins that it concerns: those are not started
// again; what runs, runs until it is stopped, or Karov is.
func (in *Installer) TakeRevocations(ctx context.Context, file []byte) (concerned []string, err error) {
	if err := in.require(ctx); err != nil {
		return nil, err
	}
	l, err := pack.ReadRevocations(file)
	if err != nil {
		return nil, err
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	t, err := in.trust(ctx)
	if err != nil {
		return nil, err
	}
	isNew, err := t.Take(l)
	if err != nil {
		return nil, err
	}
	in.forget()
	if isNew {
		if err := in.o.DB.Update(ctx, func(tx store.Tx) error {
			tx.Bucket(trustBucket).Put([]byte(revocationsPrefix+l.Root), l.Encode())
			return in.o.Journal.Append(ctx, tx, journal.Fact{Name: "plugin.revocations-taken", Entity: "plugin", ID: l.Root})
		}); err != nil {
			return nil, err
		}
	}
	all, err := in.List(ctx)
	for _, s := range all {
		if s.State == StateRevoked {
			concerned = append(concerned, s.ID)
		}
	}
	return concerned, err
}

// MayStart refuses to start a version that was revoked. The host asks it before each start of a process; for what no
// package brought it has no objection.
func (in *Installer) MayStart(ctx context.Context, id, version string) error {
	s, err := in.load(ctx, id)
	if err != nil {
		return err
	}
	trust, err := in.trust(ctx)
	if err != nil {
		return err
	}
	for _, v := range s.versions() {
		if v.Version == version {
			return v.standing(trust)
		}
	}
	return nil
}
