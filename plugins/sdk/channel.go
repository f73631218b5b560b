package sdk

import (
	"context"
	"io"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Ability is what a message over an account may be. Zeros are no limits.
type Ability struct {
	MaxText       int           // characters
	MaxAttachment int64         // bytes
	Attachments   int           // how many at most; -1 for none at all
	Begins        bool          // the office may write first
	ReplyWindow   time.Duration // after the customer's last message the office may answer so long
}

// Able is what a Channel may also be, when not every message goes over it. Ability is asked after each Configure, for
// each account; it must not talk to the world. A channel that is none can do everything without a limit.
type Able interface {
	Ability(channel, account string) Ability
}

// channel serves Plugin.Channel.
type channel struct {
	wirev1.UnimplementedChannelServer
	*server
}

// Ability says what the channel can do.
func (s channel) Ability(ctx context.Context, r *wirev1.AbilityRequest) (*wirev1.AbilityResponse, error) {
	able, ok := s.plugin.Channel.(Able)
	if !ok {
		return s.UnimplementedChannelServer.Ability(ctx, r)
	}
	a := able.Ability(r.GetChannel(), r.GetAccount())
	return &wirev1.AbilityResponse{
		MaxText: int32(a.MaxText), MaxAttachment: a.MaxAttachment, MaxAttachments: int32(a.Attachments),
		Begins: a.Begins, ReplyWindow: int64(a.ReplyWindow / time.Second),
	}, nil
}

// Send gives one message to the channel.
func (s channel) Send(ctx context.Context, r *wirev1.SendRequest) (*wirev1.SendResponse, error) {
	done, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	receipt, err := s.plugin.Channel.Send(ctx, s.host, s.outgoing(ctx, r))
	if err != nil {
		return nil, toWire(err)
	}
	answer := &wirev1.SendResponse{ExternalId: wire.Valid(receipt.ExternalID)}
	if !receipt.At.IsZero() {
		answer.At = timestamppb.New(receipt.At)
	}
	return answer, nil
}

func (s channel) outgoing(ctx context.Context, r *wirev1.SendRequest) Outgoing {
	out := Outgoing{
		IdempotencyKey: r.GetIdempotencyKey(), Channel: r.GetChannel(), Account: r.GetAccount(),
		To:      Party{Handle: r.GetTo().GetHandle(), Name: r.GetTo().GetName()},
		Subject: r.GetSubject(), Text: r.GetText(), ExternalID: r.GetExternalId(),
		InReplyTo: r.GetInReplyTo(), References: r.GetReferences(),
	}
	for _, f := range r.GetAttachments() {
		handle := f.GetHandle()
		out.Attachments = append(out.Attachments, File{
			Name: f.GetName(), Type: f.GetType(), Inline: f.GetInline(), Size: f.GetSize(),
			Open: func() (io.ReadCloser, error) { return s.host.open(ctx, handle) },
		})
	}
	return out
}
