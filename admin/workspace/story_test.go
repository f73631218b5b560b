package workspace_test

import (
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/task"
)

// day is an office in the middle of its day: customers with names in three alphabets, mails answered and not.
type day struct {
	*office
	cohen   contact.Contact
	boiler  inbox.Conversation // waits, with a quoted and formatted mail and files
	invoice inbox.Conversation // answered
	failed  inbox.Conversation // the answer could not be sent
}

func aDay(o *office) *day {
	d := &day{office: o}
	owner, agent := o.people[access.Owner].ID, o.people[access.Agent].ID
	now := o.clock.now()
	o.clock.set(now.Add(-90 * 24 * time.Hour))
	d.cohen = o.customer(record.Values{"name": "משה כהן", "kind": "person", "company": "כהן ובניו בע״מ", "phones": []string{"050-123-4567", "03-6123456"},
		"emails": []string{"moshe@cohen.example"}, "city": "חיפה", "address": "הרצל 12, דירה 4", "note": "מעדיף שיחה בבוקר.\nלא בשבת.", "owner": owner})
	for _, v := range []record.Values{
		{"name": "Анна Иванова", "kind": "person", "phones": []string{"054-7654321"}, "emails": []string{"anna@ivanova.example"}, "city": "אשדוד", "owner": agent},
		{"name": "Cohen & Partners Ltd.", "kind": "company", "phones": []string{"+44 20 7946 0958"}, "emails": []string{"office@partners.example"}, "city": "London", "owner": owner},
		{"name": "רחל אברהם", "kind": "person", "phones": []string{"052-9876543"}, "city": "תל אביב"},
		{"name": "Дмитрий Коэн", "kind": "person", "emails": []string{"dk@mail.example"}, "city": "Москва", "owner": agent},
		{"name": "Ruth O'Connor-Whitfield of the Very Long Name Indeed", "kind": "person", "emails": []string{"ruth.oconnor-whitfield@a-rather-long-domain-name.example"}},
	} {
		o.customer(v)
	}
	o.clock.set(now)
	o.mails(d)
	o.toil(d)
	return d
}

// toil is what is done for משה כהן: a task that is late, one for later, one that was done, a deal on its way and one that
// was won, after he had come as a lead.
func (o *office) toil(d *day) {
	o.t.Helper()
	owner, now := o.as(access.Owner), o.clock.now()
	at := func(ago time.Duration) { o.clock.set(now.Add(-ago)) }
	defer o.clock.set(now)
	at(20 * 24 * time.Hour)
	lead := must[deal.Lead](o.t)(o.deals.CreateLead(owner, "", record.Values{"name": "משה כהן", "source": "referral"}))
	at(19 * 24 * time.Hour)
	must[deal.Lead](o.t)(o.deals.Convert(owner, lead.ID, lead.Version, deal.Conversion{Contact: d.cohen.ID, Title: "דוד שמש חדש"}))
	won := must[[]deal.Deal](o.t)(o.deals.Of(owner, d.cohen.ID, 1))[0]
	won = must[deal.Deal](o.t)(o.deals.Change(owner, won.ID, won.Version, record.Values{"value": "12400"}))
	at(10 * 24 * time.Hour)
	o.move(won, deal.Won)
	at(4 * time.Hour)
	must[deal.Deal](o.t)(o.deals.Create(owner, record.Values{"title": "Service contract 2027", "contact": d.cohen.ID, "value": "1800.50 USD", "expected_close": now.AddDate(0, 0, 20).Format(time.DateOnly)}))
	must[task.Task](o.t)(o.tasks.Create(owner, record.Values{"title": "להתקשר ולתאם טכנאי", "contact": d.cohen.ID, "kind": task.Call, "due": now.Add(-2 * time.Hour)}))
	must[task.Task](o.t)(o.tasks.Create(owner, record.Values{"title": "Выслать договор (по-русски)", "contact": d.cohen.ID, "kind": task.Mail, "due": now.Add(50 * time.Hour), "assignee": o.people[access.Agent].ID}))
	done := must[task.Task](o.t)(o.tasks.Create(owner, record.Values{"title": "Check the warranty", "contact": d.cohen.ID}))
	at(time.Hour)
	must[task.Task](o.t)(o.tasks.Finish(owner, done.ID))
}

