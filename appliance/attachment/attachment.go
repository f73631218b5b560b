// Package attachment keeps the files that records hold in their fields: it takes them in, and gives them to those who
// may read the field.
//
// It owns the buckets attachment.uploads (who uploaded which blob lately) and attachment.held (which record holds or
// held a blob), and no facts: record tells of the change, and whoever opens a file is noted as journal.Opened.
//
// A blob is named by its content, so whoever has a file knows its name, and a name may leak. It promises that a name is
// no key: a record takes only a blob that its writer himself uploaded within a day, or that the same record held before
// (an undo, a restore), as it was uploaded in size and type; and a file is read only by way of a record and a field that
// the reader may see. This stands below every path, as a hook of record.
//
// It will not delete blobs: others may hold the same bytes. It will not look into files, but that what is called a
// picture begins like one.
package attachment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	uploadsBucket = "attachment.uploads"
	heldBucket    = "attachment.held"

	// uploadLife is how long a file may wait to be named by a record.
	uploadLife = 24 * time.Hour
	// maxUploads and maxUploadBytes bound what one account uploads within uploadLife: a file that no record names
	// stays on disk all the same.
	maxUploads     = 1000
	maxUploadBytes = 2 << 30
)

// Room takes files in and gives them out.
type Room struct {
	book    *record.Book
	gate    *access.Gate
	journal *journal.Journal
	blobs   *blob.Store
	now     func() time.Time
}

// New opens the room and hooks it into the book.
func New(book *record.Book, gate *access.Gate, j *journal.Journal, blobs *blob.Store, now func() time.Time) *Room {
	r := &Room{book: book, gate: gate, journal: j, blobs: blobs, now: now}
	book.WatchAll(r.willBeWritten)
	return r
}

// upload is what is remembered of a blob: when it came and as what.
type upload struct {
	At   time.Time `json:"at"`
	Size int64     `json:"size"`
	Type string    `json:"type"`
}

func uploadKey(actor, hash string) []byte {
	return append(append([]byte(actor), 0), rawHash(hash)...)
}

func heldKey(hash, entity string, id record.ID) []byte {
	return append(append(append(rawHash(hash), entity...), 0), id[:]...)
}

// rawHash is a blob's name in bytes. One that is none has been refused before.
func rawHash(hash string) []byte {
	raw, err := hex.DecodeString(hash)
	if err != nil {
		return []byte(hash)
	}
	return raw
}

// Put takes a file in and gives the value by which the actor may put it into a record within a day.
func (r *Room) Put(ctx context.Context, name, media string, from io.Reader) (schema.Attachment, error) {
	if err := r.mayUpload(ctx); err != nil {
		return schema.Attachment{}, err
	}
	a, err := r.store(ctx, name, media, from)
	if err != nil {
		return schema.Attachment{}, err
	}
	actor := access.ActorFrom(ctx).ID
	return a, r.book.Update(ctx, func(tx store.Tx) error {
		old, err := r.lately(tx, actor)
		if err != nil {
			return err
		}
		return r.remember(tx, actor, a, old)
	})
}

// PutWith is Put for one whose uploads are bounded elsewhere, as those of a plugin by its storage: keep is called in the
// transaction that remembers the upload, and may refuse it.
func (r *Room) PutWith(ctx context.Context, name, media string, from io.Reader, keep func(store.Tx, schema.Attachment) error) (schema.Attachment, error) {
	a, err := r.store(ctx, name, media, from)
	if err != nil {
		return schema.Attachment{}, err
	}
	actor := access.ActorFrom(ctx).ID
	return a, r.book.Update(ctx, func(tx store.Tx) error {
		if err := keep(tx, a); err != nil {
			return err
		}
		old, _, _ := r.uploads(tx, actor)
		return r.remember(tx, actor, a, old)
	})
}

// store keeps a file that may be an attachment.
func (r *Room) store(ctx context.Context, name, media string, from io.Reader) (schema.Attachment, error) {
	file := bufio.NewReaderSize(from, 512)
	a := schema.Attachment{Blob: hex.EncodeToString(make([]byte, 32)), Name: name, Type: media}
	if _, err := schema.AttachmentFrom(a); err != nil { // before anything is read
		return schema.Attachment{}, fault.InvalidField("name", fault.Of(err).Key, "limit", 255)
	}
	if head, _ := file.Peek(512); a.IsPicture() && !beginsLike(head, media) {
		return schema.Attachment{}, fault.InvalidField("type", "field.picture")
	}
	var err error
	a.Blob, a.Size, err = r.blobs.Put(ctx, file)
	return a, err
}

// mayUpload refuses those who can put a file nowhere, and who uploaded too much lately.
func (r *Room) mayUpload(ctx context.Context) error {
	somewhere := slices.ContainsFunc(r.book.Schema().Entities(), func(e *schema.Entity) bool {
		return len(fileFields(e)) > 0 && (r.gate.Scope(ctx, access.Create, e.Name) != access.None ||
			r.gate.Scope(ctx, access.Change, e.Name) != access.None)
	})
	if !somewhere {
		return fault.New(fault.Forbidden, "attachment.nowhere")
	}
	return r.book.View(ctx, func(tx store.Tx) error {
		_, err := r.lately(tx, access.ActorFrom(ctx).ID)
		return err
	})
}

// lately lists the uploads of an actor that are too old, and refuses one who has too many that are not.
func (r *Room) lately(tx store.Tx, actor string) (old [][]byte, err error) {
	old, n, size := r.uploads(tx, actor)
	if n >= maxUploads || size >= maxUploadBytes {
		return nil, fault.New(fault.TooMany, "attachment.too-many", "seconds", int(uploadLife/time.Second/24))
	}
	return old, nil
}

