package journal

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

func typical() Fact {
	return Fact{Name: "contact.created", Entity: "contact", ID: someID, Contact: someID, Card: true,
		Fields: []string{"name", "kind", "phones", "emails", "city"}, About: map[string]string{"via": "import"}}
}

// BenchmarkAppend writes facts as an import does, a thousand in a transaction. BenchmarkHash is the part of it that is
// the hash alone.
func BenchmarkAppend(b *testing.B) {
	j := open(b)
	ctx := access.WithActor(b.Context(), access.Actor{ID: "0198a6f2-7c3e-7d41-9a55-3f0e6b1c2d4f", Role: access.Owner})
	b.ReportAllocs()
	for done := 0; done < b.N; {
		must(b, j.db.Update(ctx, func(tx store.Tx) error {
			for n := 0; n < 1000 && done < b.N; n++ {
				if err := j.Append(ctx, tx, typical()); err != nil {
					return err
				}
				done++
			}
			return nil
		}))
	}
}

func BenchmarkHash(b *testing.B) {
	f := typical()
	f.At = time.Now()
	raw, _ := encode(&f, sum{})
	for b.Loop() {
		_ = sha256.Sum256(raw)
	}
}

func BenchmarkNote(b *testing.B) {
	j := open(b)
	ctx := access.WithActor(b.Context(), access.Actor{ID: "dana", Role: access.Owner})
	b.ReportAllocs()
	for b.Loop() {
		must(b, j.Note(ctx, Seen("contact", someID, someID, nil)))
	}
}

func BenchmarkVerify(b *testing.B) {
	j := open(b)
	j.tell(b, numbered(20_000)...)
	for b.Loop() {
		_, err := j.Verify(b.Context())
		must(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20_000, "ns/fact")
}
