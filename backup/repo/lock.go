package repo

import (
	"encoding/json"
	"fmt"
	"time"
)

const (
	// LockRefresh is how often a holder writes its lock anew.
	LockRefresh = 5 * time.Minute
	// LockStale is the age at which others may take a lock for abandoned.
	LockStale = 30 * time.Minute
)

// Lock says that somebody works in the repository.
type Lock struct {
	Time      time.Time `json:"time"`
	Exclusive bool      `json:"exclusive"`
	Hostname  string    `json:"hostname"`
	Username  string    `json:"username"`
	PID       int       `json:"pid"`
	UID       uint32    `json:"uid,omitempty"`
	GID       uint32    `json:"gid,omitempty"`
}

// DecodeLock opens a lock file.
func (c *Codec) DecodeLock(sealed []byte) (*Lock, error) {
	plain, err := c.OpenFile(sealed)
	if err != nil {
		return nil, err
	}
	l := new(Lock)
	if err := json.Unmarshal(plain, l); err != nil {
		return nil, fmt.Errorf("read lock: %w: %w", ErrFormat, err)
	}
	return l, nil
}
