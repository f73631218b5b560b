package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// sentCopy is a sent mail on its way into the folder of sent mail, where the office's other programs show it.
type sentCopy struct {
	id   string
	mail *spool
}

// offerCopy hands a sent mail to the receiver, which has a line to the mailbox. It keeps the mail only when the
// receiver can take it: a copy is a courtesy.
func (c *channel) offerCopy(s *sentCopy) {
	select {
	case c.copies <- s:
	default:
		s.mail.close()
	}
}

// keepCopies files the copies that wait.
func (r *receiver) keepCopies(line *imapLine) {
	for _, c := range line.kept {
		r.keepCopy(line, c)
	}
	line.kept = nil
	for {
		select {
		case c := <-r.copies:
			r.keepCopy(line, c)
		default:
			return
		}
	}
}

// keepCopy files one copy. Nothing depends on it, so trouble goes to the log.
func (r *receiver) keepCopy(line *imapLine, c *sentCopy) {
	defer c.mail.close()
	if savesSentMail(line, r.settings.smtp.host) {
		return
	}
	if err := line.file(c.mail); err != nil {
		r.host.Log().Info("no copy of a sent mail was kept", "id", c.id, "error", err)
	}
}

// savesSentMail knows the providers that file what they send by themselves.
func savesSentMail(line *imapLine, smtpHost string) bool {
	host := strings.ToLower(smtpHost)
	return line.client.Caps().Has("X-GM-EXT-1") ||
		strings.HasSuffix(host, ".office365.com") || strings.HasSuffix(host, ".outlook.com")
}

// file puts a mail into the folder that the server names for sent mail.
func (l *imapLine) file(mail *spool) error {
	defer l.guard()()
	folders, err := l.client.List("", "*", nil).Collect()
	if err != nil {
		return fmt.Errorf("list the folders: %w", err)
	}
	i := slices.IndexFunc(folders, func(f *imap.ListData) bool { return slices.Contains(f.Attrs, imap.MailboxAttrSent) })
	if i < 0 {
		return errors.New("the server names no folder for sent mail")
	}
	cmd := l.client.Append(folders[i].Mailbox, mail.size, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
	_, copyErr := io.Copy(cmd, mail.open())
	if copyErr != nil {
		l.close() // half a literal was announced: nothing sensible can follow
		return fmt.Errorf("file the mail: %w", copyErr)
	}
	if err := cmd.Close(); err != nil {
		return fmt.Errorf("file the mail: %w", err)
	}
	if _, err := cmd.Wait(); err != nil {
		return fmt.Errorf("file the mail: %w", err)
	}
	return nil
}
