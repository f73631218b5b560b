package inbox

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// maxBody is how much of a text or HTML body stands in the message; the original is kept whole as a blob.
const maxBody = 1 << 20

// Receive takes one message that a channel brought. When it returns nil the message is durable; a message that is here
// already changes nothing but the channel's cursor. It is for plugins: permission "receive:message".
func (r *Room) Receive(ctx context.Context, in Inbound) error {
	if err := r.gate.Require(ctx, access.Receive, access.Object{Entity: "message"}); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	in.ExternalID = plainID(in.ExternalID)
	return r.book.Update(ctx, func(tx store.Tx) error {
		if in.Cursor != "" {
			tx.Bucket(cursorsBucket).Put([]byte(in.Channel+"\x00"+in.Account), []byte(in.Cursor))
		}
		seen, key := tx.Bucket(seenBucket), seenKey(in.Channel, in.Account, in.ExternalID)
		if seen.Get(key) != nil || seen.Get(erasedKey(key)) != nil {
			return nil
		}
		who, err := r.contacts.ResolveTx(ctx, tx, in.Channel, in.From.Handle, oneLine(in.From.Name, 300))
		if err != nil {
			return err
		}
		conversation, err := r.threadTx(ctx, tx, in, who)
		if err != nil {
			return err
		}
		message, err := r.keepTx(ctx, tx, in, who, conversation)
		if err != nil {
			return err
		}
		seen.Put(key, message[:])
		// An id that leads somewhere already goes on leading there: a stranger who takes the id of somebody's message
		// for his own must not draw the answers to it out of their conversation.
		if threads, at := tx.Bucket(threadsBucket), threadKey(in.Channel, in.ExternalID); threads.Get(at) == nil {
			threads.Put(at, conversation[:])
		}
		return r.contacts.HeardTx(ctx, tx, who, r.now())
	})
}

// check refuses what no channel may bring.
func (in *Inbound) check() error {
	var wrong []fault.Field
	for name, value := range map[string]string{"channel": in.Channel, "account": in.Account, "external_id": in.ExternalID, "from": in.From.Handle} {
		if value == "" {
			wrong = append(wrong, fault.Field{Name: name, Key: "field.required"})
		} else if len(value) > 2000 || strings.Contains(value, "\x00") {
			wrong = append(wrong, fault.Field{Name: name, Key: "field.too-long", Params: map[string]string{"limit": "2000"}})
		}
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b fault.Field) int { return strings.Compare(a.Name, b.Name) })
		return &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: wrong}
	}
	return nil
}

// answered are the ids that the message answers, as far as they are worth remembering.
func (in *Inbound) answered() (ids []string) {
	for _, id := range in.InReplyTo {
		if id != "" && len(ids) < 50 {
			ids = append(ids, plainID(id))
		}
	}
	return ids
}

func seenKey(channel, account, externalID string) []byte {
	return []byte(channel + "\x00" + account + "\x00" + externalID)
}

// plainID is a channel's id of a message in the form in which it stands in the message and in the keys: one that is very
// long, or has signs that a field of text would not keep as they are, is known by its hash.
func plainID(id string) string {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(id) <= 900 && !strings.ContainsFunc(id, odd) {
		return id
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(id)))
}

func threadKey(channel, externalID string) []byte { return []byte(channel + "\x00" + externalID) }

// threadTx finds the conversation a message belongs to: that of a message it answers, if it is this customer's. Knowing
// the id of somebody's message must not let a stranger write into his conversation. Otherwise it opens a new one.
func (r *Room) threadTx(ctx context.Context, tx store.Tx, in Inbound, who record.ID) (record.ID, error) {
	for _, id := range in.answered() {
		raw := tx.Bucket(threadsBucket).Get(threadKey(in.Channel, id))
		if len(raw) != 16 {
			continue
		}
		c, err := r.book.Raw(tx, "conversation", record.ID(raw))
		if err == nil && c.Link("contact") == who {
			return c.ID, r.continueTx(ctx, tx, c, in)
		}
	}
	values := record.Values{"contact": who, "subject": oneLine(in.Subject, 900), "channel": in.Channel, "account": in.Account,
		"state": Open, "last_at": r.now(), "last_text": excerpt(in.Text), "handle": in.From.Handle}
	if !in.Automatic {
		values["waiting_since"] = r.now()
	}
	c, err := r.book.CreateTx(ctx, tx, record.Change{Entity: "conversation", Values: values, Inside: true,
		Fact: "conversation.opened", About: map[string]string{"channel": in.Channel}})
	return c.ID, err
}

