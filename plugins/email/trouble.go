package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"syscall"

	"github.com/emersion/go-imap/v2"
	"github.com/karov-crm/karov/plugins/sdk"
)

// Sentences on how a mailbox fares.
const (
	keyConnected         = "mail.connected"
	keyLoginRefused      = "mail.login-refused"
	keyCertificate       = "mail.certificate"
	keyNoTLS             = "mail.no-tls"
	keyHostUnknown       = "mail.host-unknown"
	keyConnectionRefused = "mail.connection-refused"
	keyConnectionLost    = "mail.connection-lost"
	keyFolderMissing     = "mail.folder-missing"
	keyServerRefused     = "mail.server-refused"
	keyDisk              = "mail.disk"
	keyHost              = "" // the host itself is in trouble: it need not be told
)

// trouble is what keeps a mailbox from working, as people are told.
type trouble struct {
	key string
	err error
}

// Error describes the trouble for a log.
func (t *trouble) Error() string { return t.key + ": " + t.err.Error() }

// Unwrap gives what lies beneath.
func (t *trouble) Unwrap() error { return t.err }

// said is what the other side said, without what programs put around it.
func (t *trouble) said() string {
	var refused *imap.Error
	if errors.As(t.err, &refused) {
		return refused.Text
	}
	var reply *textproto.Error
	if errors.As(t.err, &reply) {
		return reply.Error()
	}
	return t.err.Error()
}

// troubleOf finds the sentence for an error of the network or of TLS; refused is the sentence for a server that
// answered, but with no.
func troubleOf(err error, refused string) *trouble {
	var known *trouble
	if errors.As(err, &known) {
		return known
	}
	var (
		no          *imap.Error
		reply       *textproto.Error
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		invalid     x509.CertificateInvalidError
		record      tls.RecordHeaderError
		host        *sdk.Error
		file        *fs.PathError
	)
	key := keyConnectionLost
	switch {
	case errors.As(err, &dns): // also by way of the host, who connects
		key = keyHostUnknown
	case errors.Is(err, syscall.ECONNREFUSED):
		key = keyConnectionRefused
	case errors.As(err, &host) && strings.HasPrefix(host.Key, "egress."):
	case errors.As(err, &host):
		key = keyHost
	case errors.As(err, &file):
		key = keyDisk
	case errors.As(err, &no), errors.As(err, &reply):
		key = refused
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid):
		key = keyCertificate
	case errors.As(err, &record):
		key = keyNoTLS
	}
	return &trouble{key, err}
}

// condition is how one mailbox fares, receiving and sending together: the host keeps one state for an account, and a
// working inbox must not hide that answers do not leave.
type condition struct {
	mu        sync.Mutex
	receiving sdk.Health
	sending   sdk.Health
}

func newCondition() *condition {
	return &condition{receiving: sdk.Health{OK: true, Key: keyConnected}, sending: sdk.Health{OK: true, Key: keyConnected}}
}

// received tells the host how receiving fares.
func (c *condition) received(ctx context.Context, h sdk.Host, now sdk.Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.receiving = now
	report := now
	if now.OK && !c.sending.OK {
		report = c.sending
	}
	c.tell(ctx, h, report)
}

// sent tells the host how sending fares. Success is news only after trouble.
func (c *condition) sent(ctx context.Context, h sdk.Host, now sdk.Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wasOK := c.sending.OK
	c.sending = now
	if !now.OK || !wasOK && c.receiving.OK {
		c.tell(ctx, h, now)
	}
}

// tell reports. An administrator who is not told now is told with the next change, so the error goes to the log only.
func (c *condition) tell(ctx context.Context, h sdk.Host, now sdk.Health) {
	if err := h.Report(ctx, now); err != nil && ctx.Err() == nil {
		h.Log().Warn("report how the mailbox fares", "key", now.Key, "error", err)
	}
}

func healthOf(account string, at endpoint, t *trouble) sdk.Health {
	return sdk.Health{
		Account: account, Key: t.key, Detail: t.said(),
		Params: map[string]string{"server": at.addr(), "user": at.user},
	}
}

func healthy(account string) sdk.Health {
	return sdk.Health{Account: account, OK: true, Key: keyConnected, Params: map[string]string{"account": account}}
}
