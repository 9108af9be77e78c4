// UDP echo on Go's net package: one goroutine, one datagram after the other.
// The runner sets GOMAXPROCS=1.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
)

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 0, "port to listen on, 0 chooses one")
	flag.Parse()
	address := netip.AddrPortFrom(netip.MustParseAddr(*host), uint16(*port))
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(address))
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %d\n", conn.LocalAddr().(*net.UDPAddr).Port)
	buffer := make([]byte, 65536)
	for {
		// The forms that allocate nothing.
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := conn.WriteToUDPAddrPort(buffer[:n], from); err != nil {
			log.Fatal(err)
		}
	}
}
