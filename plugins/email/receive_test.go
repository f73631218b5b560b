package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"testing"
	"time"

	"encoding/base64"

	"github.com/karov-crm/karov/plugins/email/mailtest"
	"github.com/karov-crm/karov/plugins/sdk"
)

func plainMail(id, subject, text string) []byte {
	return fmt.Appendf(nil, "From: Alice <Alice@crm.test>\r\nTo: office@crm.test\r\nMessage-ID: <%s>\r\nSubject: %s\r\n"+
		"Date: Mon, 02 Mar 2026 10:00:00 +0200\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n", id, subject, text)
}

func TestMailArrivesByIDLE(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	for name, security := range map[string]int{"tls": s.IMAPSPort, "starttls": s.IMAPPort} {
		t.Run(name, func(t *testing.T) {
			config := configFor(s)
			config["imap.security"], config["imap.port"] = name, strconv.Itoa(security)
			config["poll.seconds"] = "3600" // only a push can bring the second mail
			c, d := newTestChannel(t, config), newDesk()
			start(t, c, d)
			d.waitHealth(t, keyConnected)
			before := len(s.Mailbox(t, mailtest.Office)) // the first start reads what is there
			d.waitMessages(t, before)
			s.Deliver(t, plainMail(name+"-1@crm.test", "שלום", "מה שלומך?"))
			d.waitMessages(t, before+1)
			s.Deliver(t, plainMail(name+"-2@crm.test", "again", "two"))
			m := d.waitMessages(t, before+2)[before]
			if m.ExternalID != name+"-1@crm.test" || m.Subject != "שלום" || m.Text != "מה שלומך?" || m.Automatic {
				t.Errorf("delivered %+v", m.Message)
			}
			if m.From != (sdk.Party{Handle: "alice@crm.test", Name: "Alice"}) || m.Account != mailtest.Office || m.Channel != "email" {
				t.Errorf("from %+v, account %q, channel %q", m.From, m.Account, m.Channel)
			}
			if !bytes.Contains(m.raw, []byte("Message-ID: <"+name+"-1@crm.test>")) {
				t.Errorf("the original is %q", m.raw)
			}
			for _, flags := range s.Flags(t, mailtest.Office) {
				if strings.Contains(flags, "S") {
					t.Errorf("the plugin marked a mail as read: %q", flags)
				}
			}
		})
	}
}

