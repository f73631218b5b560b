package pack

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/karov-crm/karov/appliance/fault"
)

// A package is a zip that any program can list, but of one form: each entry one after the other without gaps, without
// comments, extra fields, data descriptors or 64-bit sizes, stored or deflated, all of one moment. Whatever deviates
// is refused, so nothing can hide between entries, lie over another, or be one thing here and another in the directory.
const (
	localSignature   = 0x04034b50
	centralSignature = 0x02014b50
	endSignature     = 0x06054b50
	localSize        = 30
	centralSize      = 46
	endSize          = 22

	zipVersion   = 20        // deflate, no more
	zipByUnix    = 3<<8 | 20 // whose modes the entries have
	zipDate      = 0x0021    // 1 January 1980
	zipUTF8      = 1 << 11   // names are UTF-8
	typeRegular  = 0o100000  // of a mode of Unix
	typeMask     = 0o170000  //
	typeSymlink  = 0o120000  //
	maxDirectory = MaxFiles * (centralSize + maxName)
)

const (
	stored   = 0
	deflated = 8
)

// entry is one file in the zip.
type entry struct {
	name   string
	method uint16
	mode   uint32
	crc    uint32
	packed int64 // bytes in the zip
	size   int64 // bytes of the file
	at     int64 // of the local header
}

// header gives the fields that the local header and the directory share.
func (e *entry) header() []byte {
	b := binary.LittleEndian.AppendUint16(nil, zipVersion)
	b = binary.LittleEndian.AppendUint16(b, zipUTF8)
	b = binary.LittleEndian.AppendUint16(b, e.method)
	b = binary.LittleEndian.AppendUint16(b, 0) // time
	b = binary.LittleEndian.AppendUint16(b, zipDate)
	b = binary.LittleEndian.AppendUint32(b, e.crc)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.packed))
	b = binary.LittleEndian.AppendUint32(b, uint32(e.size))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.name)))
	return binary.LittleEndian.AppendUint16(b, 0) // no extra field
}

// local gives the entry's local header.
func (e *entry) local() []byte {
	b := binary.LittleEndian.AppendUint32(nil, localSignature)
	return append(append(b, e.header()...), e.name...)
}

// central gives the entry's place in the directory.
func (e *entry) central() []byte {
	b := binary.LittleEndian.AppendUint32(nil, centralSignature)
	b = binary.LittleEndian.AppendUint16(b, zipByUnix)
	b = append(b, e.header()...)
	b = append(b, make([]byte, 6)...) // no comment, disk 0, no internal attributes
	b = binary.LittleEndian.AppendUint32(b, (typeRegular|e.mode)<<16)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.at))
	return append(b, e.name...)
}

// zipWriter writes such a zip.
type zipWriter struct {
	w       io.Writer
	at      int64
	entries []entry
}

func (z *zipWriter) write(b []byte) error {
	n, err := z.w.Write(b)
	z.at += int64(n)
	return err
}

// add writes one file, deflated where that makes it smaller.
func (z *zipWriter) add(name string, mode uint32, content []byte) error {
	var packed bytes.Buffer
	deflate, err := flate.NewWriter(&packed, flate.BestSpeed) // half a second less for a twentieth more
	if err != nil {
		return err
	}
	if _, err := deflate.Write(content); err != nil {
		return err
	}
	if err := deflate.Close(); err != nil {
		return err
	}
	e := entry{name: name, method: deflated, mode: mode, crc: crc32.ChecksumIEEE(content), size: int64(len(content)), at: z.at}
	body := packed.Bytes()
	if e.packed = int64(len(body)); e.packed >= e.size || e.tooDense() {
		e.method, e.packed, body = stored, e.size, content
	}
	z.entries = append(z.entries, e)
	if err := z.write(e.local()); err != nil {
		return err
	}
	return z.write(body)
}

// tooDense tells whether the entry would grow beyond all measure: a bomb, or a file of nothing but zeros.
func (e *entry) tooDense() bool { return e.size > freeRatio && e.size/maxRatio > e.packed }

// close writes the directory.
func (z *zipWriter) close() error {
	begin := z.at
	for _, e := range z.entries {
		if err := z.write(e.central()); err != nil {
			return err
		}
	}
	return z.write(end(len(z.entries), z.at-begin, begin))
}

func end(entries int, size, at int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, endSignature)
	b = append(b, 0, 0, 0, 0) // one disk
	b = binary.LittleEndian.AppendUint16(b, uint16(entries))
	b = binary.LittleEndian.AppendUint16(b, uint16(entries))
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = binary.LittleEndian.AppendUint32(b, uint32(at))
	return append(b, 0, 0) // no comment
}

func malformed(why string) error {
	return fault.Wrap(errors.New(why), fault.Invalid, "pack.malformed")
}

