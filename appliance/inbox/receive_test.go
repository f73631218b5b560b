package inbox

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
)

func TestReceive(t *testing.T) {
	o := open(t)
	in := mail("m1", "Dana@Example.com")
	in.To, in.CC = []Party{{Handle: "office@example.com"}}, []Party{{Handle: "boss@example.com", Name: "Boss"}}
	in.HTML, in.Raw, in.SentAt = "<b>hi</b>", strings.Repeat("a", 64), time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	in.Attachments = []Attachment{{Name: "a.pdf", Type: "application/pdf", Size: 3, Blob: strings.Repeat("b", 64)}}
	in.Cursor = "7"
	o.receive(in)
	waiting := o.list(Waiting)
	if len(waiting) != 1 {
		t.Fatalf("%d conversations wait", len(waiting))
	}
	c := waiting[0]
	if c.ContactName != "Dana" || c.Subject != "About m1" || c.Handle != "Dana@Example.com" || c.State != Open || !c.WaitingSince.Equal(o.at) ||
		c.LastText != "Hello, this is m1" {
		t.Errorf("conversation: %+v", c)
	}
	m := o.messages(c.ID)[0]
	if !m.Incoming || m.From.Name != "Dana" || len(m.CC) != 1 || m.HTML != "<b>hi</b>" || m.Raw != in.Raw || !m.SentAt.Equal(in.SentAt) ||
		len(m.Attachments) != 1 || m.Attachments[0].Blob != in.Attachments[0].Blob || m.State != Received || m.ExternalID != "m1" {
		t.Errorf("message: %+v", m)
	}
	cursor, err := o.Cursor(as(t, access.Plugin), "email", "office@example.com")
	if err != nil || cursor != "7" {
		t.Errorf("cursor %q, %v", cursor, err)
	}
	hits, err := o.index.Find(as(t, access.Owner), "dana@example.com", 5)
	if err != nil || len(hits) != 1 {
		t.Errorf("lookup finds %v, %v", hits, err)
	}
}

