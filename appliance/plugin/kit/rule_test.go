package kit

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// running opens an office in which an example runs.
func running(t *testing.T, name string) *Core {
	t.Helper()
	launch := filepath.Join(t.TempDir(), "launch")
	if out, err := exec.Command("go", "build", "-o", launch, modulePath+"/appliance/plugin/confine/launch").CombinedOutput(); err != nil {
		t.Fatalf("build the launcher: %v\n%s", err, out)
	}
	home := t.TempDir()
	if _, err := Build(t.Context(), filepath.Join("../../../plugins/example", name), filepath.Join(home, "p")); err != nil {
		t.Fatal(err)
	}
	c, err := openCore(t.Context(), office{home: home, data: t.TempDir(), launch: []string{launch}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close the office: %v", err)
		}
		if t.Failed() {
			t.Log(c.log.last())
		}
	})
	for end := time.Now().Add(patience); c.status().State != plugin.Running || c.Host.Healthy(c.ID) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the plugin does not run")
		}
	}
	return c
}

// TestTheRuleOfTheCustomisations sells to a customer with a limit, by the rule in Go and by the one in Python.
func TestTheRuleOfTheCustomisations(t *testing.T) {
	for name, says := range map[string]struct{ field, key string }{
		"custom": {"credit_limit", "credit.over-limit"}, "python": {"limit_amount", "limit.over"},
	} {
		t.Run(name, func(t *testing.T) {
			c := running(t, name)
			ctx := asOwner(t.Context())
			ils := func(minor int64) schema.Amount { return schema.Amount{Minor: minor, Currency: "ILS"} }
			customer, err := c.Book.Create(ctx, "contact", record.Values{"name": "Dana", says.field: ils(100_000)})
			if err != nil {
				t.Fatal(err)
			}
			deal := func(minor int64) record.Values {
				return record.Values{"title": "Triangles", "contact": customer.ID.String(), "value": ils(minor)}
			}
			sold, err := c.Book.Create(ctx, "deal", deal(100_000))
			if err != nil {
				t.Errorf("within the limit: %v", err)
			}
			_, err = c.Book.Create(ctx, "deal", deal(100_001))
			f := fault.Of(err)
			if f.Key != says.key || f.Params["name"] != "Dana" || f.Params["value"] != "1000.01 ILS" {
				t.Errorf("over the limit: %v", err)
			}
			if _, err := c.Book.Change(ctx, "deal", sold.ID, sold.Version(), record.Values{"value": ils(200_000)}); fault.Of(err).Key != says.key {
				t.Errorf("raised over the limit: %v", err)
			}
			if _, err := c.Book.Create(record.WithOverride(ctx), "deal", deal(100_001)); err != nil {
				t.Errorf("overridden by the owner: %v", err)
			}
			if _, err := c.Book.Change(ctx, "deal", sold.ID, sold.Version(), record.Values{"title": "More triangles"}); err != nil {
				t.Errorf("a change that is not about money: %v", err)
			}
		})
	}
}

// TestTheModuleCountsAndFinishesRepairs is the example's view and button over a real office.
func TestTheModuleCountsAndFinishesRepairs(t *testing.T) {
	c := running(t, "module")
	ctx := asOwner(t.Context())
	repair, err := c.make(ctx, "garage.repair")
	if err != nil {
		t.Fatal(err)
	}
	look := func() (open any, lorries int) {
		t.Helper()
		v, err := c.Host.Render(ctx, c.ID, "lorries", &plugin.Ref{Entity: "contact", ID: repair.Link("customer")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return v.Blocks[0].(plugin.Figures)[0].Value, len(v.Blocks[1].(plugin.Table).Rows)
	}
	if open, lorries := look(); open != 1.0 || lorries != 1 {
		t.Errorf("%v open repairs, %d lorries", open, lorries)
	}
	for range 2 { // pressed twice
		out, err := c.Host.Act(ctx, plugin.Press{Plugin: c.ID, Action: "finish", Records: []plugin.Ref{{Entity: "garage.repair", ID: repair.ID}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(out.Message)
	}
	if open, _ := look(); open != 0.0 {
		t.Errorf("%v open repairs after the last was finished", open)
	}
}
