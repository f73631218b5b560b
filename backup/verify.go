package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/karov-crm/karov/backup/repo"
)

// VerifyOptions says how deep to look.
type VerifyOptions struct {
	// ReadData reads every byte; without it the listings are read and everything
	// they need is looked up.
	ReadData bool
	// Snapshot limits the look to one snapshot, named as for Find, and to the
	// packs it needs. Empty means all.
	Snapshot string
	// Progress is told after each pack read. It must be quick; it is not called by
	// two goroutines at once.
	Progress func(Progress)
}

// Report is what a verification found.
type Report struct {
	Snapshots, Trees, Files, Packs, Blobs int
	// BytesRead counts the pack bytes read because of ReadData.
	BytesRead uint64
	// Damage lists every object that is missing or broken.
	Damage []Damage
	// Unlisted are packs in no index: what an interrupted snapshot left, to be used
	// by the next one, or packs whose index is damaged. They are no damage.
	Unlisted []string
}

// OK reports whether nothing is damaged.
func (r Report) OK() bool { return len(r.Damage) == 0 }

// Damage is one damaged object.
type Damage struct {
	Kind   FileKind
	Name   string // of the stored file; empty if no file is known to hold the object
	Blob   string // the damaged part of a pack, as type and ID, if it is a part
	Reason string
	// Hurts are the files that can not be restored because of it, and folders, with
	// a slash at the end, of which nobody can say what was in them. It is empty if
	// the same content is stored a second time, or can be found without the object.
	Hurts []Hurt
}

// Hurt is one file or folder of one snapshot.
type Hurt struct {
	Snapshot string
	Path     string
}

// Verify looks for damage and changes nothing. The error says that it could not
// look; what it found is in the report.
func (r *Repository) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	ctx, release, err := r.lockToRead(ctx)
	if err != nil {
		return Report{}, err
	}
	defer release()
	v := &verification{r: r, o: o, bad: make(map[repo.Location]int), lost: make(map[repo.Handle][]int), seen: make(map[repo.ID]bool), needed: make(map[repo.Handle]bool)}
	for _, step := range []func(context.Context) error{v.single, v.index, v.snapshots, v.sizes, v.walk, v.data, v.attribute} {
		if err := step(ctx); err != nil {
			return Report{}, fmt.Errorf("verify: %w", err)
		}
	}
	v.sort()
	return v.report, nil
}

// verification is one run of Verify.
type verification struct {
	r      *Repository
	o      VerifyOptions
	rd     reader
	snaps  []Snapshot
	seen   map[repo.ID]bool     // listings walked
	needed map[repo.Handle]bool // blobs the snapshots refer to

	mu     sync.Mutex
	report Report
	// bad are the places that do not hold their blob, with the number of the damage.
	bad map[repo.Location]int
	// lost are blobs of which no place is sound, with the numbers of their damages.
	lost map[repo.Handle][]int
}

// note adds a damage and returns its number.
func (v *verification) note(d *DamageError) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Damage = append(v.report.Damage, Damage{Kind: d.Kind, Name: d.Name, Blob: d.Blob, Reason: d.Err.Error()})
	return len(v.report.Damage) - 1
}

// noteIf adds err if it is damage and returns it otherwise.
func (v *verification) noteIf(err error) error {
	var d *DamageError
	if errors.As(err, &d) {
		v.note(d)
		return nil
	}
	return err
}

