package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

func TestReply(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	o.receive(mail("m1", "dana@example.com"))
	o.receive(mail("sha256:0123", "dana@example.com", "m1"))
	later := mail("m2", "Dana@home.example.com", "m1")
	later.From.Name = "Dana L."
	must(t, second(o.people.Change(owner, o.list(Waiting)[0].Contact, 1, map[string]any{"emails": []string{"dana@example.com", "dana@home.example.com"}})))
	o.receive(later)
	c := o.list(Waiting)[0]
	m, err := o.Reply(owner, c.ID, Reply{Text: " Hello \n", Attachments: []Attachment{{Name: "a.pdf", Blob: strings.Repeat("a", 64)}}})
	must(t, err)
	out := m.outbound()
	if out.To != (Party{Handle: "Dana@home.example.com", Name: "Dana L."}) || out.Subject != "Re: About m1" || out.Text != "Hello" ||
		out.InReplyTo != "m2" || !slices.Equal(out.References, []string{"m1", "m2"}) || out.Channel != "email" || out.Account != "office@example.com" ||
		!strings.HasSuffix(out.ExternalID, "@example.com") || len(out.Attachments) != 1 || out.MessageID != m.ID {
		t.Errorf("it goes out as %+v", out)
	}
	if m.State != Queued || m.Author != "owner" || m.Incoming {
		t.Errorf("it stands as %+v", m)
	}
	o.receive(mail("m3", "dana@example.com", m.ExternalID))
	if n := len(o.messages(c.ID)); n != 5 {
		t.Errorf("her answer went elsewhere: %d messages", n)
	}
	for text, kind := range map[string]string{"": "invalid", " \n": "invalid", strings.Repeat("x", maxBody+1): "invalid", "\xff": "invalid"} {
		wantKind(t, "reply", second(o.Reply(owner, c.ID, Reply{Text: text})), kind)
	}
	wantKind(t, "long key", second(o.Reply(owner, c.ID, Reply{Text: "x", Key: strings.Repeat("x", 201)})), "invalid")
	wantKind(t, "reply to a message", second(o.Reply(owner, m.ID, Reply{Text: "x"})), "not-found")
}

func TestReplySubject(t *testing.T) {
	for subject, want := range map[string]bool{"Re: x": true, "RE:x": true, "השב: x": true, "Отв: x": true, "x": false, "": false, "Regarding": false, "r": false} {
		if isReply(subject) != want {
			t.Errorf("isReply(%q) = %v", subject, !want)
		}
	}
}

func TestSameKeyIsOneMessage(t *testing.T) {
	o := open(t)
	o.receive(mail("m1", "dana@example.com"))
	o.receive(mail("m2", "yossi@example.com"))
	c, other := o.list(Waiting)[0], o.list(Waiting)[1]
	var mu sync.Mutex
	ids := map[string]bool{}
	reply := func(who string, c Conversation, key string) {
		m, err := o.Reply(as(t, access.Owner, who), c.ID, Reply{Text: "x", Key: key})
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids[m.ID.String()] = true
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() { reply("a", c, "k") })
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Errorf("one key made %d messages", len(ids))
	}
	reply("b", c, "k")
	reply("a", other, "k")
	reply("a", c, "l")
	reply("a", c, "")
	reply("a", c, "")
	if len(ids) != 6 {
		t.Errorf("%d messages, want 6", len(ids))
	}
}

// answered is an office with one answer on its way, as the given sender takes it.
func answered(t *testing.T, send func(n int, m Outbound) (Receipt, error)) (*office, Message) {
	o := open(t)
	n := 0
	var mu sync.Mutex
	o.send.SendFn = func(_ context.Context, m Outbound) (Receipt, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return send(n, m)
	}
	o.receive(mail("m1", "dana@example.com"))
	m, err := o.Reply(as(t, access.Owner), o.list(Waiting)[0].ID, Reply{Text: "Hi"})
	must(t, err)
	return o, m
}

