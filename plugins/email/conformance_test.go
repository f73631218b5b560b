package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/plugins/email/mailtest"
	"github.com/karov-crm/karov/plugins/plugintest"
	"gopkg.in/yaml.v3"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t)
	wrong := configFor(s)
	wrong["account.address"] = "not an address"
	plugintest.Run(t, plugintest.Plugin{
		Dir: ".", Package: "github.com/karov-crm/karov/plugins/email",
		Config: configFor(s), Wrong: wrong,
		Bring: func(t testing.TB, words string) {
			t.Helper()
			s.Deliver(t, plainMail(words+"@crm.test", "conformance", words))
		},
		Answer: &inbox.Outbound{
			Channel: "email", Account: mailtest.Office, To: inbox.Party{Handle: mailtest.Customer},
			Subject: "Re: conformance", Text: "Hello.", ExternalID: "conformance@office.crm.test",
		},
		Sent: func(t testing.TB, words string) int {
			t.Helper()
			n := 0
			for _, raw := range s.Mailbox(t, mailtest.Customer) {
				if strings.Contains(parsed(t, raw).Text, words) {
					n++
				}
			}
			return n
		},
	})
}

// TestSentences holds the three languages and the code together: every key that the code names has its sentence, and
// no sentence is left over.
func TestSentences(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`= "(mail\.[a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
			named[m[1]] = true
		}
	}
	want := slices.Sorted(maps.Keys(named))
	if len(want) < 20 {
		t.Fatalf("only %v found in the code", want)
	}
	var placeholders map[string]string
	for _, language := range []string{"en", "he", "ru"} {
		raw, err := os.ReadFile(filepath.Join("locale", language+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		sentences := map[string]string{}
		if err := yaml.Unmarshal(raw, &sentences); err != nil {
			t.Fatalf("%s: %v", language, err)
		}
		if got := slices.Sorted(maps.Keys(sentences)); !slices.Equal(got, want) {
			t.Errorf("%s has %v, the code names %v", language, got, want)
		}
		filled := map[string]string{}
		for key, sentence := range sentences {
			words := regexp.MustCompile(`\{[a-z]+\}`).FindAllString(sentence, -1)
			slices.Sort(words)
			filled[key] = fmt.Sprint(words)
		}
		if placeholders == nil {
			placeholders = filled
		}
		if !maps.Equal(filled, placeholders) {
			t.Errorf("%s fills in %v, the first language %v", language, filled, placeholders)
		}
	}
}
