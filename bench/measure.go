package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// better says in which direction a figure is good.
type better string

const (
	higher better = "higher"
	lower  better = "lower"
)

// comparison is one figure and the floor that it is held against.
type comparison struct {
	name   string // suite/figure, as in the report
	unit   string
	better better
	goal   float64 // of ours/floor: at least, or at most where lower is better; 0: none is set
	floor  string  // what the floor is, in words
	turns  int     // how often a round takes ours and the floor, whose means count; 0: once
	warm   bool    // both have run before in the same way
	ours   func(context.Context) (float64, error)
	plain  func(context.Context) (float64, error) // the floor
}

// measure takes rounds of a comparison, in turns with its floor so that what else
// the machine does hits both, after one that does not count unless both are warm.
// Every other turn begins with the floor.
func (b *bench) measure(ctx context.Context, c comparison) error {
	var ours, floors []float64
	from := -1
	if c.warm {
		from = 0
	}
	for round := from; round < b.rounds; round++ {
		var sum [2]float64
		turns := max(1, c.turns)
		for turn := range turns {
			order := []int{0, 1}
			if (round*turns+turn)%2 != 0 {
				slices.Reverse(order)
			}
			for _, i := range order {
				v, err := []func(context.Context) (float64, error){c.ours, c.plain}[i](ctx)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				sum[i] += v / float64(turns)
			}
		}
		if round < 0 {
			continue
		}
		ours, floors = append(ours, sum[0]), append(floors, sum[1])
		fmt.Printf("  %-44s round %d: %s against %s %s\n", c.name, round+1, figure(sum[0]), figure(sum[1]), c.unit)
	}
	b.report.add(c, ours, floors)
	return nil
}

// note reports a figure that has no floor, and of which less is better; most is its
// limit where it is not 0.
func (b *bench) note(name, unit string, most float64, values ...float64) {
	b.report.add(comparison{name: name, unit: unit, better: lower, goal: most}, values, nil)
	fmt.Printf("  %-44s %s %s\n", name, figure(median(values)), unit)
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// percentile of durations, by nearest rank.
func percentile(list []time.Duration, p float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
