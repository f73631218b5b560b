// Package backup makes what survives a fire: encrypted snapshots in a repository
// that stock restic checks, mounts and restores too.
//
// It owns the files of that repository, in the format of backup/repo, kept on a
// Target such as backup/disk. It knows nothing of the program it protects: a
// Source yields named streams, and a restore gives them back as files.
//
// It promises that a snapshot exists entirely or not at all, whatever is cut off
// when; that an interrupted one is taken up again by the next, which finds its
// pieces stored; that every piece is opened and compared before it is written and
// again before it is used; that Verify, ReadFile and Restore name what is damaged
// and which files it hurts; and that a restore never ends silently short.
//
// It will not delete data: neither packs, indexes nor snapshots are ever removed
// here. It keeps no cache that could grow old. It does not restore owners, and of
// files that are neither file, folder nor link it only reports that they are left out.
//
// Restic on the same host finds out whether the holder of a lock is alive by sending
// it SIGHUP. Locks made here carry a host name of their own, so restic does not take
// them for local; a program that uses WithHost with the true host name must ignore
// SIGHUP (signal.Ignore), or restic ends it.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/user"
	"sync"
	"time"

	"github.com/karov-crm/karov/backup/repo"
)

// Entry is one file of a snapshot.
type Entry struct {
	// Path is slash-separated, relative and clean. Entries come in any order.
	Path string
	// ModTime should stay the same for unchanged content: it is part of what the
	// folder's listing is, and unchanged listings cost nothing.
	ModTime time.Time
	// Records says that the content is lines, each beginning with its key up to
	// the first comma or tab. It is cut at line ends, where the key says so, about
	// every 16 KiB: a line changed, put in or taken out costs one piece. Other
	// content is cut as restic does.
	Records bool
	// Open returns the content. Without it the entry is an empty folder.
	Open func() (io.ReadCloser, error)
}

// Source yields what a snapshot holds. It is read once, from one goroutine, which
// also opens and reads the entries, each before the next is asked for. An error
// ends the snapshot without a trace but pieces that the next one finds again.
type Source interface {
	Entries(ctx context.Context) iter.Seq2[Entry, error]
}

// Progress says how far an act is. Total is 0 where it is not known before.
type Progress struct {
	Files, TotalFiles uint64
	Bytes, TotalBytes uint64
	// Path is the file last begun, if the act goes by files.
	Path string
}

// Repository is an open repository. It is safe for concurrent use.
type Repository struct {
	target Target
	codec  *repo.Codec
	config repo.Config
	keyID  string
	host   hostIdentity

	locks locker

	mu     sync.Mutex
	closed bool
	cached *loadedIndex
}

// Option changes how a repository is opened.
type Option func(*options)

type options struct {
	host string
	wait time.Duration
}

// WithHost sets the host name that locks carry. The default is a name made from
// this machine's identity, which no other program uses.
func WithHost(name string) Option { return func(o *options) { o.host = name } }

// WithLockWait sets how long an act waits for another program's lock before it
// fails with a *LockedError. The default is not to wait.
func WithLockWait(d time.Duration) Option { return func(o *options) { o.wait = d } }

// Open opens the repository in t. It fails with ErrNoRepository, ErrWrongKey,
// ErrTooNew, or a *DamageError that names the config or key file that is broken.
func Open(ctx context.Context, t Target, password string, opts ...Option) (*Repository, error) {
	sealed, configErr := t.Load(ctx, ConfigFile, ConfigName, 0, 0)
	if configErr != nil && !errors.Is(configErr, fs.ErrNotExist) {
		return nil, fmt.Errorf("load config: %w", configErr)
	}
	key, keyID, err := openKey(ctx, t, password)
	if errors.Is(err, errNoKeys) {
		if configErr == nil {
			return nil, &DamageError{Kind: KeyFile, Err: errors.New("no key file is left")}
		}
		return nil, fmt.Errorf("open %s: %w", t.Location(), ErrNoRepository)
	}
	if err != nil {
		return nil, err
	}
	if configErr != nil {
		return nil, &DamageError{Kind: ConfigFile, Name: ConfigName, Err: configErr}
	}
	config, err := repo.DecodeConfig(key, sealed)
	var version *repo.VersionError
	switch {
	case errors.As(err, &version) && version.Version > repo.Version:
		return nil, fmt.Errorf("%w: %w", ErrTooNew, err)
	case err != nil:
		return nil, &DamageError{Kind: ConfigFile, Name: ConfigName, Err: err}
	}
	return newRepository(t, key, keyID, config, opts)
}

func newRepository(t Target, key *repo.Key, keyID string, config repo.Config, opts []Option) (*Repository, error) {
	var o options
	for _, set := range opts {
		set(&o)
	}
	codec, err := repo.NewCodec(key)
	if err != nil {
		return nil, err
	}
	r := &Repository{target: t, codec: codec, config: config, keyID: keyID, host: identify(o.host)}
	r.locks.wait = o.wait
	return r, nil
}

// ID returns the ID of the repository, drawn when it was made.
func (r *Repository) ID() string { return r.config.ID }

// FormatVersion returns 1 or 2. Snapshots can be made in version 2 only.
func (r *Repository) FormatVersion() int { return int(r.config.Version) }

// Location says for people where the repository is.
func (r *Repository) Location() string { return r.target.Location() }

// Close ends the use of the repository and releases its locks. Acts that still
// run fail.
func (r *Repository) Close() error {
	r.mu.Lock()
	r.closed, r.cached = true, nil
	r.mu.Unlock()
	return r.releaseAll()
}

func (r *Repository) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// userName is who a key file or a lock says made it.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint(os.Getuid())
}
