package backup

import (
	"context"
	"iter"
	"time"
)

// FileKind says which of the files of a repository is meant.
type FileKind string

// The files of a repository. There is one ConfigFile, whose name is ConfigName;
// the others are named by the SHA-256 of their bytes, as 64 lower-case hex digits.
const (
	ConfigFile   FileKind = "config"
	KeyFile      FileKind = "key"
	PackFile     FileKind = "data"
	IndexFile    FileKind = "index"
	SnapshotFile FileKind = "snapshot"
	LockFile     FileKind = "lock"
)

// ConfigName is the name of the one file of kind ConfigFile.
const ConfigName = "config"

// FileInfo is one stored file.
type FileInfo struct {
	Name    string
	Size    int64
	ModTime time.Time // by the clock of the target
}

// Target is where the files of a repository live. All methods may be called from
// several goroutines at once, and by several programs at once. A call ends soon
// after its context does. backup/targettest checks what is promised here.
//
// Save stores a file that is written once and never changed. When it returns nil
// the file is complete and survives a power cut; when it returns an error, or the
// program dies, the file is either not there or complete, and nothing else that
// takes room is left for good. Saving the same bytes again succeeds; saving other
// bytes under a name that exists fails with fs.ErrExist and changes nothing. A
// target without room fails with ErrNoSpace, one that must not be written to with
// ErrReadOnly.
//
// Load returns length bytes from offset on, and all bytes to the end if length is
// 0. A file shorter than that gives io.ErrUnexpectedEOF, one that is not there
// fs.ErrNotExist. The bytes are not checked.
//
// List yields each complete file of a kind once, in no order. Files whose names
// the format does not know are left out. Files that come or go meanwhile may be
// missing or there. After an error it ends.
//
// Remove deletes a file, durably; deleting one that is not there is no error. It
// is used for locks, keys and what an unfinished Init left, never for data.
//
// Location says for people where the target is, without secrets.
type Target interface {
	Save(ctx context.Context, kind FileKind, name string, data []byte) error
	Load(ctx context.Context, kind FileKind, name string, offset, length int64) ([]byte, error)
	List(ctx context.Context, kind FileKind) iter.Seq2[FileInfo, error]
	Remove(ctx context.Context, kind FileKind, name string) error
	Location() string
}
