// Go's http.Client over connections that are kept. As the other measuring programs it takes --case,
// --seconds, --warmup and --addr, and prints one line of JSON. The runner sets GOMAXPROCS=1.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

const goroutines = 64

var client = &http.Client{Transport: &http.Transport{
	MaxIdleConnsPerHost: goroutines,
	MaxIdleConns:        goroutines,
	DisableCompression:  true,
}}

func read(response *http.Response, err error) []byte {
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	return body
}

func among(count int, work func()) {
	var wg sync.WaitGroup
	for g := 0; g < goroutines; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < count/goroutines; i++ {
				work()
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

func repeat(run func(), batch int, seconds float64) (r report) {
	began, before := time.Now(), cpu()
	for r.Seconds < seconds {
		among(batch, run)
		r.Operations += batch
		r.Seconds = time.Since(began).Seconds()
	}
	r.CPU = cpu() - before
	return r
}

func main() {
	name := flag.String("case", "hello", "hello, json or large")
	seconds := flag.Float64("seconds", 1, "how long to measure")
	warmup := flag.Float64("warmup", 0.1, "how long to run before")
	addr := flag.String("addr", "", "the HTTP server")
	flag.Parse()
	url := "http://" + *addr + "/"
	values := make([]int, 160)
	for i := range values {
		values[i] = i * 1000
	}
	body, _ := json.Marshal(map[string]any{"name": "coronet", "values": values})
	cases := map[string]func(){
		"hello": func() {
			if string(read(client.Get(url))) != "Hello, World!" {
				log.Fatal("a wrong answer")
			}
		},
		"json": func() {
			var answer struct {
				Sum int `json:"sum"`
			}
			text := read(client.Post(url+"json", "application/json", bytes.NewReader(body)))
			if err := json.Unmarshal(text, &answer); err != nil || answer.Sum != 12720000 {
				log.Fatal("a wrong answer")
			}
		},
		"large": func() {
			if len(read(client.Get(url+"large"))) != 1000000 {
				log.Fatal("a wrong answer")
			}
		},
	}
	run, known := cases[*name]
	if !known {
		log.Fatalf("no case is called %s", *name)
	}
	batch := goroutines * 40
	if *name == "large" {
		batch = goroutines
	}
	repeat(run, batch, *warmup)
	if err := json.NewEncoder(os.Stdout).Encode(repeat(run, batch, *seconds)); err != nil {
		log.Fatal(err)
	}
}
