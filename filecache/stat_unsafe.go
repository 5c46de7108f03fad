package filecache

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is the package's only unsafe one: unix.Fstatat copies the path each time.

// fstatat is fstatat(2) of an absolute path, which ends in a NUL.
func fstatat(path string, st *unix.Stat_t, flags int) bool {
	at := unix.AT_FDCWD
	_, _, errno := unix.Syscall6(unix.SYS_NEWFSTATAT, uintptr(at), uintptr(unsafe.Pointer(unsafe.StringData(path))), uintptr(unsafe.Pointer(st)), uintptr(flags), 0, 0)
	return errno == 0
}
