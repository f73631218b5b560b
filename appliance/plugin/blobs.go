package plugin

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

const (
	// filesBucket holds the files that plugins put: id NUL hash to putFile.
	filesBucket = "plugin.files"

	maxFile  = 64 << 20
	fileLife = 24 * time.Hour // how long a file waits to be named
)

var blobForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// putFile is a file that a plugin put.
type putFile struct {
	Blob   string    `json:"blob"`
	At     time.Time `json:"at"`
	Size   int64     `json:"size"`
	Values int       `json:"values,omitempty"` // how many of the plugin's small values name it
}

func putFileKey(id, hash string) []byte {
	raw, err := hex.DecodeString(hash)
	if err != nil {
		raw = []byte(hash)
	}
	return kept(id, raw)
}

func putFileOf(tx store.Tx, id, hash string) (f putFile, there bool, err error) {
	raw := tx.Bucket(filesBucket).Get(putFileKey(id, hash))
	if raw == nil {
		return f, false, nil
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return f, false, fault.Wrap(err, fault.Internal, "store.damaged", "what", filesBucket)
	}
	return f, true, nil
}

func (f putFile) save(tx store.Tx, id string) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "error.internal")
	}
	tx.Bucket(filesBucket).Put(putFileKey(id, f.Blob), raw)
	return nil
}

// Put takes a file, and answers when it is on disk.
func (s blobsService) Put(stream grpc.ClientStreamingServer[wirev1.BlobPutRequest, wirev1.BlobPutResponse]) error {
	a, err := s.put(stream)
	if err != nil {
		return s.c.toWire(err)
	}
	return stream.SendAndClose(&wirev1.BlobPutResponse{File: fileToWire(a)})
}

// blobStream is what a file comes in by.
type blobStream interface {
	Context() context.Context
	Recv() (*wirev1.BlobPutRequest, error)
}

func (s blobsService) put(stream blobStream) (schema.Attachment, error) {
	ctx, err := s.c.begin(stream.Context())
	if err != nil {
		return schema.Attachment{}, err
	}
	o, m := s.c.s.p.host.o, s.c.s.p.m
	if o.Files == nil {
		return schema.Attachment{}, fault.New(fault.Unavailable, "plugin.service-absent")
	}
	head, err := stream.Recv()
	if err != nil {
		return schema.Attachment{}, streamCut(err)
	}
	name, media := head.GetName(), head.GetType()
	if name == "" {
		name = "file"
	}
	if media == "" {
		media = "application/octet-stream"
	}
	from := &blobReader{stream: stream}
	if err := from.take(head); err != nil {
		return schema.Attachment{}, err
	}
	a, err := o.Files.PutWith(ctx, name, media, from, func(tx store.Tx, a schema.Attachment) error {
		return m.keepFile(tx, a, o.Now().UTC())
	})
	if from.err != nil {
		return schema.Attachment{}, from.err
	}
	return a, err
}

// keepFile remembers that the plugin put a file, within what it may store.
func (m *Manifest) keepFile(tx store.Tx, a schema.Attachment, now time.Time) error {
	before := storageOf(tx, m.ID)
	after := before
	f, there, err := putFileOf(tx, m.ID, a.Blob)
	if err != nil {
		return err
	}
	if !there {
		f = putFile{Blob: a.Blob, Size: a.Size}
		after.files += a.Size + entryWeight
	}
	f.At = now
	if err := after.grew(before, m); err != nil {
		return err
	}
	after.save(tx, m.ID)
	return f.save(tx, m.ID)
}

// blobReader reads the chunks of a file. What went wrong stays in err, since those who read through it may wrap it.
type blobReader struct {
	stream blobStream
	rest   []byte
	size   int64
	err    error
}

func (r *blobReader) take(chunk *wirev1.BlobPutRequest) error {
	if len(chunk.GetData()) > wire.ChunkSize {
		return fault.New(fault.Invalid, "message.chunk-malformed")
	}
	r.rest = chunk.GetData()
	if r.size += int64(len(r.rest)); r.size > maxFile {
		return fault.New(fault.TooLarge, "message.too-large", "what", "file")
	}
	return nil
}

// Read gives the next bytes of the file.
func (r *blobReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		chunk, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			r.err = streamCut(err)
		} else {
			r.err = r.take(chunk)
		}
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func streamCut(err error) error { return fault.Wrap(err, fault.Unavailable, "message.cut-short") }

// Open gives the bytes of a file that the plugin put, or that a record names which the caller may see.
func (s blobsService) Open(r *wirev1.BlobOpenRequest, out grpc.ServerStreamingServer[wirev1.BlobOpenResponse]) error {
	f, err := s.open(out.Context(), r)
	if err != nil {
		return s.c.toWire(err)
	}
	defer f.Close()
	return s.c.stream(f, func(data []byte) error { return out.Send(&wirev1.BlobOpenResponse{Data: data}) })
}

