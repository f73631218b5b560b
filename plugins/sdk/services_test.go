package sdk

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestRecordsPageByThemselves(t *testing.T) {
	k := newKarov(t, Plugin{})
	k.add("contact", 451)
	in := k.server.host.Records()
	for limit, want := range map[int]int{0: 451, 1: 1, 200: 200, 201: 201, 450: 450, 451: 451, 1000: 451} {
		all, err := Collect(in.Query(t.Context(), Query{Entity: "contact", Limit: limit}))
		if err != nil || len(all) != want {
			t.Fatalf("of 451 with limit %d it finds %d, %v", limit, len(all), err)
		}
		for i, r := range all {
			if r.Int("number") != i || r.Entity != "contact" {
				t.Fatalf("number %d is %v", i, r)
			}
		}
	}
	k.seen()
	for r, err := range in.Query(t.Context(), Query{Entity: "contact"}) {
		if err != nil || r.Int("number") == 10 {
			break
		}
	}
	if calls := k.seen(); len(calls) != 1 {
		t.Errorf("a loop that stops in the first page made %d calls", len(calls))
	}
	for _, err := range in.Query(t.Context(), Query{Entity: "secret"}) {
		if !IsForbidden(err) {
			t.Errorf("what was not granted: %v", err)
		}
	}
	ids := make([]string, 450)
	for i := range ids {
		ids[i] = fmt.Sprintf("contact-%04d", i+1)
	}
	all, err := in.GetAll(t.Context(), "contact", slices.Concat(ids, []string{"nobody"}))
	if err != nil || len(all) != 450 || all[449].ID != ids[449] {
		t.Errorf("many by their ids: %d, %v", len(all), err)
	}
	if n, exact, err := in.Count(t.Context(), "contact", ""); n != 451 || !exact || err != nil {
		t.Errorf("counted %d, %v, %v", n, exact, err)
	}
}

