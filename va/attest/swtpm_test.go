package attest_test

import (
	"crypto"
	"crypto/sha256"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/cairn-ca/cairn/test/harness/device"
	"github.com/cairn-ca/cairn/va/attest"
)

// A real TPM, in software (swtpm): it makes an AIK and a key, and certifies the
// key with the AIK. Only the AIK's certificate is the test's.
func TestSoftwareTPM(t *testing.T) {
	t.Parallel()
	tpm := startTPM(t)
	a := device.NewAuthority(t, "TPM")
	for name, public := range map[string]tpm2.TPMTPublic{
		"ECC": signingTemplate(tpm2.TPMAlgECC, false),
		"RSA": signingTemplate(tpm2.TPMAlgRSA, false),
	} {
		t.Run(name, func(t *testing.T) { // not in parallel: it is one TPM
			aik, aikPublic := createKey(t, tpm, signingTemplate(public.Type, true))
			defer flush(t, tpm, aik.ObjectHandle)
			key, keyPublic := createKey(t, tpm, public)
			defer flush(t, tpm, key.ObjectHandle)
			digest := sha256.Sum256([]byte(keyAuth))
			certified, err := tpm2.Certify{
				ObjectHandle:   tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)},
				SignHandle:     tpm2.AuthHandle{Handle: aik.ObjectHandle, Name: aik.Name, Auth: tpm2.PasswordAuth(nil)},
				QualifyingData: tpm2.TPM2BData{Buffer: digest[:]},
				InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
			}.Execute(tpm)
			if err != nil {
				t.Fatal(err)
			}
			names := device.TPM{Authority: a, Names: []string{device.TPMName, "permanent-identifier:" + serial, "hardware-module:HW7/1.3.6.1.4.1.99"}}
			algorithm := -7
			if public.Type == tpm2.TPMAlgRSA {
				algorithm = -257
			}
			statement := device.Statement{Format: "tpm", Members: map[string]any{
				"ver": "2.0", "alg": algorithm, "sig": tpm2.Marshal(certified.Signature), "x5c": names.AIKChain(t, aikPublic),
				"certInfo": certified.CertifyInfo.Bytes(), "pubArea": key.OutPublic.Bytes(),
			}}
			run(t, rootsOf(attest.TPM, a), keyPublic, []trial{
				{name: "permanent identifier", statement: statement},
				{name: "hardware module", statement: statement, identifier: "hardware-module:HW7/1.3.6.1.4.1.99"},
				{name: "the AIK for the key", statement: with(statement, "pubArea", aik.OutPublic.Bytes()), refused: "another key than that of"},
			})
		})
	}
	t.Run("imported key", func(t *testing.T) {
		// Certified as any other, but somebody has it outside of the TPM.
		aik, aikPublic := createKey(t, tpm, signingTemplate(tpm2.TPMAlgECC, true))
		defer flush(t, tpm, aik.ObjectHandle)
		outside := device.NewKey(t)
		public := device.PublicArea(t, outside.Public())
		public.ObjectAttributes = tpm2.TPMAObject{SignEncrypt: true, UserWithAuth: true}
		d, err := outside.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := tpm2.LoadExternal{
			InPrivate: tpm2.New2B(tpm2.TPMTSensitive{SensitiveType: tpm2.TPMAlgECC, Sensitive: tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgECC, &tpm2.TPM2BECCParameter{Buffer: d})}),
			InPublic:  tpm2.New2B(public), Hierarchy: tpm2.TPMRHNull,
		}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		defer flush(t, tpm, loaded.ObjectHandle)
		digest := sha256.Sum256([]byte(keyAuth))
		certified, err := tpm2.Certify{
			ObjectHandle:   tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: tpm2.PasswordAuth(nil)},
			SignHandle:     tpm2.AuthHandle{Handle: aik.ObjectHandle, Name: aik.Name, Auth: tpm2.PasswordAuth(nil)},
			QualifyingData: tpm2.TPM2BData{Buffer: digest[:]},
			InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		names := device.TPM{Authority: a, Names: []string{device.TPMName, "permanent-identifier:" + serial}}
		run(t, rootsOf(attest.TPM, a), outside.Public(), []trial{{name: "refused", refused: "fixedTPM", statement: device.Statement{Format: "tpm", Members: map[string]any{
			"ver": "2.0", "alg": -7, "sig": tpm2.Marshal(certified.Signature), "x5c": names.AIKChain(t, aikPublic),
			"certInfo": certified.CertifyInfo.Bytes(), "pubArea": tpm2.Marshal(public),
		}}}})
	})
}

// signingTemplate is a signing key's; a restricted one is an AIK's.
func signingTemplate(kind tpm2.TPMAlgID, restricted bool) tpm2.TPMTPublic {
	public := tpm2.TPMTPublic{Type: kind, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: device.Attributes}
	public.ObjectAttributes.Restricted = restricted
	if kind == tpm2.TPMAlgRSA {
		public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
			Scheme:  tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})},
			KeyBits: 2048,
		})
		return public
	}
	public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
		CurveID: tpm2.TPMECCNistP256,
	})
	return public
}

func createKey(t *testing.T, tpm transport.TPM, template tpm2.TPMTPublic) (key *tpm2.CreatePrimaryResponse, public crypto.PublicKey) {
	t.Helper()
	created, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := created.OutPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = tpm2.Pub(*contents); err != nil {
		t.Fatal(err)
	}
	return &tpm2.CreatePrimaryResponse{ObjectHandle: created.ObjectHandle, OutPublic: created.OutPublic, Name: created.Name}, public
}

func flush(t *testing.T, tpm transport.TPM, handle tpm2.TPMHandle) {
	t.Helper()
	if _, err := (tpm2.FlushContext{FlushHandle: handle}).Execute(tpm); err != nil {
		t.Error(err)
	}
}

// startTPM runs swtpm for the test and gives the connection to it.
func startTPM(t *testing.T) transport.TPM {
	t.Helper()
	dir, err := os.MkdirTemp("", "cairn-tpm-") // short: it has sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "tpm.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// The TPM has our listening socket: there is nothing to wait for.
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,fd=3", "--flags", "not-need-init,startup-clear")
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting swtpm (Debian package swtpm): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	conn, err := net.Dial("unix", filepath.Join(dir, "tpm.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return transport.FromReadWriter(conn)
}
