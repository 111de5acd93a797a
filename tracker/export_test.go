package tracker

// WithoutAttr makes trackers behave as on a filesystem without extended attributes.
func (o *Options) WithoutAttr() { o.noAttr = true }

// WithMaxAhead bounds the chunks that are read before those before them are staged.
func (o *Options) WithMaxAhead(n int) { o.maxAhead = n }

// OpenSpools returns the paths of the databases that have a spool open.
func (m *Manager) OpenSpools() (paths []string) {
	for key, d := range m.all() {
		d.staging.Lock()
		for _, ts := range d.targets {
			if ts.producer != nil {
				paths = append(paths, key.path)
			}
		}
		d.staging.Unlock()
	}
	return paths
}
