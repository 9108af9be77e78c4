// A proxy on Go's net package: joins each two connections that it accepts with io.Copy, which splices
// between TCP connections. The runner sets GOMAXPROCS=1.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
)

func pass(to, from net.Conn) {
	io.Copy(to, from)
	to.Close()
	from.Close()
}

func accept(listener net.Listener) net.Conn {
	conn, err := listener.Accept()
	if err != nil {
		log.Fatal(err)
	}
	return conn
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
	for {
		one := accept(listener)
		other := accept(listener)
		go pass(one, other)
		go pass(other, one)
	}
}
