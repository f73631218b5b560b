// Package segment keeps what people look at again: saved views of a list, and segments of customers or other records
// whose members the appliance knows at every moment.
//
// It owns the entities view and segment, the facts segment.joined and segment.left (Entity and ID are the record's,
// About names the segment) and segment.built, and the buckets segment.filters (what each segment asks), segment.members
// (segment and record to since when), segment.counts, segment.progress (how far a segment was computed), segment.head
// and segment.shared (views that everybody may use).
//
// It promises that membership follows a change in the change's own transaction, also of a record that the filter reads
// through a link; where so many records hang on it that one transaction would be long, or no index leads back to them,
// a job follows at once. A segment that was made or changed is computed by a job that survives a restart, and tells no
// one who joined, since nobody did: segment.built says that it is ready. What the passing of time changes is computed
// anew at midnight (every few minutes for filters with "now"). Until a segment is computed, members are found by its
// filter, so that the answer is always right.
//
// Members are records that the actor may see, and a segment whose filter reads a field that is hidden from him is not
// for him. It will not take a filter that depends on who asks: that is what views are for.
package segment

import (
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

const (
	filtersBucket  = "segment.filters"
	membersBucket  = "segment.members"
	countsBucket   = "segment.counts"
	progressBucket = "segment.progress"
	headBucket     = "segment.head"
	sharedBucket   = "segment.shared"
)

// Entities are the view and the segment as schema knows them. Numbers stand in stored records: never change or reuse one.
func Entities() []schema.Entity {
	return []schema.Entity{
		{Name: "view", Title: "name", Owner: "owner", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Required: true, Indexed: true, Max: 200},
			{Number: 17, Name: "kind", Type: schema.Text, Required: true, Indexed: true, Max: 200},
			{Number: 18, Name: "filter", Type: schema.LongText, Max: 64 << 10},
			{Number: 19, Name: "sort", Type: schema.Text, Max: 200},
			{Number: 20, Name: "columns", Type: schema.Text, Many: true, Max: 200},
			{Number: 21, Name: "owner", Type: schema.Staff, Indexed: true},
			{Number: 22, Name: "shared", Type: schema.YesNo},
		}},
		{Name: "segment", Title: "name", Owner: "owner", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Required: true, Indexed: true, Max: 200},
			{Number: 17, Name: "kind", Type: schema.Text, Required: true, Indexed: true, Max: 200},
			{Number: 18, Name: "filter", Type: schema.LongText, Max: 64 << 10},
			{Number: 19, Name: "description", Type: schema.LongText, Max: 10_000},
			{Number: 20, Name: "owner", Type: schema.Staff, Indexed: true},
		}},
	}
}

// Room keeps views and segments in a book.
type Room struct {
	book    *record.Book
	gate    *access.Gate
	journal *journal.Journal
	jobs    *job.Queue
	schema  *schema.Registry
	now     func() time.Time

	known atomic.Pointer[known]
}

// Parts is what a Room is made of.
type Parts struct {
	Book    *record.Book
	Gate    *access.Gate
	Journal *journal.Journal
	Jobs    *job.Queue
	Schema  *schema.Registry
	Now     func() time.Time
}

// New opens the room and hooks it into the book and the schema. Its hook on all records writes, so it is the last.
func New(p Parts) *Room {
	r := &Room{book: p.Book, gate: p.Gate, journal: p.Journal, jobs: p.Jobs, schema: p.Schema, now: p.Now}
	r.book.Watch("segment", r.segmentWritten)
	r.book.Watch("view", r.viewWritten)
	r.book.WatchAll(r.recordWritten)
	r.schema.Watch(r.schemaChanges)
	return r
}
