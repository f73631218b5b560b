// Command launch is the launcher of plugins by itself, for tests and for those who build plugins: what `karov
// plugin-exec` does, without the rest of Karov. It owns nothing; see package confine for what it promises and will not do.
package main

import (
	"os"

	"github.com/karov-crm/karov/appliance/plugin/confine"
)

func main() { os.Exit(confine.Main()) }
