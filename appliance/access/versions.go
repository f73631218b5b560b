package access

import (
	"context"
	"time"

	"github.com/karov-crm/karov/appliance/store"
)

// Options are what the appliance's gate stands on.
type Options struct {
	DB  store.DB
	Now func() time.Time
	// Tell appends a fact to the journal, which imports this package and so is not known here.
	Tell func(ctx context.Context, tx store.Tx, name, role string, about map[string]string) error
	// CheckWhere refuses a condition that the entity's records cannot be asked. Without it no condition can be set.
	CheckWhere func(entity, condition string) error
	// CheckField refuses a field that the entity does not have, or that cannot be taken away.
	CheckField func(entity, field string) error
	// Holders counts the accounts that have a role.
	Holders func(tx store.Tx, role Role) int
}
