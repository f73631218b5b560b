package deal

import (
	"cmp"
	"context"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

func pipelineEntity() schema.Entity {
	return schema.Entity{Name: "pipeline", Title: "name", Fields: []schema.Field{
		{Number: 16, Name: "name", Type: schema.Text, Required: true, Max: 200},
		{Number: 17, Name: "order", Type: schema.Number},
		{Number: 18, Name: "holds", Type: schema.Choice, Choices: []string{Leads, Deals}, Required: true, Default: Deals, Indexed: true},
		{Number: 19, Name: "hidden", Type: schema.YesNo},
	}}
}

func stageEntity() schema.Entity {
	return schema.Entity{Name: "stage", Title: "name", Fields: []schema.Field{
		{Number: 16, Name: "pipeline", Type: schema.Link, Target: "pipeline", Required: true, Indexed: true},
		{Number: 17, Name: "name", Type: schema.Text, Required: true, Max: 200},
		{Number: 18, Name: "order", Type: schema.Number},
		{Number: 19, Name: "kind", Type: schema.Choice, Choices: []string{Open, Won, Lost}, Required: true, Default: Open},
		{Number: 20, Name: "probability", Type: schema.Number}, // percent
		{Number: 21, Name: "stale_days", Type: schema.Number},
		{Number: 22, Name: "colour", Type: schema.Choice, Choices: contact.Colours()},
	}}
}

// Pipeline is a way that leads or deals go, stage by stage.
type Pipeline struct {
	ID      record.ID
	Version uint64
	Name    string
	Holds   string // Leads or Deals
	Hidden  bool   // not offered any more
	Stages  []Stage
}

// Stage is one step of a pipeline.
type Stage struct {
	ID          record.ID
	Version     uint64
	Pipeline    record.ID
	Name        string
	Kind        string // Open, Won or Lost
	Probability int    // percent of what stands in it that will be won
	StaleDays   int    // after so many days in it something should have happened; 0 for never
	Colour      string // one of contact.Colours

	order float64
}

// Closes tells whether what moves into the stage is closed.
func (s Stage) Closes() bool { return s.Kind != Open }

// maxPipelines and maxStages are how many of each an office can have that are shown.
const (
	maxPipelines = record.MaxLimit
	maxStages    = 100
)

// Pipelines lists the pipelines of leads or of deals with their stages, in the office's order, hidden ones last.
func (r *Room) Pipelines(ctx context.Context, holds string) (pipelines []Pipeline, err error) {
	if err := r.gate.Require(ctx, access.See, access.Object{Entity: "stage"}); err != nil {
		return nil, err
	}
	err = r.book.View(ctx, func(tx store.Tx) error {
		page, err := r.book.ListTx(ctx, tx, record.Query{Entity: "pipeline", Limit: maxPipelines,
			Keep: func(p record.Record) bool { return p.Text("holds") == holds }})
		if err != nil {
			return err
		}
		pipelines = r.pipelines(tx, page.Records)
		return nil
	})
	return pipelines, err
}

// Pipeline reads one pipeline with its stages.
func (r *Room) Pipeline(ctx context.Context, id record.ID) (p Pipeline, err error) {
	err = r.book.View(ctx, func(tx store.Tx) error {
		rec, err := r.book.GetTx(ctx, tx, "pipeline", id)
		if err == nil {
			p = r.pipelines(tx, []record.Record{rec})[0]
		}
		return err
	})
	return p, err
}

func (r *Room) pipelines(tx store.Tx, records []record.Record) (pipelines []Pipeline) {
	orders := map[record.ID]float64{}
	for _, rec := range records {
		orders[rec.ID], _ = rec.Number("order")
		pipelines = append(pipelines, Pipeline{ID: rec.ID, Version: rec.Version(), Name: rec.Text("name"), Holds: rec.Text("holds"),
			Hidden: rec.YesNo("hidden"), Stages: r.stages(tx, rec.ID)})
	}
	slices.SortStableFunc(pipelines, func(a, b Pipeline) int {
		if a.Hidden != b.Hidden {
			return cmp.Compare(truth(a.Hidden), truth(b.Hidden))
		}
		return cmp.Compare(orders[a.ID], orders[b.ID])
	})
	return pipelines
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// stages reads the stages of a pipeline in their order.
func (r *Room) stages(tx store.Tx, pipeline record.ID) (stages []Stage) {
	for rec := range r.book.Linked(tx, "stage", "pipeline", pipeline, record.ID{}) {
		if stages = append(stages, stageOf(rec)); len(stages) == maxStages {
			break
		}
	}
	slices.Reverse(stages) // oldest first where the order says nothing
	slices.SortStableFunc(stages, func(a, b Stage) int { return cmp.Compare(a.order, b.order) })
	return stages
}

func stageOf(rec record.Record) Stage {
	probability, _ := rec.Number("probability")
	stale, _ := rec.Number("stale_days")
	order, _ := rec.Number("order")
	s := Stage{ID: rec.ID, Version: rec.Version(), Pipeline: rec.Link("pipeline"), Name: rec.Text("name"), Kind: rec.Text("kind"),
		Probability: int(probability), StaleDays: int(stale), Colour: rec.Text("colour"), order: order}
	if s.Kind == "" {
		s.Kind = Open
	}
	return s
}

// stage reads a stage for a room that asked for permission already; false where it is gone.
func (r *Room) stage(tx store.Tx, id record.ID) (Stage, bool) {
	rec, err := r.book.Raw(tx, "stage", id)
	if err != nil {
		return Stage{}, false
	}
	return stageOf(rec), true
}

// Stage reads a stage that the actor may see.
func (r *Room) Stage(ctx context.Context, id record.ID) (Stage, error) {
	rec, err := r.book.Get(ctx, "stage", id)
	if err != nil {
		return Stage{}, err
	}
	return stageOf(rec), nil
}

// first is the stage in which a new lead or deal of a pipeline begins; of the zero pipeline, that of the first one.
func (r *Room) first(tx store.Tx, holds string, pipeline record.ID) (Stage, error) {
	var records []record.Record
	for rec := range r.book.With(tx, "pipeline", "holds", holds) {
		records = append(records, rec)
	}
	for _, p := range r.pipelines(tx, records) {
		if !pipeline.Zero() && p.ID != pipeline || pipeline.Zero() && p.Hidden {
			continue
		}
		for _, s := range p.Stages {
			if !s.Closes() {
				return s, nil
			}
		}
	}
	return Stage{}, fault.InvalidField("stage", "deal.no-stage")
}

// pipelineWritten refuses what would leave stages or deals without their pipeline.
func (r *Room) pipelineWritten(_ context.Context, tx store.Tx, before, after record.Record) error {
	if !before.Exists() {
		return nil
	}
	if after.Exists() && before.Text("holds") != after.Text("holds") {
		return fault.InvalidField("holds", "pipeline.fixed")
	}
	if !after.Exists() {
		for range r.book.Linked(tx, "stage", "pipeline", before.ID, record.ID{}) {
			return fault.New(fault.Conflict, "pipeline.in-use")
		}
	}
	return nil
}

// stageWritten refuses what would leave deals in a stage that is gone, or of another kind than they are.
func (r *Room) stageWritten(_ context.Context, tx store.Tx, before, after record.Record) error {
	if !after.Exists() {
		if r.inUse(tx, before.ID) {
			return fault.New(fault.Conflict, "stage.in-use")
		}
		return nil
	}
	if chance, _ := after.Number("probability"); chance < 0 || chance > 100 {
		return fault.InvalidField("probability", "stage.probability")
	}
	if days, _ := after.Number("stale_days"); days < 0 || days > 10_000 || days != float64(int(days)) {
		return fault.InvalidField("stale_days", "stage.stale-days", "limit", 10_000)
	}
	if !before.Exists() {
		return nil
	}
	if before.Link("pipeline") != after.Link("pipeline") {
		return fault.InvalidField("pipeline", "stage.pipeline-fixed")
	}
	if before.Text("kind") != after.Text("kind") && r.inUse(tx, before.ID) {
		return fault.InvalidField("kind", "stage.in-use")
	}
	return nil
}

// inUse tells whether a lead or a deal stands in a stage.
func (r *Room) inUse(tx store.Tx, stage record.ID) bool {
	for _, entity := range []string{Deals, Leads} {
		for range r.book.Linked(tx, entity, "stage", stage, record.ID{}) {
			return true
		}
	}
	return false
}
