package plugin_test

import (
	"fmt"
	"testing"
	"time"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// BenchmarkEvents lets a plugin hear what happened while it was off, and sends as many events over a bare stream in both
// directions to a process of the same program, by turns: x-bare is the host's throughput over the bare one's. The host's
// events are read from the journal, checked against the grant, and told to a handler one by one.
func BenchmarkEvents(b *testing.B) {
	const events = 20_000
	p := newPaced(b)
	floor := wirev1.NewHooksClient(p.bare())
	var ours, bare time.Duration
	var best float64
	for b.Loop() {
		they := pump(b, floor, events/2)
		p.must(p.Host.Disable(b.Context(), pace))
		p.contacts(events)
		until, err := p.facts.Last(p.owner())
		p.must(err)
		p.must(p.Host.Enable(b.Context(), pace))
		p.up()
		said, code := p.ask(fmt.Sprintf("/heard?until=%d", until))
		var n, took int64
		if _, err := fmt.Sscan(said, &n, &took); err != nil || n < events {
			b.Fatalf("the plugin heard %q, %d, %v", said, code, err)
		}
		they += pump(b, floor, events/2) // before and after: the machine may have become slower
		us := time.Duration(took * events / n)
		ours, bare = ours+us, bare+they
		best = max(best, they.Seconds()/us.Seconds())
	}
	b.ReportMetric(float64(b.N)*events/ours.Seconds(), "events/s")
	b.ReportMetric(float64(b.N)*events/bare.Seconds(), "bare-events/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "x-bare")
	b.ReportMetric(best, "best-x-bare")
}

// pump sends events over a bare stream with at most 256 under way, and returns when the last is done with.
func pump(b *testing.B, client wirev1.HooksClient, n int) time.Duration {
	b.Helper()
	stream, err := client.After(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	room := make(chan struct{}, 256)
	began := time.Now()
	go func() {
		const id = "01000000-0000-7000-8000-000000000001"
		for seq := range n {
			room <- struct{}{}
			if err := stream.Send(&wirev1.Event{Seq: uint64(seq + 1), Name: "contact.created", Contact: id, Actor: "owner",
				Record: &wirev1.RecordRef{Entity: "contact", Id: id}, Fields: []string{"name"}}); err != nil {
				return // Recv says why
			}
		}
	}()
	for range n {
		if _, err := stream.Recv(); err != nil {
			b.Fatal(err)
		}
		<-room
	}
	took := time.Since(began)
	if err := stream.CloseSend(); err != nil {
		b.Fatal(err)
	}
	return took
}
