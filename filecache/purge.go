package filecache

// Purge drops what was taken for a target of a host, "" for any, however it was asked for and spelled, and returns how many
// objects have gone. host has no port; a target with a query means only what was asked for so. What is being filled is
// dropped, too.
func (c *Cache) Purge(host, target string) (n int) {
	path, ok := decode(target)
	same := func(key string) bool {
		q := parseKey(key)
		if host != "" && q.site() != host {
			return false
		}
		other, decoded := decode(q.target)
		return q.target == target || ok && decoded && path == other
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, o := range c.objects {
		if same(key) {
			c.drop(o)
			n++
		}
	}
	for _, set := range c.names {
		for o := range set { // that are not held
			if same(o.key) {
				c.drop(o)
			}
		}
	}
	for key := range c.refused {
		if same(key) {
			delete(c.refused, key)
		}
	}
	return n
}

// PurgeAll drops everything, what is being filled too, and returns how many objects have gone.
func (c *Cache) PurgeAll() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.objects)
	c.dropAll()
	return n
}
