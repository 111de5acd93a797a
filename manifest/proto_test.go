package manifest_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/boule-db/boule/manifest"
)

var protoField = regexp.MustCompile(`(?m)^  (optional )?(\w+) (\w+) = (\d+);`)

var protoTypes = map[string]descriptorpb.FieldDescriptorProto_Type{
	"bytes":  descriptorpb.FieldDescriptorProto_TYPE_BYTES,
	"string": descriptorpb.FieldDescriptorProto_TYPE_STRING,
	"uint32": descriptorpb.FieldDescriptorProto_TYPE_UINT32,
	"uint64": descriptorpb.FieldDescriptorProto_TYPE_UINT64,
}

// schema reads manifest.proto, as far as that file goes.
func schema(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	text, err := os.ReadFile("manifest.proto")
	check(t, err)
	msg := &descriptorpb.DescriptorProto{Name: proto.String("Manifest")}
	for _, match := range protoField.FindAllStringSubmatch(string(text), -1) {
		num, err := strconv.Atoi(match[4])
		check(t, err)
		typ, ok := protoTypes[match[2]]
		if !ok {
			t.Fatalf("type %s", match[2])
		}
		f := &descriptorpb.FieldDescriptorProto{
			Name:   proto.String(match[3]),
			Number: proto.Int32(int32(num)),
			Label:  descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			Type:   typ.Enum(),
		}
		if match[1] != "" {
			f.Proto3Optional = proto.Bool(true)
			f.OneofIndex = proto.Int32(int32(len(msg.OneofDecl)))
			msg.OneofDecl = append(msg.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + match[3])})
		}
		msg.Field = append(msg.Field, f)
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:        proto.String("manifest.proto"),
		Package:     proto.String("boule.manifest.v2"),
		Syntax:      proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{msg},
	}, nil)
	check(t, err)
	return file.Messages().ByName("Manifest")
}

func TestProtobufAgrees(t *testing.T) {
	desc := schema(t)
	if got := desc.Fields().Len(); got != 14 {
		t.Fatalf("manifest.proto: got %d fields", got)
	}
	for name, m := range golden {
		b, err := manifest.Encode(m)
		check(t, err)
		msg := dynamicpb.NewMessage(desc)
		check(t, proto.Unmarshal(b, msg))
		if n := len(msg.GetUnknown()); n != 0 {
			t.Errorf("%s: %d bytes are not in the schema", name, n)
		}
		get := func(field protoreflect.Name) protoreflect.Value { return msg.Get(desc.Fields().ByName(field)) }
		sum := func(f manifest.Fingerprint) string { b, _ := f.AppendBinary(nil); return string(b) }
		fields := map[protowire.Number]string{}
		for _, f := range splitAll(t, b) {
			fields[f.num] = string(f.data)
		}
		var list string
		for _, block := range m.Blocks {
			list += sum(block.Stored)
		}
		want := map[string]any{
			"major": uint64(2), "header": sum(m.Header), "contents": sum(m.Contents()), "version_id": string(m.VersionID),
			"sequence": m.Sequence, "size": uint64(m.Size), "generator": m.Generator, "writer": m.Writer,
			"blocks": list, "overrides": fields[12], "check": fields[checkField], "first": string(m.First), "source_nanos": uint64(0), "source_seconds": uint64(0),
		}
		if !m.SourceTime.IsZero() {
			want["source_seconds"], want["source_nanos"] = uint64(m.SourceTime.Unix()), uint64(m.SourceTime.Nanosecond())
		}
		got := map[string]any{}
		for field := range want {
			switch v := get(protoreflect.Name(field)).Interface().(type) {
			case uint32:
				got[field] = uint64(v)
			case []byte:
				got[field] = string(v)
			default:
				got[field] = v
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got, want := msg.Has(desc.Fields().ByName("source_seconds")), !m.SourceTime.IsZero(); got != want {
			t.Errorf("%s: has a time: got %v, want %v", name, got, want)
		}
		// And back: what a protobuf library writes, we read.
		b, err = proto.MarshalOptions{Deterministic: true}.Marshal(msg)
		check(t, err)
		decoded, err := manifest.Decode(b)
		check(t, err)
		if diff := cmp.Diff(m, decoded); diff != "" {
			t.Errorf("%s, back (-want +got):\n%s", name, diff)
		}
	}
}
