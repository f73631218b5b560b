package backup

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/karov-crm/karov/backup/repo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

const (
	packTarget = 16 << 20
	// packBlobs keeps a pack far from the bounds of its header and of an index file.
	packBlobs  = 10000
	indexBlobs = 50000
	indexAge   = 10 * time.Minute
	// pieceBudget bounds the plain bytes that wait for a worker.
	pieceBudget = 32 << 20
)

func workers() int { return max(2, min(runtime.GOMAXPROCS(0), 8)) }

// saver stores blobs that are not stored yet: workers hash, compress and seal them
// into packs, one goroutine uploads the packs and then their indexes.
type saver struct {
	r       *Repository
	group   *errgroup.Group
	ctx     context.Context // of the group: ends when any part of it fails
	jobs    chan piece
	packs   chan finished
	budget  *semaphore.Weighted
	buffers sync.Pool

	mu    sync.Mutex
	index *repo.Index
	// reserved are the blobs on their way into a pack.
	reserved map[repo.Handle]bool
	open     [2]*repo.Pack // by blob type
	spare    [][]byte      // buffers of uploaded packs
	stats    saveStats
}

type saveStats struct {
	dataBlobs, treeBlobs uint64 // new ones
	added, addedPacked   uint64
}

type piece struct {
	plain *[]byte
	// put takes the ID when it is known.
	put *repo.ID
	wg  *sync.WaitGroup
}

type finished struct {
	id    repo.ID
	data  []byte
	blobs []repo.Blob
}

// newSaver starts the workers. pending are packs that are stored and not indexed.
func (r *Repository) newSaver(ctx context.Context, x *repo.Index, pending []repo.IndexedPack) *saver {
	group, ctx := errgroup.WithContext(ctx)
	s := &saver{r: r, group: group, ctx: ctx, index: x, reserved: make(map[repo.Handle]bool),
		jobs: make(chan piece), packs: make(chan finished), budget: semaphore.NewWeighted(pieceBudget)}
	s.buffers.New = func() any { return new([]byte) }
	var running sync.WaitGroup
	for range workers() {
		running.Add(1)
		group.Go(func() error {
			defer running.Done()
			return s.work()
		})
	}
	group.Go(func() error {
		// The last packs are closed when no worker can add to them any more.
		running.Wait()
		defer close(s.packs)
		return s.finishOpen()
	})
	group.Go(func() error { return s.upload(pending) })
	return s
}

