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

// deaths tells how many times the process died while it read the mail.
func (m mark) deaths(place string) (int, error) {
	b, err := os.ReadFile(m.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the mark: %w", err)
	}
	var marked string
	var n int
	if read, _ := fmt.Sscanf(string(b), "%s %d", &marked, &n); read != 2 || marked != place {
		return 0, nil // of another mail, or cut by a crash of the machine
	}
	return n, nil
}

// begin notes that the mail is being read, after so many deaths.
func (m mark) begin(place string, deaths int) error {
	if err := os.WriteFile(m.path, fmt.Appendf(nil, "%s %d\n", place, deaths+1), 0o600); err != nil {
		return fmt.Errorf("write the mark: %w", err)
	}
	return nil
}

// end notes that the mail was read and the process lives.
func (m mark) end() error {
	if err := os.Remove(m.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the mark: %w", err)
	}
	return nil
}
