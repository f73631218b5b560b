package main

import (
	"testing"

	"github.com/karov-crm/karov/plugins/plugintest"
)

func TestConformance(t *testing.T) {
	plugintest.Conform(t, plugintest.Plugin{Dir: "."})
}
