package filecache

import "bytes"

// body is the octets that objects have in common: of one file, in one coding, whatever host and however they are asked for.
type body struct {
	key    bodyKey
	octets []byte
	had    int // by objects, those that are being proven included
	users  int // objects in the table
}

type bodyKey struct {
	file    fileID
	coding  string // Content-Encoding
	chunked bool
}

// shareBody gives o the octets of another object if they are the same.
func (c *Cache) shareBody(o *Object, key bodyKey) {
	if o.file != nil {
		o.body = &body{key: key}
		return
	}
	c.mu.Lock()
	b := c.bodies[key]
	c.mu.Unlock()
	if b == nil || !bytes.Equal(b.octets, o.octets) {
		b = &body{key: key, octets: o.octets}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.body, o.octets = b, b.octets; o.life.dead {
		return // it will not be taken
	}
	if b.had++; c.bodies[key] == nil {
		c.bodies[key] = b
	}
}

// leaveBody undoes shareBody. The caller holds the lock.
func (c *Cache) leaveBody(o *Object) {
	b := o.body
	if b == nil || o.file != nil {
		return
	}
	if b.had--; b.had == 0 && c.bodies[b.key] == b {
		delete(c.bodies, b.key)
	}
}

// use counts a user of b. The caller holds the lock.
func (c *Cache) use(b *body) {
	if b.users++; b.users == 1 {
		c.bytes += int64(len(b.octets))
	}
}

// unuse undoes use.
func (c *Cache) unuse(b *body) {
	if b.users--; b.users == 0 {
		c.bytes -= int64(len(b.octets))
	}
}

// overhead is what an object counts against the budget besides its body: even an empty file is not free.
const overhead = 1024

// cost is what o adds to the octets that are held.
func (c *Cache) cost(o *Object) int64 {
	if o.body.users > 0 {
		return o.overhead()
	}
	return o.overhead() + int64(len(o.octets))
}

// overhead is for the object itself, with what is long in it.
func (o *Object) overhead() int64 {
	n := int64(overhead)
	if o.file != nil {
		n += openFile
	}
	for k := range o.kinds {
		n += max(0, int64(len(o.kinds[k].text))-usualHead)
	}
	return n
}

const usualHead = 512

// openFile bounds the number of files that are held open: four for each MiB of the budget.
const openFile = 256 << 10