// single looks at the config and the keys.
func (v *verification) single(ctx context.Context) error {
	sealed, err := v.r.target.Load(ctx, ConfigFile, ConfigName, 0, 0)
	if err == nil {
		_, err = repo.DecodeConfig(v.r.codec.Key(), sealed)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		v.note(&DamageError{Kind: ConfigFile, Name: ConfigName, Err: err})
	}
	names, err := v.r.names(ctx, KeyFile)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		v.note(&DamageError{Kind: KeyFile, Err: errNoKeys})
	}
	for _, name := range names {
		if _, err := loadKeyFile(ctx, v.r.target, name); err != nil {
			if err := v.noteIf(err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verification) index(ctx context.Context) error {
	x, err := v.r.loadIndex(ctx)
	if err != nil {
		return err
	}
	for _, d := range x.damage {
		v.note(d)
	}
	for _, p := range x.unlisted {
		v.report.Unlisted = append(v.report.Unlisted, p.ID.String())
	}
	v.rd = v.r.newReader(x)
	return nil
}

func (v *verification) snapshots(ctx context.Context) error {
	var names []string
	if v.o.Snapshot != "" {
		s, err := v.r.Find(ctx, v.o.Snapshot)
		if err != nil {
			return v.noteIf(err)
		}
		names = []string{s.ID}
	} else {
		var err error
		if names, err = v.r.names(ctx, SnapshotFile); err != nil {
			return err
		}
	}
	for _, name := range names {
		s, err := v.r.loadSnapshot(ctx, name)
		if err == nil {
			v.snaps = append(v.snaps, s)
		} else if err := v.noteIf(err); err != nil {
			return err
		}
	}
	v.report.Snapshots = len(v.snaps)
	return nil
}

// sizes compares each indexed pack with the file that is there.
func (v *verification) sizes(context.Context) error {
	unlisted := make(map[repo.ID]bool)
	for _, p := range v.rd.x.unlisted {
		unlisted[p.ID] = true
	}
	for p := range v.rd.x.Packs() {
		size, ok := v.rd.x.sizes[p.ID]
		want := repo.PackSize(p.Blobs)
		if ok && size == want || unlisted[p.ID] {
			continue
		}
		d := &DamageError{Kind: PackFile, Name: p.ID.String(), Err: errors.New("pack is missing")}
		if ok {
			d.Err = fmt.Errorf("pack has %d bytes and not the %d its index says", size, want)
		}
		n := v.note(d)
		for _, b := range p.Blobs {
			if !ok || int64(b.Offset)+int64(b.Length) > size {
				v.bad[repo.Location{Pack: p.ID, Blob: b}] = n
			}
		}
	}
	return nil
}

// walk reads every listing and looks up every piece it names.
func (v *verification) walk(ctx context.Context) error {
	for _, s := range v.snaps {
		id, err := s.treeID()
		if err == nil {
			err = v.tree(ctx, id, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) tree(ctx context.Context, id repo.ID, depth int) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if v.seen[id] || depth > maxDepth {
		return nil
	}
	v.seen[id] = true
	h := repo.Handle{Type: repo.TreeBlob, ID: id}
	v.needed[h] = true
	t, err := v.rd.tree(ctx, id)
	if err != nil {
		return v.badTree(h, err)
	}
	v.report.Trees++
	for i := range t.Nodes {
		n := &t.Nodes[i]
		switch n.Type {
		case repo.DirNode:
			if err := v.tree(ctx, *n.Subtree, depth+1); err != nil {
				return err
			}
		case repo.FileNode:
			v.report.Files++
			v.file(h, n)
		}
	}
	return nil
}

// badTree marks all places of a listing: it was looked up in each.
func (v *verification) badTree(h repo.Handle, err error) error {
	var d *DamageError
	if !errors.As(err, &d) {
		return err
	}
	for _, at := range v.rd.x.Locations(h) {
		if _, known := v.bad[at]; !known {
			v.bad[at] = v.note(&DamageError{Kind: PackFile, Name: at.Pack.String(), Blob: h.String(), Err: d.Err})
		}
	}
	if !v.rd.x.Has(h) {
		v.lost[h] = append(v.lost[h], v.note(d))
	}
	return nil
}

// file compares the length a listing gives with that of the pieces: nothing else
// does, and a restore would make a file of another length.
func (v *verification) file(tree repo.Handle, n *repo.Node) {
	var size uint64
	complete := true
	for _, id := range n.Content {
		h := repo.Handle{Type: repo.DataBlob, ID: id}
		at, ok := v.rd.x.First(h)
		if !ok && !v.needed[h] {
			v.lost[h] = append(v.lost[h], v.note(&DamageError{Kind: PackFile, Blob: h.String(), Err: errNotStored}))
		}
		v.needed[h] = true
		complete = complete && ok
		size += uint64(at.PlainLength())
	}
	if !complete || size == n.Size {
		return
	}
	at, _ := v.rd.x.First(tree)
	num := v.note(&DamageError{Kind: PackFile, Name: at.Pack.String(), Blob: tree.String(),
		Err: fmt.Errorf("%q is listed with %d bytes and its pieces have %d", n.Name, n.Size, size)})
	// Each folder with this listing has that file.
	v.lost[tree] = append(v.lost[tree], num)
}

// attribute finds the files of each snapshot that a lost blob hurts.
func (v *verification) attribute(ctx context.Context) error {
	for at := range v.bad {
		if _, known := v.lost[at.Handle]; known {
			continue
		}
		var numbers []int
		all := true
		for _, other := range v.rd.x.Locations(at.Handle) {
			n, isBad := v.bad[other]
			all = all && isBad
			if isBad {
				numbers = append(numbers, n)
			}
		}
		if all {
			v.lost[at.Handle] = numbers
		}
	}
	if len(v.lost) == 0 {
		return nil
	}
	a := attribution{v: v, sound: make(map[repo.ID]bool)}
	for _, s := range v.snaps {
		id, err := s.treeID()
		if err != nil {
			return err
		}
		if _, err := a.tree(ctx, s.ID, id, ""); err != nil {
			return err
		}
	}
	return nil
}

type attribution struct {
	v     *verification
	sound map[repo.ID]bool // listings below which nothing is lost
}

func (a attribution) tree(ctx context.Context, snapshot string, id repo.ID, path string) (hurt bool, err error) {
	if a.sound[id] {
		return false, nil
	}
	h := repo.Handle{Type: repo.TreeBlob, ID: id}
	if numbers := a.v.lost[h]; len(numbers) > 0 {
		a.hurt(numbers, Hurt{Snapshot: snapshot, Path: path + "/"})
		hurt = true
	}
	t, err := a.v.rd.tree(ctx, id)
	if isDamage(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for i := range t.Nodes {
		n := &t.Nodes[i]
		below := join(path, n.Name)
		if n.Type == repo.DirNode {
			h, err := a.tree(ctx, snapshot, *n.Subtree, below)
			if err != nil {
				return false, err
			}
			hurt = hurt || h
			continue
		}
		for _, piece := range n.Content {
			if numbers := a.v.lost[repo.Handle{Type: repo.DataBlob, ID: piece}]; len(numbers) > 0 {
				a.hurt(numbers, Hurt{Snapshot: snapshot, Path: below})
				hurt = true
			}
		}
	}
	a.sound[id] = !hurt
	return hurt, nil
}

func (a attribution) hurt(numbers []int, h Hurt) {
	for _, n := range numbers {
		d := &a.v.report.Damage[n]
		// Pieces of one file come one after the other.
		if len(d.Hurts) == 0 || d.Hurts[len(d.Hurts)-1] != h {
			d.Hurts = append(d.Hurts, h)
		}
	}
}

// sort makes reports comparable: packs are read in no order.
func (v *verification) sort() {
	slices.SortStableFunc(v.report.Damage, func(a, b Damage) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Blob, b.Blob))
	})
	slices.Sort(v.report.Unlisted)
}

// packsNeeded returns the packs to read: all, or those of one snapshot.
func (v *verification) packsNeeded() []repo.IndexedPack {
	var packs []repo.IndexedPack
	for p := range v.rd.x.Packs() {
		if _, ok := v.rd.x.sizes[p.ID]; !ok {
			continue
		}
		if v.o.Snapshot == "" || slices.ContainsFunc(p.Blobs, func(b repo.Blob) bool { return v.needed[b.Handle] }) {
			packs = append(packs, p)
		}
	}
	v.report.Packs = len(packs)
	v.report.Blobs = v.rd.x.Len()
	if v.o.Snapshot != "" {
		v.report.Blobs = len(v.needed)
	}
	return packs
}
