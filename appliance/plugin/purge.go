package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// PurgeKept takes away what Karov keeps for a plugin beside its records: small values, secrets and settings. Its files go
// with the next CollectFiles where nothing else names them. It is for those who administer the office.
func (h *Host) PurgeKept(ctx context.Context, id string) error {
	if h.o.DB == nil || h.o.Gate == nil {
		return fault.New(fault.Unavailable, "plugin.service-absent")
	}
	if err := h.o.Gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return err
	}
	return h.o.DB.Update(ctx, func(tx store.Tx) error { return purgeKept(tx, id) })
}

func purgeKept(tx store.Tx, id string) error {
	tx.Bucket(settingsBucket).Delete([]byte(id))
	for _, bucket := range []string{kvBucket, secretsBucket} {
		all := kept(id, nil)
		var keys [][]byte
		for key := range tx.Bucket(bucket).Scan(all, store.PrefixEnd(all), false) {
			keys = append(keys, slices.Clone(key))
		}
		for _, key := range keys {
			tx.Bucket(bucket).Delete(key)
		}
	}
	return forgetFiles(tx, id)
}

// forgetFiles lets all files of a plugin go as if they had waited for their day.
func forgetFiles(tx store.Tx, id string) error {
	all := kept(id, nil)
	var hashes []string
	for key := range tx.Bucket(filesBucket).Scan(all, store.PrefixEnd(all), false) {
		hashes = append(hashes, fmt.Sprintf("%x", key[len(all):]))
	}
	used := storage{revision: storageOf(tx, id).revision}
	for _, hash := range hashes {
		f, _, err := putFileOf(tx, id, hash)
		if err != nil {
			return err
		}
		f.Values, f.At = 0, f.At.Add(-fileLife)
		used.files += f.Size + entryWeight
		if err := f.save(tx, id); err != nil {
			return err
		}
	}
	used.save(tx, id)
	return nil
}