// continueTx puts a further message of the customer into a conversation, and opens it again when it was closed.
func (r *Room) continueTx(ctx context.Context, tx store.Tx, c record.Record, in Inbound) error {
	values := record.Values{"last_at": r.now(), "last_text": excerpt(in.Text), "handle": in.From.Handle}
	if !in.Automatic {
		values["state"] = Open
		if c.Time("waiting_since").IsZero() {
			values["waiting_since"] = r.now()
		}
	}
	fact := "-"
	if c.Text("state") == Closed && !in.Automatic {
		fact = "conversation.reopened"
	}
	_, err := r.book.ChangeTx(ctx, tx, record.Change{Entity: "conversation", ID: c.ID, Values: values, Inside: true, Fact: fact})
	return err
}

func (r *Room) keepTx(ctx context.Context, tx store.Tx, in Inbound, who, conversation record.ID) (record.ID, error) {
	notice := in.Notice
	text, cutText := cut(in.Text)
	html, cutHTML := cut(in.HTML)
	if notice == "" && (cutText || cutHTML) {
		notice = "message.cut"
	}
	values := record.Values{"contact": who, "conversation": conversation, "direction": "in", "channel": in.Channel,
		"account": in.Account, "parties": parties{From: in.From, To: in.To, CC: in.CC}, "subject": oneLine(in.Subject, 900),
		"text": text, "html": html, "sent_at": sane(in.SentAt), "state": Received, "external_id": in.ExternalID,
		"references": in.answered(), "raw": in.Raw, "automatic": in.Automatic, "notice": oneLine(notice, 200)}
	if len(in.Attachments) > 0 {
		values["attachments"] = in.Attachments
	}
	m, err := r.book.CreateTx(ctx, tx, record.Change{Entity: "message", Values: values, Inside: true,
		Fact: "message.received", About: map[string]string{"channel": in.Channel, "conversation": conversation.String()}})
	return m.ID, err
}

// Cursor is how far the plugin of a channel is in an account, "" before its first message.
func (r *Room) Cursor(ctx context.Context, channel, account string) (cursor string, err error) {
	if err := r.gate.Require(ctx, access.Receive, access.Object{Entity: "message"}); err != nil {
		return "", err
	}
	err = r.book.View(ctx, func(tx store.Tx) error {
		cursor = string(tx.Bucket(cursorsBucket).Get([]byte(channel + "\x00" + account)))
		return nil
	})
	return cursor, err
}

// SaveCursor keeps a cursor without a message.
func (r *Room) SaveCursor(ctx context.Context, channel, account, cursor string) error {
	if err := r.gate.Require(ctx, access.Receive, access.Object{Entity: "message"}); err != nil {
		return err
	}
	return r.book.Update(ctx, func(tx store.Tx) error {
		tx.Bucket(cursorsBucket).Put([]byte(channel+"\x00"+account), []byte(cursor))
		return nil
	})
}

// oneLine makes a foreign text fit a text field: valid UTF-8, one line, at most limit bytes.
func oneLine(s string, limit int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// cut makes a foreign body valid UTF-8 of at most maxBody bytes.
func cut(s string) (string, bool) {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= maxBody {
		return s, false
	}
	s = s[:maxBody]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s, true
}

// excerpt is the beginning of a text in one line, without what it quotes and the line that introduces the quotation
// ("On Sunday Dana wrote:", in whatever language: it ends with a colon).
func excerpt(text string) string {
	var kept []string
	size := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, ">") {
			if last := len(kept) - 1; last > 0 && strings.HasSuffix(kept[last], ":") {
				kept = kept[:last]
			}
			continue
		}
		if line == "" {
			continue
		}
		kept = append(kept, line)
		if size += len(line); size > 600 {
			break
		}
	}
	return oneLine(strings.Join(kept, " "), 300)
}

// sane drops a moment that no mail was written at: years below 1970 or above 9999 do not stand in JSON.
func sane(t time.Time) time.Time {
	if y := t.Year(); y < 1970 || y > 9998 {
		return time.Time{}
	}
	return t
}
