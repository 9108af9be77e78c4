// Channels, select and timers of Go. As the other measuring programs it takes --case, --seconds and
// --warmup, and prints one line of JSON. The runner sets GOMAXPROCS=1.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"
	"runtime"
	"syscall"
	"time"
)

const (
	batch    = 20_000
	capacity = 128
	held     = 100_000
)

var sum int

func produce(ch chan<- int, count int) {
	for i := 0; i < count; i++ {
		ch <- i
	}
	close(ch)
}

func echo(there <-chan int, back chan<- int) {
	for value := range there {
		back <- value
	}
}

func pingpong(count int) {
	there, back := make(chan int), make(chan int)
	go echo(there, back)
	for i := 0; i < count/2; i++ {
		there <- i
		<-back
	}
	close(there)
}

func transfer(capacity int) func(int) {
	return func(count int) {
		ch := make(chan int, capacity)
		go produce(ch, count)
		for value := range ch {
			sum += value
		}
	}
}

func choose(count int) {
	there, back, never := make(chan int), make(chan int), make(chan int)
	go echo(there, back)
	for i := 0; i < count/2; i++ {
		there <- i
		select {
		case <-back:
		case <-never:
		}
	}
	close(there)
}

func spawn(count int) {
	for i := 0; i < count; i++ {
		result := make(chan int)
		go func() { result <- i }()
		sum += <-result
	}
}

func timer(count int) {
	for i := 0; i < count; i++ {
		time.NewTimer(time.Hour).Stop()
	}
}

var cases = map[string]func(int){
	"pingpong":   pingpong,
	"unbuffered": transfer(0),
	"buffered":   transfer(capacity),
	// Go has no quicker way to write it.
	"trying": transfer(capacity),
	"select": choose,
	"spawn":  spawn,
	"timer":  timer,
}

type report struct {
	Operations int     `json:"operations"`
	Seconds    float64 `json:"seconds"`
	CPU        float64 `json:"cpu"`
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func repeat(run func(int), atLeast time.Duration) report {
	began, before, operations := time.Now(), cpuTime(), 0
	for time.Since(began) < atLeast {
		run(batch)
		operations += batch
	}
	return report{operations, time.Since(began).Seconds(), (cpuTime() - before).Seconds()}
}

// heap tells what a goroutine that waits on a channel takes of stack and heap.
func heap() map[string]float64 {
	inUse := func() uint64 {
		runtime.Gosched()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapInuse + stats.StackInuse
	}
	never := make(chan int)
	before := inUse()
	for i := 0; i < held; i++ {
		go func() { <-never }()
	}
	bytes := float64(inUse()-before) / held
	runtime.KeepAlive(never)
	return map[string]float64{"bytes": bytes}
}

func measure(name string, warmup, seconds float64) any {
	if name == "heap" {
		return heap()
	}
	run, ok := cases[name]
	if !ok {
		log.Fatalf("no case is called %s", name)
	}
	repeat(run, time.Duration(warmup*float64(time.Second)))
	return repeat(run, time.Duration(seconds*float64(time.Second)))
}

func main() {
	name := flag.String("case", "", "what to measure")
	seconds := flag.Float64("seconds", 1, "for how long")
	warmup := flag.Float64("warmup", 0, "for how long before that")
	flag.Parse()
	if err := json.NewEncoder(os.Stdout).Encode(measure(*name, *warmup, *seconds)); err != nil {
		log.Fatal(err)
	}
}
