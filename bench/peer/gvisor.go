package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const nic = 1

// gVisor serves from a netstack on a packet socket, as gVisor's own sandbox has it. The kernel must not have the address. (Its AF_XDP link
// was tried: some 1,000 requests in a second, with errors.)
func gVisor(o *options) error {
	ifi, err := net.InterfaceByName(o.ifname)
	if err != nil {
		return err
	}
	s, err := newStack(ifi, o.address.Addr().As4())
	if err != nil {
		return err
	}
	address := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(o.address.Addr().As4()), Port: o.address.Port()}
	l, err := gonet.ListenTCP(s, address, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	return serveFast(o, l)
}

func newStack(ifi *net.Interface, address [4]byte) (*stack.Stack, error) {
	fd, err := packetSocket(ifi.Index)
	if err != nil {
		return nil, err
	}
	end, err := fdbased.New(&fdbased.Options{
		FDs: []int{fd}, MTU: uint32(ifi.MTU), EthernetHeader: true, Address: tcpip.LinkAddress(ifi.HardwareAddr),
		PacketDispatchMode: fdbased.PacketMMap, RXChecksumOffload: true,
	})
	if err != nil {
		return nil, err
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
		HandleLocal:        true,
	})
	sack := tcpip.TCPSACKEnabled(true)
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return nil, fmt.Errorf("SACK: %s", err)
	}
	if err := s.CreateNIC(nic, end); err != nil {
		return nil, fmt.Errorf("interface of the stack: %s", err)
	}
	protocolAddress := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(address), PrefixLen: 24},
	}
	if err := s.AddProtocolAddress(nic, protocolAddress, stack.AddressProperties{}); err != nil {
		return nil, fmt.Errorf("address of the stack: %s", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return s, nil
}

func packetSocket(ifindex int) (fd int, err error) {
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, all); err != nil {
		return 0, fmt.Errorf("packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		return 0, fmt.Errorf("bind packet socket: %w", err)
	}
	return fd, nil
}
