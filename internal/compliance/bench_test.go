package compliance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"finobs/internal/compliance"
)

// BenchmarkRun runs the shipped rules over 100,000 records of 20,000 parties in 30
// days, of which one is paid by every tenth record.
func BenchmarkRun(b *testing.B) {
	rules := shipped(b)
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]compliance.Record, 100_000)
	kinds := []compliance.Kind{in, out, pay, pay, pay}
	for i := range list {
		to := fmt.Sprint("P", r.IntN(20_000))
		if i%10 == 0 {
			to = "HUB"
		}
		list[i] = move(fmt.Sprintf("%06d", i), kinds[r.IntN(len(kinds))], time.Duration(i)*26*time.Second, fmt.Sprint("P", r.IntN(20_000)), to, fmt.Sprint(1+r.IntN(12_000)))
	}
	b.ResetTimer()
	for b.Loop() {
		_, stats, err := rules.Run(context.Background(), each(list), compliance.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(stats.MaxHeld), "held")
		b.ReportMetric(float64(stats.Cut["round-trip"]), "cut")
	}
	b.ReportMetric(float64(b.N*len(list))/b.Elapsed().Seconds(), "records/s")
}
