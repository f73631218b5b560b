package journal

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// firstForm puts facts as the first journals wrote them into an empty store.
func (j *Journal) firstForm(t testing.TB) {
	t.Helper()
	text, err := os.ReadFile("testdata/first-form.jsonl")
	must(t, err)
	must(t, j.db.Update(t.Context(), func(tx store.Tx) error {
		for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			key := seqKey(uint64(i + 1))
			f, err := decode([]byte(line))
			must(t, err)
			tx.Bucket(factsBucket).Put(key, []byte(line))
			tx.Bucket(headBucket).Put(headKey, append(key, f.Hash...))
			if f.Card {
				tx.Bucket(contactsBucket).Put(append([]byte(f.Contact), key...), nil)
			}
		}
		return nil
	}))
}

// tampering is one thing that somebody does to the buckets of a journal of nine facts.
type tampering struct {
	what string
	key  string // of the fault
	at   uint64
	how  func(facts store.Bucket, tx store.Tx, raw func(uint64) []byte)
}

// forge writes a fact anew with a hash of its own that fits, in the binary form.
func forge(raw []byte, change func(*Fact)) []byte {
	f, err := decode(raw)
	if err != nil {
		panic(err)
	}
	change(&f)
	forged, _ := encode(&f, sumOf(f.Prev))
	return forged
}

func tamperings() []tampering {
	return []tampering{
		{"a word changed in the first form", "journal.changed", 2, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			f.Put(seqKey(2), []byte(strings.Replace(string(raw(2)), "contact.created", "contact.deleted", 1)))
		}},
		{"a field added in the first form", "journal.changed", 2, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			f.Put(seqKey(2), []byte(strings.Replace(string(raw(2)), `{"seq"`, `{"x":1,"seq"`, 1)))
		}},
		{"a word changed", "journal.changed", 5, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			f.Put(seqKey(5), []byte(strings.Replace(string(raw(5)), "dana", "yosi", 1)))
		}},
		{"bytes added", "journal.changed", 5, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			f.Put(seqKey(5), append(raw(5), 0))
		}},
		{"bytes damaged", "journal.changed", 6, func(f store.Bucket, _ store.Tx, _ func(uint64) []byte) { f.Put(seqKey(6), []byte("{")) }},
		{"emptied", "journal.changed", 6, func(f store.Bucket, _ store.Tx, _ func(uint64) []byte) { f.Put(seqKey(6), nil) }},
		{"hash exchanged for another's", "journal.changed", 5, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			five, six := raw(5), raw(6)
			copy(five[len(five)-32:], six[len(six)-32:])
			f.Put(seqKey(5), five)
		}},
		{"changed, its hash too", "journal.replaced", 5, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			f.Put(seqKey(5), forge(raw(5), func(f *Fact) { f.Actor = "nobody" }))
		}},
		{"the first form changed, its hash too", "journal.replaced", 3, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			f.Put(seqKey(3), forge(raw(3), func(f *Fact) { f.Actor = "nobody" }))
		}},
		{"the newest changed, its hash too", "journal.replaced", 9, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			f.Put(seqKey(9), forge(raw(9), func(f *Fact) { f.Actor = "nobody" }))
		}},
		{"removed in the middle", "journal.removed", 4, func(f store.Bucket, _ store.Tx, _ func(uint64) []byte) { f.Delete(seqKey(4)) }},
		{"removed at the start", "journal.removed", 1, func(f store.Bucket, _ store.Tx, _ func(uint64) []byte) { f.Delete(seqKey(1)) }},
		{"removed and the gap closed", "journal.replaced", 5, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			for seq := uint64(6); seq < 9; seq++ {
				f.Put(seqKey(seq), forge(raw(seq+1), func(f *Fact) { f.Seq = seq }))
			}
			f.Delete(seqKey(9))
		}},
		{"removed at the end", "journal.truncated", 9, func(f store.Bucket, _ store.Tx, _ func(uint64) []byte) { f.Delete(seqKey(9)) }},
		{"removed at the end, the head with it", "journal.truncated", 8, func(f store.Bucket, tx store.Tx, raw func(uint64) []byte) {
			seven := raw(7)
			tx.Bucket(headBucket).Put(headKey, append(seqKey(7), seven[len(seven)-32:]...))
			f.Delete(seqKey(8)) // a customer's list still names 8
			f.Delete(seqKey(9))
		}},
		{"two exchanged", "journal.reordered", 5, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			five, six := raw(5), raw(6)
			f.Put(seqKey(5), six)
			f.Put(seqKey(6), five)
		}},
		{"one twice", "journal.reordered", 10, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) { f.Put(seqKey(10), raw(9)) }},
		{"one more", "journal.added", 10, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) {
			f.Put(seqKey(10), forge(raw(9), func(f *Fact) { f.Seq, f.Prev = 10, f.Hash }))
		}},
		{"a strange key", "journal.added", 10, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) { f.Put([]byte{0xff}, raw(6)) }},
		{"number nought", "journal.added", 1, func(f store.Bucket, _ store.Tx, raw func(uint64) []byte) { f.Put(seqKey(0), raw(6)) }},
		{"the head gone", "journal.truncated", 10, func(_ store.Bucket, tx store.Tx, _ func(uint64) []byte) {
			tx.Bucket(headBucket).Put(headKey, append(seqKey(11), make([]byte, 32)...))
		}},
		{"all of it gone", "journal.truncated", 1, func(f store.Bucket, _ store.Tx, _ func(uint64) []byte) {
			for i := range uint64(10) {
				f.Delete(seqKey(i))
			}
		}},
	}
}

