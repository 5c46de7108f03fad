package filecache

import "github.com/xhttpd/xhttpd/internal/httpwire"

// notModified evaluates the preconditions. ok is false if they are written in a way that two readers may understand
// differently.
func (o *Object) notModified(r *httpwire.Request, unix int64) (is, ok bool) {
	if r.IfNoneMatch != nil && o.etag == "" || r.IfModifiedSince != nil && o.modified == 0 {
		return false, false
	}
	if r.IfNoneMatch != nil {
		if is, ok = matchesAny(r.IfNoneMatch, o.etag); !is || !ok || r.IfModifiedSince == nil {
			return is, ok
		}
		// RFC 9110, 13.1.3: If-Modified-Since is ignored if there is If-None-Match. Apache's ap_meets_conditions
		// wants both to hold: where that makes a difference, it shall answer.
		is, ok = o.notModifiedSince(r.IfModifiedSince, unix)
		return is, is && ok
	}
	if r.IfModifiedSince == nil {
		return false, true
	}
	return o.notModifiedSince(r.IfModifiedSince, unix)
}

func (o *Object) notModifiedSince(date []byte, unix int64) (is, ok bool) {
	since, ok := httpwire.ParseDate(date, unix)
	// RFC 9110, 13.1.4; a time in the future means nothing.
	return ok && o.modified <= since && since <= unix, ok
}

// matchesAny compares the entity tags of an If-None-Match field weakly with etag (RFC 9110, 8.8.3.2).
func matchesAny(list []byte, etag string) (is, ok bool) {
	if len(list) == 1 && list[0] == '*' {
		return true, true
	}
	found := false
	for {
		for len(list) > 0 && (list[0] == ' ' || list[0] == '\t') {
			list = list[1:]
		}
		if len(list) >= 2 && list[0] == 'W' && list[1] == '/' {
			list = list[2:]
		}
		if len(list) < 2 || list[0] != '"' {
			return false, false
		}
		end := 1
		for end < len(list) && list[end] != '"' {
			if c := list[end]; c <= ' ' || c == '\\' || c >= 0x7f {
				return false, false
			}
			end++
		}
		if end == len(list) {
			return false, false
		}
		tag := list[:end+1]
		found = found || string(tag) == etag
		list = list[end+1:]
		for len(list) > 0 && (list[0] == ' ' || list[0] == '\t') {
			list = list[1:]
		}
		switch {
		case len(list) == 0:
			return found, true
		case list[0] != ',':
			return false, false
		}
		list = list[1:]
	}
}
