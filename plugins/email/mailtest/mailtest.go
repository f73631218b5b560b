// Package mailtest runs a real mail server for tests: Debian's dovecot (IMAP, LMTP) and postfix (submission, incoming),
// on free ports of 127.0.0.1, in a folder of their own, with a certificate authority made on the spot.
//
// It owns its folder and its processes and promises to end them, by their own process ids, when the test ends. It
// needs root and the packages dovecot-imapd, dovecot-lmtpd and postfix, and says so in one sentence when they are
// missing. Nothing it starts can send mail off the machine.
package mailtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The two mailboxes that every Server has.
const (
	Customer       = "alice@crm.test"
	CustomerSecret = "alice-password"
	Office         = "office@crm.test"
	OfficeSecret   = "office-password"
)

// mailUID owns the mailboxes. It needs no entry in the passwd file.
const mailUID = 5000

// patience is how long a server may take to come up or to go down.
const patience = 30 * time.Second

// Server is a running mail server.
type Server struct {
	Host            string // "127.0.0.1"; the certificate is for it and for "localhost"
	IMAPPort        int    // STARTTLS
	IMAPSPort       int    // TLS from the first byte
	LMTPPort        int    // where postfix and Deliver bring mail
	SMTPPort        int    // mail from outside, no login
	SubmissionPort  int    // STARTTLS and login
	SubmissionsPort int    // TLS from the first byte and login
	CAFile          string // PEM of the authority that signed the certificate

	tb       testing.TB
	dir      string
	authPort int
	idle     bool
	smtp     bool
	mu       sync.Mutex // guards secrets and dovecot
	secrets  map[string]string
	dovecot  *exec.Cmd
	exited   chan struct{} // closed when dovecot has ended
}

// Option changes what Start starts.
type Option func(*Server)

// WithoutIDLE makes an IMAP server that does not offer IDLE.
func WithoutIDLE() Option { return func(s *Server) { s.idle = false } }

// WithoutSMTP leaves postfix out, for tests that only read mail: it saves a second.
func WithoutSMTP() Option { return func(s *Server) { s.smtp = false } }

// Start starts a mail server that lives as long as the test.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	s := &Server{
		Host: "127.0.0.1", tb: tb, idle: true, smtp: true,
		secrets: map[string]string{Customer: CustomerSecret, Office: OfficeSecret},
	}
	for _, option := range options {
		option(s)
	}
	s.require(tb)
	// Not tb.TempDir: a unix socket's path may have no more than 107 bytes, and a test's name can be long.
	dir, err := os.MkdirTemp("/tmp", "kvmail")
	if err != nil {
		tb.Fatalf("make the mail server's folder: %v", err)
	}
	s.dir = dir
	tb.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // dovecot's login processes and postfix run as other users
		tb.Fatalf("open the mail server's folder: %v", err)
	}
	for _, port := range []*int{&s.IMAPPort, &s.IMAPSPort, &s.LMTPPort, &s.SMTPPort, &s.SubmissionPort, &s.SubmissionsPort, &s.authPort} {
		*port = freePort(tb)
	}
	s.makeCertificate(tb)
	s.writeUsers(tb)
	s.writeDovecot(tb)
	s.StartDovecot(tb)
	tb.Cleanup(func() { s.StopDovecot(tb) })
	if s.smtp {
		s.writePostfix(tb)
		s.StartPostfix(tb)
		tb.Cleanup(func() { s.StopPostfix(tb) })
	}
	return s
}

func (s *Server) require(tb testing.TB) {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Fatal("these tests start dovecot and postfix and must run as root")
	}
	need := []string{"dovecot"}
	if s.smtp {
		need = append(need, "postfix")
	}
	for _, program := range need {
		if _, err := exec.LookPath(program); err != nil {
			tb.Fatalf("%s is missing: apt-get install --no-install-recommends dovecot-imapd dovecot-lmtpd postfix", program)
		}
	}
}

// freePort asks the system for a port nobody uses.
func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// waitPort returns when something answers on the port, or fails the test with the server's log.
func (s *Server) waitPort(tb testing.TB, port int, log string) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("no server on port %d after %v: %v\n%s", port, patience, err, s.readLog(log))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *Server) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *Server) readLog(name string) string {
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Logs returns what both servers wrote, for a failing test to show.
func (s *Server) Logs() string {
	return s.readLog("dovecot.log") + s.readLog("postfix.log")
}

// RefusedLogins counts the IMAP logins that dovecot refused.
func (s *Server) RefusedLogins() int {
	n := 0
	for line := range strings.Lines(s.readLog("dovecot.log")) {
		if strings.Contains(line, "imap-login:") && strings.Contains(line, "auth failed") {
			n++
		}
	}
	return n
}

// ChangePassword gives a user another password; logins that stand are not touched.
func (s *Server) ChangePassword(tb testing.TB, user, secret string) {
	tb.Helper()
	s.mu.Lock()
	s.secrets[user] = secret
	s.mu.Unlock()
	s.writeUsers(tb)
}

func (s *Server) writeUsers(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for user, secret := range s.secrets {
		home := s.path("mail", user)
		if err := os.MkdirAll(home, 0o700); err != nil {
			tb.Fatalf("make the home of %s: %v", user, err)
		}
		for _, dir := range []string{s.path("mail"), home} {
			if err := os.Chown(dir, mailUID, mailUID); err != nil {
				tb.Fatalf("give away %s: %v", dir, err)
			}
		}
		fmt.Fprintf(&b, "%s:{PLAIN}%s:%d:%d::%s::\n", user, secret, mailUID, mailUID, home)
	}
	// By rename: dovecot sees a new file at once, never half of one.
	s.write(tb, "users.new", b.String())
	if err := os.Rename(s.path("users.new"), s.path("users")); err != nil {
		tb.Fatalf("write the users: %v", err)
	}
}

func (s *Server) write(tb testing.TB, name, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		tb.Fatalf("make the folder of %s: %v", name, err)
	}
	if err := os.WriteFile(s.path(name), []byte(content), 0o644); err != nil {
		tb.Fatalf("write %s: %v", name, err)
	}
}
