package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/appliancetest"
	"github.com/karov-crm/karov/plugins/email/mailtest"
)

const emailPlugin = "il.karov.email"

// connect gives the plugin the office's mailbox on a test server.
func connect(a *appliancetest.Appliance, s *mailtest.Server, secret string) {
	a.Karov(secret+"\n", "plugin", "configure", emailPlugin, "account.address="+mailtest.Office, "account.name=The Office",
		"imap.host="+s.Host, "imap.security=tls", "imap.port="+strconv.Itoa(s.IMAPSPort), "imap.user="+mailtest.Office,
		"smtp.host="+s.Host, "smtp.security=starttls", "smtp.port="+strconv.Itoa(s.SubmissionPort), "smtp.user="+mailtest.Office,
		"tls.ca-file="+s.CAFile, "--secret", "imap.password")
}

// letter is a mail as a customer's program sends it. Header lines come before the text.
func letter(id, subject, text string, header ...string) []byte {
	lines := append([]string{"From: =?utf-8?B?15DXnNeZ16HXlA==?= <" + mailtest.Customer + ">", "To: " + mailtest.Office,
		"Subject: " + subject, "Date: " + time.Now().Format(time.RFC1123Z), "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8"}, header...)
	if id != "" {
		lines = append(lines, "Message-ID: <"+id+">")
	}
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + text + "\r\n")
}

// message is a message as the API shows it.
type message struct {
	ID, Text, Subject, Direction, State, Conversation, Contact string
	Failure                                                    *struct{ Key, Detail string }
}

// timeline gives the messages on a customer's timeline, newest first.
func timeline(a *appliancetest.Appliance, contact string) (messages []message) {
	var page struct{ Items []struct{ Record *message } }
	a.Get("/api/v1/records/contact/"+contact+"/timeline", &page)
	for _, item := range page.Items {
		if item.Record != nil {
			messages = append(messages, *item.Record)
		}
	}
	return messages
}

// find gives the ids of the customers that a lookup finds.
func find(a *appliancetest.Appliance, query string) (ids []string) {
	var page struct{ Items []struct{ ID string } }
	a.Get("/api/v1/search?q="+query, &page)
	for _, item := range page.Items {
		ids = append(ids, item.ID)
	}
	return ids
}

// TestMailStory walks the whole way: a known customer writes, is answered, answers back; a stranger writes; the same
// mail comes twice; the plugin is killed meanwhile.
func TestMailStory(t *testing.T) {
	server := mailtest.Start(t)
	a := appliancetest.Start(t)
	var known struct{ ID string }
	a.Post("/api/v1/records/contact", map[string]any{"name": "Alice Cohen", "emails": []string{"Alice@CRM.test"}}, &known)
	connect(a, server, mailtest.OfficeSecret)

	began := time.Now()
	server.Deliver(t, letter("q1@customer.test", "Price of a triangle", "How much is one?\r\n\r\nAlice"))
	a.Until("the mail is on the customer's card", func() bool { return len(timeline(a, known.ID)) == 1 })
	t.Logf("from the mail server to the customer's card in %s", time.Since(began).Round(time.Millisecond))
	question := timeline(a, known.ID)[0]
	if question.Direction != "in" || question.Subject != "Price of a triangle" || !strings.Contains(question.Text, "How much is one?") {
		t.Fatalf("the message on the card: %+v", question)
	}

	a.Post("/api/v1/conversations/"+question.Conversation+"/messages", map[string]string{"text": "Forty shekels.\n\nשלום"}, nil)
	received := server.WaitMail(t, mailtest.Customer, 1)[0]
	answer, err := mail.ReadMessage(bytes.NewReader(received))
	if err != nil {
		t.Fatal(err)
	}
	header := answer.Header
	t.Logf("the answer as the mail server received it:\nFrom: %s\nTo: %s\nSubject: %s\nMessage-ID: %s\nIn-Reply-To: %s\nReferences: %s",
		header.Get("From"), header.Get("To"), header.Get("Subject"), header.Get("Message-Id"), header.Get("In-Reply-To"), header.Get("References"))
	if header.Get("In-Reply-To") != "<q1@customer.test>" || !strings.Contains(header.Get("References"), "<q1@customer.test>") || header.Get("Subject") != "Re: Price of a triangle" {
		t.Errorf("the answer does not belong to its question: %v", header)
	}
	a.Until("the answer is marked as sent", func() bool { return timeline(a, known.ID)[0].State == "sent" })

	id := strings.Trim(header.Get("Message-Id"), "<>")
	again := letter("q2@customer.test", "Re: Price of a triangle", "I take two.", "In-Reply-To: <"+id+">", "References: <q1@customer.test> <"+id+">")
	server.Deliver(t, again)
	a.Until("the customer's answer is on the card", func() bool { return len(timeline(a, known.ID)) == 3 })
	if last := timeline(a, known.ID)[0]; last.Conversation != question.Conversation {
		t.Errorf("the customer's answer opened another conversation")
	}

	server.Deliver(t, again)
	server.DeliverFrom(t, "new@stranger.test", mailtest.Office, bytes.ReplaceAll(letter("s1@stranger.test", "Hello", "I am new."), []byte(mailtest.Customer), []byte("new@stranger.test")))
	a.Until("a stranger becomes a customer", func() bool { return len(find(a, "new@stranger.test")) == 1 })
	if n := len(timeline(a, known.ID)); n != 3 {
		t.Errorf("the same mail again made %d messages, want 3", n)
	}
	killPluginWhileMailComes(t, a, server)
}