func TestTakenMailsGetTheKeyword(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	start(t, c, d)
	s.Deliver(t, plainMail("k@crm.test", "keyword", "x"))
	d.waitMessages(t, 1)
	deadline := time.Now().Add(waitFor)
	for {
		flags := s.Flags(t, mailtest.Office)
		if len(flags) == 1 && strings.ContainsAny(flags[0], "abcdefghijklmnopqrstuvwxyz") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the flags are %q", flags)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestMailArrivesByPollingWithoutIDLE(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP(), mailtest.WithoutIDLE())
	config := configFor(s)
	config["poll.seconds"] = "5"
	c, d := newTestChannel(t, config), newDesk()
	start(t, c, d)
	d.waitHealth(t, keyConnected)
	s.Deliver(t, plainMail("p@crm.test", "poll", "x"))
	d.waitMessages(t, 1)
}

func TestRestartBringsNothingTwiceAndMissesNothing(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	stop := start(t, c, d)
	for i := range 5 {
		s.Deliver(t, plainMail(fmt.Sprintf("r%d@crm.test", i), "r", "x"))
	}
	d.waitMessages(t, 5)
	stop()
	calls := d.calls
	s.Deliver(t, plainMail("late@crm.test", "late", "came while the plugin was down"))
	start(t, newTestChannel(t, configFor(s)), d)
	m := d.waitMessages(t, 6)
	if d.calls != calls+1 || m[5].ExternalID != "late@crm.test" {
		t.Errorf("%d deliveries instead of 1, the last is %s", d.calls-calls, m[5].ExternalID)
	}
}

func TestMailIsKeptWhileTheHostCannotTakeIt(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	refusals := 3
	d.refuse = func(sdk.Message) error {
		if refusals--; refusals >= 0 {
			return sdk.Temporary("host.failed", errors.New("the disk is full"))
		}
		return nil
	}
	start(t, c, d)
	s.Deliver(t, plainMail("h1@crm.test", "h", "x"))
	s.Deliver(t, plainMail("h2@crm.test", "h", "x"))
	m := d.waitMessages(t, 2)
	if m[0].ExternalID != "h1@crm.test" || m[1].ExternalID != "h2@crm.test" || len(m) != 2 {
		t.Errorf("delivered %s, %s of %d", m[0].ExternalID, m[1].ExternalID, len(m))
	}
}

func TestUIDValidityChange(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	start(t, c, d)
	s.Deliver(t, plainMail("v1@crm.test", "v", "x"))
	s.Deliver(t, plainMail("v2@crm.test", "v", "x"))
	d.waitMessages(t, 2)
	before, _, _ := strings.Cut(d.cursor, ":")
	s.ChangeUIDValidity(t, mailtest.Office)
	s.Deliver(t, plainMail("v3@crm.test", "v", "x"))
	m := d.waitMessages(t, 3)
	d.until(t, "a cursor with the new numbers", func() bool {
		after, _, _ := strings.Cut(d.cursor, ":")
		return after != before
	})
	if len(m) != 3 || m[2].ExternalID != "v3@crm.test" {
		t.Errorf("%d messages, the last is %s", len(m), m[len(m)-1].ExternalID)
	}
}

func TestServerRestart(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	start(t, c, d)
	s.Deliver(t, plainMail("s1@crm.test", "s", "x"))
	d.waitMessages(t, 1)
	s.StopDovecot(t)
	d.waitHealth(t, keyConnectionRefused)
	s.StartDovecot(t)
	s.Deliver(t, plainMail("s2@crm.test", "s", "x"))
	d.waitMessages(t, 2)
	d.waitHealth(t, keyConnected)
}

func TestWrongPasswordIsToldAndNotHammered(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	config := configFor(s)
	config["imap.password"] = "wrong"
	c, d := newTestChannel(t, config), newDesk()
	stop := start(t, c, d)
	h := d.waitHealth(t, keyLoginRefused)
	if h.OK || h.Account != mailtest.Office || h.Detail == "" || h.Params["user"] != mailtest.Office || h.Params["server"] == "" {
		t.Errorf("reported %+v", h)
	}
	// Long enough for a hundred attempts at the pace of a broken connection.
	time.Sleep(100 * c.pace.first)
	if n := s.RefusedLogins(); n != 1 {
		t.Errorf("%d logins were refused, want 1", n)
	}
	// A new configuration is tried at once.
	stop()
	if err := c.Configure(t.Context(), configFor(s)); err != nil {
		t.Fatal(err)
	}
	start(t, c, d)
	d.waitHealth(t, keyConnected)
}

func TestTroubleIsNamed(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	cases := map[string]struct {
		change map[string]string
		key    string
	}{
		"unknown authority": {map[string]string{"tls.ca-file": ""}, keyCertificate},
		"unknown authority by starttls": {map[string]string{
			"tls.ca-file": "", "imap.security": "starttls", "imap.port": strconv.Itoa(s.IMAPPort)}, keyCertificate},
		"nobody listens":         {map[string]string{"imap.port": "1"}, keyConnectionRefused},
		"no such host":           {map[string]string{"imap.host": "mail.invalid"}, keyHostUnknown},
		"tls where none is":      {map[string]string{"imap.port": strconv.Itoa(s.IMAPPort)}, keyNoTLS},
		"no such folder":         {map[string]string{"imap.folder": "Nowhere"}, keyFolderMissing},
		"starttls where lmtp is": {map[string]string{"imap.security": "starttls", "imap.port": strconv.Itoa(s.LMTPPort)}, keyConnectionLost},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			config := configFor(s)
			for k, v := range c.change {
				config[k] = v
			}
			ch, d := newTestChannel(t, config), newDesk()
			start(t, ch, d)
			d.waitHealth(t, c.key)
		})
	}
}

