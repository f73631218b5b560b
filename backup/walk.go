package backup

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"time"

	"github.com/karov-crm/karov/backup/repo"
)

// Node is one file, folder or link of a snapshot.
type Node struct {
	// Path is slash-separated and relative to the root of the snapshot.
	Path    string
	Mode    fs.FileMode // with the type bits for folders and links
	Size    uint64
	ModTime time.Time
	// LinkTarget is where a link points, as it was stored: it may point anywhere.
	LinkTarget string
	// Special is set for devices, pipes and sockets, which are never restored.
	Special bool
}

// IsDir reports whether the node is a folder.
func (n Node) IsDir() bool { return n.Mode.IsDir() }

// Walk yields everything in a snapshot, each folder before what is in it, by name.
// A folder whose listing is damaged is yielded and then its *DamageError, and the
// walk goes on behind it; other errors end it.
func (r *Repository) Walk(ctx context.Context, snap Snapshot) iter.Seq2[Node, error] {
	return func(yield func(Node, error) bool) {
		ctx, release, err := r.lockToRead(ctx)
		if err != nil {
			yield(Node{}, err)
			return
		}
		defer release()
		x, err := r.currentIndex(ctx)
		if err != nil {
			yield(Node{}, err)
			return
		}
		err = r.newReader(x).walk(ctx, snap, func(v visit) error {
			if !yield(v.public(), v.err) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(Node{}, err)
		}
	}
}

var errStop = errors.New("walk was stopped")

// visit is what a walk comes by: an entry, or the damage of the listing at path.
type visit struct {
	path string
	node *repo.Node // nil with err
	err  error
}

func (v visit) public() Node {
	if v.node == nil {
		return Node{Path: v.path}
	}
	n := Node{Path: v.path, Mode: v.node.Mode.Perm(), Size: v.node.Size, ModTime: v.node.ModTime}
	switch v.node.Type {
	case repo.FileNode:
	case repo.DirNode:
		n.Mode |= fs.ModeDir
	case repo.SymlinkNode:
		n.Mode |= fs.ModeSymlink
		n.LinkTarget = v.node.LinkTarget
	default:
		n.Mode |= fs.ModeIrregular
		n.Special = true
	}
	return n
}

// maxDepth ends a walk in a hostile repository. Paths of that depth are longer
// than any system takes.
const maxDepth = 2048

var errTooDeep = errors.New("folders are nested too deeply")

func (rd reader) walk(ctx context.Context, snap Snapshot, do func(visit) error) error {
	id, err := snap.treeID()
	if err != nil {
		return err
	}
	return rd.walkTree(ctx, id, "", 0, do)
}

func (rd reader) walkTree(ctx context.Context, id repo.ID, path string, depth int, do func(visit) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if depth > maxDepth {
		return errTooDeep
	}
	t, err := rd.tree(ctx, id)
	if err != nil {
		var d *DamageError
		if errors.As(err, &d) {
			return do(visit{path: path, err: d.at(path + "/")})
		}
		return err
	}
	for i := range t.Nodes {
		n := &t.Nodes[i]
		v := visit{path: join(path, n.Name), node: n}
		if err := do(v); err != nil {
			if errors.Is(err, fs.SkipDir) {
				continue
			}
			return err
		}
		if n.Type == repo.DirNode {
			if err := rd.walkTree(ctx, *n.Subtree, v.path, depth+1, do); err != nil {
				return err
			}
		}
	}
	return nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
