package main

import (
	"slices"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	hundred := make(sample, 100)
	for i := range hundred {
		hundred[len(hundred)-1-i] = time.Duration(i + 1)
	}
	for _, tt := range []struct {
		name             string
		sample           sample
		median, p95, max time.Duration
	}{
		{"none", nil, 0, 0, 0},
		{"one", sample{7}, 7, 7, 7},
		{"two", sample{9, 3}, 3, 9, 9},
		{"odd", sample{5, 1, 3}, 3, 5, 5},
		{"many equal", sample{4, 4, 4, 4}, 4, 4, 4},
		{"1 to 20", slices.Clone(hundred)[80:], 10, 19, 20},
		{"1 to 100, unsorted", hundred, 50, 95, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.sample)
			if got := tt.sample.median(); got != tt.median {
				t.Errorf("median %d, want %d", got, tt.median)
			}
			if got := tt.sample.p95(); got != tt.p95 {
				t.Errorf("p95 %d, want %d", got, tt.p95)
			}
			if got := tt.sample.max(); got != tt.max {
				t.Errorf("max %d, want %d", got, tt.max)
			}
			if !slices.Equal(before, tt.sample) {
				t.Error("the sample was reordered")
			}
		})
	}
}
