package sa

import (
	"context"
	"database/sql"
)

// txFunc is the inside of a read or of a transaction. It may run more than
// once, so it has no effect but on the database and on its results, which it
// begins anew each time.
type txFunc func(ctx context.Context, s *session) error

// connection is what database/sql's DB, Conn and Tx have in common.
type connection interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// session runs statements on a connection. It serves one goroutine at a time.
type session struct {
	connection
	// conn and statements cache prepared statements where the driver does not.
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

// maxStatements bounds a session's cache; statements with a list of varying
// length are why there is more than one for each line of code.
const maxStatements = 256

func cachingSession(conn *sql.Conn) *session {
	return &session{connection: conn, conn: conn, statements: make(map[string]*sql.Stmt)}
}

// prepared returns nil when the statement is to run unprepared.
func (s *session) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s.statements == nil {
		return nil, nil
	}
	if stmt := s.statements[query]; stmt != nil {
		return stmt, nil
	}
	if len(s.statements) >= maxStatements {
		return nil, nil
	}
	stmt, err := s.conn.PrepareContext(ctx, query)
	if err == nil {
		s.statements[query] = stmt
	}
	return stmt, err
}

// exec runs a statement and returns the number of rows that it changed.
func (s *session) exec(ctx context.Context, query string, args ...any) (int64, error) {
	stmt, err := s.prepared(ctx, query)
	if err != nil {
		return 0, err
	}
	var result sql.Result
	if stmt != nil {
		result, err = stmt.ExecContext(ctx, args...)
	} else {
		result, err = s.ExecContext(ctx, query, args...)
	}
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *session) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return s.QueryContext(ctx, query, args...)
}

// one reads the one row of a query; sql.ErrNoRows when there is none.
func (s *session) one(ctx context.Context, query string, args []any, dest ...any) error {
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	if err := rows.Close(); err != nil {
		return err
	}
	return rows.Err()
}

// all reads every row of a query: row is called for each, to scan it.
func (s *session) all(ctx context.Context, query string, args []any, row func(*sql.Rows) error) error {
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// has tells whether a query has a row; its one column is an integer.
func (s *session) has(ctx context.Context, query string, args ...any) (bool, error) {
	var one scanInt
	switch err := s.one(ctx, query, args, &one); err {
	case nil:
		return true, nil
	case sql.ErrNoRows:
		return false, nil
	default:
		return false, err
	}
}

// close closes a session that has a connection of its own.
func (s *session) close() error {
	for _, stmt := range s.statements {
		if err := stmt.Close(); err != nil {
			return err
		}
	}
	return s.conn.Close()
}
