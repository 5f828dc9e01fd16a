package seal

import (
	"cmp"
	"fmt"
	"slices"

	"finobs/internal/export"
)

// Gap is a stretch of the chain of manifests that was not at hand, both ends
// included.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Chain checks that verified bundles of one system follow each other: each
// manifest names the digest of the one before. What lies between numbers that are
// not next to each other is not checked, and listed. links counts the steps that
// were.
func Chain(reports []Report) (links int, gaps []Gap, found export.Finding) {
	sorted := slices.Clone(reports)
	slices.SortStableFunc(sorted, func(a, b Report) int {
		return cmp.Compare(a.Statement.Predicate.Number, b.Statement.Predicate.Number)
	})
	broken := func(format string, args ...any) export.Finding {
		return export.Finding{Verdict: export.Tampered, Code: "chain", Detail: fmt.Sprintf(format, args...)}
	}
	for i := 1; i < len(sorted); i++ {
		before, after := sorted[i-1], sorted[i]
		from, to := before.Statement.Predicate.Number, after.Statement.Predicate.Number
		switch {
		case from == to && before.ManifestSHA256 != after.ManifestSHA256:
			return links, gaps, broken("two manifests have number %d: %s and %s", to, before.ManifestSHA256, after.ManifestSHA256)
		case from == to: // the same bundle twice
		case to > from+1:
			gaps = append(gaps, Gap{from + 1, to - 1})
		case after.Statement.Predicate.PrevManifest != before.ManifestSHA256:
			return links, gaps, broken("manifest %d follows %s, and manifest %d is %s", to, after.Statement.Predicate.PrevManifest, from, before.ManifestSHA256)
		default:
			links++
		}
	}
	return links, gaps, export.Finding{Verdict: export.Verified, Detail: fmt.Sprintf("%d links hold", links)}
}
