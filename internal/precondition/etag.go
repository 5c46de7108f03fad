package precondition

// comparison says how two entity tags are compared (RFC 9110, 8.8.3.2).
type comparison bool

const (
	weakly   comparison = false
	strongly comparison = true
)

// canCompare reports whether etag is an entity tag that matchesAny can compare.
func canCompare(etag string) bool {
	if len(etag) > 2 && etag[:2] == "W/" {
		etag = etag[2:]
	}
	if len(etag) < 2 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		return false
	}
	for _, c := range []byte(etag[1 : len(etag)-1]) {
		if c == '"' || c == '\\' || c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// matchesAny reports whether one of the entity tags in list is etag. ok is false if there is one before it that two readers may
// understand differently: Apache takes a backslash for the beginning of a quoted pair, and reads on behind the closing quote.
//
// What is not an entity tag, or is a weak one when the comparison is strong, ends Apache's search.
func matchesAny(list []byte, etag string, how comparison) (is, ok bool) {
	if etag[0] == 'W' {
		if how == strongly {
			return false, true
		}
		etag = etag[2:]
	}
	for {
		for len(list) > 0 && (list[0] == ',' || isBlank(list[0])) {
			list = list[1:]
		}
		if how == weakly && len(list) > 2 && list[0] == 'W' && list[1] == '/' {
			list = list[2:]
		}
		if len(list) == 0 || list[0] != '"' {
			return false, true
		}
		end := 1
		for end < len(list) && list[end] != '"' {
			if list[end] == '\\' {
				return false, false
			}
			end++
		}
		if end == len(list) {
			return false, false
		}
		tag := list[:end+1]
		list = list[end+1:]
		for len(list) > 0 && isBlank(list[0]) {
			list = list[1:]
		}
		switch {
		case len(list) > 0 && list[0] != ',':
			return false, false
		case string(tag) == etag:
			return true, true
		}
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
