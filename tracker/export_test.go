package tracker

// WithoutAttr makes trackers behave as on a filesystem without extended attributes.
func (o *Options) WithoutAttr() { o.noAttr = true }