// TestVerifyFindsWhatWasDone tampers with a journal that has facts of both forms: three of the first, six binary.
func TestVerifyFindsWhatWasDone(t *testing.T) {
	for _, c := range tamperings() {
		j := open(t)
		j.firstForm(t)
		facts := numbered(6)
		facts[4].Card, facts[4].Contact = true, "somebody"
		j.tell(t, facts...)
		if good, err := j.Verify(t.Context()); good != 9 || err != nil {
			t.Fatalf("before: Verify = %d, %v", good, err)
		}
		must(t, j.db.Update(t.Context(), func(tx store.Tx) error {
			facts := tx.Bucket(factsBucket)
			c.how(facts, tx, func(seq uint64) []byte { return slices.Clone(facts.Get(seqKey(seq))) })
			return nil
		}))
		good, err := j.Verify(t.Context())
		f := fault.Of(err)
		if f.Kind != fault.Invalid || f.Key != c.key || f.Params["seq"] != fmt.Sprint(c.at) || good != int(c.at)-1 || f.Params["at"] == "" {
			t.Errorf("%s: Verify = %d, %v; want %s at %d", c.what, good, err, c.key, c.at)
		}
	}
}

// TestAnchorsFindAPerfectForgery takes the newest facts away with every trace, and writes the whole chain anew: only
// what was kept elsewhere can tell.
func TestAnchorsFindAPerfectForgery(t *testing.T) {
	j := open(t)
	j.tell(t, numbered(5)...)
	five, err := j.Anchor(t.Context())
	must(t, err)
	j.tell(t, numbered(3)...)
	eight, err := j.Anchor(t.Context())
	must(t, err)
	if good, err := j.Verify(t.Context(), five, eight); good != 8 || err != nil {
		t.Fatalf("Verify = %d, %v", good, err)
	}
	rewrite := func(upTo uint64, change func(*Fact)) {
		must(t, j.db.Update(t.Context(), func(tx store.Tx) error {
			facts, prev := tx.Bucket(factsBucket), sum{}
			for seq := uint64(1); seq <= 8; seq++ {
				f, err := decode(facts.Get(seqKey(seq)))
				if err != nil || seq > upTo {
					facts.Delete(seqKey(seq))
					continue
				}
				change(&f)
				raw, own := encode(&f, prev)
				prev = own
				facts.Put(seqKey(seq), raw)
			}
			tx.Bucket(headBucket).Put(headKey, append(seqKey(upTo), prev[:]...))
			return nil
		}))
	}
	rewrite(6, func(*Fact) {})
	if good, err := j.Verify(t.Context(), five); good != 6 || err != nil {
		t.Errorf("without the later anchor: Verify = %d, %v", good, err)
	}
	if good, err := j.Verify(t.Context(), five, eight); good != 6 || fault.Of(err).Key != "journal.truncated" || fault.Of(err).Params["seq"] != "7" || fault.Of(err).Params["until"] != "8" {
		t.Errorf("two facts gone: Verify = %d, %v", good, err)
	}
	rewrite(6, func(f *Fact) { f.Actor = "nobody" })
	if good, err := j.Verify(t.Context()); good != 6 || err != nil {
		t.Errorf("a chain written anew: Verify = %d, %v", good, err)
	}
	if good, err := j.Verify(t.Context(), five); good != 4 || fault.Of(err).Key != "journal.replaced" || fault.Of(err).Params["seq"] != "5" {
		t.Errorf("a chain written anew: Verify = %d, %v", good, err)
	}
}

