package staff

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/karov-crm/karov/appliance/fault"
)

// MinPassword is the least length of a password, in bytes.
const MinPassword = 10

// argon2id with 19 MiB, 2 passes, 1 lane: the least that OWASP's password storage cheat sheet names, so that a small
// server can let a whole office in at nine o'clock.
const (
	argonMemory = 19 * 1024
	argonPasses = 2
	argonLanes  = 1
)

// hashPassword makes a PHC string with a fresh salt.
func hashPassword(password string) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails: see crypto/rand
	sum := argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonLanes, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", argonMemory, argonPasses, argonLanes, b64(salt), b64(sum))
}

// passwordIs compares a password with a PHC string. Every answer takes as long as a comparison, also for a broken one.
func passwordIs(password, phc string) bool {
	var memory, passes uint32
	var lanes uint8
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil || memory > 1<<20 || passes > 20 || passes < 1 || lanes < 1 {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(want) < 16 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// guesses slows down guessing: after freeTries failures under one name, each further one costs a pause that doubles.
type guesses struct {
	now     func() time.Time
	hashing chan struct{} // bounds how many passwords are hashed at a time, each takes 19 MiB

	mu    sync.Mutex
	tries map[string]*tries
}

type tries struct {
	failed int
	until  time.Time
}

const (
	freeTries  = 5
	firstPause = 2 * time.Second
	maxPause   = 15 * time.Minute
	maxNames   = 100_000
)

func newGuesses(now func() time.Time) *guesses {
	return &guesses{now: now, hashing: make(chan struct{}, 4), tries: map[string]*tries{}}
}

// check refuses a name that has to wait. Names are "email:..." and "from:..." of a machine.
func (g *guesses) check(names ...string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		if t := g.tries[name]; t != nil && g.now().Before(t.until) {
			seconds := int(t.until.Sub(g.now()).Seconds()) + 1
			return fault.New(fault.TooMany, "sign-in.wait", "seconds", seconds)
		}
	}
	return nil
}

func (g *guesses) failed(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tries) > maxNames { // somebody invents names: forget those that wait for nothing
		for name, t := range g.tries {
			if g.now().After(t.until.Add(maxPause)) {
				delete(g.tries, name)
			}
		}
	}
	for _, name := range names {
		t := g.tries[name]
		if t == nil {
			t = &tries{}
			g.tries[name] = t
		}
		t.failed++
		if t.failed >= freeTries {
			t.until = g.now().Add(min(firstPause<<min(t.failed-freeTries, 16), maxPause))
		}
	}
}

func (g *guesses) succeeded(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		delete(g.tries, name)
	}
}
