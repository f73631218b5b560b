package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/karov-crm/karov/plugins/sdk"
)

// keywordTaken is set on mails that the host has, where the server allows it, for people who look into the mailbox
// with another program.
const keywordTaken imap.Flag = "$KarovTaken"

// errTooLarge says that a mail turned out bigger than maxMail.
var errTooLarge = errors.New("the mail is too large")

// imapLine is one connection to an IMAP server. Its methods are called one after the other, but for close.
type imapLine struct {
	client   *imapclient.Client
	conn     net.Conn
	patience time.Duration
	news     chan struct{} // the server spoke of new mail
	pushed   bool          // IDLE has brought news on this line
	keywords bool          // the server keeps keywords of ours
	next     imap.UID      // the number that the next mail will have, as of choose
	kept     []*sentCopy   // copies to file once the line is free
}

// envelope is what is known of a mail before it is fetched.
type envelope struct {
	uid      imap.UID
	size     int64
	received time.Time
}

// dialIMAP connects, with TLS from the first byte or by STARTTLS and with a verified certificate, never without.
func dialIMAP(ctx context.Context, h sdk.Host, s settings, patience time.Duration) (*imapLine, error) {
	conn, err := dial(ctx, h, s.imap, patience)
	if err != nil {
		return nil, err
	}
	l := &imapLine{conn: conn, patience: patience, news: make(chan struct{}, 1)}
	defer context.AfterFunc(ctx, l.close)()
	defer l.guard()()
	options := &imapclient.Options{
		TLSConfig: s.imap.tls(s.roots),
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				l.ring()
			}
		}},
	}
	if s.imap.starttls {
		if l.client, err = imapclient.NewStartTLS(conn, options); err != nil {
			l.close()
			return nil, troubleOf(err, keyNoTLS)
		}
		return l, nil
	}
	secure := tls.Client(conn, options.TLSConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		l.close()
		return nil, fmt.Errorf("begin TLS with %s: %w", s.imap.addr(), err)
	}
	l.client = imapclient.New(secure, options)
	if err := l.client.WaitGreeting(); err != nil {
		l.close()
		return nil, fmt.Errorf("wait for the greeting of %s: %w", s.imap.addr(), err)
	}
	return l, nil
}

// dial opens a connection by the host, who notices a dead other side within minutes.
func dial(ctx context.Context, h sdk.Host, e endpoint, patience time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, min(patience, 30*time.Second))
	defer cancel()
	conn, err := h.Dial(ctx, "tcp", e.addr())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", e.addr(), err)
	}
	return conn, nil
}

// close cuts the line. Whatever waits on it returns with an error.
func (l *imapLine) close() { l.conn.Close() }

// guard cuts the line if the function it returns is not called in time: the client itself would wait for ever for a
// server that says nothing.
func (l *imapLine) guard() (done func()) {
	timer := time.AfterFunc(l.patience, l.close)
	return func() { timer.Stop() }
}

func (l *imapLine) ring() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

