package echo

import (
	"bufio"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/cores"
	"github.com/xhttpd/xhttpd/internal/nstest"
)

//go:embed testdata/echo.c
var echoC []byte

// cEcho runs testdata/echo.c.
func cEcho(t testing.TB, ns *nstest.NS) func(*atomic.Bool) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Fatal("needs Debian's package gcc")
	}
	binary := filepath.Join(t.TempDir(), "echo")
	if err := os.WriteFile(binary+".c", echoC, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, "-O2", "-Wall", "-o", binary, binary+".c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sockets.Close() }) //nolint:errcheck // it ends
	attach(t, ns, asm.Instructions{
		asm.LoadMapPtr(asm.R1, sockets.FD()), asm.Mov.Imm(asm.R2, 0), asm.Mov.Imm(asm.R3, xdpPass), asm.FnRedirectMap.Call(), asm.Return(),
	})
	fd, err := unix.Dup(sockets.FD())
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "xskmap")
	defer file.Close()
	args := append(cores.On(cores.Server), binary, fmt.Sprint(ns.Index), "3")
	cmd := ns.Command(args[0], args[1:]...)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ns.Start(cmd)
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		t.Fatalf("echo says %q, %v", line, err)
	}
	return func(stop *atomic.Bool) {
		for !stop.Load() {
			time.Sleep(time.Millisecond)
		}
		input.Close()
		cmd.Wait() //nolint:errcheck // it ends with its input
	}
}

const (
	xdpPass = 2
	xdpTX   = 3
)

// kernelEcho has the XDP program itself send the frames back: no user space at all.
func kernelEcho(t testing.TB, ns *nstest.NS) func(*atomic.Bool) {
	insns := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, 54), asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R5, asm.R2, 12, asm.Half), asm.JNE.Imm(asm.R5, 8, "pass"), // IPv4
	}
	exchange := func(a, b int16, size asm.Size) {
		insns = append(insns, asm.LoadMem(asm.R4, asm.R2, a, size), asm.LoadMem(asm.R5, asm.R2, b, size),
			asm.StoreMem(asm.R2, a, asm.R5, size), asm.StoreMem(asm.R2, b, asm.R4, size))
	}
	for _, at := range []int16{0, 2, 4} {
		exchange(at, at+6, asm.Half)
	}
	exchange(26, 30, asm.Word)
	exchange(34, 36, asm.Half)
	insns = append(insns, asm.Mov.Imm(asm.R0, xdpTX), asm.Return(), asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"), asm.Return())
	attach(t, ns, insns)
	if ns.Wire != nil { // veth takes such frames only where it polls, as it does with a program
		attach(t, ns.Wire, asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()})
	}
	return func(stop *atomic.Bool) {
		for !stop.Load() {
			time.Sleep(time.Millisecond)
		}
	}
}

// attach attaches an XDP program to the interface of ns until the benchmark ends.
func attach(t testing.TB, ns *nstest.NS, insns asm.Instructions) {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "BSD", Instructions: insns})
	if err != nil {
		t.Fatal(err)
	}
	var l link.Link
	ns.Do(func() {
		l, err = link.AttachXDP(link.XDPOptions{Program: program, Interface: ns.Index, Flags: link.XDPDriverMode})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); program.Close() }) //nolint:errcheck // they end
}
