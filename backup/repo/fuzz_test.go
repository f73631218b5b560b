package repo

import (
	"bytes"
	"strings"
	"testing"
)

// What is sealed has been made by someone with the key, who may still be hostile,
// so the plain bytes are fuzzed and not the sealed ones.

func FuzzHeader(f *testing.F) {
	f.Add(encodeHeader([]Blob{{Length: 35}, {Handle: Handle{TreeBlob, ID{1}}, Length: 99, Uncompressed: 7}}))
	f.Add([]byte{2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		blobs, err := parseHeader(data)
		if err == nil && !bytes.Equal(encodeHeader(blobs), data) {
			t.Fatalf("read %v, which writes another header", blobs)
		}
	})
}

func FuzzPack(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00"), int64(4))
	f.Fuzz(func(t *testing.T, last []byte, size int64) {
		if n, err := HeaderSize(last, size); err == nil && (n < 0 || n+TrailerSize > size) {
			t.Fatalf("header of %d bytes in a pack of %d", n, size)
		}
	})
}

func FuzzIndex(f *testing.F) {
	id := ID{}.String()
	f.Add([]byte(`{"packs":[{"id":"` + id + `","blobs":[{"id":"` + id + `","type":"data","offset":0,"length":40,"uncompressed_length":9}]}]}`))
	f.Add([]byte(`{"supersedes":null,"packs":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		packs, err := parseIndex(data)
		if err != nil {
			return
		}
		x := NewIndex()
		for _, p := range packs {
			x.Add(p)
			for _, b := range p.Blobs {
				if !x.Has(b.Handle) || b.Length < SealOverhead {
					t.Fatalf("blob %v is not found or too short", b)
				}
			}
		}
		for p := range x.Packs() {
			_ = PackSize(p.Blobs)
		}
	})
}

func FuzzTree(f *testing.F) {
	f.Add([]byte(`{"nodes":[{"name":"a\\xff","type":"file","mode":420,"mtime":"2026-11-22T01:02:03Z","content":[],"extended_attributes":null}]}`))
	f.Add([]byte(`{"nodes":[{"name":"..","type":"dir","subtree":"` + (ID{}).String() + `"},null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := DecodeTree(data)
		if err != nil {
			return
		}
		for i, n := range tree.Nodes {
			if n.Name == "" || n.Name == "." || n.Name == ".." || strings.ContainsAny(n.Name, "/\x00") {
				t.Fatalf("name %q was taken", n.Name)
			}
			if i > 0 && tree.Nodes[i-1].Name >= n.Name {
				t.Fatal("names are not ascending")
			}
			if n.Type == DirNode && n.Subtree == nil {
				t.Fatal("folder without listing")
			}
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(`{"created":"2026-11-22T01:02:03Z","kdf":"scrypt","N":32768,"r":8,"p":1,"salt":"` + strings.Repeat("A", 86) + `==","data":"` + strings.Repeat("A", 64) + `"}`))
	f.Add([]byte(`{"kdf":"scrypt","N":9223372036854775807,"r":-9223372036854775808,"p":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKeyFile(data)
		if err != nil {
			return
		}
		if memory := 128 * int64(k.R) * (int64(k.N) + int64(k.P)); memory > maxScryptMemory || memory <= 0 {
			t.Fatalf("key file that takes %d bytes to try was taken", memory)
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-22T01:06:12.97+01:00","tree":"` + (ID{}).String() + `","paths":["/"],"summary":{}}`))
	f.Add([]byte(`{"tree":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseSnapshot(data); err == nil && s.Tree == nil {
			t.Fatal("snapshot without a tree was taken")
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"version":2,"id":"x","chunker_polynomial":"25b468838dcb75"}`))
	f.Add([]byte(`{"version":2,"id":"x","chunker_polynomial":`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := parseConfig(data); err == nil && (c.Version < MinVersion || c.Version > Version) {
			t.Fatalf("version %d was taken", c.Version)
		}
	})
}
