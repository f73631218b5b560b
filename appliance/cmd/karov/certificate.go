package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// certificateLife is the longest that Apple's systems take for a server's certificate.
	certificateLife = 395 * 24 * time.Hour
	renewBefore     = 60 * 24 * time.Hour
)

// ownCertificate gives the certificate in the files, made by the appliance itself when there is none or it ends soon.
func ownCertificate(certFile, keyFile string, now time.Time) (tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil {
		leaf, err := x509.ParseCertificate(certificate.Certificate[0])
		if err == nil && now.Add(renewBefore).Before(leaf.NotAfter) {
			return certificate, nil
		}
	}
	if err := makeCertificate(certFile, keyFile, now); err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.LoadX509KeyPair(certFile, keyFile)
}

func makeCertificate(certFile, keyFile string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	names, addresses := ownNames()
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: names[0], Organization: []string{"Karov"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife), DNSNames: names, IPAddresses: addresses,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(certFile), 0o700); err != nil {
		return err
	}
	return errors.Join(
		writeFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		writeFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// writeFile replaces a file whole, so that a power cut leaves the old or the new one.
func writeFile(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// ownNames are the names and addresses under which the machine is reached.
func ownNames() (names []string, addresses []net.IP) {
	host, err := os.Hostname()
	if err == nil && host != "" && host != "localhost" {
		names = append(names, host)
	}
	names = append(names, "localhost", "karov.local")
	known, err := net.InterfaceAddrs()
	if err != nil {
		known = nil
	}
	for _, a := range known {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			addresses = append(addresses, n.IP)
		}
	}
	return names, addresses
}
