// Package transfer brings an office's customers in from the file that it has, a CSV as Excel, Outlook or Google saved it,
// and records of any kind from CSV and JSON by the schema, or either from the first sheet of a workbook (XLSX); and it
// takes records out into files.
//
// It owns the bucket transfer.rows (which rows became which records). It turns rows into drafts and hands them, a batch a
// transaction, to an Importer: the contact room, which knows what exists already, or record. What is taken out is told
// to the journal as <entity>.exported.
//
// It promises that no row is dropped silently: each row of the file is created, updated, unchanged, or rejected with
// its line and reasons; a broken row takes no other row with it (reading goes on at the next line that is a whole
// row); a column that is not understood is named in the result. The same file twice changes nothing: each draft
// carries a key that is the same for the same row. It never holds the file in memory.
//
// How doubtful text is taken: spaces at the ends and characters that only steer the direction of writing (bidi marks,
// zero-width spaces) are stripped, since Outlook and messengers put them round phones where nobody sees them; NUL and
// other control characters, and letters that the encoding does not have, make the row an error. A leading apostrophe
// before what a spreadsheet would calculate or shorten (= + - @, 0501…) is the mark of text and is taken away; the
// reject file writes the same mark (see rejectFile). Dates are day first. Rows with fewer cells than the header are
// errors, except in long runs: Excel itself leaves empty cells at the end out so (see shortRuns).
//
// It will not guess meanings from the cells, or ask the user: the result says what was understood.
package transfer

import (
	"context"
	"io"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// Draft is one row, understood: a customer as the file describes them.
type Draft struct {
	Kind       string // "person" or "company"
	Name       string
	Company    string
	City       string
	Address    string
	Note       string
	Birthday   string // ISO, as 1980-05-12
	OwnerEmail string // the member of staff whose customer it is
	Phones     []string
	PhonesE164 []string // Phones[i] in E.164; Phones keeps what was typed
	Emails     []string
	ExternalID string // what the other system calls this customer
	Key        string // "import:" + hex; the same for the same row

	Values record.Values // of records of any kind, in place of all that is above but Key
}

// Outcome is what became of one draft.
type Outcome int

const (
	Created   Outcome = iota // a new contact
	Unchanged                // it exists already with all of this
	Updated                  // empty fields were filled, identities added
)

// Importer writes drafts. One call is one transaction; drafts are taken in order, each seeing what the ones before it
// did, so that the same row twice in one batch makes one contact. The first two results have one entry a draft: an
// error there is a fault that rejects this draft alone. The last error is for the whole batch, of which then nothing
// is written. A batch may be given again: its drafts' keys make that harmless.
type Importer interface {
	Import(ctx context.Context, drafts []Draft) ([]Outcome, []error, error)
}

// Options say how to read one file. The zero value reads a file with nothing but what is found in it.
type Options struct {
	Entity   *schema.Entity    // records of any kind, by its fields, from CSV or JSON; nil for customers as offices keep them
	Name     string            // the file's name, for messages
	Map      map[string]string // header -> field, before what the header's own name says; Ignore leaves a column out
	DryRun   bool              // read and check, write nothing; the Importer is not called
	Zone     *time.Location    // of moments that name none; nil is UTC
	Region   string            // where phones without a country code are: "IL" (default), "RU"
	Encoding string            // one of the Encodings; empty: found from the bytes
	Batch    int               // rows a transaction; 0 is 4000
	Progress func(Progress)    // called after each batch, from the goroutine of Import; may be nil
	Rejects  io.Writer         // where rejected rows are written, as a CSV that can be mended and imported; may be nil
	Reason   func(fault.Field) string
	// Reason gives the sentence of a reason in the reader's language; nil writes the sentence's key.

	row func(line int) int // of a workbook, the row that a line is of; Ready sets it
}

func (o Options) zone() *time.Location {
	if o.Zone == nil {
		return time.UTC
	}
	return o.Zone
}

// Progress is how far an import is.
type Progress struct {
	Rows     int // rows done, the rejected too
	Rejected int
	Bytes    int64 // of the file, read so far
	Size     int64 // of the file
}

// Column is one column of the file and the field that it fills.
type Column struct {
	Header string // as it stands in the file
	Field  string // one of the Fields; empty: not understood, its cells are not imported; Ignore: left out on purpose
}

// Reject is one row that was not imported.
type Reject struct {
	Line   int           // where the row begins in the file, 1-based; its row in a workbook
	Fields []fault.Field // why; Name is the field's, or empty where the row as a whole is wrong
	Raw    []string      // its cells, each cut short; a row that could not be cut into cells stands in one
}

// Result is what became of the file. Rows = Created + Updated + Unchanged + Rejected, but for a dry run or one that
// an error ended.
type Result struct {
	Rows, Created, Updated, Unchanged, Rejected int

	Encoding  string // one of the Encodings
	Separator string // ",", ";" or "\t"; another one where a sep= line said so
	Columns   []Column
	Rejects   []Reject // the first thousand
}

// Unmapped lists the headers of the columns that were not understood.
func (r Result) Unmapped() []string {
	var headers []string
	for _, c := range r.Columns {
		if c.Field == "" {
			headers = append(headers, c.Header)
		}
	}
	return headers
}

// Limits on hostile or broken files.
const (
	maxRow      = 1 << 20  // bytes of one row
	maxCell     = 64 << 10 // bytes of one cell
	maxColumns  = 1000
	maxBatch    = 2 << 20 // bytes of the rows of one batch
	sampleSize  = 64 << 10
	sampleRows  = 20
	keptRejects = 1000
	keptRaw     = 200 // bytes of one cell of a reject kept in memory
	keptCells   = 64  // cells of one reject kept in memory
)

// Import reads the file once to know it and once to import it. A file that is no CSV, or none with a known column,
// is an Invalid fault and nothing is written. An error later ends the import between two batches: the result tells
// how far it came, and importing the file again goes on from there.
func Import(ctx context.Context, r io.ReadSeeker, o Options, imp Importer) (Result, error) {
	if o.Region == "" {
		o.Region = "IL"
	}
	if o.Batch <= 0 {
		o.Batch = 4000
	}
	f, err := open(r, o)
	if err != nil {
		return Result{}, err
	}
	b := &batch{file: f, options: o, importer: imp}
	b.result = Result{Encoding: f.encoding, Separator: string(rune(f.separator)), Columns: f.columns}
	b.rejects = newRejectFile(o.Rejects, f.separator, f.columns, o.Reason)
	return b.run(ctx)
}
