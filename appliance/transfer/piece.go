package transfer

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/karov-crm/karov/appliance/fault"
)

// piece is a run of rows that becomes one transaction.
type piece struct {
	rows       []row
	understood []waiting // valid once done is closed
	end        int64     // how far the file was read for it
	err        error     // that ended the reading, after the rows of the pieces before
	done       chan struct{}
}

// aheadPieces is how many pieces are read ahead of the one that is written: few, so that the memory stays small.
const aheadPieces = 1

// read cuts the file into pieces, and has each understood by a goroutine of its own while the one before is written. The
// channel is closed when nothing reads the file any more.
func (b *batch) read(ctx context.Context) <-chan *piece {
	pieces, slots := make(chan *piece, aheadPieces), make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))
	go func() {
		defer close(pieces)
		for more := true; more; {
			p := &piece{done: make(chan struct{})}
			more = b.cut(ctx, p)
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			go func() {
				defer func() { <-slots; close(p.done) }()
				p.understand(&understander{columns: b.file.columns, region: b.options.Region, entity: b.options.Entity, mapper: b.file.mapper, zone: b.options.zone()})
			}()
			select {
			case pieces <- p:
			case <-ctx.Done():
				<-p.done
				return
			}
		}
	}()
	return pieces
}

// cut reads the rows of the next piece and tells whether there may be more.
func (b *batch) cut(ctx context.Context, p *piece) (more bool) {
	defer recovered(&p.err)
	for size := 0; len(p.rows) < b.options.Batch && size < maxBatch; {
		if ctx.Err() != nil {
			return false
		}
		r, err := b.file.rows.next()
		if err != nil {
			if p.end = b.file.read.n; err != io.EOF {
				p.err = fmt.Errorf("read import file: %w", err)
			}
			return false
		}
		p.rows, size = append(p.rows, r), size+r.size
	}
	p.end = b.file.read.n
	return true
}

// understand turns the rows into drafts. Rows that have nothing in them are left out.
func (p *piece) understand(u *understander) {
	defer recovered(&p.err)
	p.understood = make([]waiting, 0, len(p.rows))
	for _, r := range p.rows {
		w := waiting{row: r}
		if r.wrong.Key != "" {
			r.wrong.Line = r.line
			w.faults = []fault.Field{r.wrong}
		} else {
			blank := false
			if w.draft, w.faults, blank = u.understand(r); blank {
				continue
			}
		}
		p.understood = append(p.understood, w)
	}
	p.rows = nil
}

// recovered turns a panic over a hostile file into an error of its import.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("read import file: panic: %v\n%s", r, debug.Stack())
	}
}
