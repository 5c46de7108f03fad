// Command benchdiff compares two results of scripts/bench: benchdiff [-peer NAME] OLD NEW.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/xhttpd/xhttpd/bench/compare"
)

func main() {
	peer := flag.String("peer", "nginx", "the server that xhttpd is seen beside")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: bench-diff [-peer NAME] OLD NEW\n\nOLD and NEW are results.json files of scripts/bench.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	var runs [2]*compare.Results
	for k := range runs {
		var err error
		if runs[k], err = compare.Load(flag.Arg(k)); err != nil {
			fmt.Fprintln(os.Stderr, "bench-diff:", err)
			os.Exit(1)
		}
	}
	fmt.Print(compare.Diff(runs[0], runs[1], *peer))
}
