package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress tells a person at a terminal how far long work has come; to
// anything but a terminal it says nothing.
type progress struct {
	w        io.Writer // nil: nobody looks
	what     string
	n, total int // total 0: not known
	shown    time.Time
}

func newProgress(w io.Writer, what string, total int) *progress {
	p := &progress{what: what, total: total}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.w = w
	}
	return p
}

// add counts n more.
func (p *progress) add(n int) {
	p.n += n
	if p.w == nil || time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = time.Now()
	p.show()
}

func (p *progress) show() {
	const width = 30
	if p.total == 0 {
		fmt.Fprintf(p.w, "\r%s %d certificates", p.what, p.n)
		return
	}
	full := width * p.n / p.total
	fmt.Fprintf(p.w, "\r[%s%s] %s %d of %d", strings.Repeat("#", full), strings.Repeat(" ", width-full), p.what, p.n, p.total)
}

// done ends the line.
func (p *progress) done() {
	if p.w != nil {
		p.show()
		fmt.Fprintln(p.w)
	}
}
