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

// passwordIs compares a password with a PHC string. A broken one, and one that would cost more than this server has, is
// nobody's password.
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

// guesses slows down guessing: after some free failures under one name, each further one costs a pause that doubles,
// and there is one guess at a time.
type guesses struct {
	now     func() time.Time
	hashing chan struct{} // bounds how many passwords are hashed at a time, each takes 19 MiB

	mu    sync.Mutex
	tries map[string]*tries
}

type tries struct {
	failed int
	asking int // guesses that are being compared now
	until  time.Time
}

const (
	freeTries        = 5
	freeMachineTries = 20 // a whole office may stand behind one address
	firstPause       = 2 * time.Second
	maxPause         = 15 * time.Minute
	maxNames         = 100_000
)

func newGuesses(now func() time.Time) *guesses {
	return &guesses{now: now, hashing: make(chan struct{}, 4), tries: map[string]*tries{}}
}

// free is how many failures under a name cost nothing. Names are "email:..." and "from:..." of a machine.
func free(name string) int {
	if strings.HasPrefix(name, "from:") {
		return freeMachineTries
	}
	return freeTries
}

// begin refuses names that have to wait, and counts the guess as one that may fail: many at once have no more free
// failures than many in turn. Each begin that gave nil is followed by an end.
func (g *guesses) begin(names ...string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		t := g.tries[name]
		if t == nil {
			continue
		}
		if wait := t.until.Sub(g.now()); wait > 0 {
			return fault.New(fault.TooMany, "sign-in.wait", "seconds", int(wait.Seconds())+1)
		}
		if t.asking > 0 && t.failed+t.asking >= free(name) {
			return fault.New(fault.TooMany, "sign-in.wait", "seconds", 1)
		}
	}
	g.forget()
	for _, name := range names {
		if g.tries[name] == nil {
			g.tries[name] = &tries{}
		}
		g.tries[name].asking++
	}
	return nil
}

// forget drops names that wait for nothing, when somebody invents them.
func (g *guesses) forget() {
	if len(g.tries) <= maxNames {
		return
	}
	for name, t := range g.tries {
		if t.asking == 0 && g.now().After(t.until.Add(maxPause)) {
			delete(g.tries, name)
		}
	}
}

func (g *guesses) end(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		t := g.tries[name]
		if t.asking--; t.asking == 0 && t.failed == 0 {
			delete(g.tries, name)
		}
	}
}

func (g *guesses) failed(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		t := g.tries[name]
		t.failed++
		if over := t.failed - free(name); over >= 0 {
			t.until = g.now().Add(min(firstPause<<min(over, 16), maxPause))
		}
	}
}

func (g *guesses) succeeded(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		g.tries[name].failed, g.tries[name].until = 0, time.Time{}
	}
}
