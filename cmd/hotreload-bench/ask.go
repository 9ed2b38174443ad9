package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// atOnce is how many connections are made together, so that no worker can take them all.
const atOnce = 16

// answer is what one worker said.
type answer struct {
	pid     int
	version string
}

// "hello v7 from worker 4213", "did v7 "x" in task worker 4217"
var answerOf = regexp.MustCompile(`^(?:hello|did) (\S+) .*worker ([0-9]+)\n$`)

// client makes a connection for each request: workers that are replaced are not held up by it.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

func ask(ctx context.Context, url string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(resp)
}

func readAnswer(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return answer{}, err
	}
	m := answerOf.FindStringSubmatch(string(text))
	if m == nil {
		return answer{}, fmt.Errorf("the server answers %d %q", resp.StatusCode, text)
	}
	pid, err := strconv.Atoi(m[2])
	return answer{pid, m[1]}, err
}

// askAtOnce makes many requests together. Those that fail are missing.
func askAtOnce(ctx context.Context, url string) []answer {
	answers := make([]answer, atOnce)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() {
			if a, err := ask(ctx, url); err == nil {
				answers[i] = a
			}
		})
	}
	group.Wait()
	var out []answer
	for _, a := range answers {
		if a.pid != 0 {
			out = append(out, a)
		}
	}
	return out
}

// census asks until so many different workers have answered, or the patience ends. It returns what each said last.
func census(ctx context.Context, url string, workers int) map[int]string {
	ctx, cancel := context.WithTimeout(ctx, censusTime)
	defer cancel()
	said := map[int]string{}
	for len(said) < workers && ctx.Err() == nil {
		for _, a := range askAtOnce(ctx, url) {
			said[a.pid] = a.version
		}
	}
	return said
}

// censusTime is how long workers may take to be heard of; one that is never heard of does not serve.
const censusTime = 10 * time.Second

// servedBy is what all workers and task workers of the server say: how many say this version, how many another, and how
// many were not heard of.
func (p *phpSite) servedBy(ctx context.Context, version string) (current, old, silent int) {
	for url, want := range map[string]int{"http://" + p.address + "/": workers, "http://" + p.address + "/task?data=x": taskWorkers} {
		said := census(ctx, url, want)
		silent += max(0, want-len(said))
		for _, v := range said {
			if v == version {
				current++
			} else {
				old++
			}
		}
	}
	return current, old, silent
}