func TestReceiveTwiceIsOnce(t *testing.T) {
	o := open(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := o.Receive(as(t, access.Plugin), mail("m1", "dana@example.com")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	again := mail("m1", "dana@example.com")
	again.Cursor = "9"
	o.receive(again)
	if all := o.list(AllOpen); len(all) != 1 || len(o.messages(all[0].ID)) != 1 {
		t.Errorf("%d conversations", len(all))
	}
	if cursor, _ := o.Cursor(as(t, access.Plugin), "email", "office@example.com"); cursor != "9" {
		t.Errorf("the cursor is %q", cursor)
	}
	elsewhere := mail("m1", "dana@example.com")
	elsewhere.Account = "sales@example.com"
	o.receive(elsewhere)
	if n, _, _ := o.people.Count(as(t, access.Owner)); n != 1 {
		t.Errorf("%d contacts", n)
	}
	if all := o.list(AllOpen); len(all) != 2 {
		t.Errorf("%d conversations of two accounts", len(all))
	}
}

func TestThreads(t *testing.T) {
	o := open(t)
	o.receive(mail("m1", "dana@example.com"))
	o.receive(mail("m2", "dana@example.com", "unknown", "m1"))
	o.receive(mail("m3", "dana@example.com"))
	o.receive(mail("m4", "stranger@example.com", "m1")) // knows the id, and gets no conversation of hers
	o.receive(mail("m5", "dana@example.com", "", strings.Repeat("x", 5000), "m2"))
	var got []string
	for _, c := range o.list(Waiting) {
		var ids []string
		for _, m := range o.messages(c.ID) {
			ids = append(ids, m.ExternalID)
		}
		got = append(got, strings.Join(ids, " "))
	}
	if want := []string{"m1 m2 m5", "m3", "m4"}; !slices.Equal(got, want) {
		t.Errorf("conversations %q, want %q", got, want)
	}
}

// TestAStolenIDDrawsNoAnswers lets a stranger take the id of the office's own letter for his message.
func TestAStolenIDDrawsNoAnswers(t *testing.T) {
	o := open(t)
	o.receive(mail("m1", "dana@example.com"))
	c := o.list(Waiting)[0]
	m, err := o.Reply(as(t, access.Owner), c.ID, Reply{Text: "Hi"})
	must(t, err)
	o.receive(mail(m.ExternalID, "stranger@example.com"))
	o.receive(mail("m2", "dana@example.com", m.ExternalID))
	if n := len(o.messages(c.ID)); n != 3 {
		t.Errorf("her conversation has %d messages, want 3", n)
	}
}

func TestReopenAndWaiting(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	count := func() int {
		n, exact, err := o.CountWaiting(owner)
		must(t, err)
		if !exact || n != len(o.list(Waiting)) {
			t.Errorf("counts %d waiting, lists %d", n, len(o.list(Waiting)))
		}
		return n
	}
	o.receive(mail("m1", "dana@example.com"))
	first := o.at
	o.receive(mail("m2", "dana@example.com", "m1"))
	c := o.list(Waiting)[0]
	if !c.WaitingSince.Equal(first) || count() != 1 {
		t.Errorf("she waits since %v, not since her first message", c.WaitingSince)
	}
	must(t, o.Close(owner, c.ID, false))
	if count() != 0 || len(o.list(AllOpen)) != 0 || len(o.list(Done)) != 1 {
		t.Error("a closed conversation waits, or is not among the closed")
	}
	automatic := mail("m3", "dana@example.com", "m1")
	automatic.Automatic = true
	o.receive(automatic)
	if count() != 0 || len(o.list(Done)) != 1 {
		t.Error("an automatic note reopened a conversation")
	}
	o.receive(mail("m4", "dana@example.com", "m1"))
	if c := o.list(Waiting); count() != 1 || len(c) != 1 || !c[0].WaitingSince.Equal(o.at) {
		t.Errorf("after she wrote again: %+v", c)
	}
	_, err := o.Reply(owner, c.ID, Reply{Text: "Hi"})
	must(t, err)
	if count() != 0 || len(o.list(AllOpen)) != 1 {
		t.Error("who was answered still waits")
	}
	bounce := mail("m5", "mailer-daemon@example.com")
	bounce.Automatic = true
	o.receive(bounce)
	if count() != 0 || len(o.list(AllOpen)) != 2 {
		t.Error("a bounce waits for an answer, or is not shown")
	}
	must(t, o.Close(owner, c.ID, false))
	must(t, o.Close(owner, c.ID, true))
	if count() != 0 || len(o.list(AllOpen)) != 2 {
		t.Error("a conversation was not taken up again")
	}
}

func TestHostileMessagesAreTaken(t *testing.T) {
	o := open(t)
	for i, change := range []func(*Inbound){
		func(in *Inbound) { in.Text = "a\x00b\xff\u202ec" },
		func(in *Inbound) { in.Text, in.HTML = strings.Repeat("é", maxBody), strings.Repeat("<p>", maxBody) },
		func(in *Inbound) { in.Subject = strings.Repeat("נושא ", 5000) + "\xff\r\nBcc: x" },
		func(in *Inbound) { in.From.Name = strings.Repeat("\u202eשם", 5000) },
		func(in *Inbound) { in.From = Party{Handle: "MAILER-DAEMON"} },
		func(in *Inbound) { in.From.Handle = strings.Repeat("x", 400) + "@example.com" },
		func(in *Inbound) { in.InReplyTo = slices.Repeat([]string{strings.Repeat("y", 9000)}, 3000) },
		func(in *Inbound) { in.SentAt = time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC) },
		func(in *Inbound) { in.Attachments = []Attachment{{Name: "\xff\x00../../etc/passwd", Type: "x\xff"}} },
		func(in *Inbound) { in.To = slices.Repeat([]Party{{Handle: "\xff"}}, 500) },
		func(in *Inbound) { in.Channel, in.From.Handle, in.From.Name = "telegram", "dana", "" },
		func(in *Inbound) { in.Subject, in.Text, in.From.Name = "", "", "" },
	} {
		in := mail(fmt.Sprint("h", i), fmt.Sprintf("h%d@example.com", i))
		change(&in)
		if err := o.Receive(as(t, access.Plugin), in); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	must(t, o.book.Check(t.Context()))
	for _, c := range o.list(AllOpen) {
		for _, m := range o.messages(c.ID) {
			for what, s := range map[string]string{"subject": m.Subject, "text": m.Text, "html": m.HTML, "from": m.From.Name + m.From.Handle} {
				if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00") || len(s) > maxBody {
					t.Errorf("%s of %d bytes: %.40q", what, len(s), s)
				}
			}
			if strings.HasPrefix(m.Text, "éé") && m.Notice != "message.cut" {
				t.Error("a text was cut and nobody is told")
			}
		}
	}
	if _, err := o.facts.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestImpossibleMessagesAreRefused(t *testing.T) {
	o := open(t)
	for what, change := range map[string]func(*Inbound){
		"no channel": func(in *Inbound) { in.Channel = "" }, "no account": func(in *Inbound) { in.Account = "" },
		"no id": func(in *Inbound) { in.ExternalID = "" }, "no sender": func(in *Inbound) { in.From.Handle = "" },
		"long id": func(in *Inbound) { in.ExternalID = strings.Repeat("x", 2001) }, "NUL in the id": func(in *Inbound) { in.ExternalID = "a\x00b" },
		"channel that is no word": func(in *Inbound) { in.Channel = "e mail" },
	} {
		in := mail("m", "dana@example.com")
		change(&in)
		wantKind(t, what, o.Receive(as(t, access.Plugin), in), "invalid")
	}
	for role, kind := range map[access.Role]string{access.Agent: "forbidden", access.Manager: "forbidden", access.Viewer: "forbidden", access.Plugin: "", access.System: ""} {
		wantKind(t, string(role), o.Receive(as(t, role), mail("m", "dana@example.com")), kind)
		wantKind(t, string(role), second(o.Cursor(as(t, role), "email", "x")), kind)
		wantKind(t, string(role), o.SaveCursor(as(t, role), "email", "x", "1"), kind)
	}
	wantKind(t, "nobody", o.Receive(t.Context(), mail("m", "dana@example.com")), "unauthenticated")
}

func TestExcerpt(t *testing.T) {
	for text, want := range map[string]string{
		"Thanks!\n\nOn Sunday Dana <d@office.test> wrote:\n> Hello\n> there\n": "Thanks!",
		"Answers below:\n> one?\nYes":                                          "Answers below: Yes",
		"\n> quoted\nHello\n  there  \n> more":                                 "Hello there", "": "", "> only": "", "a\x00b": "a\x00b", strings.Repeat("מ", 400): strings.Repeat("מ", 150),
	} {
		if got := excerpt(text); got != want {
			t.Errorf("excerpt(%.20q) = %.40q, want %.40q", text, got, want)
		}
	}
}

func TestMessagesPage(t *testing.T) {
	o := open(t)
	o.receive(mail("m0", "dana@example.com"))
	for i := 1; i < 10; i++ {
		o.receive(mail(fmt.Sprint("m", i), "dana@example.com", "m0"))
	}
	c := o.list(Waiting)[0]
	var got []string
	before := record.ID{}
	for range 10 {
		page, more, err := o.Messages(as(t, access.Owner), c.ID, before, 4)
		must(t, err)
		for i := len(page) - 1; i >= 0; i-- {
			got = append(got, page[i].ExternalID)
		}
		if !more {
			break
		}
		before = page[0].ID
	}
	if want := "m9 m8 m7 m6 m5 m4 m3 m2 m1 m0"; strings.Join(got, " ") != want {
		t.Errorf("pages give %v", got)
	}
}
