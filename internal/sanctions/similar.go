package sanctions

// jaroWinkler is how alike two words are, 0 to 1: Jaro's similarity (M. A. Jaro,
// JASA 84, 1989) with Winkler's bonus of 0.1 for each of up to four letters that
// both begin with (W. E. Winkler, Proc. Section on Survey Research Methods, ASA,
// 1990).
func jaroWinkler(a, b []rune) float64 {
	j := jaro(a, b)
	prefix := 0
	for prefix < min(4, len(a), len(b)) && a[prefix] == b[prefix] {
		prefix++
	}
	return j + 0.1*float64(prefix)*(1-j)
}

func jaro(a, b []rune) float64 {
	if len(a) == 0 || len(b) == 0 {
		if len(a) == len(b) {
			return 1
		}
		return 0
	}
	reach := max(max(len(a), len(b))/2-1, 0)
	inA, inB := make([]bool, len(a)), make([]bool, len(b))
	matches := 0
	for i := range a {
		for k := max(i-reach, 0); k < min(i+reach+1, len(b)); k++ {
			if !inB[k] && a[i] == b[k] {
				inA[i], inB[k] = true, true
				matches++
				break
			}
		}
	}
	if matches == 0 {
		return 0
	}
	swapped, k := 0, 0
	for i := range a {
		if !inA[i] {
			continue
		}
		for !inB[k] {
			k++
		}
		if a[i] != b[k] {
			swapped++
		}
		k++
	}
	m := float64(matches)
	return (m/float64(len(a)) + m/float64(len(b)) + (m-float64(swapped)/2)/m) / 3
}

// deletions are a word and what is left of it without one of its letters. Two
// words one edit apart, a swap of neighbours included, share one of them (W.
// Garbe's symmetric delete index).
func deletions(word []rune) []string {
	out := make([]string, 0, len(word)+1)
	out = append(out, string(word))
	if len(word) < minFuzzy {
		return out
	}
	for i := range word {
		if i > 0 && word[i] == word[i-1] {
			continue // the same word again
		}
		out = append(out, string(word[:i])+string(word[i+1:]))
	}
	return out
}

// minFuzzy is the letters that a word needs to be compared with others than itself:
// one edit makes "ali" of "alu" and of a hundred others.
const minFuzzy = 4