func TestOldMailIsNotRead(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	s.Deliver(t, plainMail("old@crm.test", "old", "x"))
	config := configFor(s)
	config["history.days"] = "0"
	c, d := newTestChannel(t, config), newDesk()
	stop := start(t, c, d)
	d.waitMessages(t, 1) // history of 0 days is today
	stop()

	// The mail is older than the history: nothing comes in, and the cursor says so.
	s.Age(t, mailtest.Office, 40*24*time.Hour)
	config["history.days"] = "30"
	c, d = newTestChannel(t, config), newDesk()
	start(t, c, d)
	d.until(t, "a cursor", func() bool { return d.cursor != "" })
	s.Deliver(t, plainMail("new@crm.test", "new", "x"))
	if m := d.waitMessages(t, 1); m[0].ExternalID != "new@crm.test" {
		t.Errorf("%s came in", m[0].ExternalID)
	}
}

func TestBigAttachment(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	start(t, c, d)
	content := make([]byte, 30<<20)
	rand.New(rand.NewSource(1)).Read(content)
	var b bytes.Buffer
	b.WriteString("From: alice@crm.test\r\nMessage-ID: <big@crm.test>\r\nSubject: big\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b1\r\n\r\n--b1\r\nContent-Type: text/plain\r\n\r\nsee attached\r\n" +
		"--b1\r\nContent-Type: application/pdf; name=plan.pdf\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=plan.pdf\r\n\r\n")
	encoded := base64.StdEncoding.EncodeToString(content)
	for len(encoded) > 0 {
		n := min(76, len(encoded))
		b.WriteString(encoded[:n] + "\r\n")
		encoded = encoded[n:]
	}
	b.WriteString("--b1--\r\n")
	s.Deliver(t, b.Bytes())
	m := d.waitMessages(t, 1)[0]
	if m.Text != "see attached" || !bytes.Equal(m.files["plan.pdf"], content) || m.Notice != "" {
		t.Errorf("text %q, %d bytes in plan.pdf, notice %q", m.Text, len(m.files["plan.pdf"]), m.Notice)
	}
	if !bytes.HasSuffix(m.raw, b.Bytes()) {
		t.Errorf("the original has %d bytes, %d were sent", len(m.raw), b.Len())
	}
}

func TestHostileMailComesInWithItsHeader(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	start(t, c, d)
	s.Deliver(t, nestedBomb(50))
	s.Deliver(t, plainMail("after@crm.test", "after", "x"))
	m := d.waitMessages(t, 2)
	if m[0].Notice != noticeUnreadable || m[0].Subject != "bomb" || len(m[0].raw) == 0 || m[0].Text != "" {
		t.Errorf("delivered %+v", m[0].Message)
	}
	if m[1].ExternalID != "after@crm.test" || m[1].Notice != "" {
		t.Errorf("after it came %+v", m[1].Message)
	}
}

