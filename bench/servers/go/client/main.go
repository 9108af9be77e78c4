// A pool of connections as Go programs write it: a channel of what is free, a bufio.Reader each. As the
// other measuring programs it takes --case, --seconds, --warmup and --addr, and prints one line of
// JSON. The runner sets GOMAXPROCS=1.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	goroutines  = 64
	connections = 16
	pipelined   = 20
	request     = "PING 0123456789\r\n"
	batch       = goroutines * pipelined * 4
)

type connection struct {
	conn   net.Conn
	reader *bufio.Reader
}

var free = make(chan *connection, connections)

func ask(text []byte, answers int) {
	c := <-free
	if _, err := c.conn.Write(text); err != nil {
		log.Fatal(err)
	}
	for i := 0; i < answers; i++ {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			log.Fatal(err)
		}
		if line != request {
			log.Fatalf("a wrong answer: %q", line)
		}
	}
	free <- c
}

func among(text string, each int) {
	var wg sync.WaitGroup
	for g := 0; g < goroutines; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			bytes := []byte(text)
			for i := 0; i < batch/each/goroutines; i++ {
				ask(bytes, each)
			}
		}()
	}
	wg.Wait()
}

func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

type report struct {
	Operations int     `json:"operations"`
	Seconds    float64 `json:"seconds"`
	CPU        float64 `json:"cpu"`
}

func repeat(run func(), seconds float64) (r report) {
	began, before := time.Now(), cpu()
	for r.Seconds < seconds {
		run()
		r.Operations += batch
		r.Seconds = time.Since(began).Seconds()
	}
	r.CPU = cpu() - before
	return r
}

func main() {
	name := flag.String("case", "request", "request or pipeline")
	seconds := flag.Float64("seconds", 1, "how long to measure")
	warmup := flag.Float64("warmup", 0.1, "how long to run before")
	addr := flag.String("addr", "", "the echo server")
	flag.Parse()
	for i := 0; i < connections; i++ {
		conn, err := net.Dial("tcp", *addr)
		if err != nil {
			log.Fatal(err)
		}
		free <- &connection{conn, bufio.NewReader(conn)}
	}
	cases := map[string]func(){
		"request":  func() { among(request, 1) },
		"pipeline": func() { among(strings.Repeat(request, pipelined), pipelined) },
	}
	run, known := cases[*name]
	if !known {
		log.Fatalf("no case is called %s", *name)
	}
	repeat(run, *warmup)
	if err := json.NewEncoder(os.Stdout).Encode(repeat(run, *seconds)); err != nil {
		log.Fatal(err)
	}
}
