package main

import (
	"fmt"
	"slices"
	"time"
)

// sample is a set of measured durations.
type sample []time.Duration

// quantile is the smallest value that at least the share q (0 to 1) of the sample does not exceed; 0 for an empty sample.
// It is always a value that was measured: the 95th percentile of 100 is the 95th smallest.
func (s sample) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(q * float64(len(s)))
	if float64(rank) < q*float64(len(s)) {
		rank++
	}
	return sorted[min(max(rank, 1), len(s))-1]
}

func (s sample) median() time.Duration { return s.quantile(0.5) }
func (s sample) p95() time.Duration    { return s.quantile(0.95) }
func (s sample) max() time.Duration    { return s.quantile(1) }

// cells are median, 95th percentile and maximum, in milliseconds.
func (s sample) cells() []string {
	if len(s) == 0 {
		return []string{"-", "-", "-"}
	}
	return []string{millis(s.median()), millis(s.p95()), millis(s.max())}
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// megabytes prints a size that is given in bytes.
func megabytes(n uint64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
