package sdk

import (
	"context"
	"errors"
	"iter"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// kvPage is how many entries List fetches at a time.
const kvPage = 100

// Entry is a key with its value.
type Entry struct {
	Key      string
	Value    []byte
	Revision int64 // grows with each write of the key; 0: the key is not there
}

// KV is the plugin's own ordered store of small values: keys of 1 to 512 bytes, values of at most 64 KiB, all together
// within plugin.yaml's permissions.storage. It is in the office's backup and outlives the plugin until it is purged.
// What was answered is on disk.
type KV interface {
	// Get reads a key. One that is not there is no error: its Revision is 0.
	Get(ctx context.Context, key string) (Entry, error)
	// Put writes a value, whatever was there, and gives its revision.
	Put(ctx context.Context, key string, value []byte) (int64, error)
	// Delete takes a key away, whatever was there. One that is not there is no error.
	Delete(ctx context.Context, key string) error
	// Swap does several writes, at most 500, in one transaction, each only if its key still is as it was seen. One that is
	// not is an error that IsConflict knows, and none is done. It gives the new revisions, in order, 0 for what is gone.
	Swap(ctx context.Context, writes ...KVWrite) ([]int64, error)
	// List gives the entries whose keys begin with a prefix, in the order of the keys, page after page while the loop goes
	// on.
	List(ctx context.Context, prefix string) iter.Seq2[Entry, error]
	// ListBack is List from the last key down.
	ListBack(ctx context.Context, prefix string) iter.Seq2[Entry, error]
}

// KVWrite is one write of a Swap: To, Gone, Always make it.
type KVWrite struct {
	write *wirev1.KVWrite
}

// To writes a value where the key is as it was seen. An Entry that was not there has to be not there still.
func (e Entry) To(value []byte) KVWrite {
	return KVWrite{&wirev1.KVWrite{Key: []byte(e.Key), Value: value, Expected: e.Revision}}
}

// Gone takes the key away where it is as it was seen.
func (e Entry) Gone() KVWrite {
	return KVWrite{&wirev1.KVWrite{Key: []byte(e.Key), Delete: true, Expected: e.Revision}}
}

// Always writes a value beside the others of a Swap, whatever was there. A nil value takes the key away.
func Always(key string, value []byte) KVWrite {
	return KVWrite{&wirev1.KVWrite{Key: []byte(key), Value: value, Delete: value == nil, Expected: -1}}
}

// kv is KV over the line.
type kv struct{ client wirev1.KVClient }

// Get reads a key.
func (c kv) Get(ctx context.Context, key string) (Entry, error) {
	e, err := call(ctx, c.client.Get, &wirev1.KVGetRequest{Key: []byte(key)})
	if err != nil {
		return Entry{}, err
	}
	return Entry{Key: key, Value: e.GetValue(), Revision: e.GetRevision()}, nil
}

// Put writes a key.
func (c kv) Put(ctx context.Context, key string, value []byte) (int64, error) {
	if value == nil {
		value = []byte{}
	}
	at, err := c.Swap(ctx, Always(key, value))
	if err != nil || len(at) == 0 {
		return 0, err
	}
	return at[0], nil
}

// Delete takes a key away.
func (c kv) Delete(ctx context.Context, key string) error {
	_, err := c.Swap(ctx, Always(key, nil))
	return err
}

// Swap does several writes.
func (c kv) Swap(ctx context.Context, writes ...KVWrite) ([]int64, error) {
	ask := &wirev1.KVPutRequest{}
	for _, w := range writes {
		if w.write == nil {
			return nil, local(wirev1.Kind_KIND_INVALID, "kv.no-write", errors.New("a KVWrite is made by To, Gone or Always"))
		}
		ask.Writes = append(ask.Writes, w.write)
	}
	if len(ask.Writes) == 0 {
		return nil, nil
	}
	answer, err := call(ctx, c.client.Put, ask)
	if err != nil {
		return nil, err
	}
	return answer.GetRevisions(), nil
}

// List pages upwards.
func (c kv) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return c.list(ctx, &wirev1.KVListRequest{Prefix: []byte(prefix), Limit: kvPage})
}

// ListBack pages downwards.
func (c kv) ListBack(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return c.list(ctx, &wirev1.KVListRequest{Prefix: []byte(prefix), Limit: kvPage, Reverse: true})
}

func (c kv) list(ctx context.Context, first *wirev1.KVListRequest) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		ask := &wirev1.KVListRequest{Prefix: first.Prefix, Limit: first.Limit, Reverse: first.Reverse}
		for {
			page, err := call(ctx, c.client.List, ask)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range page.GetEntries() {
				ask.After = e.GetKey()
				if !yield(Entry{Key: string(e.GetKey()), Value: e.GetValue(), Revision: e.GetRevision()}, nil) {
					return
				}
			}
			if !page.GetMore() || len(page.GetEntries()) == 0 {
				return
			}
		}
	}
}

// Secrets keeps what a plugin must not store itself, as a token that a service gave it: sealed on disk and in backups,
// at most 100 of 16 KiB. Names have the form of a setting's key, "api.token".
type Secrets interface {
	// Set keeps a secret; an empty value takes it away.
	Set(ctx context.Context, name string, value []byte) error
	// Open gives a secret. It must not be logged or stored. Where there is none the error is one that IsNotFound knows.
	Open(ctx context.Context, name string) ([]byte, error)
	// MAC gives HMAC-SHA256 of data, at most 1 MB, under a secret, or under a secret setting of the configuration: compare
	// it with hmac.Equal to check a web-hook's signature.
	MAC(ctx context.Context, name string, data []byte) ([]byte, error)
}

// secrets is Secrets over the line.
type secrets struct{ client wirev1.SecretsClient }

// Set keeps a secret.
func (c secrets) Set(ctx context.Context, name string, value []byte) error {
	_, err := call(ctx, c.client.Set, &wirev1.SecretSetRequest{Name: wire.Valid(name), Value: value})
	return err
}

// Open gives a secret.
func (c secrets) Open(ctx context.Context, name string) ([]byte, error) {
	answer, err := call(ctx, c.client.Open, &wirev1.SecretOpenRequest{Name: wire.Valid(name)})
	return answer.GetValue(), err
}

// MAC signs data.
func (c secrets) MAC(ctx context.Context, name string, data []byte) ([]byte, error) {
	answer, err := call(ctx, c.client.MAC, &wirev1.SecretMACRequest{Name: wire.Valid(name), Data: data})
	return answer.GetMac(), err
}
