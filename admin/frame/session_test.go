package frame

import (
	"net/url"
	"strings"
	"testing"
)

func TestSafeNext(t *testing.T) {
	for next, want := range map[string]string{
		"/inbox?tab=mine": "/inbox?tab=mine", "": "/", "inbox": "/", "//evil.example": "/", `/\\evil.example`: "/", "https://evil.example/": "/",
		"/x\r\nSet-Cookie: a": "/", "javascript:alert(1)": "/", "/sign-in": "/", "/sign-in?next=/": "/", "/contacts/1#x": "/contacts/1#x",
	} {
		if got := safeNext(next); got != want {
			t.Errorf("%q: %q, want %q", next, got, want)
		}
	}
}

func FuzzSafeNext(f *testing.F) {
	for _, seed := range []string{"/inbox", "//evil.example", "/\t/evil.example", `/\evil.example`, "/%2fevil.example"} {
		f.Add(seed)
	}
	home, err := url.Parse("https://karov.example/sign-in")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := safeNext(next)
		// Browsers drop tabs and line ends from an address before they read it, and take a backslash for a slash.
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(got)
		to, err := home.Parse(seen)
		if err != nil || to.Host != "karov.example" || to.Scheme != "https" {
			t.Errorf("%q leads to %q", next, got)
		}
	})
}
