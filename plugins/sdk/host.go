package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// host is Host over the line.
type host struct {
	client  wirev1.HostClient
	log     *slog.Logger
	out     egress
	web     *http.Client // over out
	records records
	kv      kv
	blobs   blobs
	secrets secrets
	office  office
}

func newHost(conn grpc.ClientConnInterface, log *slog.Logger, out egress) *host {
	return &host{
		client: wirev1.NewHostClient(conn), log: log, out: out, web: out.httpClient(),
		records: records{wirev1.NewRecordsClient(conn)}, kv: kv{wirev1.NewKVClient(conn)},
		blobs: blobs{wirev1.NewBlobsClient(conn)}, secrets: secrets{wirev1.NewSecretsClient(conn)},
		office: office{wirev1.NewOfficeClient(conn)},
	}
}

// Log is the host's log.
func (h *host) Log() *slog.Logger { return h.log }

// Records is what the office holds.
func (h *host) Records() Records { return h.records }

// KV is the plugin's own store.
func (h *host) KV() KV { return h.kv }

// Blobs keeps files.
func (h *host) Blobs() Blobs { return h.blobs }

// Secrets keeps secrets.
func (h *host) Secrets() Secrets { return h.secrets }

// Office tells where the plugin is.
func (h *host) Office() Office { return h.office }

// Dial opens a connection by the way out.
func (h *host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return h.out.dial(ctx, network, addr)
}

// HTTPClient is the client over Dial.
func (h *host) HTTPClient() *http.Client { return h.web }

// Deliver streams the message to the host and returns when the host has it on disk.
func (h *host) Deliver(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, deliverWithin)
	defer cancel()
	head := messageHead(m)
	if proto.Size(head) > wire.MaxMessage-wire.ChunkSize {
		return local(wirev1.Kind_KIND_TOO_LARGE, "message.head-too-large", errors.New("the head of the message is too large to send"))
	}
	stream, err := h.client.Receive(ctx)
	if err != nil {
		return fromWire(err)
	}
	err = stream.Send(&wirev1.ReceiveRequest{Step: &wirev1.ReceiveRequest_Message{Message: head}})
	if err == nil {
		err = sendParts(stream, m)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err // the stream is cut by cancel: the host throws away what it has
	}
	// After io.EOF the host has ended the call, and its answer says why.
	_, err = stream.CloseAndRecv()
	return fromWire(err)
}

func messageHead(m Message) *wirev1.Message {
	head := &wirev1.Message{
		Channel: wire.Valid(m.Channel), Account: wire.Valid(m.Account), ExternalId: wire.Valid(m.ExternalID),
		From: partyToWire(m.From), To: partiesToWire(m.To), Cc: partiesToWire(m.CC),
		Subject: wire.Valid(m.Subject), Automatic: m.Automatic, Notice: wire.Valid(m.Notice), Cursor: wire.Valid(m.Cursor),
		HasRaw: m.Raw != nil,
	}
	for _, id := range m.InReplyTo {
		head.InReplyTo = append(head.InReplyTo, wire.Valid(id))
	}
	if at := timestamppb.New(m.SentAt); !m.SentAt.IsZero() && at.IsValid() {
		head.SentAt = at
	}
	if m.Raw != nil {
		head.Raw = fileToWire(*m.Raw)
	}
	for _, f := range m.Attachments {
		head.Attachments = append(head.Attachments, fileToWire(f))
	}
	return head
}

func partyToWire(p Party) *wirev1.Party {
	return &wirev1.Party{Handle: wire.Valid(p.Handle), Name: wire.Valid(p.Name)}
}

func partiesToWire(in []Party) []*wirev1.Party {
	out := make([]*wirev1.Party, 0, len(in))
	for _, p := range in {
		out = append(out, partyToWire(p))
	}
	return out
}

func fileToWire(f File) *wirev1.File {
	return &wirev1.File{Name: wire.Valid(f.Name), Type: wire.Valid(f.Type), Inline: f.Inline, Size: max(f.Size, 0)}
}

type receiveStream = grpc.ClientStreamingClient[wirev1.ReceiveRequest, wirev1.ReceiveResponse]

// sendParts streams what follows the head, in the order of the contract.
func sendParts(stream receiveStream, m Message) error {
	if m.Raw != nil {
		if err := sendFile(stream, wirev1.Part_PART_RAW, 0, *m.Raw); err != nil {
			return err
		}
	}
	if err := sendText(stream, wirev1.Part_PART_TEXT, m.Text); err != nil {
		return err
	}
	if err := sendText(stream, wirev1.Part_PART_HTML, m.HTML); err != nil {
		return err
	}
	for i, f := range m.Attachments {
		if err := sendFile(stream, wirev1.Part_PART_ATTACHMENT, uint32(i), f); err != nil {
			return err
		}
	}
	return nil
}

func sendText(stream receiveStream, part wirev1.Part, text string) error {
	for b := []byte(wire.Valid(text)); len(b) > 0; {
		n := min(len(b), wire.ChunkSize)
		if err := sendChunk(stream, &wirev1.Chunk{Part: part, Data: b[:n]}); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func sendFile(stream receiveStream, part wirev1.Part, index uint32, f File) error {
	if f.Open == nil {
		return local(wirev1.Kind_KIND_INVALID, "message.file-unreadable", fmt.Errorf("%s has no Open", f.Name))
	}
	r, err := f.Open()
	if err != nil {
		return local(wirev1.Kind_KIND_UNAVAILABLE, "message.file-unreadable", err)
	}
	defer r.Close()
	buf := make([]byte, wire.ChunkSize)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := sendChunk(stream, &wirev1.Chunk{Part: part, Attachment: index, Data: buf[:n]}); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return local(wirev1.Kind_KIND_UNAVAILABLE, "message.file-unreadable", err)
		}
	}
}

func sendChunk(stream receiveStream, c *wirev1.Chunk) error {
	return stream.Send(&wirev1.ReceiveRequest{Step: &wirev1.ReceiveRequest_Chunk{Chunk: c}})
}

// Cursor asks the host how far the plugin is.
func (h *host) Cursor(ctx context.Context, account string) (string, error) {
	answer, err := call(ctx, h.client.Cursor, &wirev1.CursorRequest{Account: wire.Valid(account)})
	return answer.GetCursor(), err
}

// SaveCursor keeps a cursor without a message.
func (h *host) SaveCursor(ctx context.Context, account, cursor string) error {
	ask := &wirev1.SaveCursorRequest{Account: wire.Valid(account), Cursor: wire.Valid(cursor)}
	_, err := call(ctx, h.client.SaveCursor, ask)
	return err
}

// Report tells the administrator how an account fares.
func (h *host) Report(ctx context.Context, r Health) error {
	_, err := call(ctx, h.client.Report, &wirev1.ReportRequest{
		Channel: wire.Valid(r.Channel), Account: wire.Valid(r.Account), Ok: r.OK, Key: wire.Valid(r.Key),
		Params: validParams(r.Params), Detail: wire.Valid(r.Detail),
	})
	return err
}

// open reads a file of a message that is being sent. The reader ends with ctx, which is that of the Send.
func (h *host) open(ctx context.Context, handle string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := h.client.ReadFile(ctx, &wirev1.ReadFileRequest{Handle: handle})
	if err != nil {
		cancel()
		return nil, fromWire(err)
	}
	return &pieces[*wirev1.ReadFileResponse]{recv: stream.Recv, bytes: (*wirev1.ReadFileResponse).GetData, end: cancel}, nil
}
