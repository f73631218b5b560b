package main

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// htmlToText makes readable text of a mail that came as HTML only. It goes over the tokens without building a tree, so
// that no nesting can cost more than its length. Scripts, styles and the head are left out.
func htmlToText(source string) string {
	z := html.NewTokenizer(strings.NewReader(source))
	var w textWriter
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF && w.out.Len() == 0 {
				return ""
			}
			return strings.TrimSpace(w.out.String())
		case html.TextToken:
			if w.hidden == 0 {
				w.text(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			w.start(z)
		case html.EndTagToken:
			w.end(z)
		}
	}
}

// textWriter gathers text, with the white space that HTML stands for.
type textWriter struct {
	out    strings.Builder
	hidden atom.Atom // the element whose content is not shown, 0 outside one
	space  bool      // a space is due before the next word
	breaks int       // line ends at the end of what is written
	href   string    // of the link that is open
	linkAt int       // where its text began
}

func (w *textWriter) text(s string) {
	first, _ := utf8.DecodeRuneInString(s)
	for i, word := range strings.Fields(s) {
		if i > 0 || w.space || unicode.IsSpace(first) {
			w.pad()
		}
		w.out.WriteString(strings.ReplaceAll(word, "\x00", ""))
		w.breaks, w.space = 0, false
	}
	if last, _ := utf8.DecodeLastRuneInString(s); unicode.IsSpace(last) {
		w.space = true
	}
}

func (w *textWriter) pad() {
	if w.out.Len() > 0 && w.breaks == 0 {
		w.out.WriteByte(' ')
	}
	w.space = false
}

// newline makes sure that at least n line ends follow what was written.
func (w *textWriter) newline(n int) {
	for w.out.Len() > 0 && w.breaks < n {
		w.out.WriteByte('\n')
		w.breaks++
	}
	w.space = false
}

func (w *textWriter) start(z *html.Tokenizer) {
	name, hasAttr := z.TagName()
	a := atom.Lookup(name)
	if w.hidden != 0 {
		return
	}
	switch a {
	case atom.Script, atom.Style, atom.Title, atom.Template, atom.Noscript:
		w.hidden = a
	case atom.Br:
		if w.out.Len() > 0 && w.breaks < 2 {
			w.out.WriteByte('\n')
			w.breaks++
		}
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Ul, atom.Ol, atom.Table:
		w.newline(2)
	case atom.Div, atom.Tr, atom.Hr, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Pre:
		w.newline(1)
	case atom.Li:
		w.newline(1)
		w.out.WriteString("- ")
		w.breaks = 1 // no space after the dash
	case atom.Td, atom.Th:
		w.space = true
	case atom.A:
		w.href, w.linkAt = "", w.out.Len()
		for hasAttr {
			var key, value []byte
			if key, value, hasAttr = z.TagAttr(); string(key) == "href" {
				w.href = string(value)
			}
		}
	}
}

func (w *textWriter) end(z *html.Tokenizer) {
	name, _ := z.TagName()
	a := atom.Lookup(name)
	if w.hidden != 0 {
		if a == w.hidden {
			w.hidden = 0
		}
		return
	}
	switch a {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Ul, atom.Ol, atom.Table:
		w.newline(2)
	case atom.Div, atom.Tr, atom.Li, atom.Section, atom.Article, atom.Pre:
		w.newline(1)
	case atom.A:
		w.closeLink()
	}
}

// closeLink writes where a link leads, unless its text says so already.
func (w *textWriter) closeLink() {
	href := strings.TrimSpace(w.href)
	w.href = ""
	web := strings.HasPrefix(href, "http://") || strings.HasPrefix(href, "https://")
	if !web || len(href) > 500 || w.linkAt > w.out.Len() || strings.ContainsAny(href, " \t\n\x00") {
		return
	}
	shown := w.out.String()[w.linkAt:]
	if strings.TrimSpace(shown) != "" && !strings.Contains(shown, strings.TrimSuffix(href, "/")) {
		w.out.WriteString(" <" + href + ">")
	}
}
