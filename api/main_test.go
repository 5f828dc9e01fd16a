package api_test

import (
	"testing"

	"finobs/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
