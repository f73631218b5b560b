package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// keepSent is how long it is remembered that a message was sent. The host asks again for hours, not for weeks.
const keepSent = 30 * 24 * time.Hour

// sentKeys remembers on disk which messages the mail server has taken, so that a message is not sent twice when the
// receipt was lost on its way to the host.
type sentKeys struct {
	path string
	now  func() time.Time

	mu     sync.Mutex // guards what follows
	loaded bool
	keys   map[string]sentKey
	busy   map[string]chan struct{} // keys that are being sent; closed when done
}

type sentKey struct {
	Key        string    `json:"key"`
	ExternalID string    `json:"external_id"`
	At         time.Time `json:"at"`
}

func newSentKeys(dir string, now func() time.Time) *sentKeys {
	return &sentKeys{path: filepath.Join(dir, "sent.jsonl"), now: now, keys: map[string]sentKey{}, busy: map[string]chan struct{}{}}
}

// claim waits until nobody else sends the message. It says whether the message was sent before; if not, the caller
// must call release.
func (s *sentKeys) claim(key string) (sent sentKey, done bool, err error) {
	for {
		s.mu.Lock()
		if err := s.load(); err != nil {
			s.mu.Unlock()
			return sentKey{}, false, err
		}
		if sent, done = s.keys[key]; done {
			s.mu.Unlock()
			return sent, true, nil
		}
		other, taken := s.busy[key]
		if !taken {
			s.busy[key] = make(chan struct{})
			s.mu.Unlock()
			return sentKey{}, false, nil
		}
		s.mu.Unlock()
		<-other
	}
}

func (s *sentKeys) release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.busy[key])
	delete(s.busy, key)
}

// add remembers, durably, that a message was sent.
func (s *sentKeys) add(k sentKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[k.Key] = k
	line, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("write down a sent message: %w", err)
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write down a sent message: %w", err)
	}
	// A line that was cut by a crash must not swallow this one, so each begins with a line end of its own.
	_, writeErr := f.Write(append(append([]byte("\n"), line...), '\n'))
	if err := errors.Join(writeErr, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write down a sent message: %w", err)
	}
	return nil
}

// load reads the file once, and writes it anew when it holds what is older than keepSent.
func (s *sentKeys) load() error {
	if s.loaded {
		return nil
	}
	b, err := os.ReadFile(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read what was sent: %w", err)
	}
	oldest := s.now().Add(-keepSent)
	stale := false
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var k sentKey
		if json.Unmarshal(lines.Bytes(), &k) != nil || k.Key == "" {
			continue // an empty line, or one that a crash cut
		}
		if k.At.Before(oldest) {
			stale = true
			continue
		}
		s.keys[k.Key] = k
	}
	if stale {
		if err := s.rewrite(); err != nil {
			return err
		}
	} else if err := s.syncFolder(); err != nil {
		return err
	}
	s.loaded = true
	return nil
}

func (s *sentKeys) rewrite() error {
	var b bytes.Buffer
	for _, k := range s.keys {
		line, err := json.Marshal(k)
		if err != nil {
			return fmt.Errorf("write what was sent: %w", err)
		}
		b.Write(append(line, '\n'))
	}
	f, err := os.OpenFile(s.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write what was sent: %w", err)
	}
	_, writeErr := f.Write(b.Bytes())
	if err := errors.Join(writeErr, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write what was sent: %w", err)
	}
	if err := os.Rename(s.path+".new", s.path); err != nil {
		return fmt.Errorf("write what was sent: %w", err)
	}
	return s.syncFolder()
}

// syncFolder makes sure that the file exists and that its name is on disk: later appends sync the content only.
func (s *sentKeys) syncFolder() error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make the file of what was sent: %w", err)
	}
	f.Close()
	dir, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return fmt.Errorf("open the working directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("write the working directory: %w", err)
	}
	return nil
}
