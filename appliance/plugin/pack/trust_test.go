package pack

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

func TestKeysAreReadAgain(t *testing.T) {
	w := newWorld(t)
	secret, err := w.root.Secret()
	must(t, err)
	root, err := ReadRootKey(secret)
	must(t, err)
	if !root.secret().Equal(w.root.secret()) || root.ID() != w.root.ID() || root.Name != "Karov test" {
		t.Error("the root is another")
	}
	public, err := w.root.Encode()
	must(t, err)
	if r, err := ReadRoot(public); err != nil || r.ID() != w.root.ID() {
		t.Errorf("the public root is another: %v", err)
	}
	key, err := GenerateReseller("Acme")
	must(t, err)
	raw, err := key.Secret()
	must(t, err)
	if !bytes.Contains(raw, []byte(SecretMark)) {
		t.Error("a secret file does not say that it is one")
	}
	again, err := ReadResellerKey(raw)
	must(t, err)
	request, err := key.Encode()
	must(t, err)
	asked, err := ReadReseller(request)
	must(t, err)
	if !again.secret().Equal(key.secret()) || !asked.Key.Equal(key.Key) || asked.Name != "Acme" {
		t.Error("the reseller is another")
	}
	for name, try := range map[string]func() error{
		"a secret for a root":  func() error { _, err := ReadRoot(secret); return err },
		"a request for a root": func() error { _, err := ReadRoot(request); return err },
		"two blocks":           func() error { _, err := ReadRoot(append(public, public...)); return err },
		"no key at all":        func() error { _, err := ReadResellerKey([]byte("hello")); return err },
	} {
		if err := try(); fault.Of(err).Key != "pack.key-other" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewSigner(again, w.signer.Certificate); fault.Of(err).Key != "pack.key-of-another" {
		t.Errorf("a certificate of another key: %v", err)
	}
}

func TestTermsThatCannotBe(t *testing.T) {
	w := newWorld(t)
	key, err := GenerateReseller("Acme")
	must(t, err)
	for name, terms := range map[string]Terms{
		"no namespace":     {NotAfter: testNow},
		"one label":        {Namespace: "com", NotAfter: testNow},
		"a joker":          {Namespace: "com.*", NotAfter: testNow},
		"a large letter":   {Namespace: "com.Acme", NotAfter: testNow},
		"no time to stand": {Namespace: "com.acme", NotBefore: testNow, NotAfter: testNow},
	} {
		if _, err := w.root.IssueCertificate(key.Reseller, terms); fault.Of(err).Key != "pack.certificate-malformed" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRevocationsGoForward(t *testing.T) {
	w := newWorld(t)
	first, err := w.root.Revoke(nil, []string{"aaaa"}, nil, testNow)
	must(t, err)
	second, err := w.root.Revoke(first, []string{"bbbb"}, []string{"cccc"}, testNow.Add(time.Hour))
	must(t, err)
	take := func(l *Revocations) (bool, error) {
		read, err := ReadRevocations(l.Encode())
		must(t, err)
		return w.trust.Take(read)
	}
	if isNew, err := take(second); err != nil || !isNew {
		t.Fatalf("the list is not taken: %v", err)
	}
	if isNew, err := take(second); err != nil || isNew {
		t.Errorf("the same list again: %v, %v", isNew, err)
	}
	if _, err := take(first); fault.Of(err).Key != "pack.revocations-older" {
		t.Errorf("an older list: %v", err)
	}
	fork, err := w.root.Revoke(first, nil, nil, testNow)
	must(t, err)
	if _, err := take(fork); fault.Of(err).Key != "pack.revocations-older" {
		t.Errorf("another list of the same number: %v", err)
	}
	id := w.root.ID()
	if !w.trust.RevokedCertificate(id, "aaaa") || !w.trust.RevokedCertificate(id, "bbbb") || !w.trust.RevokedPackage(id, "cccc") || w.trust.RevokedPackage(id, "aaaa") {
		t.Error("the list does not say what was put into it")
	}
	stranger, err := GenerateRoot("Karov test")
	must(t, err)
	foreign, err := stranger.Revoke(second, nil, nil, testNow)
	must(t, err)
	if _, err := take(foreign); fault.Of(err).Key != "pack.revocations-root-unknown" {
		t.Errorf("a stranger's list: %v", err)
	}
	foreign.body = []byte(strings.Replace(string(foreign.body), stranger.ID(), id, 1))
	if _, err := take(foreign); fault.Of(err).Key != "pack.revocations-forged" {
		t.Errorf("a forged list: %v", err)
	}
}

func TestCeilings(t *testing.T) {
	record := func(entity string, verbs string, fields ...string) Permissions {
		return Permissions{Records: []Record{{Entity: entity, Verbs: strings.Split(verbs, " "), Fields: fields}}}
	}
	to := func(place string, private ...bool) Permissions {
		return Permissions{Egress: []Egress{{To: place, Private: len(private) > 0}}}
	}
	two := Permissions{Records: []Record{{"contact", []string{"see"}, []string{"name"}}, {"*", []string{"see"}, []string{"phone"}}}}
	for _, c := range []struct {
		asked, ceiling Permissions
		beyond         int
	}{
		{Permissions{}, Permissions{}, 0},
		{wide(), wide(), 0},
		{wide(), Everything(), 0},
		{Everything(), wide(), 4},
		{record("contact", "see"), Permissions{}, 1},
		{record("contact", "see edit"), record("contact", "see"), 1},
		{record("contact", "see", "name"), record("contact", "see", "name", "phone"), 0},
		{record("contact", "see"), record("contact", "see", "name"), 1},
		{record("contact", "see", "name", "phone"), two, 0},
		{record("contact", "see", "name", "email"), two, 1},
		{record("contact", "*"), record("contact", "see edit"), 1},
		{record("*", "see"), record("contact", "see"), 1},
		{to("api.acme.com:443"), to("api.acme.com:443"), 0},
		{to("API.acme.com.:443"), to("api.acme.com:443"), 0},
		{to("api.acme.com:80"), to("api.acme.com:443"), 1},
		{to("api.acme.com:80"), to("api.acme.com:*"), 0},
		{to("api.acme.com:443"), to("*.acme.com:443"), 0},
		{to("*.api.acme.com:443"), to("*.acme.com:443"), 0},
		{to("*.acme.com:443"), to("*.api.acme.com:443"), 1},
		{to("acme.com:443"), to("*.acme.com:443"), 1},
		{to("evilacme.com:443"), to("*.acme.com:443"), 1},
		{to(".acme.com:443"), to("*.acme.com:443"), 1},
		{to("a.com:1,2"), to("a.com:2,3,1"), 0},
		{to("a.com:1,2"), Permissions{Egress: []Egress{{To: "a.com:1"}, {To: "*:2"}}}, 0},
		{to("a.com:1,2"), to("a.com:1"), 1},
		{to("a.com:1,*"), to("a.com:1"), 1},
		{to("${imap.host}:993"), to("${imap.host}:993"), 0},
		{to("${imap.host}:993"), to("${*}:993"), 0},
		{to("${imap.host}:993"), to("*.host}:993"), 1},
		{to("imap.host:993"), to("${*}:993"), 1},
		{to("10.0.0.1:25", true), to("10.0.0.1:25"), 1},
		{to("10.0.0.1:25"), to("10.0.0.1:25", true), 0},
		{to("nowhere"), to("*:*"), 1},
		{Permissions{Memory: 2}, Permissions{Memory: 1}, 1},
		{Permissions{Storage: 2, Memory: 1}, Permissions{Memory: 1}, 1},
	} {
		if got := c.asked.Beyond(c.ceiling); len(got) != c.beyond {
			t.Errorf("%+v beyond %+v: %q", c.asked, c.ceiling, got)
		}
	}
	if p := (Permissions{Memory: 3 << 30, Storage: 5 << 10}).Phrases(); !slices.Equal(p, []string{"memory 3GB", "storage 5KB"}) {
		t.Errorf("the permissions are %q", p)
	}
}

func TestDifferences(t *testing.T) {
	record := func(verbs string, fields ...string) Permissions {
		return Permissions{Records: []Record{{Entity: "contact", Verbs: strings.Split(verbs, " "), Fields: fields}}}
	}
	for _, c := range []struct {
		before, after  Permissions
		added, removed string
	}{
		{record("see"), record("see"), "", ""},
		{record("see"), record("see change"), "change contact", ""},
		{record("see", "name"), record("see change"), "see contact; change contact", "see contact (name)"},
		{record("see", "name", "phone"), record("see", "name"), "", "see contact (name, phone)"},
		{record("see"), record("see", "passport"), "see contact (passport)", "see contact"},
		{Permissions{Memory: 1 << 30}, Permissions{}, "", "memory 1GB"},
		{Permissions{Egress: []Egress{{To: "a.com:1"}}}, Permissions{Egress: []Egress{{To: "a.com:1", Private: true}}}, "connect to a.com:1 (private)", ""},
	} {
		d := c.after.Since(c.before)
		if strings.Join(d.Added, "; ") != c.added || strings.Join(d.Removed, "; ") != c.removed {
			t.Errorf("from %+v to %+v: %+v", c.before, c.after, d)
		}
	}
}
