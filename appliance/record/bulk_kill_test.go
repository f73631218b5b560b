package record

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// killedIn names the folder in which the process that is killed works.
const killedIn = "KAROV_TEST_KILLED_IN"

// bulkCustomers is how many customers an act is over that is killed, some batches.
const bulkCustomers = 12*bulkBatch + 5

// TestKilledInABulk is the process that TestBulkThatWasKilled kills: it says after each batch that it is through.
func TestKilledInABulk(t *testing.T) {
	dir := os.Getenv(killedIn)
	if dir == "" {
		return // it is nobody's victim
	}
	o := openIn(t, dir)
	ctx := as(t, access.Owner)
	f, err := o.Parse(ctx, "contact", `kind = "person"`)
	must(t, err)
	_, err = o.ChangeMany(ctx, Query{Entity: "contact", Filter: f}, Values{"kind": "company", "score": 7.0}, func(b Bulk) {
		_, _ = os.Stdout.WriteString("batch\n")
	})
	must(t, err)
}

// TestBulkThatWasKilled kills a process with SIGKILL in the middle of an act on many records, at several moments: what the
// act says is done is done, and no more; records, indexes and counts agree; and its undo brings back just that.
func TestBulkThatWasKilled(t *testing.T) {
	for _, batches := range []int{0, 1, 3, 7} {
		dir := t.TempDir()
		seed := openIn(t, dir)
		owner := as(t, access.Owner)
		must(t, seed.Update(owner, func(tx store.Tx) error {
			for range bulkCustomers {
				if _, err := seed.CreateTx(owner, tx, Change{Entity: "contact", Inside: true, Fact: "-", Values: Values{"name": "x", "kind": "person"}}); err != nil {
					return err
				}
			}
			return nil
		}))
		must(t, seed.db.Close())
		killAfter(t, dir, batches)

		o := openIn(t, dir)
		must(t, o.db.Check(owner))
		must(t, o.Check(owner))
		acts, err := o.Bulks(owner, 10)
		must(t, err)
		changed := o.kinds(owner)["company"]
		if len(acts) == 0 && changed == 0 && batches == 0 {
			continue // it died before its first batch was whole
		}
		if len(acts) != 1 || acts[0].Done != changed || acts[0].Total != bulkCustomers || changed < batches*bulkBatch || changed%bulkBatch != 0 && !acts[0].Ended {
			t.Fatalf("killed after %d batches: %d changed, acts %+v", batches, changed, acts)
		}
		if acts[0].Ended {
			t.Logf("the act was faster than its end, after %d batches", batches)
		}
		undone, err := o.UndoMany(owner, acts[0].ID, nil)
		must(t, err)
		if left := o.kinds(owner)["company"]; !undone.Undone || undone.Restored != changed || undone.Kept != 0 || left != 0 {
			t.Errorf("undone: %+v; %d are left of %d", undone, left, changed)
		}
		must(t, o.Check(owner))
	}
}

// killAfter lets the process work in the folder until it was through so many batches, and kills it.
func killAfter(t *testing.T, dir string, batches int) {
	t.Helper()
	program, err := os.Executable()
	must(t, err)
	cmd := exec.Command(program, "-test.run=^TestKilledInABulk$")
	cmd.Env = append(os.Environ(), killedIn+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for n := 0; n < batches && lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "batch" {
			n++
		} else {
			t.Log(lines.Text())
		}
	}
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait() // it did not end well, as it should
}

// kinds counts the customers by their kind.
func (o *office) kinds(ctx context.Context) map[string]int {
	o.t.Helper()
	found := map[string]int{}
	must(o.t, o.db.View(ctx, func(tx store.Tx) error {
		e := o.Schema().Entity("contact")
		for id, raw := range tx.Bucket("record.contact").Scan(nil, nil, false) {
			found[Record{ID: ID(id), entity: e, raw: raw}.Text("kind")]++
		}
		return nil
	}))
	return found
}
