package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Deferral is interrupts put off in favour of sockets that poll (SocketConfig.BusyPoll): while one polls a queue at least each deferTimeout,
// the queue has no interrupts; if it stops, the kernel goes on as ever. It is set for single NAPI instances, by netlink, which Linux
// 6.13 and later know.
type Deferral struct{ before []napi }

// What is set: as Linux's Documentation/networking/af_xdp.rst advises.
const (
	deferIRQs    = 2       // polls without a packet before interrupts are on again
	deferTimeout = 200_000 // ns
)

// napi is a NAPI instance's settings.
type napi struct {
	id, deferIRQs uint32
	timeout       uint64 // ns
}

// From linux/netdev.h.
const (
	netdevFamily     = "netdev"
	netdevVersion    = 1
	netdevCmdNAPIGet = 11
	netdevCmdNAPISet = 14
	napiIfindex      = 1
	napiID           = 2
	napiDeferIRQs    = 5
	napiFlushTimeout = 6
)

// Add puts the interrupts of a NAPI instance off, one that Socket.NAPI has returned, until Restore.
func (d *Deferral) Add(id uint32) error {
	before, err := getNAPI(id)
	if err == nil {
		err = napi{id, deferIRQs, deferTimeout}.set()
	}
	if err != nil {
		return fmt.Errorf("put off the interrupts of NAPI instance %d (Linux 6.13 and later can): %w", id, err)
	}
	if before.deferIRQs == deferIRQs && before.timeout == deferTimeout { // left by one of us that was killed: nobody knows what was before
		before.deferIRQs, before.timeout = 0, 0
	}
	d.before = append(d.before, before)
	return nil
}

// Restore puts back what was set before. Instances that are gone have taken their settings along.
func (d *Deferral) Restore() error {
	var errs []error
	for _, n := range d.before {
		if err := n.set(); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("put back the interrupts of NAPI instance %d: %w", n.id, err))
		}
	}
	d.before = nil
	return errors.Join(errs...)
}

// getNAPI returns the settings of an instance.
func getNAPI(id uint32) (n napi, err error) {
	answers, err := netdev(netdevCmdNAPIGet, 0, nl.NewRtAttr(napiID, nl.Uint32Attr(id)))
	if err != nil {
		return n, err
	}
	for _, answer := range answers {
		attrs, err := nl.ParseRouteAttr(answer[nl.SizeofGenlmsg:])
		if err != nil {
			return n, err
		}
		for _, a := range attrs {
			switch v := value(a.Value); a.Attr.Type {
			case napiID:
				n.id = uint32(v)
			case napiDeferIRQs:
				n.deferIRQs = uint32(v)
			case napiFlushTimeout:
				n.timeout = v
			}
		}
	}
	if n.id != id {
		return n, errors.New("the kernel tells nothing of it")
	}
	return n, nil
}

// value reads an attribute of netlink's type uint, which has 4 octets, or 8.
func value(b []byte) uint64 {
	switch len(b) {
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case 8:
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

func (n napi) set() error {
	_, err := netdev(netdevCmdNAPISet, unix.NLM_F_ACK, nl.NewRtAttr(napiID, nl.Uint32Attr(n.id)), nl.NewRtAttr(napiDeferIRQs, nl.Uint32Attr(n.deferIRQs)),
		nl.NewRtAttr(napiFlushTimeout, nl.Uint64Attr(n.timeout)))
	return err
}

// netdev puts a question to the kernel's family of this name.
func netdev(command byte, flags int, attrs ...*nl.RtAttr) ([][]byte, error) {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	if err != nil {
		return nil, fmt.Errorf("find the netlink family %s: %w", netdevFamily, err)
	}
	request := nl.NewNetlinkRequest(int(family.ID), flags)
	// Not nl.Genlmsg, which leaves the reserved octets to chance; the kernel wants zeroes.
	data := []byte{command, netdevVersion, 0, 0}
	for _, a := range attrs {
		data = append(data, a.Serialize()...)
	}
	request.AddRawData(data)
	return request.Execute(unix.NETLINK_GENERIC, 0)
}
