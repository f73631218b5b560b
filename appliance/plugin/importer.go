package plugin

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// ImportRow is one record that a plugin read out of a file, by column. Problem says why it could not be read.
type ImportRow struct {
	Line    int
	Values  map[string]string
	Problem string
}

// Importers lists the kinds of file that the running plugins read for an entity; "" for any.
func (h *Host) Importers(entity string) (out []ImporterRef) {
	h.each(func(p *supervised) {
		if _, err := p.current(); err != nil {
			return
		}
		for _, i := range p.m.Imports {
			if entity == "" || i.Entity == entity {
				out = append(out, ImporterRef{Plugin: p.m.ID, ImporterSpec: i})
			}
		}
	})
	return out
}

// ImporterRef is one declared importer.
type ImporterRef struct {
	Plugin string
	ImporterSpec
}

// ReadFile has a plugin read a file of another program. The rows come as the plugin finds them; an error ends them. It
// asks for the right to import the importer's entity.
func (h *Host) ReadFile(ctx context.Context, plugin, importer, name string, file io.Reader) iter.Seq2[ImportRow, error] {
	return func(yield func(ImportRow, error) bool) {
		if err := h.readFile(ctx, plugin, importer, name, file, yield); err != nil {
			yield(ImportRow{}, err)
		}
	}
}

func (h *Host) readFile(ctx context.Context, plugin, importer, name string, file io.Reader, yield func(ImportRow, error) bool) error {
	p, err := h.find(plugin)
	if err != nil {
		return err
	}
	place := slices.IndexFunc(p.m.Imports, func(i ImporterSpec) bool { return i.Name == importer })
	if place < 0 {
		return fault.Missing("importer", importer)
	}
	if err := h.o.Gate.Require(ctx, access.Import, access.Object{Entity: p.m.Imports[place].Entity}); err != nil {
		return err
	}
	s, err := p.current()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	call, done := s.asCaller(ctx)
	defer done()
	line, err := wirev1.NewImportClient(s.conn).Read(call)
	if err != nil {
		return fromWire(err, "plugin.import-failed")
	}
	failed := make(chan error, 1)
	go func() {
		err := sendFile(line, importer, name, file)
		failed <- err
		if err != nil {
			cancel(err) // the plugin must not wait for the rest
		}
	}()
	lang := languageOf(ctx)
	for {
		row, err := line.Recv()
		if errors.Is(err, io.EOF) {
			return <-failed
		}
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		if err != nil {
			return fromWire(err, "plugin.import-failed")
		}
		out := ImportRow{Line: int(row.GetLine()), Values: map[string]string{}}
		for column, value := range row.GetValues() {
			out.Values[wire.Cut(wire.Valid(column), maxName)] = wire.Valid(value)
		}
		if row.GetProblem() != nil {
			out.Problem = p.m.words(lang, row.GetProblem())
		}
		if !yield(out, nil) {
			return nil
		}
	}
}

func sendFile(line wirev1.Import_ReadClient, importer, name string, file io.Reader) error {
	if err := line.Send(&wirev1.ReadRequest{Importer: importer, Name: wire.Valid(name)}); err != nil {
		return nil // the plugin's own error comes by Recv
	}
	buf := make([]byte, wire.ChunkSize)
	for {
		n, err := file.Read(buf)
		if n > 0 {
			if failed := line.Send(&wirev1.ReadRequest{Data: slices.Clone(buf[:n])}); failed != nil {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return line.CloseSend()
		}
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "plugin.import-failed")
		}
	}
}
