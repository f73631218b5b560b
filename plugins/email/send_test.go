package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/email/mailtest"
	"github.com/karov-crm/karov/plugins/sdk"
)

func answer(key string) sdk.Outgoing {
	return sdk.Outgoing{
		IdempotencyKey: key, Channel: "email", Account: mailtest.Office,
		To:      sdk.Party{Handle: mailtest.Customer, Name: "Алиса, \"Ал\""},
		Subject: "Re: הצעת מחיר", Text: "שלום רב,\nהמחיר <100>\n\nДо свидания",
		ExternalID: key + "@office.crm.test", InReplyTo: "first@crm.test", References: []string{"zero@crm.test", "first@crm.test"},
	}
}

func fileOf(name, kind string, content []byte) sdk.File {
	return sdk.File{Name: name, Type: kind, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

func TestSendReachesTheCustomer(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t)
	for i, security := range []string{"starttls", "tls"} {
		t.Run(security, func(t *testing.T) {
			config := configFor(s)
			config["smtp.security"] = security
			config["smtp.port"] = strconv.Itoa([]int{s.SubmissionPort, s.SubmissionsPort}[i])
			c := newTestChannel(t, config)
			out := answer(security)
			picture := bytes.Repeat([]byte("\x00\xff\r\n.\r\n"), 10000)
			out.Attachments = []sdk.File{fileOf("הצעה.pdf", "application/pdf", picture)}
			r, err := c.Send(t.Context(), newDesk(), out)
			if err != nil {
				t.Fatal(err)
			}
			if r.ExternalID != out.ExternalID || r.At.IsZero() {
				t.Errorf("the receipt is %+v", r)
			}
			checkReceived(t, s.WaitMail(t, mailtest.Customer, i+1)[i], out.ExternalID, picture)
		})
	}
}

// checkReceived looks at the mail as the customer's server keeps it, with Go's own, strict reader.
func checkReceived(t *testing.T, raw []byte, id string, picture []byte) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	for name, want := range map[string]string{
		"Message-Id": "<" + id + ">", "In-Reply-To": "<first@crm.test>", "References": "<zero@crm.test> <first@crm.test>",
		"Return-Path": "<office@crm.test>",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); subject != "Re: הצעת מחיר" || err != nil {
		t.Errorf("the subject is %q, %v", subject, err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) != 1 || *from[0] != (mail.Address{Name: "המשרד", Address: mailtest.Office}) {
		t.Errorf("from %v, %v", from, err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 1 || *to[0] != (mail.Address{Name: "Алиса, \"Ал\"", Address: mailtest.Customer}) {
		t.Errorf("to %v, %v", to, err)
	}
	if at, err := m.Header.Date(); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("the date is %v, %v", at, err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := multipart.NewReader(m.Body, params["boundary"]).NextPart(); err != nil {
		t.Errorf("the parts cannot be read: %v", err)
	}
	back := parsed(t, raw)
	if back.Text != "שלום רב,\nהמחיר <100>\n\nДо свидания" {
		t.Errorf("the text is %q", back.Text)
	}
	if !strings.Contains(back.HTML, "<p dir=\"auto\">שלום רב,<br>\nהמחיר &lt;100&gt;</p>") {
		t.Errorf("the HTML is %q", back.HTML)
	}
	if len(back.Attachments) != 1 || back.Attachments[0].Name != "הצעה.pdf" || back.Attachments[0].Type != "application/pdf" {
		t.Fatalf("the attachments are %+v", back.Attachments)
	}
	if got, err := readFile(back.Attachments[0]); err != nil || !bytes.Equal(got, picture) {
		t.Errorf("the attachment has %d bytes, want %d; %v", len(got), len(picture), err)
	}
}

func TestAnswerToAnAnswerNamesIt(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t)
	c, d := newTestChannel(t, configFor(s)), newDesk()
	start(t, c, d)
	if _, err := c.Send(t.Context(), d, answer("a1")); err != nil {
		t.Fatal(err)
	}
	s.WaitMail(t, mailtest.Customer, 1)
	s.Deliver(t, []byte("From: alice@crm.test\r\nMessage-ID: <back@crm.test>\r\nSubject: Re: Re:\r\n"+
		"References: <zero@crm.test>\r\n\t<first@crm.test> <a1@office.crm.test>\r\n\r\nthanks\r\n"))
	m := d.waitMessages(t, 1)[0]
	if want := []string{"a1@office.crm.test", "first@crm.test", "zero@crm.test"}; fmt.Sprint(m.InReplyTo) != fmt.Sprint(want) {
		t.Errorf("it answers %v, want %v", m.InReplyTo, want)
	}
}

func TestSendTwiceSendsOnce(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t)
	c := newTestChannel(t, configFor(s))
	first, err := c.Send(t.Context(), newDesk(), answer("once"))
	if err != nil {
		t.Fatal(err)
	}
	// The plugin was killed and came back: the working directory is all that is left.
	again := newTestChannel(t, configFor(s))
	again.sentKeys = newSentKeys(c.dir, time.Now)
	second, err := again.Send(t.Context(), newDesk(), answer("once"))
	if err != nil || second != first {
		t.Errorf("the second receipt is %+v, %v, the first was %+v", second, err, first)
	}
	if _, err := again.Send(t.Context(), newDesk(), answer("other")); err != nil {
		t.Fatal(err)
	}
	if got := s.WaitMail(t, mailtest.Customer, 2); len(got) != 2 {
		t.Errorf("%d mails, want 2", len(got))
	}
}

func TestSendAtTheSameTimeSendsOnce(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t)
	c := newTestChannel(t, configFor(s))
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := c.Send(t.Context(), newDesk(), answer("race")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := c.Send(t.Context(), newDesk(), answer("last")); err != nil {
		t.Fatal(err)
	}
	if got := s.WaitMail(t, mailtest.Customer, 2); len(got) != 2 {
		t.Errorf("%d mails, want 2", len(got))
	}
}

func wantError(t *testing.T, err error, final bool, key string) {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Final != final || e.Key != key || e.Err == nil {
		t.Errorf("the error is %+v, want %s, final %v", err, key, final)
	}
}

func TestSendFailures(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t)
	c := newTestChannel(t, configFor(s))
	for _, test := range []struct {
		to, key, words string
		final          bool
	}{
		{"nobody@crm.test", keyNoSuchRecipient, "5.1.1", true},
		{mailtest.Banned, keyRefused, "we do not like you", true},
		{mailtest.Later, keySendLater, "come back later", false},
		{"not an address", keyBadAddress, "", true},
		{"a@b.test\r\nRCPT TO:<x@crm.test>", keyBadHeader, "", true},
	} {
		t.Run(test.to, func(t *testing.T) {
			out := answer("to " + test.to)
			out.ExternalID, out.To = "fail@office.crm.test", sdk.Party{Handle: test.to}
			_, err := c.Send(t.Context(), newDesk(), out)
			wantError(t, err, test.final, test.key)
			if err != nil && !strings.Contains(err.Error(), test.words) {
				t.Errorf("the server's words are missing: %v", err)
			}
		})
	}
	s.StopPostfix(t)
	d := newDesk()
	_, err := c.Send(t.Context(), d, answer("down"))
	wantError(t, err, false, keySendLater)
	d.waitHealth(t, keyConnectionRefused)
	s.StartPostfix(t)
	if _, err := c.Send(t.Context(), d, answer("down")); err != nil {
		t.Errorf("after the server came back: %v", err)
	}
	d.waitHealth(t, keyConnected)
	s.WaitMail(t, mailtest.Customer, 1)
}

func TestSendWithWrongPasswordOrAuthority(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t)
	for key, change := range map[string][2]string{
		keyLoginRefused: {"smtp.password", "wrong"}, keyCertificate: {"tls.ca-file", ""},
	} {
		config := configFor(s)
		config[change[0]] = change[1]
		d := newDesk()
		_, err := newTestChannel(t, config).Send(t.Context(), d, answer("w"))
		wantError(t, err, false, key)
		if h := d.waitHealth(t, key); h.OK || h.Detail == "" {
			t.Errorf("reported %+v", h)
		}
	}
	config := configFor(s)
	config["smtp.port"] = strconv.Itoa(s.LMTPPort) // a server without STARTTLS
	_, err := newTestChannel(t, config).Send(t.Context(), newDesk(), answer("w"))
	if err == nil {
		t.Error("a mail went out without TLS")
	}
	if got := s.Mailbox(t, mailtest.Customer); len(got) != 0 {
		t.Errorf("%d mails arrived", len(got))
	}
}

