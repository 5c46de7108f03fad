// Command xload makes HTTP load by AF_XDP: see package bench/xload, and xload --help.
package main

import "os"

func main() { os.Exit(execute(os.Args[1:], &streams{os.Stdout, os.Stderr})) }
