package schema

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/store"
)

// MaxOps is how many ops one change may have.
const MaxOps = 1000

// Change works ops into the schema, all or none, and gives the new one. Seen is the version the ops were made for: when
// somebody changed it meanwhile, that is a Conflict that says who and when. Ops that change nothing make no version.
func (r *Registry) Change(ctx context.Context, seen uint64, ops ...Op) (*Schema, error) {
	return r.replace(ctx, seen, func(tx store.Tx, before *Schema) (*revision, error) {
		return r.apply(ctx, tx, before, ops)
	})
}

// Revert goes back to an older version, by a new one: what was made since is hidden, choices that came since are retired,
// and nothing is dropped. Version 1 is the built-in set.
func (r *Registry) Revert(ctx context.Context, seen, to uint64) (*Schema, error) {
	return r.replace(ctx, seen, func(tx store.Tx, before *Schema) (*revision, error) {
		return r.back(tx, before, to)
	})
}

// Preview says what Change would do with the ops, and stores nothing. Watchers are not asked.
func (r *Registry) Preview(ctx context.Context, seen uint64, ops ...Op) ([]Difference, error) {
	return r.foresee(ctx, seen, func(tx store.Tx, before *Schema) (*revision, error) {
		return r.apply(ctx, tx, before, ops)
	})
}

// PreviewRevert says what Revert would do, and stores nothing.
func (r *Registry) PreviewRevert(ctx context.Context, seen, to uint64) ([]Difference, error) {
	return r.foresee(ctx, seen, func(tx store.Tx, before *Schema) (*revision, error) {
		return r.back(tx, before, to)
	})
}

// revision is a new state on its way into the store.
type revision struct {
	schema *Schema
	next   int // number of the next own field
	ops    []Op
	to     uint64
}

type reviser func(tx store.Tx, before *Schema) (*revision, error)

// begin reads what is to be changed, and refuses when somebody changed it since.
func (r *Registry) begin(tx store.Tx, seen uint64) (*Schema, error) {
	before, err := r.load(tx)
	if err != nil {
		return nil, err
	}
	if seen == before.version {
		return before, nil
	}
	by, at := "", ""
	if head := tx.Bucket(versionsBucket).Get(headKey); head != nil {
		v, err := readVersion(tx, head)
		if err != nil {
			return nil, err
		}
		by, at = v.By, v.At.Format(time.RFC3339)
	}
	return nil, fault.New(fault.Conflict, "schema.changed", "version", before.version, "by", by, "at", at)
}

func (r *Registry) mayChange(ctx context.Context) error {
	if r.db == nil {
		return fault.New(fault.Unavailable, "schema.fixed")
	}
	return r.Gate.Require(ctx, access.Administer, access.Object{Entity: "schema"})
}

func (r *Registry) foresee(ctx context.Context, seen uint64, revise reviser) (differences []Difference, err error) {
	if err := r.mayChange(ctx); err != nil {
		return nil, err
	}
	err = r.db.View(ctx, func(tx store.Tx) error {
		before, err := r.begin(tx, seen)
		if err != nil {
			return err
		}
		fresh, err := revise(tx, before)
		if err != nil {
			return err
		}
		differences = Diff(before, fresh.schema)
		return nil
	})
	return differences, err
}

