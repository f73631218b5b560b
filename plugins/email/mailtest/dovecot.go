package mailtest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// dovecotConfig has one setting a line, as dovecot 2.3 wants it. %[1]s is the folder, then the ports.
const dovecotConfig = `base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = required
ssl_cert = <%[1]s/tls/cert.pem
ssl_key = <%[1]s/tls/key.pem
disable_plaintext_auth = yes
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:~/Maildir
mail_uid = %[2]d
mail_gid = %[2]d
first_valid_uid = 100
mail_max_userip_connections = 50
lmtp_rcpt_check_quota = no
namespace inbox {
  inbox = yes
  mailbox Sent {
    special_use = \Sent
    auto = subscribe
  }
}
passdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
service imap-login {
  inet_listener imap {
    port = %[3]d
  }
  inet_listener imaps {
    port = %[4]d
    ssl = yes
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[5]d
  }
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = %[6]d
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
`

// withoutIDLE is what such a server says of itself after login.
const withoutIDLE = `imap_capability = IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE LITERAL+ UIDPLUS CHILDREN NAMESPACE SPECIAL-USE
`

func (s *Server) writeDovecot(tb testing.TB) {
	tb.Helper()
	config := fmt.Sprintf(dovecotConfig, s.dir, mailUID, s.IMAPPort, s.IMAPSPort, s.LMTPPort, s.authPort)
	if !s.idle {
		config += withoutIDLE
	}
	s.write(tb, "dovecot.conf", config)
}

// StartDovecot starts the IMAP server after StopDovecot, on the same ports with the same mailboxes.
func (s *Server) StartDovecot(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	cmd := exec.Command("dovecot", "-F", "-c", s.path("dovecot.conf"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that StopDovecot reaches its children
	if err := cmd.Start(); err != nil {
		s.mu.Unlock()
		tb.Fatalf("start dovecot: %v", err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait() // its exit code says nothing: it is always ended by a signal
		close(exited)
	}()
	s.dovecot, s.exited = cmd, exited
	s.mu.Unlock()
	s.waitPort(tb, s.IMAPSPort, "dovecot.log")
	s.waitPort(tb, s.LMTPPort, "dovecot.log")
}

// StopDovecot ends the IMAP server and every connection to it. It does nothing when the server is not running.
func (s *Server) StopDovecot(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	cmd, exited := s.dovecot, s.exited
	s.dovecot = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Errorf("stop dovecot: %v", err)
	}
	select {
	case <-exited:
	case <-time.After(patience):
		tb.Errorf("dovecot does not end; its log:\n%s", s.readLog("dovecot.log"))
		cmd.Process.Kill()
		<-exited
	}
	// The processes that hold connections stay for seconds after their master. Their group is our own.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		tb.Errorf("stop dovecot's children: %v", err)
	}
}

// RestartDovecot is StopDovecot and StartDovecot.
func (s *Server) RestartDovecot(tb testing.TB) {
	tb.Helper()
	s.StopDovecot(tb)
	s.StartDovecot(tb)
}

// ChangeUIDValidity gives the user's INBOX another UIDVALIDITY, as a server does that lost its index: every message
// keeps its content and gets another number.
func (s *Server) ChangeUIDValidity(tb testing.TB, user string) {
	tb.Helper()
	s.StopDovecot(tb)
	for _, name := range []string{"dovecot-uidlist", "dovecot.index", "dovecot.index.log", "dovecot.index.cache"} {
		if err := os.Remove(s.path("mail", user, "Maildir", name)); err != nil && !os.IsNotExist(err) {
			tb.Fatalf("forget the mailbox's numbers: %v", err)
		}
	}
	s.StartDovecot(tb)
}