// move brings a deal into the first stage of a kind.
func (o *office) move(d deal.Deal, kind string) {
	o.t.Helper()
	for _, s := range must[deal.Pipeline](o.t)(o.deals.Pipeline(o.system, d.Pipeline)).Stages {
		if s.Kind == kind {
			must[deal.Deal](o.t)(o.deals.Move(o.as(access.Owner), d.ID, d.Version, s.ID, ""))
			return
		}
	}
}

func (o *office) mails(d *day) {
	d.failed = o.receive(6*24*time.Hour, inbox.Inbound{From: inbox.Party{Handle: "dk@mail.example", Name: "Дмитрий Коэн"}, Subject: "Договор",
		Text: "Добрый день!\n\nПришлите, пожалуйста, договор."})
	o.post.failing(fault.New(fault.Forbidden, "failure.too-large.text"))
	o.reply(d.failed, "Договор во вложении.", 5*24*time.Hour)
	o.until(func() bool { return o.last(d.failed).State == inbox.Failed })
	o.post.failing(nil)

	d.invoice = o.receive(27*time.Hour, inbox.Inbound{From: inbox.Party{Handle: "office@partners.example", Name: "Jane Partner"}, Subject: "Invoice 2291",
		Text: "Hello,\n\nplease see https://partners.example/invoices/2291?x=1&y=2.\n\nJane"})
	o.reply(d.invoice, "Thank you, it is paid.", 26*time.Hour)
	o.until(func() bool { return o.last(d.invoice).State == inbox.Sent })

	o.receive(26*time.Hour, inbox.Inbound{From: inbox.Party{Handle: "anna@ivanova.example", Name: "Анна Иванова"}, Subject: "Когда придёт мастер?",
		Text: "Здравствуйте! Жду ответа со вчерашнего дня."})
	o.receive(5*time.Hour, inbox.Inbound{From: inbox.Party{Handle: "ruth.oconnor-whitfield@a-rather-long-domain-name.example"}, Subject: "A question about a subject line that is much longer than any list can show on one line",
		Text: "Dear all, I have a question which is also rather long, and goes on and on before it comes to the point."})
	d.boiler = o.receive(3*time.Hour, inbox.Inbound{From: inbox.Party{Handle: "moshe@cohen.example", Name: "משה כהן"}, Subject: "הדוד דולף", ExternalID: "boiler-1@cohen.example",
		Text: "שלום,\n\nהדוד דולף מאתמול. אפשר לתאם טכנאי?\nהטלפון שלי 050-123-4567."})
	o.reply(d.boiler, "שלום משה,\nטכנאי יגיע היום בין 14:00 ל־16:00.", 2*time.Hour)
	o.until(func() bool { return o.last(d.boiler).State == inbox.Sent })
	d.boiler = o.receive(40*time.Minute, inbox.Inbound{From: inbox.Party{Handle: "moshe@cohen.example", Name: "משה כהן"}, Subject: "Re: הדוד דולף", InReplyTo: []string{"boiler-1@cohen.example"},
		Text:        "תודה! מצרף תמונה.\n\nבתאריך יום א׳, 22 בנוב׳ 2026 ב־12:00 מאת המשרד <office@karov.example>:\n> שלום משה,\n> טכנאי יגיע היום.\n",
		HTML:        `<div dir="rtl"><p>תודה! <b>מצרף</b> תמונה.</p><script>parent.hacked=1</script><img src="https://evil.example/pixel.gif"><a href="javascript:alert(1)">x</a><a href="https://cohen.example/">האתר</a></div>`,
		Attachments: []inbox.Attachment{o.keep("דוד.jpg", "image/jpeg", "not really a picture"), o.keep("../../evil\u202egpj.html", "text/html", "<script>alert(1)</script>")}})
}

func (o *office) reply(c inbox.Conversation, text string, ago time.Duration) {
	o.t.Helper()
	now := o.clock.now()
	o.clock.set(now.Add(-ago))
	_, err := o.inbox.Reply(o.as(access.Owner), c.ID, inbox.Reply{Text: text})
	o.clock.set(now)
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) last(c inbox.Conversation) inbox.Message {
	o.t.Helper()
	messages, _, err := o.inbox.Messages(o.system, c.ID, record.ID{}, 10)
	if err != nil || len(messages) == 0 {
		o.t.Fatalf("messages: %v %v", messages, err)
	}
	return messages[len(messages)-1]
}

func (o *office) until(ok func() bool) {
	o.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	o.t.Fatal("it never came to be")
}
