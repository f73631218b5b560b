package deal

import (
	"context"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// begunBucket remembers that the first pipelines were made, so that those that an office took away do not come back.
const begunBucket = "deal.begun"

// firstPipeline is one that an office begins with. Names are in Hebrew, Russian and English.
type firstPipeline struct {
	names  [3]string
	stages []firstStage
}

type firstStage struct {
	kind, colour       string
	probability, stale float64
	names              [3]string
}

func dealsAtFirst() firstPipeline {
	return firstPipeline{[3]string{"מכירות", "Продажи", "Sales"}, []firstStage{
		{Open, "blue", 10, 7, [3]string{"פנייה חדשה", "Новое обращение", "New enquiry"}},
		{Open, "teal", 25, 14, [3]string{"בירור צרכים", "Выяснение потребностей", "Needs"}},
		{Open, "amber", 50, 14, [3]string{"הצעת מחיר", "Коммерческое предложение", "Quote"}},
		{Open, "purple", 75, 14, [3]string{"משא ומתן", "Переговоры", "Negotiation"}},
		{Won, "green", 100, 0, [3]string{"נסגרה בהצלחה", "Сделка заключена", "Won"}},
		{Lost, "red", 0, 0, [3]string{"לא יצאה לפועל", "Сделка не состоялась", "Lost"}},
	}}
}

func leadsAtFirst() firstPipeline {
	return firstPipeline{[3]string{"לידים", "Лиды", "Leads"}, []firstStage{
		{Open, "blue", 0, 2, [3]string{"ליד חדש", "Новый", "New"}},
		{Open, "amber", 0, 7, [3]string{"בטיפול", "В работе", "In progress"}},
		{Won, "green", 0, 0, [3]string{"מתאים", "Подходит", "Qualified"}},
		{Lost, "grey", 0, 0, [3]string{"לא מתאים", "Не подходит", "Not suitable"}},
	}}
}

// Begin gives a new office a pipeline for leads and one for deals, with names in its language (he, ru, en), which it
// changes as it likes. It does so once in the life of an office's data, for the appliance itself only.
func (r *Room) Begin(ctx context.Context, lang string) error {
	if access.ActorFrom(ctx).Role != access.System {
		return fault.New(fault.Forbidden, "access.forbidden", "permission", "create:pipeline")
	}
	said, ok := map[string]int{"he": 0, "ru": 1, "en": 2}[lang]
	if !ok {
		return fault.InvalidField("language", "language.unknown")
	}
	return r.book.Update(ctx, func(tx store.Tx) error {
		key := []byte("pipelines")
		if tx.Bucket(begunBucket).Get(key) != nil {
			return nil
		}
		tx.Bucket(begunBucket).Put(key, []byte(lang))
		for i, first := range []firstPipeline{leadsAtFirst(), dealsAtFirst()} {
			holds := []string{Leads, Deals}[i]
			p, err := r.book.CreateTx(ctx, tx, record.Change{Entity: "pipeline", Inside: true,
				Values: record.Values{"name": first.names[said], "order": float64(i + 1), "holds": holds}})
			if err != nil {
				return err
			}
			for j, s := range first.stages {
				values := record.Values{"pipeline": p.ID, "name": s.names[said], "order": float64(j + 1), "kind": s.kind, "colour": s.colour,
					"probability": s.probability, "stale_days": s.stale}
				if _, err := r.book.CreateTx(ctx, tx, record.Change{Entity: "stage", Values: values, Inside: true}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
