package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/karov-crm/karov/plugins/sdk"
)

// maxMail is the biggest mail that is taken in whole. Providers stop at 25 to 50 MB.
const maxMail = 64 << 20

// receiver reads one mailbox.
type receiver struct {
	settings  settings
	host      sdk.Host
	dir       string
	pace      pace
	quit      func()
	condition *condition
	copies    chan *sentCopy
	parser    parser
	mark      mark
}

// run opens sessions, one after the other, until ctx ends. It waits longer after each failure, and much longer after
// a refused password.
func (r *receiver) run(ctx context.Context) error {
	var delay time.Duration
	quiet := true // a connection that breaks once and comes back at once is no news
	for {
		began := time.Now()
		t := r.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > r.pace.settled {
			delay, quiet = 0, true
		}
		if t.key != keyHost && (!quiet || t.key != keyConnectionLost) {
			r.condition.received(ctx, r.host, healthOf(r.settings.address, r.settings.imap, t))
		}
		quiet = false
		first, last := r.pace.first, r.pace.last
		if t.key == keyLoginRefused {
			first, last = r.pace.refusedFirst, r.pace.refusedLast
		}
		delay = min(max(delay*2, first), last)
		r.host.Log().Warn("mailbox session ended", "key", t.key, "error", t.err, "retry_in", delay.String())
		if !sleep(ctx, delay/2+rand.N(delay)) {
			return ctx.Err()
		}
	}
}

// sleep waits; false says that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// session connects, reads what is new, and waits for more until something breaks.
func (r *receiver) session(ctx context.Context) *trouble {
	line, err := dialIMAP(ctx, r.host, r.settings, r.pace.patience)
	if err != nil {
		return troubleOf(err, keyServerRefused)
	}
	defer line.close()
	defer context.AfterFunc(ctx, line.close)()
	if err := line.login(r.settings.imap); err != nil {
		return troubleOf(err, keyLoginRefused)
	}
	box, err := line.choose(r.settings.folder)
	if err != nil {
		return troubleOf(err, keyFolderMissing)
	}
	place, err := r.place(ctx, box.UIDValidity)
	if err != nil {
		return troubleOf(err, keyServerRefused)
	}
	r.condition.received(ctx, r.host, healthy(r.settings.address))
	for {
		if err := r.collect(ctx, line, place); err != nil {
			return troubleOf(err, keyServerRefused)
		}
		r.keepCopies(line)
		if err := line.wait(ctx, r); err != nil {
			return troubleOf(err, keyServerRefused)
		}
	}
}

// place is how far the mailbox has been read.
type place struct {
	validity uint32   // the numbers below mean something under this one only
	last     imap.UID // every mail up to this one is with the host
	fresh    bool     // nothing is known: begin by date
}

// place asks the host. When the server gave the mailbox new numbers, reading starts again by date; the messages' own
// ids keep doubles out.
func (r *receiver) place(ctx context.Context, validity uint32) (*place, error) {
	cursor, err := r.host.Cursor(ctx, r.settings.address)
	if err != nil {
		return nil, fmt.Errorf("ask the host for the cursor: %w", err)
	}
	p := &place{validity: validity, fresh: true}
	kept, uid, ok := strings.Cut(cursor, ":")
	if !ok {
		return p, nil
	}
	keptValidity, err1 := strconv.ParseUint(kept, 10, 32)
	last, err2 := strconv.ParseUint(uid, 10, 32)
	if errors.Join(err1, err2) != nil || uint32(keptValidity) != validity {
		r.host.Log().Info("the mailbox has new numbers: reading it again by date", "cursor", cursor, "validity", validity)
		return p, nil
	}
	p.last, p.fresh = imap.UID(last), false
	return p, nil
}

func (p *place) cursor(uid imap.UID) string { return fmt.Sprintf("%d:%d", p.validity, uid) }

// collect hands every new mail to the host, in the order of their numbers.
func (r *receiver) collect(ctx context.Context, line *imapLine, p *place) error {
	uids, err := line.find(p, r.settings.history)
	if err != nil {
		return err
	}
	for len(uids) > 0 {
		batch := uids[:min(len(uids), 100)]
		uids = uids[len(batch):]
		envelopes, err := line.envelopes(batch)
		if err != nil {
			return err
		}
		var taken imap.UIDSet
		for _, uid := range batch {
			e, ok := envelopes[uid]
			if !ok {
				continue // somebody deleted it meanwhile
			}
			if err := r.take(ctx, line, p, e); err != nil {
				return err
			}
			p.last = uid
			taken.AddNum(uid)
		}
		line.markTaken(taken)
	}
	if p.fresh {
		p.fresh = false
		return r.skipHistory(ctx, line, p)
	}
	return nil
}

