// Command control holds what `cargo xtask k8s --server` runs: the API server, the controller-manager and kubectl of one
// Kubernetes version in one program, a server of made-up metrics, and a maker of keys. It is built from the Go modules of
// that version in a folder below target; nothing here is part of Hubbub.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log"
	"net/http"
	"os"
	"path"
	"path/filepath"

	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("control kube-apiserver | kube-controller-manager | kubectl | metrics | key")
	}
	// Each of them reads the arguments behind its own name.
	os.Args = os.Args[1:]
	switch os.Args[0] {
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "kubectl":
		os.Exit(cli.Run(kubectl.NewDefaultKubectlCommand()))
	case "metrics":
		log.Fatal(metrics(os.Args[1], os.Args[2], os.Args[3], os.Args[4]))
	case "key":
		if err := key(os.Args[1]); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatalf("no program is called %s", os.Args[0])
	}
}

// metrics answers each path with the file of that name in the folder, so that whoever plays writes what was measured.
func metrics(address, folder, certificate, key string) error {
	answer := func(writer http.ResponseWriter, request *http.Request) {
		body, err := os.ReadFile(filepath.Join(folder, path.Clean(request.URL.Path)+".json"))
		if err != nil {
			http.NotFound(writer, request)
			return
		}
		writer.Header().Set("Content-Type", "application/json")
		if _, err := writer.Write(body); err != nil {
			log.Print(err)
		}
	}
	return http.ListenAndServeTLS(address, certificate, key, http.HandlerFunc(answer))
}

// key makes the key with which tokens of service accounts are signed.
func key(file string) error {
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(made)}
	return os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}
