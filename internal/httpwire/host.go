package httpwire

// validHost reports whether v, the value of a Host field, is one that Apache accepts with HttpProtocolOptions Strict,
// its default, and answers with 400 otherwise (server/vhost.c, fix_hostname and strict_hostname_check): a name, an
// IPv4 address or an IPv6 address in brackets, and perhaps a port. What is allowed but rare (an empty value, a final
// dot, an IPv4 address inside an IPv6 one) is not ours.
func validHost(v []byte) bool {
	if len(v) > 255 {
		return false
	}
	if len(v) > 0 && v[0] == '[' {
		end := 1
		for end < len(v) && v[end] != ']' {
			end++
		}
		return end < len(v) && validIPv6(v[1:end]) && validPort(v[end+1:])
	}
	end := 0
	for end < len(v) && v[end] != ':' {
		end++
	}
	return validName(v[:end]) && validPort(v[end:])
}

// validPort takes nothing, or ':' and a port.
func validPort(v []byte) bool {
	if len(v) == 0 {
		return true
	}
	var port int
	return v[0] == ':' && len(v) >= 2 && len(v) <= 6 && digits(v[1:], &port) && port >= 1 && port <= 0xffff
}

// validName takes labels of letters, digits, '-' and '_'. RFC 1123, 2.1: the last one begins with a letter, unless
// all are numbers: then they are an IPv4 address.
func validName(v []byte) bool {
	labels, numbers := 0, 0
	var label []byte
	for rest := v; ; rest = rest[len(label)+1:] {
		label = rest[:labelLen(rest)]
		if len(label) == 0 || len(label) < len(rest) && rest[len(label)] != '.' {
			return false
		}
		labels++
		if octet := 0; len(label) <= 3 && digits(label, &octet) && octet <= 255 && (label[0] != '0' || len(label) == 1) {
			numbers++
		}
		if len(label) == len(rest) {
			break
		}
	}
	if numbers == labels {
		return labels == 4
	}
	var all int
	return class.is(label[0], letter) || labels == 1 && !digits(label, &all)
}

func labelLen(v []byte) int {
	k := 0
	for k < len(v) && (class.is(v[k], letter|digit) || v[k] == '-' || v[k] == '_') {
		k++
	}
	return k
}

// validIPv6 takes an address as RFC 4291, 2.2, writes it, without the form that ends in an IPv4 address.
func validIPv6(v []byte) bool {
	groups, short := 0, false
	if len(v) >= 2 && v[0] == ':' && v[1] == ':' {
		short = true
		v = v[2:]
	}
	for len(v) > 0 {
		k := 0
		for k < len(v) && class.is(v[k], hex) {
			k++
		}
		if k < 1 || k > 4 {
			return false
		}
		groups++
		v = v[k:]
		switch {
		case len(v) == 0:
		case len(v) >= 2 && v[0] == ':' && v[1] == ':' && !short:
			short = true
			v = v[2:]
		case len(v) >= 2 && v[0] == ':':
			v = v[1:]
		default:
			return false
		}
	}
	if short {
		return groups < 8 // RFC 4291, 2.2: "::" stands for one group or more
	}
	return groups == 8
}
