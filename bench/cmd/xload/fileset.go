package main

import (
	"errors"
	"fmt"

	"github.com/xhttpd/xhttpd/bench/xload"
)

type filesetCmd struct {
	Dir  string  `arg:"" help:"Where the files go, below the document root."`
	Load float64 `default:"1000" help:"Requests in a second that the set is for: it has 10·√(LOAD/5) directories of some 5 MB."`
}

// Run makes the files.
func (c *filesetCmd) Run(std *streams) error {
	if !(c.Load > 0) {
		return usageError{errors.New("--load must be positive")}
	}
	dirs := xload.SPECweb96Dirs(c.Load)
	octets, err := xload.MakeSPECweb96(c.Dir, dirs)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%d directories, %.1f MB written\n", dirs, float64(octets)/1e6)
	return nil
}
