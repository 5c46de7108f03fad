package preflight

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// From linux/inet_diag.h.
const (
	diagRequestLen  = 56 // struct inet_diag_req_v2
	diagMessageLen  = 72 // struct inet_diag_msg
	diagReqProtocol = 3  // INET_DIAG_REQ_PROTOCOL, for protocols that an octet does not hold
	tcpListen       = 10 // TCP_LISTEN, a bit of idiag_states
)

// multipathListeners returns the local addresses of the listeners on port that speak Multipath TCP. To /proc/net/tcp
// they look like others.
func multipathListeners(port uint16) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		data := make([]byte, diagRequestLen)
		data[0], data[1] = family, unix.IPPROTO_RAW // the attribute says which
		binary.NativeEndian.PutUint32(data[4:], 1<<tcpListen)
		request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		request.AddRawData(append(data, nl.NewRtAttr(diagReqProtocol, nl.Uint32Attr(unix.IPPROTO_MPTCP)).Serialize()...))
		messages, err := request.Execute(unix.NETLINK_INET_DIAG, 0)
		if err != nil {
			return nil, fmt.Errorf("list listeners: %w", err)
		}
		for _, m := range messages {
			switch {
			case len(m) < diagMessageLen || binary.BigEndian.Uint16(m[4:]) != port:
			case family == unix.AF_INET:
				found = append(found, netip.AddrFrom4([4]byte(m[8:12])))
			default:
				found = append(found, netip.AddrFrom16([16]byte(m[8:24])))
			}
		}
	}
	return found, nil
}