// buffer returns room for one piece, to be given to add.
func (s *saver) buffer() *[]byte {
	b := s.buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// add stores a piece of a file; its ID is at put when wg has been told.
func (s *saver) add(plain *[]byte, put *repo.ID, wg *sync.WaitGroup) error {
	if err := s.budget.Acquire(s.ctx, int64(min(len(*plain), pieceBudget))); err != nil {
		return context.Cause(s.ctx)
	}
	wg.Add(1)
	select {
	case s.jobs <- piece{plain: plain, put: put, wg: wg}:
		return nil
	case <-s.ctx.Done():
		wg.Done()
		return context.Cause(s.ctx)
	}
}

func (s *saver) work() error {
	for {
		select {
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case j, ok := <-s.jobs:
			if !ok {
				return nil
			}
			id, err := s.save(repo.DataBlob, *j.plain)
			*j.put = id
			s.budget.Release(int64(min(len(*j.plain), pieceBudget)))
			s.buffers.Put(j.plain)
			j.wg.Done()
			if err != nil {
				return err
			}
		}
	}
}

// save stores a blob unless it is stored.
func (s *saver) save(t repo.BlobType, plain []byte) (repo.ID, error) {
	h := repo.Handle{Type: t, ID: repo.Hash(plain)}
	s.mu.Lock()
	known := s.reserved[h] || s.index.Has(h)
	if !known {
		s.reserved[h] = true
	}
	s.mu.Unlock()
	if known {
		return h.ID, nil
	}
	stored, uncompressed, err := s.r.codec.SealBlob(nil, h, plain)
	if err != nil {
		return repo.ID{}, fmt.Errorf("store piece: %w", err)
	}
	full, err := s.pack(h, stored, uncompressed, len(plain))
	if err != nil || full == nil {
		return h.ID, err
	}
	return h.ID, s.finish(full)
}

// pack adds a stored blob to the open pack of its type and returns the pack if it
// is full.
func (s *saver) pack(h repo.Handle, stored []byte, uncompressed uint32, plain int) (*repo.Pack, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.open[h.Type]
	if p == nil {
		p = repo.NewPack(s.packBuffer(h.Type))
		s.open[h.Type] = p
	}
	if err := p.Add(h, stored, uncompressed); err != nil {
		return nil, err
	}
	s.stats.added += uint64(plain)
	s.stats.addedPacked += uint64(len(stored))
	if h.Type == repo.TreeBlob {
		s.stats.treeBlobs++
	} else {
		s.stats.dataBlobs++
	}
	if p.Size() < packTarget && p.Len() < packBlobs {
		return nil, nil
	}
	s.open[h.Type] = nil
	return p, nil
}

// packBuffer returns the buffer of an uploaded pack, or none for listings, which
// seldom fill a pack.
func (s *saver) packBuffer(t repo.BlobType) []byte {
	if n := len(s.spare); n > 0 && t == repo.DataBlob {
		buf := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return buf
	}
	return nil
}

func (s *saver) finishOpen() error {
	s.mu.Lock()
	open := s.open
	s.open = [2]*repo.Pack{}
	s.mu.Unlock()
	for _, p := range open {
		if p == nil || s.ctx.Err() != nil {
			continue
		}
		if err := s.finish(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *saver) finish(p *repo.Pack) error {
	id, data, blobs, err := p.Finish(s.r.codec)
	if err != nil {
		return fmt.Errorf("close pack: %w", err)
	}
	select {
	case s.packs <- finished{id: id, data: data, blobs: blobs}:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// upload stores packs, and indexes of the packs stored.
func (s *saver) upload(pending []repo.IndexedPack) error {
	w := &indexWriter{r: s.r, began: time.Now()}
	for _, p := range pending {
		if err := w.add(s.ctx, p); err != nil {
			return err
		}
	}
	for p := range s.packs {
		if err := s.r.target.Save(s.ctx, PackFile, p.id.String(), p.data); err != nil {
			return fmt.Errorf("store pack: %w", err)
		}
		if err := w.add(s.ctx, repo.IndexedPack{ID: p.id, Blobs: p.blobs}); err != nil {
			return err
		}
		s.mu.Lock()
		if len(s.spare) < 2 && cap(p.data) >= packTarget {
			s.spare = append(s.spare, p.data)
		}
		s.mu.Unlock()
	}
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return w.flush(s.ctx)
}

// close waits until everything is stored and indexed.
func (s *saver) close() error {
	close(s.jobs)
	return s.group.Wait()
}

// abort ends the workers because of err, and returns what was really wrong: that
// the target is full, say, and not that the reader was told to stop.
func (s *saver) abort(err error) error {
	s.group.Go(func() error { return err })
	if first := s.group.Wait(); first != nil && !errors.Is(err, first) {
		return first
	}
	return err
}

// indexWriter collects packs into index files. A pack is never split over two.
type indexWriter struct {
	r     *Repository
	packs []repo.IndexedPack
	blobs int
	began time.Time
}

func (w *indexWriter) add(ctx context.Context, p repo.IndexedPack) error {
	if w.blobs > 0 && w.blobs+len(p.Blobs) > indexBlobs {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.packs = append(w.packs, p)
	w.blobs += len(p.Blobs)
	if w.blobs >= indexBlobs || time.Since(w.began) > indexAge {
		return w.flush(ctx)
	}
	return nil
}

func (w *indexWriter) flush(ctx context.Context) error {
	if len(w.packs) == 0 {
		return nil
	}
	data, err := w.r.codec.EncodeIndex(w.packs)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if err := w.r.target.Save(ctx, IndexFile, repo.Hash(data).String(), data); err != nil {
		return fmt.Errorf("store index: %w", err)
	}
	w.packs, w.blobs, w.began = nil, 0, time.Now()
	return nil
}
