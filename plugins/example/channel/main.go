// Command example is the smallest channel, made to be copied: it watches a folder. A text file that is moved into
// in/ is a message of a customer (first line: who writes; the rest: the text); an answer is a file in out/.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

func main() {
	sdk.Main(sdk.Info{ID: "com.karov-crm.example", Version: "0.1.0"}, &folder{})
}

// folder is the channel. Its one account is the folder's path.
type folder struct{ path string }

// Configure looks at the values, not at the world.
func (f *folder) Configure(_ context.Context, c sdk.Config) error {
	if !filepath.IsAbs(c["folder"]) {
		return sdk.Invalid("folder", "example.folder-not-absolute")
	}
	f.path = filepath.Clean(c["folder"])
	return nil
}

// Accounts names the office's accounts that the configuration opens.
func (f *folder) Accounts() []string { return []string{f.path} }

// Run looks for new files until it is told to stop.
func (f *folder) Run(ctx context.Context, h sdk.Host) error {
	for {
		health := sdk.Health{Account: f.path, OK: true, Key: "example.watching"}
		if err := f.look(ctx, h); err != nil && ctx.Err() == nil {
			health = sdk.Health{Account: f.path, Key: "example.folder-unreadable", Detail: err.Error()}
		}
		if err := h.Report(ctx, health); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// look brings what lies in in/. A file leaves in/ only after the host has its message on disk.
func (f *folder) look(ctx context.Context, h sdk.Host) error {
	for _, dir := range []string{"in", "done", "refused"} {
		if err := os.MkdirAll(filepath.Join(f.path, dir), 0o700); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(f.path, "in", "*.txt"))
	if err != nil {
		return err
	}
	for _, file := range files {
		to := "done"
		err := f.bring(ctx, h, file)
		if sdk.IsPermanent(err) { // the host will never take it: set it aside and go on
			h.Log().Warn("a message was refused", "file", filepath.Base(file), "error", err)
			to = "refused"
		} else if err != nil {
			return err // it stays in in/ and is brought again
		}
		if err := os.Rename(file, filepath.Join(f.path, to, filepath.Base(file))); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) bring(ctx context.Context, h sdk.Host, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	from, text, _ := strings.Cut(string(raw), "\n")
	return h.Deliver(ctx, sdk.Message{
		Channel: "folder", Account: f.path,
		ExternalID: fmt.Sprintf("%s-%x", filepath.Base(file), sha256.Sum256(raw)), // the same each time it is brought
		From:       sdk.Party{Handle: strings.TrimSpace(from)},
		Text:       text, SentAt: info.ModTime(),
		Raw: &sdk.File{Name: filepath.Base(file), Type: "text/plain", Size: info.Size(),
			Open: func() (io.ReadCloser, error) { return os.Open(file) }},
	})
}

// Send writes the answer. The file is named by the idempotency key, so that a second attempt finds the first.
func (f *folder) Send(_ context.Context, _ sdk.Host, out sdk.Outgoing) (sdk.Receipt, error) {
	if strings.TrimSpace(out.To.Handle) == "" {
		return sdk.Receipt{}, sdk.Permanent("example.nobody", errors.New("no recipient"))
	}
	name := filepath.Join(f.path, "out", filepath.Base(out.IdempotencyKey))
	for i, a := range out.Attachments {
		if err := write(fmt.Sprintf("%s-%d%s", name, i+1, filepath.Ext(filepath.Base(a.Name))), a.Open); err != nil {
			return sdk.Receipt{}, sdk.Temporary("example.not-written", err)
		}
	}
	text := io.NopCloser(strings.NewReader("To: " + out.To.Handle + "\n\n" + out.Text + "\n"))
	if err := write(name+".txt", func() (io.ReadCloser, error) { return text, nil }); err != nil {
		return sdk.Receipt{}, sdk.Temporary("example.not-written", err)
	}
	return sdk.Receipt{ExternalID: out.ExternalID, At: time.Now()}, nil
}

// write makes the file whole or not at all.
func write(name string, open func() (io.ReadCloser, error)) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.CreateTemp(filepath.Dir(name), ".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(w.Name()) // after the rename there is nothing to remove
	_, err = io.Copy(w, r)
	if err := errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), name)
}
