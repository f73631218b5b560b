package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jhillyerd/enmime/v2"
	"github.com/karov-crm/karov/plugins/sdk"
)

// channelEmail is the kind of identity an e-mail address is.
const channelEmail = "email"

// Notices: what had to be left out of a message, as keys of sentences.
const (
	noticeUnreadable = "mail.unreadable" // the header and the original came in, the content could not be read
	noticeTooLarge   = "mail.too-large"  // the header came in; the mail stays on the mail server
)

// Bounds of what one message may bring along.
const (
	maxIDs      = 50
	maxIDLength = 400
	maxFileName = 150
	maxSubject  = 2000
	maxText     = 4 << 20 // of text and of HTML; what is longer comes in as a file
)

// unknownSender stands for the sender of a mail that names none. The domain cannot exist (RFC 2606).
const unknownSender = "unknown@sender.invalid"

// parser makes messages of mails.
type parser struct {
	limits  limits
	account string
}

// headOf makes a message of a mail's header alone.
func (p parser) headOf(src *spool, received time.Time) (sdk.Message, error) {
	h, err := readHeader(bufio.NewReaderSize(normalise(src.open()), 64<<10), p.limits.header)
	if err != nil {
		return sdk.Message{}, fmt.Errorf("read the header: %w", err)
	}
	m := sdk.Message{
		Channel: channelEmail, Account: p.account, ExternalID: externalID(&h, src), From: sender(&h),
		To: parseAddresses(h.all("to")), CC: parseAddresses(h.all("cc")),
		Subject: cut(h.text("subject"), maxSubject), InReplyTo: answered(&h),
		SentAt: sentAt(&h, received), Automatic: automatic(&h),
	}
	return m, nil
}

// parse makes a message of a mail. The error is errHostile when the mail exceeds the limits; any other error, too, says
// that headOf is what can be had.
func (p parser) parse(src *spool, received time.Time) (sdk.Message, error) {
	if err := survey(normalise(src.open()), p.limits); err != nil {
		return sdk.Message{}, err
	}
	m, err := p.headOf(src, received)
	if err != nil {
		return sdk.Message{}, err
	}
	root, err := p.decode(normalise(src.open()))
	if err != nil {
		return sdk.Message{}, fmt.Errorf("decode the mail: %w", err)
	}
	b := bodyOf(root)
	m.Text, m.HTML = b.text, b.html
	if m.Text == "" && m.HTML != "" {
		m.Text = htmlToText(m.HTML)
	}
	for i, part := range b.files {
		m.Attachments = append(m.Attachments, attachment(part, i+1))
	}
	if len(m.Text) > maxText {
		m.Attachments = append(m.Attachments, fileOfText("message.txt", "text/plain", m.Text))
		m.Text = cut(m.Text, maxText)
	}
	if len(m.HTML) > maxText {
		m.Attachments = append(m.Attachments, fileOfText("message.html", "text/html", m.HTML))
		m.HTML = ""
	}
	m.Raw = original(src)
	return m, nil
}

// original is the mail as it came.
func original(src *spool) *sdk.File {
	return &sdk.File{
		Name: "message.eml", Type: "message/rfc822", Size: src.size,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(src.open()), nil },
	}
}

// decode takes the mail apart. The decoder is used for the structure and the transfer encodings only: charsets, names
// and headers are read here, so it is told that all text is UTF-8 already.
func (p parser) decode(r io.Reader) (*enmime.Part, error) {
	kinds := 0
	hook := func(value string) (string, map[string]string, []string, error) {
		kind, params := mediaType([]byte(value))
		if params["boundary"] != "" {
			// The decoder asks twice for the same field.
			if kinds++; kinds > 2*p.limits.kinds || len(params["boundary"]) > 1000 {
				return "", nil, nil, errHostile
			}
		}
		if strings.HasPrefix(kind, "multipart/") && params["boundary"] == "" {
			kind = "text/plain"
		}
		return kind, map[string]string{"charset": charsetUTF8, "boundary": params["boundary"]}, nil, nil
	}
	return enmime.NewParser(
		enmime.SetCustomParseMediaType(hook),
		enmime.DisableCharacterDetection(true),
		enmime.DisableTextConversion(true),
		enmime.MultipartWOBoundaryAsSinglePart(true),
		enmime.MaxStoredPartErrors(1),
		enmime.SetReadPartErrorPolicy(func(*enmime.Part, error) bool { return true }),
	).ReadParts(r)
}

// body is what a part and the parts below it hold.
type body struct {
	text, html string
	files      []*enmime.Part
}

