package backup_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/karov-crm/karov/backup"
)

func TestNewRecoveryKey(t *testing.T) {
	form := regexp.MustCompile(`^KAROV(-[2-9A-HJKMNP-TW-Z]{5}){6}$`)
	seen := map[string]bool{}
	for range 200 {
		key, err := backup.NewRecoveryKey()
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(key) || seen[key] {
			t.Fatalf("key %s is malformed or came twice", key)
		}
		seen[key] = true
	}
}

func TestNormalizeRecoveryKey(t *testing.T) {
	key, err := backup.NewRecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.ReplaceAll(strings.TrimPrefix(key, "KAROV-"), "-", "")
	for _, typed := range []string{key, strings.ToLower(key), " " + strings.ReplaceAll(key, "-", " ") + "\r\n", bare, strings.ToLower(bare),
		strings.ReplaceAll(key, "-", ""), strings.ReplaceAll(key, "-", "\u2013"), strings.ReplaceAll(key, "-", " - "), strings.ReplaceAll(key, "-", "\u200f-")} {
		if got, err := backup.NormalizeRecoveryKey(typed); got != key || err != nil {
			t.Errorf("%q became %q, %v", typed, got, err)
		}
	}
	for _, other := range []string{"", "secret", "correct horse battery staple", "karov-office", "  blank  ", strings.Repeat("A", 29) + "B", "KAROV-" + strings.Repeat("A", 60)} {
		if got, err := backup.NormalizeRecoveryKey(other); got != other || err != nil {
			t.Errorf("password %q became %q, %v", other, got, err)
		}
	}
}

func TestTypingMistakesAreFound(t *testing.T) {
	key, err := backup.NewRecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	refused := func(typed string) {
		t.Helper()
		if got, err := backup.NormalizeRecoveryKey(typed); !errors.Is(err, backup.ErrMistypedKey) {
			t.Fatalf("%q became %q, %v", typed, got, err)
		}
	}
	const letters = "23456789ABCDEFGHJKMNPQRSTWXYZ01ILOUV"
	for i := len("KAROV-"); i < len(key); i++ {
		if key[i] == '-' {
			continue
		}
		for _, c := range letters {
			if byte(c) != key[i] {
				refused(key[:i] + string(c) + key[i+1:])
			}
		}
		refused(key[:i] + key[i+1:])
		refused(key[:i] + "A" + key[i:])
		if i+1 < len(key) && key[i+1] != '-' && key[i] != key[i+1] {
			refused(key[:i] + string(key[i+1]) + string(key[i]) + key[i+2:])
		}
		// Any two wrong letters.
		for j := i + 1; j < len(key); j++ {
			if key[j] != '-' {
				two := []byte(key)
				two[i], two[j] = next(two[i]), next(next(two[j]))
				refused(string(two))
			}
		}
	}
}

func next(c byte) byte {
	const letters = "23456789ABCDEFGHJKMNPQRSTWXYZ"
	return letters[(strings.IndexByte(letters, c)+1)%len(letters)]
}

func FuzzNormalizeRecoveryKey(f *testing.F) {
	f.Add(testKey)
	f.Add("karov 22222 22222 22222 22222 22222 2222")
	f.Fuzz(func(t *testing.T, typed string) {
		exact, err := backup.NormalizeRecoveryKey(typed)
		if err != nil {
			return
		}
		if again, err := backup.NormalizeRecoveryKey(exact); again != exact || err != nil {
			t.Fatalf("%q became %q, and that %q, %v", typed, exact, again, err)
		}
	})
}
