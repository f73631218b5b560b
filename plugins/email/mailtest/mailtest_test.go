package mailtest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/smtp"
	"os"
	"testing"
)

func TestDeliverAndSubmit(t *testing.T) {
	s := Start(t)
	s.Deliver(t, []byte("From: alice@crm.test\r\nSubject: hello\r\n\r\nbody\r\n"))
	got := s.WaitMail(t, Office, 1)
	if !bytes.Contains(got[0], []byte("Subject: hello")) {
		t.Fatalf("the office got %q", got[0])
	}
	submit(t, s, OfficeSecret)
	got = s.WaitMail(t, Customer, 1)
	if !bytes.Contains(got[0], []byte("Subject: answer")) {
		t.Fatalf("the customer got %q", got[0])
	}
	s.ChangePassword(t, Office, "another")
	s.RestartDovecot(t)
	submit(t, s, "another")
	s.WaitMail(t, Customer, 2)
}

func submit(t *testing.T, s *Server, secret string) {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := smtp.Dial(fmt.Sprintf("%s:%d", s.Host, s.SubmissionPort))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{ServerName: s.Host, RootCAs: roots}); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(smtp.PlainAuth("", Office, secret, s.Host)); err != nil {
		t.Fatalf("%v\n%s", err, s.Logs())
	}
	if err := c.Mail(Office); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt(Customer); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, "From: office@crm.test\r\nSubject: answer\r\n\r\nbody\r\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
