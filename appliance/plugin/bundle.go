package plugin

import (
	"io"

	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// BundlePackage packs the plugin in a folder without signing it.
func BundlePackage(dir string, w io.Writer) (*pack.Manifest, error) {
	if _, err := ReadManifest(dir); err != nil {
		return nil, err
	}
	return pack.Bundle(dir, w, describe)
}

// LookIntoPackage proves a package whole, whoever signed it or nobody.
func LookIntoPackage(r io.ReaderAt, size int64) (*pack.Package, error) {
	return pack.Look(r, size, describe)
}
