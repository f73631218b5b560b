package wire

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// The released contract. With -update it takes what was added; what was changed or removed is refused all the same.
const golden = "testdata/v1.binpb"

var update = flag.Bool("update", false, "write additions to "+golden)

func contract() *descriptorpb.FileDescriptorSet {
	set := &descriptorpb.FileDescriptorSet{}
	for _, f := range []protoreflect.FileDescriptor{
		wirev1.File_karov_plugin_v1_base_proto, wirev1.File_karov_plugin_v1_channel_proto, wirev1.File_karov_plugin_v1_host_proto,
		wirev1.File_karov_plugin_v1_values_proto, wirev1.File_karov_plugin_v1_records_proto, wirev1.File_karov_plugin_v1_store_proto,
		wirev1.File_karov_plugin_v1_work_proto, wirev1.File_karov_plugin_v1_views_proto,
	} {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	return set
}

func TestContractOnlyGrows(t *testing.T) {
	now := contract()
	raw, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	old := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, old); err != nil {
		t.Fatal(err)
	}
	was, is := facts(old), facts(now)
	for _, broken := range missing(was, is) {
		t.Errorf("the contract was released with: %s", broken)
	}
	if added := missing(is, was); len(added) > 0 && !*update {
		t.Errorf("not in %s yet (go test ./plugins/wire -update):\n%s", golden, strings.Join(added, "\n"))
	}
	if *update && !t.Failed() {
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(now)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// facts says in words all that a plugin may rely on.
func facts(set *descriptorpb.FileDescriptorSet) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	var message func(prefix string, m *descriptorpb.DescriptorProto)
	enum := func(prefix string, e *descriptorpb.EnumDescriptorProto) {
		for _, v := range e.GetValue() {
			say("enum %s.%s: %s = %d", prefix, e.GetName(), v.GetName(), v.GetNumber())
		}
	}
	message = func(prefix string, m *descriptorpb.DescriptorProto) {
		name := prefix + "." + m.GetName()
		say("message %s", name)
		for _, f := range m.GetField() {
			oneof := ""
			if f.OneofIndex != nil {
				oneof = " in " + m.GetOneofDecl()[f.GetOneofIndex()].GetName()
			}
			say("field %s.%s = %d: %s %s %s%s", name, f.GetName(), f.GetNumber(), f.GetLabel(), f.GetType(), f.GetTypeName(), oneof)
		}
		for _, n := range m.GetNestedType() {
			message(name, n)
		}
		for _, e := range m.GetEnumType() {
			enum(name, e)
		}
	}
	for _, f := range set.GetFile() {
		for _, m := range f.GetMessageType() {
			message(f.GetPackage(), m)
		}
		for _, e := range f.GetEnumType() {
			enum(f.GetPackage(), e)
		}
		for _, s := range f.GetService() {
			for _, m := range s.GetMethod() {
				say("method %s.%s.%s(%s, stream %v) %s, stream %v", f.GetPackage(), s.GetName(), m.GetName(),
					m.GetInputType(), m.GetClientStreaming(), m.GetOutputType(), m.GetServerStreaming())
			}
		}
	}
	return out
}

// missing gives what a has and b has not.
func missing(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// TestTheGuardSeesEachBreak breaks the contract in every way that matters and looks whether the guard sees it.
func TestTheGuardSeesEachBreak(t *testing.T) {
	was := facts(contract())
	for name, change := range map[string]func(base *descriptorpb.FileDescriptorProto){
		"field removed": func(b *descriptorpb.FileDescriptorProto) { m := b.MessageType[0]; m.Field = m.Field[1:] },
		"field renumbered": func(b *descriptorpb.FileDescriptorProto) {
			b.MessageType[0].Field[0].Number = proto.Int32(77)
		},
		"field of another type": func(b *descriptorpb.FileDescriptorProto) {
			b.MessageType[0].Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum()
		},
		"field repeated": func(b *descriptorpb.FileDescriptorProto) {
			b.MessageType[0].Field[0].Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		},
		"message renamed": func(b *descriptorpb.FileDescriptorProto) { b.MessageType[0].Name = proto.String("Other") },
		"package renamed": func(b *descriptorpb.FileDescriptorProto) { b.Package = proto.String("karov.plugin.v2") },
		"enum value renumbered": func(b *descriptorpb.FileDescriptorProto) {
			b.EnumType[0].Value[1].Number = proto.Int32(99)
		},
		"method removed": func(b *descriptorpb.FileDescriptorProto) { s := b.Service[0]; s.Method = s.Method[1:] },
		"method streams": func(b *descriptorpb.FileDescriptorProto) { b.Service[0].Method[0].ServerStreaming = proto.Bool(true) },
	} {
		set := contract()
		change(set.File[0])
		if len(missing(was, facts(set))) == 0 {
			t.Errorf("%s: nobody noticed", name)
		}
	}
	grown := contract()
	m := grown.File[0].MessageType[0]
	m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{Name: proto.String("added"), Number: proto.Int32(99)})
	if broken := missing(was, facts(grown)); len(broken) > 0 {
		t.Errorf("an added field counts as a break: %v", broken)
	}
}

// TestGeneratedCodeIsOfTheseFiles compares the generated code with the .proto files.
func TestGeneratedCodeIsOfTheseFiles(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		t.Skip("protoc is not installed, the generated code was NOT compared (apt-get install protobuf-compiler)")
	}
	file := filepath.Join(t.TempDir(), "set.binpb")
	args := []string{"-Ikarov/plugin/v1=v1", "-o", file}
	for _, f := range contract().File {
		args = append(args, f.GetName())
	}
	out, err := exec.Command(protoc, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("protoc: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	written := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, written); err != nil {
		t.Fatal(err)
	}
	is, generated := facts(written), facts(contract())
	if diff := append(missing(is, generated), missing(generated, is)...); len(diff) > 0 {
		t.Errorf("run go generate ./plugins/wire; these differ:\n%s", strings.Join(diff, "\n"))
	}
}
