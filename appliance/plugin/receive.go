package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// Limits of one message that comes in.
const (
	maxRaw         = 100 << 20 // the original
	maxText        = 5 << 20   // text and HTML, each
	maxAttachment  = 64 << 20
	maxWhole       = 100 << 20 // text, HTML and attachments together
	maxAttachments = 500
	maxParties     = 2000 // recipients, ids that it answers
	maxSubject     = 10 << 10
	maxExternalID  = 2000
	receivesAtOnce = 4 // messages of one plugin in memory at a time
)

// Receive takes one message. Its files are durable before its record is written, and the plugin has its answer after.
func (c *callbacks) Receive(stream grpc.ClientStreamingServer[wirev1.ReceiveRequest, wirev1.ReceiveResponse]) error {
	ctx := c.actor(stream.Context())
	select {
	case c.s.taking <- struct{}{}:
		defer func() { <-c.s.taking }()
	case <-ctx.Done():
		return c.toWire(fault.Wrap(ctx.Err(), fault.Unavailable, "plugin.busy"))
	}
	in, err := c.take(ctx, stream)
	if err != nil {
		return c.toWire(err)
	}
	if err := c.s.p.host.o.Inbox.Receive(ctx, in); err != nil {
		return c.toWire(fmt.Errorf("receive a message: %w", err))
	}
	return stream.SendAndClose(&wirev1.ReceiveResponse{})
}

type receiveStream interface {
	Recv() (*wirev1.ReceiveRequest, error)
}

// take reads the whole message, its files into the blob store.
func (c *callbacks) take(ctx context.Context, stream receiveStream) (inbox.Inbound, error) {
	first, err := stream.Recv()
	if err != nil {
		return inbox.Inbound{}, cutShort(err)
	}
	head := first.GetMessage()
	if head == nil {
		return inbox.Inbound{}, fault.New(fault.Invalid, "message.head-missing")
	}
	in, err := c.inbound(head)
	if err != nil {
		return inbox.Inbound{}, err
	}
	parts := &partReader{stream: stream}
	if err := parts.advance(); err != nil {
		return inbox.Inbound{}, err
	}
	if head.GetHasRaw() {
		if in.Raw, _, err = c.store(ctx, parts, part{kind: wirev1.Part_PART_RAW, limit: maxRaw}); err != nil {
			return inbox.Inbound{}, err
		}
	}
	parts.left = maxWhole
	if in.Text, err = parts.text(wirev1.Part_PART_TEXT); err != nil {
		return inbox.Inbound{}, err
	}
	if in.HTML, err = parts.text(wirev1.Part_PART_HTML); err != nil {
		return inbox.Inbound{}, err
	}
	for i := range in.Attachments {
		p := part{kind: wirev1.Part_PART_ATTACHMENT, index: uint32(i), limit: maxAttachment}
		a := &in.Attachments[i]
		if a.Blob, a.Size, err = c.store(ctx, parts, p); err != nil {
			return inbox.Inbound{}, err
		}
	}
	if parts.chunk != nil {
		return inbox.Inbound{}, fault.New(fault.Invalid, "message.part-unexpected")
	}
	return in, nil
}

// store keeps one part in the blob store.
func (c *callbacks) store(ctx context.Context, parts *partReader, p part) (string, int64, error) {
	parts.begin(p)
	hash, size, err := c.s.p.host.o.Blobs.Put(ctx, parts)
	if parts.err != nil {
		return "", 0, parts.err
	}
	if err != nil {
		return "", 0, fmt.Errorf("keep a file: %w", err)
	}
	return hash, size, nil
}

