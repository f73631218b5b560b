package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
)

// spoolInMemory is how much of a mail is kept in memory before it goes to a file.
const spoolInMemory = 1 << 20

// spool holds one mail, byte for byte: a small one in memory, a big one in a file of the working directory that has no
// name any more, so that nothing is left of it however the process ends.
type spool struct {
	dir  string
	mem  bytes.Buffer
	file *os.File
	size int64
	hash hash.Hash
}

func newSpool(dir string) *spool { return &spool{dir: dir, hash: sha256.New()} }

// Write appends to the mail.
func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.size+int64(len(p)) > spoolInMemory {
		if err := s.toFile(); err != nil {
			return 0, err
		}
	}
	var n int
	var err error
	if s.file != nil {
		if n, err = s.file.Write(p); err != nil {
			err = fmt.Errorf("write the mail to the working directory: %w", err)
		}
	} else {
		n, err = s.mem.Write(p)
	}
	s.size += int64(n)
	s.hash.Write(p[:n])
	return n, err
}

func (s *spool) toFile() error {
	f, err := os.CreateTemp(s.dir, "mail-*.tmp")
	if err != nil {
		return fmt.Errorf("make a file for the mail: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return fmt.Errorf("unlink the mail's file: %w", err)
	}
	if _, err := f.Write(s.mem.Bytes()); err != nil {
		f.Close()
		return fmt.Errorf("write the mail to the working directory: %w", err)
	}
	s.file, s.mem = f, bytes.Buffer{}
	return nil
}

// open reads the mail from its beginning. Several readers may be open at once, after the last Write.
func (s *spool) open() io.Reader {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return bytes.NewReader(s.mem.Bytes())
}

// sum is the SHA-256 of the mail in hexadecimal.
func (s *spool) sum() string { return hex.EncodeToString(s.hash.Sum(nil)) }

// close frees what the mail took.
func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
	}
	s.mem = bytes.Buffer{}
}
