// Echo on gnet with one event loop, which accepts too (that is what ReusePort
// brings with a single loop). The runner sets GOMAXPROCS=1.
package main

import (
	"flag"
	"fmt"
	"log"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

type echoServer struct {
	gnet.BuiltinEventEngine
}

// OnBoot finds out which port was chosen.
func (*echoServer) OnBoot(engine gnet.Engine) gnet.Action {
	fd, err := engine.Dup()
	if err != nil {
		log.Fatal(err)
	}
	defer unix.Close(fd)
	address, err := unix.Getsockname(fd)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %d\n", address.(*unix.SockaddrInet4).Port)
	return gnet.None
}

func (*echoServer) OnTraffic(conn gnet.Conn) gnet.Action {
	chunk, err := conn.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := conn.Write(chunk); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 0, "port to listen on, 0 chooses one")
	flag.Parse()
	address := fmt.Sprintf("tcp4://%s:%d", *host, *port)
	err := gnet.Run(&echoServer{}, address,
		gnet.WithNumEventLoop(1),
		gnet.WithReusePort(true),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay))
	if err != nil {
		log.Fatal(err)
	}
}