func TestDeliver(t *testing.T) {
	var sent []Outbound
	o, m := answered(t, func(n int, m Outbound) (Receipt, error) {
		sent = append(sent, m)
		return Receipt{ExternalID: "their-id"}, nil
	})
	stop := o.run()
	m = o.untilState(m.ID, Sent)
	stop()
	if len(sent) != 1 || sent[0].MessageID != m.ID || m.ExternalID != "their-id" || !m.SentAt.Equal(o.at) {
		t.Errorf("sent %d times; it stands as %+v", len(sent), m)
	}
	o.receive(mail("m2", "dana@example.com", "their-id"))
	o.receive(mail("m3", "dana@example.com", sent[0].ExternalID))
	if n := len(o.messages(m.Conversation)); n != 4 {
		t.Errorf("her answers went elsewhere: %d messages", n)
	}
}

func TestFailureIsShownAndRetried(t *testing.T) {
	o, m := answered(t, func(n int, m Outbound) (Receipt, error) {
		if n < 3 {
			return Receipt{}, fault.Wrap(fmt.Errorf("dial: %w", errors.New("451 try\nlater")), fault.Unavailable, "channel.down", "host", "mx")
		}
		return Receipt{At: o2at}, nil
	})
	stop := o.run()
	defer stop()
	failed := o.untilState(m.ID, Retrying)
	if f := failed.Failure; f.Key != "channel.down" || f.Params["host"] != "mx" || f.Detail != "451 try later" || f.Attempts != 1 || !f.Again.After(o.at) {
		t.Errorf("failure: %+v", f)
	}
	for range 2 {
		o.pass(time.Minute)
	}
	for range 400 {
		if got, _ := o.Message(as(t, access.Owner), m.ID); got.State == Sent {
			break
		}
		o.pass(time.Minute)
		time.Sleep(5 * time.Millisecond)
	}
	if m = o.untilState(m.ID, Sent); m.Failure.Key != "" || !m.SentAt.Equal(o2at) {
		t.Errorf("after it was sent: %+v", m)
	}
	wantKind(t, "retry of what was sent", o.Retry(as(t, access.Owner), m.ID), "conflict")
}

var o2at = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func TestGivenUpAndTakenUpAgain(t *testing.T) {
	o, m := answered(t, func(n int, m Outbound) (Receipt, error) {
		if n == 1 {
			return Receipt{}, fault.New(fault.Invalid, "mail.no-such-address")
		}
		return Receipt{}, nil
	})
	stop := o.run()
	defer stop()
	if f := o.untilState(m.ID, Failed).Failure; f.Key != "mail.no-such-address" || !f.Again.IsZero() {
		t.Errorf("failure: %+v", f)
	}
	if dead, err := o.queue.Dead(t.Context()); err != nil || len(dead) != 1 {
		t.Errorf("dead jobs: %v, %v", dead, err)
	}
	must(t, o.Retry(as(t, access.Owner), m.ID))
	if m = o.untilState(m.ID, Sent); m.Failure.Key != "" {
		t.Errorf("after it was sent: %+v", m)
	}
	var names []string
	facts, err := o.facts.After(t.Context(), 0, 100)
	must(t, err)
	for _, f := range facts {
		names = append(names, f.Name)
	}
	want := []string{"contact.created", "conversation.opened", "message.received", "message.queued", "message.failed", "message.queued", "message.sent"}
	if !slices.Equal(names, want) {
		t.Errorf("facts %q, want %q", names, want)
	}
}

// TestSentOnceForTheReceiver does the job of a sent message again, as after a crash before the job was settled.
func TestSentOnceForTheReceiver(t *testing.T) {
	times := 0
	o, m := answered(t, func(n int, _ Outbound) (Receipt, error) { times = n; return Receipt{}, nil })
	for _, j := range []string{m.ID.String(), m.ID.String()} {
		must(t, o.Jobs()[0].Work(as(t, access.System), jobOf(j)))
	}
	if times != 1 {
		t.Errorf("sent %d times", times)
	}
	wantKind(t, "job of nothing", o.Jobs()[0].Work(as(t, access.System), jobOf("x")), "invalid")
	wantKind(t, "job of a message that is erased", o.Jobs()[0].Work(as(t, access.System), jobOf(m.Conversation.String())), "")
	o.SetSender(nil)
	m, err := o.Reply(as(t, access.Owner), m.Conversation, Reply{Text: "x"})
	must(t, err)
	wantKind(t, "job without a sender", o.Jobs()[0].Work(as(t, access.System), jobOf(m.ID.String())), "unavailable")
}