func (l *imapLine) login(e endpoint) error {
	defer l.guard()()
	var err error
	if l.client.Caps().Has(imap.AuthCap(sasl.Plain)) {
		err = l.client.Authenticate(sasl.NewPlainClient("", e.user, e.password))
	} else {
		err = l.client.Login(e.user, e.password).Wait()
	}
	var no *imap.Error
	if errors.As(err, &no) && (no.Code == imap.ResponseCodeUnavailable || no.Code == imap.ResponseCodeInUse || no.Type == imap.StatusResponseTypeBye) {
		return &trouble{keyServerRefused, err}
	}
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

func (l *imapLine) choose(folder string) (*imap.SelectData, error) {
	defer l.guard()()
	box, err := l.client.Select(folder, nil).Wait()
	if err != nil {
		return nil, fmt.Errorf("open the folder %s: %w", folder, err)
	}
	l.keywords = slices.Contains(box.PermanentFlags, imap.FlagWildcard) || slices.Contains(box.PermanentFlags, keywordTaken)
	l.next = box.UIDNext
	return box, nil
}

// find lists the numbers of the mails that are to be read, lowest first.
func (l *imapLine) find(p *place, history int) ([]imap.UID, error) {
	defer l.guard()()
	var criteria imap.SearchCriteria
	if p.fresh {
		criteria.Since = time.Now().AddDate(0, 0, -history)
	} else {
		criteria.UID = []imap.UIDSet{{imap.UIDRange{Start: p.last + 1}}} // Stop 0 is *
	}
	found, err := l.client.UIDSearch(&criteria, nil).Wait()
	if err != nil {
		return nil, fmt.Errorf("look for new mail: %w", err)
	}
	// "7:*" finds the newest mail even when its number is below 7.
	uids := slices.DeleteFunc(found.AllUIDs(), func(uid imap.UID) bool { return !p.fresh && uid <= p.last })
	slices.Sort(uids)
	return uids, nil
}

// envelopes asks for size and date of mails. Those that are gone are missing in the answer.
func (l *imapLine) envelopes(uids []imap.UID) (map[imap.UID]envelope, error) {
	defer l.guard()()
	options := &imap.FetchOptions{UID: true, RFC822Size: true, InternalDate: true}
	list, err := l.client.Fetch(imap.UIDSetNum(uids...), options).Collect()
	if err != nil {
		return nil, fmt.Errorf("ask for the sizes of mails: %w", err)
	}
	found := make(map[imap.UID]envelope, len(list))
	for _, m := range list {
		found[m.UID] = envelope{uid: m.UID, size: m.RFC822Size, received: m.InternalDate}
	}
	return found, nil
}

// fetch writes one mail, or its header, to w, and leaves it unread on the server. It returns false when the mail is
// gone.
func (l *imapLine) fetch(uid imap.UID, whole bool, w io.Writer) (found bool, err error) {
	section := &imap.FetchItemBodySection{Peek: true}
	if !whole {
		section.Specifier = imap.PartSpecifierHeader
	}
	silence := time.AfterFunc(l.patience, l.close)
	defer silence.Stop()
	cmd := l.client.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}})
	var writeErr error
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		for item := m.Next(); item != nil; item = m.Next() {
			data, ok := item.(imapclient.FetchItemDataBodySection)
			if !ok || data.Literal == nil || found {
				continue
			}
			found = true
			writeErr = copyWhileMoving(w, data.Literal, func() { silence.Reset(l.patience) })
		}
	}
	if err := cmd.Close(); err != nil {
		return false, fmt.Errorf("fetch a mail: %w", err)
	}
	return found, writeErr
}

// copyWhileMoving copies at most maxMail bytes and calls moved with each piece.
func copyWhileMoving(w io.Writer, r io.Reader, moved func()) error {
	buf := make([]byte, 64<<10)
	total := 0
	for {
		n, err := r.Read(buf)
		moved()
		if total += n; total > maxMail {
			return errTooLarge
		}
		if _, writeErr := w.Write(buf[:n]); writeErr != nil {
			return writeErr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("fetch a mail: %w", err)
		}
	}
}

// markTaken sets the keyword, where the server keeps keywords. Nothing depends on it.
func (l *imapLine) markTaken(uids imap.UIDSet) {
	if !l.keywords || len(uids) == 0 {
		return
	}
	defer l.guard()()
	store := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{keywordTaken}}
	if err := l.client.Store(uids, store, nil).Close(); err != nil {
		l.keywords = false // a line that broke shows itself at the next command
	}
}

// wait returns when there may be something to do: the server told of new mail, an answer is to be kept in the folder
// of sent mail, or it is time to look.
func (l *imapLine) wait(ctx context.Context, r *receiver) error {
	timer := time.NewTimer(r.settings.poll)
	defer timer.Stop()
	if !l.client.Caps().Has(imap.CapIdle) {
		if err := l.await(ctx, r, timer); err != nil {
			return err
		}
		defer l.guard()()
		return l.client.Noop().Wait()
	}
	done := l.guard()
	idle, err := l.client.Idle()
	done()
	if err != nil {
		return fmt.Errorf("begin to wait for news: %w", err)
	}
	if l.pushed { // it works: no need to look so often
		timer.Reset(max(r.settings.poll, r.pace.trusted))
	}
	awaited := l.await(ctx, r, timer)
	defer l.guard()()
	if err := errors.Join(awaited, idle.Close(), idle.Wait()); err != nil {
		return fmt.Errorf("wait for news: %w", err)
	}
	return nil
}

func (l *imapLine) await(ctx context.Context, r *receiver, timer *time.Timer) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.client.Closed():
		return io.ErrUnexpectedEOF
	case <-l.news:
		l.pushed = true
	case c := <-r.copies:
		l.kept = append(l.kept, c)
	case <-timer.C:
	}
	return nil
}
