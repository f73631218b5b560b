package transfer

import (
	"context"
	"fmt"

	"github.com/karov-crm/karov/appliance/fault"
)

// waiting is a row of the batch that is being filled: understood, or already rejected.
type waiting struct {
	row    row
	draft  Draft
	faults []fault.Field
}

// batch is one import on its way.
type batch struct {
	file     *file
	options  Options
	importer Importer
	rejects  *rejectFile
	result   Result
	rows     []waiting // of the transaction that is next
}

// run imports all rows. While one piece of the file is being written, the next ones are cut and understood.
func (b *batch) run(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	pieces := b.read(ctx)
	defer func() {
		cancel()
		for range pieces { // the file must be nobody's when Import returns
		}
	}()
	for p := range pieces {
		<-p.done
		if p.err != nil {
			return b.result, p.err
		}
		if err := ctx.Err(); err != nil {
			return b.result, fmt.Errorf("import rows: %w", err)
		}
		b.rows = p.understood
		if err := b.flush(ctx, p.end); err != nil {
			return b.result, err
		}
	}
	if err := ctx.Err(); err != nil { // then the pieces ended early
		return b.result, fmt.Errorf("import rows: %w", err)
	}
	return b.result, nil
}

// flush imports what waits and counts it. Nothing is counted of a batch that failed as a whole. End is how far the file
// was read for it.
func (b *batch) flush(ctx context.Context, end int64) error {
	if len(b.rows) == 0 {
		return nil
	}
	outcomes, errs, err := b.write(ctx)
	if err != nil {
		return err
	}
	next := 0
	for _, w := range b.rows {
		if len(w.faults) == 0 && !b.options.DryRun {
			if e := errs[next]; e != nil {
				w.faults = reasons(e, w.row.line)
			} else {
				b.count(outcomes[next])
			}
			next++
		}
		b.result.Rows++
		if len(w.faults) > 0 {
			if err := b.reject(w); err != nil {
				return err
			}
		}
	}
	if b.options.Progress != nil {
		b.options.Progress(Progress{Rows: b.result.Rows, Rejected: b.result.Rejected, Bytes: end, Size: b.file.size})
	}
	return nil
}

// write hands the understood rows to the importer.
func (b *batch) write(ctx context.Context) ([]Outcome, []error, error) {
	drafts := make([]Draft, 0, len(b.rows))
	for _, w := range b.rows {
		if len(w.faults) == 0 {
			drafts = append(drafts, w.draft)
		}
	}
	if len(drafts) == 0 || b.options.DryRun {
		return nil, nil, nil
	}
	outcomes, errs, err := b.importer.Import(ctx, drafts)
	if err != nil {
		return nil, nil, fmt.Errorf("import rows: %w", err)
	}
	if len(outcomes) != len(drafts) || len(errs) != len(drafts) {
		return nil, nil, fmt.Errorf("import rows: %d outcomes and %d errors for %d drafts", len(outcomes), len(errs), len(drafts))
	}
	return outcomes, errs, nil
}

func (b *batch) count(o Outcome) {
	switch o {
	case Created:
		b.result.Created++
	case Updated:
		b.result.Updated++
	case Unchanged:
		b.result.Unchanged++
	}
}

// reasons makes the reasons of a reject of what the importer says.
func reasons(err error, line int) []fault.Field {
	f := fault.Of(err)
	if len(f.Fields) == 0 {
		return []fault.Field{{Line: line, Key: f.Key, Params: f.Params}}
	}
	out := make([]fault.Field, len(f.Fields))
	for i, w := range f.Fields {
		w.Line = line
		out[i] = w
	}
	return out
}

// reject counts a row that is not imported, keeps the beginning of it and writes the whole to the reject file.
func (b *batch) reject(w waiting) error {
	b.result.Rejected++
	if b.options.row != nil {
		w.row.line = b.options.row(w.row.line)
		for i := range w.faults {
			w.faults[i].Line = w.row.line
		}
	}
	if len(b.result.Rejects) < keptRejects {
		raw := make([]string, min(len(w.row.cells), keptCells))
		for i := range raw {
			raw[i] = cut(w.row.cells[i], keptRaw)
		}
		b.result.Rejects = append(b.result.Rejects, Reject{Line: w.row.line, Fields: w.faults, Raw: raw})
	}
	return b.rejects.write(w.row, w.faults)
}