func bodyOf(part *enmime.Part) body {
	if part.FirstChild == nil {
		return leafBody(part)
	}
	var children []body
	for c := part.FirstChild; c != nil; c = c.NextSibling {
		children = append(children, bodyOf(c))
	}
	if part.ContentType == "multipart/alternative" {
		return bestOf(children)
	}
	return joined(children)
}

func leafBody(part *enmime.Part) body {
	kind, params := mediaType([]byte(part.Header.Get("Content-Type")))
	disposition, _ := mediaType([]byte(part.Header.Get("Content-Disposition")))
	text := kind == "text/plain" || kind == "" || !strings.Contains(kind, "/") || strings.HasPrefix(kind, "multipart/")
	if !text && kind != "text/html" || disposition == "attachment" || fileName(part) != "" {
		if len(part.Content) == 0 && fileName(part) == "" {
			return body{}
		}
		return body{files: []*enmime.Part{part}}
	}
	content := transferDecoded(part)
	if kind != "text/html" {
		return body{text: strings.TrimRight(toUTF8(params["charset"], content), "\n")}
	}
	charset := params["charset"]
	if charset == "" {
		charset = metaCharset(content)
	}
	return body{html: toUTF8(charset, content)}
}

// bestOf picks among alternatives: the first that is plain text, the last that is HTML, and every file.
func bestOf(children []body) body {
	var b body
	for _, c := range children {
		if b.text == "" {
			b.text = c.text
		}
		if c.html != "" {
			b.html = c.html
		}
		b.files = append(b.files, c.files...)
	}
	return b
}

// joined puts parts one after the other. A single HTML part stays as it came; beside HTML, plain text becomes HTML too,
// so that neither form says less than the other.
func joined(children []body) body {
	var b body
	var texts, htmls []string
	rich := false
	for _, c := range children {
		b.files = append(b.files, c.files...)
		text, source := c.text, c.html
		switch {
		case source != "":
			rich = true
			if text == "" {
				text = htmlToText(source)
			}
		case strings.TrimSpace(text) != "":
			source = clean(paragraphs(text))
		}
		if strings.TrimSpace(text) != "" {
			texts = append(texts, text)
		}
		if source != "" {
			htmls = append(htmls, source)
		}
	}
	b.text = strings.Join(texts, "\n\n")
	if rich {
		b.html = strings.Join(htmls, "\n")
	}
	return b
}

// metaCharset finds the charset that an HTML document claims for itself.
func metaCharset(content []byte) string {
	head := bytes.ToLower(content[:min(len(content), 4096)])
	_, rest, ok := bytes.Cut(head, []byte("charset="))
	if !ok {
		return ""
	}
	rest = bytes.TrimLeft(rest, "\"' ")
	if end := bytes.IndexAny(rest, "\"'>; /\t\r\n"); end >= 0 {
		rest = rest[:end]
	}
	return string(rest)
}

// transferDecoded repairs what the decoder left encoded because the name of the encoding was not quite right, as in
// `"base64"` or `quoted-printable;`.
func transferDecoded(part *enmime.Part) []byte {
	declared := strings.ToLower(part.Header.Get("Content-Transfer-Encoding"))
	name := strings.ReplaceAll(strings.Trim(declared, " \t\"';,"), " ", "")
	if name == declared {
		return part.Content
	}
	switch name {
	case "base64":
		return lenientBase64(string(part.Content))
	case "quoted-printable", "quotedprintable":
		out, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(part.Content))) // what was readable
		return out
	}
	return part.Content
}

