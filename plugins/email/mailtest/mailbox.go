package mailtest

import (
	"cmp"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Deliver brings a mail from the customer into the office's mailbox, as a mail server would.
func (s *Server) Deliver(tb testing.TB, raw []byte) {
	tb.Helper()
	s.DeliverFrom(tb, Customer, Office, raw)
}

// DeliverFrom brings a mail with the given envelope into a mailbox. An empty from is the sender of a bounce.
func (s *Server) DeliverFrom(tb testing.TB, from, to string, raw []byte) {
	tb.Helper()
	if err := s.lmtp(from, to, raw); err != nil {
		tb.Fatalf("deliver a mail: %v\n%s", err, s.readLog("dovecot.log"))
	}
}

func (s *Server) lmtp(from, to string, raw []byte) error {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", s.LMTPPort), patience)
	if err != nil {
		return err
	}
	text := textproto.NewConn(conn)
	defer text.Close()
	if _, _, err := text.ReadResponse(220); err != nil {
		return err
	}
	for _, step := range []struct {
		code int
		line string
	}{{250, "LHLO crm.test"}, {250, "MAIL FROM:<" + from + ">"}, {250, "RCPT TO:<" + to + ">"}, {354, "DATA"}} {
		if err := text.PrintfLine("%s", step.line); err != nil {
			return err
		}
		if _, _, err := text.ReadResponse(step.code); err != nil {
			return fmt.Errorf("%s: %w", step.line, err)
		}
	}
	w := text.DotWriter()
	if _, err := w.Write(raw); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, _, err = text.ReadResponse(250)
	return err
}

// Place puts a mail into the office's mailbox byte for byte, for mails that no server would pass on as they are.
func (s *Server) Place(tb testing.TB, raw []byte) {
	tb.Helper()
	box := s.path("mail", Office, "Maildir")
	for _, dir := range []string{box, filepath.Join(box, "tmp"), filepath.Join(box, "new"), filepath.Join(box, "cur")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			tb.Fatalf("make the mailbox: %v", err)
		}
		if err := os.Chown(dir, mailUID, mailUID); err != nil {
			tb.Fatalf("give away the mailbox: %v", err)
		}
	}
	now := time.Now()
	name := fmt.Sprintf("%d.M%06dP%d.test", now.Unix(), now.Nanosecond()/1000, os.Getpid())
	tmp := filepath.Join(box, "tmp", name)
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		tb.Fatalf("place a mail: %v", err)
	}
	if err := os.Chown(tmp, mailUID, mailUID); err != nil {
		tb.Fatalf("give away a mail: %v", err)
	}
	if err := os.Rename(tmp, filepath.Join(box, "new", name)); err != nil {
		tb.Fatalf("place a mail: %v", err)
	}
}

// Mailbox reads every mail of the user's INBOX, oldest first, as the server keeps it on disk.
func (s *Server) Mailbox(tb testing.TB, user string) [][]byte {
	tb.Helper()
	return s.readMaildir(tb, s.path("mail", user, "Maildir"))
}

// Sent reads every mail of the user's folder Sent.
func (s *Server) Sent(tb testing.TB, user string) [][]byte {
	tb.Helper()
	return s.readMaildir(tb, s.path("mail", user, "Maildir", ".Sent"))
}

func (s *Server) readMaildir(tb testing.TB, box string) [][]byte {
	tb.Helper()
	var mails [][]byte
	for _, path := range maildirFiles(box) {
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // the server moved it from new to cur meanwhile: the next look will see it
		}
		if err != nil {
			tb.Fatalf("read a mail: %v", err)
		}
		mails = append(mails, b)
	}
	return mails
}

func maildirFiles(box string) []string {
	var paths []string
	for _, sub := range []string{"new", "cur"} {
		found, _ := filepath.Glob(filepath.Join(box, sub, "*"))
		paths = append(paths, found...)
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(arrival(a), arrival(b)) })
	return paths
}

// arrival is the time at which a mail came, in microseconds, as its file is named: seconds, ".M", microseconds, "P".
func arrival(path string) int64 {
	var seconds, micros int64
	fmt.Sscanf(filepath.Base(path), "%d.M%dP", &seconds, &micros)
	return seconds*1_000_000 + micros
}

// Flags tells the maildir flags of each mail of the user's INBOX ("S" is seen; lower-case letters are keywords).
func (s *Server) Flags(tb testing.TB, user string) []string {
	tb.Helper()
	var flags []string
	for _, path := range maildirFiles(s.path("mail", user, "Maildir")) {
		_, f, _ := strings.Cut(filepath.Base(path), ":2,")
		flags = append(flags, f)
	}
	return flags
}

// WaitMail waits until the user's INBOX holds n mails and returns them.
func (s *Server) WaitMail(tb testing.TB, user string, n int) [][]byte {
	tb.Helper()
	deadline := time.Now().Add(patience)
	for {
		mails := s.Mailbox(tb, user)
		if len(mails) >= n {
			return mails
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s has %d mails, not %d, after %v\n%s", user, len(mails), n, patience, s.Logs())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Age makes every mail of the user's INBOX look as if it had come that much earlier. No program may have the mailbox
// open meanwhile.
func (s *Server) Age(tb testing.TB, user string, by time.Duration) {
	tb.Helper()
	s.StopDovecot(tb)
	for _, path := range maildirFiles(s.path("mail", user, "Maildir")) {
		info, err := os.Stat(path)
		if err != nil {
			tb.Fatalf("look at a mail: %v", err)
		}
		if err := os.Chtimes(path, info.ModTime().Add(-by), info.ModTime().Add(-by)); err != nil {
			tb.Fatalf("age a mail: %v", err)
		}
	}
	os.Remove(s.path("mail", user, "Maildir", "dovecot.index.cache")) // where dovecot remembers the dates
	s.StartDovecot(tb)
}
