package backup

import (
	"crypto/rand"
	"fmt"
	"strings"
	"unicode"
)

const (
	// keyLetters has no two signs that look alike on paper in the places where it
	// matters (no 0 O, 1 I L, U V), and 29 of them, a prime: two check letters
	// over that field find any one or two wrong letters and any two swapped.
	keyLetters = "23456789ABCDEFGHJKMNPQRSTWXYZ"
	keyPrefix  = "KAROV"
	keyRandom  = 28 // letters drawn: 136 bits
	keyLength  = keyRandom + 2
	keyGroup   = 5
)

// NewRecoveryKey draws a recovery key of 136 random bits, as it is to be printed:
// KAROV-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX. Exactly this text is the password
// that stock restic wants.
func NewRecoveryKey() (string, error) {
	letters := make([]byte, 0, keyLength)
	limit := byte(256 / len(keyLetters) * len(keyLetters))
	var b [1]byte
	for len(letters) < keyRandom {
		if _, err := rand.Read(b[:]); err != nil {
			return "", fmt.Errorf("draw recovery key: %w", err)
		}
		// Taking the rest of all 256 values would favour some letters.
		if b[0] < limit {
			letters = append(letters, keyLetters[int(b[0])%len(keyLetters)])
		}
	}
	return printKey(append(letters, checkLetters(letters)...)), nil
}

// checkLetters returns the two letters that follow: the sum of all letters, and
// the sum weighted by place, both as what is missing to a multiple of 29.
func checkLetters(letters []byte) []byte {
	sum, weighted := 0, 0
	for i, c := range letters {
		v := strings.IndexByte(keyLetters, c)
		sum += v
		weighted += (i + 1) * v
	}
	n := len(keyLetters)
	return []byte{keyLetters[(n-sum%n)%n], keyLetters[(n-weighted%n)%n]}
}

func printKey(letters []byte) string {
	out := keyPrefix
	for i := 0; i < len(letters); i += keyGroup {
		out += "-" + string(letters[i:i+keyGroup])
	}
	return out
}

// NormalizeRecoveryKey turns a recovery key as somebody typed it from paper into
// the exact text printed: case, blanks, dashes and a missing first word do not
// matter. A typing mistake gives ErrMistypedKey, so it is told apart from the key
// of another repository. Text that is not a recovery key of ours comes back
// untouched: it may be any other restic password.
func NormalizeRecoveryKey(typed string) (string, error) {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Dash, r) || unicode.Is(unicode.Cf, r) || r == '_' || r == '.' {
			return -1
		}
		return unicode.ToUpper(r)
	}, typed)
	rest, prefixed := strings.CutPrefix(letters, keyPrefix)
	if !prefixed {
		if wellFormed(rest) {
			return printKey([]byte(rest)), nil
		}
		return typed, nil
	}
	// Two letters more or less are mistakes in a key of ours; with the first word
	// and another length it is some other password.
	if n := len([]rune(rest)); n < keyLength-2 || n > keyLength+2 {
		return typed, nil
	} else if n != keyLength {
		return "", fmt.Errorf("%w: %d letters after the first word and not %d", ErrMistypedKey, n, keyLength)
	}
	for i, r := range []rune(rest) {
		if !strings.ContainsRune(keyLetters, r) {
			return "", fmt.Errorf("%w: %q in group %d is no letter of recovery keys", ErrMistypedKey, r, i/keyGroup+1)
		}
	}
	if !wellFormed(rest) {
		return "", fmt.Errorf("%w: the check letters at its end do not fit", ErrMistypedKey)
	}
	return printKey([]byte(rest)), nil
}

func wellFormed(letters string) bool {
	if len(letters) != keyLength || strings.Trim(letters, keyLetters) != "" {
		return false
	}
	return string(checkLetters([]byte(letters[:keyRandom]))) == letters[keyRandom:]
}

// isRecoveryKey reports whether the password was drawn by NewRecoveryKey.
func isRecoveryKey(password string) bool {
	exact, err := NormalizeRecoveryKey(password)
	return err == nil && exact == password && strings.HasPrefix(password, keyPrefix) && wellFormed(strings.ReplaceAll(strings.TrimPrefix(password, keyPrefix), "-", ""))
}
