package file

// SetListBatch makes listings read directories in smaller batches.
func (s *Store) SetListBatch(n int) { s.listBatch = n }
