// Package migrations carries the schema of the store: one folder of SQL files
// a dialect, numbered alike, forward only. Both folders make the same tables
// and columns.
package migrations

import "embed"

// SQLite holds sqlite/*.sql.
//
//go:embed sqlite/*.sql
var SQLite embed.FS

// Postgres holds postgres/*.sql.
//
//go:embed postgres/*.sql
var Postgres embed.FS
