package filter

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
)

// parser makes a tree out of tokens, by recursive descent whose depth is bounded. After the first error it sees only the
// end of the text, so that every rule ends.
type parser struct {
	lexer
	tok   token
	depth int
	terms int
}

// parse gives the unchecked tree of a text, nil for a blank one.
func parse(text string) (*node, error) {
	if len(text) > MaxBytes {
		return nil, fault.InvalidField("filter", "filter.too-long", "limit", MaxBytes)
	}
	if !utf8.ValidString(text) {
		valid := 0
		for i, r := range text {
			if r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)) {
				valid = i
				break
			}
		}
		return nil, fault.InvalidField("filter", "filter.utf8", "column", column(text, valid))
	}
	p := &parser{lexer: lexer{text: text}}
	p.advance()
	if p.tok.sort == sortEnd {
		return nil, p.err
	}
	root := p.or()
	if p.tok.sort != sortEnd {
		p.unexpected("filter.end")
	}
	return root, p.err
}

func (p *parser) advance() { p.tok = p.next() }

// wrong remembers an error and ends the parse.
func (p *parser) wrong(key string, args ...any) *node {
	p.tok = p.lexer.wrong(key, args...)
	return &node{}
}

// unexpected is the error of a token that does not belong where it stands.
func (p *parser) unexpected(key string) *node {
	if p.tok.sort == sortEnd && key != "filter.operator" {
		return p.wrong("filter.value-missing", "column", p.tok.at)
	}
	return p.wrong(key, "column", p.tok.at, "found", excerpt(p.tok.raw))
}

// excerpt keeps what an error shows of the text short.
func excerpt(s string) string {
	if utf8.RuneCountInString(s) > 40 {
		s = string([]rune(s)[:40]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if unwelcome(r) || r < 0x20 {
			return utf8.RuneError
		}
		return r
	}, s)
}

func (p *parser) word(words ...string) bool {
	return p.tok.sort == sortWord && slices.Contains(words, p.tok.text)
}

func (p *parser) sign(signs ...string) bool {
	return p.tok.sort == sortSign && slices.Contains(signs, p.tok.text)
}

// deeper bounds the recursion; the function it returns goes up again.
func (p *parser) deeper() (up func()) {
	if p.depth++; p.depth > MaxDepth {
		p.wrong("filter.deep", "column", p.tok.at, "limit", MaxDepth)
	}
	return func() { p.depth-- }
}

// term counts what has to be evaluated.
func (p *parser) term() {
	if p.terms++; p.terms > MaxTerms {
		p.wrong("filter.terms", "column", p.tok.at, "limit", MaxTerms)
	}
}

func (p *parser) or() *node {
	n := p.and()
	for p.word("or") {
		p.advance()
		n = join(opOr, n, p.and())
	}
	return n
}

func (p *parser) and() *node {
	n := p.not()
	for p.word("and") {
		p.advance()
		n = join(opAnd, n, p.not())
	}
	return n
}

func (p *parser) not() *node {
	if !p.word("not") {
		return p.comparison()
	}
	defer p.deeper()()
	at := p.tok.at
	p.advance()
	return &node{op: opNot, at: at, kids: []*node{p.not()}}
}

func (p *parser) comparison() *node {
	p.term()
	left := p.joined()
	at := p.tok.at
	if p.tok.sort == sortSign {
		if p.sign("!=") {
			p.advance()
			return &node{op: opNot, at: at, kids: []*node{{op: opEqual, at: at, kids: []*node{left, p.joined()}}}}
		}
		for _, o := range []op{opEqual, opLess, opLessEqual, opGreater, opGreaterEqual} {
			if p.sign(signs[o]) {
				p.advance()
				return &node{op: o, at: at, kids: []*node{left, p.joined()}}
			}
		}
		return left
	}
	if p.word("is") {
		return p.is(left)
	}
	negated := p.word("not")
	if negated {
		p.advance()
	}
	n := p.worded(left, at)
	switch {
	case n == nil && negated:
		return p.unexpected("filter.operator")
	case n == nil:
		return left
	case negated:
		return &node{op: opNot, at: at, kids: []*node{n}}
	}
	return n
}

