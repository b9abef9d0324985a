// Go's net/http with the same checks.
package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"log"
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
	http.HandleFunc("/protected", func(w http.ResponseWriter, r *http.Request) {
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
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
