package contact

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// BenchmarkE164 brings phones that were not seen before to their common form.
func BenchmarkE164(b *testing.B) {
	o := open(b)
	for i := 0; b.Loop(); i++ {
		o.E164(fmt.Sprintf("05%d-%07d", i/1e7%10, i%1e7))
	}
}

// BenchmarkImport takes contacts as an import does, five hundred in a transaction; the CPU is that of one contact.
func BenchmarkImport(b *testing.B) {
	o := open(b)
	ctx := as(b, access.Owner)
	b.ReportAllocs()
	began := cpu(b)
	for done := 0; done < b.N; {
		var drafts []Draft
		for ; len(drafts) < 500 && done < b.N; done++ {
			drafts = append(drafts, Draft{Kind: "person", Name: fmt.Sprintf("דנה כהן %d", done), Company: fmt.Sprint("Acme ", done%1000), City: "חיפה",
				Phones: []string{fmt.Sprintf("05%d-%07d", done/1e7%10, done%1e7)}, Emails: []string{fmt.Sprintf("dana%d@example.com", done)},
				Birthday: "1990-02-28", Key: fmt.Sprint("row ", done)})
		}
		_, _, err := o.Import(ctx, drafts, false)
		must(b, err)
	}
	b.ReportMetric(float64(cpu(b)-began)/float64(b.N), "cpu-ns/op")
}

// cpu is the time that the process has used of all processors.
func cpu(b *testing.B) int64 {
	b.Helper()
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return used.Utime.Nano() + used.Stime.Nano()
}

// BenchmarkKnownSender resolves a sender who wrote before.
func BenchmarkKnownSender(b *testing.B) {
	o := open(b)
	o.resolve(Phone, "+972501234567", "Dana")
	must(b, o.book.Update(b.Context(), func(tx store.Tx) error {
		for b.Loop() {
			if _, err := o.ResolveTx(b.Context(), tx, Phone, "+972501234567", "Dana"); err != nil {
				return err
			}
		}
		return nil
	}))
}