// uploads lists the uploads of an actor that are too old, and counts the others.
func (r *Room) uploads(tx store.Tx, actor string) (old [][]byte, n int, size int64) {
	prefix := append([]byte(actor), 0)
	for key, raw := range tx.Bucket(uploadsBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
		var u upload
		if json.Unmarshal(raw, &u) != nil || r.now().Sub(u.At) > uploadLife {
			old = append(old, bytes.Clone(key))
			continue
		}
		n, size = n+1, size+u.Size
	}
	return old, n, size
}

// remember writes down who uploaded what, and forgets what is too old.
func (r *Room) remember(tx store.Tx, actor string, a schema.Attachment, old [][]byte) error {
	raw, err := json.Marshal(upload{At: r.now(), Size: a.Size, Type: a.Type})
	if err != nil {
		return fault.Wrap(err, fault.Internal, "error.internal")
	}
	for _, key := range old {
		tx.Bucket(uploadsBucket).Delete(key)
	}
	tx.Bucket(uploadsBucket).Put(uploadKey(actor, a.Blob), raw)
	return nil
}

// beginsLike tells whether a file begins as the pictures of its media type do.
func beginsLike(head []byte, media string) bool {
	media, _, _ = mime.ParseMediaType(media)
	if media == "image/avif" { // ISO/IEC 23000-22: the major brand of the file type box
		return len(head) >= 12 && (string(head[4:12]) == "ftypavif" || string(head[4:12]) == "ftypavis")
	}
	return http.DetectContentType(head) == media
}

func fileFields(e *schema.Entity) (fields []*schema.Field) {
	for i := range e.Fields {
		if f := &e.Fields[i]; f.Type == schema.File || f.Type == schema.Picture {
			fields = append(fields, f)
		}
	}
	return fields
}

// willBeWritten refuses a record that names a blob which its writer did not upload.
func (r *Room) willBeWritten(ctx context.Context, tx store.Tx, before, after record.Record) error {
	if !after.Exists() {
		return nil
	}
	fields := fileFields(r.book.Schema().Entity(after.Entity()))
	if len(fields) == 0 {
		return nil
	}
	fresh := map[string]upload{}
	for _, f := range fields {
		for _, a := range after.Attachments(f.Name) {
			if before.Exists() && slices.Contains(before.Attachments(f.Name), a) {
				continue
			}
			key := heldKey(a.Blob, after.Entity(), after.ID)
			u, known, err := r.origin(ctx, tx, a, key)
			if err != nil {
				return err
			}
			if !known || u.Size != a.Size || u.Type != a.Type {
				return fault.InvalidField(f.Name, "attachment.not-yours")
			}
			fresh[string(key)] = u
		}
	}
	return hold(tx, fresh)
}

// hold remembers what a record holds, for the day when it is undone or restored.
func hold(tx store.Tx, fresh map[string]upload) error {
	for key, u := range fresh {
		raw, err := json.Marshal(u)
		if err != nil {
			return fault.Wrap(err, fault.Internal, "error.internal")
		}
		tx.Bucket(heldBucket).Put([]byte(key), raw)
	}
	return nil
}

// origin is what is known of a blob that a record is to hold: the record held it before, or the writer uploaded it
// lately. What the appliance itself writes need only be there.
func (r *Room) origin(ctx context.Context, tx store.Tx, a schema.Attachment, held []byte) (u upload, known bool, err error) {
	if raw := tx.Bucket(heldBucket).Get(held); raw != nil && json.Unmarshal(raw, &u) == nil {
		return u, true, nil
	}
	actor := access.ActorFrom(ctx)
	if actor.Role == access.System {
		return r.onDisk(a)
	}
	raw := tx.Bucket(uploadsBucket).Get(uploadKey(actor.ID, a.Blob))
	if raw == nil || json.Unmarshal(raw, &u) != nil || r.now().Sub(u.At) > uploadLife {
		return upload{}, false, nil
	}
	return u, true, nil
}

// onDisk vouches for a blob by its being there.
func (r *Room) onDisk(a schema.Attachment) (u upload, there bool, err error) {
	f, err := r.blobs.Open(a.Blob)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			err = nil
		}
		return upload{}, false, err
	}
	return upload{At: r.now(), Size: a.Size, Type: a.Type}, true, f.Close()
}

// Open gives the n-th file of a record's field, to those who may read it, and notes that it was opened.
func (r *Room) Open(ctx context.Context, entity string, id record.ID, field string, n int) (schema.Attachment, io.ReadCloser, error) {
	rec, err := r.book.Get(ctx, entity, id)
	if err != nil {
		return schema.Attachment{}, nil, err
	}
	e := r.book.Schema().Entity(entity)
	f := e.Field(field)
	if f == nil || f.Type != schema.File && f.Type != schema.Picture {
		return schema.Attachment{}, nil, fault.Missing("file", field)
	}
	files := rec.Attachments(field)
	if n < 0 || n >= len(files) {
		return schema.Attachment{}, nil, fault.Missing("file", field)
	}
	body, err := r.blobs.Open(files[n].Blob)
	if err != nil {
		return schema.Attachment{}, nil, err
	}
	contact := ""
	switch {
	case e.Contact == "id":
		contact = id.String()
	case e.Contact != "" && !rec.Link(e.Contact).Zero():
		contact = rec.Link(e.Contact).String()
	}
	if err := r.journal.Note(ctx, journal.Opened(entity, id.String(), contact)); err != nil {
		return schema.Attachment{}, nil, errors.Join(err, body.Close())
	}
	return files[n], body, nil
}