// nestedBomb is a mail of a kilobyte or two in which every multipart holds the next, and none is closed.
func nestedBomb(levels int) []byte {
	var b bytes.Buffer
	b.WriteString("From: alice@crm.test\r\nMessage-ID: <bomb@crm.test>\r\nSubject: bomb\r\n")
	for i := range levels {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("Content-Type: text/plain\r\n\r\nboom\r\n")
	return b.Bytes()
}

func TestMailThatTheHostRefusesComesInWithLess(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	d.refuse = func(m sdk.Message) error {
		if m.ExternalID == "bad@crm.test" && (m.Text != "" || m.Raw != nil) || m.ExternalID == "worse@crm.test" {
			return sdk.Permanent("message.refused", errors.New("not this one"))
		}
		return nil
	}
	start(t, c, d)
	s.Deliver(t, plainMail("bad@crm.test", "bad", "x"))
	s.Deliver(t, plainMail("worse@crm.test", "worse", "x"))
	s.Deliver(t, plainMail("good@crm.test", "good", "x"))
	m := d.waitMessages(t, 2)
	if m[0].ExternalID != "bad@crm.test" || m[0].Notice == "" || m[0].Subject != "bad" || m[1].ExternalID != "good@crm.test" {
		t.Errorf("delivered %+v and %+v", m[0].Message, m[1].Message)
	}
}

func TestMailThatKillsTheProcessIsSetAside(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	s.Deliver(t, plainMail("killer@crm.test", "killer", "x"))
	s.Deliver(t, plainMail("next@crm.test", "next", "y"))
	// What two deaths leave behind.
	m := newMark(c.dir, mailtest.Office)
	validity := uidValidity(t, s)
	if err := m.begin(fmt.Sprintf("%d:1", validity), deathsToBelieve-1); err != nil {
		t.Fatal(err)
	}
	start(t, c, d)
	got := d.waitMessages(t, 2)
	if got[0].Notice != noticeUnreadable || got[0].Text != "" || len(got[0].raw) == 0 || got[0].Subject != "killer" {
		t.Errorf("the killer came in as %+v", got[0].Message)
	}
	if got[1].Notice != "" || got[1].Text != "y" {
		t.Errorf("the next came in as %+v", got[1].Message)
	}
	if deaths, err := m.deaths(fmt.Sprintf("%d:1", validity)); deaths != 0 || err != nil {
		t.Errorf("the mark is still there: %d, %v", deaths, err)
	}
}

func TestOneDeathIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	s.Deliver(t, plainMail("innocent@crm.test", "innocent", "x"))
	if err := newMark(c.dir, mailtest.Office).begin(fmt.Sprintf("%d:1", uidValidity(t, s)), 0); err != nil {
		t.Fatal(err)
	}
	start(t, c, d)
	if m := d.waitMessages(t, 1)[0]; m.Notice != "" || m.Text != "x" {
		t.Errorf("delivered %+v", m.Message)
	}
}

func TestMailThatTakesTooLongEndsTheProcess(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.WithoutSMTP())
	c, d := newTestChannel(t, configFor(s)), newDesk()
	// A parser that is still at it when time is up, as one that hangs is: the mail is big and the time short.
	c.pace.marking, c.pace.parsing = time.Nanosecond, 5*time.Millisecond
	quits := make(chan int, 100)
	c.quit = func() {
		// What the next process will find.
		deaths, err := newMark(c.dir, mailtest.Office).deaths(fmt.Sprintf("%d:1", uidValidity(t, s)))
		if err != nil {
			t.Error(err)
		}
		quits <- deaths
	}
	start(t, c, d)
	s.Deliver(t, plainMail("slow@crm.test", "slow", strings.Repeat("word\r\n", 2<<20)))
	select {
	case deaths := <-quits:
		if deaths != 1 {
			t.Errorf("the mark counts %d deaths, want 1", deaths)
		}
	case <-time.After(waitFor):
		t.Fatal("the process was not ended")
	}
}

// uidValidity reads the mailbox's number from the server.
func uidValidity(t *testing.T, s *mailtest.Server) uint32 {
	t.Helper()
	set, err := readSettings(configFor(s))
	if err != nil {
		t.Fatal(err)
	}
	line, err := dialIMAP(context.Background(), newDesk(), set, waitFor)
	if err != nil {
		t.Fatal(err)
	}
	defer line.close()
	if err := line.login(set.imap); err != nil {
		t.Fatal(err)
	}
	box, err := line.choose("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return box.UIDValidity
}
