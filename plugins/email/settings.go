package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

// settings is the configuration of one mailbox, checked.
type settings struct {
	address, name string
	imap, smtp    endpoint
	folder        string
	roots         *x509.CertPool // nil: the system's
	poll          time.Duration
	history       int // days that the first start reads back
}

// endpoint is a server and how to get into it. There is no way without TLS.
type endpoint struct {
	host           string
	port           int
	starttls       bool // TLS after a greeting in the clear, instead of from the first byte
	user, password string
}

func (e endpoint) addr() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

func (e endpoint) tls(roots *x509.CertPool) *tls.Config {
	return &tls.Config{ServerName: e.host, RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Sentences for a wrong value in the configuration.
const (
	keySettingMissing  = "mail.setting-missing"
	keySettingAddress  = "mail.setting-address"
	keySettingNumber   = "mail.setting-number"
	keySettingSecurity = "mail.setting-security"
	keySettingCA       = "mail.setting-ca"
	keySettingText     = "mail.setting-text"
)

// readSettings checks a configuration and fills in what may be left out.
func readSettings(c sdk.Config) (settings, error) {
	for key, value := range c {
		if strings.ContainsAny(value, "\r\n\x00") {
			return settings{}, sdk.Invalid(key, keySettingText)
		}
	}
	s := settings{
		address: strings.ToLower(strings.TrimSpace(c["account.address"])), name: strings.TrimSpace(c["account.name"]),
		folder: or(c["imap.folder"], "INBOX"),
	}
	if s.address == "" {
		return settings{}, sdk.Invalid("account.address", keySettingMissing)
	}
	if a, err := mail.ParseAddress(s.address); err != nil || a.Address != s.address {
		return settings{}, sdk.Invalid("account.address", keySettingAddress)
	}
	var err error
	if s.imap, err = readEndpoint(c, "imap", "tls", [2]int{993, 143}); err != nil {
		return settings{}, err
	}
	if s.smtp, err = readEndpoint(c, "smtp", "starttls", [2]int{465, 587}); err != nil {
		return settings{}, err
	}
	s.imap.user = or(s.imap.user, s.address)
	if s.imap.password == "" {
		return settings{}, sdk.Invalid("imap.password", keySettingMissing)
	}
	s.smtp.user = or(s.smtp.user, s.imap.user)
	s.smtp.password = or(s.smtp.password, s.imap.password)
	poll, err := readNumber(c, "poll.seconds", 60, 5, 3600)
	if err != nil {
		return settings{}, err
	}
	s.poll = time.Duration(poll) * time.Second
	if s.history, err = readNumber(c, "history.days", 30, 0, 36500); err != nil {
		return settings{}, err
	}
	if s.roots, err = readRoots(c["tls.ca-file"]); err != nil {
		return settings{}, err
	}
	return s, nil
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// readEndpoint reads one server; ports are the usual ones for tls and for starttls.
func readEndpoint(c sdk.Config, prefix, security string, ports [2]int) (endpoint, error) {
	e := endpoint{host: strings.TrimSpace(c[prefix+".host"]), user: c[prefix+".user"], password: c[prefix+".password"]}
	if e.host == "" {
		return e, sdk.Invalid(prefix+".host", keySettingMissing)
	}
	port := ports[0]
	switch or(c[prefix+".security"], security) {
	case "tls":
	case "starttls":
		e.starttls, port = true, ports[1]
	default:
		return e, sdk.Invalid(prefix+".security", keySettingSecurity)
	}
	var err error
	e.port, err = readNumber(c, prefix+".port", port, 1, 65535)
	return e, err
}

func readNumber(c sdk.Config, key string, otherwise, least, most int) (int, error) {
	text := strings.TrimSpace(c[key])
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, sdk.Invalid(key, keySettingNumber)
	}
	return n, nil
}

// readRoots adds the office's own authority to those the system trusts.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, sdk.Invalid("tls.ca-file", keySettingCA)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, sdk.Invalid("tls.ca-file", keySettingCA)
	}
	return roots, nil
}
