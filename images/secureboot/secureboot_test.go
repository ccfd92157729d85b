package secureboot_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vosbed/vosbed/images/secureboot"
	"github.com/vosbed/vosbed/internal/slots/testuki"
	"github.com/vosbed/vosbed/internal/testenv"
	"github.com/vosbed/vosbed/internal/uefi"
)

func keys(t *testing.T) (k secureboot.Keys, dir string) {
	t.Helper()
	dir = t.TempDir()
	k, err := secureboot.LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k, dir
}

func TestKeysAreMadeOnce(t *testing.T) {
	k, dir := keys(t)
	again, err := secureboot.LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	one, err := k.Image.Sign(testuki.Make("kernel", "ram"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := again.Image.Sign(testuki.Make("kernel", "ram"))
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("equal keys sign otherwise: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "db.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for _, text := range []string{"", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(filepath.Join(dir, "db.pem"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := secureboot.LoadOrCreate(dir); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

// TestSign: what others verify is right, one flipped byte is not, and the signature can be
// taken off and put on what was built again.
func TestSign(t *testing.T) {
	verify := testenv.RequireTool(t, "sbverify")
	k, dir := keys(t)
	image, err := k.Image.Sign(testuki.Make("kernel", "ram"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := k.Enrolment()
	if err != nil {
		t.Fatal(err)
	}
	cert := filepath.Join(dir, "db.crt")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: files["db.cer"]}))
	check := func(image []byte) error {
		at := filepath.Join(dir, "image.efi")
		write(t, at, image)
		out, failed := exec.CommandContext(t.Context(), verify, "--cert", cert, at).CombinedOutput()
		t.Logf("sbverify: %s", out)
		return failed
	}
	if err = check(image); err != nil {
		t.Error(err)
	}
	bad := bytes.Replace(image, []byte("kernel"), []byte("kennel"), 1)
	if check(bad) == nil {
		t.Error("another kernel passes by the same signature")
	}
	plain, signatures, err := uefi.Split(image)
	if err != nil {
		t.Fatal(err)
	}
	fresh, none, err := uefi.Split(testuki.Make("kernel", "ram"))
	if err != nil || len(none) != 0 || !bytes.Equal(fresh, plain) {
		t.Errorf("without signatures the two differ: %v", err)
	}
	if again, err := uefi.Join(fresh, signatures); err != nil || !bytes.Equal(again, image) {
		t.Errorf("with the signatures the two differ: %v", err)
	}
}

func write(t *testing.T, at string, data []byte) {
	t.Helper()
	if err := os.WriteFile(at, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEnrolment(t *testing.T) {
	k, _ := keys(t)
	files, err := k.Enrolment()
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.Enrolment()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PK", "KEK", "db"} {
		auth := files[name+".auth"]
		if !bytes.HasSuffix(auth, files[name+".esl"]) || !bytes.HasSuffix(files[name+".esl"], files[name+".cer"]) {
			t.Errorf("%s does not end with its certificate", name)
		}
		if !bytes.Equal(auth, again[name+".auth"]) {
			t.Errorf("%s is another each time", name)
		}
	}
}

// TestBuiltAgain: with another's signatures, equal programs are equal and others are not.
func TestBuiltAgain(t *testing.T) {
	k, _ := keys(t)
	theirs, err := k.Sign(secureboot.System, testuki.Make("kernel", "ram"))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := secureboot.Pack(map[string][]byte{"db.cer": []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	files, err := secureboot.Unpack(bytes.NewReader(packed))
	if err != nil || string(files["db.cer"]) != "x" {
		t.Fatalf("%v, %v", files, err)
	}
	given := secureboot.Given{Files: files, Programs: map[string][]byte{secureboot.System: theirs}}
	for kernel, same := range map[string]bool{"kernel": true, "kennel": false} {
		again, err := given.Sign(secureboot.System, testuki.Make(kernel, "ram"))
		if err != nil || bytes.Equal(again, theirs) != same {
			t.Errorf("%s: equal %t, %v", kernel, !same, err)
		}
	}
	if _, err := given.Sign(secureboot.Loader, theirs); err == nil {
		t.Error("signatures of nothing")
	}
}

func FuzzUnpack(f *testing.F) {
	packed, err := secureboot.Pack(map[string][]byte{"a": []byte("b")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, data []byte) {
		if files, err := secureboot.Unpack(bytes.NewReader(data)); err == nil && len(files) > 20 {
			t.Errorf("%d files", len(files))
		}
	})
}