func TestRecordsAreWritten(t *testing.T) {
	k := newKarov(t, Plugin{})
	in := k.server.host.Records()
	made, err := in.Write(t.Context(),
		Create("fieldservice.asset", Values{"plate": "12-345-67", "price": Money{1250, "ILS"}}),
		Create("fieldservice.order", Values{"asset": Made(0), "due": Date{2026, 11, 22}, "kinds": []string{"paint", "repair"}}))
	if err != nil || len(made) != 2 {
		t.Fatalf("made %v, %v", made, err)
	}
	order := made[1]
	if order.Link("asset") != "@0" || order.Date("due") != (Date{2026, 11, 22}) || !slices.Equal(order.Texts("kinds"), []string{"paint", "repair"}) {
		t.Errorf("the order is %v", order)
	}
	changed, err := in.Write(t.Context(), Update(order, Values{"due": nil, "done": true}))
	if err != nil || changed[0].Has("due") || !changed[0].Yes("done") || changed[0].Version != 2 {
		t.Errorf("changed to %v, %v", changed, err)
	}
	if _, err := in.Write(t.Context(), Update(order, Values{"done": false})); !IsConflict(err) || IsNotFound(err) {
		t.Errorf("a write over what somebody else wrote: %v", err)
	}
	if _, err := in.Write(t.Context(), Delete(changed[0])); err != nil {
		t.Error(err)
	}
	if _, err := in.Get(t.Context(), order.Entity, order.ID); !IsNotFound(err) {
		t.Errorf("after the delete: %v", err)
	}
	var first Record
	for range 2 {
		now, err := in.WriteOnce(t.Context(), "visit-7", Create("contact", nil))
		if err != nil || first.ID != "" && first.ID != now[0].ID {
			t.Errorf("once: %v, %v", now, err)
		}
		first = now[0]
	}
	for name, batch := range map[string]Change{
		"a value that is none": Create("contact", Values{"x": make(chan int)}), "no change": {}, "no number": Update(order, Values{"n": float64(1) / zero()}),
	} {
		if _, err := in.Write(t.Context(), batch); !IsPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if none, err := in.Write(t.Context()); none != nil || err != nil {
		t.Errorf("nothing: %v, %v", none, err)
	}
}

func zero() float64 { return 0 }

func TestAmendDecidesAgain(t *testing.T) {
	k := newKarov(t, Plugin{})
	k.add("contact", 1)
	in := k.server.host.Records()
	ref := Ref{"contact", "contact-0000"}
	asked := 0
	r, err := Amend(t.Context(), in, ref, func(r Record) (Values, error) {
		if asked++; asked < 3 { // somebody else is first, twice
			if _, err := in.Write(t.Context(), Update(r, Values{"number": r.Int("number") + 10})); err != nil {
				t.Fatal(err)
			}
		}
		return Values{"number": r.Int("number") + 1}, nil
	})
	if err != nil || asked != 3 || r.Int("number") != 21 {
		t.Errorf("asked %d times: %v, %v", asked, r, err)
	}
	stop := errors.New("stop")
	if _, err := Amend(t.Context(), in, ref, func(Record) (Values, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Errorf("an error of the change: %v", err)
	}
	if r, err := Amend(t.Context(), in, ref, func(Record) (Values, error) { return nil, nil }); err != nil || r.Int("number") != 21 {
		t.Errorf("nothing to change: %v, %v", r, err)
	}
	_, err = Amend(t.Context(), in, ref, func(r Record) (Values, error) {
		if _, err := in.Write(t.Context(), Update(r, Values{"number": 1})); err != nil {
			t.Fatal(err)
		}
		return Values{"number": 2}, nil
	})
	if !IsConflict(err) {
		t.Errorf("a race without end: %v", err)
	}
}

func TestKV(t *testing.T) {
	kv := newKarov(t, Plugin{}).server.host.KV()
	ctx := t.Context()
	absent, err := kv.Get(ctx, "a")
	if err != nil || absent.Revision != 0 {
		t.Fatalf("a key that is not there: %v, %v", absent, err)
	}
	if at, err := kv.Swap(ctx, absent.To([]byte("1")), Always("b", []byte("2"))); err != nil || !slices.Equal(at, []int64{1, 1}) {
		t.Errorf("swapped to %v, %v", at, err)
	}
	if _, err := kv.Swap(ctx, absent.To([]byte("3")), Always("b", nil)); !IsConflict(err) {
		t.Errorf("a key that came in between: %v", err)
	}
	if at, err := kv.Put(ctx, "b", nil); at != 2 || err != nil {
		t.Errorf("an empty value: revision %d, %v", at, err)
	}
	a, err := kv.Get(ctx, "a")
	if err != nil || string(a.Value) != "1" {
		t.Errorf("a is %v, %v", a, err)
	}
	if _, err := kv.Swap(ctx, a.Gone()); err != nil {
		t.Error(err)
	}
	for i := range 250 {
		if _, err := kv.Put(ctx, fmt.Sprintf("x/%03d", i), []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	up, err := Collect(kv.List(ctx, "x/"))
	down, err2 := Collect(kv.ListBack(ctx, "x/"))
	if slices.Reverse(down); err != nil || err2 != nil || len(up) != 250 || !slices.EqualFunc(up, down, func(a, b Entry) bool { return a.Key == b.Key }) {
		t.Errorf("up %d, %v; down %d, %v", len(up), err, len(down), err2)
	}
	if err := kv.Delete(ctx, "x/000"); err != nil {
		t.Error(err)
	}
	if e, err := kv.Get(ctx, "x/000"); err != nil || e.Revision != 0 {
		t.Errorf("after the delete: %v, %v", e, err)
	}
	if _, err := kv.Swap(ctx, KVWrite{}); err == nil {
		t.Error("a write that says nothing was sent")
	}
}

func TestBlobs(t *testing.T) {
	files := newKarov(t, Plugin{}).server.host.Blobs()
	for _, size := range []int{0, 1, 256 << 10, 1<<20 + 7} {
		data := bytes.Repeat([]byte("ש"), size/2+1)[:size]
		b, err := files.Put(t.Context(), "חתימה.png", "image/png", bytes.NewReader(data))
		if err != nil || b.Size != int64(size) || b.Name != "חתימה.png" || b.Type != "image/png" {
			t.Fatalf("put %d bytes: %v, %v", size, b, err)
		}
		r, err := files.Open(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("of %d bytes came %d, %v", size, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := files.Put(t.Context(), "x", "", io.LimitReader(endless{}, 5<<20)); !IsPermanent(err) {
		t.Errorf("more than the host takes: %v", err)
	}
	broken := errors.New("the disk is gone")
	if _, err := files.Put(t.Context(), "x", "", io.MultiReader(strings.NewReader("abc"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("a file that breaks: %v", err)
	}
	r, err := files.Open(t.Context(), Blob{ID: "none"})
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if !IsNotFound(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestSecretsAndOffice(t *testing.T) {
	k := newKarov(t, Plugin{})
	h, ctx := k.server.host, t.Context()
	if err := h.Secrets().Set(ctx, "api.token", []byte("s")); err != nil {
		t.Fatal(err)
	}
	if v, err := h.Secrets().Open(ctx, "api.token"); err != nil || string(v) != "s" {
		t.Errorf("the secret is %q, %v", v, err)
	}
	want := hmac.New(sha256.New, []byte("s"))
	want.Write([]byte("data"))
	if mac, err := h.Secrets().MAC(ctx, "api.token", []byte("data")); err != nil || !hmac.Equal(mac, want.Sum(nil)) {
		t.Errorf("the MAC is %x, %v", mac, err)
	}
	if _, err := h.Secrets().Open(ctx, "none"); !IsNotFound(err) {
		t.Errorf("no secret: %v", err)
	}
	a, err := h.Office().About(ctx)
	if err != nil || a.Name != "משולש בע״מ" || a.Currency != "ILS" {
		t.Errorf("the office is %v, %v", a, err)
	}
	if loc, err := a.Location(); err != nil || loc.String() != "Asia/Jerusalem" {
		t.Errorf("it stands at %v, %v", loc, err)
	}
	text, err := h.Office().Say(ctx, "ru", Say("x.visits", "count", 3, "price", Money{1250, "ILS"}))
	if err != nil || text != "ru: x.visits map[count:3 price:12.50 ILS]" {
		t.Errorf("it says %q, %v", text, err)
	}
	on := Ref{"contact", "7"}
	if err := errors.Join(h.Office().Audit(ctx, "invoice-sent", on, map[string]string{"n": "1"}), h.Office().Emit(ctx, "visit-done", on, nil)); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(k.audited); got != "[invoice-sent 7 map[n:1] fact visit-done 7 map[]]" {
		t.Errorf("written: %s", got)
	}
	due := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)
	for _, j := range []Job{{Name: "visits", Key: "1", Payload: []byte("p"), Due: due}, {Name: "visits", Key: "2"}, {Name: "visits", Key: "3"}} {
		if err := h.Office().Enqueue(ctx, j); err != nil {
			t.Error(err)
		}
	}
	if err := h.Office().Cancel(ctx, "visits", "3"); err != nil {
		t.Error(err)
	}
	if got := slices.Sorted(maps.Keys(k.jobs)); !slices.Equal(got, []string{"visits/1", "visits/2"}) ||
		!k.jobs["visits/1"].GetAt().AsTime().Equal(due) || k.jobs["visits/2"].GetAt() != nil {
		t.Errorf("enqueued: %v", k.jobs)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	h := newKarov(t, Plugin{}).server.host
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Office().About(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	if _, err := h.Records().Get(ctx, "contact", "1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("too late: %v", err)
	}
}

func TestARecordOfTheHost(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)
	r := plainRecord(&wirev1.Record{
		Entity: "contact", Id: "7", Version: 3, CreatedAt: timestamppb.New(at), CreatedBy: "system", UpdatedBy: "plugin:x",
		Values: map[string]*wirev1.Value{
			"photo": {Of: &wirev1.Value_File{File: &wirev1.BlobRef{Blob: "b", Name: "n", Size: 5}}},
			"at":    {Of: &wirev1.Value_Time{Time: timestamppb.New(at)}}, "empty": {},
			"wrong": {Of: &wirev1.Value_Time{Time: &timestamppb.Timestamp{Seconds: 1 << 60}}},
		},
	})
	if r.Ref() != (Ref{"contact", "7"}) || r.CreatedAt != at || !r.UpdatedAt.IsZero() || r.Time("at") != at || r.Has("empty") || !r.Time("wrong").IsZero() {
		t.Errorf("the record is %+v", r)
	}
	if want := (Blob{ID: "b", Name: "n", Size: 5, In: r.Ref()}); r.File("photo") != want || !slices.Equal(r.Files("photo"), []Blob{want}) {
		t.Errorf("its photo is %v", r.File("photo"))
	}
	if !plainRecord(nil).IsZero() || r.IsZero() {
		t.Error("which one is none?")
	}
}
