package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
	"github.com/wneessen/go-mail/smtp"
)

// Sentences for an answer that did not leave.
const (
	keySendLater       = "mail.send-later"
	keyRefused         = "mail.refused"
	keyNoSuchRecipient = "mail.no-such-recipient"
)

// Send sends one answer. It returns when the mail server has taken it and that is written down, so that a second call
// for the same message sends nothing.
func (c *channel) Send(ctx context.Context, h sdk.Host, out sdk.Outgoing) (sdk.Receipt, error) {
	s, ok := c.current()
	if !ok {
		return sdk.Receipt{}, sdk.Temporary(keySettingMissing, nil)
	}
	before, done, err := c.sentKeys.claim(out.IdempotencyKey)
	if err != nil {
		return sdk.Receipt{}, sdk.Temporary(keyDisk, err)
	}
	if done {
		return sdk.Receipt{ExternalID: before.ExternalID, At: before.At}, nil
	}
	defer c.sentKeys.release(out.IdempotencyKey)
	mail := newSpool(c.dir)
	recipient, err := compose(s, out, time.Now(), mail)
	if err != nil {
		mail.close()
		return sdk.Receipt{}, err
	}
	if err := c.transmit(ctx, h, s, recipient, mail); err != nil {
		mail.close()
		return sdk.Receipt{}, c.failed(ctx, h, s, err)
	}
	c.condition.sent(ctx, h, healthy(s.address))
	k := sentKey{Key: out.IdempotencyKey, ExternalID: bareID(out.ExternalID), At: time.Now().UTC()}
	if err := c.sentKeys.add(k); err != nil {
		// The mail is on its way: to report failure would have it sent again for certain.
		h.Log().Error("a sent mail could not be written down", "error", err)
	}
	c.offerCopy(&sentCopy{id: k.ExternalID, mail: mail})
	return sdk.Receipt{ExternalID: k.ExternalID, At: k.At}, nil
}

// transmit hands the mail to the submission server.
func (c *channel) transmit(ctx context.Context, h sdk.Host, s settings, recipient string, mail *spool) error {
	conn, err := dial(ctx, h, s.smtp, c.pace.patience)
	if err != nil {
		return err
	}
	conn = &patientConn{conn, c.pace.patience}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client, err := openSMTP(ctx, s, conn)
	if err != nil {
		return err
	}
	client.SkipSMTPUTF8(ascii(s.address) && ascii(recipient)) // asked for needlessly, it makes servers bounce
	if err := client.Mail("<" + s.address + ">"); err != nil {
		return fmt.Errorf("name the sender: %w", err)
	}
	if err := client.Rcpt("<" + recipient + ">"); err != nil {
		return &recipientError{err}
	}
	w, err := client.Data()
	if err != nil {
		return fmt.Errorf("begin the mail: %w", err)
	}
	if _, err := io.Copy(w, mail.open()); err != nil {
		return fmt.Errorf("send the mail: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end the mail: %w", err)
	}
	// From here on the server answers for the mail, whatever becomes of the connection.
	_ = client.Quit()
	return nil
}

// openSMTP greets the server, begins TLS and logs in. Without TLS nothing is said that matters.
func openSMTP(ctx context.Context, s settings, conn net.Conn) (*smtp.Client, error) {
	e := s.smtp
	if !e.starttls {
		secure := tls.Client(conn, e.tls(s.roots))
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("begin TLS with %s: %w", e.addr(), err)
		}
		conn = secure
	}
	client, err := smtp.NewClient(conn, e.host)
	if err != nil {
		return nil, fmt.Errorf("wait for the greeting of %s: %w", e.addr(), err)
	}
	_, domain, _ := cutLast(s.address, "@")
	if err := client.Hello(domain); err != nil {
		return nil, fmt.Errorf("greet %s: %w", e.addr(), err)
	}
	if e.starttls {
		if offered, _ := client.Extension("STARTTLS"); !offered {
			return nil, &trouble{keyNoTLS, errors.New("the server offers no STARTTLS")}
		}
		if err := client.StartTLS(e.tls(s.roots)); err != nil {
			return nil, fmt.Errorf("begin TLS with %s: %w", e.addr(), err)
		}
	}
	if err := client.Auth(loginMethod(client, e)); err != nil {
		return nil, loginError(err)
	}
	return client, nil
}

// loginMethod picks a way to log in. Under TLS the plain ones are as good as any and understood by all.
func loginMethod(client *smtp.Client, e endpoint) smtp.Auth {
	_, offered := client.Extension("AUTH")
	has := func(name string) bool { return strings.Contains(" "+strings.ToUpper(offered)+" ", " "+name+" ") }
	switch {
	case has("PLAIN"):
	case has("LOGIN"):
		return smtp.LoginAuth(e.user, e.password, e.host, false)
	case has("SCRAM-SHA-256"):
		return smtp.ScramSHA256Auth(e.user, e.password)
	case has("CRAM-MD5"):
		return smtp.CRAMMD5Auth(e.user, e.password)
	}
	return smtp.PlainAuth("", e.user, e.password, e.host, false)
}

func loginError(err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code >= 500 {
		return &trouble{keyLoginRefused, reply}
	}
	return fmt.Errorf("log in: %w", err)
}

// recipientError is the server's answer to the recipient's address.
type recipientError struct{ err error }

// Error describes the error for a log.
func (e *recipientError) Error() string { return "name the recipient: " + e.err.Error() }

// Unwrap gives what lies beneath.
func (e *recipientError) Unwrap() error { return e.err }

// failed turns an error of transmit into what the host is to do, and tells the administrator when it is for him.
func (c *channel) failed(ctx context.Context, h sdk.Host, s settings, err error) error {
	var reply *textproto.Error
	var known *trouble
	if errors.As(err, &reply) && !errors.As(err, &known) {
		if reply.Code < 500 {
			return sdk.Temporary(keySendLater, reply)
		}
		var recipient *recipientError
		if errors.As(err, &recipient) && unknownRecipient(reply) {
			return sdk.Permanent(keyNoSuchRecipient, reply)
		}
		return sdk.Permanent(keyRefused, reply)
	}
	t := troubleOf(err, keySendLater)
	switch t.key {
	case keyLoginRefused, keyCertificate, keyNoTLS, keyHostUnknown, keyConnectionRefused:
		if ctx.Err() == nil {
			c.condition.sent(ctx, h, healthOf(s.address, s.smtp, t))
		}
	}
	switch t.key {
	case keyLoginRefused, keyCertificate, keyNoTLS:
		return sdk.Temporary(t.key, err)
	}
	return sdk.Temporary(keySendLater, err)
}

// statusCode is RFC 3463's: class, subject, detail.
var statusCode = regexp.MustCompile(`^5\.(\d{1,3})\.(\d{1,3})\b`)

// unknownRecipient tells an address that does not exist from one that is refused for another reason.
func unknownRecipient(reply *textproto.Error) bool {
	if m := statusCode.FindStringSubmatch(reply.Msg); m != nil {
		return m[1] == "1"
	}
	return reply.Code == 550 || reply.Code == 551
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// patientConn gives every read and write a deadline of its own: a big mail over a thin line may take long, silence may
// not.
type patientConn struct {
	net.Conn
	patience time.Duration
}

// Read reads with a deadline.
func (c *patientConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write writes with a deadline.
func (c *patientConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