// worded reads a comparison whose operator is a word, nil when there is none.
func (p *parser) worded(left *node, at int) *node {
	switch {
	case p.word("in"):
		p.advance()
		return &node{op: opIn, at: at, kids: append([]*node{left}, p.list()...)}
	case p.word("contains"):
		p.advance()
		return &node{op: opContains, at: at, kids: []*node{left, p.joined()}}
	case p.word("starts"):
		if p.advance(); p.word("with") {
			p.advance()
		}
		return &node{op: opStarts, at: at, kids: []*node{left, p.joined()}}
	}
	return nil
}

// list reads (a, b, c).
func (p *parser) list() (items []*node) {
	if !p.sign("(") {
		p.unexpected("filter.open")
		return nil
	}
	defer p.deeper()()
	open := p.tok.at
	for p.advance(); ; p.advance() {
		items = append(items, p.sum())
		if p.sign(")") {
			p.advance()
			return items
		}
		if !p.sign(",") {
			p.unclosed(open)
			return items
		}
	}
}

// unclosed is the error of a parenthesis that something else than its end follows.
func (p *parser) unclosed(open int) {
	if p.tok.sort == sortEnd {
		p.wrong("filter.closing", "column", open)
		return
	}
	p.unexpected("filter.end")
}

// is reads what follows x is: empty, not empty, or a period.
func (p *parser) is(left *node) *node {
	at := p.tok.at
	p.advance()
	negated := p.word("not")
	if negated {
		p.advance()
	}
	n := &node{op: opEmpty, at: at, kids: []*node{left}}
	if p.word("empty") {
		p.advance()
	} else {
		n.op, n.per = opPeriod, p.period()
	}
	if negated {
		return &node{op: opNot, at: at, kids: []*node{n}}
	}
	return n
}

// period reads today, this week, next 7 days and the like.
func (p *parser) period() (per period) {
	start := p.tok
	which := p.tok.text
	switch {
	case p.word("today", "tomorrow", "yesterday"):
		p.advance()
		return period{which: which}
	case p.word("this", "next", "last"):
		p.advance()
		if p.word("week", "month", "year") {
			per = period{which: which, unit: p.tok.text}
			p.advance()
			return per
		}
		n, err := strconv.Atoi(p.tok.text)
		if which != "this" && p.tok.sort == sortNumber && err == nil && n > 0 && n <= maxPeriod {
			if p.advance(); p.word("days", "day") {
				p.advance()
				return period{which: which, unit: "days", n: n}
			}
		}
	}
	p.wrong("filter.period", "column", start.at, "known", periods)
	return per
}

// chain reads operands and the operators of one rank between them, from the left.
func (p *parser) chain(operand func() *node, ops ...op) *node {
	n := operand()
	for {
		found := opNone
		for _, o := range ops {
			if p.sign(signs[o]) {
				found = o
			}
		}
		if found == opNone {
			return n
		}
		p.term()
		at := p.tok.at
		p.advance()
		n = &node{op: found, at: at, kids: []*node{n, operand()}}
	}
}

func (p *parser) joined() *node  { return p.chain(p.sum, opJoin) }
func (p *parser) sum() *node     { return p.chain(p.product, opAdd, opSubtract) }
func (p *parser) product() *node { return p.chain(p.factor, opMultiply, opDivide) }

func (p *parser) factor() *node {
	if !p.sign("-") {
		return p.primary()
	}
	defer p.deeper()()
	at := p.tok.at
	p.advance()
	return &node{op: opNegative, at: at, kids: []*node{p.factor()}}
}

func (p *parser) primary() *node {
	t := p.tok
	switch t.sort {
	case sortText:
		p.advance()
		return &node{op: opConst, at: t.at, kind: kindText, lit: Value{kind: kindText, b: []byte(t.text)}}
	case sortNumber:
		return p.amount()
	case sortDate:
		p.advance()
		return p.moment(t)
	case sortSpan:
		p.advance()
		return p.length(t)
	case sortWord:
		return p.named()
	case sortName:
		return p.field()
	}
	if p.sign("(") {
		defer p.deeper()()
		p.advance()
		n := p.or()
		if !p.sign(")") {
			p.unclosed(t.at)
			return n
		}
		p.advance()
		return n
	}
	return p.unexpected("filter.value-wanted")
}

