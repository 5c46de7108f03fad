package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK     = 0
	exitErrors = 1
	exitUsage  = 2
	exitSelf   = 3
)

const description = `Makes HTTP load by AF_XDP, with a TCP of its own, so that the server is the limit and not the load generator.

It needs root, and an Ethernet interface that leads to the server (a veth pair will do). Only the server's packets to its own ports are
taken from the kernel.

Exit codes: 0 all went well; 1 it could not run, or responses were wrong or missing; 2 the command line makes no sense;
3 the generator itself was the limit, so that the figures are not the server's.`

var (
	errResponses = errors.New("responses were wrong or missing")
	errSelf      = errors.New("the generator itself was the limit")
)

// usageError is one that the command line is to blame for.
type usageError struct{ error }

type cli struct {
	Run     runCmd     `cmd:"" help:"Make requests, closed loop or with --rate open loop, and report."`
	Search  searchCmd  `cmd:"" help:"Find the highest rate, open loop, at which a quantile of the latency stays within a bound."`
	Fileset filesetCmd `cmd:"" help:"Make the files of the SPECweb96 mix."`
}

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// execute runs one command line and returns its exit code.
func execute(args []string, std *streams) int {
	var c cli
	code := -1
	parser, err := kong.New(&c,
		kong.Name("xload"), kong.Description(description),
		kong.Writers(std.out, std.err), kong.Exit(func(c int) { code = c }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}), kong.Bind(std))
	if err != nil {
		panic(err) // the struct tags are wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if code >= 0 { // --help has been printed, and parsing went on
		return code
	}
	if err != nil {
		fmt.Fprintf(std.err, "xload: error: %v (see xload --help)\n", err)
		return exitUsage
	}
	err = command.Run()
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSelf):
		return exitSelf
	case errors.Is(err, errResponses):
		return exitErrors
	}
	fmt.Fprintln(std.err, "xload: error:", err)
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitErrors
}
