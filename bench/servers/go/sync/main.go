// Locks, semaphores and groups of Go. As the other measuring programs it takes --case, --seconds and
// --warmup, and prints one line of JSON. The runner sets GOMAXPROCS=1.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	batch      = 20_000
	contenders = 8
	slots      = 4
	spawned    = 1000
)

var (
	mu   sync.Mutex
	some = semaphore.NewWeighted(slots)
)

func lock(count int) {
	for i := 0; i < count; i++ {
		mu.Lock()
		mu.Unlock()
	}
}

func held() {
	mu.Lock()
	defer mu.Unlock()
}

func scoped(count int) {
	for i := 0; i < count; i++ {
		held()
	}
}

func handOver(count int) {
	for i := 0; i < count; i++ {
		mu.Lock()
		runtime.Gosched()
		mu.Unlock()
	}
}

func share(count int) {
	for i := 0; i < count; i++ {
		if err := some.Acquire(context.Background(), 1); err != nil {
			log.Fatal(err)
		}
		runtime.Gosched()
		some.Release(1)
	}
}

// together lets so many goroutines share the work.
func together(work func(int), goroutines int) func(int) {
	return func(count int) {
		var wg sync.WaitGroup
		for i := 0; i < goroutines; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				work(count / goroutines)
			}()
		}
		wg.Wait()
	}
}

func nothing(wg *sync.WaitGroup) {
	wg.Done()
}

func spawn(count int) {
	for done := 0; done < count; done += spawned {
		var wg sync.WaitGroup
		for i := 0; i < spawned; i++ {
			wg.Add(1)
			go nothing(&wg)
		}
		wg.Wait()
	}
}

var cases = map[string]func(int){
	"lock":      lock,
	"scoped":    scoped,
	"contended": together(handOver, contenders),
	"semaphore": together(share, 4*slots),
	"spawn":     spawn,
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

func main() {
	name := flag.String("case", "", "what to measure")
	seconds := flag.Float64("seconds", 1, "for how long")
	warmup := flag.Float64("warmup", 0, "for how long before that")
	flag.Parse()
	run, ok := cases[*name]
	if !ok {
		log.Fatalf("no case is called %s", *name)
	}
	repeat(run, time.Duration(*warmup*float64(time.Second)))
	result := repeat(run, time.Duration(*seconds*float64(time.Second)))
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}