// amount reads a number, or money where a currency follows: 100 ILS.
func (p *parser) amount() *node {
	t := p.tok
	p.advance()
	if p.tok.sort == sortWord && len(p.tok.raw) == 3 && strings.ToUpper(p.tok.raw) == p.tok.raw && !slices.Contains(reserved, p.tok.text) {
		a, err := schema.ParseAmount(t.text, p.tok.raw)
		if err != nil {
			return p.wrong("filter.amount", "column", t.at, "found", excerpt(t.raw+" "+p.tok.raw))
		}
		p.advance()
		return &node{op: opConst, at: t.at, kind: kindMoney, lit: moneyValue(a)}
	}
	n, err := strconv.ParseFloat(t.text, 64)
	if err != nil || math.Abs(n) > maxNumber || strings.Count(t.text, ".") > 1 {
		return p.wrong("filter.number", "column", t.at, "found", excerpt(t.raw))
	}
	return &node{op: opConst, at: t.at, kind: kindNumber, lit: Value{kind: kindNumber, f: n}}
}

// maxNumber is up to where a number can be written.
const maxNumber = 1e18

func (p *parser) moment(t token) *node {
	n := &node{at: t.at}
	if !n.setMoment(t.text) {
		return p.wrong("filter.date", "column", t.at, "found", t.raw)
	}
	return n
}

// setMoment makes a node the day or the moment that a text names.
func (n *node) setMoment(text string) bool {
	v, local, ok := readMoment(text)
	switch {
	case !ok:
		return false
	case local.base != "":
		n.op, n.kind, n.rel = opRelative, kindTime, local
	default:
		n.op, n.kind, n.lit = opConst, v.kind, v
	}
	return true
}

func (p *parser) length(t token) *node {
	s, ok := readSpan(t.text)
	if !ok {
		return p.wrong("filter.span", "column", t.at, "found", excerpt(t.raw))
	}
	return &node{op: opRelative, at: t.at, kind: kindSpan, rel: relative{spans: []span{s}}}
}

// reserved are the words that are no field unless they stand in backticks.
var reserved = []string{"and", "or", "not", "in", "is", "contains", "starts", "true", "false", "yes", "no", "today", "now", "me"}

// named reads what begins with a word: a literal, a function or a field.
func (p *parser) named() *node {
	t := p.tok
	switch t.text {
	case "true", "yes", "false", "no":
		p.advance()
		return &node{op: opConst, at: t.at, kind: kindYesNo, lit: yesNo(t.text == "true" || t.text == "yes")}
	case today, now:
		p.advance()
		return &node{op: opRelative, at: t.at, rel: relative{base: t.text}}
	case "me":
		p.advance()
		return &node{op: opMe, at: t.at}
	}
	if slices.Contains(reserved, t.text) {
		return p.unexpected("filter.value-wanted")
	}
	p.advance()
	if t.text == "my" && p.word("team") {
		p.advance()
		return &node{op: opTeam, at: t.at}
	}
	if p.sign("(") {
		return p.call(t)
	}
	return p.dotted(t)
}

func (p *parser) field() *node {
	t := p.tok
	p.advance()
	return p.dotted(t)
}

// dotted reads the rest of a field's name: company.city.
func (p *parser) dotted(first token) *node {
	parts, ats := []string{first.text}, []int{first.at}
	for p.sign(".") {
		if p.advance(); p.tok.sort != sortWord && p.tok.sort != sortName {
			return p.unexpected("filter.name")
		}
		if parts, ats = append(parts, p.tok.text), append(ats, p.tok.at); len(parts) > MaxLinks+1 {
			return p.wrong("filter.links", "column", p.tok.at, "limit", MaxLinks)
		}
		p.advance()
	}
	for _, part := range parts {
		if strings.Contains(part, ".") {
			return p.wrong("filter.unknown", "column", first.at, "field", excerpt(part))
		}
	}
	return &node{op: opPath, at: first.at, name: strings.Join(parts, "."), ats: ats}
}

// call reads the arguments of a function.
func (p *parser) call(name token) *node {
	defer p.deeper()()
	p.term()
	n := &node{op: opCall, at: name.at, name: name.text}
	open := p.tok.at
	if p.advance(); p.sign(")") {
		p.advance()
		return n
	}
	for ; ; p.advance() {
		n.kids = append(n.kids, p.or())
		if p.sign(")") {
			p.advance()
			return n
		}
		if !p.sign(",") {
			p.unclosed(open)
			return n
		}
	}
}

// periods are shown to those who misspelt one.
const periods = "empty, today, tomorrow, yesterday, this week, next week, last week, this month, this year, next 7 days, last 7 days"