func attachment(part *enmime.Part, number int) sdk.File {
	kind, _ := mediaType([]byte(part.Header.Get("Content-Type")))
	if kind == "" || !strings.Contains(kind, "/") {
		kind = "application/octet-stream"
	}
	disposition, _ := mediaType([]byte(part.Header.Get("Content-Disposition")))
	name := fileName(part)
	if name == "" {
		name = fmt.Sprintf("attachment-%d%s", number, extension(kind))
	}
	if kind == "message/rfc822" && path.Ext(name) == "" {
		name += ".eml"
	}
	content := transferDecoded(part)
	return sdk.File{
		Name: name, Type: kind, Size: int64(len(content)),
		Inline: disposition != "attachment" && (disposition == "inline" || part.ContentID != ""),
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}

func fileOfText(name, kind, text string) sdk.File {
	return sdk.File{Name: name, Type: kind + "; charset=utf-8", Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}
}

// fileName is the name that the part gives itself, without folders, controls and signs that turn the text around.
func fileName(part *enmime.Part) string {
	_, disposition := mediaType([]byte(part.Header.Get("Content-Disposition")))
	_, kind := mediaType([]byte(part.Header.Get("Content-Type")))
	for _, name := range []string{disposition["filename"], kind["name"], kind["file"], disposition["name"]} {
		name = withoutDirections(oneLine(name))
		name = strings.TrimSpace(name[strings.LastIndexAny(name, `/\`)+1:])
		if strings.Trim(name, ". ") != "" {
			ext := path.Ext(name)
			if len(ext) > 16 {
				ext = ""
			}
			return cut(strings.TrimSuffix(name, ext), maxFileName-len(ext)) + ext
		}
	}
	return ""
}

func extension(kind string) string {
	switch kind {
	case "message/rfc822":
		return ".eml"
	case "message/delivery-status", "text/plain", "text/rfc822-headers":
		return ".txt"
	case "text/html":
		return ".html"
	case "text/calendar":
		return ".ics"
	case "text/vcard", "text/x-vcard", "text/directory":
		return ".vcf"
	case "image/jpeg":
		return ".jpg"
	case "image/png", "image/gif", "image/webp", "application/pdf", "application/zip":
		return "." + kind[strings.IndexByte(kind, '/')+1:]
	}
	return ".bin"
}

// cut shortens text to at most n bytes at a letter's border.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// externalID is the Message-ID, or the hash of the original for a mail without a usable one.
func externalID(h *header, src *spool) string {
	if ids := messageIDs(h.utf8("message-id")); len(ids) > 0 {
		return ids[0]
	}
	return "sha256:" + src.sum()
}

// messageIDs finds the ids in Message-ID, In-Reply-To or References, without their angle brackets. Where there are no
// brackets, words with an @ are taken.
func messageIDs(value string) []string {
	var ids []string
	take := func(id string) {
		if id = strings.TrimSpace(id); id != "" && len(id) <= maxIDLength && !strings.ContainsFunc(id, unfitForID) {
			ids = append(ids, id)
		}
	}
	for rest := value; ; {
		_, after, ok := strings.Cut(rest, "<")
		if !ok {
			break
		}
		id, next, closed := strings.Cut(after, ">")
		if closed {
			take(id)
		}
		rest = next
	}
	if ids == nil {
		for _, word := range strings.Fields(strings.Trim(value, "<> ")) {
			if strings.Contains(word, "@") {
				take(word)
			}
		}
	}
	return ids
}

func unfitForID(r rune) bool { return r <= ' ' || r == 0x7f || r == '<' || r == '>' }

// answered lists what the mail answers, nearest first: In-Reply-To, then References from the end.
func answered(h *header) []string {
	references := messageIDs(h.utf8("references"))
	slices.Reverse(references)
	var ids []string
	for _, id := range append(messageIDs(h.utf8("in-reply-to")), references...) {
		if !slices.Contains(ids, id) && len(ids) < maxIDs {
			ids = append(ids, id)
		}
	}
	return ids
}

// sender is who the mail says it is from. Reply-To is not asked: anybody can write anything there.
func sender(h *header) sdk.Party {
	for _, name := range []string{"from", "sender", "return-path"} {
		if parties := parseAddresses(h.all(name)); len(parties) > 0 {
			return parties[0]
		}
	}
	return sdk.Party{Handle: unknownSender}
}

// automatic says that a program wrote the mail, or a list passed it on: nobody waits for an answer.
func automatic(h *header) bool {
	if v := strings.ToLower(h.text("auto-submitted")); v != "" && !strings.HasPrefix(v, "no") {
		return true
	}
	switch strings.ToLower(h.text("precedence")) {
	case "bulk", "list", "junk", "auto_reply":
		return true
	}
	for _, name := range []string{"list-id", "x-autoreply", "x-autorespond", "x-failed-recipients"} {
		if h.raw(name) != nil {
			return true
		}
	}
	kind, _ := mediaType(h.raw("content-type"))
	return kind == "multipart/report" || string(h.raw("return-path")) == "<>"
}

// sentAt is the mail's own date where it can be believed, else the time at which the server received it.
func sentAt(h *header, received time.Time) time.Time {
	at, err := mail.ParseDate(strings.TrimSpace(h.utf8("date")))
	if err != nil || at.Year() < 1990 || !received.IsZero() && at.After(received.Add(24*time.Hour)) {
		return received.UTC()
	}
	return at.UTC()
}