// killPluginWhileMailComes ends the plugin with mails on the way: it comes back, and each mail is there once.
func killPluginWhileMailComes(t *testing.T, a *appliancetest.Appliance, server *mailtest.Server) {
	before := a.Total("message")
	const mails = 20
	for i := range mails {
		server.Deliver(t, letter(fmt.Sprintf("burst%d@customer.test", i), fmt.Sprintf("Burst %d", i), "x"))
		if i == 5 || i == 12 {
			if pid := a.Plugin(emailPlugin).PID; pid > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL) // one that just fell is as good
			}
		}
	}
	a.Until("every mail is here", func() bool { return a.Total("message") >= before+mails })
	p := a.Plugin(emailPlugin)
	if n := a.Total("message"); n != before+mails || p.Restarts == 0 {
		t.Errorf("%d new messages of %d mails, %d restarts", n-before, mails, p.Restarts)
	}
}

// TestAnswerWaitsForItsServer: an answer that cannot leave is shown with its reason, survives a kill of the daemon, and
// leaves once the server is back, once.
func TestAnswerWaitsForItsServer(t *testing.T) {
	server := mailtest.Start(t)
	a := appliancetest.Start(t)
	connect(a, server, mailtest.OfficeSecret)
	server.Deliver(t, letter("w1@customer.test", "Question", "?"))
	a.Until("the mail came in", func() bool { return a.Total("message") == 1 })
	contact := find(a, mailtest.Customer)[0]
	server.StopPostfix(t)
	conversation := timeline(a, contact)[0].Conversation
	a.Post("/api/v1/conversations/"+conversation+"/messages", map[string]string{"text": "Answer"}, nil)
	a.Until("the failure is shown", func() bool {
		m := timeline(a, contact)[0]
		return m.State == "retrying" && m.Failure != nil && m.Failure.Key != ""
	})
	a.Kill()
	server.StartPostfix(t)
	a.Start()
	got := server.WaitMail(t, mailtest.Customer, 1)
	a.Until("it is marked as sent", func() bool { return timeline(a, contact)[0].State == "sent" })
	if len(got) != 1 {
		t.Errorf("the answer came %d times", len(got))
	}
}

// TestWrongMailPassword: the administrator reads why no mail comes, and the mail server is not hammered.
func TestWrongMailPassword(t *testing.T) {
	server := mailtest.Start(t)
	a := appliancetest.Start(t)
	connect(a, server, "not the password")
	a.Until("the refusal is told", func() bool {
		accounts := a.Plugin(emailPlugin).Accounts
		return len(accounts) > 0 && !accounts[0].OK && accounts[0].Words["en"] != "" && accounts[0].Words["he"] != ""
	})
	t.Log(a.Karov("", "plugin", "list"))
	if n := server.RefusedLogins(); n > 4 {
		t.Errorf("%d attempts to sign in", n)
	}
	connect(a, server, mailtest.OfficeSecret)
	server.Deliver(t, letter("p1@customer.test", "Now", "?"))
	a.Until("with the right password mail comes", func() bool { return a.Total("message") == 1 })
}

// TestHostileMail: what programs and attackers send becomes messages, and the daemon stays up.
func TestHostileMail(t *testing.T) {
	server := mailtest.Start(t)
	a := appliancetest.Start(t)
	connect(a, server, mailtest.OfficeSecret)
	html := []byte(strings.Replace(string(letter("h1@customer.test", "Scripts", "<b>hi</b><script>alert(1)</script><img src=http://tracker.test/x onerror=alert(2)>")), "text/plain", "text/html", 1))
	attachment := letter("h2@customer.test", "Big", "--b\r\nContent-Type: text/plain\r\n\r\nsee file\r\n--b\r\nContent-Type: application/octet-stream; name=big.bin\r\n"+
		"Content-Disposition: attachment; filename=big.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"+strings.Repeat(strings.Repeat("QUJD", 18)+"\r\n", 30<<20/54)+"--b--")
	attachment = bytes.Replace(attachment, []byte("text/plain; charset=utf-8"), []byte("multipart/mixed; boundary=b"), 1)
	for _, raw := range [][]byte{
		letter("", "No id", "Without Message-ID"),
		bytes.Replace(letter("h0@customer.test", "Charset", "\xf9\xec\xe5\xed"), []byte("charset=utf-8"), []byte("charset=windoze-1255"), 1),
		html, attachment,
	} {
		server.Deliver(t, raw)
	}
	a.Until("all are here", func() bool { return a.Total("message") == 4 })
	var page struct {
		Items []struct {
			Subject, Text string
			Attachments   []struct {
				Name string
				Size int64
			}
		}
	}
	a.Get("/api/v1/records/message?limit=10", &page)
	for _, m := range page.Items {
		if strings.Contains(m.Text, "alert") {
			t.Errorf("a script became text: %q", m.Text)
		}
		if m.Subject == "Big" && (len(m.Attachments) != 1 || m.Attachments[0].Name != "big.bin" || m.Attachments[0].Size < 29<<20) {
			t.Errorf("the attachment: %+v", m.Attachments)
		}
		if m.Subject == "Charset" && !strings.Contains(m.Text, "שלום") {
			t.Errorf("a broken charset reads %q", m.Text)
		}
	}
	if answer, err := a.Request(t.Context(), http.MethodGet, "/healthz", nil); err != nil || answer.Status != http.StatusOK {
		t.Errorf("healthz: %d, %v", answer.Status, err)
	}
}
