package pack

import (
	"bytes"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

func look(raw []byte) (*Package, error) {
	return Look(bytes.NewReader(raw), int64(len(raw)), testDescription)
}

func TestAnUnsignedPackageIsSignedLater(t *testing.T) {
	w := newWorld(t)
	var bundle, signed bytes.Buffer
	_, err := Bundle(w.dir, &bundle, testDescription)
	must(t, err)
	w.refused(bundle.Bytes(), "pack.unsigned")
	p, err := look(bundle.Bytes())
	must(t, err)
	if p.Signed() {
		t.Error("nobody signed it")
	}
	must(t, p.Sign(&signed, w.signer))
	if !bytes.Equal(signed.Bytes(), w.build()) {
		t.Error("signed later it is another package than signed at once")
	}
	if _, err := w.verify(signed.Bytes()); err != nil {
		t.Errorf("signed later: %v", err)
	}
	narrow := w.sign(w.root, Terms{Namespace: "org.other", NotBefore: testNow, NotAfter: testNow.Add(time.Hour)})
	if err := p.Sign(&signed, narrow); fault.Of(err).Key != "pack.namespace" {
		t.Errorf("signed out of the namespace: %v", err)
	}
}

func TestALookNeedsNoTrustAndBelievesNothing(t *testing.T) {
	w := newWorld(t)
	raw := w.build()
	p, err := look(raw)
	must(t, err)
	if !p.Signed() || p.Certificate.Name != "Acme Ltd" {
		t.Errorf("signed by %q", p.Certificate.Name)
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if _, err := look(changed); err == nil {
			t.Fatalf("byte %d may be changed", i)
		}
	}
}