// inbound checks the head. Nothing in it is believed further than it is checked here.
func (c *callbacks) inbound(m *wirev1.Message) (inbox.Inbound, error) {
	a, err := c.account(m.GetChannel(), m.GetAccount())
	if err != nil {
		return inbox.Inbound{}, err
	}
	in := inbox.Inbound{
		Channel: a.channel, Account: a.account, ExternalID: m.GetExternalId(), From: party(m.GetFrom()),
		To: parties(m.GetTo()), CC: parties(m.GetCc()), Subject: wire.Cut(m.GetSubject(), maxSubject),
		InReplyTo: m.GetInReplyTo(), Automatic: m.GetAutomatic(), Notice: m.GetNotice(), Cursor: m.GetCursor(),
	}
	switch {
	case in.ExternalID == "" || len(in.ExternalID) > maxExternalID:
		return in, fault.InvalidField("external_id", "field.malformed")
	case in.From.Handle == "" || len(m.GetFrom().GetHandle()) > maxName:
		return in, fault.InvalidField("from", "field.malformed")
	case len(in.Cursor) > maxCursor:
		return in, fault.New(fault.TooLarge, "message.too-large", "what", "cursor")
	case in.Notice != "" && !wire.ValidKey(in.Notice):
		return in, fault.InvalidField("notice", "field.malformed")
	case len(m.GetAttachments()) > maxAttachments:
		return in, fault.New(fault.Invalid, "message.too-many-attachments", "limit", maxAttachments)
	case len(in.To)+len(in.CC)+len(in.InReplyTo) > maxParties:
		return in, fault.New(fault.Invalid, "message.too-many-recipients", "limit", maxParties)
	}
	if at := m.GetSentAt(); at.IsValid() {
		in.SentAt = at.AsTime()
	} else {
		in.SentAt = c.s.p.host.o.Now()
	}
	if y := in.SentAt.Year(); y < 1970 || y > 9998 {
		in.SentAt = time.Unix(0, 0).UTC()
	}
	for _, f := range m.GetAttachments() {
		in.Attachments = append(in.Attachments, inbox.Attachment{
			Name: wire.Cut(f.GetName(), maxName), Type: wire.Cut(f.GetType(), 200), Inline: f.GetInline(),
		})
	}
	return in, nil
}

func party(p *wirev1.Party) inbox.Party {
	return inbox.Party{Handle: wire.Cut(p.GetHandle(), maxName), Name: wire.Cut(p.GetName(), maxName)}
}

func parties(in []*wirev1.Party) []inbox.Party {
	var out []inbox.Party
	for _, p := range in {
		out = append(out, party(p))
	}
	return out
}

// part names one part of a message and how long it may be.
type part struct {
	kind  wirev1.Part
	index uint32
	limit int64
}

// partReader reads the chunks of one part after the other. What went wrong stays in err, since those who read through
// it may wrap or lose it.
type partReader struct {
	stream receiveStream
	chunk  *wirev1.Chunk // the one being read, nil at the end of the message
	rest   []byte        // of it
	now    part
	size   int64 // of the part so far
	left   int64 // for all parts but the original
	err    error
}

func (r *partReader) begin(p part) { r.now, r.size = p, 0 }

// advance takes the next chunk from the stream.
func (r *partReader) advance() error {
	r.chunk, r.rest = nil, nil
	m, err := r.stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return cutShort(err)
	}
	c := m.GetChunk()
	if c == nil || len(c.GetData()) > wire.ChunkSize {
		return fault.New(fault.Invalid, "message.chunk-malformed")
	}
	r.chunk, r.rest = c, c.GetData()
	return nil
}

// Read gives the next bytes of the part, io.EOF where the next part begins.
func (r *partReader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.chunk == nil || r.chunk.GetPart() != r.now.kind || r.chunk.GetAttachment() != r.now.index {
			return 0, io.EOF
		}
		if len(r.rest) > 0 {
			break
		}
		r.err = r.advance()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.size += int64(n)
	if r.now.kind != wirev1.Part_PART_RAW {
		r.left -= int64(n)
	}
	if r.size > r.now.limit || r.left < 0 {
		r.err = fault.New(fault.Invalid, "message.too-large", "what", partName(r.now.kind))
		return 0, r.err
	}
	return n, nil
}

func partName(p wirev1.Part) string {
	return strings.ToLower(strings.TrimPrefix(p.String(), "PART_"))
}

// text reads a part that is text.
func (r *partReader) text(kind wirev1.Part) (string, error) {
	r.begin(part{kind: kind, limit: maxText})
	var b strings.Builder
	if _, err := io.Copy(&b, r); err != nil {
		return "", err
	}
	if !utf8.ValidString(b.String()) {
		return wire.Valid(b.String()), nil
	}
	return b.String(), nil
}

// cutShort is the fault of a stream that broke: the plugin ended, or gave up. The message is thrown away; a plugin that
// lives brings it again.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "message.head-missing")
	}
	return fault.Wrap(err, fault.Unavailable, "message.cut-short")
}
