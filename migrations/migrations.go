// Package migrations embeds the schema of finobs as sql-migrate files. They run
// as role finobs_owner, which owns everything and cannot log in; the roles
// themselves are made by Bootstrap.
package migrations

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
)

// FS holds the migrations, named NNNN_subject.sql and applied in that order.
//
//go:embed *.sql
var FS embed.FS

// Bootstrap makes the roles and gives the owner the database. It needs a role
// that may create roles, runs again without harm, and is the only SQL that does
// not run as finobs_owner. {{database}} stands for the quoted name of the database.
//
//go:embed bootstrap/roles.sql
var Bootstrap string

// Latest is the name of the newest migration, which names the form of the schema.
func Latest() string {
	names, err := fs.Glob(FS, "*.sql")
	if err != nil || len(names) == 0 {
		return "" // the pattern is fixed and the files are embedded
	}
	return strings.TrimSuffix(slices.Max(names), ".sql")
}
