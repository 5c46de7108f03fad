package filecache

// Direct returns the octets of response r, which is not OnDisk, in front of offset end, of those from begin on as many as lie in one piece of
// the object's memory: ReadAt copies the same. They must not be written to, and stay as they are.
func (o *Object) Direct(r Response, begin, end uint32) []byte {
	head := uint32(o.headLen(&r))
	if r.noBody || r.kind == kindParts || end <= head {
		return nil
	}
	body := o.octets
	if r.kind == kind206 {
		from, to := r.parts.Only()
		body = body[from:to]
	}
	return body[max(begin, head)-head : end-head]
}
