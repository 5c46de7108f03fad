package xdp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setOption sets an option of level SOL_XDP.
func setOption[T any](fd, option int, value *T) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(unsafe.Pointer(value)), unsafe.Sizeof(*value), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// getOption reads an option of level SOL_XDP. An older kernel may fill only the beginning of value.
func getOption[T any](fd, option int, value *T) error {
	size := uint32(unsafe.Sizeof(*value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(unsafe.Pointer(value)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// registerUMEM makes mem the socket's UMEM, in chunks of frameSize, with metadata octets of instructions before what is sent. The
// kernel keeps the pages; mem must not come from Go's heap.
func registerUMEM(fd int, mem []byte, frameSize, metadata int) error {
	flags := uint32(0)
	if metadata > 0 {
		flags = unix.XDP_UMEM_TX_METADATA_LEN
	}
	return setOption(fd, unix.XDP_UMEM_REG, &unix.XDPUmemReg{
		Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))),
		Len:  uint64(len(mem)),
		Size: uint32(frameSize),

		Flags:           flags,
		Tx_metadata_len: uint32(metadata),
	})
}
