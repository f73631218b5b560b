// Package bench measures the product against what it promises, and against bare bbolt in the same run.
//
// It owns nothing: it fills a folder that is thrown away with synthetic customers through the product's own rooms, asks
// the API and the rooms as their users do, and lets package floor do the same reads and writes with nothing above
// bbolt. Product and floor take turns, in several rounds, and a figure is the median of its rounds, so that whatever
// else the machine does falls on both.
//
// It promises the same data for the same seed, that a figure is of answers that were right (a lookup that finds nothing
// is no fast lookup), and that it says so when a goal is missed.
//
// It will not compare with other products: their figures stand in no file of ours.
package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// Row is one figure.
type Row struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Floor float64 `json:"floor"` // of bare bbolt in the same unit, 0 where there is none
	Ratio float64 `json:"ratio"` // of value to floor, 0 where there is none
	Goal  string  `json:"goal"`  // "" for a figure that is only told
	Pass  bool    `json:"pass"`
	Note  string  `json:"note,omitempty"`
}

// Report is all figures of a run.
type Report struct {
	Contacts   int     `json:"contacts"`
	Messages   int     `json:"messages"`
	Seed       uint64  `json:"seed"`
	StoreBytes int64   `json:"store_bytes"`
	FillTime   float64 `json:"fill_seconds"`
	Rows       []Row   `json:"rows"`
}

// Passed tells whether every goal was met.
func (r Report) Passed() bool {
	for _, row := range r.Rows {
		if !row.Pass {
			return false
		}
	}
	return true
}

// Office is a whole product over the folder, opened to be measured.
type Office struct {
	Engine   *bolt.DB
	Writes   *Writes // between the rooms and the engine
	Book     *record.Book
	Contacts *contact.Room
	Gate     *access.Gate
	Owner    access.Actor
	API      http.Handler // for the owner's Token, without limits of how often
	Token    string
	// Import takes a CSV file of contacts and gives how many rows it brought in.
	Import func(ctx context.Context, file *os.File) (rows int, err error)
	Close  func() error
}

// Options say what is measured.
type Options struct {
	Contacts int
	Messages int    // and tasks, for each contact
	Rows     int    // of the imported file
	History  int    // entries of the customer with the longest history; 0: 50,000, or fewer where there are few contacts
	Creates  int    // a round; 0: 2,000, or fewer
	Asks     int    // questions a round; 0: 200
	Seed     uint64 // the same number makes the same data
	Folder   string // data folder, empty at first
	// Open opens the office over Folder. It is called again after each Close.
	Open func(ctx context.Context) (*Office, error)
	// Serve gives the command that runs the daemon over Folder at a loopback address, without plugins.
	Serve func(address string) *exec.Cmd
	// Tell hears how far the run is: done of so many.
	Tell func(what string, done, of int)
}

// Defaults are what a run has where its Options say nothing.
func Defaults() Options {
	return Options{Contacts: 100_000, Messages: 5, Rows: 100_000, Seed: 1, Tell: func(string, int, int) {}}
}

// filled are the options with what follows from the number of contacts.
func (o Options) filled() Options {
	if o.History == 0 {
		o.History = min(50_000, 5*o.Contacts)
	}
	if o.Creates == 0 {
		o.Creates = min(2000, o.Contacts/10)
	}
	if o.Asks == 0 {
		o.Asks = 200
	}
	return o
}

// rounds is how often product and floor take turns.
const rounds = 5

// run is one run.
type run struct {
	Options
	o      *Office
	data   *data
	report Report
}

// Run fills the folder and measures everything.
func Run(ctx context.Context, o Options) (Report, error) {
	o = o.filled()
	r := &run{Options: o, report: Report{Contacts: o.Contacts, Messages: o.Contacts * o.Messages, Seed: o.Seed}}
	if err := r.open(ctx); err != nil {
		return r.report, err
	}
	err := r.measure(ctx)
	if r.o != nil {
		err = errors.Join(err, r.o.Close())
	}
	return r.report, err
}

func (r *run) open(ctx context.Context) (err error) {
	r.o, err = r.Open(ctx)
	return err
}

func (r *run) measure(ctx context.Context) error {
	if err := r.fill(ctx); err != nil {
		return fmt.Errorf("make data: %w", err)
	}
	if info, err := os.Stat(filepath.Join(r.Folder, "karov.db")); err == nil {
		r.report.StoreBytes = info.Size()
	}
	parts := []struct {
		name    string
		measure func(context.Context) error
	}{
		{"lookup", r.lookups}, {"card", r.cards}, {"list", r.lists}, {"filter", r.filters}, {"permission", r.permissions},
		{"start", r.start}, {"import", r.imports}, {"create", r.creates},
	}
	for i, p := range parts {
		r.Tell(p.name, i, len(parts))
		if err := p.measure(ctx); err != nil {
			return fmt.Errorf("measure %s: %w", p.name, err)
		}
	}
	r.Tell("done", len(parts), len(parts))
	return nil
}

func (r *run) add(row Row) { r.report.Rows = append(r.report.Rows, row) }

// owner is a context in which the owner acts.
func (r *run) owner(ctx context.Context) context.Context { return access.WithActor(ctx, r.o.Owner) }