func TestAnchorText(t *testing.T) {
	hash := strings.Repeat("9f", 32)
	a, err := ParseAnchor(" 1042:" + strings.ToUpper(hash) + "\n")
	if err != nil || a.Seq != 1042 || a.String() != "1042:"+hash {
		t.Errorf("ParseAnchor = %+v, %v", a, err)
	}
	for _, bad := range []string{"", "1042", "1042:", "0:" + hash, "-1:" + hash, "x:" + hash, "1:" + hash[2:], "1:" + strings.Repeat("0", 64), "1:" + hash + "00"} {
		if _, err := ParseAnchor(bad); fault.Of(err).Key != "journal.anchor" {
			t.Errorf("ParseAnchor(%q) = %v", bad, err)
		}
	}
}

// TestFirstFormIsRead reads facts of the first form by every way, and goes on in the binary form.
func TestFirstFormIsRead(t *testing.T) {
	j := open(t)
	j.firstForm(t)
	j.tell(t, numbered(1)...)
	facts, err := j.After(t.Context(), 0, 10)
	must(t, err)
	if len(facts) != 4 || facts[1].Name != "contact.created" || facts[3].Prev != facts[2].Hash || facts[2].About["channel"] != "e<mail>" {
		t.Errorf("After = %+v", facts)
	}
	must(t, j.db.View(t.Context(), func(tx store.Tx) error {
		return Concerning(tx, facts[1].Contact, 0, func(f Fact) bool {
			if f.Seq != 2 {
				t.Errorf("Concerning gives %+v", f)
			}
			return true
		})
	}))
}

// FuzzDecode reads any bytes as a fact: it is refused, or written again it reads the same.
func FuzzDecode(f *testing.F) {
	for _, fact := range append(numbered(2), Fact{Name: "x", ID: "0198a6f2-7c3e-7d41-9a55-3f0e6b1c2d4e", Fields: []string{"a", ""}, Card: true, Read: true}) {
		raw, _ := encode(&fact, sum{1})
		f.Add(raw)
		f.Add(raw[:len(raw)-1])
	}
	huge := binary.AppendUvarint(append([]byte{binaryForm, 1}, make([]byte, 33+5)...), 1<<63)
	f.Add(append(huge, make([]byte, 64)...))
	f.Add([]byte(`{"seq":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		fact, err := decode(raw)
		if err != nil || len(raw) > 0 && raw[0] == '{' {
			return
		}
		_ = intact(raw, fact)
		again, own := encode(&fact, sumOf(fact.Prev))
		back, err := decode(again)
		if err != nil {
			t.Fatalf("written again it is refused: %v", err)
		}
		fact.Hash, back.Hash = "", ""
		if fmt.Sprint(fact) != fmt.Sprint(back) || own == (sum{}) {
			t.Fatalf("%+v reads again as %+v", fact, back)
		}
	})
}
