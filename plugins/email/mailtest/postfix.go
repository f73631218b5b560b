package mailtest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/pfq
data_directory = %[1]s/pfdata
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.crm.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = crm.test
virtual_mailbox_maps = texthash:%[1]s/pf/vmap
virtual_transport = lmtp:inet:127.0.0.1:%[2]d
default_transport = error:no mail leaves this machine
relayhost =
message_size_limit = 67108864
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_tls_cert_file = %[1]s/tls/cert.pem
smtpd_tls_key_file = %[1]s/tls/key.pem
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:%[3]d
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access texthash:%[1]s/pf/access
smtpd_client_connection_rate_limit = 0
maillog_file = %[1]s/postfix.log
maillog_file_prefixes = %[1]s
import_environment = MAIL_CONFIG
smtputf8_enable = yes
alias_maps =
alias_database =
local_recipient_maps =
disable_dns_lookups = yes
smtp_host_lookup = native
`

const postfixMaster = `127.0.0.1:%[1]d inet n - n - - smtpd
127.0.0.1:%[2]d inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
127.0.0.1:%[3]d inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
showq     unix  n       -       n       -       -       showq
postlog   unix-dgram n  -       n       -       1       postlogd
`

// Recipients at which the server answers with a refusal: for good, and for now.
const (
	Banned = "banned@crm.test" // 554
	Later  = "later@crm.test"  // 451
)

func (s *Server) writePostfix(tb testing.TB) {
	tb.Helper()
	s.write(tb, "pf/main.cf", fmt.Sprintf(postfixMain, s.dir, s.LMTPPort, s.authPort))
	s.write(tb, "pf/master.cf", fmt.Sprintf(postfixMaster, s.SMTPPort, s.SubmissionPort, s.SubmissionsPort))
	s.write(tb, "pf/access", Banned+" 554 5.7.1 we do not like you\n"+Later+" 451 4.7.1 come back later\n")
	var users strings.Builder
	for _, user := range []string{Customer, Office, Banned, Later} {
		fmt.Fprintf(&users, "%s x\n", user)
	}
	s.write(tb, "pf/vmap", users.String())
	for _, dir := range []string{"pfq", "pfdata"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			tb.Fatalf("make postfix's folder: %v", err)
		}
	}
	out, err := exec.Command("chown", "postfix", s.path("pfdata")).CombinedOutput()
	if err != nil {
		tb.Fatalf("give postfix its folder: %v: %s", err, out)
	}
}

// StartPostfix starts the SMTP server after StopPostfix, on the same ports.
func (s *Server) StartPostfix(tb testing.TB) {
	tb.Helper()
	out, err := exec.Command("postfix", "-c", s.path("pf"), "start").CombinedOutput()
	if err != nil {
		tb.Fatalf("start postfix: %v: %s\n%s", err, out, s.readLog("postfix.log"))
	}
	s.waitPort(tb, s.SubmissionPort, "postfix.log")
}

// StopPostfix ends the SMTP server, by the process id it wrote into its own folder. It does nothing when the server
// is not running.
func (s *Server) StopPostfix(tb testing.TB) {
	tb.Helper()
	if exec.Command("postfix", "-c", s.path("pf"), "status").Run() != nil {
		return
	}
	if out, err := exec.Command("postfix", "-c", s.path("pf"), "stop").CombinedOutput(); err != nil {
		tb.Errorf("stop postfix: %v: %s", err, out)
	}
}
