package staff

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

func TestPasswordHash(t *testing.T) {
	first, again := hashPassword(secretWord), hashPassword(secretWord)
	if !regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`).MatchString(first) {
		t.Errorf("the hash is %q", first)
	}
	if first == again || !passwordIs(secretWord, first) || !passwordIs(secretWord, again) || passwordIs(secretWord+"x", first) || passwordIs("", first) {
		t.Error("a wrong password passes, a right one does not, or the salt is the same")
	}
	parts := strings.Split(first, "$")
	for _, broken := range []string{"", secretWord, "$", "$$$$$", strings.Replace(first, "argon2id", "argon2i", 1), strings.Replace(first, "t=2", "t=0", 1),
		strings.Replace(first, "m=19456", "m=99999999", 1), strings.Replace(first, "p=1", "p=0", 1), strings.Replace(first, "t=2", "t=4000000", 1),
		"$argon2id$v=19$" + parts[3] + "$" + parts[4] + "$", "$argon2id$v=19$" + parts[3] + "$!$" + parts[5], nobodysPassword} {
		if passwordIs(secretWord, broken) || passwordIs("", broken) {
			t.Errorf("%q takes a password", broken)
		}
	}
}

func (o *office) guess(email, password, from string) error {
	_, _, err := o.SignIn(o.t.Context(), email, password, from)
	return err
}

func TestGuessingIsSlowedDown(t *testing.T) {
	o := open(t)
	for i := range freeTries {
		wantKind(t, "a wrong password", o.guess("dana@example.com", "wrong", fmt.Sprint("machine ", i)), "unauthenticated")
	}
	err := o.guess(" DANA@example.com ", secretWord, "desk")
	wantKind(t, "the right one after too many wrong ones", err, "too-many")
	if fault.Of(err).Params["seconds"] != "3" {
		t.Errorf("it says to wait %v", fault.Of(err).Params)
	}
	wait := firstPause
	for range 12 {
		o.pass(wait - time.Millisecond)
		wantKind(t, "too early", o.guess("dana@example.com", "wrong", "desk 1"), "too-many")
		o.pass(time.Millisecond)
		wantKind(t, "in time", o.guess("dana@example.com", "wrong", fmt.Sprint("desk ", wait)), "unauthenticated")
		wait = min(2*wait, maxPause)
	}
	o.pass(maxPause)
	wantKind(t, "the right one in time", o.guess("dana@example.com", secretWord, "desk"), "")
	for range freeTries - 1 {
		wantKind(t, "wrong again", o.guess("dana@example.com", "wrong", "new desk"), "unauthenticated")
	}
	wantKind(t, "a success begins the count anew", o.guess("dana@example.com", secretWord, "desk"), "")
}

func TestAMachineIsSlowedDownToo(t *testing.T) {
	o := open(t)
	for i := range freeMachineTries {
		wantKind(t, "a wrong address", o.guess(fmt.Sprintf("n%d@example.com", i), "wrong", "robot"), "unauthenticated")
	}
	wantKind(t, "one more", o.guess("x@example.com", "wrong", "robot"), "too-many")
	wantKind(t, "Dana from her desk", o.guess("dana@example.com", secretWord, "desk"), "")
}

// TestManyGuessesAtOnceGetNoMore tries a hundred passwords at the same moment.
func TestManyGuessesAtOnceGetNoMore(t *testing.T) {
	o := open(t)
	var mu sync.Mutex
	compared := 0
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			err := o.guess("dana@example.com", fmt.Sprint("guess number ", i), fmt.Sprint("machine ", i))
			mu.Lock()
			defer mu.Unlock()
			if fault.KindOf(err) == fault.Unauthenticated {
				compared++
			}
		})
	}
	wg.Wait()
	if compared == 0 || compared > freeTries {
		t.Errorf("%d guesses were compared, want at most %d", compared, freeTries)
	}
}

func TestManyMaySignInAtOnce(t *testing.T) {
	o := open(t)
	var wg sync.WaitGroup
	for i := range 12 {
		email := fmt.Sprintf("p%d@example.com", i)
		must(t, second(o.Add(as(t, access.Owner), Draft{Email: email, Password: secretWord, Role: access.Agent})))
		wg.Go(func() {
			if err := o.guess(email, secretWord, "one office"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestInventedNamesAreForgotten(t *testing.T) {
	o := open(t)
	for i := range maxNames + 10 {
		name := fmt.Sprint("email:", i)
		must(t, o.guesses.begin(name))
		o.guesses.failed(name)
		o.guesses.end(name)
	}
	if n := len(o.guesses.tries); n > maxNames+1 {
		t.Errorf("%d names are remembered", n)
	}
	must(t, o.guesses.begin("email:"))
	o.guesses.end("email:")
	_ = o.guess(strings.Repeat("x", 1<<20), "wrong", "desk")
	for name := range o.guesses.tries {
		if len(name) > 1000 {
			t.Errorf("a name of %d bytes is remembered", len(name))
		}
	}
}