func (r *Registry) replace(ctx context.Context, seen uint64, revise reviser) (after *Schema, err error) {
	if err := r.mayChange(ctx); err != nil {
		return nil, err
	}
	err = r.db.Update(ctx, func(tx store.Tx) error {
		before, err := r.begin(tx, seen)
		if err != nil {
			return err
		}
		fresh, err := revise(tx, before)
		if err != nil {
			return err
		}
		if after = before; same(before.layer, fresh.schema.layer) {
			return nil
		}
		after = fresh.schema
		return r.write(ctx, tx, before, fresh)
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}

// write asks the watchers and stores a revision.
func (r *Registry) write(ctx context.Context, tx store.Tx, before *Schema, fresh *revision) error {
	r.watching.RLock()
	watchers := r.watchers
	r.watching.RUnlock()
	for _, watch := range watchers {
		if err := watch(tx, before, fresh.schema); err != nil {
			return err
		}
	}
	v := &storedVersion{Layer: fresh.schema.layer, Version: Version{Number: fresh.schema.version, At: r.Now().UTC().Truncate(time.Millisecond),
		By: access.ActorFrom(ctx).ID, To: fresh.to, Ops: fresh.ops}}
	head, err := writeVersion(tx, v, fresh.next)
	if err != nil {
		return err
	}
	tx.Bucket(versionsBucket).Put(builtKey, fresh.schema.whole())
	tx.OnCommit(func() { r.committed(snapshot{string(head), fresh.schema}) })
	return r.Journal.Append(ctx, tx, factOf(v))
}

// committed makes a schema the current one, unless a newer one came in between.
func (r *Registry) committed(fresh snapshot) {
	s := r.remember(fresh)
	for {
		current := r.current.Load()
		if current.version >= s.version || r.current.CompareAndSwap(current, s) {
			return
		}
	}
}

func factOf(v *storedVersion) journal.Fact {
	f := journal.Fact{Name: "schema.changed", Entity: "schema", ID: strconv.FormatUint(v.Number, 10), About: map[string]string{}}
	var kinds []string
	for _, op := range v.Ops {
		name := op.Entity
		if op.Field != "" {
			name += "." + op.Field
		}
		if !slices.Contains(f.Fields, name) {
			f.Fields = append(f.Fields, name)
		}
		if !slices.Contains(kinds, string(op.Kind)) {
			kinds = append(kinds, string(op.Kind))
		}
	}
	f.About["version"], f.About["ops"] = f.ID, strings.Join(kinds, " ")
	if v.To != 0 {
		f.Name, f.About = "schema.reverted", map[string]string{"version": f.ID, "to": strconv.FormatUint(v.To, 10)}
	}
	return f
}

// same tells whether two layers say the same.
func same(a, b *layer) bool {
	one, err := json.Marshal(a.clone())
	other, wrong := json.Marshal(b)
	return err == nil && wrong == nil && string(one) == string(other)
}

// apply makes the revision that ops lead to.
func (r *Registry) apply(ctx context.Context, tx store.Tx, before *Schema, ops []Op) (*revision, error) {
	if len(ops) == 0 || len(ops) > MaxOps {
		return nil, fault.New(fault.Invalid, "schema.ops", "limit", MaxOps)
	}
	d := &draft{builtin: r.builtin, layer: before.named(), next: nextNumber(tx), dots: access.ActorFrom(ctx).Role == access.System}
	for i, op := range ops {
		if err := d.do(op); err != nil {
			return nil, inOp(err, i)
		}
	}
	d.layer.prune()
	after, err := build(r.builtin, d.layer, before.version+1)
	if err == nil {
		err = r.approve(before, after)
	}
	if err != nil {
		return nil, inOp(err, guilty(ops, err))
	}
	return &revision{schema: after, next: d.next, ops: ops}, nil
}

// named is a copy of the schema's layer in which own fields have the names that they go by.
func (s *Schema) named() *layer {
	l := s.layer.clone()
	for _, e := range l.Entities {
		shown := s.Entity(e.Name)
		for _, f := range e.Fields {
			if shown == nil || f.Number == 0 {
				continue
			}
			now := shown.Numbered(f.Number)
			if now == nil || now.Name == f.Name {
				continue
			}
			for _, part := range []*string{&e.Title, &e.Owner, &e.Via, &e.Contact} {
				if *part == f.Name {
					*part = now.Name
				}
			}
			f.Name = now.Name
		}
	}
	return l
}

// inOp says in which op an error lies; what is not the input's fault stays as it is.
func inOp(err error, i int) error {
	f := fault.Of(err)
	if f.Kind != fault.Invalid || i < 0 {
		return err
	}
	return &fault.Error{Kind: f.Kind, Key: f.Key, Params: f.Params, Err: f.Err,
		Fields: append(slices.Clone(f.Fields), fault.Field{Name: fmt.Sprintf("ops[%d]", i), Key: f.Key, Params: f.Params})}
}

// guilty finds the last op that touched what an error speaks of.
func guilty(ops []Op, err error) int {
	where := fault.Of(err).Params
	best := -1
	for i, op := range ops {
		if op.Entity == where["entity"] && (best < 0 || op.Field == where["field"] || ops[best].Field != where["field"]) {
			best = i
		}
	}
	return best
}