func TestNoHeaderCanBeInjected(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t)
	c := newTestChannel(t, configFor(s))
	evil := "x\r\nBcc: bob@crm.test"
	for name, change := range map[string]func(*sdk.Outgoing){
		"subject":    func(o *sdk.Outgoing) { o.Subject = evil },
		"name":       func(o *sdk.Outgoing) { o.To.Name = evil },
		"id":         func(o *sdk.Outgoing) { o.ExternalID = evil },
		"no id":      func(o *sdk.Outgoing) { o.ExternalID = "" },
		"answers":    func(o *sdk.Outgoing) { o.InReplyTo = "a> <b" },
		"references": func(o *sdk.Outgoing) { o.References = []string{"ok@x", evil} },
		"file name":  func(o *sdk.Outgoing) { o.Attachments = []sdk.File{fileOf(evil, "text/plain", nil)} },
		"file type":  func(o *sdk.Outgoing) { o.Attachments = []sdk.File{fileOf("a", "text/plain\nX: y", nil)} },
	} {
		out := answer("inject " + name)
		out.ExternalID = "inject@office.crm.test"
		change(&out)
		_, err := c.Send(t.Context(), newDesk(), out)
		wantError(t, err, true, keyBadHeader)
	}
}

func TestSentMailIsFiled(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t)
	c, d := newTestChannel(t, configFor(s)), newDesk()
	start(t, c, d)
	d.waitHealth(t, keyConnected)
	if _, err := c.Send(t.Context(), d, answer("filed")); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(waitFor)
	for len(s.Sent(t, mailtest.Office)) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the folder of sent mail stays empty")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := s.Sent(t, mailtest.Office)[0]; !bytes.Contains(got, []byte("<filed@office.crm.test>")) {
		t.Errorf("filed: %s", got)
	}
	s.Deliver(t, plainMail("later@crm.test", "the line still works", "x"))
	d.waitMessages(t, 1)
}

