package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/config"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

const description = `Answers cached static objects from the network card's receive queues (AF_XDP), and hands every other
connection to the kernel's TCP, where an unmodified web server such as Apache serves it.

Exit codes: 0 all went well; 1 it could not run, or has failed, or a check has; 2 the command line makes no sense.`

// errReported ends a command with exitFail; what was wrong has been said.
var errReported = errors.New("failed")

type cli struct {
	Run     runCmd     `cmd:"" help:"Serve. Ends on SIGTERM or SIGINT, when connections were handed to the server behind; a second signal ends it at once. On SIGUSR1 or SIGHUP it opens the access log anew."`
	Check   checkCmd   `cmd:"" help:"Say whether and how this machine could run xhttpd, and what to do about what it lacks. It changes nothing."`
	Purge   purgeCmd   `cmd:"" help:"Have the running daemon forget objects: the next request for them is Apache's."`
	Version versionCmd `cmd:"" help:"Print the versions of xhttpd, of the compiler and of the kernel."`
}

type runCmd struct {
	fromFile
	config.Daemon
}

type checkCmd struct {
	fromFile
	config.Common
	JSON bool `name:"json" help:"Print the results as JSON."`
}

type versionCmd struct{}

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, std *streams) int {
	var c cli
	code := -1
	parser, err := kong.New(&c,
		kong.Name("xhttpd"), kong.Description(description),
		kong.Writers(std.out, std.err), kong.Exit(func(c int) { code = c }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(std),
		kong.Configuration(loadConfig))
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
		complain(std, fmt.Errorf("%w (see xhttpd --help)", err))
		return exitUsage
	}
	switch err := command.Run(); {
	case errors.Is(err, errReported):
		return exitFail
	case err != nil:
		complain(std, err)
		return exitFail
	}
	return exitOK
}

// complain writes err to stderr. If that can't be done, nobody listens.
func complain(std *streams, err error) { _, _ = fmt.Fprintln(std.err, "xhttpd: error:", err) }

// Run prints versions.
func (versionCmd) Run(std *streams) error {
	_, err := fmt.Fprintf(std.out, "xhttpd %s\n%s %s/%s\nLinux %s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, kernelRelease())
	return err
}

// version is that of the module, and the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown version"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v += " " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v += " and changes"
		}
	}
	return v
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of unknown release"
	}
	return unix.ByteSliceToString(u.Release[:])
}
