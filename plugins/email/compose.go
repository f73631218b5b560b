package main

import (
	"fmt"
	"html"
	"io"
	"mime"
	"net/mail"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"
)

// Sentences for an answer that cannot be made into a mail.
const (
	keyBadAddress = "mail.bad-address"
	keyBadHeader  = "mail.bad-header"
	keyNoFile     = "mail.attachment-unreadable"
)

// compose writes the mail for an answer to w. The error is one of sdk's.
func compose(s settings, out sdk.Outgoing, now time.Time, w io.Writer) (recipient string, err error) {
	if err := checkHeader(out); err != nil {
		return "", err
	}
	recipient, err = mailAddress(out.To.Handle)
	if err != nil {
		return "", sdk.Permanent(keyBadAddress, err)
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	// Not the library's FromFormat: it puts names between quotes as they are.
	m.FromMailAddress(&mail.Address{Name: s.name, Address: s.address})
	m.ToMailAddress(&mail.Address{Name: out.To.Name, Address: recipient})
	m.Subject(out.Subject)
	m.SetDateWithValue(now)
	m.SetMessageIDWithValue(bareID(out.ExternalID))
	if out.InReplyTo != "" {
		m.SetGenHeader(gomail.HeaderInReplyTo, "<"+bareID(out.InReplyTo)+">")
	}
	if len(out.References) > 0 {
		ids := make([]string, len(out.References))
		for i, id := range out.References {
			ids[i] = "<" + bareID(id) + ">"
		}
		m.SetGenHeader(gomail.HeaderReferences, strings.Join(ids, " "))
	}
	m.SetBodyString(gomail.TypeTextPlain, out.Text)
	m.AddAlternativeString(gomail.TypeTextHTML, page(out.Text))
	m.SetAttachments(files(out.Attachments))
	if _, err := m.WriteTo(w); err != nil {
		return "", sdk.Temporary(keyNoFile, fmt.Errorf("write the mail: %w", err))
	}
	return recipient, nil
}

// checkHeader refuses line ends and controls in whatever becomes a header: with them a text could add headers or
// recipients of its own.
func checkHeader(out sdk.Outgoing) error {
	values := []string{out.Subject, out.To.Handle, out.To.Name}
	for _, f := range out.Attachments {
		values = append(values, f.Name, f.Type)
	}
	for _, v := range values {
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return sdk.Permanent(keyBadHeader, fmt.Errorf("a control character in %q", v))
		}
	}
	ids := append([]string{out.ExternalID}, out.References...)
	if out.InReplyTo != "" {
		ids = append(ids, out.InReplyTo)
	}
	for _, id := range ids {
		bare := bareID(id)
		if bare == "" || strings.ContainsFunc(bare, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' }) {
			return sdk.Permanent(keyBadHeader, fmt.Errorf("a message id that cannot be sent: %q", id))
		}
	}
	return nil
}

func bareID(id string) string { return strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">") }

// mailAddress checks an address and writes an international domain as mail servers know it.
func mailAddress(handle string) (string, error) {
	a, err := mail.ParseAddress(handle)
	if err != nil {
		return "", fmt.Errorf("read the address: %w", err)
	}
	if a.Address != handle {
		return "", fmt.Errorf("%q is not a plain address", handle)
	}
	local, domain, _ := cutLast(handle, "@")
	if domain, err = idna.Lookup.ToASCII(domain); err != nil {
		return "", fmt.Errorf("read the address's domain: %w", err)
	}
	return local + "@" + domain, nil
}

// page is the answer's text as an HTML document.
func page(text string) string {
	return "<!DOCTYPE html>\r\n<html><body>\r\n" + paragraphs(text) + "</body></html>\r\n"
}

// paragraphs writes text as HTML, each paragraph in the direction of its own letters.
func paragraphs(text string) string {
	var b strings.Builder
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	for block := range strings.SplitSeq(text, "\n\n") {
		if block = strings.Trim(block, "\n"); block != "" {
			lines := strings.ReplaceAll(html.EscapeString(block), "\n", "<br>\r\n")
			b.WriteString("<p dir=\"auto\">" + lines + "</p>\r\n")
		}
	}
	return b.String()
}

// files hands attachments to the composer, to be read while the mail is written. Their names are given twice: in the
// standard's way and in the way that old programs read.
func files(attachments []sdk.File) []*gomail.File {
	var list []*gomail.File
	for _, f := range attachments {
		kind := f.Type
		if _, _, err := mime.ParseMediaType(kind); err != nil || strings.HasPrefix(kind, "multipart/") {
			kind = "application/octet-stream"
		}
		file := &gomail.File{
			Name: f.Name, ContentType: gomail.ContentType(kind), Header: map[string][]string{},
			Writer: func(w io.Writer) (int64, error) {
				r, err := f.Open()
				if err != nil {
					return 0, fmt.Errorf("open %s: %w", f.Name, err)
				}
				defer r.Close()
				return io.Copy(w, r)
			},
		}
		if d := mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}); d != "" {
			file.Header["Content-Disposition"] = []string{d}
		}
		list = append(list, file)
	}
	return list
}
