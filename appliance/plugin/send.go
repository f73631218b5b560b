package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Send carries one message out through the plugin that provides its channel. A fault of kind Unavailable is worth
// another attempt; Invalid, Forbidden and NotFound are final. It implements inbox.Sender.
func (h *Host) Send(ctx context.Context, out inbox.Outbound) (inbox.Receipt, error) {
	s := h.provider(out.Channel, out.Account)
	if s == nil {
		return inbox.Receipt{}, fault.New(fault.Unavailable, "channel.not-running", "channel", out.Channel)
	}
	ctx, cancel := context.WithTimeout(ctx, h.o.Timing.Send)
	defer cancel()
	return s.send(ctx, out)
}

// provider finds the session that sends for an account: one that has the account, else one that has the channel.
func (h *Host) provider(channel, name string) *session {
	var second *session
	for _, p := range h.all() {
		if !slices.Contains(p.m.Provides.Channels, channel) {
			continue
		}
		has := slices.Contains(p.accounts(), account{channel, name})
		p.mu.Lock()
		s := p.session
		p.mu.Unlock()
		switch {
		case s == nil || !s.configured.Load():
		case has:
			return s
		case second == nil:
			second = s
		}
	}
	return second
}

func (s *session) send(ctx context.Context, out inbox.Outbound) (inbox.Receipt, error) {
	r := &wirev1.SendRequest{
		IdempotencyKey: fmt.Sprint(out.MessageID), Channel: out.Channel, Account: wire.Valid(out.Account),
		To:      &wirev1.Party{Handle: wire.Valid(out.To.Handle), Name: wire.Valid(out.To.Name)},
		Subject: wire.Valid(out.Subject), Text: wire.Valid(out.Text), ExternalId: wire.Valid(out.ExternalID),
		InReplyTo: wire.Valid(out.InReplyTo),
	}
	for _, ref := range out.References {
		r.References = append(r.References, wire.Valid(ref))
	}
	var lent []string
	defer func() { s.files.takeBack(lent) }()
	for _, a := range out.Attachments {
		handle := s.files.lend(a.Blob)
		lent = append(lent, handle)
		r.Attachments = append(r.Attachments, &wirev1.File{
			Name: wire.Valid(a.Name), Type: wire.Valid(a.Type), Inline: a.Inline, Size: a.Size, Handle: handle,
		})
	}
	if proto.Size(r) > wire.MaxMessage {
		return inbox.Receipt{}, fault.New(fault.Invalid, "channel.message-too-large")
	}
	answer, err := s.channel.Send(ctx, r)
	if err != nil {
		return inbox.Receipt{}, fromWire(err, sendFallback(err))
	}
	receipt := inbox.Receipt{ExternalID: wire.Cut(answer.GetExternalId(), maxName), At: s.p.host.o.Now()}
	if at := answer.GetAt(); at.IsValid() {
		receipt.At = at.AsTime()
	}
	return receipt, nil
}

// sendFallback is the sentence for an error that came without one: from gRPC itself, or from a plugin that says little.
func sendFallback(err error) string {
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return "channel.timeout"
	case codes.Unavailable, codes.Canceled:
		return "channel.not-running"
	}
	return "channel.failed"
}