// stream sends a file in pieces.
func (c *callbacks) stream(f io.Reader, send func([]byte) error) error {
	for buf := make([]byte, wire.ChunkSize); ; {
		n, err := io.ReadFull(f, buf)
		if n > 0 {
			if err := send(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return c.toWire(fmt.Errorf("read a file: %w", err))
		}
	}
}

func (s blobsService) open(ctx context.Context, r *wirev1.BlobOpenRequest) (io.ReadCloser, error) {
	ctx, err := s.c.begin(ctx)
	if err != nil {
		return nil, err
	}
	hash := r.GetBlob()
	if !blobForm.MatchString(hash) {
		return nil, fault.New(fault.NotFound, "file.not-found")
	}
	if r.GetRecord() != nil {
		err = s.named(ctx, r.GetRecord(), hash)
	} else {
		err = s.mine(ctx, hash)
	}
	if err != nil {
		return nil, err
	}
	return s.c.s.p.host.o.Blobs.Open(hash)
}

// mine refuses a file that the plugin did not put: a name is no key.
func (s blobsService) mine(ctx context.Context, hash string) error {
	return s.c.s.p.host.o.DB.View(ctx, func(tx store.Tx) error {
		_, there, err := putFileOf(tx, s.c.s.p.m.ID, hash)
		if err == nil && !there {
			err = fault.New(fault.NotFound, "file.not-found")
		}
		return err
	})
}

// named refuses a file that the record does not name in a field which the caller may read, and notes the others.
func (s blobsService) named(ctx context.Context, ref *wirev1.RecordRef, hash string) error {
	e, err := s.c.entity(ctx, access.See, ref.GetEntity())
	if err != nil {
		return err
	}
	id, err := record.ParseID(ref.GetId())
	if err != nil {
		return fault.Missing(e.Name, wire.Cut(ref.GetId(), 100))
	}
	book := s.c.s.p.host.o.Book
	r, err := book.Get(ctx, e.Name, id)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(e.Fields, func(f schema.Field) bool { return names(r, &f, hash) }) {
		return fault.New(fault.NotFound, "file.not-found")
	}
	contact, err := s.c.contactOf(ctx, e, id)
	if err != nil {
		return err
	}
	return book.TellOpened(ctx, e.Name, id, contact)
}

// names tells whether a field that the reader may read names a file: a file of the record's own, or of a message.
func names(r record.Record, f *schema.Field, hash string) bool {
	switch {
	case f.Type == schema.File || f.Type == schema.Picture:
		return slices.ContainsFunc(r.Attachments(f.Name), func(a schema.Attachment) bool { return a.Blob == hash })
	case r.Entity() == "message" && f.Name == "attachments":
		var files []inbox.Attachment
		return r.Data(f.Name, &files) == nil && slices.ContainsFunc(files, func(a inbox.Attachment) bool { return a.Blob == hash })
	}
	return false
}

// Tidy collects files now and each hour, until ctx ends.
func (h *Host) Tidy(ctx context.Context) error {
	every := time.NewTicker(time.Hour)
	defer every.Stop()
	for {
		if _, err := h.CollectFiles(ctx); err != nil && ctx.Err() == nil {
			h.o.Log.Error("collect the files of plugins", "error", err) // it is tried again in an hour
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// CollectFiles takes away the files that plugins put more than a day ago and that nothing names, and gives the room free.
// What a record names stays; the plugin opens it by way of the record from then on.
func (h *Host) CollectFiles(ctx context.Context) (removed int, err error) {
	if h.o.DB == nil || h.o.Book == nil {
		return 0, nil
	}
	old := map[string][]string{} // hash to the plugins that put it
	err = h.o.DB.View(ctx, func(tx store.Tx) error {
		clear(old)
		for key, raw := range tx.Bucket(filesBucket).Scan(nil, nil, false) {
			var f putFile
			id, _, found := bytes.Cut(key, []byte{0})
			if !found || json.Unmarshal(raw, &f) != nil || f.Values > 0 || h.o.Now().Sub(f.At) < fileLife {
				continue
			}
			old[f.Blob] = append(old[f.Blob], string(id))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	var gone []string
	for hash, plugins := range old {
		if err := h.letGo(ctx, hash, plugins); err != nil {
			return 0, err
		}
		gone = append(gone, hash)
	}
	return h.removeFiles(ctx, gone)
}

// letGo forgets that plugins put a file, unless it was named or put again meanwhile.
func (h *Host) letGo(ctx context.Context, hash string, plugins []string) error {
	return h.o.DB.Update(ctx, func(tx store.Tx) error {
		for _, id := range plugins {
			f, there, err := putFileOf(tx, id, hash)
			if err != nil {
				return err
			}
			if !there || f.Values > 0 || h.o.Now().Sub(f.At) < fileLife {
				continue
			}
			tx.Bucket(filesBucket).Delete(putFileKey(id, hash))
			used := storageOf(tx, id)
			used.files -= f.Size + entryWeight
			used.save(tx, id)
		}
		return nil
	})
}

// removeFiles takes those of the files from the disk that nothing names.
func (h *Host) removeFiles(ctx context.Context, hashes []string) (removed int, err error) {
	disk, removes := h.o.Blobs.(interface{ Remove(hash string) error })
	if len(hashes) == 0 || !removes {
		return 0, nil
	}
	free, err := h.o.Book.Unattached(ctx, hashes)
	if err != nil {
		return 0, err
	}
	for _, hash := range free {
		err := disk.Remove(hash)
		if err != nil && fault.Of(err).Key != "blob.in-use" {
			return removed, err
		}
		if err == nil {
			removed++
		}
	}
	return removed, nil
}
