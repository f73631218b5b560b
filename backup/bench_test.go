package backup_test

import (
	"testing"

	"github.com/karov-crm/karov/backup"
)

// BenchmarkSnapshot stores new records each time; BenchmarkSnapshotAgain the same ones.
func BenchmarkSnapshot(b *testing.B) {
	r, _ := initRepo(b)
	size := 0
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		c := content{"db/contact.jsonl": benchRecords(uint64(n))}
		size = len(c["db/contact.jsonl"])
		b.StartTimer()
		if _, err := r.Snapshot(b.Context(), c, backup.SnapshotOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(size))
}

func BenchmarkSnapshotAgain(b *testing.B) {
	r, _ := initRepo(b)
	c := content{"db/contact.jsonl": benchRecords(1)}
	snapshot(b, r, c)
	for b.Loop() {
		snapshot(b, r, c)
	}
	b.SetBytes(int64(len(c["db/contact.jsonl"])))
}

func BenchmarkRestore(b *testing.B) {
	r, _ := initRepo(b)
	c := content{"db/contact.jsonl": benchRecords(1)}
	s := snapshot(b, r, c)
	for b.Loop() {
		restore(b, r, s)
	}
	b.SetBytes(int64(len(c["db/contact.jsonl"])))
}

// benchRecords has lines that compress about as those of customers do.
func benchRecords(seed uint64) []byte {
	text := records(seed, 300000)
	random := noise(seed, len(text)/4)
	for i := range random {
		if at := i * 4; text[at] == 'x' {
			text[at] = 'a' + random[i]%26
		}
	}
	return text
}
