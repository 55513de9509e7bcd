// Command argocd is Argo CD's own command line, without its servers.
//
// tests/long asks it what it makes of Belay's objects with the scripts of the chart: its Lua has bounds and libraries of
// its own, which no other interpreter has.
package main

import (
	"os"

	"github.com/argoproj/argo-cd/v3/cmd/argocd/commands"
)

func main() {
	if commands.NewCommand().Execute() != nil {
		os.Exit(1)
	}
}
