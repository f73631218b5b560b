package workspace

import (
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/search"
)

// piece is a run of text: marked when it is what was looked for, linked when it is an address.
type piece struct {
	Text   string
	Marked bool
	Href   string
}

// marked splits a text at the spans that lookup found in it. Spans that do not fit the text mark nothing.
func marked(text string, spans []search.Span) (pieces []piece) {
	done := 0
	for _, span := range spans {
		if span.From < done || span.To <= span.From || span.To > len(text) {
			continue
		}
		pieces = append(pieces, piece{Text: text[done:span.From]}, piece{Text: text[span.From:span.To], Marked: true})
		done = span.To
	}
	return append(pieces, piece{Text: text[done:]})
}

var address = regexp.MustCompile(`https?://[^\s<>"'\x60\x{200e}\x{200f}\x{2066}-\x{2069}]+`)

// linked splits a plain text at the web addresses in it.
func linked(text string) []piece {
	var pieces []piece
	done := 0
	for _, at := range address.FindAllStringIndex(text, 200) {
		end := at[0] + len(strings.TrimRight(text[at[0]:at[1]], `.,;:!?)]}»"'`))
		if u, err := url.Parse(text[at[0]:end]); err != nil || u.Host == "" {
			continue
		}
		pieces = append(pieces, piece{Text: text[done:at[0]]}, piece{Text: text[at[0]:end], Href: text[at[0]:end]})
		done = end
	}
	return append(pieces, piece{Text: text[done:]})
}

var quoteIntro = []*regexp.Regexp{
	regexp.MustCompile(`(?i)^\s*-{2,}\s*(original message|הודעה מקורית|исходное сообщение|пересылаемое сообщение|forwarded message|הודעה שהועברה)\s*-{2,}\s*$`),
	regexp.MustCompile(`(?i)^\s*[\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{2069}]*(on\s.{6,160}\bwrote|בתאריך\s.{6,160}(כתב|כתבה|כתב/ה|מאת)|.{6,160}(пишет|писал|писала|написал|написала))[^:]{0,80}:[\s\x{200e}\x{200f}]*$`),
	regexp.MustCompile(`^\s*_{10,}\s*$`),
}

// fold parts a mail's own words from the earlier mail that it quotes at its end. A text that answers between the lines
// of a quotation is left whole.
func fold(text string) (own, quoted string) {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		if i > 0 && introduces(lines, i) || strings.HasPrefix(line, ">") && onlyQuotes(lines[i:]) {
			own := strings.TrimRight(strings.Join(lines[:i], "\n"), " \t\n")
			if own == "" {
				return text, ""
			}
			return own, strings.TrimSpace(strings.Join(lines[i:], "\n"))
		}
	}
	return strings.TrimRight(text, " \t\r\n"), ""
}

// introduces tells whether a line begins a quotation that reaches to the end. Some mail programs break it in two.
func introduces(lines []string, i int) bool {
	line := lines[i]
	both := line
	if i+1 < len(lines) {
		both = line + " " + strings.TrimSpace(lines[i+1])
	}
	for n, intro := range quoteIntro {
		if intro.MatchString(line) || n == 1 && strings.TrimSpace(line) != "" && intro.MatchString(both) {
			return n != 1 || onlyQuotes(lines[i+1:]) || !strings.Contains(strings.Join(lines[i+1:], "\n"), "\n>")
		}
	}
	return false
}

func onlyQuotes(lines []string) bool {
	for i, line := range lines {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, ">") && (i > 0 || !strings.HasSuffix(line, ":")) {
			return false
		}
	}
	return true
}

// snippet is the beginning of a text on one line.
func snippet(text string, limit int) string {
	own, _ := fold(text)
	line := strings.Join(strings.Fields(own), " ")
	if utf8.RuneCountInString(line) <= limit {
		return line
	}
	return string([]rune(line)[:limit]) + "…"
}

// phone writes a number as people of its country do; one that is no number stays as it is.
func phone(e164, region string) string {
	n, err := phonenumbers.Parse(e164, region)
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return e164
	}
	if phonenumbers.GetRegionCodeForNumber(n) == region {
		return phonenumbers.Format(n, phonenumbers.NATIONAL)
	}
	return phonenumbers.Format(n, phonenumbers.INTERNATIONAL)
}

// waiting says how long somebody waits, with a sign and a colour that grow with it.
type waiting struct{ Text, Icon, Tone string }

func waitingOf(v frame.View, since time.Time) waiting {
	d := v.Now.Sub(since)
	w := waiting{Text: v.T("inbox.waiting", "time", v.Waited(d)), Icon: icon("clock"), Tone: "accent"}
	switch {
	case d >= 24*time.Hour:
		w.Icon, w.Tone = icon("alert-triangle"), "danger"
	case d >= 4*time.Hour:
		w.Icon, w.Tone = icon("hourglass"), "warn"
	}
	return w
}
