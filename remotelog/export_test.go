package remotelog

// EncodeUnchecked encodes an entry that may break rules.
func EncodeUnchecked(e *Entry) []byte { return encode(e) }

// AppendPatchUnchecked appends chunks that may break rules.
func AppendPatchUnchecked(b []byte, patch []Override) []byte { return appendPatch(b, patch) }

// AppendIndexUnchecked appends chunks that may break rules.
func AppendIndexUnchecked(b []byte, chunks []Chunk) []byte { return appendIndex(b, chunks) }
