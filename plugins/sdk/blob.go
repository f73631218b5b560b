package sdk

import (
	"context"
	"errors"
	"io"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Blob is a file that Karov keeps: a value of a file or picture field.
type Blob struct {
	ID   string // what Blobs.Put answered
	Name string
	Type string // media type
	Size int64  // in bytes
	In   Ref    // the record that holds it, zero for one that the plugin put itself
}

// KV is the value that makes a key of KV hold the file, so that it stays when no record names it.
func (b Blob) KV() []byte { return []byte("blob:" + b.ID) }

func (b Blob) wire() *wirev1.BlobRef {
	return &wirev1.BlobRef{Blob: wire.Valid(b.ID), Name: wire.Valid(b.Name), Type: wire.Valid(b.Type), Size: max(b.Size, 0)}
}

func plainBlob(b *wirev1.BlobRef, in Ref) Blob {
	return Blob{ID: b.GetBlob(), Name: b.GetName(), Type: b.GetType(), Size: b.GetSize(), In: in}
}

// Blobs keeps files. One that no record, message or value of KV names may be collected after a day.
type Blobs interface {
	// Put reads r to its end, at most 64 MB, and answers when the file is on disk. Write the Blob into a field, or hold it
	// by KV.
	Put(ctx context.Context, name, mediaType string, r io.Reader) (Blob, error)
	// Open reads a file that the plugin put itself, or that a record holds (Values.File) which the caller may see. The
	// reader ends with ctx and must be closed.
	Open(ctx context.Context, b Blob) (io.ReadCloser, error)
}

// blobs is Blobs over the line.
type blobs struct{ client wirev1.BlobsClient }

// Put streams a file to the host.
func (c blobs) Put(ctx context.Context, name, mediaType string, r io.Reader) (Blob, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverWithin)
	defer cancel()
	stream, err := c.client.Put(ctx)
	if err != nil {
		return Blob{}, fromWire(err)
	}
	err = eachChunk(r, func(i int, data []byte) error {
		chunk := &wirev1.BlobPutRequest{Data: data}
		if i == 0 {
			chunk.Name, chunk.Type = wire.Valid(name), wire.Valid(mediaType)
		}
		return stream.Send(chunk)
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return Blob{}, err // the stream is cut by cancel: the host throws away what it has
	}
	// After io.EOF the host has ended the call, and its answer says why.
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return Blob{}, fromWire(err)
	}
	return plainBlob(answer.GetFile(), Ref{}), nil
}

// eachChunk gives r piece by piece, and one empty piece where r is empty. The error io.EOF is send's, never r's.
func eachChunk(r io.Reader, send func(i int, data []byte) error) error {
	buf := make([]byte, wire.ChunkSize)
	for i := 0; ; i++ {
		n, err := io.ReadFull(r, buf)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if n > 0 || i == 0 && ended {
			if err := send(i, buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case ended:
			return nil
		case err != nil:
			return local(wirev1.Kind_KIND_UNAVAILABLE, "file.unreadable", err)
		}
	}
}

// Open reads a file of the host.
func (c blobs) Open(ctx context.Context, b Blob) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.client.Open(ctx, &wirev1.BlobOpenRequest{Blob: wire.Valid(b.ID), Record: b.In.wire()})
	if err != nil {
		cancel()
		return nil, fromWire(err)
	}
	return &pieces[*wirev1.BlobOpenResponse]{recv: stream.Recv, bytes: (*wirev1.BlobOpenResponse).GetData, end: cancel}, nil
}

// pieces is a file, or a body, that comes piece by piece.
type pieces[Q any] struct {
	recv  func() (Q, error)
	bytes func(Q) []byte
	end   context.CancelFunc // nil where the stream ends by itself
	rest  []byte
	err   error
}

// Read gives the next bytes.
func (p *pieces[Q]) Read(to []byte) (int, error) {
	for len(p.rest) == 0 && p.err == nil {
		piece, err := p.recv()
		if err == nil {
			p.rest = p.bytes(piece)
			continue
		}
		if p.err = err; !errors.Is(err, io.EOF) {
			p.err = fromWire(err)
		}
	}
	if len(p.rest) == 0 {
		return 0, p.err
	}
	n := copy(to, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// Close lets go of what is left.
func (p *pieces[Q]) Close() error {
	if p.end != nil {
		p.end()
	}
	return nil
}
