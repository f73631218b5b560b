package repo

import (
	"encoding/json"
	"fmt"
	"time"
)

// Snapshot is the file that makes a tree a backup.
type Snapshot struct {
	Time           time.Time `json:"time"`
	Parent         *ID       `json:"parent,omitempty"`
	Tree           *ID       `json:"tree"`
	Paths          []string  `json:"paths"`
	Hostname       string    `json:"hostname,omitempty"`
	Username       string    `json:"username,omitempty"`
	UID            uint32    `json:"uid,omitempty"`
	GID            uint32    `json:"gid,omitempty"`
	Excludes       []string  `json:"excludes,omitempty"`
	Tags           []string  `json:"tags,omitempty"`
	Original       *ID       `json:"original,omitempty"`
	ProgramVersion string    `json:"program_version,omitempty"`
	Summary        *Summary  `json:"summary,omitempty"`
}

// Summary is what a snapshot says about its own making. If it is written, then
// with all its fields: other readers have failed on partial ones.
type Summary struct {
	BackupStart         time.Time `json:"backup_start"`
	BackupEnd           time.Time `json:"backup_end"`
	FilesNew            uint64    `json:"files_new"`
	FilesChanged        uint64    `json:"files_changed"`
	FilesUnmodified     uint64    `json:"files_unmodified"`
	DirsNew             uint64    `json:"dirs_new"`
	DirsChanged         uint64    `json:"dirs_changed"`
	DirsUnmodified      uint64    `json:"dirs_unmodified"`
	DataBlobs           uint64    `json:"data_blobs"`
	TreeBlobs           uint64    `json:"tree_blobs"`
	DataAdded           uint64    `json:"data_added"`
	DataAddedPacked     uint64    `json:"data_added_packed"`
	TotalFilesProcessed uint64    `json:"total_files_processed"`
	TotalBytesProcessed uint64    `json:"total_bytes_processed"`
}

// DecodeSnapshot opens and checks a snapshot file.
func (c *Codec) DecodeSnapshot(sealed []byte) (*Snapshot, error) {
	plain, err := c.OpenFile(sealed)
	if err != nil {
		return nil, err
	}
	return parseSnapshot(plain)
}

func parseSnapshot(plain []byte) (*Snapshot, error) {
	s := new(Snapshot)
	if err := json.Unmarshal(plain, s); err != nil {
		return nil, fmt.Errorf("read snapshot: %w: %w", ErrFormat, err)
	}
	if s.Tree == nil {
		return nil, fmt.Errorf("read snapshot: it names no tree: %w", ErrFormat)
	}
	return s, nil
}
