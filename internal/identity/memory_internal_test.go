package identity

import (
	"strconv"
	"testing"
)

func TestAMemoryIsBounded(t *testing.T) {
	var m memory[int]
	for i := range 3 * maxRemembered {
		m.put(strconv.Itoa(i), i)
		if got, known := m.get(strconv.Itoa(i)); !known || got != i {
			t.Fatalf("%d is %d, %t", i, got, known)
		}
		if len(m.known) > maxRemembered {
			t.Fatalf("%d tokens are remembered", len(m.known))
		}
	}
	if _, known := m.get("another"); known {
		t.Error("a token is known that nobody has verified")
	}
}
