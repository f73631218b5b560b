package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func pieces(t testing.TB, data io.Reader) [][]byte {
	t.Helper()
	c := &cutters{pol: 0x3DA3358B4DC173}
	cut, err := c.cut(data, true)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for {
		p, err := cut.Next(nil)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(p) == 0 {
			t.Fatal("empty piece")
		}
		out = append(out, p)
	}
}

func lines(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("{\"k\":\"%08d\",\"v\":\"%s\"}\n", i*10, strings.Repeat("v", r.IntN(1000)))
	}
	return out
}

func TestRecordsAreCutAtLineEndsAboutEvery16KiB(t *testing.T) {
	all := strings.Join(lines(20000), "")
	got := pieces(t, iotest.HalfReader(strings.NewReader(all)))
	if string(bytes.Join(got, nil)) != all {
		t.Fatal("the pieces are not the content")
	}
	for _, p := range got {
		if p[len(p)-1] != '\n' || len(p) > recordMax {
			t.Fatalf("piece of %d bytes ends in %q", len(p), p[len(p)-1])
		}
	}
	if average := len(all) / len(got); average < 12<<10 || average > 20<<10 {
		t.Errorf("pieces have %d bytes on average", average)
	}
}

// A line put in, changed or taken out costs the piece it is in, and at most one more.
func TestRecordsInsertMovesNothing(t *testing.T) {
	before := lines(5000)
	known := map[[32]byte]bool{}
	for _, p := range pieces(t, strings.NewReader(strings.Join(before, ""))) {
		known[sha256.Sum256(p)] = true
	}
	for at := 0; at < len(before); at += 97 {
		for name, after := range map[string][]string{
			"put in":    append(append(append([]string{}, before[:at]...), "{\"k\":\"new\"}\n"), before[at:]...),
			"taken out": append(append([]string{}, before[:at]...), before[at+1:]...),
			"changed":   append(append(append([]string{}, before[:at]...), strings.Replace(before[at], "\"v\":", "\"w\":1,\"v\":", 1)), before[at+1:]...),
		} {
			fresh := 0
			for _, p := range pieces(t, strings.NewReader(strings.Join(after, ""))) {
				if !known[sha256.Sum256(p)] {
					fresh++
				}
			}
			if fresh > 2 {
				t.Errorf("line %d %s: %d new pieces", at, name, fresh)
			}
		}
	}
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte("{\"a\":1}\n\n\nx"))
	f.Add(bytes.Repeat([]byte("long"), 1<<19))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := bytes.Join(pieces(t, bytes.NewReader(data)), nil); !bytes.Equal(got, data) {
			t.Fatal("the pieces are not the content")
		}
	})
}
