// HTTP on Go's net/http; HTTP/2 where BENCH_TLS_CERT and BENCH_TLS_KEY name a certificate. The runner sets GOMAXPROCS=1.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
)

var hello = []byte("Hello, World!")
var large = bytes.Repeat([]byte("x"), 1_000_000)

func send(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

func handle(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/large":
		send(w, "application/octet-stream", large)
	case "/json":
		var body struct {
			Name   string  `json:"name"`
			Values []int64 `json:"values"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var sum int64
		for _, value := range body.Values {
			sum += value
		}
		text, _ := json.Marshal(map[string]any{"name": body.Name, "sum": sum})
		send(w, "application/json", text)
	default:
		send(w, "text/plain; charset=utf-8", hello)
	}
}

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 0, "port to listen on, 0 chooses one")
	flag.Parse()
	listener, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", *host, *port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %d\n", listener.Addr().(*net.TCPAddr).Port)
	handler := http.HandlerFunc(handle)
	if cert := os.Getenv("BENCH_TLS_CERT"); cert != "" {
		log.Fatal(http.ServeTLS(listener, handler, cert, os.Getenv("BENCH_TLS_KEY")))
	}
	log.Fatal(http.Serve(listener, handler))
}
