package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1 // could not run, or check found that it could not
	exitUsage = 2
)

const description = `Answers cached static objects from the network card's receive queues (AF_XDP), and hands every other
connection to the kernel's TCP, where an unmodified web server such as Apache serves it.

Exit codes: 0 all went well, 1 it could not run, 2 the command line is wrong.`

// errCheckFailed ends "xhttpd check" with exitFail; what failed has been printed.
var errCheckFailed = errors.New("this machine can't run xhttpd as asked")

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("xhttpd"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		c.defaults())
	if err != nil {
		fmt.Fprintln(stderr, "xhttpd: error:", err)
		return exitUsage
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "xhttpd: error: %v\nTry \"xhttpd --help\".\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	switch err := command.Run(&streams{stdout, stderr}); {
	case errors.Is(err, errCheckFailed):
		return exitFail
	case err != nil:
		fmt.Fprintln(stderr, "xhttpd: error:", err)
		return exitFail
	}
	return exitOK
}

type streams struct{ out, err io.Writer }
