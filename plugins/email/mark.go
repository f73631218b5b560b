package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// deathsToBelieve is how often the process must have died while it read the same mail before the mail is blamed. Once
// may be chance: somebody stopped the plugin in that moment.
const deathsToBelieve = 2

// mark is a file that says which mail is being read. When the process dies of a mail, the mark is still there at the
// next start.
type mark struct{ path string }

func newMark(dir, account string) mark {
	sum := sha256.Sum256([]byte(account))
	return mark{filepath.Join(dir, fmt.Sprintf("reading-%x", sum[:8]))}
}

// begin notes that the mail is being read, and tells how many times the process died of it before.
func (m mark) begin(place string) (deaths int, err error) {
	b, err := os.ReadFile(m.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("read the mark: %w", err)
	}
	var before string
	if n, _ := fmt.Sscanf(string(b), "%s %d", &before, &deaths); n != 2 || before != place {
		deaths = 0
	}
	if err := os.WriteFile(m.path, fmt.Appendf(nil, "%s %d\n", place, deaths+1), 0o600); err != nil {
		return deaths, fmt.Errorf("write the mark: %w", err)
	}
	return deaths, nil
}

// end notes that the mail was read and the process lives.
func (m mark) end() error {
	if err := os.Remove(m.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the mark: %w", err)
	}
	return nil
}
