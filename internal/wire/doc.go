// Package wire reads the fields of protobuf messages, as the formats of this module have them: each known field
// has one wire type and occurs at most once, and unknown ones are skipped.
package wire
