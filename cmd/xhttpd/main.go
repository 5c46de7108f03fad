package main

import (
	"context"
	"os"
)

func main() { os.Exit(execute(context.Background(), os.Args[1:], &streams{os.Stdout, os.Stderr})) }
