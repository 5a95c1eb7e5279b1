package sa_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// crashEnv names the database that the test binary, run as a child, writes to
// until it is killed.
const crashEnv = "CAIRN_TEST_CRASH_DATABASE"

// What was answered is there after kill -9 at any point, whole.
func TestSQLiteSurvivesKill(t *testing.T) {
	if path := os.Getenv(crashEnv); path != "" {
		writeUntilKilled(t, path)
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cairn.db")
	child := exec.Command(os.Args[0], "-test.run=^TestSQLiteSurvivesKill$")
	child.Env = append(os.Environ(), crashEnv+"="+path)
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var answered []acme.ID
	for lines := bufio.NewScanner(output); lines.Scan(); {
		id, err := acme.ParseID(lines.Text())
		if err != nil {
			t.Logf("the child says: %s", lines.Text())
			continue
		}
		if answered = append(answered, id); len(answered) == 200 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(answered) < 200 {
		t.Fatalf("the child ended by itself after %d orders: %v", len(answered), err)
	}

	db := open(t, sa.Config{URL: "sqlite:" + path})
	for _, id := range answered {
		order, err := db.Order(t.Context(), id)
		if err != nil {
			t.Fatalf("an order that was answered: %v", err)
		}
		for _, authz := range order.Authorizations {
			if _, err := db.Authorization(t.Context(), authz); err != nil {
				t.Fatalf("an authorization of an order that was answered: %v", err)
			}
		}
	}
}

func writeUntilKilled(t *testing.T, path string) {
	db := open(t, sa.Config{URL: "sqlite:" + path, Migrate: true})
	b := &bench{TB: t, DB: db}
	b.account = acme.Account{ID: b.id(), Directory: "default", Status: acme.AccountValid, Key: newKey(t), CreatedAt: time.Now()}
	if _, _, err := db.CreateAccount(t.Context(), b.account); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for {
				n := b.newOrder()
				if err := db.CreateOrder(t.Context(), n); err != nil {
					fmt.Println(err)
					return
				}
				mu.Lock()
				fmt.Println(n.Order.ID)
				mu.Unlock()
			}
		})
	}
	done.Wait()
	t.Fatal(errors.New("the child was to be killed"))
}
