package sa

import (
	"context"
	"strconv"
)

// maxRows is how many rows one INSERT brings at most: enough to make the
// network's round trips few, far from the limits on arguments.
const maxRows = 64

// insertRows inserts n rows with few statements. The statement ends before
// the rows; row appends the arguments of one.
func insertRows(ctx context.Context, s *session, statement string, columns, n int, row func(args []any, i int) ([]any, error)) error {
	args := make([]any, 0, columns*min(n, maxRows))
	for first := 0; first < n; first += maxRows {
		last := min(first+maxRows, n)
		args = args[:0]
		for i := first; i < last; i++ {
			var err error
			if args, err = row(args, i); err != nil {
				return err
			}
		}
		if _, err := s.exec(ctx, statement+tuples(columns, last-first), args...); err != nil {
			return err
		}
	}
	return nil
}

// tuples is "($1, $2), ($3, $4)" for two columns and two rows.
func tuples(columns, rows int) string {
	b := make([]byte, 0, rows*columns*5)
	for row := range rows {
		if row > 0 {
			b = append(b, ", "...)
		}
		b = appendPlaceholders(b, row*columns+1, columns)
	}
	return string(b)
}

// placeholders is "($3, $4)" for two arguments from the third.
func placeholders(first, n int) string { return string(appendPlaceholders(nil, first, n)) }

func appendPlaceholders(b []byte, first, n int) []byte {
	b = append(b, '(')
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(first+i), 10)
	}
	return append(b, ')')
}
