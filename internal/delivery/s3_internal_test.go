package delivery

import "testing"

func TestPartSize(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ size, wish, want int64 }{
		{0, 16 * mib, 16 * mib},
		{16 * mib * maxParts, 16 * mib, 16 * mib},
		{16*mib*maxParts + 1, 16 * mib, 16*mib + 1},
		{1 << 40, 16 * mib, 109951163},
	} {
		got := partSize(c.size, c.wish)
		if got != c.want || (c.size+got-1)/got > maxParts {
			t.Errorf("%d bytes: got parts of %d, want %d", c.size, got, c.want)
		}
	}
}