// skipHistory keeps, after the first look, that everything older than the history is not to be read.
func (r *receiver) skipHistory(ctx context.Context, line *imapLine, p *place) error {
	if line.next <= 1 || p.last >= line.next-1 {
		return nil
	}
	p.last = line.next - 1
	if err := r.host.SaveCursor(ctx, r.settings.address, p.cursor(p.last)); err != nil {
		return fmt.Errorf("keep the cursor: %w", err)
	}
	return nil
}

// take brings one mail to the host.
func (r *receiver) take(ctx context.Context, line *imapLine, p *place, e envelope) error {
	src := newSpool(r.dir)
	defer src.close()
	whole := e.size <= maxMail
	found, err := line.fetch(e.uid, whole, src)
	if errors.Is(err, errTooLarge) { // the server had said otherwise
		whole = false
		src.close()
		src = newSpool(r.dir)
		found, err = line.fetch(e.uid, whole, src)
	}
	if err != nil || !found {
		return err
	}
	m, err := r.read(src, p.cursor(e.uid), e.received, whole)
	if err != nil {
		return err
	}
	m.Cursor = p.cursor(e.uid)
	return r.deliver(ctx, src, m, e)
}

// read makes a message of a mail. A mail that is too large, exceeds the limits, or killed the process before comes in
// with its header only.
func (r *receiver) read(src *spool, place string, received time.Time, whole bool) (sdk.Message, error) {
	if !whole {
		m, err := r.parser.headOf(src, received)
		m.Notice = noticeTooLarge
		return m, err
	}
	deaths, err := r.mark.deaths(place)
	if err != nil {
		return sdk.Message{}, err
	}
	var m sdk.Message
	if deaths < deathsToBelieve {
		m, err = r.parseInTime(src, received, func() error { return r.mark.begin(place, deaths) })
	} else {
		err = fmt.Errorf("the process died %d times while reading this mail", deaths)
	}
	if err != nil {
		r.host.Log().Warn("a mail comes in with its header and original only", "place", place, "error", err)
		if m, err = r.headAlone(src, received); err != nil {
			return m, err
		}
	}
	return m, r.mark.end()
}

func (r *receiver) headAlone(src *spool, received time.Time) (sdk.Message, error) {
	m, err := r.parser.headOf(src, received)
	m.Notice, m.Raw = noticeUnreadable, original(src)
	return m, err
}

// parseInTime parses a mail. One that is not read at once is marked: what kills a process, by memory, by the stack or
// by never ending, takes its time, and a mark on every mail would blame those that were being read when somebody
// stopped the plugin. A parser that hangs cannot be stopped from within, so the process ends, comes back, and finds the
// mark.
func (r *receiver) parseInTime(src *spool, received time.Time, begin func() error) (sdk.Message, error) {
	done := make(chan parseResult, 1)
	go func() { done <- r.parseSafely(src, received) }()
	slow, late := time.NewTimer(r.pace.marking), time.NewTimer(r.pace.parsing)
	defer slow.Stop()
	defer late.Stop()
	for {
		select {
		case res := <-done:
			return res.m, res.err
		case <-slow.C:
			if err := begin(); err != nil {
				r.host.Log().Warn("a mail that takes long cannot be marked", "error", err)
			}
		case <-late.C:
			r.host.Log().Error("a mail cannot be read in time: the plugin ends and starts anew")
			r.quit()
			<-done // not reached in a process that ends; elsewhere the parser still holds the mail
			return sdk.Message{}, errors.New("the mail could not be read in time")
		}
	}
}

type parseResult struct {
	m   sdk.Message
	err error
}

func (r *receiver) parseSafely(src *spool, received time.Time) (res parseResult) {
	defer func() {
		if p := recover(); p != nil {
			res.err = fmt.Errorf("the parser panicked: %v", p)
		}
	}()
	res.m, res.err = r.parser.parse(src, received)
	return res
}

// deliver hands the message over. What the host will never take goes in with less: first without its content, then
// without the original. A mail of which nothing is taken is left behind, with a line in the log.
func (r *receiver) deliver(ctx context.Context, src *spool, m sdk.Message, e envelope) error {
	err := r.host.Deliver(ctx, m)
	for attempt := 0; sdk.IsPermanent(err) && attempt < 2; attempt++ {
		r.host.Log().Warn("the host does not take a mail as it is", "place", m.Cursor, "error", err)
		less, headErr := r.headAlone(src, e.received)
		if headErr != nil {
			return headErr
		}
		less.Cursor = m.Cursor
		if attempt > 0 {
			less.Raw, less.Notice, less.Subject = nil, noticeTooLarge, cut(less.Subject, 200)
			less.To, less.CC, less.InReplyTo = nil, nil, nil
		}
		err = r.host.Deliver(ctx, less)
	}
	if sdk.IsPermanent(err) {
		r.host.Log().Error("a mail is left on the mail server: the host takes nothing of it", "place", m.Cursor, "error", err)
		err = r.host.SaveCursor(ctx, r.settings.address, m.Cursor)
	}
	if err != nil {
		return fmt.Errorf("hand a mail to the host: %w", err)
	}
	return nil
}
