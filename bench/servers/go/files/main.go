// Files on Go's net/http.FileServer. The runner sets GOMAXPROCS=1 and FILES.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 0, "port to listen on, 0 chooses one")
	flag.Parse()
	listener, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", *host, *port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, http.FileServer(http.Dir(os.Getenv("FILES")))))
}
