package kit

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestThePythonExampleSpeaksTheContractAsItIs makes its generated files again, as Debian 12's protoc does.
func TestThePythonExampleSpeaksTheContractAsItIs(t *testing.T) {
	out, wire := t.TempDir(), "../../../plugins/wire"
	files := []string{"base", "records", "values", "work"}
	for _, name := range files {
		cmd := exec.Command("protoc", "-Ikarov/plugin/v1=v1", "--python_out="+out, "karov/plugin/v1/"+name+".proto")
		cmd.Dir = wire
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("protoc: %v\n%s", err, said)
		}
		part := filepath.Join("karov/plugin/v1", name+"_pb2.py")
		want, err := os.ReadFile(filepath.Join(out, part))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("../../../plugins/example/python", part))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what protoc makes of the contract: %v", part, err)
		}
	}
}

// TestTheExamplesAreShort keeps them what they are for.
func TestTheExamplesAreShort(t *testing.T) {
	for _, name := range []string{"channel/main.go", "module/main.go", "custom/main.go", "python/limit.py"} {
		raw, err := os.ReadFile(filepath.Join("../../../plugins/example", name))
		if n := bytes.Count(raw, []byte("\n")); err != nil || n >= 150 {
			t.Errorf("%s has %d lines: %v", name, n, err)
		}
	}
}
