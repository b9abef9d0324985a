// Go's net/http with the same checks.
package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	secret := sha256.Sum256([]byte(os.Getenv("SHARED_SECRET")))
	answer := func(w http.ResponseWriter, status int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
	protected := func(w http.ResponseWriter, r *http.Request) {
		presented := r.Header.Get("X-Shared-Secret")
		digest := sha256.Sum256([]byte(presented))
		switch {
		case presented == "":
			answer(w, 401, `{"error":"No secret provided"}`)
		case subtle.ConstantTimeCompare(secret[:], digest[:]) == 1:
			answer(w, 200, `{"message":"Access granted"}`)
		default:
			answer(w, 401, `{"error":"Invalid secret"}`)
		}
	}
	http.HandleFunc("/protected", protected)
	http.HandleFunc("/verify", protected)
	network, address := "tcp", "127.0.0.1:"+os.Getenv("PORT")
	if socket := os.Getenv("SOCKET"); socket != "" {
		network, address = "unix", socket
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, nil))
}
