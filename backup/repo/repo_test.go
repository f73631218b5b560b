package repo

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newCodec(t testing.TB) *Codec {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCodec(key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// goldenKey has the AES-256 key of NIST SP 800-38A F.5.5 and the MAC key of the
// first Poly1305-AES vector of Bernstein's paper.
func goldenKey(t testing.TB) *Key {
	t.Helper()
	k, err := keyFromBytes(unhex(t, "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"+
		"ec074c835580741701425b623235add6"+"851fc40c3467ac0be05cc20404f3f700"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealGolden(t *testing.T) {
	k := goldenKey(t)
	if got := hex.EncodeToString(k.oneTime(unhex(t, "fb447350c4e868c52ac3275cf9d4327e"))[16:]); got != "580b3b0f9447bb1e69d095b5928b6dbc" {
		t.Errorf("s of Bernstein's vector is %s", got)
	}
	iv := [ivSize]byte(unhex(t, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"))
	sealed := k.sealWith(nil, unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"), iv)
	want := "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff" + "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
	if got := hex.EncodeToString(sealed[:48]); got != want {
		t.Errorf("sealed to %s, want %s", got, want)
	}
	if len(sealed) != 32+SealOverhead {
		t.Errorf("sealed to %d bytes", len(sealed))
	}
	// Computed apart from this code, with openssl and big integers.
	const tag = "b3946dba822b0fb0d55b388a9f55b991"
	if got := hex.EncodeToString(sealed[48:]); got != tag {
		t.Errorf("tag is %s, want %s", got, tag)
	}
}

func TestSealRefusesAnyChange(t *testing.T) {
	c := newCodec(t)
	sealed, err := c.key.Seal(nil, []byte("customer"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := c.key.Open(nil, sealed); err != nil || string(plain) != "customer" {
		t.Fatalf("open: %q, %v", plain, err)
	}
	for i := range sealed {
		bad := slices.Clone(sealed)
		bad[i] ^= 1
		if _, err := c.key.Open(nil, bad); !errors.Is(err, ErrSeal) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for n := range len(sealed) {
		if _, err := c.key.Open(nil, sealed[:n]); !errors.Is(err, ErrSeal) {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
	zero := append(make([]byte, ivSize), sealed[ivSize:]...)
	if _, err := c.key.Open(nil, zero); !errors.Is(err, ErrSeal) {
		t.Errorf("zero IV: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	master := goldenKey(t)
	data, err := WrapKey(KeyFile{Created: time.Unix(1, 0), Username: "u", Hostname: "h"}, "pass", KDF{N: 16, R: 1, P: 1}, master)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseKeyFile(data)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Open("pass"); err != nil || got.raw != master.raw {
		t.Errorf("open: %v", err)
	}
	if _, err := f.Open("Pass"); !errors.Is(err, ErrSeal) {
		t.Errorf("wrong password: %v", err)
	}
	for name, change := range map[string]func(*KeyFile){
		"memory bomb": func(f *KeyFile) { f.N = 1 << 24 },
		"wide bomb":   func(f *KeyFile) { f.R = 1 << 19 },
		"slow bomb":   func(f *KeyFile) { f.N, f.R, f.P = 1<<15, 8, 1<<19 },
		"odd N":       func(f *KeyFile) { f.N = 17 },
		"negative":    func(f *KeyFile) { f.R = -1 },
		"short salt":  func(f *KeyFile) { f.Salt = f.Salt[:63] },
		"no data":     func(f *KeyFile) { f.Data = nil },
		"other kdf":   func(f *KeyFile) { f.KDFName = "none" },
	} {
		g := *f
		change(&g)
		data, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseKeyFile(data); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cost := range []KDF{RandomSecretKDF(), ChosenSecretKDF()} {
		if err := cost.check(); err != nil {
			t.Errorf("own cost %v: %v", cost, err)
		}
	}
}

func TestConfig(t *testing.T) {
	key := goldenKey(t)
	c, err := NewConfig()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := c.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeConfig(key, sealed); err != nil || got != c {
		t.Errorf("config came back as %+v, %v", got, err)
	}
	plain, err := key.Open(nil, sealed)
	if err != nil || plain[0] != '{' {
		t.Errorf("config is not plain JSON in its seal: %q, %v", plain, err)
	}
	var version *VersionError
	if _, err := parseConfig([]byte(`{"version":3,"chunker_polynomial":7}`)); !errors.As(err, &version) || version.Version != 3 {
		t.Errorf("version 3: %v", err)
	}
	for _, bad := range []string{`{"version":2,"chunker_polynomial":"4"}`, `{"version":2,"chunker_polynomial":"20000000000000"}`, `{"version":2,"chunker_polynomial":1}`, `{"version":2}`, `[]`, ``} {
		if _, err := parseConfig([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestHeaderGolden(t *testing.T) {
	one, two := Hash([]byte("one")), Hash([]byte("two"))
	blobs := []Blob{
		{Handle: Handle{DataBlob, one}, Length: 35},
		{Handle: Handle{TreeBlob, two}, Offset: 35, Length: 100, Uncompressed: 400},
	}
	want := "00" + "23000000" + one.String() + "03" + "64000000" + "90010000" + two.String()
	if got := hex.EncodeToString(encodeHeader(blobs)); got != want {
		t.Errorf("header is %s, want %s", got, want)
	}
	if got, err := parseHeader(unhex(t, want)); err != nil || !slices.Equal(got, blobs) {
		t.Errorf("header read as %v, %v", got, err)
	}
	if got := PackSize(blobs); got != 35+100+37+41+32+4 {
		t.Errorf("pack size is %d", got)
	}
}

func TestPack(t *testing.T) {
	c := newCodec(t)
	p := NewPack(nil)
	random := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, 3)
	for _, plain := range [][]byte{random, bytes.Repeat([]byte("line of text\n"), 100)} {
		h := Handle{DataBlob, Hash(plain)}
		stored, uncompressed, err := c.SealBlob(nil, h, plain)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Add(h, stored, uncompressed); err != nil {
			t.Fatal(err)
		}
		if err := p.Add(h, stored, uncompressed); err == nil {
			t.Error("the same blob was taken twice")
		}
	}
	id, data, blobs, err := p.Finish(c)
	if err != nil {
		t.Fatal(err)
	}
	if id != Hash(data) || int64(len(data)) != PackSize(blobs) {
		t.Error("ID or size of the pack is wrong")
	}
	if blobs[1].Uncompressed != 1300 {
		t.Errorf("text was not compressed: %+v", blobs[1])
	}
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 0x10
		if i < int(blobs[1].Offset+blobs[1].Length) {
			continue // a blob, not the header
		}
		if _, err := c.PackBlobs(bad); err == nil {
			t.Fatalf("header with byte %d changed was read", i)
		}
	}
	for n := range len(data) {
		if _, err := c.PackBlobs(data[:n]); err == nil {
			t.Fatalf("pack cut to %d bytes was read", n)
		}
	}
}

func TestBlobMustBeWhatItsNameSays(t *testing.T) {
	c := newCodec(t)
	plain := bytes.Repeat([]byte("x"), 1000)
	h := Handle{DataBlob, Hash(plain)}
	stored, n, err := c.SealBlob(nil, h, plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.OpenBlob(nil, h, stored, n); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("open: %v", err)
	}
	// These two are what stock restic's check does not see.
	for _, wrong := range []uint32{n - 1, n + 1, 0, 1 << 31} {
		if _, err := c.OpenBlob(nil, h, stored, wrong); err == nil {
			t.Errorf("declared as %d bytes and opened", wrong)
		}
	}
	if _, err := c.OpenBlob(nil, Handle{DataBlob, ID{1}}, stored, n); !errors.Is(err, ErrHash) {
		t.Errorf("other name: %v", err)
	}
	if _, _, err := c.SealBlob(nil, Handle{DataBlob, Hash(nil)}, nil); err == nil {
		t.Error("an empty blob was stored")
	}
}

func TestFileEncoding(t *testing.T) {
	c := newCodec(t)
	sealed, err := c.SealFile(map[string]int{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := c.key.Open(nil, sealed)
	if err != nil || inner[0] != 2 {
		t.Errorf("first byte is %x, %v", inner[0], err)
	}
	for plain, ok := range map[string]bool{`{"a":1}`: true, `[1]`: true, "": false, "\x01{}": false, "\x02nozstd": false, " {}": false} {
		sealed, err := c.key.Seal(nil, []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.OpenFile(sealed); (err == nil) != ok {
			t.Errorf("%q: %v", plain, err)
		}
	}
}

func TestIndex(t *testing.T) {
	c := newCodec(t)
	a, b := Handle{DataBlob, ID{1}}, Handle{TreeBlob, ID{1}}
	p := IndexedPack{ID: ID{9}, Blobs: []Blob{{Handle: a, Length: 40}, {Handle: b, Offset: 40, Length: 50, Uncompressed: 70}}}
	sealed, err := c.EncodeIndex([]IndexedPack{p})
	if err != nil {
		t.Fatal(err)
	}
	packs, err := c.DecodeIndex(sealed)
	if err != nil || len(packs) != 1 || !slices.Equal(packs[0].Blobs, p.Blobs) {
		t.Fatalf("index came back as %v, %v", packs, err)
	}
	x := NewIndex()
	x.Add(p)
	x.Add(p)
	x.Add(IndexedPack{ID: ID{8}, Blobs: []Blob{{Handle: a, Length: 40}}})
	if got := x.Locations(a); len(got) != 2 || got[0].Pack != p.ID || got[1].Pack != (ID{8}) {
		t.Errorf("places of a: %v", got)
	}
	if got := x.Locations(b); len(got) != 1 || got[0].Blob != p.Blobs[1] {
		t.Errorf("places of b: %v", got)
	}
	if x.Has(Handle{DataBlob, ID{2}}) || x.Locations(Handle{DataBlob, ID{2}}) != nil {
		t.Error("an unknown blob has a place")
	}
	listed := slices.Collect(x.Packs())
	if len(listed) != 2 || !slices.Equal(listed[0].Blobs, p.Blobs) {
		t.Errorf("packs: %v", listed)
	}
}

func TestTreeGolden(t *testing.T) {
	when := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	sub := Hash([]byte("sub"))
	tree := &Tree{Nodes: []Node{
		{Name: "z", Type: DirNode, Mode: 0o755 | fs.ModeDir, ModTime: when, AccessTime: when, ChangeTime: when, Subtree: &sub},
		{Name: "a\"b\\\n\xff<", Type: FileNode, Mode: 0o644, ModTime: when, AccessTime: when, ChangeTime: when, Content: []ID{}},
	}}
	got, err := tree.Encode()
	if err != nil {
		t.Fatal(err)
	}
	times := `"mtime":"2026-11-22T01:02:03Z","atime":"2026-11-22T01:02:03Z","ctime":"2026-11-22T01:02:03Z","uid":0,"gid":0,`
	want := `{"nodes":[{"name":"a\\\"b\\\\\\n\\xff\u003c","type":"file","mode":420,` + times + `"content":[]},` +
		`{"name":"z","type":"dir","mode":2147484141,` + times + `"content":null,"subtree":"` + sub.String() + `"}]}` + "\n"
	if string(got) != want {
		t.Errorf("tree is\n%s\nwant\n%s", got, want)
	}
	back, err := DecodeTree(got)
	if err != nil || back.Unsorted || back.Nodes[0].Name != "a\"b\\\n\xff<" {
		t.Errorf("tree came back as %+v, %v", back, err)
	}
	if empty, err := (&Tree{}).Encode(); err != nil || string(empty) != `{"nodes":[]}`+"\n" {
		t.Errorf("empty tree is %q, %v", empty, err)
	}
}

func TestTreeRefusesNamesThatLeaveTheFolder(t *testing.T) {
	node := func(name string) string { return `{"name":"` + name + `","type":"file","content":[]}` }
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/etc", `a\\x00b`, `\"`, `unfinished\\`, `a\\u002fb`} {
		if _, err := DecodeTree([]byte(`{"nodes":[` + node(name) + `]}`)); err == nil {
			t.Errorf("name %s was taken", name)
		}
	}
	if _, err := DecodeTree([]byte(`{"nodes":[` + node("a") + `,` + node("a") + `]}`)); !errors.Is(err, ErrFormat) {
		t.Errorf("twins: %v", err)
	}
	got, err := DecodeTree([]byte(`{"nodes":[` + node("b") + `,` + node("a") + `]}`))
	if err != nil || !got.Unsorted {
		t.Fatalf("unsorted: %v", err)
	}
	if n, ok := got.Find("b"); !ok || n.Name != "b" {
		t.Error("an entry of an unsorted folder was not found")
	}
	if _, err := DecodeTree([]byte(`{"nodes":[{"name":"d","type":"dir"}]}`)); err == nil {
		t.Error("a folder without a listing was taken")
	}
}

func TestSnapshotNeedsTree(t *testing.T) {
	for _, bad := range []string{`{}`, `{"tree":null}`, `{"tree":"12"}`, `{"tree":"` + strings.Repeat("A", 64) + `"}`} {
		if _, err := parseSnapshot([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	ok := `{"time":"2026-11-22T01:06:12.97+01:00","tree":"` + Hash(nil).String() + `","summary":null,"later":{"x":1}}`
	if _, err := parseSnapshot([]byte(ok)); err != nil {
		t.Error(err)
	}
}
