package sdk

import (
	"context"
	"io"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// Row is one record to be, out of a file of another program.
type Row struct {
	Line    int               // where it stands in the file, from 1
	Values  map[string]string // by column: people map columns to fields, as they do for CSV
	Problem Words             // why the row cannot be read; none when it can
}

// ImportFunc turns a file into rows. It hands each one to row as soon as it is read, from one goroutine, and returns
// when row gives an error. What cannot be read is a Row with a Problem, so that the rest is not lost; an error says that
// the whole file is not what it should be. The file is foreign: be ready for anything in it.
type ImportFunc func(ctx context.Context, name string, file io.Reader, row func(Row) error) error

// importer serves Plugin.Import.
type importer struct {
	wirev1.UnimplementedImportServer
	*server
}

// Read reads one file.
func (s importer) Read(stream grpc.BidiStreamingServer[wirev1.ReadRequest, wirev1.Row]) error {
	done, err := s.begin()
	if err != nil {
		return err
	}
	defer done()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	read, ok := s.plugin.Import[first.GetImporter()]
	if !ok {
		return unserved("importer", first.GetImporter())
	}
	file := &pieces[*wirev1.ReadRequest]{recv: stream.Recv, rest: first.GetData(), bytes: (*wirev1.ReadRequest).GetData}
	return toAnswer(read(stream.Context(), first.GetName(), file, func(r Row) error {
		return stream.Send(&wirev1.Row{Line: int64(r.Line), Values: validParams(r.Values), Problem: r.Problem.wire()})
	}))
}
