package repo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Types a Node can have. Others (dev, chardev, fifo, socket) occur in foreign
// repositories only.
const (
	FileNode    = "file"
	DirNode     = "dir"
	SymlinkNode = "symlink"
)

// Node is one entry of a folder. The order of the fields is that of the format:
// the same folder must always give the same bytes, or nothing deduplicates.
type Node struct {
	Name          string      `json:"-"`
	Type          string      `json:"type"`
	Mode          fs.FileMode `json:"mode,omitempty"`
	ModTime       time.Time   `json:"mtime"`
	AccessTime    time.Time   `json:"atime"`
	ChangeTime    time.Time   `json:"ctime"`
	UID           uint32      `json:"uid"`
	GID           uint32      `json:"gid"`
	Size          uint64      `json:"size,omitempty"`
	LinkTarget    string      `json:"linktarget,omitempty"`
	LinkTargetRaw []byte      `json:"linktarget_raw,omitempty"`
	Content       []ID        `json:"content"`
	Subtree       *ID         `json:"subtree,omitempty"`
}

type namedNode struct {
	Quoted string `json:"name"`
	plainNode
}

type plainNode Node

// MarshalJSON writes the node with its name quoted as the Go language does.
func (n Node) MarshalJSON() ([]byte, error) {
	quoted := strconv.Quote(n.Name)
	return json.Marshal(namedNode{Quoted: quoted[1 : len(quoted)-1], plainNode: plainNode(n)})
}

// UnmarshalJSON reads the node and refuses a name that could leave its folder.
func (n *Node) UnmarshalJSON(data []byte) error {
	var v namedNode
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	name, err := strconv.Unquote(`"` + v.Quoted + `"`)
	if err != nil {
		return fmt.Errorf("name %q is not quoted: %w", v.Quoted, ErrFormat)
	}
	*n = Node(v.plainNode)
	n.Name = name
	if n.LinkTargetRaw != nil {
		n.LinkTarget = string(n.LinkTargetRaw)
	}
	return n.check()
}

func (n *Node) check() error {
	if err := CheckName(n.Name); err != nil {
		return err
	}
	switch {
	case n.Type == "":
		return fmt.Errorf("entry %q has no type: %w", n.Name, ErrFormat)
	case n.Type == DirNode && n.Subtree == nil:
		return fmt.Errorf("folder %q names no listing: %w", n.Name, ErrFormat)
	}
	return nil
}

// CheckName refuses a name that can not be one of a file in a folder.
func CheckName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("name %q: %w", name, ErrFormat)
	}
	return nil
}

// Tree is the listing of one folder, ascending by the bytes of the names.
type Tree struct {
	Nodes []Node `json:"nodes"`
	// Unsorted says that the stored order was another one. Stock restic may miss
	// entries of such a folder; here they have been put in order.
	Unsorted bool `json:"-"`
}

// Encode returns the plain bytes of the tree's blob.
func (t *Tree) Encode() ([]byte, error) {
	slices.SortFunc(t.Nodes, byName)
	if err := t.noTwins(); err != nil {
		return nil, err
	}
	if t.Nodes == nil {
		t.Nodes = []Node{}
	}
	out, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("write tree: %w", err)
	}
	return append(out, '\n'), nil
}

// DecodeTree reads the plain bytes of a tree's blob.
func DecodeTree(plain []byte) (*Tree, error) {
	t := new(Tree)
	if err := json.Unmarshal(plain, t); err != nil {
		return nil, fmt.Errorf("read tree: %w: %w", ErrFormat, err)
	}
	if !slices.IsSortedFunc(t.Nodes, byName) {
		t.Unsorted = true
		slices.SortFunc(t.Nodes, byName)
	}
	return t, t.noTwins()
}

func byName(a, b Node) int { return cmp.Compare(a.Name, b.Name) }

func (t *Tree) noTwins() error {
	for i := 1; i < len(t.Nodes); i++ {
		if t.Nodes[i].Name == t.Nodes[i-1].Name {
			return fmt.Errorf("folder lists %q twice: %w", t.Nodes[i].Name, ErrFormat)
		}
	}
	return nil
}

// Find returns the entry of that name.
func (t *Tree) Find(name string) (*Node, bool) {
	i, ok := slices.BinarySearchFunc(t.Nodes, name, func(n Node, name string) int { return cmp.Compare(n.Name, name) })
	if !ok {
		return nil, false
	}
	return &t.Nodes[i], true
}