// readDirectory reads and checks the directory of a zip and that every byte of the file belongs to it.
func readDirectory(r io.ReaderAt, size int64) ([]entry, error) {
	if size > MaxPackage {
		return nil, refuse("pack.too-large", "what", "*"+Extension, "limit", MaxPackage)
	}
	tail := make([]byte, endSize)
	if size < endSize {
		return nil, malformed("shorter than the end of a zip")
	}
	if err := readAt(r, tail, size-endSize); err != nil {
		return nil, err
	}
	count := int(binary.LittleEndian.Uint16(tail[10:]))
	length := int64(binary.LittleEndian.Uint32(tail[12:]))
	begin := int64(binary.LittleEndian.Uint32(tail[16:]))
	if !bytes.Equal(tail, end(count, length, begin)) || begin+length != size-endSize {
		return nil, malformed("the end of the zip is of another form")
	}
	if count > MaxFiles+3 || length > maxDirectory {
		return nil, refuse("pack.too-many-files", "limit", MaxFiles)
	}
	raw := make([]byte, length)
	if err := readAt(r, raw, begin); err != nil {
		return nil, err
	}
	entries, err := parseDirectory(raw, count)
	if err != nil {
		return nil, err
	}
	return entries, checkLayout(r, entries, begin)
}

func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return malformed("it ends too early")
	}
	return fault.Wrap(err, fault.Unavailable, "pack.unreadable")
}

func parseDirectory(raw []byte, count int) ([]entry, error) {
	entries, names := make([]entry, 0, count), make([]string, 0, count)
	for range count {
		if len(raw) < centralSize {
			return nil, malformed("the directory ends too early")
		}
		nameLen := int(binary.LittleEndian.Uint16(raw[28:]))
		if len(raw) < centralSize+nameLen {
			return nil, malformed("a name ends too early")
		}
		e := entry{
			name:   string(raw[centralSize : centralSize+nameLen]),
			method: binary.LittleEndian.Uint16(raw[10:]),
			crc:    binary.LittleEndian.Uint32(raw[16:]),
			packed: int64(binary.LittleEndian.Uint32(raw[20:])),
			size:   int64(binary.LittleEndian.Uint32(raw[24:])),
			at:     int64(binary.LittleEndian.Uint32(raw[42:])),
		}
		mode := binary.LittleEndian.Uint32(raw[38:]) >> 16
		e.mode = mode &^ typeMask
		if err := checkName(e.name); err != nil {
			return nil, err
		}
		if mode&typeMask == typeSymlink {
			return nil, refuse("pack.symlink", "file", e.name)
		}
		if !bytes.Equal(raw[:centralSize+nameLen], e.central()) {
			return nil, malformed("the entry " + e.name + " is of another form")
		}
		raw = raw[centralSize+nameLen:]
		entries, names = append(entries, e), append(names, e.name)
	}
	if len(raw) > 0 {
		return nil, malformed("something follows the directory")
	}
	return entries, checkNames(names)
}

// checkLayout holds the sizes against the limits before anything is unpacked, and the local headers against the
// directory.
func checkLayout(r io.ReaderAt, entries []entry, begin int64) error {
	var at, total int64
	for i := range entries {
		e := &entries[i]
		total += e.size
		switch {
		case e.method != stored && e.method != deflated, e.method == stored && e.size != e.packed:
			return malformed("the entry " + e.name + " is packed in another way")
		case e.tooDense() || total > MaxUnpacked:
			return refuse("pack.bomb", "file", e.name, "limit", MaxUnpacked)
		case e.mode != 0o644 && e.mode != 0o755:
			return malformed("the entry " + e.name + " has another mode")
		case e.at != at:
			return malformed("the entry " + e.name + " does not follow the one before")
		}
		want := e.local()
		got := make([]byte, len(want))
		if err := readAt(r, got, at); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return malformed("the entry " + e.name + " is another than in the directory")
		}
		if at += int64(len(want)) + e.packed; at > begin {
			return malformed("the entry " + e.name + " reaches into the directory")
		}
	}
	if at != begin {
		return malformed("something lies between the entries and the directory")
	}
	return nil
}

// copyTo unpacks the entry, never more than it says it has.
func (e *entry) copyTo(w io.Writer, from io.ReaderAt) error {
	section := io.NewSectionReader(from, e.at+localSize+int64(len(e.name)), e.packed)
	packed := bufio.NewReader(section) // from which flate reads no byte too many
	var content io.Reader = packed
	if e.method == deflated {
		inflate := flate.NewReader(packed)
		defer inflate.Close()
		content = inflate
	}
	sum := crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(writeOnly{w}, sum), io.LimitReader(content, e.size+1))
	var unwritable *writeError
	switch {
	case errors.As(err, &unwritable):
		return unwritable.error
	case err != nil:
		return fault.Wrap(err, fault.Invalid, "pack.tampered", "file", e.name)
	case n != e.size || sum.Sum32() != e.crc:
		return refuse("pack.tampered", "file", e.name)
	}
	if _, err := packed.ReadByte(); !errors.Is(err, io.EOF) {
		return refuse("pack.tampered", "file", e.name)
	}
	return nil
}

// writeOnly marks the errors of writing, so that a full disk is not taken for a damaged package.
type writeOnly struct{ w io.Writer }

type writeError struct{ error }

// Write writes.
func (w writeOnly) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}
