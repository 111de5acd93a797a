package remotelog

// EncodeUnchecked encodes an entry that may break rules.
func EncodeUnchecked(e *Entry) []byte { return encode(e) }

// AppendIndexUnchecked appends chunks that may break rules.
func AppendIndexUnchecked(b []byte, chunks []Chunk) []byte { return appendIndex(b, chunks) }
