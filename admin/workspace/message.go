package workspace

import (
	"fmt"
	"html"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/microcosm-cc/bluemonday"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/inbox"
)

// FramePolicy is the content policy of a stranger's formatted text: no script, nothing from anywhere, an origin of its own.
const FramePolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"

// filePolicy is that of a stranger's file: should a browser ever show it instead of keeping it, it can do nothing.
const filePolicy = "default-src 'none'; sandbox; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// foreignHTML keeps the shape of a mail and nothing that acts, loads or tells: no script, form, picture or address but
// links that a person clicks.
func foreignHTML() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowStandardURLs()
	p.AllowURLSchemes("http", "https", "mailto", "tel")
	p.AllowRelativeURLs(false)
	p.AllowElements("p", "br", "hr", "div", "span", "blockquote", "pre", "code", "b", "strong", "i", "em", "u", "s", "small", "sub", "sup",
		"h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption", "center", "font")
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("dir").Matching(regexp.MustCompile(`^(?i:rtl|ltr|auto)$`)).Globally()
	p.AllowAttrs("colspan", "rowspan").Matching(bluemonday.Integer).OnElements("td", "th")
	p.AllowAttrs("align").Matching(bluemonday.CellAlign).OnElements("p", "div", "td", "th", "table")
	p.AllowAttrs("color").Matching(regexp.MustCompile(`^#?[0-9a-zA-Z]{3,20}$`)).OnElements("font")
	p.AllowStyles("color", "background-color", "font-weight", "font-style", "text-align", "text-decoration", "direction").Globally()
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)
	return p
}

const frameSheet = `html{color-scheme:light;background:#fff}body{font:15px/1.5 system-ui,sans-serif;margin:12px;color:#17211f;overflow-wrap:anywhere}table{max-width:100%}blockquote{margin-inline:0;padding-inline-start:10px;border-inline-start:2px solid #9aa}`

// messageFormatted answers a stranger's formatted text, cleaned, under a policy of its own; the page shows it in a frame.
func (p *pages) messageFormatted(c echo.Context) error {
	m, err := p.message(c)
	if err != nil {
		return err
	}
	v := frame.Of(c)
	h := c.Response().Header()
	h.Set("Content-Security-Policy", FramePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	return c.HTML(http.StatusOK, fmt.Sprintf(`<!DOCTYPE html><html lang=%q dir="auto"><head><meta charset="utf-8"><title>%s</title><style>%s</style></head><body dir="auto">%s</body></html>`,
		v.Code, html.EscapeString(v.T("message.formatted")), frameSheet, foreignHTML().Sanitize(m.HTML)))
}

// messageFile answers a stranger's file, always as something to keep, never as something to show.
func (p *pages) messageFile(c echo.Context) error {
	m, err := p.message(c)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(c.Param("number"))
	if err != nil || number < 0 || number >= len(m.Attachments) {
		return echo.ErrNotFound
	}
	if err := p.Inbox.TellOpened(c.Request().Context(), m); err != nil {
		return err
	}
	file := m.Attachments[number]
	body, err := p.Files.Open(file.Blob)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read only
	return keepFile(c, body, file.Name, file.Size)
}

// message finds a message of the conversation in the path: one of another conversation is not found, whatever its id.
func (p *pages) message(c echo.Context) (inbox.Message, error) {
	id, err := idOf(c, "message")
	if err != nil {
		return inbox.Message{}, err
	}
	m, err := p.Inbox.Message(c.Request().Context(), id)
	if err == nil && m.Conversation.String() != c.Param("id") {
		return inbox.Message{}, echo.ErrNotFound
	}
	return m, err
}

// safeName is a name under which a browser may keep a stranger's file: no folders, no signs that hide its ending.
func safeName(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`<>:"|?*`, r) || r == 0x061c || r >= 0x200e && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, name)
	if name = strings.Trim(name, "./ "); name == "" {
		return "file"
	}
	if len(name) > 180 {
		ext := path.Ext(name)
		name = strings.ToValidUTF8(name[:180-min(len(ext), 20)], "") + ext[:min(len(ext), 20)]
	}
	return name
}