func TestSentKeysSurviveATornLineAndForgetInTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	clock := func() time.Time { return now }
	k := newSentKeys(dir, clock)
	for _, key := range []string{"a", "b"} {
		if _, done, err := k.claim(key); done || err != nil {
			t.Fatal(done, err)
		}
		if err := k.add(sentKey{Key: key, ExternalID: key, At: now}); err != nil {
			t.Fatal(err)
		}
		k.release(key)
	}
	b, err := os.ReadFile(k.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.path, append(b, `{"key":"to`...), 0o600); err != nil {
		t.Fatal(err)
	}
	k = newSentKeys(dir, clock)
	if _, done, err := k.claim("b"); !done || err != nil {
		t.Errorf("b is forgotten: %v", err)
	}
	if _, done, _ := k.claim("torn"); done {
		t.Error("torn was never sent")
	}
	if err := k.add(sentKey{Key: "torn", At: now.Add(keepSent)}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(keepSent + time.Hour)
	k = newSentKeys(dir, clock)
	if _, done, _ := k.claim("torn"); !done {
		t.Error("the line after the torn one is lost")
	}
	if _, done, _ := k.claim("a"); done {
		t.Error("a is remembered for ever")
	}
	if b, _ = os.ReadFile(k.path); bytes.Contains(b, []byte(`"a"`)) {
		t.Errorf("the file still holds what is old: %s", b)
	}
}
